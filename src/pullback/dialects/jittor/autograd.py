"""`jt.grad`, and the switch for it."""

from __future__ import annotations

from typing import Any

from pullback.api.creation import zeros_like
from pullback.dialects.jittor.var import Var
from pullback.engine.autograd import gradients, known_gradients
from pullback.engine.gradient_mode import grad_mode
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import Value, local, new
from pullback.util.errors import ArgumentError, GradientError, message


def grad(loss: Any, targets: Any, retain_graph: bool | None = None) -> Any:
    """The gradients of a loss with respect to Vars: a list for a list, one for one; zeros where there is no path.

    `retain_graph=True` records the gradients themselves, so that they can be differentiated again.
    """
    wanted = [targets] if isinstance(targets, TensorBase) else list(targets)
    if not retain_graph and type(loss) is Var:
        known = known_gradients(loss, wanted)
        if known is not None:
            result = list(map(_var, known))
            return result[0] if isinstance(targets, TensorBase) else result
    for x in (loss, *wanted):
        if not isinstance(x, TensorBase):
            raise ArgumentError(
                message("jt.grad: not a Var", [("given", f"{type(x).__name__} {x!r:.60}")], "jt.grad(loss, [w, b])")
            )
    if not loss.requires_grad:
        raise GradientError(
            message(
                "jt.grad: the loss does not depend on a Var that can be differentiated",
                [("loss", repr(loss.info.type))],
                "check stop_grad(); the gradient of a gradient needs jt.grad(..., retain_graph=True)",
            )
        )
    trace = local.trace
    # what is still pending may be differentiated again: only at its launch is the history let go
    freed, trace.freed, trace.remember = trace.freed, frozenset(), True
    origin = loss._peek().trace
    if origin is not None:
        origin.remember = True
    seed = None if loss.info.type.size == 1 and not loss.shape else [_ones(loss)]
    try:
        found = gradients([loss], wanted, seed, bool(retain_graph), bool(retain_graph), True)
    except GradientError as error:
        if "freed" not in str(error):
            raise
        raise GradientError(
            message(
                "jt.grad: the way to this loss was let go when a value was read after the first jt.grad",
                [("loss", repr(loss.info.type))],
                "take all gradients before reading any, or call jt.grad(..., retain_graph=True)",
            )
        ) from None
    trace.freed = trace.freed | freed
    result = [
        Var(g._use()) if g is not None else Var(zeros_like(x)._peek()) for x, g in zip(wanted, found, strict=True)
    ]
    return result[0] if isinstance(targets, TensorBase) else result


def _var(value: Value) -> Var:
    made = new(Var)
    made._value, made._meta, made._view = value, None, None
    return made


def _ones(loss: Any) -> Any:
    from pullback.api.creation import ones_like  # only where the loss is not one number

    return ones_like(loss)


def no_grad() -> grad_mode:
    """A context in which nothing is recorded for gradients."""
    return grad_mode(False)


def enable_grad() -> grad_mode:
    """A context in which gradients are recorded."""
    return grad_mode(True)
