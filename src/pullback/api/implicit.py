"""Solutions of equations, differentiated by the implicit function theorem; functions whose captured arrays are
arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.api.arguments import as_tensor
from pullback.api.creation import zeros_like
from pullback.engine.autograd import call_operation
from pullback.engine.functional import Traced, cast, jvp, value_of, vjp
from pullback.engine.rules import custom_jvp, custom_vjp
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import Info, Value, record
from pullback.util import tree
from pullback.util.errors import ArgumentError, message

Function = Callable[..., Any]


def closed_over(function: Function, args: tuple[Any, ...]) -> tuple[Function, list[Any]]:
    """`f(*args)` as a function `g(*args, *kept)` of what it closes over too, and `kept`, arrays of inexact dtypes."""
    leaves, structure = tree.flatten(args)
    tensors: list[TensorBase] = [as_tensor(x, "closed_over") for x in leaves]
    traced = Traced("closed_over", "staged", function, tensors, [Info.of(t.info.type) for t in tensors],
                    lambda new: (tuple(tree.unflatten(structure, new)), {}))
    own = {id(p) for p in traced.params}
    places = [k for k, v in enumerate(traced.leaves)
              if id(v) not in own and type(v) is Value and v.info.type.dtype.is_inexact]
    operation = traced.memo("closed_over", lambda program: call_operation(program, "closed_over"))
    cls = type(tensors[0]).result_class if tensors else TensorBase.default_class

    def converted(*given: Any) -> Any:
        count = len(given) - len(places)
        new, other = tree.flatten(tuple(given[:count]))
        if other != structure:
            raise ArgumentError(message("closed_over: arguments of another structure than the examples",
                                        [("examples", str(structure)), ("given", str(other))]))
        operands = traced.bind([value_of(as_tensor(x, "closed_over")) for x in new])
        for place, x in zip(places, given[count:], strict=True):
            operands[place] = cast(as_tensor(x, "closed_over"), traced.leaves[place].info.type)
        results = record(operation, operands)
        return tree.unflatten(traced.structure, [c(v) for c, v in zip(traced.classes, results, strict=True)])

    return converted, [cls(traced.leaves[k]) for k in places]


def _minus(x: Any) -> Any:
    return tree.map(lambda leaf: -leaf, x)


def custom_root(f: Function, initial_guess: Any, solve: Function, tangent_solve: Function,
                has_aux: bool = False) -> Any:
    """`solve(f, initial_guess)`, a root x of f, with the derivative that f(x) = 0 gives it, however it was found.

    `tangent_solve(g, y)` solves g(x) = y for linear g. With `has_aux`, `solve` returns (x, other results).
    """
    converted, kept = closed_over(f, (initial_guess,))
    root = custom_jvp(lambda guess, *given: solve(lambda x: converted(x, *given), guess))

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        found = root(*primals)
        x, given = (found[0] if has_aux else found), primals[1:]
        right = tree.map(zeros_like, x)
        if given:
            right = _minus(jvp(lambda *new: converted(x, *new), given, tangents[1:])[1])
        step = tangent_solve(lambda dx: jvp(lambda y: converted(y, *given), (x,), (dx,))[1], right)
        return (found, (step, tree.map(zeros_like, found[1]))) if has_aux else (found, step)

    root.defjvp(rule)
    return root(initial_guess, *kept)


def custom_linear_solve(matvec: Function, b: Any, solve: Function, transpose_solve: Function | None = None,
                        symmetric: bool = False, has_aux: bool = False) -> Any:
    """`solve(matvec, b)`, differentiated by solving again. With a `transpose_solve`, or for a `symmetric` matrix,
    reverse mode solves the transposed equations, and there is no forward mode; else both go through `solve`."""
    converted, kept = closed_over(matvec, (b,))

    def run(right: Any, *given: Any) -> Any:
        return solve(lambda x: converted(x, *given), right)

    if transpose_solve is None and not symmetric:
        return _forward_linear(run, converted, has_aux)(b, *kept)
    back = transpose_solve or solve
    function = custom_vjp(run)

    def forward(right: Any, *given: Any) -> Any:
        found = run(right, *given)
        return found, (found[0] if has_aux else found, given)

    def backward(residuals: Any, cotangent: Any) -> Any:
        x, given = residuals
        ct = cotangent[0] if has_aux else cotangent

        def transposed(y: Any) -> Any:
            if transpose_solve is None:
                return converted(y, *given)
            return vjp(lambda v: converted(v, *given), x)[1](y)[0]

        found = back(transposed, ct)
        found = found[0] if has_aux else found
        rest = vjp(lambda *new: converted(x, *new), *given)[1](_minus(found)) if given else ()
        return (found, *rest)

    function.defvjp(forward, backward)
    return function(b, *kept)


def _forward_linear(run: Function, converted: Function, has_aux: bool) -> Function:
    function = custom_jvp(run)

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        found = function(*primals)
        x, given = (found[0] if has_aux else found), primals[1:]
        right = tangents[0]
        if given:
            change = jvp(lambda *new: converted(x, *new), given, tangents[1:])[1]
            right = tree.map(lambda a, c: a - c, right, change)
        step = run(right, *given)
        return (found, (step[0], tree.map(zeros_like, step[1]))) if has_aux else (found, step)

    function.defjvp(rule)
    return function


__all__ = ["closed_over", "custom_linear_solve", "custom_root"]
