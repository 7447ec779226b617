"""Layers and their functions where PyTorch is particular: the values written here are real PyTorch's (2.13)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pullback.torch as torch
import pytest
from tests.api.support import same

nn, F = torch.nn, torch.nn.functional

# -- in place ----------------------------------------------------------------------------------------------------------

#: what x + layer(x) is for x = [-1, 2], where the layer has written to x
IN_PLACE = {
    "ReLU()": [0, 4], "ReLU6()": [0, 4], "SiLU()": [-0.53788286, 3.5231881], "Hardswish()": [-2 / 3, 10 / 3],
    "Hardsigmoid()": [2 / 3, 5 / 3], "ELU()": [-1.2642411, 4], "LeakyReLU()": [-0.02, 4],
    "Mish()": [-0.6068029, 3.887918], "SELU()": [-2.2226615, 4.2028048], "CELU()": [-1.2642411, 4],
    "Hardtanh()": [-2, 2], "Threshold(0.5, 3.0)": [6, 4], "RReLU(0.25, 0.25)": [-0.5, 4], "Dropout(1.0)": [0, 0],
}


@pytest.mark.parametrize("text", IN_PLACE)
def test_layers_work_in_place_on_request(text: str) -> None:
    name, _, numbers = text.partition("(")
    options = [float(v) for v in numbers[:-1].split(",") if v]
    x = torch.tensor([-1.0, 2.0])
    y = getattr(nn, name)(*options, inplace=True)(x)
    assert y is x
    same(y + x, IN_PLACE[text], 1e-6)
    assert getattr(nn, name)(*options)(x) is not x


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
                                  "feature_alpha_dropout"])
def test_dropout_works_in_place_on_request(name: str) -> None:
    x = torch.ones(1, 1, 1, 1, 2)
    assert getattr(F, name)(x, 1.0, True, True) is x
    assert x.tolist() == [[[[[0.0, 0.0]]]]]


@pytest.mark.parametrize("name", ["celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "rrelu_", "selu_"])
def test_functions_whose_names_say_in_place(name: str) -> None:
    x = torch.tensor([-1.5, 2.0])
    expected = getattr(F, name[:-1])(x)
    assert getattr(F, name)(x) is x
    same(x, expected)


def test_gradients_through_what_was_written_in_place() -> None:
    w = torch.tensor([-1.0, 2.0], requires_grad=True)
    h = w * 2
    y = F.elu(h, inplace=True)
    (y * h).sum().backward()
    same(w.grad, [-0.4680785, 16.0])
    x = torch.full((2, 3), -1.0)
    F.leaky_relu(x[0], inplace=True)
    same(x, [[-0.01] * 3, [-1.0] * 3])


def test_what_cannot_be_written_in_place() -> None:
    with pytest.raises(TypeError, match="silu_: the result does not fit"):
        F.silu(torch.tensor([1, 2]), inplace=True)
    with pytest.raises(RuntimeError, match="leaf"):
        F.elu(torch.ones(2, requires_grad=True), inplace=True)


# -- names of arguments ------------------------------------------------------------------------------------------------

ONE_INPUT = """celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_softmax logsigmoid mish
    normalize relu relu6 rrelu selu sigmoid silu softmax softmin softplus softshrink softsign tanh tanhshrink""".split()


@pytest.mark.parametrize("name", ONE_INPUT)
def test_the_first_argument_is_called_input(name: str) -> None:
    x = torch.tensor([[-1.0, 2.0]])
    options: dict[str, Any] = {"dim": 1} if name.endswith(("max", "min")) else {}
    same(getattr(F, name)(input=x, **options), getattr(F, name)(x, **options))
    if name in ("relu", "selu", "celu"):
        same(getattr(torch, name)(input=x), getattr(F, name)(x))


def test_old_names_of_limits() -> None:
    assert nn.Hardtanh(min_value=-0.5, max_value=0.5)(torch.tensor([-1.0, 1.0])).tolist() == [-0.5, 0.5]


# -- losses ------------------------------------------------------------------------------------------------------------

#: losses whose arguments stand where PyTorch has them, size_average and reduce among them, and their values
LOSSES = {
    "nn.PoissonNLLLoss(True,False,None,1e-8,None,'sum')(x,y)": [5.22269],
    "nn.PoissonNLLLoss(False,True,False)(x,y)": [2.82165],
    "nn.MSELoss(False,False)(x,y)": [0.04, 0.01, 0.36, 0.09],
    "nn.MSELoss(False)(x,y)": [0.5],
    "nn.MSELoss(None,False)(x,y)": [0.04, 0.01, 0.36, 0.09],
    "nn.MSELoss(True,True,'sum')(x,y)": [0.125],
    "nn.L1Loss(None,None,'sum')(x,y)": [1.2],
    "nn.HuberLoss('sum',.5)(x,y)": [0.245],
    "nn.KLDivLoss(None,None,'batchmean')(x,y)": [-0.65],
    "nn.KLDivLoss(False,None,'mean',True)(x,y)": [1.4028],
    "nn.CrossEntropyLoss(None,None,1,None,'sum',.1)(x,c)": [0.6494],
    "nn.CrossEntropyLoss(None,False)(x,c)": [1.04758],
    "nn.NLLLoss(None,None,0,None,'sum')(x,c)": [-0.9],
    "nn.BCELoss(None,False)(x,y)": [1.60147],
    "nn.BCEWithLogitsLoss(None,None,None,'sum',tensor([2.,1.]))(x,y)": [3.01968],
    "nn.SmoothL1Loss(None,None,'sum',.5)(x,y)": [0.49],
    "nn.SoftMarginLoss(False)(x,y)": [2.24046],
    "nn.TripletMarginLoss(1.,2.,1e-6,True,None,None,'sum')(x,y,y+1)": [0.25661],
    "nn.CosineEmbeddingLoss(.1,False)(x,y,s)": [0.72381],
    "nn.MarginRankingLoss(.1,None,None,'sum')(x[0],x[1],s)": [1.0],
    "nn.HingeEmbeddingLoss(1.,None,False)(x,y*2-1)": [0.8, 0.9, 0.4, 0.7],
    "nn.MultiMarginLoss(2,1.,None,None,None,'sum')(x,c)": [0.45],
    "nn.MultiLabelMarginLoss(None,None,'sum')(x,tensor([[1,-1],[0,-1]]))": [0.6],
    "nn.MultiLabelSoftMarginLoss(None,False)(x,y)": [1.25333],
    "nn.GaussianNLLLoss(reduction='sum')(x,y,ones(2,2))": [0.25],
    "nn.CTCLoss(0,'sum')(zeros(4,2,3),tensor([[1],[2]]),(4,4),(1,1))": [-4.60517],
    "F.mse_loss(x,y,None,None,'sum')": [0.5],
    "F.mse_loss(x,target=y,size_average=False)": [0.5],
    "F.multilabel_margin_loss(x,tensor([[1,-1],[0,-1]]),False)": [0.6],
    "F.multilabel_soft_margin_loss(x,y,None,None,False)": [0.56965, 0.68369],
    "F.cross_entropy(x,c,None,None,1,None,'sum',.1)": [0.6494],
    "F.poisson_nll_loss(x,y,True,False,None,1e-8,None,'sum')": [5.22269],
    "F.kl_div(x,y,None,None,'batchmean',False)": [-0.65],
    "F.huber_loss(x,y,'sum',.5)": [0.245],
    "nn.L1Loss(reduction='elementwise_mean')(x,y)": [0.3],
}


@pytest.mark.parametrize("text", LOSSES)
def test_losses_take_their_arguments_where_pytorch_has_them(text: str) -> None:
    tensor = torch.tensor
    given = {"nn": nn, "F": F, "tensor": tensor, "zeros": torch.zeros, "ones": torch.ones,
             "x": tensor([[0.2, 0.9], [0.4, 0.3]]), "y": tensor([[0.0, 1.0], [1.0, 0.0]]), "c": tensor([1, 0]),
             "s": tensor([1.0, -1.0])}
    same(eval(text, given).flatten(), LOSSES[text], 2e-5)


def test_a_reduction_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="'mean', 'sum', 'none', 'batchmean'"):
        nn.KLDivLoss(reduction="max")
    with pytest.raises(ValueError, match="batchmean is not a valid value"):
        nn.MSELoss(reduction="batchmean")


def test_targets_that_are_neither_alike_nor_apart() -> None:
    x, y = torch.tensor([[1.0, 2], [2, 1], [1, 0]]), torch.tensor([[1.0, 2], [2, 1], [1, 0.5]])
    same(F.cosine_embedding_loss(x, y, torch.tensor([1.0, 0, -1]), reduction="none"), [0, 0, 0.8944272], 1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_variances_are_not_negative(jit: bool) -> None:
    loss = torch.compile(F.gaussian_nll_loss) if jit else F.gaussian_nll_loss
    x, y = torch.ones(2, requires_grad=True), torch.zeros(2)
    with pytest.raises(ValueError, match="var has negative entries"):
        loss(x, y, torch.tensor([1.0, -1.0])).item()
    found = loss(x, y, torch.tensor([2.0, 1.0]))
    found.backward()
    same(found, 0.54828680)
    same(x.grad, [0.25, 0.5])


def test_no_class_is_ignored_among_probabilities() -> None:
    with pytest.raises(ValueError, match="no class is ignored"):
        nn.CrossEntropyLoss(ignore_index=1)(torch.ones(2, 3), torch.full((2, 3), 1 / 3))
    same(F.cross_entropy(torch.ones(2, 3), torch.full((2, 3), 1 / 3), ignore_index=-1), 1.0986123)


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [("hardshrink", [1.0, 0.0]), ("softshrink", [0.5, 0.0])])
def test_shrinking_keeps_what_is_no_number(name: str, expected: list[float]) -> None:
    x = torch.tensor([float("nan"), 1.0, 0.2], requires_grad=True)
    y = getattr(F, name)(x)
    y.sum().backward()
    assert y[0].isnan().item() and y[1:].tolist() == expected
    assert x.grad.tolist() == [1.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="lambd must not be negative"):
        F.softshrink(x, -1.0)


def test_images_of_bytes_stay_bytes() -> None:
    x = (torch.arange(12) * 47 % 256).to(torch.uint8).reshape(1, 1, 3, 4)
    for options, expected in (
            ({"size": (2, 6), "mode": "bilinear"}, [[47, 71, 91, 80, 101, 124], [137, 161, 181, 170, 95, 22]]),
            ({"size": (2, 6), "mode": "bicubic"}, [[44, 70, 92, 71, 98, 132], [138, 167, 192, 186, 92, 15]]),
            ({"size": (2, 2), "mode": "bicubic", "antialias": True}, [[88, 95], [177, 97]]),
            ({"size": (2, 2)}, [[0, 94], [188, 26]])):
        y = F.interpolate(x, **options)
        assert y.dtype is torch.uint8 and y[0, 0].tolist() == expected


def test_means_of_windows_of_whole_numbers_are_whole() -> None:
    x = torch.arange(-6, 6).reshape(1, 1, 3, 4)
    assert F.avg_pool2d(x, 2).tolist() == [[[[-3, -1]]]]
    assert F.avg_pool2d(x, 2, padding=1, count_include_pad=False).tolist() == [[[[-6, -4, -3], [0, 1, 3]]]]
    assert F.avg_pool1d(torch.arange(4)[None], 2).tolist() == [[0, 2]]


# -- modules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "assign"), [
    ("module", lambda m: setattr(m, "a", nn.Linear(1, 1))), ("module", lambda m: m.add_module("a", nn.ReLU())),
    ("parameters", lambda m: setattr(m, "a", nn.Parameter(torch.ones(1)))),
    ("buffer", lambda m: m.register_buffer("a", torch.ones(1))),
    ("buffer", lambda m: setattr(m, "a", nn.Buffer(torch.ones(1))))])
def test_a_module_begins_before_it_holds_anything(kind: str, assign: Any) -> None:
    class Late(nn.Module):
        def __init__(self, begin: bool) -> None:
            self.number = 3
            if begin:
                super().__init__()
            assign(self)

    with pytest.raises(AttributeError, match=f"cannot assign {kind} before Module.__init__"):
        Late(False)
    assert hasattr(Late(True), "a") and Late(True).number == 3
    with pytest.raises(TypeError):
        nn.Module(1)


def test_packed_sequences_are_on_the_cpu() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.ones(2, 1)])
    assert packed.is_cuda is False and packed.is_pinned() is False


# -- a layer of scores and its loss ------------------------------------------------------------------------------------


def test_linear_cross_entropy() -> None:
    f = torch.nn.functional.linear_cross_entropy
    x = (torch.arange(6.0).reshape(2, 3) / 4).requires_grad_()
    w = (torch.arange(12.0).reshape(4, 3) / 10 - 0.5).requires_grad_()
    b, y = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([1, 3])
    found = [f(x, w, y), f(x, w, y, linear_bias=b, reduction="sum", label_smoothing=0.1, weight=b),
             f(x[0], w, torch.tensor(2), ignore_index=0)]
    assert torch.allclose(torch.stack(found), torch.tensor([1.0122, 0.5172, 1.3052]), atol=1e-4)
    even = f(x, w, torch.full((2, 4), 0.25), reduction="none")
    assert torch.allclose(even, torch.tensor([1.4177, 1.8441]), atol=1e-4)
    several, classes = w.reshape(2, 2, 3), torch.tensor([[0, 1], [1, 1]])
    each = f(x, several, classes, linear_bias=b.reshape(2, 2), reduction="none")
    assert torch.allclose(each, torch.tensor([[1.0701, 0.4201], [0.1269, 0.1269]]), atol=1e-4)
    assert abs(f(x, several, classes, ignore_index=1).item() - 0.9432) < 1e-4
    f(x, w, y).backward()
    assert torch.allclose(x.grad, torch.tensor([[0.1166], [-0.0859]]).expand(2, 3), atol=1e-4)
    torch.manual_seed(0)
    options = torch.nn.LinearCrossEntropyOptions()
    layer = torch.nn.LinearCrossEntropyLoss(3, 2, out_features=(2,), bias=True, options=options)
    assert list(layer.state_dict()) == ["linear.weight", "linear.bias"]
    assert abs(layer(x, classes).item() - 0.5871) < 1e-4


def test_wrong_calls_of_linear_cross_entropy() -> None:
    f = torch.nn.functional.linear_cross_entropy
    x, w, y = torch.ones(2, 3), torch.ones(4, 3), torch.tensor([1, 3])
    for given, options, text in (((x[None], w, y), {}, "dimensionality 1 or 2"), ((x, w.T, y), {}, "last dimensions"),
                                 ((x, w, y), {"linear_bias": torch.ones(2)}, "linear_bias shape"),
                                 ((x[0], w.reshape(2, 2, 3), y), {}, "batched input"),
                                 ((x, w, torch.full((2, 4), 0.25)), {"ignore_index": 1}, "probabilities")):
        with pytest.raises(RuntimeError, match=text):
            f(*given, **options)
    with pytest.raises(RuntimeError, match="weight shape"):
        torch.nn.LinearCrossEntropyLoss(3, 2, weight=torch.ones(4))


def test_what_is_made_of_the_default_dtype() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        empty, mask = nn.Parameter(), nn.Transformer.generate_square_subsequent_mask(2)
        assert nn.Parameter(torch.ones(2, dtype=torch.float32)).dtype is torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert empty.dtype is mask.dtype is torch.float64 and empty.shape == (0,) and empty.requires_grad
    assert isinstance(mask, torch.Tensor) and mask.tolist() == [[0, -torch.inf], [0, 0]]
    assert nn.Transformer.generate_square_subsequent_mask(2, dtype=torch.float16).dtype is torch.float16
    assert nn.Parameter().dtype is torch.float32


# -- what scripts write ------------------------------------------------------------------------------------------------

def test_modules_take_a_format_of_memory() -> None:
    layer = nn.Conv2d(1, 2, 3)
    assert layer.to(memory_format=torch.channels_last) is layer
    assert layer.to("cpu", torch.float64, memory_format=torch.channels_last).weight.dtype is torch.float64


WHOLE = torch.arange(8).reshape(1, 2, 4)


@pytest.mark.parametrize(("name", "shape", "options"), [
    *[(f"adaptive_{kind}_pool{n}d", (*(1,) * n, 2, 4), {"output_size": size})
      for kind in ("avg", "max") for n in (1, 2, 3) for size in (1, 3)],
    *[("interpolate", (1, 2, 4), {"scale_factor": 2, "mode": mode}) for mode in ("nearest", "linear", "area")],
    *[("interpolate", (1, 1, 2, 4), {"scale_factor": 2, "mode": mode})
      for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")]])
def test_pooling_and_interpolation_refuse_whole_numbers(name: str, shape: Any, options: Any) -> None:
    for dtype in (torch.int64, torch.int32, torch.bool):
        with pytest.raises(NotImplementedError, match=r"for .* numbers"):
            getattr(F, name)(WHOLE.reshape(shape).to(dtype), **options)


def test_bytes_of_images_are_interpolated_in_some_modes() -> None:
    pixels = WHOLE.to(torch.uint8)
    assert F.interpolate(pixels, scale_factor=2, mode="nearest").tolist() == [
        [[0, 0, 1, 1, 2, 2, 3, 3], [4, 4, 5, 5, 6, 6, 7, 7]]]
    small = F.interpolate(pixels[None], scale_factor=0.5, mode="bilinear", antialias=True)
    assert small.dtype is torch.uint8 and small.tolist() == [[[[3, 4]]]]
    for mode in ("linear", "area"):
        with pytest.raises(NotImplementedError, match="such numbers"):
            F.interpolate(pixels, scale_factor=2, mode=mode)


def test_losses_of_differences_refuse_whole_numbers() -> None:
    a, b = torch.arange(4), torch.arange(4) + 1
    for loss in (F.mse_loss, F.smooth_l1_loss, F.huber_loss, F.l1_loss):
        for dtype in (torch.int64, torch.uint8, torch.bool):
            with pytest.raises(NotImplementedError, match="whole numbers"):
                loss(a.to(dtype), b.to(dtype))
        assert loss(a.float(), b).item() == (1 if loss in (F.mse_loss, F.l1_loss) else 0.5)
    assert F.mse_loss(a, b.float()).item() == 1
    each, total = F.l1_loss(a.int(), b.int(), reduction="none"), F.l1_loss(a.int(), b.int(), reduction="sum")
    assert (each.tolist(), each.dtype, total.item(), total.dtype) == ([1] * 4, torch.int32, 4, torch.int64)
    assert F.mse_loss(a, b, weight=torch.ones(4)).item() == 1


@pytest.mark.parametrize(("rank", "options", "transposed", "size"), [
    (2, {"padding": (1,)}, False, 5), (2, {"padding": [1]}, True, 5), (2, {"stride": (2,)}, False, 2),
    (2, {"stride": (2,)}, True, 11), (2, {"dilation": (2,)}, False, 1), (2, {"dilation": (2,)}, True, 9),
    (3, {"padding": (1,)}, False, 5), (3, {"stride": (2,), "output_padding": (1,)}, True, 12)])
def test_convolutions_take_one_number_in_a_tuple(rank: int, options: Any, transposed: bool, size: int) -> None:
    layer = getattr(nn, f"Conv{'Transpose' * transposed}{rank}d")(1, 1, 3, **options)
    x = torch.ones((1, 1) + (5,) * rank)
    assert tuple(layer(x).shape) == (1, 1) + (size,) * rank
    spread = {name: (*value,) * rank for name, value in options.items()}
    other = getattr(nn, f"Conv{'Transpose' * transposed}{rank}d")(1, 1, 3, **spread)
    other.load_state_dict(layer.state_dict())
    same(layer(x).detach(), other(x).detach())
    for wrong in ({"padding": (1,) * (rank + 1)}, {"kernel_size": (3,)}):
        with pytest.raises(TypeError, match="must be an integer or"):
            getattr(nn, f"Conv{rank}d")(1, 1, **{"kernel_size": 3, **wrong})


def test_embeddings_of_no_rows() -> None:
    layer = nn.Embedding(0, 2)
    assert repr(layer) == "Embedding(0, 2)" and tuple(layer.weight.shape) == (0, 2)
    assert tuple(layer(torch.zeros(0, dtype=torch.int64)).shape) == (0, 2)
    assert tuple(nn.Embedding(2, 0)(torch.tensor([0, 1])).shape) == (2, 0)
    assert repr(nn.EmbeddingBag(0, 2)) == "EmbeddingBag(0, 2, mode='mean')"
    with pytest.raises(RuntimeError, match="index"):
        layer(torch.zeros(1, dtype=torch.int64)).sum().item()
    for sizes in ((-1, 2), (2, -1)):
        with pytest.raises(RuntimeError, match="at least 0"):
            nn.Embedding(*sizes)


def test_linear_takes_biases_that_broadcast() -> None:
    x, weight = torch.arange(6.0).reshape(3, 2), torch.arange(8.0).reshape(4, 2)
    assert F.linear(x, weight, torch.arange(12.0).reshape(3, 4)).tolist() == [
        [1, 4, 7, 10], [7, 18, 29, 40], [13, 32, 51, 70]]
    row = torch.arange(4.0).reshape(1, 4).requires_grad_()
    F.linear(x, weight, row).sum().backward()
    assert row.grad.tolist() == [[3, 3, 3, 3]]
    assert F.linear(torch.ones(2), weight, row).tolist() == [1, 6, 11, 16]
    for shape in ((1, 4), (3, 4), (1, 1), (2, 3, 4), (1, 3, 4), (2, 1, 4)):
        assert tuple(F.linear(torch.ones(2, 3, 2), weight, torch.ones(shape)).shape) == (2, 3, 4)
    for shape in ((5,), (5, 4), (2, 3, 4), (1, 1, 4)):
        with pytest.raises(RuntimeError, match="bias"):
            F.linear(x, weight, torch.ones(shape))


@pytest.mark.parametrize("lengths", [[3.0, 2.0], [3.7, 2.2], [3, 2.5], torch.tensor([3.7, 2.2]), np.array([3.0, 2.0])])
def test_lengths_of_packed_sequences_lose_what_is_behind_the_point(lengths: Any) -> None:
    pack = nn.utils.rnn.pack_padded_sequence
    packed = pack(torch.arange(12.0).reshape(3, 2, 2), lengths)
    assert packed.data.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]] and packed.batch_sizes.tolist() == [2, 2, 1]
    with pytest.raises(RuntimeError, match="greater than 0"):
        pack(torch.ones(3, 2, 2), [3, 0.5])


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_refuse_sequences_of_no_steps(name: str) -> None:
    layer, batched = getattr(nn, name)(3, 4), getattr(nn, name)(3, 4, 2, batch_first=True, bidirectional=True)
    for call in (lambda: layer(torch.zeros(0, 2, 3)), lambda: layer(torch.zeros(0, 3)),
                 lambda: batched(torch.zeros(2, 0, 3))):
        with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0 in RNN"):
            call()
    assert tuple(layer(torch.zeros(2, 0, 3))[0].shape) == (2, 0, 4)
    assert tuple(batched(torch.zeros(0, 2, 3))[0].shape) == (0, 2, 8)
