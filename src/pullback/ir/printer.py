"""Functions as text: one node a line, names %0, %1, ... in order."""

from __future__ import annotations

from typing import Any

from pullback.ir.node import Function, Node, Param


def to_text(function: Function, name: str = "function", indent: str = "") -> str:
    """`function(%0: float32[3]) { %1 = map[row=exp] %0 : float32[3]; return %1 }`, a line each."""
    names: dict[Node, str] = {p: f"%{k}" for k, p in enumerate(function.params)}
    head = ", ".join(f"{names[p]}: {p.type!r}" for p in function.params)
    lines = [f"{indent}{name}({head}) {{"]
    for node in function.nodes():
        if node in names:
            continue
        names[node] = f"%{len(names)}"
        lines.append(f"{indent}  {names[node]} = {_node_text(node, names, indent)}")
    lines.append(f"{indent}  return {', '.join(names[r] for r in function.results)}")
    lines.append(indent + "}")
    return "\n".join(lines)


def _node_text(node: Node, names: dict[Node, str], indent: str) -> str:
    if isinstance(node.op, Param):
        return f"unbound : {node.type!r}"
    params = node.op.params()
    plain = {k: v for k, v in params.items() if not isinstance(v, Function)}
    text = node.op.name + (f"[{' '.join(f'{k}={_value(v)}' for k, v in plain.items())}]" if plain else "")
    text += "".join(f" {names[x]}" for x in node.inputs) + f" : {node.type!r}"
    for k, v in params.items():
        if isinstance(v, Function):
            text += "\n" + to_text(v, f"where {k} = function", indent + "    ")
    return text


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ",".join(_value(v) for v in value) + ")"  # pyright: ignore[reportUnknownVariableType]
    return str(value).replace(" ", "")
