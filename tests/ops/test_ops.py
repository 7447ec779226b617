"""Known answers and the errors of the type rules."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pullback.ir.dtypes import bfloat16, bool_, float16, float32, float64, int8, int32
from pullback.ir.index import const, loop_vars
from pullback.ir.node import Function, TensorType, apply, evaluate, param
from pullback.ops import build as b
from pullback.ops import numeric
from pullback.ops.map import Convert, Map
from pullback.ops.shape import Reindex, added, places, strided
from pullback.ops.source import RandomBits, threefry
from pullback.util.errors import AxisError, DTypeError, ShapeError


@pytest.mark.parametrize(("key", "counter", "wanted"), [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
])
def test_threefry_known_answers(key: tuple[int, int], counter: tuple[int, int], wanted: tuple[int, int]) -> None:
    words = [np.asarray(w, np.uint32) for w in (*key, *counter)]
    assert tuple(int(y) for y in threefry(*words)) == wanted


def test_random_bits_widths_agree() -> None:
    key = param(TensorType.of((2,), b.dtype_of("uint32")))
    value = np.asarray([0, 21], np.uint32)

    def bits(layout: str, width: int, n: int) -> np.ndarray:
        return evaluate(Function([key], [apply(RandomBits((n,), layout, width), key)]), value)[0]

    words = bits("original", 32, 6)
    np.testing.assert_array_equal(bits("original", 16, 12), words.view(np.uint16))
    np.testing.assert_array_equal(bits("original", 64, 3), (words[:3].astype(np.uint64) << np.uint64(32)) | words[3:])
    np.testing.assert_array_equal(bits("partitionable", 8, 6), bits("partitionable", 32, 6).astype(np.uint8))


def test_special_functions() -> None:
    x = np.linspace(-0.999, 0.999, 101)
    np.testing.assert_allclose(numeric.erf(numeric.erf_inv(x)), x, rtol=1e-14)
    assert numeric.erf_inv(np.asarray([1.0, -1.0, 2.0]))[:2].tolist() == [math.inf, -math.inf]
    np.testing.assert_allclose(numeric.digamma(np.asarray([1.0, 0.5, -0.5, 10.0])),
                               [-0.5772156649015329, -1.9635100260214235, 0.03648997397857652, 2.251752589066721],
                               rtol=1e-13)
    assert numeric.popcount(np.asarray([-1, 7, 0], np.int8)).tolist() == [8, 3, 0]
    assert numeric.clz(np.asarray([-1, 7, 0], np.int8)).tolist() == [0, 5, 8]
    assert numeric.power(np.asarray([2, 1, -1, -1]), np.asarray([-1, -3, -2, -3])).tolist() == [0, 1, 1, -1]


def test_conversion_saturates() -> None:
    x = param(TensorType.of((5,), float32))
    value = np.asarray([np.nan, np.inf, -300, 1.9, -1.9], np.float32)
    found = evaluate(Function([x], [apply(Convert(int8), x)]), value)[0]
    assert found.tolist() == [0, 127, -128, 1, -1]


@pytest.mark.parametrize("dtype", [float16, bfloat16])
@pytest.mark.parametrize("row", ["add", "exp", "tanh", "maximum", "lt", "select", "nextafter", "erf"])
def test_sixteen_bit_floats(row: str, dtype: object) -> None:
    x = param(TensorType.of((3,), dtype))
    condition = param(TensorType.of((3,), bool_))
    arity = {"exp": 1, "tanh": 1, "erf": 1, "select": 2}.get(row, 2)
    inputs = ([condition] if row == "select" else []) + [x] * arity
    y = apply(Map(row), *inputs)
    array = np.asarray([0.5, 1, 2]).astype(b.numpy_dtype(dtype))
    found = evaluate(Function([condition, x], [y]), np.asarray([True, False, True]), array)[0]
    assert found.dtype == b.numpy_dtype(y.dtype)


def test_errors_say_what_was_given_and_the_cure() -> None:
    x, y, n = (param(TensorType.of(s, d)) for s, d in (((2, 3), float32), ((4,), float32), ((2, 3), int32)))
    got = r"  got   x  float32\[2, 3\]\n        y  float32\[4\]\n  help"
    with pytest.raises(ShapeError, match=r"add: operands must have equal shapes\n" + got):
        b.add(x, y)
    with pytest.raises(DTypeError, match="one dtype"):
        b.add(x, n)
    with pytest.raises(DTypeError, match="exp: not defined for int32"):
        b.exp(n)
    with pytest.raises(ShapeError, match="contracted dimensions must have equal sizes"):
        b.contract(x, y, 0, 1)
    with pytest.raises(AxisError, match="reduce"):
        b.reduce("add", x, (2,))
    with pytest.raises(ShapeError, match="reshape: 6 elements do not fit"):
        b.reshape(x, (4,))
    with pytest.raises(DTypeError, match="indices must be integers"):
        b.gather(x, y, 0)
    with pytest.raises(ShapeError, match="an index may be out of range"):
        b.reindex(y, (5,), [b.loop_vars((5,))[0]])
    with pytest.raises(DTypeError, match="condition must be of dtype bool"):
        b.select(n, x, x)


def test_nodes_are_shared() -> None:
    x = param(TensorType.of((2, 3), float64))
    assert b.add(x, x) is b.add(x, x)
    assert b.transpose(b.transpose(x, (1, 0)), (0, 1)).shape == (3, 2)
    assert b.const_scalar(0.0, float64) is not b.const_scalar(-0.0, float64)


def test_elements_read_where_they_lie_are_those_at_their_places() -> None:
    x = np.arange(2 * 5 * 7.0).reshape(2, 5, 7)[:, ::-1]
    i = loop_vars((4, 2, 3))
    for indices in ([i[1], i[0], i[2]], [i[1], i[0] * -1 + 4, i[2] * 2 + 1], [i[1], i[1] + i[2] * -1 + 2, i[2] + i[0]],
                    [const(1), const(3), i[0] + i[1] + i[2]], [const(0), i[2], i[2]]):
        wanted = x[tuple(places(tuple(indices), (4, 2, 3)))]
        found = strided(x, tuple(indices), (4, 2, 3))
        assert found is not None
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(Reindex((4, 2, 3), tuple(indices)).reference(x), wanted)
    assert strided(x, (i[1], i[0] + 2, i[2]), (4, 2, 3)) is None  # one is outside
    assert strided(x, (i[1], i[0] // 2, i[2]), (4, 2, 3)) is None


def test_elements_added_where_they_overlap_are_those_added_one_by_one() -> None:
    x = np.random.default_rng(0).integers(-9, 9, (3, 4, 200)).astype(float)
    i = loop_vars(x.shape)
    for indices, shape in (([i[0], i[1] * 50 + i[2]], (3, 350)), ([i[0] + i[1], i[2]], (6, 200)),
                           ([i[1], i[2] * -1 + 199], (4, 200)), ([i[2] * 3 + i[0]], (600,)),
                           ([i[0], i[1], i[2]], x.shape)):
        wanted = np.zeros(shape)
        np.add.at(wanted, tuple(places(tuple(indices), x.shape)), x)
        found = added(x, tuple(indices), shape)
        assert found is not None
        np.testing.assert_array_equal(found, wanted)
    assert added(x, (i[1],), (4,)) is None  # every turn would add few elements


def test_fills_of_zero_are_told_apart_by_their_sign() -> None:
    at = (loop_vars((4,))[0] - 1,)
    for fill in (0.0, 0, False):
        assert Reindex((4,), at, fill) == Reindex((4,), at, 0.0) != Reindex((4,), at, -0.0)
        assert Reindex((4,), at, -0.0) != Reindex((4,), at, fill)
    assert Reindex((4,), at, -0.0) == Reindex((4,), at, -0.0)
    x = param(TensorType.of((2,), float32))
    for fill in (-0.0, 0.0, -0.0):
        found, = evaluate(Function([x], [apply(Reindex((4,), at, fill), x)]), np.ones(2, np.float32))
        assert np.signbit(found).tolist() == [str(fill) == "-0.0", False, False, str(fill) == "-0.0"]
