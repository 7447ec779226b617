"""Elementwise functions against NumPy, and the promotion table."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from tests.api.support import FLOATS, INTEGERS, SHAPES, same, sample

import pullback as pb
from pullback.ir import dtypes

UNARY = {
    "exp": (np.exp, -2, 2), "exp2": (np.exp2, -2, 2), "expm1": (np.expm1, -2, 2), "log": (np.log, 0.1, 5),
    "log2": (np.log2, 0.1, 5), "log10": (np.log10, 0.1, 5), "log1p": (np.log1p, -0.5, 5), "sin": (np.sin, -4, 4),
    "cos": (np.cos, -4, 4), "tan": (np.tan, -1, 1), "asin": (np.arcsin, -0.9, 0.9), "acos": (np.arccos, -0.9, 0.9),
    "atan": (np.arctan, -4, 4), "sinh": (np.sinh, -2, 2), "cosh": (np.cosh, -2, 2), "tanh": (np.tanh, -3, 3),
    "asinh": (np.arcsinh, -3, 3), "acosh": (np.arccosh, 1.1, 5), "atanh": (np.arctanh, -0.9, 0.9),
    "sqrt": (np.sqrt, 0, 5), "cbrt": (np.cbrt, -5, 5), "square": (np.square, -3, 3), "abs": (np.abs, -3, 3),
    "sign": (np.sign, -3, 3), "floor": (np.floor, -3, 3), "ceil": (np.ceil, -3, 3), "trunc": (np.trunc, -3, 3),
    "round": (np.round, -3, 3), "negative": (np.negative, -3, 3), "reciprocal": (np.reciprocal, 0.2, 3),
    "isnan": (np.isnan, -1, 1), "isinf": (np.isinf, -1, 1), "isfinite": (np.isfinite, -1, 1),
    "signbit": (np.signbit, -1, 1), "deg2rad": (np.deg2rad, -9, 9), "rad2deg": (np.rad2deg, -9, 9),
    "logical_not": (np.logical_not, -1, 1), "nan_to_num": (np.nan_to_num, -1, 1),
}
BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "atan2": np.arctan2, "hypot": np.hypot, "copysign": np.copysign, "logaddexp": np.logaddexp,
    "remainder": np.remainder, "fmod": np.fmod, "floor_divide": np.floor_divide, "equal": np.equal,
    "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_xor": np.logical_xor, "fmax": np.fmax, "fmin": np.fmin, "nextafter": np.nextafter,
}
BROADCASTS = [((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 1), (1, 3)), ((0, 3), (3,)), ((1,), (4,)), ((2, 3), (2, 3)),
              ((4, 1, 2), (3, 1))]


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    reference, low, high = UNARY[name]
    for dtype in FLOATS:
        for shape in SHAPES:
            x = sample(shape, dtype, low, high)
            same(getattr(pb, name)(pb.tensor(x)), reference(x), 1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str) -> None:
    for dtype in FLOATS:
        for left, right in BROADCASTS:
            x, y = sample(left, dtype, seed=1), sample(right, dtype, seed=2)
            y = np.where(np.abs(y) < 0.2, 0.7, y).astype(dtype)
            same(getattr(pb, name)(pb.tensor(x), pb.tensor(y)), BINARY[name](x, y),
                 1e-5 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype: str) -> None:
    x, y = sample((3, 4), dtype, seed=1), sample((4,), dtype, seed=2)
    y = np.where(y == 0, 3, y).astype(dtype)
    a, b = pb.tensor(x), pb.tensor(y)
    for name in ("add", "subtract", "multiply", "floor_divide", "remainder", "fmod", "maximum", "minimum",
                 "bitwise_and", "bitwise_or", "bitwise_xor"):
        same(getattr(pb, name)(a, b), getattr(np, name)(x, y), dtype=True)
    same(a / b, (x / y).astype(np.float32), 1e-6)
    same(~a, ~x, dtype=True)
    same(a ** 3, x ** np.asarray(3, dtype), dtype=True)
    same(a << 2, (x << 2).astype(dtype), dtype=True)
    same(a >> 1, x >> 1, dtype=True)
    assert pb.sqrt(pb.abs(a)).dtype == "float32"


def test_booleans() -> None:
    x, y = np.asarray([True, True, False, False]), np.asarray([True, False, True, False])
    a, b = pb.tensor(x), pb.tensor(y)
    for found, expected in ((a & b, x & y), (a | b, x | y), (a ^ b, x ^ y), (~a, ~x), (a + b, x + y), (a * b, x * y),
                            (a < b, x < y), (a >= b, x >= y), (a == b, x == y)):
        same(found, expected, dtype=True)
    assert (a + 1).dtype == "int32"
    assert (a * 1.5).dtype == "float32"
    same(pb.maximum(a, b), np.maximum(x, y))


def test_complex() -> None:
    for dtype in ("complex64", "complex128"):
        x, y = sample((2, 3), dtype, seed=1), sample((3,), dtype, seed=2)
        a, b = pb.tensor(x), pb.tensor(y)
        for found, expected in ((a + b, x + y), (a * b, x * y), (a / b, x / y), (abs(a), abs(x)), (a.real, x.real),
                                (a.imag, x.imag),
                                (a.conj(), x.conj()), (pb.exp(a), np.exp(x)), (pb.angle(a), np.angle(x)),
                                (a == a, x == x), (a ** 2, x ** 2), (a @ b, x @ y)):
            same(found, expected, 1e-5)


@pytest.mark.parametrize(("left", "right"), list(product(dtypes.DTYPES, dtypes.DTYPES)))
def test_promotion(left: str, right: str) -> None:
    expected = dtypes.promote(dtypes.DTYPES[left], dtypes.DTYPES[right])
    x, y = (pb.ones((2,), dtype=d) for d in (left, right))
    assert pb.result_type(left, right) is expected
    assert pb.where(pb.tensor([True, False]), x, y).dtype is expected
    assert (x * y).dtype is expected
    assert pb.stack([x, y]).dtype is expected


@pytest.mark.parametrize("name", dtypes.DTYPES)
def test_weak_numbers(name: str) -> None:
    dtype = dtypes.DTYPES[name]
    x = pb.ones((2,), dtype=dtype)
    for value, kind in ((True, "b"), (2, "i"), (2.5, "f"), (1j, "c")):
        expected = dtypes.promote_weak(dtype, kind)
        assert (x * value).dtype is expected, (name, kind)
        assert (value * x).dtype is expected, (name, kind)
        assert pb.where(pb.tensor([True, False]), x, value).dtype is expected, (name, kind)


def test_numbers_alone() -> None:
    assert float(pb.sin(1.0)) == pytest.approx(np.sin(1.0), rel=1e-6)
    assert pb.add(1, 2).dtype == "int32"
    assert pb.add(1, 2.0).dtype == "float32"
    assert int(pb.maximum(3, 4)) == 4


def test_powers() -> None:
    x = sample((3, 4), "float64", 0.2, 3)
    a = pb.tensor(x)
    for n in (2, 3, -1, 0, 0.5, -0.5, 2.0, 1.7, -2.3, 100):
        same(a ** n, x ** n, 1e-9)
    same(2.0 ** a, 2.0 ** x, 1e-9)
    same(a ** a, x ** x, 1e-9)
    same(pb.tensor([2, 3]) ** 2, [4, 9])


def test_clip_and_where() -> None:
    x = sample((3, 4), "float64", -3, 3)
    a = pb.tensor(x)
    same(a.clip(-1, 1), x.clip(-1, 1))
    same(pb.clip(a, min=0), np.maximum(x, 0))
    same(pb.clip(a, max=0), np.minimum(x, 0))
    same(a.clamp(min=pb.tensor(x[0])), np.maximum(x, x[0]))
    same(pb.where(a > 0, a, 0), np.where(x > 0, x, 0))
    same(pb.where(a > 0, 1.0, a), np.where(x > 0, 1.0, x))
    same(pb.lerp(a, a + 2, 0.25), x + 0.5)
    same(pb.nan_to_num(pb.tensor([np.nan, np.inf, -np.inf, 1.0]), nan=7.0, posinf=8.0, neginf=9.0), [7, 8, 9, 1])


def test_clip_passes_gradients_at_the_limits() -> None:
    x = pb.tensor([0.0, 1.0, 2.0], requires_grad=True)
    pb.clip(x, 0, 1).sum().backward()
    same(x.grad, [1, 1, 0])
    x.grad = None
    pb.clip(x, min=0.0).sum().backward()
    same(x.grad, [1, 1, 1])


def test_relu_has_no_gradient_at_zero() -> None:
    x = pb.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    pb.relu(x).sum().backward()
    same(x.grad, [0, 0, 1])


def test_ties_share_gradients() -> None:
    x, y = pb.tensor([1.0, 2.0], requires_grad=True), pb.tensor([1.0, 0.0], requires_grad=True)
    pb.maximum(x, y).sum().backward()
    same(x.grad, [0.5, 1])
    same(y.grad, [0.5, 0])
    z = pb.tensor([3.0, 3.0, 1.0], requires_grad=True)
    z.max().backward()
    same(z.grad, [0.5, 0.5, 0])


def test_special_functions() -> None:
    from math import erf, erfc, lgamma

    x = sample((20,), "float64", -2, 2)
    same(pb.erf(pb.tensor(x)), [erf(v) for v in x])
    same(pb.erfc(pb.tensor(x)), [erfc(v) for v in x])
    same(pb.lgamma(pb.tensor(np.abs(x) + 0.5)), [lgamma(abs(v) + 0.5) for v in x], 1e-9)
    same(pb.sigmoid(pb.tensor(x)), 1 / (1 + np.exp(-x)))
    same(pb.erfinv(pb.erf(pb.tensor(x))), x, 1e-6)
    same(pb.xlogy(pb.tensor([0.0, 2.0]), pb.tensor([0.0, 3.0])), [0, 2 * np.log(3)], 1e-6)
    same(pb.logit(pb.tensor([0.25])), [np.log(1 / 3)], 1e-6)


def test_operators_with_numpy() -> None:
    x = np.asarray([1.0, 2.0], np.float32)
    a = pb.tensor(x)
    for found in (a + x, x + a, a * x, x * a, x - a, a - x, x / a, x ** a, x @ a, a @ x, x > a):
        assert isinstance(found, pb.Tensor)
    same(x - a, [0, 0])
    same(np.float64(2) * a, [2, 4])
    same(a + [1, 2], [2, 4])


def test_the_angle_of_no_direction_has_gradient_0() -> None:
    y, x = pb.tensor([0.0, 1.0], requires_grad=True), pb.tensor([0.0, 0.0], requires_grad=True)
    pb.atan2(y, x).sum().backward()
    same(y.grad, [0.0, 0.0])
    same(x.grad, [0.0, -1.0])


def test_comparison_with_strangers() -> None:
    x = pb.ones(2)
    assert (x == None) is False  # noqa: E711
    assert (x == "a") is False
    assert (x != None) is True  # noqa: E711

    class Other:
        def __radd__(self, left: Any) -> str:
            return "mine"

    assert x + Other() == "mine"
