"""Wrong calls: each raises one of our errors, says what to do, and leaves the process alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.util.errors import PullbackError

A, B, V, S = pb.ones((2, 3)), pb.ones((4, 5)), pb.ones(3), pb.tensor(1.0)
I = pb.arange(3)  # an integer vector
M = pb.tensor([True, False, True])
E = pb.zeros((0,))

#: pairs of shapes that do not broadcast, for every function of two arrays
PAIRS = [((2, 3), (4,)), ((2, 3), (3, 2)), ((5,), (6,)), ((2, 1, 3), (4, 5)), ((0,), (2,))]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "atan2", "hypot", "equal", "less",
          "greater_equal", "logaddexp", "floor_divide", "remainder"]
AXIS = ["sum", "mean", "prod", "max", "min", "any", "all", "argmax", "argmin", "cumsum", "logsumexp", "var", "std",
        "softmax", "log_softmax", "sort", "argsort", "flip", "squeeze"]
STRINGS = ["exp", "log", "sin", "tanh", "sum", "mean", "reshape", "abs", "sqrt", "relu", "sigmoid", "floor", "isnan"]
CREATION: list[tuple[str, Callable[[], Any]]] = [
    ("negative size", lambda: pb.zeros((-1, 2))), ("negative eye", lambda: pb.eye(-3)),
    ("float size", lambda: pb.ones((2.5,))), ("string size", lambda: pb.ones("3")),
    ("huge", lambda: pb.zeros((1 << 50,))), ("huge product", lambda: pb.ones((1 << 20, 1 << 20, 1 << 10))),
    ("no dtype", lambda: pb.ones(3, dtype="float13")), ("ragged", lambda: pb.tensor([[1, 2], [3]])),
    ("words", lambda: pb.tensor(["a", "b"])), ("object", lambda: pb.tensor(object())),
    ("None", lambda: pb.tensor(None)), ("zero step", lambda: pb.arange(0, 5, 0)),
    ("dates", lambda: pb.tensor(np.array(["2020"], "M8"))),
]
SHAPES: list[tuple[str, Callable[[], Any]]] = [
    ("matmul inner", lambda: A @ B), ("matmul vector", lambda: A @ pb.ones(2)), ("matmul scalar", lambda: A @ S),
    ("matmul batch", lambda: pb.ones((2, 3, 4)) @ pb.ones((3, 4, 5))), ("mm rank", lambda: pb.mm(V, V)),
    ("reshape size", lambda: A.reshape(4, 2)), ("reshape two unknown", lambda: A.reshape(-1, -1)),
    ("reshape unknown", lambda: A.reshape(-1, 4)), ("permute", lambda: A.permute(0, 0)),
    ("permute short", lambda: A.permute(0)), ("concat rank", lambda: pb.concat([A, V])),
    ("concat sizes", lambda: pb.concat([A, B])), ("concat none", lambda: pb.concat([])),
    ("stack", lambda: pb.stack([A, B])), ("stack none", lambda: pb.stack([])), ("expand", lambda: A.expand(5, 3)),
    ("broadcast_to", lambda: pb.broadcast_to(A, (3, 2))), ("split", lambda: pb.split(A, [5, 5])),
    ("squeeze", lambda: pb.squeeze(A, 0)), ("einsum", lambda: pb.einsum("ij,jk->ik", A, B)),
    ("einsum letters", lambda: pb.einsum("ij->kk", A)), ("tensordot", lambda: pb.tensordot(A, B, 1)),
    ("where", lambda: pb.where(M, A, B)), ("in place", lambda: pb.ones(2).add_(A)),
    ("copy_", lambda: pb.ones(2).copy_(A)), ("max of nothing", lambda: E.max()),
    ("argmax of nothing", lambda: E.argmax()), ("min of nothing", lambda: E.min()), ("item", lambda: A.item()),
    ("float", lambda: float(A)), ("bool", lambda: bool(A)), ("index", lambda: [1, 2, 3][S]), ("len", lambda: len(S)),
    ("iterate", lambda: list(S)), ("shape", lambda: setattr(A, "shape", (3, 2))),
]
INDEXING: list[tuple[str, Callable[[], Any]]] = [
    ("out of range", lambda: V[3]), ("below", lambda: V[-4]), ("too many", lambda: V[0, 0]),
    ("two ellipses", lambda: A[..., ...]), ("float", lambda: V[1.5]), ("string", lambda: V["a"]),
    ("list out of range", lambda: V[[0, 7]]), ("mask size", lambda: A[M]), ("negative step", lambda: V[::0]),
    ("assign shape", lambda: pb.ones(3).__setitem__(slice(0, 2), pb.ones(3))),
    ("assign out of range", lambda: pb.ones(3).__setitem__(5, 1.0)),
    ("take", lambda: pb.take(V, pb.tensor([0.5]), axis=0)), ("scalar index", lambda: S[0:1]),
]
GRADIENTS: list[tuple[str, Callable[[], Any]]] = [
    ("no history", lambda: V.backward()), ("not a number", lambda: pb.ones(3, requires_grad=True).exp().backward()),
    ("integers", lambda: pb.arange(3).requires_grad_()),
    ("grad shape", lambda: setattr(pb.ones(3), "grad", pb.ones(2))),
    ("grad of vector", lambda: pb.grad(lambda x: x)(V)), ("grad of int", lambda: pb.grad(lambda x: x * 1.0)(3)),
    ("grad of value", lambda: pb.grad(3.0)), ("argnums", lambda: pb.grad(lambda x: x, argnums=4)(1.0)),
    ("aux", lambda: pb.grad(lambda x: x, has_aux=True)(1.0)),
    ("vmap sizes", lambda: pb.vmap(lambda x, y: x + y)(V, pb.ones(4))),
    ("vmap scalar", lambda: pb.vmap(lambda x: x)(S)), ("vmap axes", lambda: pb.vmap(lambda x: x, in_axes=(0, 1))(V)),
    ("vmap axis", lambda: pb.vmap(lambda x: x, in_axes=3)(V)),
    ("jvp shapes", lambda: pb.jvp(pb.sin, (V,), (pb.ones(2),))), ("jvp count", lambda: pb.jvp(pb.sin, (V,), (V, V))),
    ("vjp shape", lambda: pb.vjp(pb.sin, V)[1](pb.ones(2))),
    ("scan sizes", lambda: pb.scan(lambda c, x: (c, x), 0.0, (V, pb.ones(4)))),
    ("scan pair", lambda: pb.scan(lambda c, x: c, 0.0, V)),
    ("scan carry", lambda: pb.scan(lambda c, x: (c + 0.5, x), 0, V)),
    ("cond choice", lambda: pb.cond(V, lambda: 1.0, lambda: 2.0)),
    ("cond branches", lambda: pb.cond(True, lambda: V, lambda: A)),
    ("while condition", lambda: pb.while_loop(lambda s: s, lambda s: s, V)),
    ("traced if", lambda: pb.jit(lambda x: 1 if x > 0 else 2)(S)),
    ("traced float", lambda: pb.jit(lambda x: float(x))(S)), ("traced numpy", lambda: pb.jit(lambda x: x.numpy())(S)),
    ("unhashable", lambda: pb.jit(lambda x, n: x, static_argnums=1)(S, [1])), ("jit of a value", lambda: pb.jit(3)),
    ("custom_vjp without rules", lambda: pb.custom_vjp(lambda x: x)(S)),
    ("leaf in place", lambda: pb.ones(3, requires_grad=True).add_(1)),
    ("tree", lambda: pb.tree.map(lambda a, b: a, [1], (1,))),
]
LAYERS: list[tuple[str, Callable[[], Any]]] = [
    ("linear size", lambda: nn.Linear(3, 4)(pb.ones((2, 5)))), ("linear negative", lambda: nn.Linear(-1, 4)),
    ("conv channels", lambda: nn.Conv2d(3, 4, 3)(pb.ones((1, 2, 8, 8)))),
    ("conv kernel", lambda: nn.Conv2d(1, 1, 9)(pb.ones((1, 1, 4, 4)))),
    ("conv rank", lambda: nn.Conv2d(1, 1, 3)(pb.ones((4, 4, 4, 4, 4)))),
    ("conv groups", lambda: nn.Conv2d(3, 4, 3, groups=2)), ("pool", lambda: nn.MaxPool2d(9)(pb.ones((1, 1, 4, 4)))),
    ("dropout", lambda: nn.Dropout(1.5)), ("layer norm", lambda: nn.LayerNorm(4)(pb.ones((2, 5)))),
    ("embedding", lambda: nn.Embedding(3, 2)(pb.tensor([0.5]))),
    ("cross entropy", lambda: nn.CrossEntropyLoss()(pb.ones((2, 3)), pb.tensor([0, 1, 2]))),
    ("mse broadcast", lambda: nn.MSELoss()(pb.ones((4, 1)), pb.ones(4))),
    ("bad reduction", lambda: nn.MSELoss(reduction="some")(V, V)),
    ("state dict", lambda: nn.Linear(2, 2).load_state_dict({"weight": pb.ones((2, 2))})),
    ("state shape", lambda: nn.Linear(2, 2).load_state_dict({"weight": pb.ones((3, 2)), "bias": pb.ones(2)})),
    ("lr", lambda: pb.optim.SGD(nn.Linear(2, 2).parameters(), lr=-1.0)),
    ("no parameters", lambda: pb.optim.Adam([], lr=0.1)),
    ("betas", lambda: pb.optim.Adam(nn.Linear(2, 2).parameters(), betas=(1.5, 0.9))),
    ("missing file", lambda: pb.io.load("no/such/file")),
]


def cases() -> list[Any]:
    found: list[tuple[str, Callable[[], Any]]] = []
    for name in BINARY:
        for a, b in PAIRS:
            found.append((f"{name} {a} {b}", lambda name=name, a=a, b=b: getattr(pb, name)(pb.ones(a), pb.ones(b))))
    for name in AXIS:
        for axis in (2, -3, 1.5, "x"):
            found.append((f"{name} axis {axis!r}", lambda name=name, axis=axis: getattr(pb, name)(A, axis)))
    for name in STRINGS:
        for value in ("a", None, object(), {"a": 1}):
            given = (value, (1,)) if name == "reshape" else (value,)
            found.append((f"{name} of {type(value).__name__}",
                          lambda name=name, given=given: getattr(pb, name)(*given)))
    for table in (CREATION, SHAPES, INDEXING, GRADIENTS, LAYERS):
        found.extend(table)
    return [pytest.param(call, id=name) for name, call in found]


def test_there_are_enough_of_them() -> None:
    assert len(cases()) >= 300


@pytest.mark.parametrize("call", cases())
def test_wrong_call(call: Callable[[], Any]) -> None:
    with pytest.raises(PullbackError) as caught:
        call()
    assert len(str(caught.value)) > 20
