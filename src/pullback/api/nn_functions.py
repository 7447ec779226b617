"""PyTorch's `nn.functional`: the functions behind layers, in one place."""

from __future__ import annotations

import importlib
from typing import Any

from pullback.api.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    normalize,
    prelu,
    relu,
    relu6,
    selu,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from pullback.api.convolution import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from pullback.api.elementwise import sigmoid, tanh
from pullback.api.images import cdist, fold, grid_sample, interpolate, pad, pixel_shuffle, pixel_unshuffle, unfold
from pullback.api.layers import (
    alpha_dropout,
    batch_norm,
    bilinear,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    embedding,
    group_norm,
    instance_norm,
    layer_norm,
    linear,
    local_response_norm,
    rms_norm,
    scaled_dot_product_attention,
)
from pullback.api.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    nll_loss,
    pairwise_distance,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from pullback.api.selecting import one_hot
from pullback.util.renamed import renamed


def _named(function: Any) -> Any:
    """A function whose first argument is called x in the array room and `input` here; its code is the same."""
    if function.__code__.co_varnames[0] != "x":
        return function
    made = renamed(function, {"x": "input"})
    made.__module__ = __name__
    return made


__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "alpha_dropout", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cdist", "celu", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_embedding_loss", "cosine_similarity",
    "cross_entropy", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "embedding", "fold", "gaussian_nll_loss",
    "gelu", "glu", "grid_sample", "group_norm", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "hinge_embedding_loss", "huber_loss", "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "local_response_norm", "log_softmax", "logsigmoid", "margin_ranking_loss", "max_pool1d",
    "max_pool2d", "max_pool3d", "mish", "mse_loss", "multi_margin_loss", "nll_loss", "normalize", "one_hot", "pad",
    "pairwise_distance", "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu6", "rms_norm",
    "scaled_dot_product_attention", "selu", "sigmoid", "silu", "smooth_l1_loss", "soft_margin_loss", "softmax",
    "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold", "triplet_margin_loss", "unfold",
]

globals().update({_name: _named(globals()[_name]) for _name in __all__})

#: functions whose modules are loaded at the first use
_LATE: dict[str, str] = {
    "attention": "multi_head_attention_forward",
    "activations": "celu_ elu_ hardtanh_ leaky_relu_ relu_ rrelu rrelu_ selu_ threshold_",
    "embeddings": "embedding_bag",
    "layers": "feature_alpha_dropout",
    "images": "upsample upsample_bilinear upsample_nearest",
    "pooling": """affine_grid channel_shuffle fractional_max_pool2d fractional_max_pool3d lp_pool1d
        lp_pool2d lp_pool3d max_unpool1d max_unpool2d max_unpool3d pdist""",
    "rotary": "rotary_embedding",
    "sequence_losses": """ctc_loss gumbel_softmax linear_cross_entropy multilabel_margin_loss
        multilabel_soft_margin_loss triplet_margin_with_distance_loss""",
}
LATE = {name: home for home, names in _LATE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = _named(getattr(importlib.import_module(f"pullback.api.{LATE[name]}"), name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *LATE})
