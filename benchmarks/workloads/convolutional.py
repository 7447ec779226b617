"""Convolutional networks, each written once; what a framework calls its operations is an adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import stepping

MOMENTUM = 0.9


class Task(NamedTuple):
    """A network, its input, and how it is trained."""

    network: Callable[[Any, Any], Any]
    shape: tuple[int, ...]
    adam: bool
    rate: float


class Shape:
    """Stands for an array while the parameters are made."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __add__(self, other: Any) -> Shape:
        return self


class Net:
    """Operations on arrays, with the parameters in the order in which a network takes them."""

    def __init__(self, ops: Any, params: Any) -> None:
        self.ops, self.params, self.at = ops, params, 0

    def take(self, shape: tuple[int, ...], fan: int) -> Any:
        self.at += 1
        return self.params[self.at - 1]

    def conv(self, x: Any, filters: int, size: int, padding: int = 0, stride: int = 1, groups: int = 1,
             bias: bool = True) -> Any:
        fan = x.shape[1] // groups * size * size
        w = self.take((filters, x.shape[1] // groups, size, size), fan)
        return self.ops.conv(x, w, self.take((filters,), fan) if bias else None, stride, padding, groups)

    def norm(self, x: Any) -> Any:
        """Batch normalisation by the batch's own figures."""
        return self.ops.norm(x, self.take((x.shape[1],), 0), self.take((x.shape[1],), 0))

    def relu(self, x: Any) -> Any:
        return self.ops.relu(x)

    def relu6(self, x: Any) -> Any:
        return self.ops.relu6(x)

    def pool(self, x: Any) -> Any:
        return self.ops.pool(x)

    def mean(self, x: Any) -> Any:
        return self.ops.mean(x)

    def flat(self, x: Any) -> Any:
        return self.ops.flat(x)

    def dense(self, x: Any, features: int) -> Any:
        w = self.take((features, x.shape[1]), x.shape[1])
        return self.ops.dense(x, w, self.take((features,), x.shape[1]))


class Shapes:
    """The operations on shapes alone."""

    def conv(self, x: Any, w: Any, b: Any, stride: int, padding: int, groups: int) -> Shape:
        size = [(n + 2 * padding - w.shape[2]) // stride + 1 for n in x.shape[2:]]
        return Shape((x.shape[0], w.shape[0], *size))

    def norm(self, x: Any, g: Any, b: Any) -> Any:
        return x

    def relu(self, x: Any) -> Any:
        return x

    relu6 = relu

    def pool(self, x: Any) -> Shape:
        return Shape((*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2))

    def mean(self, x: Any) -> Shape:
        return Shape(x.shape[:2])

    def flat(self, x: Any) -> Shape:
        return Shape((x.shape[0], int(np.prod(x.shape[1:]))))

    def dense(self, x: Any, w: Any, b: Any) -> Shape:
        return Shape((x.shape[0], w.shape[0]))


class Counter(Shapes):
    """Counts what the products of a step do: one forward, one for the weights, one for what goes on."""

    def __init__(self) -> None:
        self.total, self.first = 0, True

    def count(self, result: Shape, w: Any) -> Shape:
        times = 2 if self.first else 3  # nobody asks for the gradient of the data
        self.total, self.first = self.total + times * 2 * int(np.prod(result.shape) * np.prod(w.shape[1:])), False
        return result

    def conv(self, x: Any, w: Any, b: Any, stride: int, padding: int, groups: int) -> Shape:
        return self.count(super().conv(x, w, b, stride, padding, groups), w)

    def dense(self, x: Any, w: Any, b: Any) -> Shape:
        return self.count(super().dense(x, w, b), w)


def operations(task: Task) -> int:
    """Multiplications and additions of a training step's products."""
    counter = Counter()
    task.network(Net(counter, data(task)[2]), Shape(task.shape))
    return counter.total


class Maker(Net):
    """Makes the parameters."""

    def __init__(self, g: Any) -> None:
        super().__init__(Shapes(), [])
        self.g = g

    def take(self, shape: tuple[int, ...], fan: int) -> Any:
        scales = sum(p.ndim == 1 for p in self.params) if not fan else 0
        made = self.g.uniform(-1, 1, shape) / np.sqrt(fan) if fan else np.full(shape, 1.0 - scales % 2)
        self.params.append(made.astype(np.float32))
        return self.params[-1]


def data(task: Task) -> tuple[Any, Any, list[Any]]:
    """x, labels, parameters"""
    g = np.random.RandomState(7)
    x = g.standard_normal(task.shape).astype(np.float32)
    labels = g.randint(0, 10, task.shape[0])
    maker = Maker(g)
    task.network(maker, Shape(task.shape))
    return x, labels, maker.params


# -- the networks ------------------------------------------------------------------------------------------------------


def conv_net(n: Net, x: Any) -> Any:
    """3-32-64-pool-128-pool-256-10, 3x3"""
    x = n.relu(n.conv(x, 32, 3, 1))
    x = n.pool(n.relu(n.conv(x, 64, 3, 1)))
    x = n.pool(n.relu(n.conv(x, 128, 3, 1)))
    x = n.relu(n.conv(x, 256, 3, 1))
    return n.dense(n.flat(x), 10)


def lenet(n: Net, x: Any) -> Any:
    """LeNet-5 with ReLU and maximum pooling"""
    x = n.pool(n.relu(n.conv(x, 6, 5, 2)))
    x = n.pool(n.relu(n.conv(x, 16, 5)))
    x = n.relu(n.dense(n.flat(x), 120))
    return n.dense(n.relu(n.dense(x, 84)), 10)


def resnet18(n: Net, x: Any) -> Any:
    """ResNet-18 with the 3x3 stem for small images"""
    x = n.relu(n.norm(n.conv(x, 64, 3, 1, bias=False)))
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for k in range(2):
            step = stride if k == 0 else 1
            y = n.relu(n.norm(n.conv(x, filters, 3, 1, step, bias=False)))
            y = n.norm(n.conv(y, filters, 3, 1, bias=False))
            if step != 1:
                x = n.norm(n.conv(x, filters, 1, 0, step, bias=False))
            x = n.relu(y + x)
    return n.dense(n.mean(x), 10)


def mobile_net(n: Net, x: Any) -> Any:
    """MobileNetV2 blocks: expansion 6, depthwise 3x3, linear bottleneck"""
    x = n.relu6(n.norm(n.conv(x, 32, 3, 1, bias=False)))
    blocks = ((16, 1, 1, 1), (24, 2, 1, 6), (32, 2, 2, 6), (64, 2, 2, 6), (96, 2, 1, 6))
    for filters, count, stride, expansion in blocks:
        for k in range(count):
            start, step, wide = x, stride if k == 0 else 1, x.shape[1] * expansion
            if expansion > 1:
                x = n.relu6(n.norm(n.conv(x, wide, 1, bias=False)))
            x = n.relu6(n.norm(n.conv(x, wide, 3, 1, step, wide, bias=False)))
            x = n.norm(n.conv(x, filters, 1, bias=False))
            if step == 1 and start.shape[1] == filters:
                x = start + x
    return n.dense(n.mean(x), 10)


# -- the frameworks ----------------------------------------------------------------------------------------------------


class TorchWords:
    """What torch and pullback call them."""

    def __init__(self, f: Any) -> None:
        self.f = f

    def conv(self, x: Any, w: Any, b: Any, stride: int, padding: int, groups: int) -> Any:
        return self.f.conv2d(x, w, b, stride, padding, 1, groups)

    def norm(self, x: Any, g: Any, b: Any) -> Any:
        return self.f.batch_norm(x, None, None, g, b, True)

    def relu(self, x: Any) -> Any:
        return self.f.relu(x)

    def relu6(self, x: Any) -> Any:
        return self.f.relu6(x)

    def pool(self, x: Any) -> Any:
        return self.f.max_pool2d(x, 2)

    def mean(self, x: Any) -> Any:
        return x.mean((2, 3))

    def flat(self, x: Any) -> Any:
        return x.reshape((x.shape[0], -1))

    def dense(self, x: Any, w: Any, b: Any) -> Any:
        return self.f.linear(x, w, b)


class JaxWords(TorchWords):
    """What jax calls them."""

    def __init__(self, jax: Any) -> None:
        self.jax, self.np, self.lax = jax, jax.numpy, jax.lax

    def conv(self, x: Any, w: Any, b: Any, stride: int, padding: int, groups: int) -> Any:
        y = self.lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2, feature_group_count=groups)
        return y if b is None else y + b[None, :, None, None]

    def norm(self, x: Any, g: Any, b: Any) -> Any:
        mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        return (x - mean) * self.lax.rsqrt(variance + 1e-5) * g[None, :, None, None] + b[None, :, None, None]

    def relu(self, x: Any) -> Any:
        return self.np.maximum(x, 0)

    def relu6(self, x: Any) -> Any:
        return self.np.clip(x, 0, 6)

    def pool(self, x: Any) -> Any:
        return self.lax.reduce_window(x, -np.inf, self.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def dense(self, x: Any, w: Any, b: Any) -> Any:
        return x @ w.T + b


def imperative(task: Task, lib: Any, f: Any, optim: Any, compile_model: Any = None, **options: Any) -> Any:
    """Parameters as leaves and an optimizer."""
    x, labels, first = data(task)
    x, labels = lib.tensor(x), lib.tensor(labels)
    params = [lib.tensor(p, requires_grad=True) for p in first]
    words = TorchWords(f)

    def loss_of(x: Any, labels: Any) -> Any:
        return f.cross_entropy(task.network(Net(words, params), x), labels)

    forward = loss_of if compile_model is None else compile_model(loss_of)

    def optimizer_of(params: Any) -> Any:
        if task.adam:
            return optim.Adam(params, lr=task.rate, **options)
        return optim.SGD(params, lr=task.rate, momentum=MOMENTUM, **options)

    return stepping.imperative(lambda: forward(x, labels), params, first, optimizer_of, lib)


def functional(task: Task, array: Any, lib: Any, words: Any, value_and_grad: Any, jit: Any, log_softmax: Any) -> Any:
    """The update by hand on lists of arrays."""
    x, labels, first = data(task)
    one_hot = array(np.eye(10, dtype=np.float32)[labels])

    def loss_of(params: Any, x: Any, one_hot: Any) -> Any:
        return -(log_softmax(task.network(Net(words, params), x)) * one_hot).sum() / x.shape[0]

    rule = stepping.Rule(task.rate, momentum=0.0 if task.adam else MOMENTUM)
    return stepping.functional(loss_of, first, (array(x), one_hot), rule, array, lib, value_and_grad, jit)


def frameworks(task: Task) -> dict[str, Callable[[], Any]]:
    """A function for each framework."""
    def torch(compile_model: bool = False) -> Any:
        import torch

        return imperative(task, torch, torch.nn.functional, torch.optim, torch.compile if compile_model else None,
                          fused=True)

    def jax() -> Any:
        import jax

        return functional(task, jax.numpy.array, jax.numpy, JaxWords(jax), jax.value_and_grad, jax.jit,
                          jax.nn.log_softmax)

    def pullback() -> Any:
        import pullback as pb

        return functional(task, pb.tensor, pb, TorchWords(pb.nn.functional), pb.value_and_grad, pb.jit,
                          lambda z: pb.log_softmax(z, -1))

    def pullback_imperative() -> Any:
        import pullback as pb

        return imperative(task, pb, pb.nn.functional, pb.optim)

    return {"torch": torch, "torch.compile": lambda: torch(True), "jax": jax, "pullback": pullback,
            "pullback imperative": pullback_imperative, "machine": stepping.arithmetic(operations(task))}
