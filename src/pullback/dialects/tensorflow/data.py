"""`tf.data`: data sets of arrays on the host, whose elements a session feeds to the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pullback.dialects.tensorflow.dtypes import as_dtype
from pullback.dialects.tensorflow.errors import OutOfRangeError
from pullback.dialects.tensorflow.graph import Operation, Tensor, get_default_graph
from pullback.util import tree
from pullback.util.errors import ShapeError, message

Elements = Callable[[], Iterator[list[Any]]]


class Dataset:
    """Elements, each a structure of arrays."""

    def __init__(self, elements: Elements, structure: Any, types: list[tuple[Any, Any]]) -> None:
        self.elements, self.structure, self.types = elements, structure, types

    @staticmethod
    def from_tensor_slices(tensors: Any) -> Dataset:
        """One element for each row of arrays."""
        whole = np.asarray(tensors) if isinstance(tensors, list) else tensors
        leaves, structure = tree.flatten(whole)
        arrays = [_array(x) for x in leaves]
        count = {a.shape[0] if a.ndim else None for a in arrays}
        if len(count) != 1 or None in count:
            raise ShapeError(
                message(
                    "from_tensor_slices: all arrays need one leading size",
                    [("shapes", ", ".join(str(a.shape) for a in arrays))],
                )
            )
        return Dataset(
            lambda: ([a[k] for a in arrays] for k in range(arrays[0].shape[0])),
            structure,
            [(a.dtype, a.shape[1:]) for a in arrays],
        )

    def batch(self, batch_size: int, drop_remainder: bool = False) -> Dataset:
        """Elements stacked, `batch_size` at a time."""

        def batches() -> Iterator[list[Any]]:
            rows: list[list[Any]] = []
            for row in self.elements():
                rows.append(row)
                if len(rows) == batch_size:
                    yield [np.stack(c) for c in zip(*rows, strict=True)]
                    rows = []
            if rows and not drop_remainder:
                yield [np.stack(c) for c in zip(*rows, strict=True)]

        lead = batch_size if drop_remainder else None
        return Dataset(batches, self.structure, [(d, (lead, *s)) for d, s in self.types])

    def repeat(self, count: int | None = None) -> Dataset:
        """The elements several times, or for ever."""

        def again() -> Iterator[list[Any]]:
            turn = 0
            while count is None or count < 0 or turn < count:
                yield from self.elements()
                turn += 1

        return Dataset(again, self.structure, self.types)

    def shuffle(self, buffer_size: int, seed: int | None = None, **_: Any) -> Dataset:
        """The elements in random order, chosen from a buffer."""

        def shuffled() -> Iterator[list[Any]]:
            rng = np.random.default_rng(seed)
            held: list[list[Any]] = []
            for row in self.elements():
                held.append(row)
                if len(held) > buffer_size:
                    k = int(rng.integers(len(held)))
                    held[k], held[-1] = held[-1], held[k]
                    yield held.pop()
            for k in rng.permutation(len(held)):
                yield held[k]

        return Dataset(shuffled, self.structure, self.types)

    def take(self, count: int) -> Dataset:
        """The first elements."""

        def first() -> Iterator[list[Any]]:
            for k, row in enumerate(self.elements()):
                if k >= count >= 0:
                    return
                yield row

        return Dataset(first, self.structure, self.types)

    def prefetch(self, buffer_size: int) -> Dataset:
        """The data set itself: it is in memory."""
        return self

    def make_one_shot_iterator(self) -> DatasetIterator:
        """The elements, once in each session."""
        return DatasetIterator(self)


def _array(x: Any) -> Any:
    array = np.asarray(x)
    if not isinstance(x, (np.ndarray, np.generic)):
        return array.astype({"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype))
    return array


class DatasetIterator:
    """Gives the next element in each run."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def get_next(self, name: str = "IteratorGetNext") -> Any:
        """Tensors that are the next element in each run."""
        graph = get_default_graph()
        op = Operation(graph, "IteratorGetNext", graph.unique_name(name), [], lambda run: None)
        op.outputs = [Tensor(op, k, as_dtype(d), s) for k, (d, s) in enumerate(self.dataset.types)]
        op.source = self
        return tree.unflatten(self.dataset.structure, op.outputs)

    def start(self) -> _Running:
        """The elements from the first on."""
        return _Running(self.dataset)


class _Running:
    """A pass over a data set."""

    def __init__(self, dataset: Dataset) -> None:
        self.rows = dataset.elements()

    def next(self, op: Operation) -> list[Any]:
        row = next(self.rows, None)
        if row is None:
            raise OutOfRangeError(
                message("End of sequence", [("operation", op.name)], "use .repeat(), or stop here"), op
            )
        return [np.ascontiguousarray(x).reshape(np.shape(x)) for x in row]
