"""The runtime's own native parts, as IR text: thread pool and dispatcher (trampolines: `support_python.py`).

The pool. `@pb_word` holds (participants << 48) | generation. A caller writes the job, then the word; worker w takes
part where w < participants, runs the thread numbers w, w + participants, ..., and acknowledges by writing the word
into its own slot, which the caller waits for. A worker that takes no part never reads the job. Both sides spin, then
sleep: a sleeper says so in its slot, then looks once more (both sequentially consistent), so no wake-up is lost.
Each slot has a line that the worker writes and a line with its two sleep flags.

The dispatcher. One thread that runs queued programs in order from a ring; a ticket is a place in that order.
"""

from __future__ import annotations

from typing import NamedTuple

from pullback.codegen.llvm.support_python import python_ir

MAX_THREADS = 1024
RING = 1024
STACK_SLOTS = 64
STACK_SIZE = 8 << 20


class Platform(NamedTuple):
    """What the text depends on: the processor, how threads sleep, and two offsets of this Python's objects."""

    arch: str  # "x86_64", "aarch64" or another
    system: str  # "linux" (futex), "posix" (naps), "none" (no threads)
    bytes_data: int  # offset of the data in a bytes object
    object_type: int  # offset of the type in any object


def support_ir(platform: Platform) -> str:
    """The whole module for one platform."""
    system = {"linux": _LINUX, "posix": _NAPS, "none": _NO_THREADS}[platform.system]
    text = "\n".join([_GLOBALS, _pause(platform.arch), system, _POOL, _DISPATCHER, python_ir()])
    numbers = {
        "MAX_THREADS": MAX_THREADS, "RING_MASK": RING - 1, "RING": RING, "STACK_SIZE": STACK_SIZE,
        "STACK_SLOTS": STACK_SLOTS, "FUTEX": 98 if platform.arch == "aarch64" else 202,
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
@pb_job       = internal global { ptr, ptr, i64 } zeroinitializer, align 128
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
@pb_completed = dso_local global i64 0, align 128
@pb_waiters   = internal global i32 0, align 128
@pb_resting   = internal global i32 0, align 128
@pb_stop      = internal global i32 0, align 4
@pb_thread    = internal global i64 0, align 8
@pb_ring      = internal global [$RING$ x { ptr, ptr, ptr, ptr }] zeroinitializer, align 128
declare i32 @sched_yield()
declare ptr @malloc(i64)
declare void @free(ptr)
"""

_PTHREADS = """
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_attr_init(ptr)
declare i32 @pthread_attr_setstacksize(ptr, i64)
declare i32 @pthread_attr_destroy(ptr)
declare i32 @sigfillset(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)

; Start a thread that takes no signals: they are the main thread's. True where it runs.
define internal i1 @start_thread(ptr %id, ptr %function, ptr %argument) nounwind {
  %attributes = alloca [128 x i8], align 16
  %all = alloca [128 x i8], align 16
  %old = alloca [128 x i8], align 16
  call i32 @pthread_attr_init(ptr %attributes)
  call i32 @pthread_attr_setstacksize(ptr %attributes, i64 $STACK_SIZE$)
  call i32 @sigfillset(ptr %all)
  call i32 @pthread_sigmask(i32 $SETMASK$, ptr %all, ptr %old)
  %error = call i32 @pthread_create(ptr %id, ptr %attributes, ptr %function, ptr %argument)
  call i32 @pthread_sigmask(i32 $SETMASK$, ptr %old, ptr null)
  call i32 @pthread_attr_destroy(ptr %attributes)
  %good = icmp eq i32 %error, 0
  ret i1 %good
}
define internal void @join_thread(i64 %id) nounwind {
  call i32 @pthread_join(i64 %id, ptr null)
  ret void
}
"""

_LINUX = _PTHREADS + """
declare i64 @syscall(i64, ...)

; Sleep while *word is expected, for at most so many nanoseconds (for ever where negative).
define internal void @sleep(ptr %word, i32 %expected, i64 %nanoseconds) nounwind {
  %time = alloca [2 x i64], align 8
  %seconds = sdiv i64 %nanoseconds, 1000000000
  %rest = srem i64 %nanoseconds, 1000000000
  store i64 %seconds, ptr %time, align 8
  %second = getelementptr i64, ptr %time, i64 1
  store i64 %rest, ptr %second, align 8
  %forever = icmp slt i64 %nanoseconds, 0
  %timeout = select i1 %forever, ptr null, ptr %time
  %value = zext i32 %expected to i64
  call i64 (i64, ...) @syscall(i64 $FUTEX$, ptr %word, i64 128, i64 %value, ptr %timeout, ptr null, i64 0)
  ret void
}
define internal void @wake(ptr %word) nounwind {
  call i64 (i64, ...) @syscall(i64 $FUTEX$, ptr %word, i64 129, i64 2147483647, ptr null, ptr null, i64 0)
  ret void
}
"""

_NAPS = _PTHREADS + """
declare i32 @nanosleep(ptr, ptr)

; No futex: naps of a fifth of a millisecond; every caller looks again.
define internal void @sleep(ptr %word, i32 %expected, i64 %nanoseconds) nounwind {
  %time = alloca [2 x i64], align 8
  store i64 0, ptr %time, align 8
  %second = getelementptr i64, ptr %time, i64 1
  store i64 200000, ptr %second, align 8
  call i32 @nanosleep(ptr %time, ptr null)
  ret void
}
define internal void @wake(ptr %word) nounwind {
  ret void
}
"""

_NO_THREADS = """
define internal i1 @start_thread(ptr %id, ptr %function, ptr %argument) nounwind {
  ret i1 false
}
define internal void @join_thread(i64 %id) nounwind {
  ret void
}
define internal void @sleep(ptr %word, i32 %expected, i64 %nanoseconds) nounwind {
  call void @pause()
  ret void
}
define internal void @wake(ptr %word) nounwind {
  ret void
}
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

define internal ptr @worker(ptr %argument) nounwind {
entry:
  %index = ptrtoint ptr %argument to i64
  %slot = getelementptr [128 x i8], ptr @pb_slots, i64 %index
  %parked = getelementptr i8, ptr %slot, i64 64
  %joiner = getelementptr i8, ptr %slot, i64 68
  %first = load atomic i64, ptr %slot acquire, align 8
  br label %again
again:
  %last = phi i64 [ %first, %entry ], [ %word, %again.link ]
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

; Wake worker %index if it sleeps.
define internal void @wake_worker(i64 %index) nounwind {
  %slot = getelementptr [128 x i8], ptr @pb_slots, i64 %index
  %parked = getelementptr i8, ptr %slot, i64 64
  %flag = load atomic i32, ptr %parked seq_cst, align 4
  %asleep = icmp ne i32 %flag, 0
  br i1 %asleep, label %rouse, label %out
rouse:
  store atomic i32 0, ptr %parked seq_cst, align 4
  call void @wake(ptr %parked)
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
  br label %spin
spin:
  %n = phi i64 [ 0, %entry ], [ %n.next, %wait ]
  %seen = load atomic i64, ptr %slot acquire, align 8
  %done = icmp eq i64 %seen, %word
  br i1 %done, label %out, label %wait
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
  call void @wake_worker(i64 %w)
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
  call void @wake_worker(i64 %w)
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

_DISPATCHER = """
; Whether programs shall return at their next stop, between kernels or turns of a loop.
define dso_local i32 @pb_cancelled() nounwind {
  %flag = load atomic i32, ptr @pb_cancel monotonic, align 4
  ret i32 %flag
}

; In a child process: no threads are left, whatever was queued is the parent's.
define dso_local void @pb_after_fork() nounwind {
  store atomic i64 0, ptr @pb_workers monotonic, align 8
  store atomic i32 0, ptr @pb_started monotonic, align 4
  store atomic i32 0, ptr @pb_quit monotonic, align 4
  store atomic i32 0, ptr @pb_busy monotonic, align 4
  store atomic i32 0, ptr @pb_lock monotonic, align 4
  store atomic i32 0, ptr @pb_running monotonic, align 4
  store atomic i32 0, ptr @pb_waiters monotonic, align 4
  store atomic i32 0, ptr @pb_resting monotonic, align 4
  store atomic i32 0, ptr @pb_stop monotonic, align 4
  store atomic i32 0, ptr @pb_cancel monotonic, align 4
  %submitted = load atomic i64, ptr @pb_submitted monotonic, align 8
  store atomic i64 %submitted, ptr @pb_completed seq_cst, align 8
  ret void
}

define internal ptr @dispatcher(ptr %argument) nounwind {
entry:
  br label %again
again:
  %limit = load atomic i64, ptr @pb_spin monotonic, align 8
  %done = load atomic i64, ptr @pb_completed monotonic, align 8
  br label %spin
spin:
  %n = phi i64 [ 0, %again ], [ %n.next, %wait ]
  %seen = load atomic i64, ptr @pb_submitted acquire, align 8
  %work = icmp ne i64 %seen, %done
  br i1 %work, label %run, label %wait
wait:
  call void @pause()
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, %limit
  br i1 %more, label %spin, label %park
park:
  store atomic i32 1, ptr @pb_resting seq_cst, align 4
  br label %look
look:
  %seen.late = load atomic i64, ptr @pb_submitted seq_cst, align 8
  %work.late = icmp ne i64 %seen.late, %done
  br i1 %work.late, label %unpark, label %ask
ask:
  %stop = load atomic i32, ptr @pb_stop seq_cst, align 4
  %leave = icmp ne i32 %stop, 0
  br i1 %leave, label %out, label %rest
rest:
  call void @sleep(ptr @pb_resting, i32 1, i64 -1)
  br label %look
unpark:
  store atomic i32 0, ptr @pb_resting seq_cst, align 4
  br label %run
run:
  %place = and i64 %done, $RING_MASK$
  %entry.at = getelementptr { ptr, ptr, ptr, ptr }, ptr @pb_ring, i64 %place
  %program = load ptr, ptr %entry.at, align 8
  %args.at = getelementptr i8, ptr %entry.at, i64 8
  %args = load ptr, ptr %args.at, align 8
  %owned.at = getelementptr i8, ptr %entry.at, i64 16
  %owned = load ptr, ptr %owned.at, align 8
  call void %program(ptr %args)
  call void @free(ptr %owned)
  %finished = add i64 %done, 1
  store atomic i64 %finished, ptr @pb_completed seq_cst, align 8
  %waiters = load atomic i32, ptr @pb_waiters seq_cst, align 4
  %awaited = icmp ne i32 %waiters, 0
  br i1 %awaited, label %tell, label %again
tell:
  call void @wake(ptr @pb_completed)
  br label %again
out:
  store atomic i32 0, ptr @pb_resting seq_cst, align 4
  ret ptr null
}

; Queue program(args); %owned is freed afterwards. Returns the ticket. Runs it at once where no thread can be had.
define dso_local i64 @pb_enqueue(ptr %program, ptr %args, ptr %owned) nounwind {
entry:
  br label %take
take:
  %pair = cmpxchg ptr @pb_lock, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %pair, 1
  br i1 %got, label %ready, label %yield
yield:
  call i32 @sched_yield()
  br label %take
ready:
  %submitted = load atomic i64, ptr @pb_submitted monotonic, align 8
  %ticket = add i64 %submitted, 1
  %running = load atomic i32, ptr @pb_running monotonic, align 4
  %cold = icmp eq i32 %running, 0
  br i1 %cold, label %start, label %room
start:
  %good = call i1 @start_thread(ptr @pb_thread, ptr @dispatcher, ptr null)
  br i1 %good, label %note, label %inline
note:
  store atomic i32 1, ptr @pb_running monotonic, align 4
  br label %room
room:
  %completed = load atomic i64, ptr @pb_completed acquire, align 8
  %queued = sub i64 %submitted, %completed
  %full = icmp uge i64 %queued, $RING$
  br i1 %full, label %block, label %write
block:
  %oldest = sub i64 %ticket, $RING$
  %ignored = call i32 @pb_wait(i64 %oldest, i64 -1)
  br label %room
write:
  %place = and i64 %submitted, $RING_MASK$
  %entry.at = getelementptr { ptr, ptr, ptr, ptr }, ptr @pb_ring, i64 %place
  store ptr %program, ptr %entry.at, align 8
  %args.at = getelementptr i8, ptr %entry.at, i64 8
  store ptr %args, ptr %args.at, align 8
  %owned.at = getelementptr i8, ptr %entry.at, i64 16
  store ptr %owned, ptr %owned.at, align 8
  store atomic i64 %ticket, ptr @pb_submitted seq_cst, align 8
  %resting = load atomic i32, ptr @pb_resting seq_cst, align 4
  %asleep = icmp ne i32 %resting, 0
  br i1 %asleep, label %rouse, label %out
rouse:
  store atomic i32 0, ptr @pb_resting seq_cst, align 4
  call void @wake(ptr @pb_resting)
  br label %out
inline:
  call void %program(ptr %args)
  call void @free(ptr %owned)
  store atomic i64 %ticket, ptr @pb_submitted seq_cst, align 8
  store atomic i64 %ticket, ptr @pb_completed seq_cst, align 8
  br label %out
out:
  store atomic i32 0, ptr @pb_lock release, align 4
  ret i64 %ticket
}

; Wait for a ticket: 1 where it is done; 0 after one sleep of at most so many nanoseconds (never 0 where negative).
define dso_local i32 @pb_wait(i64 %ticket, i64 %nanoseconds) nounwind {
entry:
  %limit = load atomic i64, ptr @pb_join_spin monotonic, align 8
  br label %spin
spin:
  %n = phi i64 [ 0, %entry ], [ %n.next, %wait ]
  %seen = load atomic i64, ptr @pb_completed acquire, align 8
  %done = icmp sge i64 %seen, %ticket
  br i1 %done, label %yes, label %wait
wait:
  call void @pause()
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, %limit
  br i1 %more, label %spin, label %park
park:
  %before = atomicrmw add ptr @pb_waiters, i32 1 seq_cst, align 4
  %seen.late = load atomic i64, ptr @pb_completed seq_cst, align 8
  %done.late = icmp sge i64 %seen.late, %ticket
  br i1 %done.late, label %unpark, label %rest
rest:
  %low = trunc i64 %seen.late to i32
  call void @sleep(ptr @pb_completed, i32 %low, i64 %nanoseconds)
  br label %unpark
unpark:
  %after = atomicrmw sub ptr @pb_waiters, i32 1 seq_cst, align 4
  %seen.last = load atomic i64, ptr @pb_completed acquire, align 8
  %done.last = icmp sge i64 %seen.last, %ticket
  br i1 %done.last, label %yes, label %no
no:
  %forever = icmp slt i64 %nanoseconds, 0
  br i1 %forever, label %park, label %later
later:
  ret i32 0
yes:
  ret i32 1
}

; Let the dispatcher finish what is queued, and end it.
define dso_local void @pb_dispatcher_stop() nounwind {
entry:
  br label %take
take:
  %pair = cmpxchg ptr @pb_lock, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %pair, 1
  br i1 %got, label %ready, label %yield
yield:
  call i32 @sched_yield()
  br label %take
ready:
  %running = load atomic i32, ptr @pb_running monotonic, align 4
  %alive = icmp ne i32 %running, 0
  br i1 %alive, label %stop, label %out
stop:
  store atomic i32 1, ptr @pb_stop seq_cst, align 4
  store atomic i32 0, ptr @pb_resting seq_cst, align 4
  call void @wake(ptr @pb_resting)
  %id = load i64, ptr @pb_thread, align 8
  call void @join_thread(i64 %id)
  store atomic i32 0, ptr @pb_stop monotonic, align 4
  store atomic i32 0, ptr @pb_running monotonic, align 4
  br label %out
out:
  store atomic i32 0, ptr @pb_lock release, align 4
  ret void
}
"""
