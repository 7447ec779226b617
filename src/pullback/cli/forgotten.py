"""Names that a document uses and imports nowhere: its author had them in a cell that was not copied.

A notebook keeps what was once imported, so its text may lack a line that it needs. Modules of the standard library,
and names of the frameworks that the document does import, are given to it, with a word about each.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Iterator
from typing import Any

from pullback.cli.blocks import Block
from pullback.dialects import DIALECTS


def forgotten(blocks: list[Block]) -> Iterator[tuple[str, int, str, Any]]:
    """Name, the first line that uses it, where it was found, and what it is."""
    trees = [tree for block in blocks if (tree := _tree(block)) is not None]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in nodes):
        return  # what a star brings is not known before it runs
    bound = {name for node in nodes for name in _bound(node)}
    used: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            used[node.id] = min(node.lineno, used.get(node.id, node.lineno))
    frameworks = [name for name in DIALECTS if name in _imported(nodes)]
    for name, line in sorted(used.items(), key=lambda item: item[1]):
        if name in bound or hasattr(builtins, name):
            continue
        found = _found(name, frameworks)
        if found is not None:
            yield name, line, *found


def _tree(block: Block) -> ast.Module | None:
    """The block's code with the document's line numbers; None where it cannot be read, which its run will report."""
    source = block.source if isinstance(block.source, str) else block.source.decode("utf-8", "replace")
    try:
        return ast.parse("\n" * (block.first_line - 1) + source)
    except (SyntaxError, ValueError):
        return None


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a piece of code gives a meaning, in whatever scope."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((a.asname or a.name).split(".")[0] for a in node.names)
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name


def _imported(nodes: list[ast.AST]) -> set[str]:
    """The packages that the document imports."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(a.name.split(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def _found(name: str, frameworks: list[str]) -> tuple[str, Any] | None:
    if name in sys.stdlib_module_names:
        return "the standard library", importlib.import_module(name)
    for framework in frameworks:
        value = getattr(importlib.import_module(framework), name, None)
        if value is not None:
            return framework, value
    return None
