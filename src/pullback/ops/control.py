"""Primitives with bodies that run once: calls, named composites, users' rules, recomputation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

import pullback.ops.build as b
from pullback.ir.dtypes import float64
from pullback.ir.node import Function, Node, Op, TensorType, Transforms, TupleType, evaluate, param, primitive, project
from pullback.ops.loops import Cond as Cond
from pullback.ops.loops import Scan as Scan
from pullback.ops.loops import While as While
from pullback.ops.loops import absorb as absorb
from pullback.ops.loops import check_body, guarded
from pullback.ops.map import Sample
from pullback.ops.partial import pick
from pullback.util.errors import GradientError, message


def tangent_part(transforms: Transforms, function: Function,
                 active: tuple[bool, ...]) -> tuple[Function, tuple[bool, ...]]:
    """(x..., active tangents...) -> the active tangents of the results."""
    both, out = transforms.jvp(function, active)
    return Function(both.params, both.results[len(function.results):]), out


def spread(found: Sequence[Node], flags: Sequence[bool]) -> tuple[Node | None, ...]:
    """Items at the flagged places, None elsewhere."""
    rest = iter(found)
    return tuple(next(rest) if k else None for k in flags)


class _Body(Op):
    """A primitive that means its body."""

    lowering: ClassVar[str] = "inline"
    function: Function

    def again(self, function: Function) -> Op:
        """The same primitive of another body."""
        raise NotImplementedError

    def function_for(self, types: Sequence[TensorType]) -> Function:
        """The body."""
        return self.function

    def infer(self, *types: TensorType) -> TupleType:
        check_body(self.name, self.function, types)
        return TupleType(self.function.out_types)

    def reference(self, *arrays: Any) -> Any:
        return evaluate(self.function, *arrays)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        part, out = tangent_part(transforms, self.function, tuple(t is not None for t in tangents))
        return spread(part(*inputs, *(t for t in tangents if t is not None)), out)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        backward = transforms.transpose(self.function, linear)
        known = pick(inputs, [not k for k in linear])
        cts = b.materialise(cotangent, self.function.results)
        return spread(project(b.apply(self.again(backward), *known, *cts)), linear)

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        everywhere = (True,) * len(self.function.results)
        function, _ = transforms.batch(self.function, batched, size, everywhere)
        return b.apply(self.again(function), *inputs)

    def only_where(self, condition: Node, *inputs: Node) -> Node | None:
        function = guarded(self.function)
        return function and b.apply(self.again(function), condition, *inputs)


def _sample_function(shape: tuple[int, ...] = (3,)) -> Function:
    x, y = (param(TensorType.of(shape, float64)) for _ in range(2))
    return Function([x, y], [b.mul(b.unary("sin", x), y), b.add(x, y)])


def _sample_arrays(shape: tuple[int, ...] = (3,)) -> list[Any]:
    x = np.linspace(0.1, 1.0, b.count(shape)).reshape(shape)
    return [x, x + 1]


@primitive
class Call(_Body):
    """outs = function(inputs); kept as one function where not `inline`."""

    name: ClassVar[str] = "call"
    function: Function
    label: str = ""
    inline: bool = True

    def again(self, function: Function) -> Op:
        return Call(function, self.label, self.inline)

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Call(_sample_function()), _sample_arrays()
        yield Call(_sample_function((0, 2)), "f", False), _sample_arrays((0, 2))


@primitive
class Composite(_Body):
    """outs = function(inputs), under a name that the scheduler may know a better kernel for."""

    name: ClassVar[str] = "composite"
    label: str
    function: Function

    def again(self, function: Function) -> Op:
        return Composite(self.label, function)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return Call(self.function, self.label).transpose(transforms, cotangent, inputs, linear)

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Composite("sample", _sample_function()), _sample_arrays()
        yield Composite("sample", _sample_function((1,))), _sample_arrays((1,))


@primitive
class Barrier(Op):
    """outs = inputs, all computed before any is used: what uses them is not merged with what is before."""

    name: ClassVar[str] = "barrier"
    lowering: ClassVar[str] = "barrier"

    def infer(self, *types: TensorType) -> TupleType:
        return TupleType(types)

    def reference(self, *arrays: Any) -> Any:
        return arrays

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        return tangents

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return tuple(ct if k else None for ct, k in zip(cotangent, linear, strict=True))

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        return b.apply(self, *(x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)))

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Barrier(), _sample_arrays()
        yield Barrier(), [np.zeros((0, 2)), np.arange(3)]


@primitive
class Checkpoint(_Body):
    """outs = function(inputs); the backward pass recomputes the body from its inputs instead of keeping residuals."""

    name: ClassVar[str] = "checkpoint"
    function: Function
    label: str = ""

    def again(self, function: Function) -> Op:
        return Checkpoint(function, self.label)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        part, out = tangent_part(transforms, self.function, tuple(t is not None for t in tangents))
        given = [t for t in tangents if t is not None]
        return spread(project(b.apply(self.again(part), *inputs, *given)), out)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        backward = transforms.transpose(self.function, linear)
        known = pick(inputs, [not k for k in linear])
        cts = b.materialise(cotangent, self.function.results)
        return spread(backward(*project(b.apply(Barrier(), *known, *cts))), linear)

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Checkpoint(_sample_function()), _sample_arrays()
        yield Checkpoint(_sample_function((2, 0))), _sample_arrays((2, 0))


Rule = Callable[..., Any]


@primitive
class Custom(_Body):
    """outs = function(inputs), with the user's derivative.

    jvp_rule(inputs, tangents) -> (outputs, tangents of outputs; None where these are zero). vjp_rule(inputs, outputs,
    cotangents) -> cotangents of the inputs (None where there is none). All are sequences of nodes; missing tangents
    come as zeros.
    """

    name: ClassVar[str] = "custom"
    absent: ClassVar[dict[str, str]] = {"transpose": "its tangent is the user's rule, transposed as such"}
    function: Function
    jvp_rule: Rule | None = None
    vjp_rule: Rule | None = None
    label: str = ""

    def again(self, function: Function) -> Op:
        return Custom(function, self.jvp_rule, self.vjp_rule, self.label)

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        inexact = tuple(r.dtype.is_inexact for r in self.function.results)
        if self.jvp_rule is not None:
            _, found = self.jvp_rule(inputs, b.materialise(tangents, inputs))
            return found and tuple(t if k else None for t, k in zip(found, inexact, strict=True))
        if self.vjp_rule is None:
            return super().jvp(transforms, inputs, output, tangents)
        active = tuple(t is not None for t in tangents)
        op = CustomLinear(self.vjp_rule, len(inputs), active, inexact, self.label)
        given = [t for t in tangents if t is not None]
        return spread(project(b.apply(op, *inputs, *project(output), *given)), inexact)

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        return Call(self.function, self.label).transpose(transforms, cotangent, inputs, linear)

    def only_where(self, condition: Node, *inputs: Node) -> Node | None:
        return None  # the user's rules take these inputs and no others

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        results = self.function.results
        function, _ = transforms.batch(self.function, batched, size, (True,) * len(results))
        types = tuple(x.tensor for x in self.function.params)
        outs = tuple(r.tensor for r in results)
        forward = backward = None
        if self.jvp_rule is not None:
            forward = BatchedJvp(self.jvp_rule, types, batched, size, transforms)
        if self.vjp_rule is not None:
            backward = BatchedVjp(self.vjp_rule, types, outs, batched, size, transforms)
        return b.apply(Custom(function, forward, backward, self.label), *inputs)

    @staticmethod
    def samples() -> Iterator[Sample]:
        yield Custom(_sample_function(), _rule_forward, None), _sample_arrays()
        yield Custom(_sample_function(), None, _rule_backward), _sample_arrays()
        yield Custom(_sample_function()), _sample_arrays()


def with_rule(label: str, f: Callable[..., Any], rule: Rule, *inputs: Node) -> tuple[Node, ...]:
    """f(inputs...) with `rule(inputs, tangents) -> (outputs, tangents)` as its derivative."""
    params = [param(x.tensor) for x in inputs]
    found = f(*params)
    results = (found,) if isinstance(found, Node) else tuple(found)
    return project(b.apply(Custom(Function(params, results), rule, None, label), *inputs))


def by_steps(label: str, f: Callable[..., Node], *inputs: Node) -> Node:
    """f(inputs...), which changes with its inputs by steps alone: its derivative is zero."""
    params = [param(x.tensor) for x in inputs]
    op = Custom(Function(params, [f(*params)]), _no_slope, None, label)
    return project(b.apply(op, *inputs))[0]


def _no_slope(inputs: Sequence[Node], tangents: Sequence[Node]) -> Any:
    return None, None


def _rule_forward(inputs: Sequence[Node], tangents: Sequence[Node]) -> Any:
    (x, y), (tx, ty) = inputs, tangents
    sine = b.unary("sin", x)
    first = b.add(b.mul(b.mul(b.unary("cos", x), tx), y), b.mul(sine, ty))
    return (b.mul(sine, y), b.add(x, y)), (first, b.add(tx, ty))


def _rule_backward(inputs: Sequence[Node], outputs: Sequence[Node], cts: Sequence[Node]) -> Any:
    (x, y), (p, q) = inputs, cts
    return b.add(b.mul(b.mul(b.unary("cos", x), p), y), q), b.add(b.mul(b.unary("sin", x), p), q)


@primitive
class CustomLinear(Op):
    """The tangents of a function whose user gave the cotangents' rule only: its transpose is that rule.

    Inputs: the function's inputs, its outputs, the tangents of its active inputs.
    """

    name: ClassVar[str] = "custom_linear"
    lowering: ClassVar[str] = "inline"
    absent: ClassVar[dict[str, str]] = {"reference": "the user's rule is backward only",
                                        "samples": "only made by Custom, and tested with it"}
    rule: Rule
    count: int
    active: tuple[bool, ...]
    inexact: tuple[bool, ...]
    label: str = ""

    def _parts(self, inputs: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        stop = self.count + len(self.inexact)
        return inputs[:self.count], inputs[self.count:stop], inputs[stop:]

    def _forward_only(self) -> GradientError:
        return GradientError(message(
            f"jvp: {self.label or 'a custom function'} has a backward rule only", [],
            "give it a jvp rule, or take the derivative in reverse mode (grad, vjp)"))

    def function_for(self, types: Sequence[TensorType]) -> Function:
        """There is none to inline: only a transpose can remove this primitive from a program."""
        raise self._forward_only()

    def infer(self, *types: TensorType) -> TupleType:
        return TupleType(tuple(pick(self._parts(types)[1], self.inexact)))

    def reference(self, *arrays: Any) -> Any:
        raise self._forward_only()

    def jvp(self, transforms: Transforms, inputs: tuple[Node, ...], output: Node,
            tangents: tuple[Node | None, ...]) -> Any:
        known = self.count + len(self.inexact)
        if any(t is not None for t in tangents[:known]):
            raise self._forward_only()
        _, _, given = self._parts(tangents)
        filled = b.materialise(given, inputs[known:])
        return project(b.apply(self, *inputs[:known], *filled))

    def transpose(self, transforms: Transforms, cotangent: Any, inputs: tuple[Node, ...],
                  linear: tuple[bool, ...]) -> Sequence[Node | None]:
        primals, outputs, tangents = self._parts(inputs)
        full = spread(list(cotangent), self.inexact)
        cts = self.rule(primals, outputs, b.materialise(full, outputs))
        return (*(None,) * (len(inputs) - len(tangents)), *pick(list(cts), self.active))

    def batch(self, transforms: Transforms, size: int, inputs: tuple[Node, ...], batched: tuple[bool, ...]) -> Any:
        all_ = [x if k else b.lead(x, size) for x, k in zip(inputs, batched, strict=True)]
        plain = [x.tensor.with_shape(x.shape[1:]) for x in all_]
        primals, outs, _ = self._parts(plain)
        rule = BatchedVjp(self.rule, tuple(primals), tuple(outs), (True,) * self.count, size, transforms)
        return b.apply(CustomLinear(rule, self.count, self.active, self.inexact, self.label), *all_)


class BatchedJvp(NamedTuple):
    """A jvp rule over one more leading dimension."""

    rule: Rule
    types: tuple[TensorType, ...]
    batched: tuple[bool, ...]
    size: int
    transforms: Transforms

    def __call__(self, inputs: Sequence[Node], tangents: Sequence[Node]) -> Any:
        xs, ts = ([param(t) for t in self.types] for _ in range(2))
        outs, touts = self.rule(xs, ts)
        if touts is None:
            return None, None
        count = len(outs)
        function = Function([*xs, *ts], [*outs, *touts])
        flags = (*self.batched, *self.batched)
        batched, _ = self.transforms.batch(function, flags, self.size, (True,) * (2 * count))
        found = batched(*inputs, *tangents)
        return found[:count], found[count:]


class BatchedVjp(NamedTuple):
    """A vjp rule over one more leading dimension; the cotangents of inputs that lack it are summed over it."""

    rule: Rule
    types: tuple[TensorType, ...]
    outs: tuple[TensorType, ...]
    batched: tuple[bool, ...]
    size: int
    transforms: Transforms

    def __call__(self, inputs: Sequence[Node], outputs: Sequence[Node], cotangents: Sequence[Node]) -> Any:
        xs, ys, cts = ([param(t) for t in types] for types in (self.types, self.outs, self.outs))
        found = list(self.rule(xs, ys, cts))
        there = [ct is not None for ct in found]
        function = Function([*xs, *ys, *cts], pick(found, there))
        flags = (*self.batched, *(True,) * (2 * len(ys)))
        batched, _ = self.transforms.batch(function, flags, self.size, (True,) * sum(there))
        results = spread(batched(*inputs, *outputs, *cotangents), there)
        pairs = zip(results, self.batched, strict=True)
        return [ct if ct is None or k else b.reduce("add", ct, (0,)) for ct, k in pairs]
