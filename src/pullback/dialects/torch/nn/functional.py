"""`torch.nn.functional`."""

from __future__ import annotations

from inspect import Parameter, Signature, signature
from typing import Any

from pullback.api import losses, manipulation, nn_functions, selecting
from pullback.api.losses import reduction_of
from pullback.dialects import names
from pullback.dialects.torch.variants import ONE_ELEMENT, cosine_similarity, normalize, softmin
from pullback.engine.trace import local
from pullback.ir import dtypes
from pullback.util.errors import ArgumentError, ValueError_, message

#: what PyTorch's losses take behind their tensors, in its order
_LOSSES = {
    "mse_loss": "size_average reduce reduction weight", "l1_loss": "size_average reduce reduction weight",
    "smooth_l1_loss": "size_average reduce reduction beta", "huber_loss": "reduction delta weight",
    "cross_entropy": "weight size_average ignore_index reduce reduction label_smoothing",
    "nll_loss": "weight size_average ignore_index reduce reduction",
    "binary_cross_entropy": "weight size_average reduce reduction",
    "binary_cross_entropy_with_logits": "weight size_average reduce reduction pos_weight",
    "kl_div": "size_average reduce reduction log_target",
    "poisson_nll_loss": "log_input full size_average eps reduce reduction",
    "hinge_embedding_loss": "margin size_average reduce reduction", "soft_margin_loss": "size_average reduce reduction",
    "margin_ranking_loss": "margin size_average reduce reduction",
    "cosine_embedding_loss": "margin size_average reduce reduction",
    "triplet_margin_loss": "margin p eps swap size_average reduce reduction",
    "multi_margin_loss": "p margin weight size_average reduce reduction",
}
_TENSORS = {"margin_ranking_loss": 3, "cosine_embedding_loss": 3, "triplet_margin_loss": 3}


def _loss(name: str, taken: list[str]) -> Any:
    native, count = getattr(losses, name), _TENSORS.get(name, 2)

    def function(*args: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                 **options: Any) -> Any:
        more = args[count:]
        if not more:
            return native(*args, reduction=reduction_of(size_average, reduce, reduction), **options)
        if len(more) > len(taken):
            raise ArgumentError(message(f"{name}() takes {count} to {count + len(taken)} positional arguments but "
                                        f"{len(args)} were given"))
        return function(*args[:count], **{"size_average": size_average, "reduce": reduce, "reduction": reduction,
                                          **dict(zip(taken, more, strict=False)), **options})

    given = signature(native).parameters
    optional = [Parameter(k, Parameter.POSITIONAL_OR_KEYWORD, default=given[k].default if k in given else None)
                for k in taken]
    shown: Any = function
    shown.__signature__ = Signature([*list(given.values())[:count], *optional])
    function.__name__, function.__doc__ = name, native.__doc__
    return function


globals().update({name: _loss(name, taken.split()) for name, taken in _LOSSES.items()})


def gaussian_nll_loss(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Any:
    """Negative log likelihood of normal numbers; input and target may have dimensions of size 1."""
    x, y = manipulation.broadcast_tensors(input, target)
    return losses.gaussian_nll_loss(x, y, var, full, eps, reduction)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """1 at the class of each element, 0 elsewhere, along a new last dimension."""
    if (num_classes > 0 or num_classes == -1) and local.trace.kind == "main":
        classes = tensor.numpy()
        if classes.size and (classes.min() < 0 or -1 < num_classes <= classes.max()):
            raise ValueError_(message("one_hot: class values must be from 0 to num_classes - 1",
                                      [("classes", f"{classes.min()} to {classes.max()}"),
                                       ("num_classes", str(num_classes))], "give more classes, or none"))
    return selecting.one_hot(tensor, num_classes, dtype=dtypes.int64)


def _with_indices(name: str) -> Any:
    native = getattr(nn_functions, name)

    def function(*args: Any, **options: Any) -> Any:
        options.pop("return_indices", None)
        return native(*args, **options, return_indices=True)

    function.__name__, function.__doc__ = f"{name}_with_indices", f"`{name}`, and where the maxima were."
    return function


_POOLS = [f"{kind}max_pool{rank}d" for kind in ("", "adaptive_", "fractional_") for rank in (1, 2, 3)
          if kind != "fractional_" or rank > 1]
globals().update({f"{name}_with_indices": _with_indices(name) for name in _POOLS})
softmax, log_softmax = ONE_ELEMENT["softmax"], ONE_ELEMENT["log_softmax"]
__getattr__, __dir__ = names(__name__, {
    "api.nn_functions": " ".join([*nn_functions.__all__, *nn_functions.LATE])})
__all__ = ["cosine_similarity", "gaussian_nll_loss", "log_softmax", "normalize", "one_hot", "softmax", "softmin",
           *_LOSSES, *(f"{name}_with_indices" for name in _POOLS)]
