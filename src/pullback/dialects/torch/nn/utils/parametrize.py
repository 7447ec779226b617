"""`torch.nn.utils.parametrize`."""

from pullback.nn.utils.parametrize import *  # noqa: F403
