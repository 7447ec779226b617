"""Pytrees: nested tuples, lists, dicts, named tuples, None and registered classes, with leaves of any other type.

`flatten` walks a tree once, collecting leaves and a flat description of the structure; equal descriptions share one
`TreeDef`. A structure seen often gets a flattener and an unflattener of generated code, which check that the tree
still has it and fall back to the walk where it has not.

Children are visited in order; those of a dict by sorted key, those of an OrderedDict in insertion order. `None` is an
empty node. A class is a leaf unless registered (`register_pytree_node`, `register_dataclass`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, final

from pullback.util.errors import ArgumentError, TreeError, message

Leaves = list[Any]
_type: Callable[[Any], Any] = type
Path = tuple[Any, ...]
C = TypeVar("C", bound=type)

_LIMIT = 1 << 14  # structures remembered
_OFTEN = 8  # uses after which a structure gets code of its own
_LARGE = 512  # leaves above which it does not


@final
class Handler:
    """How a class takes part: children and hashable rest of an object, and back."""

    __slots__ = ("build", "keys", "name", "split")

    def __init__(self, name: str, split: Callable[[Any], tuple[Iterable[Any], Any]],
                 build: Callable[[Any, list[Any]], Any], keys: Callable[[Any, int], Sequence[Any]]) -> None:
        self.name, self.split, self.build, self.keys = name, split, build, keys

    def __repr__(self) -> str:
        return f"<handler {self.name}>"


@final
class Entry:
    """A step of a path: a place in a sequence `[0]`, an item `['name']`, a `.field`, or a flat child's number `[0]`."""

    __slots__ = ("key", "kind")

    def __init__(self, kind: str, key: Any) -> None:
        self.kind, self.key = kind, key

    def __repr__(self) -> str:
        return f".{self.key}" if self.kind == "field" else f"[{self.key!r}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and (self.kind, self.key) == (other.kind, other.key)

    def __hash__(self) -> int:
        return hash((self.kind, self.key))


def path_text(path: Iterable[Any]) -> str:
    """A path as one would write it after the tree: `[0]['W1']`."""
    return "".join(map(repr, path))


def _positions(rest: Any, count: int) -> Sequence[Any]:
    return [Entry("place", k) for k in range(count)]


def _numbers(rest: Any, count: int) -> Sequence[Any]:
    return [Entry("flat", k) for k in range(count)]


def _dict_names(rest: Any, count: int) -> Sequence[Any]:
    return [Entry("item", k) for k in rest]


_sorted_keys: dict[tuple[Any, ...], tuple[Any, ...]] = {}


def _keys_of(tree: dict[Any, Any]) -> tuple[Any, ...]:
    """The keys of a dict in order of visit."""
    given = tuple(tree)
    keys = _sorted_keys.get(given)
    if keys is None:
        try:
            keys = tuple(sorted(given))
        except TypeError as error:
            raise TreeError(message("tree: the keys of a dict cannot be sorted", [("keys", f"{list(given)!r:.80}")],
                                    "use keys of one type, or an OrderedDict")) from error
        if len(_sorted_keys) > _LIMIT:
            _sorted_keys.clear()
        _sorted_keys[given] = keys
    return keys


def _split_dict(tree: Any) -> tuple[Iterable[Any], Any]:
    keys = _keys_of(tree)
    return [tree[k] for k in keys], keys


def _split_default(tree: Any) -> tuple[Iterable[Any], Any]:
    keys = _keys_of(tree)
    return [tree[k] for k in keys], (tree.default_factory, keys)


def _build_default(rest: Any, children: list[Any]) -> Any:
    return defaultdict(rest[0], zip(rest[1], children, strict=True))


_handlers: dict[type, Handler] = {
    tuple: Handler("tuple", lambda t: (t, len(t)), lambda n, c: tuple(c), _positions),
    list: Handler("list", lambda t: (t, len(t)), lambda n, c: c, _positions),
    dict: Handler("dict", _split_dict, lambda keys, c: dict(zip(keys, c, strict=True)), _dict_names),
    type(None): Handler("None", lambda t: ((), None), lambda n, c: None, _positions),
    OrderedDict: Handler("OrderedDict", lambda t: (t.values(), tuple(t)),
                         lambda keys, c: OrderedDict(zip(keys, c, strict=True)), _dict_names),
    defaultdict: Handler("defaultdict", _split_default, _build_default, lambda rest, n: _dict_names(rest[1], n)),
}
#: types known to be leaves: every object whose type is neither here nor in `_handlers` is looked at once
_leaf_types: set[type] = {int, float, bool, complex, str, bytes}
_lock = threading.RLock()


def _named_tuple_handler(cls: Any) -> Handler:
    fields = tuple(cls._fields)
    return Handler(f"namedtuple[{cls.__name__}]", lambda t: (t, fields), lambda rest, c: cls(*c),
                   lambda rest, n: [Entry("field", f) for f in fields])


def _classify(kind: Any) -> Handler | None:
    """The handler of a type not met before; None for leaves."""
    with _lock:
        found = _handlers.get(kind)
        if found is None and tuple in kind.__mro__ and isinstance(kind.__dict__.get("_fields"), tuple):
            found = _handlers[kind] = _named_tuple_handler(kind)
        elif found is None:
            _leaf_types.add(kind)
        return found


# -- registration ----------------------------------------------------------------------------------------------------


def register_pytree_node(cls: type, flatten: Callable[[Any], tuple[Iterable[Any], Any]],
                         unflatten: Callable[[Any, tuple[Any, ...]], Any]) -> None:
    """Make a class a node: `flatten(obj) -> (children, rest)` and `unflatten(rest, children) -> obj`.

    `rest` is hashable and part of the structure.
    """
    _register(cls, Handler(cls.__name__, flatten, lambda rest, c: unflatten(rest, tuple(c)), _numbers))


def register_handler(cls: type, split: Callable[[Any], tuple[Iterable[Any], Any]],
                     build: Callable[[Any, list[Any]], Any], keys: Callable[[Any, int], Sequence[Any]]) -> None:
    """Make a class a node whose children have names: `keys(rest, count)`."""
    _register(cls, Handler(cls.__name__, split, build, keys))


def register_pytree_node_class(cls: C) -> C:
    """Decorator for a class with methods `tree_flatten(self)` and `tree_unflatten(cls, rest, children)`."""
    kind: Any = cls
    register_pytree_node(cls, kind.tree_flatten, kind.tree_unflatten)
    return cls


def register_dataclass(cls: C, data_fields: Sequence[str] | None = None, meta_fields: Sequence[str] = ()) -> C:
    """Make a dataclass a node: `data_fields` (by default all others) are children, `meta_fields` are structure,
    and so are fields of `metadata={"static": True}` where no `data_fields` are given."""
    table: Any = cls.__dict__.get("__dataclass_fields__")
    if table is None:
        raise ArgumentError(message("tree.register_dataclass: not a dataclass", [("class", cls.__name__)],
                                    "put @dataclasses.dataclass above the class, or use register_pytree_node"))
    marked = [f.name for f in table.values() if f.metadata.get("static")] if data_fields is None else []
    meta = (*meta_fields, *(n for n in marked if n not in meta_fields))
    names = tuple(data_fields) if data_fields is not None else tuple(
        f.name for f in table.values() if f.init and f.name not in meta)
    missing = [n for n in (*names, *meta) if n not in table]
    if missing:
        raise ArgumentError(message("tree.register_dataclass: no such field", [("field", repr(missing[0]))],
                                    "fields are " + ", ".join(table)))

    def split(obj: Any) -> tuple[Iterable[Any], Any]:
        return [getattr(obj, n) for n in names], tuple([getattr(obj, n) for n in meta])

    def build(rest: Any, children: list[Any]) -> Any:
        return cls(**dict(zip(names, children, strict=True)), **dict(zip(meta, rest, strict=True)))

    _register(cls, Handler(cls.__name__, split, build, lambda rest, n: [Entry("field", f) for f in names]))
    return cls


def _register(cls: type, handler: Handler) -> None:
    with _lock:
        if cls in _handlers:
            raise TreeError(message("tree: the class is registered already", [("class", cls.__name__)],
                                    "register each class once"))
        _handlers[cls] = handler
        _leaf_types.discard(cls)


# -- structure -------------------------------------------------------------------------------------------------------


class Rest:
    """The rest of a node whose objects may be mapped together although they are not equal, because they hold values
    of their own: `fits` says so, `holds` whether there are any."""

    __slots__ = ()

    def fits(self, other: object) -> bool:
        """Whether a node with another rest has the same children in the same places."""
        return self == other

    def holds(self) -> bool:
        """Whether it keeps values alive: few structures with such a rest are remembered."""
        return False


LEAF = None  # a leaf's entry in a description
_defs: dict[tuple[Any, ...], TreeDef] = {}
_holding: dict[tuple[Any, ...], TreeDef] = {}
_FEW = 64  # structures remembered of those that keep values alive


@final
class TreeDef:
    """The structure of a tree: hashable, comparable, printed as `PyTreeDef([(*, *), *])`.

    `spec` describes it in order of visit: None for a leaf, (type, rest, number of children) for a node.
    """

    __slots__ = ("flattener", "_hash", "unflattener", "uses", "num_leaves", "spec")

    def __init__(self, spec: tuple[Any, ...]) -> None:
        self.spec = spec
        self.num_leaves = spec.count(LEAF)
        self._hash = hash(spec)
        self.uses = 0
        self.flattener: Callable[[Any], Leaves | None] | None = None
        self.unflattener: Callable[[Any], Any] | None = None

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, TreeDef) and self._hash == other._hash and self.spec == other.spec)

    def __reduce__(self) -> Any:
        return (_treedef, (self.spec,))

    @property
    def num_nodes(self) -> int:
        return len(self.spec)

    def children(self) -> list[TreeDef]:
        """The structures of the root's children."""
        if self.spec[0] is LEAF:
            return []
        found: list[TreeDef] = []
        start = 1
        for _ in range(self.spec[0][2]):
            end = _end(self.spec, start)
            found.append(_treedef(self.spec[start:end]))
            start = end
        return found

    def paths(self) -> list[Path]:
        """The path of every leaf."""
        found: list[Path] = []
        _paths(self.spec, 0, (), found)
        return found

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree of this structure with these leaves."""
        build = self.unflattener
        sized = _type(leaves)
        items: Any = leaves if sized is list or sized is tuple else list(leaves)
        if len(items) != self.num_leaves:
            raise TreeError(message("tree.unflatten: wrong number of leaves",
                                    [("leaves", str(len(items))), ("structure", f"{self} has {self.num_leaves}")],
                                    "pass the leaves that tree.flatten gave, in their order"))
        if build is not None:
            return build(items)
        self.uses += 1
        if self.uses > _OFTEN and self.num_leaves <= _LARGE:
            self.unflattener = _compile_unflatten(self.spec)
        return _build(self.spec, iter(items))

    def flatten_up_to(self, tree: Any, name: str = "tree.map") -> Leaves:
        """The parts of a tree that stand where this structure has leaves."""
        found: Leaves = []
        _flatten_up_to(self.spec, 0, tree, (), found, name)
        return found

    def __repr__(self) -> str:
        return f"PyTreeDef({_text(self.spec, 0)[0]})"


def _treedef(spec: tuple[Any, ...]) -> TreeDef:
    try:
        found = _defs.get(spec)
    except TypeError as error:
        bad = next((e for e in spec if e is not LEAF and not _hashable(e)), None)
        raise TreeError(message("tree: the static part of a node must be hashable", [("node", f"{bad!r:.80}")],
                                "return a hashable second value from the class's flatten, such as a tuple")) from error
    return found or _holding.get(spec) or _remembered(spec)


def _remembered(spec: tuple[Any, ...]) -> TreeDef:
    """The structure of a description that is not among the common ones."""
    holding = any(e is not LEAF and isinstance(e[1], Rest) and e[1].holds() for e in spec)
    known, limit = (_holding, _FEW) if holding else (_defs, _LIMIT)
    found = known.get(spec)
    if found is None:
        if len(known) >= limit:
            known.clear()
            _by_root.clear()
        found = known.setdefault(spec, TreeDef(spec))
    return found


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _end(spec: tuple[Any, ...], start: int) -> int:
    """Where the subtree that begins at `start` ends."""
    left = 1
    while left:
        entry = spec[start]
        left += (entry[2] if entry is not LEAF else 0) - 1
        start += 1
    return start


def _paths(spec: tuple[Any, ...], at: int, prefix: Path, found: list[Path]) -> int:
    entry = spec[at]
    at += 1
    if entry is LEAF:
        found.append(prefix)
        return at
    kind, rest, count = entry
    for key in _handlers[kind].keys(rest, count):
        at = _paths(spec, at, (*prefix, key), found)
    return at


def _text(spec: tuple[Any, ...], at: int) -> tuple[str, int]:
    entry = spec[at]
    at += 1
    if entry is LEAF:
        return "*", at
    kind, rest, count = entry
    parts: list[str] = []
    for _ in range(count):
        part, at = _text(spec, at)
        parts.append(part)
    inside = ", ".join(parts)
    if kind is tuple:
        return f"({inside},)" if count == 1 else f"({inside})", at
    if kind is list:
        return f"[{inside}]", at
    if kind is dict:
        return "{" + ", ".join(f"{k!r}: {p}" for k, p in zip(rest, parts, strict=True)) + "}", at
    if kind is type(None):
        return "None", at
    name = _handlers[kind].name
    return f"CustomNode({name if name.startswith('namedtuple') else f'{name}[{rest}]'}, [{inside}])", at


def _build(spec: tuple[Any, ...], leaves: Any) -> Any:
    """The tree, from the end of the description to its start, so that children are ready before their node."""
    stack: list[Any] = []
    items = list(leaves)
    for entry in reversed(spec):
        if entry is LEAF:
            stack.append(items.pop())
            continue
        kind, rest, count = entry
        children = stack[:-count - 1:-1] if count else []
        del stack[len(stack) - count:]
        stack.append(_handlers[kind].build(rest, children))
    return stack[0]


def _flatten_up_to(spec: tuple[Any, ...], at: int, tree: Any, path: Path, found: Leaves, name: str) -> int:
    entry = spec[at]
    at += 1
    if entry is LEAF:
        found.append(tree)
        return at
    kind, rest, count = entry
    handler = _handlers[kind]
    if type(tree) is not kind:
        raise _differ(name, path, _text(spec, at - 1)[0], "a leaf" if _handler_of(tree) is None else "")(tree)
    children, got = handler.split(tree)
    children = list(children)
    if (got != rest and not (isinstance(rest, Rest) and rest.fits(got))) or len(children) != count:
        raise _differ(name, path, _text(spec, at - 1)[0], "")(tree)
    for key, child in zip(handler.keys(rest, count), children, strict=True):
        at = _flatten_up_to(spec, at, child, (*path, key), found, name)
    return at


def _differ(name: str, path: Path, wanted: str, what: str) -> Callable[[Any], TreeError]:
    def error(tree: Any) -> TreeError:
        got = f"{type(tree).__name__}, {what}" if what else str(structure(tree)).removeprefix("PyTreeDef")
        return TreeError(message(f"{name}: the trees have different structures",
                                 [("first", f"{wanted:.200}"), ("other", f"{got:.200}"),
                                  ("at", f"tree{path_text(path)}")],
                                 "give all trees the same nesting, lengths and keys"))
    return error


def _handler_of(tree: Any) -> Handler | None:
    kind = _type(tree)
    found = _handlers.get(kind)
    return found if found is not None or kind in _leaf_types else _classify(kind)


# -- flatten ---------------------------------------------------------------------------------------------------------


def _walk(tree: Any, leaves: Leaves, spec: list[Any]) -> None:
    kind = _type(tree)
    if kind in _leaf_types:
        leaves.append(tree)
        spec.append(LEAF)
        return
    handler = _handlers.get(kind) or _classify(kind)
    if handler is None:
        leaves.append(tree)
        spec.append(LEAF)
        return
    given, rest = handler.split(tree)
    sized = _type(given)
    children: Any = given if sized is list or sized is tuple else list(given)
    spec.append((kind, rest, len(children)))
    known = _leaf_types
    for child in children:
        if type(child) in known:
            leaves.append(child)
            spec.append(LEAF)
        else:
            _walk(child, leaves, spec)


def _walk_until(tree: Any, leaves: Leaves, spec: list[Any], is_leaf: Callable[[Any], bool]) -> None:
    handler = None if is_leaf(tree) else _handler_of(tree)
    if handler is None:
        leaves.append(tree)
        spec.append(LEAF)
        return
    children, rest = handler.split(tree)
    children = list(children)
    spec.append((type(tree), rest, len(children)))
    for child in children:
        _walk_until(child, leaves, spec, is_leaf)


_COMPILED_ROOTS = frozenset((tuple, list, dict))
#: the structure last flattened by generated code, by the type and length of the root
_by_root: dict[Any, TreeDef] = {}


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[Leaves, TreeDef]:
    """The leaves of a tree and its structure."""
    kind = _type(tree)
    if kind in _COMPILED_ROOTS and is_leaf is None:
        treedef = _by_root.get((kind, len(tree)))
        if treedef is not None:
            known = treedef.flattener
            leaves = known(tree) if known is not None else None
            if leaves is not None:
                return leaves, treedef
    return _flatten(tree, is_leaf)


def _flatten(tree: Any, is_leaf: Callable[[Any], bool] | None) -> tuple[Leaves, TreeDef]:
    leaves: Leaves = []
    spec: list[Any] = []
    try:
        if is_leaf is None:
            _walk(tree, leaves, spec)
        else:
            _walk_until(tree, leaves, spec, is_leaf)
    except RecursionError as error:
        raise TreeError(message("tree: nested too deeply, or a container that holds itself",
                                [("tree", type(tree).__name__)], "break the cycle")) from error
    treedef = _treedef(tuple(spec))
    kind = _type(tree)
    if is_leaf is None and kind in _COMPILED_ROOTS:
        _promote(treedef, (kind, len(tree)))
    return leaves, treedef


def _promote(treedef: TreeDef, root: tuple[type, int]) -> None:
    """Give a structure that is met often a flattener of its own."""
    treedef.uses += 1
    if treedef.uses > _OFTEN and treedef.num_leaves <= _LARGE:
        if treedef.flattener is None:
            treedef.flattener = _compile_flatten(treedef.spec)
        _by_root[root] = treedef


def compile_flatten(tree: Any) -> Callable[[Any], Leaves | None]:
    """A function that flattens trees of this tree's structure, and gives None for every other."""
    spec = _flatten(tree, None)[1].spec
    return _compile_flatten(spec) or (lambda other: _only(spec, other))


def _only(spec: tuple[Any, ...], tree: Any) -> Leaves | None:
    leaves, treedef = _flatten(tree, None)
    return leaves if treedef.spec == spec else None


class _Source:
    """Generated code under construction: its lines, the constants it names, its names of leaves."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.leaves: list[str] = []
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name


_COMPILED = (tuple, list, dict, type(None))


def _compile_flatten(spec: tuple[Any, ...]) -> Callable[[Any], Leaves | None] | None:
    """Straight-line code that checks types, lengths and keys and returns the leaves; None where a class needs calls."""
    if any(e is not LEAF and e[0] not in _COMPILED for e in spec):
        return None
    source = _Source()
    _flatten_lines(spec, 0, "tree", source)
    leaves = ", ".join(source.leaves)
    check = f"    if not known({{{', '.join(f'type({x})' for x in source.leaves)}}}): return None\n" if leaves else ""
    text = ("def flatten(tree):\n" + "".join(f"    {line}\n" for line in source.lines) + check
            + f"    return [{leaves}]\n")
    scope: dict[str, Any] = dict(source.constants, known=_leaf_types.issuperset, NoneType=type(None))
    exec(text, scope)
    return scope["flatten"]


def _flatten_lines(spec: tuple[Any, ...], at: int, name: str, out: _Source) -> int:
    entry = spec[at]
    at += 1
    if entry is LEAF:
        out.leaves.append(name)
        return at
    kind, rest, count = entry
    if kind is type(None):
        out.lines.append(f"if {name} is not None: return None")
        return at
    out.lines.append(f"if type({name}) is not {kind.__name__} or len({name}) != {count}: return None")
    names = [out.name() for _ in range(count)]
    if kind is dict and count:
        out.lines.append("try:")
        out.lines.extend(f"    {child} = {name}[{out.constant(key)}]" for child, key in zip(names, rest, strict=True))
        out.lines.append("except KeyError: return None")
    elif count:
        out.lines.append(f"{', '.join(names)}, = {name}")
    for child in names:
        at = _flatten_lines(spec, at, child, out)
    return at


def _compile_unflatten(spec: tuple[Any, ...]) -> Callable[[Any], Any]:
    """One expression that builds the tree from its leaves."""
    source = _Source()
    text, _ = _unflatten_text(spec, 0, source)
    scope = source.constants
    unpack = f"    {', '.join(source.leaves)}, = leaves\n" if source.leaves else ""
    exec(f"def build(leaves):\n{unpack}    return {text}\n", scope)
    return scope["build"]


def _unflatten_text(spec: tuple[Any, ...], at: int, out: _Source) -> tuple[str, int]:
    entry = spec[at]
    at += 1
    if entry is LEAF:
        out.leaves.append(out.name())
        return out.leaves[-1], at
    kind, rest, count = entry
    parts: list[str] = []
    for _ in range(count):
        part, at = _unflatten_text(spec, at, out)
        parts.append(part)
    inside = ", ".join(parts)
    if kind is tuple:
        return f"({inside},)" if parts else "()", at
    if kind is list:
        return f"[{inside}]", at
    if kind is type(None):
        return "None", at
    if kind is dict:
        return "{" + ", ".join(f"{out.constant(k)}: {p}" for k, p in zip(rest, parts, strict=True)) + "}", at
    return f"{out.constant(_handlers[kind].build)}({out.constant(rest)}, [{inside}])", at


# -- what users call -------------------------------------------------------------------------------------------------


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Leaves:
    """The leaves of a tree, in order."""
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeDef:
    """The structure of a tree."""
    return flatten(tree, is_leaf)[1]


def unflatten(treedef: TreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of a structure with these leaves."""
    if type(treedef) is not TreeDef:
        raise ArgumentError(message("tree.unflatten: not a structure", [("treedef", f"{treedef!r:.80}")],
                                    "tree.unflatten(treedef, leaves): the structure comes first"))
    return treedef.unflatten(leaves)


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Apply a function to each leaf, with the parts of `rest` that stand at the same place."""
    first, treedef = flatten(tree, is_leaf)
    if not rest:
        return treedef.unflatten([f(x) for x in first])
    columns = [_leaves_like(treedef, other, is_leaf) for other in rest]
    return treedef.unflatten([f(*row) for row in zip(first, *columns, strict=True)])


def _leaves_like(treedef: TreeDef, tree: Any, is_leaf: Callable[[Any], bool] | None) -> Leaves:
    found, other = flatten(tree, is_leaf)
    return found if other is treedef else treedef.flatten_up_to(tree)


_MISSING: Any = object()


def reduce(f: Callable[[Any, Any], Any], tree: Any, initializer: Any = _MISSING,
           is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Combine the leaves from left to right, starting from `initializer` where one is given."""
    found = leaves(tree, is_leaf)
    if initializer is _MISSING:
        if not found:
            raise TreeError(message("tree.reduce: the tree has no leaves", [("tree", f"{tree!r:.80}")],
                                    "pass an initial value"))
        total, found = found[0], found[1:]
    else:
        total = initializer
    for x in found:
        total = f(total, x)
    return total


def all(tree: Any, *, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether every leaf is true."""
    return False not in [bool(x) for x in leaves(tree, is_leaf)]


def transpose(outer: TreeDef, inner: TreeDef | None, tree: Any) -> Any:
    """Turn a tree of structure `outer` with trees `inner` at its leaves inside out."""
    parts = outer.flatten_up_to(tree, "tree.transpose")
    if inner is None:
        if not parts:
            raise TreeError(message("tree.transpose: the outer tree has no leaves", [("outer", repr(outer))],
                                    "pass the inner structure"))
        inner = structure(parts[0])
    rows = [inner.flatten_up_to(part, "tree.transpose") for part in parts]
    columns = [[row[k] for row in rows] for k in range(inner.num_leaves)]
    return inner.unflatten([outer.unflatten(column) for column in columns])


def flatten_with_path(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[Path, Any]], TreeDef]:
    """Pairs of path and leaf, and the structure."""
    found, treedef = flatten(tree, is_leaf)
    return list(zip(treedef.paths(), found, strict=True)), treedef


def leaves_with_path(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[tuple[Path, Any]]:
    """Pairs of path and leaf."""
    return flatten_with_path(tree, is_leaf)[0]


def map_with_path(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Apply `f(path, leaf, ...)` to each leaf."""
    first, treedef = flatten(tree, is_leaf)
    columns = [_leaves_like(treedef, other, is_leaf) for other in rest]
    return treedef.unflatten([f(*row) for row in zip(treedef.paths(), first, *columns, strict=True)])
