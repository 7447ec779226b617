"""What rules of primitives with bodies are given: the transformations of functions."""

from __future__ import annotations

from pullback.ir.node import Function
from pullback.transforms.batch import batch_function
from pullback.transforms.jvp import jvp_function
from pullback.transforms.transpose import transpose_function


class Rules:
    """The transformations, for `ir.node.Transforms`."""

    def __init__(self, zeros: bool = False) -> None:
        self.zeros = zeros

    def jvp(self, function: Function, active: tuple[bool, ...]) -> tuple[Function, tuple[bool, ...]]:
        return jvp_function(self, function, active)

    def transpose(self, function: Function, linear: tuple[bool, ...]) -> Function:
        return transpose_function(self, function, linear)

    def batch(self, function: Function, batched: tuple[bool, ...], size: int,
              force: tuple[bool, ...] | None = None) -> tuple[Function, tuple[bool, ...]]:
        return batch_function(self, function, batched, size, force)


RULES = Rules()
#: what depends on inputs by steps has a tangent, which is zero: says where a gradient is zero, and where there is none
STEPS = Rules(zeros=True)
