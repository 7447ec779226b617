"""Arguments that a caller gives up: their memory holds the results, and using them afterwards is an error."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest

import pullback as pb
from pullback.runtime import memory
from pullback.util.errors import DeletedError, StructureError

SIZES = [100, 1_000_000]


def momentum(state: dict[str, Any], g: Any) -> dict[str, Any]:
    v = 0.9 * state["v"] + g
    return {"p": state["p"] - 0.1 * v, "v": v}


def filled(size: int, value: float) -> Any:
    return pb.tensor(np.full(size, value, np.float32))


@pytest.mark.parametrize("size", SIZES)
def test_a_state_stays_where_it_is(size: int) -> None:
    step = pb.jit(momentum, donate_argnums=0)
    state, g = {"p": filled(size, 1.0), "v": filled(size, 0.0)}, filled(size, 1.0)
    want = {"p": np.float32(1), "v": np.float32(0)}
    places: set[int] = set()
    gc.collect()  # what earlier tests left in cycles shall not go in between
    before = memory.live_bytes()
    for _ in range(5):
        state = step(state, g)
        want = momentum(want, np.float32(1))
        places |= {x._peek().buffer.address for x in state.values()}
    assert len(places) == 2
    assert step.last.direct is not None
    assert memory.live_bytes() == before
    for name, x in state.items():
        np.testing.assert_allclose(x.numpy(), want[name], rtol=1e-6)
    assert len(step.entries) == 1


def test_a_result_takes_the_memory_that_its_kernel_reads() -> None:
    """Not that of another argument, though it comes first; a moment is written before the parameter."""
    def update(p: Any, m: Any, other: Any, g: Any) -> Any:
        m = 0.9 * m + g
        return g * 2, p - 0.1 * m, m, (other * p).sum()

    p, m, other, g = (filled(5000, n) for n in range(4))
    places = {name: x._peek().buffer.address for name, x in (("p", p), ("m", m))}
    found = pb.jit(update, donate_argnums=(0, 1, 2))(p, m, other, g)
    assert found[2]._peek().buffer.address == places["m"]
    np.testing.assert_allclose(found[1].numpy(), -0.1 * (0.9 + 3.0) * np.ones(5000), rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("use", [
    lambda x: x + 1, lambda x: x.numpy(), repr, lambda x: x.shape, lambda x: x.sum().item(), lambda x: pb.sin(x),
    lambda x: x.__setitem__(0, 1.0), lambda x: x.clone(), lambda x: x.reshape((-1, 1)), lambda x: pb.jit(pb.sin)(x),
    lambda x: x.requires_grad_(), lambda x: x.add_(1.0), lambda x: x.detach().numpy(), lambda x: pb.stack([x, x]),
    lambda x: pb.grad(lambda y: (y * y).sum())(x)])
def test_a_donated_tensor_cannot_be_used(use: Callable[[Any], Any], size: int) -> None:
    x = filled(size, 1.0)
    y = pb.jit(lambda x: 2 * x, donate_argnums=(0,))(x)
    with pytest.raises(DeletedError, match=r"deleted.*\n.*float32.*\n.*donate_argnums.*\n.*clone"):
        use(x)
    assert y.numpy()[0] == 2


@pytest.mark.parametrize("share", [
    lambda x: x.clone(), lambda x: pb.tensor(x), lambda x: x * 1.0, lambda x: x.numpy(), lambda x: x[2:].clone(),
    lambda x: x.reshape((-1, 1)).clone()])
def test_what_shares_the_memory_keeps_it(share: Callable[[Any], Any]) -> None:
    step = pb.jit(lambda x: x - 1.0, donate_argnums=0)
    for _ in range(3):
        x = filled(1000, 5.0)
        copy = share(x)
        x = step(step(x))
        assert float(np.asarray(copy).ravel()[0]) == 5.0
        assert x.numpy()[0] == 3.0


def test_views_read_before_keep_what_they_saw() -> None:
    x = filled(100, 3.0)
    seen, unseen = x[2:], x[:2]
    assert seen.sum().item() == 294
    pb.jit(lambda x: x - 1.0, donate_argnums=0)(x)
    for _ in range(3):
        assert (seen + 1).sum().item() == 392
    with pytest.raises(DeletedError):
        unseen.sum()


def test_the_same_tensor_twice() -> None:
    step = pb.jit(lambda x, y: (x - 1.0, x.sum() * y), donate_argnums=0)
    for _ in range(2):
        step(filled(100, 1.0), filled(100, 2.0))  # in place
    for _ in range(3):
        x = filled(100, 3.0)
        first, second = step(x, x)
        assert first.numpy()[0] == 2.0
        assert second.numpy().tolist() == [900.0] * 100
        with pytest.raises(DeletedError):
            x.numpy()


def test_an_argument_that_is_also_read_from_outside() -> None:
    x = filled(100, 3.0)
    step = pb.jit(lambda y: (y - 1.0, y.sum() * x), donate_argnums=0)
    for _ in range(2):
        step(filled(100, 1.0))
    first, second = step(x)
    assert first.numpy()[0] == 2.0
    assert second.numpy().tolist() == [900.0] * 100


def test_results_of_other_types_take_other_memory() -> None:
    x = filled(100, 3.0)
    y = pb.jit(lambda x: (x > 1, x[:50] + 1), donate_argnums=-1)(x)
    assert y[0].numpy().all()
    assert y[1].numpy().tolist() == [4.0] * 50


def test_names_and_host_arrays() -> None:
    step = pb.jit(lambda x, *, state: (x + state["a"], {"a": state["a"] + 1}), donate_argnames="state")
    state: dict[str, Any] = {"a": np.ones(3, np.float32)}
    x, new = step(filled(3, 1.0), state=state)
    assert state["a"].tolist() == [1, 1, 1]
    later = step(x, state=new)[1]
    assert later["a"].numpy().tolist() == [3, 3, 3]
    with pytest.raises(DeletedError):
        new["a"].numpy()
    step(x, state=later)  # an argument that is not donated can be used again


def test_under_a_transform_nothing_is_given_up() -> None:
    step = pb.jit(lambda x: (x * x).sum(), donate_argnums=0)
    x = filled(4, 2.0)
    assert pb.grad(step)(x).numpy().tolist() == [4.0] * 4
    assert pb.vmap(step)(x.reshape((2, 2))).numpy().tolist() == [8.0, 8.0]
    leaf = pb.tensor([1.0, 2.0], requires_grad=True)
    step(leaf).backward()
    assert leaf.grad.numpy().tolist() == [2.0, 4.0]


def test_wrong_numbers() -> None:
    with pytest.raises(StructureError, match="static and donated"):
        pb.jit(lambda x, n: x, static_argnums=1, donate_argnums=(0, 1))
    with pytest.raises(StructureError, match="no such argument"):
        pb.jit(lambda x: x, donate_argnums=3)(filled(3, 1.0))


@partial(jax.jit, donate_argnums=(0,))
def jax_update(params: Any, grads: Any) -> Any:
    return {k: params[k] - 0.5 * grads[k] for k in params}


def test_as_jax_programs_write_it() -> None:
    params = {"w": jnp.ones(3), "b": jnp.zeros(2)}
    first = params["w"]
    for _ in range(3):
        params = jax_update(params, {"w": jnp.ones(3), "b": jnp.ones(2)})
    assert params["w"].tolist() == [-0.5, -0.5, -0.5]
    assert first.is_deleted()
    assert not params["w"].is_deleted()
    with pytest.raises(RuntimeError, match="Array has been deleted"):
        first + 1
    bias = params["b"]
    params = jax_update(params=params, grads={"w": jnp.ones(3), "b": jnp.ones(2)})
    assert bias.is_deleted()
    params["b"].delete()
    with pytest.raises(RuntimeError, match="Array has been deleted"):
        print(params["b"])


@pytest.mark.parametrize("steps", [1, 4])
def test_what_a_barrier_names_again_is_read_before_it_is_written_over(steps: int) -> None:
    """A checkpoint's backward pass reads its inputs behind a barrier. The loop's state is one: zeros are written there,
    because a turn does not read its carry."""
    rng = np.random.default_rng(0)
    start, xs = pb.tensor(rng.normal(size=3)), pb.tensor(rng.normal(size=(steps, 3)))
    flags = pb.tensor(rng.random((steps, 3)) < 0.5)

    def turn(carry: pb.Tensor, given: tuple[pb.Tensor, pb.Tensor], a: pb.Tensor) -> tuple[pb.Tensor, None]:
        x, flag = given
        return pb.where(flag, a * x, a), None

    def by(step: Callable[..., Any]) -> Any:
        def loss(a: pb.Tensor) -> pb.Tensor:
            last, _ = pb.scan(lambda carry, given: step(carry, given, a), start, (xs, flags))
            return (last * last).sum()

        return pb.grad(loss)(start).numpy()

    last = np.where(flags.numpy()[-1], xs.numpy()[-1], 1)
    np.testing.assert_allclose(by(pb.checkpoint(turn)), 2 * start.numpy() * last * last)
    np.testing.assert_array_equal(by(pb.checkpoint(turn)), by(turn))


def test_a_place_that_nobody_wants_is_no_memory_for_what_a_program_refuses() -> None:
    """The number of what is refused has memory of its own, and is none of the results: short programs that are launched
    again gave each result the memory of another."""
    table, places = pb.arange(7.0), pb.arange(5)
    pb.synchronize()
    for _ in range(6):
        place = places[2:3].sum() * 1
        pb.synchronize()
        one, all_ = pb.take(table, place, axis=0) * 2, table * 3
        many = pb.zeros((3000,)) + one
        del place
        pb.synchronize()
        assert [x._peek().buffer.nbytes for x in (one, all_, many)] == [4, 28, 12000]
        np.testing.assert_array_equal(one.numpy(), 4)
        np.testing.assert_array_equal(all_.numpy(), np.arange(7) * 3)
        np.testing.assert_array_equal(many.numpy(), 4)
