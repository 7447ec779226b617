"""JAX's errors, as subclasses of the library's own."""

from __future__ import annotations

from pullback.util.errors import ArgumentError, ConcretizationError, TracerLeakError, message

HELP = "use jnp.where, lax.cond or lax.while_loop, mark the argument static, or move the decision outside"


class JAXTypeError(TypeError):
    """Base of errors about types."""


class ConcretizationTypeError(ConcretizationError, JAXTypeError):
    """A value was asked for while a function was being traced."""


class TracerBoolConversionError(ConcretizationTypeError):
    """A traced array was used as a truth value, for example in `if x > 0:` under `jit`."""


class TracerArrayConversionError(ConcretizationTypeError):
    """A traced array was converted to a NumPy array."""


class TracerIntegerConversionError(ConcretizationTypeError):
    """A traced array was used as a Python integer, for example as a list's index."""


class NonConcreteBooleanIndexError(ConcretizationTypeError, IndexError):
    """A traced array of bools was used as an index: the size of the result is not known."""


class LeavesProgram(ConcretizationTypeError):
    """A traced function calls Python with values."""


UnexpectedTracerError = TracerLeakError


class KeyReuseError(ArgumentError):
    """A random key was used a second time."""


class JaxRuntimeError(RuntimeError):
    """An error of a compiled program."""


def text(what: str, got: list[tuple[str, str]], cure: str = HELP) -> str:
    return message(what, got, cure)


__all__ = [
    "ConcretizationTypeError",
    "JAXTypeError",
    "JaxRuntimeError",
    "KeyReuseError",
    "NonConcreteBooleanIndexError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
]
