"""`pullback info`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version

import pullback
from pullback.runtime.cpu import available_cores, cpu_info
from pullback.runtime.native import default_num_threads
from pullback.util import config
from pullback.util.disk_cache import default_cache

_NOTABLE = (
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512vl",
    "avx512bw",
    "avx512_bf16",
    "avx512_vnni",
    "amx_tile",
    "asimd",
    "sve",
)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _bytes(count: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024  # type: ignore[assignment]
    return f"{count:.1f} GiB"


def _cache() -> list[tuple[str, str]]:
    cache = default_cache()
    sizes: list[int] = []
    if cache.usable:
        with os.scandir(cache.directory) as entries:
            sizes = [e.stat().st_size for e in entries if e.name.endswith(".bin")]
    used = f"{len(sizes)} programs, {_bytes(sum(sizes))} of {_bytes(cache.limit)}"
    state = used if cache.usable else "cannot be used"
    return [("cache", cache.directory), ("", state)]


def facts() -> list[tuple[str, str]]:
    """What is shown, as names and values."""
    cpu = cpu_info()
    features = [name for name in _NOTABLE if name in cpu.features]
    return [
        ("pullback", pullback.__version__),
        ("python", f"{sys.version.split()[0]} on {sys.platform}"),
        *((name, _version(name)) for name in ("numpy", "llvmlite", "ml_dtypes", "rich", "matplotlib")),
        ("processor", f"{cpu.name} ({cpu.architecture})"),
        ("features", " ".join(features) or "baseline"),
        ("vectors", f"{cpu.vector_bytes * 8} bits"),
        ("caches", f"L1 {_bytes(cpu.l1)}, L2 {_bytes(cpu.l2)}, L3 {_bytes(cpu.l3)}"),
        ("threads", f"{default_num_threads()} of {available_cores()} cores"),
        *_cache(),
    ]


def run_info() -> int:
    """Print it."""
    for name, value in facts():
        print(f"{name:<12} {value}")
    print("\nflags (change by environment variable):")
    for _, variable, value, meaning in config.describe():
        print(f"  {variable:<24} {value or '-':<14} {meaning}")
    return 0
