"""`jax.scipy.optimize`: minima by BFGS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pullback.api import minimisation
from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import Array, lift
from pullback.util.errors import ArgumentError, UnsupportedError, message


class OptimizeResults(NamedTuple):
    """Where a search ended. `status`: 0 converged, 1 too many turns, 3 no step found."""

    x: Array
    success: Array
    status: Array
    fun: Array
    jac: Array
    hess_inv: Array | None
    nfev: Array
    njev: Array
    nit: Array


def minimize(
    fun: Callable[..., Any], x0: Any, args: tuple[Any, ...] = (), *, method: str, tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:
    """A local minimum of a function of a vector, by the method "BFGS"."""
    start = border.array_of(x0, "minimize")
    if not isinstance(args, tuple):
        raise ArgumentError(message("args argument to jax.scipy.optimize.minimize must be a tuple",
                                    [("args", f"{args!r:.60}")]))
    if method.lower() != "bfgs":
        raise UnsupportedError(message(f"Method {method} not recognized", help="method='BFGS'"))
    given = dict(options or {})
    known = ("maxiter", "gtol", "norm", "line_search_maxiter")
    unknown = [k for k in given if k not in known]
    if unknown:
        raise ArgumentError(message("minimize: no such option", [("option", unknown[0])], "one of " + ", ".join(known)))
    tolerance = given.get("gtol", 1e-5 if tol is None else tol)
    found = minimisation.minimise_bfgs(lambda x: fun(lift(x), *args), start, tolerance, given.get("maxiter"),
                                       given.get("line_search_maxiter", 20))
    return OptimizeResults(*map(lift, found))


__getattr__, __dir__ = names(__name__, {})
