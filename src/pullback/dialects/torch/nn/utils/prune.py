"""`torch.nn.utils.prune`."""

from pullback.nn.utils.prune import *  # noqa: F403
