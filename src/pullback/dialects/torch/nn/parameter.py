"""`torch.nn.parameter`."""

from pullback.dialects.torch.tensors import Parameter, UninitializedBuffer, UninitializedParameter
from pullback.nn.parameter import Buffer

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]
