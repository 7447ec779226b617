"""`torch.utils.data`: datasets and loaders, in PyTorch's order of random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback import data as native
from pullback.data import ConcatDataset, Dataset, IterableDataset, Subset
from pullback.dialects import names
from pullback.dialects.torch.creation import Generator, default_generator, multinomial, tensor
from pullback.dialects.torch.tensors import styled_tree
from pullback.util.errors import ValueError_, message


def _word(generator: Any) -> int:
    """A number of 63 bits, as PyTorch draws seeds."""
    return (default_generator if generator is None else generator).draw() & (2**63 - 1)


class TensorDataset(native.TensorDataset):
    """Rows of tensors of equal length."""

    def __getitem__(self, index: Any) -> Any:
        return styled_tree(super().__getitem__(index))


class Sampler(native.Sampler):
    """An order of indices."""

    def __init__(self, data_source: Any = None) -> None:
        super().__init__()


class SequentialSampler(native.SequentialSampler, Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source


class RandomSampler(Sampler):
    """A new shuffle every time it is iterated."""

    def __init__(self, data_source: Any, replacement: bool = False, num_samples: int | None = None,
                 generator: Any = None) -> None:
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self.num_samples = len(data_source) if num_samples is None else num_samples
        if self.num_samples < 1:
            raise ValueError_(message("num_samples should be a positive integer value",
                                      [("num_samples", str(self.num_samples))], "an empty dataset cannot be shuffled"))

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        source = Generator().manual_seed(_word(None)) if self.generator is None else self.generator
        count = len(self.data_source)
        if self.replacement:
            from pullback.ir.dtypes import int64

            drawn = [source.integers(0, count, (min(32, self.num_samples - k),), int64)
                     for k in range(0, self.num_samples, 32)]
            yield from np.concatenate(drawn).tolist() if drawn else []
            return
        for _ in range(self.num_samples // count):
            yield from source.permutation(count).tolist()
        # drawn even where nothing of it is wanted: the next shuffle of a generator that was given depends on it
        yield from source.permutation(count).tolist()[:self.num_samples % count]


class SubsetRandomSampler(Sampler):
    """A shuffle of given indices."""

    def __init__(self, indices: Any, generator: Any = None) -> None:
        self.indices, self.generator = list(indices), generator

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        source = default_generator if self.generator is None else self.generator
        yield from (self.indices[k] for k in source.permutation(len(self.indices)).tolist())


class WeightedRandomSampler(Sampler):
    """Indices drawn with the probabilities that weights stand for."""

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None) -> None:
        self.weights, self.num_samples = tensor(weights, dtype="float64"), num_samples
        self.replacement, self.generator = replacement, generator

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        yield from multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).tolist()


class BatchSampler(Sampler):
    """Batches of the indices of another sampler."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __len__(self) -> int:
        count = len(self.sampler)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch


class DataLoader(native.DataLoader):
    """Batches of a dataset; a shuffle draws from PyTorch's generator as PyTorch does."""

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Any = None,
                 batch_sampler: Any = None, num_workers: int = 0, collate_fn: Any = None, pin_memory: bool = False,
                 drop_last: bool = False, timeout: float = 0, worker_init_fn: Any = None,
                 multiprocessing_context: Any = None,
                 generator: Any = None, *, prefetch_factor: int | None = None, persistent_workers: bool = False,
                 pin_memory_device: str = "", in_order: bool = True) -> None:
        if num_workers < 0:
            raise ValueError_(message("num_workers option should be non-negative", [("num_workers", str(num_workers))],
                                      "0"))
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError_(message("batch_sampler excludes batch_size, shuffle, sampler and drop_last",
                                      help="give batch_sampler alone"))
        super().__init__(dataset, batch_size, bool(shuffle), sampler, batch_sampler, 0, collate_fn, pin_memory,
                         drop_last,
                         timeout, worker_init_fn, generator=0)
        self.generator, self.num_workers, self.pin_memory = generator, num_workers, pin_memory
        if shuffle:
            RandomSampler(dataset, generator=generator)  # which refuses an empty one

    def __iter__(self) -> Iterator[Any]:
        self._base_seed = _word(self.generator)
        for batch in super().__iter__():
            yield styled_tree(batch)

    def _order(self) -> Any:
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count)
        return np.array(list(RandomSampler(self.dataset, generator=self.generator)))


def random_split(dataset: Any, lengths: Any, generator: Any = None) -> list[Any]:
    """Subsets of given lengths, or fractions, that do not overlap."""
    sizes = list(lengths)
    total = len(dataset)
    if abs(sum(sizes) - 1) < 1e-6 and sum(sizes) <= 1:
        sizes = [int(total * share) for share in sizes]
        for k in range(total - sum(sizes)):
            sizes[k % len(sizes)] += 1
    if sum(sizes) != total:
        raise ValueError_(message("Sum of input lengths does not equal the length of the input dataset!",
                                  [("lengths", str(sizes)), ("dataset", str(total))], "check the lengths"))
    order = (default_generator if generator is None else generator).permutation(total).tolist()
    ends = [sum(sizes[:k + 1]) for k in range(len(sizes))]
    return [Subset(dataset, order[end - size:end]) for size, end in zip(sizes, ends, strict=True)]


def default_collate(batch: Any) -> Any:
    """One batch of samples."""
    return styled_tree(native.default_collate(batch))


__getattr__, __dir__ = names(__name__, {
    "dialects.torch.utils.data": "dataloader= dataset= sampler=",
    "dialects.torch.utils.data.distributed": "distributed= DistributedSampler",
})
__all__ = ["BatchSampler", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset", "RandomSampler", "Sampler",
           "SequentialSampler", "Subset", "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler",
           "default_collate", "random_split"]
