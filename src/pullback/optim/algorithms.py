"""The optimisers as classes, with PyTorch's names, argument order and defaults.

Each only checks its arguments and names its rule (see `rules.py`). `foreach`, `capturable`, `differentiable` and
`fused` are accepted and kept in the groups; they choose between implementations elsewhere and change nothing here.
"""

from __future__ import annotations

from typing import Any

from pullback.engine.tensor import TensorBase
from pullback.optim import rules
from pullback.optim.optimizer import Optimizer
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message


def _check(owner: str, low: float = 0.0, high: float = float("inf"), **values: Any) -> None:
    """Refuse numbers outside [low, high)."""
    for name, value in values.items():
        if isinstance(value, TensorBase):
            if value.size_ != 1:
                raise ShapeError(message(f"{owner}: Tensor {name} must be 1-element", [(name, repr(value.info.type))]))
            continue
        if not isinstance(value, (int, float)):
            raise ArgumentError(message(f"{owner}: {name} must be a number", [(name, f"{value!r:.60}")]))
        if not low <= value < high and not (value == high == float("inf")):
            limits = f"at least {low:g}" if high == float("inf") else f"at least {low:g} and below {high:g}"
            raise ValueError_(message(f"{owner}: Invalid {name.replace('_', ' ')}: {value}", [(name, repr(value))],
                                      f"it must be {limits}"))


def _check_betas(owner: str, betas: Any) -> None:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ArgumentError(message(f"{owner}: betas must be two numbers", [("betas", f"{betas!r:.60}")]))
    for k, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError_(message(f"{owner}: Invalid beta parameter at index {k}: {beta}", [("betas", repr(betas))],
                                      "it must be at least 0 and below 1"))


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, weight decay and Nesterov's variant.

    >>> import pullback as pb
    >>> x = pb.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = pb.optim.SGD([x], lr=0.1)
    >>> (x ** 2).sum().backward(); optimizer.step()
    >>> x.tolist()
    [0.800000011920929, 1.600000023841858]
    """

    rule = rules.SGD

    def __init__(self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
                 nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None,
                 differentiable: bool = False, fused: bool | None = None) -> None:
        _check("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError_(message("Nesterov momentum requires a momentum and zero dampening",
                                      [("momentum", repr(momentum)), ("dampening", repr(dampening))],
                                      "for example momentum=0.9, dampening=0"))
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused})


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015)."""

    rule = rules.ADAM

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
                 capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
                 decoupled_weight_decay: bool = False) -> None:
        name = type(self).__name__
        _check(name, lr=lr, eps=eps, weight_decay=weight_decay)
        _check_betas(name, betas)
        super().__init__(params, {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})


class SparseAdam(Optimizer):
    """Adam for sparse gradients: only the rows that have one, and their moments, take a step.

    >>> import pullback as pb
    >>> layer = pb.nn.Embedding(1000, 8, sparse=True)
    >>> optimizer = pb.optim.SparseAdam(layer.parameters(), lr=0.01)
    >>> layer(pb.tensor([3, 14, 3])).sum().backward(); optimizer.step()
    """

    rule = rules.SPARSE_ADAM

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 maximize: bool = False) -> None:
        _check("SparseAdam", low=5e-324, lr=lr, eps=eps)
        _check_betas("SparseAdam", betas)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "maximize": maximize})


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    rule = rules.ADAMW

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=True)


class NAdam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016)."""

    rule = rules.NADAM

    def __init__(self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
                 foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
                 differentiable: bool = False) -> None:
        _check("NAdam", lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        _check_betas("NAdam", betas)
        super().__init__(params, {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable})


class RAdam(Optimizer):
    """Rectified Adam (Liu et al. 2020)."""

    rule = rules.RADAM

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False) -> None:
        _check("RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        _check_betas("RAdam", betas)
        super().__init__(params, {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable})


class Adamax(Optimizer):
    """Adam with the infinity norm (Kingma and Ba 2015, section 7)."""

    rule = rules.ADAMAX

    def __init__(self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False) -> None:
        _check("Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        _check_betas("Adamax", betas)
        super().__init__(params, {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})


class Lion(Optimizer):
    """Lion: the sign of an interpolated momentum (Chen et al. 2023)."""

    rule = rules.LION

    def __init__(self, params: Any, lr: Any = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0,
                 *, maximize: bool = False) -> None:
        _check("Lion", lr=lr, weight_decay=weight_decay)
        _check_betas("Lion", betas)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay, "maximize": maximize})


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012), also centred and with momentum."""

    rule = rules.RMSPROP

    def __init__(self, params: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
                 momentum: float = 0, centered: bool = False, capturable: bool = False, foreach: bool | None = None,
                 maximize: bool = False, differentiable: bool = False) -> None:
        _check("RMSprop", lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable})


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer 2011)."""

    rule = rules.ADAGRAD

    def __init__(self, params: Any, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
                 maximize: bool = False, differentiable: bool = False, fused: bool | None = None) -> None:
        _check("Adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps,
               initial_accumulator_value=initial_accumulator_value)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused})


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012)."""

    rule = rules.ADADELTA

    def __init__(self, params: Any, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
                 foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
                 differentiable: bool = False) -> None:
        _check("Adadelta", lr=lr, eps=eps, weight_decay=weight_decay)
        _check("Adadelta", high=1.0 + 1e-15, rho=rho)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable})


class ASGD(Optimizer):
    """Averaged stochastic gradient descent (Polyak and Juditsky 1992)."""

    rule = rules.ASGD

    def __init__(self, params: Any, lr: Any = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
                 weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False) -> None:
        _check("ASGD", lr=lr, weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})


class Rprop(Optimizer):
    """Resilient backpropagation (Riedmiller and Braun 1993)."""

    rule = rules.RPROP

    def __init__(self, params: Any, lr: Any = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
                 step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False, foreach: bool | None = None,
                 maximize: bool = False, differentiable: bool = False) -> None:
        _check("Rprop", lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError_(message(f"Rprop: Invalid eta values: {etas[0]}, {etas[1]}", [("etas", repr(etas))],
                                      "they must be below and above 1"))
        super().__init__(params, {
            "lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes), "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable})


class Adafactor(Optimizer):
    """Adafactor: a factored second moment (Shazeer and Stern 2018)."""

    rule = rules.ADAFACTOR

    def __init__(self, params: Any, lr: Any = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
                 foreach: bool | None = None, maximize: bool = False) -> None:
        _check("Adafactor", lr=lr, weight_decay=weight_decay, eps2=eps[1], eps1=0.0 if eps[0] is None else eps[0])
        _check("Adafactor", low=1.0, d=d)
        _check("Adafactor", low=float("-inf"), high=5e-324, beta2_decay=beta2_decay)
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": tuple(eps), "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize})


class Muon(Optimizer):
    """Muon: orthogonalised momentum, for matrices (Jordan et al. 2024)."""

    rule = rules.MUON

    def __init__(self, params: Any, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
                 nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
                 eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None) -> None:
        _check("Muon", lr=lr, weight_decay=weight_decay, momentum=momentum)
        _check("Muon", high=100, ns_steps=ns_steps)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError_(message("Muon: no such learning rate adjustment", [("adjust_lr_fn", repr(adjust_lr_fn))],
                                      "one of None, 'original', 'match_rms_adamw'"))
        if len(ns_coefficients) != 3:
            raise ValueError_(message("Muon: ns_coefficients must be three numbers",
                                      [("ns_coefficients", repr(ns_coefficients))]))
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": tuple(ns_coefficients), "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ShapeError(message("Muon only supports 2D parameters", [("param", repr(p.info.type))],
                                             "give vectors and kernels to another optimiser, for example AdamW"))
