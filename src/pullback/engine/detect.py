"""`detect_nan`: which operator first makes NaN.

Programs run as ever, on arguments of which a copy is kept. One whose results hold NaN is computed again from the copies
by the reference rules, operator by operator, bodies of loops and gradients included, until the first that makes NaN of
inputs without any. What was met is raised at the next observation, as indices out of range are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.engine import execute
from pullback.engine.programs import Executable
from pullback.ir import node as nodes
from pullback.ir.dtypes import numpy_dtype
from pullback.ir.node import Function, Node, Proj, TensorType
from pullback.runtime.memory import Buffer
from pullback.util.errors import NotANumberError, message
from pullback.util.lines import user_line

#: the operation that recorded a node, and the user's line
_origins: dict[Node, tuple[str, str]] = {}
ORIGINS = 100_000


def remember(own: list[Node], step: Any) -> None:
    """Note what recorded some nodes, and where."""
    if len(_origins) > ORIGINS:
        _origins.clear()
    name, line = getattr(step, "name", ""), user_line()
    for node in own:
        _origins[node] = name, line


def launch(executable: Executable, arguments: list[Any]) -> list[Any]:
    """Run a program, wait for it, and look at its results."""
    execute.settle(arguments)
    execute.wait_oldest(0)
    before = [execute.copied(a) if type(a) is Buffer else a for a in arguments]
    outputs = execute.start(executable, arguments)
    execute.wait_oldest(0)
    types = executable.function.out_types
    if any(type(x) is Buffer and t.dtype.is_inexact
           and _has_nan(x.numpy(numpy_dtype(t.dtype), t.shape)) for x, t in zip(outputs, types, strict=False)):
        execute.note(_first(executable.function, executable.arrays(before)))
    return outputs


def _has_nan(array: Any) -> bool:
    return array.dtype.kind not in "iub" and bool(np.isnan(array).any())


class _Found(Exception):
    """The first operator that made NaN."""

    def __init__(self, node: Node, inputs: list[Any], result: Any) -> None:
        super().__init__()
        self.node, self.inputs, self.result = node, inputs, result


class _Search:
    """Looks at each node that is computed."""

    def __init__(self) -> None:
        self.infinity = ""  # the operator that first made an infinity of finite numbers

    def look(self, node: Node, inputs: list[Any], result: Any) -> None:
        """Stop where a result has NaN and no input has."""
        if isinstance(node.op, Proj) or not node.inputs:
            return
        given = [x for v in inputs for x in _arrays(v)]
        for array in _arrays(result):
            if array.dtype.kind in "iub":
                continue
            if _has_nan(array) and not any(map(_has_nan, given)):
                raise _Found(node, given, array)
            if not self.infinity and np.isinf(array).any() and not any(map(_infinite, given)):
                self.infinity = f"first made by {_name(node)} of {_described(array)}"


def _arrays(value: Any) -> list[Any]:
    """The arrays of a node's value, which may be several."""
    return list(map(np.asarray, value)) if type(value) is tuple else [np.asarray(value)]  # pyright: ignore


def _infinite(array: Any) -> bool:
    return array.dtype.kind not in "iub" and bool(np.isinf(array).any())


def _name(node: Node) -> str:
    return str(getattr(node.op, "row", "") or getattr(node.op, "label", "") or node.op.name)


def _described(x: Any) -> str:
    array = np.asarray(x)
    text = f"{array.dtype}{list(array.shape)}"
    if not array.size or array.dtype.kind == "c":
        return text
    seen = array[~np.isnan(array)] if array.dtype.kind not in "iub" else array
    count = array.size - seen.size
    parts = [f"{count} of {array.size} are NaN"] if count else []
    if seen.size:
        parts.append(f"from {float(seen.min()):.6g} to {float(seen.max()):.6g}")
    return f"{text}   {', '.join(parts)}"


def _first(function: Function, arrays: list[Any]) -> NotANumberError:
    """The error that names the first operator to make NaN."""
    for k, array in enumerate(arrays):
        if _has_nan(np.asarray(array)):
            return NotANumberError(message("NaN came into a program with its arguments",
                                           [(f"argument {k}", _described(array))],
                                           "look at the data, and at what was computed before detect_nan was on"))
    search = _Search()
    outer = _evaluate(function, arrays, search)
    if outer is None:
        return NotANumberError(message("a compiled program made NaN where the reference rules do not", [],
                                       "please report this"))
    node, found = outer
    return _error(found, _recorded(function, node), search)


def _evaluate(function: Function, arrays: list[Any], search: _Search) -> tuple[Node, _Found] | None:
    """The node of a function in which the first NaN is made, and the operator in it that makes it."""
    values: dict[Node, Any] = dict(zip(function.params, arrays, strict=True))
    before, nodes.observer = nodes.observer, search.look
    try:
        with np.errstate(all="ignore"):
            for node in function.nodes():
                if node in values:
                    continue
                try:
                    values[node] = _value(node, [values[x] for x in node.inputs], search)
                except _Found as found:
                    return node, found
    finally:
        nodes.observer = before
    return None


def _value(node: Node, inputs: list[Any], search: _Search) -> Any:
    if isinstance(node.op, Proj):
        return inputs[0][node.op.index]
    result = node.op.reference(*inputs)
    if isinstance(node.type, TensorType):
        result = np.asarray(result, numpy_dtype(node.type.dtype))
    search.look(node, inputs, result)
    return result


def _recorded(function: Function, node: Node) -> str:
    """The operation that a node is part of, and its line: those of the first recorded node that it leads to."""
    reached = {node}
    for other in function.nodes():
        if other is not node and not any(x in reached for x in other.inputs):
            continue
        reached.add(other)
        if other in _origins:
            name, line = _origins[other]
            return f"{name} at {line}" if line else name
    return ""


def _error(found: _Found, recorded: str, search: _Search) -> NotANumberError:
    facts = [(f"input {k}" if len(found.inputs) > 1 else "input", _described(x)) for k, x in enumerate(found.inputs)]
    facts.append(("result", _described(found.result)))
    if recorded:
        facts.append(("recorded", recorded))
    if any(map(_infinite, found.inputs)) and search.infinity:
        facts.append(("infinity", search.infinity))
    return NotANumberError(message(f"{_name(found.node)} is the first operator to make NaN", facts))


__all__ = ["launch", "remember"]
