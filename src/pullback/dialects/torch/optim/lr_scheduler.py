"""`torch.optim.lr_scheduler`."""

from pullback.dialects import names
from pullback.optim.lr_scheduler import *  # noqa: F403

__getattr__, __dir__ = names(__name__, {})
