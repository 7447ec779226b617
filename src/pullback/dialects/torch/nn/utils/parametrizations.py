"""`torch.nn.utils.parametrizations`."""

from pullback.nn.utils.parametrizations import *  # noqa: F403
