"""Compile functions and run them on NumPy arrays; functions that several test files use."""

from __future__ import annotations

import ctypes
import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

import pullback.ops.build as b
from pullback.engine.pipeline import Program, compile_function
from pullback.ir.dtypes import DType, float16, float32, float64, int32, int64, numpy_dtype
from pullback.ir.node import Function, Node, TensorType, evaluate, param
from pullback.util.errors import PullbackError


def aligned(nbytes: int) -> Any:
    """Bytes at an address that is a multiple of 64."""
    raw = np.zeros(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + nbytes]


def array_of(t: TensorType, fill: int = 0) -> Any:
    raw = aligned(max(t.nbytes, 1))
    raw[:] = fill
    return raw[:t.nbytes].view(numpy_dtype(t.dtype)).reshape(t.shape)


def run(program: Program, *arrays: Any) -> list[Any]:
    """Call a program; outputs are filled with rubbish first."""
    inputs = [array_of(t) for t in program.in_types]
    for mine, given in zip(inputs, arrays, strict=True):
        mine[...] = given
    outputs = [inputs[program.alias[k]] if k in program.alias else array_of(t, 0x7F)
               for k, t in enumerate(program.out_types)]
    workspace = aligned(max(program.workspace_bytes, 1))
    workspace[:] = 0x7F
    slots = (ctypes.c_uint64 * (len(inputs) + len(outputs) + 1))(
        *(a.ctypes.data for a in (*inputs, *outputs, workspace)))
    for k in program.immediates:
        slots[k] = (int(np.float64(arrays[k]).view(np.uint64)) if program.in_types[k].dtype.kind == "f"
                    else int(arrays[k]) & (1 << 64) - 1)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(program.address)(slots)
    return [np.array(x) for x in outputs]


def close(got: Any, want: Any, dtype: DType, scale: float = 1.0) -> bool:
    """Equal up to rounding for the dtype."""
    tolerance = {"float16": 3e-2, "float32": 2e-4, "float64": 1e-9}.get(dtype.name, 0.0) * scale
    got, want = np.asarray(got).astype(np.float64), np.asarray(want).astype(np.float64)
    size = max(1.0, float(np.abs(want[np.isfinite(want)]).max(initial=0)))
    return got.shape == want.shape and np.allclose(got, want, rtol=tolerance, atol=tolerance * size, equal_nan=True)


def check(function: Function, *arrays: Any, **options: Any) -> Program:
    """Compile, run, compare with the reference rules."""
    program = compile_function(function, **options)
    given = [np.asarray(a).astype(numpy_dtype(t.dtype)) for a, t in zip(arrays, function.in_types, strict=True)]
    with np.errstate(all="ignore"):
        wanted = evaluate(function, *given)
    for got, want, t in zip(run(program, *given), wanted, function.out_types, strict=True):
        assert close(got, want, t.dtype), (got, want)
    return program


def randoms(function: Function, seed: int = 0, scale: float = 1.0) -> list[Any]:
    """Normal inputs for a function."""
    rng = np.random.default_rng(seed)
    found: list[Any] = []
    for t in function.in_types:
        x = rng.standard_normal(t.shape) * (scale if t.dtype.kind == "f" else 3)
        found.append(np.asarray(x).astype(numpy_dtype(t.dtype)))
    return found


# -- known graphs ------------------------------------------------------------------------------------------------------
def floats(*shape: int) -> Node:
    return param(TensorType.of(shape, float32))


def softmax(x: Node) -> Node:
    top = b.reduce("max", x, (1,))
    e = b.exp(b.sub(x, b.broadcast(top, x.shape, (0,))))
    return b.div(e, b.broadcast(b.reduce("add", e, (1,)), x.shape, (0,)))


def layer_norm(x: Node, gain: Node, shift: Node) -> Node:
    n = x.shape[1]

    def mean(v: Node) -> Node:
        total = b.reduce("add", v, (1,))
        return b.mul(total, b.scalar_like(total, 1 / n))

    centred = b.sub(x, b.broadcast(mean(x), x.shape, (0,)))
    variance = mean(b.mul(centred, centred))
    inverse = b.unary("rsqrt", b.add(variance, b.scalar_like(variance, 1e-5)))
    normal = b.mul(centred, b.broadcast(inverse, x.shape, (0,)))
    return b.add(b.mul(normal, b.broadcast(gain, x.shape, (1,))), b.broadcast(shift, x.shape, (1,)))


def linear(x: Node, w: Node, bias: Node) -> Node:
    product = b.contract(x, b.transpose(w, (1, 0)), 0, 1)
    return b.add(product, b.broadcast(bias, product.shape, (1,)))


def mlp_step(sizes: Sequence[int], batch: int, rate: float) -> Function:
    """Forward, cross entropy, backward and SGD of a multi-layer perceptron with relu."""
    x, target = floats(batch, sizes[0]), floats(batch, sizes[-1])
    params = [p for i, o in itertools.pairwise(sizes) for p in (floats(i, o), floats(o))]
    h, kept = x, [x]
    for k in range(0, len(params), 2):
        h = linear(h, params[k], params[k + 1])
        if k < len(params) - 2:
            h = b.maximum(h, b.zeros_like(h))
            kept.append(h)
    top = b.reduce("max", h, (1,))
    z = b.sub(h, b.broadcast(top, h.shape, (0,)))
    total = b.reduce("add", b.exp(z), (1,))
    log_p = b.sub(z, b.broadcast(b.log(total), h.shape, (0,)))
    loss = b.neg(b.mul(b.reduce("add", b.mul(log_p, target), (0, 1)), b.const_scalar(1 / batch, float32)))
    dz = b.mul(b.sub(b.exp(log_p), target), b.scalar_like(log_p, 1 / batch))
    new: list[Node] = []
    for k in range(len(params) - 2, -1, -2):
        below = kept[k // 2]
        dw = b.contract(b.transpose(below, (1, 0)), b.transpose(dz, (1, 0)), 0, 1)
        db = b.reduce("add", dz, (0,))
        step = [b.sub(p, b.mul(b.scalar_like(g, rate), g)) for p, g in ((params[k], dw), (params[k + 1], db))]
        new = step + new
        if k:
            dh = b.contract(dz, params[k], 0, 1)
            dz = b.mul(dh, b.convert(b.binary("gt", below, b.zeros_like(below)), float32))
    return Function([x, target, *params], [loss, *new])


# -- random graphs -----------------------------------------------------------------------------------------------------
DIMS = ([1, 2, 3], [4, 5], [8, 16, 1], [7, 33], [0, 3], [20, 64], [2, 3, 17])
DTYPES = (float32, float32, float64, int32, float16, int64)


class Grower:
    """Grows one random graph."""

    def __init__(self, seed: int, dims: Sequence[int] | None = None) -> None:
        self.r = random.Random(seed)
        self.dtype: DType = self.r.choice(DTYPES)
        self.dims = list(dims) if dims is not None else self.r.choice(DIMS)
        self.params = [param(TensorType.of(self.shape(), self.dtype)) for _ in range(self.r.randint(1, 3))]
        self.pool: list[Node] = list(self.params)

    def shape(self) -> tuple[int, ...]:
        return tuple(self.r.choice(self.dims) for _ in range(self.r.randint(0, 3)))

    def function(self, steps: int = 12) -> Function:
        for _ in range(steps):
            try:
                node = self.step(self.r.choice(self.pool[-6:]), self.r.randint(0, 16))
            except PullbackError:
                continue
            if node is not None and node.tensor.size <= 100_000:
                self.pool.append(node)
        others = self.r.sample(self.pool, min(len(self.pool), self.r.randint(0, 2)))
        return Function(self.params, [self.pool[-1], *others])

    def like(self, x: Node) -> Node:
        return self.r.choice([y for y in self.pool if y.shape == x.shape])

    def step(self, x: Node, k: int) -> Node | None:
        r, rank, inexact = self.r, len(x.shape), self.dtype.kind == "f"
        if k <= 2:
            return b.binary(r.choice(["add", "sub", "mul", "maximum", "minimum"]), x, self.like(x))
        if k == 3:
            return b.unary(r.choice(["neg", "abs", "square"] + ["tanh", "sigmoid", "sin"] * inexact), x)
        if k == 4 and inexact:
            return b.exp(b.unary("tanh", x))
        if k == 7 and rank < 3:
            return self.spread(x)
        return self.indexed(x, k) if rank else None

    def spread(self, x: Node) -> Node:
        at = self.r.randint(0, len(x.shape))
        shape = (*x.shape[:at], self.r.choice(self.dims), *x.shape[at:])
        return b.broadcast(x, shape, tuple(d for d in range(len(shape)) if d != at))

    def indexed(self, x: Node, k: int) -> Node | None:
        r, rank = self.r, len(x.shape)
        axis = r.randrange(rank)
        size = x.shape[axis]
        if k in (5, 6):
            axes = r.sample(range(rank), r.randint(1, rank))
            return b.reduce(r.choice(["add", "max", "min"]), x, sorted(axes))
        if k == 8:
            return b.transpose(x, r.sample(range(rank), rank))
        if k == 9:
            return b.reshape(x, (x.tensor.size,))
        if k == 10 and size > 1:
            return b.slice_axis(x, axis, r.randint(0, size // 2), size, r.choice([1, 1, 2]))
        if k == 11:
            return b.pad_axis(x, axis, r.randint(0, 2), r.randint(0, 2), r.choice([0, 1]))
        if k == 12:
            return b.flip(x, [axis])
        if k == 13:
            return b.concat([x, self.like(x)], axis)
        if k == 14 and rank == 2:
            fits = [y for y in self.pool if len(y.shape) == 2 and y.shape[1] == x.shape[1]]
            return b.contract(x, r.choice(fits), 0, 1)
        if k == 15:
            return b.cumulative(r.choice(["add", "max"]), x, axis, r.random() < 0.5)
        if k == 16 and x.tensor.size:
            places = np.asarray([r.randint(-2, size + 1) for _ in range(r.choice([1, 3]))], np.int32)
            return b.gather(x, b.const_array(places), axis, r.choice(["clip", "wrap", "fill"]))
        return None
