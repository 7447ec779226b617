"""Functions that are called with a module: before and after its forward, on the way back, and with its state."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple, Self

from pullback.engine.tensor import TensorBase
from pullback.util import tree
from pullback.util.errors import ArgumentError, message

#: where a module, and where `EVERY_MODULE`, keeps the hooks that are called with a call
_CALLED = ("_pre_hooks", "_hooks", "_backward_pre_hooks", "_backward_hooks")
_NUMBERS = count()
#: hooks of all modules
EVERY_MODULE: dict[str, dict[int, Hook]] = {kind: {} for kind in _CALLED}


class Hook(NamedTuple):
    """A function, whether it takes the named arguments too, and whether it is called after an error as well."""

    call: Callable[..., Any]
    with_kwargs: bool = False
    always: bool = False

    def run(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *result: Any) -> Any:
        """Call the function with what it takes."""
        return self.call(module, args, kwargs, *result) if self.with_kwargs else self.call(module, args, *result)


class Handle:
    """Removes a hook again; also a context manager."""

    def __init__(self, owner: Any, kind: str, hook: Any, prepend: bool = False) -> None:
        self._owner = owner
        self._hooks: dict[int, Any] = (EVERY_MODULE if owner is None else owner.__dict__).setdefault(kind, {})
        others = dict(self._hooks) if prepend else {}
        if prepend:
            self._hooks.clear()
        self._number = next(_NUMBERS)  # not the handle's address: few keep their handles
        self._hooks[self._number] = hook
        self._hooks.update(others)
        self._mark()

    def _mark(self) -> None:
        """Say whether calls have hooks, where calls look: at the module, or at the class of all modules."""
        if self._owner is None:
            Hooked._hooked = any(EVERY_MODULE.values())  # pyright: ignore[reportPrivateUsage]
            return
        fields = self._owner.__dict__
        fields.pop("_hooked", None)
        if any(fields.get(kind) for kind in _CALLED):
            fields["_hooked"] = True

    def remove(self) -> None:
        """The hook is not called any more."""
        self._hooks.pop(self._number, None)
        self._mark()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Hooked:
    """The part of a module that knows of hooks."""

    _hooked: bool = False

    def _those(self, kind: str) -> list[Any]:
        """Hooks of all modules, then those of this one."""
        return [*EVERY_MODULE.get(kind, {}).values(), *self.__dict__.get(kind, {}).values()]

    # -- calls -------------------------------------------------------------------------------------------------------
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _call_hooked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        after = self._those("_hooks")
        try:
            return self._around_forward(args, kwargs, after)
        except BaseException:
            for hook in after:  # those that were called have left the list
                if hook.always:
                    hook.run(self, args, kwargs, None)
            raise

    def _around_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any], after: list[Hook]) -> Any:
        for hook in self._those("_pre_hooks"):
            changed = hook.run(self, args, kwargs)
            if hook.with_kwargs and changed is not None:
                args, kwargs = _both(changed)
            elif changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        seen, told = self._those("_backward_pre_hooks"), self._those("_backward_hooks")
        if not seen and not told:
            return self._after_forward(args, kwargs, self.forward(*args, **kwargs), after)
        gradients = Gradients(self, [h.call for h in seen], [h.call for h in told])
        args = gradients.at_arguments(args) if told else args
        result = self._after_forward(args, kwargs, self.forward(*args, **kwargs), after)
        gradients.at_results(result)
        return result

    def _after_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, after: list[Hook]) -> Any:
        while after:
            changed = after.pop(0).run(self, args, kwargs, result)
            result = result if changed is None else changed
        return result

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, prepend: bool = False,
                                  with_kwargs: bool = False) -> Handle:
        """Call `hook(module, args)` before forward; what it returns replaces the arguments. `with_kwargs`: it is
        `hook(module, args, kwargs)` and returns both. `prepend`: before the other hooks."""
        return Handle(self, "_pre_hooks", Hook(hook, with_kwargs), prepend)

    def register_forward_hook(self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False,
                              always_call: bool = False) -> Handle:
        """Call `hook(module, args, result)` after forward; what it returns replaces the result. `with_kwargs`: it is
        `hook(module, args, kwargs, result)`. `always_call`: after an error too, with None as the result."""
        return Handle(self, "_hooks", Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call `hook(module, gradients of the arguments, gradients of the results)` on the way back; what it returns
        replaces the gradient of the (last) argument. Arguments without a gradient have None."""
        return Handle(self, "_backward_hooks", Hook(hook), prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call `hook(module, gradients of the results)` on the way back; what it returns replaces them."""
        return Handle(self, "_backward_pre_hooks", Hook(hook), prepend)

    # -- state -------------------------------------------------------------------------------------------------------
    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict()` collects."""
        return Handle(self, "_state_dict_pre_hooks", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after; it may change the dict."""
        def changing(*args: Any) -> None:
            if hook(*args) is not None:
                raise ArgumentError(message("state_dict: a post hook must return None",
                                            help="change the dict that the hook is given"))

        return Handle(self, "_state_dict_hooks", changing)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> Handle:
        """`register_state_dict_post_hook` of a function that may return another dict."""
        return Handle(self, "_state_dict_hooks", hook)

    def _register_load_state_dict_pre_hook(self, hook: Callable[..., Any], with_module: bool = False) -> Handle:
        return Handle(self, "_load_pre_hooks", (lambda *args: hook(self, *args)) if with_module else hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`
        before this module takes its tensors from a state dict; it may change the dict."""
        return Handle(self, "_load_pre_hooks", lambda *args: hook(self, *args))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, incompatible_keys)` after a state dict was loaded; it may change the lists of keys."""
        return Handle(self, "_load_post_hooks", hook)


def _both(changed: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(changed, tuple) or len(changed) != 2:
        raise ArgumentError(message("a forward pre-hook with_kwargs must return None or (args, kwargs)",
                                    [("returned", f"{changed!r:.60}")]))
    return changed


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> Handle:
    """`register_forward_pre_hook` for all modules."""
    return Handle(None, "_pre_hooks", Hook(hook))


def register_module_forward_hook(hook: Callable[..., Any], *, with_kwargs: bool = False,
                                 always_call: bool = False) -> Handle:
    """`register_forward_hook` for all modules."""
    return Handle(None, "_hooks", Hook(hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> Handle:
    """`register_full_backward_pre_hook` for all modules."""
    return Handle(None, "_backward_pre_hooks", Hook(hook))


def register_module_full_backward_hook(hook: Callable[..., Any]) -> Handle:
    """`register_full_backward_hook` for all modules."""
    return Handle(None, "_backward_hooks", Hook(hook))


register_module_backward_hook = register_module_full_backward_hook


def _differentiable(x: Any) -> bool:
    return isinstance(x, TensorBase) and x.requires_grad


class Gradients:
    """One call of a module with hooks: gradients of its results, until those of its arguments have arrived."""

    def __init__(self, module: Any, before: list[Callable[..., Any]], after: list[Callable[..., Any]]) -> None:
        self.module, self.before, self.after = module, before, after
        self.outputs: list[Any] = []
        self.inputs: list[Any] = []
        self.missing = 0

    def at_arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments as values of their own, so that other uses of them do not count."""
        self.inputs = [None] * len(args)
        made = tuple(x * 1 if _differentiable(x) else x for x in args)
        for k, x in enumerate(made):
            if _differentiable(x):
                self.missing += 1
                x.register_hook(lambda gradient, k=k: self._arrived(k, gradient))
        return made

    def at_results(self, result: Any) -> None:
        """Look at the gradients of the results."""
        leaves, _ = tree.flatten(result)
        found: list[Any] = [x for x in leaves if isinstance(x, TensorBase)]
        self.outputs = [None] * len(found)
        for k, x in enumerate(found):
            if _differentiable(x):
                x.register_hook(lambda gradient, k=k: self._left(k, gradient))

    def _left(self, k: int, gradient: Any) -> Any:
        """The gradient of result k."""
        self.outputs[k] = gradient
        for hook in self.before:
            changed = hook(self.module, tuple(self.outputs))
            if changed is not None:
                self.outputs = list(changed if isinstance(changed, tuple) else (changed,))
        if not self.missing:  # no argument has a gradient to wait for
            for hook in self.after:
                hook(self.module, tuple(self.inputs), tuple(self.outputs))
        return self.outputs[k]

    def _arrived(self, k: int, gradient: Any) -> Any:
        """The gradient of argument k; with the last of them the hooks are called."""
        self.inputs[k] = gradient
        self.missing -= 1
        if self.missing:
            return None
        for hook in self.after:
            changed = hook(self.module, tuple(self.inputs), tuple(self.outputs))
            if changed is not None:
                self.inputs = list(changed if isinstance(changed, tuple) else (changed,))
        return self.inputs[k]


__all__ = ["Gradients", "Handle", "Hooked", "register_module_backward_hook", "register_module_forward_hook",
           "register_module_forward_pre_hook", "register_module_full_backward_hook",
           "register_module_full_backward_pre_hook"]
