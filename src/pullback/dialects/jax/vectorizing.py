"""`jnp.vectorize`: a function of arrays of few dimensions as one of arrays with more in front."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pullback.api.arguments import described
from pullback.api.manipulation import broadcast_shapes, broadcast_to
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import lift
from pullback.dialects.jax.transforms import vmap
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message


def _dimensions(text: str, whole: str) -> list[list[str]]:
    """The names of each argument's dimensions, of "(n,m),(m)"."""
    plain = text.replace(" ", "")
    if not plain.startswith("(") or not plain.endswith(")"):
        raise ValueError_(message("not a valid gufunc signature", [("signature", whole)], "such as '(n,m),(m)->(n)'"))
    return [[name for name in part.split(",") if name] for part in plain[1:-1].split("),(")]


def _parsed(signature: str) -> list[list[str]]:
    left, arrow, right = signature.partition("->")
    if not arrow:
        raise ValueError_(
            message("not a valid gufunc signature", [("signature", signature)], "such as '(n,m),(m)->(n)'")
        )
    _dimensions(right, signature)
    return _dimensions(left, signature)


def _check_sizes(arrays: list[Any], cores: list[list[str]]) -> None:
    sizes: dict[str, int] = {}
    for x, core in zip(arrays, cores, strict=True):
        if x.ndim < len(core):
            raise ShapeError(
                message(
                    "vectorize: an argument has fewer dimensions than the signature says",
                    [("argument", described(x)), ("dimensions", f"({','.join(core)})")],
                )
            )
        for name, size in zip(core, x.shape[x.ndim - len(core):], strict=True):
            if sizes.setdefault(name, size) != size or (name.isdigit() and int(name) != size):
                raise ShapeError(
                    message(
                        f"vectorize: inconsistent size for core dimension {name!r}",
                        [("argument", described(x)), ("sizes", f"{size}, {sizes[name]}")],
                    )
                )


def vectorize(pyfunc: Any, *, excluded: Any = frozenset(), signature: str | None = None) -> Any:
    """A function of arrays of the dimensions that the signature names (numbers, without one) as one of arrays with
    more in front, which are broadcast. Arguments at the positions `excluded` are passed as they are."""
    cores = None if signature is None else _parsed(signature)
    kept = frozenset(excluded)

    def vectorized(*args: Any, **kwargs: Any) -> Any:
        moving = [k for k in range(len(args)) if k not in kept]
        arrays = [border.asarray(args[k]) for k in moving]
        dims = [[] for _ in arrays] if cores is None else cores
        if len(dims) != len(arrays):
            raise ArgumentError(
                message(
                    "vectorize: wrong number of positional arguments",
                    [("signature", str(signature)), ("given", str(len(arrays)))],
                )
            )
        _check_sizes(arrays, dims)
        ranks = [len(d) for d in dims]
        lead = broadcast_shapes(*(x.shape[: x.ndim - r] for x, r in zip(arrays, ranks, strict=True)))
        wide = [lift(broadcast_to(x, (*lead, *x.shape[x.ndim - r:]))) for x, r in zip(arrays, ranks, strict=True)]
        mapped: Callable[..., Any] = partial(_placed, partial(pyfunc, **kwargs), args, moving)
        for _ in lead:
            mapped = vmap(mapped)
        return mapped(*wide)

    return vectorized


def _placed(function: Callable[..., Any], args: tuple[Any, ...], places: list[int], *given: Any) -> Any:
    """The function of all arguments, those at `places` replaced."""
    everything = list(args)
    for place, x in zip(places, given, strict=True):
        everything[place] = x
    return function(*everything)
