"""Scalar rows against NumPy in double precision: accuracy over float32's bit patterns, edges, integers, conversions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.codegen.jit import Array, Jit, array_kernel, run

from pullback.codegen.llvm import math as rows
from pullback.codegen.llvm.text import Fn, Module, V

NP: dict[str, np.dtype] = {name: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name) for name in rows.DTYPES}
INTS = [d for d in rows.DTYPES if "int" in d]

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def _each(f: Callable[[float], float]) -> Callable[[Array], Array]:
    def call(x: Array) -> Array:
        out = np.empty(x.shape)
        for k, value in enumerate(x.tolist()):
            try:
                out[k] = f(value)
            except (ValueError, OverflowError):
                out[k] = np.nan
        return out

    return call


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


# row -> (reference in double, largest error in ulp)
UNARY: dict[str, tuple[Callable[[Array], Array], float]] = {
    "exp": (np.exp, 1.1), "exp2": (np.exp2, 1.1), "expm1": (np.expm1, 1.6), "log": (np.log, 1.0), "log2": (np.log2, 2),
    "log10": (np.log10, 2), "log1p": (np.log1p, 1.6), "sin": (np.sin, 1.8), "cos": (np.cos, 1.8), "tan": (np.tan, 1.5),
    "asin": (np.arcsin, 1.8), "acos": (np.arccos, 1.5), "atan": (np.arctan, 1.9), "sinh": (np.sinh, 0.51),
    "cosh": (np.cosh, 0.51), "tanh": (np.tanh, 3.2), "asinh": (np.arcsinh, 0.51), "acosh": (np.arccosh, 0.51),
    "atanh": (np.arctanh, 0.51), "sigmoid": (_sigmoid, 1.7),
    "softplus": (lambda x: np.logaddexp(x, np.zeros_like(x)), 1.9), "sqrt": (np.sqrt, 0.51), "cbrt": (np.cbrt, 0.51),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5), "reciprocal": (lambda x: 1 / x, 0.51),
    "erf": (_each(math.erf), 3.6), "erfc": (_each(math.erfc), 0.6),
}
SIMPLE: dict[str, Callable[[Array], Array]] = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "square": np.square, "floor": np.floor, "ceil": np.ceil,
    "trunc": np.trunc, "round": np.rint, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
    "signbit": np.signbit, "identity": lambda x: x, "integer_pow:3": lambda x: x * x * x,
    "integer_pow:-2": lambda x: 1 / (x * x), "integer_pow:0": np.ones_like,
}
BINARY: dict[str, tuple[Callable[[Array, Array], Array], float]] = {
    "add": (np.add, 0), "sub": (np.subtract, 0), "mul": (np.multiply, 0), "div": (np.divide, 0),
    "floor_divide": (np.floor_divide, 0), "remainder": (np.remainder, 0), "fmod": (np.fmod, 0),
    "maximum": (np.maximum, 0), "minimum": (np.minimum, 0), "copysign": (np.copysign, 0),
    "nextafter": (np.nextafter, 0), "hypot": (np.hypot, 0.51), "pow": (np.power, 0.51), "atan2": (np.arctan2, 2.1),
    "logaddexp": (np.logaddexp, 0.51), "eq": (np.equal, 0), "ne": (np.not_equal, 0), "lt": (np.less, 0),
    "le": (np.less_equal, 0), "gt": (np.greater, 0), "ge": (np.greater_equal, 0), "logical_and": (np.logical_and, 0),
    "logical_or": (np.logical_or, 0), "logical_xor": (np.logical_xor, 0),
}
TO_BOOL = {"eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "signbit", "logical_and", "logical_or",
           "logical_xor", "logical_not"}
EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 1.4e-45, -1.4e-45, 1.1754944e-38,
         3.4028235e38, -3.4028235e38, 88.72283, 88.72284, -87.5, -103.97, -103.98, 2.0, 3.0, -3.0, 100.0, 7e4, 1e10,
         2**24]


def _body(row: str, dtype: str) -> Callable[[Fn, list[V]], V]:
    return lambda fn, args: rows.emit_scalar(fn, row, args, dtype)


def _name(row: str) -> str:
    return "k_" + row.replace(":", "_").replace("-", "minus")


def _kernel(module: Module, row: str, dtype: str, arity: int) -> None:
    output = "bool" if row in TO_BOOL else dtype
    array_kernel(module, _name(row), [dtype] * arity, output, _body(row, dtype))


def _float_module(dtype: str) -> Jit:
    module = Module()
    for row in (*UNARY, *SIMPLE, "lgamma", "digamma", "erf_inv"):
        _kernel(module, row, dtype, 1)
    for row in BINARY:
        _kernel(module, row, dtype, 2)
    for row in ("fma", "clamp"):
        _kernel(module, row, dtype, 3)
    return Jit(module.text())


@pytest.fixture(scope="module")
def float32() -> Jit:
    return _float_module("float32")


@pytest.fixture(scope="module")
def float64() -> Jit:
    return _float_module("float64")


@pytest.fixture(scope="module")
def sweep() -> Array:
    patterns = np.arange(0, 2**32, 40009, dtype=np.uint64).astype(np.uint32).view(np.float32)
    usual = [np.linspace(-20, 20, 10001), np.linspace(-1, 1, 10001), np.asarray(EDGES)]
    return np.concatenate([patterns, *(u.astype(np.float32) for u in usual)])


def assert_close(got: Array, want: Array, ulps: float) -> None:
    """`got` within `ulps` of the exact `want`; equal NaNs, infinities and signs of zero."""
    info = np.finfo(got.dtype)
    rounded = want.astype(got.dtype)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    finite = np.isfinite(got) & np.isfinite(rounded)
    exponent = np.frexp(np.where(finite, want, 1.0))[1] - (info.nmant + 1)
    unit = np.ldexp(1.0, np.maximum(exponent, info.minexp - info.nmant))
    error = np.abs(np.where(finite, got, 0) - np.where(finite, want, 0)) / unit
    bad = np.flatnonzero(~(same | (finite & (error <= ulps))))
    first = [f"at {k}: {got[k]!r}, not {want[k]!r}" for k in bad[:1]]
    assert bad.size == 0, f"{bad.size} wrong, up to {error[bad].max():.3f} ulp; {first}"


@pytest.mark.parametrize("row", UNARY)
def test_float32_accuracy(row: str, float32: Jit, sweep: Array) -> None:
    reference, ulps = UNARY[row]
    got = run(float32, _name(row), [sweep], np.dtype(np.float32))
    want = reference(sweep.astype(np.float64))
    assert_close(got, want, ulps)
    zeros = (sweep == 0) & ~np.isnan(want)
    if row not in ("reciprocal", "rsqrt"):
        assert np.array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]))


@pytest.mark.parametrize("row", ["tanh", "erf", "sin", "cos"])
def test_bounded_by_one(row: str, float32: Jit) -> None:
    x = np.linspace(-12, 12, 400_001).astype(np.float32)
    assert np.abs(run(float32, _name(row), [x], np.dtype(np.float32))).max() <= 1


@pytest.mark.parametrize("row, least", [("erf", 3.95), ("tanh", 9.1)])
def test_one_far_out(row: str, least: float, float32: Jit) -> None:
    """Exactly, so that gelu(x) ends at 0 and does not grow with x again."""
    x = np.array([least, 10.0, 1e10, np.inf], np.float32)
    np.testing.assert_array_equal(run(float32, _name(row), [np.concatenate([x, -x])], x.dtype), [1] * 4 + [-1] * 4)


@pytest.mark.parametrize("row", SIMPLE)
def test_float32_simple(row: str, float32: Jit, sweep: Array) -> None:
    want = SIMPLE[row](sweep)
    np.testing.assert_array_equal(run(float32, _name(row), [sweep], want.dtype), want)


def _pairs(dtype: np.dtype) -> list[Array]:
    a, b = (g.ravel() for g in np.meshgrid(np.asarray(EDGES, dtype), np.asarray(EDGES, dtype)))
    random = np.random.default_rng(0).normal(size=(2, 4000)) * 5
    return [np.concatenate([a, random[0].astype(dtype)]), np.concatenate([b, random[1].astype(dtype)])]


@pytest.mark.parametrize("row", BINARY)
def test_float32_binary(row: str, float32: Jit) -> None:
    reference, ulps = BINARY[row]
    a, b = _pairs(np.dtype(np.float32))
    if ulps == 0:
        want = reference(a, b)
        np.testing.assert_array_equal(run(float32, _name(row), [a, b], want.dtype), want)
        return
    got = run(float32, _name(row), [a, b], np.dtype(np.float32))
    assert_close(got, reference(a.astype(float), b.astype(float)), ulps)


def test_float32_special(float32: Jit) -> None:
    x = np.linspace(-4.97, 30, 5001).astype(np.float32)
    y = run(float32, "k_lgamma", [x], x.dtype)
    assert_close(y, _each(math.lgamma)(x.astype(float)), 0.6)
    wide, step = x.astype(float), 1e-5
    slope = (_each(math.lgamma)(wide + step) - _each(math.lgamma)(wide - step)) / (2 * step)
    away = np.abs(x - np.rint(x)) > 0.1
    away |= x > 0.5
    np.testing.assert_allclose(run(float32, "k_digamma", [x], x.dtype)[away], slope[away], rtol=1e-4, atol=1e-5)
    p = np.linspace(-0.99999, 0.99999, 5001).astype(np.float32)
    back = _each(math.erf)(run(float32, "k_erf_inv", [p], p.dtype).astype(float))
    np.testing.assert_allclose(back, p, rtol=4e-7)
    ends = np.array([1, -1, 1.5, np.nan, 0], np.float32)
    np.testing.assert_array_equal(run(float32, "k_erf_inv", [ends], ends.dtype), [np.inf, -np.inf, np.nan, np.nan, 0])


def test_ternary(float32: Jit) -> None:
    a, b = _pairs(np.dtype(np.float32))
    c = np.roll(a, 7)
    np.testing.assert_array_equal(run(float32, "k_clamp", [a, b, c], a.dtype), np.minimum(np.maximum(a, b), c))
    small = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float32)
    want = (small[0].astype(float) * small[1] + small[2]).astype(np.float32)
    np.testing.assert_array_equal(run(float32, "k_fma", list(small), a.dtype), want)


# NumPy's own functions of float64 are up to 4 units wrong where processors have AVX-512: references are taken wider.
# cbrt is the C library's, whose own bound is 4.
WIDE = {"exp": 2, "exp2": 2, "expm1": 2.5, "log": 2, "log2": 2.5, "log10": 3.5, "log1p": 3, "sin": 2, "cos": 2.5,
        "tanh": 3.5, "sigmoid": 3, "softplus": 3, "cbrt": 4}


@pytest.mark.parametrize("row", UNARY)
def test_float64_accuracy(row: str, float64: Jit) -> None:
    x = np.random.default_rng(0).integers(0, 2**64, 20000, dtype=np.uint64).view(np.float64)
    limits = [709.78, 709.79, -745.1, -745.2]
    x = np.concatenate([x, np.linspace(-25, 25, 10001), np.linspace(-1, 1, 10001), EDGES, limits])
    want = UNARY[row][0](x.astype(np.longdouble))
    assert_close(run(float64, _name(row), [x], x.dtype), want, WIDE.get(row, 2.0))


@pytest.mark.parametrize("row", BINARY)
def test_float64_binary(row: str, float64: Jit) -> None:
    a, b = _pairs(np.dtype(np.float64))
    want = BINARY[row][0](a, b)
    got = run(float64, _name(row), [a, b], want.dtype)
    if want.dtype == bool:
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-15, atol=4e-16)
        if row != "logaddexp":  # cancels near 0
            assert_close(got, want, 1.5)


# -- integers and bool -----------------------------------------------------------------------------------------------
INT_UNARY: dict[str, Callable[[Array], Array]] = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "square": np.square, "bitwise_not": np.invert,
    "isnan": lambda x: np.zeros(x.shape, bool), "isfinite": lambda x: np.ones(x.shape, bool),
    "signbit": lambda x: x < 0, "logical_not": np.logical_not, "integer_pow:5": lambda x: x * x * x * x * x,
    "floor": lambda x: x, "round": lambda x: x, "popcount": lambda x: _counted(x, lambda b: b.count("1")),
    "clz": lambda x: _counted(x, lambda b: len(b) - len(b.lstrip("0"))),
}
INT_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "floor_divide": np.floor_divide, "remainder": np.remainder,
    "fmod": np.fmod, "maximum": np.maximum, "minimum": np.minimum, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "logical_and": np.logical_and,
    "shift_left": np.left_shift, "shift_right": np.right_shift,
}


def _counted(x: Array, count: Callable[[str], int]) -> Array:
    bits = x.dtype.itemsize * 8
    return np.array([count(format(int(v) % 2**bits, f"0{bits}b")) for v in x], x.dtype)


def _integers(dtype: np.dtype) -> list[Array]:
    info = np.iinfo(dtype)
    values = [0, 1, 2, 3, 7, info.max, info.min, info.max - 1, info.min + 1, *([-1, -2, -7] if info.min else [])]
    edges = np.array(values, dtype)
    a, b = (g.ravel() for g in np.meshgrid(edges, edges))
    random = np.random.default_rng(0).integers(info.min, info.max, (2, 500), dtype, endpoint=True)
    return [np.concatenate([a, random[0]]), np.concatenate([b, random[1]])]


@pytest.mark.parametrize("dtype", INTS)
def test_integer_rows(dtype: str) -> None:
    module = Module()
    for row in INT_UNARY:
        _kernel(module, row, dtype, 1)
    for row in (*INT_BINARY, "pow"):
        _kernel(module, row, dtype, 2)
    jit = Jit(module.text())
    a, b = _integers(NP[dtype])
    for row, reference in INT_UNARY.items():
        want = reference(a)
        np.testing.assert_array_equal(run(jit, _name(row), [a], want.dtype), want, err_msg=row)
    for row, reference in INT_BINARY.items():
        amount = np.abs(b) % (NP[dtype].itemsize * 8 + 3) if row.startswith("shift") else b
        amount = amount.astype(NP[dtype])
        want = reference(a, amount)
        np.testing.assert_array_equal(run(jit, _name(row), [a, amount], want.dtype), want, err_msg=row)
    small = (np.abs(b) % 9).astype(NP[dtype])
    np.testing.assert_array_equal(run(jit, "k_pow", [a, small], a.dtype), np.power(a, small))


def test_bool_rows() -> None:
    a, b = np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool)
    want = {"add": a | b, "mul": a & b, "maximum": a | b, "minimum": a & b, "eq": a == b, "ne": a != b, "lt": a < b,
            "le": a <= b, "gt": a > b, "ge": a >= b, "logical_xor": a ^ b, "bitwise_and": a & b}
    module = Module()
    for row in want:
        array_kernel(module, _name(row), ["bool", "bool"], "bool", _body(row, "bool"))
    jit = Jit(module.text())
    for row, values in want.items():
        np.testing.assert_array_equal(run(jit, _name(row), [a, b], np.dtype(bool)), values, err_msg=row)


# -- conversions, monoids --------------------------------------------------------------------------------------------
def _samples(dtype: str) -> Array:
    if dtype == "bool":
        return np.array([0, 1, 1, 0], bool)
    if "int" in dtype:
        return _integers(NP[dtype])[0]
    powers = [2.0 ** np.arange(-30, 70), -(2.0 ** np.arange(0, 66))]
    ties = [1 + np.arange(64) * 2.0**-13 + 2.0**-40, [65503.9, 65519.99, 65520, 1e-7, 6e-8, 2.98e-8]]
    values = np.concatenate([EDGES, np.random.default_rng(0).normal(size=500) * 300, *ties, *powers])
    return values.astype(NP[dtype])


def _converted(x: Array, source: str, target: str) -> Array:
    """NumPy's conversion, made total for float to integer."""
    if "int" in target and "int" not in source and source != "bool":
        info = np.iinfo(NP[target])
        numbers = [0.0 if math.isnan(v) else min(max(v, -1e30), 1e30) for v in x.astype(np.float64).tolist()]
        return np.array([min(max(math.trunc(v), info.min), info.max) for v in numbers], NP[target])
    if target == "bfloat16" and source != "float64":
        return x.astype(np.float32).astype(NP[target])
    if target == "bfloat16":  # ml_dtypes rounds a float64 twice, by way of float32
        unit = np.ldexp(1.0, np.maximum(np.frexp(np.where(np.isfinite(x), x, 1.0))[1], -125) - 8)
        return np.where(np.isfinite(x), np.rint(x / unit) * unit, x).astype(NP[target])
    return x.astype(NP[target])


@pytest.mark.parametrize("source", rows.DTYPES)
def test_conversions(source: str) -> None:
    module = Module()
    for target in rows.DTYPES:
        array_kernel(module, f"to_{target}", [source], target,
                     lambda fn, a, target=target: rows.emit_convert(fn, a[0], source, target))
    jit, x = Jit(module.text()), _samples(source)
    for target in rows.DTYPES:
        got, want = run(jit, f"to_{target}", [x], NP[target]), _converted(x, source, target)
        if target in rows.FLOATS:
            got, want = got.astype(float), want.astype(float)
        np.testing.assert_array_equal(got, want, err_msg=f"{source} to {target}")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_rows(dtype: str) -> None:
    """Every value of a 16-bit type survives loading and storing; nextafter steps among its values; rows round once."""
    module = Module()
    for row, arity in (("identity", 1), ("nextafter", 2), ("add", 2), ("exp", 1)):
        _kernel(module, row, dtype, arity)
    array_kernel(module, "bits", ["uint16"], dtype, lambda fn, a: rows.emit_bitcast(fn, a[0], "uint16", dtype))
    jit, bits = Jit(module.text()), np.arange(2**16).astype(np.uint16)
    every = bits.view(NP[dtype])
    number = ~np.isnan(every.astype(np.float32))
    got = run(jit, "k_identity", [every], NP[dtype])
    np.testing.assert_array_equal(got.view(np.uint16)[number], bits[number])
    assert np.isnan(got[~number].astype(float)).all()
    np.testing.assert_array_equal(run(jit, "bits", [bits], NP[dtype]).view(np.uint16)[number], bits[number])
    other = np.roll(every, 12345)
    want = (every.astype(np.float32) + other.astype(np.float32)).astype(NP[dtype])
    np.testing.assert_array_equal(run(jit, "k_add", [every, other], NP[dtype]).astype(float), want.astype(float))
    up = run(jit, "k_nextafter", [every, np.full_like(every, np.inf)], NP[dtype])
    np.testing.assert_array_equal(up.astype(float), np.nextafter(every, np.full_like(every, np.inf)).astype(float))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("width", [8, 12])
def test_horizontal(dtype: str, width: int) -> None:
    monoids = [m for m in rows.MONOIDS if dtype not in rows.FLOATS or m in ("add", "mul", "max", "min")]
    reference = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum, "and": np.bitwise_and,
                 "or": np.bitwise_or, "xor": np.bitwise_xor}
    module = Module()
    for monoid in monoids:
        array_kernel(module, f"h_{monoid}", [dtype], dtype, lambda fn, a, monoid=monoid: fn.splat(
            rows.emit_horizontal(fn, monoid, a[0], dtype), width), width)
    jit = Jit(module.text())
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 9, width).astype(NP[dtype])
    for monoid in monoids:
        got = run(jit, f"h_{monoid}", [x], NP[dtype], width)[0]
        assert got == reference[monoid].reduce(x, dtype=NP[dtype]), monoid
        identity = np.array([rows.monoid_identity(monoid, dtype)]).astype(NP[dtype])
        np.testing.assert_array_equal(reference[monoid](x, np.repeat(identity, width)), x)


@pytest.mark.parametrize("row", ["fmod", "remainder", "floor_divide"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_remainders_beside_whole_quotients(row: str, dtype: type[np.floating[Any]], float32: Jit, float64: Jit) -> None:
    g = np.random.default_rng(3)
    limit = 24 if dtype is np.float32 else 53
    b = (g.standard_normal(40_000) * 10.0 ** g.integers(-30, 5, 40_000)).astype(dtype)
    whole = (g.integers(0, 2**62, b.size) >> g.integers(61 - limit, 62, b.size)).astype(dtype)
    a = (whole * b).astype(dtype)
    a = np.concatenate([a, np.nextafter(a, dtype(np.inf)), np.nextafter(a, dtype(-np.inf))])
    b = np.tile(b, 3)
    got = run(float32 if dtype is np.float32 else float64, _name(row), [a, b], np.dtype(dtype))
    want = BINARY[row][0](a, b)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
