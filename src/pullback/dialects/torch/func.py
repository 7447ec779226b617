"""`torch.func`: transformations of functions."""

from __future__ import annotations

from functools import wraps
from typing import Any

from pullback.api.manipulation import stack
from pullback.dialects.torch.functions import vmap
from pullback.dialects.torch.ordered import Noted, in_order
from pullback.engine.functional import grad as _grad
from pullback.engine.functional import jacfwd as _jacfwd
from pullback.engine.functional import jacrev as _jacrev
from pullback.engine.functional import jvp as _jvp
from pullback.engine.functional import value_and_grad as _value_and_grad
from pullback.engine.functional import vjp as _vjp
from pullback.nn.module import functional_call
from pullback.util.errors import ValueError_, message


def _ordered(func: Any, argnums: Any, has_aux: bool, make: Any) -> Any:
    """The function that `make` makes of one with derivatives in the order of the arguments, and of the results."""
    @wraps(func)
    def function(*args: Any, **options: Any) -> Any:
        noted = Noted(func, args, options)
        found = make(noted)(*args)
        if has_aux:
            (result, aux), (derivative, beside) = noted.result, found
            return _derivatives(noted, argnums, result, derivative), in_order(aux, beside)
        return _derivatives(noted, argnums, noted.result, found)

    return function


def _derivatives(noted: Noted, argnums: Any, result: Any, found: Any) -> Any:
    """Derivatives of each leaf of a result, in order."""
    return in_order(result, found, lambda x: noted.like_arguments(argnums, x))


def jacrev(func: Any, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None,
           _preallocate_and_copy: bool = False) -> Any:
    """The Jacobian by reverse mode: all rows at once, or `chunk_size` of them at a time."""
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError_(message("jacrev: `chunk_size` should be greater than 0", [("chunk_size", repr(chunk_size))],
                                  "leave it out for all rows at once"))
    return _ordered(func, argnums, has_aux, lambda f: _jacrev(f, argnums, has_aux, chunk_size=chunk_size))


def jacfwd(func: Any, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error") -> Any:
    """The Jacobian by forward mode."""
    return _ordered(func, argnums, has_aux, lambda f: _jacfwd(f, argnums, has_aux))


def hessian(func: Any, argnums: Any = 0) -> Any:
    """The matrix of second derivatives, forward over reverse."""
    return jacfwd(jacrev(func, argnums), argnums)


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of modules of one class, by their paths, along a new first dimension: what `vmap` of
    `functional_call` takes for all of them."""
    modules = list(models)
    if not modules:
        raise ValueError_(message("stack_module_state: expected at least one model", [("models", "[]")]))
    if any(type(m) is not type(modules[0]) for m in modules):
        raise ValueError_(message("stack_module_state: expected all models to be of the same class",
                                  [("models", ", ".join(sorted({type(m).__name__ for m in modules})))]))
    if any(m.training is not modules[0].training for m in modules):
        raise ValueError_(message("stack_module_state: expected all models to be in the same training or eval mode",
                                  help="call .eval() or .train() of all of them"))
    return tuple(_stacked([dict(named) for named in every])  # type: ignore[return-value]
                 for every in ([m.named_parameters() for m in modules], [m.named_buffers() for m in modules]))


def _stacked(tensors: list[dict[str, Any]]) -> dict[str, Any]:
    """Tensors under one name as one, a leaf that requires gradients if they do."""
    return {name: stack([t[name].detach() for t in tensors]).requires_grad_(first.requires_grad)
            for name, first in tensors[0].items()}


def grad(func: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    """A function that returns the gradient."""
    _grad(func, argnums, has_aux)  # what is no function is refused here, not where it is called
    return _ordered(func, argnums, has_aux, lambda f: _grad(f, argnums, has_aux))


def grad_and_value(func: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    """A function that returns gradient and value."""
    _value_and_grad(func, argnums, has_aux)

    @wraps(func)
    def function(*args: Any, **options: Any) -> Any:
        noted = Noted(func, args, options)
        value, gradient = _value_and_grad(noted, argnums, has_aux)(*args)
        value = in_order(noted.result, value)
        return noted.like_arguments(argnums, gradient), value

    return function


def vjp(func: Any, *primals: Any, has_aux: bool = False) -> Any:
    """The result, and a function that gives gradients of the arguments for those of the result."""
    noted = Noted(func, primals, {})
    found = _vjp(noted, *primals, has_aux=has_aux)
    given = noted.result[0] if has_aux else noted.result

    def pull(cotangents: Any) -> Any:
        return in_order(primals, found[1](cotangents))

    result = in_order(given, found[0]), pull
    return (*result, in_order(noted.result[1], found[2])) if has_aux else result


def jvp(func: Any, primals: Any, tangents: Any) -> Any:
    """The result, and its derivative in the direction of the tangents."""
    noted = Noted(func, tuple(primals), {})
    found = _jvp(noted, primals, tangents)
    return tuple([in_order(noted.result, x) for x in found])


__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "vjp", "vmap"]
