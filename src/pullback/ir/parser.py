"""Text back into functions: the inverse of `printer.to_text`.

The parser knows the layout of the text; what the parameters of a primitive mean is told by `makers`, one per
primitive name, that get the parameters' text (or Function) and the types of the inputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pullback.ir.dtypes import dtype_of
from pullback.ir.node import Function, Node, Op, Proj, TensorType, apply, param, project
from pullback.util.errors import ValueError_, message

Field = str | Function
Maker = Callable[[Mapping[str, Field], tuple[TensorType, ...]], Op]

_HEAD = re.compile(r"\s*(?:where (\w+) = )?\w+\((.*)\) \{$")
_TENSOR = re.compile(r"(\w+)\[([\d, ]*)\]")
_PARAM = re.compile(r"%(\d+): (\w+\[[\d, ]*\])")
_NODE = re.compile(r"\s*%(\d+) = (\w+)(?:\[([^\]]*)\])?((?: %\d+)*) : (.*)$")


def parse(text: str, makers: Mapping[str, Maker]) -> Function:
    """The function of a printed program; the types are checked against the primitives' type rules."""
    lines = [line for line in text.splitlines() if line.strip()]
    found, end, _ = _function(lines, 0, makers)
    if end != len(lines):
        raise _failed(lines[end])
    return found


def parse_type(text: str) -> TensorType:
    """`float32[3, 4]`"""
    found = _TENSOR.fullmatch(text.strip())
    if found is None:
        raise _failed(text)
    sizes = [int(n) for n in found.group(2).split(",") if n.strip()]
    return TensorType.of(sizes, dtype_of(found.group(1)))


def split_tuple(text: str) -> list[str]:
    """The items of `(a,b,(c,d))`."""
    inner = text[1:-1]
    items: list[str] = []
    depth = start = 0
    for k, c in enumerate(inner):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            items.append(inner[start:k])
            start = k + 1
    return [*items, inner[start:]] if inner else []


def _failed(line: str) -> ValueError_:
    return ValueError_(message("parse: cannot read a line", [("line", repr(line.strip()))],
                               "the text must be one that printing a function gives"))


def _function(lines: list[str], at: int, makers: Mapping[str, Maker]) -> tuple[Function, int, str]:
    """The function that starts at a line, the line after it, and the name of the parameter it is."""
    head = _HEAD.match(lines[at]) if at < len(lines) else None
    if head is None:
        raise _failed(lines[at] if at < len(lines) else "")
    nodes: dict[str, Node] = {}
    params: list[Node] = []
    for name, type_ in _PARAM.findall(head.group(2)):
        nodes[name] = param(parse_type(type_))
        params.append(nodes[name])
    at += 1
    while at < len(lines) and not lines[at].strip().startswith("return"):
        at = _node(lines, at, makers, nodes)
    if at + 1 >= len(lines) or lines[at + 1].strip() != "}":
        raise _failed(lines[at] if at < len(lines) else "the end of the text")
    results = [nodes[name] for name in re.findall(r"%(\d+)", lines[at])]
    return Function(params, results), at + 2, head.group(1) or ""


def _node(lines: list[str], at: int, makers: Mapping[str, Maker], nodes: dict[str, Node]) -> int:
    """Read a node and the bodies under it; the line after."""
    found = _NODE.match(lines[at])
    if found is None:
        raise _failed(lines[at])
    name, op_name, texts, inputs, type_ = found.groups()
    fields: dict[str, Field] = {}
    for item in (texts or "").split():
        key, _, value = item.partition("=")
        fields[key] = value
    line, at = lines[at], at + 1
    while at < len(lines) and lines[at].strip().startswith("where "):
        body, at, key = _function(lines, at, makers)
        fields[key] = body
    sources = tuple(nodes[k] for k in re.findall(r"%(\d+)", inputs))
    if op_name == Proj.name:
        nodes[name] = project(sources[0])[int(str(fields["index"]))]
        return at
    if op_name not in makers:
        raise _failed(line)
    nodes[name] = apply(makers[op_name](fields, tuple(x.tensor for x in sources)), *sources)
    if repr(nodes[name].type) != type_:
        raise _failed(line)
    return at
