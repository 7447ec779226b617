"""Operations: functions on nodes that record as one step.

    @operation(promote="broadcast")
    def add(x, y): return build.add(x, y)

The body is the definition, written on nodes. It runs only when the structure is new; afterwards calling the operation
is one lookup. Tensor operands are positional, everything else is a keyword, hashable, and part of the structure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pullback.engine.known import record1, record2, record_known
from pullback.engine.precision import in_single, is_narrow
from pullback.engine.templates import Template, signature, template
from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import SCALARS, Operand, Value, class_of, local, new, record
from pullback.ir import dtypes
from pullback.ir.dtypes import DType
from pullback.ir.node import Node
from pullback.util import config
from pullback.util.errors import ArgumentError, PullbackError, ShapeError, message, shortened

BOUND_LIMIT = 4096
_NUMBERS: tuple[Any, ...] = (bool, int, float, complex)
_HOST_SCALAR: Any = np.generic


#: set while any thread is in `autocast`: (name of the operation, operands) -> operands
casting: Callable[[str, tuple[Any, ...]], tuple[Any, ...]] | None = None


class Operation:
    """A recordable operation.

    `promote`: "exact" (operands as they are), "none", "dtype" (one dtype), "broadcast" (one dtype and shape) or "float"
    (the same, integers become the default float). `leaf`: the result is a leaf that requires gradients. `by_type`: the
    definition has one result and looks at nothing but the types of its operands.
    """

    __slots__ = ("bound", "by_type", "define", "differentiable", "leaf", "name", "origin", "promote", "templates")

    def __init__(self, define: Callable[..., Any], promote: str, differentiable: bool, leaf: bool, name: str,
                 by_type: bool = False) -> None:
        self.define, self.promote, self.differentiable, self.leaf = define, promote, differentiable, leaf
        self.name, self.by_type = name, by_type
        self.templates: dict[Any, Template] = {}
        self.bound: dict[tuple[Any, ...], Operation] = {}
        #: the operation whose static arguments are fixed here; None for one without
        self.origin: Operation | None = None

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    def build(self, operands: list[Operand]) -> tuple[tuple[Node, ...], str]:
        """The nodes of the results, and the weak kind they share ("" for none)."""
        if not self.by_type:
            return self.defined(operands)
        key = signature(operands)
        found = self.templates.get(key)
        if found is None:
            if len(self.templates) > BOUND_LIMIT:
                self.templates.clear()
            found = self.templates[key] = template(self.defined, operands)
        return (found.make(operands),), found.weak

    def defined(self, operands: list[Operand]) -> tuple[tuple[Node, ...], str]:
        """`build` by the definition."""
        nodes, weak = _PROMOTE[self.promote](self.name, operands)
        result = self.define(*nodes)
        results: tuple[Node, ...] = (result,) if isinstance(result, Node) else tuple(result)
        if any(map(is_narrow, nodes)):
            results = in_single(self.define, nodes, results)
        if weak and results[0].dtype.kind == "b":
            weak = ""
        return results, weak

    def __call__(self, *args: Any, **static: Any) -> Any:
        if static:
            self = self.bound.get(tuple(static.items())) or self.bind(tuple(static.items()))
        if casting is not None:
            args = casting(self.name, args)
        if len(args) == 1 and type(args[0]) not in SCALARS:
            return self.on(args[0])
        value = record2(self, *args) if len(args) == 2 else record_known(self, args) if args else None
        if value is None:
            return self.slowly(args)
        first = args[0]
        kind = class_of(first)
        cls = _class_among(args) if kind is float or kind is int else first.result_class
        result = new(cls)
        result._value, result._meta, result._view = value, None, None
        return result

    def on(self, x: Any) -> Any:
        """The call with one operand, a little faster."""
        value = record1(self, x)
        if value is None:
            return self.slowly((x,))
        result = new(x.result_class)
        result._value, result._meta, result._view = value, None, None
        return result

    def on2(self, x: Any, y: Any) -> Any:
        """The call with two operands, a little faster."""
        value = record2(self, x, y) if casting is None else None
        if value is None:
            return self(x, y)
        kind = class_of(x)
        result = new(_class_among((y,)) if kind is float or kind is int else x.result_class)
        result._value, result._meta, result._view = value, None, None
        return result

    def bind(self, static: tuple[Any, ...]) -> Operation:
        """The operation with its static arguments fixed, made once."""
        found = self.bound.get(static)
        if found is not None:
            return found
        for name, value in static:
            if isinstance(value, TensorBase):
                raise ArgumentError(message(f"{self.name}: {name} is part of the program, and no tensor",
                                            [(name, repr(value.info.type))], "pass a number, for example x.item()"))
        if len(self.bound) > BOUND_LIMIT:
            self.bound.clear()
        fixed = new(type(self))
        define = partial(self.define, **dict(static))
        Operation.__init__(fixed, define, self.promote, self.differentiable, self.leaf, self.name, self.by_type)
        fixed.origin = self
        return self.bound.setdefault(static, fixed)

    def slowly(self, args: tuple[Any, ...]) -> Any:
        """Record what is new, or out of the ordinary: views, NumPy arrays, traced functions, several results."""
        values, cls = self.values(args)
        if self.name in cls.checks:
            cls.checks[self.name](self, values)
        try:
            results = record(self, values)
        except PullbackError as error:
            if config.DEBUG.value:
                raise
            raise shortened(error) from error.__cause__
        if len(results) == 1:
            return cls(results[0])
        return tuple([cls(r) for r in results])

    def values(self, args: tuple[Any, ...]) -> tuple[list[Any], Any]:
        """Operands as Values and Python scalars, and the class of the result."""
        values: list[Any] = []
        cls: Any = None
        track = local.track
        for a in args:
            if isinstance(a, TensorBase):
                v = a._value  # pyright: ignore[reportPrivateUsage]
                if v is None or a._meta is not None:  # pyright: ignore[reportPrivateUsage]
                    v = a._use()  # pyright: ignore[reportPrivateUsage]
                if track is not None:
                    track.setdefault(v, a)
                if cls is None:
                    cls = a.result_class
                values.append(v)
            elif type(a) in SCALARS or type(a) is Value:
                values.append(a)
            else:
                values.append(_coerce(a, self.name, args))
        return values, cls or TensorBase.default_class

    def __getstate__(self) -> Any:
        raise ArgumentError("operations are not pickled; pickle tensors or module state instead")


def _class_among(args: tuple[Any, ...]) -> Any:
    """The class of a result: that of the first tensor."""
    for a in args:
        if isinstance(a, TensorBase):
            return a.result_class
    return TensorBase.default_class


def _coerce(a: Any, name: str, args: tuple[Any, ...] = ()) -> Any:
    """Accept NumPy arrays and scalars, lists and tuples of numbers."""
    if isinstance(a, _HOST_SCALAR) and any(isinstance(x, TensorBase) and x.result_class.weak_numbers for x in args):
        return a.item()
    if isinstance(a, _NUMBERS) and not isinstance(a, _HOST_SCALAR):
        return next(kind(a) for kind in _NUMBERS if isinstance(a, kind))
    if isinstance(a, (np.ndarray, np.generic, list, tuple)) or hasattr(a, "__array__"):
        return from_host(a)._use()
    raise ArgumentError(message(f"{name}: not an array", [("argument", f"{type(a).__name__} {a!r:.60}")],
                                "pass a tensor, a number, a NumPy array or a list of numbers"))


def operation(*, promote: str = "none", differentiable: bool = True, leaf: bool = False, name: str = "",
              by_type: bool = False) -> Callable[[Callable[..., Any]], Operation]:
    """Make a function on nodes an Operation."""
    return lambda define: Operation(define, promote, differentiable, leaf, name or define.__name__.strip("_"), by_type)


# -- promotion: once, here; below this line every primitive sees equal shapes and dtypes ---------------------------


def result_dtype(operands: list[Operand]) -> tuple[DType, str]:
    """The common dtype of operands, and the weak kind of the result."""
    strong: DType | None = None
    kinds = ""
    for operand in operands:
        if operand.weak:
            kinds += operand.weak
        else:
            strong = operand.node.dtype if strong is None else dtypes.promote(strong, operand.node.dtype)
    weak = max(kinds, key="bifc".index) if kinds else ""
    if strong is None:
        return dtypes.WEAK_DEFAULT[weak or "f"], weak
    return (dtypes.promote_weak(strong, weak) if weak else strong), ""


def _promote_none(name: str, operands: list[Operand]) -> tuple[list[Node], str]:
    from pullback.ops import build

    return [build.convert(o.node, dtypes.WEAK_DEFAULT[o.weak]) if o.weak else o.node for o in operands], ""


def _promote_dtype(name: str, operands: list[Operand]) -> tuple[list[Node], str]:
    from pullback.ops import build

    dtype, weak = result_dtype(operands)
    return [o.node if o.node.dtype is dtype else build.convert(o.node, dtype) for o in operands], weak


def broadcast_shapes(name: str, nodes: list[Node]) -> tuple[int, ...]:
    """The common shape of operands, by NumPy's rule."""
    shapes = {n.shape for n in nodes}
    if len(shapes) > 1:
        shapes.discard(())
    if len(shapes) == 1:
        return shapes.pop()
    rank = max(len(n.shape) for n in nodes)
    shape = [1] * rank
    for node in nodes:
        for k, size in enumerate(node.shape, rank - len(node.shape)):
            if size != 1 and shape[k] not in (1, size):
                raise ShapeError(message(
                    f"{name}: shapes cannot be broadcast together",
                    [(chr(ord("x") + i) if i < 3 else f"x{i}", repr(n.type)) for i, n in enumerate(nodes)],
                    f"dimension {k} has sizes {shape[k]} and {size}; sizes must be equal or 1"))
            shape[k] = size if size != 1 else shape[k]
    return tuple(shape)


def _promote_broadcast(name: str, operands: list[Operand]) -> tuple[list[Node], str]:
    first = operands[0].node.tensor
    for operand in operands:
        if operand.weak or operand.node.tensor is not first:
            break
    else:  # of one type: nothing is to be done
        return [operand.node for operand in operands], ""
    dtype, weak = result_dtype(operands)
    shape = broadcast_shapes(name, [operand.node for operand in operands])
    return [_spread(operand, shape, dtype) for operand in operands], weak


def _spread(operand: Operand, shape: tuple[int, ...], dtype: DType) -> Node:
    """An operand in a shape and dtype that it promotes to."""
    from pullback.ops import build

    node = operand.node
    if operand.weak and not node.shape and getattr(node.op, "data", None) is not None:
        return build.number_in(node, shape, dtype)
    return broadcast_to(build.convert(node, dtype), shape)


def _promote_float(name: str, operands: list[Operand]) -> tuple[list[Node], str]:
    from pullback.ops import build

    nodes, weak = _promote_broadcast(name, operands)
    if not nodes[0].dtype.is_inexact:
        nodes = [build.convert(n, dtypes.default_float()) for n in nodes]
        weak = "f" if weak else ""
    return nodes, weak


def _promote_exact(name: str, operands: list[Operand]) -> tuple[list[Node], str]:
    return [o.node for o in operands], ""


_PROMOTE = {"exact": _promote_exact, "none": _promote_none, "dtype": _promote_dtype,
            "broadcast": _promote_broadcast, "float": _promote_float}


def broadcast_to(x: Node, shape: tuple[int, ...]) -> Node:
    """Repeat a node to a shape it broadcasts to, by NumPy's rule (the caller has checked)."""
    if x.shape == shape:
        return x
    from pullback.ops import build

    if not x.shape:
        return build.broadcast(x, shape, ())
    lead = len(shape) - len(x.shape)
    kept = [k for k, n in enumerate(x.shape) if n != 1 or shape[lead + k] == 1]
    squeezed = build.reshape(x, tuple(x.shape[k] for k in kept))
    return build.broadcast(squeezed, shape, tuple(lead + k for k in kept))
