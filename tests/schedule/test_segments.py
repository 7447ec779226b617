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
