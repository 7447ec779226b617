"""The intrinsics that emitters may use, by target family.

LLVM ends the process on an intrinsic that it cannot select, and turns others into calls of functions that nobody
provides. Every name here is compiled for its families in a child process by `tests/codegen/test_allowed.py`, at the
shapes that `SHAPES` gives, and must leave no call behind.
"""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """One target family as the test compiles it."""

    triple: str
    cpu: str
    features: str


FAMILIES: dict[str, Family] = {
    "x86-64-v3": Family("x86_64-unknown-linux-gnu", "x86-64-v3", ""),
    "x86-64-v4": Family("x86_64-unknown-linux-gnu", "x86-64-v4", ""),
    "x86-64-pairs": Family("x86_64-unknown-linux-gnu", "cooperlake", ""),
    "x86-64-amx": Family("x86_64-unknown-linux-gnu", "sapphirerapids", ""),
    "aarch64": Family("aarch64-unknown-linux-gnu", "generic", "+neon"),
    "nvptx64": Family("nvptx64-nvidia-cuda", "sm_80", "+ptx80"),
}

FLOAT_SHAPES = ("float", "double", "<4 x float>", "<8 x float>", "<16 x float>", "<4 x double>", "<8 x double>")
INT_SHAPES = ("i8", "i16", "i32", "i64", "<8 x i8>", "<8 x i16>", "<8 x i32>", "<8 x i64>")
MASK_SHAPES = ("<2 x i1>", "<4 x i1>", "<8 x i1>", "<16 x i1>", "<32 x i1>")

# name -> (shapes of the operands, number of operands of that shape). What follows is special-cased by the test:
# ctlz has a flag, the saturating conversions have two types, masked memory and prefetch take addresses.
SHAPES: dict[str, tuple[tuple[str, ...], int]] = {
    "llvm.fma": (FLOAT_SHAPES, 3), "llvm.fmuladd": (FLOAT_SHAPES, 3), "llvm.fabs": (FLOAT_SHAPES, 1),
    "llvm.copysign": (FLOAT_SHAPES, 2), "llvm.sqrt": (FLOAT_SHAPES, 1), "llvm.floor": (FLOAT_SHAPES, 1),
    "llvm.ceil": (FLOAT_SHAPES, 1), "llvm.trunc": (FLOAT_SHAPES, 1), "llvm.roundeven": (FLOAT_SHAPES, 1),
    "llvm.smax": (INT_SHAPES, 2), "llvm.smin": (INT_SHAPES, 2), "llvm.umax": (INT_SHAPES, 2),
    "llvm.umin": (INT_SHAPES, 2), "llvm.ctpop": (INT_SHAPES, 1), "llvm.ctlz": (INT_SHAPES, 1),
    "llvm.fptosi.sat": (FLOAT_SHAPES, 1), "llvm.fptoui.sat": (FLOAT_SHAPES, 1),
    "llvm.vector.reduce.or": (MASK_SHAPES, 1),
    "llvm.masked.load": (("<8 x float>", "<4 x double>", "<8 x i32>", "<8 x i16>"), 1),
    "llvm.masked.store": (("<8 x float>", "<4 x double>", "<8 x i32>"), 1),
    "llvm.prefetch": (("ptr",), 1),
}

#: intrinsics of AMX with the arguments that say which tile registers they work on
TILES = {
    "llvm.x86.ldtilecfg": "ptr %p", "llvm.x86.tilerelease": "", "llvm.x86.tilezero": "i8 7",
    "llvm.x86.tileloadd64": "i8 7, ptr %p, i64 64", "llvm.x86.tilestored64": "i8 7, ptr %p, i64 64",
    "llvm.x86.tdpbf16ps": "i8 0, i8 1, i8 2",
}

#: products of pairs of bfloat16 numbers, with the types of their operands; the result has that of the first
PAIRS = {f"llvm.x86.avx512bf16.dpbf16ps.{32 * n}": (f"<{n} x float>", *[f"<{2 * n} x bfloat>"] * 2)
         for n in (4, 8, 16)}

_EVERYWHERE = frozenset(SHAPES)
ALLOWED_INTRINSICS: dict[str, frozenset[str]] = {
    "x86-64-v3": _EVERYWHERE,
    "x86-64-v4": _EVERYWHERE,
    "x86-64-pairs": _EVERYWHERE | frozenset(PAIRS),
    "x86-64-amx": _EVERYWHERE | frozenset(PAIRS) | frozenset(TILES),
    "aarch64": _EVERYWHERE,
    "nvptx64": _EVERYWHERE - {"llvm.masked.load", "llvm.masked.store", "llvm.prefetch"},
}
