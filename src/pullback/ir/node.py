"""Types, nodes and functions of the one intermediate representation.

A `Node` is an immutable application of a primitive (`Op`) to nodes, with its type. Nodes are hash-consed: applying an
equal primitive to the same nodes gives the same node, so common subexpressions are shared by construction. A
`Function` names parameters and results of such a graph.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar, dataclass_transform

import numpy as np

from pullback.ir.dtypes import DType, dtype_of, numpy_dtype
from pullback.util.errors import PullbackError, VerifyError, message
from pullback.util.zeros import alike


class TensorType:
    """Shape and dtype of a tensor. Interned: equal types are the same object (use `TensorType.of`)."""

    __slots__ = ("__weakref__", "dtype", "nbytes", "shape", "size")
    _table: ClassVar[dict[tuple[tuple[int, ...], str], TensorType]] = {}

    def __init__(self, shape: tuple[int, ...], dtype: DType) -> None:
        self.shape, self.dtype = shape, dtype
        size = 1
        for n in shape:
            size *= n
        self.size, self.nbytes = size, size * dtype.itemsize

    @staticmethod
    def of(shape: Iterable[int], dtype: DType) -> TensorType:
        key = (tuple(shape), dtype.name)
        found = TensorType._table.get(key)
        if found is None:
            found = TensorType._table.setdefault(key, TensorType(key[0], dtype))
        return found

    @property
    def rank(self) -> int:
        return len(self.shape)

    def with_shape(self, shape: Iterable[int]) -> TensorType:
        return TensorType.of(shape, self.dtype)

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType.of(self.shape, dtype)

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return (TensorType.of, (self.shape, self.dtype))


class TupleType:
    """The type of a primitive with several results; `Proj` takes one."""

    __slots__ = ("items",)

    def __init__(self, items: tuple[TensorType, ...]) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TupleType) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return f"({', '.join(map(repr, self.items))})"


Type = TensorType | TupleType
P = TypeVar("P", bound="Op")


#: a body with one more result, an int32 number from 0 up: 0, or what of its nodes refused its inputs; None: nothing can
Watch = Callable[["Function"], "Function | None"]


class Transforms(Protocol):
    """What rules of primitives with bodies need from the room above (see `transforms/`)."""

    #: whether a derivative of zero counts as one: what depends on inputs by `floor` alone has a tangent then
    zeros: bool

    def jvp(self, function: Function, active: tuple[bool, ...]) -> tuple[Function, tuple[bool, ...]]:
        """f(x...) -> g(x..., tangents of active inputs) = (y..., tangents of active results), and which those are."""
        ...

    def transpose(self, function: Function, linear: tuple[bool, ...]) -> Function:
        """f(a..., linear...) -> g(other inputs..., cotangents of all results) = cotangents of the linear inputs."""
        ...

    def batch(self, function: Function, batched: tuple[bool, ...], size: int,
              force: tuple[bool, ...] | None = None) -> tuple[Function, tuple[bool, ...]]:
        """The function over one more leading dimension; says which results carry it (`force`: results that must)."""
        ...


class Whole:
    """What a batching rule returns for a result that is the same for all elements: it has no new dimension."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node


class Op:
    """A primitive: parameters, type rule, reference, derivative, transpose, batching. All rules stand in the subclass.

    Subclasses are made with `@primitive`: equality and hash are by parameters.
    """

    name: ClassVar[str] = ""
    #: why a rule is absent, by rule name ("jvp", "transpose", "batch"): read by the completeness matrix
    absent: ClassVar[dict[str, str]] = {}
    #: whether a derivative goes through it
    passes_derivatives: ClassVar[bool] = True
    #: names of the parameters, in order (set by `primitive`)
    fields: ClassVar[tuple[str, ...]] = ()

    def infer(self, *types: TensorType) -> Type:
        """The type rule; raises one of our errors where the inputs do not fit."""
        raise NotImplementedError

    def reference(self, *arrays: Any) -> Any:
        """The definition, on NumPy arrays (a tuple for several results)."""
        raise NotImplementedError

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        """Tangent of the output (a tuple for several results; None is a zero)."""
        raise NotImplementedError

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        """Cotangents of the linear inputs (None elsewhere). Linear inputs may be read for their type only."""
        raise NotImplementedError

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        """The same primitive where batched inputs have a leading dimension of `size`; the results all have it."""
        raise NotImplementedError

    def refuses(self, *inputs: Node) -> Node | None:
        """Whether the values of these inputs are an error (one bool, computed with the program); None: never."""
        return None

    def refusal(self, *types: TensorType) -> PullbackError:
        """The error to raise where `refuses` is true."""
        raise NotImplementedError

    def only_where(self, condition: Node, *inputs: Node) -> Node | None:
        """The node on inputs it does not refuse unless the condition (one bool) holds; None: it refuses none."""
        return None

    def reporting(self, watch: Watch, *inputs: Node) -> tuple[tuple[Node, ...], Node] | None:
        """The results, and the largest number that any run of the bodies reported; None: they report nothing."""
        return None

    def params(self) -> dict[str, Any]:
        """Parameters for printing, in order."""
        return {k: self.__dict__[k] for k in self.fields}

    def replace(self, **changes: Any) -> Self:
        """The same primitive with some parameters changed."""
        return type(self)(**{**self.params(), **changes})


@dataclass_transform(frozen_default=True)
def primitive(cls: type[P]) -> type[P]:
    """Make a class of annotated parameters a primitive: constructor, equality, hash and repr, by parameters.

    What a frozen dataclass gives, without its 0.7 ms of generated code for every class, which every process would pay.
    """
    own = tuple(k for k, kind in cls.__annotations__.items() if not str(kind).startswith("ClassVar"))
    floats = any("float" in str(cls.__annotations__[k]) for k in own)
    cls.fields = (*(k for k in cls.fields if k not in own), *own)
    equal = _eq_signed if floats else _eq
    for name, method in (("__init__", _init), ("__eq__", equal), ("__hash__", _hash), ("__repr__", _repr)):
        if name not in cls.__dict__:
            setattr(cls, name, method)
    return cls


def _init(self: Op, *args: Any, **kwargs: Any) -> None:
    own = self.__dict__
    own.update(zip(self.fields, args, strict=False))
    own.update(kwargs)
    for k in self.fields:
        if k not in own and hasattr(type(self), k):
            own[k] = getattr(type(self), k)
    if len(own) != len(self.fields) or len(args) > len(self.fields):
        raise VerifyError(message(f"{type(self).__name__}: not its parameters", [("given", f"{args} {kwargs}")]))


def _values(op: Op) -> tuple[Any, ...]:
    own = op.__dict__
    return tuple([own[k] for k in op.fields])


def _eq(self: Op, other: Op) -> bool:
    return self is other or (type(self) is type(other) and _values(self) == _values(other))


def _eq_signed(self: Op, other: Op) -> bool:
    """`_eq` of primitives with floating-point parameters: 0.0 is no -0.0."""
    return self is other or (_eq(self, other) and alike(_values(self), _values(other)))


def _hash(self: Op) -> int:
    own = self.__dict__
    found = own.get("")  # no parameter has this name
    if found is None:
        found = own[""] = hash((type(self), _values(self)))
    return found


def _repr(self: Op) -> str:
    return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.params().items())})"


class Node:
    """An application of a primitive. Immutable, hash-consed; compare by identity.

    `tensor`, `shape` and `dtype` are those of its type, where that is a single tensor's.
    """

    __slots__ = ("__weakref__", "dtype", "inputs", "op", "shape", "tensor", "type")

    def __init__(self, op: Op, inputs: tuple[Node, ...], type: Type) -> None:
        self.op, self.inputs, self.type = op, inputs, type
        if isinstance(type, TensorType):
            self.tensor, self.shape, self.dtype = type, type.shape, type.dtype

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.type!r}>"


class Param(Op):
    """An input of a Function. Each is its own: never merged."""

    name = "param"
    absent: ClassVar[dict[str, str]] = dict.fromkeys(("jvp", "transpose", "batch"),
                                                     "an input has no rule: transforms bind it")

    def __init__(self, type: TensorType) -> None:
        self.type = type


class _Ref(weakref.ref[Node]):
    """What the table holds: it says where it stands there. (A WeakValueDictionary does the same at thrice the cost.)"""

    __slots__ = ("key",)
    key: tuple[Any, ...]


_table: dict[tuple[Any, ...], _Ref] = {}
_lock = threading.RLock()


def _known(key: tuple[Any, ...]) -> Node | None:
    found = _table.get(key)
    return None if found is None else found()


def _note(key: tuple[Any, ...], node: Node) -> None:
    """Know a node for as long as it lives."""
    ref = _Ref(node, _forget)
    ref.key = key
    with _lock:
        _table[key] = ref


def _forget(ref: Any, table: Any = _table, lock: Any = _lock) -> None:
    with lock:  # bound above: at the end of a process this module's names are gone before the last nodes
        if table.get(ref.key) is ref:
            del table[ref.key]


def apply(op: Op, *inputs: Node, type: Type | None = None) -> Node:
    """The node of a primitive applied to nodes; the type rule runs when it is new and its type is not known."""
    key = (op, *map(id, inputs))
    ref = _table.get(key)
    if ref is not None:
        found = ref()
        if found is not None and found.inputs == inputs:
            return found
    node = Node(op, inputs, type or op.infer(*[x.tensor for x in inputs]))
    _note(key, node)
    return node


def param(type: TensorType) -> Node:
    """A new input."""
    return Node(Param(type), (), type)


class Proj(Op):
    """One result of a primitive with several."""

    name = "proj"
    absent: ClassVar[dict[str, str]] = dict.fromkeys(("jvp", "transpose", "batch"),
                                                     "bookkeeping: transforms handle it with its producer")

    def __init__(self, index: int) -> None:
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proj) and self.index == other.index

    def __hash__(self) -> int:
        return hash(("proj", self.index))

    def params(self) -> dict[str, Any]:
        return {"index": self.index}


def project(node: Node) -> tuple[Node, ...]:
    """All results of a node, as nodes of one tensor each."""
    if isinstance(node.type, TensorType):
        return (node,)
    found: list[Node] = []
    for k, item in enumerate(node.type.items):
        key = (Proj(k), id(node))
        with _lock:
            proj = _known(key)
            if proj is None or proj.inputs[0] is not node:
                proj = Node(Proj(k), (node,), item)
                _note(key, proj)
        found.append(proj)
    return tuple(found)


def topological(roots: Iterable[Node], stop: Iterable[Node] = ()) -> list[Node]:
    """All nodes the roots need, inputs first; the inputs of `stop` nodes are not followed."""
    order: list[Node] = []
    seen: set[Node] = set()
    halt = set(stop)
    stack: list[Any] = list(roots)[::-1]
    while stack:
        node = stack.pop()
        if node is None:  # all inputs of the node below have been passed
            order.append(stack.pop())
        elif node not in seen:
            seen.add(node)
            if node.inputs and node not in halt:
                stack += (node, None, *node.inputs[::-1])
            else:
                order.append(node)
    return order


class Function:
    """A program: parameters, and results computed from them."""

    __slots__ = ("__weakref__", "_hash", "_key", "params", "results")

    def __init__(self, params: Sequence[Node], results: Sequence[Node]) -> None:
        self.params, self.results = tuple(params), tuple(results)
        self._key: Any = None
        self._hash: int | None = None

    @property
    def in_types(self) -> tuple[TensorType, ...]:
        return tuple(p.tensor for p in self.params)

    @property
    def out_types(self) -> tuple[TensorType, ...]:
        return tuple(r.tensor for r in self.results)

    def nodes(self) -> list[Node]:
        """All nodes, inputs first, parameters included where used."""
        return topological(self.results, self.params)

    def key(self) -> tuple[Any, ...]:
        """Structural key: equal for equal programs, whatever their parameters' identity."""
        if self._key is None:
            number: dict[Node, int] = {p: k for k, p in enumerate(self.params)}
            rows: list[Any] = [p.type for p in self.params]
            for node in self.nodes():
                if node in number:
                    continue
                number[node] = len(number)
                rows.append((node.op, *(number[x] for x in node.inputs)))
            self._key = (*rows, *(number[r] for r in self.results))
        return self._key

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Function) and self.key() == other.key())

    def __hash__(self) -> int:
        if self._hash is None:  # few programs are alike in these, and their keys are long
            self._hash = hash((self.in_types, tuple([r.op.name for r in self.results])))
        return self._hash

    def __call__(self, *arguments: Node) -> tuple[Node, ...]:
        """Inline: the results with the parameters replaced by nodes."""
        return substitute(self.results, dict(zip(self.params, arguments, strict=True)))

    def __repr__(self) -> str:
        from pullback.ir.printer import to_text  # the printer reads nodes; nodes only print for people

        return to_text(self)


def substitute(results: Sequence[Node], mapping: dict[Node, Node]) -> tuple[Node, ...]:
    """Rebuild a graph with some nodes replaced."""
    done = dict(mapping)
    for node in topological(results, mapping):
        if node in done:
            continue
        done[node] = reapply(node, tuple([done[x] for x in node.inputs]))
    return tuple(done[r] for r in results)


def rebuild(function: Function, rule: Callable[[Node], Node]) -> Function:
    """Each node, on what its inputs have become, replaced by what a rule makes of it; inputs first."""
    done: dict[Node, Node] = {p: p for p in function.params}
    for node in function.nodes():
        if node not in done:
            done[node] = rule(reapply(node, tuple([done[x] for x in node.inputs])))
    return Function(function.params, [done[r] for r in function.results])


def reapply(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The same primitive on other inputs; the node itself where they are its own."""
    if inputs == node.inputs:
        return node
    if isinstance(node.op, Proj):
        return project(inputs[0])[node.op.index]
    return apply(node.op, *inputs)


#: called with each node that `evaluate` computes, its inputs and its result, those in bodies too
observer: Callable[[Node, list[Any], Any], None] | None = None


def evaluate(function: Function, *arrays: Any) -> tuple[Any, ...]:
    """Run a function by the reference rules on NumPy arrays: the definition of what a program means."""
    values: dict[Node, Any] = {p: np.asarray(a) for p, a in zip(function.params, arrays, strict=True)}
    for node in function.nodes():
        if node in values:
            continue
        if isinstance(node.op, Proj):
            values[node] = values[node.inputs[0]][node.op.index]
            continue
        result = node.op.reference(*(values[x] for x in node.inputs))
        if isinstance(node.type, TensorType):
            result = np.asarray(result, numpy_dtype(node.type.dtype))
        if observer is not None:
            observer(node, [values[x] for x in node.inputs], result)
        values[node] = result
    return tuple(values[r] for r in function.results)


def verify(function: Function) -> None:
    """Check a function: every type is what its rule says, every input is bound."""
    bound = set(function.params)
    for node in function.nodes():
        if isinstance(node.op, Param):
            if node not in bound:
                raise VerifyError(message("function: a parameter is not bound", [("node", repr(node))]))
        elif isinstance(node.op, Proj):
            source = node.inputs[0].type
            if not isinstance(source, TupleType) or source.items[node.op.index] != node.type:
                raise VerifyError(message("function: a projection does not fit", [("node", repr(node))]))
        elif node.op.infer(*[x.tensor for x in node.inputs]) != node.type:
            raise VerifyError(message("function: a type is not what its rule says", [("node", repr(node))]))


def type_of(value: Any) -> TensorType:
    """The type of a NumPy array."""
    return TensorType.of(value.shape, dtype_of(value.dtype))
