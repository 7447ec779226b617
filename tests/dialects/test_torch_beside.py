"""Answers of PyTorch 2.13 where arrays have an edge: NaN, 16 bits, mixed dtypes, values written in place."""

from __future__ import annotations

import gc
from typing import Any

import pullback.torch as torch
import pytest

from pullback.runtime import memory
from pullback.util.errors import PullbackError

T: Any = torch


def test_fill_copies_a_tensor_with_one_number_everywhere() -> None:
    x = T.tensor([1.0, 2.0], requires_grad=True)
    value = T.tensor(3.0, requires_grad=True)
    y = T.fill(x, value)
    y.sum().backward()
    assert (y.tolist(), x.grad.tolist(), value.grad.item()) == ([3, 3], [0, 0], 2)
    assert x.tolist() == [1, 2]
    assert T.fill(T.tensor([1, 2]), 3.5).tolist() == [3, 3]
    assert T.fill(input=T.tensor([True, False]), value=2).tolist() == [True, True]
    with pytest.raises(PullbackError, match="one number"):
        T.fill(T.tensor([1.0]), T.tensor([3.5]))


#: dtypes of two gradients, their norms of order 2, 1 and inf in PyTorch, and its dtype
_NORMS = [("bfloat16", "bfloat16", (10.0, 21.0, 7.40625), "bfloat16"),
          ("float16", "float16", (9.9921875, 21.0, 7.3984375), "float16"),
          ("float16", "bfloat16", (9.9924, 21.0, 7.40625), "float32"),
          ("bfloat16", "float32", (9.9945, 21.0, 7.4), "float32"),
          ("float32", "float16", (9.9929, 21.0, 7.3984375), "float32"),
          ("bfloat16", "float64", (9.9945, 21.0, 7.4), "float64")]


@pytest.mark.parametrize(("first", "second", "norms", "dtype"), _NORMS)
@pytest.mark.parametrize("foreach", [None, True, False])
def test_the_norm_of_gradients_has_their_dtype(first: str, second: str, norms: Any, dtype: str, foreach: Any) -> None:
    for order, norm in zip((2.0, 1.0, float("inf")), norms, strict=True):
        parameters = [torch.nn.Parameter(T.zeros(3, dtype=getattr(T, kind))) for kind in (first, second)]
        for scale, p in enumerate(parameters, 1):
            p.grad = T.tensor([1.0, 2.3, 3.7], dtype=p.dtype) * scale
        grads = [p.grad for p in parameters]
        total = torch.nn.utils.get_total_norm(grads, order, foreach=foreach)
        found = torch.nn.utils.clip_grad_norm_(parameters, 1.0, order, foreach=foreach)
        assert found.dtype == total.dtype == getattr(T, dtype)
        assert [found.item(), total.item()] == pytest.approx([norm] * 2, rel=1e-3)  # PyTorch rounds each norm
        assert [p.grad.dtype for p in parameters] == [p.dtype for p in parameters]


nan = float("nan")
_LINE = [1.0, nan, 2.0, nan, 0.0]
_SIDE = [float("inf"), nan, float("-inf"), 1.0]


#: what is asked, of which numbers, PyTorch's values and positions, and the gradient of sum(values * (1, 2, ...))
_WITH_NAN: list[Any] = [
    (lambda x: x.median(0), _LINE, nan, 1, [0, 1, 0, 0, 0]),
    (lambda x: x.median(0), [nan, nan, nan], nan, 0, [1, 0, 0]),
    (lambda x: x.median(0), [4.0, 1.0, 3.0, 2.0], 2, 3, [0, 0, 0, 1]),
    (lambda x: x.nanmedian(0), _LINE, 1, 0, [1, 0, 0, 0, 0]),
    (lambda x: x.max(), _LINE, nan, None, [0, 0.5, 0, 0.5, 0]), (lambda x: x.min(), _SIDE, nan, None, [0, 1, 0, 0]),
    (lambda x: x.max(0), _LINE, nan, 1, [0, 1, 0, 0, 0]), (lambda x: x.min(0), _LINE, nan, 1, [0, 1, 0, 0, 0]),
    (lambda x: x.sort(0), _LINE, [0, 1, 2, nan, nan], [4, 0, 2, 1, 3], [2, 4, 3, 5, 1]),
    (lambda x: x.sort(0, True), _LINE, [nan, nan, 2, 1, 0], [1, 3, 2, 0, 4], [4, 1, 3, 2, 5]),
    (lambda x: x.sort(0, True), _SIDE, [nan, _SIDE[0], 1, _SIDE[2]], [1, 0, 3, 2], [2, 1, 4, 3]),
    (lambda x: x.topk(3), _LINE, [nan, nan, 2], [1, 3, 2], [0, 1, 3, 2, 0]),
    (lambda x: x.topk(2, largest=False), _LINE, [0, 1], [4, 0], [2, 0, 0, 0, 1]),
    (lambda x: x.kthvalue(3), _LINE, 2, 2, [0, 0, 1, 0, 0]),
    (lambda x: x.cummax(0), _LINE, [1, nan, nan, nan, nan], [0, 1, 1, 3, 3], [1, 5, 0, 9, 0]),
    (lambda x: x.cummin(0), [3.0, 1.0, 2.0, nan, 0.0], [3, 1, 1, nan, nan], [0, 1, 1, 3, 3], [1, 5, 0, 9, 0]),
    (lambda x: x.quantile(T.tensor([0.0, 0.3, 0.5, 1.0])), _LINE, [nan] * 4, None, [0, 0, 0, 10, 0]),
    (lambda x: x.quantile(0.4, 0, interpolation="lower"), _SIDE, nan, None, [0, 1, 0, 0]),
    (lambda x: x.nanquantile(0.5), _LINE, 1, None, [1, 0, 0, 0, 0]),
    (lambda x: x.nanquantile(0.3), _SIDE, _SIDE[2], None, [0, 0, 0.4, 0.6]),
    (lambda x: x.nanquantile(0.4, interpolation="midpoint"), _SIDE, _SIDE[2], None, [0, 0, 0.5, 0.5])]


@pytest.mark.parametrize(("ask", "numbers", "values", "at", "slope"), _WITH_NAN)
def test_nan_stands_where_pytorch_has_it(ask: Any, numbers: Any, values: Any, at: Any, slope: Any) -> None:
    x = T.tensor(numbers, requires_grad=True)
    found = ask(x)
    first = found if at is None else found[0]
    assert first.tolist() == pytest.approx(values, nan_ok=True)
    if at is not None:
        assert found[1].tolist() == at and found[1].dtype == T.int64
    (first * T.arange(1.0, first.numel() + 1).reshape(first.shape)).sum().backward()
    assert x.grad.tolist() == pytest.approx(slope)


def test_lines_without_nan_keep_their_median_and_quantile_beside_those_with_it() -> None:
    x = T.tensor([[4.0, 1.0, 3.0], [nan, 2.0, 5.0]], requires_grad=True)
    values, at = x.median(1, keepdim=True)
    assert (values.tolist()[0], at.tolist()) == ([3], [[2], [0]]) and values.isnan().tolist() == [[False], [True]]
    middle = x.quantile(0.5, 1)
    (values.sum() + 10 * middle.sum()).backward()
    assert middle.isnan().tolist() == [False, True]
    assert x.grad.tolist() == [[0, 0, 11], [11, 0, 0]]
    assert T.tensor([[2, 1], [3, 0]]).median(0)[0].tolist() == [2, 0]


@pytest.mark.parametrize(("kinds", "names"), [
    (("float32", "float16", "float32"), "float32.*float16"), (("float32", "float32", "bfloat16"), "float32.*bfloat16"),
    (("bfloat16", "float32", "float32"), "bfloat16.*float32"), (("float64", "float32", "float32"), "float64.*float32"),
    (("float32", "int64", "float32"), "float32.*int64")])
def test_attention_refuses_two_dtypes(kinds: Any, names: str) -> None:
    given = [T.ones(1, 2, 2).to(getattr(T, kind)) for kind in kinds]
    with pytest.raises(PullbackError, match=f"(?s)same dtype.*{names}.*convert one"):
        torch.nn.functional.scaled_dot_product_attention(*given)
    with torch.autocast("cpu", T.bfloat16):
        assert torch.nn.functional.scaled_dot_product_attention(*(x.float() for x in given)).dtype == T.bfloat16


@pytest.mark.parametrize("query", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("mask", ["bool", "float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_mask_is_bool_or_float_or_of_the_dtype_of_the_query(query: str, mask: str, rate: float) -> None:
    q, m = T.ones(1, 2, 2, dtype=getattr(T, query)), T.ones(2, 2, dtype=getattr(T, mask))
    if mask in ("bool", "float32", query):
        assert torch.nn.functional.scaled_dot_product_attention(q, q, q, m, rate).dtype == q.dtype
    else:
        with pytest.raises(PullbackError, match="a mask is bool, float32, or of the dtype of the query"):
            torch.nn.functional.scaled_dot_product_attention(q, q, q, m, rate)


_F = torch.nn.functional
#: pooling, and the dtypes of which PyTorch does not have it
_POOLS: list[Any] = [
    (lambda x: _F.max_pool1d(x[0, 0], 2), "int64 int32 uint8 bool", [[1, 3], [5, 7], [9, 11], [13, 15]]),
    (lambda x: T.max_pool1d(x[0, 0], 2), "int64 int8 bool", [[1, 3], [5, 7], [9, 11], [13, 15]]),
    (lambda x: torch.nn.MaxPool1d(2)(x[0, 0]), "int64 bool", [[1, 3], [5, 7], [9, 11], [13, 15]]),
    (lambda x: _F.max_pool1d(x[0, 0], 2, return_indices=True)[0], "bool", [[1, 3], [5, 7], [9, 11], [13, 15]]),
    (lambda x: _F.max_pool2d(x, 2), "bool", [[[[5, 7], [13, 15]]]]),
    (lambda x: _F.fractional_max_pool2d(x, 2, output_size=2, _random_samples=T.full((1, 1, 2), 0.5)),
     "int64 int32 uint8 int8 bool", [[[[5, 7], [13, 15]]]]),
    (lambda x: _F.fractional_max_pool3d(x.reshape(1, 1, 4, 2, 2), 1, output_size=1), "int64 bool", [[[[[15]]]]]),
    (lambda x: _F.max_unpool2d(x[:, :, :1, :2], T.tensor([[[[0, 3]]]]), 2), "int64 int32 uint8 int8 bool",
     [[[[0, 0, 0, 1], [0, 0, 0, 0]]]]),
    (lambda x: _F.max_unpool1d(x[0, :, 0, :2], T.tensor([[0, 3]]), 2), "int64 bool", [[0, 0, 0, 1]])]


@pytest.mark.parametrize(("pool", "refused", "values"), _POOLS)
def test_pooling_refuses_the_dtypes_that_pytorch_refuses(pool: Any, refused: str, values: Any) -> None:
    x = T.arange(16).reshape(1, 1, 4, 4)
    for kind in ("int64", "int32", "uint8", "int8", "bool", "float32", "bfloat16"):
        given = x.to(getattr(T, kind))
        if kind in refused.split():
            with pytest.raises(NotImplementedError, match="not implemented for"):
                pool(given)
        elif kind in ("float32", "int64"):
            assert pool(given).tolist() == values


def test_circular_padding_wraps_once() -> None:
    x = T.arange(3.0).reshape(1, 1, 3)
    assert _F.pad(x, (3, 3), mode="circular").tolist() == [[[0, 1, 2, 0, 1, 2, 0, 1, 2]]]
    assert _F.pad(x, (-1, 2), mode="circular").tolist() == [[[1, 2, 1, 2]]]
    for given in (lambda: _F.pad(x, (4, 0), mode="circular"), lambda: _F.pad(x, (3, 4), mode="circular"),
                  lambda: _F.pad(T.ones(1, 1, 2, 2), (1, 1, 3, 0), mode="circular"),
                  lambda: torch.nn.CircularPad1d((0, 7))(x),
                  lambda: torch.nn.Conv1d(1, 1, 9, padding=4, padding_mode="circular")(x)):
        with pytest.raises(RuntimeError, match=r"(?s)wrap around once.*at most the size"):
            given()


#: dtypes of input and target, and those of PyTorch's huber_loss and smooth_l1_loss
_LOSSES = [("float16", "float16", "float16", "float16"), ("bfloat16", "bfloat16", "bfloat16", "bfloat16"),
           ("float16", "float32", "float16", "float32"), ("float32", "float16", "float32", "float32"),
           ("bfloat16", "float32", "bfloat16", "float32"), ("float64", "float32", "float64", "float64"),
           ("float32", "float64", "float32", "float64"), ("float16", "bfloat16", "float16", "float32"),
           ("float32", "int64", "float32", "float32")]


@pytest.mark.parametrize(("first", "second", "huber", "smooth"), _LOSSES)
@pytest.mark.parametrize(("reduction", "values"), [("mean", 1.5), ("sum", 4.5), ("none", [0.5, 1.5, 2.5])])
def test_a_huber_loss_has_the_dtype_of_its_input(first: str, second: str, huber: str, smooth: str, reduction: str,
                                                 values: Any) -> None:
    x = T.tensor([0, 3, -2], dtype=getattr(T, first))
    y = T.ones(3, dtype=getattr(T, second))
    for loss, kind in ((_F.huber_loss, huber), (_F.smooth_l1_loss, smooth)):
        found = loss(x, y, reduction=reduction)
        assert (found.tolist(), found.dtype) == (values, getattr(T, kind))
    with T.autocast("cpu", T.bfloat16):
        assert _F.huber_loss(x.to(T.bfloat16), T.ones(3)).dtype == T.float32


def test_a_huber_loss_of_a_whole_input_is_refused() -> None:
    with pytest.raises(PullbackError, match=r"(?s)huber_loss.*int64.*input.float"):
        _F.huber_loss(T.tensor([1, 2]), T.ones(2))
    assert _F.smooth_l1_loss(T.tensor([1, 2]), T.ones(2)).dtype == T.float32


#: what is changed in place, and the values of (2, 4, 6) after it
_CHANGES: list[Any] = [
    (lambda x: x.add_(1), [3, 5, 7]), (lambda x: x.mul_(5), [10, 20, 30]), (lambda x: x.__iadd__(1), [3, 5, 7]),
    (lambda x: x.copy_(T.ones(3)), [1, 1, 1]), (lambda x: x.fill_(7), [7, 7, 7]), (lambda x: x.zero_(), [0, 0, 0]),
    (lambda x: x.__setitem__(0, 9.0), [9, 4, 6]), (lambda x: x[1:].add_(1), [2, 5, 7]),
    (lambda x: x.__setitem__(T.tensor([2]), 1.0), [2, 4, 1]), (lambda x: x.clamp_(max=3), [2, 3, 3]),
    (lambda x: x.relu_(), [2, 4, 6]), (lambda x: x.masked_fill_(x > 3, 0), [2, 0, 0]),
    (lambda x: x.data.add_(1), [3, 5, 7]), (lambda x: x.detach().add_(1), [3, 5, 7]),
    (lambda x: setattr(x, "data", T.ones(3)), [1, 1, 1])]


@pytest.mark.parametrize(("change", "values"), _CHANGES)
@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_changed_without_gradients_keeps_its_history(change: Any, values: Any, compiled: bool) -> None:
    def loss(w: Any) -> Any:
        x = w * 2
        with T.no_grad():
            change(x)
        assert compiled or (x.requires_grad and not x.is_leaf and x.tolist() == values)
        return (x * x).sum()

    w = T.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (T.compile(loss) if compiled else loss)(w).backward()
    assert w.grad.tolist() == [4 * v for v in values]
    assert T.func.grad(loss if compiled else T.compile(loss))(w.detach()).tolist() == w.grad.tolist()


def test_many_changes_without_gradients_take_no_memory() -> None:
    """A running value that began with a history, written in each step of a loop, has that history alone."""
    w = T.ones(50, 50, requires_grad=True)
    x = w * 2
    live = []
    for _ in range(30):
        with T.no_grad():
            x.mul_(0.5).add_(1)
        assert x.requires_grad and x.detach()[0, 0].item() > 1
        gc.collect()
        live.append(memory.live_bytes())
    assert max(live[5:]) == min(live[5:])
    x.sum().backward()
    assert w.grad.tolist() == T.full((50, 50), 2.0).tolist()


def test_a_change_without_gradients_gives_no_history() -> None:
    a, w = T.zeros(3), T.ones(3, requires_grad=True)
    with T.no_grad():
        a.add_(w)
        w.add_(1)
    assert not a.requires_grad and w.is_leaf and w.requires_grad
    (w * w).sum().backward()
    assert w.grad.tolist() == [4, 4, 4]


def test_gradient_functions_have_pytorchs_names() -> None:
    w = T.ones(2, 4, requires_grad=True)
    found = {"MaxBackward1": w.max(), "MinBackward1": w.min(), "MedianBackward0": w.median(),
             "MedianBackward1": w.median(1)[0], "NanmedianBackward0": w.nanmedian(),
             "MaxPool2DWithIndicesBackward0": _F.max_pool2d(w[None], 2, return_indices=True)[0]}
    for name, x in found.items():
        assert name in repr(x)
