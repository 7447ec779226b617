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
