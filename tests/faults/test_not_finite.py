"""NaN and infinities go through reductions as in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb

NAMES = ("sum", "max", "min", "mean", "prod", "argmax", "argmin", "std", "var")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_reductions(value: float, axis: int | None) -> None:
    a: Any = np.linspace(-1, 1, 7 * 33, dtype=np.float32).reshape(7, 33)
    a[3, 5], a[2, :], a[6, 32] = value, -value, np.nan
    for name in NAMES:
        options = {"ddof": 1} if name in ("std", "var") else {}
        got = np.asarray(getattr(pb, name)(pb.tensor(a), axis, **options))
        with np.errstate(all="ignore"):
            expected = getattr(a, name)(axis=axis, **options)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6, err_msg=f"{name} {axis} {value}")


def test_softmax_and_logsumexp() -> None:
    a = np.array([[1, np.inf, 2], [np.nan, 0, 1], [-np.inf, 0, 0]], np.float32)
    assert np.isnan(pb.softmax(pb.tensor(a), 1).numpy()[:2]).any(1).all()
    np.testing.assert_allclose(pb.softmax(pb.tensor(a), 1).numpy()[2], [0, 0.5, 0.5])
    np.testing.assert_allclose(pb.logsumexp(pb.tensor(a), 1).numpy(), [np.inf, np.nan, np.log(2)], rtol=1e-6)
