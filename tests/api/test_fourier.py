"""Fourier transforms: values beside NumPy's, derivatives beside finite differences, batches, wrong calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.util.errors import AxisError, DTypeError, ShapeError, ValueError_

NORMS = (None, "backward", "ortho", "forward")
REAL = {"rfft", "ihfft", "rfftn", "rfft2"}


def _given(name: str, dtype: str = "float64") -> Any:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 6, 5))
    x = x if name in REAL else x + 1j * rng.normal(size=x.shape)
    return x.astype(dtype if name in REAL else {"float64": "complex128", "float32": "complex64"}[dtype])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_one_axis(name: str, norm: Any, dtype: str) -> None:
    array = _given(name, dtype)
    for n in (None, 4, 5, 9):
        for axis in (-1, 1):
            wanted = getattr(np.fft, name)(array, n, axis, norm)
            found = getattr(pb.fft, name)(pb.asarray(array), n=n, axis=axis, norm=norm).numpy()
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_allclose(found, wanted, atol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"])
def test_several_axes(name: str, norm: Any) -> None:
    array = _given(name)
    for s, axes in ((None, (0, 1, 2)), ((4, 3), (0, 2)), ((4, 7), (2, 1)), (None, (1, 2))):
        wanted = getattr(np.fft, name)(array, s, axes, norm)
        found = getattr(pb.fft, name)(pb.asarray(array), s=s, axes=axes, norm=norm).numpy()
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_hermitian_of_several_axes_undo_each_other() -> None:
    x = pb.asarray(np.random.default_rng(0).normal(size=(4, 6)))
    back = pb.fft.hfftn(pb.fft.ihfftn(x), s=(4, 6))
    np.testing.assert_allclose(back.numpy(), x.numpy(), atol=1e-13)
    both = pb.fft.ihfft2(x)
    np.testing.assert_allclose(both.numpy(), np.conj(np.fft.rfft2(x.numpy(), norm="forward")), atol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies_and_shifts(n: int) -> None:
    np.testing.assert_allclose(pb.fft.fftfreq(n, d=0.5, dtype=pb.float64).numpy(), np.fft.fftfreq(n, 0.5))
    np.testing.assert_allclose(pb.fft.rfftfreq(n, d=0.5, dtype=pb.float64).numpy(), np.fft.rfftfreq(n, 0.5))
    x = np.arange(3 * n).reshape(3, n)
    for name in ("fftshift", "ifftshift"):
        for axes in (None, 0, (1,), (0, 1)):
            np.testing.assert_array_equal(getattr(pb.fft, name)(pb.asarray(x), axes=axes).numpy(),
                                          getattr(np.fft, name)(x, axes))


def _energy(name: str, n: int | None) -> Any:
    """A number made of real ones, through a transform."""
    def energy(x: Any) -> Any:
        z = x + 1j * x.flip(-1) * 0.7 if name in ("fft", "ifft", "irfft", "hfft", "fft2") else x
        y = getattr(pb.fft, name)(z) if n is None else getattr(pb.fft, name)(z, n=n)
        if not y.is_complex():
            return (y ** 3).sum()
        return (y.real ** 2 * y.imag + y.imag ** 3).sum()

    return energy


@pytest.mark.parametrize(("name", "n"), [(name, n) for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
                                         for n in (None, 3, 6)] + [("rfft2", None), ("fft2", None)])
def test_derivatives(name: str, n: int | None) -> None:
    energy = _energy(name, n)
    rng = np.random.default_rng(5)
    x, v = (pb.asarray(rng.normal(size=(2, 5))) for _ in range(2))
    first = (energy(x + 1e-5 * v) - energy(x - 1e-5 * v)) / 2e-5
    np.testing.assert_allclose((pb.grad(energy)(x) * v).sum().item(), first.item(), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(pb.jvp(energy, (x,), (v,))[1].item(), first.item(), rtol=1e-7, atol=1e-7)
    second = (pb.grad(energy)(x + 1e-5 * v) - pb.grad(energy)(x - 1e-5 * v)) / 2e-5
    found = pb.jvp(pb.grad(energy), (x,), (v,))[1]
    np.testing.assert_allclose(found.numpy(), second.numpy(), rtol=1e-6, atol=1e-6)


def test_batches_and_jit() -> None:
    x = pb.asarray(np.random.default_rng(1).normal(size=(3, 2, 4)))
    whole = pb.fft.irfft2(pb.fft.rfft2(x) ** 2).numpy()
    one = lambda a: pb.fft.irfft2(pb.fft.rfft2(a) ** 2)  # noqa: E731
    np.testing.assert_allclose(pb.vmap(one)(x).numpy(), whole)
    np.testing.assert_allclose(pb.jit(one)(x).numpy(), whole)
    assert pb.fft.fft(pb.zeros((0, 3))).shape == (0, 3)
    assert pb.fft.fft(pb.arange(4)).dtype == pb.complex64


def test_wrong_calls() -> None:
    x = pb.ones((2, 3))
    with pytest.raises(DTypeError, match="needs real numbers"):
        pb.fft.rfft(x * 1j)
    with pytest.raises(ShapeError, match="1 or more"):
        pb.fft.fft(x, n=0)
    with pytest.raises(ShapeError, match="1 or more"):
        pb.fft.irfft(pb.ones((2, 1)))
    with pytest.raises(ShapeError, match="no elements"):
        pb.fft.fft(pb.zeros((2, 0)), n=4)
    with pytest.raises(ValueError_, match="norm"):
        pb.fft.fft(x, norm="unitary")
    with pytest.raises(AxisError, match="out of range"):
        pb.fft.fft(x, axis=2)
    with pytest.raises(AxisError, match="given twice"):
        pb.fft.fftn(x, axes=(0, 0))
    with pytest.raises(ShapeError, match="a size for every axis"):
        pb.fft.fftn(x, s=(2,), axes=(0, 1))
    with pytest.raises(ShapeError, match="more sizes than dimensions"):
        pb.fft.fftn(x, s=(2, 2, 2))
    with pytest.raises(ShapeError, match="n must be 1 or more"):
        pb.fft.fftfreq(0)
