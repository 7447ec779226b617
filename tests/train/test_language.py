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
