"""`torch.utils.checkpoint`."""

from __future__ import annotations

from functools import partial
from typing import Any

from pullback.engine.rules import checkpoint as _checkpoint
from pullback.util.errors import ValueError_, message


def checkpoint(function: Any, *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True,
               **options: Any) -> Any:
    """Call a function whose intermediate values are computed again for the gradient."""
    return _checkpoint(function)(*args, **options)


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None,
                          **options: Any) -> Any:
    """Call functions one after the other, in segments whose intermediate values are computed again for the gradient;
    those of the last are kept."""
    steps = list(functions)
    if not 1 <= segments <= max(len(steps), 1):
        raise ValueError_(message("checkpoint_sequential: there are as many segments as functions at most, 1 at least",
                                  [("segments", repr(segments)), ("functions", str(len(steps)))]))
    size = len(steps) // segments

    def run(start: int, end: int, x: Any) -> Any:
        for step in steps[start:end]:
            x = step(x)
        return x

    for start in range(0, size * (segments - 1), size):
        input = checkpoint(partial(run, start, start + size), input, use_reentrant=use_reentrant, **options)
    return run(size * (segments - 1), len(steps), input)
