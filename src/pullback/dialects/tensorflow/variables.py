"""Variables: state that a session keeps from run to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pullback.dialects.tensorflow import ops
from pullback.dialects.tensorflow.dtypes import DType, TensorShape, as_dtype
from pullback.dialects.tensorflow.graph import Graph, Operation, Tensor, get_default_graph, make, name_scope
from pullback.util.errors import AttributeError_, DTypeError, ShapeError, ValueError_, message

GLOBAL, TRAINABLE = "variables", "trainable_variables"


class Variable:
    """A tensor whose value a session keeps. Reads in a run see the value from before it."""

    def __init__(
        self,
        initial_value: Any = None,
        trainable: bool = True,
        collections: Any = None,
        validate_shape: bool = True,
        caching_device: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if initial_value is None:
            raise ValueError_(message("initial_value must be specified.", help="tf.Variable(tf.zeros([3]))"))
        graph = get_default_graph()
        full = graph.unique_name(name or "Variable")
        before = graph.prefix, graph.controls
        graph.prefix, graph.controls = full + "/", []
        try:
            value = initial_value() if callable(initial_value) else initial_value
            self.initial_value = ops.convert_to_tensor(value, dtype, name="initial_value")
            if validate_shape and not self.initial_value.shape.is_fully_defined():
                raise ValueError_(
                    message(
                        "initial_value must have a shape specified",
                        [("initial_value", str(self.initial_value))],
                        "give every size, or validate_shape=False",
                    )
                )
            self.op = Operation(graph, "VariableV2", full, [], lambda run: run.read(self))
            self.op.outputs = [Tensor(self.op, 0, self.initial_value.dtype, self.initial_value.sizes)]
            self.op.variable = self
            self.initializer: Operation = _assignment(
                self, "Assign", self.initial_value, lambda run, v: run.assign(self, v)
            ).op
        finally:
            graph.prefix, graph.controls = before
        self.trainable = trainable
        for key in collections or [GLOBAL, *([TRAINABLE] if trainable else [])]:
            graph.add_to_collection(key, self)

    # -- what it is ----------------------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        """The name of its tensor."""
        return f"{self.op.name}:0"

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.op.outputs[0].dtype

    @property
    def shape(self) -> TensorShape:
        """The shape."""
        return self.op.outputs[0].shape

    def get_shape(self) -> TensorShape:
        """The shape."""
        return self.shape

    @property
    def graph(self) -> Graph:
        """The graph it belongs to."""
        return self.op.graph

    def value(self) -> Tensor:
        """The tensor of its value; under control dependencies, read after them."""
        return self.read_value() if get_default_graph().controls else self.op.outputs[0]

    def read_value(self) -> Tensor:
        """Its value, read after the control dependencies in force."""
        return make(
            "ReadVariableOp",
            [],
            lambda run: run.read(self, True),
            "read",
            types=(self.dtype, self.op.outputs[0].sizes),
            variable=self,
        )

    def initialized_value(self) -> Tensor:
        """The value it starts with, for other variables' initial values."""
        return self.initial_value

    def eval(self, session: Any = None) -> Any:
        """Its value in a session."""
        return self.op.outputs[0].eval(None, session)

    def load(self, value: Any, session: Any = None) -> None:
        """Set its value in a session."""
        from pullback.dialects.tensorflow.graph import _session  # sessions are not needed to build graphs

        _session(session).run(self.initializer, {self.initial_value: value})

    # -- changing it ---------------------------------------------------------------------------------------------------
    def assign(self, value: Any, use_locking: bool = False, name: str | None = None) -> Tensor:
        """A tensor that sets the value when it is run, and gives the new one."""
        return _assignment(
            self, "Assign", ops.convert_to_tensor(value, self._wanted(value)), lambda run, v: run.assign(self, v), name
        )

    def assign_add(self, delta: Any, use_locking: bool = False, name: str | None = None) -> Tensor:
        """A tensor that adds to the value when it is run, and gives the new one."""
        return _assignment(
            self,
            "AssignAdd",
            ops.convert_to_tensor(delta, self._wanted(delta)),
            lambda run, v: run.assign(self, run.read(self, True) + v),
            name,
        )

    def assign_sub(self, delta: Any, use_locking: bool = False, name: str | None = None) -> Tensor:
        """A tensor that subtracts from the value when it is run, and gives the new one."""
        return _assignment(
            self,
            "AssignSub",
            ops.convert_to_tensor(delta, self._wanted(delta)),
            lambda run, v: run.assign(self, run.read(self, True) - v),
            name,
        )

    def _wanted(self, value: Any) -> DType | None:
        return None if isinstance(value, Tensor) or hasattr(value, "initializer") else self.dtype

    def __repr__(self) -> str:
        return f"<tf.Variable {self.name!r} shape={self.shape} dtype={self.dtype.name}_ref>"

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value())

    def __bool__(self) -> bool:
        return bool(self.value())


ops.install_operators(Variable)


def _assignment(
    variable: Variable, kind: str, value: Tensor, compute: Callable[..., Any], name: str | None = None
) -> Tensor:
    if value.dtype != variable.dtype:
        raise DTypeError(
            message(
                f"{kind}: the value must have the variable's dtype",
                [("variable", repr(variable)), ("value", str(value))],
                "use tf.cast",
            )
        )
    if not value.shape.is_compatible_with(variable.shape):
        raise ShapeError(
            message(
                f"{kind}: the value must have the variable's shape",
                [("variable", repr(variable)), ("value", str(value))],
            )
        )
    return make(
        kind, [value], compute, name or kind, types=(variable.dtype, variable.op.outputs[0].sizes), variable=variable
    )


def assign(ref: Variable, value: Any, name: str | None = None, **_: Any) -> Tensor:
    """A tensor that sets a variable when it is run."""
    if not isinstance(ref, Variable):
        raise AttributeError_(
            message(f"assign: '{type(ref).__name__}' is no variable", [("ref", f"{ref!r:.60}")], "tf.Variable(...)")
        )
    return ref.assign(value, name=name)


def assign_add(ref: Variable, value: Any, name: str | None = None, **_: Any) -> Tensor:
    """A tensor that adds to a variable when it is run."""
    return ref.assign_add(value, name=name)


def assign_sub(ref: Variable, value: Any, name: str | None = None, **_: Any) -> Tensor:
    """A tensor that subtracts from a variable when it is run."""
    return ref.assign_sub(value, name=name)


# -- collections -------------------------------------------------------------------------------------------------------


def global_variables(scope: str | None = None) -> list[Any]:
    """All variables."""
    return get_default_graph().get_collection(GLOBAL, scope)


def trainable_variables(scope: str | None = None) -> list[Any]:
    """The variables that optimisers change."""
    return get_default_graph().get_collection(TRAINABLE, scope)


def variables_initializer(var_list: list[Any], name: str = "init") -> Operation:
    """An operation that gives variables their initial values."""
    return ops.group(*[v.initializer for v in var_list], name=name)


def global_variables_initializer() -> Operation:
    """An operation that gives all variables their initial values."""
    return variables_initializer(global_variables())


def local_variables_initializer() -> Operation:
    """An operation that does nothing: there are no local variables."""
    return ops.no_op("init")


initialize_all_variables = global_variables_initializer


# -- scopes ------------------------------------------------------------------------------------------------------------


class VariableScope:
    """Where `get_variable` puts and finds variables."""

    def __init__(self, name: str, reuse: Any, initializer: Any) -> None:
        self.name, self.reuse, self.initializer = name, reuse, initializer

    def reuse_variables(self) -> None:
        """Find variables from here on instead of making them."""
        self.reuse = True


_scopes: list[VariableScope] = [VariableScope("", False, None)]
AUTO_REUSE = "auto"


@contextmanager
def variable_scope(
    name_or_scope: Any,
    default_name: str | None = None,
    values: Any = None,
    initializer: Any = None,
    reuse: Any = None,
    **_: Any,
) -> Iterator[VariableScope]:
    """Names of variables got inside start with this one."""
    outer = _scopes[-1]
    if isinstance(name_or_scope, VariableScope):
        path, label = name_or_scope.name, name_or_scope.name.rpartition("/")[2]
    else:
        label = name_or_scope or get_default_graph().unique_name(default_name or "scope", False)
        path = f"{outer.name}/{label}" if outer.name else label
    scope = VariableScope(
        path, outer.reuse if reuse is None else reuse, outer.initializer if initializer is None else initializer
    )
    _scopes.append(scope)
    try:
        with name_scope(label):
            yield scope
    finally:
        _scopes.pop()


def get_variable_scope() -> VariableScope:
    """The scope entered last."""
    return _scopes[-1]


def get_variable(
    name: str, shape: Any = None, dtype: Any = "float32", initializer: Any = None, trainable: bool = True, **_: Any
) -> Variable:
    """The variable of a name in the present scope: made, or found where the scope says `reuse`."""
    scope = _scopes[-1]
    graph = get_default_graph()
    full = f"{scope.name}/{name}" if scope.name else name
    found = graph.scopes.get(full)
    if found is not None:
        if not scope.reuse:
            raise ValueError_(
                message(
                    f"Variable {full} already exists, disallowed.",
                    help="did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?",
                )
            )
        if shape is not None and not found.shape.is_compatible_with(shape):
            raise ShapeError(
                message(
                    f"Trying to share variable {full}, but specified shape {TensorShape(shape)} and found shape "
                    f"{found.shape}."
                )
            )
        return found
    if scope.reuse is True:
        raise ValueError_(
            message(
                f"Variable {full} does not exist, or was not created with tf.get_variable().",
                help="did you mean to set reuse=tf.AUTO_REUSE in VarScope?",
            )
        )
    made = scope.initializer if initializer is None else initializer
    made = _default_initializer(as_dtype(dtype)) if made is None else made
    if isinstance(made, type):
        made = made()
    if initializer is not None and not callable(made) and shape is not None:
        raise ValueError_(message("If initializer is a constant, do not specify shape.", [("variable", full)]))
    if callable(made) and shape is None:
        raise ValueError_(
            message(f"Shape of a new variable ({full}) must be fully defined, but instead was <unknown>.",
                    help="give shape=, or a constant as initializer")
        )
    before = graph.prefix
    graph.prefix = ""
    try:
        value = made if not callable(made) else (lambda: made(TensorShape(shape).known(), dtype=dtype))
        variable = graph.scopes[full] = Variable(value, trainable, name=full, dtype=None if callable(made) else dtype)
    finally:
        graph.prefix = before
    return variable


def _default_initializer(dtype: DType) -> Any:
    from pullback.dialects.tensorflow import initializers  # they need variables' dtypes only

    return initializers.glorot_uniform_initializer() if dtype.is_floating else initializers.zeros_initializer()
