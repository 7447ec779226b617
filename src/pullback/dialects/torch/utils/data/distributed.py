"""`torch.utils.data.distributed`: a share of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pullback.dialects.torch.creation import Generator, randperm
from pullback.dialects.torch.utils.data import Sampler
from pullback.util.errors import ValueError_, message


class DistributedSampler(Sampler):
    """Every `num_replicas`-th index from `rank` on, shuffled by `seed` and the epoch; each share is of equal length.

    By default the only share there is. With `drop_last` the end is left out that would make shares unequal, else
    indices from the beginning are taken twice.
    """

    def __init__(self, dataset: Any, num_replicas: int | None = None, rank: int | None = None, shuffle: bool = True,
                 seed: int = 0, drop_last: bool = False) -> None:
        super().__init__(dataset)
        self.dataset, self.shuffle, self.seed, self.drop_last, self.epoch = dataset, shuffle, seed, drop_last, 0
        self.num_replicas, self.rank = num_replicas or 1, rank or 0
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError_(message("DistributedSampler: no such rank", [
                ("rank", str(rank)), ("num_replicas", str(num_replicas))], f"0 to {self.num_replicas - 1}"))
        count = len(dataset)
        even = count // self.num_replicas if drop_last else math.ceil(count / self.num_replicas)
        self.num_samples, self.total_size = even, even * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        indices = list(range(len(self.dataset)))
        if self.shuffle:
            order = randperm(len(indices), generator=Generator().manual_seed(self.seed + self.epoch))
            indices = order.tolist()
        short = self.total_size - len(indices)
        if short > 0:
            indices += (indices * math.ceil(short / max(len(indices), 1)))[:short]
        return iter(indices[self.rank:self.total_size:self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Another order for each epoch."""
        self.epoch = epoch


__all__ = ["DistributedSampler"]
