"""The runtime's own native parts, as IR text: the thread pool, and all parts put together.

Beside it: `support_threads.py` (what the system does), `support_queue.py` (queued programs), `support_python.py`
(trampolines), `support_random.py` (a generator of random words).

The pool. `@pb_word` holds (participants << 48) | generation. A caller writes the job, then the word; worker w takes
part where w < participants, runs the thread numbers w, w + participants, ..., and acknowledges by writing the word
into its own slot, which the caller waits for. A worker that takes no part never reads the job. Both sides spin, then
sleep: a sleeper says so in its slot, then looks once more (both sequentially consistent), so no wake-up is lost.
Each slot has a line that the worker writes and a line with its two sleep flags.

Places. A worker that shares the caller's CPU cannot run beside it, so the two part, where the CPUs we may use are as
many as the threads: the job names the caller's CPU, and a worker that begins its share there moves away first; each
worker names the CPU it was last seen on, and the caller wakes a sleeper of its own CPU elsewhere, and moves a worker
that is late off its CPU. Whoever moves a thread gives it back all CPUs at once. Where a share runs changes no result.
"""

from __future__ import annotations

from typing import NamedTuple

from pullback.codegen.llvm.support_python import python_ir
from pullback.codegen.llvm.support_queue import queue_ir
from pullback.codegen.llvm.support_random import random_ir
from pullback.codegen.llvm.support_threads import threads_ir

MAX_THREADS = 1024
RING = 1024
STACK_SLOTS = 64
LINGER = 50_000  # nanoseconds that the dispatcher leaves to a thread that may come to wait
STACK_SIZE = 8 << 20


class Platform(NamedTuple):
    """What the text depends on: the processor, how threads sleep, and two offsets of this Python's objects."""

    arch: str  # "x86_64", "aarch64" or another
    system: str  # "linux" (futex), "posix" (naps), "none" (no threads)
    bytes_data: int  # offset of the data in a bytes object
    object_type: int  # offset of the type in any object


def support_ir(platform: Platform) -> str:
    """The whole module for one platform."""
    text = "\n".join([_GLOBALS, _pause(platform.arch), threads_ir(platform.system), _POOL, queue_ir(), python_ir(),
                      random_ir()])
    numbers = {
        "MAX_THREADS": MAX_THREADS, "RING_MASK": RING - 1, "RING": RING, "LINGER": LINGER, "STACK_SIZE": STACK_SIZE,
        "STACK_SLOTS": STACK_SLOTS, "FUTEX": 98 if platform.arch == "aarch64" else 202,
        "GETTID": 186 if platform.arch == "x86_64" else 178,
        "SETMASK": 2 if platform.system == "linux" else 3,
        "BYTES_DATA": platform.bytes_data, "OBJECT_TYPE": platform.object_type,
    }
    for name, value in numbers.items():
        text = text.replace(f"${name}$", str(value))
    return text


def _pause(arch: str) -> str:
    declare, call = {
        "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
        "aarch64": ("declare void @llvm.aarch64.isb(i32)", "call void @llvm.aarch64.isb(i32 15)"),
    }.get(arch, ("", "fence seq_cst"))
    return f"{declare}\ndefine internal void @pause() nounwind {{\n  {call}\n  ret void\n}}"


_GLOBALS = """
@pb_threads   = dso_local global i64 1, align 128
@pb_spin      = dso_local global i64 1000, align 8
@pb_join_spin = dso_local global i64 1000, align 8
@pb_word      = internal global i64 0, align 128
@pb_job       = internal global { ptr, ptr, i64, i32 } zeroinitializer, align 128
@pb_apart     = internal global i32 0, align 4
@pb_cpus      = internal global [16 x i64] zeroinitializer, align 128
@pb_busy      = internal global i32 0, align 128
@pb_started   = internal global i32 0, align 4
@pb_quit      = internal global i32 0, align 4
@pb_workers   = dso_local global i64 0, align 8
@pb_cancel    = dso_local global i32 0, align 8
@pb_slots     = internal global [$MAX_THREADS$ x [128 x i8]] zeroinitializer, align 128
@pb_ids       = internal global [$MAX_THREADS$ x i64] zeroinitializer, align 128
@pb_submitted = dso_local global i64 0, align 128
@pb_lock      = internal global i32 0, align 128
@pb_running   = internal global i32 0, align 4
@pb_runner    = internal global i32 0, align 128
@pb_completed = dso_local global i64 0, align 128
@pb_waiters   = internal global i32 0, align 128
@pb_resting   = internal global i32 0, align 128
@pb_stop      = internal global i32 0, align 4
@pb_thread    = internal global i64 0, align 8
@pb_ring      = internal global [$RING$ x { ptr, ptr, ptr, i64 }] zeroinitializer, align 128
declare i32 @sched_yield()
declare ptr @malloc(i64)
declare void @free(ptr)
"""

_POOL = """
define void @pb_pause_many(ptr %slots) nounwind {
entry:
  %count = load i64, ptr %slots, align 8
  br label %turn
turn:
  %i = phi i64 [ 0, %entry ], [ %next, %turn ]
  call void @pause()
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %turn, label %out
out:
  ret void
}

; Run thread numbers first, first + step, ... of a job of count.
define internal void @run_share(ptr %fn, ptr %args, i64 %first, i64 %step, i64 %count) nounwind {
entry:
  br label %head
head:
  %tid = phi i64 [ %first, %entry ], [ %next, %body ]
  %more = icmp slt i64 %tid, %count
  br i1 %more, label %body, label %out
body:
  call void %fn(ptr %args, i64 %tid, i64 %count)
  %next = add i64 %tid, %step
  br label %head
out:
  ret void
}

; Let a thread (0: this one) go on elsewhere than on a CPU.
define internal void @move_away(i32 %thread, i32 %cpu) nounwind {
  %kept = call i1 @forbid_cpu(i32 %thread, i32 %cpu)
  br i1 %kept, label %allow, label %out
allow:
  call void @allow_cpus(i32 %thread)
  br label %out
out:
  ret void
}

define internal ptr @worker(ptr %argument) nounwind {
entry:
  %index = ptrtoint ptr %argument to i64
  %slot = getelementptr [128 x i8], ptr @pb_slots, i64 %index
  %parked = getelementptr i8, ptr %slot, i64 64
  %joiner = getelementptr i8, ptr %slot, i64 68
  %cpu.at = getelementptr i8, ptr %slot, i64 8
  %thread.at = getelementptr i8, ptr %slot, i64 12
  %first = load atomic i64, ptr %slot acquire, align 8
  %thread = call i32 @this_thread()
  store atomic i32 %thread, ptr %thread.at release, align 4
  br label %again
again:
  %last = phi i64 [ %first, %entry ], [ %word, %again.link ]
  %cpu.idle = call i32 @this_cpu()
  store atomic i32 %cpu.idle, ptr %cpu.at monotonic, align 4
  %limit = load atomic i64, ptr @pb_spin monotonic, align 8
  br label %spin
spin:
  %n = phi i64 [ 0, %again ], [ %n.next, %wait ]
  %seen = load atomic i64, ptr @pb_word acquire, align 8
  %changed = icmp ne i64 %seen, %last
  br i1 %changed, label %go, label %wait
wait:
  call void @pause()
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, %limit
  br i1 %more, label %spin, label %park
park:
  %cpu.parked = call i32 @this_cpu()
  store atomic i32 %cpu.parked, ptr %cpu.at monotonic, align 4
  store atomic i32 1, ptr %parked seq_cst, align 4
  br label %look
look:
  %seen.late = load atomic i64, ptr @pb_word seq_cst, align 8
  %changed.late = icmp ne i64 %seen.late, %last
  br i1 %changed.late, label %unpark, label %rest
rest:
  call void @sleep(ptr %parked, i32 1, i64 -1)
  br label %look
unpark:
  store atomic i32 0, ptr %parked seq_cst, align 4
  br label %go
go:
  %word = phi i64 [ %seen, %spin ], [ %seen.late, %unpark ]
  %participants = lshr i64 %word, 48
  %mine = icmp ult i64 %index, %participants
  %quitting = load atomic i32, ptr @pb_quit acquire, align 4
  %stay = icmp eq i32 %quitting, 0
  %keep = or i1 %mine, %stay
  br i1 %keep, label %stays, label %leave
stays:
  br i1 %mine, label %run, label %again.link
run:
  %fn = load ptr, ptr @pb_job, align 8
  %args = load ptr, ptr getelementptr (i8, ptr @pb_job, i64 8), align 8
  %count = load i64, ptr getelementptr (i8, ptr @pb_job, i64 16), align 8
  %cpu.caller = load i32, ptr getelementptr (i8, ptr @pb_job, i64 24), align 8
  %cpu = call i32 @this_cpu()
  store atomic i32 %cpu, ptr %cpu.at monotonic, align 4
  %together = icmp eq i32 %cpu, %cpu.caller
  br i1 %together, label %part, label %share
part:
  call void @move_away(i32 0, i32 %cpu)
  br label %share
share:
  call void @run_share(ptr %fn, ptr %args, i64 %index, i64 %participants, i64 %count)
  br label %acknowledge
acknowledge:
  %before = atomicrmw xchg ptr %slot, i64 %word seq_cst, align 8
  %waiting = load atomic i32, ptr %joiner seq_cst, align 4
  %asleep = icmp ne i32 %waiting, 0
  br i1 %asleep, label %wake.joiner, label %again.link
wake.joiner:
  call void @wake(ptr %slot)
  br label %again.link
again.link:
  br label %again
leave:
  ret ptr null
}

; With @pb_busy held: start the workers that are wanted, as many as the system allows.
define internal void @start_pool() nounwind {
entry:
  %wanted.raw = load atomic i64, ptr @pb_threads monotonic, align 8
  %big = icmp ugt i64 %wanted.raw, $MAX_THREADS$
  %wanted = select i1 %big, i64 $MAX_THREADS$, i64 %wanted.raw
  %word = load atomic i64, ptr @pb_word monotonic, align 8
  call void @note_cpus(i64 %wanted)
  br label %head
head:
  %index = phi i64 [ 1, %entry ], [ %next, %started ]
  %more = icmp slt i64 %index, %wanted
  br i1 %more, label %body, label %out
body:
  %slot = getelementptr [128 x i8], ptr @pb_slots, i64 %index
  %flags = getelementptr i8, ptr %slot, i64 64
  store atomic i64 %word, ptr %slot monotonic, align 8
  store i64 0, ptr %flags, align 8
  %cpu.at = getelementptr i8, ptr %slot, i64 8
  store atomic i32 -1, ptr %cpu.at monotonic, align 4
  %id = getelementptr i64, ptr @pb_ids, i64 %index
  %argument = inttoptr i64 %index to ptr
  %good = call i1 @start_thread(ptr %id, ptr @worker, ptr %argument)
  br i1 %good, label %started, label %out
started:
  %next = add i64 %index, 1
  br label %head
out:
  %workers = sub i64 %index, 1
  store atomic i64 %workers, ptr @pb_workers release, align 8
  store atomic i32 1, ptr @pb_started release, align 4
  ret void
}

; Wake worker %index if it sleeps: elsewhere than on this thread's CPU, where it could not run yet.
define internal void @wake_worker(i64 %index, i32 %cpu) nounwind {
  %slot = getelementptr [128 x i8], ptr @pb_slots, i64 %index
  %parked = getelementptr i8, ptr %slot, i64 64
  %flag = load atomic i32, ptr %parked seq_cst, align 4
  %asleep = icmp ne i32 %flag, 0
  br i1 %asleep, label %rouse, label %out
rouse:
  store atomic i32 0, ptr %parked seq_cst, align 4
  %cpu.at = getelementptr i8, ptr %slot, i64 8
  %cpu.worker = load atomic i32, ptr %cpu.at monotonic, align 4
  %together = icmp eq i32 %cpu.worker, %cpu
  br i1 %together, label %part, label %plain
part:
  %thread.at = getelementptr i8, ptr %slot, i64 12
  %thread = load atomic i32, ptr %thread.at acquire, align 4
  %kept = call i1 @forbid_cpu(i32 %thread, i32 %cpu)
  call void @wake(ptr %parked)
  br i1 %kept, label %allow, label %out
allow:
  call void @allow_cpus(i32 %thread)
  br label %out
plain:
  call void @wake(ptr %parked)
  br label %out
out:
  ret void
}

; While this thread waits for worker %index: see that it does not wait for this thread's CPU.
define internal void @part_from(ptr %slot) nounwind {
  %cpu = call i32 @this_cpu()
  %cpu.at = getelementptr i8, ptr %slot, i64 8
  %cpu.worker = load atomic i32, ptr %cpu.at monotonic, align 4
  %together = icmp eq i32 %cpu.worker, %cpu
  br i1 %together, label %part, label %out
part:
  %thread.at = getelementptr i8, ptr %slot, i64 12
  %thread = load atomic i32, ptr %thread.at acquire, align 4
  call void @move_away(i32 %thread, i32 %cpu)
  br label %out
out:
  ret void
}

; Wait until worker %index has acknowledged %word.
define internal void @join_worker(i64 %index, i64 %word) nounwind {
entry:
  %slot = getelementptr [128 x i8], ptr @pb_slots, i64 %index
  %joiner = getelementptr i8, ptr %slot, i64 68
  %limit = load atomic i64, ptr @pb_join_spin monotonic, align 8
  %patience = lshr i64 %limit, 4
  br label %spin
spin:
  %n = phi i64 [ 0, %entry ], [ %n.next, %wait ]
  %seen = load atomic i64, ptr %slot acquire, align 8
  %done = icmp eq i64 %seen, %word
  br i1 %done, label %out, label %late
late:
  %long = icmp eq i64 %n, %patience
  br i1 %long, label %part, label %wait
part:
  call void @part_from(ptr %slot)
  br label %wait
wait:
  call void @pause()
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, %limit
  br i1 %more, label %spin, label %park
park:
  store atomic i32 1, ptr %joiner seq_cst, align 4
  br label %look
look:
  %seen.late = load atomic i64, ptr %slot seq_cst, align 8
  %done.late = icmp eq i64 %seen.late, %word
  br i1 %done.late, label %unpark, label %rest
rest:
  %low = trunc i64 %seen.late to i32
  call void @sleep(ptr %slot, i32 %low, i64 -1)
  br label %look
unpark:
  store atomic i32 0, ptr %joiner monotonic, align 4
  br label %out
out:
  ret void
}

; Run fn(args, tid, count) for every tid below count; the caller is tid 0. Where the pool is busy (a nested region, or
; another thread's), the caller runs them all.
define dso_local void @pb_parallel(ptr %fn, ptr %args, i64 %count) nounwind {
entry:
  %several = icmp sgt i64 %count, 1
  br i1 %several, label %take, label %alone
take:
  %pair = cmpxchg ptr @pb_busy, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %pair, 1
  br i1 %got, label %ready, label %alone
ready:
  %started = load atomic i32, ptr @pb_started acquire, align 4
  %cold = icmp eq i32 %started, 0
  br i1 %cold, label %start, label %size
start:
  call void @start_pool()
  br label %size
size:
  %workers = load atomic i64, ptr @pb_workers monotonic, align 8
  %all = add i64 %workers, 1
  %few = icmp slt i64 %count, %all
  %participants = select i1 %few, i64 %count, i64 %all
  %old = load atomic i64, ptr @pb_word monotonic, align 8
  store ptr %fn, ptr @pb_job, align 8
  store ptr %args, ptr getelementptr (i8, ptr @pb_job, i64 8), align 8
  store i64 %count, ptr getelementptr (i8, ptr @pb_job, i64 16), align 8
  %cpu = call i32 @this_cpu()
  store i32 %cpu, ptr getelementptr (i8, ptr @pb_job, i64 24), align 8
  %next = add i64 %old, 1
  %generation = and i64 %next, 281474976710655
  %high = shl i64 %participants, 48
  %word = or i64 %high, %generation
  store atomic i64 %word, ptr @pb_word seq_cst, align 8
  br label %wake.head
wake.head:
  %w = phi i64 [ 1, %size ], [ %w.next, %wake.body ]
  %w.more = icmp slt i64 %w, %participants
  br i1 %w.more, label %wake.body, label %share
wake.body:
  call void @wake_worker(i64 %w, i32 %cpu)
  %w.next = add i64 %w, 1
  br label %wake.head
share:
  call void @run_share(ptr %fn, ptr %args, i64 0, i64 %participants, i64 %count)
  br label %join.head
join.head:
  %j = phi i64 [ 1, %share ], [ %j.next, %join.body ]
  %j.more = icmp slt i64 %j, %participants
  br i1 %j.more, label %join.body, label %release
join.body:
  call void @join_worker(i64 %j, i64 %word)
  %j.next = add i64 %j, 1
  br label %join.head
release:
  store atomic i32 0, ptr @pb_busy release, align 4
  ret void
alone:
  call void @run_share(ptr %fn, ptr %args, i64 0, i64 1, i64 %count)
  ret void
}

; Wait until a counter has reached a value: for work that other threads have begun.
define dso_local void @pb_reach(ptr %counter, i64 %value) nounwind {
entry:
  %limit = load atomic i64, ptr @pb_join_spin monotonic, align 8
  br label %look
look:
  %n = phi i64 [ 0, %entry ], [ %next, %look.link ]
  %seen = load atomic i64, ptr %counter acquire, align 8
  %done = icmp sge i64 %seen, %value
  br i1 %done, label %out, label %wait
wait:
  %next = add i64 %n, 1
  %more = icmp ult i64 %n, %limit
  br i1 %more, label %rest, label %yield
rest:
  call void @pause()
  br label %look.link
yield:
  call i32 @sched_yield()
  br label %look.link
look.link:
  br label %look
out:
  ret void
}

; Stop the workers, once the region in progress is over; the next region starts them again.
define dso_local void @pb_pool_stop() nounwind {
entry:
  br label %take
take:
  %pair = cmpxchg ptr @pb_busy, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %pair, 1
  br i1 %got, label %ready, label %yield
yield:
  call i32 @sched_yield()
  br label %take
ready:
  %workers = load atomic i64, ptr @pb_workers acquire, align 8
  store atomic i32 1, ptr @pb_quit seq_cst, align 4
  %old = load atomic i64, ptr @pb_word monotonic, align 8
  %next = add i64 %old, 1
  %word = and i64 %next, 281474976710655
  store atomic i64 %word, ptr @pb_word seq_cst, align 8
  br label %head
head:
  %w = phi i64 [ 1, %ready ], [ %w.next, %body ]
  %more = icmp sle i64 %w, %workers
  br i1 %more, label %body, label %out
body:
  call void @wake_worker(i64 %w, i32 -2)
  %place = getelementptr i64, ptr @pb_ids, i64 %w
  %id = load i64, ptr %place, align 8
  call void @join_thread(i64 %id)
  %w.next = add i64 %w, 1
  br label %head
out:
  store atomic i64 0, ptr @pb_workers monotonic, align 8
  store atomic i32 0, ptr @pb_started monotonic, align 4
  store atomic i32 0, ptr @pb_quit monotonic, align 4
  store atomic i32 0, ptr @pb_busy release, align 4
  ret void
}
"""
