"""Arguments by the names that PyTorch's functions and methods have for them."""

from __future__ import annotations

from typing import Any

import pullback.torch as torch
import pytest

from pullback.dialects.torch.arguments import named

T: Any = torch
x = torch.tensor([[0.5, 0.25], [0.75, 0.125]])
y = torch.tensor([[2.0, 1.0], [0.5, 3.0]])
n = torch.tensor([[6, 4], [3, 9]])
m = torch.tensor([[2, 3], [1, 4]])
v = torch.tensor([1.0, -2.0])
at = torch.tensor([[0, 1], [1, 0]])

UNARY = """abs absolute acos arccos asin arcsin atan arctan acosh asinh atanh angle ceil clone corrcoef cos cosh deg2rad
    digamma erf erfc erfinv exp exp2 expm1 fix flatten fliplr flipud floor frac i0 isfinite isinf isnan isneginf
    isposinf isreal lgamma log log10 log1p log2 logical_not logit neg negative positive rad2deg ravel reciprocal
    round rsqrt sigmoid sign signbit sgn sin sinc sinh sqrt square t tan tanh trace trunc unbind all any amax
    amin mean sum prod max min argmax argmin nansum nanmean numel det inverse slogdet logdet matrix_exp diag
    tril triu nan_to_num unique median is_conj is_neg relu nonzero combinations diagonal diag_embed histc
    logcumsumexp_0 cumsum_0 softmax_0 squeeze special.ndtr special.expit special.i0e special.entr
    special.gammaln linalg.cond linalg.eigvals linalg.matrix_norm linalg.matrix_rank linalg.norm linalg.pinv
    linalg.vector_norm""".split()
WHOLE = "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift gcd lcm".split()
BINARY = """add sub subtract mul multiply div divide true_divide floor_divide remainder fmod maximum minimum fmax fmin
    atan2 arctan2 copysign hypot logaddexp logaddexp2 nextafter xlogy eq ne lt le gt ge greater greater_equal less
    less_equal not_equal equal allclose isclose logical_and logical_or logical_xor matmul inner kron ldexp
    linalg.matmul special.xlog1py special.xlogy""".split()
OTHERS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("mm", (), {"input": x, "mat2": y}), ("bmm", (), {"input": x[None], "mat2": y[None]}),
    ("mv", (), {"input": x, "vec": v}), ("dot", (), {"input": v, "tensor": v}), ("vdot", (), {"input": v, "other": v}),
    ("outer", (), {"input": v, "vec2": v}), ("ger", (), {"input": v, "vec2": v}),
    ("pow", (), {"input": x, "exponent": 2}), ("float_power", (), {"input": x, "exponent": 2}),
    ("lerp", (), {"input": x, "end": y, "weight": 0.5}), ("clamp", (), {"input": x, "min": 0.2, "max": 0.6}),
    ("addmm", (), {"input": x, "mat1": x, "mat2": y}), ("addcmul", (), {"input": x, "tensor1": x, "tensor2": y}),
    ("cat", (), {"tensors": (x, y), "dim": 1}), ("stack", (), {"tensors": (x, y), "dim": 1}),
    ("vstack", (), {"tensors": (x, y)}), ("column_stack", (), {"tensors": (x, y)}),
    ("split", (), {"tensor": x, "split_size_or_sections": 1, "dim": 0}), ("chunk", (), {"input": x, "chunks": 2}),
    ("tensor_split", (), {"input": x, "sections": 2, "dim": 1}), ("hsplit", (), {"input": x, "indices": (1,)}),
    ("reshape", (), {"input": x, "shape": (4,)}), ("permute", (), {"input": x, "dims": (1, 0)}),
    ("broadcast_to", (), {"input": v, "size": (2, 2)}), ("tile", (), {"input": x, "dims": (2, 1)}),
    ("swapaxes", (), {"input": x, "axis0": 0, "axis1": 1}), ("swapdims", (), {"input": x, "dim0": 0, "dim1": 1}),
    ("moveaxis", (), {"input": x, "source": 0, "destination": 1}), ("rot90", (), {"input": x, "k": 1, "dims": (0, 1)}),
    ("roll", (), {"input": x, "shifts": 1, "dims": 0}), ("take", (), {"input": x, "index": at}),
    ("gather", (), {"input": x, "dim": 1, "index": at}), ("index_select", (), {"input": x, "dim": 0, "index": at[0]}),
    ("masked_fill", (), {"input": x, "mask": x > 0.3, "value": 1.0}), ("where", (), {"condition": x > 0.3, "input": x,
                                                                                    "other": y}),
    ("isin", (), {"elements": n, "test_elements": m, "assume_unique": False}),
    ("quantile", (), {"input": x, "q": 0.5, "interpolation": "lower"}), ("trapezoid", (), {"y": v, "x": v * 2}),
    ("vander", (), {"x": v, "N": 3}), ("cholesky_solve", (), {"input": x, "input2": y}),
    ("linalg.det", (), {"A": x}), ("linalg.inv", (), {"A": y}), ("linalg.vecdot", (), {"x": x, "y": y, "dim": 0}),
    ("linalg.solve", (), {"A": y, "B": x}), ("linalg.inv_ex", (), {"A": y}), ("special.polygamma", (1,), {"input": x}),
    ("zeros", (), {"size": (2, 3), "pin_memory": False}), ("ones", (), {"size": (2, 3), "layout": torch.strided}),
    ("full", (), {"size": (2,), "fill_value": 3, "pin_memory": False}), ("clone", (), {
        "input": x, "memory_format": torch.contiguous_format}),
]


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, (tuple, list)) and not isinstance(one, torch.Size):
        return len(one) == len(two) and all(map(_same, one, two))
    return torch.equal(torch.nan_to_num(one), torch.nan_to_num(two)) if torch.is_tensor(one) else one == two


def _called(name: str, **given: Any) -> tuple[Any, Any]:
    function: Any = torch
    along = {"dim": 0} if name.endswith("_0") else {}
    for part in name.removesuffix("_0").split("."):
        function = getattr(function, part)
    return function(**given, **along), function(*given.values(), **along)


@pytest.mark.parametrize("name", UNARY)
def test_the_first_argument_is_called_input(name: str) -> None:
    given = v[:1] * 0 + 2 if name in ("acosh", "combinations", "diag_embed") else x
    assert _same(*_called(name, **{"A" if name == "linalg.det" else "input": given}))


@pytest.mark.parametrize("name", [*BINARY, *WHOLE])
def test_the_second_argument_is_called_other(name: str) -> None:
    one, two = (n, m) if name in WHOLE else (x, y)
    assert _same(*_called(name, input=one, other=two))
    home = torch
    for part in name.split(".")[:-1]:
        home = getattr(home, part)
    if home is torch:
        assert _same(getattr(one, name)(other=two), getattr(one, name)(two))


@pytest.mark.parametrize(("name", "first", "rest"), OTHERS, ids=[name for name, _, _ in OTHERS])
def test_arguments_by_their_names(name: str, first: tuple[Any, ...], rest: dict[str, Any]) -> None:
    function: Any = torch
    for part in name.split("."):
        function = getattr(function, part)
    only = ("interpolation", "assume_unique", "pin_memory", "layout", "memory_format")
    keywords = {k: rest[k] for k in rest if k in only or (k == "dim" and name == "linalg.vecdot")}
    assert _same(function(*first, **rest), function(*first, *(rest[k] for k in rest if k not in keywords), **keywords))


def test_methods_take_their_arguments_by_name() -> None:
    assert x.reshape(shape=(4,)).shape == x.view(size=(4,)).shape == (4,)
    assert x.view(dtype=torch.int32).dtype is torch.int32
    assert v.expand(size=(3, 2)).shape == (3, 2) and x.permute(dims=(1, 0)).equal(other=x.T)
    assert v.repeat(repeats=(2, 2)).shape == (2, 4) and [len(p) for p in x.split(split_size=1)] == [1, 1]
    assert x.matmul(other=y).equal(x @ y) and x.pow(exponent=2).equal(x * x) and x.swapaxes(axis0=0, axis1=1).equal(x.T)
    assert x.new_zeros(size=(2,), pin_memory=False).tolist() == x.new_empty(2).tolist() == [0, 0]
    z = x.clone()
    z.mul_(other=2).div_(other=y, rounding_mode="floor").pow_(exponent=2).copysign_(other=-y)
    assert z.tolist() == [[0, 0], [-9, 0]]
    assert z.add_(other=1).sub_(other=1, alpha=2).clamp_(min=-2).tolist() == [[-1, -1], [-2, -1]]


def test_a_renamed_function_is_the_same_code() -> None:
    def pair(x: int, /, y: int = 2, *, axis: int = 3) -> tuple[int, int, int]:
        return (lambda: (x, y, axis))()

    shown = named(pair, "linalg.vecdot")
    assert shown(x=1) == (1, 2, 3) and shown(1, dim=4) == (1, 2, 4)
    assert named(pair, "add")(input=1, other=5) == (1, 5, 3) and pair(1, y=5) == (1, 5, 3)
    with pytest.raises(TypeError):
        T.exp(inputs=x)
