"""The loop IR as LLVM text: loops with explicit vectors, hoisted invariants, accumulators in registers.

Inside a loop of several lanes a value that depends on the loop's variable is a vector, any other a scalar (splatted
where they meet). What does not change in a loop is computed before it: nothing later would move it. Vector loops have a
second copy of their body for the last few elements, as a vector of just that many lanes, so no masks are needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd, prod
from typing import Any

from pullback.codegen.llvm.index_values import IndexValues, Terms, variables_of
from pullback.codegen.llvm.lanes import (
    alignment,
    clamp,
    collect,
    guarded_pattern,
    load_pattern,
    mangled,
    picked,
    static,
    whole,
    widen,
)
from pullback.codegen.llvm.math import (
    emit_bitcast,
    emit_convert,
    emit_horizontal,
    emit_load_convert,
    emit_monoid,
    emit_scalar,
    emit_store_convert,
    has_scalar,
    monoid_identity,
    register_type,
    round_to_storage,
    storage_type,
)
from pullback.codegen.llvm.text import Fn, V, const, i64, lanes, literals, vector, with_element
from pullback.ir.dtypes import DType
from pullback.ir.index import ZERO, Index, Var
from pullback.kernel.nodes import (
    Accumulate,
    Accumulator,
    Bind,
    Buffer,
    Cast,
    Expr,
    For,
    Gathered,
    Guarded,
    IndexValue,
    Init,
    Inside,
    Let,
    Literal,
    Load,
    Scalar,
    Stmt,
    Store,
    Total,
    Update,
    expressions,
    walk,
)
from pullback.util.errors import CompileError, message

PAGE = 4096  # bytes beside a buffer where there is memory as a rule
NARROW = ("float16", "bfloat16")
UNCHANGED = ("real", "conj")  # of numbers that are not complex
MONOID_COMPARE = {"argmax": "ogt", "argmin": "olt"}


def accumulation_dtype(dtype: DType) -> str:
    """What a running reduction is held in."""
    return "float32" if dtype.name in NARROW else dtype.name


class Emitter(IndexValues):
    """Writes statements into one function. `pointers` finds the address of a buffer's first element, `origins` that of
    one which all plain reads and writes lie behind, and which one it is."""

    def __init__(self, fn: Fn, pointers: dict[Buffer, V], origins: dict[Buffer, tuple[V, int]]) -> None:
        super().__init__(fn)
        self.pointers, self.origins = pointers, origins
        self.order: list[Var] = []
        self.bound: set[Any] = set()
        self.pending: set[Buffer] = set()
        self.lane_origin: int = 1  # as `lane_step`, where a loop starts anywhere
        self.mask: V | None = None
        self.roomy: set[Buffer] = set()  # scratch that may be read beyond its ends
        self.running: dict[Accumulator, list[V]] = {}
        self.tid: V = i64(0)
        self.threads: V = i64(1)

    # -- scopes ------------------------------------------------------------------------------------------------------
    def available(self, free: Iterable[Any]) -> bool:
        bound, pending = self.bound, self.pending
        for x in free:
            if type(x) is Buffer:
                if x in pending and x not in bound:
                    return False
            elif x not in bound:
                return False
        return True

    # -- statements --------------------------------------------------------------------------------------------------
    def body(self, statements: tuple[Stmt, ...]) -> None:
        for stmt in statements:
            if isinstance(stmt, For):
                self.loop(stmt)
            elif isinstance(stmt, Let):
                self.let(stmt)
            elif isinstance(stmt, Store):
                self.store(stmt)
            elif isinstance(stmt, Init):
                self.init(stmt)
            elif isinstance(stmt, Accumulate):
                self.accumulate(stmt)
            elif isinstance(stmt, Update):
                self.update(stmt)
            elif isinstance(stmt, Bind):
                self.index[stmt.var] = self.index_value(stmt.index)
                self.bound.add(stmt.var)
                self.order.append(stmt.var)
            else:
                raise CompileError(message("lower: no such statement here", [("statement", repr(stmt))]))

    def let(self, stmt: Let) -> None:
        value = self.emit(stmt.value)
        self.put(stmt.buffer, value)
        self.bound.add(stmt.buffer)

    def store(self, stmt: Store) -> None:
        value = self.emit(stmt.value)
        self.put((stmt.buffer, stmt.indices), value)
        flat = stmt.flat
        stride = self.stride(flat)
        type_ = storage_type(stmt.buffer.dtype.name)
        if self.width > 1 and stride != 0:
            value = self.fn.splat(value, self.width) if lanes(value.type) == 1 else value
        raw = emit_store_convert(self.fn, value, stmt.buffer.dtype.name)
        size = stmt.buffer.dtype.itemsize
        if self.width > 1 and stride != 0:
            if stride == 1:
                suffix, align = "", size
                found = alignment(flat, self.lane_var, self.lane_origin, size) if stmt.stream else 0
                if found >= 32 and self.width * size % 32 == 0:
                    suffix, align = ", !nontemporal !2", found
                self.store_vector(raw, self.address(stmt.buffer, flat), align, suffix)
                return
            live = range(self.width) if self.mask is None else [
                k for k, lane in enumerate(self.mask.ref.strip("<>").split(",")) if "true" in lane]
            addresses = self.lane_addresses(stmt.buffer, flat)
            for k in live:
                self.fn.store(self.fn.extract(raw, k), addresses[k], size)
            return
        if lanes(raw.type) > 1:
            raw = self.fn.extract(raw, lanes(raw.type) - 1)
        self.fn.store(V(raw.ref, type_), self.address(stmt.buffer, flat), size)

    def store_vector(self, raw: V, address: V, align: int, suffix: str) -> None:
        if self.mask is None:
            self.fn.store(raw, address, align, suffix)
            return
        raw, mask = whole(self.fn, raw), whole(self.fn, self.mask)
        self.fn.call("llvm.masked.store." + mangled(raw.type) + ".p0", "void", raw, address,
                     V(str(align), "i32"), mask)

    def init(self, stmt: Init) -> None:
        accumulator = stmt.accumulator
        width = stmt.lanes if accumulator.horizontal else self.width
        dtype = accumulation_dtype(accumulator.dtype)
        type_ = vector(register_type(dtype), width)
        if accumulator.monoid in MONOID_COMPARE:
            start = const(float("nan") if accumulator.dtype.kind == "f" else 0, type_)
            self.running[accumulator] = [start, const(-1, with_element(type_, "i64"))]
        else:
            self.running[accumulator] = [const(monoid_identity(accumulator.monoid, dtype), type_)]
        self.bound.discard(accumulator)

    def accumulate(self, stmt: Accumulate) -> None:
        accumulator = stmt.accumulator
        current = self.running[accumulator]
        dtype = accumulation_dtype(accumulator.dtype)
        value = self.emit(stmt.value)
        if stmt.position is not None:
            self.running[accumulator] = self.better(accumulator, current, self.vec(value),
                                                    self.vec(self.emit(stmt.position)))
            return
        have, want = lanes(value.type), lanes(current[0].type)
        if have < self.width and (accumulator.horizontal or want == self.width):
            value = self.fn.splat(value, self.width)
            have = self.width
        if have < want and have > 1:
            value = widen(self.fn, value, want, const(monoid_identity(accumulator.monoid, dtype), value.type))
        elif have < want:
            identity = const(monoid_identity(accumulator.monoid, dtype), current[0].type)
            value = self.fn.insert(identity, value, 0)
        elif have > want:
            value = emit_horizontal(self.fn, accumulator.monoid, value, dtype)
        self.running[accumulator] = [emit_monoid(self.fn, accumulator.monoid, current[0], value, dtype)]

    def better(self, accumulator: Accumulator, current: list[V], value: V, position: V) -> list[V]:
        """The running extreme and its first position; a NaN is more extreme than any number."""
        fn, (best, where) = self.fn, current
        want, have = lanes(best.type), lanes(value.type)
        if have < want:
            value = widen(fn, value, want, value) if have > 1 else fn.splat(value, want)
            position = widen(fn, position, want, position) if have > 1 else fn.splat(position, want)
        empty = fn.compare("icmp", "slt", where, const(0, where.type))
        if accumulator.dtype.kind == "f":
            wins = fn.compare("fcmp", MONOID_COMPARE[accumulator.monoid], value, best)
            nan = fn.compare("fcmp", "uno", value, value)
            known = fn.compare("fcmp", "uno", best, best)
            fresh = fn.binary("and", nan, fn.binary("xor", known, const(True, known.type)))
            wins = fn.binary("or", wins, fresh)
            equal = fn.binary("or", fn.compare("fcmp", "oeq", value, best), fn.binary("and", nan, known))
        else:
            signed = "s" if accumulator.dtype.kind == "i" else "u"
            wins = fn.compare("icmp", signed + ("gt" if accumulator.monoid == "argmax" else "lt"), value, best)
            equal = fn.compare("icmp", "eq", value, best)
        earlier = fn.compare("icmp", "slt", position, where)
        wins = fn.binary("or", fn.binary("or", wins, empty), fn.binary("and", equal, earlier))
        return [fn.select(wins, value, best), fn.select(wins, position, where)]

    def total(self, expr: Total) -> V:
        accumulator = expr.accumulator
        current = self.running[accumulator]
        dtype = accumulation_dtype(accumulator.dtype)
        if accumulator.monoid in MONOID_COMPARE:
            return self.extreme_position(accumulator, current, expr.dtype)
        value = current[0]
        if accumulator.horizontal and lanes(value.type) > 1:
            value = emit_horizontal(self.fn, accumulator.monoid, value, dtype)
        if accumulator.dtype.name in NARROW and expr.dtype.name in NARROW:
            value = round_to_storage(self.fn, value, expr.dtype.name)
        return value

    def extreme_position(self, accumulator: Accumulator, current: list[V], dtype: DType) -> V:
        fn, (best, where) = self.fn, current
        if accumulator.horizontal and lanes(best.type) > 1:
            width = lanes(best.type)
            result = [fn.extract(best, 0), fn.extract(where, 0)]
            for k in range(1, width):
                nothing = fn.compare("icmp", "slt", fn.extract(where, k), i64(0))
                merged = self.better(accumulator, result, fn.extract(best, k), fn.extract(where, k))
                result = [fn.select(nothing, a, b) for a, b in zip(result, merged, strict=True)]
            where = result[1]
        narrow = with_element(where.type, register_type(dtype.name))
        return fn.cast("trunc", where, narrow) if dtype.bits < 64 else where

    def update(self, stmt: Update) -> None:
        """Read, combine, write. With computed indices this runs one element at a time."""
        fn, dtype = self.fn, stmt.buffer.dtype.name
        value = self.emit(stmt.value)
        if all(isinstance(x, Index) for x in stmt.indices) and stmt.where is None:
            flat = stmt.buffer.flat(tuple(x for x in stmt.indices if isinstance(x, Index)))
            type_ = storage_type(dtype)
            at = self.address(stmt.buffer, flat)
            if self.width > 1 and self.stride(flat) == 1:
                type_, value = vector(type_, self.width), self.vec(value)
            self.combine(stmt, dtype, at, type_, value)
            return
        done = ""
        if stmt.where is not None:
            condition = self.emit(stmt.where)
            label, done = fn.fresh("hit"), fn.fresh("skip")
            fn.cond_br(condition, label, done)
            fn.label(label)
        mark = len(self.log)
        lane_var, width = self.lane_var, self.width
        self.lane_var, self.width = None, 1  # the address is the first lane's
        at = fn.gep(self.pointers[stmt.buffer], self.position(stmt.buffer, stmt.indices), storage_type(dtype))
        self.lane_var, self.width = lane_var, width
        self.combine(stmt, dtype, at, vector(storage_type(dtype), width), self.vec(value))
        self.forget(mark)
        if done:
            fn.br(done)
            fn.label(done)

    def combine(self, stmt: Update, dtype: str, at: V, type_: str, value: V) -> None:
        size = stmt.buffer.dtype.itemsize
        if stmt.monoid != "set":
            old = emit_load_convert(self.fn, self.fn.load(at, type_, size), dtype)
            value = emit_monoid(self.fn, stmt.monoid, old, value, dtype)
        self.fn.store(emit_store_convert(self.fn, value, dtype), at, size)

    # -- loops -------------------------------------------------------------------------------------------------------
    def loop(self, stmt: For) -> None:
        if stmt.size == 0 or stmt.count == 0:
            return
        self.hoist(stmt)
        begin, end, blocks = self.bounds(stmt)
        carried = self.carried(stmt.body)
        if stmt.lanes == 1:
            if stmt.size == 1 and not stmt.parallel:
                self.turn(stmt, i64(0), carried, 1)
            else:
                self.turns(stmt, begin, end, 1, carried)
        else:
            self.vector_loop(stmt, begin, end, blocks, carried)
        for accumulator in carried:
            self.bound.add(accumulator)
        self.finish(stmt.body)

    def finish(self, body: tuple[Stmt, ...]) -> None:
        for inner in walk(body):
            if isinstance(inner, (Store, Update)):
                self.bound.add(inner.buffer)

    def carried(self, body: tuple[Stmt, ...]) -> list[Accumulator]:
        """Accumulators that were started before the loop and are used in it."""
        started = {x.accumulator for x in walk(body) if isinstance(x, Init)}
        found: dict[Accumulator, None] = {}
        for x in walk(body):
            if isinstance(x, Accumulate) and x.accumulator not in started:
                found[x.accumulator] = None
        return list(found)

    def bounds(self, stmt: For) -> tuple[V, V, V | None]:
        """First and past-last turn; for a parallel vector loop they count whole vectors, and `blocks` all of them."""
        fn, size = self.fn, stmt.size
        if stmt.parallel:
            units = -(-size // stmt.lanes)
            first = fn.binary("udiv", fn.mul(self.tid, i64(units)), self.threads)
            last = fn.binary("udiv", fn.mul(fn.add(self.tid, i64(1)), i64(units)), self.threads)
            return first, last, i64(units)
        if stmt.count < 0:
            return i64(0), i64(size), None
        start = self.index_value(stmt.start)
        if stmt.start.high + stmt.count <= size:
            return start, fn.add(start, i64(stmt.count)), None
        return start, fn.intrinsic("llvm.smin", "i64", fn.add(start, i64(stmt.count)), i64(size)), None

    def turns(self, stmt: For, begin: V, end: V, width: int, carried: list[Accumulator]) -> None:
        values = [v for a in carried for v in self.running[a]]
        loop = self.fn.begin_loop(begin, end, i64(width), values)
        self.set_running(carried, loop.carried)
        self.turn(stmt, loop.counter, carried, width)
        after = self.fn.end_loop(loop, [v for a in carried for v in self.running[a]], hot=stmt.lanes > 1)
        self.set_running(carried, after)

    def set_running(self, carried: list[Accumulator], values: list[V]) -> None:
        at = 0
        for a in carried:
            n = len(self.running[a])
            self.running[a] = values[at:at + n]
            at += n

    def turn(self, stmt: For, counter: V, carried: list[Accumulator], width: int) -> None:
        """One turn of the body, at `counter` (and the next lanes)."""
        mark, order, bound = len(self.log), len(self.order), self.bound
        self.bound = set(bound)
        outside = self.lane_var, self.width, self.lane_step, self.lane_origin
        self.index[stmt.var] = counter
        self.order.append(stmt.var)
        self.bound.add(stmt.var)
        for var in stmt.folded:
            self.index[var] = i64(0)
            self.order.append(var)
            self.bound.add(var)
        if stmt.lanes > 1:
            self.lane_var, self.width = (stmt.var, width) if width > 1 else (None, 1)
            self.lane_step = stmt.lanes if stmt.count < 0 else 1
            self.lane_origin = gcd(stmt.lanes, stmt.start.const, *(c for _, c in stmt.start.terms))
        self.body(stmt.body)
        self.lane_var, self.width, self.lane_step, self.lane_origin = outside
        self.bound = bound
        del self.order[order:]
        self.forget(mark)

    def vector_loop(self, stmt: For, begin: V, end: V, blocks: V | None, carried: list[Accumulator]) -> None:
        size, width = stmt.size, stmt.lanes
        if stmt.parallel:
            self.parallel_vector_loop(stmt, begin, end, carried)
            return
        if stmt.count >= 0:
            self.ranged_vector_loop(stmt, begin, end, carried)
            return
        whole = size // width * width
        if whole == width:
            self.turn(stmt, i64(0), carried, width)
        elif whole:
            self.turns(stmt, i64(0), i64(whole), width, carried)
        if whole < size:
            self.turn(stmt, i64(whole), carried, size - whole)

    def ranged_vector_loop(self, stmt: For, begin: V, end: V, carried: list[Accumulator]) -> None:
        """A part of the variable's range whose length is known only as "count, or less at the end"."""
        fn, size, width = self.fn, stmt.size, stmt.lanes
        last = size % stmt.count if size % stmt.count else stmt.count
        whole = fn.add(begin, i64(stmt.count // width * width)) if last == stmt.count else None
        if whole is not None:
            if stmt.count >= width:
                self.turns(stmt, begin, whole, width, carried)
            if stmt.count % width:
                self.turn(stmt, whole, carried, stmt.count % width)
            return
        length = fn.binary("sub", end, begin)
        whole = fn.add(begin, fn.binary("sub", length, fn.binary("urem", length, i64(width))))
        self.turns(stmt, begin, whole, width, carried)
        self.turns(stmt, whole, end, 1, carried)

    def parallel_vector_loop(self, stmt: For, begin: V, end: V, carried: list[Accumulator]) -> None:
        fn, size, width = self.fn, stmt.size, stmt.lanes
        whole = size // width
        if whole:
            stop = fn.mul(fn.intrinsic("llvm.smin", "i64", end, i64(whole)), i64(width))
            self.turns(stmt, fn.mul(begin, i64(width)), stop, width, carried)
        if whole * width < size:
            here, done = fn.fresh("tail"), fn.fresh("done")
            last = fn.compare("icmp", "eq", end, i64(whole + 1))
            mine = fn.binary("and", last, fn.compare("icmp", "slt", begin, end))
            fn.cond_br(mine, here, done)
            fn.label(here)
            self.turn(stmt, i64(whole * width), carried, size - whole * width)
            fn.br(done)
            fn.label(done)

    # -- invariants --------------------------------------------------------------------------------------------------
    def hoist(self, loop: For) -> None:
        """Before a loop: compute what its body needs that does not change in it."""
        roots: list[Expr] = []
        written: set[Buffer] = set()
        for stmt in walk(loop.body):
            roots.extend(expressions(stmt))
            if isinstance(stmt, Store):
                self.hoist_address(stmt.buffer, stmt.flat)
                written.add(stmt.buffer)
            elif isinstance(stmt, Update):
                written.add(stmt.buffer)
        hidden = written - self.pending
        self.pending |= hidden
        seen: set[Expr] = set()
        stack = roots
        while stack:
            x = stack.pop()
            if x in seen or x in self.cache:
                continue
            seen.add(x)
            if isinstance(x, Literal):
                continue
            if self.available(x.free):
                value = self.emit(x)
                if loop.lanes > 1 and lanes(value.type) == 1 and value.ref[0] == "%":
                    self.splat(value, loop.lanes)
                continue
            if isinstance(x, Guarded):
                stack.append(x.condition)
                stack.append(x.otherwise)
                continue
            if isinstance(x, Load):
                self.hoist_address(x.buffer, x.flat)
            stack.extend(x.children())
        self.pending -= hidden

    def hoist_address(self, buffer: Buffer, flat: Index) -> None:
        if buffer not in self.pointers:
            return
        terms = tuple((a, c) for a, c in flat.terms if self.available(variables_of(a)))
        if terms and len(terms) < len(flat.terms):
            self.base_address(buffer, self.origin(buffer)[0], terms)

    # -- addresses ---------------------------------------------------------------------------------------------------
    def origin(self, buffer: Buffer) -> tuple[V, int]:
        """An address in a buffer, and of which element."""
        return self.origins.get(buffer) or (self.pointers[buffer], 0)

    def address(self, buffer: Buffer, flat: Index) -> V:
        """Address of an element: the parts of outer loops first, so that those are shared."""
        terms, constant, cache = flat.terms, flat.const, self.cache
        found = cache.get((buffer, terms, constant))
        if found is not None:
            return found
        first, behind = self.origin(buffer)
        base = self.base_address(buffer, first, terms) if terms else first
        if constant == behind:
            return base
        type_ = storage_type(buffer.dtype.name)
        return self.put((buffer, terms, constant), self.fn.gep(base, i64(constant - behind), type_))

    def base_address(self, buffer: Buffer, first: V, terms: Terms) -> V:
        """The address behind the first one by the terms of an index, one address for each loop that they depend on."""
        found = self.cache.get((buffer, terms, None))
        if found is not None:
            return found
        level = {v: k for k, v in enumerate(self.order)}
        ranks = [level[a] if type(a) is Var else max([level[v] for v in variables_of(a)], default=0) for a, _ in terms]
        missing: list[int] = []
        at = first
        for rank in sorted(set(ranks), reverse=True):
            part = tuple([t for t, r in zip(terms, ranks, strict=True) if r <= rank])
            found = self.cache.get((buffer, part, None))
            if found is not None:
                at = found
                break
            missing.append(rank)
        type_ = storage_type(buffer.dtype.name)
        for rank in reversed(missing):
            inner = tuple([t for t, r in zip(terms, ranks, strict=True) if r == rank])
            part = tuple([t for t, r in zip(terms, ranks, strict=True) if r <= rank])
            at = self.put((buffer, part, None), self.fn.gep(at, self.sum_of(inner, 0), type_))
        return at

    def lane_addresses(self, buffer: Buffer, flat: Index) -> list[V]:
        """One address for each lane."""
        fn, type_ = self.fn, storage_type(buffer.dtype.name)
        stride = self.stride(flat)
        if stride is not None:
            first = self.address(buffer, flat)
            return [fn.gep(first, i64(k * stride), type_) if k else first for k in range(self.width)]
        positions = self.index_lanes(flat)
        return [fn.gep(self.pointers[buffer], fn.extract(positions, k), type_) for k in range(self.width)]

    # -- expressions -------------------------------------------------------------------------------------------------
    def emit(self, x: Expr) -> V:
        """The value of an expression: a vector where it varies along the lanes, a scalar elsewhere."""
        found = self.cache.get(x)
        if found is not None:
            return found
        if isinstance(x, Scalar):
            value = self.scalar(x)
        elif isinstance(x, Load):
            return self.load(x)
        elif isinstance(x, Literal):
            value = const(x.value, register_type(x.dtype.name))
        elif isinstance(x, Cast):
            source = self.emit(x.arg)
            make = emit_bitcast if x.bits else emit_convert
            value = make(self.fn, source, x.arg.dtype.name, x.dtype.name)
        elif isinstance(x, Total):
            value = self.total(x)
        elif isinstance(x, IndexValue):
            value = self.number(x)
        elif isinstance(x, Inside):
            value = self.inside(x)
        elif isinstance(x, Guarded):
            value = self.guarded(x)
        elif isinstance(x, Gathered):
            value = self.gathered(x)
        else:
            raise CompileError(message("lower: no such expression", [("expression", repr(x))]))
        return self.put(x, value)

    def vec(self, v: V) -> V:
        """A value in every lane of the current loop."""
        return v if self.width == 1 or lanes(v.type) > 1 else self.splat(v, self.width)

    def scalar(self, x: Scalar) -> V:
        args = [self.emit(a) for a in x.args]
        wide = [a for a in args if lanes(a.type) > 1]
        if wide and len(wide) < len(args):
            width = lanes(wide[0].type)
            args = [a if lanes(a.type) > 1 else self.splat(a, width) for a in args]
        if x.row in UNCHANGED and x.args[0].dtype is x.dtype:
            return args[0]
        row = x.row if not x.static else f"{x.row}:{x.static[0]}"
        dtype = x.args[-1].dtype.name
        if not has_scalar(row, dtype):
            raise CompileError(message(f"compile: no code for {x.row} of {dtype}"))
        value = emit_scalar(self.fn, row, args, dtype)
        return round_to_storage(self.fn, value, x.dtype.name) if x.dtype.name in NARROW else value

    def load(self, x: Load) -> V:
        buffer = x.buffer
        if buffer.space == "register":
            return self.cache[buffer]
        found = self.cache.get((buffer, x.indices, "value")) or self.cache.get((buffer, x.indices))
        if found is not None and found.type != "ptr":
            return found
        return self.put(x, emit_load_convert(self.fn, self.load_raw(x), buffer.dtype.name))

    def load_raw(self, x: Load) -> V:
        fn, buffer, flat = self.fn, x.buffer, x.flat
        size, type_ = buffer.dtype.itemsize, storage_type(buffer.dtype.name)
        if buffer.size == 0:
            return const(0, type_)
        stride, guard = self.stride(flat), None if buffer in self.roomy else self.mask
        if stride == 0:
            at = self.address(buffer, flat) if guard is None else self.clamped(buffer, flat)
            return fn.load(at, type_, size)
        wide = vector(type_, self.width)
        if stride == 1:
            if guard is None:
                return fn.load(self.address(buffer, flat), wide, size)
            at = self.near(buffer, flat)
            mask = whole(fn, self.vec(guard))
            broad = vector(type_, lanes(mask.type))
            found = fn.call("llvm.masked.load." + mangled(broad) + ".p0", broad, at, V(str(size), "i32"), mask,
                            const(0, broad))
            return found if broad == wide else picked(fn, found, range(self.width))
        if stride == -1 and guard is None:
            last = fn.gep(self.address(buffer, flat), i64(1 - self.width), type_)
            raw = fn.load(last, wide, size)
            picks = ", ".join(f"i32 {k}" for k in reversed(range(self.width)))
            return fn.op(f"shufflevector {wide} {raw.ref}, {wide} poison, <{self.width} x i32> <{picks}>", wide)
        steps = self.steps(flat)
        found = self.by_vectors(buffer, flat, steps, guard) if steps else None
        if found is not None:
            return found
        if guard is None:
            return collect(fn, self.lane_addresses(buffer, flat), wide, size)
        positions = clamp(fn, self.index_lanes(flat), scratch_size(buffer))
        base = self.pointers[buffer]
        return collect(fn, [fn.gep(base, fn.extract(positions, k), type_) for k in range(self.width)], wide, size)

    def by_vectors(self, buffer: Buffer, flat: Index, steps: tuple[int, ...], guard: V | None) -> V | None:
        """Lanes at known steps from the first one, by vector loads."""
        fn, size, type_ = self.fn, buffer.dtype.itemsize, storage_type(buffer.dtype.name)
        if guard is not None:
            return guarded_pattern(fn, self.pointers[buffer], self.index_value(flat), steps, lanes(guard.type) > 1,
                                   type_, size, scratch_size(buffer))
        first = self.address(buffer, flat)

        def load(offset: int, wide: str) -> V:
            return fn.load(fn.gep(first, i64(offset), type_) if offset else first, wide, size)

        return load_pattern(fn, load, steps, type_)

    def near(self, buffer: Buffer, flat: Index) -> V:
        """Where lanes are loaded that may be masked: far outside of a buffer, where there may be no memory, it takes a
        processor hundreds of cycles to see that none of them is wanted."""
        size, far = scratch_size(buffer), PAGE // buffer.dtype.itemsize
        if flat.low >= -far and flat.high < size + far:
            return self.address(buffer, flat)
        first = self.index_value(flat)
        reached = self.fn.compare("icmp", "eq", clamp(self.fn, first, size, 1 - self.width), first)
        first = self.fn.select(reached, first, i64(0))  # elsewhere no lane is wanted
        return self.fn.gep(self.pointers[buffer], first, storage_type(buffer.dtype.name))

    def clamped(self, buffer: Buffer, flat: Index) -> V:
        """An address that exists, whatever the index."""
        return self.fn.gep(self.pointers[buffer], clamp(self.fn, self.index_value(flat), scratch_size(buffer)),
                           storage_type(buffer.dtype.name))

    def position(self, buffer: Buffer, indices: tuple[Index | Expr, ...]) -> V:
        """Row-major position of computed indices: i64, or a vector of them."""
        fn, total = self.fn, i64(0)
        for x, n in zip(indices[buffer.drop:], buffer.shape[buffer.drop:], strict=True):
            if isinstance(x, Index):
                value = self.index_at(x)
            else:
                value = emit_convert(fn, self.emit(x), x.dtype.name, "int64")
            width = max(lanes(total.type), lanes(value.type))
            total = fn.splat(total, width) if lanes(total.type) < width else total
            value = fn.splat(value, width) if lanes(value.type) < width else value
            total = fn.add(fn.mul(total, const(n, total.type)), value) if total.ref != "0" else value
        return total

    def gathered(self, x: Gathered) -> V:
        fn, buffer = self.fn, x.buffer
        if buffer.space == "register":
            return self.cache[buffer]  # its one element
        type_, size = storage_type(buffer.dtype.name), buffer.dtype.itemsize
        together = self.gathered_together(x) if self.width > 1 and buffer.size else None
        if together is not None:
            return emit_load_convert(fn, together, buffer.dtype.name)
        at = clamp(fn, self.position(buffer, x.indices), max(scratch_size(buffer), 1))
        if buffer.size == 0:
            return const(0, with_element(at.type, register_type(buffer.dtype.name)))
        base = self.pointers[buffer]
        if lanes(at.type) == 1:
            raw = fn.load(fn.gep(base, at, type_), type_, size)
        else:
            addresses = [fn.gep(base, fn.extract(at, k), type_) for k in range(lanes(at.type))]
            raw = collect(fn, addresses, vector(type_, lanes(at.type)), size)
        return emit_load_convert(fn, raw, buffer.dtype.name)

    def number(self, x: IndexValue) -> V:
        steps, type_ = self.steps(x.index), register_type(x.dtype.name)
        if x.dtype.kind not in "iu" or x.dtype.bits == 64 or not steps or not any(steps):
            return emit_convert(self.fn, self.index_at(x.index), "int64", x.dtype.name)
        known = static(x.index, self.lane_var, self.lane_step)
        if known is not None:
            return literals([known + k for k in steps], type_)
        first = self.fn.cast("trunc", self.index_value(x.index), type_)
        return self.fn.add(self.splat(first, len(steps)), literals(steps, type_))

    def inside(self, x: Inside) -> V:
        fn = self.fn
        total: V | None = None
        for index, low, high in x.tests:
            for needed, predicate, limit in ((index.low < low, "sge", low), (index.high > high, "sle", high)):
                if not needed:
                    continue
                test = self.compared(index, predicate, limit)
                if total is not None and lanes(total.type) != lanes(test.type):
                    total, test = self.vec(total), self.vec(test)
                total = test if total is None else fn.binary("and", total, test)
        return total if total is not None else const(True, "i1")

    def gathered_together(self, x: Gathered) -> V | None:
        """Lanes whose computed indices are the same, by vector loads: rows that are looked up."""
        fn, buffer = self.fn, x.buffer
        place, scale, computed = ZERO, 1, list[tuple[Expr, int]]()
        for index, n in reversed(list(zip(x.indices, buffer.shape, strict=True))[buffer.drop:]):
            if isinstance(index, Index):
                place = place + index * scale
            else:
                computed.append((index, scale))
            scale *= n
        steps = self.steps(place)
        if not steps or not any(steps):
            return None
        first = self.index_value(place)
        for expr, stride in computed:
            value = emit_convert(fn, self.emit(expr), expr.dtype.name, "int64")
            if lanes(value.type) > 1:
                return None
            first = fn.add(first, fn.mul(value, i64(stride)))
        some = self.mask is not None and lanes(self.mask.type) > 1
        return guarded_pattern(fn, self.pointers[buffer], first, steps, some, storage_type(buffer.dtype.name),
                               buffer.dtype.itemsize, scratch_size(buffer))

    def guarded(self, x: Guarded) -> V:
        condition = self.emit(x.condition)
        outer, mark = self.mask, len(self.log)
        self.mask = condition if outer is None else self.both(outer, condition)
        value = self.emit(x.value)
        self.forget(mark)
        self.mask = outer
        otherwise = self.emit(x.otherwise)
        width = max(lanes(condition.type), lanes(value.type), lanes(otherwise.type))
        if width > 1:
            value, otherwise = self.vec(value), self.vec(otherwise)
        if lanes(condition.type) == 1 or width > 1:
            condition = self.vec(condition) if width > 1 else condition
        return self.fn.select(condition, value, otherwise)

    def both(self, a: V, b: V) -> V:
        if lanes(a.type) != lanes(b.type):
            a, b = self.vec(a), self.vec(b)
        return self.fn.binary("and", a, b)


def scratch_size(buffer: Buffer) -> int:
    """Elements that are in memory at a time."""
    return prod(buffer.shape[buffer.drop:])
