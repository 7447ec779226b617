"""Rotary positions beside rotations of complex numbers, and what attention makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.nn.functional as F
from pullback import nn
from pullback.util.errors import IndexError_, PullbackError


def rotated(x: Any, positions: Any, base: float = 10_000) -> Any:
    """Neighbouring features are the parts of a complex number."""
    rate = base ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    turns = np.exp(1j * np.asarray(positions)[..., None] * rate)
    turns = turns.reshape((-1, x.shape[1], 1, x.shape[-1] // 2))
    z = (x[..., ::2] + 1j * x[..., 1::2]) * turns
    return np.stack([z.real, z.imag], -1).reshape(x.shape)


@pytest.mark.parametrize("positions", [None, [7, 0, 3, 3, 31], [[0, 1, 2, 3, 4], [9, 8, 7, 30, 5]]])
@pytest.mark.parametrize("base", [10_000, 17.0])
def test_pairs_are_rotated(positions: Any, base: float) -> None:
    rng = np.random.default_rng(0)
    x, ct = (rng.normal(size=(2, 5, 3, 6)).astype(np.float32) for _ in range(2))
    layer = nn.RotaryPositionalEmbeddings(6, 32, base)
    at = None if positions is None else pb.tensor(positions)
    given = np.arange(5) if positions is None else positions
    y = pb.tensor(x, requires_grad=True)
    turned = layer(y, input_pos=at)
    (turned * pb.tensor(ct)).sum().backward()
    np.testing.assert_allclose(turned.detach().numpy(), rotated(x, given, base), rtol=0, atol=1e-6)
    np.testing.assert_allclose(y.grad.numpy(), rotated(ct, -np.asarray(given), base), rtol=0, atol=1e-6)
    assert not layer.state_dict()


def test_scores_depend_on_distances_alone() -> None:
    layer = nn.RotaryPositionalEmbeddings(8, 64)
    q, k, v = (pb.randn(1, 6, 2, 8) for _ in range(3))

    def attended(start: int) -> Any:
        at = pb.arange(6) + start
        heads = [x.transpose(1, 2) for x in (layer(q, input_pos=at), layer(k, input_pos=at), v)]
        return F.scaled_dot_product_attention(*heads, is_causal=True).numpy()

    np.testing.assert_allclose(attended(0), attended(50), rtol=0, atol=1e-5)
    plain = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), is_causal=True).numpy()
    assert np.abs(plain - attended(0)).max() > 1e-2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_are_turned_in_float32(dtype: str) -> None:
    x = pb.randn(1, 40, 1, 4).to(dtype)
    layer = nn.RotaryPositionalEmbeddings(4, 64)
    assert layer(x).dtype == x.dtype
    assert layer(x).numpy().tobytes() == layer(x.to("float32")).to(dtype).numpy().tobytes()


def test_one_kernel_and_no_copy_of_the_rotations(capsys: pytest.CaptureFixture[str]) -> None:
    layer = nn.RotaryPositionalEmbeddings(64, 128)
    text = str(pb.show(lambda x: layer(x) * 2, "schedule")(pb.ones((2, 128, 4, 64))))
    assert text.count(": loops") == 1 and " 0 bytes of workspace" in text
    capsys.readouterr()


@pytest.mark.parametrize("call", [
    lambda: nn.RotaryPositionalEmbeddings(3), lambda: nn.RotaryPositionalEmbeddings(0),
    lambda: nn.RotaryPositionalEmbeddings(4, base=-1), lambda: nn.RotaryPositionalEmbeddings(4)(pb.ones((2, 3, 4))),
    lambda: nn.RotaryPositionalEmbeddings(4)(pb.ones((2, 3, 1, 6))),
    lambda: nn.RotaryPositionalEmbeddings(4, 2)(pb.ones((2, 3, 1, 4))),
    lambda: nn.RotaryPositionalEmbeddings(4)(pb.ones((2, 3, 1, 4)), input_pos=pb.arange(4)),
])
def test_wrong_calls(call: Any) -> None:
    with pytest.raises(PullbackError, match="help"):
        call()


@pytest.mark.parametrize("place", [8, -1])
def test_positions_out_of_the_table(place: int) -> None:
    with pytest.raises(IndexError_, match="range"):
        nn.RotaryPositionalEmbeddings(4, 8)(pb.ones((1, 2, 1, 4)), input_pos=pb.tensor([0, place])).numpy()
