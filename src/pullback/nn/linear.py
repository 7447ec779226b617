"""Linear layers, embeddings, dropout and changes of shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.api.arguments import check_memory, number
from pullback.engine.tensor import from_host
from pullback.ir.dtypes import dtype_of, float32, numpy_dtype
from pullback.nn import functional as F
from pullback.nn import init
from pullback.nn.module import Module
from pullback.nn.parameter import Parameter
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message


def empty(shape: tuple[int, ...], dtype: Any = None) -> Parameter:
    """A parameter of zeros, to be filled by `reset_parameters`."""
    chosen = float32 if dtype is None else dtype_of(dtype)
    check_memory(shape, chosen, "a layer's parameter")
    return Parameter(from_host(np.zeros(shape, numpy_dtype(chosen)), chosen))


def add_bias(module: Module, size: int, wanted: bool, dtype: Any) -> None:
    """Give a module a parameter `bias`; it is None where it is not wanted."""
    module.register_parameter("bias", empty((size,), dtype) if wanted else None)


def draw_affine(weight: Parameter, bias: Parameter | None, fan_in: int) -> None:
    """Uniform in +-1/sqrt(fan_in): the weight as Kaiming with a = sqrt(5)."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(fan_in) if fan_in else 0
        init.uniform_(bias, -bound, bound)


def check_sizes(owner: str, smallest: int = 1, **sizes: Any) -> None:
    """Refuse sizes that are no integers or too small."""
    for name, size in sizes.items():
        if not hasattr(size, "__index__") or isinstance(size, bool):
            raise ArgumentError(message(f"{owner}: {name} must be an integer", [(name, repr(size))],
                                        f"{name}={max(smallest, 1)} or more"))
        if size.__index__() < smallest:
            raise ValueError_(message(f"{owner}: {name} must be at least {smallest}", [(name, repr(size))],
                                     f"{name}={smallest} or more"))


class Identity(Module):
    """Returns its input; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Linear(Module):
    """y = x @ weight.T + bias, on the last dimension.

    >>> import pullback as pb
    >>> pb.nn.Linear(3, 2)(pb.ones((4, 3))).shape
    (4, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        check_sizes("Linear", 0, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = empty((out_features, in_features), dtype)
        add_bias(self, out_features, bias, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(in_features), as Kaiming with a = sqrt(5)."""
        draw_affine(self.weight, self.bias, self.in_features)

    def forward(self, input: Any) -> Any:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y[..., k] = x1 @ weight[k] @ x2 + bias[k]."""

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        check_sizes("Bilinear", in1_features=in1_features, in2_features=in2_features, out_features=out_features)
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = empty((out_features, in1_features, in2_features), dtype)
        add_bias(self, out_features, bias, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(in1_features)."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
                f"out_features={self.out_features}, bias={self.bias is not None}")


class Embedding(Module):
    """Rows of a table by index. The row `padding_idx` is zero and gets no gradient."""

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
                 max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                 sparse: bool = False, _weight: Any = None, _freeze: bool = False, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        check_sizes("Embedding", 0, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError_(message("Embedding: padding_idx must be within num_embeddings",
                                      [("padding_idx", repr(padding_idx)), ("num_embeddings", repr(num_embeddings))],
                                      "the number of a row, or None"))
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.sparse = sparse
        self.padding_idx = padding_idx % num_embeddings if padding_idx is not None else None
        if _weight is None:
            self.weight = empty((num_embeddings, embedding_dim), dtype)
            self.reset_parameters()
        elif tuple(_weight.shape) != (num_embeddings, embedding_dim):
            raise ShapeError(message("Shape of weight does not match num_embeddings and embedding_dim",
                                     [("weight", repr(_weight.info.type))]))
        else:
            self.weight = Parameter(_weight)
        self.weight.requires_grad = not _freeze

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None,
                        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                        sparse: bool = False) -> Embedding:
        """A layer whose table is given."""
        if embeddings.ndim != 2:
            raise ShapeError(message("Embedding.from_pretrained: embeddings must have two dimensions",
                                     [("embeddings", repr(embeddings.info.type))]))
        rows, features = embeddings.shape
        return cls(rows, features, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)

    def reset_parameters(self) -> None:
        """Standard normal; the padding row is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            table = self.weight.numpy()
            table[self.padding_idx] = 0
            init.assign(self.weight, table)

    def forward(self, input: Any) -> Any:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq,
                           self.sparse)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        defaults = (("padding_idx", None), ("max_norm", None), ("norm_type", 2.0), ("scale_grad_by_freq", False),
                    ("sparse", False))
        return text + "".join(f", {k}={getattr(self, k)}" for k, usual in defaults if getattr(self, k) != usual)


class Flatten(Module):
    """Dimensions `start_dim` to `end_dim` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        rank = input.ndim
        start, end = self.start_dim % max(rank, 1), self.end_dim % max(rank, 1)
        if not -rank <= self.start_dim < rank or not -rank <= self.end_dim < rank or start > end:
            raise ShapeError(message("Flatten: the dimensions do not fit the input",
                                     [("input", repr(input.info.type)), ("start_dim", repr(self.start_dim)),
                                      ("end_dim", repr(self.end_dim))], "Flatten(1) wants a batch dimension in front"))
        shape = input.shape
        return input.reshape((*shape[:start], math.prod(shape[start:end + 1]), *shape[end + 1:]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dimension as several."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise ArgumentError(message("unflatten: dim must be an integer", [("dim", repr(dim))]))
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Any) -> Any:
        shape = input.shape
        if not -len(shape) <= self.dim < len(shape):
            raise ShapeError(message("Unflatten: the dimension does not fit the input",
                                     [("input", repr(input.info.type)), ("dim", repr(self.dim))]))
        k = self.dim % len(shape)
        sizes = list(self.unflattened_size)
        if sizes.count(-1) == 1:
            known = -math.prod(sizes)
            sizes[sizes.index(-1)] = shape[k] // known if known else 0
        if math.prod(sizes) != shape[k]:
            raise ShapeError(message(
                f"unflatten: sizes {self.unflattened_size} don't multiply up to the size of dim {k}",
                [("input", repr(input.info.type))], f"sizes whose product is {shape[k]}"))
        return input.reshape((*shape[:k], *sizes, *shape[k + 1:]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= number(p, type(self).__name__, "p") <= 1.0:
            raise ValueError_(message(f"dropout probability has to be between 0 and 1, but got {p}",
                                      help="p=0.5 sets half of the elements to zero"))
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, sets each element to zero with probability p and scales the others by 1/(1-p)."""

    def forward(self, input: Any) -> Any:
        if not self.training or self.p == 0.0:
            return input
        return F.dropout(input, self.p, True, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of SELU activations. As in PyTorch only the function works in place."""

    def forward(self, input: Any) -> Any:
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels."""

    def forward(self, input: Any) -> Any:
        return F.feature_alpha_dropout(input, self.p, self.training)


class _ChannelDropout(_Dropout):
    def forward(self, input: Any) -> Any:
        return F.dropout2d(input, self.p, True, self.inplace) if self.training else input


class Dropout1d(_ChannelDropout):
    """Dropout of whole channels of [batch, channels, length]."""

    def forward(self, input: Any) -> Any:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_ChannelDropout):
    """Dropout of whole channels of [batch, channels, height, width]."""


class Dropout3d(_ChannelDropout):
    """Dropout of whole channels of [batch, channels, depth, height, width]."""


class CosineSimilarity(Module):
    """Cosine of the angle between vectors along a dimension."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
