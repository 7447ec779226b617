"""Scopes of parameters: `var_scope`, `make_var`, `find_vars`.

A scope is a name in a tree. Entering one starts its counters anew, so that calling a model again finds the parameters
that the first call made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from pullback.dialects.jittor.var import Var, as_var
from pullback.engine.tensor import AutogradMeta
from pullback.ir.dtypes import dtype_of
from pullback.util.errors import ArgumentError, KeyError_, ShapeError, message


class Scope:
    """A node of the tree: parameters, scopes and records below it, in order of creation."""

    def __init__(self, name: str, full_name: str) -> None:
        self.name, self.full_name = name, full_name
        self.children: dict[str, Any] = {}  # scopes and parameters
        self.records: dict[str, Any] = {}
        self.counters: dict[str, int] = {}

    def next_name(self, name: str) -> str:
        """The name with the number of times it was asked for since the scope was entered."""
        count = self.counters.get(name, 0)
        self.counters[name] = count + 1
        return f"{name}_{count}"

    def child(self, name: str) -> Scope:
        found = self.children.get(name)
        if found is None:
            path = f"{self.full_name}/{name}" if self.full_name else name
            found = self.children[name] = Scope(name, path)
            _found.clear()
        if not isinstance(found, Scope):
            raise KeyError_(message("var_scope: the name belongs to a parameter", [("name", name)], "choose another"))
        return found

    def make_var(self, shape: Any, dtype: Any, init: Any, name: str) -> Var:
        found = self.children.get(name)
        if found is None:
            found = self.children[name] = _created(shape, dtype, init)
            _found.clear()
            return found.name(f"{self.full_name}/{name}" if self.full_name else name)
        if type(found) is not Var:
            raise KeyError_(message("make_var: the name belongs to a scope", [("name", name)], "choose another"))
        own = found.info.type
        if (shape is not None and tuple(shape) != own.shape) or (
            dtype != own.dtype.name and dtype_of(dtype) is not own.dtype
        ):
            raise ShapeError(
                message(
                    f"Shape or dtype not match: {found.name()}",
                    [("found", repr(found.info.type)), ("wanted", f"{dtype}{list(shape or ())}")],
                    "a scope that is entered again must ask for the same parameters",
                )
            )
        return found

    def walk(self, kind: str) -> list[Any]:
        """Parameters or records below, depth first in order of creation."""
        found: list[Any] = list(self.records.values()) if kind == "records" else []
        for child in self.children.values():
            if isinstance(child, Scope):
                found.extend(child.walk(kind))
            elif kind == "vars":
                found.append(child)
        return found


def _created(shape: Any, dtype: Any, init: Any) -> Var:
    if init is None:
        raise ArgumentError(
            message(
                "make_var: a new parameter needs init",
                [("init", "None")],
                "init=lambda *a: jt.random(*a), a Var, or a number",
            )
        )
    if shape is not None:
        shape = list(shape)
    value = init(shape, dtype) if callable(init) else init
    var = Var(as_var(value)._peek()) if isinstance(value, Var) else as_var(value, dtype)
    if shape is not None and var.shape != tuple(shape):
        var = var.broadcast(shape)
    return stored(var)


def stored(var: Var) -> Var:
    """The Var as a parameter: a leaf, and a new leaf whenever it is changed in place."""
    kept = Var(var.detach()._peek())
    if kept.dtype.is_inexact:
        kept._meta = AutogradMeta(True)
    kept._stored = True
    return kept


#: what `find_vars` found, by path, until the tree changes
_found: dict[str | None, list[Var]] = {}
root = Scope("", "")
_stack: list[Scope] = [root]


def current() -> Scope:
    """The scope that was entered last."""
    return _stack[-1]


class var_scope:
    """Context manager and decorator: parameters made inside stand below this scope."""

    def __init__(self, name: str = "scope", unique: bool = False, **flags: Any) -> None:
        self.name, self.unique, self.flags = name, unique, flags

    def __enter__(self) -> Scope:
        parent, name = _stack[-1], self.name
        if not self.unique:
            name = parent.next_name(name)
        scope = parent.children.get(name)
        if type(scope) is not Scope:
            scope = parent.child(name)
        scope.counters.clear()
        _stack.append(scope)
        return scope

    def __exit__(self, *_: object) -> None:
        _stack.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def scoped(*args: Any, **kwargs: Any) -> Any:
            scope = self.__enter__()  # written out: every layer of every step passes here
            try:
                result = function(*args, **kwargs)
                scope.records["output"] = result
                if type(result) is Var:
                    result.name(f"{scope.full_name}/output")
                return result
            finally:
                _stack.pop()

        return scoped


def make_var(
    shape: Any = None, dtype: Any = "float32", init: Any = None, name: str = "var", unique: bool = False
) -> Var:
    """The next parameter of the present scope: made by `init(shape, dtype)` the first time, found afterwards."""
    scope = _stack[-1]
    if not unique:
        name = scope.next_name(name)
    found = scope.children.get(name)
    if type(found) is Var and found._value is not None:
        own = found._value.info.type
        if dtype == own.dtype.name and (shape is None or tuple(shape) == own.shape):
            return found
    return scope.make_var(shape, dtype, init, name)


def find_scope(path: str | None = None) -> Scope:
    """The scope at a path."""
    scope: Any = root
    for part in (path or "").split("/"):
        if part:
            scope = scope.children.get(part) if isinstance(scope, Scope) else None
    if not isinstance(scope, Scope):
        raise KeyError_(
            message(
                "find_scope: no such scope", [("path", repr(path))], "there are " + (", ".join(_scopes(root)) or "none")
            )
        )
    return scope


def _scopes(scope: Scope) -> list[str]:
    found: list[str] = []
    for child in scope.children.values():
        if isinstance(child, Scope):
            found += [child.full_name, *_scopes(child)]
    return found


def find_vars(path: str | None = None) -> list[Var]:
    """All parameters at or below a path, depth first in order of creation."""
    known = _found.get(path)
    if known is None:
        parent, _, name = (path or "").rpartition("/")
        found = find_scope(parent).children.get(name) if name else None
        known = _found[path] = [found] if isinstance(found, Var) else find_scope(path).walk("vars")
    return known.copy()


def find_var(path: str) -> Var:
    """The one parameter at a path."""
    return _only(find_vars(path), path, "find_var", "parameter")


def find_records(path: str | None = None) -> list[Any]:
    """All records below a path: what decorated functions returned last."""
    parent, _, name = (path or "").rpartition("/")
    scope = find_scope(parent)
    return [scope.records[name]] if name in scope.records else find_scope(path).walk("records")


def find_record(path: str) -> Any:
    """The one record at a path."""
    return _only(find_records(path), path, "find_record", "record")


def _only(found: list[Any], path: str, name: str, what: str) -> Any:
    if len(found) != 1:
        raise KeyError_(
            message(
                f"{name}: not exactly one {what}",
                [("path", repr(path)), ("found", str(len(found)))],
                f"use {name}s for all of them",
            )
        )
    return found[0]


def export_vars(path: str | None = None) -> dict[str, Any]:
    """All parameters by full name, as NumPy arrays."""
    return {v.name(): v.numpy().reshape(v.shape) for v in find_vars(path)}


def import_vars(data: dict[str, Any]) -> None:
    """Set, or make, parameters by full name."""
    for path, value in data.items():
        *parts, name = path.split("/")
        scope = root
        for part in parts:
            scope = scope.child(part)
        found = scope.children.get(name)
        if isinstance(found, Var):
            found.assign(value)
        else:
            scope.children[name] = stored(as_var(value)).name(path)
            _found.clear()


def clean() -> None:
    """Forget all scopes and their parameters."""
    root.children.clear()
    root.records.clear()
    root.counters.clear()
    _found.clear()
