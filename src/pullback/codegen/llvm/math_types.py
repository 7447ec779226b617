"""Dtypes in registers and in memory, and every conversion between them.

In registers float16 and bfloat16 are `float` and bool is `i1`; in memory they are `half`, `i16` and `i8`. Conversions
are total: float to integer saturates, NaN becomes 0, and rounding is to nearest, ties to even.
"""

from __future__ import annotations

from pullback.codegen.llvm.math_build import splat_const
from pullback.codegen.llvm.text import Fn, V, element, mangle, with_element

FLOATS = ("float16", "bfloat16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *SIGNED, *UNSIGNED, *FLOATS)

_REGISTER = {
    "bool": "i1", "float16": "float", "bfloat16": "float", "float32": "float", "float64": "double",
    **{name: "i" + name.removeprefix("u").removeprefix("int") for name in (*SIGNED, *UNSIGNED)},
}
_STORAGE = {**_REGISTER, "bool": "i8", "float16": "half", "bfloat16": "i16"}


def register_type(dtype: str) -> str:
    """LLVM element type that a value of `dtype` has in registers."""
    return _REGISTER[dtype]


def storage_type(dtype: str) -> str:
    """LLVM element type of `dtype` in memory."""
    return _STORAGE[dtype]


def load_cast(fn: Fn, raw: V) -> V:
    """bool from memory: i8 -> i1 (any non-zero byte is true)."""
    return fn.compare("icmp", "ne", raw, splat_const(0, raw.type))


def store_cast(fn: Fn, v: V) -> V:
    """bool to memory: i1 -> i8."""
    return fn.cast("zext", v, with_element(v.type, "i8"))


def emit_load_convert(fn: Fn, raw: V, dtype: str) -> V:
    """A value as loaded (`storage_type`) -> as computed with (`register_type`)."""
    if dtype == "bool":
        return load_cast(fn, raw)
    if dtype == "float16":
        return fn.cast("fpext", raw, with_element(raw.type, "float"))
    if dtype == "bfloat16":
        wide = fn.cast("zext", raw, with_element(raw.type, "i32"))
        return fn.cast("bitcast", fn.binary("shl", wide, splat_const(16, wide.type)), with_element(raw.type, "float"))
    return raw


def emit_store_convert(fn: Fn, v: V, dtype: str) -> V:
    """A value as computed with -> as stored, rounded to nearest even."""
    if dtype == "bool":
        return store_cast(fn, v)
    if dtype == "float16":
        return fn.cast("fptrunc", v, with_element(v.type, "half"))
    if dtype == "bfloat16":
        return fn.cast("trunc", _bfloat16_bits(fn, v), with_element(v.type, "i16"))
    return v


def _bfloat16_bits(fn: Fn, v: V) -> V:
    """The 16 bits of `v` rounded to bfloat16, in the low half of an i32; a NaN stays one."""
    type_ = with_element(v.type, "i32")
    bits = fn.cast("bitcast", v, type_)
    top = fn.binary("lshr", bits, splat_const(16, type_))
    odd = fn.binary("and", top, splat_const(1, type_))
    rounded = fn.add(fn.add(bits, splat_const(0x7FFF, type_)), odd)
    rounded = fn.binary("lshr", rounded, splat_const(16, type_))
    quiet = fn.binary("or", top, splat_const(0x40, type_))
    return fn.select(fn.compare("fcmp", "uno", v, v), quiet, rounded)


def round_to_storage(fn: Fn, v: V, dtype: str) -> V:
    """`v` rounded to what storing and loading it would give: for float16 and bfloat16; others unchanged."""
    if dtype == "float16":
        return emit_load_convert(fn, emit_store_convert(fn, v, dtype), dtype)
    if dtype == "bfloat16":
        type_ = with_element(v.type, "i32")
        bits = fn.binary("shl", _bfloat16_bits(fn, v), splat_const(16, type_))
        return fn.cast("bitcast", bits, v.type)
    return v


def emit_convert(fn: Fn, v: V, source: str, target: str) -> V:
    """`v` of dtype `source` as `target`, both in registers; float16/bfloat16 results are rounded to storage."""
    if source == target:
        return v
    if target == "bool":
        zero = splat_const(0, v.type)
        return fn.compare("fcmp", "une", v, zero) if source in FLOATS else fn.compare("icmp", "ne", v, zero)
    if target in FLOATS:
        return _to_float(fn, v, source, target)
    type_ = with_element(v.type, register_type(target))
    if source in FLOATS:
        stem = "llvm.fptosi.sat" if target in SIGNED else "llvm.fptoui.sat"
        return fn.call(f"{stem}.{mangle(type_)}.{mangle(v.type)}", type_, v)
    return _resize(fn, v, type_, source in SIGNED)


def _to_float(fn: Fn, v: V, source: str, target: str) -> V:
    type_ = with_element(v.type, register_type(target))
    if source in SIGNED:
        return round_to_storage(fn, fn.cast("sitofp", v, type_), target)
    if source not in FLOATS:
        return round_to_storage(fn, fn.cast("uitofp", v, type_), target)
    if target == "float64":
        return fn.cast("fpext", v, type_)
    if source != "float64":
        return round_to_storage(fn, v, target)
    if target == "float32":
        return fn.cast("fptrunc", v, type_)
    return round_to_storage(fn, _round_to_odd(fn, v), target)


def _round_to_odd(fn: Fn, v: V) -> V:
    """double -> float, towards zero with a sticky last bit, so that rounding once more rounds only once."""
    nearest = fn.cast("fptrunc", v, with_element(v.type, "float"))
    back = fn.cast("fpext", nearest, v.type)
    bits = fn.cast("bitcast", nearest, with_element(v.type, "i32"))
    size = fn.intrinsic("llvm.fabs", v.type, v)
    beyond = fn.compare("fcmp", "ogt", fn.intrinsic("llvm.fabs", v.type, back), size)
    inexact = fn.compare("fcmp", "one", back, v)
    truncated = fn.binary("sub", bits, fn.cast("zext", beyond, bits.type))
    odd = fn.binary("or", truncated, fn.cast("zext", inexact, bits.type))
    return fn.cast("bitcast", odd, nearest.type)


def _resize(fn: Fn, v: V, type_: str, signed: bool) -> V:
    """Integer (or bool) `v` as another integer type: wraps, or extends by its sign."""
    before, after = int(element(v.type)[1:]), int(element(type_)[1:])
    if before == after:
        return v
    if before > after:
        return fn.cast("trunc", v, type_)
    return fn.cast("sext" if signed else "zext", v, type_)


def emit_bitcast(fn: Fn, v: V, source: str, target: str) -> V:
    """The bits of `v` read as `target`, a dtype of the same size in memory; both in registers."""
    raw = emit_store_convert(fn, v, source)
    type_ = with_element(v.type, storage_type(target))
    if raw.type != type_:
        raw = fn.cast("bitcast", raw, type_)
    return emit_load_convert(fn, raw, target)
