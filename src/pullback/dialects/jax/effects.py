"""Effects of traced functions: what a function prints, or hands to a callback, is a result of the program that its
transform strips, and acts on where values are known.

A traced function that has effects returns an `Effectful`, a tree node that holds its result and the values that were
handed over. Where that node is built again, from the values that the program computed, the effects happen, or become
effects of the function around it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from threading import local
from typing import Any

import numpy as np

from pullback.dialects.jax import errors
from pullback.dialects.jax.array import Array
from pullback.engine.tensor import from_host
from pullback.engine.trace import local as here
from pullback.util import tree


class _Pending(local):
    """The functions being traced in this thread, innermost last: their traces, and what they handed over."""

    def __init__(self) -> None:
        self.collected: list[tuple[Any, list[Any]]] = []
        self.entering = False


_pending = _Pending()


class Effectful:
    """A result, and effects: callbacks, the structures of their arguments, and the values. `mapped`: the values are
    those of all elements or turns, one after another."""

    def __init__(self, result: Any, noted: list[Any], mapped: bool) -> None:
        self.result, self.values = result, tuple(tuple(leaves) for _, _, leaves in noted)
        self.rest = (tuple((callback, structure) for callback, structure, _ in noted), mapped)


def _happen(rest: Any, children: tuple[Any, ...]) -> Any:
    """The result; its effects are acted on."""
    effects, mapped = rest
    result, values = children
    if mapped:
        emit(partial(_each, effects), values, {})
        return result
    for (callback, structure), given in zip(effects, values, strict=True):
        args, kwargs = tree.unflatten(structure, list(given))
        emit(callback, args, kwargs)
    return result


def _each(effects: Any, *values: Any) -> None:
    """The effects of every element or turn in order."""
    rows = [[v.numpy() if isinstance(v, Array) else v for v in given] for given in values]
    count = next((len(v) for given in rows for v in given if isinstance(v, np.ndarray)), 1)
    for turn in range(count):
        for (callback, structure), given in zip(effects, rows, strict=True):
            leaves = [_host(v[turn]) if isinstance(v, np.ndarray) else v for v in given]
            args, kwargs = tree.unflatten(structure, leaves)
            callback(*args, **kwargs)


tree.register_pytree_node(Effectful, lambda e: ((e.result, e.values), e.rest), _happen)


def _known(x: Any) -> Any:
    """A leaf whose value is there; an error where it is not."""
    if not isinstance(x, Array) or here.trace.kind == "main":
        return x
    return _host(x.numpy())


def _host(array: Any) -> Any:
    return Array(from_host(array)._peek())


def emit(callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call back now where the values are known; else note that the function being traced does."""
    leaves, structure = tree.flatten((args, kwargs))
    if here.trace.kind != "staged":
        try:
            leaves = [_known(x) for x in leaves]
        except errors.ConcretizationTypeError:
            pass
        else:
            given, named = tree.unflatten(structure, leaves)
            callback(*given, **named)
            return
    if not _pending.collected or _pending.collected[-1][0] is not here.trace:
        raise errors.ConcretizationTypeError(
            errors.text(
                "jax.debug: values are not known here while a function is being traced",
                [("where", here.trace.what or "a transformed function")],
                "print outside of lax.cond, lax.while_loop, checkpoint and custom rules, or use jax.disable_jit()",
            )
        )
    _pending.collected[-1][1].append((callback, structure, leaves))


def collecting(function: Callable[..., Any], mapped: bool = False, asked: bool = False) -> Callable[..., Any]:
    """The function, with what it hands to callbacks among its results. `asked`: only when it is called after
    `enter()`, not where it is called as a part of another function."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if asked and not _pending.entering:
            return function(*args, **kwargs)
        _pending.entering = False
        noted: list[Any] = []
        _pending.collected.append((here.trace, noted))
        try:
            result = function(*args, **kwargs)
        finally:
            _pending.collected.pop()
        return Effectful(result, noted, mapped) if noted else result

    return call


def enter() -> None:
    """Let the next call of a function that is `asked` collect its effects."""
    _pending.entering = True


def in_second(function: Callable[..., Any], mapped: bool) -> Callable[..., Any]:
    """A function of pairs, with its effects in the second of them."""

    def call(*args: Any, **kwargs: Any) -> Any:
        found = collecting(function, mapped)(*args, **kwargs)
        if type(found) is not Effectful or not isinstance(found.result, tuple) or len(found.result) != 2:
            return found.result if type(found) is Effectful else found
        first, found.result = found.result
        return first, found

    return call


def in_aux(function: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """The function with an auxiliary result, that holds its effects."""
    return in_second(function if has_aux else lambda *args, **kwargs: (function(*args, **kwargs), ()), False)
