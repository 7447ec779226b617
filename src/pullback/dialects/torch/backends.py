"""`torch.backends`: what there is, and settings that change nothing here."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any


def _absent() -> bool:
    return False


_BACKENDS: dict[str, dict[str, Any]] = {
    "cudnn": {"enabled": False, "benchmark": False, "deterministic": True, "allow_tf32": False,
              "is_available": _absent, "version": lambda: None},
    "mps": {"is_available": _absent, "is_built": _absent},
    "cuda": {"is_built": _absent, "matmul": SimpleNamespace(allow_tf32=False)},
    "mkl": {"is_available": _absent},
    "mkldnn": {"is_available": _absent},
    "openmp": {"is_available": _absent},
}
__path__: list[str] = []


def _module(name: str, settings: dict[str, Any]) -> ModuleType:
    """A module that scripts import and set attributes of: `import torch.backends.cudnn as cudnn`."""
    made = sys.modules[f"{__name__}.{name}"] = ModuleType(f"{__name__}.{name}")
    vars(made).update(settings)
    return made


globals().update({name: _module(name, settings) for name, settings in _BACKENDS.items()})
