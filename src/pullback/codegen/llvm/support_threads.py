"""What the native runtime asks of the system, as IR text: threads, sleep, and the CPUs that threads run on.

Some systems leave two busy threads on one CPU beside an idle one until they balance their load, for seconds at times;
on Linux a thread can be moved: it is kept off the CPU by its affinity for a moment, then allowed everywhere again.
"""

from __future__ import annotations


def threads_ir(system: str) -> str:
    """The functions for a system: "linux" (futex), "posix" (naps) or "none" (no threads)."""
    parts = {"linux": (_PTHREADS, _FUTEX, _PLACES), "posix": (_PTHREADS, _NAPS, _NO_PLACES),
             "none": (_NO_THREADS, _NO_PLACES)}
    return "\n".join(parts[system])


_NO_PLACES = """
; No way to say where threads run: they stay where the system puts them.
define internal void @note_cpus(i64 %threads) nounwind {
  ret void
}
define internal i32 @this_thread() nounwind {
  ret i32 0
}
define internal i32 @this_cpu() nounwind {
  ret i32 -1
}
define internal i1 @forbid_cpu(i32 %thread, i32 %cpu) nounwind {
  ret i1 false
}
define internal void @allow_cpus(i32 %thread) nounwind {
  ret void
}
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

_FUTEX = """
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

_PLACES = """
declare i32 @sched_getcpu()
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @sched_setaffinity(i32, i64, ptr)
declare i64 @llvm.ctpop.i64(i64)

; Note where this thread may run; its workers move only where each thread of so many can have a CPU for itself.
define internal void @note_cpus(i64 %threads) nounwind {
entry:
  %error = call i32 @sched_getaffinity(i32 0, i64 128, ptr @pb_cpus)
  %known = icmp eq i32 %error, 0
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %found = phi i64 [ 0, %entry ], [ %sum, %head ]
  %place = getelementptr i64, ptr @pb_cpus, i64 %i
  %bits = load i64, ptr %place, align 8
  %some = call i64 @llvm.ctpop.i64(i64 %bits)
  %sum = add i64 %found, %some
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, 16
  br i1 %more, label %head, label %out
out:
  %enough = icmp uge i64 %sum, %threads
  %apart = and i1 %known, %enough
  %flag = zext i1 %apart to i32
  store atomic i32 %flag, ptr @pb_apart monotonic, align 4
  ret void
}
define internal i32 @this_thread() nounwind {
  %id = call i64 (i64, ...) @syscall(i64 $GETTID$)
  %low = trunc i64 %id to i32
  ret i32 %low
}
define internal i32 @this_cpu() nounwind {
  %cpu = call i32 @sched_getcpu()
  ret i32 %cpu
}

; Keep a thread (0: this one) off a CPU; true where that is so, until @allow_cpus. A thread whose CPUs somebody has
; chosen since it was started is left alone.
define internal i1 @forbid_cpu(i32 %thread, i32 %cpu) nounwind {
entry:
  %mask = alloca [16 x i64], align 16
  %flag = load atomic i32, ptr @pb_apart monotonic, align 4
  %apart = icmp ne i32 %flag, 0
  %real = icmp ult i32 %cpu, 1024
  %may = and i1 %apart, %real
  br i1 %may, label %ask, label %no
ask:
  %error = call i32 @sched_getaffinity(i32 %thread, i64 128, ptr %mask)
  %known = icmp eq i32 %error, 0
  br i1 %known, label %compare, label %no
compare:
  %i = phi i64 [ 0, %ask ], [ %next, %same ]
  %here = getelementptr i64, ptr %mask, i64 %i
  %there = getelementptr i64, ptr @pb_cpus, i64 %i
  %bits = load i64, ptr %here, align 8
  %bits.known = load i64, ptr %there, align 8
  %equal = icmp eq i64 %bits, %bits.known
  br i1 %equal, label %same, label %no
same:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, 16
  br i1 %more, label %compare, label %change
change:
  %number = zext i32 %cpu to i64
  %index = lshr i64 %number, 6
  %low = and i64 %number, 63
  %bit = shl i64 1, %low
  %others = xor i64 %bit, -1
  %word = getelementptr i64, ptr %mask, i64 %index
  %before = load i64, ptr %word, align 8
  %after = and i64 %before, %others
  store i64 %after, ptr %word, align 8
  %refused = call i32 @sched_setaffinity(i32 %thread, i64 128, ptr %mask)
  %good = icmp eq i32 %refused, 0
  ret i1 %good
no:
  ret i1 false
}
define internal void @allow_cpus(i32 %thread) nounwind {
  call i32 @sched_setaffinity(i32 %thread, i64 128, ptr @pb_cpus)
  ret void
}
"""

_NAPS = """
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
