"""Rewrites: what each leaves."""

from __future__ import annotations

from tests.programs import floats

import pullback as pb
import pullback.ops.build as b
from pullback.ir.dtypes import float32
from pullback.ir.index import loop_vars
from pullback.ir.node import Function, Node, apply, project
from pullback.ops.control import Call
from pullback.passes.inline import inline
from pullback.passes.orient import orient
from pullback.passes.recognise import recognise
from pullback.passes.simplify import simplify


def simple(x: Node, y: Node) -> Node:
    return simplify(Function([x], [y])).results[0]


def test_neutral_operands() -> None:
    x = floats(3, 4)
    assert simple(x, b.mul(x, b.ones_like(x))) is x
    assert simple(x, b.add(b.zeros_like(x), x)) is x
    assert simple(x, b.div(b.sub(x, b.zeros_like(x)), b.ones_like(x))) is x
    assert simple(x, b.neg(b.neg(x))) is x


def test_identity_views() -> None:
    x = floats(3, 4)
    same = b.reindex(x, (3, 4), loop_vars((3, 4)))
    assert same is not x and simple(x, same) is x
    square = floats(3, 3)
    assert simple(square, b.transpose(square, (1, 0))) is not square
    assert simple(x, b.copy(b.stop_gradient(x))) is x
    assert simple(x, b.broadcast(x, (3, 4), (0, 1))) is x


def test_views_that_undo_each_other() -> None:
    x, square = floats(3, 4), floats(3, 3)
    assert simple(x, b.transpose(b.transpose(x, (1, 0)), (1, 0))) is x
    assert simple(square, b.flip(b.transpose(b.flip(b.transpose(square, (1, 0)), [0]), (0, 1)), [0])) is not square
    assert simple(square, b.flip(b.flip(square, [0, 1]), [0, 1])) is square
    assert simple(x, b.reshape(b.reshape(x, (12,)), (3, 4))) is x
    assert simple(x, b.slice_axis(b.pad_axis(x, 1, 2, 1, 7.0), 1, 1, 5)) is not x  # another place
    assert simple(x, b.transpose(b.exp(b.transpose(x, (1, 0))), (1, 0))) is not x


def test_constants_are_folded() -> None:
    x = floats(3)
    two = b.mul(b.full((3,), 4.0, float32), b.full((3,), 0.5, float32))
    found = simple(x, b.mul(x, two))
    assert found.inputs[1] is b.full((3,), 2.0, float32)


def test_powers() -> None:
    x = floats(3)
    assert simple(x, b.integer_pow(x, 2)) is b.mul(x, x)
    assert simple(x, b.binary("pow", x, b.full((3,), 2.0, float32))) is b.mul(x, x)


def test_inline() -> None:
    p = floats(3)
    inner = Function([p], [b.exp(p), b.neg(p)])
    x = floats(3)
    first, second = project(apply(Call(inner), x))
    found = inline(Function([x], [b.add(first, second)])).results[0]
    assert found is b.add(b.exp(x), b.neg(x))


def test_sum_of_products() -> None:
    x, y = floats(20, 30), floats(24, 30)
    shape = (24, 20, 30)
    product = b.mul(b.broadcast(x, shape, (1, 2)), b.broadcast(y, shape, (0, 2)))
    names = [n.op.name for n in recognise(Function([x, y], [b.reduce("add", product, (2,))])).nodes()]
    assert "contract" in names
    assert "reduce" not in names


def test_index_checks() -> None:
    import numpy as np
    from tests.programs import aligned

    from pullback.engine.pipeline import compile_function
    from pullback.ir.dtypes import int32
    from pullback.ir.node import TensorType, param
    from pullback.passes.checks import refused

    x, i = floats(5), param(TensorType.of((3,), int32))
    program = compile_function(Function([x, i], [b.gather(x, i, 0, "error")]), check_indices=True)
    assert program.error_slot == 3
    assert len(program.out_types) == 1
    for places, expected in (([0, 4, -5], False), ([0, 5, 1], True), ([-6, 0, 0], True)):
        import ctypes

        arrays = [aligned(20).view(np.float32), aligned(12).view(np.int32), aligned(12), aligned(4).view(np.int32),
                  aligned(max(program.workspace_bytes, 1))]
        arrays[1][:] = places
        slots = (ctypes.c_uint64 * 5)(*(a.ctypes.data for a in arrays))
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(program.address)(slots)
        assert bool(arrays[3][0]) is expected
        assert not expected or refused(program.watched[1], arrays[3][0]) is program.watched[1][0]


def test_a_contraction_read_transposed_only_is_computed_transposed() -> None:
    x, y = floats(4, 5, 7), floats(4, 6, 7)
    product = b.contract(x, y, 1, 1)
    turned = b.transpose(product, (0, 2, 1))
    assert orient(Function([x, y], [turned])).results[0] is b.contract(y, x, 1, 1)
    assert orient(Function([x, y], [turned, product])).results == (turned, product)
    other = b.transpose(product, (1, 0, 2))
    assert orient(Function([x, y], [other])).results[0] is other


def test_the_gradient_of_a_weight_that_was_used_transposed_is_not_turned_over() -> None:
    """What a function turned over for itself its gradient turns back: the product has the weight's own order then."""
    w = pb.ones((5, 3))

    def loss(w: pb.Tensor, x: pb.Tensor) -> pb.Tensor:
        turned = w.T
        return (x @ turned).sum() + (x * x @ turned).sum()

    text = pb.show(lambda w, x: w - 0.1 * pb.grad(loss)(w, x), "graph")(w, pb.ones((4, 3)))
    text = text[text.index("simplified"):]
    assert "reindex[shape=(5,3)" not in text and "reindex[shape=(3,5)" not in text and "contract" in text
