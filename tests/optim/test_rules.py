"""Every optimiser against its formula in NumPy, in float64, as a class and as a pure function."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb

START = {"w": np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]), "b": np.array([0.1, -0.2, 0.3])}


def gradient(name, p, step):
    """A gradient that depends on the parameter and the step."""
    return np.sin(3 * p + step) + 0.1 * p


def run_numpy(rule, steps=7):
    params = {k: v.copy() for k, v in START.items()}
    state = {k: {} for k in params}
    for t in range(1, steps + 1):
        for k in params:
            params[k] = rule(params[k], gradient(k, params[k], t), state[k], t)
    return params


def run_class(cls, steps=7, **options):
    params = {k: pb.nn.Parameter(pb.tensor(v)) for k, v in START.items()}
    optimizer = cls(params.values(), **options)
    for t in range(1, steps + 1):
        for k, p in params.items():
            p.grad = pb.tensor(gradient(k, p.numpy(), t))
        optimizer.step()
    return {k: p.numpy() for k, p in params.items()}


def run_functional(make, steps=7, **options):
    optimizer = make(**options)
    params = {k: pb.tensor(v) for k, v in START.items()}
    state = optimizer.init(params)
    for t in range(1, steps + 1):
        grads = {k: pb.tensor(gradient(k, p.numpy(), t)) for k, p in params.items()}
        params, state = optimizer.update(grads, state, params)
    return {k: p.numpy() for k, p in params.items()}


def sgd(lr, momentum=0.0, dampening=0.0, decay=0.0, nesterov=False, sign=1):
    def rule(p, g, s, t):
        g = sign * g + decay * p
        if momentum:
            s["m"] = momentum * s["m"] + (1 - dampening) * g if "m" in s else g
            g = g + momentum * s["m"] if nesterov else s["m"]
        return p - lr * g
    return rule


def adam(lr, b1=0.9, b2=0.999, eps=1e-8, decay=0.0, decoupled=False, amsgrad=False):
    def rule(p, g, s, t):
        if decoupled:
            p = p * (1 - lr * decay)
        else:
            g = g + decay * p
        s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
        s["top"] = np.maximum(s.get("top", 0), s["v"])
        v = s["top"] if amsgrad else s["v"]
        return p - lr / (1 - b1**t) * s["m"] / (np.sqrt(v) / np.sqrt(1 - b2**t) + eps)
    return rule


def rmsprop(lr, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    def rule(p, g, s, t):
        s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g * g
        v = s["v"]
        if centered:
            s["g"] = alpha * s.get("g", 0) + (1 - alpha) * g
            v = v - s["g"] ** 2
        change = g / (np.sqrt(v) + eps)
        if momentum:
            s["m"] = change = momentum * s.get("m", 0) + change
        return p - lr * change
    return rule


def adagrad(lr, lr_decay=0.0, start=0.0, eps=1e-10):
    def rule(p, g, s, t):
        s["sum"] = s.get("sum", start) + g * g
        return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)
    return rule


def adadelta(lr=1.0, rho=0.9, eps=1e-6):
    def rule(p, g, s, t):
        s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
        change = np.sqrt(s.get("d", 0) + eps) / np.sqrt(s["v"] + eps) * g
        s["d"] = rho * s.get("d", 0) + (1 - rho) * change * change
        return p - lr * change
    return rule


def adamax(lr, b1=0.9, b2=0.999, eps=1e-8):
    def rule(p, g, s, t):
        s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
        s["u"] = np.maximum(b2 * s.get("u", np.zeros_like(g)), np.abs(g) + eps)
        return p - lr / (1 - b1**t) * s["m"] / s["u"]
    return rule


def nadam(lr, b1=0.9, b2=0.999, eps=1e-8, psi=4e-3):
    def rule(p, g, s, t):
        mu, after = (b1 * (1 - 0.5 * 0.96 ** (k * psi)) for k in (t, t + 1))
        s["product"] = np.float32(s.get("product", 1)) * np.float32(mu)
        product = float(s["product"])
        s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
        below = np.sqrt(s["v"] / (1 - b2**t)) + eps
        return p - lr * (1 - mu) / (1 - product) * g / below - lr * after / (1 - product * after) * s["m"] / below
    return rule


def radam(lr, b1=0.9, b2=0.999, eps=1e-8):
    def rule(p, g, s, t):
        s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
        mean = s["m"] / (1 - b1**t)
        top = 2 / (1 - b2) - 1
        rho = top - 2 * t * b2**t / (1 - b2**t)
        if rho <= 5:
            return p - lr * mean
        r = np.sqrt((rho - 4) * (rho - 2) * top / ((top - 4) * (top - 2) * rho))
        return p - lr * mean * r * np.sqrt(1 - b2**t) / (np.sqrt(s["v"]) + eps)
    return rule


def lion(lr, b1=0.9, b2=0.99, decay=0.0):
    def rule(p, g, s, t):
        m = s.get("m", np.zeros_like(g))
        s["m"] = b2 * m + (1 - b2) * g
        return p * (1 - lr * decay) - lr * np.sign(b1 * m + (1 - b1) * g)
    return rule


def rprop(lr, down=0.5, up=1.2, low=1e-6, high=50):
    def rule(p, g, s, t):
        agree = g * s.get("g", np.zeros_like(g))
        factor = np.where(agree > 0, up, np.where(agree < 0, down, 1.0))
        s["size"] = np.clip(s.get("size", np.full_like(g, lr)) * factor, low, high)
        s["g"] = np.where(agree < 0, 0, g)
        return p - np.sign(s["g"]) * s["size"]
    return rule


def asgd(lr, lambd=1e-4, alpha=0.75, t0=1e6):
    def rule(p, g, s, t):
        eta = float(s.get("eta", np.float32(lr)))
        s["eta"] = np.float32(lr / (1 + lambd * lr * t) ** alpha)
        return p * (1 - lambd * eta) - eta * g
    return rule


CASES = [
    ("SGD", {"lr": 0.1}, sgd(0.1)),
    ("SGD", {"lr": 0.1, "maximize": True}, sgd(0.1, sign=-1)),
    ("SGD", {"lr": 0.1, "momentum": 0.9}, sgd(0.1, 0.9)),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.25}, sgd(0.1, 0.9, 0.25)),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
     sgd(0.1, 0.9, decay=0.05, nesterov=True)),
    ("Adam", {"lr": 0.01}, adam(0.01)),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}, adam(0.01, 0.8, 0.9, 1e-3, 0.1)),
    ("Adam", {"lr": 0.01, "amsgrad": True}, adam(0.01, amsgrad=True)),
    ("AdamW", {"lr": 0.01}, adam(0.01, decay=0.01, decoupled=True)),
    ("NAdam", {"lr": 0.01}, nadam(0.01)),
    ("RAdam", {"lr": 0.01}, radam(0.01)),
    ("RAdam", {"lr": 0.01, "betas": (0.9, 0.9)}, radam(0.01, 0.9, 0.9)),
    ("Adamax", {"lr": 0.01}, adamax(0.01)),
    ("Lion", {"lr": 0.01, "weight_decay": 0.1}, lion(0.01, decay=0.1)),
    ("RMSprop", {"lr": 0.01}, rmsprop(0.01)),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True}, rmsprop(0.01, momentum=0.9, centered=True)),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}, adagrad(0.1, 0.1, 0.5)),
    ("Adadelta", {}, adadelta()),
    ("Rprop", {"lr": 0.1}, rprop(0.1)),
    ("ASGD", {"lr": 0.1}, asgd(0.1)),
]


@pytest.mark.parametrize(("name", "options", "rule"), CASES, ids=[f"{n}-{k}" for k, (n, _, _) in enumerate(CASES)])
def test_class_and_function_follow_the_formula(name, options, rule):
    expected = run_numpy(rule)
    for found in (run_class(getattr(pb.optim, name), **options),
                  run_functional(getattr(pb.optim.functional, name.lower()), **options)):
        for k, value in expected.items():
            np.testing.assert_allclose(found[k], value, rtol=1e-12, atol=1e-13)


def test_adafactor_factors_the_second_moment():
    p = pb.nn.Parameter(pb.tensor(START["w"]))
    optimizer = pb.optim.Adafactor([p], lr=0.01)
    g = gradient("w", START["w"], 1)
    p.grad = pb.tensor(g)
    optimizer.step()
    row, col = (g * g).mean(-1, keepdims=True), (g * g).mean(-2, keepdims=True)
    eps = np.finfo(np.float64).eps
    update = g / np.sqrt(np.maximum(row * col / np.maximum(row.mean(-2, keepdims=True), eps), eps * eps))
    size = np.sqrt(g.size)
    alpha = max(1e-3, np.linalg.norm(START["w"]) / size) * min(0.01, 1.0)
    expected = START["w"] - alpha / max(1.0, np.linalg.norm(update) / size) * update
    np.testing.assert_allclose(p.numpy(), expected, rtol=1e-12)
    assert optimizer.state[p]["row_var"].shape == (2, 1)
    assert optimizer.state[p]["col_var"].shape == (1, 3)


def test_muon_moves_along_a_nearly_orthogonal_matrix():
    start = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
    p = pb.nn.Parameter(pb.tensor(start))
    optimizer = pb.optim.Muon([p], lr=0.1, weight_decay=0.0)
    p.grad = pb.tensor(np.cos(start * 7))
    optimizer.step()
    moved = (start - p.numpy()) / 0.1 / np.sqrt(4 / 3)
    singular = np.linalg.svd(moved, compute_uv=False)
    assert 0.3 < singular.min() <= singular.max() < 1.4


def test_lbfgs_finds_the_minimum_of_rosenbrock():
    x = pb.nn.Parameter(pb.tensor(np.array([-1.2, 1.0])))
    optimizer = pb.optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    np.testing.assert_allclose(x.numpy(), [1, 1], atol=1e-4)


def test_half_precision_parameters_are_updated_in_float32():
    p = pb.nn.Parameter(pb.tensor(np.array([1.0], np.float16)))
    optimizer = pb.optim.Adam([p], lr=1e-2)
    p.grad = pb.tensor(np.array([1e-3], np.float16))  # its square is below the least float16
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), [0.99], rtol=1e-3)


@pytest.mark.parametrize("dtype", [pb.bfloat16, pb.float16])
def test_adafactor_takes_half_precision(dtype):
    params = [pb.nn.Parameter(pb.ones((2, 3), dtype=d)) for d in (dtype, pb.float32)]
    for p in params:
        p.grad = pb.tensor([[1.0, -2.0, 0.5], [0.25, 1.0, -1.0]], dtype=p.dtype)
        pb.optim.Adafactor([p], lr=0.1).step()
    assert params[0].dtype == dtype
    np.testing.assert_allclose(params[0].float().numpy(), params[1].numpy(), atol=0.02)


COMPLEX = [(name, {}) for name in ("SGD", "Adam", "NAdam", "RAdam", "Adamax", "Lion", "RMSprop", "Adadelta", "ASGD",
                                   "Rprop")]
COMPLEX += [("AdamW", {"amsgrad": True}), ("RMSprop", {"centered": True, "momentum": 0.9}),
            ("Adagrad", {"initial_accumulator_value": 0.1}), ("SGD", {"momentum": 0.9, "dampening": 0.5})]


@pytest.mark.parametrize("name,options", COMPLEX)
@pytest.mark.parametrize("count", [1, 3])
def test_both_parts_of_complex_parameters_are_stepped_as_real_numbers(name, options, count):
    rng = np.random.default_rng(0)
    start, *grads = (rng.standard_normal((count, 4)) + 1j * rng.standard_normal((count, 4)) for _ in range(9))
    whole = [pb.nn.Parameter(pb.tensor(x)) for x in start]
    parts = [[pb.nn.Parameter(pb.tensor(np.array(f(x)))) for x in start] for f in (np.real, np.imag)]
    optimizers = [getattr(pb.optim, name)(params, **options) for params in (whole, parts[0] + parts[1])]
    for g in grads:
        for k in range(count):
            whole[k].grad = pb.tensor(g[k])
            parts[0][k].grad, parts[1][k].grad = pb.tensor(np.array(g[k].real)), pb.tensor(np.array(g[k].imag))
        for optimizer in optimizers:
            optimizer.step()
    for k in range(count):
        np.testing.assert_allclose(whole[k].numpy(), parts[0][k].numpy() + 1j * parts[1][k].numpy(), rtol=1e-9)


def test_optimisers_of_whole_matrices_refuse_complex_parameters():
    for cls in (pb.optim.Muon, pb.optim.Adafactor):
        p = pb.nn.Parameter(pb.ones((2, 2), dtype=pb.complex64))
        p.grad = pb.ones_like(p)
        with pytest.raises(TypeError, match="does not support complex parameters"):
            cls([p]).step()


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_moves_both_parts_of_complex_parameters(search):
    target = np.array([1 - 2j, 0.5 + 1j])
    x = pb.nn.Parameter(pb.tensor(np.array([1 + 1j, 2 - 1j])))
    y = pb.nn.Parameter(pb.tensor(np.array([3.0])))
    optimizer = pb.optim.LBFGS([x, y], max_iter=20, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = (pb.abs(x - pb.tensor(target)) ** 2 * pb.tensor(np.array([1.0, 3.0]))).sum() + ((y - 2) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(x.numpy(), target, atol=1e-4)
    np.testing.assert_allclose(y.numpy(), [2], atol=1e-4)
