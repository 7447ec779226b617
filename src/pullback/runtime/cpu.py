"""What this machine's processor is: name, instruction sets, cores we may use, cache sizes."""

from __future__ import annotations

import os
import re
from functools import cache
from typing import NamedTuple

from pullback.util.host import host_architecture

_DEFAULT_CACHES = (32 << 10, 512 << 10, 8 << 20)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}


class CpuInfo(NamedTuple):
    """`l1`, `l2`, `l3` are bytes of the data or unified cache that one core sees."""

    name: str
    architecture: str
    features: frozenset[str]
    l1: int
    l2: int
    l3: int

    @property
    def avx2(self) -> bool:
        return {"avx2", "fma"} <= self.features

    @property
    def avx512(self) -> bool:
        """The set that x86-64-v4 means."""
        return {"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"} <= self.features

    @property
    def fma(self) -> bool:
        return "fma" in self.features or self.neon

    @property
    def neon(self) -> bool:
        return self.architecture == "aarch64"

    @property
    def vector_bytes(self) -> int:
        """Width of the widest vector register."""
        return 64 if self.avx512 else 32 if "avx2" in self.features else 16


@cache
def cpu_info() -> CpuInfo:
    """The processor, looked at once."""
    record = _read("/proc/cpuinfo").split("\n\n", 1)[0]
    fields = dict(re.findall(r"^([\w ]+?)\s*:\s*(.*)$", record, re.MULTILINE))
    name = fields.get("model name") or _name()
    features = frozenset((fields.get("flags") or fields.get("Features") or "").split())
    return CpuInfo(name, host_architecture(), features, *_caches())


def _name() -> str:
    """The name where /proc has none; `platform` loads much, so only here."""
    import platform

    return platform.processor() or platform.machine()


def available_cores() -> int:
    """Cores that this process may run on, by affinity and by the container's CPU quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        cores = os.cpu_count() or 1
    return max(1, min(cores, _quota()))


def _quota() -> int:
    """The control group's CPU quota in whole cores, rounded up; a big number where there is none."""
    fields = _read("/sys/fs/cgroup/cpu.max").split()
    if len(fields) == 2 and all(field.isdigit() for field in fields) and int(fields[1]):
        return max(1, -(-int(fields[0]) // int(fields[1])))
    return 1 << 16


@cache
def last_cache() -> int:
    """Bytes of the last cache that one core sees, without what else there is to know of the processor."""
    return _caches()[2]


def _caches() -> tuple[int, int, int]:
    """Data cache sizes by level; typical ones where the system does not say."""
    sizes: list[int] = list(_DEFAULT_CACHES)
    for index in range(5):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}/"
        level, size = _read(folder + "level").strip(), _read(folder + "size").strip()
        match = re.fullmatch(r"(\d+)([KMG]?)", size)
        if level in ("1", "2", "3") and match and _read(folder + "type").strip() != "Instruction":
            sizes[int(level) - 1] = int(match[1]) << _UNITS[match[2]]
    return sizes[0], sizes[1], sizes[2]


def _read(path: str) -> str:
    """The start of a small text file; empty where there is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            return (file.read(16384) or b"").decode("utf-8", "replace")
    except OSError:
        return ""
