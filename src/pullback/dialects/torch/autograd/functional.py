"""`torch.autograd.functional`."""

from __future__ import annotations

from typing import Any

from pullback.engine import functional as native


def _numbers(inputs: Any) -> tuple[tuple[Any, ...], Any]:
    return (tuple(inputs), tuple(range(len(inputs)))) if isinstance(inputs, tuple) else ((inputs,), 0)


def jacobian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False) -> Any:
    """The matrix of first derivatives."""
    args, numbers = _numbers(inputs)
    return native.jacrev(func, numbers)(*args)


def hessian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False) -> Any:
    """The matrix of second derivatives."""
    args, numbers = _numbers(inputs)
    return native.hessian(func, numbers)(*args)


def vjp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value, and the product of a vector with the Jacobian."""
    args, _ = _numbers(inputs)
    value, pull = native.vjp(func, *args)
    found = pull(v if v is not None else value.detach() * 0 + 1)
    return value, found if isinstance(inputs, tuple) else found[0]


def jvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value, and the product of the Jacobian with a vector."""
    args, _ = _numbers(inputs)
    tangents = tuple(v) if isinstance(v, tuple) else (v,)
    return native.jvp(func, args, tangents)
