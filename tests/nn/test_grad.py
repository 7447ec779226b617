"""Gradients of convolutions by themselves are those of differentiating the convolution."""

from typing import Any

import numpy as np
import pullback.torch as torch
import pytest

import pullback as pb

OPTIONS: list[dict[str, Any]] = [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2},
                                 {"groups": 2, "padding": 1}]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_they_are_the_gradients(n: int, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)

    def made(*shape: int) -> Any:
        return pb.tensor(rng.standard_normal(shape))

    conv = getattr(pb.nn.functional, f"conv{n}d")
    x, w = made(2, 4, *(9, 7, 6)[:n]), made(6, 4 // options.get("groups", 1), *(3,) * n)
    ct = made(*conv(x, w, **options).shape)
    dx, dw = pb.grad(lambda x, w: (conv(x, w, **options) * ct).sum(), argnums=(0, 1))(x, w)
    of_input, of_weight = (getattr(pb.nn.grad, f"conv{n}d_{name}") for name in ("input", "weight"))
    np.testing.assert_allclose(of_input(x.shape, w, ct, **options).numpy(), dx.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(of_weight(x, w.shape, ct, **options).numpy(), dw.numpy(), rtol=1e-10, atol=1e-10)


def test_the_torch_dialect_gives_its_tensors() -> None:
    weight, ct = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    found = torch.nn.grad.conv2d_input((1, 1, 3, 3), weight, ct)
    assert isinstance(found, torch.Tensor) and found.tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]
    assert torch.nn.grad.conv2d_weight(torch.ones(1, 1, 3, 3), (1, 1, 2, 2), ct).tolist() == [[[[4, 4], [4, 4]]]]
