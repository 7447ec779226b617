"""Sparse gradients of tables: what they hold, what optimisers do with them, beside NumPy."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.ops.build as b
from pullback.api.sparse import SparseTensor, mm, sparse_coo_tensor, to_sparse
from pullback.ir.dtypes import float32, int32
from pullback.ir.node import Function, TensorType, param
from pullback.schedule.plan import Options, plan
from pullback.util.errors import ArgumentError, GradientError, IndexError_, PullbackError, ShapeError, ValueError_

RNG = np.random.default_rng(7)
TABLE = RNG.normal(size=(9, 3))
BATCHES = [RNG.integers(0, 9, size=(2, 4)) for _ in range(6)]


def layer(sparse: bool, **options: Any) -> Any:
    return pb.nn.Embedding.from_pretrained(pb.tensor(TABLE), freeze=False, sparse=sparse, **options)


def loss(table: Any, batch: np.ndarray[Any, Any]) -> Any:
    rows = table(pb.tensor(batch))
    return (rows * rows * pb.tensor(np.arange(3.0) + 1)).sum()


def gradient(table: np.ndarray[Any, Any], batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = np.zeros_like(table)
    np.add.at(found, batch.reshape(-1), 2 * table[batch.reshape(-1)] * (np.arange(3.0) + 1))
    return found


def test_gradient_holds_the_rows_that_were_read() -> None:
    table = layer(True)
    batch = np.array([[4, 1], [4, 7]])
    loss(table, batch).backward()
    grad = table.weight.grad
    assert isinstance(grad, SparseTensor)
    assert grad.is_sparse and not table.weight.is_sparse
    assert (grad.shape, grad.ndim, grad._nnz(), grad.sparse_dim(), grad.dense_dim()) == ((9, 3), 2, 4, 1, 1)
    assert grad._indices().tolist() == [[4, 1, 4, 7]]
    assert not grad.is_coalesced()
    merged = grad.coalesce()
    assert merged.is_coalesced() and merged.indices().tolist() == [[1, 4, 7]]
    np.testing.assert_allclose(merged.values().numpy(), gradient(TABLE, batch)[[1, 4, 7]])
    np.testing.assert_allclose(grad.to_dense().numpy(), gradient(TABLE, batch))
    with pytest.raises(ValueError_, match="uncoalesced"):
        grad.indices()
    with pytest.raises(ValueError_, match="uncoalesced"):
        grad.values()


def test_nothing_of_the_size_of_the_table_is_made() -> None:
    table = pb.nn.Embedding(4_000_000, 64, sparse=True)  # a dense gradient, or a second table, would be 1 GB more
    before = table.weight._value.buffer.address
    optimiser = pb.optim.SGD(table.parameters(), lr=1.0)
    for row in (3, 5, 3):
        optimiser.zero_grad()
        table(pb.tensor([row, row])).sum().backward()
        optimiser.step()
    changed = table.weight[pb.tensor([2, 3, 5])].detach().numpy()
    assert changed.shape == (3, 64)
    assert table.weight._value.buffer.address == before


def test_passes_add_up() -> None:
    table = layer(True)
    for batch in BATCHES[:3]:
        loss(table, batch).backward()
    first = table.weight.grad
    loss(table, BATCHES[3]).backward()
    assert table.weight.grad is first
    assert first._nnz() == 32
    np.testing.assert_allclose(first.to_dense().numpy(), sum(gradient(TABLE, x) for x in BATCHES[:4]))


@pytest.mark.parametrize("order", ["sparse first", "dense first", "together"])
def test_dense_and_sparse_add_up_to_dense(order: str) -> None:
    table = layer(True)
    parts = [lambda: loss(table, BATCHES[0]), lambda: (table.weight * 2).sum()]
    if order == "together":
        (parts[0]() + parts[1]()).backward()
    else:
        for part in parts if order == "sparse first" else parts[::-1]:
            part().backward()
    assert not table.weight.grad.is_sparse
    np.testing.assert_allclose(table.weight.grad.numpy(), gradient(TABLE, BATCHES[0]) + 2)


def test_padding_and_bags() -> None:
    table = layer(True, padding_idx=4)
    loss(table, np.array([[4, 1], [4, 7]])).backward()
    assert table.weight.grad._indices().tolist() == [[1, 7]]
    expected = gradient(TABLE, np.array([1, 7]))
    np.testing.assert_allclose(table.weight.grad.to_dense().numpy(), expected)
    for mode, share in (("sum", 1.0), ("mean", 0.5)):
        bag = pb.nn.EmbeddingBag.from_pretrained(pb.tensor(TABLE), freeze=False, mode=mode, sparse=True)
        bag(pb.tensor([[1, 2], [4, 1]])).sum().backward()
        assert bag.weight.grad._indices().tolist() == [[1, 2, 4, 1]]
        np.testing.assert_allclose(bag.weight.grad._values().numpy(), np.full((4, 3), share))


def test_gradient_asked_for_by_name() -> None:
    table = layer(True)
    batch = BATCHES[1]
    for _ in range(3):  # the second and third find the gradient's plan
        found = pb.torch.autograd.grad(loss(table, batch), table.weight)[0]
        assert found.is_sparse and table.weight.grad is None
        np.testing.assert_allclose(found.to_dense().numpy(), gradient(TABLE, batch))
    both = pb.torch.autograd.grad(loss(table, batch) + table.weight.sum(), table.weight)[0]
    np.testing.assert_allclose(both.numpy(), gradient(TABLE, batch) + 1)


def test_derivative_of_the_derivative() -> None:
    table = layer(True)
    batch = np.array([2, 5, 2])
    found = pb.torch.autograd.grad(loss(table, batch), table.weight, create_graph=True)[0]
    found._values().sum().backward()
    assert table.weight.grad.is_sparse
    expected = np.zeros_like(TABLE)
    np.add.at(expected, batch, np.broadcast_to(2 * (np.arange(3.0) + 1), (3, 3)))
    np.testing.assert_allclose(table.weight.grad.to_dense().numpy(), expected)


def test_hooks_see_it() -> None:
    table = layer(True)
    seen: list[bool] = []
    table.weight.register_hook(lambda g: seen.append(g.is_sparse))
    table.weight.register_hook(lambda g: g * 2)
    after: list[int] = []
    pb.engine.hooks.after_accumulation(table.weight, lambda p: after.append(p.grad._nnz()))
    loss(table, BATCHES[0]).backward()
    assert (seen, after) == ([True], [8])
    np.testing.assert_allclose(table.weight.grad.to_dense().numpy(), 2 * gradient(TABLE, BATCHES[0]))


def test_functions_that_are_transformed_have_dense_gradients() -> None:
    table = layer(True)
    batch = pb.tensor(BATCHES[0])

    def of(weight: Any) -> Any:
        rows = pb.nn.functional.embedding(batch, weight, sparse=True)
        return (rows * rows * pb.tensor(np.arange(3.0) + 1)).sum()

    for found in (pb.grad(of)(table.weight), pb.jit(pb.grad(of))(table.weight)):
        np.testing.assert_allclose(found.numpy(), gradient(TABLE, BATCHES[0]))
    computed = pb.tensor(TABLE, requires_grad=True)
    of(computed * 1).backward()
    np.testing.assert_allclose(computed.grad.numpy(), gradient(TABLE, BATCHES[0]))


def test_arithmetic() -> None:
    x = sparse_coo_tensor([[1, 1, 0]], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], (3, 2))
    dense = x.to_dense().numpy()
    assert dense.tolist() == [[5, 6], [4, 6], [0, 0]]
    for found, expected in ((x * 2, dense * 2), (2 * x, dense * 2), (x / 4, dense / 4), (-x, -dense),
                            (x + x, dense * 2), (x.add(x * 1, alpha=2), dense * 3), (x - x * 3, dense * -2),
                            (abs(-x), dense),
                            (x ** 2, dense ** 2), (x.sqrt(), np.sqrt(dense)), (x.double(), dense)):
        assert found.is_sparse
        np.testing.assert_allclose(found.to_dense().numpy(), expected, rtol=1e-6)
    for found, expected in ((x + pb.ones(3, 2), dense + 1), (pb.ones(3, 2) + x, dense + 1), (x.exp(), np.exp(dense)),
                            (x.norm(), np.linalg.norm(dense)), (x.sum(), dense.sum()), (x[1], dense[1]),
                            (x * pb.ones(3, 2), dense), (x.sum(0), dense.sum(0)), (x.max(), dense.max())):
        assert not found.is_sparse
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    held = x.clone()
    held.mul_(2).add_(x).sub_(x * 0.5).div_(5)
    np.testing.assert_allclose(held.to_dense().numpy(), dense / 2, rtol=1e-6)
    assert held.zero_()._nnz() == 0 and not held.to_dense().numpy().any()
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.is_sparse and other.to_dense().tolist() == dense.tolist()
    with pytest.raises(ArgumentError, match="cannot be written"):
        x.exp_()


def test_places_in_two_dimensions() -> None:
    x = sparse_coo_tensor([[0, 1, 1, 1], [2, 0, 2, 2]], [3.0, 4.0, 5.0, 6.0])
    assert x.shape == (2, 3) and x.to_dense().tolist() == [[0, 0, 3], [4, 0, 11]]
    assert x.coalesce().indices().tolist() == [[0, 1, 1], [2, 0, 2]]
    dense = RNG.normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(mm(x, pb.tensor(dense)).numpy(), x.to_dense().numpy() @ dense, rtol=1e-5)
    np.testing.assert_allclose((x @ pb.tensor(dense[:, 0])).numpy(), x.to_dense().numpy() @ dense[:, 0], rtol=1e-5)
    again = to_sparse(x.to_dense())
    assert again.is_coalesced() and again.indices().tolist() == [[0, 1, 1], [2, 0, 2]]
    rows = to_sparse(pb.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), 1)
    assert rows.indices().tolist() == [[1, 2]] and rows.values().tolist() == [[1, 0], [0, 2]]


def test_gradients_pass_through_entries() -> None:
    values = pb.tensor([3.0, 4.0, 5.0], requires_grad=True)
    x = sparse_coo_tensor([[0, 1, 1], [2, 0, 0]], values, (2, 3))
    dense = pb.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    mm(x, dense).sum().backward()
    assert values.grad.tolist() == [3, 1, 1]
    assert dense.grad.tolist() == [[9], [0], [3]]


@pytest.mark.parametrize(("call", "kind"), [
    (lambda: sparse_coo_tensor([0, 1], [1.0, 2.0]), ShapeError),
    (lambda: sparse_coo_tensor([[0, 1]], [1.0, 2.0, 3.0], (3,)), ShapeError),
    (lambda: sparse_coo_tensor([[0, 5]], [1.0, 2.0], (3,)), IndexError_),
    (lambda: sparse_coo_tensor([[0, -1]], [1.0, 2.0], (3,)), IndexError_),
    (lambda: sparse_coo_tensor([[0.5]], [1.0], (3,)), IndexError_),
    (lambda: sparse_coo_tensor([[0]], [1.0], (3, 3)), ShapeError),
    (lambda: mm(sparse_coo_tensor([[0], [0]], [1.0], (3, 3)), pb.ones(2, 2)), ShapeError),
    (lambda: sparse_coo_tensor([[0]], [1.0], (3,)) + sparse_coo_tensor([[0]], [1.0], (4,)), ShapeError),
    (lambda: to_sparse(pb.ones(2, 2), 3), ArgumentError),
    (lambda: pb.nn.Embedding(2, 2, scale_grad_by_freq=True, sparse=True)(pb.tensor([0])), ValueError_),
    (lambda: pb.nn.EmbeddingBag(3, 2, mode="max", sparse=True)(pb.tensor([[0]])), ValueError_)])
def test_wrong_calls(call: Any, kind: type[PullbackError]) -> None:
    with pytest.raises(kind):
        call()


# -- optimisers --------------------------------------------------------------------------------------------------------


def lazy_adam(state: dict[str, Any], table: np.ndarray[Any, Any], grad: np.ndarray[Any, Any],
              rows: np.ndarray[Any, Any]) -> None:
    """Kingma and Ba's rule on some rows; eps is added before the correction."""
    state["step"] = t = state.get("step", 0) + 1
    first, second = (state.setdefault(k, np.zeros_like(table)) for k in ("m", "v"))
    g = grad[rows]
    first[rows] += (g - first[rows]) * 0.1
    second[rows] += (g * g - second[rows]) * 0.001
    table[rows] -= 0.05 * np.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t) * first[rows] / (np.sqrt(second[rows]) + 1e-8)


def adagrad(state: dict[str, Any], table: np.ndarray[Any, Any], grad: np.ndarray[Any, Any],
            rows: np.ndarray[Any, Any]) -> None:
    total = state.setdefault("sum", np.zeros_like(table))
    total[rows] += grad[rows] ** 2
    table[rows] -= 0.05 * grad[rows] / (np.sqrt(total[rows]) + 1e-10)


def sgd(state: dict[str, Any], table: np.ndarray[Any, Any], grad: np.ndarray[Any, Any],
        rows: np.ndarray[Any, Any]) -> None:
    table -= 0.05 * grad


def momentum(state: dict[str, Any], table: np.ndarray[Any, Any], grad: np.ndarray[Any, Any],
             rows: np.ndarray[Any, Any]) -> None:
    state["buffer"] = state.get("buffer", 0) * 0.9 + grad
    table -= 0.05 * state["buffer"]


RULES: dict[str, Any] = {
    "SparseAdam": (pb.optim.SparseAdam, {}, lazy_adam), "Adagrad": (pb.optim.Adagrad, {}, adagrad),
    "SGD": (pb.optim.SGD, {}, sgd), "momentum": (pb.optim.SGD, {"momentum": 0.9}, momentum)}


@pytest.mark.parametrize("name", RULES)
def test_trajectory(name: str) -> None:
    kind, options, rule = RULES[name]
    table = layer(True)
    optimiser = kind(table.parameters(), lr=0.05, **options)
    expected, state = TABLE.copy(), dict[str, Any]()
    for k, batch in enumerate(BATCHES):
        optimiser.zero_grad()
        loss(table, batch).backward()
        grad, rows = gradient(expected, batch), np.unique(batch)
        if k == 3:  # two passes
            loss(table, BATCHES[0]).backward()
            grad, rows = grad + gradient(expected, BATCHES[0]), np.unique([batch, BATCHES[0]])
        optimiser.step()
        rule(state, expected, grad, rows)
        np.testing.assert_allclose(table.weight.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_dense_parameters_beside_it_share_the_step() -> None:
    table, line = layer(True), pb.nn.Linear(3, 2).double()
    optimiser = pb.optim.Adagrad([*table.parameters(), *line.parameters()], lr=0.1, lr_decay=0.5)
    other, other_line = layer(False), copy.deepcopy(line)
    dense = pb.optim.Adagrad([*other.parameters(), *other_line.parameters()], lr=0.1, lr_decay=0.5)
    for batch in BATCHES:
        for t, n, o in ((table, line, optimiser), (other, other_line, dense)):
            o.zero_grad()
            (n(t(pb.tensor(batch))) ** 2).sum().backward()
            o.step()
    np.testing.assert_allclose(table.weight.detach().numpy(), other.weight.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(line.weight.detach().numpy(), other_line.weight.detach().numpy(), rtol=1e-12)
    assert float(optimiser.state[table.weight]["step"]) == len(BATCHES)


def test_state_is_saved_and_loaded() -> None:
    def train(table: Any, optimiser: Any, batches: Any) -> Any:
        for batch in batches:
            optimiser.zero_grad()
            loss(table, batch).backward()
            optimiser.step()
        return table.weight.detach().numpy()

    table = layer(True)
    optimiser = pb.optim.SparseAdam(table.parameters(), lr=0.1)
    train(table, optimiser, BATCHES[:3])
    again = layer(True)
    again.load_state_dict(table.state_dict())
    resumed = pb.optim.SparseAdam(again.parameters(), lr=0.1)
    resumed.load_state_dict(optimiser.state_dict())
    assert train(table, optimiser, BATCHES[3:]).tolist() == train(again, resumed, BATCHES[3:]).tolist()


def test_clipping_and_zeroing() -> None:
    table = layer(True)
    loss(table, BATCHES[0]).backward()
    dense = gradient(TABLE, BATCHES[0])
    size = pb.nn.utils.clip_grad_norm_(table.parameters(), 1.0)
    assert float(size) == pytest.approx(np.linalg.norm(dense))
    assert table.weight.grad.is_sparse
    np.testing.assert_allclose(table.weight.grad.to_dense().numpy(), dense / (np.linalg.norm(dense) + 1e-6), rtol=1e-9)
    pb.nn.utils.clip_grad_value_(table.parameters(), 0.01)
    assert np.abs(table.weight.grad.to_dense().numpy()).max() == pytest.approx(0.01)
    pb.optim.SGD(table.parameters(), lr=0.1).zero_grad(set_to_none=False)
    assert table.weight.grad.is_sparse and table.weight.grad._nnz() == 0
    loss(table, BATCHES[1]).backward()
    np.testing.assert_allclose(table.weight.grad.to_dense().numpy(), gradient(TABLE, BATCHES[1]))


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop",
                                  "Adafactor", "Muon", "Lion"])
def test_others_refuse(name: str) -> None:
    table = layer(True)
    optimiser = getattr(pb.optim, name)(table.parameters())
    loss(table, BATCHES[0]).backward()
    with pytest.raises(GradientError, match="does not support sparse gradients"):
        optimiser.step()
    assert table.weight.detach().numpy().tolist() == TABLE.tolist()


def test_refused_by_those_that_take_others() -> None:
    table = layer(False)
    loss(table, BATCHES[0]).backward()
    with pytest.raises(GradientError, match="SparseAdam does not support dense gradients, please consider Adam"):
        pb.optim.SparseAdam(table.parameters()).step()
    for kind in (pb.optim.SGD, pb.optim.Adagrad):
        table = layer(True)
        loss(table, BATCHES[0]).backward()
        with pytest.raises(GradientError, match="weight_decay option is not compatible with sparse gradients"):
            kind(table.parameters(), lr=0.1, weight_decay=0.1).step()
    for options in ({"lr": -1}, {"eps": -1}, {"betas": (2, 0.1)}, {"betas": 3}):
        with pytest.raises(PullbackError):
            pb.optim.SparseAdam(layer(True).parameters(), **options)


def test_index_out_of_range_is_an_error() -> None:
    table = layer(True)
    optimiser = pb.optim.SparseAdam(table.parameters())
    table(pb.tensor([1, 9])).sum().backward()
    with pytest.raises(IndexError_):
        optimiser.step()
        table.weight.sum().item()


# -- the compiler ------------------------------------------------------------------------------------------------------


def test_rows_are_replaced_in_place() -> None:
    """x with x[i] replaced by f(x[i]): x[i] is read into memory first, and x is written over."""
    x, at = param(TensorType((64, 24), float32)), param(TensorType((5,), int32))
    rows = b.mul(b.gather(x, at, 0, "clip"), b.full((5, 24), 2.0, float32))
    function = Function([x, at], [b.scatter(x, at, rows, 0, "set", "fill")])
    found = plan(function, frozenset([0]), frozenset(), Options())
    assert found.alias == {0: 0}
    assert sum(k.nbytes for phase in found.phases for k in phase) < x.tensor.nbytes * 4
