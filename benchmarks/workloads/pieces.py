"""How the pieces (products, vector functions) are timed, and how each framework waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

clock = time.perf_counter


def best_us(call: Callable[[], Any], seconds: float) -> float:
    """The least time of a call in microseconds, over `seconds` of repetition."""
    call()
    call()
    best = 1e9
    end = clock() + seconds
    count = 0
    while clock() < end or count < 3:
        start = clock()
        call()
        best = min(best, clock() - start)
        count += 1
    return best * 1e6


def ready(x: Any) -> Any:
    """Wait for a jax array."""
    return x.block_until_ready()


def mlx_library() -> Any:
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    return mx


def pullback_library() -> tuple[Any, Callable[[Any], None]]:
    """The package, and a function that waits for everything recorded while its argument is alive."""
    import pullback as pb
    from pullback.engine.execute import synchronize

    return pb, lambda kept: synchronize()
