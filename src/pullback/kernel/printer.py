"""Kernels as text: loops by indentation, one statement a line, shared values named once."""

from __future__ import annotations

from pullback.ir.index import Index
from pullback.kernel.nodes import (
    Accumulate,
    AttentionNest,
    Bind,
    Cast,
    Expr,
    For,
    Gathered,
    Guarded,
    IndexValue,
    Init,
    Inside,
    Kernel,
    Let,
    Literal,
    Load,
    MatmulNest,
    Rows,
    Scalar,
    Stmt,
    Store,
    Total,
    Update,
    WindowNest,
    expressions,
)


def kernel_text(kernel: Kernel) -> str:
    """`kernel k0 (loops, 2 threads)` and its statements."""
    head = f"kernel {kernel.name} ({kernel.kind}, {kernel.threads} thread{'s' * (kernel.threads > 1)})"
    buffers = [*kernel.reads, *kernel.writes, *kernel.scratch]
    lines = [head, *(f"  {b.name}: {b.dtype.name}{list(b.shape[b.drop:])} {b.space}" for b in buffers)]
    _Printer(lines).body(kernel.body, "  ")
    return "\n".join(lines)


class _Printer:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.names: dict[Expr, str] = {}
        self.count = 0

    def body(self, statements: tuple[Stmt, ...], indent: str) -> None:
        for stmt in statements:
            self.shared(stmt, indent)
            self.lines.append(indent + self.statement(stmt))
            if isinstance(stmt, For):
                self.body(stmt.body, indent + "  ")
            elif isinstance(stmt, (MatmulNest, WindowNest)):
                self.body(stmt.epilogue, indent + "  ")

    def shared(self, stmt: Stmt, indent: str) -> None:
        """Name the values that are used more than once in a statement."""
        uses: dict[Expr, int] = {}
        stack = list(expressions(stmt))
        order: list[Expr] = []
        while stack:
            x = stack.pop()
            uses[x] = uses.get(x, 0) + 1
            if uses[x] == 1:
                order.append(x)
                stack.extend(x.children())
        for x in reversed(order):
            if uses[x] > 1 and x.children() and x not in self.names:
                self.count += 1
                text = self.value(x)
                self.names[x] = f"v{self.count}"
                self.lines.append(f"{indent}v{self.count} = {text}")

    def statement(self, s: Stmt) -> str:
        if isinstance(s, For):
            return self.loop(s)
        if isinstance(s, Let):
            return f"{s.buffer.name} = {self.value(s.value)}"
        if isinstance(s, Store):
            return f"{s.buffer.name}[{s.flat!r}] = {self.value(s.value)}{'  (streamed)' * s.stream}"
        if isinstance(s, Init):
            return f"{s.accumulator.name} = identity of {s.accumulator.monoid} x {s.lanes}"
        if isinstance(s, Accumulate):
            return f"{s.accumulator.name} = {s.accumulator.monoid}({s.accumulator.name}, {self.value(s.value)})"
        if isinstance(s, Update):
            guard = f" where {self.value(s.where)}" if s.where is not None else ""
            return f"{s.buffer.name}[{self.indices(s.indices)}] {s.monoid}= {self.value(s.value)}{guard}"
        if isinstance(s, Bind):
            return f"{s.var.name} = {s.index!r}"
        if isinstance(s, WindowNest):
            return self.windows(s)
        if isinstance(s, AttentionNest):
            return self.attention(s)
        batch = "".join(f" {v.name}<{v.size}" for v, _, _ in s.batch)
        return (f"product{batch} {s.m} x {s.n} x {s.k}{rounding(s)}: "
                f"{s.a.name}[{s.a_offset}; {s.a_strides[0]}, {s.a_strides[1]}] * "
                f"{s.b.name}[{s.b_offset}; {s.b_strides[0]}, {s.b_strides[1]}]"
                f"{'' if s.panels is None else ' in panels ' + s.panels.name}")

    def windows(self, s: WindowNest) -> str:
        batch = "".join(f" {v.name}<{v.size}" for v in s.batch)
        places = ", ".join(repr(x) if step == 1 else f"({x!r}):{step}"
                           for x, step in zip(s.b_at, s.b_step, strict=True))
        terms = " ".join(f"{v.name}<{v.size}" for v in s.terms)
        return (f"product{batch} {s.m} x {s.n} x {s.k} over {terms}{rounding(s)}: {s.a.name}[{self.indices(s.a_at)}] * "
                f"window of {s.b.name}[{places}]")

    def attention(self, s: AttentionNest) -> str:
        def rows(x: Rows | None) -> str:
            strides = "" if x is None else ", ".join(map(str, (*x.strides, x.row_stride)))
            strides += "" if x is None or x.step else "; 0"
            return "none" if x is None else f"{x.buffer.name}[{x.offset}; {strides}]"

        names = "q k v lse delta ct".split()
        given = ", ".join(f"{name} {rows(x)}" for name, x in zip(names, s.inputs, strict=False))
        given += "" if s.mask is None else f", mask {rows(s.mask)}"
        given += "" if s.dropout is None else f", dropped below {s.dropout.threshold} by {rows(s.dropout.key)}"
        kind = ("causal " if s.causal else "") + ("attention" if len(s.inputs) == 3 else "attention backward")
        sizes = " x ".join(map(str, (*s.batch, s.m, s.n, s.d, s.e)))
        return f"{kind} {sizes} scale {s.scale}: {given} -> {', '.join(map(rows, s.results))}"

    def loop(self, s: For) -> str:
        kind = "parallel for" if s.parallel else "for"
        start = "" if s.count < 0 else f" from {s.start!r} count {s.count}"
        lanes = f" by {s.lanes}" if s.lanes > 1 else ""
        return f"{kind} {s.var.name} < {s.size}{start}{lanes}:"

    def indices(self, indices: tuple[Index | Expr, ...]) -> str:
        return ", ".join(repr(x) if isinstance(x, Index) else self.value(x) for x in indices)

    def value(self, x: Expr) -> str:
        if x in self.names:
            return self.names[x]
        if isinstance(x, Literal):
            return repr(x.value)
        if isinstance(x, Load):
            return x.buffer.name if x.buffer.space == "register" else f"{x.buffer.name}[{x.flat!r}]"
        if isinstance(x, Gathered):
            return f"{x.buffer.name}[{self.indices(x.indices)}]"
        if isinstance(x, Scalar):
            extra = "".join(f", {n}" for n in x.static)
            return f"{x.row}({', '.join(map(self.value, x.args))}{extra})"
        if isinstance(x, Cast):
            return f"{'bits_' * x.bits}{x.dtype.name}({self.value(x.arg)})"
        if isinstance(x, IndexValue):
            return f"{x.dtype.name}({x.index!r})"
        if isinstance(x, Inside):
            return " and ".join(f"{low} <= {i!r} <= {high}" for i, low, high in x.tests)
        if isinstance(x, Guarded):
            return f"({self.value(x.value)} if {self.value(x.condition)} else {self.value(x.otherwise)})"
        assert isinstance(x, Total)
        return x.accumulator.name


def rounding(s: MatmulNest | WindowNest) -> str:
    """What may be left of an operand's elements."""
    return "" if s.parts == 3 else f" of {s.parts} part{'s' * (s.parts > 1)}"
