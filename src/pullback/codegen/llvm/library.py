"""LLVM by the C functions of llvmlite's library, without llvmlite's Python layer.

That layer takes 20 ms to import, and its lock lets one thread at a time into LLVM. The functions here are those that it
calls itself, with the same arguments, in the versions of llvmlite that were tried; for others `compile.py` uses it.
Modules of different threads are in contexts of their own, which is what LLVM asks for.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_void_p
from typing import Any

from pullback.codegen.llvm.resident import Resident

#: seconds of compilation that repay giving the compiler's memory back, and taking it again for the next program
RELEASE_SECONDS = 0.1
#: versions of llvmlite whose library has these functions with these arguments
TRIED = ("0.45.", "0.46.", "0.47.", "0.50.")
_NAMES = {"win32": "llvmlite.dll", "darwin": "libllvmlite.dylib"}
_TEXT = POINTER(c_char_p)
#: name: result, arguments
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ContextCreate": (c_void_p, ()),
    "ContextDispose": (None, (c_void_p,)),
    "ParseAssembly": (c_void_p, (c_void_p, c_char_p, _TEXT)),
    "DisposeModule": (None, (c_void_p,)),
    "VerifyModule": (c_bool, (c_void_p, _TEXT)),
    "SetTarget": (None, (c_void_p, c_char_p)),
    "SetDataLayout": (None, (c_void_p, c_char_p)),
    "GetTargetFromTriple": (c_void_p, (c_char_p, _TEXT)),
    "CreateTargetMachine": (c_void_p, (c_void_p, c_char_p, c_char_p, c_char_p, c_int, c_char_p, c_char_p, c_int, c_int,
                                       c_char_p)),
    "CreateTargetMachineData": (c_void_p, (c_void_p,)),
    "CopyStringRepOfTargetData": (None, (c_void_p, _TEXT)),
    "DisposeTargetData": (None, (c_void_p,)),
    "TargetMachineEmitToMemory": (c_void_p, (c_void_p, c_void_p, c_int, _TEXT)),
    "GetBufferStart": (c_void_p, (c_void_p,)),
    "GetBufferSize": (c_size_t, (c_void_p,)),
    "DisposeMemoryBuffer": (None, (c_void_p,)),
    "DisposeString": (None, (c_void_p,)),
    "GetProcessTriple": (None, (_TEXT,)),
    "GetHostCPUName": (None, (_TEXT,)),
    "GetHostCPUFeatures": (c_int, (_TEXT,)),
}
_INITIALISERS = ("InitializeAllTargetInfos", "InitializeAllTargets", "InitializeAllTargetMCs",
                 "InitializeAllAsmPrinters", "InitializeNativeAsmParser")


class LibraryError(ValueError):
    """What LLVM said."""


def library_path(package: str) -> str | None:
    """The library in the folder of the package llvmlite; None where there is none."""
    path = os.path.join(package, "binding", _NAMES.get(sys.platform, "libllvmlite.so"))
    return path if os.path.isfile(path) else None


class Library:
    """The loaded library. Any number of threads may compile at once; the interpreter goes on meanwhile."""

    def __init__(self, path: str) -> None:
        _load_without_lock(path)
        library = ctypes.CDLL(path)
        self._call: dict[str, Any] = {}
        for name, (result, arguments) in _FUNCTIONS.items():
            function: Any = library["LLVMPY_" + name]
            function.restype, function.argtypes = result, arguments
            self._call[name] = function
        for name in _INITIALISERS:
            initialise: Any = library["LLVMPY_" + name]
            initialise.restype = None
            initialise()
        self._resident = Resident(path)
        self._resident.drop_pages()  # of relocation and registration, most of which nothing needs again
        self._busy = 0.0
        self._layouts: dict[tuple[str, str, str], bytes] = {}
        self._idle: dict[tuple[str, str, str, int], list[Any]] = {}  # machines; one thread at a time uses each

    def host(self) -> tuple[str, str, str]:
        """Triple, CPU and sorted features of this machine."""
        features = self._text("GetHostCPUFeatures").split(",")
        return (self._text("GetProcessTriple"), self._text("GetHostCPUName"),
                ",".join(sorted([f for f in features if f], key=_feature_name)))

    def compile(self, text: str, triple: str, cpu: str, features: str, level: int) -> bytes:
        """Object code of a module; LibraryError with what LLVM said where it is refused."""
        call, begin = self._call, time.perf_counter()
        idle = self._idle.setdefault((triple, cpu, features, level), [])
        try:
            machine = idle.pop()
        except IndexError:
            machine = self._machine(triple, cpu, features, level)
        context = call["ContextCreate"]()
        module = None
        try:
            module = self._parse(context, text)
            call["SetTarget"](module, triple.encode())
            call["SetDataLayout"](module, self._layout(machine, (triple, cpu, features)))
            self._checked("VerifyModule", module)
            return self._emit(machine, module)
        finally:
            if module:
                call["DisposeModule"](module)
            call["ContextDispose"](context)
            idle.append(machine)
            self._busy += time.perf_counter() - begin

    def release(self) -> None:
        """Give memory back to the system after compilations that took long, seen together."""
        if self._busy > RELEASE_SECONDS:
            self._busy = 0.0
            self._resident.release()

    def _machine(self, triple: str, cpu: str, features: str, level: int) -> Any:
        call, message = self._call, c_char_p()
        target = call["GetTargetFromTriple"](triple.encode(), ctypes.byref(message))
        said = self._take(message)
        if not target:
            raise LibraryError(f"no code generator for {triple}: {said}")
        machine = call["CreateTargetMachine"](target, triple.encode(), cpu.encode(), features.encode(), level, b"pic",
                                              b"small", 0, 0, b"")
        if not machine:
            raise LibraryError(f"no code generator for {triple}")
        return machine

    def _parse(self, context: Any, text: str) -> Any:
        message = c_char_p()
        module = self._call["ParseAssembly"](context, text.encode(), ctypes.byref(message))
        said = self._take(message)
        if said or not module:
            if module:
                self._call["DisposeModule"](module)
            raise LibraryError(f"LLVM IR parsing error\n{said}")
        return module

    def _emit(self, machine: Any, module: Any) -> bytes:
        call, message = self._call, c_char_p()
        buffer = call["TargetMachineEmitToMemory"](machine, module, 1, ctypes.byref(message))
        said = self._take(message)
        if not buffer:
            raise LibraryError(said)
        try:
            return ctypes.string_at(call["GetBufferStart"](buffer), call["GetBufferSize"](buffer))
        finally:
            call["DisposeMemoryBuffer"](buffer)

    def _layout(self, machine: Any, target: tuple[str, str, str]) -> bytes:
        """The data layout, asked for once per target."""
        found = self._layouts.get(target)
        if found is None:
            data = self._call["CreateTargetMachineData"](machine)
            found = self._layouts[target] = self._text("CopyStringRepOfTargetData", data).encode()
            self._call["DisposeTargetData"](data)
        return found

    def _checked(self, name: str, *arguments: Any) -> None:
        """A function that returns whether something is wrong."""
        message = c_char_p()
        wrong = self._call[name](*arguments, ctypes.byref(message))
        said = self._take(message)
        if wrong:
            raise LibraryError(said)

    def _text(self, name: str, *arguments: Any) -> str:
        """A function that gives its answer as a string."""
        message = c_char_p()
        self._call[name](*arguments, ctypes.byref(message))
        return self._take(message)

    def _take(self, message: c_char_p) -> str:
        """The string that LLVM has left there, which is given back to it."""
        address = ctypes.cast(message, c_void_p).value
        if not address:
            return ""
        text = (message.value or b"").decode("utf-8", "replace")
        self._call["DisposeString"](address)
        return text


def _feature_name(feature: str) -> str:
    return feature[1:]


def _load_without_lock(path: str) -> None:
    """Load the library by a foreign call: other threads run meanwhile, `ctypes.CDLL` holds the interpreter's lock."""
    if sys.platform == "win32" or threading.current_thread() is threading.main_thread():
        return
    load = ctypes.CDLL(None).dlopen
    load.restype, load.argtypes = c_void_p, (c_char_p, c_int)
    load(os.fsencode(path), ctypes.DEFAULT_MODE | os.RTLD_NOW)
