"""`torch.optim.lr_scheduler`."""

from pullback.dialects import names
from pullback.optim.lr_scheduler import *  # noqa: F403
from pullback.optim.lr_scheduler import LRScheduler

#: the name of PyTorch before 2.0
_LRScheduler = LRScheduler

__getattr__, __dir__ = names(__name__, {})
