"""What makes tensors in the PyTorch dialect: where results go, and whether they want gradients."""

from __future__ import annotations

import numpy as np
import pytest

from pullback import torch


@pytest.mark.parametrize("name,args,options", [
    ("zeros", (2, 3), {}), ("ones", (2, 3), {}), ("full", ((2, 3), 4.0), {}), ("eye", (2, 3), {}),
    ("arange", (6,), {}), ("linspace", (0, 1, 6), {}), ("logspace", (0, 1, 6), {}), ("randint", (3, (2, 3)), {}),
    ("randperm", (6,), {}), ("rand", (2, 3), {}), ("randn", (2, 3), {})])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_made_is_written_into_out(name, args, options, dtype):
    torch.manual_seed(0)
    expected = getattr(torch, name)(*args, dtype=dtype)
    out = torch.full(expected.shape, -7.0, dtype=dtype)
    torch.manual_seed(0)
    assert getattr(torch, name)(*args, out=out) is out
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.numpy(), expected.numpy())


def test_whatever_makes_a_tensor_may_ask_for_gradients():
    made = [torch.normal(0.0, 1.0, (3,), requires_grad=True), torch.scalar_tensor(2.0, requires_grad=True),
            torch.range(0, 3, requires_grad=True), torch.randint_like(torch.zeros(3), 5, requires_grad=True),
            torch.rand(3, requires_grad=True), torch.randn(3, requires_grad=True, dtype=torch.complex64)]
    assert all(x.requires_grad and x.is_leaf for x in made)


@pytest.mark.parametrize("name,args", [
    ("zeros", (2,)), ("ones", (2,)), ("full", ((2,), 1.0)), ("empty", (2,)), ("rand", (2,)), ("randn", (2,)),
    ("randint", (5, (2,))), ("arange", (3,)), ("linspace", (0, 1, 3)), ("logspace", (0, 1, 3)), ("eye", (2,)),
    ("randperm", (3,)), ("empty_strided", ((2,), (1,))), ("normal", (0.0, 1.0, (2,))), ("tril_indices", (2, 2)),
    ("hann_window", (4,)), ("range", (0, 2)), ("fft.fftfreq", (4,)),
    *[(f"{kind}_like", (torch.ones(2), *more)) for kind, more in (
        ("zeros", ()), ("ones", ()), ("full", (1.0,)), ("empty", ()), ("rand", ()), ("randn", ()), ("randint", (5,)))],
    *[(f"Tensor.new_{kind}", (torch.ones(2), *more)) for kind, more in (
        ("zeros", (2,)), ("ones", (2,)), ("full", ((2,), 1.0)), ("empty", (2,)))]])
def test_what_is_made_is_dense(name, args):
    make = torch
    for part in name.split("."):
        make = getattr(make, part)
    assert make(*args, layout=torch.strided).layout == torch.strided
    with pytest.raises(NotImplementedError, match=r"to_sparse\(\)"):
        make(*args, layout=torch.sparse_coo)
    with pytest.raises(TypeError, match=r"layout must be torch\.layout"):
        make(*args, layout=3)
