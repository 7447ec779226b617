"""The Python in a file: a script, the cells of a notebook, the blocks of a Markdown document, with their line
numbers."""

from __future__ import annotations

import re
from types import CodeType
from typing import Any

from pullback.util.errors import FileFormatError, message

_ONLY_AST, _AWAIT = 0x400, 0x2000
_FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<tag>[^`]*)$")
_LANGUAGE = re.compile(r"[\s{.]*(?P<name>[\w+-]*)")
_PYTHON = {"python", "py", "python3", "ipython", "ipython3", "pycon"}
#: first letters of lines that a notebook does not give to Python
_MAGIC = ("%", "!", "?")
#: `files = !ls`, `%timeit`'s result: what is assigned is a notebook's too
_ASSIGNED = re.compile(r"[\w ,.]+=\s*[!%][\w./~]")
#: cell magics whose cell is Python all the same
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun", "%%python")


class Block:
    """Source that runs as one: where it begins, what was left out, whether its last value is shown; `cell` is its
    number in a notebook."""

    def __init__(self, source: str | bytes, first_line: int = 1, shown: bool = False, cell: int = 0) -> None:
        self.source, self.first_line, self.shown, self.cell = source, first_line, shown, cell
        self.skipped: list[tuple[int, str]] = []
        if isinstance(source, str):
            self._skip_magics(source)

    def _skip_magics(self, source: str) -> None:
        """Leave out what only a notebook understands; lines keep their numbers."""
        lines = source.split("\n")
        head = next((line.strip() for line in lines if line.strip()), "")
        if head.startswith("%%") and not head.startswith(_PYTHON_CELLS):
            self.skipped = [(self.first_line, head + " (the whole cell)")]
            self.source = ""
            return
        if not _looks_wrong(source):
            return
        for k, line in enumerate(lines):
            text = line.strip()
            if text.startswith(_MAGIC) or _ASSIGNED.match(text) or re.fullmatch(r"[\w.]+\?{1,2}", text):
                self.skipped.append((self.first_line + k, text))
                lines[k] = line[:len(line) - len(line.lstrip())] + "pass"
        self.source = "\n".join(lines)

    def name(self, path: str) -> str:
        """What tracebacks call it: the file, or a cell of the notebook, whose lines are not those of the file."""
        return f"{path}, cell {self.cell}" if self.cell else path

    def compile(self, path: str) -> tuple[CodeType, CodeType | None]:
        """Code to run, and the expression at the end whose value is shown."""
        if isinstance(self.source, bytes):
            return compile(self.source, path, "exec", dont_inherit=True), None
        import ast  # a script is compiled without

        name = self.name(path)
        padded = "\n" * (self.first_line - 1) + self.source
        tree: Any = compile(padded, name, "exec", _ONLY_AST | _AWAIT, dont_inherit=True)
        last: Any = tree.body[-1] if tree.body else None
        if not self.shown or not isinstance(last, ast.Expr) or self._silenced():
            return compile(tree, name, "exec", _AWAIT, dont_inherit=True), None
        tree.body.pop()
        return (compile(tree, name, "exec", _AWAIT, dont_inherit=True),
                compile(ast.Expression(last.value), name, "eval", _AWAIT, dont_inherit=True))

    def _silenced(self) -> bool:
        """Whether the block ends with a semicolon."""
        lines = [line for line in str(self.source).split("\n") if line.strip() and not line.lstrip().startswith("#")]
        return bool(lines) and lines[-1].split(" #")[0].rstrip().endswith(";")


def _looks_wrong(source: str) -> bool:
    try:
        compile(source, "<block>", "exec", _ONLY_AST | _AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError):
        return True
    return False


def blocks_of(path: str, content: bytes) -> list[Block]:
    """The Python of a file."""
    lower = path.lower()
    if lower.endswith(".ipynb"):
        return _some(path, _cells(path, content), "its code cells are empty")
    if lower.endswith((".md", ".markdown")):
        return _some(path, _fenced(_text(path, content)), "a block of Python begins with ```python")
    if b"\0" in content:
        raise FileFormatError(message(f"{path}: not a Python file", help="it contains null bytes"))
    return [Block(content)]


def _some(path: str, blocks: list[Block], cure: str) -> list[Block]:
    if not any(str(block.source).strip() or block.skipped for block in blocks):
        raise FileFormatError(message(f"{path}: there is no Python in it", help=cure))
    return blocks


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FileFormatError(message(f"{path}: not a text file", [("at byte", str(error.start))],
                                      "save it as UTF-8")) from None


def _fenced(text: str) -> list[Block]:
    """The Python blocks of a Markdown document. Lines keep the numbers they have in it."""
    found: list[Block] = []
    opened: Any = None
    kept: list[str] = []
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened, kept, start = fence, [], number + 1
        elif fence and not fence["tag"].strip() and fence["fence"].startswith(opened["fence"]):
            _add(found, opened, kept, start)
            opened = None
        else:
            kept.append(line.removeprefix(opened["indent"]))
    if opened is not None:
        _add(found, opened, kept, start)
    return found


def _add(found: list[Block], opened: Any, lines: list[str], start: int) -> None:
    language = _LANGUAGE.match(opened["tag"])
    if language is None or language["name"].lower() not in _PYTHON:
        return
    first = next((line for line in lines if line.strip()), "")
    if first.startswith(">>>"):
        lines = [line[4:] if line.startswith((">>>", "...")) else "" for line in lines]
    found.append(Block("\n".join(lines), start, shown=True))


def _cells(path: str, content: bytes) -> list[Block]:
    """The code cells of a notebook. A traceback names the line within its cell."""
    import json  # for notebooks only

    try:
        notebook = json.loads(_text(path, content))
        cells = notebook["cells"] if "cells" in notebook else [c for s in notebook["worksheets"] for c in s["cells"]]
        sources = [c.get("source", c.get("input", "")) for c in cells if c.get("cell_type") == "code"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FileFormatError(message(f"{path}: not a notebook",
                                      help="a notebook is JSON with a list of cells")) from None
    return [Block(s if isinstance(s, str) else "".join(s), shown=True, cell=number)
            for number, s in enumerate(sources, 1)]
