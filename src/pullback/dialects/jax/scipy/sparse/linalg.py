"""`jax.scipy.sparse.linalg`: linear equations solved by iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.api import minimisation
from pullback.dialects import names
from pullback.dialects.jax import derivatives, transforms


def cg(
    A: Any, b: Any, x0: Any = None, *, tol: float = 1e-5, atol: float = 0.0, maxiter: int | None = None,
    M: Callable[..., Any] | None = None,
) -> tuple[Any, None]:
    """x with A(x) = b for a symmetric positive definite A, a function or a matrix; differentiated by solving again."""
    matvec = A if callable(A) else lambda v: A @ v
    right = transforms.valid_arrays(b, "cg")
    start = None if x0 is None else transforms.valid_arrays(x0, "cg")

    def solve(product: Callable[..., Any], target: Any) -> Any:
        from_ = start if start is not None and target is right else None
        return minimisation.conjugate_gradients(product, target, from_, tol, atol, maxiter, M)

    return derivatives.custom_linear_solve(matvec, right, solve, symmetric=True), None


__getattr__, __dir__ = names(__name__, {})
