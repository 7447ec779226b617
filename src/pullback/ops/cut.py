"""Which values to keep so that others can be computed again: the fewest bytes between two sides of a program."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from pullback.ir.node import Node
from pullback.ops.shape import Broadcast

#: scalar functions that cost less than reading what they give from memory
CHEAP = frozenset(("add", "sub", "mul", "neg", "square", "select", "maximum", "minimum", "eq", "ne", "lt", "le", "gt",
                   "ge", "logical_and", "logical_or", "logical_not"))
#: nodes between the two sides from which on only broadcasts are made again
LIMIT = 2000

State = tuple[Node, bool]  # before a node, or behind it


def is_cheap(node: Node) -> bool:
    return getattr(node.op, "row", "") in CHEAP or isinstance(node.op, Broadcast)


def cheapest(wanted: Sequence[Node], varying: Container[Node], cost: Callable[[Node], int]) -> list[Node]:
    """Nodes of which the wanted ones can be made by cheap functions, of the least cost together; of equal ones, the
    last. What is not varying is known anyway."""
    forced = dict.fromkeys(node for node in wanted if not is_cheap(node))
    goals = dict.fromkeys(node for node in wanted if node not in forced)
    inputs = _between(goals, varying)
    if len(inputs) > LIMIT:
        return list(dict.fromkeys(map(_repeated, wanted)))
    network = _Network(inputs, {x: 0 if x in forced else cost(x) for x in inputs}, goals)
    while network.augment():
        pass
    return [*forced, *(x for x in network.cut() if x not in forced)]


def _repeated(node: Node) -> Node:
    """What a node is a broadcast of; others are themselves."""
    return _repeated(node.inputs[0]) if isinstance(node.op, Broadcast) else node


def _between(goals: Iterable[Node], varying: Container[Node]) -> dict[Node, list[Node]]:
    """The nodes that lead to goals by cheap functions, each with those that it is made of; none for a first one."""
    found: dict[Node, list[Node]] = {}
    stack = list(goals)
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = list(dict.fromkeys(x for x in node.inputs if x in varying)) if is_cheap(node) else []
            stack += found[node]
    return found


class _Network:
    """What flows from first nodes through others to goals: the greatest flow is the least cut (Ford and Fulkerson)."""

    def __init__(self, inputs: dict[Node, list[Node]], room: dict[Node, int], goals: Container[Node]) -> None:
        self.inputs, self.room, self.goals = inputs, room, goals
        self.readers: dict[Node, list[Node]] = {node: [] for node in inputs}
        for node, sources in inputs.items():
            for x in sources:
                self.readers[x].append(node)
        self.through = dict.fromkeys(inputs, 0)
        self.along = {(x, node): 0 for node, sources in inputs.items() for x in sources}

    def augment(self) -> bool:
        """Send more along the shortest way that has room; whether there is one."""
        came: dict[State, State | None] = {(node, False): None for node, sources in self.inputs.items() if not sources}
        queue = deque(came)
        while queue:
            state = queue.popleft()
            if state[1] and state[0] in self.goals:
                self._send(state, came)
                return True
            for after in self._after(state):
                if after not in came:
                    came[after] = state
                    queue.append(after)
        return False

    def _after(self, state: State) -> Iterator[State]:
        node, behind = state
        if behind:
            yield from ((reader, False) for reader in self.readers[node])
            if self.through[node]:
                yield node, False
            return
        if self.through[node] < self.room[node]:
            yield node, True
        yield from ((x, True) for x in self.inputs[node] if self.along[x, node])

    def _send(self, end: State, came: dict[State, State | None]) -> None:
        steps: list[tuple[State, State]] = []
        before = came[end]
        while before is not None:
            steps.append((before, end))
            end, before = before, came[before]
        most = min([self.room[x] - self.through[x] if not behind else self.through[x]
                    for (x, behind), (y, _) in steps if x is y]
                   + [self.along[y, x] for (x, behind), (y, _) in steps if x is not y and not behind])
        for (x, behind), (y, _) in steps:
            if x is y:
                self.through[x] += -most if behind else most
            elif behind:
                self.along[x, y] += most
            else:
                self.along[y, x] -= most

    def cut(self) -> list[Node]:
        """The full nodes behind which goals can be reached, and before which they cannot."""
        reached: set[State] = {(node, True) for node in self.inputs if node in self.goals}
        stack = list(reached)
        while stack:
            for before in self._before(stack.pop()):
                if before not in reached:
                    reached.add(before)
                    stack.append(before)
        return [node for node in self.inputs if (node, True) in reached and (node, False) not in reached]

    def _before(self, state: State) -> Iterator[State]:
        node, behind = state
        if behind:
            if self.through[node] < self.room[node]:
                yield node, False
            yield from ((reader, False) for reader in self.readers[node] if self.along[node, reader])
            return
        yield from ((x, True) for x in self.inputs[node])
        if self.through[node]:
            yield node, True
