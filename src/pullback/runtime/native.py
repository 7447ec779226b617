"""The native runtime: thread pool, dispatcher and trampolines, made from `codegen/llvm/support.py` on first use.

`native()` loads the support object (from the disk cache; compiled once per machine) and returns the one `Native` of
this process. No thread starts before the first parallel region or the first `submit`.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from pullback.codegen.llvm.compile import cached_compile, generic_target, object_key
from pullback.codegen.llvm.support import MAX_THREADS, Platform, support_ir
from pullback.runtime.cpu import available_cores
from pullback.runtime.loader import LoadedObject, load_object
from pullback.util import config
from pullback.util.background import Job
from pullback.util.disk_cache import default_cache
from pullback.util.host import host_architecture

Builtin = Callable[..., Any]

METH_FASTCALL: Final = 0x0080
JOIN_SPIN: Final = 100.0  # microseconds a caller looks for the others' end before it sleeps
_lock = threading.Lock()
_native: Native | None = None
_support: bytes | Job[bytes] | None = None
#: `fill` and `spill` of the loaded runtime; None until it is loaded
fill: Builtin | None = None
spill: Builtin | None = None


class _MethodDef(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("documentation", ctypes.c_char_p)]


def prepare() -> None:
    """Have the support object at hand, or where it must be compiled (once per machine), begin with that."""
    global _support
    if _support is not None:
        return
    text, target = support_ir(this_platform()), generic_target()
    found = default_cache().get(object_key(text, target))
    _support = found or Job(lambda: cached_compile(text, target.cpu, target.features, target.triple))


def native() -> Native:
    """The process's native runtime, loaded on first use."""
    global _native, fill, spill
    found = _native
    if found is None:
        with _lock:
            found = _native
            if found is None:
                found = _native = Native(load_object(_support_object()))
                fill, spill = found.fill, found.spill
    return found


class Native:
    """Entry points of the loaded support object. A program is `void program(ptr slots)`, each slot 8 bytes.

    `parallel_address` is `void pb_parallel(void (*fn)(ptr args, i64 tid, i64 count), ptr args, i64 count)`: it runs
    every tid below `count`, the caller's own share first. A tid must not wait for another, only (`pb_reach`) for what
    another has begun.
    `run(program, args)`, `submit(program, args) -> ticket` and `wait(ticket)` take addresses as ints.
    """

    def __init__(self, loaded: LoadedObject) -> None:
        loaded.keep_for_ever()  # its threads run until atexit, and its functions until the interpreter is gone
        self.loaded = loaded
        self.parallel_address = loaded.address("pb_parallel")
        self._names: dict[str, tuple[bytes, _MethodDef]] = {}
        self._threads = ctypes.c_int64.from_address(loaded.address("pb_threads"))
        self._workers = ctypes.c_int64.from_address(loaded.address("pb_workers"))
        self._cancelled = loaded.address("pb_cancelled")
        self._reach = loaded.address("pb_reach")
        self._cancel = ctypes.c_int32.from_address(loaded.address("pb_cancel"))
        self._stop_pool = _void_function(loaded.address("pb_pool_stop"))
        self._stop_dispatcher = _void_function(loaded.address("pb_dispatcher_stop"))
        self._after_fork = _void_function(loaded.address("pb_after_fork"))
        self._submitted = ctypes.c_int64.from_address(loaded.address("pb_submitted"))
        self._completed = ctypes.c_int64.from_address(loaded.address("pb_completed"))
        self.run = self._builtin("pb_py_run", b"run", b"")
        self.submit = self._builtin("pb_py_submit_at", b"submit", b"")
        self.wait = self._builtin("pb_py_wait", b"wait", b"")
        #: copy to an address, and from one: (address, bytes, object with a buffer of as many contiguous bytes)
        self.fill = self._builtin("pb_py_fill", b"fill", b"")
        self.spill = self._builtin("pb_py_spill", b"spill", b"")
        #: the next words of a Mersenne Twister: (addresses of its 626 words and of the results, how many)
        self.mersenne = self.make_builtin(loaded.address("pb_mersenne"), arguments=3, release_gil=True)
        #: shuffle with such words, one fewer than numbers: (addresses of the words and of the numbers, how many)
        self.shuffle = self.make_builtin(loaded.address("pb_shuffle"), arguments=3, release_gil=True)
        self._pause_seconds = self._calibrate()
        self._threads.value = default_num_threads()
        self._set_spin()
        config.THREADS.watch(lambda: self.set_num_threads(default_num_threads()))
        config.SPIN.watch(self._set_spin)
        atexit.register(self.shutdown)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self.drain, after_in_child=self._in_child)

    @property
    def symbols(self) -> dict[str, int]:
        """What generated programs may call, for `load_object`."""
        return {"pb_parallel": self.parallel_address, "pb_reach": self._reach, "pb_cancelled": self._cancelled}

    @property
    def num_threads(self) -> int:
        """Threads of a parallel region, the caller included."""
        return self._threads.value

    @property
    def running_workers(self) -> int:
        """Workers that are started now."""
        return self._workers.value

    def set_num_threads(self, count: int) -> None:
        """Use `count` threads from the next region on; waits for the region in progress."""
        if not 1 <= count <= MAX_THREADS:
            raise ValueError(f"the number of threads must be from 1 to {MAX_THREADS}, not {count}")
        if count != self._threads.value:
            self._stop_pool()
            self._threads.value = count
            self._set_spin()

    def make_builtin(self, address: int, *, arguments: int = -1, release_gil: bool = False, submit: bool = False,
                     brief: bool = False, keep: object = None) -> Builtin:
        """A builtin that converts its ints and floats to slots and calls the program at `address`.

        `arguments` is the number it insists on (any where negative); `release_gil` lets other Python threads run
        meanwhile; `submit` queues the program and returns a ticket, the slots copied; a thread that waits for it runs a
        program itself that is `brief`, and handles no signal meanwhile. The builtin keeps `keep` alive: pass the
        LoadedObject. A submitted program needs its own keeper until its ticket is done.
        """
        numbers = address, arguments, int(brief)
        state = b"".join([n.to_bytes(8, sys.byteorder, signed=n < 0) for n in numbers])
        mode = "submit" if submit else "release" if release_gil else "call"
        return self._builtin(f"pb_py_{mode}", b"program", state, keep)

    def drain(self) -> None:
        """Wait for everything that was submitted."""
        self.wait(self._submitted.value)

    def cancel(self) -> None:
        """End what was submitted, each program at its next stop (between kernels, or turns of a loop); its results are
        rubbish."""
        self._cancel.value = 1
        try:
            self.drain()
        finally:
            self._cancel.value = 0

    @property
    def completed(self) -> int:
        """The last ticket that is done."""
        return self._completed.value

    @property
    def pending(self) -> int:
        """Programs submitted and not yet done."""
        return self._submitted.value - self._completed.value

    def set_spin(self, worker_microseconds: float, join_microseconds: float) -> None:
        """How long idle workers, and callers waiting for them, look before they sleep."""
        self._store_spin("pb_spin", worker_microseconds)
        self._store_spin("pb_join_spin", join_microseconds)

    def shutdown(self) -> None:
        """Finish what is queued (Ctrl-C ends it) and end all threads; the next use starts them again."""
        try:
            self.drain()
        except KeyboardInterrupt:
            self.cancel()
        self._stop_dispatcher()
        self._stop_pool()

    def _in_child(self) -> None:
        global _lock
        _lock = threading.Lock()
        self._after_fork()

    def _set_spin(self) -> None:
        """Spin briefly where there are more threads than cores: a spinning thread keeps another from running."""
        worker = float(config.SPIN.value)
        scale = 1.0 if self._threads.value <= available_cores() else 0.01
        self.set_spin(worker * scale, min(worker, JOIN_SPIN) * scale)

    def _store_spin(self, name: str, microseconds: float) -> None:
        turns = max(1, min(int(microseconds * 1e-6 / self._pause_seconds), 1 << 32))
        ctypes.c_int64.from_address(self.loaded.address(name)).value = turns

    def _calibrate(self) -> float:
        """Seconds of one pause instruction; processors differ by a factor of ten."""
        slot = ctypes.c_int64(300)
        run, pause, address = self.run, self.loaded.address("pb_pause_many"), ctypes.addressof(slot)
        best = 1.0
        for _ in range(4):
            start = time.perf_counter()
            run(pause, address)
            best = min(best, time.perf_counter() - start)
        return max(best / 300, 1e-10)

    def _builtin(self, entry: str, name: bytes, state: bytes, keep: object = None) -> Builtin:
        """`PyCFunction_NewEx` with the state as `self` and the keeper as module, both owned by the function."""
        known = self._names.get(entry)
        if known is None:
            definition = _MethodDef(name, self.loaded.address(entry), METH_FASTCALL, None)
            known = self._names[entry] = (name, definition)
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(known))  # functions may outlive the interpreter's modules
        return _new_function()(ctypes.byref(known[1]), state, keep)


def default_num_threads() -> int:
    """What flag `threads` says, or else the cores that we may use."""
    return min(config.THREADS.value or available_cores(), MAX_THREADS)


def this_platform() -> Platform:
    """The platform of this process, as the support text wants it."""
    system = "linux" if sys.platform.startswith("linux") else "none" if sys.platform == "win32" else "posix"
    return Platform(host_architecture(), system, bytes.__basicsize__ - 1, object.__basicsize__ - 8)


def _support_object() -> bytes:
    prepare()
    return _support.result() if isinstance(_support, Job) else _support or b""


def _void_function(address: int) -> Callable[[], None]:
    """A native `void f(void)`, called without the GIL."""
    return ctypes.CFUNCTYPE(None)(address)


def _new_function() -> Any:
    function = ctypes.pythonapi.PyCFunction_NewEx
    function.restype = ctypes.py_object
    function.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    return function
