"""What machine this is, without the standard library's `platform`, which loads much."""

from __future__ import annotations

import os
import sys


def host_architecture() -> str:
    """`x86_64`, `aarch64`, or whatever else the machine calls itself."""
    machine = os.environ.get("PROCESSOR_ARCHITECTURE", "") if sys.platform == "win32" else os.uname().machine
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower())
