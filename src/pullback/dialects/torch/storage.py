"""What PyTorch says of a tensor's memory: storages (copies here), sizes changed in place, sharing and pinning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pullback.api import rejection
from pullback.api.rand import drawn_by
from pullback.dialects.torch.creation import default_generator, rand, tensor, zeros
from pullback.dialects.torch.tensors import Tensor, as_torch
from pullback.util.errors import ArgumentError, DTypeError, ShapeError, ValueError_, message


class Storage:
    """The numbers of a tensor in one line: a copy of them."""

    def __init__(self, array: Any, dtype: Any) -> None:
        self._array, self.dtype = array, dtype

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: Any) -> Any:
        return self._array[index].tolist()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._array.tolist())

    def size(self) -> int:
        """The number of elements."""
        return len(self._array)

    def nbytes(self) -> int:
        """The size in bytes."""
        return self._array.nbytes

    def element_size(self) -> int:
        """The size of an element in bytes."""
        return self._array.itemsize

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        return self._array.tolist()

    def data_ptr(self) -> int:
        """A number that identifies the copy."""
        return int(self._array.ctypes.data)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise ArgumentError(message("a storage is a copy of a tensor's numbers: writing to it changes nothing",
                                    [("index", str(index))], "write to the tensor: x.view(-1)[index] = value"))


def storage(self: Any) -> Storage:
    """The numbers in one line, copied."""
    return Storage(self.numpy().reshape(-1), self.dtype)


def untyped_storage(self: Any) -> Storage:
    """The bytes in one line, copied."""
    from pullback.dialects.torch.dtypes import SHOWN

    return Storage(np.ascontiguousarray(self.numpy()).reshape(-1).view(np.uint8), SHOWN["uint8"])


# -- in place ----------------------------------------------------------------------------------------------------------


def _become(x: Any, found: Any) -> Any:
    """Give a tensor other elements, of another shape: a storage of its own."""
    x._value, x._view = found._peek(), None
    return x


def _checked(x: Any, name: str) -> None:
    if x.requires_grad:
        raise ValueError_(message(f"{name}: a tensor that requires gradients cannot be resized",
                                  [("x", repr(x.info.type))], "x.detach() first"))


def resize_(self: Any, *sizes: Any, memory_format: Any = None) -> Any:
    """Change the shape; what is new is 0."""
    shape = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if any(n < 0 for n in shape):
        raise ShapeError(message("resize_: sizes are 0 or more", [("sizes", str(shape))], "x.reshape takes -1"))
    _checked(self, "resize_")
    need, have = int(np.prod(shape)), self.numel()
    flat = self.reshape(-1)
    flat = flat[:need] if need <= have else as_torch(flat).new_zeros(need).slice_scatter(flat, 0, 0, have)
    return _become(self, flat.reshape(shape))


def resize_as_(self: Any, the_template: Any, *, memory_format: Any = None) -> Any:
    """Take the shape of another tensor."""
    return resize_(self, tuple(the_template.shape))


def set_(self: Any, source: Any = None) -> Any:
    """Take the elements and the shape of another tensor (copied)."""
    _checked(self, "set_")
    if source is None:
        return _become(self, zeros(0, dtype=self.dtype))
    if not isinstance(source, Tensor):
        raise ArgumentError(message("set_: needs a tensor", [("source", type(source).__name__)],
                                    "storages are copies here"))
    return _become(self, source.detach().to(self.dtype).clone())


def apply_(self: Any, callable: Callable[[Any], Any]) -> Any:
    """Put what a function of Python numbers makes of each element in its place."""
    return _mapped(self, callable)


def map_(self: Any, tensor: Any, callable: Callable[[Any, Any], Any]) -> Any:
    """Put what a function of two Python numbers makes of each pair of elements in its place."""
    return _mapped(self, callable, tensor)


def _mapped(x: Any, function: Callable[..., Any], *others: Any) -> Any:
    if x.requires_grad:
        raise ValueError_(message("apply_, map_: Python functions have no gradients, which this tensor requires",
                                  [("x", repr(x.info.type))], "x.detach() first"))
    lists = [np.broadcast_to(o.detach().numpy(), x.shape).reshape(-1).tolist() for o in others]
    made = [function(*values) for values in zip(x.reshape(-1).tolist(), *lists, strict=True)]
    return x.copy_(tensor(made, dtype=x.dtype).reshape(x.shape))


# -- random numbers of other distributions -----------------------------------------------------------------------------


def _floats(x: Any, name: str) -> None:
    if not x.is_floating_point():
        raise DTypeError(message(f"{name}: only floating-point tensors are filled with such numbers",
                                 [("x", repr(x.info.type))], "x.float()"))


def cauchy_(self: Any, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Any:
    """Fill with numbers of Cauchy's distribution."""
    _floats(self, "cauchy_")
    u = rand(tuple(self.shape), generator=generator, dtype="float64")
    return self.copy_(((u - 0.5) * np.pi).tan() * sigma + median)


def log_normal_(self: Any, mean: float = 1, std: float = 2, *, generator: Any = None) -> Any:
    """Fill with exponentials of normal numbers."""
    _floats(self, "log_normal_")
    source = default_generator if generator is None else generator
    return self.copy_(tensor(source.log_normal(tuple(self.shape), mean, std)))


def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
    """Fill with the number of trials up to the first success."""
    if not 0 < p < 1:
        raise ValueError_(message("geometric_: p lies between 0 and 1", [("p", str(p))]))
    u = rand(tuple(self.shape), generator=generator, dtype="float64")
    return self.copy_((u.log() / float(np.log1p(-p))).ceil())


def poisson(input: Any, generator: Any = None) -> Any:
    """Whole numbers of Poisson's distribution with rates, drawn one at a time."""
    x = as_torch(input)
    _floats(x, "poisson")
    rates = x.detach().numpy()
    if not (rates >= 0).all():
        raise ValueError_(message("poisson: rates are 0 or more", [("input", repr(x.info.type))], "input.clamp(min=0)"))
    source = default_generator if generator is None else generator
    return drawn_by(tensor(rejection.drawn(rejection.poisson, source.unit, rates), dtype=x.dtype), x)


def binomial(count: Any, prob: Any, generator: Any = None) -> Any:
    """The number of successes of trials with a probability, drawn one at a time."""
    n, p = as_torch(count), as_torch(prob)
    _floats(n, "binomial")
    _floats(p, "binomial")
    trials, chances = np.broadcast_arrays(n.detach().numpy(), p.detach().numpy())
    if not ((trials >= 0).all() and ((chances >= 0) & (chances <= 1)).all()):
        raise ValueError_(message("binomial: counts are 0 or more, probabilities from 0 to 1",
                                  [("count", repr(n.info.type)), ("prob", repr(p.info.type))]))
    source = default_generator if generator is None else generator
    return tensor(rejection.drawn(rejection.binomial, source.unit, trials, chances), dtype=n.dtype)


# -- what is true of every tensor here ---------------------------------------------------------------------------------


def share_memory_(self: Any) -> Any:
    """The tensor itself: forked processes begin with its elements, and see no later changes."""
    return self


def to_dense(self: Any, dtype: Any = None, *, masked_grad: bool = True) -> Any:
    """The tensor itself: all are dense."""
    return self if dtype is None else self.to(dtype)


def _answer(name: str, value: Any, doc: str) -> Any:
    def method(self: Any, *args: Any) -> Any:
        return value

    method.__name__, method.__doc__ = name, doc
    return method


is_pinned = _answer("is_pinned", False, "False: there is no device to pin memory for.")
is_conj = _answer("is_conj", False, "False: conjugates are computed.")
is_neg = _answer("is_neg", False, "False: negatives are computed.")
is_inference = _answer("is_inference", False, "False.")
is_coalesced = _answer("is_coalesced", True, "True: all are dense.")


def is_set_to(self: Any, tensor: Any) -> bool:
    """Whether two tensors are one."""
    return self is tensor


def dim_order(self: Any) -> tuple[int, ...]:
    """The dimensions from the slowest to the fastest."""
    return tuple(range(self.ndim))


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
                  requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """A tensor to be filled; its elements are 0, and stand row by row whatever the strides."""
    return zeros(tuple(size), dtype=dtype, device=device, requires_grad=requires_grad, layout=layout)


def new_empty_strided(self: Any, size: Any, stride: Any, **options: Any) -> Any:
    """A tensor to be filled, with this one's dtype."""
    return self.new_zeros(tuple(size), **options)
