"""Contractions as matrix products: which dimensions make the rows, columns and terms of a strided product."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod
from typing import Any

from pullback.ir.index import Index, Var, bindings, loop_vars, var
from pullback.kernel.nodes import Accumulator, Buffer, Load, MatmulNest, Stmt, WindowNest
from pullback.schedule.counting import countable, variable
from pullback.schedule.roots import Root, parts


@dataclass(frozen=True)
class Side:
    """One operand: where it starts and its strides along each of its dimensions."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]


def side(load: Load, shape: tuple[int, ...]) -> Side:
    """The strides of an operand that was read through to memory."""
    flat = load.flat
    strides: list[int] = []
    for v, n in zip(loop_vars(shape), shape, strict=True):
        if n == 1:
            strides.append(0)
            continue
        atom = v.terms[0][0]
        assert isinstance(atom, Var)
        c = flat.coefficient(atom)
        assert c is not None, "an operand without strides"
        strides.append(c)
    return Side(load.buffer, flat.const, tuple(strides))


def run(dims: list[tuple[int, int]]) -> tuple[int, int] | None:
    """(size, stride) of dimensions that are one run through memory; None where they are not."""
    live = [(n, s) for n, s in dims if n != 1]
    if not live:
        return 1, 0
    for (_, outer), (n, inner) in itertools.pairwise(live):
        if outer != n * inner:
            return None
    return prod(n for n, _ in live), live[-1][1]


def longest_run(dims: list[tuple[int, int]]) -> int:
    """How many of the last dimensions make one run."""
    for k in range(len(dims) + 1):
        if run(dims[k:]) is not None:
            return len(dims) - k
    return 0


def matmul_nest(root: Root, uses: list[Index], epilogue: tuple[Stmt, ...], accumulator: Accumulator) -> MatmulNest:
    """Rows, columns and terms of a contraction; free dimensions that are no run become batch dimensions.

    `uses` are the index expressions of the epilogue: columns may only be counted together where those allow it.
    """
    node = root.node
    op: Any = node.op
    batch, fx, fy, terms = parts(node)
    x, y = node.inputs
    first, second = root.loads[0], root.loads[1]
    assert isinstance(first, Load) and isinstance(second, Load)
    a, b = side(first, x.shape), side(second, y.shape)
    nb, at = len(batch), len(batch) + len(fx)
    free_a = list(zip(fx, a.strides[nb:at], strict=True))
    free_b = list(zip(fy, b.strides[nb:nb + len(fy)], strict=True))
    rows = longest_run(free_a)
    cols = min(longest_run(free_b), countable(root, at, len(fy), uses))
    outer = [(k, a.strides[k], b.strides[k]) for k in range(nb)]
    outer += [(nb + k, free_a[k][1], 0) for k in range(len(fx) - rows)]
    outer += [(at + k, 0, free_b[k][1]) for k in range(len(fy) - cols)]
    m, row_stride = run(free_a[len(fx) - rows:]) or (1, 0)
    n, col_stride = run(free_b[len(fy) - cols:]) or (1, 0)
    k, ka = run(list(zip(terms, a.strides[at:], strict=True))) or (1, 0)
    _, kb = run(list(zip(terms, b.strides[nb + len(fy):], strict=True))) or (1, 0)
    variables = [variable(v) for v in root.vars]
    return MatmulNest(
        m, n, k, a.buffer, a.offset, (row_stride, ka), b.buffer, b.offset, (kb, col_stride),
        tuple((v, p, q) for d, p, q in outer if (v := variables[d]) is not None),
        tuple(v for v in variables[at - rows:at] if v is not None),
        tuple(v for v in variables[at + len(fy) - cols:] if v is not None), accumulator, epilogue, op.parts,
        root.loads[2].buffer if len(root.loads) > 2 else None)


def window_nest(root: Root, uses: list[Index], epilogue: tuple[Stmt, ...], accumulator: Accumulator) -> WindowNest:
    """The same where an operand is windows of an image."""
    assert root.windows is not None
    node = root.node
    op: Any = node.op
    batch, fx, fy, terms = parts(node)
    at = len(batch) + len(fx)
    cols = countable(root, at, len(fy), uses)
    summed = tuple(var(f"s{k}", n) for k, n in enumerate(terms))
    free = len(fy) - cols
    (first, second), (x, y) = root.windows, node.inputs
    buffers = (root.loads[0].buffer, root.loads[1].buffer)
    a_at = places(first.at, x.shape, (*root.vars[:at], *summed))
    b_at = places(second.at, y.shape, (*root.vars[:len(batch)], *root.vars[at:], *summed))
    given = [variable(v) for v in (*root.vars, *summed)]
    end = at + len(fy)

    def some(low: int, high: int) -> tuple[Var, ...]:
        return tuple(v for v in given[low:high] if v is not None)

    return WindowNest((*some(0, len(batch)), *some(at, at + free)), some(len(batch), at), some(at + free, end),
                      some(end, len(given)), buffers[0], a_at, buffers[1], b_at, second.step, accumulator, epilogue,
                      op.parts)


def places(at: tuple[Index, ...], shape: tuple[int, ...], variables: tuple[Index, ...]) -> tuple[Index, ...]:
    """Index expressions over an operand's dimensions in other variables."""
    values = bindings(shape, variables)
    return tuple(x.substitute(values) for x in at)
