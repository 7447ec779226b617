"""Random numbers for initialisation, drawn on the host.

The stream is Philox (counter-based: Salmon et al. 2011), keyed by the next word of the generator, so that values
depend on the seed and the order of the calls alone. A compiled sampler would cost a compilation per shape at the start
of every program.
"""

from __future__ import annotations

from typing import Any

from pullback.api import random
from pullback.ir.dtypes import DType, float64
from pullback.util.errors import ArgumentError, message


def _stream(generator: Any) -> Any:
    from numpy.random import Generator, Philox  # loaded late: a fifth of the time to import numpy

    source = random.default_generator if generator is None else generator
    if not isinstance(source, random.Generator):
        raise ArgumentError(message("generator: not a generator", [("generator", f"{generator!r:.60}")],
                                    "pass a pb.Generator, or None for the global one"))
    return Generator(Philox(key=source.draw()))


def unit_uniform(shape: tuple[int, ...], dtype: DType, generator: Any = None) -> Any:
    """Uniform in [0, 1); float64 for float64, else float32."""
    return _stream(generator).random(shape, "f8" if dtype is float64 else "f4")


def standard_normal(shape: tuple[int, ...], dtype: DType, generator: Any = None) -> Any:
    """Standard normal; float64 for float64, else float32."""
    return _stream(generator).standard_normal(shape, "f8" if dtype is float64 else "f4")
