"""`torch.autograd.functional`. Results have no history unless `create_graph` asks for it."""

from __future__ import annotations

from typing import Any

from pullback.dialects.torch.autograd.strict import look
from pullback.dialects.torch.tensors import as_torch, styled_tree
from pullback.engine import functional as native
from pullback.engine.tensor import TensorBase
from pullback.util import tree
from pullback.util.errors import ArgumentError, ScalarOutputError, UnsupportedError, message


def _numbers(name: str, inputs: Any, create_graph: bool) -> tuple[tuple[Any, ...], Any]:
    """The inputs as a tuple, and which of them are differentiated."""
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    if not all(isinstance(x, TensorBase) for x in args):
        raise ArgumentError(message(f"{name}: inputs must be a tensor or a tuple of tensors",
                                    [("inputs", f"{inputs!r:.60}")], f"{name}(func, (x, y))"))
    args = args if create_graph else tuple(x.detach() for x in args)
    return args, tuple(range(len(args))) if isinstance(inputs, tuple) else 0


def _finished(found: Any, create_graph: bool) -> Any:
    return styled_tree(found if create_graph else tree.map(lambda x: x.detach(), found))


def _vector(name: str, v: Any, like: Any) -> Any:
    """The vector of a product; for one number it need not be given."""
    if v is not None:
        return v
    if isinstance(like, tuple) or as_torch(like).numel() != 1:
        raise ScalarOutputError(message(f"{name}: v may only be left out for a single number",
                                        [("shape", str(getattr(like, "shape", type(like).__name__)))],
                                        f"{name}(func, inputs, v)"))
    return as_torch(like).detach() * 0 + 1


def _strictly(strict: bool, name: str, func: Any, args: tuple[Any, ...], create_graph: bool,
              at_once: bool = False) -> None:
    if not strict:
        return
    if at_once:
        raise UnsupportedError(message(f"{name}: strict=True is not supported with vectorize=True or forward mode",
                                       [("strict", "True")], "strict=False, or reverse mode without vectorize"))
    look(name, func, args, create_graph)


def jacobian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode") -> Any:
    """The matrix of first derivatives."""
    args, numbers = _numbers("jacobian", inputs, create_graph)
    _strictly(strict, "jacobian", func, args, create_graph, vectorize or strategy == "forward-mode")
    build = native.jacfwd if strategy == "forward-mode" else native.jacrev
    return _finished(build(func, numbers)(*args), create_graph)


def hessian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The matrix of second derivatives."""
    args, numbers = _numbers("hessian", inputs, create_graph)
    _strictly(strict, "hessian", func, args, create_graph, vectorize or outer_jacobian_strategy == "forward-mode")
    return _finished(native.hessian(func, numbers)(*args), create_graph)


def vjp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value, and the product of a vector with the Jacobian."""
    args, _ = _numbers("vjp", inputs, create_graph)
    _strictly(strict, "vjp", func, args, create_graph)
    value, pull = native.vjp(func, *args)
    found = pull(_vector("vjp", v, value))
    return _finished((value, found if isinstance(inputs, tuple) else found[0]), create_graph)


def jvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value, and the product of the Jacobian with a vector."""
    args, _ = _numbers("jvp", inputs, create_graph)
    _strictly(strict, "jvp", func, args, create_graph)
    tangents = v if isinstance(v, tuple) else (_vector("jvp", v, inputs),)
    return _finished(native.jvp(func, args, tangents), create_graph)


def hvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value of a function of one number, and the product of its Hessian with a vector."""
    args, numbers = _numbers("hvp", inputs, create_graph)
    _strictly(strict, "hvp", func, args, create_graph)
    tangents = v if isinstance(v, tuple) else (_vector("hvp", v, inputs),)
    shapes: list[Any] = []

    def number(*new: Any) -> Any:
        value: Any = func(*new)
        if not isinstance(value, TensorBase) or value.info.type.size != 1:
            raise ScalarOutputError(message("hvp: the function should return a tensor with a single element",
                                            [("result", f"{getattr(value, 'shape', value)!s:.60}")], ".sum() of it"))
        shapes.append(value.shape)
        return as_torch(value).reshape(())

    (value, _), (_, product) = native.jvp(native.value_and_grad(number, numbers), args, tangents)
    return _finished((value.reshape(shapes[-1]) if shapes else value, product), create_graph)


def vhp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """`hvp`: Hessians are symmetric."""
    return hvp(func, inputs, v, create_graph, strict)
