"""`jax.example_libraries.optimizers`: triples (init, update, get_params); `update(step, gradients, state)`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from pullback.dialects import names
from pullback.dialects.jax import array as border
from pullback.dialects.jax import numpy as jnp
from pullback.dialects.jax.transforms import arrays
from pullback.util import tree
from pullback.util.errors import ArgumentError, ValueError_, message

Schedule = Callable[[Any], Any]

#: the states of all parameters, the structure of the parameters, the structures of the states
OptimizerState = namedtuple("OptimizerState", "packed_state tree_def subtree_defs")
tree.register_pytree_node(
    OptimizerState,
    lambda s: ((s.packed_state,), (s.tree_def, s.subtree_defs)),
    lambda rest, children: OptimizerState(children[0], *rest),
)


class Optimizer(NamedTuple):
    """`opt_state = init_fn(params)`, `update_fn(step, gradients, opt_state)`, `params_fn(opt_state)`."""

    init_fn: Callable[[Any], Any]
    update_fn: Callable[[Any, Any, Any], Any]
    params_fn: Callable[[Any], Any]


def optimizer(opt_maker: Callable[..., Any]) -> Callable[..., Optimizer]:
    """An optimiser of trees of one that treats a single array: (init(x), update(i, g, state), get_params(state))."""

    @wraps(opt_maker)
    def make(*args: Any, **kwargs: Any) -> Optimizer:
        init, update, get_params = opt_maker(*args, **kwargs)

        def init_all(params: Any) -> Any:
            leaves, structure = tree.flatten(arrays(params))
            parts = [tree.flatten(init(x)) for x in leaves]
            return OptimizerState(tuple(p[0] for p in parts), structure, tuple(p[1] for p in parts))

        def update_all(step: Any, gradients: Any, state: Any) -> Any:
            leaves, structure = tree.flatten(gradients)
            if structure != state.tree_def:
                raise ArgumentError(
                    message(
                        "optimizer update: the gradients do not have the structure of the parameters",
                        [("parameters", str(state.tree_def)), ("gradients", str(structure))],
                    )
                )
            new = [tree.flatten(update(step, g, s)) for g, s in zip(leaves, _states(state), strict=True)]
            return OptimizerState(tuple(n[0] for n in new), structure, tuple(n[1] for n in new))

        def params_of(state: Any) -> Any:
            return tree.unflatten(state.tree_def, [get_params(s) for s in _states(state)])

        return Optimizer(init_all, update_all, params_of)

    return make


def _states(state: Any) -> list[Any]:
    return [tree.unflatten(d, s) for d, s in zip(state.subtree_defs, state.packed_state, strict=True)]


def _first(state: Any) -> Any:
    return state[0]


def _with_zeros(count: int) -> Callable[[Any], Any]:
    return lambda x: (x, *(jnp.zeros_like(x) for _ in range(count)))


@optimizer
def sgd(step_size: Any) -> Any:
    """Gradient descent."""
    rate = make_schedule(step_size)
    return lambda x: x, lambda i, g, x: x - rate(i) * g, lambda x: x


def _momentum(step_size: Any, mass: float, ahead: bool) -> Any:
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, velocity = state
        velocity = mass * velocity + g
        return x - rate(i) * (mass * velocity + g if ahead else velocity), velocity

    return _with_zeros(1), update, _first


@optimizer
def momentum(step_size: Any, mass: float) -> Any:
    """Gradient descent with momentum."""
    return _momentum(step_size, mass, False)


@optimizer
def nesterov(step_size: Any, mass: float) -> Any:
    """Gradient descent with Nesterov's momentum."""
    return _momentum(step_size, mass, True)


@optimizer
def adagrad(step_size: Any, momentum: float = 0.9) -> Any:
    """Adagrad (Duchi, Hazan, Singer, 2011), with momentum."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares, mean = state
        squares = squares + jnp.square(g)
        scale = jnp.where(squares > 0, 1.0 / jnp.sqrt(squares), 0.0)
        mean = (1.0 - momentum) * (g * scale) + momentum * mean
        return x - rate(i) * mean, squares, mean

    return _with_zeros(2), update, _first


@optimizer
def rmsprop(step_size: Any, gamma: float = 0.9, eps: float = 1e-8) -> Any:
    """RMSProp."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares = state
        squares = squares * gamma + jnp.square(g) * (1.0 - gamma)
        return x - rate(i) * g / jnp.sqrt(squares + eps), squares

    return _with_zeros(1), update, _first


@optimizer
def rmsprop_momentum(step_size: Any, gamma: float = 0.9, eps: float = 1e-8, momentum: float = 0.9) -> Any:
    """RMSProp with momentum."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares, velocity = state
        squares = squares * gamma + jnp.square(g) * (1.0 - gamma)
        velocity = momentum * velocity + rate(i) * g / jnp.sqrt(squares + eps)
        return x - velocity, squares, velocity

    return _with_zeros(2), update, _first


@optimizer
def adam(step_size: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Any:
    """Adam (Kingma, Ba, 2015)."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, m, v = state
        m, v = (1 - b1) * g + b1 * m, (1 - b2) * jnp.square(g) + b2 * v
        mean = m / (1 - border.asarray(b1, m.dtype) ** (i + 1))
        square = v / (1 - border.asarray(b2, m.dtype) ** (i + 1))
        return x - rate(i) * mean / (jnp.sqrt(square) + eps), m, v

    return _with_zeros(2), update, _first


@optimizer
def adamax(step_size: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Any:
    """Adamax (Kingma, Ba, 2015)."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, m, u = state
        m, u = (1 - b1) * g + b1 * m, jnp.maximum(b2 * u, jnp.abs(g))
        return x - (rate(i) / (1 - border.asarray(b1, m.dtype) ** (i + 1))) * m / (u + eps), m, u

    return _with_zeros(2), update, _first


# -- schedules ---------------------------------------------------------------------------------------------------------


def constant(step_size: Any) -> Schedule:
    """One rate."""
    return lambda i: step_size


def exponential_decay(step_size: Any, decay_steps: Any, decay_rate: Any) -> Schedule:
    """A rate that falls by a factor every so many steps."""
    return lambda i: step_size * decay_rate ** (i / decay_steps)


def inverse_time_decay(step_size: Any, decay_steps: Any, decay_rate: Any, staircase: bool = False) -> Schedule:
    """A rate that falls with the inverse of the step."""
    if staircase:
        return lambda i: step_size / (1 + decay_rate * jnp.floor(i / decay_steps))
    return lambda i: step_size / (1 + decay_rate * i / decay_steps)


def polynomial_decay(step_size: Any, decay_steps: Any, final_step_size: Any, power: float = 1.0) -> Schedule:
    """A rate that falls to another one by a power of the steps left."""

    def schedule(i: Any) -> Any:
        left = 1 - jnp.minimum(i, decay_steps) / decay_steps
        return left**power * (step_size - final_step_size) + final_step_size

    return schedule


def piecewise_constant(boundaries: Any, values: Any) -> Schedule:
    """One rate between any two boundaries."""
    limits, rates = jnp.array(boundaries), jnp.array(values)
    if not limits.ndim == rates.ndim == 1 or limits.shape[0] != rates.shape[0] - 1:
        raise ValueError_(
            message("piecewise_constant: sequences, of values one more than of boundaries",
                    [("boundaries", repr(boundaries)), ("values", repr(values))])
        )
    return lambda i: rates[jnp.sum(i > limits)]


def make_schedule(scalar_or_schedule: Any) -> Schedule:
    """A schedule of a rate, or the one that was given."""
    if callable(scalar_or_schedule):
        return scalar_or_schedule
    if jnp.ndim(scalar_or_schedule):
        raise ArgumentError(message("make_schedule: a number or a function of the step",
                                    [("given", repr(scalar_or_schedule))]))
    return constant(scalar_or_schedule)


def l2_norm(tree_: Any) -> Any:
    """The root of the sum of all squares."""
    return jnp.sqrt(sum(jnp.vdot(x, x) for x in tree.leaves(tree_)))


def clip_grads(grad_tree: Any, max_norm: Any) -> Any:
    """The gradients, made shorter where their norm is greater."""
    norm = l2_norm(grad_tree)
    return tree.map(lambda g: jnp.where(norm < max_norm, g, g * (max_norm / norm)), grad_tree)


__getattr__, __dir__ = names(__name__, {})
