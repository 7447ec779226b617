"""Which nodes are computed into memory (or at least named), and the loops each of them needs by itself.

A root is a node whose value is stored, carried between the stages of a kernel, or reduced. Everything else is read
through. What a root has been lowered to says all that grouping asks: its iteration space and the elements it loads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from pullback.ir.index import Index, Var, const, loop_vars, ravel
from pullback.ir.node import Function, Node, Op, Param, Proj, TensorType
from pullback.kernel.nodes import Buffer, Expr, Gathered, Load, Update, folded, subexpressions
from pullback.passes.layout import layout, lowering, view_of
from pullback.schedule import costs
from pullback.schedule.instead import elementwise, stored_instead
from pullback.schedule.unit_panels import panels_of
from pullback.schedule.values import MustStore, Values
from pullback.schedule.windows import Window, always_stored, windows_of


def lower_scatter(root: Any, values: Any) -> None:
    """See `scatter`, which builds on this file."""
    from pullback.schedule.scatter import lower_scatter as lower

    lower(root, values)


NESTS = ("reduce", "argreduce", "chunk")
STRIDED = ("contract", "attention")  # what reads its operands by strides


class Unsupported(Exception):
    """An operator without native code."""


def mask_of(node: Node) -> Node | None:
    """The mask among the operands of attention."""
    op: Any = node.op
    mask = op.split(node.inputs[len(node.inputs) - op.extra:])[0]
    return mask[0] if mask else None


class Root:
    """A node with loops of its own: `space` is what is iterated over, `reduced` the axes that are summed over."""

    __slots__ = ("base", "buffer", "contiguous", "cost", "external", "extra", "group", "kind", "level",
                 "loads", "node", "out", "reduced", "rows",
                 "sources", "space", "stage", "update", "value", "vars", "windows", "work")

    def __init__(self, node: Node, buffer: Buffer, kind: str, space: tuple[int, ...]) -> None:
        self.node, self.buffer, self.kind, self.space = node, buffer, kind, space
        self.vars: tuple[Index, ...] = loop_vars(space)
        self.reduced: tuple[int, ...] = ()
        self.out: tuple[Index, ...] = self.vars
        self.value: Expr | None = None
        self.extra: tuple[Expr, ...] = ()
        self.base: Expr | None = None  # of a scatter: what is there before; `update` is its statement
        self.update: Update | None = None
        self.contiguous = False
        self.loads: list[Load | Gathered] = []
        self.sources: list[Root] = []
        self.rows = len(space)
        self.cost = 1
        self.work = 1
        self.external = False
        self.group: Any = None
        self.windows: tuple[Window, Window] | None = None  # of a contraction that reads its operands so
        self.level = 0
        self.stage: Any = None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.buffer.name} {list(self.space)}>"


class Roots:
    """All roots of a function, in order, with their buffers."""

    def __init__(self, function: Function, immediates: Iterable[int] = (), apart: bool = False) -> None:
        self.function = function
        self.apart = apart  # whether every operation is computed into memory
        self.immediates = {function.params[k] for k in immediates}
        self.buffers: dict[Node, Buffer] = {}
        self.stored: dict[Node, None] = {}
        self.params: dict[Node, Buffer] = {}
        self.roots: list[Root] = []
        self.producer: dict[Buffer, Root] = {}
        self.windowed: set[Node] = set()
        self.order = function.nodes()
        self.users: dict[Node, int] = {}
        for node in self.order:
            for x in node.inputs:
                self.users[x] = self.users.get(x, 0) + 1
        for k, p in enumerate(function.params):
            buffer = Buffer(f"p{k}", p.dtype, p.shape, "input")
            buffer.slot = k
            self.params[p] = buffer
        self._choose()
        self._lower()

    # -- which nodes -------------------------------------------------------------------------------------------------
    def _choose(self) -> None:
        """Results, what is not a view, operands that must be in memory, and what would be computed too often."""
        stored = self.stored
        cost: dict[Node, int] = {}
        depth: dict[Node, int] = {}
        reads: dict[Node, frozenset[Node]] = {}
        inner: set[Node] = set()  # stored because they are dear and several read them, if it were in registers
        results = {r for r in self.function.results if r not in self.params}
        for node in self.order:
            if node in self.params:
                continue
            kind = lowering(node)
            if isinstance(node.op, Proj):
                stored[node] = None
                continue
            data = getattr(node.op, "data", None)
            if data is not None and node_size(node) != 1:
                self._constant(node, data)
                continue
            if isinstance(node.op, Param) or kind == "inline" or not kind:
                raise Unsupported(node.op.name)
            here = own_cost(node) + sum(0 if x in stored else cost.get(x, 0) for x in node.inputs)
            deep = 1 + max((0 if x in stored else depth.get(x, 0) for x in node.inputs), default=0)
            for x in node.inputs if kind != "contract" else ():  # `_operands` chooses what those read
                if x not in stored and cost.get(x, 0) >= costs.EXPENSIVE and x.tensor.size * 2 <= turns(node, kind):
                    source = self._source(x)
                    if source not in self.params:
                        stored[source] = None  # it is read many times: computed once
            apart = always_stored(node) or (self.apart and node.inputs)
            if kind != "view" or node in results or deep > costs.DEPTH or apart:
                if isinstance(node.type, TensorType):
                    stored[node] = None
            else:
                dear = here >= costs.EXPENSIVE and own_cost(node) >= costs.EXPENSIVE and self.users.get(node, 0) > 1
                if dear:
                    inner.add(node)
                if dear or self._read_too_often(node, reads):
                    stored[node] = None
                elif self._ends_product(node):
                    stored[node.inputs[0] if widens(node) else node] = None
            cost[node], depth[node] = (0, 0) if node in stored else (here, deep)
            if kind == "scatter" and node.inputs[0] in self.params:
                self._read_first(node)
            if kind not in ("view", "reduce", "argreduce", "chunk", "cumulative", "scatter"):
                self._operands(node, kind)
        stored.update(dict.fromkeys(stored_instead(self.order, {x: None for x in stored if x not in inner}, results)))

    def _read_too_often(self, node: Node, reads: dict[Node, frozenset[Node]]) -> bool:
        """Whether its users would read several arrays each where they could read one: a sum along a chain of layers."""
        size = node_size(node)
        found = frozenset[Node]().union(*(
            frozenset((x,)) if x in self.stored or x in self.params else reads.get(x, ()) for x in node.inputs))
        if getattr(node.op, "cost", 1) > 1:
            found |= {node}  # reading at computed places
        reads[node] = found = frozenset(x for x in found if node_size(x) * 2 >= size)
        least = costs.WRITE_READS if size >= costs.MEMORY_SIZE else costs.NEAR_READS
        return (len(found) - 1) * (self.users.get(node, 0) - 1) > least

    def _ends_product(self, node: Node) -> bool:
        """Whether this is what several others read of one product: stored in its place, in its epilogue."""
        if self.users.get(node, 0) < 2 or not elementwise(node):
            return False
        found = node
        while True:
            last = [x for x in found.inputs if x.tensor.shape == node.shape and (
                lowering(x) == "contract" or (x not in self.stored and elementwise(x)))]
            last = [x for x in last if self.users.get(x, 0) == 1 and x not in self.params]
            if not last:
                return False
            found = last[0]
            if lowering(found) == "contract":
                return True

    def _read_first(self, node: Node) -> None:
        """Of x with x[i] replaced by f(x[i]): x[i] is in memory before, so that the result may be written over x."""
        base = node.inputs[0]
        seen: set[Node] = set()
        pending = list(node.inputs[1:])
        while pending:
            x = pending.pop()
            if x in self.params or x in self.stored or x in seen:
                continue
            seen.add(x)
            if base in x.inputs and 2 * node_size(x) <= node_size(base):
                self.stored[x] = None
            else:
                pending.extend(x.inputs)

    def _source(self, node: Node) -> Node:
        """What a node is another arrangement of; itself where that has another size."""
        base, _ = layout(node, loop_vars(node.shape), {**self.params, **self.stored})
        return base if base.tensor.size == node.tensor.size else node

    def _constant(self, node: Node, data: bytes) -> None:
        buffer = Buffer(f"c{len(self.params)}", node.dtype, node.shape, "constant")
        buffer.data = data
        self.params[node] = buffer

    def _operands(self, node: Node, kind: str) -> None:
        """A contraction reads its operands by strides; others may read them in any way, and find them in memory."""
        if kind == "contract":
            found = windows_of(node, {**self.params, **self.stored})
            if found is not None and not any(w.base in self.immediates for w in found):
                self.windowed.add(node)
                for w in found:
                    if w.base not in self.params:
                        self.stored[w.base] = None
                return
        for x in node.inputs:
            if x in self.params or x in self.stored:
                continue
            if kind in STRIDED:
                base, indices = layout(x, loop_vars(x.shape), {**self.params, **self.stored})
                if (base in self.params or base in self.stored) and base not in self.immediates and (
                        strided(base, indices, x.shape)):
                    continue
                while (lowering(x) == "view" and len(x.inputs) == 1 and x.inputs[0] not in self.immediates
                       and strided_view(x)):  # an immediate has no address
                    x = x.inputs[0]
                if x in self.params:
                    continue
            self.stored[x] = None
        if kind == "attention":
            rank = node.inputs[0].tensor.rank
            for x in node.inputs:
                if x.tensor.rank == rank and not self._side_by_side(x, x is mask_of(node)):
                    self.stored[x] = None
        if kind == "contract":
            for x in node.inputs:
                if not self._fits(x, node):
                    self.stored[x] = None

    def _strides(self, x: Node) -> list[tuple[int, int | None]]:
        """(size, stride) of the dimensions of an operand where it will be in memory."""
        base, at = layout(x, loop_vars(x.shape), {**self.params, **self.stored})
        flat = Buffer("", base.dtype, base.shape).flat(at)
        return [(n, 0 if n == 1 else flat.coefficient(v.terms[0][0]))  # pyright: ignore[reportArgumentType]
                for v, n in zip(loop_vars(x.shape), x.shape, strict=True)]

    def _side_by_side(self, x: Node, mask: bool) -> bool:
        """Whether the elements of a row lie side by side (of a mask, are one element over and over), and rows at
        strides."""
        strides = self._strides(x)
        count, step = strides[-1]
        return all(s is not None for _, s in strides) and (count <= 1 or step == 1 or (mask and step == 0))

    def _fits(self, x: Node, product: Node) -> bool:
        """Whether the terms are one run through memory, and terms or rows of 16-bit numbers are contiguous."""
        op: Any = product.op
        strides = self._strides(x)
        cut = len(strides) - op.contracted
        free, live = ([(n, s) for n, s in part if n != 1] for part in (strides[op.batch_dims:cut], strides[cut:]))
        if any(s is None for _, s in live) or any(
                outer != n * inner for (_, outer), (n, inner) in itertools.pairwise(live)):  # pyright: ignore
            return False
        return x.dtype.itemsize > 2 or any(part[-1][1] == 1 for part in (free, live) if part)

    def _readable(self, x: Node, base: Node, at: tuple[Index, ...], user: Node) -> bool:
        """Whether a product or attention can read this operand where it lies."""
        if not strided(base, at, x.shape):
            return False
        if lowering(user) == "attention":
            return x.tensor.rank != user.inputs[0].tensor.rank or self._side_by_side(x, x is mask_of(user))
        return self._fits(x, user)

    # -- lowering ----------------------------------------------------------------------------------------------------
    def _lower(self) -> None:
        self.buffers = dict(self.params)
        self.values = Values(self.buffers)
        done: dict[Node, Root] = {}
        while True:
            for node in self.order:
                if node in self.stored and node not in self.buffers:
                    self.buffers[node] = Buffer(f"t{len(self.buffers) - len(self.params)}", node.dtype, node.shape)
            try:
                self._lower_missing(done)
                break
            except MustStore as need:
                self.stored[need.node] = None
                self._forget(need.node, done)
        self.roots = [done[node] for node in self.order if node in done]
        for root in self.roots:
            self._connect(root)

    def _lower_missing(self, done: dict[Node, Root]) -> None:
        """The roots that there are not yet."""
        for node in self.order:
            if node in self.params or node in done or isinstance(node.op, Proj):
                continue
            if node in self.stored or not isinstance(node.type, TensorType):
                done[node] = self._root(node)

    def _forget(self, stored: Node, done: dict[Node, Root]) -> None:
        """Forget what was made of a node that is to be stored after all: up to what is stored itself."""
        through = {stored}
        for node in self.order:
            if through.isdisjoint(node.inputs):
                continue
            done.pop(node, None)
            if node not in self.buffers and isinstance(node.type, TensorType):
                through.add(node)
        self.values.forget(through)

    def _root(self, node: Node) -> Root:
        kind = lowering(node)
        self.values.begin(max(map(node_size, (node, *node.inputs))))
        if kind == "view":
            root = Root(node, self.buffers[node], "map", node.shape)
            root.value = self.values.inner(node, root.vars)
        elif kind == "cumulative":
            root = Root(node, self.buffers[node], kind, node.shape)
            op: Any = node.op
            axis = int(op.axis)
            back = const(node.shape[axis] - 1) - root.vars[axis] if op.reverse else root.vars[axis]
            root.out = (*root.vars[:axis], back, *root.vars[axis + 1:])
            root.value = self.values.value(node.inputs[0], root.out)
        elif kind == "scatter":
            root = Root(node, self.buffers[node], kind, node.shape)
            lower_scatter(root, self.values)
        elif kind in NESTS:
            root = self._reduction(node, kind)
        else:
            root = self._other(node, kind)
        if root.value is not None:
            base = () if root.base is None else (root.base,)
            found = subexpressions((root.value, *root.extra, *base))
            root.loads = [x for x in found if isinstance(x, (Load, Gathered))]
            root.cost = costs.expression_cost((root.value,))
        root.work = prod(root.space) * root.cost
        return root

    def _connect(self, root: Root) -> None:
        """What a root reads of those before it, and what it makes."""
        sources: dict[Root, None] = {}
        for x in root.loads:
            source = self.producer.get(x.buffer)
            if source is not None:
                sources[source] = None
        root.sources = list(sources)
        for result in results_of(root.node, self.order):
            if root.kind == "barrier" and isinstance(result.op, Proj):
                self.buffers[result].alias = self.buffers[root.node.inputs[result.op.index]]
            self.producer[self.buffers[result]] = root

    def _reduction(self, node: Node, kind: str) -> Root:
        op: Any = node.op
        source = node.inputs[0]
        root = Root(node, self.buffers[node], kind, source.shape)
        root.reduced = (op.axis,) if kind == "argreduce" else tuple(op.axes)
        root.value = self.values.value(source, root.vars)
        root.out = tuple(v for k, v in enumerate(root.vars) if k not in root.reduced)
        root.rows = next((k for k in range(len(source.shape)) if k in root.reduced), len(source.shape))
        if kind == "chunk":
            root.rows = 1
        return root

    def _other(self, node: Node, kind: str) -> Root:
        """What is not a plain loop: its operands are read wherever they are."""
        found = results_of(node, self.order)
        buffer = self.buffers[found[0]] if found else Buffer("none", node.inputs[0].dtype, ())
        root = Root(node, buffer, kind, node.shape if isinstance(node.type, TensorType) else ())
        if node in self.windowed:
            root.windows = windows_of(node, self.buffers)
        for x in node.inputs if root.windows is None else ():
            indices = loop_vars(x.shape)
            base, at = layout(x, indices, self.buffers) if kind in STRIDED else (x, indices)
            if x not in self.buffers and not (kind in STRIDED and self._readable(x, base, at, node)):
                raise MustStore(x)  # what was stored since then lies between
            root.loads.append(Load(self.buffers[base], at))
        for w in root.windows or ():
            root.loads.append(Load(self.buffers[w.base], w.at))
        laid = panels_of(node) if kind == "contract" and root.windows is None else None
        if laid is not None:
            root.loads.append(Load(self.buffers[laid], loop_vars(laid.shape)))
        root.cost = 1 if kind != "contract" else 2 * prod(node.inputs[0].shape[-node_contracted(node):] or (1,))
        return root


def node_contracted(node: Node) -> int:
    op: Any = node.op
    return op.contracted or len(node.inputs[0].shape)


def parts(node: Node) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Batch, free (left, right) and contracted sizes."""
    op: Any = node.op
    x, y = node.inputs[0].shape, node.inputs[1].shape
    n, k = op.batch_dims, op.contracted
    return x[:n], x[n:len(x) - k], y[n:len(y) - k], x[len(x) - k:]


def results_of(node: Node, order: Iterable[Node]) -> Sequence[Node]:
    """The single results of a node, those that are used."""
    if isinstance(node.type, TensorType):
        return (node,)
    return [x for x in order if isinstance(x.op, Proj) and x.inputs[0] is node]


def own_cost(node: Node) -> int:
    """Cost of one element of one operator."""
    row = getattr(node.op, "row", None)
    return costs.row_cost(row) if row is not None else getattr(type(node.op), "cost", 1)


def node_size(node: Node) -> int:
    return node.type.size if isinstance(node.type, TensorType) else 0


def widens(node: Node) -> bool:
    """Whether it is numbers of fewer bytes, converted."""
    return elementwise(node) and len(node.inputs) == 1 and node.dtype.itemsize > node.inputs[0].dtype.itemsize


def turns(node: Node, kind: str) -> int:
    """How often a node reads an input of one element: a scatter once for each update."""
    if kind != "scatter":
        return node_size(node)
    return node_size(node.inputs[0] if getattr(node.op, "indices", None) is not None else node.inputs[2])


def strided(base: Node, indices: tuple[Index, ...], shape: tuple[int, ...]) -> bool:
    """Whether elements lie at fixed strides along each dimension."""
    if not in_range(base, indices):
        return False
    return all(isinstance(a, Var) for a, _ in folded(ravel(indices, base.shape)).terms)


def in_range(base: Node, indices: tuple[Index, ...]) -> bool:
    return all(x.low >= 0 and x.high < max(n, 1) for x, n in zip(indices, base.shape, strict=True))


def strided_view(node: Node) -> bool:
    """Whether this one view is a pure rearrangement with fixed strides."""
    source = node.inputs[0]
    base, indices = layout(node, loop_vars(node.shape), {source: None})
    return base is source and strided(base, indices, node.shape)


__all__ = ["Op", "Root", "Roots", "results_of", "view_of"]
