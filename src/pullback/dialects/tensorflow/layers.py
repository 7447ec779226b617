"""`tf.layers`: layers that make their variables."""

from __future__ import annotations

from typing import Any

from pullback.dialects.tensorflow import nn, ops
from pullback.dialects.tensorflow.graph import Tensor
from pullback.dialects.tensorflow.initializers import zeros_initializer
from pullback.dialects.tensorflow.variables import Variable, get_variable, variable_scope
from pullback.util.errors import ShapeError, ValueError_, message


class Layer:
    """Makes its variables at the first call and uses them again afterwards."""

    default = "layer"

    def __init__(self, name: str | None = None, trainable: bool = True, reuse: Any = None) -> None:
        self.name, self.trainable, self.reuse = name, trainable, reuse
        self.built = False
        self.weights: list[Variable] = []

    def build(self, inputs: Tensor) -> None:
        """Make the variables."""

    def call(self, inputs: Tensor) -> Any:
        """The computation."""
        raise NotImplementedError

    def __call__(self, inputs: Any) -> Any:
        x = ops.convert_to_tensor(inputs)
        if not self.built:
            with variable_scope(self.name or _free_name(self.default), reuse=self.reuse):
                self.build(x)
            self.built = True
        return self.call(x)

    def add(self, name: str, shape: Any, initializer: Any) -> Variable:
        """A variable of the layer."""
        variable = get_variable(name, shape, initializer=initializer, trainable=self.trainable)
        self.weights.append(variable)
        return variable

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that optimisers change."""
        return self.weights if self.trainable else []

    trainable_variables = variables = trainable_weights


def _free_name(name: str) -> str:
    """dense, dense_1, dense_2, ..."""
    from pullback.dialects.tensorflow.graph import get_default_graph
    from pullback.dialects.tensorflow.variables import get_variable_scope

    taken = get_default_graph().scopes
    outer = get_variable_scope().name
    prefix = f"{outer}/" if outer else ""
    k = 0
    while any(key.startswith(f"{prefix}{name}{f'_{k}' if k else ''}/") for key in taken):
        k += 1
    return f"{name}_{k}" if k else name


def _activation(given: Any) -> Any:
    """An activation by itself or by its name."""
    if given is None or callable(given):
        return given
    if given == "linear":
        return None
    if not isinstance(given, str) or given not in dir(nn):
        raise ValueError_(message("no such activation", [("activation", repr(given))], "tf.nn.relu, or 'relu'"))
    return getattr(nn, given)


class Dense(Layer):
    """activation(x @ kernel + bias)"""

    default = "dense"

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        trainable: bool = True,
        name: str | None = None,
        _reuse: Any = None,
        **_: Any,
    ) -> None:
        super().__init__(name, trainable, _reuse)
        if not isinstance(units, int) or units < 1:
            raise ValueError_(message("dense: units must be a positive whole number", [("units", repr(units))]))
        self.units, self.activation, self.use_bias = units, _activation(activation), use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer or zeros_initializer()

    def build(self, inputs: Tensor) -> None:
        if not inputs.sizes or inputs.sizes[-1] is None:
            raise ShapeError(
                message(
                    "The last dimension of the inputs to `Dense` should be defined. Found `None`.",
                    [("inputs", str(inputs))],
                    "give the placeholder that size",
                )
            )
        self.kernel = self.add("kernel", (inputs.sizes[-1], self.units), self.kernel_initializer)
        self.bias = self.add("bias", (self.units,), self.bias_initializer) if self.use_bias else None

    def call(self, inputs: Tensor) -> Any:
        y = (
            ops.matmul(inputs, self.kernel)
            if inputs.sizes is None or len(inputs.sizes) == 2
            else ops.tensordot(inputs, self.kernel, [[len(inputs.sizes) - 1], [0]])
        )
        if self.bias is not None:
            y = nn.bias_add(y, self.bias)
        return y if self.activation is None else self.activation(y)


class Conv2D(Layer):
    """Convolution of images."""

    default = "conv2d"

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        name: str | None = None,
        _reuse: Any = None,
        **_: Any,
    ) -> None:
        super().__init__(name, True, _reuse)
        self.filters, self.padding, self.use_bias = filters, padding.upper(), use_bias
        self.activation = _activation(activation)
        self.size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.strides = (strides, strides) if isinstance(strides, int) else tuple(strides)
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer or zeros_initializer()

    def build(self, inputs: Tensor) -> None:
        self.kernel = self.add(
            "kernel", (*self.size, inputs.shape.as_list()[-1], self.filters), self.kernel_initializer
        )
        self.bias = self.add("bias", (self.filters,), self.bias_initializer) if self.use_bias else None

    def call(self, inputs: Tensor) -> Any:
        y = nn.conv2d(inputs, self.kernel, (1, *self.strides, 1), self.padding)
        if self.bias is not None:
            y = nn.bias_add(y, self.bias)
        return y if self.activation is None else self.activation(y)


def dense(
    inputs: Any,
    units: int,
    activation: Any = None,
    use_bias: bool = True,
    kernel_initializer: Any = None,
    bias_initializer: Any = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Any:
    """activation(x @ kernel + bias), with new variables unless `reuse`."""
    return Dense(units, activation, use_bias, kernel_initializer, bias_initializer, trainable, name, reuse)(inputs)


def conv2d(
    inputs: Any,
    filters: int,
    kernel_size: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    activation: Any = None,
    use_bias: bool = True,
    kernel_initializer: Any = None,
    bias_initializer: Any = None,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Any:
    """Convolution of images, with new variables unless `reuse`."""
    return Conv2D(
        filters, kernel_size, strides, padding, activation, use_bias, kernel_initializer, bias_initializer, name, reuse
    )(inputs)


def _pair(x: Any) -> tuple[int, int]:
    return (x, x) if isinstance(x, int) else tuple(x)


def max_pooling2d(
    inputs: Any, pool_size: Any, strides: Any, padding: str = "valid", name: str | None = None, **_: Any
) -> Any:
    """The greatest element of each window."""
    return nn.max_pool(inputs, (1, *_pair(pool_size), 1), (1, *_pair(strides), 1), padding.upper(), name=name)


def average_pooling2d(
    inputs: Any, pool_size: Any, strides: Any, padding: str = "valid", name: str | None = None, **_: Any
) -> Any:
    """The mean of each window."""
    return nn.avg_pool(inputs, (1, *_pair(pool_size), 1), (1, *_pair(strides), 1), padding.upper(), name=name)


def flatten(inputs: Any, name: str | None = None) -> Any:
    """All dimensions but the first made one."""
    x = ops.convert_to_tensor(inputs)
    total = 1
    for n in (x.sizes or ())[1:]:
        total *= n or -1
    return ops.reshape(x, [-1, total])


def dropout(
    inputs: Any,
    rate: float = 0.5,
    noise_shape: Any = None,
    seed: int | None = None,
    training: Any = False,
    name: str | None = None,
) -> Any:
    """Elements set to 0 at random while training."""
    from pullback.dialects.tensorflow.control_flow import cond

    x = ops.convert_to_tensor(inputs)
    dropped = nn.dropout(x, 1 - rate, noise_shape, seed) if training is not False else x
    return (
        cond(training, lambda: ops.identity(dropped), lambda: ops.identity(x))
        if isinstance(training, Tensor)
        else dropped
    )
