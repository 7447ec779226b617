"""How many kernels the blocks of known networks become, forward and backward."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from benchmarks.workloads import convolutional, mlp_adam, transformer
from benchmarks.workloads import lstm as lstm_step

import pullback as pb
import pullback.nn.functional as F
from pullback.api.recurrence import Weights, run_layer
from pullback.train.language import CharGPT


def kernels(function: Any, *arguments: Any) -> Counter[str]:
    text = pb.show(function, "schedule")(*arguments)
    return Counter(re.findall(r"^  k\d+: (\w+),", text, re.M))


def gradients(function: Any, arguments: list[Any]) -> Any:
    return pb.value_and_grad(function, argnums=tuple(range(len(arguments))))


def norm(x: Any, g: Any, b: Any) -> Any:
    return F.batch_norm(x, None, None, g, b, True)


def residual(x: Any, w1: Any, g1: Any, b1: Any, w2: Any, g2: Any, b2: Any) -> Any:
    y = F.relu(norm(F.conv2d(x, w1, None, 1, 1), g1, b1))
    return (F.relu(norm(F.conv2d(y, w2, None, 1, 1), g2, b2) + x) ** 2).mean()


def inverted(x: Any, w1: Any, g1: Any, b1: Any, w2: Any, g2: Any, b2: Any, w3: Any, g3: Any, b3: Any) -> Any:
    y = F.relu6(norm(F.conv2d(x, w1), g1, b1))
    y = F.relu6(norm(F.conv2d(y, w2, None, 1, 1, 1, 96), g2, b2))
    return ((x + norm(F.conv2d(y, w3), g3, b3)) ** 2).mean()


def lstm(x: Any, *weights: Any) -> Any:
    h = pb.zeros((8, 64))
    return (run_layer("lstm", x, h, h, Weights(*weights))[0][-1] ** 2).mean()


def test_kernels_of_a_block_of_resnet(capsys: pytest.CaptureFixture[str]) -> None:
    x, w, g = pb.ones((4, 16, 8, 8)), pb.ones((16, 16, 3, 3)), pb.ones(16)
    arguments = [x, w, g, g, w, g, g]
    found = kernels(gradients(residual, arguments), *arguments)
    assert found["matmul"] == 6  # two forward, two gradients of inputs, two of weights
    assert found["loops"] <= 7  # of each normalisation statistics and two passes back; the loss
    assert set(found) == {"matmul", "loops"}
    capsys.readouterr()


def test_kernels_of_a_block_of_mobile_net(capsys: pytest.CaptureFixture[str]) -> None:
    x, g, e = pb.ones((4, 16, 8, 8)), pb.ones(16), pb.ones(96)
    arguments = [x, pb.ones((96, 16, 1, 1)), e, e, pb.ones((96, 1, 3, 3)), e, e, pb.ones((16, 96, 1, 1)), g, g]
    found = kernels(gradients(inverted, arguments), *arguments)
    assert found["matmul"] == 9  # three forward, three gradients of inputs, three of weights
    assert found["loops"] <= 19  # sums of all positions and images: each in a kernel that threads share
    assert set(found) == {"matmul", "loops"}
    capsys.readouterr()


@pytest.mark.parametrize("steps", [12, 100])
def test_kernels_of_an_lstm_do_not_depend_on_its_length(steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [pb.ones((steps, 8, 32)), *(pb.ones(s) for s in ((256, 32), (256, 64), (256,), (256,)))]
    function = pb.value_and_grad(lstm, argnums=(1, 2, 3, 4))
    found = kernels(function, *arguments)
    assert (found["scan"], found["matmul"]) == (2, 3)  # the input's product; gradients of the two weights
    assert found["loops"] <= 6
    assert set(found) == {"matmul", "loops", "scan"}
    capsys.readouterr()


def test_an_lstms_loops_leave_what_is_read_behind_them_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Forward each h, the gate and five coefficients that the way back reads; back the gradient of the gates alone."""
    arguments = [pb.ones((16, 8, 32)), *(pb.ones(s) for s in ((256, 32), (256, 64), (256,), (256,)))]
    text = pb.show(pb.value_and_grad(lstm, argnums=(1, 2, 3, 4)), "schedule")(*arguments)
    forward, backward = re.findall(r": scan, .* -> (.*)$", text, re.M)
    assert (len(forward.split(", ")), len(backward.split(", "))) == (7, 1)
    capsys.readouterr()


def test_kernels_of_a_step_that_writes_one_character(capsys: pytest.CaptureFixture[str]) -> None:
    net = CharGPT(65, 256, 384, 2, 6).eval()
    caches = net.caches()
    with pb.no_grad():
        found = kernels(net.decode, pb.tensor([1]), pb.tensor(3), caches)
    assert found["matmul"] == 2 * 4  # the head's product is small: in the loops of the last normalisation
    assert found["attention"] == 2
    assert found["scatter"] == 2 * 2  # one row of keys, one of values
    assert found["loops"] <= 2 * 2 + 2  # normalisations; the mask
    assert set(found) == {"matmul", "loops", "scatter", "attention"}
    capsys.readouterr()


class Taken(Exception):
    """A training step was handed over instead of being run."""


def step_of(make: Any) -> tuple[Any, tuple[Any, ...]]:
    """The function that a workload jits, and the arguments of its first call."""
    found: list[Any] = []

    def take(function: Any, **donated: Any) -> Any:
        def call(*args: Any) -> Any:
            found.extend((function, args))
            raise Taken

        return call

    reset, step, _ = make(take)
    reset()
    with pytest.raises(Taken):
        step(0)
    return found[0], found[1]


def images(network: Any, shape: tuple[int, ...], adam: bool = False) -> Any:
    task = convolutional.Task(network, shape, adam, 0.01)
    words = convolutional.TorchWords(F)
    return lambda jit: convolutional.functional(task, pb.tensor, pb, words, pb.value_and_grad, jit, _logs)


def _logs(z: Any) -> Any:
    return pb.log_softmax(z, -1)


#: training steps of the benchmark: products are one forward and two backward for each layer, less the gradient of the
#: data; what lies between may take so many loops
STEPS: dict[str, tuple[Any, int, int, dict[str, int]]] = {
    "conv net": (images(convolutional.conv_net, (64, 3, 32, 32), True), 5 * 3 - 1, 14, {}),
    "lenet": (images(convolutional.lenet, (64, 1, 28, 28), True), 5 * 3 - 1, 9, {}),
    "resnet18": (images(convolutional.resnet18, (32, 3, 32, 32)), 21 * 3 - 1, 173, {}),
    "mobile net": (images(convolutional.mobile_net, (32, 3, 32, 32)), 28 * 3 - 1, 280, {}),
    "gpt": (lambda jit: transformer.functional(128, pb.tensor, pb, transformer.TorchWords(F), pb.value_and_grad, jit),
            25 * 3, 116, {"attention": 12, "scatter": 2}),
    "lstm": (lambda jit: lstm_step.functional(pb.tensor, pb, pb.scan, pb.sigmoid, pb.value_and_grad, jit, _logs),
             2 * 3, 5, {"scan": 2}),
    "mlp": (lambda jit: mlp_adam.functional(pb.tensor, pb, pb.value_and_grad, jit, _logs), 3 * 3 - 1, 5, {}),
}


@pytest.mark.parametrize("name", STEPS)
def test_kernels_of_a_training_step(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, products, loops, others = STEPS[name]
    function, arguments = step_of(make)
    found = kernels(function, *arguments)
    assert found.pop("matmul") == products
    assert found.pop("loops") <= loops
    assert found == others
    capsys.readouterr()
