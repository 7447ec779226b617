"""What `strict=True` asks of a function: outputs that depend on every input, and gradients that do where these are
differentiated once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.dialects.torch.tensors import as_torch
from pullback.engine.autograd import gradients
from pullback.util.errors import GradientError, message

#: whether each output is looked at, each gradient, and whether gradients must depend on every input or on one
_RULES = {"jacobian": (True, True, False), "vjp": (False, True, False), "jvp": (False, False, False),
          "hessian": (True, True, True), "hvp": (True, False, True)}


def look(name: str, func: Callable[..., Any], args: Sequence[Any], create_graph: bool) -> None:
    """Refuse a function whose outputs do not depend on its inputs. It is called once for this: what it computes is
    recorded and never run."""
    by_output, by_gradient, every = _RULES[name]
    leaves = [as_torch(x).detach().requires_grad_() for x in args]
    found: Any = func(*leaves)
    outputs: tuple[Any, ...] = found if isinstance(found, tuple) else (found,)
    for k, y in enumerate(outputs):
        if not y.requires_grad:
            raise _refusal(name, f"output {k} of the function does not require gradients")
    slopes: list[Any] = []
    for k, group in enumerate([[y] for y in outputs] if by_output else [list(outputs)]):
        given = _of_sum(group, leaves)
        for i in _missing(given):
            raise _refusal(name, f"output {k} of the function is independent of input {i}")
        slopes += [[g] for g in given] if by_gradient else [given]
    if not create_graph and not every:
        return
    for k, group in enumerate(slopes):
        absent = _missing(_of_sum(group, leaves))
        if len(absent) == len(leaves) or (absent and every):
            raise _refusal(name, f"gradient {k} of the function is independent of input {absent[0]}")


def _of_sum(values: list[Any], leaves: list[Any]) -> list[Any]:
    """Gradients of the sum of all elements; None for leaves that it does not depend on."""
    sums = [v.sum() for v in values if v.requires_grad]
    return gradients(sums, leaves, None, True, True, True) if sums else [None] * len(leaves)


def _missing(found: list[Any]) -> list[int]:
    return [i for i, g in enumerate(found) if g is None]


def _refusal(name: str, what: str) -> GradientError:
    return GradientError(message(f"{name}: {what}", [("strict", "True")],
                                 "compute it from the inputs, or strict=False for derivatives of zero"))
