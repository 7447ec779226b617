"""The derivative of an activation is stored in its argument's place: it is computed once, beside the activation."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.nn.functional as F

DEAR = {"gelu": "erf(", "silu": "sigmoid(", "mish": "exp("}


def network(name: str) -> Any:
    def loss(x: Any, w: Any, b: Any, v: Any) -> Any:
        return (getattr(F, name)(x @ w + b) @ v).square().sum()

    return loss


def arguments() -> list[Any]:
    g = np.random.RandomState(0)
    return [pb.tensor(g.standard_normal(s).astype(np.float32)) for s in ((256, 40), (40, 192), (192,), (192, 30))]


def kernels(function: Any, given: list[Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The kernels as text."""
    text = pb.show(function, "loops")(*given)
    capsys.readouterr()
    return re.split(r"^kernel ", text, flags=re.M)[1:]


@pytest.mark.parametrize("name", DEAR)
def test_the_dear_part_is_computed_in_one_kernel(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments()
    found = kernels(pb.value_and_grad(network(name), argnums=(0, 1, 2, 3)), given, capsys)
    assert sum(DEAR[name] in kernel for kernel in found) == 1, "\n".join(found)
    assert len(re.findall(r"float32\[256, 192\] workspace", found[0])) == 2, found[0]


@pytest.mark.parametrize("name", DEAR)
def test_values_are_those_of_single_operators(name: str) -> None:
    given = arguments()
    function = pb.value_and_grad(network(name), argnums=(0, 1, 2, 3))
    value, gradients = pb.jit(function)(*given)
    wide = [pb.tensor(np.asarray(x, np.float64)) for x in given]
    for x, want in zip([value, *gradients], [*_flat(function(*wide))], strict=True):
        scale = float(np.abs(np.asarray(want)).max())
        np.testing.assert_allclose(np.asarray(x), np.asarray(want), rtol=0, atol=2e-6 * scale)


def _flat(found: Any) -> list[Any]:
    return [found[0], *found[1]]


def test_an_argument_that_is_wanted_itself_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    """What is handed out, and what others read, stays as it is: nothing is stored twice."""
    def loss(x: Any, w: Any, b: Any, v: Any) -> Any:
        z = x @ w + b
        return (F.gelu(z) @ v).square().sum() + z.square().sum(), z

    given = arguments()
    found = kernels(pb.value_and_grad(loss, argnums=(1,), has_aux=True), given, capsys)
    assert sum("erf(" in kernel for kernel in found) == 2


def test_the_tangent_of_a_product_of_functions_of_x_is_one_multiple() -> None:
    """d(x f(x)) = dx (f + x f'): one multiplication by the tangent, whatever f is."""
    import pullback.jax as jax

    for function in (F.gelu, F.silu, F.mish, lambda x: x * pb.exp(x) * x, lambda x: x + x * pb.sin(x)):
        text = str(jax.make_jaxpr(lambda x, t, f=function: jax.jvp(f, (x,), (t,))[1])(pb.ones(4), pb.ones(4)))
        assert len(re.findall(r"= \w+ .*\bb\b", text)) == 1, text
