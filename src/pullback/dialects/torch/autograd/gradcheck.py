"""`torch.autograd.gradcheck`: gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.dialects.torch.creation import tensor
from pullback.engine.autograd import gradients
from pullback.engine.control import enable_grad, no_grad
from pullback.engine.tensor import TensorBase
from pullback.util.errors import GradientError, ValueError_, message


def gradcheck(func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, fast_mode: bool = False, **options: Any) -> bool:
    """Whether the gradients of a function of float64 tensors are those of finite differences, by every element, also
    where PyTorch's fast mode would look at one direction."""
    given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    checked = [k for k, x in enumerate(given) if isinstance(x, TensorBase) and x.requires_grad]
    if not checked:
        raise ValueError_(message("gradcheck: no input requires gradients", help="torch.rand(3, dtype=torch.float64, "
                                                                                 "requires_grad=True)"))
    outputs = _listed(func(*given))
    for n, output in enumerate(outputs):
        seeds = np.eye(output.numel()).reshape(output.numel(), *output.shape)
        analytic = [gradients([output], [given[k] for k in checked], [tensor(seed).to(output.dtype)], True, False, True)
                    for seed in seeds]
        for position, k in enumerate(checked):
            found = [np.zeros(given[k].shape) if row[position] is None else row[position].numpy() for row in analytic]
            wanted = _numerical(func, given, k, n, eps)
            if not np.allclose(np.reshape(found, wanted.shape), wanted, rtol=rtol, atol=atol):
                if not raise_exception:
                    return False
                raise GradientError(message(f"gradcheck: Jacobian mismatch for output {n} with respect to input {k}",
                                            [("numerical", f"{wanted.tolist()!s:.200}"),
                                             ("analytical", f"{np.reshape(found, wanted.shape).tolist()!s:.200}")],
                                            "look at the backward of this function; inputs should be float64"))
    return True


def gradgradcheck(func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6,
                  atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True, **options: Any) -> bool:
    """Whether the gradients of a function's gradients are those of finite differences."""
    given = _listed(inputs)
    outputs = _listed(func(*given))
    drawn = np.random.default_rng(0)
    seeds = _listed(grad_outputs) if grad_outputs is not None else [
        tensor(drawn.uniform(-1, 1, y.shape)).to(y.dtype).requires_grad_() for y in outputs]
    wanted = [k for k, x in enumerate(given) if isinstance(x, TensorBase) and x.requires_grad]

    def pulled(*args: Any) -> tuple[Any, ...]:
        new = [x.detach().requires_grad_() if k in wanted and not x.requires_grad else x
               for k, x in enumerate(args[:len(given)])]
        with enable_grad():
            found = gradients(_listed(func(*new)), [new[k] for k in wanted], list(args[len(given):]), True, True, True)
        return tuple(x * 0 if g is None else g for x, g in zip([new[k] for k in wanted], found, strict=True))

    return gradcheck(pulled, (*given, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (tuple, list)) else [x]


def _numerical(func: Callable[..., Any], given: list[Any], k: int, n: int, eps: float) -> np.ndarray[Any, Any]:
    """Differences of an output's elements over those of an input: a row for each element of the output."""
    start = given[k].numpy().astype(np.float64)
    columns: list[np.ndarray[Any, Any]] = []
    with no_grad():
        for place in np.ndindex(start.shape):
            ends: list[np.ndarray[Any, Any]] = []
            for sign in (1, -1):
                moved = start.copy()
                moved[place] += sign * eps
                inputs = [*given[:k], tensor(moved).to(given[k].dtype), *given[k + 1:]]
                ends.append(_listed(func(*inputs))[n].numpy().astype(np.float64).ravel())
            columns.append((ends[0] - ends[1]) / (2 * eps))
    return np.stack(columns, axis=-1) if columns else np.zeros((1, 0))
