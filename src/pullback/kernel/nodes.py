"""The loop IR: buffers, expressions and loops, between the graph and machine code.

A `Kernel` is a list of statements over buffers. Expressions are pure and form a graph that shares subexpressions by
identity; every expression knows what it depends on (`free`: loop variables, accumulators and the buffers it loads), so
that invariant parts can be computed outside of loops. `interpret.py` defines what a kernel means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pullback.ir.dtypes import DType, bool_
from pullback.ir.index import ZERO, Index, Part, Var, ravel

Free = frozenset[Any]
NOTHING: Free = frozenset()


class Buffer:
    """An array in row-major order. `space` says where it lives:

    "input", "output", "workspace"   memory of the caller: `slot` of the arguments, or `offset` in the workspace
    "immediate"                      a scalar that the caller passes by value in its slot
    "constant"                       data of the program (`data`)
    "scratch"                        private to one turn of the parallel loop
    "register"                       the value of the current turn of the loops around: never in memory
    """

    __slots__ = ("alias", "data", "drop", "dtype", "name", "offset", "shape", "size", "slot", "space")

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], space: str = "workspace") -> None:
        self.name, self.dtype, self.shape, self.space = name, dtype, shape, space
        self.alias: Buffer | None = None  # another name of that buffer's memory
        self.drop = 0  # leading dimensions that memory does not have: one row at a time is held
        size = 1
        for n in shape:
            size *= n
        self.size = size
        self.slot, self.offset = -1, -1
        self.data = b""

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def memory(self) -> Buffer:
        """The buffer whose memory this is."""
        return self if self.alias is None else self.alias.memory

    def flat(self, indices: tuple[Index, ...]) -> Index:
        """Row-major position of an element."""
        return folded(ravel(indices[self.drop:], self.shape[self.drop:]))

    def __repr__(self) -> str:
        return self.name


def folded(x: Index) -> Index:
    """`n*(e//n) + e%n` is `e`, `n*((e//n)%m) + e%n` is `e%(n*m)`: what reshaping leaves."""
    parts = [(a, c) for a, c in x.terms if isinstance(a, Part)]
    for a, c in parts:
        if a.quotient:
            continue
        for b, d in parts:
            if d != c * a.divisor:
                continue
            whole: Index | None = None
            if b.quotient and b.divisor == a.divisor and b.inner == a.inner:
                whole = a.inner
            elif not b.quotient and b.inner == a.inner // a.divisor:
                whole = a.inner % (a.divisor * b.divisor)
            if whole is not None:
                rest = Index(tuple(t for t in x.terms if t[0] is not a and t[0] is not b), x.const)
                return folded(rest + whole * c)
    return x


class Accumulator:
    """A running reduction. `horizontal`: lanes are summed into one value; otherwise each lane is its own."""

    __slots__ = ("dtype", "horizontal", "monoid", "name")

    def __init__(self, name: str, monoid: str, dtype: DType, horizontal: bool = True) -> None:
        self.name, self.monoid, self.dtype, self.horizontal = name, monoid, dtype, horizontal

    def __repr__(self) -> str:
        return self.name


# -- expressions -------------------------------------------------------------------------------------------------------
class Expr:
    """A value of one element type. Immutable; compared by identity."""

    __slots__ = ("dtype", "free")
    dtype: DType
    free: Free

    def children(self) -> tuple[Expr, ...]:
        return ()


class Literal(Expr):
    """A constant."""

    __slots__ = ("value",)

    def __init__(self, value: Any, dtype: DType) -> None:
        self.value, self.dtype, self.free = value, dtype, NOTHING


class Load(Expr):
    """An element of a buffer, at static index expressions."""

    __slots__ = ("_flat", "buffer", "indices")

    def __init__(self, buffer: Buffer, indices: tuple[Index, ...]) -> None:
        self.buffer, self.indices, self.dtype = buffer, indices, buffer.dtype
        found: set[Any] = {buffer}
        for x in indices:
            if x.terms:
                found |= x.variables()
        self.free = frozenset(found)
        self._flat: Index | None = None

    @property
    def flat(self) -> Index:
        """Row-major position."""
        if self._flat is None:
            self._flat = self.buffer.flat(self.indices)
        return self._flat


class Gathered(Expr):
    """An element of a buffer at computed indices, each an Index or an integer expression that lies within."""

    __slots__ = ("buffer", "indices")

    def __init__(self, buffer: Buffer, indices: tuple[Index | Expr, ...]) -> None:
        self.buffer, self.indices, self.dtype = buffer, indices, buffer.dtype
        found: set[Any] = {buffer}
        for x in indices:
            found |= x.variables() if isinstance(x, Index) else x.free
        self.free = frozenset(found)

    def children(self) -> tuple[Expr, ...]:
        return tuple(x for x in self.indices if isinstance(x, Expr))


class Scalar(Expr):
    """A row of the scalar table applied to values."""

    __slots__ = ("args", "row", "static")

    def __init__(self, row: str, static: tuple[int, ...], args: tuple[Expr, ...], dtype: DType) -> None:
        self.row, self.static, self.args, self.dtype = row, static, args, dtype
        free = args[0].free if args else NOTHING
        for x in args[1:]:
            if not x.free <= free:
                free |= x.free
        self.free = free

    def children(self) -> tuple[Expr, ...]:
        return self.args


class Cast(Expr):
    """Conversion of a value, or (`bits`) of its bit pattern."""

    __slots__ = ("arg", "bits")

    def __init__(self, arg: Expr, dtype: DType, bits: bool = False) -> None:
        self.arg, self.dtype, self.bits, self.free = arg, dtype, bits, arg.free

    def children(self) -> tuple[Expr, ...]:
        return (self.arg,)


class IndexValue(Expr):
    """An index expression as a number."""

    __slots__ = ("index",)

    def __init__(self, index: Index, dtype: DType) -> None:
        self.index, self.dtype, self.free = index, dtype, frozenset(index.variables())


class Inside(Expr):
    """Whether every (index, low, high) has low <= index <= high."""

    __slots__ = ("tests",)

    def __init__(self, tests: tuple[tuple[Index, int, int], ...]) -> None:
        self.tests, self.dtype = tests, bool_
        found: set[Any] = set()
        for x, _, _ in tests:
            found |= x.variables()
        self.free = frozenset(found)


class Guarded(Expr):
    """`value` where `condition` holds, else `otherwise`; loads of `value` happen only where it holds."""

    __slots__ = ("condition", "otherwise", "value")

    def __init__(self, condition: Expr, value: Expr, otherwise: Expr) -> None:
        self.condition, self.value, self.otherwise, self.dtype = condition, value, otherwise, value.dtype
        self.free = condition.free | value.free | otherwise.free

    def children(self) -> tuple[Expr, ...]:
        return (self.condition, self.value, self.otherwise)


class Total(Expr):
    """The value of an accumulator after its loops."""

    __slots__ = ("accumulator",)

    def __init__(self, accumulator: Accumulator, dtype: DType) -> None:
        self.accumulator, self.dtype, self.free = accumulator, dtype, frozenset((accumulator,))


# -- statements --------------------------------------------------------------------------------------------------------
class Let:
    """Name the value of a "register" buffer for the rest of the enclosing loop."""

    __slots__ = ("buffer", "value")

    def __init__(self, buffer: Buffer, value: Expr) -> None:
        self.buffer, self.value = buffer, value


class Store:
    """buffer[indices] = value; the value is also what later loads of the same element in this turn see."""

    __slots__ = ("_flat", "buffer", "indices", "stream", "value")

    def __init__(self, buffer: Buffer, indices: tuple[Index, ...], value: Expr, stream: bool = False) -> None:
        self.buffer, self.indices, self.value, self.stream = buffer, indices, value, stream
        self._flat: tuple[int, Index] | None = None

    @property
    def flat(self) -> Index:
        """Row-major position."""
        if self._flat is None or self._flat[0] != self.buffer.drop:
            self._flat = self.buffer.drop, self.buffer.flat(self.indices)
        return self._flat[1]


class Update:
    """buffer[indices] = monoid(buffer[indices], value), where indices may be computed; nothing where not `where`."""

    __slots__ = ("buffer", "indices", "monoid", "value", "where")

    def __init__(self, buffer: Buffer, indices: tuple[Index | Expr, ...], monoid: str, value: Expr,
                 where: Expr | None = None) -> None:
        self.buffer, self.indices, self.value, self.where = buffer, indices, value, where
        self.monoid = monoid  # of Reduce, or "set"


class Init:
    """Start an accumulator; a horizontal one keeps `lanes` partial values until its total is read."""

    __slots__ = ("accumulator", "lanes")

    def __init__(self, accumulator: Accumulator, lanes: int = 1) -> None:
        self.accumulator, self.lanes = accumulator, lanes


class Accumulate:
    """accumulator = monoid(accumulator, value); for "argmax" and "argmin" with the position of the value."""

    __slots__ = ("accumulator", "position", "value")

    def __init__(self, accumulator: Accumulator, value: Expr, position: Expr | None = None) -> None:
        self.accumulator, self.value, self.position = accumulator, value, position


class For:
    """for (var = start; var < min(start + count, extent); var++).

    `extent` is the variable's size unless `folded` loops around it are run by the same counter: their variables are 0
    here, and `var` counts on through them. `lanes` > 1: that many turns at once. `parallel`: threads share the turns.
    """

    __slots__ = ("body", "count", "extent", "folded", "lanes", "parallel", "start", "var")

    def __init__(self, var: Var, body: tuple[Stmt, ...], lanes: int = 1, parallel: bool = False, start: Index = ZERO,
                 count: int = -1, extent: int = -1, folded: tuple[Var, ...] = ()) -> None:
        self.var, self.body, self.lanes, self.parallel = var, body, lanes, parallel
        self.start, self.count, self.extent, self.folded = start, count, extent, folded

    @property
    def size(self) -> int:
        return self.var.size if self.extent < 0 else self.extent


class Bind:
    """Give a variable the value of an index expression, for the rest of the enclosing loop."""

    __slots__ = ("index", "var")

    def __init__(self, var: Var, index: Index) -> None:
        self.var, self.index = var, index


class MatmulNest:
    """For each batch index, row and column: accumulator = sum over k of a * b in memory, then the epilogue.

    a's element is at `a_offset + batch * strides + row * a_strides[0] + k * a_strides[1]`, b's at
    `b_offset + batch * strides + k * b_strides[0] + column * b_strides[1]`. `batch` are (variable, stride of a, stride
    of b). `rows` are the variables that the row counts through; of `cols` the last counts on through the others.
    `parts`: of so many bfloat16 numbers an operand's element may be made. `panels`: b once more, in those of a matrix
    unit (schedule/unit_panels.py).
    """

    __slots__ = ("a", "a_offset", "a_strides", "accumulator", "b", "b_offset", "b_strides", "batch", "cols", "epilogue",
                 "k", "m", "n", "panels", "parts", "rows")

    def __init__(self, m: int, n: int, k: int, a: Buffer, a_offset: int, a_strides: tuple[int, int], b: Buffer,
                 b_offset: int, b_strides: tuple[int, int], batch: tuple[tuple[Var, int, int], ...],
                 rows: tuple[Var, ...], cols: tuple[Var, ...], accumulator: Accumulator,
                 epilogue: tuple[Stmt, ...], parts: int = 3, panels: Buffer | None = None) -> None:
        self.m, self.n, self.k = m, n, k
        self.a, self.a_offset, self.a_strides = a, a_offset, a_strides
        self.b, self.b_offset, self.b_strides = b, b_offset, b_strides
        self.batch, self.rows, self.cols = batch, rows, cols
        self.accumulator, self.epilogue, self.parts, self.panels = accumulator, epilogue, parts, panels


class WindowNest:
    """The same product where an operand is windows of an image: its elements are zeros beyond the image.

    a's element is `a[a_at]`; b's is element `b_at / b_step` of b in each dimension, and 0 where that is not whole or
    does not exist. All places are affine in the variables: `batch`, `rows` (in a), `cols` (in b), `terms` (in both).
    Rows, columns and terms are counted in row-major order of their variables; in the epilogue the last of `cols`
    counts on through the others.
    """

    __slots__ = ("a", "a_at", "accumulator", "b", "b_at", "b_step", "batch", "cols", "epilogue", "parts", "rows",
                 "terms")

    def __init__(self, batch: tuple[Var, ...], rows: tuple[Var, ...], cols: tuple[Var, ...], terms: tuple[Var, ...],
                 a: Buffer, a_at: tuple[Index, ...], b: Buffer, b_at: tuple[Index, ...], b_step: tuple[int, ...],
                 accumulator: Accumulator, epilogue: tuple[Stmt, ...], parts: int = 3) -> None:
        self.batch, self.rows, self.cols, self.terms = batch, rows, cols, terms
        self.a, self.a_at = a, a_at
        self.b, self.b_at, self.b_step = b, b_at, b_step
        self.accumulator, self.epilogue, self.parts = accumulator, epilogue, parts

    @property
    def m(self) -> int:
        return counted(self.rows)

    @property
    def n(self) -> int:
        return counted(self.cols)

    @property
    def k(self) -> int:
        return counted(self.terms)


class Rows:
    """For each batch index, rows of a buffer, each of elements side by side; where `step` is 0, of one element over and
    over (a mask of queries).

    The first element of a row is at `offset + batch * strides + row * row_stride`.
    """

    __slots__ = ("buffer", "offset", "row_stride", "step", "strides")

    def __init__(self, buffer: Buffer, offset: int, strides: tuple[int, ...], row_stride: int, step: int = 1) -> None:
        self.buffer, self.offset, self.strides, self.row_stride = buffer, offset, strides, row_stride
        self.step = step


class Dropout:
    """Weights whose bits (of the key, at the row and pair of columns, as `ops.attention.dropped` says) are below
    `threshold` are dropped, the others times `factor`.

    `key`: two rows of one element. The first `lead` batch indices have keys of their own; rows of weights are counted
    through the others.
    """

    __slots__ = ("factor", "key", "lead", "threshold")

    def __init__(self, key: Rows, lead: int, threshold: int, factor: float) -> None:
        self.key, self.lead, self.threshold, self.factor = key, lead, threshold, factor


class AttentionNest:
    """For each batch index, s = scale q k^T plus the mask; where `causal`, s = -inf where a key is after its query:

        inputs q, k, v                  lse = log(sum(exp(s))) of each row, y = exp(s - lse) v; results y, lse
        inputs q, k, v, lse, delta, ct  p = exp(s - lse), w = scale p (ct v^T - delta); results w k, w^T q, p^T ct

    m queries, n keys, d features of both, e of the values. A row without keys has lse -inf, y and p 0. Results may be
    None: not asked for. Where there is a `dropout`, exp(s - lse) is dropped for y, ct v^T for w, and p.
    """

    __slots__ = ("batch", "causal", "d", "dropout", "e", "inputs", "m", "mask", "n", "results", "scale")

    def __init__(self, batch: tuple[int, ...], m: int, n: int, d: int, e: int, causal: bool, scale: float,
                 inputs: tuple[Rows, ...], results: tuple[Rows | None, ...], mask: Rows | None = None,
                 dropout: Dropout | None = None) -> None:
        self.batch, self.m, self.n, self.d, self.e = batch, m, n, d, e
        self.causal, self.scale, self.inputs, self.results, self.mask = causal, scale, inputs, results, mask
        self.dropout = dropout

    @property
    def reads(self) -> tuple[Rows, ...]:
        """All that is read."""
        key = None if self.dropout is None else self.dropout.key
        return (*self.inputs, *(x for x in (self.mask, key) if x is not None))

    @property
    def widths(self) -> tuple[int, ...]:
        """Elements of a row of each input."""
        return (self.d, self.d, self.e, 1, 1, self.e)[:len(self.inputs)]

    @property
    def counts(self) -> tuple[int, ...]:
        """Rows of each input."""
        return (self.m, self.n, self.n, self.m, self.m, self.m)[:len(self.inputs)]

    @property
    def result_sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows of each result and their elements."""
        if len(self.inputs) == 3:
            return (self.m, self.e), (self.m, 1)
        return (self.m, self.d), (self.n, self.d), (self.n, self.e)


def counted(variables: tuple[Var, ...]) -> int:
    """How many values some variables have together."""
    total = 1
    for v in variables:
        total *= v.size
    return total


Product = MatmulNest | WindowNest
Stmt = Let | Store | Update | Init | Accumulate | For | Bind | Product | AttentionNest


class Kernel:
    """A loop nest with a name: what one launch runs. `flops` counts operations, `nbytes` what must pass memory.

    `payload`: of a kernel that is no loop nest, what its emitter needs.
    """

    __slots__ = ("body", "flops", "kind", "name", "nbytes", "payload", "reads", "scratch", "threads", "writes")

    def __init__(self, name: str, kind: str, body: tuple[Stmt, ...], flops: int = 0, nbytes: int = 0, threads: int = 1,
                 reads: list[Buffer] | None = None, writes: list[Buffer] | None = None,
                 scratch: list[Buffer] | None = None, payload: Any = None) -> None:
        self.name, self.kind, self.body = name, kind, body
        self.flops, self.nbytes, self.threads, self.payload = flops, nbytes, threads, payload
        self.reads = [] if reads is None else reads
        self.writes = [] if writes is None else writes
        self.scratch = [] if scratch is None else scratch


def expressions(stmt: Stmt) -> tuple[Expr, ...]:
    """The expressions that stand directly in a statement."""
    if isinstance(stmt, (Let, Store)):
        return (stmt.value,)
    if isinstance(stmt, Accumulate):
        return (stmt.value,) if stmt.position is None else (stmt.value, stmt.position)
    if isinstance(stmt, Update):
        found = [stmt.value, *(x for x in stmt.indices if isinstance(x, Expr))]
        return (*found, stmt.where) if stmt.where is not None else tuple(found)
    return ()


def walk(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """All statements, nested ones after the loop they are in."""
    for stmt in body:
        yield stmt
        if isinstance(stmt, For):
            yield from walk(stmt.body)
        elif isinstance(stmt, (MatmulNest, WindowNest)):
            yield from walk(stmt.epilogue)


def subexpressions(roots: tuple[Expr, ...]) -> list[Expr]:
    """All expressions reachable, each once."""
    seen: dict[Expr, None] = {}
    stack = list(roots)
    while stack:
        x = stack.pop()
        if x not in seen:
            seen[x] = None
            stack.extend(x.children())
    return list(seen)
