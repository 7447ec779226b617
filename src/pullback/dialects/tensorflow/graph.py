"""Graphs: operations with names, and tensors that stand for what they will compute.

Nothing is computed while a graph is built. An operation holds a function of its inputs' values; a session calls these
functions once for each set of fetches and shapes, under `jit`, and runs the program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.api.loops import ShapeDtype, eval_shape
from pullback.dialects.tensorflow.dtypes import DType, TensorShape, as_dtype
from pullback.dialects.tensorflow.errors import GraphShapeError, OpError, UnimplementedError
from pullback.util import tree
from pullback.util.errors import (
    ArgumentError,
    ConcretizationError,
    IndexError_,
    PullbackError,
    ShapeError,
    ValueError_,
    message,
)

Compute = Callable[..., Any]
Sizes = tuple[int | None, ...] | None
#: two sizes tried for every unknown one: what differs in the results is unknown there
_TRIALS = (7, 11)


class Operation:
    """A node: `compute(run, *values of the inputs)` gives the values of the outputs."""

    def __init__(self, graph: Graph, kind: str, name: str, inputs: Sequence[Tensor], compute: Compute | None) -> None:
        self.graph, self.type, self.name = graph, kind, name
        self.inputs, self.compute = list(inputs), compute
        self.control_inputs: list[Operation] = list(graph.controls)
        self.outputs: list[Tensor] = []
        self.listed = False  # whether `compute` gives a list, one value for each output
        self.number = len(graph.operations)
        self.variable: Any = None  # the variable that is read or written
        self.seed: int | None = None  # of a random operation
        self.source: Any = None  # the data set whose elements this gives
        self.device = graph.device
        graph.operations.append(self)
        graph.by_name[name] = self

    def run(self, feed_dict: Any = None, session: Any = None) -> None:
        """Run the operation in the default session."""
        _session(session).run(self, feed_dict)

    def __repr__(self) -> str:
        return f"<tf.Operation {self.name!r} type={self.type}>"


def _session(session: Any) -> Any:
    found = session or (sessions[-1] if sessions else None)
    if found is None:
        raise ValueError_(
            message(
                "Cannot evaluate tensor using `eval()`: No default session is registered.",
                help="use `with sess.as_default()` or pass an explicit session to `eval(session=sess)`",
            )
        )
    return found


#: sessions entered, the default one last
sessions: list[Any] = []


class Tensor:
    """What an operation will compute."""

    __array_priority__ = 100

    def __init__(self, op: Operation, index: int, dtype: DType, sizes: Sizes) -> None:
        self.op, self.value_index, self.dtype, self.sizes = op, index, dtype, sizes

    @property
    def name(self) -> str:
        """The operation's name and the number of the output."""
        return f"{self.op.name}:{self.value_index}"

    @property
    def graph(self) -> Graph:
        """The graph this belongs to."""
        return self.op.graph

    @property
    def shape(self) -> TensorShape:
        """What is known of the shape."""
        return TensorShape(self.sizes)

    def get_shape(self) -> TensorShape:
        """What is known of the shape."""
        return self.shape

    def set_shape(self, shape: Any) -> None:
        """Say more of the shape."""
        new = TensorShape(shape)
        if not self.shape.is_compatible_with(new):
            raise GraphShapeError(
                message(
                    f"Dimensions of {self.name} are not compatible", [("known", str(self.shape)), ("given", str(new))]
                )
            )
        if self.sizes is None or new.sizes is None:
            self.sizes = new.sizes if self.sizes is None else self.sizes
        else:
            self.sizes = tuple(b if a is None else a for a, b in zip(self.sizes, new.sizes, strict=True))

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """The value, in the default session."""
        return _session(session).run(self, feed_dict)

    def consumers(self) -> list[Operation]:
        """The operations that read this tensor."""
        return [op for op in self.graph.operations if self in op.inputs]

    def __repr__(self) -> str:
        return f"<tf.Tensor {self.name!r} shape={self.shape} dtype={self.dtype.name}>"

    def __str__(self) -> str:
        shape = "<unknown>" if self.sizes is None else self.shape
        return f'Tensor("{self.name}", shape={shape}, dtype={self.dtype.name})'

    def __bool__(self) -> bool:
        raise ArgumentError(
            message(
                "Using a `tf.Tensor` as a Python `bool` is not allowed.",
                [("tensor", str(self))],
                "use `if t is not None:` to test if a tensor is defined, and tf.cond to decide on its value",
            )
        )

    def __iter__(self) -> Iterator[Any]:
        raise ArgumentError(
            message(
                "`Tensor` objects are not iterable: their values are known when the graph runs",
                [("tensor", str(self))],
                "use tf.map_fn, or tf.unstack",
            )
        )

    def __len__(self) -> int:
        raise ArgumentError(
            message("object of type 'Tensor' has no len()", [("tensor", str(self))], "use tf.shape(x)[0]")
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise SymbolicError(
            message(
                "a tensor of a graph has no value until a session runs it",
                [("tensor", str(self))],
                "sess.run(x), or x.eval()",
            )
        )

    def __float__(self) -> float:
        return float(self.__array__())


_NAME = re.compile("[A-Za-z0-9.][A-Za-z0-9_.\\\\/>-]*")


def check_name(name: Any, what: str) -> None:
    """Refuse names that TensorFlow does not allow."""
    if not isinstance(name, str):
        raise ArgumentError(message(f"the name of a {what} is a string", [("name", repr(name))]))
    if name and not _NAME.fullmatch(name):
        raise ValueError_(
            message(
                f"'{name}' is not a valid {what} name.",
                help="letters, digits and _ . / > - only; a letter, digit or dot first",
            )
        )


class Summary:
    """Something to fetch that is made of the values of tensors: bytes for an event file."""

    def __init__(self, tensors: list[Tensor], encode: Callable[[Sequence[Any]], bytes]) -> None:
        self.tensors, self.encode = tensors, encode
        self.name = f"{tensors[0].op.name}/summary" if tensors else ""


class Graph:
    """Operations by name."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.by_name: dict[str, Operation] = {}
        self.names: dict[str, int] = {}
        self.prefix = ""
        self.controls: list[Operation] = []
        self.collections: dict[str, list[Any]] = {}
        self.scopes: dict[str, Any] = {}  # variables by the name they are got by
        self.seed: int | None = None
        self.finalized = False
        self.device = ""

    @contextmanager
    def as_default(self) -> Iterator[Graph]:
        """Build in this graph."""
        _graphs.append(self)
        try:
            yield self
        finally:
            _graphs.remove(self)

    def unique_name(self, name: str, mark_as_used: bool = True) -> str:
        """The name under the present scope, with a number where it is taken."""
        check_name(name, "operation")
        full = f"{self.prefix}{name}"
        count = self.names.get(full, 0)
        if mark_as_used:
            self.names[full] = count + 1
        if count:
            return self.unique_name_of(f"{full}_{count}", mark_as_used)
        return full

    def unique_name_of(self, full: str, mark: bool) -> str:
        while full in self.names:
            full += "_1"
        if mark:
            self.names[full] = 1
        return full

    def get_operations(self) -> list[Operation]:
        """All operations, in the order in which they were made."""
        return list(self.operations)

    def get_operation_by_name(self, name: str) -> Operation:
        """The operation of a name."""
        found = self.by_name.get(name)
        if found is None:
            raise MissingNameError(
                message(
                    f"The name {name!r} refers to an Operation not in the graph.",
                    help="graph.get_operations() lists them",
                )
            )
        return found

    def get_tensor_by_name(self, name: str) -> Tensor:
        """The tensor of a name such as "Sum:0"."""
        if not isinstance(name, str):
            raise ArgumentError(message(f"Tensor names are strings (or similar), not {type(name).__name__}."))
        base, _, index = name.partition(":")
        if not index.isdigit():
            raise ValueError_(message(f"{name!r} is not a tensor's name", help='tensors are called "op:0"'))
        outputs = self.get_operation_by_name(base).outputs
        if int(index) >= len(outputs):
            raise MissingNameError(
                message(f"The name {name!r} refers to a Tensor which does not exist.", [("outputs", str(len(outputs)))])
            )
        return outputs[int(index)]

    def finalize(self) -> None:
        """Refuse more operations."""
        self.finalized = True

    def get_collection(self, name: str, scope: str | None = None) -> list[Any]:
        """What was collected under a name."""
        return [v for v in self.collections.get(name, []) if scope is None or v.name.startswith(scope)]

    def add_to_collection(self, name: str, value: Any) -> None:
        """Collect something under a name."""
        self.collections.setdefault(name, []).append(value)


class SymbolicError(ArgumentError, NotImplementedError):
    """A tensor of a graph was used as if it had a value."""


class NestedGraphError(ValueError_, AssertionError):
    """The default graph was replaced while another one was being built."""


class MissingNameError(OpError, KeyError):
    """A name that is not in the graph."""

    def __str__(self) -> str:
        return str(self.args[0])


_graphs: list[Graph] = [Graph()]


def get_default_graph() -> Graph:
    """The graph that operations are added to."""
    return _graphs[-1]


def reset_default_graph() -> None:
    """Start a new default graph."""
    if len(_graphs) > 1:
        raise NestedGraphError(
            message(
                "Do not use tf.reset_default_graph() to clear nested graphs.",
                help="leave the `with graph.as_default()` block first",
            )
        )
    _graphs[0] = Graph()


@contextmanager
def name_scope(name: str, default_name: str | None = None, values: Any = None) -> Iterator[str]:
    """Names of operations made inside start with this one."""
    graph = get_default_graph()
    before = graph.prefix
    wanted = name or default_name or ""
    check_name(wanted, "scope")
    graph.prefix = wanted if wanted.endswith("/") else graph.unique_name(wanted) + "/"
    try:
        yield graph.prefix
    finally:
        graph.prefix = before


_DEVICE = re.compile(r"(/job:\w+)?(/replica:\d+)?(/task:\d+)?(/(device:)?(cpu|gpu|tpu)(:\d+|:\*)?)?", re.IGNORECASE)


@contextmanager
def device(device_name_or_function: Any) -> Iterator[None]:
    """Operations made inside are for a device. There is the CPU: others need a session with soft placement."""
    name = device_name_or_function or ""
    if callable(name):
        raise UnimplementedError(message("tf.device: a function is not supported", help="name the device"))
    if not _DEVICE.fullmatch(name):
        raise ValueError_(message(f"Malformed device specification '{name}'", help="'/cpu:0' is there"))
    graph = get_default_graph()
    before, graph.device = graph.device, name
    try:
        yield
    finally:
        graph.device = before


@contextmanager
def control_dependencies(inputs: Iterable[Any] | None) -> Iterator[None]:
    """Operations made inside run after these."""
    graph = get_default_graph()
    before = graph.controls
    graph.controls = [] if inputs is None else [*before, *(operation_of(x) for x in inputs)]
    try:
        yield
    finally:
        graph.controls = before


def operation_of(x: Any) -> Operation:
    """The operation that makes a tensor, or the operation itself."""
    if isinstance(x, Operation):
        return x
    if not isinstance(x, Tensor) and not hasattr(x, "initializer"):
        raise ArgumentError(
            message(f"Can not convert a {type(x).__name__} into a Tensor or Operation.", [("given", f"{x!r:.60}")])
        )
    return x.op


def make(
    kind: str,
    inputs: Sequence[Any],
    compute: Compute,
    name: str | None = None,
    *,
    types: Any = None,
    variable: Any = None,
) -> Any:
    """A new operation; returns its tensor, or a list of them. `types` gives (dtype, sizes) where they cannot be
    inferred."""
    graph = get_default_graph()
    if graph.finalized:
        raise ValueError_(message("Graph is finalized and cannot be modified.", [("operation", kind)]))
    for x in inputs:
        if x.graph is not graph:
            raise ValueError_(
                message(
                    f"{x} must be from the same graph as the others.",
                    [("operation", kind)],
                    "build within one `with graph.as_default()` block",
                )
            )
    found = types if types is not None else infer(kind, inputs, compute)
    op = Operation(graph, kind, graph.unique_name(name or kind), inputs, compute)
    op.variable = variable
    several = op.listed = isinstance(found, list)
    op.outputs = [Tensor(op, k, as_dtype(d), s) for k, (d, s) in enumerate(found if several else [found])]
    return op.outputs if several else op.outputs[0]


def make_operation(kind: str, inputs: Sequence[Any], compute: Compute, name: str | None = None) -> Operation:
    """A new operation without outputs."""
    graph = get_default_graph()
    return Operation(graph, kind, graph.unique_name(name or kind), inputs, compute)


# -- types -------------------------------------------------------------------------------------------------------------


class _Inference:
    """Stands for a run while types are inferred: keys are fixed ones."""

    inferring = True

    def key(self, op_number: Any = None) -> Any:
        from pullback.api import random  # only where a sampler's type is inferred

        return random.key(0)


def infer(kind: str, inputs: Sequence[Tensor], compute: Compute) -> Any:
    """(dtype, sizes) of the result, or a list of them, from those of the inputs."""
    if any(x.sizes is None for x in inputs):
        return _unknown_rank(inputs, compute)
    unknown = any(None in (x.sizes or ()) for x in inputs)
    trials = _TRIALS if unknown else _TRIALS[:1]
    try:
        tried = [_types(inputs, compute, size) for size in trials]
    except ConcretizationError:
        return inputs[0].dtype.name, None
    except (ShapeError, IndexError_) as error:
        if unknown and isinstance(error, ShapeError):
            return _unknown_rank(inputs, compute)
        raise GraphShapeError(
            f"{error}\n  (while building {kind!r} from {', '.join(str(x) for x in inputs)})"
        ) from None
    first = tried[0]
    several = isinstance(first, list)
    rows = [t if several else [t] for t in tried]
    merged = [_merged([row[k] for row in rows]) for k in range(len(rows[0]))]
    return merged if several else merged[0]


def _merged(options: Sequence[Any]) -> tuple[str, Sizes]:
    dtype, sizes = options[0].dtype.name, options[0].shape
    for other in options[1:]:
        if len(other.shape) != len(sizes):
            return dtype, None
        sizes = tuple(a if a == b else None for a, b in zip(sizes, other.shape, strict=True))
    return dtype, sizes


def _types(inputs: Sequence[Tensor], compute: Compute, size: int) -> Any:
    stand_ins = [ShapeDtype(tuple(size if n is None else n for n in x.sizes or ()), x.dtype.native) for x in inputs]
    found = eval_shape(lambda *values: _as_tensors(compute(_Inference(), *values)), *stand_ins)
    return found


def _as_tensors(x: Any) -> Any:
    """Values known on the host (such as shapes) count as arrays."""
    from pullback.api.creation import asarray

    return tree.map(lambda v: asarray(v) if isinstance(v, (int, float, np.ndarray, np.generic)) else v, x)


def _unknown_rank(inputs: Sequence[Tensor], compute: Compute) -> tuple[str, None]:
    """The dtype alone: from a trial with the ranks that are known."""
    for rank in (1, 2, 0, 4):
        stand_ins = [
            ShapeDtype(
                (7,) * rank if x.sizes is None else tuple(7 if n is None else n for n in x.sizes), x.dtype.native
            )
            for x in inputs
        ]
        try:
            found = eval_shape(lambda *values: _as_tensors(compute(_Inference(), *values)), *stand_ins)
        except PullbackError:
            continue
        return (found[0] if isinstance(found, list) else found).dtype.name, None
    return inputs[0].dtype.name, None
