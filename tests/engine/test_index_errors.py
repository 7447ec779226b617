"""Indices out of range that are known only when the program runs: an error at the next observation, with the line."""

import inspect
import threading

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.engine import execute, trace
from pullback.util import config
from pullback.util.errors import IndexError_

TABLE = np.arange(1.0, 5.0, dtype=np.float32)
PREFIX = r": an index is out of range   \(made at \S*test_index_errors\.py:"


@pytest.fixture(autouse=True)
def _structures_of_its_own():
    """Of equal structures the first names its line: no test sees those of another."""
    trace.reset_table()


def refused(call, function, text, operator="gather"):
    """Check that a call is refused and names the line of a function's source that holds a text."""
    lines, first = inspect.getsourcelines(function)
    number = first + next(k for k, line in enumerate(lines) if text in line)
    with pytest.raises(IndexError_, match=rf"^{operator}{PREFIX}{number}\)\n"):
        call()


COUNTED = [
    lambda i: nn.CrossEntropyLoss()(pb.ones((2, 4)), i),
    lambda i: nn.Embedding(4, 2)(i).sum(),
    lambda i: nn.EmbeddingBag(4, 2)(i, pb.tensor([0])).sum(),
    lambda i: nn.MultiMarginLoss()(pb.ones((2, 4)), i),
    lambda i: nn.MaxUnpool1d(2)(pb.ones((1, 1, 2)), i.reshape(1, 1, 2)).sum(),
    lambda i: nn.CTCLoss()(pb.ones((3, 2, 4)), pb.ones((2, 1), dtype="int64"), i, [1, 1]),
]


@pytest.mark.parametrize(("operator", "call"), [
    ("gather", lambda i: pb.take(pb.arange(4), i, axis=0).sum()),
    ("gather", lambda i: pb.arange(4)[i].sum()),
    ("cross_entropy", COUNTED[0]),
    ("embedding", COUNTED[1]),
    ("embedding_bag", COUNTED[2]),
    ("multi_margin_loss", COUNTED[3]),
    ("max_unpool1d", COUNTED[4]),
    ("ctc_loss: input_lengths", COUNTED[5]),
    ("take_along", lambda i: pb.take_along_axis(pb.arange(4), i, axis=0).sum()),
    ("scatter", lambda i: pb.index_add(pb.zeros(4), 0, i, pb.ones(2)).sum()),
])
@pytest.mark.parametrize("reference", [False, True])
def test_an_index_in_a_tensor(operator, call, reference):
    with config.override(reference=reference):
        for _ in range(2):
            call(pb.tensor([0, 3])).item()
            refused(lambda: call(pb.tensor([0, 4])).item(), call, "lambda i", operator)
            refused(lambda: call(pb.tensor([-5, 0])).item(), call, "lambda i", operator)
            if call in COUNTED:  # classes, tokens and lengths do not count from the end
                refused(lambda: call(pb.tensor([-1, 0])).item(), call, "lambda i", operator)
            else:
                call(pb.tensor([-4, 3])).item()


def test_under_jit_and_for_gradients():
    def loss(t, i):
        picked = pb.take(t, i, axis=0)
        return (picked * picked).sum()

    table = pb.tensor(np.ones((4, 2), np.float32))
    for f in (pb.jit(pb.value_and_grad(loss)), pb.value_and_grad(pb.jit(loss)), pb.value_and_grad(loss)):
        value, _ = f(table, pb.tensor([1, 2]))
        assert value.item() == 4.0
        refused(lambda f=f: f(table, pb.tensor([1, 9]))[0].item(), loss, "pb.take")
        assert f(table, pb.tensor([1, 3]))[0].item() == 4.0


def test_in_a_gradient_alone():
    def loss(t, i):
        return pb.take(t, i, axis=0).sum()

    table = pb.tensor(TABLE)
    np.testing.assert_array_equal(pb.grad(loss)(table, pb.tensor([1, 1])).numpy(), [0, 2, 0, 0])
    refused(lambda: pb.grad(loss)(table, pb.tensor([1, 4])).numpy(), loss, "pb.take", "scatter")


def test_backward_names_the_line_of_the_forward():
    def loss(t, i):
        return t[i].sum()

    t = pb.tensor(TABLE)
    t.requires_grad = True
    loss(t, pb.tensor([1, 4])).backward()
    refused(lambda: t.grad.numpy(), loss, "t[i]", "scatter")


def test_batched():
    def pick(i):
        return pb.tensor(TABLE)[i]

    np.testing.assert_array_equal(pb.vmap(pick)(pb.tensor([3, -4])).numpy(), [4, 1])
    refused(lambda: pb.vmap(pick)(pb.tensor([3, 4])).numpy(), pick, "[i]")


def test_a_part_of_the_same_places_is_reported_once():
    """What reads and writes at the same places is one check: the derivative's update adds none."""
    from pullback.ir.node import Function, TensorType, param
    from pullback.ops import build as b
    from pullback.passes.checks import with_checks

    x, i = param(TensorType.of((4,), pb.float32)), param(TensorType.of((2,), pb.int32))
    read = b.gather(x, i, 0, "error")
    written = b.scatter(x, i, read, 0, "add", "error")
    assert with_checks(Function([x, i], [read, written]))[1] == (read,)


# -- inside loops and branches -----------------------------------------------------------------------------------------


def summed(places):
    return pb.scan(lambda total, i: (total + pb.tensor(TABLE)[i], total), 0.0, places)


def chosen(flag, i):
    x = pb.tensor(TABLE)
    return pb.cond(flag,
                   lambda i: x[i],
                   lambda i: x[0] + i, i)


def walked(step, limit=4):
    x = pb.tensor(TABLE)
    return pb.while_loop(lambda s: s[0] < limit,
                         lambda s: (s[0] + 1, s[1] + x[s[0] * step]), (0, 0.0))[1]


def searched(x):
    return pb.while_loop(lambda i: x[i] >= 0,  # never false where reading outside gives 0
                         lambda i: i + 1, 0)


@pytest.mark.parametrize("wrap", [lambda f: f, pb.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("reference", [False, True])
def test_in_loops_and_branches(wrap, reference):
    four = pb.tensor(4)
    with config.override(reference=reference):
        scan = wrap(summed)
        assert scan(pb.tensor([0, 3, -1]))[0].item() == 9.0
        for k in (0, 1):  # the carry, and the history
            refused(lambda k=k: scan(pb.tensor([0, 7, -1]))[k].numpy(), summed, "[i]")
        choose = wrap(chosen)
        assert choose(pb.tensor(False), four).item() == 5.0  # the branch that would refuse does not run
        refused(lambda: choose(pb.tensor(True), four).item(), chosen, "x[i]")
        assert walked(1).item() == 10.0
        refused(lambda: walked(2).item(), walked, "x[s[0]")
        assert wrap(searched)(pb.tensor([1.0, 0.0, -1.0])).item() == 2
        refused(lambda: wrap(searched)(pb.tensor([1.0, 0.0])).item(), searched, "x[i] >= 0")


def test_gradients_of_loops():
    def loss(x, places):
        return pb.scan(lambda c, i: (c * x[i], None), 1.0, places)[0]

    found = pb.grad(loss)(pb.tensor(TABLE), pb.tensor([1, 2])).numpy()
    np.testing.assert_array_equal(found, [0, 3, 2, 0])
    with pytest.raises(IndexError_, match=r"made at \S*test_index_errors"):
        pb.grad(loss)(pb.tensor(TABLE), pb.tensor([1, 6])).numpy()


def test_loops_in_loops():
    def outer(rows):
        x = pb.tensor(TABLE)

        def inner(total, i):
            return total + pb.cond(i > 0, lambda i: x[i], lambda i: x[0], i), None

        return pb.scan(lambda c, row: (pb.scan(inner, c, row)[0], None), 0.0, rows)[0]

    assert outer(pb.tensor([[1, 2], [-9, 3]])).item() == 10.0
    refused(lambda: outer(pb.tensor([[1, 2], [9, 3]])).item(), outer, "x[i]")


def test_batched_branches_and_loops_refuse_only_what_runs():
    """Batched, both branches run for all, and a loop runs for those that have ended: that is no error of theirs."""
    x = pb.tensor(TABLE)
    pick = pb.vmap(lambda i: pb.cond(i < 4, lambda i: x[i], lambda i: pb.zeros(()), i))
    np.testing.assert_array_equal(pick(pb.tensor([1, 300])).numpy(), [2, 0])
    with pytest.raises(IndexError_, match="out of range"):
        pick(pb.tensor([1, -5])).numpy()

    def total(n):
        def turn(s):
            i, found = s
            return i + 1, pb.scan(lambda c, k: (c + x[k], None), found, (i * pb.ones(1, dtype=pb.int32)))[0]

        return pb.while_loop(lambda s: s[0] < n, turn, (0, 0.0))[1]

    np.testing.assert_array_equal(pb.vmap(total)(pb.tensor([4, 1, 0])).numpy(), [10, 1, 0])
    with pytest.raises(IndexError_, match="out of range"):
        pb.vmap(total)(pb.tensor([4, 5])).numpy()


def test_no_turns_are_no_error():
    assert pb.scan(lambda c, i: (c + pb.tensor(TABLE)[i], None), 0.0, pb.zeros(0, dtype=pb.int32))[0].item() == 0.0


# -- narrow indices, threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [False, True])
def test_narrow_indices_count_from_the_end(reference):
    with config.override(reference=reference):
        x = pb.arange(200)
        places = pb.tensor(np.array([-1, 5, -128], np.int8))
        np.testing.assert_array_equal(pb.take(x, places, axis=0).numpy(), [199, 5, 72])
        y = pb.zeros(200)
        y[places] = 1.0
        assert np.flatnonzero(y.numpy()).tolist() == [5, 72, 199]


def test_reports_belong_to_their_run():
    """Programs run from several threads at once: each bad run is reported, no good one is."""
    f = pb.jit(lambda i: pb.tensor(TABLE)[i].sum())
    f(pb.tensor([0])).item()
    lock, caught = threading.Lock(), []

    def work(place):
        for _ in range(50):
            with lock:  # observing raises whatever was reported last, in whatever thread
                try:
                    f(pb.tensor([place])).item()
                    caught.append((place, False))
                except IndexError_:
                    caught.append((place, True))

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(set(caught)) == [(0, False), (9, True)]
    assert len(caught) == 100


def test_long_programs_report_after_they_were_queued():
    x = pb.ones((600, 600))
    f = pb.jit(lambda x, i: ((x @ x @ x)[i] @ x).sum())
    assert f(x, pb.tensor([1])).item() > 0
    f(x, pb.tensor([600]))
    with pytest.raises(IndexError_, match="out of range"):
        f(x, pb.tensor([1])).item()
    assert f(x, pb.tensor([1])).item() > 0


def step_of(layers: nn.Module, update: pb.optim.Optimizer):
    """A training step on class indices."""
    def step(x: pb.Tensor, y: pb.Tensor) -> pb.Tensor:
        update.zero_grad()
        loss = nn.functional.cross_entropy(layers(x), y)
        loss.backward()
        update.step()
        return loss

    return step


def test_short_programs_with_indices_are_launched_as_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that was run before is launched again without looking for its plan, and says what it refuses then too."""
    layer = nn.Linear(8, 3)
    update = pb.optim.SGD(layer.parameters(), 0.5)
    x, good, bad = pb.ones((4, 8)), pb.tensor([0, 1, 2, 2]), pb.tensor([0, 1, 9, 2])

    step = step_of(layer, update)
    picked = pb.jit(lambda x, y: (x[y] * 2).sum())
    for _ in range(4):
        step(x, good).item(), picked(x, good).item()
    monkeypatch.setattr(execute, "launch", lambda *_: pytest.fail("the long way"))
    for _ in range(3):
        losses = [step(x, good).item() for _ in range(2)]
        assert losses[1] < losses[0]
        before = layer.weight.numpy().copy()
        with pytest.raises(IndexError_, match="out of range"):
            step(x, bad).item()
        np.testing.assert_array_equal(layer.weight.numpy(), before)
        assert picked(x, good).item() == 64
        with pytest.raises(IndexError_, match="out of range"):
            picked(x, bad).item()


#: one whose weights are all updated where they lie, one whose second weight is also read by the kernel that updates
#: it, out of step, and one with state besides
NETWORKS = {
    "layer": lambda: nn.Sequential(nn.Linear(8, 3)),
    "layers": lambda: nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3)),
    "convolutions": lambda: nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4), nn.ReLU(),
                                          nn.Flatten(), nn.Linear(4, 3)),
}
OPTIMIZERS = {
    "sgd": lambda p: pb.optim.SGD(p, 0.5, momentum=0.9), "adam": lambda p: pb.optim.Adam(p, 0.1, amsgrad=True),
    "rmsprop": lambda p: pb.optim.RMSprop(p, 0.01),
}


def state_of(network: nn.Module, optimizer: pb.optim.Optimizer) -> list[np.ndarray]:
    """Everything that a step changes, but for what merely counts."""
    kept = [t.numpy().copy() for t in network.state_dict().values() if t.ndim]
    states = optimizer.state_dict()["state"].values()
    return kept + [s.numpy().copy() for state in states for s in state.values() if getattr(s, "ndim", 0)]


def train(network: str, optimizer: str, bad: set[int], look: bool, wrap=lambda f: f) -> list[list[np.ndarray]]:
    """What there is after each of six steps, of which some have a target that is out of range."""
    pb.manual_seed(0)
    layers = NETWORKS[network]()
    update = OPTIMIZERS[optimizer](layers.parameters())
    found: list[list[np.ndarray]] = []

    step = wrap(step_of(layers, update))
    for n in range(6):
        loss = step(pb.arange(32.0).reshape((4, 8)) / 32, pb.tensor([0, 5 if n in bad else 1, 2, 2]))
        if look and n in bad:
            with pytest.raises(IndexError):
                loss.item()
            for gone in (loss, layers.get_parameter("0.weight").grad if network != "convolutions" else loss, loss * 2):
                with pytest.raises(IndexError):
                    gone.numpy()
        if look:
            found.append(state_of(layers, update))
    if not look:
        with pytest.raises(IndexError):
            pb.synchronize()
        found.append(state_of(layers, update))
    return found


@pytest.mark.parametrize("wrap", [lambda f: f, pb.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_refused_step_changes_nothing(network: str, optimizer: str, wrap) -> None:
    """A program ends before it writes over its inputs; what it would have given raises again, also from what was made
    of it. Tensors that it would have changed are as before, wherever their new values would have been."""
    found = train(network, optimizer, {0, 3}, True, wrap)
    for before, after in zip(found[2], found[3], strict=True):
        np.testing.assert_array_equal(before, after)
    for k in (1, 2, 4, 5):
        assert any((a != b).any() for a, b in zip(found[k - 1], found[k], strict=False))
    unseen = train(network, optimizer, {0, 3}, False, wrap)
    for seen, last in zip(found[-1], unseen[-1], strict=True):
        np.testing.assert_array_equal(seen, last)


@pytest.mark.parametrize("wrap", [lambda f: f, pb.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", [nn.functional.binary_cross_entropy,
                                  lambda x, y: nn.functional.gaussian_nll_loss(x * 0, y, x)], ids=["bce", "nll"])
def test_a_step_refused_when_its_update_could_run_changes_nothing(loss, optimizer: str, wrap) -> None:
    """What is refused is computed of the weights: no sooner is it known than their gradients are."""
    w = pb.full((5,), 0.5, requires_grad=True)
    update, y = OPTIMIZERS[optimizer]([w]), pb.full((5,), 0.5)

    @wrap
    def step(scale: pb.Tensor) -> pb.Tensor:
        update.zero_grad()
        value = loss(w * scale, y)
        value.backward()
        update.step()
        return value

    for bad in (True, False, True, False):
        before = w.numpy().copy()
        if bad:
            with pytest.raises(ValueError, match=r"must lie between|has negative entries"):
                step(pb.full((5,), -50.0)).item()
        else:
            step(pb.full((5,), 0.25)).item()
        assert (w.numpy() == before).all() == bad


@pytest.mark.parametrize("size", [8, 200_000])
def test_a_refused_result_in_the_memory_of_another_argument(size: int) -> None:
    """It is none, and not what lay there."""
    f = pb.jit(lambda a, i, x: (x[i].sum(), pb.tanh(a) * (x[i] * x[i]).sum()), donate_argnums=(0,))
    x = pb.ones(10)
    for _ in range(2):
        assert f(pb.zeros(size), pb.tensor([1, 3]), x)[1].sum().item() == 0
        results = f(pb.zeros(size), pb.tensor([1, 30]), x)
        for result in (*results, *results):
            with pytest.raises(IndexError):
                result.numpy()


@pytest.mark.parametrize("reference", [False, True])
def test_what_replaces_a_tensor_in_one_run_may_be_a_new_one_in_another(reference: bool) -> None:
    """Equal operations: one writes into a tensor, which keeps what it had, the other makes a tensor, which has
    nothing."""
    def update(i: pb.Tensor) -> pb.Tensor:
        return (w * 2 + pb.take(pb.arange(4.0), i, axis=0)).sum() + w

    with config.override(reference=reference):
        for written in (True, False, True, False):
            w = pb.ones(3) + 0
            pb.synchronize()
            if written:
                w.copy_(update(pb.tensor([9, 1, 1])))
                made = w
            else:
                made = update(pb.tensor([9, 1, 1])) + 0
            with pytest.raises(IndexError):
                pb.synchronize()
            if written:
                np.testing.assert_array_equal(w.numpy(), 1)
            else:
                with pytest.raises(IndexError):
                    made.numpy()


def test_a_refused_call_of_a_jitted_function() -> None:
    @pb.jit
    def step(p: pb.Tensor, i: pb.Tensor) -> pb.Tensor:
        return p - pb.grad(lambda p: (pb.take(p, i, axis=0) ** 2).sum())(p)

    p = pb.ones(5, 3)
    refused = step(p, pb.tensor([9]))
    for _ in range(2):
        with pytest.raises(IndexError):
            refused.numpy()
    with pytest.raises(IndexError):
        step(refused, pb.tensor([1])).numpy()
    assert step(p, pb.tensor([1])).numpy().sum() == 9


def test_a_refused_first_step_leaves_first_values() -> None:
    """Weights that were recorded and never looked at, and what has nothing to do with the index."""
    pb.manual_seed(0)
    layer, other = pb.nn.Linear(2, 3), pb.ones(3) * 2
    optimizer = pb.optim.SGD(layer.parameters(), 1.0)
    for target in (5, 1):
        loss = pb.nn.functional.cross_entropy(layer(pb.ones(2, 2)) + other, pb.tensor([0, target]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if target == 5:
            with pytest.raises(IndexError):
                loss.item()
    pb.manual_seed(0)
    fresh = pb.nn.Linear(2, 3)
    expected = pb.nn.functional.cross_entropy(fresh(pb.ones(2, 2)) + 2, pb.tensor([0, 1]))
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-6)
    np.testing.assert_array_equal(other.numpy(), [2, 2, 2])


def test_what_is_valid_and_who_asked():
    """The user's own function is named, backwards too, with the indices there are."""
    logits, labels = pb.ones((2, 3)), pb.tensor([0, 3])
    with pytest.raises(IndexError_, match=r"^nll_loss: an index .*\n(.*\n)+ *valid +0 to 2\n"):
        nn.functional.nll_loss(logits, labels).item()
    with pytest.raises(IndexError_, match=r"^cross_entropy: .*\n(.*\n)+ *valid +0 to 2\n"):
        nn.functional.cross_entropy(logits, labels, label_smoothing=0.1).item()
    with pytest.raises(IndexError_, match=r"^gather: .*\n(.*\n)+ *valid +-4 to 3\n"):
        pb.take(pb.arange(4), pb.tensor([4]), axis=0).sum().item()
    weight = pb.nn.Parameter(pb.ones((3, 2)))
    nn.functional.embedding(pb.tensor([4]), weight).sum().backward()
    with pytest.raises(IndexError_, match=r"^embedding: "):
        weight.grad.sum().item()
