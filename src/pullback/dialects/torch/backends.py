"""`torch.backends`: what there is, and settings that change nothing here."""

from __future__ import annotations

from types import SimpleNamespace


def _absent() -> bool:
    return False


cudnn = SimpleNamespace(enabled=False, benchmark=False, deterministic=True, allow_tf32=False, is_available=_absent,
                        version=lambda: None)
mps = SimpleNamespace(is_available=_absent, is_built=_absent)
cuda = SimpleNamespace(is_built=_absent, matmul=SimpleNamespace(allow_tf32=False))
mkl = SimpleNamespace(is_available=_absent)
mkldnn = SimpleNamespace(is_available=_absent)
openmp = SimpleNamespace(is_available=_absent)
