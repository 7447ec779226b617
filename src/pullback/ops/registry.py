"""All primitives by name; the completeness matrix: which rule of which is given, derived, or absent and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pullback.ir.dtypes import dtype_of
from pullback.ir.index import Index, loop_vars
from pullback.ir.index import parse as parse_index
from pullback.ir.node import Function, Op, TensorType
from pullback.ir.parser import Field, Maker, split_tuple
from pullback.ops.across import Across
from pullback.ops.attention import Attention, AttentionBackward, AttentionTangent
from pullback.ops.contract import Contract
from pullback.ops.control import Barrier, Call, Checkpoint, Composite, Cond, Custom, CustomLinear, Scan, While
from pullback.ops.dense import PivotedLu, UpperCholesky
from pullback.ops.fourier import Fourier, HermitianFourier, RealFourier
from pullback.ops.householder import Householder, HouseholderQ
from pullback.ops.indexing import Gather, PutAlong, Scatter, TakeAlong
from pullback.ops.linalg import Cholesky, Lu, Qr, Require, TriangularSolve
from pullback.ops.map import Bitcast, Convert, Copy, Leaf, Map, StopGradient
from pullback.ops.order import Sort
from pullback.ops.recurrence import Recurrence
from pullback.ops.reduce import ArgReduce, Cumulative, Reduce
from pullback.ops.scalar import ROWS
from pullback.ops.shape import Broadcast, Concat, Reindex, ReindexReduce
from pullback.ops.source import Const, Iota, RandomBits
from pullback.ops.spectral import Eig, Eigh, Svd
from pullback.ops.tridiagonal import Bidiagonal, BidiagonalSingular, Tridiagonal, TridiagonalEigen

_CLASSES: tuple[Any, ...] = (
    Map, Convert, Bitcast, Copy, Leaf, StopGradient, Broadcast, Reindex, ReindexReduce, Concat, Reduce, ArgReduce,
    Cumulative, Contract, Gather, Scatter, TakeAlong, PutAlong, Sort, Const, Iota, RandomBits, Call, Composite,
    Checkpoint, Barrier, Custom, CustomLinear, Cond, While, Scan, Require, TriangularSolve, Cholesky, Lu, Qr, Eigh, Svd,
    Eig, Fourier, RealFourier, HermitianFourier, Recurrence, Attention, AttentionTangent, AttentionBackward, Across,
    Tridiagonal, TridiagonalEigen, Bidiagonal, BidiagonalSingular, UpperCholesky, Householder, HouseholderQ,
    PivotedLu)
OPS: dict[str, type[Op]] = {c.name: c for c in _CLASSES}
RULES = ("infer", "reference", "jvp", "transpose", "batch", "lowering", "samples")


def completeness() -> dict[tuple[str, str], str]:
    """(primitive or row, rule) -> "given", "derived: how", or "none: why"; "" is a hole."""
    cells = {(name, rule): _cell(c, rule) for name, c in OPS.items() for rule in RULES}
    for row in ROWS.values():
        cells["map." + row.name, "reference"] = "given"
        cells["map." + row.name, "jvp"] = _row_jvp(row.name)
        cells["map." + row.name, "transpose"] = "given" if row.transpose else "none: not linear"
        cells["map." + row.name, "batch"] = "derived: elementwise"
        cells["map." + row.name, "samples"] = "derived: from its domain"
    return cells


def _cell(c: type[Op], rule: str) -> str:
    if rule in c.absent:
        return f"none: {c.absent[rule]}"
    if rule in c.__dict__:
        return "given"
    for base in c.__mro__[1:]:
        if base is not Op and rule in base.__dict__:
            return f"derived: {base.__name__}"
    return ""


def _row_jvp(name: str) -> str:
    row = ROWS[name]
    if any(row.derivative):
        return "given"
    if row.result == "bool" or not set(row.kinds) & set("fc"):
        return "none: the result is not a real number"
    return f"none: {row.why or 'piecewise constant, the derivative is zero'}"


def _plain(text: Field, kind: str) -> Any:
    """The value of a printed parameter, by its annotation."""
    if isinstance(text, Function):
        return text
    if kind == "str":
        return text
    if kind == "DType":
        return dtype_of(text)
    if text in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[text]
    if text.startswith("("):
        return tuple(_plain(item, "") for item in split_tuple(text))
    try:
        return int(text)
    except ValueError:
        return float(text)


def _maker(c: Any) -> Maker:
    def make(given: Mapping[str, Field], types: tuple[TensorType, ...]) -> Op:
        return c(**{k: _plain(given[k], str(c.__annotations__[k])) for k in c.fields if k in given})

    return make


def _indices(given: Mapping[str, Field], over: tuple[int, ...]) -> tuple[Index, ...]:
    variables = {f"i{k}": v for k, v in enumerate(loop_vars(over))}
    return tuple(parse_index(item, variables) for item in split_tuple(str(given["indices"])))


def _make_reindex(given: Mapping[str, Field], types: tuple[TensorType, ...]) -> Op:
    shape = _plain(given["shape"], "")
    return Reindex(shape, _indices(given, shape), _plain(given["fill"], ""))


def _make_reindex_reduce(given: Mapping[str, Field], types: tuple[TensorType, ...]) -> Op:
    return ReindexReduce(_plain(given["shape"], ""), _indices(given, types[0].shape), str(given["monoid"]))


def _make_const(given: Mapping[str, Field], types: tuple[TensorType, ...]) -> Op:
    return Const(bytes.fromhex(str(given["data"])), _plain(given["shape"], ""), dtype_of(str(given["dtype"])))


def _make_cond(given: Mapping[str, Field], types: tuple[TensorType, ...]) -> Op:
    return Cond(tuple(f for f in given.values() if isinstance(f, Function)))


#: for `ir.parser.parse`
MAKERS: dict[str, Maker] = {name: _maker(c) for name, c in OPS.items()}
MAKERS.update({"reindex": _make_reindex, "reindex_reduce": _make_reindex_reduce, "const": _make_const,
               "cond": _make_cond})
