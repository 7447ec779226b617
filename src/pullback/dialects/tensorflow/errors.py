"""TensorFlow's errors, as subclasses of the library's own."""

from __future__ import annotations

from typing import Any

from pullback.util.errors import IndexError_, PullbackError, ShapeError, ValueError_


class OpError(PullbackError):
    """Base of errors met when a graph runs; `op` is the operation."""

    def __init__(self, text: str, op: Any = None) -> None:
        super().__init__(text)
        self.op = op

    @property
    def message(self) -> str:
        """The text."""
        return str(self)


class InvalidArgumentError(OpError, ValueError_):
    """A value does not fit, or a placeholder was not fed."""


class FailedPreconditionError(OpError, RuntimeError):
    """A variable is read before it has a value."""


class OutOfRangeError(OpError, IndexError_):
    """A data set has ended."""


class NotFoundError(OpError, KeyError):
    """A name or a file that is not there."""

    def __str__(self) -> str:
        return str(self.args[0])


class MissingCheckpointError(NotFoundError, ValueError):
    """A checkpoint that is not there."""


class UnimplementedError(OpError, NotImplementedError):
    """Something that does not exist here."""


class GraphShapeError(ShapeError):
    """Shapes that do not fit, found while the graph is built."""
