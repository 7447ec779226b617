"""What an operator that is a view of its inputs needs from the lowering room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pullback.ir.dtypes import DType
from pullback.ir.index import Index
from pullback.ir.node import Node

Value = Any


class ViewContext(Protocol):
    """Builds the scalar expression of one element. A `Value` is opaque to the operators."""

    def value(self, node: Node, indices: tuple[Index, ...]) -> Value:
        """The element of an input at indices."""
        ...

    def scalar(self, row: str, static: tuple[int, ...], values: Sequence[Value], dtype: DType) -> Value:
        """A scalar row; `dtype` is that of the row's result."""
        ...

    def convert(self, value: Value, dtype: DType) -> Value:
        """Element conversion, with the meaning of `Convert`."""
        ...

    def bitcast(self, value: Value, dtype: DType) -> Value:
        """The same bits as another dtype of the same width."""
        ...

    def const(self, value: Any, dtype: DType) -> Value:
        """A literal."""
        ...

    def index(self, index: Index, dtype: DType) -> Value:
        """An index expression as a number."""
        ...

    def inside(self, conditions: Sequence[tuple[Index, int, int]]) -> Value:
        """Whether low <= index <= high holds for all of (index, low, high)."""
        ...

    def guarded(self, condition: Value, make: Callable[[], Value], otherwise: Value) -> Value:
        """`make()` where the condition holds, without reading anything where it does not."""
        ...

    def dynamic(self, node: Node, indices: Sequence[Index | Value]) -> Value:
        """The element of an input at indices that depend on data and are in range."""
        ...
