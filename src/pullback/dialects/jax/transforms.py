"""JAX's transformations of functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from pullback.api.loops import ShapeDtype
from pullback.api.loops import eval_shape as _eval_shape
from pullback.dialects.jax import effects, errors
from pullback.dialects.jax.array import Array, asarray, canonical, host_array, lift
from pullback.dialects.jax.config import Compiled
from pullback.engine import functional, rules
from pullback.engine.jit import LEAVES_FROM
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import SCALARS, local
from pullback.util import tree
from pullback.util.errors import ArgumentError, DTypeError, ValueError_, message

Function = Callable[..., Any]


def _leaf(x: Any) -> Any:
    """An argument's leaf as an Array; tensors of other dialects, and what is no array, stay as they are."""
    if isinstance(x, TensorBase):
        return x
    return asarray(x) if type(x) in SCALARS or isinstance(x, (np.ndarray, np.generic)) else x


def _variable(x: Any) -> Any:
    """A leaf of an argument that is differentiated."""
    found = x if isinstance(x, TensorBase) else _leaf(x)
    if not isinstance(found, TensorBase) or not found.info.type.dtype.is_inexact:
        given = repr(found.info.type) if isinstance(found, TensorBase) else f"{type(x).__name__} {x!r:.60}"
        raise DTypeError(
            message(
                "grad requires real- or complex-valued inputs (input dtype that is a sub-dtype of np.inexact)",
                [("argument", given)],
                "convert it: x.astype(jnp.float32), or say with argnums what to differentiate",
            )
        )
    return found


def arrays(x: Any) -> Any:
    """A pytree whose numbers and NumPy arrays are Arrays."""
    leaves, structure = tree.flatten(x)
    return (
        x if all(isinstance(v, TensorBase) for v in leaves) else tree.unflatten(structure, [_leaf(v) for v in leaves])
    )


def _check_argnums(argnums: Any) -> None:
    for n in argnums if isinstance(argnums, (tuple, list)) else (argnums,):
        if not isinstance(n, int):
            raise ArgumentError(
                message(
                    "argnums are the positions of arguments", [("argnums", repr(argnums))], "for example argnums=(0, 1)"
                )
            )


def valid_arrays(x: Any, name: str) -> Any:
    """A pytree as Arrays only."""
    found = arrays(x)
    for leaf in tree.leaves(found):
        if not isinstance(leaf, TensorBase):
            raise ArgumentError(
                message(f"{name}: not a valid JAX type", [("argument", f"{type(leaf).__name__} {leaf!r:.60}")])
            )
    return found


def check_function(fun: Any, name: str) -> None:
    if not callable(fun):
        raise ArgumentError(
            message(
                f"{name}: expected a function",
                [("given", f"{type(fun).__name__} {fun!r:.60}")],
                f"jax.{name}(f)(x), not jax.{name}(f(x))",
            )
        )


def _both(fun: Function, argnums: int | Sequence[int], has_aux: bool) -> Function:
    """Value and gradients. Inside of another transform, what the function prints is one of its results."""
    plain = functional.both_of(fun, argnums, has_aux, _variable, Array)
    inner = functional.both_of(effects.in_aux(fun, has_aux), argnums, True, _variable, Array)

    def both(*args: Any, **kwargs: Any) -> Any:
        if local.trace.kind == "main":
            return plain(*args, **kwargs)
        (value, aux), gradients = inner(*args, **kwargs)
        return ((value, aux) if has_aux else value), gradients

    return both


def value_and_grad(
    fun: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Function:
    """A function that returns `(value, gradients)`."""
    check_function(fun, "value_and_grad")
    _check_argnums(argnums)
    return wraps(fun)(_both(fun, argnums, has_aux))


def grad(
    fun: Function,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Function:
    """A function that returns the gradient."""
    check_function(fun, "grad")
    _check_argnums(argnums)
    return wraps(fun)(functional.gradient_of(_both(fun, argnums, has_aux), has_aux))


def _returning_arrays(function: Function, what: str) -> Function:
    """The function with its results as Arrays."""
    name = getattr(function, "__name__", type(function).__name__)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten(function(*args, **kwargs))
        found = [_leaf(x) for x in leaves]
        for x in found:
            if not isinstance(x, TensorBase):
                raise ArgumentError(
                    message(
                        f"{name} traced for {what} returned a value of type {type(x).__name__}, which is not a valid "
                        "JAX type",
                        [("returned", f"{x!r:.60}")],
                        "return arrays, numbers, and containers of them",
                    )
                )
        return tree.unflatten(structure, found)

    return call


def _check_static(function: Function, numbers: tuple[Any, ...], names: tuple[Any, ...]) -> None:
    """Refuse static arguments that the function does not have."""
    for n in numbers:
        if not isinstance(n, int):
            raise ArgumentError(
                message("jit: static_argnums are whole numbers", [("given", repr(n))], "static_argnames takes names")
            )
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return
    positional = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if not variadic and any(not -positional <= n < positional for n in numbers):
        raise ValueError_(
            message(
                f"Jitted function has static_argnums={numbers}, but only accepts {positional} positional arguments.",
                help="positions are counted from 0",
            )
        )
    known = {p.name for p in parameters}
    absent = [n for n in names if n not in known]
    if absent and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ValueError_(
            message(
                f"Jitted function has invalid argnames {absent} in static_argnames. Function does not take these args.",
                [("arguments", ", ".join(known))],
            )
        )


def _both_ways(function: Function, numbers: Any, names: Any) -> tuple[Any, Any]:
    """Static or donated arguments that were given by position alone, or by name alone, as both."""
    if (numbers is None) == (names is None):
        return numbers, names
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return numbers, names
    movable = [p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters]
    if names is None:
        places = (numbers,) if isinstance(numbers, int) else tuple(numbers)
        size = len(parameters)
        there = [k % size for k in places if isinstance(k, int) and -size <= k < size]
        return numbers, tuple(parameters[k].name for k in there if movable[k])
    given = (names,) if isinstance(names, str) else tuple(names)
    return tuple(k for k, p in enumerate(parameters) if movable[k] and p.name in given), names


#: what was compiled for functions that are alive, by what is static
_compiled: WeakKeyDictionary[Any, dict[Any, dict[Any, Any]]] = WeakKeyDictionary()


def forget() -> None:
    """Forget what was compiled for functions: those jitted from now on are traced again."""
    _compiled.clear()


class Interpreted:
    """Stands for a compiled signature of a function that calls Python: each call runs it as it is written."""

    requires_grad = True  # it is not called again without being looked up

    def __init__(self, function: Function, structure: Any) -> None:
        self.function, self.structure = function, structure

    def call(self, leaves: list[Any]) -> Any:
        """Run on actual arguments."""
        args, kwargs = tree.unflatten(self.structure, leaves)
        return self.function(*arrays(args), **arrays(kwargs))


class JaxJitted(Compiled):
    """A compiled function: NumPy's 64-bit numbers are cut to 32 bits on the way in."""

    array_class = Array

    def __init__(self, function: Function, static_argnums: Any, static_argnames: Any, donate_argnums: Any = None,
                 donate_argnames: Any = None) -> None:
        check_function(function, "jit")
        super().__init__(function, *_both_ways(function, static_argnums, static_argnames),
                         *_both_ways(function, donate_argnums, donate_argnames))
        if self.static_numbers or self.static_names:
            _check_static(function, self.static_numbers, self.static_names)
        self.written = function
        self.function = effects.collecting(_returning_arrays(function, "jit"), asked=True)
        try:  # jit(f) again finds what was compiled for f
            known = _compiled.setdefault(function, {})
        except TypeError:  # it cannot be referred to weakly
            return
        named = (self.static_numbers, self.static_names, self.donated_numbers, self.donated_names)
        self.entries = known.setdefault(named, self.entries)

    def signature(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any, dict[int, Any], Any]:
        leaves, structure, static, key = super().signature(args, kwargs)
        entries = list(key)
        for k, x in enumerate(leaves):
            if k in static or not isinstance(x, (np.ndarray, np.generic)) or canonical(x.dtype) == x.dtype:
                continue
            leaves[k] = host_array(x)
            entries[LEAVES_FROM + k] = leaves[k].info
        return leaves, structure, static, tuple(entries)

    def trace(self, leaves: list[Any], structure: Any, static: dict[int, Any], key: Any) -> Any:
        effects.enter()
        try:
            return super().trace(leaves, structure, static, key)
        except errors.LeavesProgram:
            found: Any = Interpreted(_returning_arrays(self.written, "jit"), structure)
            self.entries[key] = found
            return found

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """The program for arguments of these types, before it is compiled."""
        from pullback.dialects.jax.stages import Lowered  # needed by few

        return Lowered(self, args, kwargs)

    def constant(self, leaf: Any) -> Any:
        raise ArgumentError(
            message(
                f"jit of {self.__name__}: cannot interpret an argument as an array",
                [("argument", f"{type(leaf).__name__} {leaf!r:.60}")],
                "name it in static_argnums or static_argnames, or bind it with a lambda",
            )
        )

    def clear_cache(self) -> None:
        """Forget what was compiled."""
        self.entries.clear()
        self.last = None

    def _cache_size(self) -> int:
        """How many signatures were compiled."""
        return len(self.entries)

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes and dtypes of the result."""
        return eval_shape(self.function, *args, **kwargs)


def jit(
    fun: Function | None = None,
    *,
    static_argnums: Any = None,
    static_argnames: Any = None,
    donate_argnums: Any = None,
    donate_argnames: Any = None,
    inline: bool = False,
    **options: Any,
) -> Any:
    """Compile a function: once for each structure, shapes and dtypes of its arguments."""
    named = (static_argnums, static_argnames, donate_argnums, donate_argnames)
    unknown = [k for k in options if k not in ("device", "backend", "in_shardings", "out_shardings", "keep_unused")]
    if unknown:
        raise ArgumentError(message("jit: no such option", [("option", unknown[0])], "static_argnums, static_argnames"))
    if fun is None:
        return lambda f: JaxJitted(f, *named)
    return JaxJitted(fun, *named)


def vmap(
    fun: Function,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
) -> Function:
    """The function applied along an axis of its arguments; `axis_name` is what `lax.psum` and its like know it by."""
    check_function(fun, "vmap")
    mapped = effects.collecting(fun, True) if isinstance(out_axes, int) else fun

    @wraps(fun)
    def vmapped(*args: Any, **kwargs: Any) -> Any:
        given = tuple(arrays(a) for a in args)
        axes = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(given)
        axes = (
            tuple(None if a is not None and not tree.leaves(x) else a for a, x in zip(axes, given, strict=False))
            if len(axes) == len(given)
            else tuple(axes)
        )
        if not kwargs:
            return lift(functional.vmap(mapped, axes, out_axes, axis_name, axis_size)(*given))
        names = tuple(kwargs)
        values = tuple(arrays(v) for v in kwargs.values())
        positional = functional.vmap(
            lambda *xs: mapped(*xs[: len(given)], **dict(zip(names, xs[len(given) :], strict=True))),
            (*axes, *(0,) * len(names)),
            out_axes,
            axis_name,
            axis_size,
        )
        return lift(positional(*given, *values))

    return vmapped


def _jacobian(name: str, native: Callable[..., Function]) -> Callable[..., Function]:
    def transform(
        fun: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
    ) -> Function:
        check_function(fun, name)
        _check_argnums(argnums)
        if has_aux:
            raise ArgumentError(
                message(f"{name}: has_aux is not supported", help="compute the auxiliary results apart")
            )
        inner = native(fun, argnums)
        return wraps(fun)(lambda *args, **kwargs: inner(*[arrays(a) for a in args], **kwargs))

    transform.__name__, transform.__doc__ = name, native.__doc__
    return transform


jacfwd, jacrev, hessian = (
    _jacobian(n, f)
    for n, f in (("jacfwd", functional.jacfwd), ("jacrev", functional.jacrev), ("hessian", functional.hessian))
)
jacobian = jacrev


def jvp(fun: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Value and directional derivative."""
    check_function(fun, "jvp")
    if not isinstance(primals, (list, tuple)) or not isinstance(tangents, (list, tuple)):
        raise ArgumentError(
            message(
                "primal and tangent arguments to jax.jvp must be tuples or lists",
                [("primals", type(primals).__name__), ("tangents", type(tangents).__name__)],
                "jax.jvp(f, (x,), (dx,))",
            )
        )
    for p in tree.leaves((primals, tangents)):
        if not isinstance(_leaf(p), TensorBase) or not _leaf(p).info.type.dtype.is_inexact:
            raise DTypeError(
                message(
                    "primal and tangent arguments to jax.jvp must be floating or complex numbers",
                    [("argument", f"{type(p).__name__} {p!r:.60}")],
                    "bind other arguments with a lambda",
                )
            )
    return lift(functional.jvp(fun, arrays(tuple(primals)), arrays(tuple(tangents))))


def vjp(fun: Function, *primals: Any, has_aux: bool = False) -> Any:
    """Value, and the function that maps cotangents of it to cotangents of the primals."""
    check_function(fun, "vjp")
    found = functional.vjp(fun, *[arrays(p) for p in primals], has_aux=has_aux)
    pull = found[1]
    return (found[0], lambda cotangents: pull(arrays(cotangents)), *found[2:])


def linearize(fun: Function, *primals: Any) -> tuple[Any, Function]:
    """Value, and the function that maps tangents of the primals to a tangent of it."""
    check_function(fun, "linearize")
    return fun(*[arrays(p) for p in primals]), lambda *tangents: jvp(fun, primals, tangents)[1]


def _by_position(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments of a call in order, defaults included."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return args
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise ArgumentError(
            message("custom rules: arguments that are keyword-only have no position", [("names", ", ".join(kwargs))])
        )
    return bound.args


def _places(function: Function, numbers: Sequence[int], names: Sequence[str]) -> tuple[int, ...]:
    """The positions of arguments that are not differentiated."""
    if not names:
        return tuple(numbers)
    return (*numbers, *(k for k, n in enumerate(inspect.signature(function).parameters) if n in names))


class custom_vjp(rules.custom_vjp):
    """A function with its own reverse rule: `f.defvjp(fwd, bwd)`."""

    def __init__(
        self, fun: Function, nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()
    ) -> None:
        super().__init__(fun, _places(fun, nondiff_argnums, nondiff_argnames))

    def defvjp(self, fwd: Function, bwd: Function, symbolic_zeros: bool = False, optimize_remat: bool = False) -> None:
        """Give the forward rule and the reverse rule."""
        super().defvjp(fwd, bwd)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = _by_position(self.function, args, kwargs)
        given = [a if k in self.nondiff else arrays(a) for k, a in enumerate(args)]
        if local.trace.kind == "main" and self.fwd is not None:  # nobody takes a derivative of what is computed here
            return arrays(self.function(*given))
        return super().__call__(*given)


class custom_jvp(rules.custom_jvp):
    """A function with its own forward rule: `f.defjvp(rule)`."""

    def __init__(
        self, fun: Function, nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()
    ) -> None:
        super().__init__(fun, _places(fun, nondiff_argnums, nondiff_argnames))

    def defjvp(self, rule: Function, symbolic_zeros: bool = False) -> Any:
        """Give the forward rule."""
        super().defjvp(rule)
        return rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = _by_position(self.function, args, kwargs)
        given = [a if k in self.nondiff else arrays(a) for k, a in enumerate(args)]
        if local.trace.kind == "main" and self.rule is not None:  # nobody takes a derivative of what is computed here
            return arrays(self.function(*given))
        return super().__call__(*given)

    def defjvps(self, *rules: Function | None) -> None:
        """One rule `(tangent, answer, *primals) -> tangent` for each argument (None: no derivative)."""

        def rule(primals: Any, tangents: Any) -> Any:
            answer = self(*primals)
            parts = [r(t, answer, *primals) for r, t in zip(rules, tangents, strict=True) if r is not None]
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            return answer, total

        self.defjvp(rule)


def checkpoint(fun: Function, **_: Any) -> Function:
    """The same function; intermediate results are computed again in the backward pass."""
    return rules.checkpoint(fun)


def eval_shape(fun: Function, *args: Any, **kwargs: Any) -> Any:
    """Shapes and dtypes of the result, without computing it."""
    check_function(fun, "eval_shape")
    found = _eval_shape(fun, *arrays(args), array_class=Array, **arrays(kwargs))
    return tree.map(lambda x: ShapeDtypeStruct(x.shape, x.dtype), found)


class ShapeDtypeStruct(ShapeDtype):
    """Shape and dtype of an array that need not exist."""

    def __init__(self, shape: Any, dtype: Any, *, sharding: Any = None, weak_type: bool = False, **_: Any) -> None:
        super().__init__(tuple(shape), canonical(dtype))
        self.sharding, self.weak_type = sharding, weak_type

    @classmethod
    def like(cls, x: Any) -> ShapeDtypeStruct:
        """The shape and dtype of an array."""
        found = asarray(x)
        return cls(found.shape, found.dtype, weak_type=found.weak_type)


def block_until_ready(x: Any) -> Any:
    """Wait until all arrays of a pytree are computed."""
    return tree.map(lambda v: v.block_until_ready() if isinstance(v, Array) else v, x)
