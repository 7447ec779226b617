"""Every sample of every primitive: reference, derivatives, batching, text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import (
    ENTRIES,
    IDS,
    RUNNERS,
    active_of,
    agree,
    close,
    compiled,
    difference,
    directions,
    function_of,
    has_native,
    moved,
    smooth,
    spread,
    ulps,
)

from pullback.ir.dtypes import bool_, complex128
from pullback.ir.node import Function, Op, TensorType, apply, evaluate, param, verify
from pullback.ir.parser import parse
from pullback.ir.printer import to_text
from pullback.ops.control import Custom
from pullback.ops.map import Map
from pullback.ops.registry import MAKERS, completeness
from pullback.ops.scalar import ROWS
from pullback.transforms import batch, jvp, transpose, vjp
from pullback.util.errors import CompileError, GradientError

entry = pytest.mark.parametrize(("name", "op", "arrays"), ENTRIES, ids=IDS)
SMOOTH = [e for e in ENTRIES if smooth(function_of(e[1], e[2]), e[2]) and e[1].name != "custom_linear"]
def _backward_only(op: Op) -> bool:
    """Whether a user gave the rule of the cotangents only, so that the tangent program cannot run."""
    return isinstance(op, Custom) and op.jvp_rule is None and op.vjp_rule is not None


LINEAR = [e for e in SMOOTH if e[1].name != "while" and not _backward_only(e[1])]
# One sample of a row is enough where the question is batching: rows are elementwise.
BATCHED = [e for e in ENTRIES if e[2] and (e[1].name != "map" or len(e[2][0].shape) == 1)]
BACKWARD = [e for e in SMOOTH if e[1].name != "while" and (e[1].name != "map" or len(e[2][0].shape) == 1)]
differentiable = pytest.mark.parametrize(("name", "op", "arrays"), SMOOTH, ids=[e[0] for e in SMOOTH])


def test_completeness_has_no_holes() -> None:
    assert [cell for cell, text in completeness().items() if not text] == []


@entry
@pytest.mark.parametrize("runner", RUNNERS)
def test_runs(name: str, op: Op, arrays: list[Any], runner: str) -> None:
    function = function_of(op, arrays)
    verify(function)
    wanted = evaluate(function, *arrays)
    if runner != "reference" and not has_native(function):
        with pytest.raises(CompileError, match="no native code"):
            RUNNERS[runner](function, *arrays)
        return
    found = RUNNERS[runner](function, *arrays)
    units = 0.0 if runner == "reference" else ulps(function)
    for x, y, type_ in zip(found, wanted, function.out_types, strict=True):
        assert x.shape == type_.shape
        assert x.dtype == type_.dtype.numpy
        agree(x, y, units)


@pytest.mark.parametrize("order", [1, 2])
@differentiable
def test_compiled_gradients(name: str, op: Op, arrays: list[Any], order: int) -> None:
    if op.name == "while" or _backward_only(op):
        pytest.skip("no reverse mode, or no derivative of a backward rule")
    function, every = function_of(op, arrays), list(arrays)
    for k in range(order):
        active = active_of(function)
        wrt = tuple(j for j, on in enumerate(active[:len(arrays)]) if on)
        outputs = tuple(j for j, t in enumerate(function.out_types) if t.dtype.name == "float64")
        rng = np.random.default_rng(3 + k)
        every += [rng.normal(size=function.out_types[j].shape) for j in outputs]
        function = vjp(function, wrt, outputs)
    for x, y in zip(compiled(function, *every), evaluate(function, *every), strict=True):
        close(x, y, 1e-11)


@entry
def test_text_round_trip(name: str, op: Op, arrays: list[Any]) -> None:
    function = function_of(op, arrays)
    text = to_text(function)
    if "<" in text:
        pytest.skip("a user's rule has no text")
    again = parse(text, MAKERS)
    assert to_text(again) == text
    assert again == function


@differentiable
def test_jvp_is_the_finite_difference(name: str, op: Op, arrays: list[Any]) -> None:
    function = function_of(op, arrays)
    active = active_of(function)
    steps = directions(arrays, active, 0)
    tangent, flags = jvp(function, active)
    verify(tangent)
    if _backward_only(op):
        with pytest.raises(GradientError, match="backward rule only"):
            evaluate(tangent, *arrays, *steps)
        return
    results = evaluate(tangent, *arrays, *steps)
    found = spread(results[len(flags):], flags)
    for t, d in zip(found, difference(function, arrays, active, steps), strict=True):
        if d is not None and not _kinked(op):
            close(np.zeros_like(d) if t is None else t, d)


def _kinked(op: Op) -> bool:
    """Whether finite differences meet a discontinuity, or a derivative that is zero by definition."""
    return isinstance(op, Map) and bool(ROWS[op.row].why)


@differentiable
def test_vjp_is_the_transpose_of_jvp(name: str, op: Op, arrays: list[Any]) -> None:
    if op.name == "while" or _backward_only(op):
        pytest.skip("the transpose or the tangent program is absent")
    function = function_of(op, arrays)
    active = active_of(function)
    wrt = tuple(k for k, on in enumerate(active) if on)
    outputs = tuple(k for k, t in enumerate(function.out_types) if t.dtype.name == "float64")
    steps = directions(arrays, active, 1)
    cts = [np.random.default_rng(2 + k).normal(size=function.out_types[k].shape) for k in outputs]
    tangent, flags = jvp(function, active)
    touts = spread(evaluate(tangent, *arrays, *steps)[len(flags):], flags)
    gradient = vjp(function, wrt, outputs)
    verify(gradient)
    forward = sum(float(np.sum(ct * touts[k])) for k, ct in zip(outputs, cts, strict=True) if touts[k] is not None)
    found = evaluate(gradient, *arrays, *cts)
    close(sum(float(np.sum(g * s)) for g, s in zip(found, steps, strict=True)), forward, 1e-9)


@differentiable
def test_second_order_is_the_difference_of_the_gradient(name: str, op: Op, arrays: list[Any]) -> None:
    if op.name in ("while", "stop_gradient"):
        pytest.skip("no reverse mode, or a derivative that is zero by definition")
    function = function_of(op, arrays)
    active = active_of(function)
    wrt = tuple(k for k, on in enumerate(active) if on)
    outputs = tuple(k for k, t in enumerate(function.out_types) if t.dtype.name == "float64")
    cts = [np.random.default_rng(5 + k).normal(size=function.out_types[k].shape) for k in outputs]
    gradient = vjp(function, wrt, outputs)
    every, on = [*arrays, *cts], (*active, *(False,) * len(cts))
    steps = directions(arrays, active, 6)
    tangent, flags = jvp(gradient, on)
    found = spread(evaluate(tangent, *every, *steps)[len(flags):], flags)
    for t, d in zip(found, difference(gradient, every, on, steps), strict=True):
        assert d is not None
        close(np.zeros_like(d) if t is None else t, d, 1e-4)


@pytest.mark.parametrize(("name", "op", "arrays"), LINEAR, ids=[e[0] for e in LINEAR])
def test_transpose_of_the_tangent_program(name: str, op: Op, arrays: list[Any]) -> None:
    function = function_of(op, arrays)
    active = active_of(function)
    both, flags = jvp(function, active)
    program = Function(both.params, both.results[len(flags):])
    linear = (*(False,) * len(arrays), *(True,) * sum(active))
    back = transpose(program, linear)
    verify(back)
    steps = directions(arrays, active, 3)
    cts = [np.random.default_rng(7).normal(size=t.shape) for t in program.out_types]
    touts, found = evaluate(program, *arrays, *steps), evaluate(back, *arrays, *cts)
    left = sum(float(np.sum(x * y)) for x, y in zip(touts, cts, strict=True))
    close(sum(float(np.sum(x * y)) for x, y in zip(found, steps, strict=True)), left, 1e-9)


def _batchings(count: int) -> list[tuple[bool, ...]]:
    alone = [tuple(j == k for j in range(count)) for k in range(count)]
    return list(dict.fromkeys([(True,) * count, *alone]))


@pytest.mark.parametrize(("name", "op", "arrays"), BATCHED, ids=[e[0] for e in BATCHED])
def test_batch_is_a_loop(name: str, op: Op, arrays: list[Any]) -> None:
    function = function_of(op, arrays)
    for flags in _batchings(len(arrays)):
        _check_batch(function, arrays, flags)


def _check_batch(function: Function, arrays: list[Any], flags: tuple[bool, ...], size: int = 3) -> None:
    rng = np.random.default_rng(0)
    stacked = [np.stack([_varied(x, rng) for _ in range(size)]) if k else x for x, k in zip(arrays, flags, strict=True)]
    mapped, out = batch(function, flags, size)
    verify(mapped)
    found = evaluate(mapped, *stacked)
    for t in range(size):
        wanted = evaluate(function, *(x[t] if k else x for x, k in zip(stacked, flags, strict=True)))
        for x, y, k in zip(found, wanted, out, strict=True):
            np.testing.assert_allclose(x[t] if k else x, y, rtol=1e-6, atol=1e-9)


def _varied(x: Any, rng: Any) -> Any:
    """Another array of the kind: shuffled, so that it stays in the domain."""
    return rng.permutation(x.reshape(-1)).reshape(x.shape).astype(x.dtype)


@pytest.mark.parametrize(("name", "op", "arrays"), BACKWARD, ids=[e[0] for e in BACKWARD])
def test_batched_gradient_is_a_loop(name: str, op: Op, arrays: list[Any]) -> None:
    function = function_of(op, arrays)
    active = active_of(function)
    outputs = tuple(k for k, t in enumerate(function.out_types) if t.dtype.name == "float64")
    gradient = vjp(function, tuple(k for k, on in enumerate(active) if on), outputs)
    cts = [np.random.default_rng(8).normal(size=function.out_types[k].shape) for k in outputs]
    _check_batch(gradient, [*arrays, *cts], (*active, *(True,) * len(cts)), 2)


@pytest.mark.parametrize("row", [r.name for r in ROWS.values() if r.kinds.endswith("c") and any(r.derivative)])
def test_complex_derivative_is_the_difference(row: str) -> None:
    info = ROWS[row]
    rng = np.random.default_rng(0)
    domain = info.domain or ((-1, 1),) * info.arity
    xs = [rng.uniform(low, high, 4) + 1j * rng.uniform(-0.2, 0.2, 4) for low, high in domain]
    if info.predicate:
        xs[0] = np.asarray([True, False, True, True])
    types = [TensorType.of((4,), bool_ if x.dtype.kind == "b" else complex128) for x in xs]
    params = [param(t) for t in types]
    function = Function(params, [apply(Map(row, (3,) if info.statics else ()), *params)])
    active = tuple(t.dtype is complex128 for t in types)
    steps = [rng.normal(size=4) + 1j * rng.normal(size=4) for on in active if on]
    tangent, flags = jvp(function, active)
    if not flags[0]:
        return
    found = evaluate(tangent, *xs, *steps)[1]
    ahead, behind = (evaluate(function, *moved(xs, active, steps, s))[0] for s in (1e-5, -1e-5))
    close(found, (ahead - behind) / 2e-5)
