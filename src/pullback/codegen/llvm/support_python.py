"""The parts of the native runtime that speak to CPython, as IR text: builtins that run and queue programs, and builtins
that copy between memory and what has a buffer (a NumPy array, bytes).

The trampolines are `METH_FASTCALL` functions whose `self` is a bytes object that starts with the program's address, its
number of arguments (or -1) and whether it is brief: ints and floats become 8-byte slots, then
`void program(ptr slots)` runs.
"""

from __future__ import annotations

_CONVERT = """
@PyLong_Type = external global i8
@PyFloat_Type = external global i8
@PyExc_TypeError = external global ptr
@PyExc_ValueError = external global ptr
@_Py_NoneStruct = external global i8
declare i64 @PyLong_AsLongLong(ptr)
declare i64 @PyLong_AsUnsignedLongLong(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare double @PyFloat_AsDouble(ptr)
declare i32 @PyType_IsSubtype(ptr, ptr)
declare ptr @PyErr_Occurred()
declare void @PyErr_Clear()
declare i32 @PyErr_CheckSignals()
declare i32 @PyObject_GetBuffer(ptr, ptr, i32)
declare void @PyBuffer_Release(ptr)
declare ptr @memmove(ptr, ptr, i64)
declare void @PyErr_SetString(ptr, ptr)
declare ptr @PyErr_NoMemory()
declare ptr @PyErr_Format(ptr, ptr, ...)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)

define internal ptr @none() nounwind {
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}

; The 8 bytes of a Python int (two's complement, or unsigned where it needs the top bit) or float; false: error is set.
define internal i1 @convert(ptr %object, ptr %slot, i64 %index) nounwind {
entry:
  %type.at = getelementptr i8, ptr %object, i64 $OBJECT_TYPE$
  %type = load ptr, ptr %type.at, align 8
  %is.long = icmp eq ptr %type, @PyLong_Type
  br i1 %is.long, label %long, label %maybe.float
maybe.float:
  %is.float = icmp eq ptr %type, @PyFloat_Type
  br i1 %is.float, label %float, label %maybe.sublong
maybe.sublong:
  %sublong = call i32 @PyType_IsSubtype(ptr %type, ptr @PyLong_Type)
  %is.sublong = icmp ne i32 %sublong, 0
  br i1 %is.sublong, label %long, label %maybe.subfloat
maybe.subfloat:
  %subfloat = call i32 @PyType_IsSubtype(ptr %type, ptr @PyFloat_Type)
  %is.subfloat = icmp ne i32 %subfloat, 0
  br i1 %is.subfloat, label %float, label %wrong
long:
  %value = call i64 @PyLong_AsLongLong(ptr %object)
  store i64 %value, ptr %slot, align 8
  %suspect = icmp eq i64 %value, -1
  br i1 %suspect, label %check, label %yes
check:
  %error = call ptr @PyErr_Occurred()
  %fine = icmp eq ptr %error, null
  br i1 %fine, label %yes, label %unsigned
unsigned:
  call void @PyErr_Clear()
  %value.unsigned = call i64 @PyLong_AsUnsignedLongLong(ptr %object)
  store i64 %value.unsigned, ptr %slot, align 8
  %error.unsigned = call ptr @PyErr_Occurred()
  %fine.unsigned = icmp eq ptr %error.unsigned, null
  ret i1 %fine.unsigned
float:
  %double = call double @PyFloat_AsDouble(ptr %object)
  store double %double, ptr %slot, align 8
  br label %yes
yes:
  ret i1 true
wrong:
  %class = load ptr, ptr @PyExc_TypeError, align 8
  %ignored = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %class, ptr @wrong_type, i64 %index, ptr %object)
  ret i1 false
}

define internal i1 @convert_all(ptr %objects, i64 %count, ptr %slots) nounwind {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %yes
body:
  %object.at = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %object.at, align 8
  %slot = getelementptr i64, ptr %slots, i64 %i
  %good = call i1 @convert(ptr %object, ptr %slot, i64 %i)
  %next = add i64 %i, 1
  br i1 %good, label %head, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

define internal i1 @check_count(i64 %expected, i64 %count) nounwind {
entry:
  %any = icmp slt i64 %expected, 0
  %same = icmp eq i64 %expected, %count
  %good = or i1 %any, %same
  br i1 %good, label %out, label %wrong
wrong:
  %class = load ptr, ptr @PyExc_TypeError, align 8
  %ignored = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %class, ptr @wrong_count, i64 %expected, i64 %count)
  br label %out
out:
  ret i1 %good
}
"""


def python_ir() -> str:
    """All of it; `$NAME$` stands for numbers that `support_ir` fills in."""
    messages = (_message(name, text) for name, text in _MESSAGES.items())
    trampolines = (_trampoline(mode) for mode in ("call", "release", "submit"))
    return "\n".join([*messages, _CONVERT, _ENTRIES, _copy("fill", 0, "%place, ptr %data"),
                      _copy("spill", 1, "%data, ptr %place"), *trampolines])


def _message(name: str, text: str) -> str:
    """A C string."""
    return f'@{name} = internal constant [{len(text.encode()) + 1} x i8] c"{text}\\00"'


_MESSAGES = {
    "wrong_type": "a program takes int and float arguments; argument %zd is %R",
    "wrong_count": "a program of %zd arguments was called with %zd",
    "wrong_ticket": "no such ticket was given out",
    "wrong_size": "the buffer has %zd bytes, not %zd",
}

_ENTRIES = """
; run(program, args): at once, without the GIL.
define dso_local ptr @pb_py_run(ptr %self, ptr %objects, i64 %count) nounwind {
  %slots = alloca [2 x i64], align 8
  %good = call i1 @check_count(i64 2, i64 %count)
  br i1 %good, label %convert, label %fail
convert:
  %converted = call i1 @convert_all(ptr %objects, i64 2, ptr %slots)
  br i1 %converted, label %run, label %fail
run:
  %program = load ptr, ptr %slots, align 8
  %args.at = getelementptr i64, ptr %slots, i64 1
  %args = load ptr, ptr %args.at, align 8
  %state = call ptr @PyEval_SaveThread()
  call void %program(ptr %args)
  call void @PyEval_RestoreThread(ptr %state)
  %result = call ptr @none()
  ret ptr %result
fail:
  ret ptr null
}

; submit(program, args) -> ticket
define dso_local ptr @pb_py_submit_at(ptr %self, ptr %objects, i64 %count) nounwind {
  %slots = alloca [2 x i64], align 8
  %good = call i1 @check_count(i64 2, i64 %count)
  br i1 %good, label %convert, label %fail
convert:
  %converted = call i1 @convert_all(ptr %objects, i64 2, ptr %slots)
  br i1 %converted, label %run, label %fail
run:
  %program = load ptr, ptr %slots, align 8
  %args.at = getelementptr i64, ptr %slots, i64 1
  %args = load ptr, ptr %args.at, align 8
  %ticket = call i64 @pb_enqueue(ptr %program, ptr %args, ptr null, i64 0)
  %result = call ptr @PyLong_FromLongLong(i64 %ticket)
  ret ptr %result
fail:
  ret ptr null
}

; wait(ticket): without the GIL; a signal's handler runs, and may raise.
define dso_local ptr @pb_py_wait(ptr %self, ptr %objects, i64 %count) nounwind {
  %slot = alloca i64, align 8
  %good = call i1 @check_count(i64 1, i64 %count)
  br i1 %good, label %convert, label %fail
convert:
  %converted = call i1 @convert_all(ptr %objects, i64 1, ptr %slot)
  br i1 %converted, label %check, label %fail
check:
  %ticket = load i64, ptr %slot, align 8
  %completed = load atomic i64, ptr @pb_completed acquire, align 8
  %done = icmp sge i64 %completed, %ticket
  br i1 %done, label %yes, label %known
known:
  %submitted = load atomic i64, ptr @pb_submitted acquire, align 8
  %given = icmp sge i64 %submitted, %ticket
  br i1 %given, label %wait, label %wrong
wait:
  %state = call ptr @PyEval_SaveThread()
  %finished = call i32 @pb_wait(i64 %ticket, i64 50000000)
  call void @PyEval_RestoreThread(ptr %state)
  %over = icmp ne i32 %finished, 0
  br i1 %over, label %yes, label %signals
signals:
  %raised = call i32 @PyErr_CheckSignals()
  %calm = icmp eq i32 %raised, 0
  br i1 %calm, label %wait, label %fail
yes:
  %result = call ptr @none()
  ret ptr %result
wrong:
  %class = load ptr, ptr @PyExc_ValueError, align 8
  call void @PyErr_SetString(ptr %class, ptr @wrong_ticket)
  br label %fail
fail:
  ret ptr null
}
"""

_COPY = """
; $NAME$(address, bytes, object): copies between an address and an object's buffer, which must have so many bytes.
define dso_local ptr @pb_py_$NAME$(ptr %self, ptr %objects, i64 %count) nounwind {
  %slots = alloca [2 x i64], align 8
  %view = alloca [10 x i64], align 8
  %good = call i1 @check_count(i64 3, i64 %count)
  br i1 %good, label %convert, label %fail
convert:
  %converted = call i1 @convert_all(ptr %objects, i64 2, ptr %slots)
  br i1 %converted, label %look, label %fail
look:
  %object.at = getelementptr ptr, ptr %objects, i64 2
  %object = load ptr, ptr %object.at, align 8
  %refused = call i32 @PyObject_GetBuffer(ptr %object, ptr %view, i32 $FLAGS$)
  %given = icmp eq i32 %refused, 0
  br i1 %given, label %measure, label %fail
measure:
  %length.at = getelementptr i64, ptr %view, i64 2
  %length = load i64, ptr %length.at, align 8
  %bytes.at = getelementptr i64, ptr %slots, i64 1
  %bytes = load i64, ptr %bytes.at, align 8
  %fits = icmp eq i64 %length, %bytes
  br i1 %fits, label %copy, label %wrong
copy:
  %place = load ptr, ptr %slots, align 8
  %data = load ptr, ptr %view, align 8
  %moved = call ptr @memmove(ptr $FROM_TO$, i64 %bytes)
  call void @PyBuffer_Release(ptr %view)
  %result = call ptr @none()
  ret ptr %result
wrong:
  call void @PyBuffer_Release(ptr %view)
  %class = load ptr, ptr @PyExc_ValueError, align 8
  %ignored = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %class, ptr @wrong_size, i64 %length, i64 %bytes)
  br label %fail
fail:
  ret ptr null
}
"""


def _copy(name: str, flags: int, ends: str) -> str:
    """`fill` copies to the address, `spill` from it; `flags` are those of `PyObject_GetBuffer`."""
    return _COPY.replace("$NAME$", name).replace("$FLAGS$", str(flags)).replace("$FROM_TO$", ends)


_TRAMPOLINE = """
define dso_local ptr @pb_py_$MODE$(ptr %self, ptr %objects, i64 %count) nounwind {
entry:
  $STACK$
  %program.at = getelementptr i8, ptr %self, i64 $BYTES_DATA$
  %program = load ptr, ptr %program.at, align 8
  %expected.at = getelementptr i8, ptr %program.at, i64 8
  %expected = load i64, ptr %expected.at, align 8
  %good = call i1 @check_count(i64 %expected, i64 %count)
  br i1 %good, label %place, label %fail
place:
  %few = icmp ule i64 %count, $STACK_SLOTS$
  br i1 $SMALL$, label %convert, label %allocate
allocate:
  %bytes = shl i64 %count, 3
  %room = add i64 %bytes, 8
  %block = call ptr @malloc(i64 %room)
  %full = icmp eq ptr %block, null
  br i1 %full, label %memory, label %convert
convert:
  %slots = phi ptr [ $START$, %place ], [ %block, %allocate ]
  %heap = phi ptr [ null, %place ], [ %block, %allocate ]
  %converted = call i1 @convert_all(ptr %objects, i64 %count, ptr %slots)
  br i1 %converted, label %run, label %undo
run:
  $BODY$
  $RELEASE$
  %result = call ptr $RESULT$
  ret ptr %result
undo:
  call void @free(ptr %heap)
  br label %fail
memory:
  %ignored = call ptr @PyErr_NoMemory()
  br label %fail
fail:
  ret ptr null
}
"""
_INLINE = {
    "STACK": "%stack = alloca [$STACK_SLOTS$ x i64], align 8", "SMALL": "%few", "START": "%stack",
    "RELEASE": "br i1 %few, label %done, label %return\nreturn:\n  call void @free(ptr %heap)\n"
               "  br label %done\ndone:",
    "RESULT": "@none()",
}
_MODES: dict[str, dict[str, str]] = {
    "call": {**_INLINE, "BODY": "call void %program(ptr %slots)"},
    "release": {**_INLINE, "BODY": "%state = call ptr @PyEval_SaveThread()\n  call void %program(ptr %slots)\n"
                                   "  call void @PyEval_RestoreThread(ptr %state)"},
    "submit": {"STACK": "", "SMALL": "false", "START": "null", "RELEASE": "",
               "BODY": "%brief.at = getelementptr i8, ptr %program.at, i64 16\n"
                       "  %brief = load i64, ptr %brief.at, align 8\n"
                       "  %ticket = call i64 @pb_enqueue(ptr %program, ptr %slots, ptr %heap, i64 %brief)",
               "RESULT": "@PyLong_FromLongLong(i64 %ticket)"},
}


def _trampoline(mode: str) -> str:
    """`call` holds the GIL, `release` lets it go, `submit` queues the program and returns a ticket."""
    text = _TRAMPOLINE.replace("$MODE$", mode)
    for name, value in _MODES[mode].items():
        text = text.replace(f"${name}$", value)
    return text
