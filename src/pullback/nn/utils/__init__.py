"""Clipping of gradients, and parameters as one vector."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import reduce
from typing import Any

from pullback.api._lazy import build
from pullback.engine.operation import Operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import Operand, record, thread
from pullback.ir.dtypes import DType, dtype_of, promote
from pullback.ir.node import Node
from pullback.util.errors import ShapeError, ValueError_, message


class _Raw(Operation):
    """Operands keep their dtypes."""

    __slots__ = ()

    def build(self, operands: list[Operand]) -> tuple[tuple[Node, ...], str]:
        result = self.define(*(o.node for o in operands))
        return ((result,) if isinstance(result, Node) else tuple(result)), ""


def _full(x: Node, scalar: Node) -> Node:
    """A 0-dimensional node in the dtype and shape of another."""
    return build.broadcast(build.convert(scalar, x.dtype), x.shape, ())


def _common(xs: Iterable[Node]) -> DType:
    return reduce(promote, (x.dtype for x in xs))


def _norm_of(xs: list[Node], norm_type: float) -> Node:
    dtype = _common(xs)
    dtype = dtype if dtype.bits >= 32 else dtype_of("float32")  # sums of squares overflow 16 bits
    parts: list[Node] = []
    for x in xs:
        magnitude = build.unary("abs", build.convert(x, dtype))
        axes = tuple(range(len(x.shape)))
        if norm_type == float("inf"):
            parts.append(build.reduce("max", magnitude, axes) if axes else magnitude)
            continue
        if norm_type == 2.0:
            power = build.mul(magnitude, magnitude)
        elif norm_type == 1.0:
            power = magnitude
        elif norm_type == 0.0:
            power = build.convert(build.binary("ne", magnitude, build.zeros_like(magnitude)), dtype)
        else:
            power = build.binary("pow", magnitude, build.full(x.shape, norm_type, dtype))
        parts.append(build.reduce("add", power, axes) if axes else power)
    whole = parts[0]
    for part in parts[1:]:
        whole = build.binary("maximum" if norm_type == float("inf") else "add", whole, part)
    if norm_type in (float("inf"), 1.0, 0.0):
        return whole
    if norm_type == 2.0:
        return build.sqrt(whole)
    return build.binary("pow", whole, build.full((), 1.0 / norm_type, dtype))


def _clip(*nodes: Node, norm_type: float) -> tuple[Node, ...]:
    *grads, max_norm = nodes
    norm = _norm_of(list(grads), norm_type)
    limit = build.convert(max_norm, norm.dtype)
    small = build.full((), 1e-6, norm.dtype)
    factor = build.minimum(build.div(limit, build.add(norm, small)), build.full((), 1.0, norm.dtype))
    return (build.convert(norm, _common(grads)), *(build.mul(g, _full(g, factor)) for g in grads))


def _clamp(*nodes: Node) -> tuple[Node, ...]:
    *grads, limit = nodes
    return tuple(build.minimum(build.maximum(g, _full(g, build.neg(limit))), _full(g, limit)) for g in grads)


_clip_norm = _Raw(_clip, "none", False, False, "clip_grad_norm")
_clip_value = _Raw(_clamp, "none", False, False, "clip_grad_value")
_norm = _Raw(lambda *xs, norm_type: build.convert(_norm_of(list(xs), norm_type), _common(xs)), "none", True, False,
             "total_norm")
_concatenate = _Raw(lambda *xs: build.concat([build.reshape(x, (build.count(x.shape),)) for x in xs], 0), "none", True,
                    False, "parameters_to_vector")


def _cut(vector: Node, shapes: tuple[tuple[int, ...], ...]) -> tuple[Node, ...]:
    found: list[Node] = []
    offset = 0
    for shape in shapes:
        size = build.count(shape)
        found.append(build.reshape(build.slice_(vector, (offset,), (offset + size,)), shape))
        offset += size
    return tuple(found)


_pieces = _Raw(_cut, "none", True, False, "vector_to_parameters")


def _gradients(parameters: Any) -> list[Any]:
    found = [parameters] if isinstance(parameters, TensorBase) else list(parameters)
    grads: list[Any] = [p.grad for p in found if p.grad is not None]
    return [g.merged().held if g.is_sparse else g for g in grads]


def _unrecorded(operation: Operation, tensors: list[Any], others: list[Any], **static: Any) -> tuple[Any, ...]:
    """Record without gradients; the result is a tuple of values."""
    here = thread.context
    before = here.grad_enabled
    here.grad_enabled = False
    try:
        values, _ = operation.values((*tensors, *others))
        return record(operation, values, tuple(static.items()))
    finally:
        here.grad_enabled = before


def _put(tensors: list[Any], values: Iterable[Any]) -> None:
    here = thread.context
    before = here.grad_enabled
    here.grad_enabled = False
    try:
        for tensor, value in zip(tensors, values, strict=True):
            tensor.assign_value(value)
    finally:
        here.grad_enabled = before


def clip_grad_norm_(parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                    foreach: bool | None = None) -> Any:
    """Scale all gradients so that their joint norm is at most `max_norm`; returns the norm before, in their dtype.

    One recorded operation: nothing is computed on the host.
    """
    grads = _gradients(parameters)
    if not grads:
        return from_host(0.0)
    limit = max_norm if isinstance(max_norm, TensorBase) else float(max_norm)
    norm, *new = _unrecorded(_clip_norm, grads, [limit], norm_type=float(norm_type))
    total = TensorBase.default_class(norm)
    if error_if_nonfinite and not abs(float(total)) < float("inf"):
        raise ValueError_(message(f"The total norm of order {norm_type} for gradients from `parameters` is non-finite",
                                  [("norm", str(float(total)))], "pass error_if_nonfinite=False to scale by it anyway"))
    _put(grads, new)
    return total


def _scaled_by(*nodes: Node) -> tuple[Node, ...]:
    *grads, max_norm, norm = nodes
    limit, small = build.convert(max_norm, norm.dtype), build.full((), 1e-6, norm.dtype)
    factor = build.minimum(build.div(limit, build.add(norm, small)), build.full((), 1.0, norm.dtype))
    return tuple(build.mul(g, _full(g, factor)) for g in grads)


_clip_with = _Raw(_scaled_by, "none", False, False, "clip_grads_with_norm")


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Any, foreach: bool | None = None) -> None:
    """Scale all gradients as `clip_grad_norm_` does where their joint norm is `total_norm`."""
    grads = _gradients(parameters)
    if grads:
        norm = total_norm if isinstance(total_norm, TensorBase) else from_host(float(total_norm))
        _put(grads, _unrecorded(_clip_with, grads, [float(max_norm), norm]))


def skip_init(module_cls: Any, *args: Any, **options: Any) -> Any:
    """A layer; its parameters are initialised as ever."""
    options.pop("device", None)
    return module_cls(*args, **options)


def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                   foreach: bool | None = None) -> Any:
    """The joint norm of several tensors."""
    found = [tensors] if isinstance(tensors, TensorBase) else list(tensors)
    return _norm(*found, norm_type=float(norm_type)) if found else from_host(0.0)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of all gradients to [-clip_value, clip_value]."""
    grads = _gradients(parameters)
    if grads:
        _put(grads, _unrecorded(_clip_value, grads, [float(clip_value)]))


def _unscaled(*nodes: Node) -> tuple[Node, ...]:
    *grads, factor = nodes
    new = [build.mul(g, _full(g, factor)) for g in grads]
    return (_norm_of(new, float("inf")), *new)


_unscale = _Raw(_unscaled, "none", False, False, "unscale")


def unscale_gradients_(parameters: Any, factor: float) -> Any:
    """Multiply all gradients by a factor; returns the largest size: infinite or NaN where any is."""
    grads = _gradients(parameters)
    size, *new = _unrecorded(_unscale, grads, [float(factor)])
    _put(grads, new)
    return TensorBase.default_class(size)


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All parameters behind one another."""
    found = list(parameters)
    if not found:
        raise ValueError_(message("parameters_to_vector: no parameters were given"))
    return _concatenate(*found)


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Cut a vector up into the parameters, in place."""
    found = list(parameters)
    total = sum(p.size_ for p in found)
    if vec.shape != (total,):
        raise ShapeError(message("vector_to_parameters: the vector does not fit the parameters",
                                 [("vector", repr(vec.info.type)), ("parameters", f"{total} elements")]))
    _put(found, _unrecorded(_pieces, [vec], [], shapes=tuple(p.shape for p in found)))


_HOMES = {"rnn": "rnn", "prune": "prune", "parametrize": "parametrize", "parametrizations": "parametrizations",
          "weight_norm": "parametrizations:hooked_weight_norm", "remove_weight_norm": "parametrizations",
          **dict.fromkeys(("fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval",
                           "fuse_linear_bn_weights"), "fusion"), "fusion": "fusion",
          "spectral_norm": "parametrizations:hooked_spectral_norm", "remove_spectral_norm": "parametrizations"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, there = _HOMES[name].partition(":")
    module = importlib.import_module(f"{__name__}.{home}")
    return module if home == name else getattr(module, there or name)
