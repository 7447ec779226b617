"""The thread pool, the dispatcher and the trampolines."""

from __future__ import annotations

import array
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from pullback.codegen.llvm.compile import compile_ir, generic_target
from pullback.codegen.llvm.support import support_ir
from pullback.runtime.cpu import available_cores, cpu_info
from pullback.runtime.loader import LoadedObject, load_object
from pullback.runtime.native import Native, default_num_threads, native, this_platform
from pullback.util import config

IR = """
declare void @pb_parallel(ptr, ptr, i64)
declare i32 @usleep(i32)
declare i64 @pthread_self()
define void @add_one(ptr %a, i64 %tid, i64 %n) {
  %p = getelementptr i64, ptr %a, i64 %tid
  %o = load i64, ptr %p
  %x = add i64 %o, 1
  store i64 %x, ptr %p
  ret void
}
; slots: array, count
define void @region(ptr %s) {
  %a = load ptr, ptr %s
  %np = getelementptr i64, ptr %s, i64 1
  %n = load i64, ptr %np
  call void @pb_parallel(ptr @add_one, ptr %a, i64 %n)
  ret void
}
define void @inner(ptr %s, i64 %tid, i64 %n) {
  call void @region(ptr %s)
  ret void
}
; a region in every thread of a region, on separate memory: slots are 8 pairs
define void @pair(ptr %s, i64 %tid, i64 %n) {
  %p = getelementptr [2 x i64], ptr %s, i64 %tid
  call void @region(ptr %p)
  ret void
}
define void @nested(ptr %s) {
  call void @pb_parallel(ptr @pair, ptr %s, i64 8)
  ret void
}
define void @doze(ptr %a, i64 %tid, i64 %n) {
  call i32 @usleep(i32 3000)
  call void @add_one(ptr %a, i64 %tid, i64 %n)
  ret void
}
define void @slow(ptr %s) {
  %a = load ptr, ptr %s
  call void @pb_parallel(ptr @doze, ptr %a, i64 8)
  ret void
}
; slots: array, count, turns
define void @many(ptr %s) {
e:
  %tp = getelementptr i64, ptr %s, i64 2
  %turns = load i64, ptr %tp
  br label %l
l:
  %i = phi i64 [ 0, %e ], [ %j, %l ]
  call void @region(ptr %s)
  %j = add i64 %i, 1
  %c = icmp slt i64 %j, %turns
  br i1 %c, label %l, label %o
o:
  ret void
}
; slots: where to, then values to copy there: shows what the trampoline made
define void @copy(ptr %s) {
e:
  %to = load ptr, ptr %s
  %np = getelementptr i64, ptr %s, i64 1
  %n = load i64, ptr %np
  br label %l
l:
  %i = phi i64 [ 0, %e ], [ %j, %b ]
  %c = icmp slt i64 %i, %n
  br i1 %c, label %b, label %o
b:
  %k = add i64 %i, 2
  %f = getelementptr i64, ptr %s, i64 %k
  %v = load i64, ptr %f
  %t = getelementptr i64, ptr %to, i64 %i
  store i64 %v, ptr %t
  %j = add i64 %i, 1
  br label %l
o:
  ret void
}
; slots: log, position counter, number: order of execution
define void @log(ptr %s) {
  %to = load ptr, ptr %s
  %pp = getelementptr i64, ptr %s, i64 1
  %p = load ptr, ptr %pp
  %np = getelementptr i64, ptr %s, i64 2
  %n = load i64, ptr %np
  %at = load i64, ptr %p
  %t = getelementptr i64, ptr %to, i64 %at
  store i64 %n, ptr %t
  %next = add i64 %at, 1
  store i64 %next, ptr %p
  ret void
}
; slots: array: the thread that runs it
define void @who(ptr %s) {
  %a = load ptr, ptr %s
  %me = call i64 @pthread_self()
  store i64 %me, ptr %a
  ret void
}
define void @nap(ptr %s) {
  %n = load i64, ptr %s
  %k = trunc i64 %n to i32
  call i32 @usleep(i32 %k)
  ret void
}
"""
OBJECT = compile_ir(IR)


@pytest.fixture(scope="module")
def loaded() -> LoadedObject:
    return load_object(OBJECT, native().symbols)


@pytest.fixture
def threads() -> Iterator[Native]:
    runtime = native()
    before = runtime.num_threads
    yield runtime
    runtime.set_num_threads(before)


def zeros(count: int) -> tuple[array.array[int], int]:
    values = array.array("q", bytes(8 * count))
    return values, values.buffer_info()[0]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("tids", [0, 1, 2, 5, 64])
def test_every_tid_runs_once(loaded: LoadedObject, threads: Native, count: int, tids: int) -> None:
    threads.set_num_threads(count)
    values, address = zeros(64)
    many = threads.make_builtin(loaded.address("many"), keep=loaded)
    many(address, tids, 300)
    assert list(values) == [300] * tids + [0] * (64 - tids)
    assert threads.running_workers <= count - 1


def test_workers_sleep_and_wake(loaded: LoadedObject, threads: Native) -> None:
    threads.set_num_threads(3)
    values, address = zeros(8)
    slow = threads.make_builtin(loaded.address("slow"), release_gil=True)
    region = threads.make_builtin(loaded.address("region"))
    for _ in range(5):
        slow(address)
        time.sleep(0.002)
        region(address, 8)
    assert list(values) == [10] * 8
    before = time.process_time()
    time.sleep(0.1)
    assert time.process_time() - before < 0.05


def test_many_python_threads_at_once(loaded: LoadedObject, threads: Native) -> None:
    threads.set_num_threads(2)
    results = [zeros(16) for _ in range(8)]
    many = threads.make_builtin(loaded.address("many"), release_gil=True, keep=loaded)

    def work(index: int) -> None:
        for _ in range(20):
            many(results[index][1], 16, 50)

    running = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert all(list(values) == [1000] * 16 for values, _ in results)


def test_nested_regions_run_inline(loaded: LoadedObject, threads: Native) -> None:
    threads.set_num_threads(4)
    results = [zeros(16) for _ in range(8)]
    nested = threads.make_builtin(loaded.address("nested"), release_gil=True)
    for _ in range(100):
        nested(*(x for _, address in results for x in (address, 16)))
    assert all(list(values) == [100] * 16 for values, _ in results)


def test_changing_the_number_of_threads_while_regions_run(loaded: LoadedObject, threads: Native) -> None:
    values, address = zeros(8)
    many = threads.make_builtin(loaded.address("many"), release_gil=True)
    worker = threading.Thread(target=lambda: [many(address, 8, 100) for _ in range(50)])
    worker.start()
    for count in (1, 2, 3, 4) * 5:
        threads.set_num_threads(count)
    worker.join()
    assert list(values) == [5000] * 8
    for wrong in (0, -1, 1 << 20):
        with pytest.raises(ValueError, match="number of threads"):
            threads.set_num_threads(wrong)


def test_slots(loaded: LoadedObject) -> None:
    values, address = zeros(200)
    copy = native().make_builtin(loaded.address("copy"), keep=loaded)
    given = [0, 1, -1, 2**63 - 1, -2**63, 2**64 - 1, 2**63, True]
    copy(address, len(given), *given)
    assert [v % 2**64 for v in values[:len(given)]] == [int(g) % 2**64 for g in given]
    floats = [0.5, -1.25, float("inf")]
    copy(address, 3, *floats)
    assert array.array("d", values[:3].tobytes()).tolist() == floats
    copy(address, 198, *range(198))  # more than fit the stack
    assert list(values[:198]) == list(range(198))


@pytest.mark.parametrize("mode", ["call", "release", "submit"])
def test_wrong_arguments_raise(loaded: LoadedObject, mode: str) -> None:
    program = native().make_builtin(loaded.address("copy"), arguments=2, release_gil=mode == "release",
                                    submit=mode == "submit")
    for wrong in ((None, 1), (1, "x"), (1, [2]), (object, 1)):
        with pytest.raises(TypeError, match="int and float arguments; argument"):
            program(*wrong)
    with pytest.raises(OverflowError):
        program(1 << 64, 0)
    with pytest.raises(TypeError, match="program of 2 arguments was called with 3"):
        program(1, 2, 3)
    with pytest.raises(TypeError):
        program(1, b=2)
    loose = native().make_builtin(loaded.address("copy"))
    with pytest.raises(TypeError):
        loose(*([0] * 100), None)


def test_builtin_keeps_its_object_alive() -> None:
    own = load_object(OBJECT, native().symbols)
    alive = weakref.ref(own)
    program = native().make_builtin(own.address("region"), keep=own)
    del own
    gc.collect()
    values, address = zeros(4)
    program(address, 4)
    assert list(values) == [1] * 4
    del program
    gc.collect()
    assert alive() is None


def test_submitted_programs_run_in_order(loaded: LoadedObject) -> None:
    runtime = native()
    count = 5000  # more than the ring holds
    log, log_address = zeros(count)
    _, counter_address = kept = zeros(1)
    submit = runtime.make_builtin(loaded.address("log"), submit=True)
    tickets = [submit(log_address, counter_address, n) for n in range(count)]
    assert tickets == list(range(tickets[0], tickets[0] + count))
    runtime.wait(tickets[-1])
    assert list(log) == list(range(count))
    assert kept[0][0] == count
    runtime.wait(tickets[0])
    assert runtime.pending == 0


def test_submit_and_run_by_address(loaded: LoadedObject) -> None:
    runtime = native()
    values, address = zeros(4)
    slots = (ctypes.c_int64 * 2)(address, 4)
    where = ctypes.addressof(slots)
    runtime.run(loaded.address("region"), where)
    runtime.wait(runtime.submit(loaded.address("region"), where))
    assert list(values) == [2] * 4
    for wrong in ((), (1,), (None, 1), (1, 2, 3)):
        with pytest.raises(TypeError):
            runtime.run(*wrong)
        with pytest.raises(TypeError):
            runtime.submit(*wrong)
    with pytest.raises(ValueError, match="no such ticket"):
        runtime.wait(1 << 60)
    with pytest.raises(TypeError):
        runtime.wait("x")


def test_submissions_from_many_threads(loaded: LoadedObject) -> None:
    runtime = native()
    values, address = zeros(8)
    submit = runtime.make_builtin(loaded.address("region"), submit=True)

    def work() -> None:
        for _ in range(200):
            runtime.wait(submit(address, 8))

    running = [threading.Thread(target=work) for _ in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert list(values) == [1600] * 8


@pytest.mark.parametrize("brief", [True, False])
def test_a_thread_that_waits_runs_brief_programs_itself(loaded: LoadedObject, brief: bool) -> None:
    runtime = native()
    seen, address = zeros(1)
    submit = runtime.make_builtin(loaded.address("who"), submit=True, brief=brief)
    runners: list[int] = []
    for _ in range(200):
        runtime.wait(submit(address))
        runners.append(seen[0])
        time.sleep(0.001)  # the dispatcher falls asleep
    assert (threading.get_ident() in runners) == brief


def test_brief_and_other_programs_keep_their_order(loaded: LoadedObject) -> None:
    runtime = native()
    count = 3000
    log, log_address = zeros(count)
    place, place_address = zeros(1)
    modes = [runtime.make_builtin(loaded.address("log"), submit=True, brief=brief) for brief in (True, False)]
    tickets = [0] * count

    def wait() -> None:
        for n in range(0, count, 7):
            while not tickets[n]:
                time.sleep(0)
            runtime.wait(tickets[n])
            assert place[0] > n

    waiters = [threading.Thread(target=wait) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    for n in range(count):
        tickets[n] = modes[n % 5 == 0](log_address, place_address, n)
        if n % 11 == 0:
            runtime.wait(tickets[n])
            assert place[0] > n
    for waiter in waiters:
        waiter.join()
    runtime.drain()
    assert list(log) == list(range(count))


def test_other_threads_go_on_while_one_waits_or_runs(loaded: LoadedObject) -> None:
    submit = native().make_builtin(loaded.address("nap"), submit=True, brief=True)
    turns: list[float] = []

    def count() -> None:
        for _ in range(20):
            turns.append(time.perf_counter())
            time.sleep(0.002)

    counter = threading.Thread(target=count)
    counter.start()
    native().wait(submit(300_000))
    end = time.perf_counter()
    counter.join()
    assert turns[-1] < end


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX timers")
def test_a_signal_interrupts_a_wait_between_brief_programs(loaded: LoadedObject) -> None:
    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    runtime = native()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        submit = runtime.make_builtin(loaded.address("nap"), submit=True, brief=True)
        tickets = [submit(30_000) for _ in range(12)]
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        start = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            runtime.wait(tickets[-1])
        assert time.perf_counter() - start < 0.3
    finally:
        signal.signal(signal.SIGALRM, before)
    while runtime.completed < tickets[-1]:  # nobody waits: the dispatcher runs the rest
        assert time.perf_counter() - start < 20
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX timers")
def test_a_signal_interrupts_a_wait(loaded: LoadedObject) -> None:
    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        ticket = native().make_builtin(loaded.address("nap"), submit=True)(400_000)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        start = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            native().wait(ticket)
        assert time.perf_counter() - start < 0.3
    finally:
        signal.signal(signal.SIGALRM, before)
    native().wait(ticket)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_has_its_own_pool(loaded: LoadedObject, threads: Native) -> None:
    threads.set_num_threads(3)
    values, address = zeros(8)
    region = threads.make_builtin(loaded.address("region"), release_gil=True)
    submit = threads.make_builtin(loaded.address("region"), submit=True)
    region(address, 8)
    ticket = submit(address, 8)
    for _ in range(5):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            threads.wait(ticket)
            good = list(values) == [2] * 8 and threads.running_workers == 0
            region(address, 8)
            threads.wait(submit(address, 8))
            os._exit(0 if good and list(values) == [4] * 8 and threads.running_workers == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    region(address, 8)
    assert list(values) == [3] * 8


EXIT = """
import array, sys
from pullback.codegen.llvm.compile import cached_compile
from pullback.runtime.loader import load_object
from pullback.runtime.native import native
loaded = load_object(cached_compile(sys.argv[1]), native().symbols)
values = array.array("q", bytes(64))
native().set_num_threads(4)
native().make_builtin(loaded.address("region"), keep=loaded)(values.buffer_info()[0], 8)
native().make_builtin(loaded.address("nap"), submit=True)(20000)
import threading
assert threading.active_count() == 1 and list(values) == [1] * 8
"""


def test_exit_with_work_in_flight() -> None:
    subprocess.run([sys.executable, "-c", EXIT, IR], check=True, timeout=30)


@pytest.mark.parametrize("system", ["posix", "none"])
def test_hosts_without_futex_or_threads(system: str) -> None:
    target = generic_target()
    text = support_ir(this_platform()._replace(system=system))
    if system == "posix":
        text = text.replace("@pthread_sigmask(i32 3,", "@pthread_sigmask(i32 2,")  # Linux's number, for this test
    runtime = Native(load_object(compile_ir(text, *target[1:], target.triple)))
    runtime.set_num_threads(3)
    own = load_object(OBJECT, runtime.symbols)
    values, address = zeros(8)
    slow = runtime.make_builtin(own.address("slow"), keep=own, release_gil=True)
    submit = runtime.make_builtin(own.address("region"), submit=True)
    for _ in range(3):
        slow(address)
        runtime.wait(submit(address, 8))
    assert list(values) == [6] * 8
    assert runtime.running_workers == (2 if system == "posix" else 0)
    runtime.shutdown()
    assert runtime.running_workers == 0


PLACES = """
import array, os, sys, time
from pullback.codegen.llvm.compile import cached_compile
from pullback.runtime.loader import load_object
from pullback.runtime.native import native

loaded = load_object(cached_compile(sys.argv[1]), native().symbols)
values = array.array("q", bytes(16))
region = native().make_builtin(loaded.address("where"), keep=loaded)
cpus = os.sched_getaffinity(0)
first, second = sorted(cpus)[:2]
before = set(os.listdir("/proc/self/task"))
native().set_num_threads(2)

def run():
    values[0] = values[1] = -1
    region(values.buffer_info()[0])
    return list(values)

run()
worker, = (int(t) for t in set(os.listdir("/proc/self/task")) - before)
for pause in (0.0, 0.01):  # while the worker spins, and while it sleeps
    for _ in range(20):
        os.sched_setaffinity(worker, {first})
        os.sched_setaffinity(0, {first})
        assert run() == [first, first], "where somebody has put the worker, it stays"
        assert os.sched_getaffinity(worker) == {first}
        time.sleep(pause)
        os.sched_setaffinity(worker, cpus)  # does not move it
        here, there = run()
        assert here == first != there, (here, there)
        assert os.sched_getaffinity(worker) == cpus
        os.sched_setaffinity(0, cpus)
native().set_num_threads(len(cpus) + 1)  # more threads than CPUs: nobody moves
run()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or available_cores() < 2, reason="Linux, two CPUs")
def test_a_worker_leaves_the_cpu_of_its_caller() -> None:
    where = IR + """
declare i32 @sched_getcpu()
define void @note_cpu(ptr %a, i64 %tid, i64 %n) {
  %cpu = call i32 @sched_getcpu()
  %wide = sext i32 %cpu to i64
  %p = getelementptr i64, ptr %a, i64 %tid
  store i64 %wide, ptr %p
  ret void
}
define void @where(ptr %s) {
  %a = load ptr, ptr %s
  call void @pb_parallel(ptr @note_cpu, ptr %a, i64 2)
  ret void
}
"""
    subprocess.run([sys.executable, "-c", PLACES, where], check=True, timeout=60)


def test_number_of_threads() -> None:
    runtime = native()
    for given, expected in ((3, 3), ("5", 5), (0, available_cores()), (99999, 1024)):
        with config.override(threads=given):
            assert default_num_threads() == runtime.num_threads == expected
    assert runtime.num_threads == default_num_threads()


def test_spin() -> None:
    runtime = native()
    turns = ctypes.c_int64.from_address(runtime.loaded.address("pb_spin"))
    with config.override(spin_us=1000):
        many = turns.value
        with config.override(spin_us=10):
            assert 1 <= turns.value < many / 50
    assert turns.value < many


def test_cpu_info() -> None:
    info = cpu_info()
    assert info.name
    assert info.l1 <= info.l2 <= info.l3
    assert info.vector_bytes in (16, 32, 64)
    assert info.neon == (info.architecture == "aarch64")
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
