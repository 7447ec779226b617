"""Numbers of the Mersenne Twister, beside NumPy's generator; normal ones, compiled beside NumPy's arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.api import box_muller
from pullback.api.mersenne import Mersenne, _first  # pyright: ignore[reportPrivateUsage]
from pullback.dialects import torch
from pullback.ir.dtypes import float32, int64

SEED = 1234


def seeded() -> tuple[Mersenne, Any]:
    """Ours, and NumPy's."""
    from numpy.random import MT19937

    other: Any = MT19937()
    other._legacy_seeding(SEED)
    return Mersenne().manual_seed(SEED), other


def test_words_in_parts_of_any_length() -> None:
    mine, other = seeded()
    for count in (1, 3, 0, 5, 615, 1, 623, 624, 625, 1000, 1248, 7, 100_003):
        np.testing.assert_array_equal(mine.words(count), other.random_raw(count))


def test_a_shuffle_is_fisher_and_yates() -> None:
    mine, other = seeded()
    order = list(range(1000))
    for k, word in enumerate(other.random_raw(999)):
        step = int(word) % (1000 - k)
        order[k], order[k + step] = order[k + step], order[k]
    assert mine.permutation(1000).tolist() == order
    assert mine.permutation(1).tolist() == [0]
    assert mine.permutation(0).tolist() == []


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.1, 0.5, 1 - 2.0**-53, 1.0])
def test_chances_are_numbers_of_53_bits_below_a_bound(p: float) -> None:
    mine, other = seeded()
    words = other.random_raw(20_000).reshape(-1, 2)
    numbers = ((words[:, 0] << np.uint64(32) | words[:, 1]) & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53
    np.testing.assert_array_equal(mine.chances(p, (10_000,)), numbers < p)


def test_the_second_word_of_a_chance_decides_where_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, _ = seeded()
    half = 2**20  # the upper 21 bits of 1/2 in 53
    words = np.array([half, 0, half, 1, half - 1, 2**32 - 1, half + 1, 0, half | 1 << 31, 6], np.uint32)
    monkeypatch.setattr(mine, "words", lambda count: words)
    assert mine.chances(0.5 + 2.0**-53, (5,)).tolist() == [True, False, True, False, False]


def test_a_strange_state_is_only_rubbish() -> None:
    mine, _ = seeded()
    state = mine.get_state().numpy().copy()
    state[8:] = 0xFF
    mine.set_state(state)
    assert mine.words(2000).shape == (2000,)


@pytest.mark.parametrize("count", [4096, 200_000, 262_144 + 9])
def test_compiled_normal_numbers_have_the_same_bits(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    for worth in (0, 1 << 60):
        monkeypatch.setattr(box_muller, "WORTH_COMPILING", worth)
        assert (box_muller._program_for(count) is None) == bool(worth)  # pyright: ignore[reportPrivateUsage]
        found.append(Mersenne().manual_seed(SEED).normal((count,), float32, 0.5, 2.0))
    np.testing.assert_array_equal(*found)
    assert abs(found[0].mean() - 0.5) < 0.2 and abs(found[0].std() - 2.0) < 0.1


@pytest.mark.parametrize("count", [1, 2, 12, 13, 60, 100])
def test_the_first_of_a_race(count: int) -> None:
    g = np.random.default_rng(0)
    for race in (g.random((5, 100)), g.random((5, 100)).round(1), np.zeros((2, 100))):
        np.testing.assert_array_equal(_first(race, count), np.argsort(-race, -1, kind="stable")[..., :count])


def test_whole_numbers_of_any_range() -> None:
    for low, high in ((0, 7), (-5, 2**28), (0, 2**28 - 1), (-2**63, 2**63 - 1), (3, 4)):
        mine, other = seeded()
        words = other.random_raw(2000)
        if high - low >= 2**28:
            words = (words[0::2] << np.uint64(32)) | words[1::2]
        expected = [int(w) % (high - low) + low for w in words[:1000]]
        assert mine.integers(low, high, (1000,), int64).tolist() == expected


@pytest.mark.parametrize("name", ["dropout", "dropout2d", "alpha_dropout", "feature_alpha_dropout"])
def test_what_drops_all_draws_nothing(name: str) -> None:
    torch.manual_seed(0)
    assert not getattr(torch.nn.functional, name)(torch.ones(2, 3, 4, 4), 1.0, True).any()
    assert torch.rand(1).item() == 0.49625658988952637  # PyTorch's first number of that seed
