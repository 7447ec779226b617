"""A function as a list of kernels, in phases, with a place in memory for everything.

The kernels of one phase do not depend on each other and run in one parallel region. Memory between kernels comes from
one workspace, where buffers that are never alive together share space; a result may take over a donated input's.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pullback.ir.node import Function, Proj, TensorType, TupleType
from pullback.kernel.nodes import (
    Accumulator,
    AttentionNest,
    Buffer,
    Expr,
    For,
    Kernel,
    Let,
    MatmulNest,
    Stmt,
    Store,
    Total,
    WindowNest,
    expressions,
    subexpressions,
    walk,
)
from pullback.schedule import costs
from pullback.schedule.attention import attention_nest, operations
from pullback.schedule.contract import matmul_nest, window_nest
from pullback.schedule.counting import index_uses
from pullback.schedule.donation import Pairs, donate, in_place, waits
from pullback.schedule.groups import Group, Grouping
from pullback.schedule.loops import LoopBuilder
from pullback.schedule.prepare import past_barriers, prepare
from pullback.schedule.roots import Root, Roots, Unsupported
from pullback.schedule.scatter import scatter_loops
from pullback.schedule.segments import in_segments
from pullback.schedule.special import cumulative_loops
from pullback.schedule.unroll import unrolled

ALIGN = 64
CONTROL = ("scan", "while", "cond", "sort", "dense")
SPECIAL = ("cumulative", "scatter")
MAX_THREADS = 16
SORT_COST = 100  # of an element of a line


class Plan:
    """What `codegen` needs: kernels by phase, buffers, sizes."""

    __slots__ = ("alias", "buffers", "early", "flops", "function", "kept", "nbytes", "phases", "seconds", "stops",
                 "threads", "workspace_bytes")

    def __init__(self, function: Function, phases: list[list[Kernel]], buffers: list[Buffer], alias: dict[int, int],
                 workspace_bytes: int, flops: int, nbytes: int, seconds: float, threads: int) -> None:
        self.function, self.phases, self.buffers, self.alias = function, phases, buffers, alias
        self.workspace_bytes, self.flops, self.nbytes, self.seconds = workspace_bytes, flops, nbytes, seconds
        self.threads = threads
        #: the phase behind which the program ends if its last result is not 0 (none: -1), and results that it has then
        self.stops, self.early = -1, tuple[int, ...]()
        #: results that are copies of parameters then
        self.kept: Pairs = ()


class Options(NamedTuple):
    """How to schedule: threads of the machine, whether to fuse, the passes for bodies, whether this is a body.

    `state`: where the state of a loop begins among a body's inputs; result k may only take the memory of the k-th.
    `unit`: the processor multiplies matrices of bfloat16 numbers. `native`: it multiplies such numbers, so many terms
    at a time (0: it does not). `checked`: the last result is a number that ends the program where it is not 0, and
    these results, each with a parameter, are what the parameter was then. `stream`: the bytes from which on results
    bypass the caches.
    """

    threads: int = 1
    fuse: bool = True
    rewrite: Callable[[Function], Function] = lambda f: f
    inner: bool = False
    state: int = -1
    unit: bool = False
    native: int = 0
    checked: Pairs | None = None
    stream: int = costs.streamed_from(0)


class Control:
    """A loop or choice: the operator, its bodies' plans, its operands, and a buffer (or None) for each result."""

    __slots__ = ("bodies", "inputs", "op", "results")

    def __init__(self, op: Any, bodies: tuple[Plan, ...], inputs: tuple[Buffer, ...],
                 results: tuple[Buffer | None, ...]) -> None:
        self.op, self.bodies, self.inputs, self.results = op, bodies, inputs, results


def plan(function: Function, donated: frozenset[int], immediates: frozenset[int], options: Options) -> Plan:
    """Schedule a function; without `fuse` every operation is a kernel of its own."""
    for t in (*function.in_types, *(n.type for n in function.nodes())):
        if isinstance(t, TensorType) and t.dtype.kind == "c":
            raise Unsupported(t.dtype.name)
    native = options.native if options.fuse or options.unit else 0  # pairs may be of windows, which would be stored
    function = prepare(past_barriers(function, immediates), options.unit, native)
    roots = Roots(function, immediates, not options.fuse)
    for k in immediates:
        buffer = roots.params[function.params[k]]
        buffer.space = "immediate"
    outputs = place_results(function, roots)
    grouping = Grouping(roots.roots, options.fuse)
    groups = grouping.ordered()
    mark_external(roots.roots, outputs)
    kernels = [build_kernel(g, f"k{n}", options, roots) for n, g in enumerate(groups)]
    phases = in_phases(groups, kernels, waits(function, roots, groups, kernels, donated, options.state,
                                              options.checked))
    if options.fuse:
        phases = [side_by_side(phase) for phase in phases]
    alias = donate(function, roots, phases, donated, options.state, options.checked)
    in_place(function, roots, phases, alias)
    unstream(kernels, options)
    stream_results(kernels, {roots.buffers[function.results[o]] for o in alias}, options)
    workspace = place_workspace(phases, roots)
    buffers = list(roots.params.values()) + [roots.buffers[r] for r in function.results]
    flops, nbytes = sum(k.flops for k in kernels), sum(k.nbytes for k in kernels)
    seconds = sum(max(estimate(k) for k in phase) for phase in phases) * 1e-9
    made = Plan(function, phases, buffers, alias, workspace, flops, nbytes, seconds, options.threads)
    if options.checked is not None:
        stop(made, roots, options.checked)
    return made


def stop(made: Plan, roots: Roots, replaced: Pairs) -> None:
    """Where a program ends whose last result, a number, is not 0: as late as possible before it writes over an
    argument; and what there is to be copied then."""
    phases, alias = made.phases, made.alias
    written = {x: n for n, phase in enumerate(phases) for k in phase for x in k.writes}
    at = [written.get(roots.buffers[r], len(phases)) for r in made.function.results]
    made.kept = tuple(pair for pair in replaced if pair[0] not in alias)
    stops = max(at[-1], min((at[o] for o in alias), default=len(phases)) - 1)
    if stops + 1 < len(phases) or made.kept:
        made.stops = min(stops, len(phases) - 1)
    made.early = tuple(o for o, n in enumerate(at) if n <= stops)


def stream_results(kernels: list[Kernel], aliased: set[Buffer], options: Options) -> None:
    """What products only hand out goes past the caches, where it is much: others need them (a step's gradients)."""
    if options.inner:
        return
    read = {x for k in kernels for x in k.reads} | aliased
    nests = [s for k in kernels for s in k.body if isinstance(s, MatmulNest)]
    stores = [s for nest in nests for s in nest.epilogue
              if isinstance(s, Store) and s.buffer.space == "output" and s.buffer not in read]
    if sum(s.buffer.nbytes for s in stores) >= options.stream:
        for s in stores:
            s.stream = True


def unstream(kernels: list[Kernel], options: Options) -> None:
    """What the last cache holds stays there for whoever reads it next; and results of a body are slices of arrays, not
    aligned as streaming needs."""
    for k in kernels:
        for stmt in walk(k.body):
            if isinstance(stmt, Store) and stmt.stream:
                stmt.stream = not options.inner and stmt.buffer.nbytes >= options.stream


def place_results(function: Function, roots: Roots) -> set[Buffer]:
    outputs: set[Buffer] = set()
    for k, r in enumerate(function.results):
        buffer = roots.buffers[r]
        buffer.space, buffer.slot = "output", len(function.params) + k
        outputs.add(buffer)
    return outputs


def mark_external(roots: list[Root], outputs: set[Buffer]) -> None:
    """Which values leave their kernel."""
    for root in roots:
        root.external = root.buffer in outputs or root.kind not in ("map", "reduce", "argreduce", "chunk", "contract")
    for root in roots:
        for s in root.sources:
            if s.group is not root.group:
                s.external = True
        if root.kind in ("map", "reduce", "argreduce", "chunk"):
            continue
    for root in roots:
        if root.kind not in ("map", "reduce", "argreduce", "chunk"):
            for s in root.sources:
                s.external = True


def build_kernel(group: Group, name: str, options: Options, roots: Roots) -> Kernel:
    """Loop IR of one group."""
    threads = options.threads
    if group.kind == "barrier":
        return Kernel(name, "barrier", ())
    if group.kind in CONTROL:
        return control_kernel(group, name, options, roots)
    if group.kind == "loops":
        builder = LoopBuilder(group, name)
        kernel = Kernel(name, "loops", unrolled(in_segments(builder.build())), scratch=builder.scratch)
    elif group.kind == "contract":
        kernel = contract_kernel(group, name)
    elif group.kind == "attention":
        kernel = Kernel(name, "attention", (attention_nest(group.members[0], roots),))
    elif group.kind in SPECIAL:
        kernel = Kernel(name, group.kind, special_loops(group, threads))
    else:
        raise Unsupported(group.kind)
    kernel.flops = group.work
    count_memory(kernel)
    if isinstance(kernel.body[0] if kernel.body else None, AttentionNest):
        kernel.flops = operations(kernel.body[0])  # pyright: ignore[reportArgumentType]
        kernel.threads = threads if kernel.flops >= 200_000 else 1
    elif group.kind == "contract":
        nest: Any = kernel.body[0]
        times = prod(v.size for v in nest.batch) if isinstance(nest, WindowNest) else prod(
            v.size for v, _, _ in nest.batch)
        kernel.flops = 2 * nest.m * nest.n * nest.k * times
        if isinstance(nest, WindowNest):
            kernel.flops //= prod(nest.b_step)  # places between elements cost nothing
        kernel.threads = threads if kernel.flops >= 200_000 else 1
    else:
        kernel.threads = costs.worth_threads(max(group.work, kernel.nbytes // 2), threads) if shares(kernel) else 1
    return kernel


def special_loops(group: Group, threads: int) -> tuple[Stmt, ...]:
    """The loops of a prefix scan or a scatter."""
    root = group.members[0]
    if group.kind == "cumulative":
        return cumulative_loops(root) if prod(root.space) else ()
    return scatter_loops(root, costs.worth_threads(max(group.work, root.buffer.nbytes // 2), threads))


def shares(kernel: Kernel) -> bool:
    """Whether some of a kernel is shared out among threads."""
    return any(isinstance(s, For) and s.parallel for s in walk(kernel.body))


def control_kernel(group: Group, name: str, options: Options, roots: Roots) -> Kernel:
    """A loop or choice whose bodies are programs of their own; a sort; a decomposition."""
    root = group.members[0]
    node, op = root.node, root.node.op
    axis: int = getattr(op, "axis", 0)
    bodies: list[Plan] = []
    for value in op.params().values():
        if isinstance(value, Function):
            written = states_of(op) if value is getattr(op, "body", None) else range(0)
            inner = options._replace(inner=True, checked=None, state=written.start if written else -1)
            bodies.append(plan(options.rewrite(value), frozenset(written), frozenset(), inner))
    inputs = tuple(roots.buffers[x] for x in node.inputs)
    results: list[Buffer | None] = [None] * len(node.type.items) if isinstance(node.type, TupleType) else [None]
    for proj in roots.order:
        if isinstance(proj.op, Proj) and proj.inputs[0] is node:
            results[proj.op.index] = roots.buffers[proj]
    kernel = Kernel(name, root.kind, (), payload=Control(op, tuple(bodies), inputs, tuple(results)))
    kernel.reads = list(dict.fromkeys((*inputs, *(x.memory for x in inputs))))
    kernel.writes = [x for x in results if x is not None]
    if root.kind == "sort":
        kernel.flops, lines = inputs[0].size * SORT_COST, inputs[0].size // max(inputs[0].shape[axis], 1)
        kernel.threads = min(costs.worth_threads(kernel.flops, options.threads), max(lines, 1))
        return kernel
    if root.kind == "dense":
        kernel.flops, parts = dense_work(op, *(x.tensor for x in node.inputs))
        kernel.threads = min(costs.worth_threads(kernel.flops, options.threads), max(parts, 1))
        return kernel
    times = getattr(op, "length", 1)
    kernel.flops = sum(p.flops for p in bodies) * times
    kernel.nbytes = max(sum(x.nbytes for x in (*kernel.reads, *kernel.writes)),
                        int(sum(p.seconds for p in bodies) * times * 1e9 * costs.BYTES_PER_NANOSECOND))
    return kernel


def dense_work(op: Any, *types: TensorType) -> tuple[int, int]:
    """The operations of a kernel on dense matrices, and among how many threads they can be shared."""
    return int(op.work(*types)), int(op.parts(*types))


def states_of(op: Any) -> range:
    """The inputs of a loop's body that its first results replace."""
    first = int(getattr(op, "consts", 0))
    return range(first, first + int(getattr(op, "carries", len(op.body.results))))


def contract_kernel(group: Group, name: str) -> Kernel:
    """A contraction, and the elementwise members as its epilogue."""
    main = group.members[0]
    if not main.external:
        main.buffer.space = "register"
    for m in group.members[1:]:
        if not m.external:
            m.buffer.space = "register"
    accumulator = Accumulator("acc", "add", main.node.dtype, horizontal=False)
    body: list[Stmt] = [keep(main, Total(accumulator, main.buffer.dtype))]
    for m in group.members[1:]:
        assert m.value is not None
        body.append(keep(m, m.value))
    uses = index_uses(group.members[1:])
    uses += [m.buffer.flat(m.vars) for m in group.members if m.buffer.space != "register"]
    make = matmul_nest if main.windows is None else window_nest
    return Kernel(name, "matmul", (make(main, uses, tuple(body), accumulator),))


def keep(root: Root, value: Expr) -> Stmt:
    return Let(root.buffer, value) if root.buffer.space == "register" else Store(root.buffer, root.vars, value)


def count_memory(kernel: Kernel) -> None:
    """Buffers that pass between kernels, and their bytes."""
    reads: dict[Buffer, None] = {}
    writes: dict[Buffer, None] = {}
    roots: list[Expr] = []
    for stmt in walk(kernel.body):
        roots.extend(expressions(stmt))
        if isinstance(stmt, (MatmulNest, WindowNest)):
            reads |= dict.fromkeys(x for x in (stmt.a, stmt.b, getattr(stmt, "panels", None)) if x is not None)
        elif isinstance(stmt, AttentionNest):
            reads |= dict.fromkeys(rows.buffer for rows in stmt.reads)
            writes |= dict.fromkeys(rows.buffer for rows in stmt.results if rows is not None)
        elif isinstance(stmt, Store):
            writes[stmt.buffer] = None
        else:
            buffer = getattr(stmt, "buffer", None)
            if buffer is not None:
                writes[buffer] = None
    for x in subexpressions(tuple(roots)):
        buffer = getattr(x, "buffer", None)
        if buffer is not None:
            reads[buffer] = None
    local = ("scratch", "register")
    aliases = [x.memory for x in reads if x.alias is not None]
    kernel.reads = [x for x in dict.fromkeys((*reads, *aliases)) if x.space not in local and x not in writes]
    kernel.writes = [x for x in writes if x.space not in local]
    kernel.nbytes = sum(x.nbytes for x in (*kernel.reads, *kernel.writes))


def estimate(kernel: Kernel) -> float:
    """Expected nanoseconds."""
    rate = 1 / 90 if kernel.kind in ("matmul", "attention") else costs.NANOSECONDS
    return max(kernel.flops * rate, kernel.nbytes / costs.BYTES_PER_NANOSECOND) / kernel.threads + 200


def in_phases(groups: list[Group], kernels: list[Kernel], before: dict[int, int]) -> list[list[Kernel]]:
    """Kernels that do not wait for each other, together."""
    phases: list[list[Kernel]] = []
    rest: list[tuple[int, Kernel]] = [(g.bit, k) for g, k in zip(groups, kernels, strict=True)]
    while rest:
        missing = sum(bit for bit, _ in rest)
        ready = [(bit, k) for bit, k in rest if not before[bit] & missing]
        assert ready, "a cycle among kernels"
        phases.append([k for _, k in ready])
        found = {bit for bit, _ in ready}
        rest = [x for x in rest if x[0] not in found]
    return [part for phase in phases for part in apart(phase)]


def apart(phase: list[Kernel]) -> list[list[Kernel]]:
    """Kernels that run programs of their own are phases of their own: regions do not nest."""
    plain = [k for k in phase if k.kind not in CONTROL and k.kind != "barrier"]
    return ([plain] if plain else []) + [[k] for k in phase if k.kind in CONTROL]


def side_by_side(phase: list[Kernel]) -> list[Kernel]:
    """Independent loop kernels as one: all that run in one thread, and all whose loops are divided among threads."""
    found = [k for k in phase if k.kind != "loops"]
    plain = [k for k in phase if k.kind == "loops"]
    for wide in (False, True):
        mine = [k for k in plain if (k.threads > 1 and divided(k)) == wide]
        if mine:
            found.append(mine[0] if len(mine) == 1 else joined_kernel(mine))
    return found


def divided(kernel: Kernel) -> bool:
    """Whether all of a kernel is shared out among threads."""
    return all(isinstance(s, For) and s.parallel for s in kernel.body)


def joined_kernel(kernels: list[Kernel]) -> Kernel:
    """One kernel that runs the loops of several after each other."""
    return Kernel(kernels[0].name, "loops", tuple(s for k in kernels for s in k.body),
                  sum(k.flops for k in kernels), sum(k.nbytes for k in kernels), max(k.threads for k in kernels),
                  list(dict.fromkeys(b for k in kernels for b in k.reads)),
                  list(dict.fromkeys(b for k in kernels for b in k.writes)),
                  [b for k in kernels for b in k.scratch])


def place_workspace(phases: list[list[Kernel]], roots: Roots) -> int:
    """First fit over the phases that each buffer lives in."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for n, phase in enumerate(phases):
        for k in phase:
            for x in (*k.reads, *k.writes):
                x = x.memory
                if x.space == "workspace":
                    first.setdefault(x, n)
                    last[x] = n
    places = Places(len(first))
    for x in sorted(first, key=lambda x: (-x.nbytes, first[x])):
        x.offset = places.take(-(-x.nbytes // ALIGN) * ALIGN, first[x], last[x])
    return places.total


class Places:
    """Places in memory that are taken for some phases each, in the order in which they lie."""

    def __init__(self, most: int) -> None:
        self.start, self.end, self.first, self.last = np.zeros((4, most), np.int64)
        self.count = self.total = 0

    def take(self, size: int, first: int, last: int) -> int:
        """The first gap that is large enough in all phases from `first` to `last`."""
        n = self.count
        meets = (self.last[:n] >= first) & (self.first[:n] <= last)
        free = np.maximum.accumulate(np.concatenate(([0], self.end[:n][meets])))  # before each place, and behind all
        fits = free[:-1] + size <= self.start[:n][meets]
        at = int(free[fits.argmax()] if fits.any() else free[-1])
        k = int(np.searchsorted(self.start[:n], at))
        for line, value in ((self.start, at), (self.end, at + size), (self.first, first), (self.last, last)):
            line[k + 1:n + 1] = line[k:n].copy()
            line[k] = value
        self.count, self.total = n + 1, max(self.total, at + size)
        return at


def plan_text(made: Plan) -> str:
    """Phases, kernels, and what each reads and writes."""
    lines = [f"{len(made.phases)} phases, {made.workspace_bytes} bytes of workspace, {made.flops} operations"]
    for n, phase in enumerate(made.phases):
        lines.append(f"phase {n}")
        for k in phase:
            reads, writes = (", ".join(b.name for b in x) for x in (k.reads, k.writes))
            lines.append(f"  {k.name}: {k.kind}, {k.threads} threads, {k.flops} operations, {reads} -> {writes}")
    for o, i in sorted(made.alias.items()):
        lines.append(f"result {o} takes the memory of input {i}")
    return "\n".join(lines)
