"""Averages of weights along training: exponential (EMA) and stochastic weight averaging (Izmailov et al. 2018)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

from pullback.engine.control import no_grad
from pullback.engine.tensor import from_host
from pullback.ir.dtypes import int64
from pullback.nn.module import Module
from pullback.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from pullback.optim.lr_scheduler import LRScheduler
from pullback.util.errors import ValueError_, message


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """All averages at once: decay * average + (1 - decay) * new."""
    _check_decay(decay)

    def update(averaged: list[Any], current: list[Any], _: Any) -> None:
        for old, new in zip(averaged, current, strict=True):
            old.lerp_(new, 1 - decay) if old.is_floating_point() else old.copy_(new)

    return update


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """All averages at once: the mean of all values so far."""

    def update(averaged: list[Any], current: list[Any], num_averaged: Any) -> None:
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 / (int(num_averaged) + 1))
            else:
                old.copy_(new)

    return update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Any]:
    """decay * average + (1 - decay) * new."""
    _check_decay(decay)
    return lambda average, current, num_averaged: decay * average + (1 - decay) * current


def get_swa_avg_fn() -> Callable[..., Any]:
    """The mean of all values so far."""
    return lambda average, current, num_averaged: average + (current - average) / (num_averaged + 1)


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError_(message(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.",
                                  [("decay", repr(decay))]))


class AveragedModel(Module):
    """A copy of a model whose parameters are averages: the mean by default, EMA with `get_ema_multi_avg_fn()`.

    >>> import pullback as pb
    >>> model = pb.nn.Linear(2, 1)
    >>> average = pb.train.swa_utils.AveragedModel(model)
    >>> average.update_parameters(model)
    >>> int(average.n_averaged)
    1
    """

    def __init__(self, model: Module, device: Any = None, avg_fn: Any = None, multi_avg_fn: Any = None,
                 use_buffers: bool = False) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError_(message("Only one of avg_fn and multi_avg_fn should be provided", []))
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", from_host(0, int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.module(*args, **options)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of a model into the averages."""
        own, new = self.module, model
        pairs = list(zip(own.parameters(), new.parameters(), strict=True))
        buffers = list(zip(own.buffers(), new.buffers(), strict=True))
        if self.use_buffers:
            pairs += buffers
        with no_grad():
            if int(self.n_averaged) == 0:
                for old, current in pairs:
                    old.copy_(current.detach())
            elif self.avg_fn is not None:
                for old, current in pairs:
                    old.copy_(self.avg_fn(old.detach(), current.detach(), self.n_averaged))
            else:
                update = self.multi_avg_fn or get_swa_multi_avg_fn()
                update([p[0] for p in pairs], [p[1].detach() for p in pairs], self.n_averaged)
            if not self.use_buffers:
                for old, current in buffers:
                    old.copy_(current.detach())
            self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of all batch norms anew, by one pass over data."""
    norms = [m for m in model.modules() if isinstance(m, (BatchNorm1d, BatchNorm2d, BatchNorm3d))]
    if not norms:
        return
    before, training = [m.momentum for m in norms], model.training
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    model.train()
    with no_grad():
        for batch in loader:
            model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    for m, momentum in zip(norms, before, strict=True):
        m.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """From each group's learning rate to `swa_lr` in `anneal_epochs`, then constant."""

    def __init__(self, optimizer: Any, swa_lr: Any, anneal_epochs: int = 10, anneal_strategy: str = "cos",
                 last_epoch: int = -1) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError_(message("anneal_strategy must by one of 'cos' or 'linear'",
                                      [("anneal_strategy", repr(anneal_strategy))]))
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError_(message("anneal_epochs must be equal or greater than 0",
                                      [("anneal_epochs", repr(anneal_epochs))]))
        rates = list(swa_lr) if isinstance(swa_lr, (list, tuple)) else [swa_lr] * len(optimizer.param_groups)
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = float(rate)
        self.anneal_epochs, self._cosine = anneal_epochs, anneal_strategy == "cos"
        super().__init__(optimizer, last_epoch)

    def _share(self, t: float) -> float:
        return (1 - math.cos(math.pi * t)) / 2 if self._cosine else t

    def get_lr(self) -> list[float]:
        """The rates of this epoch, from those of the one before."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before = max(0.0, min(1.0, (step - 1) / max(1, self.anneal_epochs)))
        now = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        old, new = self._share(before), self._share(now)
        rates: list[float] = []
        for group in self.optimizer.param_groups:
            target, rate = group["swa_lr"], float(group["lr"])
            first = target if old == 1 else (rate - old * target) / (1 - old)
            rates.append(target * new + first * (1 - new))
        return rates
