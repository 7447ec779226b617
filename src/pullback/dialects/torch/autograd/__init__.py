"""`torch.autograd`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pullback.dialects import names
from pullback.dialects.torch.functions import inference_mode, set_grad_enabled
from pullback.dialects.torch.tensors import Tensor, as_torch, styled, styled_tree
from pullback.engine import rules
from pullback.engine.autograd import gradients
from pullback.engine.control import enable_grad, no_grad
from pullback.engine.execute import synchronize
from pullback.engine.tensor import TensorBase
from pullback.util import config as flags
from pullback.util.errors import ArgumentError, GradientError, NotDefinedError, message


class _VariableType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)

    def __call__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Any:
        x: Any = data
        if not isinstance(x, TensorBase):
            raise ArgumentError(message("Variable data has to be a tensor", [("data", type(data).__name__)],
                                        "Variable(torch.tensor(...))"))
        if not requires_grad:
            return styled(data.detach()) if data.requires_grad else styled(data)
        made = Tensor(x._peek())
        made.requires_grad = True
        return made


class Variable(metaclass=_VariableType):
    """A tensor (PyTorch 0.3 wrapped tensors to differentiate)."""


class Function(rules.Function):
    """A differentiable operation with its own backward: `forward(ctx, ...)`, `backward(ctx, *gradients)`, called by
    `apply`."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """To be defined: the results, of the arguments."""
        raise NotDefinedError(message("autograd.Function: no forward",
                                      help="define @staticmethod forward(ctx, ...)"))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """To be defined: a gradient for each argument of forward, of those of the results."""
        raise NotDefinedError(message("autograd.Function: no backward",
                                      help="define @staticmethod backward(ctx, grad_output)"))

    def __call__(self, *args: Any) -> Any:
        raise GradientError(message(f"{type(self).__name__}: functions are not called as objects (PyTorch 0.1)",
                                    help=f"{type(self).__name__}.apply(x), with static methods forward and backward"))

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`; gradients go through `backward`."""
        found = styled_tree(super().apply(*args))
        for x in found if isinstance(found, tuple) else (found,):
            if isinstance(x, Tensor):
                x._function = cls.__name__
        return found


def _listed(x: Any) -> list[Any]:
    return [x] if isinstance(x, TensorBase) or not isinstance(x, Iterable) else list(x)


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None,
         create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
         is_grads_batched: bool = False, materialize_grads: bool = False) -> tuple[Any, ...]:
    """Gradients of outputs with respect to inputs, without touching `.grad`. `only_inputs` says nothing any more."""
    given = None if grad_outputs is None else _listed(grad_outputs)
    wanted = _listed(inputs)
    if not wanted:
        raise GradientError(message("`inputs` argument to `grad()` cannot be empty.",
                                    help="torch.autograd.grad(loss, [x])"))
    unused = bool(allow_unused) or materialize_grads
    found = gradients(_listed(outputs), wanted, given, retain_graph, create_graph, unused)
    if materialize_grads:
        found = [as_torch(x).detach() * 0 if g is None else g for x, g in zip(wanted, found, strict=True)]
    return tuple(g if g is None else styled(g) for g in found)


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None,
             create_graph: bool = False, grad_variables: Any = None, inputs: Any = None) -> None:
    """Add gradients to `.grad` of every leaf, or of `inputs` only."""
    grad_tensors = grad_tensors if grad_variables is None else grad_variables
    outputs = _listed(tensors)
    given = [None] * len(outputs) if grad_tensors is None else _listed(grad_tensors)
    for k, (output, gradient) in enumerate(zip(outputs, given, strict=True)):
        keep = True if k + 1 < len(outputs) else retain_graph
        output.backward(gradient, keep, create_graph, inputs)


class set_detect_anomaly:
    """Name the operator that first makes NaN, forward and backward, from here on or in a `with` block."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = flags.get("detect_nan")
        flags.set("detect_nan", bool(mode) and check_nan)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, *_: object) -> None:
        flags.set("detect_nan", self.before)


class detect_anomaly:
    """Name the operator that first makes NaN, forward and backward, in a `with` block."""

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan

    def __enter__(self) -> None:
        self.before = flags.get("detect_nan")
        flags.set("detect_nan", self.check_nan)

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            synchronize()
        flags.set("detect_nan", self.before)


__getattr__, __dir__ = names(__name__, {"dialects.torch.autograd.functional": "functional=",
                                          "dialects.torch.autograd.gradcheck": "gradcheck gradgradcheck"})
__all__ = ["Function", "Variable", "backward", "detect_anomaly", "enable_grad", "grad", "inference_mode", "no_grad",
           "set_detect_anomaly", "set_grad_enabled"]
