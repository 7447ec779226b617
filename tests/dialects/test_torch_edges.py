"""Values and gradients of PyTorch 2.13 at the edges of numbers: NaN, infinities, ties, the largest and the least."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pullback.torch as torch
import pullback.torch.nn.functional as F
import pytest

from pullback.util.errors import PullbackError

T: Any = torch
_F: Any = F
nan, inf = float("nan"), float("inf")


def answers(f: Callable[..., Any], *arrays: Any) -> tuple[Any, list[Any]]:
    """The values of f, and its gradients where those of its values are 1, 2, 3, ..."""
    inputs = [T.tensor(x, requires_grad=True) for x in arrays]
    y = f(*inputs)
    weights = T.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape)
    grads = T.autograd.grad(y, inputs, weights, allow_unused=True)
    return y.detach().numpy(), [None if g is None else g.numpy() for g in grads]


def same(f: Callable[..., Any], arrays: Sequence[Any], values: Any, grads: Sequence[Any], rtol: float = 1e-6) -> None:
    found, slopes = answers(f, *arrays)
    np.testing.assert_allclose(found, np.asarray(values, found.dtype), rtol=rtol)
    for slope, wanted in zip(slopes, grads, strict=True):
        np.testing.assert_allclose(slope, np.asarray(wanted, np.float32), rtol=rtol)


_LEFT, _RIGHT = [nan, nan, 1.0, 2.0, 3.0, 5.0], [nan, 1.0, nan, 2.0, 4.0, 4.0]


@pytest.mark.parametrize(("f", "values", "left", "right"), [
    (T.maximum, [nan, nan, nan, 2, 4, 5], [1, 2, 3, 2, 0, 6], [1, 2, 3, 2, 5, 0]),
    (T.minimum, [nan, nan, nan, 2, 3, 4], [1, 2, 3, 2, 5, 0], [1, 2, 3, 2, 0, 6]),
    (T.fmax, [nan, 1, 1, 2, 4, 5], [1, 0, 3, 4, 0, 6], [0, 2, 0, 0, 5, 0]),
    (T.fmin, [nan, 1, 1, 2, 3, 4], [1, 0, 3, 4, 5, 0], [0, 2, 0, 0, 0, 6]),
])
def test_extremes_of_two_beside_nan_and_of_equal_numbers(f: Any, values: Any, left: Any, right: Any) -> None:
    same(f, (_LEFT, _RIGHT), values, (left, right))


_IMAGE = [[[[1.0, 1, 2, 2, nan, 0], [1, 1, 0, 2, 1, nan], [3, nan, -inf, -inf, inf, inf], [0, 0, -inf, -inf, inf, 1]]]]


@pytest.mark.parametrize(("f", "values", "places", "grads"), [
    (lambda x: _F.max_pool2d(x, 2, return_indices=True), [[1, 2, nan], [nan, -inf, inf]], [[0, 2, 11], [13, 14, 16]],
     [[1, 0, 2, 0, 0, 0], [0, 0, 0, 0, 0, 3], [0, 4, 5, 0, 6, 0], [0] * 6]),
    (lambda x: _F.max_pool2d(x, 3, 2, 1, return_indices=True), [[1, 2, nan], [nan, nan, nan]],
     [[0, 2, 11], [13, 13, 11]], [[1, 0, 2, 0, 0, 0], [0, 0, 0, 0, 0, 9], [0, 9, 0, 0, 0, 0], [0] * 6]),
    (lambda x: _F.max_pool2d(x[:, :, 2:, 2:4], 2, 1, 1, return_indices=True), [[-inf] * 3] * 3,
     [[0, 0, 1], [0, 0, 1], [2, 2, 3]],
     [[0] * 6, [0] * 6, [0, 0, 12, 9, 0, 0], [0, 0, 15, 9, 0, 0]]),
    (lambda x: _F.adaptive_max_pool2d(x, (2, 3), return_indices=True), [[1, 2, nan], [nan, -inf, inf]],
     [[0, 2, 11], [13, 14, 16]], [[1, 0, 2, 0, 0, 0], [0, 0, 0, 0, 0, 3], [0, 4, 5, 0, 6, 0], [0] * 6]),
    (lambda x: _F.max_pool3d(x[None], (1, 2, 2), return_indices=True), [[1, 2, nan], [nan, -inf, inf]],
     [[0, 2, 11], [13, 14, 16]], [[1, 0, 2, 0, 0, 0], [0, 0, 0, 0, 0, 3], [0, 4, 5, 0, 6, 0], [0] * 6]),
])
def test_max_pooling_takes_the_last_nan_and_no_place_beside_the_image(f: Any, values: Any, places: Any,
                                                                      grads: Any) -> None:
    same(lambda x: f(x)[0].squeeze(), [_IMAGE], values, [[[grads]]])
    assert f(T.tensor(_IMAGE))[1].squeeze().tolist() == places


def test_large_windows_of_the_least_number_find_a_place_in_the_image() -> None:
    for x in (T.full((1, 1, 4, 4), -inf), T.zeros((1, 1, 4, 4), dtype=T.uint8)):
        places = _F.max_pool2d(x, 5, 1, 2, return_indices=True)[1]
        assert places.squeeze().tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [4, 4, 4, 5]]
    x = T.full((1, 1, 4, 4), -inf, requires_grad=True)
    _F.max_pool2d(x, 5, 1, 2).backward(T.ones(1, 1, 4, 4))
    assert x.grad.squeeze().tolist() == [[9, 3, 0, 0], [3, 1, 0, 0], [0] * 4, [0] * 4]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "float64", "bfloat16"])
def test_max_pooling_finds_the_first_of_equal_numbers(dtype: str) -> None:
    x = T.tensor([[[2, 2, 1, 3, 0, 0, 3, 3]]]).to(getattr(T, dtype))
    values, places = _F.max_pool1d(x, 3, 2, 1, return_indices=True)
    assert (values.tolist(), places.tolist()) == ([[[2, 3, 3, 3]]], [[[0, 3, 3, 6]]])


def test_running_sums_of_exponentials_keep_what_is_far_below_later_ones() -> None:
    same(lambda x: T.logcumsumexp(x, 0), [[0.0, 200, -300, 50, 200]], [0, 200, 200, 200, 200.69315],
         [[1, 11.5, 0, 0, 2.5]])
    rows = [[1e30, 1e38], [-1e38, 2.0], [-inf, 0.0]]
    same(lambda x: T.logcumsumexp(x, 1), [rows], rows, [[[1, 2], [3, 4], [5, 6]]])
    for rows in (T.linspace(-50, 50, 33).reshape(1, 33), -T.linspace(-50, 50, 66).reshape(2, 33)):
        exact = np.logaddexp.accumulate(rows.double().numpy(), 1)
        np.testing.assert_allclose(T.logcumsumexp(rows, 1).numpy(), exact, rtol=1e-5)
        np.testing.assert_allclose(T.logcumsumexp(rows.t(), 0).numpy(), exact.T, rtol=1e-5)


def test_unique_numbers_are_those_that_equal_another() -> None:
    x = T.tensor([nan, 1.0, nan, 1.0, 2.0])
    values, inverse, counts = T.unique(x, return_inverse=True, return_counts=True)
    assert str(values.tolist()) == str(T.unique(x).tolist()) == str(x.unique().tolist()) == "[1.0, 2.0, nan, nan]"
    assert (inverse.tolist(), counts.tolist()) == ([2, 0, 3, 0, 1], [2, 1, 1, 1])
    assert str(T.unique(x[:3].bfloat16()).tolist()) == "[1.0, nan, nan]"


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_means_of_windows_take_whole_numbers_of_64_bits_alone(rank: int) -> None:
    pool = (_F.avg_pool1d, _F.avg_pool2d, _F.avg_pool3d)[rank - 1]
    x = T.arange(2**rank).reshape(1, *(2,) * rank)
    assert pool(x - 9, 2).flatten().tolist() == [int((2**rank - 1) / 2 - 9)]
    for dtype in (T.int32, T.int16, T.int8, T.uint8, T.bool):
        with pytest.raises(PullbackError, match="not implemented for"):
            pool(x.to(dtype), 2)


@pytest.mark.parametrize(("scale", "variance"), [(1e19, inf), (1e17, 8.6666664e34), (1.0, 8.6666667),
                                                 (1e-17, 8.6666669e-34), (1e-30, 0.0)])
def test_squares_of_deviations_neither_overflow_nor_vanish(scale: float, variance: float) -> None:
    x = np.asarray([1, 2, 4, -3], np.float32) * np.float32(scale)
    slopes = np.asarray([0, 0.1132277, 0.3396831, -0.4529108])
    for shape, dim in (((4,), 0), ((1, 4), 1), ((4, 1), 0)):
        found, grads = answers(lambda x, d=dim: T.std(x, d), x.reshape(shape))
        np.testing.assert_allclose(np.ravel(found), [2.9439203 * scale], rtol=1e-6)
        np.testing.assert_allclose(grads[0].ravel(), slopes, rtol=1e-5, atol=1e-7)
        found, grads = answers(lambda x, d=dim: T.var(x, d), x.reshape(shape))
        np.testing.assert_allclose(np.ravel(found), [np.float32(variance)], rtol=1e-6)
        np.testing.assert_allclose(grads[0].ravel() / scale, [0, 2 / 3, 2, -8 / 3], rtol=1e-5, atol=1e-6)
    assert T.var(T.tensor([1e19, 2e19, 3e19])).item() == pytest.approx(1e38)
    assert T.tensor([1e19, 2e19, 4e19, -3e19]).bfloat16().std().item() == pytest.approx(2.94e19, rel=4e-3)


def test_second_derivatives_of_the_deviation() -> None:
    x = T.tensor([1.0, 2.0, 4.0])
    hessian = T.autograd.functional.hessian
    np.testing.assert_allclose(hessian(lambda x: x.var(), x).numpy(), np.eye(3) - 1 / 3, atol=1e-6)
    np.testing.assert_allclose(hessian(lambda x: x.std(), x).numpy(),
                               [[0.0935, -0.1403, 0.0468], [-0.1403, 0.2104, -0.0701], [0.0468, -0.0701, 0.0234]],
                               atol=1e-4)
    assert answers(lambda x: x.std(), [3.0, 3.0, 3.0])[1][0].tolist() == [0, 0, 0]


_ONES = T.tensor([1.0, 1.0])


@pytest.mark.parametrize(("f", "arrays", "values", "grads"), [
    (lambda x, y: _F.margin_ranking_loss(x, y, _ONES, reduction="none"), ([1.0, 0.0], [1.0, 1.0]), [0, 1],
     ([-1, -2], [1, 2])),
    (lambda x: _F.hinge_embedding_loss(x, -_ONES, reduction="none"), ([1.0, 0.0],), [0, 1], ([-1, -2],)),
    (lambda x, y, z: _F.triplet_margin_loss(x, y, z, eps=0.0, reduction="none"), ([[0.0, 0]], [[1.0, 0]], [[0.0, 2]]),
     [0], ([[-1, 1]], [[1, 0]], [[0, -1]])),
    (lambda x, y: _F.cosine_embedding_loss(x, y, -_ONES[:1], reduction="none"), ([[1.0, 0]], [[0.0, 1]]), [0],
     ([[0, 1]], [[1, 0]])),
    (lambda x: _F.multi_margin_loss(x, T.tensor([0]), reduction="none"), ([[1.0, 0.0, 0.5]],), [0.16666667],
     ([[-0.33333334, 0, 0.33333334]],)),
])
def test_losses_at_their_margins_have_pytorchs_slope(f: Any, arrays: Any, values: Any, grads: Any) -> None:
    same(f, arrays, values, grads)


def test_losses_far_from_their_targets() -> None:
    far = ([0.0, 1.0, inf, 0.5], [inf, -inf, 1.0, 0.0])
    for loss in (_F.huber_loss, _F.smooth_l1_loss):
        same(lambda x, y, f=loss: f(x, y, reduction="none"), far, [inf, inf, inf, 0.125],
             ([-1, 2, 3, 2], [1, -2, -3, -2]))
    same(lambda x: _F.binary_cross_entropy_with_logits(x, T.tensor([1.0, 1, 0, 0, 0.5]), reduction="none"),
         ([20.5, 7.0, inf, -20.0, 0.0],), [1.2501528e-9, 9.1146649e-4, inf, 2.0611537e-9, 0.6931472],
         ([0, -0.0018219948, 3, 8.244615e-9, 0],), 1e-4)
    values = _F.kl_div(T.tensor([1.0, 1.0, 2.0]), T.tensor([-1.0, 0.0, 1.0]), reduction="none")
    np.testing.assert_array_equal(values.numpy(), [nan, 0, -2])


@pytest.mark.parametrize(("f", "arrays", "values", "grads"), [
    (lambda x, y: T.lerp(x, y, 1.0), ([1e30, 3.0], [1.0, 0.1]), [1, 0.1], ([0, 0], [1, 2])),
    (T.lerp, ([1e8, 2.0, 0.0], [1.0, 4.0, 5.0], [0.75, 0.25, -1.5]), [2.5e7, 2.5, -7.5],
     ([0.25, 1.5, 7.5], [0.75, 0.5, -4.5], [-1e8, 4, 15])),
    (T.pow, ([0.0, 0.0, nan, 2.0, 0.0, 3.0], [-1.0, 2.0, 0.0, 0.0, 0.0, 2.0]), [inf, 0, 1, 1, 1, 9],
     ([-inf, 0, 0, 0, 0, 36], [-inf, 0, nan, 2.7725887, 0, 59.325062])),
    (lambda x: T.clamp(x, min=0.0), ([nan, -1.0, 0.0, 2.0],), [nan, 0, 0, 2], ([0, 0, 3, 4],)),
    (lambda x: T.clamp(x, max=0.0), ([nan, -1.0, 0.0, 2.0],), [nan, -1, 0, 0], ([0, 2, 3, 0],)),
    (lambda x: T.clamp(x, min=nan), ([1.0, nan],), [nan, nan], ([0, 0],)),
    (lambda x, y: T.clamp(x, min=y), ([nan, 1.0, 3.0], [1.0, 2.0, 2.0]), [nan, 2, 3], ([0, 0, 3], [0, 2, 0])),
    (lambda x, y: T.clamp(x, y, T.ones(3)), ([0.0, 2.0, 0.0], [1.0, 1.0, 0.5]), [1, 1, 0.5], ([0, 0, 0], [0, 0, 3])),
])
def test_choices_between_numbers_and_limits(f: Any, arrays: Any, values: Any, grads: Any) -> None:
    same(f, arrays, values, grads)


@pytest.mark.parametrize(("f", "arrays", "values", "grads"), [
    (T.xlogy, ([0.0, 0.0, 2.0, 0.0, 0.0], [2.0, 0.5, 2.0, nan, -1.0]), [0, 0, 1.3862944, nan, 0],
     ([0.6931472, -1.3862944, 2.0794415, nan, 0], [0, 0, 3, nan, 0])),
    (T.special.xlog1py, ([0.0, 0.0, 2.0], [2.0, -0.5, 2.0]), [0, 0, 2.1972246],
     ([1.0986123, -1.3862944, 3.295837], [0, 0, 2])),
    (T.special.i1, ([0.0, 1.0, -2.0, 40.0],), [0, 0.5651591, -1.5906368, 1.4707397e16],
     ([0.5, 1.4018137, 4.4528003, 5.8108364e16],)),
    (T.special.i1e, ([0.0, 1.0, -2.0, 40.0],), [0, 0.20791042, -0.21526928, 0.06248223],
     ([0.5, 0.0998776, -0.04318687, -0.0030640065],)),
    (T.special.ndtri, ([1e-30, 1e-8, 0.001, 0.3, 0.5, 0.9, 0.999],),
     [-11.464024, -5.612001, -3.0902324, -0.52440047, 0, 1.2815511, 3.0902362],
     ([8.657947e28, 34599956.0, 890.9771, 11.504414, 12.533141, 34.188343, 2078.9714],)),
])
def test_special_functions_near_their_edges(f: Any, arrays: Any, values: Any, grads: Any) -> None:
    same(f, arrays, values, grads, 2e-5)


def test_special_functions_beyond_their_edges() -> None:
    ends = T.special.ndtri(T.tensor([0.0, 1.0, -1e-40, 1.5, nan]))
    np.testing.assert_array_equal(ends.numpy(), [-inf, inf, nan, nan, nan])
    exact = T.special.ndtri(T.tensor([1e-300, 1e-12, 0.2, 0.9999], dtype=T.float64))
    np.testing.assert_allclose(exact.numpy(), [-37.0470962993612, -7.034483825301131, -0.8416212335729143,
                                               3.7190164854557084], rtol=1e-14)
    assert T.special.i0(T.tensor([3.4e38])).item() == inf


def test_a_summand_times_0_is_not_read() -> None:
    c, x = T.tensor([[nan, inf], [1.0, 2.0]], requires_grad=True), T.tensor([[1.0, 2.0], [3.0, 4.0]])
    square = [[7, 10], [15, 22]]
    found = T.addmm(c, x, x, beta=0)
    assert found.tolist() == T.addmm(c, x, x, beta=0.0).tolist() == square
    assert T.autograd.grad(found.sum(), c)[0].tolist() == [[0, 0], [0, 0]]
    assert T.baddbmm(c[None], x[None], x[None], beta=0, alpha=2).tolist() == [[[14, 20], [30, 44]]]
    assert T.addmv(c[0], x, x[0], beta=0).tolist() == [5, 11]
    assert T.addr(c, x[0], x[1], beta=0).tolist() == [[3, 4], [6, 8]]
    assert T.addbmm(c, x[None], x[None], beta=0).tolist() == square
    np.testing.assert_array_equal(T.addmm(c, x, x, beta=2).detach().numpy(), [[nan, inf], [17, 26]])


def test_logarithms_of_shares_beside_infinity_are_nan() -> None:
    x = [[inf, inf, 1.0, -inf], [inf, 1.0, 2.0, 3.0], [-inf] * 4, [-inf, 0.0, 0.0, -inf]]
    unknown, half = [[nan] * 4] * 3, -0.6931472
    found, slopes = answers(lambda x: _F.log_softmax(x, 1), x)
    np.testing.assert_allclose(found, [*unknown, [-inf, half, half, -inf]], rtol=1e-6)
    np.testing.assert_allclose(slopes[0], [*unknown, [13, -15, -14, 16]], rtol=1e-6)
    same(lambda x: _F.cross_entropy(x, T.tensor([2, 0, 1, 1]), reduction="none"), [x], [nan, nan, nan, -half],
         [[*unknown, [0, -2, 2, 0]]])
    assert T.logsumexp(T.tensor([inf, 1.0]), 0).item() == inf


def test_norms_whose_powers_vanish_have_no_slope() -> None:
    rows = [[1e-25, 2e-25], [0, 0], [1, 2], [1e-20, 0]]
    same(lambda x: T.linalg.vector_norm(x, 3, dim=1), [rows], [0, 0, 2.0800838, 0],
         [[[0, 0], [0, 0], [0.6933613, 2.7734451], [0, 0]]])


def test_whole_numbers_without_nan_are_summed_in_64_bits() -> None:
    for dtype in (T.int32, T.uint8, T.bool):
        x = T.ones(3, dtype=dtype)
        assert (T.nansum(x).dtype, x.nansum().dtype, T.nansum(x).item()) == (T.int64, T.int64, 3)
    assert T.nansum(T.tensor([1.0, nan]), dtype=T.float64).dtype == T.float64
    assert T.tensor([[1.0, nan]]).nansum(1, keepdim=True).tolist() == [[1]]


def test_no_dimensions_are_all_of_them_except_for_any_and_all() -> None:
    x = T.arange(6.0).reshape(2, 3)
    for name in "sum mean amax amin std var nansum nanmean count_nonzero".split():
        function = getattr(T, name)
        for found in (function(x, ()), function(x, dim=()), getattr(x, name)(()), getattr(x, name)(dim=[])):
            assert found.shape == ()
            assert found.item() == function(x).item()
    assert T.sum(x, (), keepdim=True).shape == (1, 1)
    assert T.any(x, ()).tolist() == T.all(x, dim=()).tolist() == [[False, True, True], [True, True, True]]
