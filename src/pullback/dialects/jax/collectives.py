"""`jax.lax`'s functions of named axes, and `jax.pmap`: there is one device."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from pullback.api import collectives
from pullback.dialects.jax import transforms
from pullback.dialects.jax.array import lift
from pullback.engine.trace import SCALARS
from pullback.util import tree
from pullback.util.errors import UnsupportedError, ValueError_, message


def _arrays(x: Any) -> Any:
    return x if type(x) in SCALARS else transforms.valid_arrays(x, "collective")


def _named(target: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a tree of arrays and a named axis."""

    @wraps(target)
    def call(x: Any, axis_name: Any, *args: Any, axis_index_groups: Any = None, **options: Any) -> Any:
        if axis_index_groups is not None:
            raise UnsupportedError(
                message(f"{target.__name__}: groups of places", [("axis_index_groups", repr(axis_index_groups)[:60])],
                        "name two axes: vmap over the groups, and vmap over the places in each")
            )
        options.pop("to", None)
        return tree.map(lift, target(_arrays(x), axis_name, *args, **options))

    return call


psum, pmean, pmax, pmin = map(_named, (collectives.psum, collectives.pmean, collectives.pmax, collectives.pmin))
all_gather, all_to_all, ppermute = map(
    _named, (collectives.all_gather, collectives.all_to_all, collectives.ppermute)
)
pshuffle, pbroadcast = map(_named, (collectives.pshuffle, collectives.pbroadcast))
pswapaxes, psum_scatter = map(_named, (collectives.pswapaxes, collectives.psum_scatter))
axis_size = collectives.axis_size


def axis_index(axis_name: Any) -> Any:
    """The place along a named axis."""
    return lift(collectives.axis_index(axis_name))


def pcast(x: Any, axis_name: Any = None, **_: Any) -> Any:
    """The same arrays: all are known to differ along every named axis."""
    return x


def pmap(
    fun: Callable[..., Any],
    axis_name: Any = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: Any = (),
    devices: Any = None,
    backend: Any = None,
    axis_size: int | None = None,
    donate_argnums: Any = (),
    **_: Any,
) -> Callable[..., Any]:
    """The function compiled and mapped over an axis of size 1: there is one device."""
    transforms.check_function(fun, "pmap")
    numbers = (static_broadcasted_argnums,) if isinstance(static_broadcasted_argnums, int) else \
        tuple(static_broadcasted_argnums)
    axes = (*in_axes,) if isinstance(in_axes, (tuple, list)) else in_axes

    @wraps(fun)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        moving = [a for k, a in enumerate(args) if k not in numbers]
        given = moving if axes == 0 else [a for a, where in zip(moving, axes, strict=False) if where is not None]
        sizes = {x.shape[0] for x in tree.leaves(transforms.arrays(tuple(given)))}
        if max(sizes, default=axis_size or 1) > 1:
            raise ValueError_(
                message(f"compiling computation that requires {max(sizes)} logical devices, but only 1 XLA devices are "
                        "available", [("arguments", f"leading axis of size {max(sizes)}")],
                        "jax.vmap with axis_name computes the same on one device")
            )
        return call(args, kwargs)

    def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        def part(*moving: Any) -> Any:
            everything = list(args)
            for k, x in zip((k for k in range(len(args)) if k not in numbers), moving, strict=True):
                everything[k] = x
            return fun(*everything, **kwargs)

        moving = [a for k, a in enumerate(args) if k not in numbers]
        name = axis_name if axis_name is not None else object()
        return transforms.vmap(part, axes, out_axes, axis_name=name, axis_size=1)(*moving)

    return mapped


__all__ = ["all_gather", "all_to_all", "axis_index", "axis_size", "pbroadcast", "pcast", "pmap", "pmax", "pmean",
           "pmin", "ppermute", "pshuffle", "psum", "psum_scatter", "pswapaxes"]
