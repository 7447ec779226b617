"""Random tensors from the global generator, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from pullback.api import _random as r
from pullback.api import random
from pullback.api.arguments import as_tensor, check_memory, dtype_or, integer, number, shape_of
from pullback.api.random import Generator
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir import dtypes
from pullback.ir.dtypes import DType
from pullback.ir.node import Node
from pullback.ops.control import by_steps
from pullback.util.errors import ShapeError, ValueError_, message

Array = Any
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
