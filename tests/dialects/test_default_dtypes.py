"""What Python's numbers and integers become where 64 bits are asked for: the dtypes that JAX and PyTorch give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pullback.jax
import pullback.torch
import pytest

jax: Any = pullback.jax
jnp: Any = jax.numpy
torch: Any = pullback.torch

WIDE = {"float32": "float64", "int32": "int64", "complex64": "complex128"}
#: dtype without 64 bits -> what has it; with them each has the wide one
CASES: dict[str, dict[str, Callable[[], Any]]] = {
    "float32": {
        "log": lambda: jnp.log(2.0), "divide": lambda: jnp.divide(1, 3), "jit": lambda: jax.jit(lambda x: x * 2)(1.5),
        "halves": lambda: whole() / 2, "times": lambda: whole() * 0.5, "mean": lambda: whole().mean(),
        "softmax": lambda: jax.nn.softmax(whole()), "sqrt": lambda: jnp.sqrt(whole()), "std": lambda: whole().std(),
        "inv": lambda: jnp.linalg.inv(jnp.array([[2, 0], [0, 1]])), "median": lambda: jnp.median(whole()),
        "where": lambda: jnp.where(whole() > 1, 1.0, 0.0), "erf": lambda: jax.scipy.special.erf(whole()),
        "grad": lambda: jax.jit(jax.grad(lambda x: jnp.sin(x) * x))(3.0), "vmap": lambda: jax.vmap(third)(whole()),
        "logpdf": lambda: jax.scipy.stats.norm.logpdf(0.5), "bools": lambda: (whole() > 1) * 1.0,
    },
    "int32": {
        "argmax": lambda: jnp.argmax(whole()), "method": lambda: whole().argmax(), "sum": lambda: (whole() > 1).sum(),
        "argsort": lambda: jnp.argsort(whole()), "nonzero": lambda: jnp.nonzero(whole())[0], "jit": lambda: doubled(3),
        "cumsum": lambda: jnp.cumsum(whole() > 1), "small": lambda: jnp.array([1], jnp.int8).sum(),
        "bools": lambda: (whole() > 1) + 1,
    },
    "complex64": {"fft": lambda: jnp.fft.fft(whole()), "times": lambda: whole() * 1j},
}


def whole() -> Any:
    return jnp.array([1, 2, 3])


def third(x: Any) -> Any:
    return x / 3


doubled = jax.jit(lambda x: x * 2)


@pytest.fixture
def wide() -> Iterator[None]:
    with jax.experimental.enable_x64():
        yield


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, cases in CASES.items() for name in cases])
def test_jax(kind: str, name: str) -> None:
    """Before, with 64 bits, and after: what is known of one setting is not used under another."""
    made = CASES[kind][name]
    before = made()
    assert before.dtype.name == kind
    with jax.experimental.enable_x64():
        found = made()
        assert found.dtype.name == WIDE[kind]
    np.testing.assert_allclose(np.asarray(found), np.asarray(before), 2e-6)
    assert made().dtype.name == kind


def test_digits_are_those_of_64_bits(wide: None) -> None:
    assert float(jnp.log(2.0)) == np.log(2.0)
    assert np.array_equal(np.asarray(whole() / 3), np.array([1, 2, 3]) / 3)


def test_arrays_of_32_bits_stay_so(wide: None) -> None:
    x = jnp.array([1.0, 2.0], jnp.float32)
    for found in (x * 2.0, jnp.sin(x) * 2 + 1, x.std(), x @ x, jax.nn.gelu(x), jax.scipy.stats.norm.logpdf(x, 0.0, 1.0),
                  jax.jit(lambda y: y * 2.5)(x), jax.nn.softmax(x), jnp.where(x > 1, x, 0.0)):
        assert found.dtype.name == "float32"


def test_pending_work_is_of_the_setting_before() -> None:
    pending = whole() * 0.5
    with jax.experimental.enable_x64():
        assert pending.dtype.name == "float32" and (pending + 1.0).dtype.name == "float32"
        assert (whole() * 0.5).dtype.name == "float64"
    assert (whole() * 0.5).dtype.name == "float32"


@pytest.mark.parametrize("name", ["float64", "bfloat16"])
def test_torch(name: str) -> None:
    kind, i = getattr(torch, name), torch.arange(3)
    assert (i / 2).dtype is torch.float32
    torch.set_default_dtype(kind)
    try:
        for found in (i / 2, i * 0.5, i.sqrt(), torch.tensor([True]) * 0.5, torch.ones(2)):
            assert found.dtype is kind
        single = torch.ones(2, dtype=torch.float32)
        assert (single * 2.0).dtype is torch.float32 and i.float().dtype is torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert (i / 2).dtype is torch.float32
