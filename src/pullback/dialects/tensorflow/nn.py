"""`tf.nn`: what networks are made of. Images are batch, height, width, channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pullback.api import activations, convolution, elementwise, losses, manipulation, reductions, selecting, sorting
from pullback.dialects import names
from pullback.dialects.tensorflow import ops
from pullback.dialects.tensorflow.graph import Tensor, make
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message


def _with(kind: str, inputs: Sequence[Any], function: Any, name: str | None) -> Tensor:
    return make(kind, [ops.convert_to_tensor(x) for x in inputs], lambda run, *values: function(*values), name)


def softmax(logits: Any, axis: int | None = None, name: str | None = None, dim: int | None = None) -> Tensor:
    """exp(x), divided by its sum along the last dimension."""
    over = axis if axis is not None else -1 if dim is None else dim
    return _with("Softmax", [logits], lambda x: activations.softmax(x, axis=over), name)


def log_softmax(logits: Any, axis: int | None = None, name: str | None = None) -> Tensor:
    """The logarithm of softmax."""
    return _with("LogSoftmax", [logits], lambda x: activations.log_softmax(x, axis=-1 if axis is None else axis), name)


def leaky_relu(features: Any, alpha: float = 0.2, name: str | None = "LeakyRelu") -> Tensor:
    """x where positive, a little of it elsewhere."""
    return _with("LeakyRelu", [features], lambda x: activations.leaky_relu(x, alpha), name)


def bias_add(value: Any, bias: Any, data_format: Any = None, name: str | None = None) -> Tensor:
    """A number added for each channel."""
    return _with("BiasAdd", [value, bias], elementwise.add, name)


def l2_loss(t: Any, name: str | None = None) -> Tensor:
    """Half the sum of squares."""
    return _with("L2Loss", [t], lambda x: reductions.sum(x * x) / 2, name)


def softmax_cross_entropy_with_logits(
    _sentinel: Any = None,
    labels: Any = None,
    logits: Any = None,
    dim: int = -1,
    name: str | None = None,
    axis: int | None = None,
) -> Tensor:
    """The cross entropy of distributions over classes with softmax(logits), for each row."""
    _named(_sentinel, labels, logits, "softmax_cross_entropy_with_logits")

    def entropy(y: Any, x: Any) -> Any:
        return -reductions.sum(
            y * activations.log_softmax(x, axis=dim if axis is None else axis), dim if axis is None else axis
        )

    return _with("softmax_cross_entropy_with_logits", [labels, logits], entropy, name)


softmax_cross_entropy_with_logits_v2 = softmax_cross_entropy_with_logits


def sparse_softmax_cross_entropy_with_logits(
    _sentinel: Any = None, labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """The cross entropy of classes with softmax(logits), for each row."""
    name_here = "sparse_softmax_cross_entropy_with_logits"
    _named(_sentinel, labels, logits, name_here)
    classes, scores = ops.convert_to_tensor(labels), ops.convert_to_tensor(logits)
    if scores.sizes is not None and not classes.shape.is_compatible_with(scores.sizes[:-1]):
        raise ShapeError(
            message(
                f"{name_here}: labels must have the shape of logits without its last dimension",
                [("labels", str(classes)), ("logits", str(scores))],
                "for one-hot labels use softmax_cross_entropy_with_logits",
            )
        )

    def entropy(y: Any, x: Any) -> Any:
        logs = activations.log_softmax(x, axis=-1)
        return -selecting.take_along_axis(logs, manipulation.expand_dims(y, -1), axis=-1)[..., 0]

    return _with("SparseSoftmaxCrossEntropyWithLogits", [labels, logits], entropy, name)


def sigmoid_cross_entropy_with_logits(
    _sentinel: Any = None, labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """The cross entropy of independent probabilities with sigmoid(logits), for each element."""
    _named(_sentinel, labels, logits, "sigmoid_cross_entropy_with_logits")
    return _with(
        "logistic_loss",
        [labels, logits],
        lambda y, x: losses.binary_cross_entropy_with_logits(x, y, reduction="none"),
        name,
    )


def _named(sentinel: Any, labels: Any, logits: Any, name: str) -> None:
    if sentinel is not None:
        raise ValueError_(message(f"Only call `{name}` with named arguments (labels=..., logits=..., ...)"))
    if labels is None or logits is None:
        raise ValueError_(message("Both labels and logits must be provided.", [("function", name)]))


def dropout(
    x: Any,
    keep_prob: Any = None,
    noise_shape: Any = None,
    seed: int | None = None,
    name: str = "dropout",
    rate: Any = None,
) -> Tensor:
    """Elements kept with a probability and scaled by its inverse, others 0."""
    value = ops.convert_to_tensor(x)
    if keep_prob is None and rate is None:
        raise ValueError_(message("dropout: keep_prob or rate must be given"))
    keep = 1 - rate if keep_prob is None else keep_prob
    if isinstance(keep, (int, float)) and not 0 < keep <= 1:
        raise ValueError_(
            message("dropout: keep_prob must be in (0, 1]", [("keep_prob", repr(keep))], "rate = 1 - keep_prob")
        )
    known = value.sizes is not None and None not in value.sizes
    noise = ops.random_uniform(value.sizes if known else ops.shape(value), seed=seed, name=f"{name}/random_uniform")
    inputs = [value, noise, *([keep] if isinstance(keep, Tensor) else [])]

    def drop(v: Any, u: Any, *rest: Any) -> Any:
        p = rest[0] if rest else keep
        return elementwise.where(u < p, v / p, 0.0)

    found = make(name, inputs, lambda run, *values: drop(*values), f"{name}/mul", types=(value.dtype, value.sizes))
    return found


def embedding_lookup(params: Any, ids: Any, name: str | None = None, **_: Any) -> Tensor:
    """Rows of a table."""
    return _with("embedding_lookup", [params, ids], lambda x, i: selecting.take(x, i, axis=0), name)


def moments(x: Any, axes: Any, name: str = "moments", keep_dims: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and variance over axes."""
    over = tuple(axes)
    return (
        _with("Mean", [x], lambda v: reductions.mean(v, over, keep_dims), f"{name}/mean"),
        _with("Variance", [x], lambda v: reductions.var(v, over, keep_dims), f"{name}/variance"),
    )


def in_top_k(predictions: Any, targets: Any, k: int, name: str = "InTopK") -> Tensor:
    """Whether the target is among the k greatest, for each row."""

    def among(x: Any, y: Any) -> Any:
        return reductions.any(sorting.topk(x, k)[1] == manipulation.expand_dims(y, -1), -1)

    return _with(name, [predictions, targets], among, None)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _window(padding: str, shape: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """How much is put around height and width."""
    if padding not in ("SAME", "VALID"):
        raise ValueError_(message("padding must be 'SAME' or 'VALID'", [("padding", repr(padding))]))
    if padding == "VALID":
        return [(0, 0), (0, 0)]
    return [_same(n, k, s) for n, k, s in zip(shape, kernel, strides, strict=True)]


def conv2d(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: str = "VALID",
    use_cudnn_on_gpu: bool = True,
    data_format: str = "NHWC",
    name: str | None = None,
    filters: Any = None,
) -> Tensor:
    """Convolution of images with filters [height, width, channels in, channels out]."""
    if data_format != "NHWC":
        raise ArgumentError(message("conv2d: only NHWC", [("data_format", repr(data_format))]))
    for x in (ops.convert_to_tensor(input), ops.convert_to_tensor(filter if filters is None else filters)):
        if x.sizes is not None and len(x.sizes) != 4:
            raise ShapeError(
                message(
                    "conv2d: input and filter must have four dimensions",
                    [("given", str(x))],
                    "[batch, height, width, channels] and [height, width, channels in, channels out]",
                )
            )

    def convolve(x: Any, w: Any) -> Any:
        step = tuple(strides)[1:3]
        around = _window(padding, x.shape[1:3], w.shape[:2], step)
        y = manipulation.pad(manipulation.permute_dims(x, (0, 3, 1, 2)), [(0, 0), (0, 0), *around])
        found = convolution.conv2d(y, manipulation.permute_dims(w, (3, 2, 0, 1)), None, step)
        return manipulation.permute_dims(found, (0, 2, 3, 1))

    return _with("Conv2D", [input, filter if filters is None else filters], convolve, name)


def _pooled(kind: str, value: Any, ksize: Any, strides: Any, padding: str, name: str | None) -> Tensor:
    size, step = tuple(ksize)[1:3], tuple(strides)[1:3]

    def pool(x: Any) -> Any:
        y = manipulation.permute_dims(x, (0, 3, 1, 2))
        around = _window(padding, x.shape[1:3], size, step)
        if kind == "MaxPool":
            y = (
                manipulation.pad(y, [(0, 0), (0, 0), *around], constant_values=-math.inf)
                if any(map(any, around))
                else y
            )
            found = convolution.max_pool2d(y, size, step)
        else:
            wide = [(0, 0), (0, 0), *around]
            ones = manipulation.pad(y * 0 + 1, wide)
            total = convolution.avg_pool2d(manipulation.pad(y, wide), size, step)
            found = total / convolution.avg_pool2d(ones, size, step)
        return manipulation.permute_dims(found, (0, 2, 3, 1))

    return _with(kind, [value], pool, name)


def max_pool(
    value: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NHWC", name: str | None = None
) -> Tensor:
    """The greatest element of each window."""
    return _pooled("MaxPool", value, ksize, strides, padding, name)


def avg_pool(
    value: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NHWC", name: str | None = None
) -> Tensor:
    """The mean of each window, of the elements that are there."""
    return _pooled("AvgPool", value, ksize, strides, padding, name)


__getattr__, __dir__ = names(
    __name__, {"dialects.tensorflow.ops": "relu relu6 elu selu softplus softsign sigmoid tanh top_k"}
)
