"""The language model of `pullback train chars`, what it writes, and the text it learns from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.data import crop_windows, shakespeare
from pullback.train import History, Run
from pullback.train.language import CharGPT, Samples, Writer
from pullback.util.errors import ValueError_


def model(context: int = 12) -> CharGPT:
    pb.manual_seed(0)
    return CharGPT(7, context, width=16, depth=2, heads=2)


def test_text_and_its_parts() -> None:
    train, test, every = (shakespeare(split) for split in ("train", "test", "all"))
    assert len(train) + len(test) + 9 >= len(every) > 1_200_000 and len(test) > 120_000
    assert "To be, or not to be" in train and "Exeunt" in test and set(test) <= set(every)
    with pytest.raises(ValueError_, match="no such split"):
        shakespeare("half")


def test_windows_are_pieces_with_what_follows() -> None:
    rows = np.arange(5 * 20, dtype=np.uint8).reshape(5, 20)
    x, y = crop_windows(np.random.default_rng(0), rows, length=8)
    assert x.shape == y.shape == (5, 8) and (y == x + 1).all() and (x[:, 0] // 20 == np.arange(5)).all()
    starts = {int(crop_windows(np.random.default_rng(k), rows[:1], length=8)[0][0, 0]) for k in range(200)}
    assert starts == set(range(12))


def test_decoding_gives_the_scores_of_the_whole() -> None:
    net = model()
    tokens = np.random.default_rng(0).integers(0, 7, (1, 12)).astype(np.int32)
    whole = net(pb.tensor(tokens)).numpy()
    caches = net.caches()
    for k in range(12):
        one = net.decode(pb.tensor(tokens[:, k]), pb.tensor(k), caches).numpy()
        np.testing.assert_allclose(one, whole[:, :, k], rtol=2e-4, atol=2e-5)


def test_a_cache_is_written_in_place_and_the_bits_do_not_depend_on_threads() -> None:
    pb.manual_seed(0)
    net = CharGPT(7, 24, width=384, depth=1, heads=6).eval()
    tokens = np.random.default_rng(0).integers(0, 7, 12).astype(np.int32)
    found: list[Any] = []
    for threads in (1, 2):
        with pb.config.override(threads=threads), pb.no_grad():
            step, caches = pb.jit(net.decode), net.caches()
            scores = [step(pb.tensor(tokens[k:k + 1]), k, caches).numpy() for k in range(12)]
            found.append([*scores, *(x.numpy() for x in caches)])
    assert all((a == b).all() for a, b in zip(*found, strict=True))
    whole = net(pb.tensor(tokens[None])).numpy()
    np.testing.assert_allclose(np.stack(found[0][:12], -1), whole, rtol=2e-4, atol=2e-5)
    assert not found[0][12][:, :, 12:].any()


def test_what_is_drawn_follows_the_probabilities() -> None:
    net = model()
    scores = net(pb.tensor([[3]])).numpy()[0, :, 0].astype(np.float64)
    wanted = np.exp(scores / 0.5 - (scores / 0.5).max())
    writer, count = Writer(net), np.zeros(7)
    for seed in range(400):
        count[writer.write([3], 1, temperature=0.5, seed=seed)[0]] += 1
        chance = np.random.default_rng(seed).random(1).astype(np.float32)[0]
        below = np.cumsum(wanted / wanted.sum())
        if abs(below - chance).min() > 1e-5:
            assert writer.write([3], 1, temperature=0.5, seed=seed) == [int((below <= chance).sum())]
    assert abs(count / 400 - wanted / wanted.sum()).max() < 0.1


def test_no_token_sees_what_comes_later() -> None:
    net = model()
    tokens = np.zeros((1, 12), np.int32)
    before = net(pb.tensor(tokens)).numpy()
    tokens[0, 6:] = 3
    after = net(pb.tensor(tokens)).numpy()
    np.testing.assert_allclose(after[:, :, :6], before[:, :, :6], rtol=1e-5, atol=1e-6)
    assert abs(after[:, :, 6:] - before[:, :, 6:]).max() > 1e-3


def test_writing_past_the_context() -> None:
    net = model()
    writer = Writer(net)
    found = writer.write([1, 2, 3], 40, seed=1)
    assert len(found) == 40 and set(found) <= set(range(7))
    assert found == Writer(net).write([1, 2, 3], 40, seed=1) != writer.write([1, 2, 3], 40, seed=2)
    assert found[:5] == writer.write([1, 2, 3], 5, seed=1) and writer.write([1], 0) == []
    likeliest = writer.write([4], 3, temperature=0)
    row = [4]
    for _ in range(3):
        row.append(int(net(pb.tensor([row])).numpy()[0, :, -1].argmax()))
    assert likeliest == row[1:]
    assert len(writer.write(list(range(7)) * 5, 2)) == 2  # a prompt longer than the context
    with pytest.raises(ValueError_, match="no token to begin with"):
        writer.write([], 3)


def test_wrong_calls() -> None:
    with pytest.raises(ValueError_, match="more tokens than the model can look back on"):
        model()(pb.zeros(1, 13, dtype=pb.int32))
    with pytest.raises(ValueError_, match="share the width evenly"):
        CharGPT(7, width=16, heads=3)


def test_samples_are_shown() -> None:
    stream = io.StringIO()
    loader: Any = type("Loader", (), {"epoch": 3})()
    run = Run(model(), None, lambda a, b: a, loader, 4, history=History())
    run.measured.epochs["held_out_loss"].append(1.5)
    Samples("abcdefg", "cab", 20, stream).epoch_ended(run)
    shown = stream.getvalue()
    assert "epoch 3, held-out loss 1.500" in shown and "\ncab" in shown and len(shown.splitlines()[1]) == 23
