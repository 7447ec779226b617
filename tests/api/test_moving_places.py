"""Places that change from step to step: crops, patches, columns and rows need no program each, and mean what NumPy
means."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.dialects import torch
from pullback.engine import execute

F = torch.nn.functional
Pair = tuple[Any, Any]


def _array(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


READS: dict[str, Callable[[Any, int], Any]] = {
    "column": lambda x, k: x[:, k], "crop": lambda x, k: x[k:k + 5, k + 1:k + 9],
    "strided": lambda x, k: x[k:k + 8:3, :8:2],
    "last": lambda x, k: x[..., k], "part of a part": lambda x, k: x[2:][k, 3:9], "transposed": lambda x, k: x.T[k],
    "reshaped": lambda x, k: x.reshape(80, 10)[k], "pending": lambda x, k: (x * 2)[k],
    "pending column": lambda x, k: (x + 1)[:, k], "element": lambda x, k: (x - 1)[k, 3],
    "new": lambda x, k: x[None, :, k],
    "rows of places": lambda x, k: x[:, k:k + 4][[3, 1, 2]],
}


@pytest.mark.parametrize("name", READS)
def test_reads_at_places_that_change_need_no_program_each(name: str, count: Callable[[], int]) -> None:
    array = _array(20, 40)
    x = torch.tensor(array)
    for k in range(12):
        before = count()
        found = (READS[name](x, k) * 3).numpy()
        assert k < 3 or count() == before
        np.testing.assert_array_equal(found, READS[name](array, k) * np.float32(3))


WRITES: dict[str, Callable[[Any, int, Any], None]] = {
    "column": lambda x, k, v: x.__setitem__((slice(None), k), v[:20, 0]),
    "box": lambda x, k, v: x.__setitem__((slice(k, k + 5), slice(k + 1, k + 9)), 7.5),
    "sizes": lambda x, k, v: x.__setitem__((slice(None), slice(k, k + 1 + k % 4)), 0),
    "another's box": lambda x, k, v: x.__setitem__((slice(2, 6), slice(k, k + 3)), v[2:6, k:k + 3]),
    "broadcast": lambda x, k, v: x.__setitem__((slice(None), slice(k, k + 2)), v[:1, :2]),
    "part of a part": lambda x, k, v: x[3].__setitem__(slice(k, k + 4), -1.0),
    "in place": lambda x, k, v: x[:, k].__iadd__(v[:20, 1]),
    "every second": lambda x, k, v: x.__setitem__((slice(None), slice(k, None, 2)), v[:20, :1]),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_at_places_that_change_need_no_program_each(name: str, count: Callable[[], int]) -> None:
    other, given = _array(20, 40), _array(20, 40) + 1
    x, value = torch.tensor(other.copy()), torch.tensor(given)
    for k in range(12):
        before = count()
        WRITES[name](x, k, value)
        WRITES[name](other, k, given)
        np.testing.assert_array_equal(x.numpy(), other)
        assert k < 4 or name == "in place" or count() == before


def _steps(x: Pair, rest: list[Pair], g: np.random.Generator, shape: tuple[int, ...]) -> None:
    """Some reads and writes of one structure at random places, on tensors and NumPy's arrays alike."""
    tensor, array = x
    a, b = (int(k) for k in g.integers(0, shape[0] - 2, 2))
    c, d = (int(k) for k in g.integers(0, shape[1] - 3, 2))
    rest.append((tensor[:, c:c + 3], array[:, c:c + 3]))
    rest.append((tensor[a], array[a]))
    rest.append(((tensor * 2)[:, d], (array * np.float32(2))[:, d]))
    rest.append((tensor.clone(), array.copy()))
    rest.append((tensor.detach(), array))
    tensor[a:a + 2, d:d + 3] = 4.0
    array[a:a + 2, d:d + 3] = 4.0
    tensor[:, d] = tensor[:, c] + 1
    array[:, d] = array[:, c] + np.float32(1)
    tensor[b, c:c + 3] = rest[0][0][a]
    array[b, c:c + 3] = rest[0][1][a]
    rest[1][0][c] = 9
    rest[1][1][c] = 9
    rest[3][0][:, d:d + 2] = tensor[:, c:c + 2]
    rest[3][1][:, d:d + 2] = array[:, c:c + 2]
    rest[0][0].mul_(0.5)
    rest[0][1][...] *= np.float32(0.5)


@pytest.mark.parametrize("kept", [False, True])
def test_views_copies_and_writes_in_any_order_mean_what_numpy_means(kept: bool, count: Callable[[], int]) -> None:
    g = np.random.default_rng(3)
    shape, held = (7, 9), list[Any]()
    for turn in range(25):
        array = g.standard_normal(shape).astype(np.float32)
        x, rest = (torch.tensor(array.copy()), array), list[Pair]()
        _steps(x, rest, g, shape)
        if kept:
            held.append((x[0].numpy(), array.copy(), x))
        for tensor, expected in (x, *rest):
            np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6, err_msg=str(turn))
    for seen, expected, (tensor, _) in held:
        np.testing.assert_allclose(seen, expected, rtol=1e-6)
        tensor[1:3, 2] = 5.0
    assert count() > 0


def test_a_value_that_others_hold_is_not_written_over() -> None:
    for k in range(8):
        x = torch.tensor(_array(6, 5))
        pb.synchronize()
        expected = x.numpy().copy()
        same, later = x.clone(), x * 2
        weight = torch.ones(5, requires_grad=True)
        product = (x * weight).sum()
        x[:, k % 5] = 100.0
        product.backward()
        np.testing.assert_array_equal(same.numpy(), expected)
        np.testing.assert_array_equal(later.numpy(), expected * 2)
        np.testing.assert_allclose(weight.grad.numpy(), expected.sum(0), rtol=1e-6)
        assert (x[:, k % 5] == 100).all()


def _network() -> tuple[Any, Any]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 5))
    return net, torch.optim.SGD(net.parameters(), 0.05)


def _crop(x: Any, i: int, j: int, order: list[int]) -> Any:
    return x[:, :, i:i + 8, j:j + 8]


def _crop_of_padded(x: Any, i: int, j: int, order: list[int]) -> Any:
    return F.pad(x / 2, (1, 1, 1, 1))[:, :, i:i + 8, j:j + 8]


def _crop_each(x: Any, i: int, j: int, order: list[int]) -> Any:
    return torch.stack([x[k, :, (i + k) % 5:(i + k) % 5 + 8, (j * k) % 5:(j * k) % 5 + 8] for k in range(len(x))])


def _erased(x: Any, i: int, j: int, order: list[int]) -> Any:
    x = x[:, :, :8, :8].clone()
    x[:, :, i:i + 1 + j, j:j + 1 + i] = 0
    return x


def _mixed(x: Any, i: int, j: int, order: list[int]) -> Any:
    x = x[:, :, :8, :8].clone()
    x[:, :, i:i + 1 + j, j:j + 1 + i] = x[order][:, :, i:i + 1 + j, j:j + 1 + i]
    return x


@pytest.mark.parametrize("change", [_crop, _crop_of_padded, _crop_each, _erased, _mixed])
def test_training_on_images_changed_at_random_places(change: Callable[..., Any], count: Callable[[], int]) -> None:
    data, labels = _array(40, 3, 12, 12), torch.tensor(np.arange(40) % 5)
    images, g = torch.tensor(data), np.random.default_rng(0)
    (net, optimizer), late = _network(), 0
    same, plain = _network()
    for k in range(16):
        at = 4 * (k % 8)
        i, j = (int(n) for n in g.integers(0, 5, 2))
        order = [int(n) for n in g.permutation(4)]
        before = count()
        batch = change(images[at:at + 4], i, j, order)
        loss = _step(net, optimizer, batch, labels[at:at + 4])
        late += count() - before if k >= 7 else 0
        expected = change(torch.tensor(data[at:at + 4].copy()), i, j, order)
        assert loss == pytest.approx(_step(same, plain, torch.tensor(expected.numpy()), labels[at:at + 4]), rel=1e-5)
    assert late <= 4


def _step(net: Any, optimizer: Any, x: Any, y: Any) -> float:
    loss = F.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def test_slices_that_a_differentiated_function_is_given(count: Callable[[], int]) -> None:
    x, y = _array(90, 4), _array(90, 4)[:, :2]
    xs, ys, w = pb.asarray(x), pb.asarray(y), pb.asarray(_array(4, 2))
    step = pb.value_and_grad(lambda w, a, b: ((a @ w - b) ** 2).sum())
    for k in range(9):
        before, part = count(), slice(10 * k, 10 * k + 10)
        loss, grad = step(w, xs[part], ys[part])
        rest = x[part] @ w.numpy() - y[part]
        np.testing.assert_allclose(grad.numpy(), 2 * x[part].T @ rest, rtol=1e-4)
        assert loss.item() == pytest.approx(float((rest ** 2).sum()), rel=1e-5)
        assert k < 2 or count() == before


def test_an_operation_whose_arguments_vary_is_a_program_of_its_own(count: Callable[[], int]) -> None:
    net, optimizer = _network()
    x, y = torch.tensor(_array(4, 3, 8, 8)), torch.tensor([0, 1, 2, 3])
    for k in range(12):
        before = count()
        _step(net, optimizer, torch.roll(x, k % 8, 2), y)
        assert k < 6 or count() - before <= 1
    assert np.isfinite(_step(net, optimizer, torch.roll(x, 3, 2), y))


def test_what_is_never_met_again_is_parted_from_what_follows(count: Callable[[], int]) -> None:
    net, optimizer = _network()
    x, y, g = torch.tensor(_array(4, 3, 8, 8)), torch.tensor([0, 1, 2, 3]), np.random.default_rng(1)
    late = 0
    for k in range(40):
        before = count()
        order = [torch.flip(row, (-1,)) if g.random() < 0.5 else row * 1.5 for row in x for _ in range(3)]
        _step(net, optimizer, torch.stack(order)[:4], y)
        late += count() - before if k >= 30 else 0
    assert late <= 2


def test_rows_of_a_parameter_are_one_program_with_their_gradient(count: Callable[[], int]) -> None:
    table = torch.tensor(_array(50, 6), requires_grad=True)
    for k in range(10):
        before, i, j = count(), 3 * k, (7 * k) % 50
        table.grad = None
        loss = (table[i] * table[j]).sum() + table[i, 2]
        loss.backward()
        assert k < 3 or count() == before
        expected, values = np.zeros((50, 6), np.float32), table.detach().numpy()
        expected[i] += values[j]
        expected[j] += values[i]
        expected[i, 2] += 1
        np.testing.assert_allclose(table.grad.numpy(), expected, rtol=1e-6)
        with torch.no_grad():
            table[i].mul_(0.5)
            np.testing.assert_allclose(table.numpy()[i], values[i] * 0.5, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int64", "uint8", "bool", "complex64"])
def test_parts_of_any_type(dtype: str) -> None:
    array = np.random.default_rng(2).integers(0, 2 if dtype == "bool" else 90, (9, 11))
    x = pb.asarray(array.astype(np.float32)).astype(dtype)
    y = pb.zeros((9, 11), dtype=dtype)
    for k in range(8):
        np.testing.assert_array_equal(np.asarray(x[:, k].astype("float32").numpy()), array[:, k])
        y[:, k] = x[:, k]
        y[k % 3, k:k + 2] = 1
        assert float(y[k % 3, k].astype("float32")) == 1
    np.testing.assert_array_equal(np.asarray(y[3:, :8].astype("float32").numpy()), array[3:, :8])


def test_wrong_writes_raise_also_where_places_change() -> None:
    x = torch.zeros(6, 7)
    for k in range(6):
        with pytest.raises((ValueError, RuntimeError)):
            x[:, k:k + 2] = torch.ones(6, 3)
        with pytest.raises(IndexError):
            x[:, 7 + k] = 1
    assert x.sum().item() == 0


@pytest.mark.parametrize("number", [10**30, 2**60 + 2**36 + 1, -2**62 - 2**38 - 1, 2**53, 1e39, -0.0, True])
def test_numbers_are_converted_as_programs_convert_them(number: Any) -> None:
    """Whole numbers are rounded once, and those that no program takes are an error wherever they are put."""
    for dtype in (torch.float32, torch.float64, torch.uint64):
        found = list[Any]()
        for k in range(6):
            x = torch.zeros(3, 7, dtype=dtype)
            try:
                x[:, k] = number
                found.append(repr(x[1, k].item()))
            except (OverflowError, ValueError) as error:
                found.append(type(error).__name__)
        assert len({*found}) == 1, (dtype, found)
    x = torch.zeros(3, 7)
    if number == 2**60 + 2**36 + 1:
        for k in range(6):
            x[:, k] = number
        assert (x[:, :6] == 2.0**60 + 2.0**37).all()


def _outside(x0: Any, k: int, other: Any) -> tuple[Any, Any]:
    """A column of what is pending, as a leaf, and what it is part of changed since."""
    x = pb.asarray(x0) * 2
    column = x[:, k]
    column.requires_grad = True
    x.mul_(2)
    return column, other + 1


@pytest.mark.parametrize("use", [
    lambda column, ones: pb.grad(lambda w: (w * column).sum())(ones),
    lambda column, ones: pb.vmap(lambda w: (w * column).sum())(pb.diag(ones)),
    lambda column, ones: pb.grad(lambda w: pb.grad(lambda v: (v * v * column).sum())(w).sum())(ones) / 2,
], ids=["grad", "vmap", "grad of grad"])
def test_parts_of_what_is_pending_are_read_within_transformations(use: Callable[[Any, Any], Any]) -> None:
    """Reading there launches what was recorded outside: what follows is recorded in the trace that is begun then."""
    x0, ones = _array(4, 5), pb.ones(4)
    for k in (0, 1, 2, 3, 4, 1, 0):
        column, other = _outside(x0, k, pb.asarray(x0))
        np.testing.assert_array_equal(use(column, ones).detach().numpy(), x0[:, k] * 4)
        np.testing.assert_array_equal((other * 3).numpy(), (x0 + np.float32(1)) * 3)


def test_launches_that_end_while_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may wait for them meanwhile."""
    class Outputs(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            launches.popleft()
            return iter(())

    launches: deque[Any] = deque([(k, ([], Outputs(), None, None)) for k in range(3)])
    monkeypatch.setattr(execute, "_in_flight", launches)
    assert not execute.is_under_way(object())
    assert not launches


@pytest.mark.parametrize("shape", [(0, 6, 7), (4, 0, 7), (4, 6, 7)])
def test_nothing_is_written_where_there_is_nothing(shape: tuple[int, ...]) -> None:
    x, one = torch.zeros(shape), torch.ones(1)
    for k in range(6):
        x[shape[0]:, k:k + 1, k + 1:] = one
        if not shape[1]:
            x[k % 4, :, k:] = 2
        if not shape[0]:
            x[:, k, k] = 3
        assert x.sum().item() == 0


def test_nothing_is_read_while_programs_are_launched() -> None:
    """Which views become tensors of their own is found without reading any: that would launch the same once more."""
    array = _array(5, 7)
    for k in range(7):
        x = torch.tensor(array)
        column = x[:, k]
        column.sum().item()
        part = column[1:3]
        with torch.no_grad():
            double = part * 2
        x.add_(1)
        np.testing.assert_array_equal((x * 3).numpy(), (array + np.float32(1)) * 3)
        np.testing.assert_array_equal(part.numpy(), (array + np.float32(1))[1:3, k])
        np.testing.assert_array_equal(double.numpy(), array[1:3, k] * 2)
