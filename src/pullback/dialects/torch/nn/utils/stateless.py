"""`torch.nn.utils.stateless`."""

from pullback.nn.module import functional_call

__all__ = ["functional_call"]
