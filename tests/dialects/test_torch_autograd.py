"""`torch.autograd` and `torch.func`: products with derivatives, and checks of derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pullback.torch as torch
import pytest
from pullback.torch import nn
from pullback.torch.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp

from pullback.util.errors import ArgumentError, GradientError, ScalarOutputError, ValueError_

T: Any = torch


@pytest.fixture
def x() -> Any:
    return torch.tensor([1.0, 2.0], requires_grad=True)


y = torch.tensor([3.0, 4.0])
v = torch.tensor([1.0, -1.0])


def both(a: Any, b: Any) -> Any:
    return a * b, (a ** 2).sum() * b


def lists(tree: Any) -> Any:
    return tuple(map(lists, tree)) if isinstance(tree, tuple) else tree.tolist()


def test_products_with_derivatives(x: Any) -> None:
    for product in (hvp, vhp):
        assert lists(product(lambda a: (a ** 3).sum(), x, v)) == (9, [6, -12])
        assert lists(product(lambda a, b: (a * a * b).sum(), (x, y), (v, v))) == (19, ([8, -12], [2, -4]))
    assert lists(jvp(both, (x, y), (v, v))) == (([3, 8], [15, 20]), ([4, -6], [-1, -13]))
    assert lists(vjp(both, (x, y), (v, v))) == (([3, 8], [15, 20]), ([1, -8], [6, -7]))
    assert lists(hvp(lambda a: a ** 3, torch.tensor([2.0]))) == ([8], [12])


def test_results_have_history_where_it_is_asked_for(x: Any) -> None:
    def cubes(a: Any) -> Any:
        return (a ** 3).sum()

    for product in (hvp, vhp, jvp):
        assert not any(t.requires_grad for t in product(cubes, x, v))
        assert all(t.requires_grad for t in product(cubes, x, v, create_graph=True))
    assert not jacobian(cubes, x).requires_grad and jacobian(cubes, x, create_graph=True).requires_grad
    assert not hessian(cubes, x).requires_grad and hessian(cubes, x, create_graph=True).requires_grad
    assert jacobian(lambda a: a ** 2, x, strategy="forward-mode", vectorize=True).tolist() == [[2, 0], [0, 4]]


def test_vectors_may_be_left_out_for_single_numbers(x: Any) -> None:
    assert lists(vjp(lambda a: (a ** 3).sum(), x)) == (9, [3, 12])
    for product in (jvp, hvp):
        with pytest.raises(ScalarOutputError, match="single number"):
            product(lambda a: (a ** 3).sum(), x)
    with pytest.raises(ScalarOutputError, match="single number"):
        vjp(lambda a: a * 2, x)
    with pytest.raises(ScalarOutputError, match="single element"):
        hvp(lambda a: a * 2, x, v)
    with pytest.raises(ArgumentError, match="tuple of tensors"):
        vjp(lambda a: a, [x])  # type: ignore[arg-type]


def test_jacobians_with_what_is_not_differentiated() -> None:
    for build in (torch.func.jacrev, torch.func.jacfwd):
        found, total = build(lambda a: (a ** 2, {"sum": a.sum()}), has_aux=True)(y)
        assert found.tolist() == [[6, 0], [0, 8]] and total["sum"].item() == 7
    (_, second), total = torch.func.jacrev(lambda a: ((a ** 2, a), a.sum()), has_aux=True, chunk_size=1)(y)
    assert second.tolist() == [[1, 0], [0, 1]] and total.item() == 7


def test_a_batch_in_chunks() -> None:
    calls: list[int] = []

    def twice(a: Any) -> Any:
        calls.append(1)
        return a["k"] * 2

    assert torch.vmap(twice, chunk_size=2)({"k": torch.arange(5.0)}).tolist() == [0, 2, 4, 6, 8]
    assert torch.func.vmap(lambda a: a + 1, chunk_size=9)(y).tolist() == [4, 5]
    products, sums = torch.vmap(lambda a, b: (a * b, a + b), in_dims=(1, None), out_dims=(1, 0),
                                chunk_size=2)(torch.arange(10.0).view(2, 5), v)
    assert products.tolist() == [[0, 1, 2, 3, 4], [-5, -6, -7, -8, -9]] and sums.shape == (5, 2)
    with pytest.raises(ValueError_, match="chunk_size"):
        torch.vmap(twice, chunk_size=0)
    with pytest.raises(ValueError_, match="randomness"):
        torch.vmap(twice, randomness="some")


def test_an_ensemble_of_modules() -> None:
    models = [nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.BatchNorm1d(2)]
    parameters, buffers = torch.func.stack_module_state(models)
    assert {name: (tuple(p.shape), p.requires_grad, p.is_leaf) for name, p in parameters.items()} == {
        "weight": ((3, 2), True, True), "bias": ((3, 2), True, True)}
    assert {name: (tuple(b.shape), b.requires_grad) for name, b in buffers.items()} == {
        "running_mean": ((3, 2), False), "running_var": ((3, 2), False), "num_batches_tracked": ((3,), False)}
    lines = [nn.Linear(2, 1) for _ in range(3)]
    stacked, _ = torch.func.stack_module_state(lines)
    found = torch.vmap(lambda p, a: torch.func.functional_call(lines[0], p, (a,)), (0, None))(stacked, torch.ones(4, 2))
    assert torch.allclose(found, torch.stack([m(torch.ones(4, 2)) for m in lines]))
    models[0].eval()
    for wrong in ([], models, [lines[0], nn.ReLU()]):
        with pytest.raises(ValueError_, match="stack_module_state"):
            torch.func.stack_module_state(wrong)


def test_gradients_flow_into_the_arguments_of_grad(x: Any) -> None:
    seed = torch.ones(2, requires_grad=True)
    first, = torch.autograd.grad(x ** 3, x, seed, create_graph=True, only_inputs=True)
    assert lists(torch.autograd.grad(first.sum(), (x, seed))) == ([6, 12], [3, 12])
    (x ** 2).backward(seed, create_graph=True)
    x.grad.sum().backward()
    assert seed.grad.tolist() == [2, 4]


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x ** 2

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, = ctx.saved_tensors
        return gradients[0] * (2 * x.detach() + 0 * x)  # right, but with no derivative of its own


def test_second_gradients_are_checked() -> None:
    check, check_twice = T.autograd.gradcheck, T.autograd.gradgradcheck
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert check(lambda a: a ** 3, (x,), fast_mode=True, nondet_tol=1e-3, check_batched_grad=True)
    assert check_twice(lambda a: a ** 3, (x,), fast_mode=True)
    assert check_twice(lambda a, b: a * b, (x, x.detach().requires_grad_()))
    assert check(Wrong.apply, (x,)) and not check_twice(Wrong.apply, (x,), raise_exception=False)
    with pytest.raises(GradientError, match="mismatch"):
        check_twice(Wrong.apply, (x,))


STEPS: dict[str, Any] = {
    **{name: getattr(T, name) for name in ("floor", "ceil", "round", "trunc", "fix", "sign", "sgn")},
    "decimals": lambda a: torch.round(a, decimals=1),
    "divided": lambda a: torch.div(a, 2, rounding_mode="floor") + torch.div(a, 2, rounding_mode="trunc"),
    "in place": lambda a: (a * 2).round_().sign_(),
    "quantised": lambda a: (a / 3).round().clamp(-1, 1) * 3,
    "drawn": lambda a: torch.bernoulli(a / 10) + torch.poisson(a),
    "placed": lambda a: T.nn.functional.grid_sample(torch.ones(1, 1, 2, 2), a.reshape(1, 1, 1, 2) / 4, mode="nearest",
                                                    align_corners=False),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_changes_by_steps_has_a_gradient_of_zeros(name: str, x: Any) -> None:
    y = STEPS[name](x)
    assert y.requires_grad and torch.autograd.grad(y.sum(), x)[0].tolist() == [0, 0]
    STEPS[name](x).sum().backward()
    assert x.grad.tolist() == [0, 0]


def test_zeros_go_on_to_what_is_behind_and_nowhere_else(x: Any) -> None:
    line, other, seen = nn.Linear(2, 3), nn.Linear(2, 3), torch.ones(3, requires_grad=True)
    middle = line(x)
    assert len(middle.tolist()) == 3  # launched half-way
    middle.retain_grad()
    ((middle.sign() + other(x).detach()) * (seen > 0)).sum().backward()
    assert line.weight.grad.tolist() == [[0, 0]] * 3 and x.grad.tolist() == [0, 0] == middle.grad.tolist()[:2]
    assert other.weight.grad is None and seen.grad is None
    straight = x + (x.round() - x).detach()
    assert torch.autograd.grad((straight * x.floor()).sum(), x)[0].tolist() == [1, 2]
    with pytest.raises(GradientError, match="not used"):
        torch.autograd.grad(x.floor().sum(), seen)


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 7])
def test_jacobians_in_chunks(chunk_size: int | None) -> None:
    jacrev, seen = torch.func.jacrev, []

    def cubes(a: Any) -> Any:
        seen.append(1)
        return a ** 3

    assert jacrev(cubes, chunk_size=chunk_size)(torch.tensor([1.0, 2.0, 3.0])).tolist() == [[3, 0, 0], [0, 12, 0],
                                                                                           [0, 0, 27]]
    assert len(seen) == 1
    (one, two), rest = jacrev(lambda a, b: (a * b.sum(), {"s": a.sum()}), (0, 1), chunk_size=chunk_size)(
        torch.ones(2), torch.ones(3))
    assert one.tolist() == [[3, 0], [0, 3]] and two.tolist() == [[1, 1, 1]] * 2
    assert lists(rest["s"]) == ([1, 1], [0, 0, 0])
    found = jacrev(lambda a: (a * a).sum(0), chunk_size=chunk_size)(torch.ones(2, 2))
    assert found.tolist() == [[[2, 0], [2, 0]], [[0, 2], [0, 2]]]
    with pytest.raises(ValueError_, match="greater than 0"):
        jacrev(cubes, chunk_size=0)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_random_numbers_of_mapped_functions(chunk_size: Any) -> None:
    def noisy(x: Any, scale: Any = 1.0) -> Any:
        return x + scale * torch.rand(2)

    x = torch.zeros(5, 2)
    torch.manual_seed(0)
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        torch.vmap(noisy, chunk_size=chunk_size)(x)
    same = torch.vmap(noisy, randomness="same", chunk_size=chunk_size)(x).numpy()
    assert (same == same[0]).all()
    different = torch.vmap(noisy, randomness="different", chunk_size=chunk_size)(x).numpy()
    assert len(np.unique(different)) == 10
    dropped = torch.vmap(lambda a: torch.nn.functional.dropout(a, 0.5), randomness="different")(torch.ones(4, 60))
    assert len({tuple(row) for row in dropped.tolist()}) == 4
    scaled = torch.vmap(noisy, randomness="same", chunk_size=chunk_size)(x, scale=torch.zeros(2))
    assert (scaled == 0).all()


# -- what tutorials do -------------------------------------------------------------------------------------------------

def test_gradients_for_any_iterable(x: Any) -> None:
    weights = {"b": x, "a": (x * 2).detach().requires_grad_()}
    loss = (weights["b"] * weights["a"]).sum()
    assert lists(torch.autograd.grad(loss, weights.values(), retain_graph=True)) == ([2, 4], [1, 2])
    assert lists(torch.autograd.grad((v for v in [loss]), x)) == ([2, 4],)
    assert lists(torch.autograd.grad(x, x, x)) == ([1, 2],)


class Linear(torch.autograd.Function):
    """PyTorch's own example: one gradient per parameter of `forward`, though `bias` may have been left out."""

    extra: Any = None

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, weight = ctx.saved_tensors
        return g * weight, g * x, Linear.extra


def test_gradients_of_arguments_left_out_are_none(x: Any) -> None:
    Linear.apply(x, y).sum().backward()
    assert x.grad.tolist() == [3, 4]
    Linear.extra = y
    with pytest.raises(GradientError, match="a gradient per argument"):
        Linear.apply(x, v).sum().backward()
    Linear.extra = None


PARTS: Any = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 4.0])}


def parts(p: Any) -> Any:
    assert list(p) == ["w", "b"]
    return {"z": p["w"] * p["b"], "a": p["w"].sum()}


def total(p: Any) -> Any:
    return sum(part.sum() for part in parts(p).values())


def test_dicts_keep_the_order_of_their_keys() -> None:
    f = torch.func
    assert list(f.grad(total)(PARTS)) == ["w", "b"]
    assert lists(tuple(f.grad(total)(PARTS).values())) == ([4, 5], [1, 2])
    gradients, aux = f.grad(lambda p: (total(p), parts(p)), has_aux=True)(PARTS)
    assert list(gradients) == ["w", "b"] and list(aux) == ["z", "a"]
    assert list(f.grad_and_value(total)(PARTS)[0]) == ["w", "b"]
    assert [list(g) for g in f.grad(lambda p, k, q: total(q) + total(p), (2, 0))(PARTS, 1, PARTS)] == [["w", "b"]] * 2
    result, pull = f.vjp(parts, PARTS)
    assert list(result) == ["z", "a"] and list(pull({"a": torch.tensor(1.0), "z": v})[0]) == ["w", "b"]
    assert [list(r) for r in f.jvp(parts, (PARTS,), (PARTS,))] == [["z", "a"]] * 2
    for jacobian_of in (f.jacrev, f.jacfwd):
        found = jacobian_of(parts)(PARTS)
        assert list(found) == ["z", "a"] and [list(x) for x in found.values()] == [["w", "b"]] * 2
    assert [list(x) for x in f.hessian(total)(PARTS).values()] == [["w", "b"]] * 2


@pytest.mark.parametrize("chunk", [None, 1])
def test_mapped_dicts_keep_the_order_of_their_keys(chunk: Any) -> None:
    vmap = torch.vmap
    found = vmap(parts, chunk_size=chunk)(PARTS)
    assert list(found) == ["z", "a"] and lists(tuple(found.values())) == ([3, 8], [1, 2])
    found = vmap(parts, in_dims=({"b": 0, "w": None},), out_dims={"a": 0, "z": 0}, chunk_size=chunk)(PARTS)
    assert list(found) == ["z", "a"] and found["z"].tolist() == [[3, 6], [4, 8]] and found["a"].tolist() == [3, 3]
    batched = {name: torch.stack([value] * 3) for name, value in PARTS.items()}
    assert [tuple(x.shape) for x in vmap(torch.func.grad(total), chunk_size=chunk)(batched).values()] == [(3, 2)] * 2


def test_keywords_are_not_mapped() -> None:
    assert torch.vmap(lambda x, scale: x * scale)(y, scale=2).tolist() == [6, 8]


STRICT: dict[str, Any] = {
    "constant": lambda a, b: torch.ones(()), "detached": lambda a, b: (a + b).detach().sum(), "first": lambda a, b: (
        a * a).sum(), "linear": lambda a, b: (a + b).sum(), "half": lambda a, b: (a * a).sum() + b.sum(),
    "apart": lambda a, b: (a * a).sum() + (b * b).sum(), "product": lambda a, b: (a * a * b).sum(),
    "power": lambda a, b: (a * a * b * b).sum(), "steps": lambda a, b: a.floor().sum() + b.sum()}
#: what PyTorch computes in strict mode, where j, v, w, h and p are jacobian, vjp, jvp, hessian, and hvp as vhp; J, V
#: and W the first three with create_graph. It refuses the others. jvp of steps is refused there, for how it is computed
TAKEN = {"constant": "", "detached": "", "first": "", "linear": "jvw", "half": "jvwW", "apart": "jvwJVWp",
         "product": "jvwJVWp", "power": "jvwJVWhp", "steps": "jvw"}
DERIVATIVES: dict[str, Any] = {
    "j": jacobian, "v": vjp, "w": lambda f, x, **k: jvp(f, x, (v, v), **k), "h": hessian,
    "p": lambda f, x, **k: (hvp(f, x, (v, v), **k), vhp(f, x, (v, v), **k))}


@pytest.mark.parametrize("name", STRICT)
def test_strict_derivatives_are_of_what_depends_on_every_input(name: str, x: Any) -> None:
    for letter in "jvwJVWhp":
        def find(letter: str = letter, **options: Any) -> Any:
            return DERIVATIVES[letter.lower()](STRICT[name], (x, y), create_graph=letter.isupper(), **options)

        if letter in TAKEN[name]:
            assert lists(find(strict=True)) == lists(find())
            continue
        with pytest.raises(RuntimeError, match=r"does not require gradients|is independent of input"):
            find(strict=True)
        find()


def test_strict_jacobians_look_at_each_output(x: Any) -> None:
    with pytest.raises(RuntimeError, match="output 1 of the function does not require"):
        jacobian(lambda a: (a * 2, torch.ones(2)), x, strict=True)
    with pytest.raises(RuntimeError, match="output 1 of the function is independent of input 0"):
        jacobian(lambda a, b: (a * b, b * 2), (x, y), strict=True)
    assert lists(vjp(lambda a, b: (a * b, b * 2), (x, y), (v, v), strict=True)[1]) == ([3, -4], [3, -4])
    assert jacobian(lambda a: a, x, strict=True).tolist() == [[1, 0], [0, 1]]
    for options in ({"vectorize": True}, {"strategy": "forward-mode"}):
        with pytest.raises(RuntimeError, match="strict=True is not supported"):
            jacobian(lambda a: a * 2, x, strict=True, **options)


#: what replaces every element: PyTorch gives zeros to what was before
WHOLE: list[Any] = [lambda y: y.fill_(2.0), lambda y: y.zero_(), lambda y: y.copy_(torch.ones(3)),
                    lambda y: y.__setitem__(slice(None), 5.0), lambda y: y.__setitem__(Ellipsis, 5.0),
                    lambda y: (y[0].fill_(5.0), y[1:].zero_()), lambda y: y.view(3, 1).fill_(2.0),
                    lambda y: y.normal_(), lambda y: y.uniform_(), lambda y: y.bernoulli_(), T.zero_,
                    lambda y: y.masked_fill_(torch.tensor([True, True, True]), 1.0)]


@pytest.mark.parametrize("replace", WHOLE)
def test_what_was_replaced_as_a_whole_has_gradients_of_zero(replace: Any) -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    replace(y)
    assert y.requires_grad
    (y * y + 3 * x[1]).sum().backward()
    assert x.grad.tolist() == [0, 9, 0]
    z = x * 2
    replace(z)
    assert torch.autograd.grad((z * z).sum(), x)[0].tolist() == [0, 0, 0]


def test_a_tensor_of_one_number_that_fills_another_has_a_gradient() -> None:
    x, c = torch.tensor([1.0, 2.0, 3.0], requires_grad=True), torch.tensor(3.0, requires_grad=True)
    y = (x * 2).fill_(c)
    (y * y).sum().backward()
    assert (x.grad.tolist(), c.grad.item()) == ([0, 0, 0], 18)
    fresh = torch.ones(3)
    fresh.fill_(c)
    assert fresh.requires_grad
    with pytest.raises(GradientError, match="leaf"):
        x.zero_()


@pytest.mark.parametrize(("numbers", "median", "whole", "along", "skipping"), [
    ([1.0, 2.0, 2.0, 3.0], 2, [0, 0.5, 0.5, 0], [0, 1, 0, 0], [0, 0.5, 0.5, 0]),
    ([2.0, 2.0, 2.0, 2.0], 2, [0.25] * 4, [0, 1, 0, 0], [0.25] * 4), ([5.0], 5, [1], [1], [1]),
    ([1.0, 3.0, 2.0], 2, [0, 0, 1], [0, 0, 1], [0, 0, 1]),
    ([1.0, np.nan, np.nan, 2.0, 1.0], np.nan, [0, 0.5, 0.5, 0, 0], None, [0.5, 0, 0, 0, 0.5])])
def test_elements_equal_to_the_median_of_all_share_its_gradient(numbers: Any, median: float, whole: Any, along: Any,
                                                                skipping: Any) -> None:
    def slope(find: Any, shape: Any = (-1,)) -> Any:
        x = torch.tensor(numbers).reshape(shape).requires_grad_()
        found = find(x)
        return found.item(), torch.autograd.grad(found, x)[0].reshape(-1).tolist()

    np.testing.assert_equal(slope(torch.median), (median, whole))
    np.testing.assert_equal(slope(torch.median, (1, -1)), (median, whole))
    assert slope(lambda x: x.nanmedian())[1] == skipping
    if along is not None:
        assert slope(lambda x: x.median(0).values) == (median, along)
        assert slope(lambda x: x.nanmedian(0).values) == (median, along)


def test_the_share_of_a_median_is_differentiated_mapped_and_pushed_forward() -> None:
    x = torch.tensor([1.0, 2.0, 2.0, 3.0], requires_grad=True)
    first, = torch.autograd.grad((x * x).median(), x, create_graph=True)
    first.sum().backward()
    assert (first.tolist(), x.grad.tolist()) == ([0, 2, 2, 0], [0, 1, 1, 0])
    assert [v.item() for v in torch.func.jvp(lambda a: a.median(), (x.detach(),), (
        torch.tensor([1.0, 2.0, 4.0, 8.0]),))] == [2, 3]
    rows = torch.tensor([[1.0, 2.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0]])
    assert torch.func.vmap(torch.func.grad(lambda a: a.median()))(rows).tolist() == [[0, 0.5, 0.5, 0], [0.25] * 4]
    assert torch.tensor([1, 2, 2, 3]).median().item() == 2 and torch.zeros(0).median().isnan().item()
