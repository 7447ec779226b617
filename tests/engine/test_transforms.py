"""grad, jvp, vjp, vmap, jit, scan, cond, while_loop, custom rules: values as in JAX, nested in any order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.util.errors import ArgumentError, DTypeError, GradientError, ShapeError, TracerLeakError


def close(a, b, rtol=1e-5):
    np.testing.assert_allclose(np.asarray(a), b, rtol=rtol, atol=1e-6)


def test_grad_of_polynomial_to_fourth_order():
    f = lambda x: x ** 5  # noqa: E731
    wanted = [80.0, 160.0, 240.0, 240.0]
    for value in wanted:
        f = pb.grad(f)
        close(f(2.0), value)


def test_value_and_grad_with_aux_and_pytrees():
    def loss(params, x):
        y = x @ params["w"] + params["b"]
        return (y ** 2).sum(), y

    params = {"w": pb.ones((3, 2)), "b": pb.zeros(2)}
    x = pb.ones((4, 3))
    (value, y), grads = pb.value_and_grad(loss, has_aux=True)(params, x)
    assert value.item() == 72.0 and y.shape == (4, 2)
    close(grads["w"], np.full((3, 2), 24.0))
    close(grads["b"], [24.0, 24.0])


def test_jvp_and_vjp_agree():
    f = lambda x: pb.tanh(x) * x  # noqa: E731
    x, t = pb.tensor([0.3, -0.7]), pb.tensor([1.0, 2.0])
    y, ty = pb.jvp(f, (x,), (t,))
    y2, pull = pb.vjp(f, x)
    close(y, y2.numpy())
    ct = pb.tensor([0.5, -1.0])
    assert float((ty * ct).sum()) == pytest.approx(float((pull(ct)[0] * t).sum()), rel=1e-5)


@pytest.mark.parametrize("order", [(pb.jacfwd, pb.jacfwd), (pb.jacfwd, pb.jacrev), (pb.jacrev, pb.jacfwd),
                                   (pb.jacrev, pb.jacrev)])
def test_hessian_by_all_four_ways(order):
    outer, inner = order
    f = lambda x: (x ** 3).sum() + x[0] * x[1]  # noqa: E731
    x = pb.tensor([1.0, 2.0])
    close(outer(inner(f))(x), [[6.0, 1.0], [1.0, 12.0]])


def test_hessian_vector_product():
    f = lambda x: pb.sin(x).sum()  # noqa: E731
    x = pb.tensor([0.1, 0.2])
    _, hv = pb.jvp(pb.grad(f), (x,), (pb.ones(2),))
    close(hv, -np.sin([0.1, 0.2]))


def test_vmap_axes_and_nesting():
    x = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    f = pb.vmap(pb.vmap(lambda r: r.sum()))
    close(f(pb.tensor(x)), x.sum(-1))
    g = pb.vmap(lambda a, b: a @ b, in_axes=(1, None), out_axes=1)
    b = np.ones((2, 4), np.float32)
    y = g(pb.tensor(x), pb.tensor(b.T))
    close(y, np.stack([x[:, k] @ b.T for k in range(3)], 1))


def test_per_example_gradients():
    w = pb.tensor([1.0, -2.0])
    xs = pb.tensor(np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32))
    loss = lambda w, x: pb.tanh((w * x).sum())  # noqa: E731
    batched = pb.vmap(pb.grad(loss), in_axes=(None, 0))(w, xs)
    single = np.stack([pb.grad(loss)(w, x).numpy() for x in xs])
    close(batched, single)


def test_jit_of_grad_of_vmap_of_scan_of_closure():
    scale = pb.tensor(0.5)

    def roll(x):
        def body(c, _):
            c = pb.tanh(c * scale + x)
            return c, c

        last, _ = pb.scan(body, x, None, length=4)
        return last

    f = lambda xs: pb.vmap(roll)(xs).sum()  # noqa: E731
    xs = pb.tensor([0.1, 0.2, 0.3])
    g = pb.jit(pb.grad(f))(xs).numpy()
    eps = 1e-3
    for k in range(3):
        d = np.zeros(3, np.float32)
        d[k] = eps
        fd = (float(f(xs + pb.tensor(d))) - float(f(xs - pb.tensor(d)))) / (2 * eps)
        assert g[k] == pytest.approx(fd, rel=2e-3)


def test_jit_does_not_compile_again_for_another_number():
    calls = []

    @pb.jit
    def f(x, lr):
        calls.append(1)
        return x * lr

    for k in range(4):
        close(f(pb.ones(2), 0.1 * k), np.full(2, 0.1 * k))
    assert len(calls) == 1
    f(pb.ones(3), 0.1)
    assert len(calls) == 2


def test_jit_reads_and_writes_tensors_from_outside():
    w = pb.tensor([1.0, 1.0], requires_grad=True)
    count = pb.tensor(0)

    @pb.jit
    def step(x):
        global_loss = ((w * x) ** 2).sum()
        w.grad = None
        global_loss.backward()
        with pb.no_grad():
            w.sub_(0.1 * w.grad)
        count.add_(1)
        return global_loss

    x = pb.tensor([1.0, 2.0])
    reference = np.array([1.0, 1.0])
    for k in range(3):
        loss = step(x)
        assert loss.item() == pytest.approx(((reference * [1, 2]) ** 2).sum(), rel=1e-5)
        reference = reference - 0.1 * 2 * reference * np.array([1, 4])
        close(w, reference)
        assert count.item() == k + 1


def test_static_arguments():
    f = pb.jit(lambda x, n: sum([x] * n), static_argnums=1)
    assert f(pb.tensor(2.0), 3).item() == 6.0
    with pytest.raises(ArgumentError, match="hashable"):
        f(pb.tensor(2.0), [1])


def test_scan_values_reverse_and_gradient():
    xs = np.array([1.0, 2.0, 3.0], np.float32)
    body = lambda c, x: (c * x, c + x)  # noqa: E731
    c, ys = pb.scan(body, 2.0, pb.tensor(xs))
    assert c.item() == 12.0
    close(ys, [3.0, 4.0, 7.0])
    c, ys = pb.scan(body, 2.0, pb.tensor(xs), reverse=True)
    close(ys, [13.0, 8.0, 5.0])
    g = pb.grad(lambda xs: pb.scan(body, 2.0, xs)[0])(pb.tensor(xs))
    close(g, [12.0, 6.0, 4.0])


def test_cond_and_while_loop():
    f = lambda x: pb.cond(x.sum() > 0, lambda x: x * 2, lambda x: -x, x)  # noqa: E731
    close(f(pb.tensor([1.0])), [2.0])
    close(f(pb.tensor([-1.0])), [1.0])
    close(pb.grad(lambda x: f(x).sum())(pb.tensor([1.0])), [2.0])
    close(pb.vmap(f)(pb.tensor([[1.0], [-1.0]])), [[2.0], [1.0]])
    assert pb.while_loop(lambda s: s[0] < 10, lambda s: (s[0] + 1, s[1] * 2.0), (0, 1.0))[1].item() == 1024.0
    _, t = pb.jvp(lambda x: pb.while_loop(lambda v: v < 100, lambda v: v * v, x), (3.0,), (1.0,))
    assert t.item() == pytest.approx(8 * 3.0 ** 7, rel=1e-5)


def test_loops_write_their_state_in_place_where_no_turn_reads_it_later():
    start = np.arange(12, dtype=np.float32).reshape(6, 2)
    first = pb.tensor(start)

    def scanned(first):
        def body(state, x):
            rows, total, a, b = state
            before = rows[x] * 1.0
            rows[x] = rows[x - 1] + 1.0
            return (rows, total + rows.sum(), b, a + b), (before, rows.sum())

        return pb.scan(body, (first * 1.0, pb.tensor(0.0), pb.tensor(1.0), pb.tensor(2.0)), pb.arange(6))

    def by_hand():
        rows, total, a, b = start.copy(), 0.0, 1.0, 2.0
        olds, sums = [], []
        for x in range(6):
            olds.append(rows[x].copy())
            rows[x] = rows[x - 1] + 1.0
            total, a, b = total + rows.sum(), b, a + b
            sums.append(rows.sum())
        return [rows, total, a, b, olds, sums]

    for function in (scanned, pb.jit(scanned)):
        (*state, total, a, b), (olds, sums) = function(first)
        for x, y in zip((*state, total, a, b, olds, sums), by_hand(), strict=True):
            close(x, y)
    close(first, start)

    def counted(first):
        def body(state):
            k, rows, twice = state
            twice = twice + rows  # as it was
            rows[k] = 100.0
            return k + 1, rows, twice

        return pb.while_loop(lambda s: s[0] < 3, body, (0, first, first * 0.0))[1:]

    for function in (counted, pb.jit(counted)):
        rows, twice = function(pb.tensor(start))
        close(rows[:, 0], [100.0, 100.0, 100.0, 6.0, 8.0, 10.0])
        close(twice[:, 0], [200.0, 104.0, 12.0, 18.0, 24.0, 30.0])
    close(first, start)


def test_custom_vjp_and_custom_jvp():
    @pb.custom_vjp
    def f(x):
        return pb.exp(x)

    f.defvjp(lambda x: (pb.exp(x), x), lambda x, ct: (ct * 10 * x,))
    assert pb.grad(f)(2.0).item() == 20.0
    close(pb.vmap(pb.grad(f))(pb.tensor([1.0, 2.0])), [10.0, 20.0])

    @pb.custom_jvp
    def g(x):
        return x * x

    g.defjvp(lambda p, t: (p[0] * p[0], 7 * t[0]))
    assert pb.grad(g)(2.0).item() == 7.0


def test_autograd_function():
    class MyReLU(pb.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            g = g.clone()
            g[x < 0] = 0
            return g

    x = pb.tensor([-1.0, 2.0], requires_grad=True)
    y = MyReLU.apply(x)
    (y * 3).sum().backward()
    close(y, [0.0, 2.0])
    close(x.grad, [0.0, 3.0])


def test_checkpoint_gives_the_same_gradient():
    f = lambda x: pb.sin(pb.sin(x)).sum()  # noqa: E731
    x = pb.tensor([0.3, 0.4])
    close(pb.grad(pb.checkpoint(f))(x), pb.grad(f)(x).numpy())


@pytest.mark.parametrize("f", [
    lambda x: x * 2, lambda x: pb.tanh(x) * 2 + x / 3 + x ** 2.5, lambda x: pb.where(x > 0.35, x, 3 * x),
    lambda x: pb.checkpoint(lambda y: y * 4)(x) * x * 2, lambda x: pb.cond(x.sum() > 1, lambda y: y * 3, pb.sin, x),
    lambda x: pb.scan(lambda c, _: (c * 2, c), x, pb.ones(3))[0]])
def test_numbers_in_a_checkpoint(f: Callable[[pb.Tensor], pb.Tensor]) -> None:
    """Numbers arrive as such where nothing is traced: they have no address that what is computed again could read."""
    x = pb.tensor([0.3, 0.4], requires_grad=True)
    pb.checkpoint(f)(x).sum().backward()
    expected = pb.grad(lambda x: f(x).sum())(pb.tensor([0.3, 0.4])).numpy()
    close(x.grad, expected)
    close(pb.jit(pb.grad(lambda x: pb.checkpoint(f)(x).sum()))(pb.tensor([0.3, 0.4])), expected)


def test_gradients_mix_styles():
    w = pb.tensor([1.0, 2.0], requires_grad=True)
    inner = pb.grad(lambda x: (w * x * x).sum())(pb.tensor([3.0, 4.0]))
    inner.sum().backward()
    close(w.grad, [6.0, 8.0])


@pytest.mark.parametrize(("call", "error"), [
    (lambda: pb.grad(lambda x: x)(pb.ones(3)), GradientError),
    (lambda: pb.grad(lambda x: x)(3), DTypeError),
    (lambda: pb.grad(3.0), ArgumentError),
    (lambda: pb.grad(lambda x: x, argnums=2)(1.0), ArgumentError),
    (lambda: pb.vmap(lambda x, y: x + y)(pb.ones(2), pb.ones(3)), ShapeError),
    (lambda: pb.jvp(lambda x: x, (pb.ones(2),), (pb.ones(3),)), ShapeError),
    (lambda: pb.scan(lambda c, x: (pb.ones(2), x), 0.0, pb.ones(3)), ShapeError),
    (lambda: pb.cond(True, lambda: pb.ones(2), lambda: pb.ones(3)), ArgumentError),
    (lambda: pb.while_loop(lambda s: s, lambda s: s, pb.ones(2)), ArgumentError),
    (lambda: pb.grad(lambda x: pb.while_loop(lambda v: v < 9, lambda v: v * 2, x))(1.0), GradientError),
])
def test_wrong_calls(call, error):
    with pytest.raises(error):
        call()


def test_views_as_arguments_of_transforms():
    x = pb.arange(6).astype("float32").reshape(2, 3)
    close(pb.jit(lambda a: a * 2)(x[1]), [6.0, 8.0, 10.0])
    close(pb.grad(lambda a: (a * a).sum())(x[:, 1]), [2.0, 8.0])
    close(pb.jit(pb.grad(lambda a: (a * x[0]).sum()))(x.T[:, 1]), [0.0, 1.0, 2.0])


def test_numpy_arguments_of_jit():
    f = pb.jit(lambda x, y: x * 2 + y)
    for k in range(3):
        x = np.full((2, 3), k, np.float32)
        close(f(x, x[:, ::-1]), x * 3.0)
        close(f(x.astype(np.float64), x), x * 3.0)
        close(f(np.full((40, 200), k, np.float32), np.zeros(200, np.float32)), np.full((40, 200), 2.0 * k))


NUMBERS: list[Any] = [
    lambda x: pb.scan(lambda c, a: (c + a, c), x, pb.ones(3))[0],
    lambda x: pb.cond(x > 0, lambda v: v * 2, lambda v: -v, x),
    lambda x: pb.while_loop(lambda v: v < 10, lambda v: v * 2, x),
    lambda x: pb.fori_loop(0, 3, lambda i, v: v * 2, x),
    lambda x: pb.jvp(pb.sin, (x,), (1.0,))[1],
    lambda x: pb.vjp(pb.sin, x)[1](1.0)[0],
    lambda x: pb.vmap(lambda a, b: a * b, in_axes=(0, None))(pb.ones(3), x),
    lambda x: pb.checkpoint(pb.sin)(x),
    lambda x: pb.grad(pb.sin)(x),
    lambda x: x,
]


@pytest.mark.parametrize("number", range(len(NUMBERS)))
def test_numbers_traced_by_jit_have_the_dtype_they_show(number: int) -> None:
    f = NUMBERS[number]
    eager, traced = pb.tensor(0.0) + f(0.5), pb.tensor(0.0) + pb.jit(f)(0.5)
    assert pb.jit(f)(0.5).dtype is traced.dtype is eager.dtype is pb.float32
    assert np.array_equal(eager.numpy(), traced.numpy())


class Counted:
    """A function that changes a tensor of its own in place, and its second argument."""

    def __init__(self) -> None:
        self.total, self.turns = pb.zeros(2), pb.tensor(0)

    def __call__(self, x: Any, kept: Any) -> Any:
        with pb.no_grad():
            self.total += x * 2
            self.turns += 1
            kept.mul_(3)
        return (x * x * kept).sum()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("how", ["grad", "value_and_grad", "vjp", "jvp", "checkpoint", "plain"])
def test_what_a_differentiated_function_changes_in_place_stays_changed(how: str, jit: bool) -> None:
    counted = Counted()
    one = pb.ones(2)

    def run(x: Any, kept: Any) -> Any:
        if how in ("vjp", "jvp"):
            return pb.vjp(counted, x, kept)[0] if how == "vjp" else pb.jvp(counted, (x, kept), (one, one))[0]
        made = {"grad": pb.grad, "value_and_grad": pb.value_and_grad, "checkpoint": pb.checkpoint}.get(how, lambda f: f)
        return made(counted)(x, kept)

    run = pb.jit(run) if jit else run
    kept = pb.ones(2)
    for _ in range(3):
        x = pb.tensor([1.0, 2.0])
        run(x, kept)
        close(x, [1, 2])
    close(counted.total, [6, 12])
    close(kept, [27, 27])
    assert counted.turns.item() == 3 and counted.turns.dtype is pb.int32
    assert not counted.total.requires_grad


def test_gradients_are_of_what_was_there_before_it_was_changed() -> None:
    x = pb.tensor([1.0, 2.0])

    def f(x: Any) -> Any:
        y = x * x
        x += 1.0
        return (x * y).sum()

    close(pb.grad(f)(x), [2 * 1 * 2 + 1, 2 * 2 * 3 + 4])
    close(x, [2, 3])


LOOPS: dict[str, Any] = {
    "vmap": lambda f: pb.vmap(f)(pb.ones(3, 2)),
    "scan": lambda f: pb.scan(lambda c, x: (c, f(x)), 0, pb.ones(3, 2)),
    "cond": lambda f: pb.cond(pb.tensor(True), f, lambda x: x.sum(), pb.ones(2)),
    "while_loop": lambda f: pb.while_loop(lambda x: x < 3, lambda x: x + f(pb.ones(2)), 0.0),
    "fori_loop": lambda f: pb.fori_loop(0, 3, lambda k, x: x + f(pb.ones(2)), 0.0),
}


@pytest.mark.parametrize("how", LOOPS)
def test_a_loop_changes_no_tensor_from_outside(how: str) -> None:
    """Its body is traced once: how often it would be changed, and with which value, is not known."""
    total = pb.zeros(2)

    def f(x: Any) -> Any:
        total.add_(x)
        return x.sum()

    with pytest.raises(TracerLeakError, match=r"(?s)changes a tensor from outside.*float32\[2\].*return the new value"):
        LOOPS[how](f)
    close(total, [0, 0])


WITHIN: dict[str, Any] = {
    "vmap": pb.vmap,
    "vmap of vmap": lambda f: lambda x: pb.vmap(pb.vmap(f))(x[None])[0],
    "jvp": lambda f: lambda x: pb.jvp(f, (x,), (x,))[0],
    "vjp": lambda f: lambda x: pb.vjp(f, x)[0],
    "checkpoint": pb.checkpoint,
    "scan": lambda f: lambda x: pb.scan(lambda c, row: (c, f(row)), 0.0, x)[1],
}


@pytest.mark.parametrize("way", WITHIN)
def test_a_weight_updated_just_before_is_read_first_inside(way: str) -> None:
    """Reading it ends a step, and so begins another trace around the one of the transformation."""
    w = pb.ones((3, 2), requires_grad=True)
    x = pb.ones((4, 3), requires_grad=True)
    for k in range(3):
        with pb.no_grad():
            w.mul_(2.0)
        loss = WITHIN[way](lambda row: row @ w)(x).sum()
        loss.backward()
        assert w.grad.tolist() == [[4.0 * (k + 1)] * 2] * 3
        assert x.grad.tolist() == [[2.0 * (2 ** (k + 2) - 2)] * 3] * 4
    assert (x * 2).sum().item() == 24 and w.tolist() == [[8.0] * 2] * 3
