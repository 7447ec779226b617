"""Layers that tell attention where a token stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api.arguments import number
from pullback.engine.tensor import from_host
from pullback.ir.dtypes import float32
from pullback.nn import functional as F
from pullback.nn.linear import check_sizes
from pullback.nn.module import Module
from pullback.util.errors import ValueError_, message


class RotaryPositionalEmbeddings(Module):
    """Queries and keys, (batch, length, heads, dim), turned by their positions (Su et al. 2021): the product of two
    depends on how far apart they are. Name, arguments and pairs of neighbouring features are torchtune's.

    >>> import pullback as pb
    >>> pb.nn.RotaryPositionalEmbeddings(2)(pb.ones((1, 2, 1, 2)))[0, :, 0].round(decimals=3)
    Tensor([[ 1.   ,  1.   ],
            [-0.301,  1.382]], dtype=float32)
    """

    def __init__(self, dim: int, max_seq_len: int = 4096, base: float = 10_000) -> None:
        super().__init__()
        check_sizes(type(self).__name__, dim=dim, max_seq_len=max_seq_len)
        if dim % 2 or number(base, type(self).__name__, "base") <= 0:
            raise ValueError_(message(f"{type(self).__name__}: dim must be even and base positive",
                                      [("dim", str(dim)), ("base", str(base))], "dim is the size of a head"))
        self.dim, self.max_seq_len, self.base = dim, max_seq_len, base
        angles = np.outer(np.arange(max_seq_len), float(base) ** (-np.arange(0, dim, 2) / dim))
        table = np.concatenate([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
        self.register_buffer("cache", from_host(table, float32), persistent=False)

    def forward(self, x: Any, *, input_pos: Any = None) -> Any:
        return F.rotary_embedding(x, self.cache, input_pos)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, max_seq_len={self.max_seq_len}, base={self.base}"
