"""The update formulae, one function per optimiser, on expressions.

A rule sees one parameter `p`, its gradient `g`, its state `s` (attributes are replaced by their new values), the
numbers `h` of its group and the structure flags `f`, and returns the new parameter. `h.step` is the step count,
starting from 1, in float64. Numbers are inputs of the compiled program; flags are part of its structure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pullback.api.data_types import finfo
from pullback.ir.dtypes import bfloat16, float32
from pullback.optim.expr import (
    Expr,
    absolute,
    cast,
    double,
    fma,
    lerp,
    matmul,
    maximum,
    minimum,
    norm,
    rsqrt,
    sign,
    sqrt,
    total,
    transpose,
    where,
)

Group = Mapping[str, Any]


class Bag:
    """Named values."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


@dataclass(frozen=True)
class Slot:
    """One tensor of state per parameter: its first value, its shape from the parameter's, and the smallest and largest
    rank of parameters that have it."""

    name: str
    start: Callable[[Group], float] = lambda group: 0.0
    shape: Callable[[tuple[int, ...]], tuple[int, ...]] = lambda shape: shape
    rank: tuple[int, int] = (0, 64)


@dataclass(frozen=True)
class Rule:
    """An optimiser as a pure function.

    `numbers(group)` are its dynamic scalars, named by `names`; `flags(group)` its structure; `slots(group)` the state
    tensors of a parameter; `shared` the names and first values of scalars that all parameters of a group share.
    `on_rows(group)` says of sparse gradients whether rows without one stay as they are; None: they are refused.
    `real_only`: there is no step of complex parameters; elsewhere their two parts are stepped as real numbers.
    """

    name: str
    update: Callable[[Expr, Expr, Any, Any, Any], Expr]
    names: tuple[str, ...]
    numbers: Callable[[Group], tuple[Any, ...]]
    flags: Callable[[Group], tuple[tuple[str, Any], ...]]
    slots: Callable[[Group], tuple[Slot, ...]]
    shared: Callable[[Group], tuple[tuple[str, Callable[[Group], float]], ...]]
    defaults: tuple[tuple[str, Any], ...] = ()
    on_rows: Callable[[Group], bool] | None = None
    real_only: bool = False


def _zero(group: Group) -> float:
    return 0.0


def _one(group: Group) -> float:
    return 1.0


STEP = ("step", _zero)


def _stepped(group: Group) -> tuple[Any, ...]:
    return (STEP,)


def _stateless(group: Group) -> tuple[Any, ...]:
    return ()


def _common(group: Group) -> tuple[tuple[str, Any], ...]:
    return (("decay", group["weight_decay"] != 0), ("maximize", group["maximize"]))


def _gradient(p: Expr, g: Expr, h: Any, f: Any) -> Expr:
    """The gradient with its sign and weight decay."""
    if f.maximize:
        g = -g
    return g + p * h.weight_decay if f.decay else g


# -- SGD -------------------------------------------------------------------------------------------------------------


def sgd(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Robbins and Monro 1951; momentum as in Sutskever et al. 2013."""
    g = _gradient(p, g, h, f)
    if f.momentum:
        buffer = s.momentum_buffer * h.momentum
        if f.damped:
            s.momentum_buffer = where(s.step == 1.0, g, buffer + g * (1 - h.dampening))
        else:
            s.momentum_buffer = buffer + g
        g = g + s.momentum_buffer * h.momentum if f.nesterov else s.momentum_buffer
    return p - g * h.lr


SGD = Rule(
    "SGD", sgd, ("lr", "momentum", "dampening", "weight_decay"),
    lambda g: (g["lr"], g["momentum"], g["dampening"], g["weight_decay"]),
    lambda g: (*_common(g), ("momentum", g["momentum"] != 0), ("nesterov", g["nesterov"]),
               ("damped", g["dampening"] != 0)),
    lambda g: (Slot("momentum_buffer"),) if g["momentum"] != 0 else (),
    lambda g: (STEP,) if g["momentum"] != 0 and g["dampening"] != 0 else (),
    (("lr", 1e-3), ("momentum", 0), ("dampening", 0), ("weight_decay", 0), ("nesterov", False),
              ("maximize", False)), lambda g: g["momentum"] == 0)


# -- Adam and its relatives ------------------------------------------------------------------------------------------


def _decayed(p: Expr, g: Expr, h: Any, f: Any) -> tuple[Expr, Expr]:
    """Parameter and gradient after weight decay, decoupled or not."""
    if f.maximize:
        g = -g
    if not f.decay:
        return p, g
    return (p * (1 - h.lr * h.weight_decay), g) if f.decoupled else (p, g + p * h.weight_decay)


def _moments(g: Expr, s: Any, h: Any) -> None:
    s.exp_avg = lerp(s.exp_avg, g, 1 - h.beta1)
    s.exp_avg_sq = s.exp_avg_sq * h.beta2 + g * (1 - h.beta2) * g


def adam(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Kingma and Ba 2015; decoupled decay (AdamW): Loshchilov and Hutter 2019; amsgrad: Reddi et al. 2018."""
    p, g = _decayed(p, g, h, f)
    _moments(g, s, h)
    correction1 = 1 - h.beta1 ** h.step
    correction2 = sqrt(1 - h.beta2 ** h.step)
    second = s.exp_avg_sq
    if f.amsgrad:
        s.max_exp_avg_sq = second = maximum(s.max_exp_avg_sq, second)
    return p - s.exp_avg * (h.lr / correction1) / (sqrt(second) / correction2 + h.eps)


def _adam_slots(group: Group) -> tuple[Slot, ...]:
    two = (Slot("exp_avg"), Slot("exp_avg_sq"))
    return (*two, Slot("max_exp_avg_sq")) if group.get("amsgrad") else two


def _adam_numbers(group: Group) -> tuple[Any, ...]:
    beta1, beta2 = group["betas"]
    return group["lr"], beta1, beta2, group["eps"], group["weight_decay"]


ADAM_NAMES = ("lr", "beta1", "beta2", "eps", "weight_decay")


def _adam_flags(group: Group) -> tuple[tuple[str, Any], ...]:
    return (("decay", group["weight_decay"] != 0), ("maximize", group["maximize"]), ("amsgrad", group["amsgrad"]),
            ("decoupled", group["decoupled_weight_decay"]))


_ADAM_DEFAULTS = (("lr", 1e-3), ("betas", (0.9, 0.999)), ("eps", 1e-8), ("weight_decay", 0), ("amsgrad", False),
                  ("maximize", False), ("decoupled_weight_decay", False))
ADAM = Rule("Adam", adam, ADAM_NAMES, _adam_numbers, _adam_flags, _adam_slots, _stepped, _ADAM_DEFAULTS)
ADAMW = Rule("AdamW", adam, ADAM_NAMES, _adam_numbers, _adam_flags, _adam_slots, _stepped,
             tuple({**dict(_ADAM_DEFAULTS), "weight_decay": 1e-2, "decoupled_weight_decay": True}.items()))


def sparse_adam(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Adam of the rows that have a gradient; `eps` is added before the moments are corrected."""
    g = -g if f.maximize else g
    s.exp_avg = s.exp_avg + (g - s.exp_avg) * (1 - h.beta1)
    s.exp_avg_sq = s.exp_avg_sq + (g * g - s.exp_avg_sq) * (1 - h.beta2)
    rate = h.lr * sqrt(1 - h.beta2 ** h.step) / (1 - h.beta1 ** h.step)
    return p - s.exp_avg / (sqrt(s.exp_avg_sq) + h.eps) * rate


SPARSE_ADAM = Rule(
    "SparseAdam", sparse_adam, ("lr", "beta1", "beta2", "eps"), lambda g: (g["lr"], *g["betas"], g["eps"]),
    lambda g: (("maximize", g["maximize"]),), _adam_slots, _stepped,
    (("lr", 1e-3), ("betas", (0.9, 0.999)), ("eps", 1e-8), ("maximize", False)), lambda g: True)


def nadam(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Dozat 2016."""
    p, g = _decayed(p, g, h, f)
    mu = h.beta1 * (1.0 - 0.5 * (0.96 ** (h.step * h.momentum_decay)))
    mu_next = h.beta1 * (1.0 - 0.5 * (0.96 ** ((h.step + 1) * h.momentum_decay)))
    s.mu_product = s.mu_product * cast(mu, s.mu_product.dtype)
    product = double(s.mu_product)
    _moments(g, s, h)
    denominator = sqrt(s.exp_avg_sq / (1 - h.beta2 ** h.step)) + h.eps
    p = p + g * (-h.lr * (1.0 - mu) / (1.0 - product)) / denominator
    return p + s.exp_avg * ((-h.lr * mu_next) / (1.0 - product * mu_next)) / denominator


NADAM = Rule(
    "NAdam", nadam, (*ADAM_NAMES, "momentum_decay"), lambda g: (*_adam_numbers(g), g["momentum_decay"]),
    lambda g: (*_common(g), ("decoupled", g["decoupled_weight_decay"])), _adam_slots,
    lambda g: (STEP, ("mu_product", _one)),
    (("lr", 2e-3), ("betas", (0.9, 0.999)), ("eps", 1e-8), ("weight_decay", 0), ("momentum_decay", 4e-3),
     ("maximize", False), ("decoupled_weight_decay", False)))


def radam(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Liu et al. 2020."""
    p, g = _decayed(p, g, h, f)
    _moments(g, s, h)
    power = h.beta2 ** h.step
    correction2 = 1 - power
    limit = 2 / (1 - h.beta2) - 1
    length = limit - 2 * h.step * power / correction2
    known = maximum(length, 5.0)  # where the variance is known, else any number that keeps the root real
    rectified = sqrt((known - 4) * (known - 2) * limit / ((limit - 4) * (limit - 2) * known))
    average = s.exp_avg / (1 - h.beta1 ** h.step) * h.lr
    adaptive = sqrt(correction2) / (sqrt(s.exp_avg_sq) + h.eps)
    return p - where(length > 5.0, average * adaptive * rectified, average)


RADAM = Rule(
    "RAdam", radam, ADAM_NAMES, _adam_numbers, lambda g: (*_common(g), ("decoupled", g["decoupled_weight_decay"])),
    _adam_slots, _stepped,
    (("lr", 1e-3), ("betas", (0.9, 0.999)), ("eps", 1e-8), ("weight_decay", 0), ("maximize", False),
     ("decoupled_weight_decay", False)))


def adamax(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Kingma and Ba 2015, section 7.1."""
    g = _gradient(p, g, h, f)
    s.exp_avg = lerp(s.exp_avg, g, 1 - h.beta1)
    s.exp_inf = maximum(s.exp_inf * h.beta2, absolute(g) + h.eps)
    return p - s.exp_avg * (h.lr / (1 - h.beta1 ** h.step)) / s.exp_inf


ADAMAX = Rule(
    "Adamax", adamax, ADAM_NAMES, _adam_numbers, _common, lambda g: (Slot("exp_avg"), Slot("exp_inf")), _stepped,
    (("lr", 2e-3), ("betas", (0.9, 0.999)), ("eps", 1e-8), ("weight_decay", 0), ("maximize", False)))


def lion(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Chen et al. 2023, algorithm 2."""
    if f.maximize:
        g = -g
    if f.decay:
        p = p * (1 - h.lr * h.weight_decay)
    direction = sign(s.exp_avg * h.beta1 + g * (1 - h.beta1))
    s.exp_avg = s.exp_avg * h.beta2 + g * (1 - h.beta2)
    return p - direction * h.lr


LION = Rule(
    "Lion", lion, ("lr", "beta1", "beta2", "weight_decay"), lambda g: (g["lr"], *g["betas"], g["weight_decay"]),
    _common, lambda g: (Slot("exp_avg"),), _stateless,
    (("lr", 1e-4), ("betas", (0.9, 0.99)), ("weight_decay", 0), ("maximize", False)))


# -- RMSprop, Adagrad, Adadelta --------------------------------------------------------------------------------------


def rmsprop(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Hinton 2012, lecture 6e; centred: Graves 2013."""
    g = _gradient(p, g, h, f)
    s.square_avg = s.square_avg * h.alpha + g * (1 - h.alpha) * g
    average = s.square_avg
    if f.centered:
        s.grad_avg = lerp(s.grad_avg, g, 1 - h.alpha)
        average = average - s.grad_avg * s.grad_avg
    average = sqrt(average) + h.eps
    if f.momentum:
        s.momentum_buffer = s.momentum_buffer * h.momentum + g / average
        return p - s.momentum_buffer * h.lr
    return p - g * h.lr / average


def _rmsprop_slots(group: Group) -> tuple[Slot, ...]:
    slots = [Slot("square_avg")]
    if group["momentum"] > 0:
        slots.append(Slot("momentum_buffer"))
    if group["centered"]:
        slots.append(Slot("grad_avg"))
    return tuple(slots)


RMSPROP = Rule(
    "RMSprop", rmsprop, ("lr", "alpha", "eps", "weight_decay", "momentum"),
    lambda g: (g["lr"], g["alpha"], g["eps"], g["weight_decay"], g["momentum"]),
    lambda g: (*_common(g), ("momentum", g["momentum"] > 0), ("centered", g["centered"])), _rmsprop_slots, _stepped,
    (("lr", 1e-2), ("alpha", 0.99), ("eps", 1e-8), ("weight_decay", 0), ("momentum", 0), ("centered", False),
     ("maximize", False)))


def adagrad(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Duchi, Hazan and Singer 2011."""
    g = _gradient(p, g, h, f)
    rate = h.lr / (1 + (h.step - 1) * h.lr_decay)
    s.sum = s.sum + g * g
    return p - g * rate / (sqrt(s.sum) + h.eps)


ADAGRAD = Rule(
    "Adagrad", adagrad, ("lr", "lr_decay", "weight_decay", "eps"),
    lambda g: (g["lr"], g["lr_decay"], g["weight_decay"], g["eps"]), _common,
    lambda g: (Slot("sum", lambda group: float(group["initial_accumulator_value"])),), _stepped,
    (("lr", 1e-2), ("lr_decay", 0), ("weight_decay", 0), ("initial_accumulator_value", 0), ("eps", 1e-10),
     ("maximize", False)), lambda g: True)


def adadelta(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Zeiler 2012."""
    g = _gradient(p, g, h, f)
    s.square_avg = s.square_avg * h.rho + g * (1 - h.rho) * g
    delta = sqrt(s.acc_delta + h.eps) / sqrt(s.square_avg + h.eps) * g
    s.acc_delta = s.acc_delta * h.rho + delta * (1 - h.rho) * delta
    return p - delta * h.lr


ADADELTA = Rule(
    "Adadelta", adadelta, ("lr", "rho", "eps", "weight_decay"),
    lambda g: (g["lr"], g["rho"], g["eps"], g["weight_decay"]), _common,
    lambda g: (Slot("square_avg"), Slot("acc_delta")), _stepped,
    (("lr", 1.0), ("rho", 0.9), ("eps", 1e-6), ("weight_decay", 0), ("maximize", False)))


# -- ASGD, Rprop -----------------------------------------------------------------------------------------------------


def asgd(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Polyak and Juditsky 1992, with the schedule of Bottou's sgd."""
    g = _gradient(p, g, h, f)
    eta = double(s.eta)
    p = p * (1 - h.lambd * eta) - g * eta
    s.ax = where(s.mu == 1.0, p, s.ax + (p - s.ax) * s.mu)
    s.eta = cast(h.lr / ((1 + h.lambd * h.lr * h.step) ** h.alpha), s.eta.dtype)
    s.mu = cast(1 / maximum(h.step - h.t0, 1.0), s.mu.dtype)
    return p


ASGD = Rule(
    "ASGD", asgd, ("lr", "lambd", "alpha", "t0", "weight_decay"),
    lambda g: (g["lr"], g["lambd"], g["alpha"], g["t0"], g["weight_decay"]), _common, lambda g: (Slot("ax"),),
    lambda g: (STEP, ("eta", lambda group: float(group["lr"])), ("mu", _one)),
    (("lr", 1e-2), ("lambd", 1e-4), ("alpha", 0.75), ("t0", 1e6), ("weight_decay", 0), ("maximize", False)))


def rprop(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Riedmiller and Braun 1993."""
    if f.maximize:
        g = -g
    agreement = g * s.prev
    slower = where(agreement < 0.0, cast(h.eta_minus, g.dtype), 1.0)
    factor = where(agreement > 0.0, cast(h.eta_plus, g.dtype), slower)
    s.step_size = minimum(maximum(s.step_size * factor, h.smallest), h.largest)
    g = where(agreement < 0.0, 0.0, g)
    s.prev = g
    return p - sign(g) * s.step_size


RPROP = Rule(
    "Rprop", rprop, ("lr", "eta_minus", "eta_plus", "smallest", "largest"),
    lambda g: (g["lr"], *g["etas"], *g["step_sizes"]), lambda g: (("maximize", g["maximize"]),),
    lambda g: (Slot("prev"), Slot("step_size", lambda group: float(group["lr"]))), _stepped,
    (("lr", 1e-2), ("etas", (0.5, 1.2)), ("step_sizes", (1e-6, 50)), ("maximize", False)))


# -- Adafactor, Muon -------------------------------------------------------------------------------------------------


def _lerp_any(start: Expr, end: Expr, weight: Expr) -> Expr:
    """Interpolation that is exact at both ends."""
    return where(weight < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight))


def adafactor(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Shazeer and Stern 2018."""
    if f.maximize:
        g = -g
    small = finfo(f.dtype).eps if f.eps1_default else h.eps1
    weight = h.step ** h.beta2_decay
    size = max(math.prod(p.shape), 1)
    alpha = maximum(double(norm(p)) / size ** 0.5, h.eps2) * minimum(h.lr, 1 / sqrt(h.step))
    if f.decay:
        p = p * (1 - h.lr * h.weight_decay)
    if len(g.shape) > 1:
        squares = g * g
        s.row_var = _lerp_any(s.row_var, total(squares, -1) / g.shape[-1], weight)
        s.col_var = _lerp_any(s.col_var, total(squares, -2) / g.shape[-2], weight)
        estimate = s.row_var * s.col_var / maximum(total(s.row_var, -2) / g.shape[-2], small)
    else:
        s.variance = estimate = _lerp_any(s.variance, g * g, weight)
    update = rsqrt(maximum(estimate, small * small)) * g
    denominator = maximum(double(norm(update)) / (h.d * size ** 0.5), 1.0)
    return p - update * (alpha / denominator)


def _adafactor_numbers(group: Group) -> tuple[Any, ...]:
    eps1, eps2 = group["eps"]
    return group["lr"], group["beta2_decay"], eps1 or 0.0, eps2, group["d"], group["weight_decay"]


ADAFACTOR = Rule(
    "Adafactor", adafactor, ("lr", "beta2_decay", "eps1", "eps2", "d", "weight_decay"), _adafactor_numbers,
    lambda g: (*_common(g), ("eps1_default", g["eps"][0] is None)),
    lambda g: (Slot("row_var", shape=lambda n: (*n[:-1], 1), rank=(2, 64)),
               Slot("col_var", shape=lambda n: (*n[:-2], 1, n[-1]), rank=(2, 64)), Slot("variance", rank=(0, 1))),
    _stepped,
    (("lr", 1e-2), ("beta2_decay", -0.8), ("eps", (None, 1e-3)), ("d", 1.0), ("weight_decay", 0.0),
     ("maximize", False)), real_only=True)


def _orthogonalised(g: Expr, h: Any, f: Any) -> Expr:
    """Newton-Schulz iteration towards the nearest orthogonal matrix, in bfloat16 (rounded after each product)."""
    a, b, c = f.ns_coefficients
    tall = g.shape[0] > g.shape[1]

    def rounded(x: Expr) -> Expr:
        return cast(cast(x, bfloat16), float32)

    x = rounded(g)
    x = transpose(x) if tall else x
    x = rounded(x / maximum(rounded(norm(x)), f.eps))
    for _ in range(f.ns_steps):
        gram = rounded(matmul(x, transpose(x)))
        x = rounded(fma(x, a, matmul(rounded(fma(gram, b, matmul(gram, gram) * c)), x)))
    return transpose(x) if tall else x


def muon(p: Expr, g: Expr, s: Any, h: Any, f: Any) -> Expr:
    """Jordan et al. 2024."""
    s.momentum_buffer = lerp(s.momentum_buffer, g, 1 - h.momentum)
    update = g + h.momentum * (s.momentum_buffer - g) if f.nesterov else s.momentum_buffer
    direction = cast(_orthogonalised(update, h, f), p.dtype)
    rows, columns = p.shape
    if f.adjust in (None, "original"):
        ratio = math.sqrt(max(1.0, rows / columns))
    else:
        ratio = 0.2 * math.sqrt(max(rows, columns))
    return p * (1 - h.lr * h.weight_decay) - direction * (h.lr * ratio)


MUON = Rule(
    "Muon", muon, ("lr", "weight_decay", "momentum"), lambda g: (g["lr"], g["weight_decay"], g["momentum"]),
    lambda g: (("nesterov", g["nesterov"]), ("ns_coefficients", tuple(g["ns_coefficients"])), ("eps", g["eps"]),
               ("ns_steps", g["ns_steps"]), ("adjust", g["adjust_lr_fn"])),
    lambda g: (Slot("momentum_buffer"),), _stateless,
    (("lr", 1e-3), ("weight_decay", 0.1), ("momentum", 0.95), ("nesterov", True),
     ("ns_coefficients", (3.4445, -4.7750, 2.0315)), ("eps", 1e-7), ("ns_steps", 5), ("adjust_lr_fn", None)),
    real_only=True)

RULES = {r.name: r for r in (SGD, ADAM, ADAMW, NADAM, RADAM, ADAMAX, LION, RMSPROP, ADAGRAD, ADADELTA, ASGD, RPROP,
                             ADAFACTOR, MUON, SPARSE_ADAM)}
