"""Shapes against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.api.support import same, sample

import pullback as pb
from pullback.util.errors import ShapeError


def both(*shape: int) -> tuple[Any, Any]:
    x = np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
    return x, pb.tensor(x)


def test_reshape() -> None:
    for shape, target in (((2, 3), (3, 2)), ((2, 3), (-1,)), ((2, 3), (6,)), ((), (1, 1)), ((1,), ()),
                          ((2, 3, 4), (4, -1, 2)),
                          ((0, 3), (3, 0)), ((0, 3), (0, 5)), ((0, 3), (0,)), ((4, 1), (1, 4))):
        x, a = both(*shape)
        same(a.reshape(target), x.reshape(target))
        same(a.reshape(*target) if target else a.reshape(()), x.reshape(target))
        same(pb.reshape(a, target), x.reshape(target))
    x, a = both(2, 3, 4)
    same(a.flatten(1), x.reshape(2, 12))
    same(a.flatten(), x.ravel())
    same(a.view(6, 4), x.reshape(6, 4))
    same(pb.unflatten(a, 2, (2, -1)), x.reshape(2, 3, 2, 2))
    same(a.reshape_as(pb.zeros(4, 6)), x.reshape(4, 6))


def test_order() -> None:
    x, a = both(2, 3, 4)
    same(a.T, x.T)
    same(a.mT, x.swapaxes(-1, -2))
    same(a.permute(2, 0, 1), x.transpose(2, 0, 1))
    same(a.permute((2, 0, 1)), x.transpose(2, 0, 1))
    same(a.transpose(0, 2), x.swapaxes(0, 2))
    same(a.transpose(), x.transpose())
    same(a.transpose((1, 0, 2)), x.transpose(1, 0, 2))
    same(pb.moveaxis(a, 0, -1), np.moveaxis(x, 0, -1))
    same(pb.moveaxis(a, (0, 1), (2, 0)), np.moveaxis(x, (0, 1), (2, 0)))
    same(a.swapaxes(1, -1), x.swapaxes(1, -1))
    same(pb.ones(3).T, np.ones(3))
    same(pb.tensor(2.0).T, 2)


def test_ones() -> None:
    x, a = both(1, 3, 1)
    same(a.squeeze(), x.squeeze())
    same(a.squeeze(0), x.squeeze(0))
    same(a.squeeze((0, 2)), x.squeeze((0, 2)))
    same(a.squeeze(dim=1), x)
    same(a.unsqueeze(1), x[:, None])
    same(a.unsqueeze(-1), x[..., None])
    same(pb.expand_dims(a, (0, 2)), np.expand_dims(x, (0, 2)))
    same(pb.atleast_2d(pb.tensor(3.0)), [[3]])


def test_join() -> None:
    x, a = both(2, 3)
    y, b = both(4, 3)
    same(pb.concat([a, b]), np.concatenate([x, y]))
    same(pb.cat((a, a), dim=1), np.concatenate([x, x], 1))
    same(pb.concat([a, a, a], axis=-1), np.concatenate([x, x, x], -1))
    same(pb.concat([a, b], axis=None), np.concatenate([x, y], None))
    same(pb.stack([a, a + 1], axis=1), np.stack([x, x + 1], 1))
    same(pb.stack([a, a], dim=-1), np.stack([x, x], -1))
    same(pb.hstack([a, a]), np.hstack([x, x]))
    same(pb.vstack([a, b]), np.vstack([x, y]))
    same(pb.concat([pb.tensor([1]), pb.tensor([2.5])]), [1, 2.5])
    same(pb.concat([pb.zeros(0, 3, dtype="float64"), a]), x)
    same(pb.concat([a]), x)


def test_split() -> None:
    x, a = both(5, 4)
    for found, expected in zip(pb.split(a, 2), (x[:2], x[2:4], x[4:]), strict=True):
        same(found, expected)
    for found, expected in zip(a.split([1, 4]), (x[:1], x[1:]), strict=True):
        same(found, expected)
    assert [p.shape for p in a.chunk(3)] == [(2, 4), (2, 4), (1, 4)]
    for found, expected in zip(pb.array_split(a, 3), np.array_split(x, 3), strict=True):
        same(found, expected)
    for found, expected in zip(pb.unstack(a, axis=1), x.T, strict=True):
        same(found, expected)
    assert len(a.unbind()) == 5
    first, *_ = a
    same(first, x[0])


def test_repeat() -> None:
    x, a = both(2, 3)
    same(a.tile(2, 2), np.tile(x, (2, 2)))
    same(pb.tile(a, (2, 1, 2)), np.tile(x, (2, 1, 2)))
    same(a.repeat(2, 3), np.tile(x, (2, 3)))
    same(pb.repeat(a, 2, axis=1), np.repeat(x, 2, axis=1))
    same(pb.repeat(a, [1, 3], axis=0), np.repeat(x, [1, 3], axis=0))
    same(pb.repeat_interleave(a, 2), np.repeat(x, 2))
    same(pb.tile(pb.tensor(1.0), (2, 3)), np.ones((2, 3)))
    same(a.expand(4, 2, 3), np.broadcast_to(x, (4, 2, 3)))
    same(a[:1].expand(5, -1), np.broadcast_to(x[:1], (5, 3)))
    same(pb.broadcast_to(pb.tensor([1.0, 2.0]), (3, 2)), [[1, 2]] * 3)
    p, q = pb.broadcast_arrays(pb.zeros(3, 1), pb.zeros(4))
    assert p.shape == q.shape == (3, 4)
    assert pb.broadcast_shapes((2, 1), (3,)) == (2, 3)
    p, q = pb.meshgrid(pb.arange(2), pb.arange(3))
    u, v = np.meshgrid(np.arange(2), np.arange(3))
    same(p, u)
    same(q, v)


def test_move() -> None:
    x, a = both(3, 4)
    same(pb.flip(a), np.flip(x))
    same(a.flip(0), np.flip(x, 0))
    same(a.flip((0, 1)), np.flip(x))
    for shift, axis in ((1, None), (-2, 0), (5, 1), ((1, 2), (0, 1)), (0, 0)):
        same(pb.roll(a, shift, axis), np.roll(x, shift, axis))
    for k in range(-1, 5):
        same(pb.rot90(a, k), np.rot90(x, k))
    same(pb.roll(pb.zeros(0), 1), np.zeros(0))


def test_pad() -> None:
    x, a = both(3, 4)
    for mode in ("constant", "reflect", "edge", "wrap", "symmetric"):
        for width in (1, (1, 2), ((1, 2), (0, 3))):
            same(pb.pad(a, width, mode=mode), np.pad(x, width, mode=mode))
    same(pb.pad(a, 1, constant_values=7), np.pad(x, 1, constant_values=7))
    same(pb.nn.functional.pad(a, (1, 2, 3, 0), value=5), np.pad(x, ((3, 0), (1, 2)), constant_values=5))
    same(pb.nn.functional.pad(a, (-1, 0)), x[:, 1:])


def test_padding_by_what_is_near_reads_runs() -> None:
    """No place is looked up where each end is one run; where there are more, the values are the same."""
    x, a = both(2, 5, 7)
    for mode in ("reflect", "edge", "wrap", "symmetric"):
        for width in (((0, 0), (1, 2), (3, 1)), ((0, 0), (9, 0), (0, 16))):
            same(pb.pad(a, width, mode=mode), np.pad(x, width, mode=mode))
        text = pb.show(lambda a, mode=mode: pb.pad(a, ((0, 0), (1, 2), (3, 1)), mode=mode), "graph")(a)
        assert "gather" not in text


def test_parts() -> None:
    x, a = both(4, 5)
    for k in (-2, 0, 1, 9):
        same(pb.tril(a, k), np.tril(x, k))
        same(pb.triu(a, k), np.triu(x, k))
    for k in (-4, -1, 0, 2, 5):
        same(pb.diagonal(a, k), np.diagonal(x, k))
        same(pb.diag(a, k), np.diag(x, k))
    for k in (-1, 0, 2):
        same(pb.diag(pb.tensor([1.0, 2.0]), k), np.diag([1.0, 2.0], k))
    same(a.narrow(1, 1, 3), x[:, 1:4])
    same(a.select(0, -1), x[-1])
    same(a.unfold(1, 3, 2), np.stack([x[:, 0:3], x[:, 2:5]], 1))
    same(pb.diag_embed(a)[1], np.diag(x[1]))
    z, c = both(2, 3, 3)
    same(c.diagonal(0, 1, 2), np.diagonal(z, 0, 1, 2))


def test_creation() -> None:
    same(pb.zeros((2, 3)), np.zeros((2, 3)))
    same(pb.ones([2]), np.ones(2))
    same(pb.zeros(()), 0)
    same(pb.full((2, 2), 3.5), np.full((2, 2), 3.5))
    assert pb.full((1,), 3).dtype == "int32"
    assert pb.full((1,), True).dtype == "bool"
    for args in ((5,), (2, 7), (0, 10, 3), (5, 0, -2), (3, 3), (0.0, 1.0, 0.25), (1, 2, 0.3)):
        same(pb.arange(*args), np.arange(*args), 1e-6)
    assert pb.arange(3).dtype == "int32"
    assert pb.arange(3.0).dtype == "float32"
    assert pb.arange(3, dtype="float64").dtype == "float64"
    for args in ((0, 1, 5), (-2, 2, 4), (3, 3, 2), (0, 1, 1), (0, 1, 0)):
        same(pb.linspace(*args, dtype="float64"), np.linspace(*args))
    same(pb.linspace(0, 1, 4, endpoint=False, dtype="float64"), np.linspace(0, 1, 4, endpoint=False))
    for args, k in (((3,), 0), ((2, 4), 1), ((4, 2), -1)):
        same(pb.eye(*args, k=k), np.eye(*args, k=k))
    x = pb.ones(2, dtype="float64")
    assert pb.zeros_like(x).dtype == "float64"
    assert pb.full_like(x, 2, dtype="int8").dtype == "int8"
    same(pb.tensor([[1, 2], [3, 4]]), [[1, 2], [3, 4]])
    same(pb.tensor([pb.tensor([1.0]), pb.tensor([2.0])]), [[1], [2]])
    assert pb.tensor([1.0]).dtype == "float32"
    assert pb.tensor(np.zeros(2)).dtype == "float64"
    assert pb.tensor(1 << 40).dtype == "int64"
    assert pb.float64([1, 2]).dtype == "float64"
    assert pb.tensor(range(3)).shape == (3,)
    same(pb.from_dlpack(np.ones(2)), np.ones(2))


def test_tensor_copies() -> None:
    x = np.zeros(3)
    a = pb.tensor(x)
    x[0] = 1
    same(a, [0, 0, 0])
    b = a.numpy()
    b[1] = 5
    same(a, [0, 0, 0])
    c = pb.asarray(a)
    assert c is a
    c = pb.tensor(a)
    c[0] = 9
    same(a, [0, 0, 0])


def test_shape_errors_say_what_to_do() -> None:
    with pytest.raises(ShapeError, match="must multiply to 6"):
        pb.zeros(2, 3).reshape(4, 2)
    with pytest.raises(ShapeError, match=r"did you mean y\.T"):
        _ = pb.zeros(2, 3) @ pb.zeros(4, 3)


def test_random_reshapes_and_orders() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        shape = tuple(int(n) for n in rng.integers(1, 4, rng.integers(1, 5)))
        x = sample(shape)
        a = pb.tensor(x)
        order = tuple(int(k) for k in rng.permutation(len(shape)))
        x, a = x.transpose(order), a.permute(order)
        x, a = x.reshape(-1, shape[order[-1]]), a.reshape(-1, shape[order[-1]])
        x, a = x[::-1], a.flip(0)
        same(a, x)


@pytest.mark.parametrize("k", [-2 ** 70, -2 ** 31, -3, 1, 3, 2 ** 31, 2 ** 70])
def test_diagonals_far_outside_are_empty(k: int) -> None:
    near = max(-9, min(k, 9))
    ones = np.ones((3, 4))
    assert pb.eye(3, 4, k=k).tolist() == np.eye(3, 4, near).tolist()
    assert pb.tril(pb.tensor(ones), k).tolist() == np.tril(ones, near).tolist()
    assert pb.triu(pb.tensor(ones), k).tolist() == np.triu(ones, near).tolist()


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap", "symmetric"])
def test_padding_that_cuts_everything_off(mode: str) -> None:
    x = pb.ones((2, 4, 3))
    assert pb.pad(x, ((0, 0), (-2, -2), (-1, 2)), mode).shape == (2, 0, 4)
    assert pb.pad(x, ((0, 0), (0, 0), (-2, -1)), mode).shape == (2, 4, 0)


#: what writes a number into its result, where the number is a part of the program
WRITTEN: dict[str, Any] = {
    "pad": lambda v: pb.pad(pb.ones(3), 1, constant_values=v)[0],
    "functional pad": lambda v: pb.nn.functional.pad(pb.ones(5), (2, 0), value=v)[1],
    "pad_sequence": lambda v: pb.nn.utils.rnn.pad_sequence([pb.ones(4), pb.ones(2)], padding_value=v)[3, 1],
    "threshold": lambda v: pb.nn.functional.threshold(pb.ones(2), 3.0, v)[0],
    "hardtanh": lambda v: pb.nn.functional.hardtanh(pb.ones(6), -1.0, v)[0],
    "nan_to_num": lambda v: pb.nan_to_num(pb.tensor([float("nan"), 1.0]), nan=v)[0],
}


@pytest.mark.parametrize("order", [(-0.0, 0.0, 0, -0.0), (0.0, -0.0, 0.0), (0, -0.0, False, 0.0)])
@pytest.mark.parametrize("name", WRITTEN)
def test_zeros_that_are_written_keep_their_sign(name: str, order: Any) -> None:
    for value in order:
        assert np.signbit(WRITTEN[name](value).numpy()) == (str(value) == "-0.0")
    for value in (True, 1, 1.0, 2):
        assert WRITTEN[name](value).item() == (value if name != "hardtanh" else 1)
