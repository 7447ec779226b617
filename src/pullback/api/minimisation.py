"""Minima of functions by BFGS, inside of a compiled program; solutions of linear equations by conjugate gradients.

Nocedal and Wright, Numerical Optimization: algorithms 6.1 and 3.5 (a line search to the strong Wolfe conditions; its
zoom here bisects with a cubic guess), and 5.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pullback.api.arguments import as_tensor
from pullback.api.creation import eye
from pullback.api.elementwise import abs, astype, isfinite, where
from pullback.api.linear_algebra import matmul, outer
from pullback.api.reductions import max as _max
from pullback.api.reductions import sum as _sum
from pullback.api.transforms import value_and_grad, while_loop
from pullback.ir import dtypes
from pullback.util import tree

Array = Any
Function = Callable[..., Any]
_SLOPE, _CURVATURE = 1e-4, 0.9  # of Wolfe's conditions


class Minimum(NamedTuple):
    """Where a search ended. `status`: 0 converged, 1 too many turns, 3 no step found."""

    x: Array
    success: Array
    status: Array
    fun: Array
    jac: Array
    hess_inv: Array
    nfev: Array
    njev: Array
    nit: Array


def _whole(value: int) -> Any:
    return as_tensor(value, "minimise").to(dtypes.int32)


def _dot(x: Any, y: Any) -> Any:
    return _sum(x * y)


class _Bracket(NamedTuple):
    """A line search under way: the step, what is there, the interval that holds a good one (`high` infinite: none)."""

    turn: Any
    step: Any
    value: Any
    slope: Any
    gradient: Any
    low: Any
    low_value: Any
    low_slope: Any
    high: Any
    done: Any


def _line_search(both: Function, x: Any, direction: Any, value: Any, gradient: Any, limit: int) -> Any:
    """A step along a direction, by Wolfe's strong conditions: (found, step, value, gradient, evaluations)."""
    start = _dot(gradient, direction)

    def at(step: Any) -> tuple[Any, Any, Any]:
        there, slope_there = both(x + step * direction)
        return there, _dot(slope_there, direction), slope_there

    def judged(state: _Bracket) -> _Bracket:
        """Whether the step will do, and where the next one lies."""
        too_high = (state.value > value + _SLOPE * state.step * start) | ~isfinite(state.value) | (
            (state.low > 0) & (state.value >= state.low_value))
        flat = abs(state.slope) <= -_CURVATURE * start
        past = ~too_high & (state.slope >= 0)
        done = ~too_high & flat
        high = where(too_high | past, state.step, state.high)
        keeps = too_high | past
        low = where(keeps, state.low, state.step)
        return state._replace(done=done, high=high, low=low, low_value=where(keeps, state.low_value, state.value),
                              low_slope=where(keeps, state.low_slope, state.slope))

    def following(state: _Bracket) -> Any:
        """Twice as far while nothing is beyond, else inside of the interval: where a parabola has its minimum."""
        width = state.high - state.low
        rise = state.value - state.low_value - state.low_slope * width
        guess = state.low - 0.5 * state.low_slope * width * width / where(rise > 0, rise, 1.0)
        usable = (rise > 0) & isfinite(guess) & (state.step == state.high) & (
            guess > state.low + 0.1 * width) & (guess < state.high - 0.1 * width)
        inner = where(usable, guess, state.low + 0.5 * width)
        return where(isfinite(state.high), inner, 2.0 * state.step)

    def turn(state: _Bracket) -> _Bracket:
        step = following(state)
        there, slope, slope_there = at(step)
        return judged(state._replace(turn=state.turn + 1, step=step, value=there, slope=slope, gradient=slope_there))

    one = value * 0.0 + 1.0
    there, slope, slope_there = at(one)
    first = judged(_Bracket(_whole(1), one, there, slope, slope_there, one * 0.0, value, start, one * float("inf"),
                            value != value))
    last = while_loop(lambda s: (s.turn < limit) & ~s.done, turn, first)
    lower = isfinite(last.value) & (last.value < value)
    return last.done | lower, last.step, last.value, last.gradient, last.turn


def minimise_bfgs(function: Function, start: Array, tolerance: float = 1e-5, turns: int | None = None,
                  line_turns: int = 20) -> Minimum:
    """A local minimum of a function of a vector, from a start.

    >>> import pullback as pb
    >>> minimise_bfgs(lambda x: ((x - 3.0) ** 2).sum(), pb.zeros(2)).x
    Tensor([3., 3.], dtype=float32)
    """
    x = as_tensor(start, "minimise_bfgs")
    x = x if x.dtype.is_inexact else astype(x, dtypes.default_float())
    size = x.shape[0]
    limit = size * 200 if turns is None else turns
    both = value_and_grad(function)
    value, gradient = both(x)
    identity = eye(size, dtype=x.dtype)
    state = (x, value, gradient, identity, _whole(0), _whole(1), _max(abs(gradient)) < tolerance, value != value)

    def more(s: Any) -> Any:
        return ~s[6] & ~s[7] & (s[4] < limit)

    def turn(s: Any) -> Any:
        x, value, gradient, inverse, count, calls, _, _ = s
        direction = -matmul(inverse, gradient)
        found, step, there, slope, used = _line_search(both, x, direction, value, gradient, line_turns)
        moved = step * direction
        change = slope - gradient
        curvature = _dot(change, moved)
        rho = where(curvature > 0, 1.0 / where(curvature > 0, curvature, 1.0), 0.0)
        left = identity - rho * outer(moved, change)
        updated = matmul(matmul(left, inverse), left.mT) + rho * outer(moved, moved)
        inverse = where(curvature > 0, updated, inverse)
        x, value = where(found, x + moved, x), where(found, there, value)
        gradient = where(found, slope, gradient)
        return x, value, gradient, inverse, count + 1, calls + used, _max(abs(gradient)) < tolerance, ~found

    x, value, gradient, inverse, count, calls, converged, failed = while_loop(more, turn, state)
    status = where(converged, 0, where(failed, 3, 1))
    return Minimum(x, converged, astype(status, dtypes.int32), value, gradient, inverse, calls, calls, count)


def conjugate_gradients(matvec: Function, b: Any, start: Any = None, tolerance: float = 1e-5, absolute: float = 0.0,
                        turns: int | None = None, precondition: Function | None = None) -> Any:
    """x with matvec(x) = b, for a symmetric positive definite matvec of trees of arrays."""
    before = precondition or (lambda v: v)

    def product(a: Any, c: Any) -> Any:
        parts = [_sum(p * q) for p, q in zip(tree.leaves(a), tree.leaves(c), strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def moved(a: Any, by: Any, c: Any) -> Any:
        return tree.map(lambda p, q: p + by * q, a, c)

    size = sum(leaf.info.type.size for leaf in tree.leaves(b))
    limit = 10 * size if turns is None else turns
    x = tree.map(lambda v: v * 0, b) if start is None else start
    rest = tree.map(lambda p, q: p - q, b, matvec(x))
    shaped = before(rest)
    bound = tolerance * tolerance * product(b, b)
    bound = where(bound > absolute * absolute, bound, absolute * absolute)
    state = (x, rest, product(rest, shaped), shaped, _whole(0))

    def more(s: Any) -> Any:
        return (product(s[1], s[1]) > bound) & (s[4] < limit)

    def turn(s: Any) -> Any:
        x, rest, size, direction, count = s
        image = matvec(direction)
        step = size / product(direction, image)
        x, rest = moved(x, step, direction), moved(rest, -step, image)
        shaped = before(rest)
        following = product(rest, shaped)
        return x, rest, following, moved(shaped, following / size, direction), count + 1

    return while_loop(more, turn, state)[0]


__all__ = ["Minimum", "conjugate_gradients", "minimise_bfgs"]
