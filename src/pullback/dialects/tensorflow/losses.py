"""`tf.losses`: mean losses of a batch."""

from __future__ import annotations

from typing import Any

from pullback.api import elementwise
from pullback.api import losses as native
from pullback.dialects.tensorflow import nn, ops
from pullback.dialects.tensorflow.graph import Tensor, make
from pullback.util.errors import ShapeError, message


def _mean(name: str, labels: Any, predictions: Any, function: Any) -> Tensor:
    x = ops.convert_to_tensor(predictions)
    y = ops.convert_to_tensor(labels, None if isinstance(labels, Tensor) else x.dtype)
    if not x.shape.is_compatible_with(y.shape):
        raise ShapeError(
            message(
                f"{name}: labels and predictions must have one shape",
                [("labels", str(y)), ("predictions", str(x))],
                "reshape one of them: they would broadcast by accident",
            )
        )
    return make(name, [y, x], lambda run, a, b: function(a, b), f"{name}/value")


def mean_squared_error(labels: Any, predictions: Any, **_: Any) -> Tensor:
    """The mean of squared differences."""
    return _mean(
        "mean_squared_error", labels, predictions, lambda y, x: native.mse_loss(x, elementwise.astype(y, x.dtype))
    )


def absolute_difference(labels: Any, predictions: Any, **_: Any) -> Tensor:
    """The mean of absolute differences."""
    return _mean(
        "absolute_difference", labels, predictions, lambda y, x: native.l1_loss(x, elementwise.astype(y, x.dtype))
    )


def softmax_cross_entropy(onehot_labels: Any, logits: Any, **_: Any) -> Tensor:
    """The mean cross entropy of distributions over classes."""
    return ops.reduce_mean(nn.softmax_cross_entropy_with_logits(labels=onehot_labels, logits=logits))  # type: ignore[attr-defined]


def sparse_softmax_cross_entropy(labels: Any, logits: Any, **_: Any) -> Tensor:
    """The mean cross entropy of classes."""
    return ops.reduce_mean(nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))  # type: ignore[attr-defined]


def sigmoid_cross_entropy(multi_class_labels: Any, logits: Any, **_: Any) -> Tensor:
    """The mean cross entropy of independent probabilities."""
    return ops.reduce_mean(  # type: ignore[attr-defined]
        nn.sigmoid_cross_entropy_with_logits(labels=multi_class_labels, logits=logits)
    )
