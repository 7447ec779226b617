"""Random numbers: JAX's published bits, distributions, the global generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.torch as torch
import pytest

import pullback as pb
from pullback import random
from pullback.util import config
from pullback.util.errors import PullbackError

VECTORS: dict[str, dict[str, Any]] = {
    "original": {
        "split": [[4146024105, 967050713], [2718843009, 1272950319]],
        "bits": [0xF71F4EA9, 0x39A405D9, 0xA20E4081, 0x4BDFAE2F],
        "uniform": [0.96532142, 0.31468165, 0.63302994],
        "normal": [1.8160863, -0.48262316, 0.33988908],
        "normal42": -0.18471177,
        "split21": [[15689208, 2943087094], [1648097174, 339021355]],
    },
    "partitionable": {
        "split": [[1797259609, 2579123966], [928981903, 3453687069]],
        "bits": [0xF29A4FA7, 0xFA843692, 0x55110E28, 0x77FAA835],
        "uniform": [0.94766700, 0.97857988, 0.33229148],
        "normal": [1.62264216, 2.02526474, -0.43359447],
        "normal42": -0.02830462,
        "split21": [[2350560007, 1024160832], [549268965, 2234923354]],
    },
}


@pytest.mark.parametrize("layout", VECTORS)
def test_vectors(layout: str) -> None:
    want = VECTORS[layout]
    with config.override(random_layout=layout):
        key = random.key(0)
        assert random.split(key).numpy().tolist() == want["split"]
        assert random.split(random.key(21)).numpy().tolist() == want["split21"]
        assert random.bits(key, (4,)).numpy().tolist() == want["bits"]
        np.testing.assert_array_equal(random.uniform(key, (3,)).numpy(), np.float32(want["uniform"]))
        np.testing.assert_allclose(random.normal(key, (3,)).numpy(), want["normal"], rtol=5e-7)
        np.testing.assert_allclose(random.normal(random.key(42)).numpy(), want["normal42"], rtol=5e-7)


def test_the_tutorial_keys() -> None:
    with config.override(random_layout="original"):
        key, _ = random.split(random.key(21))
        assert key.numpy().tolist() == [15689208, 2943087094]


def test_fold_in_is_one_block() -> None:
    assert random.fold_in(np.array([0x13198A2E, 0x03707344], np.uint32), 0).shape == (2,)
    key = np.zeros(2, np.uint32)
    # counter (0, 0) under key (0, 0): the known answer of Random123
    assert [hex(n) for n in random.fold_in(key, 0).numpy().tolist()] == ["0x6b200159", "0x99ba4efe"]
    assert random.fold_in(key, 7).numpy().tolist() != random.fold_in(key, 8).numpy().tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_moments(dtype: str) -> None:
    key = random.key(1)
    u = random.uniform(key, (20_000,), dtype, -2.0, 4.0).numpy().astype(float)
    assert u.min() >= -2 and u.max() <= 4 and abs(u.mean() - 1) < 0.06 and abs(u.std() - 3**0.5) < 0.04
    n = random.normal(key, (20_000,), dtype).numpy().astype(float)
    assert abs(n.mean()) < 0.03 and abs(n.std() - 1) < 0.03 and np.isfinite(n).all()


def test_other_distributions() -> None:
    key, n = random.key(2), 20_000
    assert abs(random.exponential(key, n).numpy().mean() - 1) < 0.03
    assert abs(random.gumbel(key, n).numpy().mean() - 0.5772) < 0.03
    assert abs(random.bernoulli(key, 0.3, n).numpy().mean() - 0.3) < 0.02
    t = random.truncated_normal(key, -1.0, 0.5, n).numpy()
    assert t.min() > -1 and t.max() < 0.5 and abs(t.mean() + 0.2071) < 0.02
    c = random.categorical(key, pb.tensor([0.0, 1.0, 2.0]), shape=(n,)).numpy()
    np.testing.assert_allclose(np.bincount(c) / n, np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum(), atol=0.02)
    w = random.choice(key, 3, (n,), p=[0.2, 0.5, 0.3]).numpy()
    np.testing.assert_allclose(np.bincount(w) / n, [0.2, 0.5, 0.3], atol=0.02)
    assert sorted(random.choice(key, 5, (5,), replace=False).numpy().tolist()) == list(range(5))
    assert sorted(random.choice(key, 3, (3,), replace=False, p=[0.1, 0.2, 0.7]).numpy().tolist()) == [0, 1, 2]
    assert set(random.choice(key, pb.tensor([5.0, 7.0]), (50,)).numpy().tolist()) == {5.0, 7.0}


@pytest.mark.parametrize("dtype, low, high", [("int32", -5, 7), ("int8", -128, 127), ("uint32", 0, 2**32 - 1),
                                              ("int64", -2**40, 2**40), ("uint8", 250, 255)])
def test_randint(dtype: str, low: int, high: int) -> None:
    x = random.randint(random.key(3), (5000,), low, high, dtype).numpy().astype(float)
    assert x.min() >= low and x.max() < high
    assert abs(x.mean() - (low + high - 1) / 2) < 0.03 * (high - low)


def test_permutation() -> None:
    key = random.key(4)
    order = random.permutation(key, 100).numpy()
    assert sorted(order.tolist()) == list(range(100)) and order.tolist() != list(range(100))
    x = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    moved = random.permutation(key, x, axis=1).numpy()
    assert sorted(moved[0].tolist()) == [0, 1, 2] and (moved - moved[0] == x - x[0]).all()


def test_the_global_generator_repeats() -> None:
    def draw() -> list[Any]:
        return [pb.rand(3).numpy(), pb.randn(2, 2).numpy(), pb.randint(0, 10, (4,)).numpy(), pb.randperm(6).numpy(),
                pb.rand_like(pb.ones(2)).numpy()]

    pb.manual_seed(0)
    first = draw()
    state = pb.get_rng_state()
    second = draw()
    pb.set_rng_state(state)
    third = draw()
    pb.manual_seed(0)
    assert all((a == b).all() for a, b in zip(first, draw(), strict=True))
    assert all((a == b).all() for a, b in zip(second, third, strict=True))
    assert not (first[0] == second[0]).all()
    assert pb.randperm(5).dtype is pb.int64 and pb.randint(3, (2,)).dtype is pb.int64


def test_generators_are_independent() -> None:
    a, b = pb.Generator().manual_seed(1), pb.Generator().manual_seed(1)
    x = pb.rand(4, generator=a).numpy()
    pb.rand(4)
    assert (pb.rand(4, generator=b).numpy() == x).all() and a.initial_seed() == 1


def test_a_compiled_function_draws_anew_at_each_call() -> None:
    noisy = pb.jit(lambda x: x + pb.rand(3) - pb.rand(3))
    pb.manual_seed(7)
    first, second = noisy(pb.zeros(3)).numpy(), noisy(pb.zeros(3)).numpy()
    assert not (first == second).any() and first.any()
    pb.manual_seed(7)
    noisy(pb.zeros(3))  # the trace is there already
    assert (noisy(pb.zeros(3)).numpy() == second).all()


def test_gradients_pass_through_the_scale() -> None:
    scale = pb.tensor([2.0, 3.0], requires_grad=True)
    noise = random.normal(random.key(0), (2,))
    (noise * scale).sum().backward()
    np.testing.assert_array_equal(scale.grad.numpy(), noise.numpy())


WRONG: dict[str, Callable[[], Any]] = {
    "key": lambda: random.uniform(7),
    "old key": lambda: random.normal(pb.ones(2)),
    "seed": lambda: random.key(1.5),
    "dtype": lambda: random.normal(random.key(0), (), pb.int32),
    "shape": lambda: random.normal(random.key(0), (-1,)),
    "huge": lambda: pb.rand(1 << 24, 1 << 24),
    "empty range": lambda: random.randint(random.key(0), (), 3, 3),
    "bound": lambda: random.randint(random.key(0), (), 0, 2**40),
    "p": lambda: random.bernoulli(random.key(0), 1.5),
    "interval": lambda: random.truncated_normal(random.key(0), 2.0, 1.0),
    "split": lambda: random.split(random.key(0), -1),
    "choice": lambda: random.choice(random.key(0), 2, (3,), replace=False),
    "bits": lambda: random.bits(random.key(0), (), "int32"),
    "weights": lambda: random.choice(random.key(0), 2, p=[1.0]),
    "logits": lambda: random.categorical(random.key(0), pb.ones((2, 3)), shape=(5,)),
    "fold": lambda: random.fold_in(random.key(0), 1.5),
    "randint size": lambda: pb.randint(5),
    "randint": lambda: pb.randint(5, 2, (1,)),
    "randperm": lambda: pb.randperm(-1),
    "generator": lambda: pb.rand(2, generator=3),
    "state": lambda: pb.set_rng_state(pb.ones(3)),
    "permutation": lambda: random.permutation(random.key(0), pb.ones(3), axis=1),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls(name: str) -> None:
    with pytest.raises(PullbackError, match="help"):
        WRONG[name]()


@pytest.mark.parametrize("lib", [pb, torch], ids=["native", "torch"])
def test_functions_that_draw_numbers_draw_them(lib: Any) -> None:
    f = lib.nn.functional
    lib.manual_seed(0)
    chosen = f.gumbel_softmax(lib.zeros((3000, 3)), hard=True).numpy().mean(0)
    np.testing.assert_allclose(chosen, 1 / 3, atol=0.04)
    slopes = -f.rrelu(-lib.ones((3000,)), 0.1, 0.5, training=True).numpy()
    assert slopes.min() >= 0.1 and slopes.max() <= 0.5
    np.testing.assert_allclose([slopes.mean(), slopes.std()], [0.3, 0.4 / 12**0.5], atol=0.01)
    x = lib.zeros((200, 1, 10, 10)) + lib.arange(100.0).reshape((10, 10))
    maxima = f.fractional_max_pool2d(x, 2, output_size=4).numpy()
    assert len({a.tobytes() for a in maxima}) > 3


def test_gumbel_softmax_draws_pytorch_s_numbers() -> None:
    torch.manual_seed(7)
    found = torch.nn.functional.gumbel_softmax(torch.ones(2, 3))
    expected = [[0.4566294848918915, 0.46785372495651245, 0.0755167230963707],
                [0.4994325637817383, 0.2087497115135193, 0.29181772470474243]]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
