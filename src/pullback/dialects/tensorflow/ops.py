"""TensorFlow's operations on tensors: each makes a node whose function is one of the array room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.api import (
    activations,
    comparison,
    creation,
    elementwise,
    linear_algebra,
    manipulation,
    random,
    reductions,
    selecting,
    sorting,
)
from pullback.dialects.tensorflow.dtypes import DType, TensorShape, as_dtype, float32, int64
from pullback.dialects.tensorflow.graph import Operation, Tensor, get_default_graph, make, make_operation, operation_of
from pullback.engine.control import stop_gradient as _stop
from pullback.engine.tensor import TensorBase, from_host
from pullback.util import tree
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, StructureError, ValueError_, message

_NUMBERS = (bool, int, float, complex)


# -- making tensors ----------------------------------------------------------------------------------------------------


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str = "Const",
             verify_shape: bool = False) -> Tensor:
    """A tensor of numbers that are known now."""
    array = _numbers(value, None if dtype is None else as_dtype(dtype))
    if shape is not None:
        size = TensorShape(shape).known()
        if array.size not in (1, int(np.prod(size))):
            raise ShapeError(message("constant: too many or too few elements for the shape",
                                     [("elements", str(array.size)), ("shape", str(size))]))
        array = np.broadcast_to(array, size) if array.size == 1 else array.reshape(size)
    kind = as_dtype(array.dtype)
    array = np.ascontiguousarray(array).reshape(array.shape)
    if array.ndim == 0 and array.dtype.kind in "iu":  # sizes and limits stay on the host
        return make("Const", [], lambda run: array, name, types=(kind.name, ()))
    if array.ndim == 0:
        number = array.item()
        return make("Const", [], lambda run: creation.full((), number, dtype=kind.native), name, types=(kind.name, ()))
    held = from_host(array, kind.native)
    return make("Const", [], lambda run: held, name, types=(kind.name, array.shape))


def _numbers(value: Any, dtype: DType | None) -> np.ndarray[Any, Any]:
    if value is None:
        raise StructureError(message("None values not supported.", help="give numbers, or a tensor"))
    if isinstance(value, Tensor):
        raise ArgumentError(message("List of Tensors when single Tensor expected", [("value", str(value))]))
    if isinstance(value, TensorBase):
        value = value.numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biufcV":
        raise StructureError(message("Failed to convert object to Tensor",
                                     [("value", f"{type(value).__name__} {value!r:.60}")],
                                     "pass numbers, nested lists of numbers, or arrays"))
    python = not isinstance(value, (np.ndarray, np.generic, TensorBase))
    if dtype is None:
        return array.astype({"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype)) if python else array
    if python and array.dtype.kind == "f" and not (dtype.is_floating or dtype.native.is_complex):
        raise DTypeError(message(f"Expected {dtype.name}, got {value!r:.60} of type '{type(value).__name__}' instead.",
                                 help="cast with tf.cast, or write whole numbers"))
    return array.astype(dtype.as_numpy_dtype)


def convert_to_tensor(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """A tensor from a tensor, a variable, numbers, or a list that holds tensors."""
    wanted = None if dtype is None else as_dtype(dtype)
    if hasattr(value, "initializer"):
        value = value.value()
    if isinstance(value,
        (list, tuple)) and any(isinstance(x, Tensor) or hasattr(x, "initializer") for x in tree.leaves(value)):
        return stack([convert_to_tensor(x, dtype) for x in value])
    if not isinstance(value, Tensor):
        return constant(value, wanted, name=name or "Const")
    if wanted is not None and value.dtype != wanted:
        raise DTypeError(message(f"Tensor conversion requested dtype {wanted.name} for Tensor with dtype "
                                 f"{value.dtype.name}",
                                 [("tensor", str(value))], "use tf.cast"))
    return value


def placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor whose value is given with `feed_dict`."""
    kind = as_dtype(dtype)
    graph = get_default_graph()
    op = Operation(graph, "Placeholder", graph.unique_name(name or "Placeholder"), [], None)
    op.outputs = [Tensor(op, 0, kind, TensorShape(shape).sizes)]
    return op.outputs[0]


def placeholder_with_default(input: Any, shape: Any, name: str = "PlaceholderWithDefault") -> Tensor:
    """A tensor whose value may be given with `feed_dict`."""
    x = convert_to_tensor(input)
    return make("PlaceholderWithDefault", [x], lambda run, v: v, name, types=(x.dtype, TensorShape(shape).sizes))


def _filled(name: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    def make_filled(shape: Any, dtype: Any = float32, name: str | None = name) -> Tensor:
        kind = as_dtype(dtype)
        return _of_shape(name or "", shape, lambda run, size: function(size, dtype=kind.native), kind)

    make_filled.__name__, make_filled.__doc__ = name, function.__doc__
    return make_filled


def _of_shape(kind: str, shape: Any, compute: Callable[[Any, tuple[int, ...]], Any], dtype: DType,
              name: str | None = None) -> Tensor:
    """An operation of a shape, which may itself be known only when the graph runs."""
    if isinstance(shape, Tensor) or (isinstance(shape, (list, tuple)) and any(isinstance(n, Tensor) for n in shape)):
        sizes = convert_to_tensor(shape)
        count = sizes.sizes[0] if sizes.sizes else None
        return make(kind, [sizes], lambda run, s: compute(run, tuple(int(n) for n in np.asarray(s))), name,
                    types=(dtype, None if count is None else (None,) * count))
    size = TensorShape(shape).known()
    return make(kind, [], lambda run: compute(run, size), name, types=(dtype, size))


zeros, ones = _filled("zeros", creation.zeros), _filled("ones", creation.ones)


def fill(dims: Any, value: Any, name: str = "Fill") -> Tensor:
    """One value everywhere."""
    x = convert_to_tensor(value)
    if x.sizes:
        raise ShapeError(message("fill: the value must be one number", [("value", str(x))], "use tf.broadcast_to"))
    return _with(name, [x], lambda v: creation.full(TensorShape(dims).known(), v))


def _with(kind: str, inputs: Sequence[Any], function: Callable[..., Any], name: str | None = None) -> Any:
    """An operation that is a function of its inputs' values."""
    return make(kind, inputs, lambda run, *values: function(*values), name)


def _like(name: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    def like(tensor: Any, dtype: Any = None, name: str | None = name, optimize: bool = True) -> Tensor:
        kind = None if dtype is None else as_dtype(dtype).native
        return _with(name or "", [convert_to_tensor(tensor)], lambda x: function(x, dtype=kind))

    like.__name__, like.__doc__ = name, function.__doc__
    return like


zeros_like, ones_like = _like("zeros_like", creation.zeros_like), _like("ones_like", creation.ones_like)


def range(start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: str = "range") -> Tensor:
    """Numbers from start up to limit, not included."""
    first, last = (0, start) if limit is None else (start, limit)
    return _host_arguments("range", name, [first, last, delta], lambda a, b, d: creation.arange(
        a, b, d, dtype=None if dtype is None else as_dtype(dtype).native))


def _host_arguments(kind: str, name: str | None, values: list[Any], function: Callable[..., Any]) -> Tensor:
    """An operation of numbers that are known, at the latest when the program is made."""
    inputs = [v for v in values if isinstance(v, Tensor)]

    def compute(run: Any, *found: Any) -> Any:
        stream = iter(found)
        return function(*[_number(next(stream)) if isinstance(v, Tensor) else v for v in values])

    return make(kind, inputs, compute, name)


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, (TensorBase, np.ndarray, np.generic)) else x


def linspace(start: Any, stop: Any, num: int, name: str = "LinSpace") -> Tensor:
    """Equally spaced numbers, both ends included."""
    return _with(name, [], lambda: creation.linspace(start, stop, num))


lin_space = linspace


def eye(num_rows: int, num_columns: int | None = None, dtype: Any = float32, name: str = "eye") -> Tensor:
    """Ones on the diagonal."""
    kind = as_dtype(dtype)
    return _with(name, [], lambda: creation.eye(num_rows, num_columns, dtype=kind.native))


# -- random ------------------------------------------------------------------------------------------------------------


def set_random_seed(seed: int) -> None:
    """The seed of the graph's random operations: each gives the same numbers in every session from then on.

    The numbers are this library's own (threefry), not TensorFlow's.
    """
    get_default_graph().seed = seed


def _sampled(kind: str, shape: Any, dtype: Any, seed: int | None, name: str | None,
             sample: Callable[[Any, tuple[int, ...], Any], Any]) -> Tensor:
    found = as_dtype(dtype)
    holder: list[Operation] = []
    tensor = _of_shape(kind, shape, lambda run,
                       size: sample(run.key(holder[0] if holder else None), size, found.native), found,
                       name)
    holder.append(tensor.op)
    tensor.op.seed = seed
    return tensor


def random_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = float32, seed: int | None = None,
                  name: str = "random_normal") -> Tensor:
    """Normal numbers, new ones in every run."""
    return _sampled("random_normal", shape, dtype, seed, name, lambda key, size,
                    kind: random.normal(key, size, kind) * stddev + mean)


def truncated_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = float32, seed: int | None = None,
                     name: str = "truncated_normal") -> Tensor:
    """Normal numbers within two deviations, new ones in every run."""
    return _sampled("truncated_normal", shape, dtype, seed, name,
                    lambda key, size, kind: random.truncated_normal(key, -2, 2, size, kind) * stddev + mean)


def random_uniform(shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = float32, seed: int | None = None,
                   name: str = "random_uniform") -> Tensor:
    """Uniform numbers, new ones in every run."""
    if as_dtype(dtype).is_integer:
        if maxval is None:
            raise ValueError_(message("Must specify maxval for integer dtype", [("dtype", str(dtype))]))
        return _sampled("random_uniform", shape, dtype, seed, name,
                        lambda key, size, kind: random.randint(key, size, minval, maxval, kind))
    high = 1.0 if maxval is None else maxval
    return _sampled("random_uniform", shape, dtype, seed, name,
                    lambda key, size, kind: random.uniform(key, size, kind, float(minval), float(high)))


def random_shuffle(value: Any, seed: int | None = None, name: str = "RandomShuffle") -> Tensor:
    """The rows in random order."""
    x = convert_to_tensor(value)
    holder: list[Operation] = []
    tensor = make("RandomShuffle", [x], lambda run, v: random.permutation(run.key(holder[0] if holder else None), v),
                  name)
    holder.append(tensor.op)
    tensor.op.seed = seed
    return tensor


# -- elementwise -------------------------------------------------------------------------------------------------------


def _unary(kind: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    def call(x: Any, name: str | None = None) -> Tensor:
        return _with(kind, [convert_to_tensor(x)], function, name)

    call.__name__, call.__doc__ = kind.lower(), function.__doc__
    return call


UNARY = {
    "abs": ("Abs", elementwise.abs), "negative": ("Neg", elementwise.negative), "sign": ("Sign", elementwise.sign),
    "square": ("Square", elementwise.square), "sqrt": ("Sqrt", elementwise.sqrt), "rsqrt": ("Rsqrt", elementwise.rsqrt),
    "exp": ("Exp", elementwise.exp), "expm1": ("Expm1", elementwise.expm1), "log": ("Log", elementwise.log),
    "log1p": ("Log1p", elementwise.log1p), "sin": ("Sin", elementwise.sin), "cos": ("Cos", elementwise.cos),
    "tan": ("Tan", elementwise.tan), "asin": ("Asin", elementwise.asin), "acos": ("Acos", elementwise.acos),
    "atan": ("Atan", elementwise.atan), "sinh": ("Sinh", elementwise.sinh), "cosh": ("Cosh", elementwise.cosh),
    "tanh": ("Tanh", elementwise.tanh), "sigmoid": ("Sigmoid", elementwise.sigmoid), "erf": ("Erf", elementwise.erf),
    "floor": ("Floor", elementwise.floor), "ceil": ("Ceil", elementwise.ceil), "round": ("Round", elementwise.round),
    "reciprocal": ("Reciprocal", elementwise.reciprocal), "is_nan": ("IsNan", elementwise.isnan),
    "is_inf": ("IsInf", elementwise.isinf), "is_finite": ("IsFinite", elementwise.isfinite),
    "logical_not": ("LogicalNot", comparison.logical_not), "lgamma": ("Lgamma", elementwise.lgamma),
    "stop_gradient": ("StopGradient", _stop), "relu": ("Relu", activations.relu), "relu6": ("Relu6", activations.relu6),
    "softplus": ("Softplus", activations.softplus), "softsign": ("Softsign", activations.softsign),
    "elu": ("Elu", activations.elu), "selu": ("Selu", activations.selu),
}


def _operands(x: Any, y: Any, kind: str) -> tuple[list[Tensor], Callable[[Sequence[Any]], tuple[Any, Any]]]:
    """The tensors among two operands, and both operands from the tensors' values; a Python number takes the other's
    dtype."""
    a = x.value() if hasattr(x, "initializer") else x
    b = y.value() if hasattr(y, "initializer") else y
    if type(a) in _NUMBERS and isinstance(b, Tensor):
        _fits(a, b, kind)
        return [b], lambda v: (a, v[0])
    if type(b) in _NUMBERS and isinstance(a, Tensor):
        _fits(b, a, kind)
        return [a], lambda v: (v[0], b)
    if isinstance(a, Tensor):
        b = convert_to_tensor(b, None if isinstance(b, Tensor) else a.dtype)
    elif isinstance(b, Tensor):
        a = convert_to_tensor(a, b.dtype)
    else:
        a = convert_to_tensor(a)
        b = convert_to_tensor(b, a.dtype)
    if a.dtype != b.dtype:
        raise DTypeError(message(f"Input 'y' of '{kind}' Op has type {b.dtype.name} that does not match type "
                                 f"{a.dtype.name} of argument 'x'.", [("x", str(a)), ("y", str(b))], "use tf.cast"))
    return [a, b], lambda v: (v[0], v[1])


def _fits(number: Any, tensor: Tensor, kind: str) -> None:
    if isinstance(number, float) and not (tensor.dtype.is_floating or tensor.dtype.native.is_complex):
        raise DTypeError(message(f"Expected {tensor.dtype.name}, got {number!r} of type 'float' instead.",
                                 [("operation", kind), ("tensor", str(tensor))], "use tf.cast"))


#: arithmetic of sizes that are known when the program is made: `tf.shape(x)[0] // 2`
_ON_HOST = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "floordiv": np.floor_divide, "mod": np.mod,
            "Add": np.add,
            "Sub": np.subtract, "Mul": np.multiply, "Maximum": np.maximum, "Minimum": np.minimum, "Prod": np.prod,
            "Sum": np.sum}


def _known(values: Sequence[Any]) -> bool:
    return not any(isinstance(v, TensorBase) for v in values)


def _binary(kind: str, function: Callable[..., Any], default: str | None = None) -> Callable[..., Tensor]:
    on_host = _ON_HOST.get(kind)

    def call(x: Any, y: Any, name: str | None = None) -> Tensor:
        inputs, both = _operands(x, y, kind)

        def compute(run: Any, *values: Any) -> Any:
            chosen = on_host if on_host is not None and _known(values) else function
            return chosen(*both(values))

        return make(kind, inputs, compute, name or default)

    call.__name__, call.__doc__ = kind.lower(), function.__doc__
    return call


BINARY = {
    "add": ("Add", elementwise.add), "subtract": ("Sub", elementwise.subtract),
    "multiply": ("Mul", elementwise.multiply),
    "divide": ("truediv", elementwise.divide), "truediv": ("truediv", elementwise.divide),
    "div": ("div", elementwise.divide),
    "floordiv": ("floordiv", elementwise.floor_divide), "mod": ("FloorMod", elementwise.remainder),
    "floormod": ("FloorMod", elementwise.remainder), "pow": ("Pow", elementwise.power),
    "maximum": ("Maximum", elementwise.maximum), "minimum": ("Minimum", elementwise.minimum),
    "squared_difference": ("SquaredDifference", lambda x, y: elementwise.square(elementwise.subtract(x, y))),
    "equal": ("Equal", comparison.equal), "not_equal": ("NotEqual", comparison.not_equal),
    "less": ("Less", comparison.less), "less_equal": ("LessEqual", comparison.less_equal),
    "greater": ("Greater", comparison.greater), "greater_equal": ("GreaterEqual", comparison.greater_equal),
    "logical_and": ("LogicalAnd", comparison.logical_and), "logical_or": ("LogicalOr", comparison.logical_or),
    "logical_xor": ("LogicalXor", comparison.logical_xor), "atan2": ("Atan2", elementwise.atan2),
}
#: operators of tensors: method, name of the operation, function
_OPERATORS = {
    "add": ("add", elementwise.add), "sub": ("sub", elementwise.subtract), "mul": ("mul", elementwise.multiply),
    "truediv": ("truediv", elementwise.divide), "floordiv": ("floordiv", elementwise.floor_divide),
    "mod": ("mod", elementwise.remainder), "pow": ("pow", elementwise.power),
    "matmul": ("matmul", linear_algebra.matmul),
    "and": ("and", comparison.logical_and), "or": ("or", comparison.logical_or), "xor": ("xor", comparison.logical_xor),
}
_COMPARISONS = {"lt": ("Less", comparison.less), "le": ("LessEqual", comparison.less_equal),
                "gt": ("Greater", comparison.greater),
                "ge": ("GreaterEqual", comparison.greater_equal)}


def install_operators(cls: Any) -> None:
    """Give a class of things that stand for tensors the operators of tensors."""
    for method, (kind, function) in _OPERATORS.items():
        call = _binary(kind, function)
        setattr(cls, f"__{method}__", lambda self, other, call=call: call(self, other))
        setattr(cls, f"__r{method}__", lambda self, other, call=call: call(other, self))
    for method, (kind, function) in _COMPARISONS.items():
        call = _binary(kind, function)
        setattr(cls, f"__{method}__", lambda self, other, call=call: call(self, other))
    cls.__neg__ = lambda self: _with("Neg", [convert_to_tensor(self)], elementwise.negative)
    cls.__abs__ = lambda self: _with("Abs", [convert_to_tensor(self)], elementwise.abs)
    cls.__invert__ = lambda self: _with("LogicalNot", [convert_to_tensor(self)], comparison.logical_not)
    cls.__getitem__ = _getitem


def _getitem(self: Any, index: Any) -> Tensor:
    x = convert_to_tensor(self)
    items = index if isinstance(index, tuple) else (index,)
    tensors = [i for i in items if isinstance(i, Tensor)]

    def compute(run: Any, value: Any, *found: Any) -> Any:
        stream = iter(found)
        chosen = tuple(next(stream) if isinstance(i, Tensor) else i for i in items)
        return value[chosen if isinstance(index, tuple) else chosen[0]]

    return make("strided_slice", [x, *tensors], compute)


install_operators(Tensor)


def cast(x: Any, dtype: Any, name: str | None = None) -> Tensor:
    """The elements as another dtype."""
    kind = as_dtype(dtype)
    x = convert_to_tensor(x)
    return x if x.dtype == kind else _with("Cast", [x], lambda v: elementwise.astype(v, kind.native)
                                                   if isinstance(v,
                                                       TensorBase) else np.asarray(v, kind.as_numpy_dtype), name)


def _array(v: Any) -> Any:
    return v if isinstance(v, TensorBase) else creation.asarray(v)


def to_float(x: Any, name: str = "ToFloat") -> Tensor:
    """The elements as float32."""
    return cast(x, float32, name)


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, name: str = "clip_by_value") -> Tensor:
    """The elements limited to an interval."""
    return _with(name, [convert_to_tensor(t)], lambda x: elementwise.clip(x, clip_value_min, clip_value_max))


def where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Tensor:
    """x where the condition holds, y elsewhere."""
    if x is None or y is None:
        raise ValueError_(message("where: x and y must both be given here",
                                  help="the positions alone depend on values: use "
                                  "tf.boolean_mask's result in NumPy"))
    choice = convert_to_tensor(condition)
    if not choice.dtype.is_bool:
        raise DTypeError(message("Input 'condition' of 'Select' Op must be bool", [("condition", str(choice))],
                                 "compare it first, for example x > 0"))
    return _with("Select", [choice, *(convert_to_tensor(v) for v in (x, y))], elementwise.where, name)


def identity(input: Any, name: str | None = None) -> Tensor:
    """The same values."""
    return _with("Identity", [convert_to_tensor(input)], lambda v: v, name or "Identity")


def add_n(inputs: Sequence[Any], name: str | None = None) -> Tensor:
    """The sum of tensors."""
    def total(*values: Any) -> Any:
        found = values[0]
        for v in values[1:]:
            found = found + v
        return found

    return _with("AddN", [convert_to_tensor(x) for x in inputs], total, name)


# -- reductions --------------------------------------------------------------------------------------------------------


def _reduction(kind: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    def call(input_tensor: Any, axis: Any = None, keepdims: bool | None = None, name: str | None = None,
             reduction_indices: Any = None, keep_dims: bool | None = None) -> Tensor:
        over = reduction_indices if axis is None else axis
        over = tuple(over) if isinstance(over, list) else over
        kept = bool(keep_dims if keepdims is None else keepdims)
        on_host = _ON_HOST.get(kind)
        return _with(kind, [convert_to_tensor(input_tensor)], lambda x: on_host(x, axis=over, keepdims=kept)
                     if on_host is not None and _known([x]) else function(x, over, kept), name)

    call.__name__, call.__doc__ = kind.lower(), function.__doc__
    return call


REDUCTIONS = {"reduce_sum": ("Sum", reductions.sum), "reduce_mean": ("Mean", reductions.mean),
              "reduce_max": ("Max", reductions.max),
              "reduce_min": ("Min", reductions.min), "reduce_prod": ("Prod", reductions.prod),
              "reduce_all": ("All", reductions.all),
              "reduce_any": ("Any", reductions.any), "reduce_logsumexp": ("ReduceLogSumExp", reductions.logsumexp)}


def _position(kind: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    def call(input: Any, axis: Any = None, name: str | None = None, dimension: Any = None,
             output_type: Any = int64) -> Tensor:
        over = (dimension if axis is None else axis) or 0
        result = as_dtype(output_type)
        return _with(kind, [convert_to_tensor(input)], lambda x: elementwise.astype(function(x, over), result.native),
                     name)

    call.__name__, call.__doc__ = kind.lower(), function.__doc__
    return call


argmax, argmin = _position("ArgMax", reductions.argmax), _position("ArgMin", reductions.argmin)


def cumsum(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None) -> Tensor:
    """Running sums."""
    if exclusive:
        raise ValueError_(message("cumsum: exclusive is not supported", help="subtract x from the running sum"))
    return _with("Cumsum", [convert_to_tensor(x)], lambda v: reductions.cumsum(v, axis, reverse=reverse), name)


def norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: bool = False, name: str = "norm") -> Tensor:
    """The norm over axes."""
    p = 2 if ord == "euclidean" else ord
    return _with(name, [convert_to_tensor(tensor)], lambda x: linear_algebra.vector_norm(x, p, axis, keepdims))


# -- products ----------------------------------------------------------------------------------------------------------


def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, name: str | None = None) -> Tensor:
    """The matrix product."""
    def product(x: Any, y: Any) -> Any:
        return linear_algebra.matmul(x.mT if transpose_a else x, y.mT if transpose_b else y)

    x = convert_to_tensor(a, None if isinstance(a, Tensor) or not isinstance(b, Tensor) else b.dtype)
    y = convert_to_tensor(b, None if isinstance(b, Tensor) or hasattr(b, "initializer") else x.dtype)
    if x.dtype != y.dtype:
        raise DTypeError(message(f"Input 'b' of 'MatMul' Op has type {y.dtype.name} that does not match type "
                                 f"{x.dtype.name} of argument 'a'.", help="use tf.cast"))
    for t in (x, y):
        if t.sizes is not None and len(t.sizes) < 2:
            raise ShapeError(message("MatMul: shape must be rank 2 but is rank " + str(len(t.sizes)),
                                     [("a", str(x)), ("b", str(y))], "use tf.tensordot, or tf.reshape"))
    return _with("MatMul", [x, y], product, name)


def tensordot(a: Any, b: Any, axes: Any, name: str = "Tensordot") -> Tensor:
    """The product summed over axes."""
    return _with(name, [convert_to_tensor(a), convert_to_tensor(b)], lambda x, y: linear_algebra.tensordot(x, y, axes))


def einsum(equation: str, *inputs: Any, name: str = "einsum") -> Tensor:
    """Products and sums by labels of dimensions."""
    return _with(name, [convert_to_tensor(x) for x in inputs], lambda *v: linear_algebra.einsum(equation, *v))


# -- shapes ------------------------------------------------------------------------------------------------------------


def shape(input: Any, name: str | None = None, out_type: Any = "int32") -> Tensor:
    """The shape, as a tensor."""
    x = convert_to_tensor(input)
    kind = as_dtype(out_type)
    return make("Shape", [x], lambda run, v: np.asarray(np.shape(v), kind.as_numpy_dtype), name,
                types=(kind, (None if x.sizes is None else len(x.sizes),)))


def rank(input: Any, name: str | None = None) -> Tensor:
    """The number of dimensions."""
    return make("Rank", [convert_to_tensor(input)], lambda run, v: np.asarray(np.ndim(v), np.int32), name,
                types=("int32", ()))


def size(input: Any, name: str | None = None) -> Tensor:
    """The number of elements."""
    return make("Size", [convert_to_tensor(input)], lambda run, v: np.asarray(int(np.prod(np.shape(v))), np.int32),
                name,
                types=("int32", ()))


def reshape(tensor: Any, shape: Any, name: str | None = None) -> Tensor:
    """The same elements under another shape; one size may be -1."""
    x = convert_to_tensor(tensor)
    if isinstance(shape, Tensor) or (isinstance(shape, (list, tuple)) and any(isinstance(n, Tensor) for n in shape)):
        sizes = convert_to_tensor(shape)
        count = sizes.sizes[0] if sizes.sizes else None
        return make("Reshape", [x, sizes], lambda run, v,
                    s: manipulation.reshape(v, tuple(int(n) for n in np.asarray(s))), name,
                    types=(x.dtype, None if count is None else (None,) * count))
    given = [shape] if isinstance(shape, int) else [getattr(n, "value", n) for n in shape]
    target = tuple(-1 if n is None else int(n) for n in given)
    return _with("Reshape", [x], lambda v: manipulation.reshape(v, target), name)


def _shaped(kind: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    def call(x: Any, *args: Any, name: str | None = None, **kwargs: Any) -> Tensor:
        return _with(kind, [convert_to_tensor(x)], lambda v: function(v, *args, **kwargs), name)

    call.__name__, call.__doc__ = kind.lower(), function.__doc__
    return call


def transpose(a: Any, perm: Sequence[int] | None = None, name: str = "transpose") -> Tensor:
    """The dimensions in another order, by default reversed."""
    return _with(name, [convert_to_tensor(a)], lambda v: manipulation.permute_dims(
        v, tuple(perm) if perm is not None else tuple(reversed(builtins_range(v.ndim)))))


builtins_range = __builtins__["range"] if isinstance(__builtins__, dict) else __builtins__.range


def expand_dims(input: Any, axis: int | None = None, name: str | None = None, dim: int | None = None) -> Tensor:
    """A new dimension of size 1."""
    return _with("ExpandDims", [convert_to_tensor(input)],
                 lambda v: manipulation.expand_dims(v, (dim or 0) if axis is None else axis), name)


def squeeze(input: Any, axis: Any = None, name: str | None = None, squeeze_dims: Any = None) -> Tensor:
    """Dimensions of size 1 removed."""
    over = squeeze_dims if axis is None else axis
    over = tuple(over) if isinstance(over, list) else over
    return _with("Squeeze", [convert_to_tensor(input)], lambda v: manipulation.squeeze(v, over), name)


def concat(values: Sequence[Any], axis: int, name: str = "concat") -> Tensor:
    """Tensors joined along a dimension."""
    return _with(name, [convert_to_tensor(v) for v in values], lambda *v: manipulation.concat(v, axis))


def stack(values: Sequence[Any], axis: int = 0, name: str = "stack") -> Tensor:
    """Tensors joined along a new dimension."""
    tensors = [convert_to_tensor(v) for v in values]

    def joined(*found: Any) -> Any:
        if not any(isinstance(v, TensorBase) for v in found):  # sizes that are known
            return np.stack(found, axis)
        return manipulation.stack([_array(v) for v in found], axis)

    return make("Pack", tensors, lambda run, *v: joined(*v), name)


def unstack(value: Any, num: int | None = None, axis: int = 0, name: str = "unstack") -> list[Tensor]:
    """The parts along a dimension."""
    x = convert_to_tensor(value)
    if x.sizes is None or x.sizes[axis] is None:
        raise ValueError_(message("Cannot infer num from shape", [("value", str(x))],
                                  "give the placeholder that size, or use tf.map_fn"))
    found = make("Unpack", [x], lambda run, v: list(manipulation.unstack(v, axis=axis)), name)
    return found if isinstance(found, list) else [found]


def split(value: Any, num_or_size_splits: Any, axis: int = 0, num: Any = None, name: str = "split") -> list[Tensor]:
    """Parts of equal, or of given, sizes along a dimension."""
    x = convert_to_tensor(value)
    size = None if x.sizes is None else x.sizes[axis]
    if not isinstance(num_or_size_splits, int):
        places: Any = [int(n) for n in np.cumsum(num_or_size_splits)[:-1]]
    elif size is not None and size % num_or_size_splits:
        raise ShapeError(message(
            f"split: dimension size must be evenly divisible by {num_or_size_splits} but is {size}",
            [("value", str(x))], "give the sizes in a list"))
    else:
        places = num_or_size_splits
    found = make("Split", [x], lambda run, v: list(manipulation.array_split(v, places, axis)), name)
    return found if isinstance(found, list) else [found]


def tile(input: Any, multiples: Any, name: str | None = None) -> Tensor:
    """The tensor several times along dimensions."""
    x = convert_to_tensor(input)
    if x.sizes is not None and len(x.sizes) != len(multiples):
        raise ShapeError(message("tile: one multiple for every dimension",
                                 [("input", str(x)), ("multiples", str(multiples))]))
    return _with("Tile", [x], lambda v: manipulation.tile(v, tuple(multiples)), name)


def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", name: str | None = None,
        constant_values: Any = 0) -> Tensor:
    """Elements put around."""
    widths = [tuple(int(n) for n in p) for p in paddings]
    x = convert_to_tensor(tensor)
    if x.sizes is not None and len(x.sizes) != len(widths):
        raise ShapeError(message("pad: one pair for every dimension",
                                 [("tensor", str(x)), ("paddings", str(widths))]))
    return _with("Pad", [x],
                 lambda v: manipulation.pad(v, widths, mode.lower(), constant_values), name)


def slice(input_: Any, begin: Sequence[int], size: Sequence[int], name: str | None = None) -> Tensor:
    """A block: `size` elements from `begin` on (-1: all that are left)."""
    region = tuple(_slice(b, None if n == -1 else b + n) for b, n in zip(begin, size, strict=True))
    return _with("Slice", [convert_to_tensor(input_)], lambda v: v[region], name)


_slice = __builtins__["slice"] if isinstance(__builtins__, dict) else __builtins__.slice


def gather(params: Any, indices: Any, name: str | None = None, axis: int = 0) -> Tensor:
    """The slices at indices, which count from the front only."""
    return _with("GatherV2", [convert_to_tensor(params), convert_to_tensor(indices)],
                 lambda x, i: selecting.take(x, i, axis=axis, negative=False), name or "GatherV2")


def one_hot(indices: Any, depth: int, on_value: Any = None, off_value: Any = None, axis: int = -1, dtype: Any = None,
            name: str | None = None) -> Tensor:
    """1 at the index, 0 elsewhere."""
    kind = as_dtype(float32 if dtype is None else dtype)

    def hot(i: Any) -> Any:
        found = selecting.one_hot(i, depth, axis=axis, dtype=kind.native)
        if on_value is None and off_value is None:
            return found
        low, high = (0 if off_value is None else off_value), (1 if on_value is None else on_value)
        return found * (high - low) + low

    return _with("one_hot", [convert_to_tensor(indices)], hot, name)


def reverse(tensor: Any, axis: Any, name: str | None = None) -> Tensor:
    """The order reversed along axes."""
    return _with("ReverseV2", [convert_to_tensor(tensor)], lambda v: manipulation.flip(v, tuple(axis)), name)


def top_k(input: Any, k: int = 1, sorted: bool = True, name: str | None = None) -> Any:
    """The k greatest elements of the last dimension, and their positions."""
    return tuple(make("TopKV2", [convert_to_tensor(input)], lambda run, v: list(sorting.topk(v, k)), name))


broadcast_to = _shaped("BroadcastTo", lambda v, s: manipulation.broadcast_to(v, tuple(s)))


# -- grouping ----------------------------------------------------------------------------------------------------------


def group(*inputs: Any, name: str = "group_deps") -> Operation:
    """An operation that runs all of these."""
    op = make_operation("NoOp", [], lambda run: None, name)
    op.control_inputs = [*op.control_inputs, *(operation_of(x) for x in inputs)]
    return op


def no_op(name: str = "NoOp") -> Operation:
    """An operation that does nothing."""
    return make_operation("NoOp", [], lambda run: None, name)



globals().update({name: _unary(kind, f) for name, (kind, f) in UNARY.items()})
globals().update({name: _binary(kind, f) for name, (kind, f) in BINARY.items()})
globals().update({name: _reduction(kind, f) for name, (kind, f) in REDUCTIONS.items()})
#: every name that `tf` shows of this module
NAMES = (*UNARY, *BINARY, *REDUCTIONS, *"""constant convert_to_tensor placeholder placeholder_with_default zeros ones
fill zeros_like
    ones_like range linspace lin_space eye set_random_seed random_normal truncated_normal random_uniform
    random_shuffle cast to_float
    clip_by_value where identity add_n argmax argmin cumsum norm matmul tensordot einsum shape rank size reshape
    transpose expand_dims
    squeeze concat stack unstack split tile pad slice gather one_hot reverse broadcast_to group no_op""".split())
