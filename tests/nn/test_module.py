"""Registries, modes, state dicts, text, hooks and pytrees of modules."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.util.errors import (
    ArgumentError,
    AttributeError_,
    DeviceError,
    DTypeError,
    KeyError_,
    PullbackError,
    ShapeError,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False))
        self.scale = nn.Parameter(pb.ones(2))
        self.register_buffer("mask", pb.ones(2), persistent=False)

    def forward(self, x):
        return self.rest(self.norm(self.first(x))) * self.scale * self.mask


KEYS = ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
        "norm.num_batches_tracked", "rest.1.weight"]


def test_walking():
    net = Net()
    assert [k for k, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "rest.1.weight"]
    assert [k for k, _ in net.named_buffers()] == [
        "mask", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert [k for k, _ in net.named_modules()] == ["", "first", "norm", "rest", "rest.0", "rest.1"]
    assert [k for k, _ in net.named_children()] == ["first", "norm", "rest"]
    assert list(net.state_dict()) == KEYS
    assert net.get_parameter("rest.1.weight") is net.rest[1].weight
    assert net.get_submodule("rest.0") is net.rest[0]
    assert net.get_buffer("norm.running_mean") is net.norm.running_mean
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "BatchNorm1d", "ReLU", "Linear", "Sequential", "Net"]


def test_shared_modules_and_parameters_count_once():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer)
    assert len(list(net.parameters())) == 2
    assert len(list(net.modules())) == 2
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_attributes_move_between_registries():
    m = nn.Module()
    m.x = 3
    m.x = nn.Parameter(pb.ones(1))
    assert list(dict(m.named_parameters())) == ["x"]
    m.x = None
    assert m.x is None and not list(m.parameters())
    m.x = nn.ReLU()
    assert list(dict(m.named_children())) == ["x"]
    del m.x
    assert not list(m.children()) and not hasattr(m, "x")


def test_modes():
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_parameters_give_plain_tensors():
    p = nn.Parameter(pb.ones(2))
    assert type(p * 2) is pb.Tensor and p.requires_grad and p.is_leaf
    assert type(p.detach()) is pb.Tensor
    frozen = copy.deepcopy(nn.Parameter(pb.ones(2), requires_grad=False))
    assert type(frozen) is nn.Parameter and not frozen.requires_grad
    again = pickle.loads(pickle.dumps(p))
    assert type(again) is nn.Parameter and again.requires_grad
    assert repr(p).startswith("Parameter containing:\nParameter([1., 1.]")


def test_conversion_keeps_identity():
    net = Net()
    weight = net.first.weight
    assert net.double() is net
    assert net.first.weight is weight and weight.dtype is pb.float64 and weight.requires_grad
    assert net.norm.running_mean.dtype is pb.float64 and net.norm.num_batches_tracked.dtype is pb.int64
    assert net.to(pb.float32).first.weight.dtype is pb.float32
    assert net.to("cpu") is net
    assert net.half().scale.dtype is pb.float16
    with pytest.raises(DeviceError):
        net.to("cuda")
    with pytest.raises(DTypeError):
        net.to(pb.int32)


def test_state_dict_round_trip():
    a, b = Net(), Net()
    a(pb.ones((5, 3)))
    assert repr(b.load_state_dict(a.state_dict())) == "<All keys matched successfully>"
    for k, v in a.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), b.state_dict()[k].numpy())
    arrays = {k: v.numpy() for k, v in a.state_dict().items()}
    Net().load_state_dict(arrays)


def test_state_dict_shares_storage():
    m = nn.Linear(2, 1)
    saved = m.state_dict()
    with pb.no_grad():
        m.weight.fill_(3.0)
        assert saved["weight"].numpy().tolist() == [[3.0, 3.0]]
        saved["weight"].fill_(4.0)
    assert m.weight.numpy().tolist() == [[4.0, 4.0]]


def test_wrong_state_dicts_change_nothing_and_name_the_key():
    net = nn.Sequential(nn.Linear(3, 2))
    before = net[0].weight.numpy()
    good = {k: v.numpy() for k, v in net.state_dict().items()}
    wrong = [
        ({**good, "0.weight": np.ones((3, 2), np.float32)}, ShapeError, "size mismatch for 0.weight"),
        ({"0.weight": good["0.weight"]}, KeyError_, "0.bias"),
        ({**good, "1.weight": good["0.weight"]}, KeyError_, "1.weight"),
        ({f"module.{k}": v for k, v in good.items()}, KeyError_, "module."),
        ({**good, "0.bias": np.ones(2, np.complex64)}, DTypeError, "dtype mismatch for 0.bias"),
        ({**good, "0.bias": "x"}, ArgumentError, "0.bias"),
        ([1], ArgumentError, "dict-like"),
    ]
    for state, error, text in wrong:
        with pytest.raises(error, match=text) as caught:
            net.load_state_dict(state)
        assert "help" in str(caught.value)
    np.testing.assert_array_equal(net[0].weight.numpy(), before)
    result = net.load_state_dict({"0.weight": good["0.weight"], "extra": good["0.bias"]}, strict=False)
    assert result.missing_keys == ["0.bias"] and result.unexpected_keys == ["extra"]


def test_hooks():
    m = nn.Linear(2, 2)
    calls = []
    pre = m.register_forward_pre_hook(lambda m, a: calls.append("pre"))
    post = m.register_forward_hook(lambda m, a, y: y * 0)
    assert m(pb.ones((1, 2))).numpy().tolist() == [[0.0, 0.0]]
    pre.remove()
    post.remove()
    assert calls == ["pre"] and m(pb.ones((1, 2))).numpy().any() and not m._hooked


def test_text():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    assert repr(net) == """Sequential(
  (0): Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
  (1): ReLU()
  (2): Flatten(start_dim=1, end_dim=-1)
  (3): Linear(in_features=4, out_features=2, bias=True)
)"""
    assert repr(nn.BatchNorm2d(3)) == (
        "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)")
    assert repr(nn.LayerNorm((3,))) == "LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)"
    assert repr(nn.Dropout(0.25)) == "Dropout(p=0.25, inplace=False)"
    assert repr(nn.Embedding(5, 3, padding_idx=0)) == "Embedding(5, 3, padding_idx=0)"
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    assert repr(nn.ModuleDict({"a": nn.Tanh()})) == "ModuleDict(\n  (a): Tanh()\n)"


def test_containers():
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert net.a is net[0] and len(net) == 2 and net[-1] is net.b
    assert list(net[:1].state_dict()) == ["a.weight", "a.bias"]
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers.append(nn.ReLU())
    layers.insert(0, nn.Tanh())
    assert [type(m).__name__ for m in layers] == ["Tanh", "Linear", "ReLU"]
    del layers[1]
    assert [type(m).__name__ for m in layers] == ["Tanh", "ReLU"] and layers.get_submodule("1") is layers[1]
    layers[0] = nn.GELU()
    assert type(layers.pop()).__name__ == "ReLU" and len(layers) == 1
    named = nn.ModuleDict({"x": nn.ReLU()})
    named["y"] = nn.Tanh()
    assert list(named) == ["x", "y"] and "x" in named and type(named.pop("x")).__name__ == "ReLU"
    weights = nn.ParameterList([pb.ones(2), nn.Parameter(pb.zeros(1))])
    assert len(list(weights.parameters())) == 2 and type(weights[0]) is nn.Parameter
    assert list(nn.ParameterDict({"k": pb.ones(1)}).state_dict()) == ["k"]


def test_modules_are_pytrees():
    net = Net()
    leaves, structure = pb.tree.flatten(net)
    assert len(leaves) == 6 + 3  # parameters, floating buffers
    double = pb.tree.map(lambda x: x * 2, net)
    assert type(double) is Net and pb.tree.structure(double) == structure
    np.testing.assert_array_equal(double.scale.numpy(), [2, 2])
    np.testing.assert_array_equal(net.scale.numpy(), [1, 1])
    assert pb.tree.structure(net.eval()) != structure


def test_gradients_of_a_module():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = pb.tensor(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3))

    def loss(model, x):
        return (model(x) ** 2).mean()

    value, grads = pb.value_and_grad(loss)(net, x)
    loss(net, x).backward()
    np.testing.assert_allclose(value.item(), loss(net, x).item(), rtol=1e-6)
    for (name, p), g in zip(net.named_parameters(), pb.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g.numpy(), rtol=1e-5, atol=1e-7, err_msg=name)
    better = pb.tree.map(lambda p, g: p - 0.1 * g, net, grads)
    assert loss(better, x).item() < value.item()


def test_functional_call():
    net = nn.Sequential(nn.Linear(2, 2))
    before = net[0].weight
    params = {k: v * 0 for k, v in net.named_parameters()}
    assert not nn.functional_call(net, params, pb.ones((1, 2))).numpy().any()
    assert net[0].weight is before and net(pb.ones((1, 2))).numpy().any()
    with pytest.raises(KeyError_, match="did you mean"):
        nn.functional_call(net, {"0.weigth": params["0.weight"]}, pb.ones((1, 2)))
    grads = pb.grad(lambda p: nn.functional_call(net, p, (pb.ones((1, 2)),)).sum())(dict(net.named_parameters()))
    np.testing.assert_allclose(grads["0.bias"].numpy(), [1, 1])


def test_copies():
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        x = pb.ones((2, 3))
        np.testing.assert_array_equal(net.eval()(x).numpy(), other.eval()(x).numpy())
        with pb.no_grad():
            other.scale.fill_(0.0)
        assert net.scale.numpy().any()


WRONG = [
    (lambda: nn.Module()(1), AttributeError_),
    (lambda: nn.Linear(2, 2).wieght, AttributeError_),
    (lambda: setattr(nn.Linear(2, 2), "weight", pb.ones(2)), ArgumentError),
    (lambda: setattr(nn.Sequential(nn.ReLU()), "0", 3), ArgumentError),
    (lambda: setattr(nn.BatchNorm1d(2), "running_mean", 3), ArgumentError),
    (lambda: nn.Module().register_parameter("a.b", None), KeyError_),
    (lambda: nn.Module().register_parameter("forward", None), KeyError_),
    (lambda: nn.Module().register_parameter("a", pb.ones(1)), ArgumentError),
    (lambda: nn.Module().register_buffer("a", 3), ArgumentError),
    (lambda: nn.Module().register_module("a", 3), ArgumentError),
    (lambda: nn.Sequential(nn.ReLU, nn.ReLU()), ArgumentError),
    (lambda: nn.Sequential(nn.ReLU())[3], IndexError),
    (lambda: nn.ModuleDict()["x"], KeyError_),
    (lambda: nn.Linear(2, 2).train(1), ArgumentError),
    (lambda: nn.Linear(2, 2).get_submodule("x.y"), AttributeError_),
    (lambda: nn.Parameter(pb.arange(3)), RuntimeError),
]


@pytest.mark.parametrize("k", range(len(WRONG)))
def test_wrong_calls_raise_our_errors(k):
    call, error = WRONG[k]
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, PullbackError)


def test_a_misspelt_attribute_is_corrected():
    with pytest.raises(AttributeError_, match="did you mean 'weight'"):
        _ = nn.Linear(2, 2).wieght


def test_backward_hooks_see_the_module_alone():
    layer, other = nn.Linear(3, 3), nn.Tanh()
    seen = []
    handle = other.register_full_backward_hook(lambda m, inputs, outputs: seen.append((m, inputs[0], outputs[0])))
    y = layer(pb.randn(2, 3))
    z = other(y)
    ((z + y * 5) ** 2).sum().backward()
    (module, inward, outward), = seen
    total = (2 * (z + y * 5)).detach().numpy()
    assert module is other
    np.testing.assert_allclose(outward.numpy(), total, rtol=1e-5)
    np.testing.assert_allclose(inward.numpy(), total * (1 - z.detach().numpy() ** 2), rtol=1e-4)
    handle.remove()
    other(layer(pb.randn(2, 3))).sum().backward()
    assert len(seen) == 1


def test_backward_hooks_replace_gradients():
    def gradient(prepare):
        layer = nn.Linear(3, 2)
        with pb.no_grad():
            layer.weight.copy_(pb.ones((2, 3)))
        prepare(layer)
        x = pb.ones((1, 3))
        x.requires_grad = True
        layer(x).sum().backward()
        return x.grad.tolist(), layer.weight.grad.tolist()

    plain = gradient(lambda m: None)
    assert plain == ([[2.0, 2.0, 2.0]], [[1.0, 1.0, 1.0]] * 2)
    inward = gradient(lambda m: m.register_full_backward_hook(lambda m, inputs, outputs: (inputs[0] * 2,)))
    assert inward == ([[4.0, 4.0, 4.0]], plain[1])
    outward = gradient(lambda m: m.register_full_backward_pre_hook(lambda m, outputs: (outputs[0] * 3,)))
    assert outward == ([[6.0, 6.0, 6.0]], [[3.0, 3.0, 3.0]] * 2)
    without = []
    first = nn.Linear(2, 1)
    first.register_full_backward_hook(lambda m, inputs, outputs: without.append(inputs))
    first(pb.ones((1, 2))).sum().backward()
    assert without == [(None,)]


class Permuted(nn.Module):
    """A parameter, and a buffer of places."""

    def __init__(self, places):
        super().__init__()
        self.register_buffer("places", pb.tensor(places))
        self.scale = nn.Parameter(pb.ones(1))

    def forward(self, x):
        return x[self.places] * self.scale


def test_modules_of_one_structure_keep_their_own_integers():
    one, other, x = Permuted([0, 1, 2]), Permuted([2, 1, 0]), pb.tensor([1.0, 2.0, 4.0])
    run = pb.jit(lambda m, x: m(x))
    slope = pb.jit(pb.grad(lambda m, x: (m(x) * x).sum()))
    for _ in range(12):
        assert run(one, x).tolist() == [1, 2, 4] and run(other, x).tolist() == [4, 2, 1]
        assert slope(one, x).scale.item() == 21 and slope(other, x).scale.item() == 12
    assert pb.tree.map(lambda v: v * 2, other)(x).tolist() == [8, 4, 2]
    assert pb.tree.map(lambda v, w: v + w, one, other)(x).tolist() == [2, 4, 8]
    assert pb.tree.structure(one) != pb.tree.structure(other)
    assert pb.tree.structure(one) == pb.tree.structure(pb.tree.map(lambda v: v, one))
    assert run(copy.deepcopy(other), x).tolist() == [4, 2, 1]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_of_modules_that_are_differentiated(momentum, jit):
    layers, wanted = [nn.BatchNorm1d(2, momentum=momentum) for _ in range(2)], nn.BatchNorm1d(2, momentum=momentum)
    step = pb.value_and_grad(lambda m, x: (m(x) ** 2).sum())
    step = pb.jit(step) if jit else step
    for k in range(3):
        x = pb.tensor([[1.0, 2.0], [3.0, 5.0]]) * (k + 1)
        wanted(x)
        for layer in layers:
            _, gradient = step(layer, x)
            assert gradient.weight.shape == (2,)
    for layer in layers:
        assert layer.num_batches_tracked.item() == 3
        for name in ("running_mean", "running_var"):
            np.testing.assert_allclose(getattr(layer, name).numpy(), getattr(wanted, name).numpy(), rtol=1e-6)
