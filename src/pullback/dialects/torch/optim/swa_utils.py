"""`torch.optim.swa_utils`."""

from __future__ import annotations

from typing import Any

from pullback.dialects.torch.nn import Module
from pullback.train import swa_utils as native
from pullback.train.swa_utils import SWALR as SWALR
from pullback.train.swa_utils import get_ema_avg_fn as get_ema_avg_fn
from pullback.train.swa_utils import get_ema_multi_avg_fn as get_ema_multi_avg_fn
from pullback.train.swa_utils import get_swa_avg_fn as get_swa_avg_fn
from pullback.train.swa_utils import get_swa_multi_avg_fn as get_swa_multi_avg_fn
from pullback.train.swa_utils import update_bn as update_bn


class AveragedModel(Module, native.AveragedModel):
    """A copy of a model whose parameters are averages."""

    def __init__(self, *args: Any, **options: Any) -> None:
        native.AveragedModel.__init__(self, *args, **options)
