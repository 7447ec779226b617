"""`torch.func`: transformations of functions."""

from __future__ import annotations

from typing import Any

from pullback.api.manipulation import stack
from pullback.dialects.torch.functions import vmap
from pullback.engine.functional import grad as _grad
from pullback.engine.functional import hessian, jvp, vjp
from pullback.engine.functional import jacfwd as _jacfwd
from pullback.engine.functional import jacrev as _jacrev
from pullback.engine.functional import value_and_grad as _value_and_grad
from pullback.nn.module import functional_call
from pullback.util.errors import ValueError_, message


def jacrev(func: Any, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None,
           _preallocate_and_copy: bool = False) -> Any:
    """The Jacobian by reverse mode: all rows at once, or `chunk_size` of them at a time."""
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError_(message("jacrev: `chunk_size` should be greater than 0", [("chunk_size", repr(chunk_size))],
                                  "leave it out for all rows at once"))
    return _jacrev(func, argnums, has_aux, chunk_size=chunk_size)


def jacfwd(func: Any, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error") -> Any:
    """The Jacobian by forward mode."""
    return _jacfwd(func, argnums, has_aux)


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
    return _grad(func, argnums, has_aux)


def grad_and_value(func: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    """A function that returns gradient and value."""
    both = _value_and_grad(func, argnums, has_aux)

    def function(*args: Any, **options: Any) -> Any:
        value, gradient = both(*args, **options)
        return gradient, value

    return function


__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "vjp", "vmap"]
