"""Every error of the library: one class per kind, one form for all messages.

A message says what was wrong, what was given, and what to do:

    matmul: contracted dimensions must have equal sizes
      got   x  float32[3, 4]   dimension 1 is 4
            w  float32[5, 6]   dimension 0 is 5
      help  did you mean w.T?
"""

from __future__ import annotations

import os


class PullbackError(Exception):
    """Base of all errors of this library."""


class ShapeError(PullbackError, ValueError, TypeError, RuntimeError):
    """Shapes do not fit, for example `pb.ones((2, 3)) + pb.ones((4,))`.

    NumPy calls that a ValueError, JAX a TypeError, PyTorch a RuntimeError: it is each of them.
    """


class ValueError_(PullbackError, ValueError, RuntimeError):
    """An argument has a value that is not allowed, for example `pb.randint(5, 5, (2,))`. PyTorch calls many
    RuntimeErrors."""


class LinAlgError(ValueError_):
    """A matrix has no decomposition or solution of this kind, for example `pb.linalg.inv(pb.zeros((2, 2)))`."""


class DTypeError(PullbackError, TypeError, NotImplementedError):
    """A dtype does not fit, for example `pb.bitwise_and(pb.ones(3), 1)`. A TypeError in NumPy and JAX; PyTorch says
    that it is not implemented, or a RuntimeError, which that is."""


class ArgumentError(PullbackError, TypeError):
    """An argument has a type that is not allowed, for example `pb.sin("a")`."""


class NotOneNumberError(ArgumentError, ValueError, RuntimeError):
    """A tensor of several elements was used as a number, for example `float(pb.ones(2))`."""


class NotNumbersError(ArgumentError, ValueError, RuntimeError):
    """A tensor was to be made of something that is no number, for example `pb.tensor("a")`."""


class AxisError(PullbackError, ValueError, IndexError, RuntimeError):
    """An axis is out of range, for example `pb.ones((2, 3)).sum(axis=2)`, or given twice, which PyTorch calls a
    RuntimeError."""


class AxisNameError(PullbackError, NameError):
    """No axis of this name is being mapped over, for example `pb.axis_index("batch")` outside of `pb.vmap`."""


class IndexError_(PullbackError, IndexError, RuntimeError):
    """An index is out of range, for example `pb.arange(3)[5]`. PyTorch's functions say so with a RuntimeError."""


class NotAnIndexError(IndexError_, TypeError, ValueError):
    """Something that cannot be an index, for example `pb.ones(3)["a"]`: NumPy calls it an IndexError (or, of a slice, a
    ValueError), JAX a TypeError."""


class GradientError(PullbackError, RuntimeError):
    """A gradient was asked for where there is none, for example `pb.ones(3).backward()`."""


class NotLeafError(GradientError, ValueError):
    """A tensor that is computed from others was to be optimised."""


class ScalarOutputError(GradientError, TypeError):
    """A gradient was asked for of a function that does not return one number, for example
    `pb.grad(pb.sin)(pb.ones(3))`. JAX calls that a TypeError."""


class UnsupportedError(ValueError_, NotImplementedError):
    """Something that another framework has and this library does not."""


class NoDerivativeError(GradientError, ValueError):
    """An operation has no derivative in this direction, for example a `while_loop` in reverse."""


class NoInverseError(PullbackError, NotImplementedError):
    """A parametrised weight cannot be assigned: what it is computed by has no `right_inverse`."""


class RuleError(GradientError, TypeError, AttributeError):
    """A function's own rule for its derivative is missing, or does not fit."""


class StructureError(ArgumentError, ValueError):
    """Arguments do not fit one another, for example `pb.vmap(f, in_axes=(0,))` of two arguments."""


class ConcretizationError(PullbackError, TypeError):
    """A value was asked for while a function was being traced, for example `if x > 0:` under `pb.jit`."""


class TracerLeakError(PullbackError, RuntimeError, TypeError):
    """A traced value was used after its trace had ended."""


class DeletedError(PullbackError, RuntimeError):
    """A tensor whose memory was given up was used."""


class TreeError(PullbackError, ValueError, TypeError):
    """Two pytrees differ in structure, for example `pb.tree.map(f, [1], (1,))`."""


class LengthsError(ShapeError, AssertionError):
    """Tensors of one data set differ in length."""


class KeyError_(PullbackError, KeyError):
    """A name is missing, for example a parameter in a state dict."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class UninitializedError(PullbackError, RuntimeError, ValueError):
    """A parameter was used whose shape is not known yet, for example `pb.nn.LazyLinear(3).weight.shape`."""


class StateError(KeyError_, RuntimeError, ValueError):
    """A state dict does not fit a module, in a dialect that says so with a RuntimeError."""


class AttributeError_(PullbackError, AttributeError):
    """A name is not part of the public interface; the message names the nearest one."""


class MissingModuleError(PullbackError, ModuleNotFoundError):
    """A module, or a name of one, that a dialect does not have; the message names the nearest one."""


class NotDefinedError(AttributeError_, NotImplementedError):
    """A class lacks a method that its subclasses must define, for example `forward` of a module."""


class ImmutableError(PullbackError, TypeError, AttributeError):
    """An array, or an attribute, that cannot be changed in place was assigned to."""


class NotANumberError(PullbackError, FloatingPointError, RuntimeError):
    """A program made NaN while `detect_nan` was on: the first operator that did is named."""


class OutOfMemoryError(PullbackError, MemoryError):
    """An array would not fit in memory, for example `pb.zeros((1 << 40,))`."""


class FileFormatError(PullbackError, ValueError, RuntimeError):
    """A file is cut, damaged, or not what its name says. PyTorch calls that a RuntimeError."""


class MissingFolderError(PullbackError, FileNotFoundError, RuntimeError):
    """A file was to be written to a folder that is not there."""


class MissingFileError(FileFormatError, FileNotFoundError):
    """A file that is not there, for example `pb.io.load("nowhere.safetensors")`."""


class InterruptedError_(PullbackError, RuntimeError):
    """A value whose program was ended by Ctrl-C was used."""


class CompileError(PullbackError, RuntimeError):
    """The compiler met something it cannot compile: a defect of this library."""


class VerifyError(PullbackError, AssertionError):
    """A program that breaks a rule of its representation: a defect of this library."""


class DeviceError(PullbackError, RuntimeError):
    """A device was asked for that is not there."""


class NoDeviceError(DeviceError, AssertionError, TypeError, ValueError):
    """A device was asked for in a dialect; PyTorch without CUDA says so with an AssertionError, or a TypeError for a
    type, JAX with a ValueError."""


class RaggedError(ArgumentError, ValueError):
    """Rows of different lengths, for example `pb.tensor([[1, 2], [3]])`."""


class DataError(PullbackError, RuntimeError):
    """A data set or loader met something it cannot use."""


def shortened(error: PullbackError) -> PullbackError:
    """An error without the lines of this library that raised it, unless there are lines of others among them."""
    package = os.path.dirname(os.path.dirname(__file__)) + os.sep
    frame = error.__traceback__
    while frame is not None:
        if not frame.tb_frame.f_code.co_filename.startswith(package):
            return error
        frame = frame.tb_next
    return error.with_traceback(None)


def message(what: str, got: list[tuple[str, str]] | None = None, help: str = "") -> str:
    """Build the text of an error: the rule broken, what was given (name, description), the cure."""
    lines = [what]
    width = max((len(name) for name, _ in got), default=0) if got else 0
    for k, (name, description) in enumerate(got or []):
        lines.append(f"  {'got ' if k == 0 else '    '}  {name:<{width}}  {description}")
    if help:
        lines.append(f"  help  {help}")
    return "\n".join(lines)
