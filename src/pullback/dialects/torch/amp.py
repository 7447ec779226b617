"""`torch.amp`."""

from pullback.train.amp import GradScaler as GradScaler
from pullback.train.amp import autocast as autocast
from pullback.train.amp import is_autocast_available as is_autocast_available
