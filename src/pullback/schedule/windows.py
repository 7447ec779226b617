"""Contractions over windows: forms that read an image in place instead of copies of its windows.

    sum of shifted parts of a contraction      becomes   a contraction of shifted parts (the gradient of windows)
    transpose(contract(windows, weight))       becomes   contract(weight, windows) in the order that is read

Needs: no calls. Leaves: contractions whose operand may be a window, which `Window` describes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, ClassVar, NamedTuple

import pullback.ops.build as b
from pullback.ir.index import Index, Part, Var, loop_vars, ravel
from pullback.ir.node import Function, Node, Op, TensorType, primitive, reapply, rebuild
from pullback.passes.layout import layout, lowering, view_of
from pullback.schedule.invert import solve
from pullback.schedule.narrow import narrows

MIN_COLUMNS = 8  # fewer positions of an image than this are no vector
MIN_TERMS_COLUMNS = 32  # where pixels are terms: places of a window, which are no images to be put side by side
MIN_WORK = 20_000
COPIES = 2  # of an image in its windows, from which on the image is copied rather than they


@primitive
class InMemory(Op):
    """out[i] = x[i], computed into memory"""

    name: ClassVar[str] = "in_memory"
    lowering: ClassVar[str] = "view"
    stored: ClassVar[bool] = True

    def infer(self, *types: TensorType) -> TensorType:
        return types[0]

    def view(self, ctx: Any, node: Node, indices: tuple[Index, ...]) -> Any:
        return ctx.value(node.inputs[0], indices)


def always_stored(node: Node) -> bool:
    """Whether it is computed into memory, whoever reads it."""
    return getattr(type(node.op), "stored", False)


class Window(NamedTuple):
    """An operand that is elements of `base`: per dimension the place `at`, in steps: it is element `at / step`, where
    that is whole and exists, else 0."""

    base: Node
    at: tuple[Index, ...]
    step: tuple[int, ...]


class _NotWindow(Exception):
    """A node is more than elements of another array and zeros."""


class _Follow:
    """A `ViewContext` that follows where an element is, through guards that give 0 elsewhere."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self.indices: tuple[Index, ...] = ()
        self.tests: list[tuple[Index, int, int]] = []

    def value(self, node: Node, indices: tuple[Index, ...]) -> Any:
        if self.node is not None:
            raise _NotWindow
        self.node, self.indices = node, indices
        return self

    def const(self, value: Any, dtype: Any) -> Any:
        return value

    def inside(self, conditions: Any) -> Any:
        self.tests += conditions
        return True

    def guarded(self, condition: Any, make: Callable[[], Any], otherwise: Any) -> Any:
        if condition is not True or not isinstance(otherwise, (int, float)) or otherwise != 0:
            raise _NotWindow
        return make()

    def _no(self, *args: Any) -> Any:
        raise _NotWindow

    scalar = convert = bitcast = index = dynamic = _no


def window(node: Node, stop: Any) -> Window | None:
    """What an operand is elements of; None where it is no window of one array, strided along each of its dimensions."""
    at = loop_vars(node.shape)
    tests: dict[Index, int] = {}
    while node not in stop and lowering(node) == "view" and not always_stored(node):
        probe = _Follow()
        try:
            result = view_of(probe, node, at)
        except _NotWindow:
            break
        if result is not probe or probe.node is None or probe.node is node:
            break
        for x, low, high in probe.tests:
            if low != 0 or tests.setdefault(x, high) != high:
                return None
        node, at = probe.node, probe.indices
    return _described(node, at, tests)


def _described(node: Node, at: tuple[Index, ...], tests: dict[Index, int]) -> Window | None:
    places: list[Index] = []
    steps: list[int] = []
    left = dict(tests)
    for x, n in zip(at, node.shape, strict=True):
        found = _quotient(x, left)
        if x.low < 0 or x.high >= n:
            if left.pop(x, None) != n - 1:
                return None
        elif tests.get(x) == n - 1:
            left.pop(x, None)
        places.append(found[0])
        steps.append(found[1])
    if left or not all(isinstance(a, Var) for x in places for a, _ in x.terms):
        return None
    return Window(node, tuple(places), tuple(steps))


def _quotient(x: Index, tests: dict[Index, int]) -> tuple[Index, int]:
    """`v // step` where `v % step` is tested to be 0, as (v, step); anything else as (x, 1)."""
    for test, high in list(tests.items()):
        if high != 0 or len(test.terms) != 1:
            continue
        atom = test.terms[0][0]
        if isinstance(atom, Part) and not atom.quotient and test == atom.inner % atom.divisor:
            whole = _whole(x, atom)
            if whole is not None:
                del tests[test]
                return whole, atom.divisor
    return x, 1


def _whole(x: Index, rest: Part) -> Index | None:
    """v where x is v // d, v being the remainder's expression up to a multiple of d."""
    parts = [(a, c) for a, c in x.terms if isinstance(a, Part) and a.quotient and a.divisor == rest.divisor]
    if len(parts) != 1 or parts[0][1] != 1 or parts[0][0].inner != rest.inner:
        return None
    others = Index(tuple(t for t in x.terms if t[0] is not parts[0][0]), x.const)
    return parts[0][0].inner + others * rest.divisor


def windows_of(node: Node, stop: Any) -> tuple[Window, Window] | None:
    """The operands of a contraction that is to be run over windows: a strided one and a window; None of any other."""
    op: Any = node.op
    x, y = node.inputs
    words = getattr(op, "words", False)  # of two numbers
    if len(y.shape) < 3 or not (words or (op.dtype is x.dtype and x.dtype.kind == "f")):
        return None
    first, second = window(x, stop), window(y, stop)
    if first is None or second is None or not _strided(first):
        return None
    batch, terms = op.batch_dims, op.contracted
    shared = any(v.terms and not any(v.variables() <= i.variables() for i in first.at)
                 for v in loop_vars(x.shape)[:batch])
    if not shared and _plain(second, y.shape, terms) and _plain(first, x.shape, terms):
        return None
    fits = _by_columns(second, y.shape, terms) or _by_terms(first, second, x, y, batch, terms)
    return (first, second) if fits else None


def _strided(one: Window) -> bool:
    return all(i.low >= 0 and i.high < n and s == 1 for i, n, s in zip(one.at, one.base.shape, one.step, strict=True))


def strides(one: Window, shape: tuple[int, ...]) -> list[int]:
    """Elements of the base from one element of the operand to the next, along each of its dimensions."""
    flat = ravel(one.at, one.base.shape)
    return [flat.coefficient(a) or 0 if v.terms and isinstance(a := v.terms[0][0], Var) else 0
            for v in loop_vars(shape)]


def _run(one: Window, shape: tuple[int, ...], first: int, last: int) -> bool:
    """Whether some dimensions are one run through memory."""
    live = [(n, s) for n, s in zip(shape[first:last], strides(one, shape)[first:last], strict=True) if n != 1]
    return all(outer == n * inner for (_, outer), (n, inner) in itertools.pairwise(live))


def _plain(one: Window, shape: tuple[int, ...], terms: int) -> bool:
    """Whether a product by rows and columns reads it as it is."""
    return _strided(one) and _run(one, shape, len(shape) - terms, len(shape))


def fastest(one: Window, shape: tuple[int, ...]) -> int | None:
    """The dimension of the operand, the longest one, that moves along the base's last dimension."""
    found = [(n, k) for k, (n, v) in enumerate(zip(shape, loop_vars(shape), strict=True))
             if one.at and v.terms and v.variables() <= one.at[-1].variables()]
    return max(found)[1] if found else None


def _by_columns(one: Window, shape: tuple[int, ...], terms: int) -> bool:
    """Whether the window's last column dimension runs forward along the image's last: pixels are columns."""
    k = fastest(one, shape)
    if k is None or k != len(shape) - terms - 1:
        return False
    coefficient = one.at[-1].coefficient(next(iter(loop_vars(shape)[k].variables())))
    return coefficient is not None and coefficient > 0


def _by_terms(first: Window, second: Window, x: Node, y: Node, batch: int, terms: int) -> bool:
    """Whether pixels are terms, the first operand's in one run but for the first dimension of the terms."""
    k = fastest(second, y.shape)
    rows = len(x.shape) - terms
    return k is not None and k >= len(y.shape) - terms and _run(first, x.shape, batch, rows) and _run(
        first, x.shape, rows + 1, len(x.shape))


# -- rewrites ----------------------------------------------------------------------------------------------------------
def over_windows(function: Function) -> Function:
    """Gradients of windows as contractions, contractions in the order in which they are read, and images in an order
    in which they can be read."""
    return _each(_oriented(_each(_each(function, sunk), over_elements)), reordered)


def _each(function: Function, rule: Callable[[Node], Node | None]) -> Function:
    """Each node replaced by what a rule makes of it, if anything."""
    return rebuild(function, lambda node: rule(node) or node)


def sunk(node: Node) -> Node | None:
    """reindex_reduce[add](contract(x, y)) where parts meet: contract(windows of x, y) over more terms."""
    op: Any = node.op
    indices: tuple[Index, ...] | None = getattr(op, "indices", None)
    if lowering(node) != "scatter" or indices is None or op.monoid != "add" or not node.tensor.size:
        return None
    source = node.inputs[0]
    over = loop_vars(source.shape)
    base, order = layout(source, over, {})
    if narrows(base):
        base, order = layout(base.inputs[0], order, {})
    if lowering(base) != "contract" or sorted(map(repr, order)) != sorted(map(repr, over)) or not source.tensor.size:
        return None
    found = solve(indices, source.shape, node.shape)
    if found is None or not found[0]:
        return None
    free, at = found
    place = dict(zip(over, at, strict=True))
    if any(n == 1 for n in source.shape):
        place = {v: x for v, x in place.items() if v.terms}
    made = _more_terms(base, tuple(place.get(x, x) for x in order), node.shape, free)
    return made and b.convert(made, node.dtype)


def _more_terms(product: Node, at: tuple[Index, ...], shape: tuple[int, ...], free: tuple[int, ...]) -> Node | None:
    """Sum over `free` of product[at] as one contraction; `at` are over the loop variables of shape + free."""
    op: Any = product.op
    x, y = product.inputs
    batch, terms = op.batch_dims, op.contracted
    free_x = len(x.shape) - batch - terms
    over = loop_vars((*shape, *free))
    sides = [(x, (*at[:batch], *at[batch:batch + free_x])), (y, (*at[:batch], *at[batch + free_x:]))]
    names = [set[Var]().union(*(i.variables() for i in places), set()) for _, places in sides]
    extra = [k for k in range(len(shape), len(over)) if over[k].terms]
    if not all(over[k].variables() <= names[0] & names[1] for k in extra):
        return None
    used = [[k for k in range(len(shape)) if over[k].terms and over[k].variables() <= n] for n in names]
    both = [k for k in used[0] if k in used[1]]
    alone = [[k for k in u if k not in both] for u in used]
    rest = [k for k in range(len(shape)) if over[k].terms and k not in used[0] and k not in used[1]]
    if rest or any(not n <= set[Var]().union(*(over[k].variables() for k in [*u, *extra]))
                   for n, u in zip(names, used, strict=True)):
        return None
    sizes = (*shape, *free)
    operands = [_moved(v, places, [*both, *mine, *extra], len(both) + len(mine), sizes, terms)
                for (v, places), mine in zip(sides, alone, strict=True)]
    made = b.apply(op.over(len(both), len(extra) + terms), operands[0], operands[1])
    order = [*both, *alone[0], *alone[1]]
    made = b.transpose(made, [order.index(k) for k in sorted(order)])
    return b.reshape(made, shape)


def _moved(x: Node, at: tuple[Index, ...], dims: list[int], lead: int, sizes: tuple[int, ...], terms: int) -> Node:
    """x[at, t] over [dims[:lead], t, dims[lead:]], 0 where that is outside; a quotient's remainder must be 0."""
    summed = x.shape[len(x.shape) - terms:]
    shape = (*(sizes[k] for k in dims[:lead]), *summed, *(sizes[k] for k in dims[lead:]))
    new = loop_vars(shape)
    old = loop_vars(sizes)
    place = [*range(lead), *range(lead + terms, len(shape))]
    values = {v: new[p] for k, p in zip(dims, place, strict=True) for v in old[k].variables()}
    indices: list[Index] = []
    rests: list[Index] = []
    for i in at:
        i = i.substitute(values)
        parts = [a for a, _ in i.terms if isinstance(a, Part)]
        whole = [(a.inner, a.divisor) for a in parts if a.quotient]
        remainders = [a for a in parts if not a.quotient and (a.inner, a.divisor) in whole]
        if remainders:  # of `solve`: what is not whole is far outside
            rests.append(Index(((remainders[0], 1),), 0))
            i = Index(tuple(t for t in i.terms if t[0] is not remainders[0]), i.const)
        indices.append(i)
    source = b.reshape(x, (*x.shape, *(1,) * len(rests)))
    indices += [*new[lead:lead + terms], *rests]
    return _within(source, shape, indices)


def over_elements(node: Node) -> Node | None:
    """contract(x, windows of y), where the terms step over the places between y's elements (the gradient of a
    transposed convolution's weights): contract(elements of y, windows of x), which multiplies by no zeros."""
    if lowering(node) != "contract" or not node.tensor.size:
        return None
    op: Any = node.op
    for k, (x, y) in enumerate((node.inputs, node.inputs[::-1])):
        seen = window(y, {})
        if seen is None or max(seen.step, default=1) == 1 or not x.tensor.size:
            continue
        made = _exchanged(x, seen, y.shape, op)
        if made is None:
            continue
        product, columns = made  # batch, y's free dimensions but those of the window, x's, those of the window
        batch, free = op.batch_dims, len(y.shape) - op.batch_dims - op.contracted
        left = [f for f in range(free) if f not in columns]
        rows = len(x.shape) - batch - op.contracted
        of_y = {f: batch + n for n, f in enumerate(left)} | {f: batch + len(left) + rows + n
                                                              for n, f in enumerate(columns)}
        sides = [range(batch + len(left), batch + len(left) + rows), [of_y[f] for f in range(free)]]
        return b.transpose(product, (*range(batch), *(d for side in (sides if k == 0 else sides[::-1]) for d in side)))
    return None


def _exchanged(x: Node, seen: Window, shape: tuple[int, ...], op: Any) -> tuple[Node, list[int]] | None:
    """The product over the elements of a window's base, and which of the window's free dimensions x now has."""
    over = loop_vars(shape)
    batch, first = op.batch_dims, len(shape) - op.contracted
    solved: dict[int, int] = {}  # the term, a dimension of the window, that an element's place gives: dimension of base
    for d, (at, step) in enumerate(zip(seen.at, seen.step, strict=True)):
        found = [k for k in range(first, len(shape)) if over[k].terms and over[k].variables() <= at.variables()]
        one = len(found) == 1 and found[0] not in solved and at.coefficient(
            next(iter(over[found[0]].variables()))) == 1
        if step > 1 and not one:
            return None
        if one and (step > 1 or at.low < 0 or at.high >= seen.base.shape[d]):
            solved[found[0]] = d
    stepped = set(solved.values())
    moving = set[Var]().union(*(seen.at[d].variables() for d in stepped))
    columns = [k for k in range(batch, first) if over[k].terms and over[k].variables() <= moving]
    still = set[Var]().union(*(i.variables() for d, i in enumerate(seen.at) if d not in stepped), set())
    if moving & still or any(over[k].variables() & moving for k in range(batch)):
        return None
    terms = [seen.base.shape[solved[k]] if k in solved else shape[k] for k in range(first, len(shape))]
    kept = [k for k in range(batch, first) if k not in columns]
    left = _at(seen.base, seen.at, over, solved, [*range(batch), *kept], shape, terms)
    right = _other(x, seen, over, solved, columns, batch, terms, shape)
    return b.apply(op, left, right), [k - batch for k in columns]


def _at(base: Node, at: tuple[Index, ...], over: tuple[Index, ...], solved: dict[int, int], lead: list[int],
        shape: tuple[int, ...], terms: list[int]) -> Node:
    """The elements of a base over some dimensions of its windows, and terms; 0 where a window leaves it."""
    new = (*(shape[k] for k in lead), *terms)
    place = loop_vars(new)
    first = len(shape) - len(terms)
    values: dict[Var, Index] = {v: place[n] for n, k in enumerate(lead) for v in over[k].variables()}
    values |= {v: place[len(lead) + n] for n in range(len(terms)) for v in over[first + n].variables()}
    given = {d: place[len(lead) + k - first] for k, d in solved.items()}
    return _within(base, new, [given[d] if d in given else i.substitute(values) for d, i in enumerate(at)])


def _other(x: Node, seen: Window, over: tuple[Index, ...], solved: dict[int, int], columns: list[int], batch: int,
           terms: list[int], shape: tuple[int, ...]) -> Node:
    """x over its own dimensions, the window's and terms: at the place that each element is seen from, or 0."""
    first, rows = len(shape) - len(terms), len(x.shape) - len(terms)
    new = (*x.shape[:rows], *(shape[k] for k in columns), *terms)
    place = loop_vars(new)
    values = {v: place[rows + n] for n, k in enumerate(columns) for v in over[k].variables()}
    at: list[Index] = list(place[:rows])
    for n, k in enumerate(range(first, len(shape))):
        term = place[rows + len(columns) + n]
        if k in solved:
            d = solved[k]
            term = term * seen.step[d] - (seen.at[d] - over[k]).substitute(values)
        at.append(term)
    return _within(x, new, at)


def _within(x: Node, shape: tuple[int, ...], at: list[Index]) -> Node:
    """x at some places, and 0 outside of it."""
    inside = all(i.low >= 0 and i.high < size for i, size in zip(at, x.shape, strict=True))
    return b.reindex(x, shape, at, None if inside else 0)


def _oriented(function: Function) -> Function:
    order = function.nodes()
    readers: dict[Node, int] = dict.fromkeys(function.results, 2)
    for node in order:
        for x in node.inputs:
            readers[x] = readers.get(x, 0) + 1
    done: dict[Node, Node] = {p: p for p in function.params}
    for node in order:
        if node not in done:
            found = _in_order(node, done) if _permutes(node, readers) else None
            done[node] = found or reapply(node, tuple(done[x] for x in node.inputs))
    return Function(function.params, [done[r] for r in function.results])


def _permutes(node: Node, readers: dict[Node, int]) -> bool:
    return (len(node.inputs) == 1 and isinstance(node.type, TensorType) and lowering(node) == "view"
            and lowering(node.inputs[0]) == "contract" and readers[node.inputs[0]] == 1
            and node.dtype is node.inputs[0].dtype and len(node.shape) > 2)


def _in_order(node: Node, done: dict[Node, Node]) -> Node | None:
    """transpose(contract) -> contract with shared leading dimensions, where the other dimensions are columns of one
    operand after rows of the other."""
    source = node.inputs[0]
    op: Any = source.op
    x, y = (done[v] for v in source.inputs)
    batch, terms = op.batch_dims, op.contracted
    free_x = len(x.shape) - batch - terms
    over = loop_vars(node.shape)
    base, at = layout(node, over, {source: None})
    if base is not source:
        return None
    side: dict[int, int] = {}  # dimension of the result: 0 of x, 1 of y, 2 of both
    where: dict[int, int] = {}
    for k, i in enumerate(at):
        if i.terms:
            if i not in over:
                return None
            d = over.index(i)
            side[d], where[d] = (2 if k < batch else 0 if k < batch + free_x else 1), k
    dims = sorted(side)
    if len(dims) != sum(1 for v in over if v.terms):
        return None
    cut = _cut(dims, side)
    if cut is None:
        return None
    first, last = cut
    shape = node.shape
    rows, columns = (prod(shape[k] for k in part) for part in (dims[first:last], dims[last:]))
    depth = prod(x.shape[len(x.shape) - terms:])
    if columns < MIN_COLUMNS:
        return None
    lead, middle, tail = dims[:first], dims[first:last], dims[last:]
    rows_of = 1 - side[tail[0]]
    ordered = all(side[k] == 2 for k in lead)  # nothing is shared by one operand only
    if ordered and rows_of == 0:
        return None
    one, other = (x, y) if rows_of == 0 else (y, x)
    left = _placed(one, [*lead, *middle], rows_of, side, where, batch, free_x, shape, terms)
    right = _placed(other, [*lead, *tail], side[tail[0]], side, where, batch, free_x, shape, terms)
    seen = window(right, {})
    plain = seen is None or _plain(seen, right.shape, terms)
    if plain and (ordered or rows == 1 or rows * columns * depth < MIN_WORK):
        return None
    if not ordered and columns < MIN_TERMS_COLUMNS and seen is not None and not plain and not _by_columns(
            seen, right.shape, terms):
        return None
    made = b.apply(op.over(len(lead), terms), left, right)
    return b.reshape(made, shape)


def _cut(dims: list[int], side: dict[int, int]) -> tuple[int, int] | None:
    """Where the last dimensions, of one operand, begin, and where those before them, of the other."""
    last = len(dims)
    while last and side[dims[last - 1]] == side[dims[-1]]:
        last -= 1
    first = last
    while first and side[dims[first - 1]] == 1 - side[dims[-1]]:
        first -= 1
    if not dims or side[dims[-1]] == 2:
        return None
    alone = all(side[k] in (2, side[dims[-1]]) for k in dims)  # the other operand has one row for each
    return None if first == last and not alone else (first, last)


def _placed(x: Node, dims: list[int], mine: int, side: dict[int, int], where: dict[int, int], batch: int, free_x: int,
            shape: tuple[int, ...], terms: int) -> Node:
    """An operand over some dimensions of the result and the terms; it repeats along those it lacks."""
    summed = x.shape[len(x.shape) - terms:]
    over = loop_vars((*(shape[k] for k in dims), *summed))
    shift = 0 if mine == 0 else free_x
    at: list[Index] = [Index((), 0)] * (len(x.shape) - terms)
    for p, k in enumerate(dims):
        if side[k] == 2:
            at[where[k]] = over[p]
        elif side[k] == mine:
            at[where[k] - shift] = over[p]
    return b.reindex(x, (*(shape[k] for k in dims), *summed), (*at, *over[len(dims):]))


def reordered(node: Node) -> Node | None:
    """contract(x, windows of y), where these cannot be read in place or between elements, with y copied so that its
    pixels are last, or x in an order that has strides: far less to copy than windows."""
    if lowering(node) != "contract" or not node.tensor.size:
        return None
    op: Any = node.op
    x, y = node.inputs
    found = windows_of(node, {})
    if found is not None and (max(found[1].step, default=1) == 1 or _by_columns(found[1], y.shape, op.contracted)):
        return None
    made = _on_copies(op, x, y)
    if made is not None:
        return made
    made = _on_copies(op, y, x)
    if made is None:
        return None
    batch, free = op.batch_dims, len(y.shape) - op.batch_dims - op.contracted
    rank = len(node.shape)
    return b.transpose(made, (*range(batch), *range(batch + free, rank), *range(batch, batch + free)))


def _on_copies(op: Any, x: Node, y: Node) -> Node | None:
    """contract(x, y) on a copy of what y is windows of, or of what x is an arrangement of, or of both."""
    made = _on_copy(op, x, y)
    copy = _arranged(x) if made is None else None
    if copy is None:
        return made
    made = b.apply(op, copy, y)
    return made if windows_of(made, {}) is not None else _on_copy(op, copy, y)


def _arranged(x: Node) -> Node | None:
    """x as an arrangement of a copy that has strides along each of its dimensions, where it has none as it is: that of
    numbers counted in groups (the gradient of a group norm) by one dimension."""
    if window(x, {}) is not None:
        return None
    base, found = x, None
    while lowering(base) == "view" and len(base.inputs) == 1 and not always_stored(base):
        base = base.inputs[0]
        seen = window(x, {base: None})
        if seen is None or seen.base is not base or not _strided(seen):
            break
        found = seen
    return found and of_window(b.apply(InMemory(), found.base), found.at, found.step, x.shape)


def _on_copy(op: Any, x: Node, y: Node) -> Node | None:
    """contract(x, y) on a copy of what y is windows of."""
    base = y
    while lowering(base) == "view" and len(base.inputs) == 1:
        base = base.inputs[0]
        seen = window(y, {base: None}) if base.tensor.size * COPIES <= y.tensor.size else None
        moved = _pixels_last(seen, y.shape) if seen is not None and seen.base is base else None
        made = moved and b.apply(op, x, moved)
        if made is not None and windows_of(made, {}) is not None:
            return made
    return None


def _pixels_last(seen: Window, shape: tuple[int, ...]) -> Node | None:
    """A copy of an image with the dimensions that windows overlap along last, and the same windows of it."""
    order = sorted(range(len(seen.at)), key=lambda d: len(seen.at[d].variables()) > 1)
    if order == sorted(order):
        return None
    copy = b.apply(InMemory(), b.transpose(seen.base, order))
    return of_window(copy, [seen.at[d] for d in order], [seen.step[d] for d in order], shape)


def of_window(base: Node, at: Sequence[Index], step: Sequence[int], shape: tuple[int, ...]) -> Node:
    """The node that `Window(base, at, step)` describes."""
    rests = [x % n for x, n in zip(at, step, strict=True) if n > 1]
    source = b.reshape(base, (*base.shape, *(1,) * len(rests)))
    indices = [*(x // n if n > 1 else x for x, n in zip(at, step, strict=True)), *rests]
    return _within(source, shape, indices)
