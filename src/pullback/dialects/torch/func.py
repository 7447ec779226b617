"""`torch.func`: transformations of functions."""

from typing import Any

from pullback.dialects.torch.functions import vmap
from pullback.engine.functional import grad as _grad
from pullback.engine.functional import hessian, jacfwd, jacrev, jvp, vjp
from pullback.engine.functional import value_and_grad as _value_and_grad
from pullback.nn.module import functional_call


def grad(func: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    """A function that returns the gradient."""
    return _grad(func, argnums, has_aux)


def grad_and_value(func: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    """A function that returns gradient and value."""
    both = _value_and_grad(func, argnums, has_aux)

    def function(*args: Any, **options: Any) -> Any:
        value, gradient = both(*args, **options)
        return gradient, value

    return function


__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "vjp", "vmap"]
