"""Printing a jaxpr: a document that is laid out for 80 columns.

A group stands on one line where that fits, and is broken at all of its breaks where it does not (Wadler, "A prettier
printer"). Names are given in the order of printing.
"""

from __future__ import annotations

from typing import Any

from pullback.ir.dtypes import DType

WIDTH = 80
Doc = Any  # a text, ("break", text), ("nest", n, doc), ("group", doc) or a list of documents


def group(*docs: Doc) -> Doc:
    return ("group", list(docs))


def nest(n: int, *docs: Doc) -> Doc:
    return ("nest", n, list(docs))


def brk(text: str = " ") -> Doc:
    return ("break", text)


def render(doc: Doc) -> str:
    """The text of a document."""
    out: list[str] = []
    column = 0
    stack: list[tuple[int, bool, Doc]] = [(0, False, doc)]  # indentation, whether on one line, document
    while stack:
        indent, flat, d = stack.pop()
        if isinstance(d, str):
            out.append(d)
            column += len(d)
        elif isinstance(d, list):
            stack.extend((indent, flat, x) for x in reversed(d))
        elif d[0] == "nest":
            stack.append((indent + d[1], flat, d[2]))
        elif d[0] == "group":
            stack.append((indent, flat or _fits(d[1], WIDTH - column), d[1]))
        elif flat:
            out.append(d[1])
            column += len(d[1])
        else:
            out.append("\n" + " " * indent)
            column = indent
    return "".join(out)


def _fits(doc: Doc, room: int) -> bool:
    """Whether a document on one line fits; what follows it is not looked at."""
    stack = [doc]
    while stack and room >= 0:
        d = stack.pop()
        if isinstance(d, str):
            room -= len(d)
        elif isinstance(d, list):
            stack.extend(reversed(d))
        elif d[0] == "break":
            room -= len(d[1])
        else:
            stack.append(d[-1])
    return room >= 0


class _Names:
    """a, b, ..., z, ba, bb, ..."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.keep: list[Any] = []

    def of(self, var: Any) -> str:
        found = self.names.get(id(var))
        if found is None:
            self.keep.append(var)
            found = self.names[id(var)] = _letters(len(self.names))
        return found


def _letters(k: int) -> str:
    text = ""
    while True:
        k, digit = divmod(k, 26)
        text = chr(ord("a") + digit) + text
        if not k:
            return text


def print_jaxpr(jaxpr: Any) -> str:
    """The text of a jaxpr."""
    return render(_jaxpr(jaxpr, _Names()))


def _jaxpr(jaxpr: Any, names: _Names) -> Doc:
    used = _used(jaxpr)
    constants = _binders(jaxpr.constvars, names)
    arguments = _binders(jaxpr.invars, names)
    lines: list[Doc] = []
    for k, eqn in enumerate(jaxpr.eqns):
        lines += [brk("; ") if k else "", _equation(eqn, names, used)]
    results = [", ".join(_atom(v, names) for v in jaxpr.outvars) + ("," if len(jaxpr.outvars) == 1 else "")]
    return group(
        nest(
            2, "{ lambda ", constants, "; ", arguments, ". let", nest(2, brk(), *lines), brk(), "in (", *results, ") }"
        )
    )


def _used(jaxpr: Any) -> set[int]:
    found = {id(v) for v in jaxpr.outvars}
    for eqn in jaxpr.eqns:
        found.update(id(v) for v in eqn.invars)
    return found


def _aval(aval: Any) -> str:
    return aval.str_short()


def _binders(variables: Any, names: _Names) -> str:
    return " ".join(f"{names.of(v)}:{_aval(v.aval)}" for v in variables)


def _atom(v: Any, names: _Names) -> str:
    return f"{v.val!r}:{_aval(v.aval)}" if hasattr(v, "val") else names.of(v)


def _equation(eqn: Any, names: _Names, used: set[int]) -> Doc:
    left = " ".join(f"{names.of(v) if id(v) in used else '_'}:{_aval(v.aval)}" for v in eqn.outvars)
    params = _params(eqn.params, names)
    right = " ".join(_atom(v, names) for v in eqn.invars)
    return [f"{left} = {eqn.primitive.name}", params, f" {right}"]


def _params(params: dict[str, Any], names: _Names) -> Doc:
    if not params:
        return ""
    pairs: list[Doc] = []
    for k, name in enumerate(sorted(params)):
        pairs += [brk() if k else "", f"{name}=", _value(params[name], names)]
    return group(nest(2, "[", brk(""), *pairs), brk(""), "]")


def _value(value: Any, names: _Names) -> Doc:
    if isinstance(value, DType):
        return value.name
    if hasattr(value, "eqns"):
        return _jaxpr(value, names)
    if isinstance(value, tuple) and value and hasattr(value[0], "eqns"):
        inner: list[Doc] = []
        for v in value:
            inner += [brk(""), _jaxpr(v, names)]
        return group(nest(2, "(", *inner), brk(""), ")")
    return str(value)
