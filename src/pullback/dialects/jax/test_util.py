"""`jax.test_util`: derivatives beside finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pullback.dialects.jax import transforms
from pullback.util import tree
from pullback.util.errors import ValueError_, message

#: steps, and what may differ, by dtype
_STEPS = {"float64": 1e-4, "complex128": 1e-4, "float32": 1e-2, "complex64": 1e-2}
_TOLERANCES = {"float64": 1e-6, "complex128": 1e-6, "float32": 6e-3, "complex64": 6e-3}


def _randomly(x: Any, random: np.random.RandomState) -> Any:
    shape = tuple(x.shape)
    value = random.standard_normal(shape)
    if x.dtype.kind == "c":
        value = value + 1j * random.standard_normal(shape)
    return transforms.arrays(np.asarray(value, x.dtype.numpy))


def _dot(x: Any, y: Any) -> float:
    parts = [np.vdot(np.asarray(a), np.asarray(b)) for a, b in zip(tree.leaves(x), tree.leaves(y), strict=True)]
    return float(np.real(sum(parts)))


def _numerically(f: Callable[..., Any], primals: Any, tangents: Any, eps: float | None) -> Any:
    """The directional derivative by a central difference."""
    kind = tree.leaves(primals)[0].dtype.name
    step = eps or _STEPS.get(kind, 1e-1)
    there = f(*tree.map(lambda x, t: x + step * t, primals, tangents))
    back = f(*tree.map(lambda x, t: x - step * t, primals, tangents))
    return tree.map(lambda a, b: (np.asarray(a) - np.asarray(b)) / (2 * step), there, back)


def _compare(what: str, found: Any, wanted: Any, atol: float, rtol: float) -> None:
    for a, b in zip(tree.leaves(found), tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol, rtol=rtol, err_msg=what)


def _limits(args: Any, atol: float | None, rtol: float | None) -> tuple[float, float]:
    usual = max(_TOLERANCES.get(x.dtype.name, 1e-1) for x in tree.leaves(args))
    return usual if atol is None else atol, usual if rtol is None else rtol


def check_jvp(
    f: Callable[..., Any],
    f_jvp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Compare a rule of forward mode with finite differences, in a random direction."""
    primals = transforms.arrays(tuple(args))
    absolute, relative = _limits(primals, atol, rtol)
    random = np.random.RandomState(0)
    tangents = tree.map(lambda x: _randomly(x, random), primals)
    value, tangent = f_jvp(primals, tangents)
    _compare(err_msg or "JVP primal", value, f(*primals), absolute, relative)
    _compare(err_msg or "JVP tangent", tangent, _numerically(f, primals, tangents, eps), absolute, relative)


def check_vjp(
    f: Callable[..., Any],
    f_vjp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Compare a rule of reverse mode with finite differences, in random directions."""
    primals = transforms.arrays(tuple(args))
    absolute, relative = _limits(primals, atol, rtol)
    random = np.random.RandomState(0)
    value, pull = f_vjp(*primals)
    _compare(err_msg or "VJP primal", value, f(*primals), absolute, relative)
    tangents = tree.map(lambda x: _randomly(x, random), primals)
    direction = _numerically(f, primals, tangents, eps)
    cotangent = tree.map(lambda x: _randomly(x, random), value)
    found = _dot(tangents, tree.map(lambda x: np.conj(np.asarray(x)), pull(cotangent)))
    wanted = _dot(tree.map(lambda x: np.conj(np.asarray(x)), cotangent), direction)
    np.testing.assert_allclose(found, wanted, atol=absolute, rtol=relative, err_msg=err_msg or "VJP")


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Compare derivatives of a function, up to an order, with finite differences: AssertionError where they differ."""
    for mode in modes:
        if mode not in ("fwd", "rev"):
            raise ValueError_(message("check_grads: modes are 'fwd' and 'rev'", [("modes", repr(modes))]))
    given = transforms.arrays(tuple(args))
    if "fwd" in modes:
        check_jvp(f, partial(transforms.jvp, f), given, atol, rtol, eps)
    if "rev" in modes:
        check_vjp(f, partial(transforms.vjp, f), given, atol, rtol, eps)
    if order < 2:
        return
    random = np.random.RandomState(1)
    if "fwd" in modes:
        tangents = tree.map(lambda x: _randomly(x, random), given)
        check_grads(lambda *xs: transforms.jvp(f, xs, tangents), given, order - 1, modes, atol, rtol, eps)
    if "rev" in modes:
        seeds = tree.map(lambda x: _randomly(x, random), transforms.eval_shape(f, *given))
        check_grads(lambda *xs: transforms.vjp(f, *xs)[1](seeds), given, order - 1, modes, atol, rtol, eps)


__all__ = ["check_grads", "check_jvp", "check_vjp"]
