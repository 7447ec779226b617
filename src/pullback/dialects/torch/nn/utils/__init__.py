"""`torch.nn.utils`."""

from typing import Any

from pullback.dialects import names
from pullback.dialects.torch.tensors import styled
from pullback.nn import utils as _utils
from pullback.nn.utils import *  # noqa: F403


def clip_grad_norm_(parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                    foreach: Any = None) -> Any:
    """Scale gradients so that their norm is at most `max_norm`; returns the norm before."""
    return styled(_utils.clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite))


clip_grad_norm = clip_grad_norm_
__getattr__, __dir__ = names(__name__, {
    "nn.utils": """weight_norm remove_weight_norm spectral_norm remove_spectral_norm
        fuse_conv_bn_eval fuse_conv_bn_weights fuse_linear_bn_eval fuse_linear_bn_weights""",
    "dialects.torch.nn.utils.clip_grad": "clip_grad=", "dialects.torch.nn.utils.stateless": "stateless=",
    "dialects.torch.nn.utils.convert_parameters": "convert_parameters=", "nn.utils.fusion": "fusion=",
    "dialects.torch.nn.utils.rnn": "rnn=", "dialects.torch.nn.utils.parametrize": "parametrize=",
    "dialects.torch.nn.utils.parametrizations": "parametrizations=", "dialects.torch.nn.utils.prune": "prune=",
})
