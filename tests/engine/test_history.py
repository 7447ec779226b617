"""What has a history and what has not: gradients never flow through what was computed without them."""

import copy
import gc
from collections.abc import Iterator

import numpy as np
import pytest

import pullback as pb
from pullback.engine import programs
from pullback.engine import trace as tracing
from pullback.engine.autograd import gradients
from pullback.runtime import memory


def _gradient(function, values=(1.0, 2.0)):
    """The gradient of a function's sum at a leaf, eagerly recorded; twice, so that the known path is taken too."""
    found = []
    for _ in range(3):
        w = pb.tensor(list(values), requires_grad=True)
        function(w).sum().backward()
        found.append(w.grad.tolist())
    assert found[0] == found[1] == found[2]
    return found[0]


def test_a_result_made_under_no_grad_is_a_constant():
    def loss(w):
        h = w * 2
        with pb.no_grad():
            z = h * 3
        assert not z.requires_grad
        return z * w

    assert _gradient(loss) == [6.0, 12.0]


def test_a_parameter_read_under_no_grad_is_a_constant():
    def before(w):
        with pb.no_grad():
            z = w * 3
        return z * w

    def after(w):
        y = w * w
        with pb.no_grad():
            z = w * 3
        return z * y

    assert _gradient(before) == [3.0, 6.0]
    assert _gradient(after) == [6.0, 24.0]


def test_what_was_gathered_without_history_can_be_differentiated_later():
    def loss(w):
        h = w * w
        h.sum().item()  # launched: h is a value of an earlier program now
        with pb.no_grad():
            z = h + 1
        return z * h

    assert _gradient(loss) == [4.0, 20.0]


def test_a_gradient_is_a_constant_unless_a_graph_of_it_was_made():
    w = pb.tensor([1.0, 2.0], requires_grad=True)
    (w ** 2).sum().backward()
    gradient = w.grad
    w.grad = None
    (gradient * w).sum().backward()
    assert w.grad.tolist() == [2.0, 4.0]


def test_another_handle_on_the_same_values_has_no_history():
    def loss(w):
        other = copy.copy(w.detach())
        return w * other + w

    assert _gradient(loss) == [2.0, 3.0]


def test_operands_that_are_the_same_leaf():
    assert _gradient(lambda w: w * w) == [2.0, 4.0]
    x = pb.tensor([3.0, 4.0])
    for _ in range(2):
        assert (x * x).tolist() == [9.0, 16.0]
        assert (x - x).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("observe", [True, False])
def test_steps_in_place_follow_numpy(observe):
    x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    y = np.ones(8, np.float32)
    a = np.zeros(3, np.float32)
    w = pb.zeros(3).requires_grad_(True)
    held = w.detach().clone()
    for _ in range(12):
        e = x @ a - y
        loss = ((pb.tensor(x) @ w - pb.tensor(y)) ** 2).mean()
        loss.backward()
        with pb.no_grad():
            w.sub_(0.1 * w.grad)
            w.grad.zero_()
        a = a - 0.1 * (x.T @ (2 * e / 8))
        if observe:
            np.testing.assert_allclose(loss.item(), np.square(e).mean(), rtol=1e-5)
    np.testing.assert_allclose(w.numpy(), a, rtol=1e-5)
    assert held.tolist() == [0.0, 0.0, 0.0]


def test_memory_that_somebody_else_reads_is_not_written_over():
    w = pb.tensor([1.0, 2.0], requires_grad=True)
    olds = []
    for _ in range(5):
        olds.append(copy.copy(w.detach()))
        (w * w).sum().backward()
        with pb.no_grad():
            w -= 0.25 * w.grad
            w.grad = None
        pb.synchronize()
    np.testing.assert_allclose([o.numpy() for o in olds], [[0.5 ** k, 2 * 0.5 ** k] for k in range(5)])


def _programs_of_a_loop(hold, monkeypatch):
    """How many programs six steps of gradient descent make, from a clone that somebody else holds; and the losses."""
    made = []
    original = programs.Executable.__init__

    def counted(self, function, immediates, donated, *rest):
        made.append(donated)
        original(self, function, immediates, donated, *rest)

    monkeypatch.setattr(programs.Executable, "__init__", counted)
    pb.synchronize()
    tracing.reset_table()
    tracing.thread.context.trace = tracing.Trace()
    first = pb.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
    x = pb.tensor(np.ones((5, 3), np.float32))
    w = first.clone().requires_grad_(True)
    held, losses = [], []
    for _ in range(6):
        if hold:
            held.append(copy.copy(w))
        loss = ((x @ w - 1.0) ** 2).mean()
        loss.backward()
        with pb.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
        losses.append(loss.item())
    made_here = len(made)
    np.testing.assert_array_equal(first.numpy(), np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
    expected, a = [], np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    for k in range(6):
        if hold:
            np.testing.assert_allclose(held[k].numpy(), a, rtol=1e-5, atol=1e-6)
        e = np.ones((5, 3), np.float32) @ a - 1
        expected.append(np.square(e).mean())
        a = a - 0.1 * (np.ones((3, 5), np.float32) @ (2 * e / e.size))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    return made_here


def test_one_program_serves_the_first_step_and_all_others(monkeypatch):
    assert _programs_of_a_loop(False, monkeypatch) == 1


def test_values_held_at_each_step_stay_and_cost_one_more_program(monkeypatch):
    assert _programs_of_a_loop(True, monkeypatch) == 2


def test_a_clone_is_a_tensor_of_its_own():
    x = pb.tensor([1.0, 2.0])
    y = x.clone()
    y += 1
    assert x.tolist() == [1.0, 2.0] and y.tolist() == [2.0, 3.0]
    w = pb.tensor([1.0, 2.0], requires_grad=True)
    h = (w * w).clone()
    (h * 3).sum().backward()
    assert w.grad.tolist() == [6.0, 12.0]


def test_a_hook_that_reads_its_gradient_launches_half_way():
    """Each step launches the trace between two gradients; both are right, accumulated over known steps."""
    u, v = (pb.tensor(x, requires_grad=True) for x in ([1.0, 2.0], [3.0, 4.0]))
    seen = []
    u.register_hook(lambda g: seen.append(g.tolist()))
    for k in range(1, 5):
        (u * v).sum().backward()
        assert (u.grad.tolist(), v.grad.tolist()) == ([3.0 * k, 4.0 * k], [1.0 * k, 2.0 * k])
    assert seen == [[3.0, 4.0]] * 4


def test_leaves_that_are_equal_have_gradients_of_their_own() -> None:
    """Two tensors of ones are one node before they are computed, and yet two leaves."""
    for _ in range(3):
        x, y, z = (pb.ones(3).requires_grad_() for _ in range(3))
        (2 * x * x + y).sum().backward()
        assert x.grad.tolist() == [4.0, 4.0, 4.0]
        assert y.grad.tolist() == [1.0, 1.0, 1.0]
        assert z.grad is None


def test_a_view_may_be_made_a_leaf() -> None:
    """`x.detach().requires_grad_()` shares x's elements and has gradients of its own, also after x was changed."""
    x = pb.tensor([1.0, 2.0, 3.0, 4.0]).requires_grad_()
    for made in (lambda: x.detach(), lambda: (x * 1).detach(), lambda: pb.tensor([1.0, 2.0, 3.0, 4.0]).reshape(2, 2),
                 lambda: pb.tensor([[0.0] * 4, [1.0, 2.0, 3.0, 4.0]])[1]):
        for _ in range(3):
            leaf = made().requires_grad_()
            assert leaf.is_leaf
            (leaf * leaf).sum().backward()
            assert leaf.grad.reshape(4).tolist() == [2.0, 4.0, 6.0, 8.0]
    assert x.grad is None
    leaf = x.detach().requires_grad_()
    for turn in range(3):
        (leaf * leaf + x).sum().backward()
        assert leaf.grad.tolist() == [2.0 * v for v in x.tolist()] and x.grad.tolist() == [1.0] * 4, turn
        leaf.grad = x.grad = None
        with pb.no_grad():
            leaf += 1.0
        assert x.tolist() == [2.0 + turn, 3.0 + turn, 4.0 + turn, 5.0 + turn]


def _programs_of_a_loop_that_waits_seldom(train, monkeypatch):
    """How many programs a loop makes whose first three steps are waited for and whose others are queued, and w."""
    made = []
    original = programs.Executable.__init__

    def counted(self, function, immediates, donated, *rest):
        made.append(donated)
        original(self, function, immediates, donated, *rest)

    pb.synchronize()
    with monkeypatch.context() as patch:
        patch.setattr(programs.Executable, "__init__", counted)
        patch.setattr(programs, "INLINE_SECONDS", 0.0)
        for k in range(9):
            train()
            if k < 3:
                pb.synchronize()
        pb.synchronize()
    return len(made)


def test_a_step_that_follows_one_in_flight_runs_the_program_of_one_that_was_waited_for(monkeypatch):
    a = np.random.default_rng(0).standard_normal((600, 600)).astype(np.float32) / 30
    x, w = pb.tensor(a), pb.tensor(a, requires_grad=True)
    moment, held = pb.zeros((600, 600)), []
    count = 0

    def train():
        nonlocal moment, count, w
        (x @ w).sum().backward()
        with pb.no_grad():
            moment = moment * 0.5 + w.grad
            w -= 0.01 * moment
            w.grad = None
        held.append(copy.copy(w.detach()) if count == 7 else None)
        count += 1

    made = _programs_of_a_loop_that_waits_seldom(train, monkeypatch)
    expected, m, kept = a.copy(), np.zeros_like(a), None
    for k in range(9):
        m = m * 0.5 + x.numpy().sum(0)[:, None]
        expected = expected - 0.01 * m
        kept = expected if k == 7 else kept
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(held[7].numpy(), kept, rtol=1e-4, atol=1e-4)
    assert made == 2  # one of them for the step that follows one whose result is held


def test_a_jitted_step_that_follows_one_in_flight_runs_the_program_of_one_that_was_waited_for(monkeypatch):
    a = np.random.default_rng(0).standard_normal((600, 600)).astype(np.float32) / 30
    x, w = pb.tensor(a), pb.tensor(a, requires_grad=True)

    @pb.jit
    def train():
        (x @ w).sum().backward()
        with pb.no_grad():
            w.sub_(0.01 * w.grad)
        w.grad = None

    places = []
    made = _programs_of_a_loop_that_waits_seldom(
        lambda: (train(), places.append(w._peek().buffer.address)), monkeypatch)
    assert made <= 2
    assert len(set(places[3:])) == 1
    np.testing.assert_allclose(w.detach().numpy(), a - 0.09 * a.sum(0)[:, None], rtol=1e-4, atol=1e-4)


def test_results_take_the_memory_of_what_only_launches_under_way_hold(monkeypatch):
    a = np.random.default_rng(0).standard_normal((1000, 1000)).astype(np.float32) / 50
    step = pb.jit(lambda s, x: s @ x + 0.1)
    x, state = pb.tensor(a), pb.tensor(a)
    state = step(state, x)
    pb.synchronize()
    monkeypatch.setattr(programs, "INLINE_SECONDS", 0.0)
    places, held = [], {}
    for k in range(8):
        state = step(state, x)
        places.append(state._peek().buffer.address)
        if k == 3:
            held[k] = state
    pb.synchronize()
    assert len(set(places)) <= 4  # two in turn, one more while the first is held, and the argument of the first
    expected = a @ a + np.float32(0.1)
    for k in range(8):
        expected = expected @ a + np.float32(0.1)
        if k in held:
            np.testing.assert_allclose(held[k].numpy(), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(state.numpy(), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(x.numpy(), a)


def test_an_array_whose_memory_is_shared_is_never_taken_for_results(monkeypatch):
    a = np.random.default_rng(0).standard_normal((1000, 1000)).astype(np.float32) / 50
    step = pb.jit(lambda s, x: s @ x)
    x, first = pb.tensor(a), a.copy()
    state = step(pb.tensor(a), x)
    pb.synchronize()
    monkeypatch.setattr(programs, "INLINE_SECONDS", 0.0)
    state._value = tracing.Value(None, -1, state._peek().info, memory.Buffer.wrap(first))
    for _ in range(5):
        state = step(state, x)
    pb.synchronize()
    np.testing.assert_array_equal(first, a)


def test_programs_in_the_queue_share_their_workspace():
    small = programs.shared_workspace(1000)
    assert programs.shared_workspace(500) is small
    big = programs.shared_workspace(5000)
    assert big is not small
    assert programs.shared_workspace(1000) is big
    assert big.nbytes >= 5000


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without Python's collector of cycles: what lets its memory go then was in none."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("read", ["nothing", "loss", "state", "both"])
@pytest.mark.parametrize("way", ["backward", "grad", "hook"])
def test_a_state_detached_at_every_step_lets_its_past_go(way: str, read: str, no_collector: None) -> None:
    x, w = pb.ones(10_000), pb.ones(10_000, requires_grad=True)
    alive: list[int] = []
    for _ in range(90):
        w = w.detach().requires_grad_()
        loss = ((w * x) ** 2).sum()
        if way == "hook":
            loss.register_hook(lambda g: 1.0 * g)
        if way != "grad":
            loss.backward()
        gradient = gradients([loss], [w])[0] if way == "grad" else w.grad
        w = w - 0.01 * gradient  # with a history, which the next step does not want
        if read in ("loss", "both"):
            loss.item()
        if read in ("state", "both"):
            w.numpy()
        alive.append(memory.live_bytes())
    assert max(alive[50:]) <= max(alive[10:50])
    np.testing.assert_allclose(w.numpy(), 0.98 ** 90, rtol=1e-4)


@pytest.mark.parametrize("read", [False, True])
def test_what_was_made_for_one_step_is_gone_after_it(read: bool, no_collector: None) -> None:
    x, parts = pb.ones(10_000), []
    alive: list[int] = []
    for _ in range(90):
        parts = [pb.full(10_000, 2.0, requires_grad=True) for _ in range(3)]  # new leaves, as of a model made anew
        (parts[0] * parts[1] * x).sum().backward()
        with pb.no_grad():
            parts[0] -= 0.1 * parts[0].grad
        (parts[0] * parts[2]).sum().backward()
        if read:
            parts[2].grad.numpy()
        alive.append(memory.live_bytes())
    assert max(alive[50:]) <= max(alive[10:50])
    np.testing.assert_allclose(parts[2].grad.numpy(), 1.8, rtol=1e-6)


def _adversaries(between):
    """Gradients of a generator whose result was given to a critic without history first, as adversarial loops do."""
    pb.manual_seed(0)
    makes, judges = pb.nn.Linear(2, 2), pb.nn.Linear(2, 1)
    made = pb.tanh(makes(pb.ones((3, 2))))
    between(made)
    judges(made.detach()).mean().backward()
    between(made)
    (judges(made) ** 2).mean().backward()
    return makes.weight.grad.numpy(), judges.weight.grad.numpy()


def test_backward_leaves_alone_what_lies_behind_a_detached_value():
    together = _adversaries(lambda made: None)
    for found in (_adversaries(lambda made: pb.synchronize()), _adversaries(lambda made: made.sum().item())):
        for x, y in zip(found, together, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-6)


def test_backward_of_one_result_leaves_the_others_of_its_launch():
    x = pb.tensor([1.0, 2.0], requires_grad=True)
    y, z = pb.exp(x), pb.sin(x) * 3
    total, other = (y * y).sum(), (z * y.detach()).sum()
    pb.synchronize()
    total.backward()
    x.grad = None
    other.backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.cos([1.0, 2.0]) * np.exp([1.0, 2.0]), rtol=1e-6)
    with pytest.raises(pb.util.errors.GradientError, match="freed"):
        total.backward()


def test_a_leaf_that_is_a_view_of_pending_work_in_a_transform():
    def rounds(pending):
        w = pb.tensor([1.0, 2.0], requires_grad=True)
        for _ in range(3):
            found = pb.hessian(lambda v: (v**3).sum())(w)
            w = (w * 0.5).detach()
            if not pending:
                w.tolist()
            w.requires_grad = True
        return found.numpy()

    np.testing.assert_array_equal(rounds(True), rounds(False))
    np.testing.assert_allclose(rounds(True), np.diag([1.5, 3.0]))
