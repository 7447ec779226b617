"""The queue of programs, as IR text: one thread, the dispatcher, and those who wait run them in order.

A ticket is a place in that order; `@pb_completed` counts the programs that have ended. The thread that holds
`@pb_runner` is the only one that runs a program, and it runs the one that follows the last completed: so nothing
overtakes, and a ticket is done exactly when the count has reached it. The dispatcher takes the runner's place for one
program after the other. A thread that waits for a ticket takes it too where it is free and the next program is brief
(the submitter's word): that saves two hand-overs between threads. The dispatcher leaves it the time to: it
sleeps for a moment before it begins with a brief program, unless that was queued while it ran another. A thread that
waits returns after each program, for signals to be handled; programs that are not brief are the dispatcher's, so that
Ctrl-C is answered while they run. The dispatcher sleeps, and does not spin, while another thread is the runner; whoever
gives the place back wakes it where programs are left. It says that it rests before it looks a last time, they give the
place back before they ask whether it rests, both sequentially consistent: no wake-up is lost.
"""

from __future__ import annotations


def queue_ir() -> str:
    """All of it; `$NAME$` stands for numbers that `support_ir` fills in."""
    return _QUEUE


_QUEUE = """
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
  store atomic i32 0, ptr @pb_runner monotonic, align 4
  store atomic i32 0, ptr @pb_waiters monotonic, align 4
  store atomic i32 0, ptr @pb_resting monotonic, align 4
  store atomic i32 0, ptr @pb_stop monotonic, align 4
  store atomic i32 0, ptr @pb_cancel monotonic, align 4
  %submitted = load atomic i64, ptr @pb_submitted monotonic, align 8
  store atomic i64 %submitted, ptr @pb_completed seq_cst, align 8
  ret void
}

; Become the runner: the one thread that may run a program and count it as completed.
define internal i1 @take_turn() nounwind {
  %taken = load atomic i32, ptr @pb_runner monotonic, align 4
  %free = icmp eq i32 %taken, 0
  br i1 %free, label %try, label %no
try:
  %pair = cmpxchg ptr @pb_runner, i32 0, i32 1 seq_cst monotonic
  %got = extractvalue { i32, i1 } %pair, 1
  ret i1 %got
no:
  ret i1 false
}

; As the runner: run the program that is next, number %done, and tell those who wait.
define internal void @run_next(i64 %done) nounwind {
  %place = and i64 %done, $RING_MASK$
  %entry.at = getelementptr { ptr, ptr, ptr, i64 }, ptr @pb_ring, i64 %place
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
  br i1 %awaited, label %tell, label %out
tell:
  call void @wake(ptr @pb_completed)
  br label %out
out:
  ret void
}

; Whether a program waits to be run and nobody runs one.
define internal i1 @work_waits() nounwind {
  %taken = load atomic i32, ptr @pb_runner seq_cst, align 4
  %free = icmp eq i32 %taken, 0
  %submitted = load atomic i64, ptr @pb_submitted seq_cst, align 8
  %completed = load atomic i64, ptr @pb_completed seq_cst, align 8
  %some = icmp ne i64 %submitted, %completed
  %both = and i1 %free, %some
  ret i1 %both
}

; Be the runner no longer, as a thread that waited; the dispatcher is woken for what is left.
define internal void @leave_turn() nounwind {
  store atomic i32 0, ptr @pb_runner seq_cst, align 4
  %resting = load atomic i32, ptr @pb_resting seq_cst, align 4
  %asleep = icmp ne i32 %resting, 0
  br i1 %asleep, label %ask, label %out
ask:
  %work = call i1 @work_waits()
  %stop = load atomic i32, ptr @pb_stop seq_cst, align 4
  %ending = icmp ne i32 %stop, 0
  %needed = or i1 %work, %ending
  br i1 %needed, label %rouse, label %out
rouse:
  store atomic i32 0, ptr @pb_resting seq_cst, align 4
  call void @wake(ptr @pb_resting)
  br label %out
out:
  ret void
}

; Whether the program that is next is brief: a guess, but for the runner.
define internal i1 @next_is_brief() nounwind {
  %next = load atomic i64, ptr @pb_completed acquire, align 8
  %place = and i64 %next, $RING_MASK$
  %entry.at = getelementptr { ptr, ptr, ptr, i64 }, ptr @pb_ring, i64 %place
  %brief.at = getelementptr i8, ptr %entry.at, i64 24
  %flag = load atomic i64, ptr %brief.at monotonic, align 8
  %brief = icmp ne i64 %flag, 0
  ret i1 %brief
}

define internal ptr @dispatcher(ptr %argument) nounwind {
entry:
  br label %again
again:
  %limit = load atomic i64, ptr @pb_spin monotonic, align 8
  br label %spin
spin:
  %n = phi i64 [ 0, %again ], [ %n.next, %wait ]
  %work = call i1 @work_waits()
  br i1 %work, label %meet, label %idle
idle:
  %taken = load atomic i32, ptr @pb_runner monotonic, align 4
  %busy = icmp ne i32 %taken, 0
  br i1 %busy, label %park, label %wait
wait:
  call void @pause()
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, %limit
  br i1 %more, label %spin, label %park
park:
  store atomic i32 1, ptr @pb_resting seq_cst, align 4
  br label %look
look:
  %work.late = call i1 @work_waits()
  br i1 %work.late, label %unpark, label %ask
ask:
  %stop = load atomic i32, ptr @pb_stop seq_cst, align 4
  %ending = icmp ne i32 %stop, 0
  %submitted = load atomic i64, ptr @pb_submitted seq_cst, align 8
  %completed = load atomic i64, ptr @pb_completed seq_cst, align 8
  %empty = icmp eq i64 %submitted, %completed
  %leave = and i1 %ending, %empty
  br i1 %leave, label %out, label %rest
rest:
  call void @sleep(ptr @pb_resting, i32 1, i64 -1)
  store atomic i32 1, ptr @pb_resting seq_cst, align 4
  br label %look
unpark:
  store atomic i32 0, ptr @pb_resting seq_cst, align 4
  br label %meet
meet:
  %brief = call i1 @next_is_brief()
  br i1 %brief, label %linger, label %claim
linger:  ; asleep: the thread that may come to wait can be on this CPU
  call void @sleep(ptr @pb_runner, i32 0, i64 $LINGER$)
  %met = load atomic i32, ptr @pb_runner monotonic, align 4
  %helped = icmp ne i32 %met, 0
  br i1 %helped, label %park, label %claim
claim:
  %got = call i1 @take_turn()
  br i1 %got, label %check, label %again
check:
  %done = load atomic i64, ptr @pb_completed seq_cst, align 8
  %last = load atomic i64, ptr @pb_submitted seq_cst, align 8
  %left = icmp ne i64 %last, %done
  br i1 %left, label %run, label %leave.turn
run:
  call void @run_next(i64 %done)
  br label %leave.turn
leave.turn:
  store atomic i32 0, ptr @pb_runner seq_cst, align 4
  %still = call i1 @work_waits()
  br i1 %still, label %claim, label %again
out:
  store atomic i32 0, ptr @pb_resting seq_cst, align 4
  ret ptr null
}

; Run the program that is next, where it is brief and nobody runs one: true where that was done.
define internal i1 @help() nounwind {
  %likely = call i1 @next_is_brief()
  br i1 %likely, label %claim, label %no
claim:
  %got = call i1 @take_turn()
  br i1 %got, label %check, label %no
check:
  %done = load atomic i64, ptr @pb_completed seq_cst, align 8
  %submitted = load atomic i64, ptr @pb_submitted seq_cst, align 8
  %some = icmp ne i64 %submitted, %done
  %brief = call i1 @next_is_brief()
  %good = and i1 %brief, %some
  br i1 %good, label %run, label %leave
run:
  call void @run_next(i64 %done)
  br label %leave
leave:
  call void @leave_turn()
  ret i1 %good
no:
  ret i1 false
}

; Queue program(args); %owned is freed afterwards; a waiting thread runs it where %brief is 1. Returns the ticket. Runs
; it at once where no thread can be had.
define dso_local i64 @pb_enqueue(ptr %program, ptr %args, ptr %owned, i64 %brief) nounwind {
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
  %entry.at = getelementptr { ptr, ptr, ptr, i64 }, ptr @pb_ring, i64 %place
  store ptr %program, ptr %entry.at, align 8
  %args.at = getelementptr i8, ptr %entry.at, i64 8
  store ptr %args, ptr %args.at, align 8
  %owned.at = getelementptr i8, ptr %entry.at, i64 16
  store ptr %owned, ptr %owned.at, align 8
  %brief.at = getelementptr i8, ptr %entry.at, i64 24
  store atomic i64 %brief, ptr %brief.at monotonic, align 8
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

; Wait for a ticket: 1 where it is done; 0 after one program that this thread ran, or one sleep of at most so many
; nanoseconds. Where that is negative it never returns 0 and runs nothing.
define dso_local i32 @pb_wait(i64 %ticket, i64 %nanoseconds) nounwind {
entry:
  %limit = load atomic i64, ptr @pb_join_spin monotonic, align 8
  %may = icmp sge i64 %nanoseconds, 0
  br label %spin
spin:
  %n = phi i64 [ 0, %entry ], [ %n.next, %wait ]
  %seen = load atomic i64, ptr @pb_completed acquire, align 8
  %done = icmp sge i64 %seen, %ticket
  br i1 %done, label %yes, label %open
open:
  %taken = load atomic i32, ptr @pb_runner monotonic, align 4
  %free = icmp eq i32 %taken, 0
  %able = and i1 %free, %may
  br i1 %able, label %try, label %wait
try:
  %ran = call i1 @help()
  br i1 %ran, label %ended, label %wait
ended:
  %seen.own = load atomic i64, ptr @pb_completed acquire, align 8
  %done.own = icmp sge i64 %seen.own, %ticket
  br i1 %done.own, label %yes, label %later
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
