"""The handle: printing, conversion, protocols, in-place methods, attributes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from tests.api.support import same

import pullback as pb
from pullback.util.errors import AttributeError_, ImmutableError, PullbackError


def test_printing() -> None:
    assert repr(pb.tensor([[1.0, 2.0]])) == "Tensor([[1., 2.]], dtype=float32)"
    assert repr(pb.tensor([3, 2])) == "Tensor([3, 2], dtype=int32)"
    assert repr(pb.tensor(2.5)) == "Tensor(2.5, dtype=float32)"
    assert repr(pb.tensor([True])) == "Tensor([ True], dtype=bool)"
    assert repr(pb.zeros(0)) == "Tensor([], dtype=float32)"
    assert repr(pb.zeros(0, 3)) == "Tensor([], shape=(0, 3), dtype=float32)"
    assert repr(pb.tensor([1.5], dtype="bfloat16")) == "Tensor([1.5], dtype=bfloat16)"
    assert repr(pb.tensor([1.0], requires_grad=True)) == "Tensor([1.], dtype=float32, requires_grad=True)"
    assert str(pb.tensor([1.0, 2.0])) == "[1. 2.]"
    assert f"{pb.tensor(2.0):.3f}" == "2.000"
    assert f"{pb.tensor([1.0])}" == "[1.]"
    assert "..." in repr(pb.zeros(2000))
    seen = []
    pb.jit(lambda x: (seen.append(repr(x)), x + 1)[1])(pb.ones(2, 3))
    assert seen == ["Tensor<float32[2, 3], being traced>"]


def test_numbers() -> None:
    x = pb.tensor(3)
    assert (int(x), float(x), complex(x), bool(x)) == (3, 3.0, 3 + 0j, True)
    assert list(range(5))[x] == 3
    assert pb.tensor([[2.0]]).item() == 2
    assert float(pb.tensor([2.5])) == 2.5
    assert pb.tensor([1, 2]).tolist() == [1, 2]
    assert 2 in pb.tensor([1, 2])
    assert 3 not in pb.tensor([1, 2])
    assert len(pb.zeros(3, 2)) == 3
    assert [row.tolist() for row in pb.tensor([[1], [2]])] == [[1], [2]]
    assert {pb.tensor(1): "a"}
    assert round(pb.tensor(2.6)).item() == 3
    assert abs(pb.tensor(-2)).item() == 2
    q, r = divmod(pb.tensor(7), 2)
    assert (q.item(), r.item()) == (3, 1)


def test_attributes() -> None:
    x = pb.zeros(2, 3)
    assert x.shape == (2, 3)
    assert x.size == 6
    assert x.size() == (2, 3)
    assert x.size(1) == x.size(-1) == 3
    assert (x.ndim, x.dim(), x.numel(), x.nelement(), x.element_size(), x.nbytes, x.itemsize) == (2, 2, 6, 6, 4, 24, 4)
    assert x.is_floating_point()
    assert x.dtype is pb.float32
    assert x.dtype == "float32" == x.dtype
    assert x.device == "cpu"
    assert x.is_leaf
    assert not x.requires_grad
    assert x.grad is None
    for name in ("shape", "dtype"):
        with pytest.raises(ImmutableError, match="help"):
            setattr(x, name, 1)


def test_numpy() -> None:
    x = pb.tensor([1.0, 2.0], requires_grad=True)
    array = np.asarray(x)
    assert array.dtype == np.float32
    array = np.array(x, dtype=np.float64)
    assert array.dtype == np.float64
    assert np.array(x, copy=True).tolist() == [1, 2]
    assert np.sum(x.detach().numpy()) == 3
    assert np.from_dlpack(pb.ones(2)).tolist() == [1, 1]


def test_conversions() -> None:
    x = pb.tensor([1.7, -1.7])
    assert x.int().tolist() == [1, -1]
    for name, dtype in (("double", "float64"), ("half", "float16"), ("long", "int64"), ("bool", "bool"),
                        ("float", "float32"), ("bfloat16", "bfloat16"), ("byte", "uint8")):
        assert getattr(x, name)().dtype == dtype
    assert x.to(pb.float64).dtype == "float64"
    assert x.to("cpu") is x
    assert x.to(pb.zeros(1, dtype="int8")).dtype == "int8"
    assert x.astype("int32").dtype == "int32"
    assert x.type("float64").dtype == "float64"
    assert x.float() is x
    y = x.astype(x.dtype)
    y[0] = 0
    assert x[0].item() == pytest.approx(1.7)


def test_in_place_methods() -> None:
    x = pb.tensor([1.0, 4.0, -9.0])
    y = x
    x.add_(1).sub_(2).mul_(3).div_(1.5)
    same(x, [0, 6, -20])
    x.add_(pb.ones(3), alpha=2)
    same(x, [2, 8, -18])
    x.clamp_(min=0)
    same(y, [2, 8, 0])
    x.sqrt_()
    same(x, np.sqrt([2, 8, 0]), 1e-6)
    x.copy_([1, 2, 3])
    x.pow_(2)
    same(x, [1, 4, 9])
    x.masked_fill_(x > 3, 0)
    same(x, [1, 0, 0])
    x.fill_(2).neg_().abs_()
    same(x, [2, 2, 2])
    x.uniform_(-1, 1)
    assert (x.abs() <= 1).all()
    x.normal_()
    x.zero_()
    same(y, [0, 0, 0])
    x += 1
    x *= 3
    x -= 1
    x /= 2
    x **= 2
    x //= 1
    x %= 2
    same(y, [1, 1, 1])
    b = pb.tensor([True, False])
    b &= pb.tensor([True, True])
    b |= True
    b ^= True
    same(b, [False, False])
    i = pb.tensor([1, 2])
    i <<= 2
    i >>= 1
    same(i, [2, 4])


def test_in_place_keeps_the_dtype() -> None:
    x = pb.tensor([1, 2])
    x += 1
    assert x.dtype == "int32"
    with pytest.raises(PullbackError, match="help"):
        x += 0.5
    with pytest.raises(PullbackError, match="help"):
        x /= 2
    with pytest.raises(PullbackError, match="help"):
        pb.ones(3).add_(pb.ones(2, 3))
    same(x, [2, 3])


def test_copies() -> None:
    x = pb.tensor([1.0, 2.0], requires_grad=True)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y is not x
        assert y.requires_grad
        same(y, x)
    params = copy.deepcopy({"a": pb.ones(2)})
    params["a"][0] = 5
    z = copy.copy(x)
    same(z, x)
    assert (x * 2).detach().requires_grad is False


def test_backward() -> None:
    x = pb.tensor([1.0, 2.0], requires_grad=True)
    y = x ** 2
    y.backward(pb.tensor([1.0, 10.0]))
    same(x.grad, [2, 40])
    (x * 3).sum().backward()
    same(x.grad, [5, 43])
    x.grad.zero_()
    z = (x ** 3).sum()
    z.backward(retain_graph=True)
    z.backward()
    same(x.grad, [6, 24])
    calls = []
    handle = x.register_hook(lambda g: calls.append(g) or g * 2)
    x.grad = None
    x.sum().backward()
    handle.remove()
    same(x.grad, [2, 2])
    assert len(calls) == 1


def test_unknown_names() -> None:
    with pytest.raises(AttributeError_, match=r"did you mean pb\.zeros"):
        _ = pb.zeross
    with pytest.raises(AttributeError):
        _ = pb.ones(2).nothing
    assert "zeros" in dir(pb)
    assert not hasattr(pb, "surely_not_there")


def test_all_public_names() -> None:
    for name in pb.__all__:
        assert getattr(pb, name) is not None or name == "newaxis"


def test_methods_have_documentation() -> None:
    missing = [n for n in dir(pb.Tensor) if not n.startswith("_") and callable(getattr(pb.Tensor, n))
               and not getattr(pb.Tensor, n).__doc__]
    assert not missing


def test_dtype_questions() -> None:
    assert pb.finfo("float32").bits == 32
    assert pb.finfo(pb.bfloat16).max > 3e38
    assert pb.iinfo("int8").max == 127
    assert pb.can_cast("int32", "float32")
    assert not pb.can_cast("float32", "int32")
    assert pb.isdtype(pb.float32, "real floating")
    assert pb.isdtype(pb.int8, ("bool", "integral"))
    assert pb.result_type(pb.int8, 2.5) is pb.float32
    assert pb.is_tensor(pb.ones(1))
