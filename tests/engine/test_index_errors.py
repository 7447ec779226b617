"""Indices out of range that are known only when the program runs: an error at the next observation."""

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.util.errors import IndexError_


@pytest.mark.parametrize("call", [
    lambda i: pb.take(pb.arange(4), i, axis=0).sum(),
    lambda i: pb.arange(4)[i].sum(),
    lambda i: nn.CrossEntropyLoss()(pb.ones((2, 4)), i),
    lambda i: nn.Embedding(4, 2)(i).sum(),
])
def test_an_index_in_a_tensor(call):
    good, bad = pb.tensor([0, 3]), pb.tensor([0, 4])
    for _ in range(2):
        call(good * 1).item()
        with pytest.raises(IndexError_, match="out of range"):
            call(bad * 1).item()
    call(good * 1).item()


def test_under_jit_and_for_gradients():
    table = pb.tensor(np.ones((4, 2), np.float32))
    f = pb.jit(pb.value_and_grad(lambda t, i: pb.take(t, i, axis=0).sum()))
    value, _ = f(table, pb.tensor([1, 2]))
    assert value.item() == 4.0
    with pytest.raises(IndexError_, match="out of range"):
        f(table, pb.tensor([1, 9]))[0].item()
    assert f(table, pb.tensor([1, 3]))[0].item() == 4.0
