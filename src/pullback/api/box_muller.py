"""Blocks of sixteen normal numbers from sixteen uniform ones: eight radii and eight angles, as PyTorch makes them.

Sources: Box and Muller, 1958; Cephes (the logarithm, sine and cosine of single precision). The arithmetic of single
precision is written once, for NumPy arrays and for nodes: many blocks are made by a compiled program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from pullback.engine.programs import Executable
from pullback.ir.dtypes import float32, int32, uint32
from pullback.ir.node import Function, Node, TensorType, param
from pullback.ops import build
from pullback.runtime.memory import Buffer

BLOCK = 16
HALF = BLOCK // 2
#: blocks transformed at a time: what stays in the caches, by NumPy and by the compiled program
CHUNK = 2048
COMPILED_CHUNK = 8192
#: numbers made in a process from which on it is worth to compile a program; and in one call, to run it
WORTH_COMPILING, WORTH_RUNNING = 1 << 20, 1 << 12
#: numbers of double precision from here on have no halves
LARGE = 2.0**900
Numbers = Any
Draw = Callable[[int, int], None]  # put the next words of 32 bits at an address, so many

_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_QUARTER = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # pi / 4 in parts


def double(blocks: Numbers, mean: float, std: float) -> Numbers:
    """Normal numbers of double precision: [blocks, 16]."""
    radius = np.sqrt(-2.0 * np.log(1.0 - blocks[:, :HALF]))
    angle = 2.0 * np.pi * blocks[:, HALF:]
    return fused(np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1), std, mean)


def single(found: Numbers, draw: Draw, mean: float, std: float) -> None:
    """Fill float32[blocks, 16] with normal numbers of single precision."""
    scale, shift = float(np.float32(std)), float(np.float32(mean))
    program = _program_for(found.size)
    chunk = CHUNK if program is None else COMPILED_CHUNK
    room = Buffer(chunk * BLOCK * 4)
    words = room.numpy(np.uint32, (chunk, BLOCK))
    for k in range(0, len(found), chunk):
        part = found[k:k + chunk]
        draw(room.address, part.size)
        if program is None:
            halves = [fused(x, scale, shift) for x in _pair(words[:len(part)])]
        else:
            made = program.call([room.address, scale, shift], [Buffer(n) for n in program.out])
            halves = [x.numpy(np.float32, (chunk, HALF))[:len(part)] for x in made]
        part[:, :HALF], part[:, HALF:] = halves


_made = 0  # how many numbers were asked for in this process


def _program_for(count: int) -> Executable | None:
    """The compiled arithmetic, where it is worth while and there is a compiler."""
    global _made
    _made += count
    if _made < WORTH_COMPILING or count < WORTH_RUNNING:
        return None
    program = _program()
    return None if program.reference else program


@cache
def _program() -> Executable:
    """The compiled arithmetic: words of a chunk of blocks, standard deviation and mean to the halves of blocks."""
    words = param(TensorType.of((COMPILED_CHUNK, BLOCK), uint32))
    std, mean = (param(TensorType.of((), float32)) for _ in range(2))
    halves = _pair(_Graph(words))
    scale, shift = (_Graph(build.broadcast(x, halves[0].node.shape, ())) for x in (std, mean))
    results = [fused(half, scale, shift).node for half in halves]
    return Executable(Function([words, std, mean], results), frozenset((1, 2)), frozenset())


# -- the arithmetic, of arrays and of nodes ---------------------------------------------------------------------------
class _Graph:
    """A node with an array's operators; numbers take its dtype."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def _with(self, row: str, other: Any) -> _Graph:
        return _Graph(build.binary(row, self.node, _node(other, self.node)))

    def __add__(self, other: Any) -> _Graph:
        return self._with("add", other)

    def __sub__(self, other: Any) -> _Graph:
        return self._with("sub", other)

    def __mul__(self, other: Any) -> _Graph:
        return self._with("mul", other)

    def __and__(self, other: Any) -> _Graph:
        return self._with("bitwise_and", other)

    def __or__(self, other: Any) -> _Graph:
        return self._with("bitwise_or", other)

    def __rshift__(self, other: Any) -> _Graph:
        return self._with("shift_right", other)

    def __lt__(self, other: Any) -> _Graph:
        return self._with("lt", other)

    def __neg__(self) -> _Graph:
        return _Graph(build.neg(self.node))


def _node(x: Any, like: Node) -> Node:
    return x.node if isinstance(x, _Graph) else build.scalar_like(like, x)


def fused(a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once (by NumPy as good as once: of single precision the product is exact in double)."""
    if isinstance(a, _Graph):
        return _Graph(build.ternary("fma", a.node, _node(b, a.node), _node(c, a.node)))
    return _fused_double(a, b, c) if a.dtype == np.float64 else (a.astype(np.float64) * b + c).astype(np.float32)


def _fused_double(a: Any, b: float, c: float) -> Any:
    """The same of double precision: product and sum, each with what its rounding left (Dekker, 1971; Knuth)."""
    product = a * b
    total = product + c
    if b == 1 or c == 0 or not max(abs(b), abs(c)) < LARGE:  # rounded once, or not to be taken apart
        return total
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    left = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    back = total - product
    return total + (((product - (total - back)) + (c - back)) + left)


def _halves(x: Any) -> tuple[Any, Any]:
    """A number of 53 bits as two of half as many."""
    scaled = x * 134217729.0  # 2**27 + 1
    high = scaled - (scaled - x)
    return high, x - high


def _where(condition: Any, a: Any, b: Any) -> Any:
    if isinstance(condition, _Graph):
        like = a if isinstance(a, _Graph) else b
        return _Graph(build.select(condition.node, _node(a, like.node), _node(b, like.node)))
    return np.where(condition, a, b)


def _converted(x: Any, kind: Any) -> Any:
    return _Graph(build.convert(x.node, kind)) if isinstance(x, _Graph) else x.astype(kind.name)


def _bits(x: Any, kind: Any) -> Any:
    return _Graph(build.bitcast(x.node, kind)) if isinstance(x, _Graph) else x.view(kind.name)


def _root(x: Any) -> Any:
    return _Graph(build.sqrt(x.node)) if isinstance(x, _Graph) else np.sqrt(x)


def uniform(words: Any) -> Any:
    """Numbers of single precision in [0, 1) from 24 bits of words of 32."""
    return _converted(_bits(words & 0x00FFFFFF, int32), float32) * _single(2.0**-24)


def _pair(words: Any) -> tuple[Any, Any]:
    """The halves of blocks of normal numbers from blocks of words."""
    numbers = uniform(words)
    radius = _root(_log(-(_part(numbers, 0) - _single(1.0))) * _single(-2.0))
    sine, cosine = _sine_and_cosine(_part(numbers, HALF) * _single(2.0 * np.pi))
    return radius * cosine, radius * sine


def _part(x: Any, begin: int) -> Any:
    if isinstance(x, _Graph):
        return _Graph(build.slice_axis(x.node, 1, begin, begin + HALF))
    return x[:, begin:begin + HALF]


def _single(x: float) -> Any:
    return np.float32(x)


def _polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    y: Any = x * _single(0.0) + _single(coefficients[0])
    for c in coefficients[1:]:
        y = fused(y, x, _single(c))
    return y


def _log(x: Any) -> Any:
    """Cephes' logf: m * 2**e with m in [sqrt(1/2), sqrt(2)), a polynomial in m - 1."""
    bits = _bits(x, int32)
    m = _bits((bits & 0x007FFFFF) | 0x3F000000, float32)
    low = m < _single(0.707106781186547524)
    e = _converted((bits >> 23) - 126 - _where(low, bits * 0 + 1, bits * 0), float32)
    m = _where(low, m + m, m) - _single(1.0)
    z = m * m
    y = fused(_polynomial(m, _LOG) * m, z, e * _single(-2.12194440e-4)) - z * _single(0.5)
    return fused(e, _single(0.693359375), m + y)


def _sine_and_cosine(x: Any) -> tuple[Any, Any]:
    """Cephes' sinf and cosf for x >= 0: the octant, the rest of the angle by three parts of pi/4, two polynomials."""
    octant = (_converted(x * _single(1.27323954473516), int32) + 1) & ~1
    y = _converted(octant, float32)
    for part in _QUARTER:
        x = fused(y, _single(part), x)
    z = x * x
    cosine = fused(_polynomial(z, _COSINE) * z, z, -(z * _single(0.5))) + _single(1.0)
    sine = fused(_polynomial(z, _SINE) * z, x, x)
    even = (octant & 2) < 1
    sine, cosine = _where(even, sine, cosine), _where(even, cosine, sine)
    return _where((octant & 4) < 1, sine, -sine), _where(((octant + 2) & 4) < 1, cosine, -cosine)
