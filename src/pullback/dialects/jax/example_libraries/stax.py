"""`jax.example_libraries.stax`: layers as pairs (init, apply): `init(key, input_shape) -> (output_shape, params)`,
`apply(params, inputs, rng=...)`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from pullback.dialects import names
from pullback.dialects.jax import initializers, lax, nn, random
from pullback.dialects.jax import numpy as jnp
from pullback.util.errors import ValueError_, message

Layer = tuple[Callable[..., Any], Callable[..., Any]]
glorot = initializers.glorot_normal
randn = initializers.normal


def Dense(out_dim: int, W_init: Any = None, b_init: Any = None) -> Layer:
    """inputs @ W + b."""
    weights, biases = W_init or initializers.glorot_normal(), b_init or initializers.normal()

    def init(key: Any, input_shape: Any) -> Any:
        first, second = random.split(key)
        return (*input_shape[:-1], out_dim), (weights(first, (input_shape[-1], out_dim)), biases(second, (out_dim,)))

    def apply(params: Any, inputs: Any, **_: Any) -> Any:
        w, b = params
        return jnp.dot(inputs, w) + b

    return init, apply


def GeneralConv(
    dimension_numbers: Any,
    out_chan: int,
    filter_shape: Any,
    strides: Any = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = None,
) -> Layer:
    """A convolution in any layout."""
    image, kernel, result = dimension_numbers
    steps = strides or (1,) * len(filter_shape)
    weights = W_init or initializers.glorot_normal(kernel.index("I"), kernel.index("O"))
    biases = b_init or initializers.normal(1e-6)

    def init(key: Any, input_shape: Any) -> Any:
        sizes = iter(filter_shape)
        known = {"O": out_chan, "I": input_shape[image.index("C")]}
        shape = tuple(known[c] if c in known else next(sizes) for c in kernel)
        spec = lax.conv_dimension_numbers(input_shape, shape, dimension_numbers)
        inside = [input_shape[k] for k in spec.lhs_spec[2:]]
        window = [shape[k] for k in spec.rhs_spec[2:]]
        around = lax.padtype_to_pads(inside, window, steps, padding)
        counts = lax.reduce_window_shape_tuple(inside, window, steps, around)
        found = dict(zip(spec.out_spec, (input_shape[spec.lhs_spec[0]], out_chan, *counts), strict=True))
        first, second = random.split(key)
        bias = tuple(out_chan if c == "C" else 1 for c in result)
        return tuple(found[k] for k in range(len(found))), (weights(first, shape), biases(second, bias))

    def apply(params: Any, inputs: Any, **_: Any) -> Any:
        w, b = params
        return lax.conv_general_dilated(inputs, w, steps, padding, dimension_numbers=dimension_numbers) + b

    return init, apply


Conv = partial(GeneralConv, ("NHWC", "HWIO", "NHWC"))


def BatchNorm(
    axis: Any = (0, 1, 2), epsilon: float = 1e-5, center: bool = True, scale: bool = True, beta_init: Any = None,
    gamma_init: Any = None,
) -> Layer:
    """Mean 0 and variance 1 over axes of this batch, then a scale and a shift that are learned."""
    over = (axis,) if isinstance(axis, int) else tuple(axis)

    def init(key: Any, input_shape: Any) -> Any:
        shape = tuple(n for k, n in enumerate(input_shape) if k not in over)
        first, second = random.split(key)
        beta = (beta_init or initializers.zeros)(first, shape) if center else ()
        gamma = (gamma_init or initializers.ones)(second, shape) if scale else ()
        return input_shape, (beta, gamma)

    def apply(params: Any, x: Any, **_: Any) -> Any:
        place = tuple(None if k in over else slice(None) for k in range(x.ndim))
        beta, gamma = params
        found = nn.standardize(x, over, epsilon=epsilon)
        found = gamma[place] * found if scale else found
        return found + beta[place] if center else found

    return init, apply


def elementwise(fun: Callable[..., Any], **options: Any) -> Layer:
    """A function of each element, or of the whole array."""
    return lambda key, input_shape: (input_shape, ()), lambda params, inputs, **_: fun(inputs, **options)


Tanh, Relu, Exp, Sigmoid = map(elementwise, (jnp.tanh, nn.relu, jnp.exp, nn.sigmoid))
Softplus, Elu, LeakyRelu, Selu, Gelu = map(elementwise, (nn.softplus, nn.elu, nn.leaky_relu, nn.selu, nn.gelu))
LogSoftmax, Softmax = elementwise(nn.log_softmax, axis=-1), elementwise(nn.softmax, axis=-1)
Identity = elementwise(lambda x: x)


def _pooling(reducer: Callable[..., Any], initial: float, mean: bool = False) -> Callable[..., Layer]:
    def layer(window_shape: Any, strides: Any = None, padding: Any = "VALID", spec: Any = None) -> Layer:
        rank = len(window_shape)
        outer = (0, rank + 1) if spec is None else tuple(sorted((spec.index("N"), spec.index("C"))))
        inner = iter(zip(window_shape, strides or (1,) * rank, strict=True))
        pairs = [(1, 1) if k in outer else next(inner) for k in range(rank + 2)]
        window, steps = tuple(k for k, _ in pairs), tuple(s for _, s in pairs)

        def init(key: Any, input_shape: Any) -> Any:
            around = lax.padtype_to_pads(input_shape, window, steps, padding)
            return lax.reduce_window_shape_tuple(input_shape, window, steps, around), ()

        def apply(params: Any, inputs: Any, **_: Any) -> Any:
            found = lax.reduce_window(inputs, initial, reducer, window, steps, padding)
            if not mean:
                return found
            return found / lax.reduce_window(jnp.ones_like(inputs), 0.0, lax.add, window, steps, padding)

        return init, apply

    return layer


MaxPool, SumPool, AvgPool = _pooling(lax.max, -math.inf), _pooling(lax.add, 0.0), _pooling(lax.add, 0.0, True)
Flatten: Layer = (
    lambda key, input_shape: ((input_shape[0], math.prod(input_shape[1:])), ()),
    lambda params, inputs, **_: jnp.reshape(inputs, (inputs.shape[0], -1)),
)


def FanOut(num: int) -> Layer:
    """The input several times."""
    return lambda key, input_shape: ([input_shape] * num, ()), lambda params, inputs, **_: [inputs] * num


FanInSum: Layer = (lambda key, input_shape: (input_shape[0], ()), lambda params, inputs, **_: sum(inputs))


def FanInConcat(axis: int = -1) -> Layer:
    """Several inputs, joined along an axis."""

    def init(key: Any, input_shape: Any) -> Any:
        first = list(input_shape[0])
        first[axis] = sum(shape[axis] for shape in input_shape)
        return tuple(first), ()

    return init, lambda params, inputs, **_: jnp.concatenate(inputs, axis)


def Dropout(rate: float, mode: str = "train") -> Layer:
    """Elements kept with probability `rate`, and made larger by as much."""

    def apply(params: Any, inputs: Any, **options: Any) -> Any:
        key = options.get("rng")
        if key is None:
            raise ValueError_(
                message("Dropout layer requires apply_fun to be called with a PRNG key argument", help="rng=key")
            )
        if mode != "train":
            return inputs
        return jnp.where(random.bernoulli(key, rate, inputs.shape), inputs / rate, 0)

    return lambda key, input_shape: (input_shape, ()), apply


def _keys(key: Any, count: int) -> Any:
    return [None] * count if key is None else random.split(key, count)


def serial(*layers: Layer) -> Layer:
    """Layers one after another."""

    def init(key: Any, input_shape: Any) -> Any:
        params = []
        for layer_init, _ in layers:
            key, own = random.split(key)
            input_shape, found = layer_init(own, input_shape)
            params.append(found)
        return input_shape, params

    def apply(params: Any, inputs: Any, **options: Any) -> Any:
        keys = _keys(options.pop("rng", None), len(layers))
        for (_, layer), own, key in zip(layers, params, keys, strict=True):
            inputs = layer(own, inputs, rng=key, **options)
        return inputs

    return init, apply


def parallel(*layers: Layer) -> Layer:
    """Layers side by side, each with its own input."""

    def init(key: Any, input_shape: Any) -> Any:
        keys = random.split(key, len(layers))
        found = [one[0](k, shape) for one, k, shape in zip(layers, keys, input_shape, strict=True)]
        return tuple(zip(*found, strict=True))

    def apply(params: Any, inputs: Any, **options: Any) -> Any:
        keys = _keys(options.pop("rng", None), len(layers))
        return [one[1](p, x, rng=k, **options) for one, p, x, k in zip(layers, params, inputs, keys, strict=True)]

    return init, apply


def shape_dependent(make_layer: Callable[[Any], Layer]) -> Layer:
    """A layer made for the shape of its input."""
    return (
        lambda key, input_shape: make_layer(input_shape)[0](key, input_shape),
        lambda params, inputs, **options: make_layer(inputs.shape)[1](params, inputs, **options),
    )


__getattr__, __dir__ = names(__name__, {"dialects.jax.nn": "gelu elu leaky_relu log_softmax relu"})
