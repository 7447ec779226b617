"""How a product of a given shape is computed: tile, blocks, packing, loop order and thread split, decided once.

A tile is `rows` x `vectors` accumulators held in registers while k runs. Row counts are cut into tiles of `tall` and
`tall - 1` rows (any count has such a cut once it is large enough), so that no row is computed twice or in vain.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from pullback.codegen.llvm.claims import CLAIM_FLOPS
from pullback.codegen.llvm.matmul_spec import MatmulSpec
from pullback.codegen.llvm.target import Target

PARALLEL_FLOPS = 100_000
FLOPS_PER_THREAD = 50_000
PACK_BYTES = 32  # widest vector used while packing
LINE = 64
PAGE = 4096
L1_WAYS = 8
K_BYTES = 2048  # of one row of A in a block of k, where A is copied: the copies of a block of rows shall stay near
K_BYTES_IN_PLACE = 4096  # where A is read where it lies, or a panel of B exceeds L1 anyway: fewer partial sums
BLOCK_ROWS = 1024
PANELS_TOGETHER = 256  # of A that one call copies: rows of k are then read as one run
NEAR_LEAST = 64  # rows of a block: all of B is read for each
SCRATCH_BYTES = 8 << 20  # partial sums of a block of rows and columns, where k is cut
NEAR_BYTES = 16 << 20  # of an operand that all threads read again for each column tile
PIECE_FLOPS = 8_000_000  # least work that is handed out
PIECES = 8  # for each thread, from which on column tiles are enough: parts of rows cost a percent
B_AHEAD = 8  # steps of k before its use that a line of a panel which the first cache does not hold is asked for
LATENCY = 4  # cycles of a multiply-add
SLACK = 2 * LINE  # beyond what a copy holds: the last vector may reach so far


@dataclass(frozen=True)
class Chunk:
    """One vector of a tile's row: first column, lanes, and how many of the lanes exist."""

    col: int
    width: int
    valid: int


@dataclass(frozen=True)
class Plan:
    lanes: int
    scalar_bytes: int
    tall: int
    full: tuple[Chunk, ...]
    edge: tuple[Chunk, ...]
    dot: bool
    kc: int
    row_unit: int  # threads and blocks cut rows at multiples of this
    mc: int
    nc_tiles: int
    pack_a: bool
    a_together: int  # most panels of A that are copied side by side
    pack_b: str  # "no", "panel" (one panel, just before its use) or "block" (all panels of a column block)
    row_outer: bool
    split: str  # "", "m", "n" or "batch"
    parts: int  # of the rows, where threads claim pieces; 0 where they have fixed shares
    max_threads: int
    a_bytes: int
    b_bytes: int
    b_ahead: int  # see TileInput
    scratch_bytes: int
    thread_bytes: int
    shared_bytes: int

    @property
    def cols(self) -> int:
        """Columns of a full tile."""
        return sum(chunk.valid for chunk in self.full)

    @property
    def pack_lanes(self) -> int:
        return pack_lanes(self.lanes, self.scalar_bytes)

    @property
    def b_step(self) -> int:
        """Elements of a packed panel of B for each k."""
        return panel_step(self.full, self.pack_lanes)

    def describe(self) -> str:
        kind = "dot" if self.dot else "tile"
        packed = f"a={'packed' if self.pack_a else 'direct'} b={self.pack_b}"
        split = f"{self.split or 'none'}{'*' if self.parts else ''}"
        return f"{kind} {self.tall}x{self.cols} kc={self.kc} mc={self.mc} {packed} split={split}"


def tall_rows(m: int, limit: int) -> int:
    """Rows of the taller tile: the most even cut of m into tiles of at most `limit`."""
    return -(-m // -(-m // limit))


def smallest_cuttable(tall: int) -> int:
    """From this count on every number of rows is a sum of `tall` and `tall - 1`."""
    return (tall - 1) * (tall - 2) if tall > 2 else 1


def chunks(cols: int, lanes: int, masked: bool) -> tuple[Chunk, ...]:
    """Cut a tile's columns into vectors; the last one is masked, or cut into powers of two where masks are slow."""
    found = [Chunk(c, lanes, lanes) for c in range(0, cols - lanes + 1, lanes)]
    at, rest = len(found) * lanes, cols % lanes
    while rest:
        width = 1 << (rest.bit_length() - 1)
        if width != rest and masked:
            width *= 2
        found.append(Chunk(at, width, min(width, rest)))
        at, rest = at + width, rest - min(width, rest)
    return tuple(found)


def k_block(spec: MatmulSpec, target: Target, size: int, cols: int, pack_a: bool) -> int:
    """Even blocks of k, multiples of 8; all of k where it is not much more than a block.

    A panel of B of one block fills L1; if it is larger, its lines are asked for ahead, and longer blocks cost nothing.
    With few rows B is read once, straight from memory: a handful of rows at a time, so that reads run along rows.
    """
    k = spec.k
    if spec.m <= 4 and spec.b.col_stride == 1 and k >= 16 and k * spec.n * size > 2 * target.l1_bytes:
        return 8
    in_place = not pack_a and spec.a.rows_run
    most = (K_BYTES_IN_PLACE if in_place or cols * K_BYTES > target.l1_bytes else K_BYTES) // size
    if k <= most + most * 2 // 3:
        return k
    return min(range(most, most // 2, -8), key=lambda kc: (-(-k // kc), kc - (k - 1) % kc))


def tile_shape(spec: MatmulSpec, target: Target, pack_a: bool = False) -> tuple[int, int]:
    """Most rows and vectors per row of the register tile."""
    if spec.m >= 5 or target.vector_registers > 16:
        copy = target.copy_cycles if pack_a and spec.a.row_stride == 1 else 0
        rows, vectors = register_tile(spec.m, spec.n, target.lanes(spec.dtype), target, copy)
        if spec.m >= rows - 1:
            return rows, vectors
    budget = target.vector_registers - 4
    return spec.m, {1: 8, 2: 4}.get(spec.m, min(8, max(1, budget // spec.m)))


def register_tile(m: int, n: int, lanes: int, target: Target, copy: int = 0) -> tuple[int, int]:
    """Rows and vectors of the tile for m rows, of which there are enough, and n columns; `copy`: see `shape_cost`."""
    if target.vector_registers <= 16:
        return 6, 2
    shapes = ((6, 4), (8, 3)) if n > 3 * lanes else ((8, 3),)
    return min(shapes, key=lambda shape: shape_cost(shape, m, n, lanes, copy))


def tile_cost(m: int, n: int, lanes: int, target: Target) -> float:
    """Cycles for each term, in tiles."""
    return shape_cost(register_tile(m, n, lanes, target), m, n, lanes)


def shape_cost(shape: tuple[int, int], m: int, n: int, lanes: int, copy: int = 0) -> float:
    """The same in tiles of a shape: two multiply-adds begin in a cycle, and the numbers of the rows must be read. A
    tile with fewer rows costs as much. `copy`: cycles to copy a tile's rows before, for each term."""
    rows, vectors = shape
    count = -(-n // lanes)
    widths = [(vectors, count // vectors), (count % vectors, 1)]
    row = sum(many * (max(width * rows / 2, rows, LATENCY) + rows / 4) for width, many in widths if width)
    return -(-m // rows) * (row + copy)


def uses_dot(spec: MatmulSpec, lanes: int) -> bool:
    """Few rows, both operands contiguous along k: vectors run along k and nothing is packed."""
    direct = spec.b.row_stride == 1 and spec.a.col_stride == 1 and not spec.narrow
    return spec.m <= 4 and spec.k >= 2 * lanes and direct


def make_plan(spec: MatmulSpec, target: Target, threads: int = 2) -> Plan:
    lanes = target.lanes(spec.dtype)
    size = 8 if spec.dtype == "double" else 4
    dot = uses_dot(spec, lanes)
    pack_a = not dot and packs_a(spec, target, size)
    rows, vectors = (spec.m, 1) if dot else tile_shape(spec, target, pack_a)
    cols = max(2, 8 // spec.m) if dot else lanes * vectors
    masked = target.masked_memory
    full = chunks(min(cols, spec.n), lanes, masked)
    edge = chunks(spec.n % cols, lanes, masked) if spec.n > cols else ()
    cols = min(cols, spec.n)
    tall = tall_rows(spec.m, rows)
    if spec.m % tall and spec.m % (tall - 1) == 0 and tall > 4 and len(edge) != 1:
        tall -= 1  # not where a tile of one vector has too few rows to hide a multiply-add's latency anyway
    unit = 1 if spec.m % tall else tall
    kc = spec.k if dot else k_block(spec, target, size, cols, pack_a)
    tiles = -(-spec.n // cols)
    together = PANELS_TOGETHER if masked and spec.a.row_stride == 1 else 1
    pack_b = "no" if dot or not packs_b(spec, target, size) else "panel"
    mc, nc_tiles = blocks(spec, kc, cols, size)
    strided_a = spec.a.row_stride == 1 and not pack_a  # a tile takes a line for each k, read again for every panel of B
    room = max(target.l1_bytes * 3 // 4, target.l1_bytes - spec.k * LINE if strided_a else 0)
    row_outer = kc == spec.k and spec.k * spec.n * size <= room and spec.m > 2 * tall
    split, most = thread_split(spec, tall, unit, tiles, pack_a, pack_b, threads)
    near = near_rows(spec, target, kc, size) if pack_a and not row_outer else 0
    if near:
        mc, nc_tiles = tall_rows(spec.m, near), tiles
    along_rows = row_outer or near > 0
    pack_b = "block" if pack_b == "panel" and along_rows else pack_b
    fixed = dot or threads < 2 or (row_outer and pack_a and split != "batch")
    parts = 0 if fixed else claimed_parts(spec, split, tall, tiles, along_rows, size, threads)
    if parts and split != "batch":
        split, most = ("m", min(most, parts)) if along_rows else ("n", min(most, parts * tiles))
        mc, nc_tiles = (mc, tiles) if near else (spec.m, blocks_of_columns(spec, spec.m, kc, cols, size))
    mc = -(-mc // unit) * unit
    nc_tiles = min(nc_tiles, tiles)
    copied = pack_a and parts and split == "n"
    shared = round_up(spec.m * spec.k * size + parts * -(-spec.k // kc) * SLACK) if copied else 0
    a_bytes = round_up(min(mc, spec.m) * kc * size + SLACK) if pack_a and not shared else 0
    step = panel_step(full, pack_lanes(lanes, size))
    b_cols = {"no": 0, "panel": step, "block": nc_tiles * step}[pack_b]
    b_depth = kc if pack_b == "panel" else spec.k
    b_bytes = round_up(b_cols * b_depth * size + SLACK) if b_cols else 0
    b_ahead = B_AHEAD if b_cols and step * kc * size > target.l1_bytes else 0
    scratch = round_up(min(mc, spec.m) * nc_tiles * step * size) if kc < spec.k else 0
    total = a_bytes + b_bytes + scratch
    thread_bytes = total + 5 * LINE if total else 0
    return Plan(lanes, size, tall, full, edge, dot, kc, unit, mc, nc_tiles, pack_a, together, pack_b, row_outer, split,
                parts, most, a_bytes, b_bytes, b_ahead, scratch, thread_bytes, shared)


def pack_lanes(lanes: int, size: int) -> int:
    """Lanes of the vectors that packing works with."""
    return min(lanes, PACK_BYTES // size)


def panel_step(chunks: tuple[Chunk, ...], lanes: int) -> int:
    """A panel's width, padded so that a vector copy of one group never reaches another group's place."""
    width = sum(chunk.width for chunk in chunks)
    return width if width <= lanes else round_up(width, lanes)


def round_up(count: int, multiple: int = LINE) -> int:
    return -(-count // multiple) * multiple


def packs_a(spec: MatmulSpec, target: Target, size: int) -> bool:
    """A is copied where its rows or columns collide in the caches and it is used often enough to repay the copy; and
    where its elements are pairs that do not lie side by side."""
    if spec.narrow and not spec.a.rows_run:
        return True
    if spec.n < 64 or spec.m < 12 or spec.k < 32:
        return False
    if spec.a.row_stride == 1:
        stride = spec.a.col_stride * size
        return spec.k > 2 * lines_without_conflict(stride, target) or (stride >= 1024 and spec.n >= 192)
    if spec.a.rows_run:
        return spec.n >= 768 and spec.m * spec.k * size > 2 * target.l2_bytes
    return spec.n >= 192


def packs_b(spec: MatmulSpec, target: Target, size: int) -> bool:
    """B is copied where columns are not contiguous, or where a panel used often does not stay in L1 where it is."""
    if spec.n == 1 and not spec.narrow:
        return False
    if spec.b.col_stride != 1 or spec.narrow:
        return True
    if spec.m < 48:
        return False
    stride = spec.b.row_stride * size
    pages = spec.k * stride // PAGE
    if spec.m >= 768 and spec.k >= 32:
        return True  # aligned reads repay the copy
    return spec.k > 256 or (spec.k > 64 and pages > 64) or spec.k > lines_without_conflict(stride, target) // 2


def lines_without_conflict(stride: int, target: Target) -> int:
    """Cache lines `stride` bytes apart that fit in L1 together."""
    sets = target.l1_bytes // (L1_WAYS * LINE)
    return L1_WAYS * sets // (gcd(stride // LINE, sets) if stride % LINE == 0 else 1)


def blocks(spec: MatmulSpec, kc: int, cols: int, size: int) -> tuple[int, int]:
    """Rows of a block of A (streams from L3) and column tiles between two copies of it.

    Rows are cut evenly into blocks of at most the first figure, so that blocks can always be cut into tiles.
    """
    mc = spec.m if spec.m <= BLOCK_ROWS * 4 // 3 else BLOCK_ROWS
    return mc, blocks_of_columns(spec, mc, kc, cols, size)


def blocks_of_columns(spec: MatmulSpec, mc: int, kc: int, cols: int, size: int) -> int:
    """Column tiles of a block, such that the partial sums of `mc` rows stay near."""
    tiles = -(-spec.n // cols)
    most = max(8, SCRATCH_BYTES // (mc * cols * size)) if kc < spec.k else tiles
    return -(-tiles // -(-tiles // most))


def near_rows(spec: MatmulSpec, target: Target, kc: int, size: int) -> int:
    """Rows of a block of A whose copy stays in the second cache, where all of B is copied for the sake of that; else 0.

    The smaller operand should be the one that is copied as a whole: a copy that leaves the caches is written to memory
    and read from there again.
    """
    rows = target.l2_bytes * 3 // 4 // (kc * size)
    if spec.m < 3 * spec.n or spec.n * spec.k * size > target.l2_bytes * 3 // 2 or not NEAR_LEAST <= rows < spec.m:
        return 0
    return rows


def claimed_parts(spec: MatmulSpec, split: str, tall: int, tiles: int, along_rows: bool, size: int,
                  threads: int) -> int:
    """Into how many parts rows are cut where threads claim the work; 0 where shares are fixed."""
    if not split or spec.flops < CLAIM_FLOPS:
        return 0
    if split == "batch":
        return 1
    if prod(spec.batch) > 1 or (not along_rows and spec.m * spec.k * size > NEAR_BYTES):
        return 0
    work, units = (spec.flops, 1) if along_rows else (spec.flops // tiles, tiles)
    return max(1, min(work // PIECE_FLOPS, spec.m // (8 * tall), -(-PIECES * threads // units)))


def thread_split(spec: MatmulSpec, tall: int, unit: int, tiles: int, pack_a: bool,
                 pack_b: str, threads: int) -> tuple[str, int]:
    """What the threads share out, and the most threads that pay. Packed operands are packed again by every thread."""
    most = spec.flops // FLOPS_PER_THREAD if spec.flops >= PARALLEL_FLOPS else 1
    count = prod(spec.batch)
    if most < 2:
        return "", 1
    if count >= 8 or (count > 1 and count % threads == 0) or (count > 1 and spec.m * spec.n * spec.k < 20_000):
        return "batch", min(most, count)
    by_m = spec.m // (tall if unit > 1 else max(smallest_cuttable(tall), 4 * tall)) if spec.m > tall else 1
    by_n = tiles
    if by_m < 2 and by_n < 2:
        return ("batch", min(most, count)) if count > 1 else ("", 1)

    a_cost = 2 if spec.a.row_stride == 1 else 1  # narrow panels of long rows take longer

    def cost(parts_m: int, parts_n: int) -> float:
        rows, cols = -(-spec.m // unit // parts_m) * unit, -(-tiles // parts_n) * spec.n / tiles
        packing = (rows * spec.k * a_cost if pack_a else 0) + (cols * spec.k if pack_b != "no" else 0)
        return rows * cols * spec.k / 16 + packing / 2

    if by_m >= 2 and (by_n < 2 or cost(2, 1) < cost(1, 2)):
        return "m", min(most, by_m)
    return "n", min(most, by_n)
