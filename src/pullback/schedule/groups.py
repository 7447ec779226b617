"""Grouping roots into kernels.

A kernel runs, for each point of a prefix of its members' iteration spaces (`rows`), one loop after the other over what
is left. A root can join where everything it reads of the other members is of the same row; so a softmax is one kernel
of rows, and what follows it row by row joins too. Elementwise kernels are those where the prefix is everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from pullback.kernel.nodes import Load
from pullback.schedule import costs
from pullback.schedule.counting import countable, index_uses
from pullback.schedule.roots import Root, parts

LOOPS = ("map", "reduce", "argreduce", "chunk")
MIN_ROWS = 8  # fewer rows than this leave no room for threads


class Group:
    """A kernel in the making: members in order, `rows` leading dimensions in common."""

    __slots__ = ("ancestors", "bit", "kind", "members", "prefix", "work")

    def __init__(self, root: Root, bit: int) -> None:
        self.kind = "loops" if root.kind in LOOPS else root.kind
        self.members = [root]
        self.prefix = root.space[:root.rows]
        self.work = root.work
        self.bit = bit
        self.ancestors = 0

    @property
    def rows(self) -> int:
        return len(self.prefix)


class Grouping:
    """Places roots one by one; groups stay free of cycles."""

    def __init__(self, roots: list[Root], fuse: bool = True) -> None:
        self.groups: list[Group] = []
        self.fuse = fuse
        self._bit = 1
        self._depth: dict[Root, int] = {}
        self._readers: dict[Root, list[Root]] = {}
        for root in roots:
            self._depth[root] = 1 + max((self._depth[s] for s in root.sources), default=0)
            for s in root.sources:
                self._readers.setdefault(s, []).append(root)
        for root in roots:
            self._place(root)

    def _place(self, root: Root) -> None:
        sources: dict[Group, None] = {}
        for s in root.sources:
            sources[s.group] = None
        joined: Group | None = None
        if root.kind in LOOPS and self.fuse:
            latest = list(reversed(sources))
            for group in [g for g in latest if g.kind == "contract"] + [g for g in latest if g.kind != "contract"]:
                rows = self._fits(root, group, sources)
                if rows is not None:
                    self._join(root, group, rows, sources)
                    joined = group
                    break
            else:
                joined = self._sibling(root, sources)
        if joined is None:
            joined = Group(root, self._bit)
            self._bit <<= 1
            for g in sources:
                joined.ancestors |= g.ancestors | g.bit
            self.groups.append(joined)
            root.group = joined
        if joined.kind == "loops" and self.fuse:
            for g in list(sources):
                if g is not joined and g in self.groups:
                    self._merge(g, joined)

    def _sibling(self, root: Root, sources: dict[Group, None]) -> Group | None:
        """A group over the same space that reads the same arrays."""
        if root.kind == "chunk" and not root.loads:
            return None
        mine = {x.buffer for x in root.loads}
        for group in reversed(self.groups[-8:]):
            if group.kind != "loops":
                continue
            if not any(m.space == root.space and mine & {x.buffer for x in m.loads} for m in group.members):
                continue
            rows = self._fits(root, group, sources)
            if rows is not None and rows == min(group.rows, root.rows):
                self._join(root, group, rows, sources)
                return group
        return None

    # -- conditions --------------------------------------------------------------------------------------------------
    def _fits(self, root: Root, group: Group, sources: dict[Group, None]) -> int | None:
        """How many leading dimensions the root can share with the group; None where it cannot join."""
        if any(g is not group and g.ancestors & group.bit for g in sources):
            return None
        if self._delays(group, [root]):
            return None
        if group.kind == "contract":
            return self._fits_epilogue(root, group)
        if group.kind != "loops":
            return None
        rows = common(root.space, group.prefix, min(group.rows, root.rows))
        rows = local_rows(root, group, rows)
        if not side_by_side([root], group.members):
            return None
        return rows if self._worth(group, rows, root.space, root.rows, root.work, root.kind == "chunk") else None

    def _delays(self, first: Group, others: list[Root]) -> bool:
        """Whether much work that waits for the first could start before what the others read is there."""
        late = max((self._depth[s] for r in others for s in r.sources if s.group is not first and s not in others),
                   default=0)
        return any(r.work >= costs.SERIAL_WORK and self._depth[r] <= late and r not in others and r.group is not first
                   for m in first.members for r in self._readers.get(m, ()))

    def _fits_epilogue(self, root: Root, group: Group) -> int | None:
        main = group.members[0]
        if root.kind != "map" or root.space != main.space:
            return None
        for x in root.loads:
            if x.buffer in (m.buffer for m in group.members) and (not isinstance(x, Load) or x.indices != root.vars):
                return None
        if main.windows is not None and any(n > 1 for n in main.windows[1].step):  # its phases need all its columns
            batch, rows, columns, _ = parts(main.node)
            if countable(main, len(batch) + len(rows), len(columns), index_uses([root])) < len(columns):
                return None
        return len(root.space)

    def _worth(self, group: Group, rows: int, space: tuple[int, ...], limit: int, work: int, chunk: bool) -> bool:
        """Whether sharing `rows` leading dimensions leaves enough that can run in parallel."""
        if rows < 0:
            return False
        has_chunk = any(m.kind == "chunk" for m in group.members)
        if (chunk or has_chunk) and rows != 1:
            return False
        if rows == group.rows and rows == limit:
            return True
        if group.work + work <= costs.SERIAL_WORK:
            return True
        count = prod(group.prefix[:rows])
        full = max(prod(group.prefix), 1)
        if rows == 0 and (work <= 64 or group.work <= 64) and group.rows == 0:
            return True
        return count >= MIN_ROWS or (rows > 0 and count == full)

    # -- changes -----------------------------------------------------------------------------------------------------
    def _join(self, root: Root, group: Group, rows: int, sources: dict[Group, None]) -> None:
        group.members.append(root)
        root.group = group
        group.work += root.work
        if group.kind == "loops":
            group.prefix = group.prefix[:rows]
        added = 0
        for g in sources:
            if g is not group:
                added |= g.ancestors | g.bit
        self._inherit(group, added)

    def _inherit(self, group: Group, added: int) -> None:
        if added & ~group.ancestors:
            group.ancestors |= added
            for g in self.groups:
                if g.ancestors & group.bit:
                    g.ancestors |= group.ancestors

    def _merge(self, first: Group, second: Group) -> None:
        """Make one kernel of two, where the second reads the first row by row and nothing else lies between."""
        if first.kind != "loops" or second.kind != "loops" or self._delays(first, second.members):
            return
        between = second.ancestors & ~first.bit
        if any(g.bit & between and g.ancestors & first.bit for g in self.groups):
            return
        rows = common(first.prefix, second.prefix, min(first.rows, second.rows))
        members = set(first.members)
        for root in second.members:
            if any(s in members for s in root.sources):
                rows = local_rows(root, first, rows)
        chunk = any(m.kind == "chunk" for m in second.members)
        if not side_by_side(second.members, first.members):
            return
        if not self._worth(first, rows, second.prefix, second.rows, second.work, chunk):
            return
        position = {r: k for k, r in enumerate((*first.members, *second.members))}
        second.members = sorted((*first.members, *second.members), key=position.__getitem__)
        second.prefix = second.prefix[:rows]
        second.work += first.work
        for root in first.members:
            root.group = second
        self.groups.remove(first)
        for g in self.groups:
            if g.ancestors & first.bit:
                g.ancestors = (g.ancestors & ~first.bit) | second.bit
        second.ancestors = (second.ancestors | first.ancestors) & ~(first.bit | second.bit)
        self._inherit_all(second)

    def _inherit_all(self, group: Group) -> None:
        for g in self.groups:
            if g.ancestors & group.bit:
                g.ancestors |= group.ancestors

    def ordered(self) -> list[Group]:
        """Groups such that each comes after all that it reads."""
        done = 0
        rest, order = list(self.groups), list[Group]()
        present = 0
        for g in rest:
            present |= g.bit
        while rest:
            ready = [g for g in rest if not (g.ancestors & present & ~done)]
            assert ready, "a cycle among kernels"
            for g in ready:
                done |= g.bit
            order += ready
            rest = [g for g in rest if not (g.bit & done)]
        return order


def common(a: tuple[int, ...], b: tuple[int, ...], limit: int) -> int:
    """Length of the common prefix, at most `limit`."""
    n = 0
    while n < limit and n < len(a) and n < len(b) and a[n] == b[n]:
        n += 1
    return n


def side_by_side(new: Sequence[Root], members: Sequence[Root]) -> bool:
    """Whether long sums over leading dimensions are in one loop with all that is in their kernel, or there are none:
    threads share what is kept of those, where there is one loop only."""
    found = [{(m.space, m.reduced) for m in some if m.kind == "reduce" and not m.rows
              and len(m.reduced) < len(m.space) and m.work >= costs.SERIAL_WORK} for some in (new, members)]
    if found == [set(), set()]:
        return True
    return found[0] == found[1] and not any(s in members for m in new for s in m.sources)


def local_rows(root: Root, group: Group, rows: int) -> int:
    """How many of the leading dimensions are the same in the root and in all it reads of the group."""
    members = {m.buffer: m for m in group.members}
    for x in root.loads:
        m = members.get(x.buffer)
        if m is None:
            continue
        if m.kind == "chunk":
            return -1
        n = 0
        while (n < rows and n < len(x.indices) and x.indices[n] == root.vars[n]
               and x.buffer.shape[n] == root.space[n]):
            n += 1
        rows = n
    return rows
