"""What a loop adds up turn by turn, as one contraction over all turns behind it.

    for t: s = s + contract(x[t], y[t])      becomes   s + contract(x, y) over the turns and the terms
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pullback.ops.build as b
from pullback.ir.index import Index, bindings, loop_vars
from pullback.ir.node import Function, Node, project, substitute
from pullback.ops.contract import Contract
from pullback.ops.loops import Scan
from pullback.ops.map import Convert, Map
from pullback.ops.shape import Reindex

#: elements that the new sequences of a loop may have, where those that it has already are fewer
SMALL = 1 << 22


class Part(NamedTuple):
    """An operand of a contraction within the loop: elements `at` of a base that changes with the turns."""

    base: Node
    at: tuple[Index, ...]


class Sum(NamedTuple):
    """A carried value that is only added to: `term` is views of the contraction."""

    carry: int
    term: Node
    product: Node
    parts: tuple[Part, Part]


def sums_after(node: Node) -> tuple[Node, ...] | None:
    """The results of a scan whose sums of contractions are taken behind it; None where it has none."""
    if not isinstance(node.op, Scan) or node.op.length < 2:
        return None
    op, body = node.op, node.op.body
    readers = _readers(body)
    given = dict(zip(body.params[op.consts + op.carries:], node.inputs[op.consts + op.carries:], strict=True))
    kept = sum(x.tensor.size for x in (*given, *body.results[op.carries:]))
    budget = max(op.length * kept, SMALL)  # a loop over no sequence shall not need memory for each turn
    found: list[Sum] = []
    emitted: dict[Node, None] = {}
    for k in range(op.carries):
        one = _sum(op, k, readers)
        new = {} if one is None else {p.base: None for p in one.parts
                                      if p.base not in given and p.base not in body.results[op.carries:]}
        if one is None or sum(x.tensor.size for x in new) > one.term.tensor.size:
            continue
        if op.length * sum(x.tensor.size for x in (*new, *(e for e in emitted if e not in new))) <= budget:
            found.append(one)
            emitted.update(new)
    return _behind(node, found, given, list(emitted)) if found else None


def _readers(body: Function) -> dict[Node, int]:
    count: dict[Node, int] = dict.fromkeys(body.params, 0)
    for node in (*body.nodes(), *body.results):
        for x in node.inputs if node not in count else ():
            count[x] = count.get(x, 0) + 1
        count.setdefault(node, 0)
    for x in body.results:
        count[x] += 1
    return count


def _sum(op: Scan, k: int, readers: dict[Node, int]) -> Sum | None:
    """Carried value k, where all that is done with it is to add a contraction of what changes with the turns."""
    before, after = op.body.params[op.consts + k], op.body.results[k]
    if not isinstance(after.op, Map) or after.op.row != "add" or readers[after] != 1 or readers[before] != 1:
        return None
    if before not in after.inputs:
        return None
    term = after.inputs[after.inputs[0] is before]
    product = followed(term).base
    if isinstance(product.op, Convert):  # of 16-bit numbers, summed in float32
        product = followed(product.inputs[0]).base
    if not isinstance(product.op, Contract) or product.op.batch_dims or product.op.dtype.kind != "f":
        return None
    x, y = (followed(v) for v in _operands(product))
    fixed = op.body.params[:op.consts]
    if x.base in fixed or y.base in fixed or before in (x.base, y.base):
        return None
    return Sum(k, term, product, (x, y))


def _operands(product: Node) -> tuple[Node, ...]:
    """What a contraction reads, in 16 bits where it is converted from those."""
    return b.narrow_operands(*product.inputs) or product.inputs


def followed(node: Node) -> Part:
    """What a chain of rearrangements is elements of."""
    at = loop_vars(node.shape)
    while isinstance(node.op, Reindex) and node.op.fill is None:
        values = bindings(node.shape, at)
        at = tuple(i.substitute(values) for i in node.op.indices)
        node = node.inputs[0]
    return Part(node, at)


def _behind(node: Node, sums: Sequence[Sum], given: dict[Node, Node], emitted: list[Node]) -> tuple[Node, ...]:
    """The loop without the sums, and the sums of its sequences."""
    op = node.op
    assert isinstance(op, Scan)
    body, gone = op.body, {s.carry for s in sums}
    first, left = op.consts, [k for k in range(op.carries) if k not in gone]
    params = [p for k, p in enumerate(body.params) if k - first not in gone]
    inputs = [x for k, x in enumerate(node.inputs) if k - first not in gone]
    ys = [*body.results[op.carries:], *emitted]
    new = Function(params, [*(body.results[k] for k in left), *ys])
    outs = project(b.apply(op.replace(body=new, carries=len(left)), *inputs))
    sequences = {**dict(zip(ys, outs[len(left):], strict=True)), **given}
    found: dict[int, Node] = dict(zip(left, outs, strict=False))
    for s in sums:
        total = substitute([s.term], {s.product: _over_turns(s, sequences, op.length)})[0]
        found[s.carry] = b.add(node.inputs[first + s.carry], total)
    rest = outs[len(left):len(left) + len(body.results) - op.carries]
    return (*(found[k] for k in range(op.carries)), *rest)


def _over_turns(s: Sum, sequences: dict[Node, Node], length: int) -> Node:
    op = s.product.op
    assert isinstance(op, Contract)
    operands: list[Node] = []
    for part, v in zip(s.parts, s.product.inputs, strict=True):
        cut = len(v.shape) - op.contracted
        shape = (*v.shape[:cut], length, *v.shape[cut:])
        over = loop_vars(shape)
        values = bindings(v.shape, (*over[:cut], *over[cut + 1:]))
        at = (over[cut], *(i.substitute(values) for i in part.at))
        operands.append(b.reindex(sequences[part.base], shape, at))
    return b.apply(op.over(0, 1 + op.contracted), operands[0], operands[1])


__all__ = ["sums_after"]
