"""Datasets: sized collections of samples by index, and streams."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pullback.engine.tensor import TensorBase, from_host
from pullback.util.errors import (
    ArgumentError,
    DataError,
    IndexError_,
    LengthsError,
    NotDefinedError,
    ValueError_,
    message,
)


class Dataset:
    """A collection of samples: define `__len__` and `__getitem__(index)`."""

    def __getitem__(self, index: int) -> Any:
        raise NotDefinedError(message("dataset: no __getitem__", [("class", type(self).__name__)],
                                "define __getitem__(self, index) and __len__(self)"))

    def __len__(self) -> int:
        raise ArgumentError(message("dataset: no __len__", [("class", type(self).__name__)],
                                "define __len__(self), or derive from IterableDataset"))

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """A stream of samples: define `__iter__`."""

    def __iter__(self) -> Iterator[Any]:
        raise DataError(message("dataset: no __iter__", [("class", type(self).__name__)], "define __iter__(self)"))


class TensorDataset(Dataset):
    """Samples are rows of tensors or arrays of equal length. Kept in host memory; a batch is one indexing."""

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ArgumentError(message("TensorDataset: no tensors", [], "pass at least one tensor or array"))
        self.arrays: tuple[np.ndarray[Any, Any], ...] = tuple(_host(t) for t in tensors)
        for k, array in enumerate(self.arrays):
            if array.ndim == 0 or len(array) != len(self.arrays[0]):
                raise LengthsError(message(
                    "TensorDataset: all tensors must have the same first dimension",
                    [("0", str(list(self.arrays[0].shape))), (str(k), str(list(array.shape)))],
                    "pass one row of each tensor per sample"))

    @property
    def tensors(self) -> tuple[Any, ...]:
        """All samples, as tensors."""
        return tuple(from_host(a) for a in self.arrays)

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError_(message("TensorDataset: index out of range",
                                      [("index", str(index)), ("length", str(len(self)))],
                                      f"use -{len(self)} to {len(self) - 1}"))
        return tuple(from_host(a[index]) for a in self.arrays)

    def rows(self, indices: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        """Samples by index array, still in host memory."""
        return tuple(a[indices] for a in self.arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])


def _host(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    return value.numpy() if isinstance(value, TensorBase) else from_host(value).numpy()


class Subset(Dataset):
    """Some samples of a dataset, by index."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices, np.int64).reshape(-1)
        size = len(dataset)
        bad = self.indices[(self.indices < -size) | (self.indices >= size)]
        if bad.size:
            raise IndexError_(message("Subset: index out of range", [("index", str(bad[0])), ("length", str(size))],
                                      f"indices of this dataset are 0 to {size - 1}"))

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[int(self.indices[index])]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """Datasets one after the other."""

    def __init__(self, datasets: Sequence[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError(message("ConcatDataset: no datasets", [], "pass at least one"))
        self.ends = np.cumsum([len(d) for d in self.datasets]).tolist()

    def __getitem__(self, index: int) -> Any:
        size = len(self)
        if not -size <= index < size:
            raise IndexError_(message("ConcatDataset: index out of range",
                                      [("index", str(index)), ("length", str(size))],
                                      f"use 0 to {size - 1}"))
        index += size if index < 0 else 0
        k = bisect_right(self.ends, index)
        return self.datasets[k][index - (self.ends[k - 1] if k else 0)]

    def __len__(self) -> int:
        return self.ends[-1]


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Any = None) -> list[Subset]:
    """Split at random into parts of these lengths, or of these fractions where they add up to 1."""
    from pullback.data.loader import permutation, seed_of

    size = len(dataset)
    parts = list(lengths)
    if parts and all(isinstance(p, float) and 0 <= p <= 1 for p in parts) and abs(sum(parts) - 1) < 1e-6:
        counts = [int(size * p) for p in parts]
        for k in range(size - sum(counts)):
            counts[k % len(counts)] += 1
    else:
        counts = [int(p) for p in parts]
    if sum(counts) != size or min(counts, default=0) < 0:
        raise ValueError_(message("random_split: the lengths must add up to the dataset's",
                                  [("lengths", str(list(lengths))), ("dataset", str(size))],
                                  "pass lengths with this sum, or fractions that add up to 1"))
    order = permutation(size, seed_of(generator), 0)
    ends = np.cumsum(counts)
    return [Subset(dataset, order[end - n:end].tolist()) for end, n in zip(ends, counts, strict=True)]
