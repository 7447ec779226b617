"""Jittor's optimisers: `optim.SGD(model.parameters(), lr).step(loss)`; and `nn.SGD("scope", loss, lr)` in one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pullback.dialects.jittor.autograd import grad
from pullback.dialects.jittor.scope import find_vars
from pullback.dialects.jittor.var import Var
from pullback.engine.tensor import AutogradMeta, TensorBase
from pullback.optim import algorithms
from pullback.optim.optimizer import Optimizer as Native
from pullback.util.errors import ArgumentError, GradientError, message


class Optimizer:
    """Takes the gradient of a loss and updates the parameters: `step(loss)`."""

    def __init__(self, params: Any, native: type[Native], **hyper: Any) -> None:
        if isinstance(params, TensorBase) or not isinstance(params, Iterable):
            raise ArgumentError(
                message(
                    "optimizer: parameters come in a list",
                    [("given", f"{type(params).__name__} {params!r:.60}")],
                    "model.parameters()",
                )
            )
        given = list(params)
        for p in given:
            if not isinstance(p, Var):
                raise ArgumentError(
                    message(
                        "optimizer: not a Var", [("given", f"{type(p).__name__} {p!r:.60}")], "pass model.parameters()"
                    )
                )
        self.params = [p for p in given if not p.is_stop_grad()]
        for p in self.params:
            if p._meta is None:
                p._meta = AutogradMeta(True)
            p._stored = True
        self.native = native(self.params, **hyper)

    @property
    def lr(self) -> Any:
        """The learning rate."""
        return self.native.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: Any) -> None:
        for group in self.native.param_groups:
            group["lr"] = value

    @property
    def param_groups(self) -> Any:
        """Parameters with their settings."""
        return self.native.param_groups

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.params:
            p._meta.grad = None

    def backward(self, loss: Any, retain_graph: bool = False) -> None:
        """Add the gradients of a loss to those there are."""
        for p, g in zip(self.params, grad(loss, self.params, retain_graph or None), strict=True):
            meta = p._meta
            meta.grad = g if meta.grad is None else meta.grad + g

    def step(self, loss: Any = None, retain_graph: bool = False) -> None:
        """Update the parameters, with the gradient of `loss` where one is given."""
        if loss is None:
            self.native.step()
            return
        for p, g in zip(self.params, grad(loss, self.params, retain_graph or None), strict=True):
            p._meta.grad = g
        self.native.step()
        self.zero_grad()

    def gradient_of(self, param: Any) -> Any:
        """The gradient collected for a parameter."""
        if param.grad is None:
            raise GradientError(message("opt_grad: no gradient is there", help="call optimizer.backward(loss) first"))
        return Var(param.grad._peek())

    def state_dict(self) -> dict[str, Any]:
        """State and settings."""
        return self.native.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.native.load_state_dict(state)


class SGD(Optimizer):
    """Gradient descent. With the name of a scope, `nn.SGD("model", loss, lr)` makes one step for its parameters."""

    def __new__(cls, params: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(params, str):
            _descend(params, *args, **kwargs)
            return None
        return super().__new__(cls)

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0,
        weight_decay: float = 0,
        dampening: float = 0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            algorithms.SGD,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            dampening=dampening,
            nesterov=nesterov,
        )


def _descend(path: str, loss: Any, lr: Any) -> None:
    params = find_vars(path)
    if not params:
        raise ArgumentError(
            message(
                "SGD: no parameters below this scope", [("scope", repr(path))], "jt.find_vars() lists all parameters"
            )
        )
    for p, g in zip(params, grad(loss, params), strict=True):
        p -= g * lr


class Adam(Optimizer):
    """Adam."""

    def __init__(
        self,
        params: Any,
        lr: float,
        eps: float = 1e-8,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0,
    ) -> None:
        super().__init__(params, algorithms.Adam, lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)


class AdamW(Optimizer):
    """Adam with decoupled weight decay."""

    def __init__(
        self,
        params: Any,
        lr: float,
        eps: float = 1e-8,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0,
    ) -> None:
        super().__init__(params, algorithms.AdamW, lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)


class RMSprop(Optimizer):
    """RMSprop."""

    def __init__(self, params: Any, lr: float = 1e-2, eps: float = 1e-8, alpha: float = 0.99) -> None:
        super().__init__(params, algorithms.RMSprop, lr=lr, eps=eps, alpha=alpha)
