"""How many kernels known graphs become, and that they compute what the graphs mean."""

from __future__ import annotations

import inspect
import sys

import numpy as np
import pytest
from tests.programs import check, floats, layer_norm, linear, mlp_step, randoms, run, softmax

import pullback as pb
import pullback.ops.build as b
from pullback.ir.dtypes import float32
from pullback.ir.node import Function, Node, TensorType, param
from pullback.kernel.nodes import For, walk
from pullback.kernel.signature import signature
from pullback.runtime.native import native
from pullback.schedule.plan import Options, plan
from pullback.schedule.roots import Roots


def count(function: Function, kind: str = "", **options: object) -> int:
    program = check(function, *randoms(function), **options)
    return sum(k.kind == kind or not kind for k in program.kernels)


def test_elementwise_chain_is_one_kernel() -> None:
    x, y = floats(40, 30), floats(30)
    z = b.unary("tanh", b.add(b.mul(x, x), b.broadcast(y, x.shape, (1,))))
    assert count(Function([x, y], [z, b.neg(z), b.exp(z)])) == 1


def test_softmax_is_one_kernel() -> None:
    x = floats(33, 50)
    assert count(Function([x], [softmax(x)])) == 1


def test_layer_norm_is_one_kernel() -> None:
    x, g, s = floats(32, 48), floats(48), floats(48)
    assert count(Function([x, g, s], [layer_norm(x, g, s)])) == 1


def test_softmax_then_layer_norm_then_residual_is_one_kernel() -> None:
    x, g, s = floats(64, 24), floats(24), floats(24)
    assert count(Function([x, g, s], [b.add(layer_norm(softmax(x), g, s), x)])) == 1


def test_cross_entropy_rows_are_one_kernel() -> None:
    x, t = floats(30, 10), floats(30, 10)
    p = b.log(softmax(x))
    rows = b.reduce("add", b.mul(p, t), (1,))
    assert count(Function([x, t], [rows, b.sub(b.exp(p), t)])) == 1


def test_bias_and_activation_are_in_the_epilogue() -> None:
    x, w, bias = floats(33, 20), floats(20, 40), floats(40)
    h = b.maximum(linear(x, w, bias), b.zeros((33, 40), float32))
    assert count(Function([x, w, bias], [h, b.neg(h)])) == 1


def test_update_is_in_the_epilogue_of_the_gradient() -> None:
    x, g, w = floats(33, 20), floats(33, 40), floats(20, 40)
    dw = b.contract(b.transpose(x, (1, 0)), b.transpose(g, (1, 0)), 0, 1)
    new = b.sub(w, b.mul(b.scalar_like(dw, 0.1), dw))
    function = Function([x, g, w], [new])
    program = check(function, *randoms(function), donated=frozenset([2]))
    assert len(program.kernels) == 1
    assert program.alias == {0: 2}


def test_update_by_a_gradient_computed_transposed_is_in_its_epilogue() -> None:
    x, g, w = floats(33, 20), floats(33, 40), floats(20, 40)
    dw = b.transpose(b.contract(b.transpose(g, (1, 0)), b.transpose(x, (1, 0)), 0, 1), (1, 0))
    function = Function([x, g, w], [b.sub(w, b.mul(b.scalar_like(dw, 0.1), dw))])
    program = check(function, *randoms(function), donated=frozenset([2]))
    assert len(program.kernels) == 1
    assert program.alias == {0: 2}


def test_a_computed_operand_is_not_stored_transposed() -> None:
    """What the hidden gradient's mask costs to compute is no reason to keep another arrangement of it."""
    x, h, g, w = floats(20, 200), floats(20, 16), floats(20, 24), floats(16, 24)
    back = b.contract(g, w, 0, 1)
    masked = b.select(b.binary("gt", h, b.zeros((20, 16), float32)), b.mul(b.add(back, h), b.sub(back, h)), h)
    dw = b.contract(b.transpose(x, (1, 0)), b.transpose(masked, (1, 0)), 0, 1)
    assert count(Function([x, h, g, w], [dw])) == 2


def test_an_update_by_a_computed_rate_is_in_the_epilogue() -> None:
    x, g, w, rate = floats(33, 20), floats(33, 40), floats(20, 40), floats()
    dw = b.contract(b.transpose(x, (1, 0)), b.transpose(g, (1, 0)), 0, 1)
    moved = b.add(w, dw)
    scale = b.broadcast(b.unary("tanh", b.unary("exp", rate)), (20, 40), ())
    program = check(function := Function([x, g, w, rate], [moved, b.sub(w, b.mul(scale, moved))]), *randoms(function))
    assert sorted(k.kind for k in program.kernels) == ["loops", "matmul"]
    assert next(k for k in program.kernels if k.kind == "loops").nbytes < 64


@pytest.mark.parametrize("turned", [False, True])
def test_a_long_sum_for_few_results_is_in_two_parts(turned: bool) -> None:
    """The parts are by shape, so the bits are those of any number of threads."""
    x, w, bias = floats(*((1000, 64) if turned else (64, 1000))), floats(1000, 100), floats(100)
    y = b.contract(b.transpose(x, (1, 0)) if turned else x, b.transpose(w, (1, 0)), 0, 1)
    function = Function([x, w, bias], [b.unary("tanh", b.add(y, b.broadcast(bias, (64, 100), (1,))))])
    program = check(function, *randoms(function, scale=0.1))
    assert [k.kind for k in program.kernels] == ["matmul", "loops"]
    arrays = randoms(function, scale=0.1)
    before, bits = native().num_threads, set[bytes]()
    for threads in (1, 2, before):
        native().set_num_threads(threads)
        bits.add(run(program, *arrays)[0].tobytes())
    assert len(bits) == 1


def test_inner_size_one_is_no_matrix_product() -> None:
    x, w = floats(50, 1), floats(1, 30)
    y = b.unary("tanh", b.contract(x, b.transpose(w, (1, 0)), 0, 1))
    function = Function([x, w], [b.reduce("add", y, (1,))])
    assert count(function, "matmul") == 0
    assert count(function) == 1


def test_an_outer_product_runs_along_its_columns() -> None:
    x, y = floats(40, 1), floats(64, 1)
    assert lanes_of(Function([x, y], [b.contract(x, y, 0, 1)])) > 1


def test_running_sums_of_lines_run_side_by_side() -> None:
    x = floats(40, 30)
    for shape in ((40, 30), (5, 8, 30), (3, 2, 7), (1, 9), (30,)):
        z = floats(*shape)
        for reverse in (False, True):
            function = Function([z], [b.cumulative("mul", z, len(shape) - 1, reverse)])
            check(function, *randoms(function))
    assert lanes_of(Function([x], [b.cumulative("add", x, 1)])) > 1


def test_mlp_step() -> None:
    function = mlp_step([20, 16, 12, 5], 8, 0.1)
    program = check(function, *randoms(function, scale=0.3), donated=frozenset(range(2, 8)))
    assert sum(k.kind == "matmul" for k in program.kernels) == 8
    assert len(program.kernels) <= 13
    assert set(program.alias) <= set(range(1, 7))


def test_a_net_of_one_input_and_one_output_is_two_kernels() -> None:
    """Forward and backward pass row by row, with the sums over rows in parts; the parts and the update."""
    def step(w1: pb.Tensor, b1: pb.Tensor, w2: pb.Tensor, b2: pb.Tensor, x: pb.Tensor, y: pb.Tensor) -> object:
        def loss(params: tuple[pb.Tensor, ...]) -> pb.Tensor:
            w1, b1, w2, b2 = params
            return ((pb.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()

        params = (w1, b1, w2, b2)
        value, grads = pb.value_and_grad(loss)(params)
        return [p - 0.1 * g for p, g in zip(params, grads, strict=True)], value

    shapes = [(1, 128), (128,), (128, 1), (1,), (1000, 1), (1000, 1)]
    arrays = [pb.tensor(np.random.default_rng(k).standard_normal(s).astype(np.float32)) for k, s in enumerate(shapes)]
    entry = pb.jit(step).entry_for(tuple(arrays), {})
    program = check(entry.function, *[a.numpy() for a in arrays])
    assert len(program.kernels) == 2
    assert program.workspace_bytes < 200_000  # the hidden layer (512 kB) is not stored


def test_single_elements_of_several_ranks_are_computed_in_order() -> None:
    """A number that an update of one element reads is computed before it, though their ranks differ."""
    step, p, q, p_sum, q_sum = floats(), floats(1), floats(2, 4), floats(1), floats(2, 4)
    one = b.scalar_like(step, 1.0)
    count_ = b.add(step, one)
    rate = b.div(one, b.add(one, b.mul(b.sub(count_, one), b.scalar_like(step, 0.3))))

    def update(v: Node, total: Node) -> tuple[Node, Node]:
        total = b.add(total, b.mul(v, v))
        scale = b.add(b.unary("sqrt", total), b.scalar_like(total, 1e-3))
        return total, b.sub(v, b.div(b.mul(v, b.broadcast(rate, v.shape, ())), scale))

    function = Function([step, p, q, p_sum, q_sum], [*update(p, p_sum), *update(q, q_sum), count_])
    arrays = [np.abs(a) for a in randoms(function)]
    assert len(check(function, *arrays).kernels) == 1


def test_many_updates_run_in_one_phase() -> None:
    shapes = [(30, 20), (20,), (7, 5, 3), ()]
    params = [floats(*s) for s in shapes]
    grads = [floats(*s) for s in shapes]
    new = [b.sub(p, b.mul(b.scalar_like(g, 0.1), g)) for p, g in zip(params, grads, strict=True)]
    function = Function([*params, *grads], new)
    program = check(function, *randoms(function), donated=frozenset(range(4)))
    assert {k.phase for k in program.kernels} == {0}
    assert program.alias == {k: k for k in range(4)}


def test_large_sum_has_the_same_bits_for_any_threads() -> None:
    x = floats(1 << 20)
    function = Function([x], [b.reduce("add", b.unary("tanh", x), (0,))])
    arrays = randoms(function)
    program = check(function, *arrays)
    assert max(k.threads for k in program.kernels) >= 1
    first = run(program, *arrays)[0]
    assert all(run(program, *arrays)[0] == first for _ in range(3))


def lanes_of(function: Function) -> int:
    """The widest loop of a function's only kernel of loops."""
    made = plan(function, frozenset(), frozenset(), Options())
    return max(s.lanes for phase in made.phases for k in phase for s in walk(k.body) if isinstance(s, For))


def test_rows_that_wait_run_four_vectors_side_by_side() -> None:
    x, y = floats(1000), floats(1000)
    assert lanes_of(Function([x, y], [b.mul(b.unary("tanh", x), b.unary("sigmoid", y))])) == 32
    assert lanes_of(Function([x, y], [b.binary("pow", x, y)])) == 16
    many = x
    for _ in range(20):
        many = b.add(b.mul(many, y), x)
    assert lanes_of(Function([x, y], [many])) == 16


def test_a_sum_along_layers_is_not_added_up_again_by_each() -> None:
    x = floats(256, 256)
    weights = [floats(256, 256) for _ in range(6)]
    g, s = floats(256), floats(256)
    stream: Node = x
    for w in weights:
        stream = b.add(stream, linear(layer_norm(stream, g, s), w, s))
    function = Function([x, g, s, *weights], [layer_norm(stream, g, s)])
    check(function, *randoms(function))
    kernels = [k for phase in plan(function, frozenset(), frozenset(), Options()).phases for k in phase]
    assert max(len(k.reads) for k in kernels) <= 6


@pytest.mark.parametrize("perm", [(1, 0, 2, 3), (0, 2, 1, 3), (3, 0, 2, 1), (2, 1, 0, 3)])
@pytest.mark.parametrize("shape", [(3, 5, 7, 4), (2, 6, 10, 16), (4, 3, 5, 24), (2, 3, 4, 96), (1, 2, 33, 8)])
def test_reading_through_reshapes(shape: tuple[int, ...], perm: tuple[int, ...]) -> None:
    x = floats(*shape)
    turned = b.transpose(x, perm)
    rows = b.reshape(turned, (turned.shape[0] * turned.shape[1], turned.shape[2] * turned.shape[3]))
    flat = b.reshape(turned, (x.tensor.size,))
    shifted = b.pad(flat, (3,), (1,))
    function = Function([x], [b.mul(rows, rows), b.mul(flat, flat), b.add(shifted, shifted)])
    check(function, *randoms(function))


def test_sums_of_columns() -> None:
    x = floats(1000, 37)
    y = b.unary("tanh", x)
    function = Function([x], [b.reduce("add", y, (0,)), b.reduce("add", b.mul(y, y), (0, 1)), y])
    assert count(function) <= 3


def test_sum_of_products_is_recognised() -> None:
    x, y = floats(20, 30), floats(30, 24)
    shape = (20, 30, 24)
    total = b.reduce("add", b.mul(b.broadcast(x, shape, (0, 1)), b.broadcast(y, shape, (1, 2))), (1,))
    function = Function([x, y], [total])
    assert count(function, "matmul") == 1
    from pullback.util import config

    with config.override(recognise=False):
        assert count(function, "matmul") == 0


def test_without_fusion_the_results_agree() -> None:
    from pullback.util import config

    x, g, s = floats(9, 14), floats(14), floats(14)
    function = Function([x, g, s], [layer_norm(softmax(x), g, s)])
    with config.override(fuse=False):
        assert count(function) > 3


def test_donated_input_that_is_read_later_keeps_its_memory() -> None:
    x = floats(16, 16)
    y = b.mul(x, x)
    z = b.contract(y, x, 0, 1)
    function = Function([x], [y, z])
    program = check(function, *randoms(function), donated=frozenset([0]))
    assert program.alias == {}


def test_shifted_read_is_not_done_in_place() -> None:
    x = floats(64)
    shifted = b.concat([b.slice_(x, (1,), (64,)), b.slice_(x, (0,), (1,))], 0)
    function = Function([x], [b.add(shifted, x)])
    program = check(function, *randoms(function), donated=frozenset([0]))
    assert program.alias == {}


def test_immediates() -> None:
    x, rate = floats(50), param(TensorType.of((), float32))
    function = Function([x, rate], [b.mul(x, b.broadcast(rate, x.shape, ()))])
    check(function, np.arange(50.0), np.float32(0.25), immediates=frozenset([1]))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1,), (1, 1), ()])
def test_empty_and_single(shape: tuple[int, ...]) -> None:
    x = floats(*shape)
    results = [b.exp(x), b.reduce("add", x, tuple(range(len(shape))))]
    results += [b.reduce("max", b.exp(x), (0,))] if shape else []
    function = Function([x], results)
    check(function, *randoms(function))


def test_deep_chain() -> None:
    x = floats(10)
    y = x
    for _ in range(1500):
        y = b.add(b.mul(y, x), x)
    function = Function([x], [y])
    check(function, np.full(10, 0.5))


def test_workspace_is_reused() -> None:
    x = floats(64, 64)
    y = x
    for _ in range(6):
        y = b.unary("tanh", b.contract(y, x, 0, 1))
    function = Function([x], [y])
    program = check(function, *randoms(function, scale=0.1))
    assert program.workspace_bytes < 4 * 64 * 64 * 4 + 200_000


def test_what_is_stored_late_costs_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are read at too many places are stored as that is found out: all others are lowered once."""
    lowered: list[Node] = []
    original = Roots._root  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(Roots, "_root", lambda self, node: lowered.append(node) or original(self, node))
    x = floats(4096)
    y = x
    for k in range(12):
        wave = b.mul(b.unary("sin", y), b.scalar_like(y, 0.1 + 0.01 * k))
        shifted = [b.concat([b.slice_axis(wave, 0, s, 4096), b.slice_axis(wave, 0, 0, s)], 0) for s in (1, 3, 5, 8, 13)]
        y = shifted[0]
        for other in shifted[1:]:
            y = b.add(y, other)
    function = Function([x], [y])
    plan(function, frozenset(), frozenset(), Options())  # by itself: what is compiled may be in the cache
    assert len(set(lowered)) < len(lowered) < 4 * len(set(lowered))
    assert len(check(function, *randoms(function)).kernels) >= 12


def test_many_pieces_side_by_side_are_no_deep_choice() -> None:
    """A list of the results of a thousand steps is joined in memory, also where each is computed in its place."""
    pieces = [floats(3, 1) for _ in range(700)]
    for given in (pieces, [b.neg(x) for x in pieces]):
        function = Function(pieces, [b.concat(given, 1)])
        check(function, *(np.full((3, 1), k, np.float32) for k in range(len(pieces))))


def test_signatures_of_long_chains_need_no_deep_calls() -> None:
    """Whatever calls the library may have used up most of the depth that Python allows."""
    x = floats(40)
    y = x
    for k in range(90):
        y = b.select(b.binary("lt", y, b.scalar_like(y, float(k))), b.add(y, x), b.neg(y))
    kernels = [k for phase in plan(Function([x], [y]), frozenset(), frozenset(), Options()).phases for k in phase]

    def deep(left: int) -> int:
        return deep(left - 1) if left else len([signature(k) for k in kernels])

    assert deep(sys.getrecursionlimit() - len(inspect.stack()) - 200) == len(kernels)
