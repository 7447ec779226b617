"""What machine this is, without the standard library's `platform`, which loads much."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18  # of x86-64: the call, what it does, the state's number


def host_architecture() -> str:
    """`x86_64`, `aarch64`, or whatever else the machine calls itself."""
    machine = os.environ.get("PROCESSOR_ARCHITECTURE", "") if sys.platform == "win32" else os.uname().machine
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower())


@cache
def tiles_allowed() -> bool:
    """Ask Linux once for the registers of AMX, whose contents it keeps only for processes that ask."""
    if sys.platform != "linux" or host_architecture() != "x86_64":
        return False
    call: Any = ctypes.CDLL(None).syscall
    call.restype, call.argtypes = ctypes.c_long, [ctypes.c_long] * 3
    return call(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0
