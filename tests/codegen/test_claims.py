"""Work that threads claim: every unit is given once, to one thread, whoever comes when."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor

import llvmlite.binding as llvm
import numpy as np
import pytest

from pullback.codegen.llvm.claims import await_done, counter, for_claims, note_done
from pullback.codegen.llvm.kernels import PARAMS
from pullback.codegen.llvm.matmul_nest import for_range
from pullback.codegen.llvm.text import Module, V, i64
from pullback.runtime.native import native

from .jit import Jit

COUNT, PIECES, SEEN, CLAIMED, DONE = range(5)


def compiled(count: int) -> Jit:
    """A kernel that adds one to a byte for each unit and numbers the pieces; then waits for all units and counts those
    that it sees."""
    llvm.add_symbol("pb_reach", native().symbols["pb_reach"])
    module = Module()
    fn = module.function("kernel", PARAMS)
    slots, tid, live = fn.params
    units, pieces, seen = (fn.load(fn.gep(slots, i64(n), "ptr"), "ptr", 8) for n in (COUNT, PIECES, SEEN))

    def piece(low: V, high: V) -> None:
        number = fn.op(f"atomicrmw add ptr {pieces.ref}, i64 1 monotonic, align 8", "i64")
        fn.store(fn.binary("sub", high, low), fn.gep(pieces, fn.add(number, i64(1)), "i64"), 8)

        def unit(n: V) -> None:
            place = fn.gep(units, n, "i8")
            fn.store(fn.add(fn.load(place, "i8", 1), V("1", "i8")), place, 1)

        for_range(fn, low, high, 1, unit)
        note_done(fn, counter(fn, slots, DONE), fn.binary("sub", high, low))

    for_claims(fn, counter(fn, slots, CLAIMED), count, live, piece)
    await_done(fn, counter(fn, slots, DONE), count)
    loop = fn.begin_loop(i64(0), i64(count), i64(1), [i64(0)])
    one = fn.cast("zext", fn.load(fn.gep(units, loop.counter, "i8"), "i8", 1), "i64")
    total = fn.end_loop(loop, [fn.add(loop.carried[0], one)])[0]
    fn.store(total, fn.gep(seen, tid, "i64"), 8)
    fn.ret()
    return Jit(module.text())


def run(jit: Jit, count: int, threads: int, together: bool) -> tuple[np.ndarray, list[int], np.ndarray]:
    """How often each unit was done, the sizes of the pieces as they were claimed, what each thread saw in the end."""
    units, pieces, seen = np.zeros(count + 1, np.uint8), np.zeros(count + 2, np.int64), np.zeros(threads, np.int64)
    slots = (ctypes.c_void_p * 5)(units.ctypes.data, pieces.ctypes.data, seen.ctypes.data, 0, 0)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
        jit.engine.get_function_address("kernel"))
    if together:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda tid: call(ctypes.addressof(slots), tid, threads), range(threads)))
    else:
        for tid in range(threads):
            call(ctypes.addressof(slots), tid, threads)
    return units[:count], pieces[1:1 + pieces[0]].tolist(), seen


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 7, 8, 31, 64, 100, 1000, 4097])
@pytest.mark.parametrize("together", [True, False])
def test_every_unit_is_done_once_and_seen_by_all(count: int, together: bool) -> None:
    """At once, and one thread after another: the first then does all of it, and waits for nobody."""
    jit = compiled(count)
    for threads in (1, 2, 3, 4, 7):
        units, pieces, seen = run(jit, count, threads, together)
        assert (units == 1).all()
        assert sum(pieces) == count
        assert (seen == count).all()


def test_one_thread_gets_all_at_once_and_several_get_ever_smaller_pieces() -> None:
    jit = compiled(1000)
    assert run(jit, 1000, 1, False)[1] == [1000]
    _, pieces, _ = run(jit, 1000, 2, False)
    assert pieces[:6] == [375, 375, 62, 63, 31, 32]
    assert pieces[-1] == 1
    assert len(pieces) < 24
