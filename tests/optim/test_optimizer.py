"""The class interface: groups, state dicts, skipped parameters, tensors as hyperparameters, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import pullback as pb
from pullback.util.errors import (
    ArgumentError,
    GradientError,
    KeyError_,
    PullbackError,
    ShapeError,
    ValueError_,
)


def parameter(*values):
    return pb.nn.Parameter(pb.tensor(np.array(values, np.float32)))


def set_grads(params, value=1.0):
    for p in params:
        p.grad = pb.full(p.shape, value)


def test_parameters_without_gradient_are_skipped_and_keep_their_own_step_count():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = pb.optim.Adam([a, b], lr=0.1)
    a.grad = pb.ones(1)
    optimizer.step()
    assert b.numpy() == 1.0 and b not in optimizer.state
    set_grads([a, b])
    optimizer.step()
    a.grad = None
    optimizer.step()
    assert float(optimizer.state[a]["step"]) == 2.0
    assert float(optimizer.state[b]["step"]) == 2.0
    assert a.grad is None


def test_groups_have_their_own_numbers():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = pb.optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    set_grads([a, b])
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item()], [0.9, 0.0], atol=1e-7)
    optimizer.add_param_group({"params": [c := parameter(2.0)]})
    set_grads([c])
    optimizer.step()
    np.testing.assert_allclose(c.item(), 1.9, atol=1e-6)


def test_zero_grad():
    p = parameter(1.0, 2.0)
    optimizer = pb.optim.SGD([p])
    set_grads([p])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.numpy().tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_the_learning_rate_is_no_part_of_the_program():
    p = parameter(1.0)
    optimizer = pb.optim.SGD([p], lr=0.5)
    for rate in (0.5, 0.25, 0.125):
        optimizer.param_groups[0]["lr"] = rate
        p.grad = pb.ones(1)
        optimizer.step()
    np.testing.assert_allclose(p.item(), 0.125)


def test_a_tensor_as_learning_rate():
    p = parameter(1.0)
    rate = pb.tensor(0.5)
    optimizer = pb.optim.SGD([p], lr=rate)
    set_grads([p])
    optimizer.step()
    rate.fill_(0.25)
    optimizer.step()
    np.testing.assert_allclose(p.item(), 0.25)


def test_state_dict_has_pytorchs_layout():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = pb.optim.Adam([a, b], lr=0.1)
    set_grads([a])
    optimizer.step()
    saved = optimizer.state_dict()
    assert set(saved) == {"state", "param_groups"}
    assert list(saved["state"]) == [0]
    assert set(saved["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert saved["param_groups"][0]["params"] == [0, 1]
    assert saved["param_groups"][0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("through", [lambda s: s, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_training_goes_on_bit_for_bit_from_a_state_dict(through):
    a, b = parameter(1.0, -2.0), parameter(1.0, -2.0)
    first = pb.optim.Adam([a], lr=0.1, amsgrad=True)
    for k in range(3):
        set_grads([a], k + 1.0)
        first.step()
    second = pb.optim.Adam([b], lr=0.7)
    with pb.no_grad():
        b.copy_(a)
    second.load_state_dict(through(first.state_dict()))
    assert second.param_groups[0]["lr"] == 0.1
    for k in range(3):
        set_grads([a, b], k - 1.5)
        first.step()
        second.step()
    assert a.numpy().tobytes() == b.numpy().tobytes()


def test_scalars_of_a_group_are_shared_again_after_loading():
    params = [parameter(1.0) for _ in range(4)]
    optimizer = pb.optim.Adam(params)
    set_grads(params)
    optimizer.step()
    optimizer.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    assert len({id(optimizer.state[p]["step"]) for p in params}) == 1


def test_closure_hooks_and_repr():
    p = parameter(1.0)
    optimizer = pb.optim.SGD([p], lr=0.1, momentum=0.9)
    seen = []
    handle = optimizer.register_step_post_hook(lambda *a: seen.append(1))

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with pb.no_grad():
        assert optimizer.step(closure).item() == 1.0
    handle.remove()
    optimizer.step()
    assert seen == [1]
    assert repr(optimizer).startswith("SGD (\nParameter Group 0\n    dampening: 0\n")


def test_a_replaced_state_is_noticed():
    p = parameter(1.0)
    optimizer = pb.optim.SGD([p], lr=1.0, momentum=0.5)
    set_grads([p])
    optimizer.step()
    optimizer.state.clear()
    optimizer.step()
    np.testing.assert_allclose(p.item(), -1.0)
    optimizer.state[p]["momentum_buffer"] = pb.tensor([4.0])
    optimizer.step()
    np.testing.assert_allclose(p.item(), -4.0)


def test_pickled_optimizers_train_on():
    p = parameter(1.0)
    optimizer = pb.optim.Adam([p], lr=0.1)
    set_grads([p])
    optimizer.step()
    again = pickle.loads(pickle.dumps(optimizer))
    q = again.param_groups[0]["params"][0]
    q.grad = pb.ones(1)
    set_grads([p])
    optimizer.step()
    again.step()
    np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_functional_update_under_jit():
    optimizer = pb.optim.functional.adam(lr=0.1)

    @pb.jit
    def step(params, state, x):
        grads = pb.grad(lambda p: ((p["w"] * x) ** 2).sum())(params)
        return optimizer.update(grads, state, params)

    params = {"w": pb.tensor([1.0, -1.0])}
    state = optimizer.init(params)
    for _ in range(3):
        params, state = step(params, state, pb.tensor([1.0, 2.0]))
    np.testing.assert_allclose(params["w"].numpy(), [0.7, -0.7], atol=0.01)
    assert float(state["step"]) == 3.0


def test_loaded_groups_count_their_own_steps():
    def steps(optimizer, ps, count):
        for _ in range(count):
            for p in ps:
                p.grad = p.detach() * 2
            optimizer.step()

    def made(ps):
        return pb.optim.Adam([{"params": ps[:1]}, {"params": ps[1:], "lr": 0.1, "betas": (0.5, 0.9)}], lr=0.01)

    through, again = ([parameter(1.0, 2.0), parameter(-3.0)] for _ in range(2))
    steps(made(through), through, 6)
    first = made(again)
    steps(first, again, 3)
    second = made(again)
    second.load_state_dict(first.state_dict())
    steps(second, again, 3)
    for x, y in zip(through, again, strict=True):
        np.testing.assert_array_equal(x.detach().numpy(), y.detach().numpy())


WRONG = [
    (lambda p: pb.optim.SGD([p], lr=-1), ValueError_),
    (lambda p: pb.optim.SGD([p], lr="fast"), ArgumentError),
    (lambda p: pb.optim.SGD([p], momentum=-0.1), ValueError_),
    (lambda p: pb.optim.SGD([p], nesterov=True), ValueError_),
    (lambda p: pb.optim.SGD([p, p]), ValueError_),
    (lambda p: pb.optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError_),
    (lambda p: pb.optim.SGD([]), ValueError_),
    (lambda p: pb.optim.SGD(p), ArgumentError),
    (lambda p: pb.optim.SGD(3), ArgumentError),
    (lambda p: pb.optim.SGD([3]), ArgumentError),
    (lambda p: pb.optim.SGD([p * 2]), GradientError),
    (lambda p: pb.optim.SGD([pb.arange(3)]), GradientError),
    (lambda p: pb.optim.SGD([p]).add_param_group([p]), ArgumentError),
    (lambda p: pb.optim.Adam([p], betas=(1.0, 0.9)), ValueError_),
    (lambda p: pb.optim.Adam([p], betas=0.9), ArgumentError),
    (lambda p: pb.optim.Adam([p], eps=-1e-8), ValueError_),
    (lambda p: pb.optim.RMSprop([p], alpha=-1), ValueError_),
    (lambda p: pb.optim.Rprop([p], etas=(1.5, 1.2)), ValueError_),
    (lambda p: pb.optim.Adafactor([p], d=0.5), ValueError_),
    (lambda p: pb.optim.Adafactor([p], beta2_decay=0.5), ValueError_),
    (lambda p: pb.optim.Muon([p]), ShapeError),
    (lambda p: pb.optim.LBFGS([p]).step(), ArgumentError),
    (lambda p: pb.optim.LBFGS([p], line_search_fn="armijo"), ValueError_),
    (lambda p: pb.optim.SGD([p]).load_state_dict({}), KeyError_),
    (lambda p: pb.optim.SGD([p]).load_state_dict({"state": {}, "param_groups": []}), ValueError_),
    (lambda p: pb.optim.SGD([p]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}), ValueError_),
    (lambda p: pb.optim.SGD([p]).load_state_dict({"state": {7: {}}, "param_groups": [{"params": [0]}]}), KeyError_),
    (lambda p: pb.optim.functional.sgd(rate=0.1), ArgumentError),
    (lambda p: pb.optim.lr_scheduler.StepLR(p, 3), ArgumentError),
    (lambda p: pb.optim.lr_scheduler.StepLR(pb.optim.SGD([p]), 0), ValueError_),
    (lambda p: pb.optim.lr_scheduler.OneCycleLR(pb.optim.SGD([p]), 0.1), ValueError_),
    (lambda p: pb.optim.lr_scheduler.CosineAnnealingWarmRestarts(pb.optim.SGD([p]), 0), ValueError_),
    (lambda p: pb.optim.lr_scheduler.ReduceLROnPlateau(pb.optim.SGD([p]), factor=1.0), ValueError_),
    (lambda p: pb.optim.lr_scheduler.ReduceLROnPlateau(pb.optim.SGD([p]), mode="least"), ValueError_),
    (lambda p: pb.optim.lr_scheduler.StepLR(pb.optim.SGD([p]), 3, last_epoch=2), KeyError_),
    (lambda p: pb.optim.lr_scheduler.SequentialLR(pb.optim.SGD([p]), [], []), ValueError_),
]


@pytest.mark.parametrize("k", range(len(WRONG)))
def test_wrong_calls_raise_our_errors(k):
    call, error = WRONG[k]
    with pytest.raises(error) as caught:
        call(parameter(1.0))
    assert isinstance(caught.value, PullbackError)


def test_a_gradient_of_another_shape():
    p = parameter(1.0, 2.0)
    with pytest.raises(GradientError, match="same shape"):
        p.grad = pb.ones(3)


def test_hooks_around_state_dicts():
    optimizer, seen = pb.optim.SGD([parameter(1.0)], lr=1.0), []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("second"))
    first = optimizer.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "note": 1})
    optimizer.register_state_dict_post_hook(lambda o, state: seen.append(state["note"]))
    assert optimizer.state_dict()["note"] == 1 and seen == ["first", "second", 1]
    first.remove()
    saved = optimizer.state_dict()
    assert seen[3:] == ["second", 1]

    def doubled(o, state):
        return {**state, "param_groups": [{**group, "lr": group["lr"] * 2} for group in state["param_groups"]]}

    optimizer.register_load_state_dict_pre_hook(doubled)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(o.param_groups[0]["lr"]))
    optimizer.load_state_dict(saved)
    assert seen[-1] == 2 and saved["param_groups"][0]["lr"] == 1
    pickle.loads(pickle.dumps(pb.optim.SGD([parameter(1.0)], lr=1.0))).state_dict()


def test_hooks_stay_when_their_handles_are_gone():
    optimizer, seen = pb.optim.SGD([parameter(1.0)], lr=1.0), []
    for k in range(20):
        optimizer.register_step_pre_hook(lambda *a, k=k: seen.append(k))
    optimizer.step()
    assert seen == list(range(20))
