"""Random numbers for initialisation, drawn on the host.

The stream is Philox (counter-based: Salmon et al. 2011), keyed by the next word of the generator, so that values
depend on the seed and the order of the calls alone. A compiled sampler would cost a compilation per shape at the start
of every program.
"""

from __future__ import annotations

from typing import Any

from pullback.api import random
from pullback.ir.dtypes import DType, float64


def _stream(source: Any) -> Any:
    from numpy.random import Generator, Philox  # loaded late: a fifth of the time to import numpy

    return Generator(Philox(key=source.draw()))


def uniform(tensor: Any, low: float, high: float, generator: Any = None) -> Any:
    """Uniform in [low, high), in a tensor's shape; float64 for float64, else float32."""
    source, type_ = random.source_of(generator, tensor), tensor.info.type
    if source.host:
        return source.uniform(type_.shape, type_.dtype, low, high)
    return _stream(source).random(type_.shape, _kind(type_.dtype)) * (high - low) + low


def normal(tensor: Any, mean: float, std: float, generator: Any = None, shape: tuple[int, ...] | None = None) -> Any:
    """Normal, in a tensor's shape or another; float64 for float64, else float32."""
    source, type_ = random.source_of(generator, tensor), tensor.info.type
    size = type_.shape if shape is None else shape
    if source.host:
        return source.normal(size, type_.dtype, mean, std)
    return _stream(source).standard_normal(size, _kind(type_.dtype)) * std + mean


def order(tensor: Any, count: int, generator: Any = None) -> Any:
    """A shuffle of range(count)."""
    source = random.source_of(generator, tensor)
    return source.permutation(count) if source.host else _stream(source).permutation(count)


def _kind(dtype: DType) -> Any:
    return "f8" if dtype is float64 else "f4"
