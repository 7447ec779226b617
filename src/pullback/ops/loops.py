"""Branches and loops."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import bool_, float64, int32
from pullback.ir.node import (
    Function,
    Node,
    Op,
    TensorType,
    Transforms,
    TupleType,
    Watch,
    evaluate,
    param,
    primitive,
    project,
    reapply,
    substitute,
    topological,
)
from pullback.ops.map import Sample
from pullback.ops.partial import Split, dependents, pick, split
from pullback.util.errors import NoDerivativeError, ShapeError, message


def check_body(name: str, function: Function, types: Sequence[TensorType], what: str = "body") -> None:
    """Check that operands have the types of a body's parameters."""
    wanted = function.in_types
    if len(wanted) != len(types):
        raise ShapeError(message(f"{name}: the {what} takes {len(wanted)} arrays", [("given", str(len(types)))]))
    for k, (given, want) in enumerate(zip(types, wanted, strict=True)):
        if given is not want:
            raise ShapeError(message(f"{name}: an operand does not have the type its {what} takes", [
                (f"operand {k}", repr(given)), ("wanted", repr(want))]))


def _check_carry(name: str, before: Sequence[TensorType], after: Sequence[TensorType]) -> None:
    if len(before) != len(after):
        raise ShapeError(message(f"{name}: the body must return the carry it takes", [
            ("takes", str(len(before))), ("returns", str(len(after)))]))
    for k, (x, y) in enumerate(zip(before, after, strict=True)):
        if x is not y:
            raise ShapeError(message(f"{name}: the body must keep the types of the carry", [
                (f"carry {k}", repr(x)), ("returned", repr(y))], "convert or reshape in the body"))


def _fill(results: Sequence[Node], flags: Sequence[bool], wanted: Sequence[bool], like: Sequence[Node]) -> list[Node]:
    """Tangents of the flagged results; zeros where wanted but not flagged."""
    rest = iter(results)
    found: list[Node] = []
    for have, want, x in zip(flags, wanted, like, strict=True):
        t = next(rest) if have else None
        if want:
            found.append(b.zeros_like(x) if t is None else t)
    return found


def absorb(roots: Sequence[Node]) -> tuple[Node, ...]:
    """Before: two loops over the same inputs, one body's results the first of the other's. After: the larger only."""
    groups: dict[Any, list[Node]] = {}
    for node in topological(roots):
        if isinstance(node.op, (Scan, Cond)):
            groups.setdefault((node.op.shell(), node.inputs), []).append(node)
    mapping: dict[Node, Node] = {}
    for nodes in groups.values():
        nodes.sort(key=lambda n: len(project(n)), reverse=True)
        for small in nodes[1:]:
            large = next((n for n in nodes if n not in mapping and n is not small and _covers(n, small)), None)
            if large is not None:
                mapping.update(zip(project(small), project(large), strict=False))
                mapping[small] = large
    return substitute(roots, mapping) if mapping else tuple(roots)


def _covers(large: Node, small: Node) -> bool:
    pairs = zip(_bodies(large.op), _bodies(small.op), strict=True)
    return all(p.params == q.params and p.results[:len(q.results)] == q.results for p, q in pairs)


def _bodies(op: Op) -> tuple[Function, ...]:
    return op.branches if isinstance(op, Cond) else (op.body,) if isinstance(op, Scan) else ()


def without_unread(node: Node, read: Collection[int]) -> tuple[Node, dict[int, int]] | None:
    """A scan that leaves only the sequences among its results `read`, and where each result is now; None where it does
    already, or the node is no scan."""
    op = node.op
    if not isinstance(op, Scan):
        return None
    results = op.body.results
    kept = [k for k in range(len(results)) if k < op.carries or k in read]
    if len(kept) == len(results):
        return None
    body = Function(op.body.params, [results[k] for k in kept])
    return b.apply(op.replace(body=body), *node.inputs), {old: new for new, old in enumerate(kept)}


def guarded(function: Function) -> Function | None:
    """(condition, x...) -> the results; nothing refuses its inputs unless the condition holds (None: or ever)."""
    condition = param(TensorType.of((), bool_))
    done: dict[Node, Node] = {p: p for p in function.params}
    any_ = False
    for node in function.nodes():
        if node in done:
            continue
        inputs = tuple(done[x] for x in node.inputs)
        careful = node.op.only_where(condition, *inputs)
        any_ = any_ or careful is not None
        done[node] = careful or reapply(node, inputs)
    return Function([condition, *function.params], [done[r] for r in function.results]) if any_ else None


@primitive
class Cond(Op):
    """outs = branches[clamp(index)](operands)"""

    name: ClassVar[str] = "cond"
    lowering: ClassVar[str] = "cond"
    branches: tuple[Function, ...]

    def shell(self) -> Any:
        """All but the bodies."""
        return ("cond", len(self.branches))

    def params(self) -> dict[str, Any]:
        return {f"branch{k}": f for k, f in enumerate(self.branches)}

    def infer(self, *types: TensorType) -> TupleType:
        if types[0].dtype is not int32 or types[0].shape:
            raise ShapeError(message("cond: the index must be one int32 number", [("index", repr(types[0]))],
                                     "convert it with x.astype(int32)"))
        first = self.branches[0].out_types
        for k, branch in enumerate(self.branches):
            check_body("cond", branch, types[1:], f"branch {k}")
            if branch.out_types != first:
                raise ShapeError(message("cond: all branches must return the same types", [
                    ("branch 0", repr(first)), (f"branch {k}", repr(branch.out_types))]))
        return TupleType(first)

    def reference(self, *arrays: Any) -> Any:
        chosen = int(np.clip(arrays[0], 0, len(self.branches) - 1))
        return evaluate(self.branches[chosen], *arrays[1:])

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        active = tuple(t is not None for t in tangents[1:])
        pairs = [transforms.jvp(f, active) for f in self.branches]
        wanted = tuple(any(out[k] for _, out in pairs) for k in range(len(pairs[0][1])))
        count = len(wanted)
        bodies = tuple(Function(g.params, [*g.results[:count],
                                           *_fill(g.results[count:], out, wanted, g.results[:count])])
                       for g, out in pairs)
        given = [t for t in tangents if t is not None]
        found = iter(project(b.apply(Cond(bodies), *inputs, *given))[count:])
        return tuple(next(found) if k else None for k in wanted)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        """One Cond computes the residuals (padded to common slots), another the cotangents from them."""
        flags = linear[1:]
        parts = [split(f, flags, _slot_bytes(f)) for f in self.branches]
        live = tuple(any(p.depends[k] for p in parts) and ct is not None for k, ct in enumerate(cotangent))
        known = pick(inputs[1:], [not k for k in flags])
        slots, places = _slots(self.branches, parts)
        saved: tuple[Node, ...] = ()
        if slots:
            dead = [not any(p.depends[k] for p in parts) for k in range(len(live))]
            forward = tuple(_emit(f, p, flags, dead, slots, place)
                            for f, p, place in zip(self.branches, parts, places, strict=True))
            saved = project(b.apply(Cond(forward), inputs[0], *known))[sum(dead):]
        backward = tuple(self._backward(transforms, f, p, flags, live, slots, place)
                         for f, p, place in zip(self.branches, parts, places, strict=True))
        cts = [ct for ct, k in zip(cotangent, live, strict=True) if k]
        found = iter(project(b.apply(Cond(backward), inputs[0], *known, *saved, *cts)))
        return (None, *(next(found) if k else None for k in flags))

    def _backward(self, transforms: Transforms, f: Function, part: Split, flags: tuple[bool, ...],
                  live: tuple[bool, ...], slots: list[TensorType], place: dict[Node, int]) -> Function:
        known = pick(f.params, [not k for k in flags])
        operands, kept = [param(p.tensor) for p in known], [param(t) for t in slots]
        cts = [param(r.tensor) for r in pick(f.results, live)]
        values = dict(zip(known, operands, strict=True))
        values.update({r: kept[k] for r, k in place.items()})
        given = dict(zip([k for k, on in enumerate(live) if on], cts, strict=True))
        used = [given.get(k) or b.zeros_like(r) for k, r in enumerate(f.results) if part.depends[k]]
        many = len(part.residuals)
        lin = transforms.transpose(part.linear, tuple(k >= many for k in range(len(part.linear.params))))
        return Function([*operands, *kept, *cts], lin(*(values[r] for r in part.residuals), *used))

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        everywhere = (True,) * len(self.branches[0].results)
        bodies = [transforms.batch(f, batched[1:], size, everywhere)[0] for f in self.branches]
        if not batched[0]:
            return b.apply(Cond(tuple(bodies)), *inputs)
        last = b.scalar_like(inputs[0], len(bodies) - 1)
        index = b.ternary("clamp", inputs[0], b.zeros_like(inputs[0]), last)
        found: tuple[Node, ...] = ()
        for k, (branch, body) in enumerate(zip(self.branches, bodies, strict=True)):
            here = b.binary("eq", index, b.scalar_like(index, k))
            careful = guarded(branch)
            if careful is None:
                values = body(*inputs[1:])
            else:
                body, _ = transforms.batch(careful, (True, *batched[1:]), size, everywhere)
                values = body(here, *inputs[1:])
            found = values if not found else tuple(b.select(b.broadcast(here, y.shape, (0,)), y, x)
                                                   for x, y in zip(found, values, strict=True))
        return found

    def only_where(self, condition: Node, *inputs: Node) -> Node | None:
        bodies = [guarded(f) for f in self.branches]
        if all(f is None for f in bodies):
            return None
        branches = tuple(f or Function([param(condition.tensor), *g.params], g.results)
                         for f, g in zip(bodies, self.branches, strict=True))
        return b.apply(Cond(branches), inputs[0], condition, *inputs[1:])

    def reporting(self, watch: Watch, *inputs: Node) -> tuple[tuple[Node, ...], Node] | None:
        bodies = [watch(f) for f in self.branches]
        if all(f is None for f in bodies):
            return None
        branches = tuple(f or Function(g.params, [*g.results, b.const_scalar(0, int32)])
                         for f, g in zip(bodies, self.branches, strict=True))
        *results, number = project(b.apply(Cond(branches), *inputs))
        return tuple(results), number

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.linspace(0.2, 1, 3)
        for k in (0, 1, 5):
            yield Cond(_sample_branches()), [np.asarray(k, np.int32), x, x + 1]
        yield Cond(_sample_branches(0)), [np.asarray(0, np.int32), np.zeros(0), np.zeros(0)]


def _sample_branches(size: int = 3) -> tuple[Function, ...]:
    bodies: list[Function] = []
    for k in range(3):
        x, y = (param(TensorType.of((size,), float64)) for _ in range(2))
        first = (b.mul(b.unary("sin", x), b.exp(y)), b.mul(x, x), y)[k]
        bodies.append(Function([x, y], [first, b.add(x, y) if k else b.ones_like(x)]))
    return tuple(bodies)


def _slot_bytes(branch: Function) -> Callable[[Node], int]:
    """What it costs a branch to keep a node: see `_slots`."""
    return lambda node: 0 if node in branch.params else node.tensor.nbytes


def _slots(branches: Sequence[Function], parts: Sequence[Split]) -> tuple[list[TensorType], list[dict[Node, int]]]:
    """Places for the residuals of all branches, shared where types are equal; parameters need none."""
    slots: list[TensorType] = []
    places: list[dict[Node, int]] = []
    for branch, part in zip(branches, parts, strict=True):
        free = list(range(len(slots)))
        place: dict[Node, int] = {}
        for r in part.residuals:
            if r in branch.params:
                continue
            k = next((k for k in free if slots[k] is r.tensor), None)
            if k is None:
                k = len(slots)
                slots.append(r.tensor)
            else:
                free.remove(k)
            place[r] = k
        places.append(place)
    return slots, places


def _emit(f: Function, part: Split, flags: Sequence[bool], dead: Sequence[bool], slots: list[TensorType],
          place: dict[Node, int]) -> Function:
    """The branch without its linear inputs, that also returns its residuals."""
    by_slot = {k: r for r, k in place.items()}
    kept = [by_slot.get(k) or b.zeros(t.shape, t.dtype) for k, t in enumerate(slots)]
    return Function(pick(f.params, [not k for k in flags]), [*pick(f.results, dead), *kept])


@primitive
class While(Op):
    """while cond(consts, state): state = body(consts, state)"""

    name: ClassVar[str] = "while"
    lowering: ClassVar[str] = "while"
    absent: ClassVar[dict[str, str]] = {"transpose": "the number of steps is not known: nothing can be kept for them"}
    cond: Function
    body: Function
    consts: int = 0

    def infer(self, *types: TensorType) -> TupleType:
        check_body("while", self.cond, types, "condition")
        check_body("while", self.body, types)
        _check_carry("while", types[self.consts:], self.body.out_types)
        if self.cond.out_types != (TensorType.of((), bool_),):
            raise ShapeError(message("while: the condition must return one bool",
                                     [("returns", repr(self.cond.out_types))]))
        return TupleType(tuple(types[self.consts:]))

    def reference(self, *arrays: Any) -> Any:
        consts, state = arrays[:self.consts], arrays[self.consts:]
        while evaluate(self.cond, *consts, *state)[0]:
            state = evaluate(self.body, *consts, *state)
        return tuple(state)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        n = self.consts
        consts = [t is not None for t in tangents[:n]]
        state = [t is not None for t in tangents[n:]]
        while True:
            g, out = transforms.jvp(self.body, (*consts, *state))
            grown = [x or y for x, y in zip(state, out, strict=True)]
            if grown == state:
                break
            state = grown
        count, m = len(out), len(inputs) + sum(consts)
        duals = _fill(g.results[count:], out, state, g.results[:count])
        tconsts, tstate = g.params[len(inputs):m], g.params[m:]
        params = [*g.params[:n], *tconsts, *g.params[n:len(inputs)], *tstate]
        body = Function(params, [*g.results[:count], *duals])
        cond_params = [param(p.tensor) for p in params]
        kept = [*cond_params[:n], *cond_params[n + len(tconsts):n + len(tconsts) + count]]
        cond = Function(cond_params, self.cond(*kept))
        given = [t for t in tangents[:n] if t is not None]
        start = [b.zeros_like(x) if t is None else t
                 for x, t, k in zip(inputs[n:], tangents[n:], state, strict=True) if k]
        op = While(cond, body, n + len(tconsts))
        found = iter(project(b.apply(op, *inputs[:n], *given, *inputs[n:], *start))[count:])
        return tuple(next(found) if k else None for k in state)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        raise NoDerivativeError(message(
            "while: a loop of unknown length has no reverse-mode derivative", [],
            "use a loop with a fixed number of steps (scan, fori_loop with constant bounds), or forward mode (jvp)"))

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        n = self.consts
        consts, state = list(batched[:n]), list(batched[n:])
        while True:
            _, out = transforms.batch(self.body, (*consts, *state), size)
            cond, (varies,) = transforms.batch(self.cond, (*consts, *state), size)
            grown = [x or y or varies for x, y in zip(state, out, strict=True)]
            if grown == state:
                break
            state = grown
        source = _careful(self.cond, self.body) if varies else self.body
        body, _ = transforms.batch(source, (*consts, *state), size, tuple(state))
        if varies:
            cond, body = _masked(cond, body, n)
        start = [b.lead(x, size) if k and not had else x
                 for x, k, had in zip(inputs[n:], state, batched[n:], strict=True)]
        outs = project(b.apply(While(cond, body, n), *inputs[:n], *start))
        return tuple(x if k else b.lead(x, size) for x, k in zip(outs, state, strict=True))

    def only_where(self, condition: Node, *inputs: Node) -> Node | None:
        cond, body = guarded(self.cond), guarded(self.body)
        if cond is None and body is None:
            return None
        cond, body = (g or Function([param(condition.tensor), *f.params], f.results)
                      for g, f in ((cond, self.cond), (body, self.body)))
        return b.apply(While(cond, body, self.consts + 1), condition, *inputs)

    def reporting(self, watch: Watch, *inputs: Node) -> tuple[tuple[Node, ...], Node] | None:
        """The loop also ends at the first report: a condition that reads 0 out of range might hold for ever."""
        cond, body = watch(self.cond), watch(self.body)
        if cond is None and body is None:
            return None
        zero = b.const_scalar(0, int32)
        reports = self.body.params, (*self.body.results, zero)
        test, step = cond or Function(self.cond.params, (*self.cond.results, zero)), body or Function(*reports)
        types = [*(p.tensor for p in self.cond.params), zero.tensor]
        params = [param(t) for t in types]
        again, found = test(*params[:-1])
        quiet = b.binary("eq", b.maximum(params[-1], found), zero)
        cond = Function(params, [b.binary("logical_and", again, quiet)])
        params = [param(t) for t in types]
        *state, number = step(*params[:-1])
        body = Function(params, [*state, b.maximum(params[-1], number)])
        *results, number = project(b.apply(While(cond, body, self.consts), *inputs, zero))
        _, last = test(*inputs[:self.consts], *results)
        return tuple(results), b.maximum(number, last)

    @staticmethod
    def samples() -> Iterator[Sample]:
        x = np.linspace(0.5, 1, 3)
        yield While(*_sample_while(), 1), [x, np.asarray(3, np.int32), x]
        yield While(*_sample_while(), 1), [x, np.asarray(0, np.int32), x]


def _careful(cond: Function, body: Function) -> Function:
    """The body, which refuses nothing unless the condition holds: where it does not, its results are not used."""
    found = guarded(body)
    if found is None:
        return body
    params = [param(p.tensor) for p in body.params]
    return Function(params, found(*cond(*params), *params))


def _masked(cond: Function, body: Function, consts: int) -> tuple[Function, Function]:
    """A loop whose condition differs along the leading dimension: it runs while any holds, and steps where it does."""
    params = [param(p.tensor) for p in cond.params]
    any_ = Function(params, [b.reduce("or", cond(*params)[0], (0,))])
    fresh = [param(p.tensor) for p in body.params]
    here = cond(*fresh)[0]
    stepped = [b.select(b.broadcast(here, new.shape, (0,)), new, old)
               for new, old in zip(body(*fresh), fresh[consts:], strict=True)]
    return any_, Function(fresh, stepped)


def _sample_while() -> tuple[Function, Function]:
    types = [TensorType.of(s, d) for s, d in (((3,), float64), ((), int32), ((3,), float64))]
    _, n, _ = params = [param(t) for t in types]
    cond = Function(params, [b.binary("gt", n, b.zeros_like(n))])
    c, n, x = other = [param(t) for t in types]
    return cond, Function(other, [b.sub(n, b.ones_like(n)), b.mul(b.unary("sin", x), c)])


@primitive
class Scan(Op):
    """for t in range(length) (backwards if reverse): carry, ys[t] = body(consts, carry, xs[t])"""

    name: ClassVar[str] = "scan"
    lowering: ClassVar[str] = "scan"
    body: Function
    length: int
    consts: int
    carries: int
    reverse: bool = False

    def shell(self) -> Any:
        """All but the body."""
        return ("scan", self.length, self.consts, self.carries, self.reverse)

    def _cut(self, items: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        stop = self.consts + self.carries
        return list(items[:self.consts]), list(items[self.consts:stop]), list(items[stop:])

    def infer(self, *types: TensorType) -> TupleType:
        consts, carry, xs = self._cut(types)
        for k, x in enumerate(xs):
            if x.rank == 0 or x.shape[0] != self.length:
                raise ShapeError(message(f"scan: every sequence must have {self.length} steps", [(f"xs {k}", repr(x))]))
        check_body("scan", self.body, [*consts, *carry, *(x.with_shape(x.shape[1:]) for x in xs)])
        _check_carry("scan", carry, self.body.out_types[:self.carries])
        ys = self.body.out_types[self.carries:]
        return TupleType((*carry, *(y.with_shape((self.length, *y.shape)) for y in ys)))

    def reference(self, *arrays: Any) -> Any:
        consts, carry, xs = self._cut(arrays)
        types = self.body.out_types[self.carries:]
        ys = [np.zeros((self.length, *t.shape), t.dtype.numpy) for t in types]
        for t in range(self.length)[::-1 if self.reverse else 1]:
            found = evaluate(self.body, *consts, *carry, *(x[t] for x in xs))
            carry = list(found[:self.carries])
            for y, value in zip(ys, found[self.carries:], strict=True):
                y[t] = value
        return (*carry, *ys)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        consts, carry, xs = self._cut([t is not None for t in tangents])
        while True:
            g, out = transforms.jvp(self.body, (*consts, *carry, *xs))
            grown = [x or y for x, y in zip(carry, out[:self.carries], strict=True)]
            if grown == carry:
                break
            carry = grown
        count, c = len(out), self.carries
        wanted = (*carry, *out[c:])
        tangents_out = _fill(g.results[count:], out, wanted, g.results[:count])
        primal = self._cut(g.params[:len(inputs)])
        rest = iter(g.params[len(inputs):])
        dual = [[next(rest) for k in flags if k] for flags in (consts, carry, xs)]
        params = [p for pair in zip(primal, dual, strict=True) for side in pair for p in side]
        n = sum(carry)
        results = [*g.results[:c], *tangents_out[:n], *g.results[c:count], *tangents_out[n:]]
        filled = [b.zeros_like(x) if t is None and k else t
                  for x, t, k in zip(inputs, tangents, (*consts, *carry, *xs), strict=True)]
        given = [[t for t in side if t is not None] for side in self._cut(filled)]
        args = [x for pair in zip(self._cut(inputs), given, strict=True) for side in pair for x in side]
        op = Scan(Function(params, results), self.length, self.consts + sum(consts), c + n, self.reverse)
        outs = project(b.apply(op, *args))
        found = iter([*outs[c:c + n], *outs[c + n + count - c:]])
        return tuple(next(found) if k else None for k in wanted)

    def _linear_flags(self, linear: Sequence[bool]) -> list[bool]:
        """Which body parameters are linear: a carry that starts at a constant zero may become so in the body."""
        flags = list(linear)
        while True:
            on = dependents(self.body.results, pick(self.body.params, flags))
            grown = list(flags)
            for k in range(self.carries):
                grown[self.consts + k] |= self.body.results[k] in on
            if grown == flags:
                return flags
            flags = grown

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        """A forward scan stacks what the linear part reads; a scan in the other direction runs its transpose."""
        flags = self._linear_flags(linear)
        part = split(self.body, flags, self._cost())
        supply = self._residuals(part, inputs, flags)
        many = len(part.residuals)
        backward = transforms.transpose(part.linear, tuple(k >= many for k in range(len(part.linear.params))))
        consts, carry, xs = self._cut(flags)
        acc = [b.zeros_like(x) for x in pick(inputs[:self.consts], consts)]
        state = inputs[self.consts:self.consts + self.carries]
        start = [ct if ct is not None else b.zeros_like(x)
                 for ct, x, k in zip(cotangent[:self.carries], state, carry, strict=True) if k]
        ys = {k: ct for k, ct in enumerate(cotangent) if k >= self.carries and ct is not None and part.depends[k]}
        hoisted = {r: x for r, (x, stacked) in supply.items() if not stacked}
        stacked = {r: x for r, (x, stacked) in supply.items() if stacked}
        body = self._backward_body(part, backward, flags, list(hoisted), list(stacked), list(ys))
        op = Scan(body, self.length, len(hoisted), len(start) + len(acc), not self.reverse)
        outs = iter(project(b.apply(op, *hoisted.values(), *start, *acc, *stacked.values(), *ys.values())))
        by_carry = [next(outs) if k else None for k in carry]
        by_const = [next(outs) if k else None for k in consts]
        by_xs = [next(outs) if k else None for k in xs]
        return [ct if k else None for ct, k in zip((*by_const, *by_carry, *by_xs), linear, strict=True)]

    def _cost(self) -> Callable[[Node], int]:
        """Bytes that each step moves for a residual: it is written and read, or read where it is given, or neither
        where it is the same in all steps."""
        _, carry, xs = self._cut(self.body.params)
        varying, given = dependents(self.body.results, (*carry, *xs)), set(xs)
        return lambda node: node.tensor.nbytes * (0 if node not in varying else 1 if node in given else 2)

    def _residuals(self, part: Split, inputs: Sequence[Node], flags: Sequence[bool]) -> dict[Node, tuple[Node, bool]]:
        """Where the backward scan gets each residual: (node, whether it is a sequence)."""
        consts, carry, xs = self._cut(self.body.params)
        varying = dependents(part.residuals, (*carry, *xs))
        found: dict[Node, tuple[Node, bool]] = {}
        given = dict(zip(self.body.params, inputs, strict=True))
        fixed = [r for r in part.residuals if r not in varying]
        values = substitute(fixed, {p: given[p] for p in consts})
        found.update({r: (v, False) for r, v in zip(fixed, values, strict=True)})
        emitted = [r for r in part.residuals if r in varying and r not in xs]
        found.update({r: (given[r], True) for r in part.residuals if r in xs})
        if emitted:
            keep = [not k for k in flags]
            state = [k for k, on in enumerate(self._cut(keep)[1]) if on]
            outs = [r for k, r in enumerate(self.body.results[self.carries:], self.carries) if not part.depends[k]]
            body = Function(pick(self.body.params, keep), [*(self.body.results[k] for k in state), *outs, *emitted])
            op = Scan(body, self.length, sum(keep[:self.consts]), len(state), self.reverse)
            saved = project(b.apply(op, *pick(inputs, keep)))[len(state) + len(outs):]
            found.update({r: (v, True) for r, v in zip(emitted, saved, strict=True)})
        return found

    def _backward_body(self, part: Split, backward: Function, flags: Sequence[bool], hoisted: list[Node],
                       stacked: list[Node], ys: list[int]) -> Function:
        """(hoisted, cotangents of carry, sums for consts, stacked, cotangents of ys) -> (carry, sums, those of xs)"""
        consts, carry, _ = self._cut(flags)
        values = {r: param(r.tensor) for r in (*hoisted, *stacked)}
        cts = {k: param(self.body.results[k].tensor) for k in (*(k for k, on in enumerate(carry) if on), *ys)}
        sums = [param(p.tensor) for p in pick(self.body.params[:self.consts], consts)]
        used = [cts.get(k) or b.zeros_like(r) for k, r in enumerate(self.body.results) if part.depends[k]]
        found = backward(*(values[r] for r in part.residuals), *used)
        n, m = len(sums), len(sums) + sum(carry)
        added = [b.add(s, ct) for s, ct in zip(sums, found[:n], strict=True)]
        state = [cts[k] for k, on in enumerate(carry) if on]
        params = [*(values[r] for r in hoisted), *state, *sums, *(values[r] for r in stacked), *(cts[k] for k in ys)]
        return Function(params, [*found[n:m], *added, *found[m:]])

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        consts, carry, xs = self._cut(batched)
        while True:
            _, out = transforms.batch(self.body, (*consts, *carry, *xs), size)
            grown = [x or y for x, y in zip(carry, out[:self.carries], strict=True)]
            if grown == carry:
                break
            carry = grown
        force = (*carry, *(False,) * (len(out) - self.carries))
        body, out = transforms.batch(self.body, (*consts, *carry, *xs), size, force)
        cs, ks, seqs = self._cut(inputs)
        ks = [b.lead(x, size) if k and not had else x
              for x, k, had in zip(ks, carry, self._cut(batched)[1], strict=True)]
        seqs = [b.move_axis(x, 0, 1) if k else x for x, k in zip(seqs, xs, strict=True)]
        outs = project(b.apply(self.replace(body=body), *cs, *ks, *seqs))
        state = [x if k else b.lead(x, size) for x, k in zip(outs[:self.carries], carry, strict=True)]
        ys = [b.move_axis(y, 1, 0) if k else b.lead(y, size)
              for y, k in zip(outs[self.carries:], out[self.carries:], strict=True)]
        return (*state, *ys)

    def only_where(self, condition: Node, *inputs: Node) -> Node | None:
        body = guarded(self.body)
        return body and b.apply(self.replace(body=body, consts=self.consts + 1), condition, *inputs)

    def reporting(self, watch: Watch, *inputs: Node) -> tuple[tuple[Node, ...], Node] | None:
        """One more carried number."""
        body, c = watch(self.body), self.carries
        if body is None:
            return None
        zero = b.const_scalar(0, int32)
        before = param(zero.tensor)
        (consts, carry, xs), (cs, ks, seqs) = self._cut(body.params), self._cut(inputs)
        *results, number = body.results
        after = b.maximum(before, number)
        body = Function([*consts, *carry, before, *xs], [*results[:c], after, *results[c:]])
        outs = project(b.apply(self.replace(body=body, carries=c + 1), *cs, *ks, zero, *seqs))
        return (*outs[:c], *outs[c + 1:]), outs[c]

    @staticmethod
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(3)
        for reverse in (False, True):
            yield Scan(_sample_scan(), 4, 1, 2, reverse), [rng.normal(size=(2, 2)), rng.normal(size=2),
                                                           np.asarray(3, np.int32), rng.normal(size=(4, 2))]
        yield Scan(_sample_scan(), 0, 1, 2), [np.ones((2, 2)), np.ones(2), np.asarray(1, np.int32), np.zeros((0, 2))]
        yield Scan(_sample_scan(), 1, 1, 2), [np.ones((2, 2)), np.ones(2), np.asarray(1, np.int32), np.ones((1, 2))]


def _sample_scan() -> Function:
    w, h, x = (param(TensorType.of(s, float64)) for s in ((2, 2), (2,), (2,)))
    step = param(TensorType.of((), int32))
    new = b.unary("tanh", b.add(b.contract(w, h, 0, 1), x))
    return Function([w, h, step, x], [new, b.add(step, b.ones_like(step)), b.mul(new, b.square(x))])

