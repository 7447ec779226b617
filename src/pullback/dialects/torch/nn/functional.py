"""`torch.nn.functional`."""

from __future__ import annotations

from typing import Any

from pullback.api import losses, manipulation, nn_functions, selecting
from pullback.dialects import names
from pullback.dialects.torch.nn import reduction_of
from pullback.dialects.torch.variants import ONE_ELEMENT, cosine_similarity, normalize, softmin
from pullback.engine.trace import local
from pullback.ir import dtypes
from pullback.util.errors import ValueError_, message


def _loss(name: str) -> Any:
    native = getattr(losses, name)

    def function(input: Any, target: Any, *args: Any, size_average: bool | None = None, reduce: bool | None = None,
                 reduction: str = "mean", **options: Any) -> Any:
        return native(input, target, *args, reduction=reduction_of(size_average, reduce, reduction), **options)

    function.__name__, function.__doc__ = name, native.__doc__
    return function


_LOSSES = """mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy nll_loss binary_cross_entropy
    binary_cross_entropy_with_logits kl_div poisson_nll_loss hinge_embedding_loss soft_margin_loss""".split()
globals().update({name: _loss(name) for name in _LOSSES})


def gaussian_nll_loss(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Any:
    """Negative log likelihood of normal numbers; input and target may have dimensions of size 1."""
    x, y = manipulation.broadcast_tensors(input, target)
    return losses.gaussian_nll_loss(x, y, var, full, eps, reduction)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """1 at the class of each element, 0 elsewhere, along a new last dimension."""
    if num_classes > 0 and local.trace.kind == "main":
        classes = tensor.numpy()
        if classes.size and (classes.min() < 0 or classes.max() >= num_classes):
            raise ValueError_(message("one_hot: class values must be from 0 to num_classes - 1",
                                      [("classes", f"{classes.min()} to {classes.max()}"),
                                       ("num_classes", str(num_classes))], "give more classes, or none"))
    return selecting.one_hot(tensor, num_classes, dtype=dtypes.int64)


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0)."""
    return input.relu_() if inplace else nn_functions.relu(input)


softmax, log_softmax = ONE_ELEMENT["softmax"], ONE_ELEMENT["log_softmax"]
__getattr__, __dir__ = names(__name__, {
    "api.nn_functions": " ".join([*nn_functions.__all__, *nn_functions.LATE])})
__all__ = ["cosine_similarity", "gaussian_nll_loss", "log_softmax", "normalize", "one_hot", "relu", "softmax",
           "softmin",
           *_LOSSES]
