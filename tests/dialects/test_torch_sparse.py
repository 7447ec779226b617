"""Sparse tensors of the torch dialect, as PyTorch 2.13 prints and answers (recorded)."""

from __future__ import annotations

from typing import Any

import pullback.torch as torch
import pytest
from pullback.torch import nn

T: Any = torch

PRINTED = """tensor(indices=tensor([[1, 2, 4, 1]]),
       values=tensor([[ 0.,  1.,  2.],
                      [ 3.,  4.,  5.],
                      [ 6.,  7.,  8.],
                      [ 9., 10., 11.]]),
       size=(6, 3), nnz=4, layout=torch.sparse_coo)"""
EMPTY = """tensor(indices=tensor([], size=(1, 0)),
       values=tensor([], size=(0, 3)),
       size=(6, 3), nnz=0, layout=torch.sparse_coo)"""


def gradient() -> Any:
    table: Any = nn.Embedding(6, 3, sparse=True)
    (table(T.tensor([[1, 2], [4, 1]])) * T.arange(12.0).reshape(2, 2, 3)).sum().backward()
    return table.weight


def test_gradient_is_a_tensor_of_its_layout() -> None:
    weight = gradient()
    grad = weight.grad
    assert str(grad) == repr(grad) == PRINTED
    assert isinstance(grad, T.Tensor) and T.is_tensor(grad) and grad.is_sparse and not weight.is_sparse
    assert (grad.layout, weight.layout) == (T.sparse_coo, T.strided)
    assert (grad.shape, grad.size(0), grad.dim(), grad.numel(), len(grad)) == (T.Size([6, 3]), 6, 2, 18, 6)
    assert grad.dtype is T.float32 and grad._indices().dtype is T.int64 and not grad.requires_grad
    assert type(grad._values()) is T.Tensor and type(grad.to_dense()) is T.Tensor and grad.grad_fn is None
    assert grad.coalesce().values().tolist() == [[9, 11, 13], [3, 4, 5], [6, 7, 8]]
    assert (grad + grad)._nnz() == 4 and (grad.coalesce() + grad.coalesce()).is_coalesced()
    with pytest.raises(TypeError, match="can't convert Sparse layout tensor to numpy"):
        grad.numpy()
    T.optim.SGD([weight], lr=0.1).zero_grad(set_to_none=False)
    assert str(weight.grad) == EMPTY


def test_made_by_hand() -> None:
    x = T.sparse_coo_tensor(T.tensor([[0, 1, 1], [2, 0, 2]]), T.tensor([3.0, 4.0, 5.0]), (2, 3))
    assert str(x) == """tensor(indices=tensor([[0, 1, 1],
                       [2, 0, 2]]),
       values=tensor([3., 4., 5.]),
       size=(2, 3), nnz=3, layout=torch.sparse_coo)"""
    assert T.sparse.mm(x, T.ones(3, 2)).tolist() == (x @ T.ones(3, 2)).tolist() == [[3, 3], [9, 9]]
    assert T.sparse.sum(x).item() == 12 and T.sparse_coo_tensor(size=(2, 3))._nnz() == 0
    assert T.eye(3).to_sparse().indices().tolist() == [[0, 1, 2], [0, 1, 2]]
    assert T.sparse_coo_tensor([[0, 0]], [1.0, 2.0], (3,)).coalesce().values().tolist() == [3]
    for call in (lambda: T.sparse_coo_tensor([0, 1], [1.0, 2.0]), lambda: T.sparse_coo_tensor([[0, 1]], [1.0], (3,))):
        with pytest.raises(RuntimeError):
            call()


def test_optimisers_refuse_as_there() -> None:
    weight = gradient()
    for name, text in (("Adam", "Adam does not support sparse gradients, please consider SparseAdam instead"),
                       ("AdamW", "Adam does not support sparse gradients, please consider SparseAdam instead"),
                       ("RMSprop", "RMSprop does not support sparse gradients")):
        with pytest.raises(RuntimeError, match=text):
            getattr(T.optim, name)([weight]).step()
    T.optim.SparseAdam([weight], lr=0.1).step()


@pytest.mark.parametrize("name", ["spmm", "dsmm", "mm"])
def test_products_with_a_dense_matrix_by_all_names(name: str) -> None:
    a = T.sparse_coo_tensor([[0, 1], [1, 0]], [2.0, 3.0], (2, 2))
    b = T.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = getattr(T, name)(a, b)
    y.sum().backward()
    assert y.tolist() == [[6, 8], [3, 6]] and b.grad.tolist() == [[3, 3], [2, 2]]
