"""`torch.nn.parameter`."""

from pullback.dialects.torch.tensors import Parameter

__all__ = ["Parameter"]
