"""The minimal standard generator: recorded numbers of the C++ library, and what a serial loop gives."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.api.minstd import MinimalStandard
from pullback.ir.dtypes import float16, float32, float64
from pullback.util.errors import ArgumentError, DTypeError


def test_raw_draws() -> None:
    assert MinimalStandard(3).draw(5).tolist() == [50421, 847425747, 572982925, 807347327, 1284843143]
    assert MinimalStandard(0).state == 1  # 0 would stay 0 for ever


def test_uniform_float32() -> None:
    found = MinimalStandard(3).uniform((5,), float32)
    want = np.array([2.3478642e-05, 0.394613355, 0.26681596, 0.375950396, 0.598301709], np.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, want)


def test_uniform_float64_takes_two_draws() -> None:
    found = MinimalStandard(3).uniform((2,), float64)
    np.testing.assert_array_equal(found, [0.39461336414760451, 0.37595039560399801])


def test_normal() -> None:
    found = MinimalStandard(3).normal((6,), float32)
    want = [-0.750383615, -1.4105444, 1.68928301, 1.05852866, 0.192963958, -1.15778065]
    np.testing.assert_allclose(found, want, rtol=2e-7)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1001])
def test_normal_leaves_the_state_of_a_serial_loop(count: int) -> None:
    together, serial = MinimalStandard(17), MinimalStandard(17)
    found = together.normal((count,), float32)
    values: list[np.float32] = []
    while len(values) < count:
        x, y = serial.uniform((2,), float32) * np.float32(2) - np.float32(1)
        r = x * x + y * y
        if 0 < r <= 1:
            scale = np.sqrt(np.float32(-2) * np.log(r) / r)
            values += [y * scale, x * scale]
    np.testing.assert_array_equal(found, np.array(values[:count], np.float32))
    assert together.state == serial.state


def test_draws_at_once_are_those_one_by_one() -> None:
    one, many = MinimalStandard(5), MinimalStandard(5)
    assert many.draw(1000).tolist() == [int(one.draw(1)[0]) for _ in range(1000)]


def test_wrong_calls() -> None:
    with pytest.raises(DTypeError, match="float32 or float64"):
        MinimalStandard(1).uniform((3,), float16)
    with pytest.raises(ArgumentError, match="seed"):
        MinimalStandard("3")  # type: ignore[arg-type]
