"""Random tensors from the global generator, under PyTorch's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.api import _random as r
from pullback.api import random
from pullback.api.arguments import as_tensor, check_memory, dtype_or, integer, number, shape_of
from pullback.api.data_types import finfo
from pullback.api.random import Generator
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir import dtypes
from pullback.ir.dtypes import DType, numpy_dtype
from pullback.ir.node import Node
from pullback.ops.control import by_steps
from pullback.util.errors import DTypeError, ShapeError, ValueError_, message

Array = Any
_EVERY_BIT = (dtypes.int64, dtypes.float64, dtypes.float32, dtypes.bfloat16)  # hold whatever 64 bits say, rounded
_LAYOUT = "partitionable"  # a generator's bits do not depend on the layout chosen for keys


def _made(x: Array, requires_grad: bool) -> Array:
    if requires_grad:
        x.requires_grad = True
    return x


def _size(size: tuple[Any, ...], dtype: DType, name: str) -> tuple[int, ...]:
    shape = shape_of(size, name) if size else ()
    check_memory(shape, dtype, name)
    return shape


def _floating(dtype: Any, name: str) -> DType:
    return random._floating(dtype, name)


def rand(*size: Any, generator: Generator | None = None, dtype: Any = None, requires_grad: bool = False) -> Array:
    """Uniform in [0, 1).

    >>> import pullback as pb
    >>> pb.rand(2, 3).shape
    (2, 3)
    """
    kind = _floating(dtype, "rand")
    shape, source = _size(size, kind, "rand"), random.source_of(generator)
    if random.on_host(source):
        return _made(from_host(source.uniform(shape, kind), kind), requires_grad)
    return _made(r._random_unit(source.next_key(), shape=shape, dtype=kind, layout=_LAYOUT), requires_grad)


def randn(*size: Any, generator: Generator | None = None, dtype: Any = None, requires_grad: bool = False) -> Array:
    """Standard normal.

    >>> import pullback as pb
    >>> pb.randn(2, 3).shape
    (2, 3)
    """
    kind = _floating(dtype, "randn")
    shape, source = _size(size, kind, "randn"), random.source_of(generator)
    if random.on_host(source):
        return _made(from_host(source.normal(shape, kind), kind), requires_grad)
    return _made(r._random_normal(source.next_key(), shape=shape, dtype=kind, layout=_LAYOUT), requires_grad)


def rand_like(
    input: Array, *, dtype: Any = None, generator: Generator | None = None, requires_grad: bool = False
) -> Array:
    """Uniform in [0, 1), with the shape and dtype of another tensor."""
    x = as_tensor(input, "rand_like")
    return rand(x.shape, generator=random.source_of(generator, x), dtype=dtype or x.dtype, requires_grad=requires_grad)


def randn_like(
    input: Array, *, dtype: Any = None, generator: Generator | None = None, requires_grad: bool = False
) -> Array:
    """Standard normal, with the shape and dtype of another tensor."""
    x = as_tensor(input, "randn_like")
    return randn(x.shape, generator=random.source_of(generator, x), dtype=dtype or x.dtype, requires_grad=requires_grad)


def randint(
    low: int, high: Any = None, size: Any = None, *, generator: Generator | None = None, dtype: Any = None
) -> Array:
    """Whole numbers in [low, high), or in [0, low): `randint(high, size)` or `randint(low, high, size)`."""
    if size is None:
        low, high, size = 0, low, high
    if size is None or high is None:
        raise ShapeError(message("randint: no size", [], "randint(0, 10, (3,)) or randint(10, (3,))"))
    first, last = integer(low, "randint", "low"), integer(high, "randint", "high")
    if first >= last:
        raise ValueError_(message("randint: an empty range", [("low, high", str((first, last)))],
                                  "low must be less than high"))
    kind = dtype_or(dtype, dtypes.int64)
    whole = kind if kind.is_integer else dtypes.int64
    shape, source = _size((size,), whole, "randint"), random.source_of(generator)
    if random.on_host(source):
        return from_host(source.integers(first, last, shape, whole), kind)
    bounds = [random._bound(first, whole), random._bound(last, whole)]
    drawn = r._random_integers(source.next_key(), *bounds, shape=shape, dtype=whole, layout=_LAYOUT)
    return drawn if kind is whole else drawn.to(kind)


def whole_like(input: Array, low: int | None = None, high: int | None = None, *,
               generator: Generator | None = None) -> Array:
    """Whole numbers in [low, high), with the shape and dtype of another tensor. Without bounds they are from 0 up, as
    large as the dtype holds; floats as large as they are exact."""
    x = as_tensor(input, "random_")
    kind: DType = x.info.type.dtype
    first, last = _whole_bounds(low, high, kind)
    source = random.source_of(generator, x)
    if random.on_host(source):
        wide = None if low is not None else kind.itemsize == 8
        return from_host(source.integers(first, last, x.shape, kind if kind.is_integer else dtypes.int64, wide), kind)
    whole = kind if kind.is_integer and kind.itemsize == 8 else dtypes.int64  # whose bounds are within
    bounds = [random._bound(min(n, np.iinfo(numpy_dtype(whole)).max), whole) for n in (first, last)]
    return r._random_integers(source.next_key(), *bounds, shape=x.shape, dtype=whole, layout=_LAYOUT).to(kind)


def _whole_bounds(low: int | None, high: int | None, kind: DType) -> tuple[int, int]:
    """The first whole number, and the one after the last; of floats those that are no others when they are rounded."""
    digits = round(1 - math.log2(finfo(kind).eps)) if kind.kind == "f" else 0
    least, most = (-int(finfo(kind).max), int(finfo(kind).max)) if digits else _ends(kind)
    first = 0 if low is None else integer(low, "random_", "from")
    if high is None:
        last = 1 + (2**digits if digits else most)
    else:
        last = integer(high, "random_", "to")
    if first == -(2**63) and high is None and kind in _EVERY_BIT:
        return 0, 2**64  # those of the upper half are negative
    if first >= last:
        raise ValueError_(message("random_: an empty range", [("from, to", str((low, high)))],
                                  "from must be less than to"))
    if first < least or last - 1 > most:
        raise ValueError_(message("random_: a bound is outside of the dtype",
                                  [("from, to", str((low, high))), ("dtype", str(kind))], f"from {least} to {most}"))
    return _inside(first, last, kind, digits) if digits and low is not None else (first, last)


def _ends(kind: DType) -> tuple[int, int]:
    """The least and the largest whole number of a dtype that is none of floats."""
    if kind.kind not in "biu":
        raise DTypeError(message("random_: no whole numbers", [("dtype", str(kind))], "a real dtype"))
    info = np.iinfo(numpy_dtype(kind)) if kind.is_integer else None
    return (int(info.min), int(info.max)) if info is not None else (0, 1)


def _inside(first: int, last: int, kind: DType, digits: int) -> tuple[int, int]:
    """Bounds moved by one step of a dtype of floats where rounding would cross them."""
    def rounded(n: int) -> int:
        return int(np.float64(n).astype(numpy_dtype(kind)))

    def step(n: int) -> int:
        return 2 ** (abs(n).bit_length() - digits)

    if (above := rounded(first + 1)) < first:
        first = above + step(first + 1)
    if (below := rounded(last - 1)) >= last:
        last = below - step(last - 1)
    return first, last


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None) -> Array:
    """A shuffle of range(n), int64."""
    size = integer(n, "randperm", "n")
    if size < 0:
        raise ValueError_(message("randperm: a negative number", [("n", str(n))], "pass a size from 0 up"))
    kind, source = dtype_or(dtype, dtypes.int64), random.source_of(generator)
    if random.on_host(source):
        return from_host(source.permutation(size), kind)
    return r._random_order(source.next_key(), size=size, layout=_LAYOUT).to(kind)


def bernoulli(input: Array, *, generator: Generator | None = None) -> Array:
    """0 or 1 in the dtype of `input`, which holds the probabilities of 1."""
    x = as_tensor(input, "bernoulli")
    kind, source = _floating(x.dtype, "bernoulli"), random.source_of(generator, x)
    if random.on_host(source):
        return drawn_by(from_host(source.chances(x.numpy(), x.shape), kind), x)
    drawn = r._random_unit(source.next_key(), shape=x.shape, dtype=kind, layout=_LAYOUT)
    return drawn_by((drawn < x).to(kind), x)


def drawn_by(drawn: Array, parameter: Array) -> Array:
    """What was drawn by a parameter: its gradient is zero."""
    return _drawn(drawn, parameter) if parameter.requires_grad else drawn


@operation(name="drawn")
def _drawn(drawn: Node, parameter: Node) -> Node:
    return by_steps("drawn", lambda x, _: x, drawn, parameter)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, dtype: Any = None
) -> Array:
    """Normal with a mean and standard deviation, numbers (then with a size) or tensors."""
    tensors = [x for x in (mean, std) if isinstance(x, TensorBase)]
    if size is None and not tensors:
        raise ShapeError(message("normal: no size", [], "normal(0.0, 1.0, (3,))"))
    if not isinstance(std, TensorBase) and number(std, "normal", "std") < 0:
        raise ValueError_(message("normal: a negative standard deviation", [("std", str(std))],
                                  "std must be 0 or more"))
    shape = size if size is not None else (mean + std).shape
    return randn(shape, generator=random.source_of(generator, tensors[0] if tensors else None),
                 dtype=dtype) * std + mean


def multinomial(
    input: Array, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Array:
    """Indices drawn with the probabilities that rows of weights stand for, int64."""
    x = as_tensor(input, "multinomial")
    count = integer(num_samples, "multinomial", "num_samples")
    if x.ndim not in (1, 2):
        raise ShapeError(message("multinomial: weights must have one or two dimensions", [("input", repr(x.info.type))],
                                 "one row of weights for each draw"))
    if not replacement and count > x.shape[-1]:
        raise ValueError_(
            message(
                "multinomial: not enough to choose from",
                [("choices", str(x.shape[-1])), ("num_samples", str(count))],
                "replacement=True",
            )
        )
    source = random.source_of(generator, x)
    if random.on_host(source):
        return from_host(source.choices(x.numpy(), count, bool(replacement)), dtypes.int64)
    noise = r._random_gumbel(source.next_key(), shape=(*((count,) if replacement else ()), *x.shape),
                             dtype=_floating(x.dtype, "multinomial"), layout=_LAYOUT)
    scores = noise + x.log()
    if not replacement:
        return scores.argsort(dim=-1, descending=True)[..., :count].to(dtypes.int64)
    found = scores.argmax(-1)
    return (found.T if x.ndim == 2 else found).to(dtypes.int64)
