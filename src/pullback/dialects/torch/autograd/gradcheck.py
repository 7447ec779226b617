"""`torch.autograd.gradcheck`: gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.dialects.torch.creation import tensor
from pullback.engine.autograd import gradients
from pullback.engine.control import no_grad
from pullback.engine.tensor import TensorBase
from pullback.util.errors import GradientError, ValueError_, message


def gradcheck(func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True) -> bool:
    """Whether the gradients of a function of float64 tensors are those of finite differences, by every element."""
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
