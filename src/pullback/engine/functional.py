"""Function transforms as users call them: grad, value_and_grad, jvp, vjp, vmap, scan, cond, while_loop, custom rules.

Each runs the user's function once on fresh leaves of an inner trace, takes the recorded program as a Function,
transforms that, and records the result in the enclosing trace as one step. So transforms nest in any order, and a
repeated call is found in the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import numpy as np

from pullback.engine.autograd import call_operation
from pullback.engine.operation import Operation, operation
from pullback.engine.tensor import TensorBase, from_host, stop_operation
from pullback.engine.trace import IMMEDIATE, SCALARS, Info, Trace, Value, local, record, tracing
from pullback.ir import dtypes
from pullback.ir.dtypes import DType
from pullback.ir.node import Function, Node, TensorType
from pullback.util import tree
from pullback.util.errors import (
    ArgumentError,
    AxisError,
    DTypeError,
    ScalarOutputError,
    ShapeError,
    StructureError,
    TracerLeakError,
    ValueError_,
    message,
)
from pullback.util.kinds import is_dict, is_pair, is_sequence


def as_tensor(x: Any, what: str) -> TensorBase:
    """A leaf of an argument tree as a tensor. A number that is being traced has the dtype it shows."""
    if isinstance(x, TensorBase):
        info = x.info
        if info.weak and info.type.dtype is IMMEDIATE[info.weak]:
            return type(x).result_class(record(_copy, [value_of(x)])[0])
        return x
    if type(x) in SCALARS or hasattr(x, "__array__"):
        return from_host(x)
    raise ArgumentError(message(f"{what}: not an array or a number", [("argument", f"{type(x).__name__} {x!r:.60}")],
                                "arguments that are transformed are pytrees of arrays; bind others with a lambda"))


def value_of(tensor: TensorBase) -> Value:
    """The value to record with: a leaf where gradients are wanted."""
    return tensor._use()  # pyright: ignore[reportPrivateUsage]


def _result(tensor: TensorBase, trace: Trace) -> Value:
    """`value_of` a result; of one that was made a leaf within the trace, the value as it is."""
    value = tensor._peek()  # pyright: ignore[reportPrivateUsage]
    return value if value.trace is trace else value_of(tensor)


def is_array(x: Any) -> bool:
    return isinstance(x, TensorBase) or type(x) in SCALARS or hasattr(x, "__array__")


class Traced:
    """A user's function recorded on fresh leaves: results, their structure, and how to bind the leaves outside. With
    `writes`, what tensors outside hold after it are results too, for `write_back`."""

    def __init__(self, what: str, kind: str, function: Callable[..., Any], leaves: Sequence[TensorBase],
                 infos: Sequence[Info], rebuild: Callable[[list[Any]], tuple[tuple[Any, ...], dict[str, Any]]],
                 has_aux: bool = False, writes: bool = False) -> None:
        # outside: views record their reading
        sources = [value_of(x) for x in leaves] if kind == "eager" else [None] * len(leaves)
        with tracing(kind, what) as trace:
            params = [trace.param(info, source) for info, source in zip(infos, sources, strict=True)]
            tensors = [type(x).result_class(p) for x, p in zip(leaves, params, strict=True)]
            arguments, keywords = rebuild(tensors)
            output: Any = function(*arguments, **keywords)
            aux: Any = None
            if has_aux:
                if not is_pair(output):
                    raise ArgumentError(message(f"{what}: with has_aux=True the function must return (value, aux)",
                                                [("returned", f"{type(output).__name__}")], "return value, aux"))
                output, aux = output
            self.outputs, self.structure = tree.flatten(output)
            self.aux, self.aux_structure = tree.flatten(aux)
            self.classes = [type(o).result_class if isinstance(o, TensorBase) else TensorBase.default_class
                            for o in self.outputs]
            self.results = [_result(as_tensor(o, what), trace) for o in self.outputs]
            self.aux_positions = [k for k, a in enumerate(self.aux) if isinstance(a, TensorBase)]
            self.aux_results = [value_of(as_tensor(self.aux[k], what)) for k in self.aux_positions]
            self.written = _captured_and_written(trace)
            if writes:
                self.written += [(leaf, value_of(t)) for leaf, t, p in zip(leaves, tensors, params, strict=True)
                                 if t._peek() is not p]  # pyright: ignore[reportPrivateUsage]
            everything = self.results + self.aux_results + [new for _, new in self.written if writes]
            for k, value in enumerate(everything):
                if value.trace is not trace:
                    everything[k] = record(_identity(), [value])[0]
            self.slots = tuple(v.slot for v in everything)
        self.state = trace.state
        self.leaves, self.params = trace.leaves, trace.params
        trace.close()

    def memo(self, key: Any, make: Callable[[Function], Operation]) -> Operation:
        """The operation made from the recorded Function, found again for the same structure."""
        full = (key, self.slots)
        found = self.state.memo.get(full)
        if found is None:
            found = self.state.memo[full] = make(self.function)
        return found

    @property
    def function(self) -> Function:
        """The recorded program: parameters are the leaves in order."""
        nodes = self.state.nodes()
        return Function([nodes[s] for s in self.state.leaf_slots()], [nodes[s] for s in self.slots])

    def bind(self, actual: Sequence[Any]) -> list[Any]:
        """Operands of the recorded Function outside: the actual arguments, then what it closed over."""
        outside = dict(zip(self.params, actual, strict=True))
        return [outside.get(leaf, leaf) if type(leaf) is Value else leaf for leaf in self.leaves]

    def restore_aux(self, values: Sequence[Value]) -> Any:
        leaves = list(self.aux)
        for k, value in zip(self.aux_positions, values, strict=True):
            tensor: TensorBase = leaves[k]
            leaves[k] = tensor.result_class(value)
        return tree.unflatten(self.aux_structure, leaves)

    def write_back(self, values: Sequence[Value]) -> None:
        """Give the tensors outside that the function changed in place what they hold after it."""
        for (tensor, inner), value in zip(self.written, values, strict=True):
            before, local.grad_enabled = local.grad_enabled, local.grad_enabled and inner.info.requires_grad
            try:
                tensor.assign_value(value if local.grad_enabled else record(stop_operation(), [value])[0])
            finally:
                local.grad_enabled = before

    def refuse_writes(self, what: str) -> None:
        """Raise where the function changes a tensor in place that is not its own."""
        for tensor, _ in self.written:
            raise TracerLeakError(message(f"{what}: the function changes a tensor from outside in place",
                                          [("tensor", repr(tensor.info.type))],
                                          "return the new value, and take the old one as an argument"))

    def param_positions(self) -> list[int]:
        """Where the arguments stand among the leaves."""
        order = {id(leaf): k for k, leaf in enumerate(self.leaves)}
        return [order[id(p)] for p in self.params]


def _captured_and_written(trace: Trace) -> list[tuple[TensorBase, Value]]:
    """The tensors from outside that were changed in place, but for arguments; what they hold then."""
    return [(tensor, value_of(tensor)) for tensor, before in (trace.mutated or {}).values()
            if isinstance(tensor, TensorBase) and before.trace is not trace
            and tensor._value is not before]  # pyright: ignore[reportPrivateUsage]


# -- operations of this room; `build` is loaded when the first is defined ---------------------------------------------


@operation(name="identity")
def _copy(x: Node) -> Node:
    from pullback.ops import build

    return build.copy(x)


@operation(name="cast")
def _cast(x: Node, dtype: DType) -> Node:
    from pullback.ops import build

    return build.convert(x, dtype)


@operation(name="permute")
def _permute(x: Node, order: tuple[int, ...]) -> Node:
    from pullback.ops import build

    return build.transpose(x, order)


@operation(name="reshape")
def _reshaped(x: Node, shape: tuple[int, ...]) -> Node:
    from pullback.ops import build

    return build.reshape(x, shape)


@operation(name="zeros", differentiable=False)
def _zeros_of(shape: tuple[int, ...], dtype: DType) -> Node:
    from pullback.ops import build

    return build.zeros(shape, dtype)


@operation(name="eye", differentiable=False)
def _eye(n: int, shape: tuple[int, ...], dtype: DType, first: int, count: int) -> Node:
    """Rows of the identity, as arrays of a shape."""
    from pullback.ops import build

    rows, columns = (build.iota((count, n), axis, dtypes.int32) for axis in (0, 1))
    rows = build.add(rows, build.scalar_like(rows, first)) if first else rows
    return build.reshape(build.convert(build.binary("eq", rows, columns), dtype), (count, *shape))


@operation(name="concatenate", promote="exact")
def _joined(*parts: Node) -> Node:
    from pullback.ops import build

    return build.concat(parts, 0)


def _identity() -> Operation:
    return _copy


class _Weakened(Operation):
    """Identity whose result has a dtype that gives way, as a Python number's does."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        super().__init__(_copy.define, "exact", True, False, "weak")
        self.kind = kind

    def build(self, operands: list[Any]) -> tuple[tuple[Node, ...], str]:
        return super().build(operands)[0], self.kind


_weakening = {kind: _Weakened(kind) for kind in "bifc"}


def weakened(value: Value, kind: str) -> Value:
    """A value as weak as the argument it belongs to."""
    return record(_weakening[kind], [value])[0] if kind else value


# -- grad ------------------------------------------------------------------------------------------------------------


def value_and_grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0,
                   has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns `(value, gradients)` of a function of arrays with one number as its result.

    `argnums` says which positional arguments (pytrees of floating arrays) to differentiate; the gradients have their
    structure. With `has_aux` the function returns `(value, aux)` and the result is `((value, aux), gradients)`.

    >>> import pullback as pb
    >>> pb.value_and_grad(lambda x: (x ** 2).sum())(pb.tensor([1.0, 2.0]))
    (Tensor(5., dtype=float32), Tensor([2., 4.], dtype=float32))
    """
    return wraps(function)(both_of(function, argnums, has_aux))


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of a function of arrays with one number as its result.

    >>> import pullback as pb
    >>> pb.grad(lambda x: x ** 3)(2.0)
    Tensor(12., dtype=float32)
    """
    return wraps(function)(gradient_of(both_of(function, argnums, has_aux), has_aux))


def gradient_of(both: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """What `both_of` gives, without the value."""
    def grad_of(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return grad_of


def both_of(function: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool,
            variable: Callable[[Any], TensorBase] | None = None, array_class: Any = None) -> Callable[..., Any]:
    """`value_and_grad` without the function's name. A dialect says what its variables are (`variable` makes a tensor of
    an argument's leaf) and the class of the value."""
    if not callable(function):
        raise ArgumentError(message("grad: the first argument must be a function", [("given", repr(type(function)))],
                                    "pb.grad(f)(x), not pb.grad(f(x))"))
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    variable = variable or _differentiable

    def value_and_grad_of(*args: Any, **kwargs: Any) -> Any:
        if local.trace.stepped:
            boundary_of_step()
        chosen = [_argument(args, n) for n in numbers]
        leaves, structure = tree.flatten(chosen)
        tensors = [variable(x) for x in leaves]

        def rebuild(new: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            replaced = list(args)
            for n, value in zip(numbers, tree.unflatten(structure, new), strict=True):
                replaced[n] = value
            return tuple(replaced), kwargs

        infos = [Info.of(t.info.type, True, t.info.weak) for t in tensors]
        traced = Traced("grad", "eager", function, tensors, infos, rebuild, has_aux, writes=True)
        _check_scalar(traced)
        operation = traced.memo(("grad", len(tensors)), lambda f: _gradient_operation(f, traced))
        results = record(operation, traced.bind([value_of(t) for t in tensors]))
        local.trace.stepped = local.trace.kind == "main"
        count, after = len(traced.slots), len(traced.slots) - len(traced.written)
        if traced.written:
            traced.write_back(results[after:count])
        value = (array_class or traced.classes[0])(weakened(results[0], traced.results[0].info.weak))
        gradients = [type(t).result_class(weakened(g, info.weak))
                     for t, info, g in zip(tensors, infos, results[count:], strict=True)]
        found = tree.unflatten(structure, gradients)
        result = found[0] if isinstance(argnums, int) else tuple(found)
        return ((value, traced.restore_aux(results[1:after])) if has_aux else value), result

    return value_and_grad_of


def boundary_of_step() -> None:
    """Launch the step that is pending: a loop that never reads its loss must not grow."""
    from pullback.engine.execute import flush

    flush(local.trace)


def _argument(args: tuple[Any, ...], n: int) -> Any:
    if not -len(args) <= n < len(args):
        raise ArgumentError(message("grad: argnums does not fit the call",
                                    [("argnums", str(n)), ("call", f"{len(args)} positional arguments")],
                                    "differentiated arguments must be passed by position"))
    return args[n]


def _differentiable(x: Any) -> TensorBase:
    tensor = x if isinstance(x, TensorBase) else as_tensor(x, "grad")
    if not tensor.info.type.dtype.is_inexact:
        raise DTypeError(message("grad: only floating-point arguments can be differentiated",
                                 [("argument", repr(tensor.info.type))], "convert first, for example x.float()"))
    return tensor


def _check_scalar(traced: Traced) -> None:
    if len(traced.results) != 1 or traced.results[0].info.type.size != 1 or traced.results[0].info.type.shape:
        shown = ", ".join(repr(v.info.type) for v in traced.results) or "nothing"
        raise ScalarOutputError(message("grad: the function must return one number (shape ())", [("returned", shown)],
                                    "reduce it, for example with .sum() or .mean(); or use pb.vjp / pb.jacrev"))
    if not traced.results[0].info.type.dtype.is_inexact:
        raise ScalarOutputError(message("grad: the function must return a floating-point number",
                                    [("returned", repr(traced.results[0].info.type))]))


def _gradient_operation(function: Function, traced: Traced) -> Operation:
    from pullback.ops import build
    from pullback.transforms import pullback_nodes

    wrt = [function.params[k] for k in traced.param_positions()]
    one = build.full((), 1.0, function.results[0].dtype)
    gradients = pullback_nodes([function.results[0]], [one], wrt)
    filled = [g if g is not None else build.zeros(w.tensor.shape, w.tensor.dtype)
              for g, w in zip(gradients, wrt, strict=True)]
    return call_operation(Function(function.params, [*function.results, *filled]), "value_and_grad")


# -- jvp, vjp, vmap --------------------------------------------------------------------------------------------------


def _trace_all(what: str, kind: str, function: Callable[..., Any], primals: Sequence[Any], infos: Any = None,
               has_aux: bool = False) -> tuple[Traced, list[TensorBase], Any]:
    leaves, structure = tree.flatten(tuple(primals))
    tensors = [as_tensor(x, what) for x in leaves]
    infos = infos or [Info.of(t.info.type, t.info.type.dtype.is_inexact) for t in tensors]
    return (Traced(what, kind, function, tensors, infos,
                   lambda new: (tuple(tree.unflatten(structure, new)), {}), has_aux, writes=True),
            tensors, structure)


def jvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Value and directional derivative of a function: `(f(*primals), Df(*primals) applied to tangents)`.

    >>> import pullback as pb
    >>> pb.jvp(pb.sin, (0.0,), (1.0,))
    (Tensor(0., dtype=float32), Tensor(1., dtype=float32))
    """
    traced, tensors, structure = _trace_all("jvp", "eager", function, primals)
    directions, direction_structure = tree.flatten(tuple(tangents))
    if direction_structure != structure:
        raise ArgumentError(message("jvp: tangents must have the structure of primals",
                                    [("primals", str(structure)), ("tangents", str(direction_structure))]))
    direction_tensors = [as_tensor(x, "jvp") for x in directions]
    for t, d in zip(tensors, direction_tensors, strict=True):
        if t.shape != d.shape:
            raise ShapeError(message("jvp: a tangent must have the shape of its primal",
                                     [("primal", repr(t.info.type)), ("tangent", repr(d.info.type))]))
    active = [k for k, t in enumerate(tensors) if t.info.type.dtype.is_inexact]
    operation = traced.memo("jvp", lambda f: _jvp_operation(f, traced, active))
    actual = traced.bind([value_of(t) for t in tensors])
    seeds = [cast(direction_tensors[k], tensors[k].info.type) for k in active]
    results = record(operation, [*actual, *seeds])
    n, many = len(traced.results), len(traced.slots)
    traced.write_back(results[n:many])
    values = [cls(v) for cls, v in zip(traced.classes, results[:n], strict=True)]
    derivatives = [cls(v) for cls, v in zip(traced.classes, results[many:many + n], strict=True)]
    return tree.unflatten(traced.structure, values), tree.unflatten(traced.structure, derivatives)


def cast(tensor: TensorBase, type: TensorType) -> Value:
    """A tensor's value with another dtype."""
    value = value_of(tensor)
    if value.info.type.dtype is type.dtype:
        return value
    return record(_cast, [value], (("dtype", type.dtype),))[0]


def _jvp_operation(function: Function, traced: Traced, active: list[int]) -> Operation:
    from pullback.ir.node import param
    from pullback.ops import build
    from pullback.transforms import pushforward_nodes

    positions = traced.param_positions()
    wrt = [function.params[positions[k]] for k in active]
    seeds = [param(w.tensor) for w in wrt]
    found = pushforward_nodes(list(function.results), wrt, seeds)
    filled = [t if t is not None else build.zeros(r.tensor.shape, r.tensor.dtype)
              for t, r in zip(found, function.results, strict=True)]
    return call_operation(Function([*function.params, *seeds], [*function.results, *filled]), "jvp")


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Value of a function, and the function that maps cotangents of it to cotangents of the primals.

    >>> import pullback as pb
    >>> y, pull = pb.vjp(pb.sin, 0.0)
    >>> pull(1.0)
    (Tensor(1., dtype=float32),)
    """
    traced, tensors, structure = _trace_all("vjp", "eager", function, primals, None, has_aux)
    forward = traced.memo("call", lambda f: call_operation(f, "vjp_forward"))
    actual = traced.bind([value_of(t) for t in tensors])
    results = record(forward, actual)
    n = len(traced.results)
    values = [cls(v) for cls, v in zip(traced.classes, results[:n], strict=True)]
    types = [v.info.type for v in results[:n]]
    after = len(traced.slots) - len(traced.written)
    traced.write_back(results[after:])

    def pull(cotangents: Any) -> tuple[Any, ...]:
        given, given_structure = tree.flatten(cotangents)
        if given_structure != traced.structure:
            raise StructureError(message("vjp: cotangents must have the structure of the function's result",
                                         [("result", str(traced.structure)), ("cotangents", str(given_structure))]))
        operation = traced.memo("pull", lambda f: _vjp_operation(f, traced, n))
        seeds = [cast(as_tensor(c, "vjp"), t) for c, t in zip(given, types, strict=True)]
        for seed, t in zip(seeds, types, strict=True):
            if seed.info.type.shape != t.shape:
                raise ShapeError(message("vjp: a cotangent must have the shape of its result",
                                         [("result", repr(t)), ("cotangent", repr(seed.info.type))]))
        found = record(operation, [*actual, *seeds])
        return tuple(tree.unflatten(structure, [type(t).result_class(g) for t, g in zip(tensors, found, strict=True)]))

    output = tree.unflatten(traced.structure, values)
    return (output, pull, traced.restore_aux(results[n:after])) if has_aux else (output, pull)


def _vjp_operation(function: Function, traced: Traced, n: int) -> Operation:
    from pullback.ir.node import param
    from pullback.ops import build
    from pullback.transforms import pullback_nodes

    wrt = [function.params[k] for k in traced.param_positions()]
    results = list(function.results[:n])
    seeds = [param(r.tensor) for r in results]
    inexact = [k for k, r in enumerate(results) if r.dtype.is_inexact]
    found = pullback_nodes([results[k] for k in inexact], [seeds[k] for k in inexact], wrt)
    filled = [g if g is not None else build.zeros(w.tensor.shape, w.tensor.dtype)
              for g, w in zip(found, wrt, strict=True)]
    return call_operation(Function([*function.params, *seeds], filled), "vjp")


def vmap(function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, axis_name: Any = None,
         axis_size: int | None = None) -> Callable[..., Any]:
    """The function applied along an axis of its arguments, without a loop.

    `in_axes` gives the mapped axis of each positional argument (None: not mapped; may be nested like the arguments),
    `out_axes` where it appears in the results (None: nowhere, where all elements have the same result). By `axis_name`
    the function can ask for sums over the axis, and its place along it. `axis_size` is needed where nothing is mapped.

    >>> import pullback as pb
    >>> pb.vmap(pb.dot)(pb.ones((3, 2)), pb.ones((3, 2)))
    Tensor([2., 2., 2.], dtype=float32)
    """

    @wraps(function)
    def vmapped(*args: Any) -> Any:
        given: Sequence[Any] = in_axes if is_sequence(in_axes) else (in_axes,) * len(args)
        if len(given) != len(args):
            raise StructureError(message(
                "vmap: in_axes must have one entry per argument",
                [("in_axes", repr(in_axes)), ("call", f"{len(args)} positional arguments")]))
        leaves, structure = tree.flatten(tuple(args))
        spread = spread_axes(tuple(given), tuple(args), "in_axes")
        tensors = [as_tensor(x, "vmap") for x in leaves]
        size, moved = _mapped_size(tensors, spread, axis_size)
        called: Any = function
        if axis_name is not None or axis_size is not None:
            called = partial(_named, function, axis_name, size)
            moved.insert(0, from_host(np.arange(size, dtype=np.int32)))
            spread.insert(0, 0)
            _, structure = tree.flatten((0, *args))
        infos = [Info.of(t.info.type if a is None else t.info.type.with_shape(t.info.type.shape[1:]), t.requires_grad)
                 for t, a in zip(moved, spread, strict=True)]
        traced = Traced("vmap", "staged", called, moved, infos,
                        lambda new: (tuple(tree.unflatten(structure, new)), {}))
        traced.refuse_writes("vmap")
        targets: list[int | None] = [out_axes] * len(traced.outputs)
        if not isinstance(out_axes, int) and out_axes is not None:
            targets = spread_axes(out_axes, tree.unflatten(traced.structure, traced.outputs), "out_axes")
        batched, whole = (tuple(a is not None for a in spread), tuple(a is None for a in targets))
        operation = traced.memo(("vmap", batched, size, whole),
                                lambda f: _vmap_operation(f, traced, batched, size, whole))
        results = record(operation, traced.bind([value_of(t) for t in moved]))
        outputs = [_place_axis(cls(v), a) for cls, v, a in zip(traced.classes, results, targets, strict=True)]
        return tree.unflatten(traced.structure, outputs)

    return vmapped


def _named(function: Callable[..., Any], name: Any, size: int, place: TensorBase, *args: Any) -> Any:
    """The function, which may ask for the axis."""
    from pullback.engine.axes import NamedAxis, over  # needed by name only

    with over(NamedAxis(name, size, place)):
        return function(*args)


def spread_axes(axes: Any, args: Any, what: str) -> list[int | None]:
    """One axis per leaf: an entry of `axes` stands for all leaves below it."""
    found: list[int | None] = []
    if axes is None or isinstance(axes, int):
        return [axes] * len(tree.leaves(args))
    if is_dict(axes) and is_dict(args) and set(axes) == set(args):
        for key in sorted(axes):
            found.extend(spread_axes(axes[key], args[key], what))
        return found
    if not is_sequence(axes) or not is_sequence(args) or len(axes) != len(args):
        raise StructureError(message(
            f"vmap: {what} must be an axis, None, or a tree of them that begins like the arrays",
            [(what, f"{axes!r:.60}"), ("arrays", str(tree.structure(args)))],
            "0 for arrays mapped along their first dimension, None for those that are not mapped"))
    for entry, arg in zip(axes, args, strict=True):
        found.extend(spread_axes(entry, arg, what))
    return found


def _mapped_size(tensors: list[TensorBase], places: list[int | None], given: int | None
                 ) -> tuple[int, list[TensorBase]]:
    """The common size of the mapped axes, and the tensors with that axis in front."""
    sizes: dict[int, str] = {} if given is None else {given: "axis_size"}
    moved: list[TensorBase] = []
    for t, axis in zip(tensors, places, strict=True):
        if axis is None:
            moved.append(t)
            continue
        if not -t.ndim <= axis < t.ndim:
            raise AxisError(message("vmap: the mapped axis is out of range",
                                    [("argument", repr(t.info.type)), ("axis", str(axis))]))
        sizes.setdefault(t.shape[axis], repr(t.info.type))
        moved.append(move_axis(t, axis % t.ndim, 0))
    if len(sizes) != 1:
        text = ", ".join(f"{n} in {d}" for n, d in sizes.items()) or "no argument is mapped"
        raise ShapeError(message("vmap: the mapped axes must all have one size", [("sizes", text)],
                                 "pass in_axes=None for arguments that are not mapped"))
    return next(iter(sizes)), moved


def move_axis(tensor: TensorBase, source: int, target: int) -> TensorBase:
    if source == target:
        return tensor
    order = [k for k in range(tensor.info.type.rank) if k != source]
    order.insert(target, source)
    return type(tensor).result_class(record(_permute, [value_of(tensor)], (("order", tuple(order)),))[0])


def _place_axis(tensor: TensorBase, axis: int | None) -> TensorBase:
    if axis is None:
        return tensor
    if not -tensor.ndim <= axis < tensor.ndim:
        raise AxisError(message("vmap: out_axes is out of range", [("result", repr(tensor.info.type)),
                                                                   ("out_axes", str(axis))]))
    return move_axis(tensor, 0, axis % tensor.ndim)


def _vmap_operation(function: Function, traced: Traced, batched: tuple[bool, ...], size: int,
                    whole: tuple[bool, ...]) -> Operation:
    from pullback.transforms import batch

    flags = [False] * len(function.params)
    for position, flag in zip(traced.param_positions(), batched, strict=True):
        flags[position] = flag
    mapped, found = batch(function, tuple(flags), size, tuple(not k for k in whole))
    if any(has and k for has, k in zip(found, whole, strict=True)):
        raise ValueError_(message("vmap has mapped output but out_axes is None", [("out_axes", "None")],
                                  "use out_axes=0"))
    return call_operation(mapped, "vmap")


# -- Jacobians -------------------------------------------------------------------------------------------------------


def jacfwd(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The Jacobian by forward mode: result dimensions, then argument dimensions. With `has_aux` the function returns a
    pair, of which the second is not differentiated and comes beside the Jacobian."""
    return _jacobian(function, argnums, True, has_aux)


def jacrev(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, *,
           chunk_size: int | None = None) -> Callable[..., Any]:
    """The Jacobian by reverse mode: result dimensions, then argument dimensions. `has_aux` as in `jacfwd`. With
    `chunk_size`, so many of its rows are computed at a time: slower, in less memory."""
    return _jacobian(function, argnums, False, has_aux, chunk_size)


def hessian(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The matrix of second derivatives, forward over reverse.

    >>> import pullback as pb
    >>> pb.hessian(lambda x: (x ** 3).sum())(pb.tensor([1.0, 2.0]))
    Tensor([[ 6.,  0.],
            [ 0., 12.]], dtype=float32)
    """
    return jacfwd(jacrev(function, argnums), argnums)


def _jacobian(function: Callable[..., Any], argnums: int | Sequence[int], forward: bool, has_aux: bool,
              chunk: int | None = None) -> Callable[..., Any]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @wraps(function)
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten([_argument(args, n) for n in numbers])
        tensors = [_differentiable(x) for x in leaves]

        def flat(*new: Any) -> Any:
            replaced = list(args)
            for n, value in zip(numbers, tree.unflatten(structure, list(new)), strict=True):
                replaced[n] = value
            return function(*replaced, **kwargs)

        out_structure, table, aux = _forward_columns(flat, tensors, has_aux) if forward else \
            _reverse_rows(flat, tensors, has_aux, chunk)
        rows = [tree.unflatten(structure, row) for row in table]
        rows = [r[0] if isinstance(argnums, int) else tuple(r) for r in rows]
        found = tree.unflatten(out_structure, rows)
        return (found, aux) if has_aux else found

    return jacobian_of


def _basis(tensor: TensorBase, first: int = 0, count: int | None = None) -> Any:
    """The arrays of a tensor's shape that are 1 in one place, `count` of them from `first` on."""
    t = tensor.info.type
    count = t.size if count is None else count
    static = (("n", t.size), ("shape", t.shape), ("dtype", t.dtype), ("first", first), ("count", count))
    return TensorBase.default_class(record(_eye, [], static)[0])


def _zeros(t: TensorType) -> TensorBase:
    return TensorBase.default_class(record(_zeros_of, [], (("shape", t.shape), ("dtype", t.dtype)))[0])


def _reshape(tensor: TensorBase, shape: tuple[int, ...]) -> TensorBase:
    return type(tensor).result_class(record(_reshaped, [value_of(tensor)], (("shape", shape),))[0])


def _forward_columns(flat: Callable[..., Any], tensors: list[TensorBase],
                     has_aux: bool) -> tuple[Any, list[list[TensorBase]], Any]:
    aux = vjp(flat, *tensors, has_aux=True)[2] if has_aux else None
    alone = (lambda *new: flat(*new)[0]) if has_aux else flat  # pyright: ignore[reportUnknownLambdaType, reportUnknownVariableType]
    table: list[list[TensorBase]] = []
    structure: Any = None
    for k, t in enumerate(tensors):
        def push(direction: Any, k: int = k) -> Any:
            tangents = [direction if j == k else _zeros(x.info.type) for j, x in enumerate(tensors)]
            return jvp(alone, tensors, tangents)[1]  # pyright: ignore[reportUnknownArgumentType]

        columns, structure = tree.flatten(vmap(push)(_basis(t)))
        for i, c in enumerate(columns):
            last = move_axis(c, 0, c.ndim - 1)
            if len(table) <= i:
                table.append([])
            table[i].append(_reshape(last, last.shape[:-1] + t.shape))
    return structure, table, aux


def _reverse_rows(flat: Callable[..., Any], tensors: list[TensorBase], has_aux: bool,
                  chunk: int | None = None) -> tuple[Any, list[list[TensorBase]], Any]:
    output, pull, *aux = vjp(flat, *tensors, has_aux=has_aux)
    leaves, structure = tree.flatten(output)
    table: list[list[TensorBase]] = []
    for k, o in enumerate(leaves):
        def back(ct: Any, k: int = k) -> Any:
            seeds = [ct if j == k else _zeros(x.info.type) for j, x in enumerate(leaves)]
            return pull(tree.unflatten(structure, seeds))

        rows = _in_chunks(vmap(back), o, chunk)
        table.append([_reshape(r, o.shape + t.shape) for r, t in zip(rows, tensors, strict=True)])
    return structure, table, aux[0] if has_aux else None


def _in_chunks(rows: Callable[[Any], Any], output: TensorBase, chunk: int | None) -> Any:
    """The rows for all elements of an output, so many of them at a time."""
    size = output.info.type.size
    if chunk is None or chunk >= size:
        return rows(_basis(output))
    parts: list[tuple[TensorBase, ...]] = [rows(_basis(output, first, min(chunk, size - first)))
                                           for first in range(0, size, chunk)]
    return tuple([_concatenated([part[k] for part in parts]) for k in range(len(parts[0]))])


def _concatenated(parts: list[TensorBase]) -> TensorBase:
    return type(parts[0]).result_class(record(_joined, [value_of(x) for x in parts])[0])
