"""Loops cut where a guard changes."""

import numpy as np
import pytest

import pullback as pb


def loops_of(function, *arguments):
    return pb.show(function, "loops")(*arguments).split("== loop IR ==")[1]


def test_arrays_side_by_side_are_written_part_by_part():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((40, n)).astype(np.float32) for n in (32, 48, 16)]
    tensors = [pb.tensor(a) for a in arrays]

    def joined(*given):
        return pb.exp(pb.concat([x * 2 for x in given], 1))

    text = loops_of(joined, *tensors)
    assert " if " not in text
    assert [f"< {n} by" in text for n in (32, 48, 16)] == [True] * 3
    np.testing.assert_allclose(joined(*tensors).numpy(), np.exp(2 * np.concatenate(arrays, 1)), rtol=1e-6)


@pytest.mark.parametrize("sizes", [(32, 5), (3, 40), (17, 31), (20,) * 9])
def test_parts_of_any_size_give_what_numpy_gives(sizes):
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((7, n)).astype(np.float32) for n in sizes]
    found = pb.concat([pb.tensor(a) + 1 for a in arrays], 1) * 3
    np.testing.assert_array_equal(found.numpy(), (np.concatenate(arrays, 1) + np.float32(1)) * np.float32(3))


def test_a_padded_row_reads_nothing_outside():
    x = np.arange(6 * 64, dtype=np.float32).reshape(6, 64)
    found = pb.pad(pb.tensor(x), ((0, 0), (32, 16))) + 1
    np.testing.assert_array_equal(found.numpy(), np.pad(x, ((0, 0), (32, 16))) + 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("count", [2, 3, 40])
def test_arrays_one_after_the_other_are_read_one_after_the_other(axis, count):
    rng = np.random.default_rng(2)
    shapes = [[5, 6, 37] for _ in range(count)]
    for k, shape in enumerate(shapes):
        shape[axis] = 1 + k % 4
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    tensors = [pb.tensor(a) for a in arrays]

    def joined(*given):
        return pb.concat(given, axis) * 2

    np.testing.assert_array_equal(joined(*tensors).numpy(), np.concatenate(arrays, axis) * 2)
    if count == 3 and axis < 2:
        assert " if " not in loops_of(joined, *tensors)


def test_stacked_arrays_are_written_one_after_the_other():
    arrays = [np.arange(n, n + 1000, dtype=np.float32) for n in range(3)]
    tensors = [pb.tensor(a) for a in arrays]
    text = loops_of(lambda *given: pb.stack(given, 0) + 1, *tensors)
    assert text.count("parallel for i1 < 1000") == 3 and " if " not in text
    np.testing.assert_array_equal((pb.stack(tensors, 0) + 1).numpy(), np.stack(arrays) + 1)


def test_rows_of_padding_read_nothing():
    x = np.arange(2 * 3 * 40, dtype=np.float32).reshape(2, 3, 40)

    def padded(given):
        return pb.pad(given, ((0, 0), (1, 2), (0, 0))) * 2

    assert " if " not in loops_of(padded, pb.tensor(x))
    np.testing.assert_array_equal(padded(pb.tensor(x)).numpy(), np.pad(x, ((0, 0), (1, 2), (0, 0))) * 2)


def test_what_lies_around_a_part_that_is_written_stays():
    x = np.arange(3 * 4 * 5 * 6, dtype=np.float64).reshape(3, 4, 5, 6)
    all_ = slice(None)
    for index in ((0,), (slice(1, 2),), (all_, 2), (all_, slice(1, 3), 0), (1, all_, slice(0, 4, 2))):
        wanted, found = x.copy(), pb.tensor(x)
        wanted[index] = -1.0
        found[index] = -1.0
        np.testing.assert_array_equal(found.numpy(), wanted)


@pytest.mark.parametrize("sizes", [(64, 64), (100, 50), (33, 64, 40), (31, 70), (5, 300), (257, 1)])
@pytest.mark.parametrize("name", ["sum", "max", "argmax", "prod", "var", "logsumexp"])
def test_rows_of_arrays_side_by_side_are_reduced_part_by_part(sizes, name):
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal((7, n)).astype(np.float32) for n in sizes]

    def reduced(*given):
        return getattr(pb, name)(pb.concat([x * 1.5 for x in given], 1), 1)

    tensors = [pb.tensor(a) for a in arrays]
    whole = getattr(pb, name)(pb.tensor(np.concatenate(arrays, 1) * np.float32(1.5)), 1)
    np.testing.assert_allclose(reduced(*tensors).numpy(), whole.numpy(), rtol=1e-5, atol=1e-4)
    if name == "sum" and min(sizes) >= 32:
        assert " if " not in loops_of(reduced, *tensors)


def test_a_border_is_read_apart_from_what_is_inside():
    x = np.random.default_rng(5).standard_normal((4, 8, 56, 56)).astype(np.float32)

    def reflected(x):
        return pb.nn.functional.pad(x, (2, 2, 0, 0), mode="reflect") * 2

    text = loops_of(reflected, pb.tensor(x))
    assert "for i3 < 56 by" in text
    assert " if " not in text
    np.testing.assert_array_equal(reflected(pb.tensor(x)).numpy(),
                                  np.pad(x, ((0, 0), (0, 0), (0, 0), (2, 2)), "reflect") * 2)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("pads", [(2, 2, 0, 0), (0, 0, 2, 1), (1, 2, 3, 1)])
def test_gradients_of_borders(mode, pads):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((2, 3, 40, 36)).astype(np.float32)
    left, right, top, bottom = pads
    where = np.pad(np.arange(40 * 36).reshape(40, 36), ((top, bottom), (left, right)),
                   {"replicate": "edge", "circular": "wrap"}.get(mode, mode))
    w = rng.standard_normal((2, 3, *where.shape)).astype(np.float32)
    found = pb.grad(lambda x: (pb.nn.functional.pad(x, pads, mode=mode) * pb.tensor(w)).sum())(pb.tensor(x)).numpy()
    want = np.zeros((6, 40 * 36))
    np.add.at(want.T, where.ravel(), w.reshape(6, -1).T)
    np.testing.assert_allclose(found.reshape(6, -1), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shift", [3, -2, 0, 55, 100])
@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_the_gradient_of_a_roll_is_a_roll(shift, axis):
    w = np.random.default_rng(7).standard_normal((12, 55)).astype(np.float32)
    shifts = shift if axis in (0, 1) else (shift, 1)

    def rolled(x):
        return (pb.roll(x, shifts, axis) * pb.tensor(w)).sum()

    back = -shift if axis in (0, 1) else (-shift, -1)
    np.testing.assert_array_equal(pb.grad(rolled)(pb.zeros(12, 55)).numpy(), np.roll(w, back, axis))
    assert "scatter" not in loops_of(pb.grad(rolled), pb.zeros(12, 55))


def test_all_of_what_lies_elsewhere_is_added_up_row_by_row():
    x = np.random.default_rng(8).standard_normal((16, 64, 33, 35)).astype(np.float32)
    for function, want in ((lambda x: x[:, :, 1:, 1:].sum(), x[:, :, 1:, 1:].sum(dtype=np.float64)),
                           (lambda x: pb.nn.functional.pad(x, (1, 1, 1, 1)).max(), x.max()),
                           (lambda x: (x[:, :, 1:] - x[:, :, :-1]).abs().mean(), np.abs(np.diff(x, axis=2)).mean())):
        assert "%3" not in loops_of(function, pb.tensor(x))
        np.testing.assert_allclose(function(pb.tensor(x)).numpy(), want, rtol=1e-4)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("width", [2, 3, 16, 17])
def test_parts_without_elements_are_no_part_of_a_kernel(width, before):
    """The empty part is cut from what is dear enough to be computed once, so that it is a value of its own there."""
    x = np.linspace(-1, 1, 47, dtype=np.float32)

    def beside(x):
        y = pb.tril(pb.broadcast_to(pb.exp(x)[:, None], (47, width)), -1)
        return pb.concat([y[:, :0], y] if before else [y, y[:, :0]], 1).sum(1)

    want = np.tril(np.repeat(np.exp(x)[:, None], width, 1), -1).sum(1)
    np.testing.assert_allclose(pb.jit(beside)(pb.tensor(x)).numpy(), want, rtol=1e-6)
    slope = np.tril(np.ones((47, width)), -1).sum(1) * np.exp(x)
    np.testing.assert_allclose(pb.jit(pb.grad(lambda x: beside(x).sum()))(pb.tensor(x)).numpy(), slope, rtol=1e-6)
