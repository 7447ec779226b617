"""Datasets, loaders, digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    digits,
    random_split,
)
from pullback.util.errors import PullbackError


class Squares(Dataset):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Any:
        return {"x": np.float32(index), "y": (index * index, "odd" if index % 2 else "even")}


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


def rows(loader: Any) -> list[list[int]]:
    return [batch[0].numpy().tolist() for batch in loader]


def test_batches_in_order() -> None:
    data = TensorDataset(np.arange(5), np.arange(10.0).reshape(5, 2))
    loader = DataLoader(data, batch_size=2)
    assert len(loader) == 3 and rows(loader) == [[0, 1], [2, 3], [4]]
    assert rows(DataLoader(data, 2, drop_last=True)) == [[0, 1], [2, 3]]
    x, y = next(iter(loader))
    assert x.dtype is pb.int64 and y.shape == (2, 2)


def test_shuffles_depend_on_seed_and_epoch_only() -> None:
    data = TensorDataset(np.arange(50))
    a, b, c = (DataLoader(data, 8, shuffle=True, generator=s) for s in (3, 3, 4))
    first, second = rows(a), rows(a)
    assert first != second and [rows(b), rows(b)] == [first, second] and rows(c) != first
    assert sorted(x for batch in first for x in batch) == list(range(50))
    pb.manual_seed(1)
    one = rows(DataLoader(data, 8, shuffle=True))
    pb.manual_seed(1)
    assert rows(DataLoader(data, 8, shuffle=True)) == one


@pytest.mark.parametrize(
    "make",
    [
        lambda: TensorDataset(np.arange(20)),
        lambda: Subset(TensorDataset(np.arange(40)), range(5, 25)),
        lambda: ConcatDataset([TensorDataset(np.arange(9)), TensorDataset(np.arange(11))]),
    ],
)
def test_resume_in_the_middle(make: Callable[[], Any]) -> None:
    whole = DataLoader(make(), 3, shuffle=True, generator=7)
    expected = rows(whole) + rows(whole)
    for stop in (0, 1, 6, 7, 9):
        loader = DataLoader(make(), 3, shuffle=True, generator=7)
        seen: list[Any] = []
        while len(seen) < stop:
            for batch in loader:
                seen.append(batch[0].numpy().tolist())
                if len(seen) == stop:
                    break
        other = DataLoader(make(), 3, shuffle=True, generator=99)
        other.load_state_dict(loader.state_dict())
        rest = rows(other)
        if other.epoch == 1:
            rest += rows(other)
        assert (seen + rest)[:14] == expected


def test_collating_samples() -> None:
    batches = list(DataLoader(Squares(), 4))
    assert batches[1]["x"].numpy().tolist() == [4, 5, 6] and batches[0]["y"][0].numpy().tolist() == [0, 1, 4, 9]
    assert batches[1]["y"][1] == ["even", "odd", "even"]
    assert default_collate([1.5, 2.5]).dtype is pb.float32 and str(default_collate([True]).dtype) == "bool"
    assert default_collate([pb.ones(2), pb.zeros(2)]).shape == (2, 2)
    assert [b.numpy().tolist() for b in DataLoader(Stream(), 2)] == [[0, 1], [2, 3], [4]]
    assert list(DataLoader(Squares(), None))[2]["y"] == (4, "even")
    assert list(DataLoader(Squares(), 2, collate_fn=len)) == [2, 2, 2, 1]
    assert rows(DataLoader(TensorDataset(np.arange(4)), 2, sampler=[3, 1, 0])) == [[3, 1], [0]]
    assert rows(DataLoader(TensorDataset(np.arange(4)), batch_sampler=[[3], [1, 0]])) == [[3], [1, 0]]


def test_samplers_splits_and_sums() -> None:
    data = TensorDataset(np.arange(10))
    assert list(SequentialSampler(data)) == list(range(10))
    sampler = RandomSampler(data, 5)
    assert sorted(sampler) == list(range(10)) and list(sampler) != list(sampler)
    a, b = random_split(data, [7, 3], generator=0)
    assert sorted([*a.indices.tolist(), *b.indices.tolist()]) == list(range(10))
    assert [len(p) for p in random_split(data, [0.5, 0.25, 0.25], 0)] == [6, 2, 2]
    both = data + Squares()
    assert len(both) == 17 and both[-1]["y"][0] == 36 and both[9][0].item() == 9


def test_digits() -> None:
    x, y = (a for a in digits("all").arrays)
    assert x.shape == (1797, 8, 8) and x.dtype == np.float32 and x.min() == 0 and x.max() == 1
    train, test = digits("train"), digits("test")
    assert (len(train), len(test)) == (1437, 360)
    assert np.bincount(test.arrays[1]).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    together = np.concatenate([train.arrays[0], test.arrays[0]]).reshape(1797, -1)
    assert {r.tobytes() for r in together} == {r.tobytes() for r in x.reshape(1797, -1)}
    assert y[:10].tolist() == list(range(10))


WRONG: dict[str, Callable[[], Any]] = {
    "no tensors": lambda: TensorDataset(),
    "lengths": lambda: TensorDataset(np.ones(3), np.ones(4)),
    "scalar": lambda: TensorDataset(np.ones(())),
    "index": lambda: TensorDataset(np.ones(3))[3],
    "subset": lambda: Subset(TensorDataset(np.ones(3)), [3]),
    "split": lambda: random_split(TensorDataset(np.ones(3)), [1, 1]),
    "negative split": lambda: random_split(TensorDataset(np.ones(3)), [4, -1]),
    "batch size 0": lambda: DataLoader(TensorDataset(np.ones(3)), 0),
    "batch size text": lambda: DataLoader(TensorDataset(np.ones(3)), "8"),  # type: ignore[arg-type]
    "workers": lambda: DataLoader(TensorDataset(np.ones(3)), num_workers=2),
    "shuffle and sampler": lambda: DataLoader(TensorDataset(np.ones(3)), shuffle=True, sampler=[0]),
    "stream shuffled": lambda: DataLoader(Stream(), shuffle=True),
    "not a dataset": lambda: DataLoader(7),
    "generator": lambda: DataLoader(TensorDataset(np.ones(3)), shuffle=True, generator="x"),
    "ragged": lambda: default_collate([np.ones(2), np.ones(3)]),
    "ragged lists": lambda: default_collate([[1], [1, 2]]),
    "state": lambda: DataLoader(Squares()).load_state_dict({"epoch": 1}),
    "no getitem": lambda: Dataset()[0],
    "no len": lambda: len(Dataset()),
    "no iter": lambda: list(IterableDataset()),
    "digits": lambda: digits("half"),
    "concat": lambda: ConcatDataset([]),
    "concat index": lambda: ConcatDataset([Squares()])[7],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls(name: str) -> None:
    with pytest.raises(PullbackError, match="help"):
        WRONG[name]()


def test_a_pass_that_was_left_early_starts_again() -> None:
    """`next(iter(loader))` is a look at a batch: the pass after it has all of them, in another order."""
    loader = DataLoader(TensorDataset(np.arange(10)), batch_size=3, shuffle=True, generator=0)
    first = next(iter(loader))[0].tolist()
    batches = [x.tolist() for x, in loader]
    assert sorted(k for batch in batches for k in batch) == list(range(10)) and batches[0] != first
    for _ in loader:
        break
    state = loader.state_dict()
    other = DataLoader(TensorDataset(np.arange(10)), batch_size=3, shuffle=True, generator=0)
    other.load_state_dict(state)
    assert len(list(other)) == 3, "a state goes on after its batch"
    assert len(list(other)) == 4
