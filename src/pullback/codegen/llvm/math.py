"""Scalar rows as LLVM IR: `emit_scalar`, reductions' monoids, and the conversions re-exported in one place.

Values are `V`s of any lane count in register types (see `math_types`). float16 and bfloat16 rows compute in float32;
the caller decides where to round with `round_to_storage`. Everything is inline vector code except the rows in
`LIBM_CALLS`.
"""

from __future__ import annotations

from collections.abc import Callable

from pullback.codegen.llvm import math_exp, math_log, math_special, math_trig
from pullback.codegen.llvm.math_build import Ops, reduce_or, splat_const
from pullback.codegen.llvm.math_float import FLOAT_ROWS, FloatRow, integer_pow
from pullback.codegen.llvm.math_int import BOOL_ROWS, INT_ROWS
from pullback.codegen.llvm.math_types import (
    DTYPES,
    FLOATS,
    SIGNED,
    emit_bitcast,
    emit_convert,
    emit_load_convert,
    emit_store_convert,
    load_cast,
    register_type,
    round_to_storage,
    storage_type,
    store_cast,
)
from pullback.codegen.llvm.text import Fn, V, element, lanes, vector

__all__ = [
    "DTYPES", "LIBM_CALLS", "MONOIDS", "Ops", "emit_bitcast", "emit_convert", "emit_horizontal", "emit_load_convert",
    "emit_monoid", "emit_scalar", "emit_store_convert", "has_scalar", "load_cast", "monoid_identity", "reduce_or",
    "register_type", "round_to_storage", "splat_const", "storage_type", "store_cast",
]

# The rows that call the C library on every lane, by precision. The float32 rows named with a double's function call
# that one. sin, cos, tan and the remainders call it only for arguments too large for their own reduction.
LIBM_CALLS: dict[str, dict[str, str]] = {
    "float32": {"fmod": "fmodf", "remainder": "fmodf", "floor_divide": "fmodf", "lgamma": "lgamma", "sin": "sinf",
                "cos": "cosf", "tan": "tanf"},
    "float64": {"fmod": "fmod", "remainder": "fmod", "floor_divide": "fmod", "lgamma": "lgamma", "sin": "sin",
                "cos": "cos", "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan", "atan2": "atan2",
                "sinh": "sinh", "cosh": "cosh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh", "cbrt": "cbrt",
                "pow": "pow", "hypot": "hypot", "erf": "erf", "erfc": "erfc"},
}


def _one(row: Callable[[Ops, V], V]) -> FloatRow:
    return lambda o, args: row(o, args[0])


def _two(row: Callable[[Ops, V, V], V]) -> FloatRow:
    return lambda o, args: row(o, args[0], args[1])


_FLOAT_ROWS: dict[str, FloatRow] = {
    **FLOAT_ROWS,
    **{row.__name__: _one(row) for row in (
        math_exp.exp, math_exp.exp2, math_exp.expm1, math_exp.sigmoid, math_exp.tanh, math_exp.sinh, math_exp.cosh,
        math_log.log, math_log.log2, math_log.log10, math_log.log1p, math_log.softplus, math_log.asinh, math_log.acosh,
        math_log.atanh, math_log.cbrt, math_trig.sin, math_trig.cos, math_trig.tan, math_trig.asin, math_trig.acos,
        math_trig.atan, math_special.erf, math_special.erfc, math_special.erf_inv, math_special.lgamma,
        math_special.digamma)},
    **{row.__name__: _two(row) for row in (math_log.pow, math_log.logaddexp, math_trig.atan2)},
}
_LOGICAL = ("logical_and", "logical_or", "logical_xor", "logical_not")


def has_scalar(row: str, dtype: str) -> bool:
    """Whether `emit_scalar` has this row for this dtype."""
    if row == "select" or row in _LOGICAL:
        return True
    if row.startswith("integer_pow:"):
        return dtype in FLOATS or (dtype != "bool" and not row.startswith("integer_pow:-"))
    if dtype == "bool":
        return row in BOOL_ROWS
    return row in (_FLOAT_ROWS if dtype in FLOATS else INT_ROWS)


def emit_scalar(fn: Fn, row: str, args: list[V], dtype: str) -> V:
    """Emit the scalar function `row` of operands of `dtype`; returns a value of the row's result type.

    `select` takes (condition, a, b) with `dtype` that of a and b. Raises KeyError where the dtype has no such row.
    """
    if row == "select":
        return fn.select(args[0], args[1], args[2])
    if row in _LOGICAL:
        return BOOL_ROWS[row](fn, [emit_convert(fn, a, dtype, "bool") for a in args], False)
    if row.startswith("integer_pow:"):
        return _emit_integer_pow(fn, args[0], int(row.split(":", 1)[1]), dtype)
    if dtype == "bool":
        return BOOL_ROWS[row](fn, args, False)
    if dtype not in FLOATS:
        return INT_ROWS[row](fn, args, dtype in SIGNED)
    if row == "nextafter" and dtype in ("float16", "bfloat16"):
        return _nextafter_narrow(fn, args, dtype)
    return _FLOAT_ROWS[row](Ops(fn, args[0].type), args)


def _emit_integer_pow(fn: Fn, x: V, exponent: int, dtype: str) -> V:
    if dtype in FLOATS:
        return integer_pow(Ops(fn, x.type), x, exponent)
    if exponent < 0 or dtype == "bool":
        raise KeyError(f"integer_pow:{exponent} of {dtype}")
    result, base = splat_const(1, x.type), x
    while exponent:
        if exponent & 1:
            result = base if result.ref[0] != "%" else fn.mul(result, base)
        exponent >>= 1
        base = fn.mul(base, base) if exponent else base
    return result


def _nextafter_narrow(fn: Fn, args: list[V], dtype: str) -> V:
    """nextafter among the values of a 16-bit type: a step of its bits."""
    x, to = args
    integer = "int16"
    bits = emit_bitcast(fn, x, dtype, integer)
    target = emit_bitcast(fn, to, dtype, integer)
    negative = fn.compare("icmp", "slt", bits, splat_const(0, bits.type))
    outwards = fn.compare("icmp", "eq", negative, fn.compare("fcmp", "olt", to, x))
    step = fn.select(outwards, splat_const(1, bits.type), splat_const(-1, bits.type))
    sign = fn.binary("and", target, splat_const(-32768, bits.type))
    at_zero = fn.compare("fcmp", "oeq", x, splat_const(0.0, x.type))
    moved = fn.select(at_zero, fn.binary("or", sign, splat_const(1, bits.type)), fn.add(bits, step))
    moved = fn.select(fn.compare("fcmp", "oeq", x, to), target, moved)
    value = emit_bitcast(fn, moved, integer, dtype)
    return fn.select(fn.compare("fcmp", "uno", x, to), fn.binary("fadd", x, to), value)


# -- monoids ---------------------------------------------------------------------------------------------------------
MONOIDS = ("add", "mul", "max", "min", "and", "or", "xor")
_MONOID_ROWS = {"add": "add", "mul": "mul", "max": "maximum", "min": "minimum", "and": "bitwise_and",
                "or": "bitwise_or", "xor": "bitwise_xor"}


def emit_monoid(fn: Fn, monoid: str, a: V, b: V, dtype: str) -> V:
    """Combine two values by a monoid of `MONOIDS`; max and min propagate NaN."""
    return emit_scalar(fn, _MONOID_ROWS[monoid], [a, b], dtype)


def monoid_identity(monoid: str, dtype: str) -> float | int | bool:
    """The neutral element, as a Python number that `splat_const`/`const` spell."""
    if monoid in ("add", "or", "xor", "mul"):
        one = monoid == "mul"
        return one if dtype == "bool" else (float(one) if dtype in FLOATS else int(one))
    if monoid == "and":
        return True if dtype == "bool" else -1
    if dtype == "bool":
        return monoid == "min"
    if dtype in FLOATS:
        return float("-inf") if monoid == "max" else float("inf")
    bits = int(register_type(dtype)[1:])
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if dtype in SIGNED else (0, (1 << bits) - 1)
    return low if monoid == "max" else high


def emit_horizontal(fn: Fn, monoid: str, v: V, dtype: str) -> V:
    """Reduce the lanes of `v` to a scalar: halves are combined until one lane is left; an odd last lane goes last."""
    rest: list[V] = []
    while (width := lanes(v.type)) > 1:
        if width % 2:
            rest.append(fn.extract(v, width - 1))
        half = width // 2
        low, high = _lanes_from(fn, v, 0, half), _lanes_from(fn, v, half, half)
        v = emit_monoid(fn, monoid, low, high, dtype)
    for scalar in rest:
        v = emit_monoid(fn, monoid, v, scalar, dtype)
    return v


def _lanes_from(fn: Fn, v: V, start: int, count: int) -> V:
    if count == 1:
        return fn.extract(v, start)
    picks = ", ".join(f"i32 {k}" for k in range(start, start + count))
    text = f"shufflevector {v.type} {v.ref}, {v.type} poison, <{count} x i32> <{picks}>"
    return fn.op(text, vector(element(v.type), count))
