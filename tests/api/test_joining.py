"""Stacks, parts, blocks, combinations, indices of triangles beside NumPy."""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement
from typing import Any

import numpy as np
import pytest
from tests.api.support import same

import pullback as pb
from pullback.util.errors import ArgumentError, IndexError_, ShapeError, ValueError_

X, Y = np.arange(12.0).reshape(3, 4), np.arange(8.0).reshape(2, 4)


@pytest.mark.parametrize("name", ["dstack", "column_stack"])
@pytest.mark.parametrize("given", [[np.arange(3), np.arange(3) * 2], [X, X + 1], [X[0], X[1], X[2]]])
def test_stacks(name: str, given: list[Any]) -> None:
    same(getattr(pb, name)([pb.tensor(a) for a in given]), getattr(np, name)(given))


def test_stacks_of_mixed_ranks() -> None:
    same(pb.column_stack([pb.tensor(X), pb.tensor(X[:, 0])]), np.column_stack([X, X[:, 0]]))
    same(pb.dstack([pb.tensor(X), pb.tensor(X[..., None])]), np.dstack([X, X[..., None]]))
    for shape in ((), (3,), (3, 4), (1, 2, 3, 4)):
        same(pb.atleast_3d(pb.ones(shape)), np.atleast_3d(np.ones(shape)))


def test_block_diag() -> None:
    found = pb.block_diag(pb.tensor(X), pb.tensor(5), pb.tensor([1, 2]), pb.zeros((0, 1)))
    wanted = np.zeros((5, 8))
    wanted[:3, :4], wanted[3, 4], wanted[4, 5:7] = X, 5, [1, 2]
    same(found, wanted)
    assert pb.block_diag().shape == (1, 0)
    gradient = pb.grad(lambda a: (pb.block_diag(a, a) ** 2).sum())(pb.tensor(X))
    same(gradient, 4 * X)


def test_diagflat() -> None:
    for offset in (-1, 0, 2):
        same(pb.diagflat(pb.tensor(Y), offset), np.diagflat(Y, offset))


def test_products_and_choices() -> None:
    found = pb.cartesian_prod(pb.tensor([1, 2]), pb.tensor([3, 4, 5]), pb.tensor([6]))
    same(found, [[a, b, 6] for a in (1, 2) for b in (3, 4, 5)])
    same(pb.cartesian_prod(pb.tensor([1, 2])), [1, 2])
    line = np.array([5.0, 7.0, 11.0, 13.0])
    for r in (1, 2, 3, 4):
        same(pb.combinations(pb.tensor(line), r), [list(c) for c in combinations(line, r)])
        same(pb.combinations(pb.tensor(line), r, True), [list(c) for c in combinations_with_replacement(line, r)])
    assert pb.combinations(pb.tensor(line), 5).shape == (0, 5)
    assert pb.combinations(pb.tensor(line), 0).shape == (0,)


@pytest.mark.parametrize("given", [1, 3, 5, [1, 3], [2, 2, 9], []])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_tensor_split(given: Any, dim: int) -> None:
    wanted = np.array_split(X, given, dim)
    for cut in (given, np.array(given, int), pb.tensor(np.array(given, int))):
        found = pb.tensor_split(pb.tensor(X), cut, dim)
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            same(a, b)


def test_named_splits() -> None:
    deep = np.arange(24.0).reshape(2, 3, 4)
    for name, array, given in (("hsplit", X, 2), ("hsplit", X[0], [1]), ("vsplit", X, 3), ("dsplit", deep, [1, 3])):
        for a, b in zip(getattr(pb, name)(pb.tensor(array), given), getattr(np, name)(array, given), strict=True):
            same(a, b)


@pytest.mark.parametrize("offset", [-2, 0, 1, 5])
@pytest.mark.parametrize(("m", "n"), [(3, 3), (2, 4), (4, 2), (0, 3)])
def test_triangles(m: int, n: int, offset: int) -> None:
    same(pb.tril_indices(m, n, offset), np.stack(np.tril_indices(m, offset, n)).astype(np.int32))
    same(pb.triu_indices(m, n, offset), np.stack(np.triu_indices(m, offset, n)).astype(np.int32))


def test_raveled_indices() -> None:
    at = np.array([[0, 7], [23, 5]])
    found = pb.unravel_index(pb.tensor(at), (2, 3, 4))
    for a, b in zip(found, np.unravel_index(at, (2, 3, 4)), strict=True):
        same(a, b)
    same(pb.ravel_multi_index(found, (2, 3, 4)), at)
    far = (pb.tensor([-1, 5]), pb.tensor([1, 9]))
    for mode in ("clip", "wrap"):
        same(pb.ravel_multi_index(far, (3, 4), mode),
             np.ravel_multi_index((np.array([-1, 5]), np.array([1, 9])), (3, 4), mode))  # type: ignore[call-overload]


def test_wrong_calls() -> None:
    x = pb.tensor(X)
    for name, call in (("hsplit", lambda: pb.hsplit(x, 3)), ("vsplit", lambda: pb.vsplit(x[0], 1)),
                       ("dsplit", lambda: pb.dsplit(x, 1)), ("block_diag", lambda: pb.block_diag(pb.ones((1, 1, 1)))),
                       ("cartesian_prod", lambda: pb.cartesian_prod(x)), ("combinations", lambda: pb.combinations(x)),
                       ("ravel_multi_index", lambda: pb.ravel_multi_index((x,), (2, 3)))):
        with pytest.raises(ShapeError, match=name):
            call()
    with pytest.raises(ArgumentError, match="column_stack"):
        pb.column_stack([])
    with pytest.raises(ValueError_, match="integers"):
        pb.unravel_index(x, (2, 3))
    with pytest.raises(IndexError_, match="out of range"):
        pb.ravel_multi_index((pb.tensor([5]), pb.tensor([0])), (3, 4))
