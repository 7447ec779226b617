"""Operations on 16-bit floats: one that takes several steps computes in float32 and rounds once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.torch as torch
import pytest

import pullback as pb
import pullback.nn.functional as F
from pullback.ir.dtypes import numpy_dtype

NARROW = ("bfloat16", "float16")
SEVERAL: dict[str, Callable[..., Any]] = {
    "gelu": F.gelu, "gelu tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "mish": F.mish, "elu": F.elu,
    "softplus": F.softplus, "hardswish": F.hardswish, "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1), "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "affine": lambda x: F.layer_norm(x, x.shape[-1:], x[0], x[1]),
    "rms_norm": lambda x: F.rms_norm(x, (70,), x[0], 1e-6),
    "batch_norm": lambda x: F.batch_norm(x, None, None, x[0], x[1], training=True),
    "evaluated": lambda x: F.batch_norm(x, x[2], x[3].abs(), x[0], x[1]),
    "mean": lambda x: x.mean(-1), "var": lambda x: x.var(-1), "std": lambda x: x.std(-1),
    "logsumexp": lambda x: pb.logsumexp(x, -1), "normalize": lambda x: F.normalize(x, dim=-1),
    "linear": lambda x: F.linear(x, x[:5], x[0, :5]), "smooth_l1": lambda x: F.smooth_l1_loss(x, x * 0.5)}


def values(dtype: str) -> pb.Tensor:
    return pb.tensor(np.random.default_rng(0).standard_normal((40, 70)).astype(np.float32) * 2).astype(dtype)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", SEVERAL)
def test_it_rounds_once(name: str, dtype: str) -> None:
    """The same bits as float32's result, rounded."""
    x = values(dtype)
    halved = pb.tensor([0.5]).astype(dtype)  # what smooth_l1's target is made with is rounded before
    wide = SEVERAL[name](x.astype("float32"))
    if name == "smooth_l1":
        wide = F.smooth_l1_loss(x.astype("float32"), (x * halved).astype("float32"))
    found = SEVERAL[name](x)
    assert found.dtype is getattr(pb, dtype)
    np.testing.assert_array_equal(found.numpy(), wide.astype(dtype).numpy())


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", ["gelu", "silu", "log_softmax", "layer_norm"])
def test_its_gradient_rounds_once(name: str, dtype: str) -> None:
    x = values(dtype)
    ct = pb.tensor(np.random.default_rng(1).standard_normal((40, 70)).astype(np.float32)).astype(dtype)
    found = pb.vjp(SEVERAL[name], x)[1](ct)[0]
    wide = pb.vjp(SEVERAL[name], x.astype("float32"))[1](ct.astype("float32"))[0]
    assert found.dtype is getattr(pb, dtype)
    np.testing.assert_array_equal(found.numpy(), wide.astype(dtype).numpy())


@pytest.mark.parametrize("dtype", NARROW)
def test_every_operation_rounds(dtype: str) -> None:
    """In a chain of several, whatever is fused: as NumPy does, and as what is written says."""
    x = values(dtype)
    array = x.numpy().astype(np.float32)
    kind = numpy_dtype(x.dtype)
    product = (array * array).astype(kind).astype(np.float32)
    expected = (product + array).astype(kind)
    np.testing.assert_array_equal(pb.jit(lambda x: x * x + x)(x).numpy(), expected)
    np.testing.assert_array_equal(pb.jit(lambda x: (x * x).astype("float32"))(x).numpy(), product)


def test_a_mean_does_not_overflow() -> None:
    x = pb.full((4096,), 60.0).astype("float16")
    assert x.mean().item() == 60.0
    assert np.isinf(x.sum().item())
    for dtype in ("float16", "float32", "int32"):
        assert pb.mean(x.astype(dtype), dtype="float16").item() == 60.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pb.ones(70_000).astype("float16").mean().item() == 1.0


def test_a_loss_does_not_overflow() -> None:
    rng = np.random.default_rng(0)
    scores = pb.tensor(8 * rng.standard_normal((8192, 50)).astype(np.float32)).astype("float16")
    target = pb.tensor(rng.integers(0, 50, 8192))
    exact = F.cross_entropy(scores.astype("float32"), target).item()
    assert abs(F.cross_entropy(scores, target).item() - exact) < 2**-10 * exact


def test_what_a_caller_converts_has_its_own_gradient() -> None:
    """The conversions that operations make for themselves are not those of a caller, and products read his."""
    x = torch.randn(8, 16).bfloat16().requires_grad_()
    w = torch.randn(16, 8).bfloat16()
    wide = x.float()
    (found,) = torch.autograd.grad(wide.sum() + F.silu(x).float().sum(), [wide])
    np.testing.assert_array_equal(found.numpy(), 1)
    wide = x.float()
    (found,) = torch.autograd.grad((wide @ w.float()).sum() + (wide * wide).sum(), [wide])
    expected = w.float().sum(1) + 2 * wide
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)


def test_random_numbers_stay_as_they_are() -> None:
    """What draws numbers of a dtype draws those."""
    pb.manual_seed(0)
    first = F.dropout(pb.ones(1000).astype("bfloat16"), 0.5)
    pb.manual_seed(0)
    second = F.dropout(pb.ones(1000).astype("bfloat16"), 0.5)
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert set(np.unique(first.numpy().astype(np.float32))) == {0.0, 2.0}
