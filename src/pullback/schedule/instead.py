"""What is stored instead of a product's sums: the one function of them that later kernels want.

The derivative of an activation is a function of its argument, which the product before it has in its registers, and
often it shares the dear part (exp, erf) with the activation. Stored in the argument's place it takes no more memory,
and what reads it need not compute it again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from pullback.ir.node import Node, TensorType
from pullback.passes.layout import lowering
from pullback.schedule import costs

Users = Mapping[Node, Sequence[Node]]


def stored_instead(order: Sequence[Node], stored: Mapping[Node, None], kept: Iterable[Node]) -> list[Node]:
    """Of each stored end of a product, its one function that others read; none where others read the end itself.

    `kept` are results, which are stored whoever reads them.
    """
    users: dict[Node, list[Node]] = {}
    for node in order:
        for x in node.inputs:
            users.setdefault(x, []).append(node)
    ends = {x for x in stored if len(users.get(x, ())) > 1 and _ends_product(x, stored, users)}.difference(kept)
    if not ends:
        return []
    of = functions_of(order, ends, stored)
    wanted: dict[Node, list[Node]] = {}
    for node, end in of.items():
        if any(of.get(user) is not end for user in users.get(node, ())):
            wanted.setdefault(end, []).append(node)
    found: list[Node] = []
    for end, nodes in wanted.items():
        loose = [x for x in nodes if x not in stored]
        if end not in nodes and len(loose) == 1 and _cost(loose[0], end) >= costs.WORTH_STORING:
            found += loose
    return found


def elementwise(node: Node) -> bool:
    """Whether an element is made of the same element of each input."""
    return getattr(node.op, "row", None) is not None or getattr(node.op, "elementwise", False)


def _ends_product(node: Node, stored: Container[Node], users: Users) -> bool:
    """Whether it is a large product, or made of one element by element."""
    if not isinstance(node.type, TensorType) or node.type.size < costs.MEMORY_SIZE or node.dtype.kind != "f":
        return False
    while lowering(node) != "contract":
        if not elementwise(node):
            return False
        node, last = next((x for x in node.inputs if x.shape == node.shape and len(users[x]) == 1 and (
            lowering(x) == "contract" or (x not in stored and elementwise(x)))), node), node
        if node is last:
            return False
    return True


def functions_of(order: Sequence[Node], ends: Container[Node], stored: Container[Node]) -> dict[Node, Node]:
    """Of which end each node is a function, element by element, apart from what is small; the ends too."""
    of: dict[Node, Node] = {}
    reach: dict[Node, int] = {}  # elements of the largest thing in memory that it reads
    for node in order:
        size = node.type.size if isinstance(node.type, TensorType) else 0
        reach[node] = size if node in stored or (not node.inputs and size > 1) else max(
            (reach[x] for x in node.inputs), default=0)
        if node in ends:
            of[node] = node
        elif elementwise(node):
            large = [x for x in node.inputs if reach[x] * 2 >= size]
            sources = {of.get(x) if x in ends or x not in stored else None for x in large}
            end = sources.pop() if len(sources) == 1 else None
            if end is not None and end.shape == node.shape:
                of[node] = end
    return of


def _cost(node: Node, end: Node) -> int:
    """What an element costs, from the end on."""
    seen, pending, total = {end}, [node], 0
    while pending:
        x = pending.pop()
        if x not in seen and elementwise(x) and x.shape == end.shape:
            seen.add(x)
            total += costs.row_cost(getattr(x.op, "row", ""))
            pending.extend(x.inputs)
    return total
