"""L-BFGS: a quasi-Newton method with a closure, and the strong Wolfe line search.

The two-loop recursion is Nocedal 1980; the line search is Nocedal and Wright, algorithms 3.5 and 3.6, with the
constants and stopping rules of PyTorch's `LBFGS`. Directions live on the device as flat vectors; inner products come to
the host, where the decisions are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pullback.api._lazy import build
from pullback.api.complex_parts import complex_of_parts, parts_of
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import thread
from pullback.ir.node import Node
from pullback.optim import rules
from pullback.optim.expr import Expr, absolute, fma, total
from pullback.optim.functional import Raw
from pullback.optim.optimizer import Optimizer, _zeros_like
from pullback.util.errors import ArgumentError, ValueError_, message


def _real(x: Node) -> Node:
    """Complex numbers as their two parts."""
    return parts_of(x) if x.dtype.kind == "c" else x


def _flatten(*xs: Node) -> Node:
    return build.concat([build.reshape(x, (build.count(x.shape),)) for x in map(_real, xs)], 0)


def _move(t: Node, d: Node, *params: Node) -> tuple[Node, ...]:
    """params + t * d, piece by piece."""
    moved: list[Node] = []
    offset = 0
    for p in params:
        x = _real(p)
        size = build.count(x.shape)
        piece = build.reshape(build.slice_(d, (offset,), (offset + size,)), x.shape)
        new = fma(Expr(piece), Expr(t), Expr(x)).node
        moved.append(new if x is p else complex_of_parts(new))
        offset += size
    return tuple(moved)


def _raw(define: Callable[..., Any], name: str) -> Raw:
    return Raw(define, "none", False, False, name)


flatten = _raw(_flatten, "flatten")
move = _raw(_move, "move")
dot = _raw(lambda x, y: total(Expr(x) * Expr(y)).node, "dot")
combine = _raw(lambda x, y, t: fma(Expr(y), Expr(t), Expr(x)).node, "combine")
scale = _raw(lambda x, t: (Expr(x) * Expr(t)).node, "scale")
largest = _raw(lambda x: build.reduce("max", absolute(Expr(x)).node, (0,)), "largest")
total_size = _raw(lambda x: total(absolute(Expr(x))).node, "total_size")


@dataclass
class Point:
    """A trial step: its length, loss, gradient and directional derivative."""

    t: float
    loss: float
    gradient: Any
    slope: float


def cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Minimum of the cubic through two points with their slopes, within bounds."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    if a.t <= b.t:
        t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    else:
        t = a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2))
    return min(max(t, low), high)


class WolfeSearch:
    """A step length that satisfies the strong Wolfe conditions."""

    c1, c2, smallest_change = 1e-4, 0.9, 1e-9

    def __init__(self, evaluate: Callable[[float], Point], start: Point, size: float, budget: int) -> None:
        self.evaluate, self.start, self.size, self.budget = evaluate, start, size, budget
        self.evaluations = self.iterations = 0

    def trial(self, t: float) -> Point:
        self.evaluations += 1
        return self.evaluate(t)

    def too_high(self, point: Point) -> bool:
        return point.loss > self.start.loss + self.c1 * point.t * self.start.slope

    def flat(self, point: Point) -> bool:
        return abs(point.slope) <= -self.c2 * self.start.slope

    def run(self, t: float) -> Point:
        bracket, done = self.find_bracket(t)
        return bracket[0] if done else self.zoom(bracket)

    def find_bracket(self, t: float) -> tuple[list[Point], bool]:
        """Go outwards until a minimum is known to lie inside."""
        previous, point = self.start, self.trial(t)
        while self.iterations < self.budget:
            if self.too_high(point) or (self.iterations > 1 and point.loss >= previous.loss):
                return [previous, point], False
            if self.flat(point):
                return [point], True
            if point.slope >= 0:
                return [previous, point], False
            bounds = (point.t + 0.01 * (point.t - previous.t), point.t * 10)
            t = cubic_minimum(previous, point, bounds)
            previous, point = point, self.trial(t)
            self.iterations += 1
        return [self.start, point], False

    def zoom(self, bracket: list[Point]) -> Point:
        """Narrow the bracket down; the better end is returned."""
        low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
        stuck = False
        while self.iterations < self.budget:
            if abs(bracket[1].t - bracket[0].t) * self.size < self.smallest_change:
                break
            t, stuck = self.inside(bracket, cubic_minimum(bracket[0], bracket[1]), stuck)
            point = self.trial(t)
            self.iterations += 1
            if self.too_high(point) or point.loss >= bracket[low].loss:
                bracket[high] = point
                low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
                continue
            done = self.flat(point)
            if not done and point.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = point
            if done:
                break
        return bracket[low]

    def inside(self, bracket: list[Point], t: float, stuck: bool) -> tuple[float, bool]:
        """Keep a trial step away from the ends of the bracket when progress is insufficient."""
        first, last = min(p.t for p in bracket), max(p.t for p in bracket)
        margin = 0.1 * (last - first)
        if min(last - t, t - first) >= margin:
            return t, False
        if stuck or t >= last or t <= first:
            return (last - margin if abs(t - last) < abs(t - first) else first + margin), False
        return t, True


class LBFGS(Optimizer):
    """L-BFGS: `step(closure)` evaluates the loss several times.

    `line_search_fn` is None (fixed steps of `lr`) or "strong_wolfe". There can be one parameter group only.
    """

    rule = rules.SGD

    def __init__(self, params: Any, lr: Any = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = None) -> None:
        if not float(lr) >= 0.0:
            raise ValueError_(message(f"LBFGS: Invalid learning rate: {lr}", [("lr", repr(lr))]))
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError_(message("LBFGS: only 'strong_wolfe' is supported",
                                      [("line_search_fn", repr(line_search_fn))]))
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError_(message("LBFGS doesn't support per-parameter options (parameter groups)",
                                      [("groups", str(len(self.param_groups)))]))

    @property
    def _params(self) -> list[TensorBase]:
        return self.param_groups[0]["params"]

    def _gradient(self) -> Any:
        return flatten(*[p.grad if p.grad is not None else _zeros_like(p) for p in self._params])

    def _shift(self, t: float, d: Any) -> None:
        moved = move(float(t), d, *self._params)
        for p, new in zip(self._params, moved if isinstance(moved, tuple) else (moved,), strict=True):
            p.assign_value(new._peek())

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to `max_iter` iterations; returns the loss before the first."""
        if closure is None:
            raise ArgumentError(message("LBFGS: step needs a closure that computes the loss and its gradients",
                                        help="a closure clears gradients, computes the loss, calls backward() and "
                                             "returns it"))
        here = thread.context
        before = here.grad_enabled

        def evaluate() -> Any:
            here.grad_enabled = True
            try:
                return closure()
            finally:
                here.grad_enabled = False

        here.grad_enabled = False
        try:
            return self._iterate(evaluate)
        finally:
            here.grad_enabled = before

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss, gradient = float(first_loss), self._gradient()
        evaluations = 1
        state["func_evals"] += 1
        if float(largest(gradient)) <= group["tolerance_grad"]:
            return first_loss
        n = 0
        while n < group["max_iter"]:
            n += 1
            state["n_iter"] += 1
            d = self._direction(state, gradient, group["history_size"])
            state["prev_flat_grad"], previous = gradient, loss
            t = float(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(total_size(gradient)))
            slope = float(dot(gradient, d))
            state["d"], state["t"] = d, t
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                search = self._search(closure, d, Point(0.0, loss, gradient, slope), group["max_eval"] - evaluations)
                found = search.run(t)
                loss, gradient, t, spent = found.loss, found.gradient, found.t, search.evaluations
                self._shift(t, d)
            else:
                self._shift(t, d)
                spent = int(n != group["max_iter"])
                if spent:
                    loss, gradient = float(closure()), self._gradient()
            state["t"], state["prev_loss"] = t, previous
            evaluations += spent
            state["func_evals"] += spent
            if self._finished(group, n, evaluations, gradient, float(largest(d)) * abs(t), loss - previous):
                break
        return first_loss

    def _finished(self, group: dict[str, Any], n: int, evaluations: int, gradient: Any, moved: float,
                  change: float) -> bool:
        return (n == group["max_iter"] or evaluations >= group["max_eval"]
                or float(largest(gradient)) <= group["tolerance_grad"]
                or moved <= group["tolerance_change"] or abs(change) < group["tolerance_change"])

    def _direction(self, state: dict[str, Any], gradient: Any, limit: int) -> Any:
        """Minus the approximate inverse Hessian times the gradient."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return scale(gradient, -1.0)
        y = combine(gradient, state["prev_flat_grad"], -1.0)
        s = scale(state["d"], float(state["t"]))
        ys = float(dot(y, s))
        ys_, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        if ys > 1e-10:
            if len(ys_) == limit:
                for history in (ys_, steps, ro):
                    history.pop(0)
            ys_.append(y)
            steps.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / float(dot(y, y))
        q = scale(gradient, -1.0)
        alphas: list[float] = []
        for y, s, r in zip(reversed(ys_), reversed(steps), reversed(ro), strict=True):
            alphas.append(float(dot(s, q)) * r)
            q = combine(q, y, -alphas[-1])
        d = scale(q, float(state["H_diag"]))
        for y, s, r, alpha in zip(ys_, steps, ro, reversed(alphas), strict=True):
            d = combine(d, s, alpha - float(dot(y, d)) * r)
        return d

    def _search(self, closure: Callable[[], Any], d: Any, start: Point, budget: int) -> WolfeSearch:
        origin = [p._peek() for p in self._params]

        def evaluate(t: float) -> Point:
            self._shift(t, d)
            loss = float(closure())
            gradient = self._gradient()
            for p, value in zip(self._params, origin, strict=True):
                p.assign_value(value)
            return Point(t, loss, gradient, float(dot(gradient, d)))

        return WolfeSearch(evaluate, start, float(largest(d)), budget)
