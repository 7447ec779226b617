"""Work that is handed out piece by piece: a thread that is done with a piece claims the next.

Equal parts end when the slowest thread ends, and threads are seldom equally fast: another process wants a core, cores
differ, a worker wakes late. The first pieces are large, later ones ever smaller ("factoring": S. Flynn Hummel, E.
Schonberg, L. Flynn, 1992), so that little is left to wait for and few pieces cost something. Who computes a piece
changes no result. Counters lie in the kernel's table and are zero when it starts.
"""

from __future__ import annotations

from collections.abc import Callable

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.text import Fn, V, i64

#: operations from which on a kernel's work is claimed: below, claims and small pieces cost more than they save
CLAIM_FLOPS = 10_000_000
LAST_SHIFT = 63


def share(fn: Fn, count: int, tid: V, live: V) -> tuple[V, V]:
    """A thread's fixed part [count * tid / live, count * (tid + 1) / live) of `count` units."""
    low = ix.div(fn, ix.mul(fn, tid, count), live)
    return low, ix.div(fn, ix.mul(fn, ix.add(fn, tid, 1), count), live)


def counter(fn: Fn, slots: V, slot: int) -> V:
    """The address of a counter."""
    return fn.gep(slots, i64(slot), "i64")


def for_claims(fn: Fn, counter: V, count: int, live: V, body: Callable[[V, V], None]) -> None:
    """`body(low, high)` for ranges that together are [0, count), each given to one of `live` threads.

    The first round gives each thread an equal part of three quarters, each later round an equal part of half the rest.
    One thread gets all at once.
    """
    n = fn.fresh("")
    alone = fn.cast("zext", fn.compare("icmp", "eq", live, i64(1)), "i64")
    fn.br(f"claim{n}")
    fn.label(f"claim{n}")
    number = fn.op(f"atomicrmw add ptr {counter.ref}, i64 1 monotonic, align 8", "i64")
    turn, which = ix.div(fn, number, live), fn.binary("urem", number, live)
    left, after = (_left(fn, count, ix.add(fn, turn, k), alone) for k in (0, 1))
    fn.cond_br(fn.compare("icmp", "eq", left, i64(0)), f"claimed{n}", f"given{n}")
    fn.label(f"given{n}")
    size, base = ix.sub(fn, left, after), ix.sub(fn, i64(count), left)
    low, high = (ix.add(fn, base, ix.div(fn, ix.mul(fn, size, ix.add(fn, which, k)), live)) for k in (0, 1))
    fn.cond_br(fn.compare("icmp", "slt", low, high), f"piece{n}", f"claim{n}")
    fn.label(f"piece{n}")
    body(low, high)
    fn.br(f"claim{n}")
    fn.label(f"claimed{n}")


def _left(fn: Fn, count: int, turn: V, alone: V) -> V:
    """What is left before a round: all, a quarter, an eighth ..."""
    started = fn.cast("zext", fn.compare("icmp", "ne", turn, i64(0)), "i64")
    shift = ix.add(fn, ix.add(fn, turn, started), ix.mul(fn, ix.mul(fn, alone, started), LAST_SHIFT))
    return fn.binary("lshr", i64(count), ix.minimum(fn, shift, LAST_SHIFT))


def note_done(fn: Fn, counter: V, count: V) -> None:
    """Add to what is done; what was written before is seen by those who then see the count."""
    fn.line(f"%{fn.fresh('done')} = atomicrmw add ptr {counter.ref}, i64 {count.ref} release, align 8")


def await_done(fn: Fn, counter: V, count: int) -> None:
    """Wait until so much is done: only for pieces that another thread has claimed, which it is working on."""
    fn.call("pb_reach", "void", counter, i64(count))
