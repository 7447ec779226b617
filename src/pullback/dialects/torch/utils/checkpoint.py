"""`torch.utils.checkpoint`."""

from __future__ import annotations

from typing import Any

from pullback.engine.rules import checkpoint as _checkpoint


def checkpoint(function: Any, *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True,
               **options: Any) -> Any:
    """Call a function whose intermediate values are computed again for the gradient."""
    return _checkpoint(function)(*args, **options)
