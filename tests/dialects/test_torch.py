"""The torch dialect: what recorded answers (tests/conformance) do not say."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import warnings
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pullback.torch as torch
import pytest
from pullback.torch import nn, optim
from pullback.torch.autograd import Variable

import pullback as pb
from pullback.api.mersenne import Mersenne
from pullback.engine.trace import State
from pullback.ir import dtypes
from pullback.util.errors import PullbackError

T: Any = torch


def test_one_module_whatever_the_name() -> None:
    import pullback.torch.nn.functional as F

    import pullback.dialects.torch.nn.functional as home

    assert F is home
    assert pb.torch is torch
    assert torch.nn.functional is F
    assert F.__spec__.name == "pullback.dialects.torch.nn.functional"


def test_every_name_is_there() -> None:
    for module in (torch, nn, nn.functional, nn.init, nn.utils, optim, optim.lr_scheduler, T.autograd, T.cuda,
                   T.utils.data, T.func):
        for name in dir(module):
            assert getattr(module, name) is not None or name in ("newaxis",), (module.__name__, name)


def test_values_have_this_class() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    made = [x + 1, 1 + x, x @ x, x[0], x[x > 2], x.T, x.sum(), x.mean(0), x.exp(), x.detach(), x.data, x.clone(),
            x.view(4), x.max(1)[1], x.sort()[0], torch.zeros_like(x), torch.cat([x, x]), torch.where(x > 0, x, 0.0),
            x == x,
            nn.functional.softmax(x, 1), x.new_zeros(2), torch.einsum("ij->i", x), x.numpy() * torch.ones(2),
            nn.Linear(2, 2)(x), nn.Linear(2, 2)(np.ones((1, 2), "f"))]
    (x * x).sum().backward()
    assert all(type(v) is T.Tensor for v in [*made, x.grad])
    assert type(pickle.loads(pickle.dumps(x))) is T.Tensor
    assert type(copy.deepcopy(nn.Linear(2, 2)).weight) is nn.Parameter
    assert type(pickle.loads(pickle.dumps(nn.Parameter(torch.ones(1))))) is nn.Parameter


def test_arrays_pass_between_styles() -> None:
    """A module of this dialect trained by a functional step of the library, on native arrays."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    x, y = pb.tensor(np.random.RandomState(0).randn(32, 3).astype("f")), pb.ones((32, 1))

    def loss_of(model: Any) -> Any:
        return ((model(x) - y) ** 2).mean()

    before = loss_of(model).item()
    for _ in range(50):
        loss, gradients = pb.value_and_grad(loss_of)(model)
        model = pb.tree.map(lambda p, g: p - 0.1 * g, model, gradients)
    assert loss.item() < 0.1 * before
    assert type(torch.ones(2) + pb.ones(2)) is T.Tensor


def test_old_numbers_of_a_loss() -> None:
    loss = (torch.ones(3, requires_grad=True) ** 2).sum()
    with pytest.warns(DeprecationWarning, match=r"loss\.item\(\)"):
        assert f"{loss.data[0]:.2f}" == "3.00"
    with pytest.raises(IndexError, match="0-dim"):
        loss[0]
    with pytest.raises(IndexError, match="0-dim"):
        torch.tensor(1.0)[0]


def test_variables() -> None:
    data = torch.ones(2)
    x = Variable(data, requires_grad=True)
    assert x.requires_grad and not data.requires_grad and isinstance(x, Variable) and isinstance(x, T.Tensor)
    assert not Variable(x * 2).requires_grad
    with pytest.raises(TypeError):
        Variable([1.0])


def test_tensor_types() -> None:
    x = torch.ones(2)
    assert isinstance(x, T.FloatTensor) and not isinstance(x, T.DoubleTensor) and not isinstance(x, T.cuda.FloatTensor)
    assert isinstance(x.type(T.DoubleTensor), T.DoubleTensor)
    for wrong in (lambda: x.type(T.cuda.FloatTensor), lambda: T.cuda.FloatTensor(2), lambda: x.cuda(),
                  lambda: nn.Linear(1, 1).cuda(),
                  lambda: x.to("cuda:0"), lambda: torch.ones(1, device="mps"), lambda: nn.Linear(1, 1).to("cuda"),
                  lambda: T.cuda.synchronize(), lambda: T.Generator("cuda")):
        with pytest.raises(RuntimeError, match=r"help  .*is_available") as caught:
            wrong()
        assert isinstance(caught.value, (AssertionError, PullbackError))
    assert not T.cuda.is_available() and T.cuda.device_count() == 0 and not T.backends.mps.is_available()
    assert x.to(T.device("cpu")) is x


def test_dtypes_are_the_librarys() -> None:
    assert torch.float32 == pb.float32 and pb.float32 == torch.float32 and torch.float32 != pb.float64
    assert {pb.int64: 1}[T.int64] == 1
    assert pb.zeros(2, dtype=T.int64).dtype is pb.int64
    assert torch.ones(2).dtype is torch.float32
    assert torch.ones(2, dtype=pb.float64).dtype is T.float64
    assert np.zeros(2, dtype=str(torch.ones(1).dtype).split(".")[1]).dtype == np.float32
    assert pickle.loads(pickle.dumps(torch.float32)) is torch.float32


def test_generator_state_goes_round() -> None:
    generator = Mersenne().manual_seed(7)
    generator.normal((3,), dtypes.float32)
    generator.words(1000)
    state = generator.get_state()
    first = [generator.normal((5,), dtypes.float64), generator.uniform((700,), dtypes.float32),
             generator.permutation(9)]
    generator.set_state(state)
    second = [generator.normal((5,), dtypes.float64), generator.uniform((700,), dtypes.float32),
              generator.permutation(9)]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    for wrong in (np.zeros(3, np.uint8), np.zeros(5056)):
        with pytest.raises(TypeError, match="get_state"):
            generator.set_state(wrong)


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**64, 1.5, "a", None])
def test_seeds_that_are_none(seed: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        torch.manual_seed(seed)


def test_generator_distributions() -> None:
    generator = Mersenne().manual_seed(1)
    normal = generator.normal((100_003,), dtypes.float32, 2.0, 3.0)
    assert abs(normal.mean() - 2) < 0.05 and abs(normal.std() - 3) < 0.05
    assert abs(generator.exponential((100_000,), dtypes.float64, 4.0).mean() - 0.25) < 0.01
    assert sorted(generator.permutation(50).tolist()) == list(range(50))
    assert generator.permutation(0).tolist() == [] and generator.permutation(1).tolist() == [0]
    assert abs(generator.chances(0.3, (100_000,)).mean() - 0.3) < 0.01
    drawn = generator.integers(-3, 4, (10_000,), dtypes.int8)
    assert drawn.dtype == np.int8 and set(drawn.tolist()) == set(range(-3, 4))
    half = generator.normal((64,), dtypes.float16)
    assert half.dtype == np.float16 and np.isfinite(half).all()
    counts = np.bincount(generator.choices(np.array([0.1, 0.2, 0.7]), 10_000, True), minlength=3) / 10_000
    np.testing.assert_allclose(counts, [0.1, 0.2, 0.7], atol=0.02)


def test_default_generator_differs_between_native_and_torch() -> None:
    torch.manual_seed(0)
    pb.manual_seed(0)
    first = torch.rand(2)
    pb.rand(2)
    torch.manual_seed(0)
    np.testing.assert_array_equal(torch.rand(2).numpy(), first.numpy())
    assert nn.Linear(2, 2).weight.generator is T.Tensor.generator
    assert pb.nn.Linear(2, 2).weight.generator is None


def test_dropout_draws_anew_in_compiled_functions() -> None:
    layer = nn.Dropout(0.5)
    step = pb.jit(lambda x: layer(x))
    x = torch.ones(200)
    masks = [step(x).numpy() for _ in range(3)]
    assert not np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[1], masks[2])
    assert set(np.unique(masks[0])) == {0.0, 2.0}


def test_generators_are_shared_by_threads() -> None:
    torch.manual_seed(0)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.extend(torch.rand(500).tolist())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.manual_seed(0)
    assert sorted(found) == sorted(torch.rand(2000).tolist())


def test_own_function() -> None:
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, scale: float) -> Any:
            ctx.save_for_backward(x)
            ctx.scale = scale
            return scale * x ** 3

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            x, = ctx.saved_tensors
            gradient = gradient.clone()
            gradient *= 3 * ctx.scale
            return gradient * x ** 2, None

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = Cube.apply(x, 2.0)
    assert repr(y) == "tensor([ 2., 16.], grad_fn=<CubeBackward>)"
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 24.0]


def test_history_is_named_after_it_is_freed() -> None:
    w = torch.ones(2, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    loss = (w * w).mean()
    loss.backward()
    optimizer.step()
    assert repr(loss) == "tensor(1., grad_fn=<MeanBackward0>)"
    with pytest.raises(RuntimeError, match="retain_graph"):
        loss.backward()


def test_hooks_see_this_class() -> None:
    x = torch.ones(2, requires_grad=True)
    seen: list[Any] = []
    x.register_hook(lambda g: seen.append(type(g)) or g * 2)
    (x * 3).sum().backward()
    assert seen == [T.Tensor] and x.grad.tolist() == [6.0, 6.0]


def test_a_depth_seen_before_is_not_recorded_again() -> None:
    torch.manual_seed(0)
    first, middle, last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 1)
    optimizer = optim.SGD([*first.parameters(), *middle.parameters(), *last.parameters()], lr=1e-2)
    x, y = torch.randn(16, 4), torch.randn(16, 1)

    def step(depth: int) -> None:
        h = first(x).clamp(min=0)
        for _ in range(depth):
            h = middle(h).clamp(min=0)
        loss = nn.MSELoss()(last(h), y)
        optimizer.zero_grad()
        loss.backward()
        assert (middle.weight.grad is None) == (depth == 0)
        optimizer.step()
        loss.item()

    for depth in (0, 1, 2, 3, 0, 1, 2, 3, 0, 3, 2, 1):
        step(depth)
    known = State.total
    for depth in (3, 1, 0, 2, 2, 0, 3, 1, 1, 2):
        step(depth)
    assert State.total == known, "no structure was new, so nothing was compiled"


def test_state_files(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = optim.Adam(model.parameters())
    model(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "loss": 0.5}, path)
    found = torch.load(path, map_location="cpu", weights_only=True)
    other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert str(other.load_state_dict(found["model"])) == "<All keys matched successfully>"
    optim.Adam(other.parameters()).load_state_dict(found["optimizer"])
    assert found["epoch"] == 3 and type(found["model"]["0.weight"]) is T.Tensor
    assert torch.equal(other[0].weight, model[0].weight)
    with pytest.raises(TypeError, match="cannot be stored"):
        torch.save(model.forward, path)
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "none.pt")
    with pytest.raises(RuntimeError, match=r"Error\(s\) in loading state_dict for Linear"):
        nn.Linear(5, 5).load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(RuntimeError, match="cuda"):
        torch.load(path, map_location="cuda")


def test_old_arguments_of_losses() -> None:
    x, y = torch.ones(4), torch.zeros(4)
    assert nn.MSELoss(False)(x, y).item() == 4
    assert nn.MSELoss(size_average=False)(x, y).item() == 4
    assert nn.MSELoss(reduce=False)(x, y).shape == (4,)
    assert nn.functional.mse_loss(x, y, size_average=False).item() == 4
    assert nn.CrossEntropyLoss(size_average=False)(torch.ones(3, 2),
                                                   torch.zeros(3).long()).item() == pytest.approx(3 * np.log(2))
    assert nn.HuberLoss(reduction="sum", delta=0.5)(x, y).item() == pytest.approx(1.5)


def test_loaders_give_this_class() -> None:
    from pullback.torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split

    class Squares(Dataset):
        def __len__(self) -> int:
            return 5

        def __getitem__(self, k: int) -> Any:
            return torch.tensor([float(k)]), k * k

    x, y = next(iter(DataLoader(Squares(), batch_size=3)))
    assert type(x) is T.Tensor and x.shape == (3, 1) and repr(y) == "tensor([0, 1, 4])"
    parts = random_split(TensorDataset(torch.arange(10)), [0.7, 0.3])
    assert [len(p) for p in parts] == [7, 3] and isinstance(parts[0], Subset)
    assert sorted(v.item() for p in parts for v, in p) == list(range(10))
    with pytest.raises(ValueError, match="non-negative"):
        DataLoader(Squares(), num_workers=-1)


def test_default_dtype() -> None:
    try:
        torch.set_default_dtype(torch.float64)
        assert torch.ones(1).dtype is T.float64 and torch.tensor(1.0).dtype is T.float64
        assert repr(torch.ones(1)) == "tensor([1.], dtype=torch.float64)".replace(", dtype=torch.float64", "")
    finally:
        torch.set_default_dtype(torch.float32)
    with pytest.raises(TypeError):
        torch.set_default_dtype(torch.int64)


def test_parameters_and_buffers_have_the_default_dtype() -> None:
    try:
        torch.set_default_dtype(torch.float64)
        layers = [nn.Linear(2, 2), nn.Linear(2, 2, True, None, None), nn.BatchNorm1d(2), nn.LayerNorm(2), nn.LSTM(2, 2),
                  nn.Conv2d(1, 2, 3), nn.Embedding(3, 2), nn.PReLU(), nn.MultiheadAttention(2, 1), nn.LazyLinear(2)]
        assert layers[-1](torch.ones(1, 2)).dtype is T.float64
        kinds = {p.dtype for layer in layers for p in [*layer.parameters(), *layer.buffers()]}
        assert kinds == {torch.float64, torch.int64}
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype is T.float64
        assert nn.Linear(2, 2, dtype=torch.float32).weight.dtype is T.float32
        assert pb.nn.Linear(2, 2).weight.dtype == pb.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert nn.Linear(2, 2).weight.dtype is T.float32


def test_print_options() -> None:
    x = torch.tensor([1.23456789, 1000.5])
    try:
        torch.set_printoptions(precision=2, sci_mode=True)
        assert repr(x) == "tensor([1.23e+00, 1.00e+03])"
        torch.set_printoptions(precision=6, linewidth=20, sci_mode=False)
        assert repr(x) == "tensor([   1.234568,\n        1000.500000])"
    finally:
        torch.set_printoptions(profile="default")


def test_plots_of_what_requires_gradients() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = torch.ones(3, requires_grad=True)
        assert np.asarray(x * 2).tolist() == [2.0, 2.0, 2.0]


def test_missing_names() -> None:
    for ask, near in ((lambda: torch.zeroz, "torch.zeros"), (lambda: nn.Linaer, "torch.nn.Linear"),
                      (lambda: optim.Adm, "torch.optim.Adam"),
                      (lambda: nn.functional.sofmax, "torch.nn.functional.softmax")):
        with pytest.raises(AttributeError, match=r"open an issue") as caught:
            ask()
        assert near in str(caught.value)
    assert not hasattr(torch, "no_such_thing")
    with pytest.raises(ImportError, match="did you mean"):
        from pullback.torch import zeroz  # noqa: F401


def test_gradients_of_what_is_computed_from_others_are_kept_on_request() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    z = y * 3
    loss = (z * y).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert y.grad.tolist() == [24.0, 24.0, 24.0] and z.grad is None and x.grad.tolist() == [48.0, 48.0, 48.0]
    with pytest.raises(RuntimeError, match="requires_grad=False"):
        torch.ones(2).retain_grad()


def test_results_are_written_where_out_says() -> None:
    x, out, empty = torch.ones(2, 2), torch.zeros(2, 2), torch.empty(0)
    assert torch.add(x, 1, out=out) is out and out.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert torch.matmul(x, x, out=empty) is empty and empty.shape == (2, 2)
    assert torch.cat([x, x], 1, out=empty).shape == (2, 4) and torch.gt(x, 0, out=torch.empty(0)).all()
    view = out[0]
    torch.mul(x[0], 5, out=view)
    assert out.tolist() == [[5.0, 5.0], [2.0, 2.0]]
    with pytest.raises(TypeError, match="out must be a tensor"):
        torch.add(x, 1, out=3)


def test_functions_that_write_where_out_says() -> None:
    x, ones = torch.tensor([[3.0, 1.0], [2.0, 4.0]]), torch.ones(2, 2)
    for name, args in (("zeros", (2, 2)), ("full", ((2, 2), 7.0)), ("arange", (4.0,)), ("cumsum", (x, 0)),
                       ("mean", (x, 0)), ("where", (x > 2, x, ones)), ("tril", (x,)), ("logsumexp", (x, 1))):
        out, expected = torch.ones(2, 2), getattr(torch, name)(*args)
        assert getattr(torch, name)(*args, out=out) is out
        assert out.shape == expected.shape and torch.equal(out, expected)
    values, places = torch.empty(0), torch.empty(0, dtype=torch.long)
    found = torch.sort(x, 1, out=(values, places))
    assert found.values is values and found.indices is places
    assert values.tolist() == [[1.0, 3.0], [2.0, 4.0]] and places.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(TypeError, match="as many tensors as there are results"):
        torch.max(x, 1, out=torch.empty(0))


def test_gradcheck_finds_a_wrong_backward() -> None:
    class Wrong(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * x

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient

    x = torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True)
    assert T.autograd.gradcheck(lambda v: (v * v).sum() * v, (x,))
    assert not T.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)
    with pytest.raises(RuntimeError, match="mismatch for output 0 with respect to input 0"):
        T.autograd.gradcheck(Wrong.apply, (x,))


def test_a_function_of_ones_own_runs_once_for_each_call() -> None:
    calls: list[str] = []

    class Noted(T.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            calls.append("forward")
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 2

    x = torch.ones(2, requires_grad=True)
    for _ in range(3):
        Noted.apply(x).sum().backward()
    assert calls == ["forward"] * 3 and x.grad.tolist() == [6.0, 6.0]


def test_products_of_two_dtypes_are_refused_wherever_they_are_recorded() -> None:
    x, w = torch.ones(2, 3), torch.ones(3, 2, dtype=torch.float64)
    for k in range(2):
        for wrong in (lambda: x @ w, lambda: pb.jit(lambda a, b: a @ b)(x, w), lambda: nn.Linear(3, 1)(w.t())):
            with pytest.raises(RuntimeError, match="same dtype"):
                wrong()
        assert (pb.ones((2, 3)) @ pb.ones((3, 2), dtype=pb.float64)).dtype == pb.float64, k


def test_a_generator_given_to_a_loader_shuffles_every_epoch_as_pytorch() -> None:
    loader = torch.utils.data.DataLoader(list(range(8)), batch_size=4, shuffle=True,
                                         generator=torch.Generator().manual_seed(3))
    assert [[b.tolist() for b in loader] for _ in range(3)] == [
        [[1, 5, 6, 3], [4, 7, 0, 2]], [[0, 6, 2, 7], [3, 1, 5, 4]], [[3, 6, 7, 0], [1, 5, 2, 4]]]


def test_padded_sequences_are_tensors_of_this_style() -> None:
    rnn = nn.utils.rnn
    packed = rnn.pack_padded_sequence(torch.ones(2, 3, 1), torch.tensor([3, 2]), batch_first=True)
    padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True)
    assert repr(padded.shape) == "torch.Size([2, 3, 1])" and repr(lengths) == "tensor([3, 2])"
    assert padded[1, :, 0].tolist() == [1.0, 1.0, 0.0]


def test_float32_matmul_precision() -> None:
    assert torch.get_float32_matmul_precision() == "highest"
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.get_float32_matmul_precision() == "medium"
        with pytest.raises(ValueError, match="'highest', 'high', 'medium'"):
            torch.set_float32_matmul_precision("low")
    finally:
        torch.set_float32_matmul_precision("highest")


def test_negative_classes_are_refused_whether_or_not_their_number_is_given() -> None:
    for count in (-1, 3):
        with pytest.raises(RuntimeError, match="one_hot: class values must be from 0"):
            nn.functional.one_hot(torch.tensor([0, -1]), count)
    assert nn.functional.one_hot(torch.tensor([0, 1])).tolist() == [[1, 0], [0, 1]]


def test_decompositions_are_methods_from_the_start() -> None:
    """In a process of its own: they must not wait for `torch.linalg` to be used."""
    lines = """import pullback.torch as torch
a = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
b = torch.tensor([[1.0], [2.0]])
u, s, v = a.svd()
assert torch.allclose(u @ torch.diag(s) @ v.T, a, atol=1e-5)
numbers = torch.stack([a.det(), a.logdet(), a.slogdet()[1]])
assert torch.allclose(numbers, torch.tensor([5.0, 1.6094, 1.6094]), atol=1e-4)
for inverse in (a.inverse(), a.pinverse()):
    assert torch.allclose(inverse, torch.tensor([[0.6, -0.2], [-0.2, 0.4]]), atol=1e-5)
q, r = a.qr()
assert torch.allclose(q @ r, a, atol=1e-5) and torch.allclose(a.cholesky() @ a.cholesky().T, a, atol=1e-5)
assert a.matrix_power(3).tolist() == [[15, 20], [20, 35]] and round(a.matrix_exp()[0, 0].item(), 2) == 13.18
assert torch.allclose(b.lu_solve(*a.lu()), b.cholesky_solve(a.cholesky()), atol=1e-5)
"""
    subprocess.run([sys.executable, "-c", lines], check=True)


def test_a_deque_is_a_list_of_numbers() -> None:
    numbers = deque([1.5, 2.5])
    numbers.appendleft(0.5)
    for make in (pb.tensor, torch.tensor):
        assert make(numbers).tolist() == [0.5, 1.5, 2.5]
        assert make(deque([make(1), make(2)])).tolist() == [1, 2]
    assert torch.tensor(numbers).dtype is torch.float32 and torch.tensor(deque([1])).dtype is torch.int64
