"""`torch.types`: names for annotations."""

from __future__ import annotations

import os
from typing import IO, Any

from pullback.dialects.torch.dtypes import Size, device
from pullback.dialects.torch.variants import Tensor

Number = int | float | bool
Device = device | str | int | None
FileLike = str | os.PathLike[str] | IO[bytes]
IntLikeType, FloatLikeType, BoolLikeType = int, float, bool
Storage = Any

__all__ = ["BoolLikeType", "Device", "FileLike", "FloatLikeType", "IntLikeType", "Number", "Size", "Storage", "Tensor"]
