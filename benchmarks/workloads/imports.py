"""Warm import time: `import_s` of each package in a fresh process, and what it loads."""

from __future__ import annotations

import sys
from typing import Any

HEAVY = ("llvmlite", "rich", "matplotlib", "safetensors", "asyncio", "multiprocessing")


def loaded(seconds: float) -> dict[str, Any]:
    return {"modules": len(sys.modules), "heavy": [name for name in HEAVY if name in sys.modules]}


FRAMEWORKS = dict.fromkeys(("numpy", "torch", "jax", "mlx", "tinygrad", "tensorflow", "pullback"), loaded)
