"""Initialisation and utilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.nn import init, utils
from pullback.util.errors import ArgumentError, PullbackError, ShapeError, ValueError_


def test_constants():
    w = nn.Parameter(pb.ones((3, 4)))
    assert init.zeros_(w) is w and not w.numpy().any() and w.requires_grad
    assert (init.constant_(w, 2.5).numpy() == 2.5).all()
    np.testing.assert_array_equal(init.eye_(w).numpy(), np.eye(3, 4))
    k = init.dirac_(pb.zeros((2, 2, 3)))
    np.testing.assert_array_equal(k.numpy()[:, :, 1], np.eye(2))


@pytest.mark.parametrize(("fill", "mean", "std"), [
    (lambda w: init.uniform_(w, -1, 3), 1.0, 4 / math.sqrt(12)),
    (lambda w: init.normal_(w, 1.0, 0.5), 1.0, 0.5),
    (lambda w: init.xavier_uniform_(w, 2.0), 0.0, 2 * math.sqrt(2 / 500)),
    (lambda w: init.xavier_normal_(w), 0.0, math.sqrt(2 / 500)),
    (lambda w: init.kaiming_uniform_(w, nonlinearity="relu"), 0.0, math.sqrt(2 / 200)),
    (lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), 0.0, math.sqrt(2 / 300)),
    (lambda w: init.trunc_normal_(w), 0.0, 0.8796),
])
def test_distributions(fill, mean, std):
    w = fill(pb.zeros((300, 200))).numpy()
    assert abs(w.mean() - mean) < 0.02 * std + 1e-3 and abs(w.std() / std - 1) < 0.02


def test_seeds_decide():
    pb.manual_seed(3)
    a = nn.Linear(4, 4).weight.numpy()
    b = nn.Linear(4, 4).weight.numpy()
    pb.manual_seed(3)
    np.testing.assert_array_equal(nn.Linear(4, 4).weight.numpy(), a)
    assert (a != b).any() and abs(a).max() <= 0.5
    generator = pb.Generator().manual_seed(5)
    x = init.normal_(pb.zeros(3), generator=generator).numpy()
    np.testing.assert_array_equal(init.normal_(pb.zeros(3), generator=pb.Generator().manual_seed(5)).numpy(), x)


def test_orthogonal():
    for shape in ((5, 3), (3, 5), (4, 2, 3)):
        w = init.orthogonal_(pb.zeros(shape), gain=2.0).numpy().reshape(shape[0], -1)
        product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_gains():
    assert init.calculate_gain("linear") == 1.0 and init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)


def parameters(*grads):
    found = []
    for g in grads:
        p = nn.Parameter(pb.zeros(len(g)))
        p.grad = pb.tensor(g)
        found.append(p)
    return found


def test_clipping_by_norm():
    ps = parameters([3.0], [0.0, 4.0])
    total = utils.clip_grad_norm_(ps, 1.0)
    assert total.item() == 5.0
    np.testing.assert_allclose([*ps[0].grad.numpy(), *ps[1].grad.numpy()], [0.6, 0, 0.8], rtol=1e-5)
    assert utils.clip_grad_norm_(parameters([3.0], [0.0, 4.0]), 1.0, float("inf")).item() == 4.0
    ps = parameters([0.3])
    utils.clip_grad_norm_(ps, 1.0)
    np.testing.assert_allclose(ps[0].grad.numpy(), [0.3])
    with pytest.raises(ValueError_, match="non-finite"):
        utils.clip_grad_norm_(parameters([float("nan")]), 1.0, error_if_nonfinite=True)
    assert utils.clip_grad_norm_(parameters([3.0], [0.0, 4.0]), 1.0, 0.0).item() == 2.0
    assert utils.clip_grad_norm_([nn.Parameter(pb.zeros(1))], 1.0).item() == 0.0


def test_clipping_by_value():
    ps = parameters([3.0, -0.5], [-4.0])
    utils.clip_grad_value_(ps, 1.0)
    assert [p.grad.tolist() for p in ps] == [[1.0, -0.5], [-1.0]]


def test_parameters_as_vector():
    m = nn.Linear(2, 3)
    v = utils.parameters_to_vector(m.parameters())
    assert v.shape == (9,)
    utils.vector_to_parameters(v * 0 + 1, m.parameters())
    assert (m.weight.numpy() == 1).all() and (m.bias.numpy() == 1).all() and m.weight.requires_grad


WRONG = [
    (lambda: init.zeros_(3), ArgumentError), (lambda: init.eye_(pb.zeros(3)), ShapeError),
    (lambda: init.xavier_uniform_(pb.zeros(3)), ShapeError), (lambda: init.calculate_gain("swish"), ValueError_),
    (lambda: init.kaiming_normal_(pb.zeros((2, 2)), mode="fan"), ValueError_),
    (lambda: init.trunc_normal_(pb.zeros(2), a=2, b=1), ValueError_),
    (lambda: init.uniform_(pb.zeros(2), generator=3), ArgumentError),
    (lambda: utils.vector_to_parameters(pb.zeros(3), nn.Linear(1, 1).parameters()), ShapeError),
    (lambda: utils.parameters_to_vector([]), ValueError_),
]


@pytest.mark.parametrize("k", range(len(WRONG)))
def test_wrong_calls_raise_our_errors(k):
    call, error = WRONG[k]
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, PullbackError)
