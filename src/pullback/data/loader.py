"""Batches of a dataset, in an order that depends only on seed and epoch, resumable in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pullback.data.dataset import IterableDataset, Subset, TensorDataset
from pullback.engine.tensor import TensorBase, from_host
from pullback.util.errors import ArgumentError, DataError, KeyError_, ShapeError, ValueError_, message

#: makes new arrays of a batch's arrays, with random numbers
Augment = Callable[..., Sequence[Any]]


def permutation(size: int, seed: int, epoch: int) -> np.ndarray[Any, Any]:
    """A shuffle of range(size): a stable sort by counter-based random bits, the same under every NumPy version."""
    bits = np.random.Philox(key=np.array([seed & (2**64 - 1), epoch], np.uint64)).random_raw(size)
    return np.argsort(bits, kind="stable")


def seed_of(generator: Any) -> int:
    """A seed: the number given, or one drawn from the generator (None: the global one)."""
    if isinstance(generator, int) and not isinstance(generator, bool):
        return generator
    from pullback.api.random import (  # random numbers need the array room; data alone does not
        Generator,
        default_generator,
    )

    chosen = default_generator if generator is None else generator
    if not isinstance(chosen, Generator):
        raise ArgumentError(message("generator: not a generator", [("generator", f"{generator!r:.60}")],
                                    "pass a pb.Generator, a whole number as seed, or None"))
    return chosen.draw_seed()


class Sampler:
    """An order of indices: define `__iter__`, and `__len__` where the number is known."""

    def __iter__(self) -> Iterator[int]:
        raise DataError(message("sampler: no __iter__", [("class", type(self).__name__)], "define __iter__(self)"))


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A new shuffle every time it is iterated."""

    def __init__(self, data_source: Any, generator: Any = None) -> None:
        self.data_source, self.seed, self.epoch = data_source, seed_of(generator), 0

    def __iter__(self) -> Iterator[int]:
        order = permutation(len(self.data_source), self.seed, self.epoch)
        self.epoch += 1
        return iter(order.tolist())

    def __len__(self) -> int:
        return len(self.data_source)


class DataLoader:
    """Batches of a dataset.

    `for x, y in DataLoader(dataset, batch_size=32, shuffle=True, generator=0)`: each pass is an epoch with a shuffle of
    its own. `state_dict()` says epoch and position at any time; a loader given it by `load_state_dict` goes on with the
    batch after. `augment(random, *arrays)` changes the arrays of a TensorDataset's batch, with a NumPy generator that
    depends on seed, epoch and position.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        *,
        generator: Any = None,
        augment: Augment | None = None,
    ) -> None:
        _check(dataset, batch_size, shuffle, sampler, batch_sampler, num_workers)
        self.dataset, self.batch_size, self.shuffle, self.drop_last = dataset, batch_size, shuffle, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.collate_fn = collate_fn or default_collate
        self.augment = augment
        self.seed = seed_of(generator) if shuffle or augment is not None else 0
        self.epoch = 0
        self.position = 0  # batches of this epoch already given out
        self._resumed = False  # whether the next pass goes on where a state says
        if augment is not None and not isinstance(dataset, (TensorDataset, Subset)):
            raise ArgumentError(
                message(
                    "DataLoader: only batches of a TensorDataset are augmented",
                    [("dataset", type(dataset).__name__)],
                    "change the samples in the dataset's __getitem__",
                )
            )
        self._fast = collate_fn is None and sampler is None and batch_sampler is None and batch_size is not None

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        size = len(self.sampler if self.sampler is not None else self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return size
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self.position and not self._resumed:  # the last pass was left early, as by next(iter(loader))
            self.epoch += 1
            self.position = 0
        self._resumed = False
        start = self.position
        make = self._rows if self._fast and isinstance(self.dataset, (TensorDataset, Subset)) else self._samples
        for k, batch in enumerate(make(start), start):
            self.position = k + 1
            yield batch
        self.epoch += 1
        self.position = 0

    def _order(self) -> np.ndarray[Any, Any]:
        size = len(self.dataset)
        return permutation(size, self.seed, self.epoch) if self.shuffle else np.arange(size)

    def _rows(self, start: int) -> Iterator[Any]:
        """Batches by one indexing of each array."""
        dataset, order = self.dataset, self._order()
        while isinstance(dataset, Subset):
            dataset, order = dataset.dataset, dataset.indices[order]
        if not isinstance(dataset, TensorDataset):
            yield from self._samples(start)
            return
        size = self.batch_size
        assert size is not None
        for k in range(start, len(self)):
            arrays = dataset.rows(order[k * size:(k + 1) * size])
            if self.augment is not None:
                arrays = self.augment(self._random(k), *arrays)
            yield [from_host(a) for a in arrays]

    def _random(self, position: int) -> np.random.Generator:
        """The generator of one batch's augmentation: the same whenever the batch is made again."""
        return np.random.Generator(np.random.Philox(key=np.array([self.seed, (self.epoch + 1) << 32 | position],
                                                                 np.uint64)))

    def _samples(self, start: int) -> Iterator[Any]:
        """Batches by collating samples."""
        if isinstance(self.dataset, IterableDataset):
            yield from self._stream(start)
            return
        for k, chosen in enumerate(self._batches()):
            if k >= start:
                samples = [self.dataset[i] for i in chosen]
                yield self.collate_fn(samples) if self.batch_size is not None else samples[0]

    def _batches(self) -> Iterator[list[int]]:
        if self.batch_sampler is not None:
            yield from map(list, self.batch_sampler)
            return
        yield from _chunks(self.sampler if self.sampler is not None else self._order().tolist(), self.batch_size or 1,
                           self.drop_last)

    def _stream(self, start: int) -> Iterator[Any]:
        for k, samples in enumerate(_chunks(self.dataset, self.batch_size or 1, self.drop_last)):
            if k >= start:
                yield self.collate_fn(samples) if self.batch_size is not None else samples[0]

    def state_dict(self) -> dict[str, int]:
        """Where the loader is: seed, epoch, and batches of the epoch given out."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: the next iteration yields the rest of its epoch."""
        for name in ("seed", "epoch", "position"):
            if name not in state:
                raise KeyError_(message("DataLoader.load_state_dict: a name is missing", [("name", name)],
                                        "pass what state_dict() gave"))
        self.seed, self.epoch, self.position = (int(state[n]) for n in ("seed", "epoch", "position"))
        self._resumed = True


def _chunks(items: Iterable[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk and not drop_last:
        yield chunk


def _check(dataset: Any, batch_size: Any, shuffle: bool, sampler: Any, batch_sampler: Any, num_workers: int) -> None:
    def wrong(what: str, name: str, value: Any, cure: str) -> ValueError_:
        return ValueError_(message(f"DataLoader: {what}", [(name, f"{value!r:.60}")], cure))

    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer))
                                   or batch_size < 1):
        raise wrong("batch_size must be a whole number from 1 up", "batch_size", batch_size,
                    "for example batch_size=32")
    if num_workers != 0:
        raise wrong("samples are loaded in this process", "num_workers", num_workers,
                    "use num_workers=0; a TensorDataset needs no workers")
    if shuffle and (sampler is not None or batch_sampler is not None):
        raise wrong("a sampler decides the order itself", "shuffle", shuffle, "leave out shuffle or the sampler")
    if isinstance(dataset, IterableDataset):
        if shuffle or sampler is not None or batch_sampler is not None:
            raise wrong("a stream has its own order", "dataset", type(dataset).__name__,
                        "leave out shuffle and sampler")
    elif not callable(getattr(dataset, "__getitem__", None)) or not callable(getattr(dataset, "__len__", None)):
        raise ArgumentError(message("DataLoader: not a dataset", [("dataset", type(dataset).__name__)],
                                    "pass something with __len__ and __getitem__, such as pb.data.TensorDataset(x, y)"))


def default_collate(samples: list[Any]) -> Any:
    """One batch of samples: arrays and numbers are stacked, tuples and dicts go field by field, the rest is a list."""
    first = samples[0]
    if isinstance(first, TensorBase):
        samples = [s.numpy() for s in samples]
        first = samples[0]
    if isinstance(first, (np.ndarray, np.generic)):
        shapes = {np.shape(s) for s in samples}
        if len(shapes) > 1:
            raise ShapeError(message("collate: samples of a batch must have equal shapes",
                                     [("shapes", ", ".join([str(s) for s in sorted(shapes)[:3]]))],
                                     "pad them, or pass a collate_fn"))
        return from_host(np.stack(samples))
    if isinstance(first, (bool, int)):
        return from_host(np.asarray(samples, np.bool_ if isinstance(first, bool) else np.int64))
    if isinstance(first, float):
        return from_host(samples)
    if isinstance(first, Mapping):
        return {name: default_collate([s[name] for s in samples]) for name in first}
    if isinstance(first, tuple) and isinstance(getattr(first, "_fields", None), tuple):
        return type(first)(*(default_collate(list(column)) for column in zip(*samples, strict=True)))
    if isinstance(first, (tuple, list)):
        if len({len(s) for s in samples}) > 1:
            raise ShapeError(message("collate: samples of a batch must have equal lengths",
                                     [("lengths", str(sorted({len(s) for s in samples})))], "pass a collate_fn"))
        return [default_collate(list(column)) for column in zip(*samples, strict=True)]
    return samples
