"""Primitives with bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pullback.ir.node import Function, Node, Op, TensorType, TupleType, apply, evaluate, project


@dataclass(frozen=True)
class Call(Op):
    """results = function(inputs)."""

    name: ClassVar[str] = "call"
    lowering: ClassVar[str] = "inline"
    function: Function
    label: str = ""
    inline: bool = True

    def infer(self, *types: TensorType) -> TupleType:
        return TupleType(self.function.out_types)

    def reference(self, *arrays: Any) -> Any:
        return evaluate(self.function, *arrays)

    def jvp(self, transforms, inputs, output, tangents):
        f, active = transforms.jvp(self.function, tuple(t is not None for t in tangents))
        out = project(apply(Call(f, self.label), *inputs, *[t for t in tangents if t is not None]))
        n = len(self.function.results)
        it = iter(out[n:])
        return tuple(next(it) if a else None for a in active)

    def transpose(self, transforms, cotangent, inputs, linear):
        f = transforms.transpose(self.function, linear)
        from pullback.ops import build
        cts = [c if c is not None else build.zeros(t.shape, t.dtype) for c, t in zip(cotangent, self.function.out_types)]
        out = iter(project(apply(Call(f, self.label), *[x for x, l in zip(inputs, linear) if not l], *cts)))
        return [next(out) if l else None for l in linear]
