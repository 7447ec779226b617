"""Random programs: recorded and run, jitted, and by the reference rules; their gradients; their bits by threads."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.engine.trace import reset_table
from pullback.runtime.native import native
from pullback.util import config

PROGRAMS = 500
SIZES = (0, 1, 1, 2, 2, 3, 3, 7, 8, 8, 9, 16, 17, 33, 64, 65, 100)
LIMIT = 12_000  # elements of one value
Step = Callable[[random.Random, list[Any]], Any]


# -- steps: each makes a new value of those there are; what it chooses depends on shapes only --------------------------
def any_of(r: random.Random, pool: list[Any]) -> Any:
    """A value, the later ones more often."""
    return pool[max(r.randrange(len(pool)), r.randrange(len(pool)))]


def with_rank(r: random.Random, pool: list[Any], rank: int = 1) -> Any:
    x = any_of(r, pool)
    while len(x.shape) < rank:
        x = pb.expand_dims(x, r.randint(0, len(x.shape)))
    return x


def axis_of(r: random.Random, x: Any) -> int:
    return r.randrange(len(x.shape)) - r.choice((0, len(x.shape)))


def not_empty(r: random.Random, pool: list[Any]) -> tuple[Any, int]:
    """A value and an axis that has elements."""
    x = with_rank(r, pool)
    axis = axis_of(r, x)
    return (x, axis) if x.shape[axis] else (pb.pad(x, [(1, 0)] * len(x.shape)), axis)


def meet(r: random.Random, x: Any, y: Any) -> tuple[Any, Any]:
    """Two values whose shapes broadcast, within the limit of size."""
    try:
        if math.prod(pb.broadcast_shapes(x.shape, y.shape)) <= LIMIT:
            return x, y
    except Exception:  # whatever the error: the shapes do not fit
        pass
    shape = x.shape[r.randint(0, len(x.shape)):]
    shape = tuple(n if r.random() < 0.6 else 1 for n in shape)
    return x, fitted(y, shape)


def fitted(y: Any, shape: tuple[int, ...]) -> Any:
    """Some elements of a value (or zeros after them) in a shape."""
    flat, size = y.reshape(-1), math.prod(shape)
    flat = flat[:size] if flat.shape[0] >= size else pb.pad(flat, [(0, size - flat.shape[0])])
    return flat.reshape(shape)


def unary(r: random.Random, pool: list[Any]) -> Any:
    x = any_of(r, pool)
    return r.choice(UNARY)(x)


UNARY = (pb.tanh, pb.sigmoid, pb.sin, pb.cos, pb.relu, pb.abs, pb.erf, pb.atan, pb.square,
         lambda x: -x, lambda x: x * 0.5 + 1,
         lambda x: pb.exp(-pb.abs(x)), lambda x: pb.log1p(pb.abs(x)), lambda x: pb.sqrt(pb.abs(x) + 1), lambda x: x / 3,
         lambda x: pb.clip(x, -0.7, 0.9), lambda x: 1 / (1 + x * x), lambda x: pb.expm1(pb.minimum(x, 1.0)),
         lambda x: pb.tanh(x) ** 3, lambda x: pb.rsqrt(x * x + 0.5))


def binary(r: random.Random, pool: list[Any]) -> Any:
    x, y = meet(r, any_of(r, pool), any_of(r, pool))
    return r.choice((lambda: x + y, lambda: x - y, lambda: y - x, lambda: x * pb.tanh(y), lambda: x / (1 + pb.abs(y)),
                     lambda: pb.maximum(x, y), lambda: pb.minimum(y, x), lambda: pb.hypot(x + 2, y),
                     lambda: pb.atan2(x, 2 + pb.abs(y)), lambda: pb.logaddexp(x, y)))()


def reduce(r: random.Random, pool: list[Any]) -> Any:
    x = with_rank(r, pool)
    axes = tuple(sorted(r.sample(range(len(x.shape)), r.randint(1, len(x.shape)))))
    keep = r.random() < 0.4
    which = r.randrange(6)
    if which < 2 or 0 in x.shape:
        return pb.sum(x, axes, keepdims=keep) * (1 / 16)
    if which == 2:
        return pb.mean(x, axes, keepdims=keep)
    if which == 3:
        return pb.var(x, axes, keepdims=keep)
    if which == 4:
        return pb.logsumexp(x, axes, keepdims=keep)
    return (pb.max if r.random() < 0.5 else pb.min)(x, axes, keepdims=keep)


def softmax(r: random.Random, pool: list[Any]) -> Any:
    x, axis = not_empty(r, pool)
    return r.choice((pb.softmax, pb.log_softmax))(x, axis)


def normal(r: random.Random, pool: list[Any]) -> Any:
    x, axis = not_empty(r, pool)
    return (x - pb.mean(x, axis, keepdims=True)) * pb.rsqrt(pb.var(x, axis, keepdims=True) + 0.1)


def matmul(r: random.Random, pool: list[Any]) -> Any:
    x = with_rank(r, pool, 2)
    k = x.shape[-1]
    n = r.choice((1, 2, 3, 8, 17, 33))
    if math.prod(x.shape[:-1]) * n > LIMIT:
        n = 1
    batch = x.shape[:-2] if r.random() < 0.3 else ()
    y = fitted(any_of(r, pool), (*batch, n, k) if r.random() < 0.5 else (*batch, k, n))
    y = pb.matrix_transpose(y) if y.shape[-1] == k and y.shape[-2] == n else y
    return x @ y * (1 / math.sqrt(k + 1))


def einsum(r: random.Random, pool: list[Any]) -> Any:
    x = fitted(any_of(r, pool), (r.choice((1, 3, 9)), r.choice((2, 8)), r.choice((5, 17))))
    y = fitted(any_of(r, pool), (x.shape[2], x.shape[0], 4))
    return pb.einsum(r.choice(("abc,cad->abd", "abc,cad->db", "abc,cad->abcd", "abc,cad->acb")), x, y)


def transpose(r: random.Random, pool: list[Any]) -> Any:
    x = with_rank(r, pool)
    order = list(range(len(x.shape)))
    r.shuffle(order)
    return pb.permute_dims(x, order)


def reshape(r: random.Random, pool: list[Any]) -> Any:
    x = any_of(r, pool)
    size = math.prod(x.shape)
    first = next((n for n in r.sample((2, 3, 4, 5, 7, 8, 11, 13), 8) if size % n == 0), 1)
    return r.choice((lambda: x.reshape(first, -1), lambda: x.reshape(size // first,
                                                                     first), lambda: x.reshape(size)))() if size else x


def slice_(r: random.Random, pool: list[Any]) -> Any:
    x = with_rank(r, pool)
    index: list[Any] = []
    for n in x.shape:
        index.append(r.choice((slice(None), slice(None), slice(n // 3, None), slice(None, n - n // 4),
                               slice(None, None, 2),
                               slice(None, None, -1), slice(n, None, -3), r.randrange(n) if n else slice(None))))
    return x[tuple(index)]


def pad(r: random.Random, pool: list[Any]) -> Any:
    x = with_rank(r, pool)
    if math.prod(n + 3 for n in x.shape) > LIMIT:
        return x
    return pb.pad(x, [(r.randint(0, 2), r.randint(0, 1)) for _ in x.shape], constant_values=r.choice((0, 0.5)))


def concat(r: random.Random, pool: list[Any]) -> Any:
    x = with_rank(r, pool)
    if math.prod(x.shape) * 2 > LIMIT:
        return x
    axis = axis_of(r, x)
    shape = list(x.shape)
    shape[axis] = r.choice((0, 1, 3, shape[axis]))
    parts = [x, fitted(any_of(r, pool), tuple(shape))]
    r.shuffle(parts)
    return pb.concat(parts, axis)


def stack(r: random.Random, pool: list[Any]) -> Any:
    x = any_of(r, pool)
    if math.prod(x.shape) * 3 > LIMIT or len(x.shape) > 3:
        return x
    return pb.stack([x, fitted(any_of(r, pool), x.shape), x], r.randint(0, len(x.shape)))


def gather(r: random.Random, pool: list[Any]) -> Any:
    x, axis = not_empty(r, pool)
    n, count = x.shape[axis], r.choice((0, 1, 5, 9, 16))
    if math.prod(x.shape) // n * count > LIMIT:
        count = 1
    at = np.array([r.randrange(-n, n) for _ in range(count)], np.int32)
    return x[(slice(None),) * (axis % len(x.shape)) + (pb.tensor(at),)]


def scatter(r: random.Random, pool: list[Any]) -> Any:
    x, axis = not_empty(r, pool)
    axis %= len(x.shape)
    at = np.array([r.randrange(x.shape[axis]) for _ in range(r.choice((1, 4, 9)))], np.int32)
    shape = (*x.shape[:axis], len(at), *x.shape[axis + 1:])
    return pb.index_add(x, axis, pb.tensor(at), fitted(any_of(r, pool), shape)) if math.prod(shape) < LIMIT else x


def where(r: random.Random, pool: list[Any]) -> Any:
    """The condition is of inputs, which no rounding moves."""
    x, y = meet(r, any_of(r, pool), any_of(r, pool))
    return pb.where(fitted(pool[0], x.shape) > r.choice((0, 0.3)), x, y)


def cumulative(r: random.Random, pool: list[Any]) -> Any:
    x, axis = not_empty(r, pool)
    return r.choice((lambda: pb.cumsum(x, axis) * 0.1, lambda: pb.cumprod(pb.tanh(x), axis)))()


def shift(r: random.Random, pool: list[Any]) -> Any:
    x = with_rank(r, pool)
    axis = axis_of(r, x)
    return r.choice((lambda: pb.roll(x, 1, axis), lambda: pb.flip(x, axis), lambda: pb.tile(x[..., :5], 2),
                     lambda: pb.broadcast_to(x.reshape(-1)[:3].reshape(-1, 1), (len(x.reshape(-1)[:3]), 4))))()


def order(r: random.Random, pool: list[Any]) -> Any:
    x, axis = not_empty(r, pool[:2])  # of inputs: their order is that of every run
    return pb.sort(x, axis, descending=r.random() < 0.5)


REAL: tuple[Step, ...] = (unary, unary, unary, binary, binary, binary, binary, reduce, reduce, reduce, softmax, normal,
                          matmul,
                          matmul, einsum, transpose, transpose, reshape, slice_, slice_, pad, concat, stack, gather,
                          scatter, where, cumulative, shift, order)


def whole_binary(r: random.Random, pool: list[Any]) -> Any:
    x, y = meet(r, any_of(r, pool), any_of(r, pool))
    return r.choice((lambda: x + y, lambda: x - y, lambda: x * y, lambda: x & y, lambda: x | y, lambda: x ^ y,
                     lambda: pb.maximum(x, y), lambda: x // (y | 1), lambda: x % (y | 1), lambda: pb.where(x > y, x,
                                                                                                           y + 1),
                     lambda: pb.astype(x == y, x.dtype), lambda: pb.astype((x < y) ^ (x > 2), x.dtype)))()


def whole_unary(r: random.Random, pool: list[Any]) -> Any:
    x = any_of(r, pool)
    return r.choice((lambda: -x, lambda: x >> 1, lambda: (x & 7) << 2, lambda: ~x, lambda: pb.abs(x), lambda: x * x,
                     lambda: pb.astype(pb.astype(x & 1023, pb.float32) * 0.5, x.dtype), lambda: pb.sign(x)))()


def whole_reduce(r: random.Random, pool: list[Any]) -> Any:
    x, axis = not_empty(r, pool)
    same = x.dtype
    return r.choice((lambda: pb.sum(x, axis), lambda: pb.max(x, axis), lambda: pb.min(x, axis), lambda: pb.prod(x & 3,
                                                                                                                axis),
                     lambda: pb.argmax(x, axis), lambda: pb.argmin(x, axis), lambda: pb.any(x > 1, axis),
                     lambda: pb.all(x > -9, axis), lambda: pb.count_nonzero(x, axis), lambda: pb.cumsum(x, axis),
                     lambda: pb.sort(x, axis), lambda: pb.argsort(x, axis)))().astype(same)


WHOLE: tuple[Step, ...] = (whole_unary, whole_unary, whole_binary, whole_binary, whole_binary, whole_reduce,
                           whole_reduce, transpose, reshape, slice_, concat, stack, gather, scatter, shift)


# -- programs ----------------------------------------------------------------------------------------------------------
def inputs_of(seed: int) -> tuple[list[Any], bool]:
    """Two or three arrays; whether they are real numbers."""
    r, rng = random.Random(seed), np.random.default_rng(seed)
    real = seed % 5 != 4
    dtype = r.choice((np.float32, np.float32, np.float64)) if real else r.choice((np.int32, np.int64, np.int8,
                                                                                  np.uint8))
    arrays: list[Any] = []
    for _ in range(r.choice((2, 3))):
        shape: tuple[int, ...] = ()
        for _ in range(r.choice((0, 1, 2, 2, 2, 3, 3, 4))):
            n = r.choice(SIZES)
            shape = (*shape, n) if math.prod(shape) * n <= LIMIT // 4 else (*shape, r.choice((1, 2)))
        arrays.append(rng.normal(size=shape).astype(dtype) if real else rng.integers(0, 12, shape).astype(dtype))
    return arrays, real


def program(seed: int, real: bool) -> Callable[..., Any]:
    """A function of its inputs, of two to eight steps; two results."""
    def run(*xs: Any) -> tuple[Any, Any]:
        r = random.Random(seed + 10_000)
        pool = list(xs)
        for _ in range(r.randint(2, 8)):
            x = r.choice(REAL if real else WHOLE)(r, pool)
            if math.prod(x.shape) <= LIMIT and len(x.shape) <= 5:
                pool.append(x)
        return pool[-1], pool[-2]

    return run


def loss_of(run: Callable[..., Any]) -> Callable[..., Any]:
    def loss(*xs: Any) -> Any:
        x, y = run(*xs)
        return x.sum() + y.sum() * 0.5

    return loss


def numbers(found: Any) -> list[Any]:
    return [x.numpy() for x in found]


def everything(seed: int, jit: bool = False) -> list[Any]:
    """The results of a program and its gradients."""
    arrays, real = inputs_of(seed)
    xs = [pb.tensor(x, dtype=x.dtype) for x in arrays]
    run = program(seed, real)
    wrap: Any = pb.jit if jit else lambda f: f
    found = numbers(wrap(run)(*xs))
    if real:
        found += numbers(wrap(pb.grad(loss_of(run), argnums=tuple(range(len(xs)))))(*xs))
    return found


def compare(found: list[Any], wanted: list[Any], what: str) -> None:
    for k, (x, y) in enumerate(zip(found, wanted, strict=True)):
        assert x.shape == y.shape and x.dtype == y.dtype, what
        if y.dtype.kind != "f":
            np.testing.assert_array_equal(x, y, what)
            continue
        finite = y[np.isfinite(y)]
        tolerance = (2e-4 if y.dtype == np.float32 else 1e-10) * (1 + float(np.abs(finite).max(initial=0)))
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance, err_msg=f"{what}, result {k}")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_programs(seed: int) -> None:
    reset_table()
    eager, jitted = everything(seed), everything(seed, jit=True)
    reset_table()
    with config.override(reference=True):
        wanted = everything(seed)
    reset_table()
    compare(eager, wanted, f"program {seed} run")
    compare(jitted, wanted, f"program {seed} jitted")


@pytest.mark.parametrize("seed", range(0, PROGRAMS, 10))
def test_same_bits_for_any_number_of_threads(seed: int) -> None:
    before = native().num_threads
    try:
        native().set_num_threads(1)
        one = everything(seed)
        native().set_num_threads(2)
        two = everything(seed)
    finally:
        native().set_num_threads(before)
    for x, y in zip(one, two, strict=True):
        assert x.tobytes() == y.tobytes()
