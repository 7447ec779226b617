"""Learning rate schedules, with PyTorch's names, arguments and recursions.

A scheduler changes `lr` in the groups of its optimiser. Most multiply the present rate, so that several can act on one
optimiser; `closed_form` gives the rate at any epoch from the first one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from pullback.engine.tensor import TensorBase, from_host
from pullback.optim.optimizer import Optimizer
from pullback.util.errors import ArgumentError, KeyError_, ValueError_, message


def _set(group: dict[str, Any], rate: float) -> None:
    """Give a group its rate; a tensor keeps its identity."""
    present = group["lr"]
    if isinstance(present, TensorBase):
        present.assign_value(from_host(rate, present.dtype)._peek())
    else:
        group["lr"] = rate


def _rates(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def _each(name: str, optimizer: Optimizer, value: Any) -> list[float]:
    """One number per group."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError_(message(f"expected {count} values for {name}, got {len(value)}",
                                  help="one number for all groups, or one for each"))
    return list(value)


def _optimizer(owner: Any, optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(message(f"{type(owner).__name__}: {type(optimizer).__name__} is not an Optimizer",
                                    help="the first argument is the optimiser whose learning rate is scheduled"))
    return optimizer


class LRScheduler:
    """Base class: `get_lr()` returns the rate of every group for `last_epoch`."""

    #: rate at an epoch from the first rate, where there is such a formula
    closed_form: Callable[[float, int], float] | None = None

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = _optimizer(self, optimizer)
        for k, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError_(message(f"param 'initial_lr' is not specified in param_groups[{k}]",
                                        [("last_epoch", str(last_epoch))],
                                        "load the optimiser's state dict before resuming a schedule"))
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr = _rates(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch (or to `epoch`)."""
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if epoch is not None and self.closed_form is not None:
            rates = [self.closed_form(base, epoch) for base in self.base_lrs]
        else:
            rates = self.get_lr()
        self._apply(rates)

    def _apply(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            _set(group, rate)
        self._last_lr = _rates(self.optimizer)

    def get_lr(self) -> list[float]:
        """The rate of every group at `last_epoch`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rates set last."""
        return self._last_lr

    def _scaled(self, factor: float) -> list[float]:
        return [float(group["lr"]) * factor for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimiser and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave."""
        self.__dict__.update(state_dict)


class _ByFunction(LRScheduler):
    """Rates by a function of the epoch for each group. Functions are not saved; objects that are called are, by their
    attributes, as in PyTorch, whose state dicts are read too."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self.lr_lambdas: list[Any] = _each("lr_lambda", _optimizer(self, optimizer), lr_lambda)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        saved = [dict(vars(f)) if hasattr(f, "__dict__") and not isinstance(f, FunctionType) else None
                 for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict.get("lr_lambdas") or [None] * len(self.lr_lambdas)
        if len(saved) != len(self.lr_lambdas):
            raise ValueError_(message(f"{type(self).__name__}: the state is of another number of functions",
                                      [("saved", str(len(saved))), ("here", str(len(self.lr_lambdas)))],
                                      "build the schedule with the same groups first"))
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for f, attributes in zip(self.lr_lambdas, saved, strict=True):
            if attributes is not None:
                vars(f).update(attributes)


class LambdaLR(_ByFunction):
    """The first rate times `lr_lambda(epoch)`."""

    def get_lr(self) -> list[float]:
        return [base * f(self.last_epoch) for f, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_ByFunction):
    """The present rate times `lr_lambda(epoch)`."""

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return _rates(self.optimizer)
        return [r * f(self.last_epoch) for f, r in zip(self.lr_lambdas, _rates(self.optimizer), strict=True)]


class StepLR(LRScheduler):
    """Times `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if step_size <= 0:
            raise ValueError_(message("StepLR: step_size must be positive", [("step_size", repr(step_size))]))
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._scaled(self.gamma if self.last_epoch and self.last_epoch % self.step_size == 0 else 1.0)

    def closed_form(self, base: float, epoch: int) -> float:
        return base * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """Times `gamma` at each of the `milestones`."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1,
                 last_epoch: int = -1) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._scaled(self.gamma ** self.milestones.get(self.last_epoch, 0))

    def closed_form(self, base: float, epoch: int) -> float:
        return base * self.gamma ** bisect_right(sorted(self.milestones.elements()), epoch)


class ConstantLR(LRScheduler):
    """`factor` times the rate for the first `total_iters` epochs."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5,
                 last_epoch: int = -1) -> None:
        _fraction("ConstantLR", factor=factor)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        return self._scaled(1.0 / self.factor if self.last_epoch == self.total_iters else 1.0)

    def closed_form(self, base: float, epoch: int) -> float:
        return base * (self.factor + (epoch >= self.total_iters) * (1 - self.factor))


class LinearLR(LRScheduler):
    """From `start_factor` to `end_factor` times the rate over `total_iters` epochs."""

    def __init__(self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0,
                 total_iters: int = 5, last_epoch: int = -1) -> None:
        if start_factor == 0:
            raise ValueError_(message("LinearLR: start_factor must be greater than 0", [("start_factor", "0")]))
        _fraction("LinearLR", start_factor=start_factor, end_factor=end_factor)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._scaled(1.0)
        slope = self.end_factor - self.start_factor
        return self._scaled(1.0 + slope / (self.total_iters * self.start_factor + (self.last_epoch - 1) * slope))

    def closed_form(self, base: float, epoch: int) -> float:
        slope = self.end_factor - self.start_factor
        return base * (self.start_factor + slope * min(self.total_iters, epoch) / self.total_iters)


class ExponentialLR(LRScheduler):
    """Times `gamma` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._scaled(1.0 if self._is_initial else self.gamma)

    def closed_form(self, base: float, epoch: int) -> float:
        return base * self.gamma ** epoch


class PolynomialLR(LRScheduler):
    """Down to zero in `total_iters` epochs along a polynomial."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._scaled(1.0)
        n = self.total_iters
        return self._scaled(((1.0 - self.last_epoch / n) / (1.0 - (self.last_epoch - 1) / n)) ** self.power)

    def closed_form(self, base: float, epoch: int) -> float:
        return base * (1.0 - min(self.total_iters, epoch) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """Along half a cosine of `T_max` epochs from the first rate to `eta_min`, and back."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = _rates(self.optimizer)
        t, low = self.T_max, self.eta_min
        if self._is_initial:
            return rates
        if self._step_count == 1 and self.last_epoch > 0:
            return [low + (base - low) * (1 + math.cos(self.last_epoch * math.pi / t)) / 2 for base in self.base_lrs]
        if (self.last_epoch - 1 - t) % (2 * t) == 0:
            return [rate + (base - low) * (1 - math.cos(math.pi / t)) / 2
                    for base, rate in zip(self.base_lrs, rates, strict=True)]
        ratio = (1 + math.cos(math.pi * self.last_epoch / t)) / (1 + math.cos(math.pi * (self.last_epoch - 1) / t))
        return [ratio * (rate - low) + low for rate in rates]

    def closed_form(self, base: float, epoch: int) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine of `T_0` epochs, begun again and again, each `T_mult` times as long as the one before."""

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0,
                 last_epoch: int = -1) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError_(message(f"Expected positive integer T_0, but got {T_0}"))
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError_(message(f"Expected integer T_mult >= 1, but got {T_mult}"))
        self.T_0, self.T_i, self.T_mult, self.eta_min, self.T_cur = T_0, T_0, T_mult, eta_min, last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        wave = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * wave / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Go to the next epoch (or to `epoch`, which may be a fraction)."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._jump(epoch)
        self.last_epoch = math.floor(epoch)
        self._apply(self.get_lr())

    def _jump(self, epoch: float) -> None:
        if epoch < 0:
            raise ValueError_(message(f"Expected non-negative epoch, but got {epoch}"))
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch  # type: ignore[assignment]
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0  # type: ignore[assignment]
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult ** n - 1) / (self.T_mult - 1)  # type: ignore[assignment]
            self.T_i = self.T_0 * self.T_mult ** n


def _fraction(owner: str, **values: float) -> None:
    for name, value in values.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError_(message(f"{owner}: {name} must be between 0 and 1", [(name, repr(value))]))


class _Momentum:
    """Momentum (or the first beta) that moves against the learning rate."""

    def __init__(self, optimizer: Optimizer, base: Any, top: Any, first: bool) -> None:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError_(message("optimizer must support momentum or beta1 with `cycle_momentum` option enabled",
                                      [("optimizer", type(optimizer).__name__)], "pass cycle_momentum=False"))
        self.use_beta1 = "betas" in optimizer.defaults
        self.base = _each("base_momentum", optimizer, base)
        self.top = _each("max_momentum", optimizer, top)
        if first:
            for group, low, high in zip(optimizer.param_groups, self.base, self.top, strict=True):
                self.put(group, high)
                group["max_momentum"], group["base_momentum"] = high, low

    def put(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(LRScheduler):
    """Up and down between `base_lr` and `max_lr` (Smith 2017)."""

    def __init__(self, optimizer: Optimizer, base_lr: Any, max_lr: Any, step_size_up: int = 2000,
                 step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
                 scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle",
                 cycle_momentum: bool = True, base_momentum: Any = 0.8,
                 max_momentum: Any = 0.9, last_epoch: int = -1) -> None:
        base_lrs = _each("base_lr", _optimizer(self, optimizer), base_lr)
        if last_epoch == -1:
            for rate, group in zip(base_lrs, optimizer.param_groups, strict=True):
                _set(group, rate)
        self.max_lrs = _each("max_lr", optimizer, max_lr)
        down = float(step_size_up if step_size_down is None else step_size_down)
        self.total_size = float(step_size_up) + down
        self.step_ratio = float(step_size_up) / self.total_size
        modes: dict[str, tuple[Callable[[float], float], str]] = {
            "triangular": (lambda x: 1.0, "cycle"), "triangular2": (lambda x: 1 / 2.0 ** (x - 1), "cycle"),
            "exp_range": (lambda x: gamma ** x, "iterations")}
        if scale_fn is None and mode not in modes:
            raise ValueError_(message("CyclicLR: mode is invalid and scale_fn is None", [("mode", repr(mode))],
                                      "one of " + ", ".join(modes)))
        self.mode, self.gamma = mode, gamma
        self.scale_fn, self.scale_mode = (scale_fn, scale_mode) if scale_fn is not None else modes[mode]
        self.cycle_momentum = cycle_momentum
        self._momentum = _Momentum(optimizer, base_momentum, max_momentum, last_epoch == -1) if cycle_momentum else None
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self._momentum is not None:
            m = self._momentum
            for group, low, high in zip(self.optimizer.param_groups, m.base, m.top, strict=True):
                m.put(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "_momentum"}


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and down to almost nothing, once (Smith and Topin 2019)."""

    def __init__(self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
                 cycle_momentum: bool = True, base_momentum: Any = 0.85, max_momentum: Any = 0.95,
                 div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False,
                 last_epoch: int = -1) -> None:
        _optimizer(self, optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError_(message("You must define either total_steps OR (epochs AND steps_per_epoch)"))
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            raise ValueError_(message(f"Expected positive integer total_steps, but got {total_steps}"))
        if not 0 <= pct_start <= 1:
            raise ValueError_(message(f"Expected float between 0 and 1 pct_start, but got {pct_start}"))
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError_(message("anneal_strategy must be one of 'cos' or 'linear'",
                                      [("anneal_strategy", repr(anneal_strategy))]))
        self.total_steps, self.anneal_strategy, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        self._phases = _phases(total_steps, pct_start, three_phase)
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, _each("max_lr", optimizer, max_lr), strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self._momentum = _Momentum(optimizer, base_momentum, max_momentum, last_epoch == -1) if cycle_momentum else None
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: float, end: float, fraction: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * fraction + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * fraction) + 1)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError_(message(f"Tried to step {self.last_epoch} times",
                                      [("total_steps", str(self.total_steps))], "the cycle is over: make it longer"))
        start = 0.0
        for phase in self._phases:
            end = phase[0]
            if self.last_epoch <= end or end == self.total_steps - 1:
                break
            start = end
        end, rates, momenta = phase
        fraction = (self.last_epoch - start) / (end - start)
        found: list[float] = []
        for group in self.optimizer.param_groups:
            found.append(self._anneal(group[rates[0]], group[rates[1]], fraction))
            if self._momentum is not None:
                self._momentum.put(group, self._anneal(group[momenta[0]], group[momenta[1]], fraction))
        return found

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "_momentum"}


def _phases(total: int, fraction: float, three: bool) -> list[tuple[float, tuple[str, str], tuple[str, str]]]:
    """Where each phase ends, and between which rates and momenta it goes."""
    up = (float(fraction * total) - 1, ("initial_lr", "max_lr"), ("max_momentum", "base_momentum"))
    if not three:
        return [up, (total - 1, ("max_lr", "min_lr"), ("base_momentum", "max_momentum"))]
    return [up, (float(2 * fraction * total) - 2, ("max_lr", "initial_lr"), ("base_momentum", "max_momentum")),
            (total - 1, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum"))]


class _Several:
    """Schedulers of one optimiser."""

    def __init__(self, optimizer: Optimizer | None, schedulers: Sequence[Any]) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError_(message(f"{name} expects at least one scheduler"))
        self.optimizer: Optimizer = optimizer or schedulers[0].optimizer
        for k, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, (LRScheduler, _Several)):
                raise ArgumentError(message(f"{name}: not a scheduler that steps without a metric",
                                            [(f"schedulers[{k}]", type(scheduler).__name__)]))
            if scheduler.optimizer is not self.optimizer:
                raise ValueError_(message(f"{name} expects all schedulers to belong to the same optimizer",
                                          [(f"schedulers[{k}]", "has another one")]))
        self._schedulers = list(schedulers)
        self._last_lr = _rates(self.optimizer)

    def get_last_lr(self) -> list[float]:
        """The rates set last."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimiser; schedulers as their state dicts."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        return {**state, "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_Several):
    """One scheduler after the other; each takes over at its milestone."""

    def __init__(self, optimizer: Optimizer, schedulers: list[Any], milestones: list[int],
                 last_epoch: int = -1) -> None:
        super().__init__(_optimizer(self, optimizer), schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError_(message("SequentialLR expects one scheduler more than milestones",
                                      [("schedulers", str(len(schedulers))), ("milestones", str(len(milestones)))]))
        self._milestones, self.last_epoch = list(milestones), last_epoch + 1
        for group in optimizer.param_groups:
            _set(group, float(group["initial_lr"]))
        for scheduler in schedulers:
            _undo(scheduler)
        first = schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """Go to the next epoch."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def _undo(scheduler: Any) -> None:
    """Take back the step that a scheduler's construction made."""
    if isinstance(scheduler, _Several):
        for inner in scheduler._schedulers:
            _undo(inner)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_Several):
    """All schedulers at once."""

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        super().__init__(optimizer, schedulers)

    def _initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = _rates(self.optimizer)

    def _update_lr(self, epoch: int | None = None) -> None:
        for scheduler in self._schedulers:
            scheduler._update_lr(epoch)
        self._last_lr = _rates(self.optimizer)

    def step(self) -> None:
        """Step every scheduler."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = _rates(self.optimizer)


class ReduceLROnPlateau:
    """Times `factor` when a metric has not improved for `patience` epochs."""

    def __init__(self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
                 threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0, min_lr: Any = 0,
                 eps: float = 1e-8) -> None:
        if factor >= 1.0:
            raise ValueError_(message("ReduceLROnPlateau: factor must be below 1", [("factor", repr(factor))]))
        if mode not in ("min", "max"):
            raise ValueError_(message(f"mode {mode} is unknown!", help="'min' or 'max'"))
        if threshold_mode not in ("rel", "abs"):
            raise ValueError_(message(f"threshold mode {threshold_mode} is unknown!", help="'rel' or 'abs'"))
        self.optimizer = _optimizer(self, optimizer)
        self.mode, self.factor, self.patience, self.cooldown, self.eps = mode, factor, patience, cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.min_lrs = _each("min_lr", optimizer, min_lr)
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = _rates(optimizer)

    def step(self, metrics: Any, epoch: int | None = None) -> None:
        """Take note of a metric, and reduce the rate if it is time."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = _rates(self.optimizer)

    def _reduce(self) -> None:
        for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, low)
            if old - new > self.eps:
                _set(group, new)

    @property
    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def _is_better(self, value: float) -> bool:
        if self.threshold_mode == "rel":
            limit = self.best * (1.0 - self.threshold if self.mode == "min" else self.threshold + 1.0)
        else:
            limit = self.best + (-self.threshold if self.mode == "min" else self.threshold)
        return value < limit if self.mode == "min" else value > limit

    def get_last_lr(self) -> list[float]:
        """The rates set last."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimiser."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave."""
        self.__dict__.update(state_dict)
