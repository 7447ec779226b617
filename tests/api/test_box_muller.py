"""Numbers of the Mersenne Twister, beside NumPy's generator; normal ones, compiled beside NumPy's arithmetic."""

from __future__ import annotations

import zlib
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import pullback as pb
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


def checksum(x: Any) -> int:
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return zlib.crc32((x if x.dtype == torch.bool else x.view(kinds[x.dtype.itemsize])).numpy().tobytes())


@pytest.mark.parametrize("dtype,count,standard,scaled,following", [
    ("float16", 17, 2553667674, 2911379087, 0.1148971394664643),
    ("float16", 31, 900058265, 2319880458, 0.1148971394664643),
    ("float16", 32, 2173715154, 3057397333, 0.1148971394664643),
    ("float16", 33, 4285277847, 1802989713, 0.44117820628416327),
    ("float16", 100, 1441886015, 2297872898, 0.34220624737482996),
    ("float16", 1001, 1939742678, 3793275534, 0.841673506011156),
    ("bfloat16", 17, 1823029388, 2488326585, 0.1148971394664643),
    ("bfloat16", 31, 55791851, 3823000356, 0.1148971394664643),
    ("bfloat16", 32, 1895469699, 2238883212, 0.1148971394664643),
    ("bfloat16", 33, 3658405613, 3879596471, 0.44117820628416327),
    ("bfloat16", 100, 1314692987, 4111545351, 0.34220624737482996),
    ("bfloat16", 1001, 3397590629, 4270050610, 0.841673506011156)])
def test_normal_numbers_of_16_bits_are_pytorchs(dtype: str, count: int, standard: int, scaled: int,
                                                following: float) -> None:
    """Checksums of what PyTorch 2.13 draws, and the number that it draws next."""
    torch.manual_seed(3)
    assert checksum(torch.randn(count, dtype=getattr(torch, dtype))) == standard
    assert torch.rand(1, dtype=torch.float64).item() == following
    torch.manual_seed(3)
    assert checksum(torch.empty(count, dtype=getattr(torch, dtype)).normal_(0.3, 1.7)) == scaled


@pytest.mark.parametrize("dtype,count,low,high,wanted", [
    ("float16", 5000, 0.0, 1.0, 509767769),
    ("float16", 100, 1.0, 1.01, 1043365284),
    ("float16", 5000, -0.3, 1.7, 3966819697),
    ("float16", 10, 0.0, 1.0, 3101627224),
    ("bfloat16", 5000, 0.0, 1.0, 2297707134),
    ("bfloat16", 100, 1.0, 1.01, 2231946287),
    ("bfloat16", 5000, -0.3, 1.7, 3796816065),
    ("bfloat16", 10, 0.0, 1.0, 3548224673),
    ("float32", 100, 1.0, 1.0000002, 1925835562),
    ("float64", 100, 1.0, 1.0000002, 523916918),
    ("float32", 1000, -0.3, 1.7, 2203119029),
    ("float64", 1000, -0.3, 1.7, 4028063146)])
def test_uniform_numbers_never_reach_their_bound(dtype: str, count: int, low: float, high: float, wanted: int) -> None:
    """Checksums of what PyTorch 2.13 draws: what would be rounded up to the bound is the lower one."""
    torch.manual_seed(3)
    found = torch.empty(count, dtype=getattr(torch, dtype)).uniform_(low, high)
    assert checksum(found) == wanted
    assert not (found == high).any()


def test_products_and_sums_of_double_precision_are_rounded_once() -> None:
    a = np.random.default_rng(0).standard_normal(1000)
    wanted = [float(Fraction(x) * Fraction(1.7) + Fraction(0.3)) for x in a.tolist()]
    assert box_muller.fused(a, 1.7, 0.3).tolist() == wanted
    assert box_muller.fused(np.array([0.5, 0.0]), 1.7e308, 1.0).tolist() == [0.85e308, 1.0]


@pytest.mark.parametrize("dtype,bounds,wanted", [
    ("float16", (), 537140504), ("float16", (3, 700), 1860268813), ("float16", (0, 65504), 492195421),
    ("float16", (3, None), 478750540), ("bfloat16", (), 2129962799), ("bfloat16", (3, 700), 690256991),
    ("bfloat16", (-5000, 5001), 2369857428), ("bfloat16", (3, None), 398888113),
    ("bfloat16", (-2**63, None), 3387285281), ("float32", (), 4003123845), ("float32", (7,), 317455657),
    ("float32", (3, None), 2788479103), ("float32", (-2**40 - 1, 2**50 + 1), 2154921861),
    ("float32", (-2**63, None), 426501077), ("float64", (), 3679665294), ("float64", (7,), 2930143448),
    ("float64", (3, None), 3439925370), ("float64", (-2**63, None), 4169328835), ("uint8", (), 2804368340),
    ("uint8", (5, None), 2485677983), ("uint8", (3, 70), 1196423086), ("int8", (), 879407935),
    ("int8", (5, None), 1108026910), ("int8", (-5, 5), 2098812024), ("int16", (), 219413460),
    ("int16", (-300, None), 3484597475), ("int32", (), 1078374628), ("int32", (5, None), 627848399),
    ("int32", (0, 2**31), 575447834), ("int64", (), 3226484524), ("int64", (5, None), 2258150717),
    ("int64", (0, 2**40), 1750538205), ("int64", (-2**63, None), 2151412961), ("bool", (), 462444263),
    ("bool", (0, 1), 2575877834), ("bool", (1, None), 3763876191)])
def test_whole_numbers_of_each_dtype_are_pytorchs(dtype: str, bounds: tuple[int | None, ...], wanted: int) -> None:
    """Checksums of what PyTorch 2.13 draws."""
    torch.manual_seed(3)
    assert checksum(torch.zeros(100, dtype=getattr(torch, dtype)).random_(*bounds)) == wanted


@pytest.mark.parametrize("dtype,bounds", [
    ("float32", (5, 5)), ("float32", (0,)), ("int64", (3, 1)), ("uint8", (0, 2**40)), ("uint8", (-5, 5)),
    ("bool", (5,)), ("bool", (2, None)), ("float16", (0, 2**40)), ("int32", (-2**63, None)), ("float32", (1.5,))])
def test_bounds_of_whole_numbers_lie_within_the_dtype(dtype: str, bounds: tuple[Any, ...]) -> None:
    with pytest.raises((RuntimeError, TypeError), match="random_"):
        torch.zeros(3, dtype=getattr(torch, dtype)).random_(*bounds)


@pytest.mark.parametrize("dtype,most", [("uint8", 255), ("int8", 127), ("bool", 1), ("bfloat16", 256)])
def test_whole_numbers_of_a_compiled_function_are_of_the_whole_range(dtype: str, most: int) -> None:
    torch.manual_seed(0)
    found = pb.jit(lambda x: torch.zeros_like(x).random_())(torch.zeros(20_000, dtype=getattr(torch, dtype)))
    assert set(found.to(torch.int64).tolist()) == {*range(most + 1)}
