"""The rooms and who may import whom, read from the source; and the rules that keep operators in their room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import pullback

ROOT = Path(pullback.__file__).parent
#: lowest first; rooms on one line do not import each other
LINES = [
    ("util",),
    ("ir",),
    ("ops",),
    ("kernel",),
    ("transforms", "passes"),
    ("schedule",),
    ("codegen",),
    ("runtime",),
    ("engine",),
    ("api",),
    ("nn", "optim", "data", "io", "distributions"),
    ("train", "viz"),
    ("cli",),
    ("dialects",),
]
LEVEL = {room: k for k, line in enumerate(LINES) for room in line}
#: the public face: modules at the top that re-export
FACE = {"__main__", "__init__", "config", "tree", "random", "linalg", "fft"}
#: packages that `import pullback` must not load
HEAVY = {"llvmlite", "rich", "matplotlib", "safetensors", "ml_dtypes"}
THIRD_PARTY = {*HEAVY, "numpy", "pullback"}
#: drawing and files: a curve is written as atomically as a checkpoint; `pullback run` answers imports by the table of
#: dialects
ALLOWED = {("viz", "io"), ("cli", "dialects")}
#: rooms that read operators' rows and name none of them
NAMELESS = ("transforms", "passes", "schedule", "kernel", "engine")
#: of the IR itself: inputs, results of several
STRUCTURAL = {"Param", "Proj"}
LONGEST_FUNCTION, LONGEST_FILE = 50, 800


@cache
def sources() -> dict[str, ast.Module]:
    """Every module's tree, by path below the package."""
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
            for path in sorted(ROOT.rglob("*.py"))}


def room_of(path: str) -> str:
    """The room of a file, "" for the public face."""
    return path.split("/")[0] if "/" in path else ""


def imports(tree: ast.AST, module_path: str, inside: bool = False) -> Iterator[tuple[str, int, bool]]:
    """Modules imported, with line and whether it is inside a function; not those for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                yield from imports(ast.Module([child], []), module_path, inside)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            assert node.level == 0, f"{module_path}:{node.lineno} relative import"
            yield from ((f"{base}.{alias.name}" if base == "pullback" else base, node.lineno, inside)
                        for alias in node.names)
        else:
            deeper = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imports(node, module_path, deeper)


def test_every_file_is_in_a_room() -> None:
    for path in sources():
        room = room_of(path)
        assert room in LEVEL if room else Path(path).stem in FACE, path


def test_imports_go_down() -> None:
    wrong: list[str] = []
    for path, tree in sources().items():
        room = room_of(path)
        for name, line, _ in imports(tree, path):
            parts = name.split(".")
            if parts[0] != "pullback" or not room:
                continue
            target = parts[1] if len(parts) > 1 else ""
            if target not in LEVEL:
                # the public face may be used by what stands above the library's layers
                if room not in ("cli", "dialects"):
                    wrong.append(f"{path}:{line} {room} imports the public face: {name}")
            elif target != room and LEVEL[target] >= LEVEL[room] and (room, target) not in ALLOWED:
                wrong.append(f"{path}:{line} {room} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_heavy_packages_are_imported_late() -> None:
    lazy_rooms = {"codegen"}  # itself loaded late, as a whole
    wrong = [f"{path}:{line} {name}" for path, tree in sources().items() for name, line, inside in imports(tree, path)
             if name.split(".")[0] in HEAVY and not inside and room_of(path) not in lazy_rooms]
    assert not wrong, "\n".join(wrong)


def test_no_unknown_packages() -> None:
    known = THIRD_PARTY | set(sys.stdlib_module_names)
    wrong = [f"{path}:{line} {name}" for path, tree in sources().items() for name, line, _ in imports(tree, path)
             if name.split(".")[0] not in known]
    assert not wrong, "\n".join(wrong)


def _is_op(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "op"


def _named(node: ast.AST) -> str:
    """What a piece of code says of an operator by its name, "" for nothing."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Is, ast.IsNot)) and _is_op(node.left):
        none = isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value is None
        return "" if none else "compares an operator by identity"
    if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith(".op.name"):
        return "compares an operator's name"
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance" and _is_op(node.args[0]):
        names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
        names |= {n.attr for n in ast.walk(node.args[1]) if isinstance(n, ast.Attribute)}
        return "asks for an operator's class" if names - STRUCTURAL else ""
    return ""


@pytest.mark.parametrize("room", NAMELESS)
def test_rooms_above_name_no_operator(room: str) -> None:
    wrong = [f"{path}:{getattr(node, 'lineno', 0)} {_named(node)}: {ast.unparse(node)}"
             for path, tree in sources().items()
             if room_of(path) == room for node in ast.walk(tree) if _named(node)]
    assert not wrong, "\n".join(wrong)


def test_flags_are_read_in_one_place() -> None:
    wrong = [f"{path}:{node.lineno} {node.value}" for path, tree in sources().items() if path != "util/config.py"
             for node in ast.walk(tree)
             if isinstance(node, ast.Constant) and str(node.value).startswith("PULLBACK_")]
    assert not wrong, "\n".join(wrong)


def test_functions_and_files_are_short() -> None:
    wrong: list[str] = []
    for path, tree in sources().items():
        lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
        if lines > LONGEST_FILE:
            wrong.append(f"{path} has {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno
                if length > LONGEST_FUNCTION:
                    wrong.append(f"{path}:{node.lineno} {node.name} has {length} lines")
    assert not wrong, "\n".join(wrong)


def test_every_room_has_a_readme() -> None:
    rooms = {room_of(path) for path in sources()} - {""}
    missing = [room for room in rooms if not (ROOT / room / "README.md").is_file()]
    assert not missing


def test_the_import_loads_no_operators_and_no_compiler() -> None:
    """They come with the first program: an import is to take little more than NumPy's."""
    code = "import sys, pullback; print(*[m for m in sys.modules if m.startswith('pullback.')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    late = ("pullback.ops", "pullback.passes", "pullback.schedule", "pullback.kernel", "pullback.transforms")
    assert loaded and not [m for m in loaded if m.startswith(late)]
