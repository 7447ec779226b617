"""`torch.nn.utils.clip_grad`."""

from pullback.dialects.torch.nn.utils import clip_grad_norm, clip_grad_norm_
from pullback.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]
