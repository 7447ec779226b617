"""Sums on AMX, the matrix unit of some x86 processors: 32 x 32 sums of products of float32 numbers that lie in panels.

The unit multiplies tiles of 16 x 32 and 32 x 16 bfloat16 numbers, sixteen times as many in a cycle as vectors multiply
float32 numbers, and adds the products in float32. A float32 number is the sum of three bfloat16 numbers, its high,
middle and low part; of the nine products of two such sums the six largest are taken, and what is left out is no larger
than the rounding of a float32 product (G. Henry, P. T. P. Tang, A. Heinecke, "Leveraging the bfloat16 artificial
intelligence datatype for higher-precision computations", 2019). The unit takes what is below 2**-126 for zero, also as
a part: numbers below 2**-103 lose their last bits, those below 2**-118 half of them. Infinities have no such parts, so
where a sum is not a number it is taken again of the high parts alone, which are infinite or not a number where the
numbers are. High parts are rounded up: a result within 0.8% of the largest number may become infinite.

Panels: for each 32 steps of k the high, middle and low parts of two strips of 16 rows (of A) or columns (of B), a tile
of 16 lines of 64 bytes each. Lines of A are rows, with numbers k and k + 16 side by side; lines of B are pairs of k and
k + 16, with the columns side by side. Lines of B may also lie anywhere as far apart as they like (`Planes`): tiles are
loaded from where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.kernels import escaped
from pullback.codegen.llvm.matmul_pack import ask
from pullback.codegen.llvm.text import Fn, Module, V, i64, mangle, vector
from pullback.kernel.unit import DEPTH as DEPTH
from pullback.kernel.unit import SIDE as SIDE
from pullback.kernel.unit import STRIP as STRIP

TILE_BYTES = STRIP * 64
PART_BYTES = 2 * TILE_BYTES
LINE_BYTES = SIDE * 4  # of the sums' rows in memory
HIGH, MIDDLE, LOW = range(3)
ROWS, COLUMNS = (4, 5), (6, 7)  # registers of the operands' tiles; those of the sums are 0 to 3
#: by how many parts numbers have: those of A and B whose product is taken next, such that one of the two is there
#: already; the largest last
ORDERS = {3: ((LOW, HIGH), (MIDDLE, HIGH), (MIDDLE, MIDDLE), (HIGH, MIDDLE), (HIGH, LOW), (HIGH, HIGH)),
          2: ((MIDDLE, HIGH), (MIDDLE, MIDDLE), (HIGH, MIDDLE), (HIGH, HIGH)), 1: ((HIGH, HIGH),)}
PARAMS = [("ptr", "a"), ("i64", "count")]
SUMS = [("ptr", "before"), ("ptr", "out")]


def block_bytes(parts: int) -> int:
    """Of a panel for DEPTH steps of k."""
    return parts * PART_BYTES


class Lines(NamedTuple):
    """Where the lines of a block's two tiles begin, and how many bytes parts, and lines, are apart."""

    strips: tuple[V, V]
    part: V
    apart: V

    @staticmethod
    def of_panel(at: V, fn: Fn) -> Lines:
        return Lines((at, ix.offset(fn, at, i64(TILE_BYTES), "i8")), i64(PART_BYTES), i64(64))


class Columns(Protocol):
    """Where B is: what functions get as parameters, and how they go through its blocks of k."""

    @property
    def name(self) -> str: ...

    @property
    def params(self) -> list[tuple[str, str]]: ...

    @property
    def arguments(self) -> Sequence[V]: ...

    def behind(self, fn: Fn, blocks: V, parts: int) -> Columns:
        """From a later block on."""
        ...

    @staticmethod
    def first(params: Sequence[V]) -> V: ...

    @staticmethod
    def next(fn: Fn, at: V, parts: int) -> V: ...

    @staticmethod
    def lines(fn: Fn, params: Sequence[V], at: V) -> Lines: ...


class Panel(NamedTuple):
    """A panel: one block after the other."""

    place: V

    @property
    def name(self) -> str:
        return "panel"

    @property
    def params(self) -> list[tuple[str, str]]:
        return [("ptr", "b")]

    @property
    def arguments(self) -> Sequence[V]:
        return [self.place]

    def behind(self, fn: Fn, blocks: V, parts: int) -> Panel:
        return Panel(fn.gep(self.place, ix.mul(fn, blocks, block_bytes(parts)), "i8"))

    @staticmethod
    def first(params: Sequence[V]) -> V:
        return params[0]

    @staticmethod
    def next(fn: Fn, at: V, parts: int) -> V:
        return fn.gep(at, i64(block_bytes(parts)), "i8")

    @staticmethod
    def lines(fn: Fn, params: Sequence[V], at: V) -> Lines:
        return Lines.of_panel(at, fn)


class Planes(NamedTuple):
    """Lines that lie apart: block n begins `offsets[n]` bytes behind where the strips do."""

    strips: tuple[V, V]
    offsets: V
    part: V
    apart: V

    @property
    def name(self) -> str:
        return "planes"

    @property
    def params(self) -> list[tuple[str, str]]:
        return [("ptr", "first"), ("ptr", "second"), ("ptr", "offsets"), ("i64", "part"), ("i64", "apart")]

    @property
    def arguments(self) -> Sequence[V]:
        return [*self.strips, self.offsets, self.part, self.apart]

    def behind(self, fn: Fn, blocks: V, parts: int) -> Planes:
        return self._replace(offsets=fn.gep(self.offsets, blocks, "i32"))

    @staticmethod
    def first(params: Sequence[V]) -> V:
        return params[2]

    @staticmethod
    def next(fn: Fn, at: V, parts: int) -> V:
        return fn.gep(at, i64(1), "i32")

    @staticmethod
    def lines(fn: Fn, params: Sequence[V], at: V) -> Lines:
        offset = fn.cast("sext", fn.load(at, "i32", 4), "i64")
        first, second = (fn.gep(strip, offset, "i8") for strip in params[:2])
        return Lines((first, second), params[3], params[4])


def configure(fn: Fn) -> None:
    """Eight tiles of 16 lines of 64 bytes, until `release`."""
    data = bytes([1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[STRIP] * 8, *[0] * 8])
    fn.module.global_("amx_tiles", f'internal constant [64 x i8] c"{escaped(data)}", align 64')
    fn.call("llvm.x86.ldtilecfg", "void", V("@amx_tiles", "ptr"))


def release(fn: Fn) -> None:
    fn.call("llvm.x86.tilerelease", "void")


def clear(fn: Fn) -> None:
    """All sums are zero."""
    for n in range(4):
        fn.call("llvm.x86.tilezero", "void", _register(n))


def add_products(fn: Fn, parts: int, a: V, b: Columns, count: V) -> None:
    """Add so many blocks of k to the sums."""
    name = f"amx_add_{b.name}_{parts}"
    if is_new(fn.module, name):
        _emit_add(fn.module, name, parts, b)
    fn.call(name, "void", a, count, *b.arguments, declare=False)


def resume(fn: Fn, before: V) -> None:
    """The sums are what `leave` stored."""
    for n in range(4):
        _on_tile(fn, "llvm.x86.tileloadd64", n, before)


def zeros(fn: Fn) -> V:
    """Where 32 rows of 32 zeros are."""
    fn.module.global_("amx_zeros", f"internal constant [{SIDE * LINE_BYTES} x i8] zeroinitializer, align 64")
    return V("@amx_zeros", "ptr")


def leave(fn: Fn, parts: int, a: V, b: Columns, count: V, before: V, out: V) -> None:
    """Store the sums, made of what was before and so many blocks of k, as 32 rows of 32 numbers."""
    if parts == 1:  # infinities are numbers of one part
        _store(fn, out)
        return
    name, repair = (f"amx_{what}_{b.name}_{parts}" for what in ("leave", "repair"))
    if is_new(fn.module, name):
        _emit_leave(fn.module, name, repair, b)
        _emit_repair(fn.module, repair, parts, b)
    fn.call(name, "void", a, count, before, out, *b.arguments, declare=False)


def is_new(module: Module, name: str) -> bool:
    """Whether a module lacks a function that several kernels call."""
    return all(fn.name != name for fn in module.functions)


def _register(n: int) -> V:
    return V(str(n), "i8")


def _multiply(fn: Fn, row: int, column: int) -> None:
    fn.call("llvm.x86.tdpbf16ps", "void", _register(2 * row + column), _register(ROWS[row]), _register(COLUMNS[column]))


def _emit_add(module: Module, name: str, parts: int, columns: Columns) -> None:
    order, size = ORDERS[parts], block_bytes(parts)
    fn = module.function(name, [*PARAMS, *columns.params], attributes="#1", linkage="internal")
    a, count, *b = fn.params
    loop = fn.begin_loop(i64(0), count, i64(1), [a, columns.first(b)])
    a, at = loop.carried
    rows, lines = Lines.of_panel(a, fn), columns.lines(fn, b, at)
    before: tuple[int, int] = (-1, -1)
    asked = size // 64 // len(order)
    for n, now in enumerate(order):
        _emit_products(fn, rows, lines, now, (now[0] != before[0], now[1] != before[1]))
        before = now
        for line in range(n * asked, (n + 1) * asked):  # A comes from afar: its next block is asked for
            ask(fn, fn.gep(a, i64(size + 64 * line), "i8"))
    fn.end_loop(loop, [fn.gep(a, i64(size), "i8"), columns.next(fn, at, parts)], hot=True)
    fn.ret()


def _emit_products(fn: Fn, rows: Lines, columns: Lines, parts: tuple[int, int], new: tuple[bool, bool]) -> None:
    """The products of two parts; tiles are loaded just before they are needed, by whose operand is new."""
    def load(register: int, lines: Lines, strip: int, part: int) -> None:
        place = ix.offset(fn, lines.strips[strip], ix.mul(fn, lines.part, part), "i8")
        fn.call("llvm.x86.tileloadd64", "void", _register(register), place, lines.apart)

    for turn in range(4):
        row, column = (turn % 2, turn // 2) if new[1] and not new[0] else (turn // 2, turn % 2)
        if new[0] and column == 0:
            load(ROWS[row], rows, row, parts[0])
        if new[1] and row == 0:
            load(COLUMNS[column], columns, column, parts[1])
        _multiply(fn, row, column)


def _on_tile(fn: Fn, name: str, n: int, sums: V) -> None:
    """Load or store one of the four tiles of sums."""
    at = n // 2 * STRIP * LINE_BYTES + n % 2 * 64
    fn.call(name, "void", _register(n), ix.offset(fn, sums, i64(at), "i8"), i64(LINE_BYTES))


def _store(fn: Fn, out: V) -> None:
    for n in range(4):
        _on_tile(fn, "llvm.x86.tilestored64", n, out)


def _emit_leave(module: Module, name: str, repair: str, columns: Columns) -> None:
    """Store, and look whether all sums are numbers."""
    fn = module.function(name, [*PARAMS, *SUMS, *columns.params], attributes="#1", linkage="internal")
    a, count, before, out, *b = fn.params
    _store(fn, out)
    mask = vector("i1", STRIP)
    loop = fn.begin_loop(i64(0), i64(2 * SIDE), i64(8), [V("zeroinitializer", mask)])
    at = fn.gep(out, fn.mul(loop.counter, i64(64)), "i8")
    values = [fn.load(ix.offset(fn, at, i64(64 * n), "i8"), vector("float", STRIP), 64) for n in range(8)]
    seen = loop.carried[0]
    for left, right in zip(values[::2], values[1::2], strict=True):
        seen = fn.binary("or", seen, fn.compare("fcmp", "uno", left, right))
    found = fn.end_loop(loop, [seen])[0]
    fn.cond_br(fn.call(f"llvm.vector.reduce.or.{mangle(mask)}", "i1", found), "repair", "done")
    fn.label("repair")
    fn.call(repair, "void", a, count, before, out, *b, declare=False)
    fn.br("done")
    fn.label("done")
    fn.ret()


def _emit_repair(module: Module, name: str, parts: int, columns: Columns) -> None:
    """What is not a number, again of the high parts."""
    fn = module.function(name, [*PARAMS, *SUMS, *columns.params], attributes="#1", linkage="internal")
    a, count, before, out, *b = fn.params
    resume(fn, before)
    loop = fn.begin_loop(i64(0), count, i64(1), [a, columns.first(b)])
    a, at = loop.carried
    _emit_products(fn, Lines.of_panel(a, fn), columns.lines(fn, b, at), (HIGH, HIGH), (True, True))
    fn.end_loop(loop, [fn.gep(a, i64(block_bytes(parts)), "i8"), columns.next(fn, at, parts)])
    high = fn.alloca("float", SIDE * SIDE)
    _store(fn, high)
    each = fn.begin_loop(i64(0), i64(SIDE * SIDE), i64(STRIP))
    place = fn.gep(out, each.counter, "float")
    value = fn.load(place, vector("float", STRIP), 64)
    other = fn.load(fn.gep(high, each.counter, "float"), vector("float", STRIP), 64)
    fn.store(fn.select(fn.compare("fcmp", "uno", value, value), other, value), place, 64)
    fn.end_loop(each)
    fn.ret()
