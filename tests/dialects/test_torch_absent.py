"""Modules that scripts import and may never use, and the small ones beside them: PyTorch's recorded answers."""

from __future__ import annotations

import importlib
import time
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pullback.torch as torch
import pytest

from pullback.dialects.torch.absent import ABSENT
from pullback.util.errors import ArgumentError, AttributeError_, MissingModuleError, StructureError, ValueError_


@pytest.mark.parametrize("name", ABSENT)
def test_absent_modules_import_and_refuse_to_be_used(name: str) -> None:
    module = importlib.import_module(f"pullback.torch.{name}")
    below = importlib.import_module(f"pullback.torch.{name}.any.thing")
    for given in (module, below):
        with pytest.raises(MissingModuleError, match=rf"torch\.{name}\.\S*something is not here\n  help  \w"):
            given.something(1, key=2)
        with pytest.raises(MissingModuleError, match="is not here"):
            class _(given.Base):  # pyright: ignore[reportUntypedBaseClass]
                pass
        with pytest.raises(MissingModuleError, match="is not here"), given.context:
            pass
    assert not isinstance(3, module.Kind)
    assert hasattr(torch, name.partition(".")[0])


def test_what_absent_modules_answer() -> None:
    assert not torch.distributed.is_available()
    assert not torch.distributed.is_initialized()
    assert torch.mps.device_count() == 0
    assert not torch.onnx.is_in_onnx_export()


def test_names_that_pytorch_does_not_have_either() -> None:
    with pytest.raises(AttributeError_, match="torch has no 'onx' here"):
        _ = torch.onx
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pullback.torch.onx")


def test_backends_are_modules() -> None:
    cudnn = importlib.import_module("pullback.torch.backends.cudnn")
    assert cudnn is torch.backends.cudnn
    cudnn.benchmark = True
    assert torch.backends.cudnn.benchmark
    cudnn.benchmark = False
    assert torch.version.cuda is None
    assert isinstance(1.5, torch.types.Number)


def test_scripted_and_traced_is_what_was_given() -> None:
    @torch.jit.script
    def double(x: Any) -> Any:
        return x * 2

    @torch.jit.ignore(drop=True)
    def one(x: Any) -> Any:
        return x

    @torch.compiler.disable
    def two(x: Any) -> Any:
        return x

    layer = torch.nn.Linear(2, 3)
    assert torch.jit.trace(layer, torch.ones(1, 2)) is layer
    assert double(torch.ones(2)).tolist() == [2, 2]
    assert one(1) == two(1) == torch.jit.wait(torch.jit.fork(one, 1)) == 1
    with pytest.raises(MissingModuleError, match=r"torch\.jit\.save is not here"):
        torch.jit.save(layer, "x")


CLOSE = [
    (lambda: (torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 2.1, 3])),
     "Tensor-likes are not close!\n\nMismatched elements: 1 / 3 (33.3%)\nGreatest absolute difference: "
     "0.09999990463256836 at index (1,) (up to 1e-05 allowed)\nGreatest relative difference: 0.0476190"),
    (lambda: (torch.tensor([1, 2]), torch.tensor([1, 3])),
     "Tensor-likes are not equal!\n\nMismatched elements: 1 / 2 (50.0%)\nGreatest absolute difference: 1 at index "
     "(1,)"),
    (lambda: (1.0, 1.1),
     "Scalars are not close!\n\nExpected 1.1 but got 1.0.\nAbsolute difference: 0.10000000000000009 (up to 1e-07 "
     "allowed)\nRelative difference: 0.09090909090909098 (up to 1e-07 allowed)"),
    (lambda: ({"a": [torch.zeros(2)]}, {"a": [torch.ones(2)]}), "The failure occurred for item ['a'][0]"),
    (lambda: (torch.zeros(2), torch.zeros(3)),
     "The values for attribute 'shape' do not match: torch.Size([2]) != torch.Size([3])."),
    (lambda: (torch.zeros(2), torch.zeros(2).double()),
     "The values for attribute 'dtype' do not match: torch.float32 != torch.float64."),
    (lambda: (torch.tensor([float("nan")]), torch.tensor([float("nan")])), "Greatest absolute difference: nan"),
    (lambda: ([1], [1, 2]), "The length of the sequences mismatch: 1 != 2"),
    (lambda: ({"a": 1}, {"b": 1}), "Missing keys in the actual mapping: ['b']"),
    (lambda: (None, 1), "only one is None"),
]


@pytest.mark.parametrize(("given", "text"), CLOSE)
def test_assert_close_refuses(given: Any, text: str) -> None:
    with pytest.raises(AssertionError) as caught:
        torch.testing.assert_close(*given())
    assert text in str(caught.value)


def test_assert_close_accepts() -> None:
    nan = torch.tensor([float("nan")])
    torch.testing.assert_close(nan, nan, equal_nan=True)
    torch.testing.assert_close(nan, nan, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close([1, 2.0, None], [1, 2.0 + 1e-9, None])
    torch.testing.assert_close(1, 1.0, check_dtype=False)
    torch.testing.assert_close(torch.zeros(2), torch.zeros(2).double(), check_dtype=False)
    torch.testing.assert_close(torch.ones(2).bfloat16(), torch.ones(2).bfloat16() * 1.01)
    torch.testing.assert_close(torch.zeros(0), torch.zeros(0))
    with pytest.raises(AssertionError, match="mine"):
        torch.testing.assert_close(1, 2, msg="mine")
    with pytest.raises(ArgumentError, match="both tolerances or none"):
        torch.testing.assert_close(1.0, 1.0, rtol=1.0)
    for other in (1.0, np.ones(())):
        with pytest.raises(ArgumentError, match="nothing compares these two"):
            torch.testing.assert_close(torch.tensor(1.0), other)
    with pytest.raises(AssertionError, match="types do not match"):
        torch.testing.assert_close(1, 1.0)


def test_random_tensors() -> None:
    whole = torch.testing.make_tensor(300, 2, dtype=torch.int64, device="cpu").numpy()
    assert whole.shape == (300, 2)
    assert (whole.min(), whole.max()) == (-9, 9)
    real = torch.testing.make_tensor((300,), dtype=torch.float32, device="cpu", low=1, high=2).numpy()
    assert real.min() >= 1
    assert real.max() <= 2
    parts = torch.view_as_real(torch.testing.make_tensor(300, dtype=torch.complex64, low=2, high=3)).numpy()
    assert 2 <= parts.min() < parts.max() <= 3
    wide = torch.testing.make_tensor(30, dtype=torch.float64)
    assert (wide.float().double() != wide).any()
    assert torch.testing.make_tensor(9, dtype=torch.bool, device="cpu", exclude_zero=True).all()
    with pytest.raises(ArgumentError, match="an empty range"):
        torch.testing.make_tensor(2, dtype=torch.float32, low=3, high=1)


def test_trees() -> None:
    pytree = importlib.import_module("pullback.torch.utils._pytree")
    leaves, structure = pytree.tree_flatten({"a": [1, 2], "b": (3,)})
    assert leaves == [1, 2, 3]
    assert pytree.tree_unflatten([4, 5, 6], structure) == {"a": [4, 5], "b": (6,)}
    assert pytree.tree_map(lambda x: x + 1, [1, (2,)]) == [2, (3,)]
    assert pytree.tree_map_only(str, str.upper, ["a", 1]) == ["A", 1]
    assert pytree.tree_any(lambda x: x > 1, [1, 2])
    assert not pytree.tree_all(lambda x: x > 1, [1, 2])


def test_trees_as_pytorch_has_them() -> None:
    pytree = importlib.import_module("pullback.torch.utils._pytree")
    module = torch.nn.Linear(2, 2)
    given = {"b": None, "a": OrderedDict(z=module, y=(1, [2]))}
    leaves, structure = pytree.tree_flatten(given)
    assert leaves == [None, module, 1, 2]
    assert structure.num_leaves == 4 and structure == pytree.tree_structure(given)
    again = pytree.tree_unflatten(leaves, structure)
    assert again == given and list(again) == ["b", "a"] and type(again["a"]) is OrderedDict
    assert pytree.tree_map(lambda x: x is None, [None, (1,)]) == [True, (False,)]
    assert pytree.tree_map(len, [(1, 2), (3,)], is_leaf=lambda x: isinstance(x, tuple)) == [2, 1]
    assert pytree.tree_map(lambda x, y: x + y, {"b": 1, "a": 2}, {"a": 10, "b": 20}) == {"b": 21, "a": 12}
    assert pytree.tree_map(lambda x: x + 1, deque([1, 2], 3)) == deque([2, 3])
    assert pytree.tree_map(lambda x: x * 2, torch.ones(2, 1).max(0)).indices.item() == 0
    for wrong in ([1], (1, 2), {"a": 1}):
        with pytest.raises(StructureError, match="different structures"):
            pytree.tree_map(lambda x, y: x, [1, 2], wrong)
    with pytest.raises(StructureError, match="another number of leaves"):
        pytree.tree_unflatten([1], structure)


def test_shares_of_a_dataset() -> None:
    sampler = importlib.import_module("pullback.torch.utils.data.distributed").DistributedSampler
    assert torch.utils.data.DistributedSampler is torch.utils.data.distributed.DistributedSampler is sampler
    assert [list(sampler(range(7), 2, r, seed=3)) for r in (0, 1)] == [[5, 4, 0, 1], [3, 6, 2, 5]]
    third = sampler(range(7), 3, 1, drop_last=True)
    third.set_epoch(2)
    assert list(third) == [4, 6]
    assert len(third) == 2
    assert sorted(sampler(range(5))) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError_, match="no such rank"):
        sampler(range(5), 2, 2)


def test_processes() -> None:
    mp = torch.multiprocessing
    assert mp.get_start_method() in ("fork", "spawn", "forkserver")
    assert np.isscalar(mp.cpu_count())
    mp.spawn(print, (), nprocs=2)
    with pytest.raises(mp.ProcessRaisedException, match="process 0 of spawn ended with exit code 1"):
        mp.spawn(divmod, (0,), nprocs=1)
    with pytest.raises(ArgumentError, match="no such strategy"):
        mp.set_sharing_strategy("none")


def test_a_process_that_fails_ends_those_that_wait_for_it() -> None:
    mp = torch.multiprocessing
    context = mp.spawn(pow, (0, 0), nprocs=2, join=False)  # 0 ** 0 % 0 fails in both
    assert len(context.pids()) == 2
    with pytest.raises(mp.ProcessRaisedException, match="ended with exit code 1"):
        while not context.join(timeout=20):
            pass
    assert not any(p.is_alive() for p in context.processes)
    before = time.monotonic()
    with pytest.raises(mp.ProcessRaisedException, match="process 1 of spawn"):
        mp.spawn(_sleep_or_fail, nprocs=2)
    assert time.monotonic() - before < 25


def _sleep_or_fail(number: int) -> None:
    if number:
        raise RuntimeError("on purpose")
    time.sleep(60)


def test_modules_of_many_processes_may_be_asked_for() -> None:
    parallel = importlib.import_module("pullback.torch.nn.parallel")
    model = torch.nn.Linear(2, 3)
    assert not isinstance(model, parallel.DistributedDataParallel)
    with pytest.raises(MissingModuleError, match="there is one process"):
        parallel.DistributedDataParallel(model, device_ids=[0])
