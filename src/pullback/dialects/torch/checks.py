"""What PyTorch refuses and the library would accept: products of two dtypes, means of integers, and their like.

They are looked at where a structure is new, so a loop pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.engine.trace import Value
from pullback.util.errors import DTypeError, ShapeError, message


def _types(values: list[Any]) -> list[Any]:
    return [v.info.type for v in values if type(v) is Value and not v.info.weak]


def _one_dtype(operation: Any, values: list[Any]) -> None:
    """Products take operands of one dtype."""
    types = _types(values)
    if any(t.dtype is not types[0].dtype for t in types):
        raise DTypeError(message(f"{operation.name}: expected operands of the same dtype",
                                 [(f"operand {k + 1}", repr(t)) for k, t in enumerate(types)],
                                 f"convert one of them, for example x.to(torch.{types[-1].dtype.name})"))


def _attending(operation: Any, values: list[Any]) -> None:
    """Query, key and value have one dtype; a mask that is added has it too, or is float32."""
    _one_dtype(operation, values[:3])
    query, *rest = _types(values)
    mask = rest[2] if len(rest) > 2 else query
    if mask.dtype.is_inexact and mask.dtype.name not in ("float32", query.dtype.name):
        raise DTypeError(message("attention: a mask is bool, float32, or of the dtype of the query",
                                 [("query", repr(query)), ("attn_mask", repr(mask))],
                                 f"convert it: attn_mask.to(torch.{query.dtype.name})"))


def _pooled(operation: Any, values: list[Any]) -> None:
    """Windows of one dimension are of floating-point numbers, those of more of any but bool."""
    x = _types(values)[0]
    one = operation.name == "max_pool" and len(operation.define.keywords["kernel"]) == 1
    if x.dtype.kind == "b" or (x.dtype.kind in "iu" and (one or not operation.name.startswith("max_pool"))):
        kinds = "whole numbers" if x.dtype.kind in "iu" else "bool"
        raise DTypeError(message(f"{operation.name}: not implemented for {kinds}", [("input", repr(x))],
                                 "convert first: x.float()"))


def _floating(operation: Any, values: list[Any]) -> None:
    """Means and the like are not taken of integers, unless `dtype` says as what."""
    given = getattr(operation.define, "keywords", {}).get("dtype")
    kind = _types(values)[0]
    if given is None and kind.dtype.kind not in "fc":
        raise DTypeError(message(f"{operation.name}: the dtype must be a floating-point or complex one",
                                 [("input", repr(kind))], "convert first: x.float()"))


def _all_floating(operation: Any, values: list[Any]) -> None:
    """Losses of probabilities take targets that are numbers like them, not classes."""
    if any(t.dtype.kind != "f" for t in _types(values)):
        raise DTypeError(message(f"{operation.name}: input and target must be floating-point tensors",
                                 [(f"operand {k + 1}", repr(t)) for k, t in enumerate(_types(values))],
                                 "convert the target: target.float()"))


def _vectors(operation: Any, values: list[Any]) -> None:
    """`dot` and `outer` are of vectors."""
    if any(len(t.shape) != 1 for t in _types(values)):
        raise ShapeError(message(f"{operation.name}: expected vectors, of one dimension",
                                 [(name, repr(t)) for name, t in zip("xy", _types(values), strict=False)],
                                 "use torch.matmul, or flatten() first"))


def _both(*checks: Callable[[Any, list[Any]], None]) -> Callable[[Any, list[Any]], None]:
    def run(operation: Any, values: list[Any]) -> None:
        for check in checks:
            check(operation, values)

    return run


#: by the operation's name
CHECKS: dict[str, Callable[[Any, list[Any]], None]] = {
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "linear", "convolve", "convolve_transposed", "addmm", "einsum"),
                    _one_dtype),
    **dict.fromkeys(("mean", "std", "var", "softmax", "log_softmax", "cross_entropy", "nll_loss"), _floating),
    **dict.fromkeys(("bce", "bce_logits"), _all_floating),
    **dict.fromkeys(("max_pool", "max_pool_with_indices", "max_unpool", "fractional_max_pool"), _pooled),
    "attention": _attending,
    "dot": _both(_vectors, _one_dtype), "outer": _vectors,
}
