"""What work costs, in units of one simple operation on one element; and the sizes that decisions turn on."""

from __future__ import annotations

from pullback.kernel.nodes import Expr, Gathered, Scalar, subexpressions

_ROWS: dict[str, int] = {
    **dict.fromkeys(("div", "sqrt", "rsqrt", "reciprocal", "remainder", "fmod", "floor_divide", "hypot"), 4),
    **dict.fromkeys(("exp", "exp2", "expm1", "sigmoid", "cbrt"), 10),
    **dict.fromkeys(("log", "log2", "log10", "log1p", "sin", "cos", "asin", "acos", "atan"), 14),
    **dict.fromkeys(("tanh", "sinh", "cosh"), 14),
    **dict.fromkeys(("tan", "atan2", "asinh", "acosh", "atanh", "erf", "erfc", "logaddexp", "softplus"), 20),
    **dict.fromkeys(("pow", "erf_inv", "lgamma", "digamma"), 40),
}
WORTH_STORING = 10  # cost of a function of a product from which on it is stored rather than the product
EXPENSIVE = 4  # from here on a value is kept rather than computed twice
LONG = range(10, 21)  # costs of rows that are one long chain of multiply-adds; beyond, registers do not suffice
SERIAL_WORK = 120_000  # below this a kernel is not worth a second thread
THREAD_WORK = 60_000  # what each thread should have at least
CHUNK_WORK = 400_000  # from here on a reduction over the leading dimension is split
NANOSECONDS = 0.06  # of one unit
BYTES_PER_NANOSECOND = 16.0
MEMORY_SIZE = 32_768  # elements from which on the traffic of a value counts
WRITE_READS = 2  # reads that cost what writing a value does: its lines are read first
NEAR_READS = 6  # the same where the caches hold it: what is saved is computing it, and code
DEPTH = 100  # longest chain of operators that one expression may hold


def streamed_from(last_cache: int) -> int:
    """Bytes from which on results bypass the caches: what the last one holds is read from there by the next program
    (8 MB are scaled in 84 us instead of 204 where it has 32). Of a server's, others have their share."""
    return min(max(last_cache * 3 // 4, 8 << 20), 24 << 20)


def row_cost(row: str) -> int:
    """The cost of one scalar row."""
    return _ROWS.get(row, 1)


def expression_cost(roots: tuple[Expr, ...]) -> int:
    """The cost of computing some expressions once for one element."""
    total = 0
    for x in subexpressions(roots):
        if type(x) is Scalar:
            total += _ROWS.get(x.row, 1)
        elif type(x) is Gathered:
            total += 3
        else:
            total += 1
    return total


def waits(roots: tuple[Expr, ...]) -> bool:
    """Whether the latency of long rows decides, rather than how many operations there are."""
    found = [_ROWS.get(x.row, 1) for x in subexpressions(roots) if type(x) is Scalar]
    return max(found, default=0) in LONG


def chunks_of(size: int) -> int:
    """Into how many parts a split reduction over `size` rows is cut: by the size only, so the bits are fixed."""
    return 8 if size < 256 else 16 if size < 4096 else 64


def worth_threads(work: int, threads: int) -> int:
    """How many threads some work is worth."""
    return max(1, min(threads, work // THREAD_WORK)) if work >= SERIAL_WORK else 1
