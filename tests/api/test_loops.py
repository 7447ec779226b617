"""fori_loop, map_sequentially, eval_shape, polyval, `.at` with modes, and reading parts of known arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.api import indexing
from pullback.util.errors import ArgumentError, IndexError_, ShapeError

RNG = np.random.default_rng(0)


def test_fori_loop() -> None:
    assert int(pb.fori_loop(2, 6, lambda i, s: s * i, 1)) == 120
    assert float(pb.fori_loop(3, 3, lambda i, s: s * 0, 7.0)) == 7.0
    assert int(pb.jit(lambda n: pb.fori_loop(0, n, lambda i, s: s + i, 0))(pb.tensor(10))) == 45


def test_fori_loop_is_differentiable_with_known_limits() -> None:
    g = pb.grad(lambda x: pb.fori_loop(0, 3, lambda i, s: s * x, 1.0))(2.0)
    assert float(g) == 12.0


def test_map_sequentially() -> None:
    x = RNG.normal(size=(5, 3)).astype(np.float32)
    found = pb.map_sequentially(lambda row: {"sum": row.sum(), "double": row * 2}, pb.tensor(x))
    np.testing.assert_allclose(found["sum"].numpy(), x.sum(1), rtol=1e-6)
    np.testing.assert_array_equal(found["double"].numpy(), x * 2)


def test_eval_shape() -> None:
    found = pb.eval_shape(
        lambda p, x: {"y": x @ p["w"], "n": x.sum() > 0}, {"w": pb.ShapeDtype((3, 4), "float32")}, pb.ones((2, 3))
    )
    assert found == {"y": pb.ShapeDtype((2, 4), "float32"), "n": pb.ShapeDtype((), "bool")}
    assert repr(found["y"]) == "ShapeDtypeStruct(shape=(2, 4), dtype=float32)"
    with pytest.raises(ShapeError):
        pb.eval_shape(pb.matmul, pb.ShapeDtype((2, 3), "float32"), pb.ones((2, 3)))


@pytest.mark.parametrize("coefficients", [[1, -2, 3], [2.5], [1.0, 0.0, 0.0, -1.0, 4.0]])
def test_polyval(coefficients: list[float]) -> None:
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    found = pb.polyval(pb.tensor(coefficients), pb.tensor(x))
    assert found.dtype == "float32"
    np.testing.assert_allclose(found.numpy(), np.polyval(np.array(coefficients, np.float32), x), rtol=1e-5)
    with pytest.raises(ShapeError, match="one dimension"):
        pb.polyval(pb.ones((2, 2)), pb.tensor(x))


@pytest.mark.parametrize(
    "index", [0, -1, (1, 2), slice(1, 3), (slice(None), 1), (None, 2), slice(None, None, -2), (Ellipsis, 0)]
)
def test_read_of_a_known_array(index: Any) -> None:
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    t = pb.tensor(x)
    found = indexing.read(t, index)
    np.testing.assert_array_equal(found.numpy(), x[index])
    assert found.shape == x[index].shape
    t[:] = 0
    np.testing.assert_array_equal(found.numpy(), x[index])  # an array of its own


def test_read_inside_transformations_is_recorded() -> None:
    assert pb.grad(lambda x: indexing.read(x, 1) * 3)(pb.ones(3)).tolist() == [0.0, 3.0, 0.0]
    assert pb.jit(lambda x: indexing.read(x, slice(1, None)) * 2)(pb.arange(3)).tolist() == [2, 4]
    with pytest.raises(IndexError_):
        indexing.read(pb.ones(3), 3)


@pytest.mark.parametrize("shape", [(3, 2), (40,), (40, 2, 3), (0, 2)])
def test_rows(shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape).astype(np.float32)
    found = indexing.rows(pb.tensor(x) * 1)
    assert len(found) == shape[0] and all(r.shape == shape[1:] for r in found)
    for a, b in zip(found, x, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    assert pb.grad(lambda t: sum(r.sum() * k for k, r in enumerate(indexing.rows(t))))(pb.ones((20,))).tolist() == list(
        range(20)
    )


def test_at_with_modes() -> None:
    x = pb.zeros(3)
    assert indexing.At(x, 5, "fill").set(1.0).tolist() == [0.0, 0.0, 0.0]
    assert indexing.At(x, 5, "clip").set(1.0).tolist() == [0.0, 0.0, 1.0]
    assert indexing.At(x, -1, "fill").add(2.0).tolist() == [0.0, 0.0, 2.0]
    assert indexing.At(x, pb.tensor([0, 0, 7, -2]), "fill").add(1.0).tolist() == [2.0, 1.0, 0.0]
    assert indexing.At(pb.zeros((2, 2)), (0, np.array([1, 9])), "fill").set(4.0).tolist() == [[0.0, 4.0], [0.0, 0.0]]
    with pytest.raises(IndexError_):
        indexing.At(x, 5).set(1.0)


def test_wrong_calls() -> None:
    with pytest.raises(ArgumentError, match="lower must be an integer"):
        pb.fori_loop(0.5, 3, lambda i, s: s, 0)


def test_while_at_most() -> None:
    def run(x: Any) -> Any:
        return pb.while_at_most(lambda s: s[0] < 50.0, lambda s: (s[0] * s[0], s[1] + 1), (x, 0), 6)

    assert [v.item() for v in run(2.0)] == [256.0, 3] and [v.item() for v in run(60.0)] == [60.0, 0]
    assert [v.item() for v in run(1.0)] == [1.0, 6]
    assert pb.grad(lambda x: run(x)[0])(2.0).item() == 8 * 2.0**7 and pb.grad(lambda x: run(x)[0])(60.0).item() == 1.0
    assert pb.jit(run)(2.0)[0].item() == 256.0


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("initial", [None, 10.0])
def test_accumulate(reverse, initial):
    rows = np.arange(1.0, 5.0, dtype=np.float32)
    start = None if initial is None else pb.tensor(initial)
    found, last = pb.accumulate(lambda total, x: 2 * total + x, pb.tensor(rows), start, reverse)
    total, expected = initial, []
    for x in rows[::-1] if reverse else rows:
        total = x if total is None else 2 * total + x
        expected.append(total)
    np.testing.assert_allclose(found.numpy(), expected[::-1] if reverse else expected)
    assert last.item() == expected[-1]


def test_accumulate_trees():
    found, last = pb.accumulate(lambda t, x: {"a": t["a"] + x["b"], "b": t["b"] * x["a"]},
                                {"a": pb.tensor([1.0, 2.0, 3.0]), "b": pb.tensor([4.0, 5.0, 6.0])})
    assert (found["a"].tolist(), found["b"].tolist()) == ([1.0, 6.0, 12.0], [4.0, 8.0, 24.0])
    assert (last["a"].item(), last["b"].item()) == (12.0, 24.0)
