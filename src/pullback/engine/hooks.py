"""Gradients at values in the middle of a history: hooks on tensors that are computed from others, gradients asked for
with respect to them.

A reverse sweep passes such a value in two parts: up to it, and, when everything has arrived there, on from what the
hooks made of it. Equal nodes of a trace are one value here, whichever of its slots a tensor has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from pullback.engine.tensor import TensorBase
from pullback.engine.trace import Trace, Value, record
from pullback.ir.node import Node
from pullback.util.errors import GradientError, message

Hook = Callable[[Any], Any]


def hooks_of(tensor: TensorBase, last: bool = False) -> list[Hook]:
    """A list of functions to call with the gradient of a tensor that is computed from others; `last`: after all others.

    The list is empty, to be added to.
    """
    value = tensor._use()  # pyright: ignore[reportPrivateUsage]
    trace = value.trace
    if trace is None or trace.kind != "main" or trace.what:
        raise GradientError(message(
            "register_hook: no gradient will pass here", [("x", repr(value.info.type))],
            "register it before backward(), and outside functions that are transformed or jitted"))
    if trace.hooks is None:
        trace.hooks = {}
    found = trace.hooks.setdefault(first_slot(trace, value.slot), [])
    hooks: list[Hook] = []
    found.insert(len(found) if last else sum(not entry[2] for entry in found), (value, hooks, last))
    return hooks


class AfterHook:
    """Stands among the hooks of a leaf, leaves gradients as they are, and runs when all have been added up."""

    __slots__ = ("function", "tensor")

    def __init__(self, tensor: TensorBase, function: Hook) -> None:
        self.tensor, self.function = ref(tensor), function

    def __call__(self, gradient: Any) -> None:
        return None

    def run(self) -> None:
        """Call the function, while the tensor lives."""
        tensor = self.tensor()
        if tensor is not None:
            self.function(tensor)


class _Removal:
    """Takes a hook back."""

    __slots__ = ("hook", "hooks")

    def __init__(self, hooks: list[Any], hook: AfterHook) -> None:
        self.hooks, self.hook = hooks, hook

    def remove(self) -> None:
        """The hook is called no more."""
        if self.hook in self.hooks:
            self.hooks.remove(self.hook)


def after_accumulation(tensor: TensorBase, function: Hook) -> _Removal:
    """Call a function of a leaf tensor each time a reverse sweep has added to its `.grad`."""
    meta = tensor._meta  # pyright: ignore[reportPrivateUsage]
    if meta is None or not meta.requires_grad:
        raise GradientError(message("register_post_accumulate_grad_hook: only leaves that require gradients have one",
                                    [("x", repr(tensor.info.type))], "register it on a parameter"))
    hook = AfterHook(tensor, function)
    meta.hooks.append(hook)
    return _Removal(meta.hooks, hook)


def first_slot(trace: Trace, slot: int) -> int:
    """The first of the slots that hold the same node."""
    nodes = trace.graph()
    return nodes.index(nodes[slot])


_conjugation: list[Any] = []


def ascent(cotangent: Value) -> Value:
    """A cotangent as what `backward()` gives: of complex numbers the conjugate, the direction in which the result grows
    fastest. (Transposition, and so `grad`, pairs numbers without conjugating.) Its own inverse."""
    if cotangent.info.type.dtype.kind != "c":
        return cotangent
    if not _conjugation:
        from pullback.engine.operation import Operation
        from pullback.ops import build

        def conjugate(x: Node) -> Node:
            return build.unary("conj", x)

        _conjugation.append(Operation(conjugate, "none", True, False, "conj"))
    return record(_conjugation[0], [cotangent])[0]


def ascent_of(gradient: Any) -> Any:
    """`ascent` of a tensor; anything else, as None, is as it was."""
    if not isinstance(gradient, TensorBase) or gradient.info.type.dtype.kind != "c":
        return gradient
    return gradient.result_class(ascent(gradient._use()))  # pyright: ignore[reportPrivateUsage]


def apply_hooks(trace: Trace, slot: int, cotangent: Value) -> Value:
    """What the hooks at a slot make of its gradient."""
    for _, hooks, _ in (trace.hooks or {}).get(slot, ()):
        cotangent = ascent(call_hooks(hooks, ascent(cotangent)))
    return cotangent


def call_hooks(hooks: list[Hook], cotangent: Value) -> Value:
    """What functions make of a gradient, one after another."""
    for hook in tuple(hooks):
        changed = hook(TensorBase.default_class(cotangent))
        if changed is not None:
            cotangent = fitting(changed, cotangent)
    return cotangent


def fitting(changed: Any, cotangent: Value) -> Value:
    """What a hook returned in place of a gradient, checked."""
    value = changed._peek() if isinstance(changed, TensorBase) else None  # pyright: ignore[reportPrivateUsage]
    if value is None or value.info.type is not cotangent.info.type:
        raise GradientError(message(
            "a hook must return None, or a gradient of the same shape and dtype",
            [("gradient", repr(cotangent.info.type)),
             ("returned", repr(value.info.type) if value is not None else f"{type(changed).__name__} {changed!r:.60}")],
            "return None to leave the gradient as it is"))
    return value
