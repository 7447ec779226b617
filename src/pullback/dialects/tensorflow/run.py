"""Runs: the values of tensors of a graph, computed with the array library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.api import random
from pullback.dialects.tensorflow.errors import FailedPreconditionError, InvalidArgumentError, UnimplementedError
from pullback.dialects.tensorflow.graph import Operation, Tensor
from pullback.util.errors import message

#: types of operations that write and read variables
WRITES, READS = (
    frozenset(("Assign", "AssignAdd", "AssignSub")),
    frozenset(("VariableV2", "ReadVariableOp", "AssignAdd", "AssignSub")),
)


class Run:
    """Values bound so far. All reads of a variable see its value from before the run, except reads that were made under
    control dependencies on an assignment."""

    inferring = False

    def __init__(self, session: Any, root: Any = None) -> None:
        self.session = session
        self.root: Any = root or self
        self.bound: dict[Tensor, Any] = {}
        self.captured: dict[Any, Any] | None = None  # what a branch of tf.cond assigns
        if root is None:
            self.updates: dict[Any, Any] = {}
            self.keys: dict[Operation, Any] = {}

    # -- state ---------------------------------------------------------------------------------------------------------
    def read(self, variable: Any, latest: bool = False) -> Any:
        """The value of a variable."""
        root = self.root
        if latest and self.captured is not None and variable in self.captured:
            return self.captured[variable]
        if latest and variable in root.updates:
            return root.updates[variable]
        storage = root.session.storage.get(variable)
        if storage is None:
            raise FailedPreconditionError(
                message(
                    f"Attempting to use uninitialized value {variable.op.name}",
                    [("variable", repr(variable))],
                    "run tf.global_variables_initializer() in the session first",
                ),
                variable.op,
            )
        return storage.clone()  # what is stored when the run ends does not change what was read

    def assign(self, variable: Any, value: Any) -> Any:
        """Give a variable a value, kept when the run ends."""
        if self.captured is not None:
            self.captured[variable] = value
            return value
        if self.root is not self:
            raise UnimplementedError(
                message(
                    "an assignment inside tf.while_loop or tf.scan",
                    [("variable", repr(variable))],
                    "return the value, and assign it outside",
                ),
                variable.op,
            )
        self.updates[variable] = value
        return value

    def key(self, op: Operation) -> Any:
        """The random key of an operation in this run: the same wherever it is evaluated again."""
        if self.root.inferring:
            return self.root.key(op)
        keys = self.root.keys
        if op not in keys:
            keys[op] = self.root.session.key_of(op)
        return keys[op]

    # -- evaluation ----------------------------------------------------------------------------------------------------
    def evaluate(self, targets: Sequence[Tensor], operations: Sequence[Operation] | None = None) -> list[Any]:
        """The values of tensors; `operations` are those needed, in order."""
        for op in operations if operations is not None else needed([t.op for t in targets], self.bound):
            self.step(op)
        return [self.bound[t] for t in targets]

    def step(self, op: Operation) -> None:
        """Compute one operation."""
        if op.outputs and all(t in self.bound for t in op.outputs):
            return
        if op.compute is None:
            raise InvalidArgumentError(unfed(op), op)
        values = [self.bound[t] for t in op.inputs]
        found = op.compute(self, *values)
        if op.listed:
            self.bound.update(zip(op.outputs, found, strict=True))
        elif op.outputs:
            self.bound[op.outputs[0]] = found

    def inner(self, bound: dict[Tensor, Any]) -> Run:
        """A run of part of the graph with some values given."""
        run = Run(self.session, self.root)
        run.bound.update(bound)
        return run


def unfed(op: Operation) -> str:
    """What to say of a placeholder without a value."""
    tensor = op.outputs[0]
    shape = (
        "<unknown>"
        if tensor.sizes is None
        else "[" + ",".join("?" if n is None else str(n) for n in tensor.sizes) + "]"
    )
    kind = {"float32": "float", "float64": "double"}.get(tensor.dtype.name, tensor.dtype.name)
    return message(
        f"You must feed a value for placeholder tensor {op.name!r} with dtype {kind} and shape {shape}",
        help=f"sess.run(..., feed_dict={{{op.name}: value}})",
    )


def needed(targets: Sequence[Operation], bound: Any = ()) -> list[Operation]:
    """The operations that targets need, inputs and control inputs first; what makes bound tensors is left out."""
    order: list[Operation] = []
    seen: set[Operation] = set()
    stack: list[tuple[Operation, bool]] = [(op, False) for op in reversed(targets)]
    while stack:
        op, done = stack.pop()
        if done:
            order.append(op)
            continue
        if op in seen or (op.outputs and all(t in bound for t in op.outputs)):
            continue
        seen.add(op)
        stack.append((op, True))
        before = [*op.control_inputs, *(t.op for t in op.inputs if t not in bound)]
        stack.extend((x, False) for x in reversed(before) if x not in seen)
    return order


def seeded(seed: int) -> random.Generator:
    """A generator that starts from a seed."""
    return random.Generator().manual_seed(seed)
