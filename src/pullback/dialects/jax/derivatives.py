"""Rules of derivatives in other forms, transposes, and calls that leave the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from functools import wraps
from typing import Any

import numpy as np

from pullback.api import implicit
from pullback.api.loops import ShapeDtype, trace_shapes
from pullback.dialects.jax import array as border
from pullback.dialects.jax import errors, transforms
from pullback.dialects.jax import numpy as jnp
from pullback.engine import functional
from pullback.engine.trace import local as here
from pullback.passes.inline import inline
from pullback.passes.simplify import simplify
from pullback.util import tree
from pullback.util.errors import ArgumentError, ShapeError, UnsupportedError, message


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns its value and the function of the cotangent that gives those of its arguments."""
    transforms.check_function(fun, "custom_gradient")
    wrapped = transforms.custom_vjp(lambda *args: fun(*args)[0])

    def forward(*args: Any) -> Any:
        return fun(*args)[0], args

    def backward(args: Any, cotangent: Any) -> Any:
        found = fun(*args)[1](cotangent)
        return found if isinstance(found, tuple) else (found,)

    wrapped.defvjp(forward, backward)
    return wraps(fun)(lambda *args: wrapped(*args))


def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Callable[..., Any], list[Any]]:
    """The function of its arguments and of the arrays it closes over, and these arrays."""
    transforms.check_function(fun, "closure_convert")
    converted, kept = implicit.closed_over(fun, transforms.arrays(example_args))
    return lambda *args: converted(*transforms.arrays(args)), [border.lift(x) for x in kept]


def custom_root(
    f: Callable[..., Any],
    initial_guess: Any,
    solve: Callable[..., Any],
    tangent_solve: Callable[..., Any],
    has_aux: bool = False,
) -> Any:
    """`solve(f, initial_guess)`, a root of f, differentiated by the implicit function theorem."""
    guess = transforms.valid_arrays(initial_guess, "custom_root")
    return border.lift(implicit.custom_root(f, guess, solve, tangent_solve, has_aux))


def custom_linear_solve(
    matvec: Callable[..., Any],
    b: Any,
    solve: Callable[..., Any],
    transpose_solve: Callable[..., Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """`solve(matvec, b)`, differentiated by solving again."""
    given = transforms.valid_arrays(b, "custom_linear_solve")
    return border.lift(implicit.custom_linear_solve(matvec, given, solve, transpose_solve, symmetric, has_aux))


def linear_transpose(fun: Callable[..., Any], *primals: Any, reduce_axes: Any = ()) -> Callable[..., Any]:
    """The transpose of a function that is linear in its arguments, whose values do not matter."""
    transforms.check_function(fun, "linear_transpose")
    given = tree.map(lambda x: x if isinstance(x, ShapeDtype) else border.asarray(x), primals)
    zeros = tree.map(lambda x: jnp.zeros(x.shape, x.dtype), given)
    _check_linear(fun, zeros)

    def transposed(cotangent: Any) -> Any:
        return transforms.vjp(fun, *zeros)[1](cotangent)

    return transposed


def _check_linear(fun: Callable[..., Any], zeros: tuple[Any, ...]) -> None:
    """Refuse a function whose derivative depends on where it is taken."""
    traced = trace_shapes(
        "linear_transpose", lambda x, t: functional.jvp(fun, x, t)[1], (zeros, zeros), {}, border.Array
    )
    function = simplify(inline(traced.function))
    count = len(tree.leaves(zeros))
    places = {id(p): k for k, p in enumerate(function.params)}
    stack, seen = list(function.results), set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if places.get(id(node), count) < count:
            raise UnsupportedError(
                message(
                    "linear_transpose: the function is not linear in its arguments",
                    [("function", getattr(fun, "__name__", repr(fun)))],
                    "jax.vjp transposes its derivative at a point",
                )
            )
        stack.extend(node.inputs)


def pure_callback(callback: Callable[..., Any], result_shape_dtypes: Any, *args: Any, **kwargs: Any) -> Any:
    """What a function of NumPy arrays returns, checked against the shapes and dtypes that were promised."""
    if here.trace.kind == "staged":
        raise errors.LeavesProgram(
            errors.text(
                "pure_callback: a compiled program cannot call Python",
                [("where", here.trace.what or "a transformed function")],
                "call it outside of the transformed function, or write it with jax.numpy; jax.jit alone may stay",
            )
        )
    given = tree.map(_on_host, transforms.arrays((args, {k: v for k, v in kwargs.items() if k not in _OPTIONS})))
    found = callback(*given[0], **given[1])
    wanted, structure = tree.flatten(result_shape_dtypes)
    leaves, other = tree.flatten(found)
    if structure != other:
        raise ArgumentError(
            message("pure_callback: the function returned another structure than was promised",
                    [("promised", str(structure)), ("returned", str(other))])
        )
    return tree.unflatten(structure, [_checked(x, w) for x, w in zip(leaves, wanted, strict=True)])


def io_callback(callback: Callable[..., Any], result_shape_dtypes: Any, *args: Any, **kwargs: Any) -> Any:
    """What a function of NumPy arrays with effects returns, checked against what was promised."""
    return pure_callback(callback, result_shape_dtypes, *args, **kwargs)


@contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """Compute at once what does not depend on arguments, although a function is being traced."""
    inner = outer = here.trace
    while outer.outer is not None:
        outer = outer.outer
    here.trace = outer
    try:
        yield
    finally:
        if inner is not outer:
            inner.move(outer, here.trace)  # what was recorded outside may have been launched meanwhile
            here.trace = inner


_OPTIONS = ("sharding", "vmap_method", "vectorized", "ordered")


def _on_host(x: Any) -> Any:
    try:
        return x.numpy() if isinstance(x, border.Array) else x
    except errors.ConcretizationTypeError:
        raise errors.ConcretizationTypeError(
            errors.text(
                "pure_callback: a compiled program cannot call Python",
                [("value", repr(x))],
                "call it outside of the compiled or transformed function, or write it with jax.numpy",
            )
        ) from None


def _checked(x: Any, wanted: Any) -> Any:
    array = np.asarray(x)
    if array.shape != tuple(wanted.shape):
        raise ShapeError(
            message(
                f"Mismatched result shape for callback: expected {tuple(wanted.shape)}, got {array.shape}",
                help="the second argument says what the function returns",
            )
        )
    return border.asarray(array, wanted.dtype)


class named_scope(ContextDecorator):
    """A name for what is recorded inside, for readers of the program."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise ArgumentError(message("named_scope name argument must be a string", [("name", repr(name))]))
        self.name = name

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *_: object) -> None:
        """Nothing to do."""


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """The function itself, under a name."""
    transforms.check_function(fun, "named_call")
    return fun


def checkpoint_name(x: Any, name: str) -> Any:
    """x, with a name for policies of `checkpoint`."""
    return x


@contextmanager
def _without_effect(*_: Any) -> Iterator[None]:
    yield


default_matmul_precision = default_device = transfer_guard = log_compiles = _without_effect


def clear_caches() -> None:
    """Forget what was traced for jitted functions; functions jitted before keep theirs."""
    transforms.forget()


def typeof(x: Any) -> Any:
    """Shape and dtype of an array, which print as `float32[3]`."""
    return border.array_of(x, "typeof").aval


def effects_barrier() -> None:
    """Wait for effects: here they are there when their program is done."""
