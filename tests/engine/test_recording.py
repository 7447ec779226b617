"""Recording, launching, in-place operations and views: the semantics of docs/design.md section 5."""

import gc
import threading
from functools import partial

import numpy as np
import pytest

import pullback as pb
from pullback.engine import execute
from pullback.engine.trace import State, local
from pullback.util.errors import ArgumentError, ConcretizationError, GradientError, ShapeError, TracerLeakError


def test_nothing_runs_before_it_is_observed():
    pb.synchronize()
    x = pb.tensor([1.0, 2.0])
    y = x * 2 + 1
    assert y._peek().buffer is None
    assert y.numpy().tolist() == [3.0, 5.0]
    assert y._peek().buffer is not None


def test_the_same_structure_records_no_new_states():
    x = pb.tensor(np.arange(4.0))
    for k in range(3):
        y = ((x * (k + 0.5)) + 1).sum()
        assert y.item() == pytest.approx(6 * (k + 0.5) + 4)
        if k == 0:
            before = State.total
    assert State.total == before


def test_values_nobody_holds_are_not_computed():
    x = pb.tensor([1.0])
    pb.synchronize()
    y = x + 1
    z = y * 2
    del y
    z.numpy()
    programs = list(local.trace.state.programs)
    assert programs == []


def test_scalars_are_inputs_not_constants():
    x = pb.tensor([2.0])
    a = [(x * float(k)).item() for k in range(5)]
    assert a == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_in_place_keeps_identity_and_old_values():
    x = pb.tensor([1.0, 2.0])
    y = x + 0
    old = x
    x += 10
    assert x is old
    assert x.tolist() == [11.0, 12.0]
    assert y.tolist() == [1.0, 2.0]


def test_views_write_through():
    x = pb.zeros((3, 2))
    x[:, 0] += 1
    v = x[1]
    v += 5
    x.T[1] = 7
    assert x.tolist() == [[1.0, 7.0], [6.0, 7.0], [1.0, 7.0]]
    assert v.tolist() == [6.0, 7.0]


def test_mask_and_index_assignment():
    x = pb.tensor([-1.0, 2.0, -3.0])
    x[x < 0] = 0
    assert x.tolist() == [0.0, 2.0, 0.0]
    x[[0, 2]] = pb.tensor([5.0, 6.0])
    assert x.tolist() == [5.0, 2.0, 6.0]


def test_views_write_through_under_jit():
    @pb.jit
    def f(x):
        y = x * 1
        y[:, 0] += 1
        y.T[1] = 3
        return y

    assert f(pb.zeros((2, 2))).tolist() == [[1.0, 3.0], [1.0, 3.0]]


def test_jit_changes_its_arguments_as_the_function_does():
    def update(p, x, rate):
        p -= rate * x
        p[0] = 7.0
        return p.sum()

    eager, jitted, step = pb.ones(3), pb.ones(3), pb.jit(update)
    base = pb.zeros((2, 3))
    for rate in (0.5, 0.25):
        assert update(eager, pb.ones(3), rate).item() == step(jitted, pb.ones(3), rate).item()
        assert eager.tolist() == jitted.tolist()
    step(base[1], pb.ones(3), 1.0)
    assert base.tolist() == [[0.0, 0.0, 0.0], [7.0, -1.0, -1.0]]
    with pytest.raises(ArgumentError, match="given twice"):
        step(jitted, jitted, 1.0)


def test_jit_writes_its_arguments_in_place():
    @pb.jit
    def put(cache, place, row):
        cache[:, place] = row
        return cache.sum()

    cache = pb.zeros((4, 8, 3))
    put(cache, 0, pb.ones((4, 3)))
    addresses = set()
    for place in range(1, 6):
        assert put(cache, place, pb.ones((4, 3))).item() == 12.0 * (place + 1)
        addresses.add(cache._value.buffer.address)
    assert len(addresses) == 1  # of twelve numbers each was written, no copy made
    text = put.last.executables[frozenset((0,))].program.text("loops")
    assert "= p0[" not in text.split("set=")[0]
    with pytest.raises(IndexError, match="out of range"):
        put(cache, 8, pb.ones((4, 3))).item()


@pytest.mark.parametrize("captured", [False, True])
def test_jit_writes_over_nothing_that_somebody_holds(captured):
    x = pb.zeros((4, 8))

    def add(x, y):
        x.add_(y)
        return x.sum()

    step = pb.jit(lambda y: add(x, y)) if captured else partial(pb.jit(add), x)
    step(pb.ones((4, 8)))
    step(pb.ones((4, 8)))
    clone, array, view, same = x.clone(), x.numpy().copy(), x[1], x.detach()
    shared = x.numpy()
    step(pb.ones((4, 8)))
    step(pb.ones((4, 8)))
    assert (clone.numpy() == 2).all() and (array == 2).all() and (shared == 2).all()
    assert (x.numpy() == 4).all() and (view.numpy() == 4).all() and (same.numpy() == 4).all()


def test_jit_keeps_a_gradient_that_somebody_holds():
    w = pb.ones(5, requires_grad=True)
    (w * 1.0).sum().backward()  # what is there at first is added to
    step = pb.jit(lambda x: (w * x).sum().backward())
    step(pb.ones(5))
    held = w.grad
    kept = held.clone()
    step(pb.ones(5))
    step(pb.ones(5))
    assert kept.tolist() == [2.0] * 5 and w.grad.tolist() == [4.0] * 5
    assert held.tolist() in ([2.0] * 5, [4.0] * 5)


def test_backward_accumulates_and_in_place_cannot_corrupt():
    w = pb.tensor([2.0, 3.0], requires_grad=True)
    h = w * w
    loss = h.sum()
    h += 100
    loss.backward()
    assert w.grad.tolist() == [4.0, 6.0]
    (w * 3).sum().backward()
    assert w.grad.tolist() == [7.0, 9.0]


def test_backward_after_observation_crosses_launches():
    w = pb.tensor([0.5, 1.5], requires_grad=True)
    h = (w * 3).tanh()
    assert h.numpy() is not None
    y = (h * h).sum()
    assert y.item() > 0
    y.backward()
    t = np.tanh(3 * np.array([0.5, 1.5]))
    # 1 - t*t cancels in float32: an absolute bound of its rounding
    np.testing.assert_allclose(w.grad.numpy(), 2 * t * (1 - t * t) * 3, atol=1e-6)


def test_backward_twice_needs_retain_graph():
    w = pb.tensor(2.0, requires_grad=True)
    y = w * w
    y.backward(retain_graph=True)
    y.backward()
    assert w.grad.item() == 8.0
    with pytest.raises(GradientError, match="freed"):
        y.backward()


def test_create_graph_gives_second_derivatives():
    w = pb.tensor(3.0, requires_grad=True)
    y = w * w * w
    y.backward(create_graph=True)
    g = w.grad
    w.grad = None
    g.backward()
    assert w.grad.item() == pytest.approx(18.0)


def test_no_grad_and_detach():
    w = pb.tensor([1.0], requires_grad=True)
    with pb.no_grad():
        assert not (w * 2).requires_grad
    assert not w.detach().requires_grad
    assert (w * 2).requires_grad
    with pytest.raises(GradientError, match="no_grad"):
        w += 1


def test_training_loop_without_reading_the_loss_has_constant_memory():
    from pullback.runtime import memory

    w = pb.tensor(np.ones((50, 50), np.float32), requires_grad=True)
    x = pb.tensor(np.ones((20, 50), np.float32))
    live = []
    for _ in range(30):
        loss = ((x @ w) ** 2).mean()
        loss.backward()
        with pb.no_grad():
            w -= w.grad * 1e-3
            w.grad = None
        gc.collect()
        live.append((memory.live_bytes(), len(local.trace.values)))
    pb.synchronize()
    assert max(live[5:]) == min(live[5:])


def test_functional_loop_without_reading_has_constant_memory():
    from pullback.runtime import memory

    w = pb.tensor(np.ones((50, 50), np.float32))
    x = pb.tensor(np.ones((20, 50), np.float32))
    step = pb.value_and_grad(lambda w: ((x @ w) ** 2).mean())
    live = []
    for _ in range(30):
        _, g = step(w)
        w = w - g * 1e-3
        execute.wait_oldest(0)
        live.append((memory.live_bytes(), len(local.trace.values)))
    pb.synchronize()
    assert max(live[5:]) == min(live[5:])


def test_a_long_trace_is_launched_by_size():
    x = pb.tensor(1.0)
    for _ in range(5000):
        x = x + 1
    assert len(local.trace.values) < 3000
    assert x.item() == 5001.0


def test_threads_record_on_their_own():
    errors = []

    def work(seed):
        try:
            a = pb.tensor(np.full(100, seed, np.float32))
            for _ in range(50):
                assert ((a * 2 + seed).sum()).item() == 300 * seed
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


def test_a_value_of_another_thread_is_usable():
    x = pb.tensor([1.0]) * 2
    found = []
    t = threading.Thread(target=lambda: found.append((x + 1).item()))
    t.start()
    t.join()
    assert found == [3.0]


def test_traced_values_are_not_concrete():
    with pytest.raises(ConcretizationError, match="help"):
        pb.jit(lambda x: x if x > 0 else -x)(pb.tensor(1.0))


def test_traced_values_do_not_leak():
    kept = []
    pb.jit(lambda x: kept.append(x) or x)(pb.tensor(1.0))
    with pytest.raises(TracerLeakError, match="help"):
        kept[0] + 1


def test_python_control_flow_inside_grad():
    f = pb.grad(lambda x: x * x if x > 0 else -x)
    assert f(3.0).item() == 6.0
    assert f(-3.0).item() == -1.0


def test_shape_error_leaves_the_trace_usable():
    x = pb.ones((2, 3))
    y = x + 1
    with pytest.raises(ValueError, match="broadcast"):
        y + pb.ones((4,))
    assert (y * 2).sum().item() == 24.0


def test_synchronize_waits_for_everything():
    x = pb.ones((300, 300))
    y = x @ x
    execute.synchronize()
    assert y._peek().buffer is not None
    assert y[0, 0].item() == 300.0


def test_a_loop_that_nobody_observes_is_launched_every_few_turns():
    x = pb.tensor(np.full((4, 4), 0.1, np.float32))
    for _ in range(200):
        x = (x @ x).tanh() + 0.01
        assert len(local.trace.values) < 200
    assert 0 < x.mean().item() < 1


def test_an_error_shows_the_line_that_caused_it_and_little_else() -> None:
    with pytest.raises(ShapeError) as caught:
        _ = pb.ones((2, 3)) @ pb.ones((4, 5))
    files = [str(entry.path) for entry in caught.traceback]
    assert files[0] == __file__ and len(files) <= 4

    def inner(x: object) -> object:
        return x @ pb.ones((4, 5))  # type: ignore[operator]

    with pytest.raises(ShapeError) as caught:
        pb.jit(pb.grad(inner))(pb.ones((2, 3)))
    assert [entry.name for entry in caught.traceback if str(entry.path) == __file__][-1] == "inner"


def test_a_tensor_is_no_static_argument() -> None:
    """What is part of a program is a number."""
    with pytest.raises(ArgumentError, match=r"elu: alpha.*no tensor"):
        pb.nn.functional.elu(pb.ones(3), pb.tensor(1.0))
    np.testing.assert_array_equal((pb.ones(3) + 1).numpy(), 2)
