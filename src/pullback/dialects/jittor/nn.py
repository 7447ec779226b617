"""Jittor's layers: modules with `execute`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback.api import activations, convolution, layers, linear_algebra, losses
from pullback.dialects import names
from pullback.dialects.jittor import functions, init
from pullback.dialects.jittor.optim import SGD as SGD
from pullback.dialects.jittor.optim import Adam as Adam
from pullback.dialects.jittor.optim import AdamW as AdamW
from pullback.dialects.jittor.optim import RMSprop as RMSprop
from pullback.dialects.jittor.scope import stored
from pullback.dialects.jittor.var import Var
from pullback.engine.rules import Function as NativeFunction
from pullback.engine.tensor import TensorBase
from pullback.nn.module import Module as Native
from pullback.util.errors import ArgumentError, AttributeError_, message


class Module(Native):
    """Base class of layers and models: subclasses define `execute`. Floating Vars set as attributes are parameters."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; subclasses define it."""
        raise AttributeError_(
            message(f"{type(self).__name__} has no execute()", help="define execute(self, ...) in the class")
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.execute(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Var) and value.dtype.is_inexact and not value.is_stop_grad():
            kept = value if value._stored else stored(value)
            fields = self.__dict__
            fields.pop("_skeleton", None)
            self._forget(name, "_parameters")
            fields["_parameters"][name] = fields[name] = kept
            return
        super().__setattr__(name, value)

    def parameters(self, recurse: bool = True) -> list[Any]:  # type: ignore[override]
        """All parameters, in a list."""
        return list(super().parameters(recurse))

    def is_training(self) -> bool:
        """Whether the module is in training mode."""
        return self.training

    def save(self, path: str) -> None:
        """Write the parameters to a file."""
        from pullback.io import save  # files are needed here only

        save(path, self.state_dict())

    def load(self, path: str) -> None:
        """Read the parameters from a file."""
        from pullback.io import load

        self.load_state_dict(load(path))


class Sequential(Module):
    """Modules one after another."""

    def __init__(self, *modules: Any) -> None:
        found = modules[0] if len(modules) == 1 and isinstance(modules[0], (list, tuple)) else modules
        for k, module in enumerate(found):
            self.append(module, str(k))

    def append(self, module: Any, name: str | None = None) -> None:
        """Add a module at the end."""
        self.register_module(str(len(self._modules)) if name is None else name, _as_module(module))

    def execute(self, x: Any) -> Any:
        for module in self._modules.values():
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, k: int) -> Any:
        return list(self._modules.values())[k]


class _Apply(Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.function, self.args, self.options = function, args, kwargs

    def execute(self, x: Any) -> Any:
        return self.function(x, *self.args, **self.options)


def _as_module(x: Any) -> Any:
    if not callable(x):
        raise ArgumentError(message("Sequential: not a module or function", [("given", f"{x!r:.60}")]))
    return x if isinstance(x, Native) else _Apply(x)


class Linear(Module):
    """y = x @ weight.T + bias."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        for size in (in_features, out_features):
            if not isinstance(size, int) or size < 1:
                raise ArgumentError(
                    message("Linear: sizes are positive whole numbers", [("given", repr((in_features, out_features)))])
                )
        self.in_features, self.out_features = in_features, out_features
        self.weight = init.invariant_uniform((out_features, in_features), "float32")
        bound = 1.0 / math.sqrt(in_features)
        self.bias = init.uniform((out_features,), "float32", -bound, bound) if bias else None

    def execute(self, x: Any) -> Any:
        return layers.linear(x, self.weight, self.bias)


class Conv(Module):
    """Convolution in two dimensions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        size = kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
        self.settings = (stride, padding, dilation, groups)
        self.weight = init.relu_invariant_gauss((out_channels, in_channels // groups, *size), "float32", "fan_out")
        bound = 1.0 / math.sqrt(in_channels // groups * math.prod(size))
        self.bias = init.uniform((out_channels,), "float32", -bound, bound) if bias else None

    def execute(self, x: Any) -> Any:
        stride, padding, dilation, groups = self.settings
        return convolution.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)


Conv2d = Conv


class BatchNorm(Module):
    """Mean 0 and variance 1 for each channel (dimension 1) of a batch, then scaled and shifted."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, is_train: bool = True
    ) -> None:
        self.eps, self.momentum, self.is_train = eps, momentum, is_train
        self.weight = functions.ones((num_features,)) if affine else None
        self.bias = functions.zeros((num_features,)) if affine else None
        self.register_buffer("running_mean", functions.zeros((num_features,)).stop_grad())
        self.register_buffer("running_var", functions.ones((num_features,)).stop_grad())

    def execute(self, x: Any) -> Any:
        training = self.is_train and self.is_training()
        return layers.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, self.momentum, self.eps
        )


BatchNorm1d = BatchNorm2d = BatchNorm


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last dimensions, then scaled and shifted."""

    def __init__(self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True) -> None:
        self.shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.weight = functions.ones(self.shape) if elementwise_affine else None
        self.bias = functions.zeros(self.shape) if elementwise_affine else None

    def execute(self, x: Any) -> Any:
        return layers.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


class Embedding(Module):
    """Rows of a table."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        self.weight = init.gauss((num_embeddings, embedding_dim), "float32")

    def execute(self, x: Any) -> Any:
        return layers.embedding(x, self.weight)


class Identity(Module):
    """The argument itself."""

    def execute(self, x: Any) -> Any:
        return x


class Pool(Module):
    """The greatest (or the mean) element of each window."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, op: str = "maximum") -> None:
        self.settings = (kernel_size, stride, padding)
        self.op = op

    def execute(self, x: Any) -> Any:
        pool = convolution.max_pool2d if self.op == "maximum" else convolution.avg_pool2d
        return pool(x, *self.settings)


class Dropout(Module):
    """Elements set to 0 at random while training."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def execute(self, x: Any) -> Any:
        return layers.dropout(x, self.p, self.is_training())


class Flatten(Module):
    """All dimensions but the first made one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.ends = (start_dim, end_dim)

    def execute(self, x: Any) -> Any:
        return x.flatten(*self.ends)


def _activation(name: str, function: Callable[..., Any]) -> Any:
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        self.args, self.options = args, kwargs

    return type(
        name,
        (Module,),
        {
            "__init__": construct,
            "__module__": __name__,
            "__doc__": function.__doc__,
            "execute": lambda self, x: function(x, *self.args, **self.options),
        },
    )


Relu = ReLU = _activation("ReLU", activations.relu)
Sigmoid, Tanh = (_activation(n, f) for n, f in (("Sigmoid", lambda x: x.sigmoid()), ("Tanh", lambda x: x.tanh())))
LeakyReLU = Leaky_relu = _activation("LeakyReLU", activations.leaky_relu)
GELU, ELU = _activation("GELU", activations.gelu), _activation("ELU", activations.elu)
Softmax = _activation("Softmax", activations.softmax)


def mse_loss(output: Any, target: Any, reduction: str = "mean") -> Any:
    """The mean of the squared differences."""
    return losses.mse_loss(output, functions.as_operand(target), reduction)


def cross_entropy_loss(
    output: Any, target: Any, weight: Any = None, ignore_index: Any = None, reduction: str = "mean"
) -> Any:
    """Softmax and negative log likelihood of the right classes."""
    return losses.cross_entropy(output, target, weight, -100 if ignore_index is None else ignore_index, reduction)


def matmul_transpose(a: Any, b: Any) -> Any:
    """a @ b.T"""
    return linear_algebra.matmul(a, b.mT)


class MSELoss(Module):
    """The mean of the squared differences."""

    def execute(self, output: Any, target: Any) -> Any:
        return mse_loss(output, target)


class CrossEntropyLoss(Module):
    """Softmax and negative log likelihood of the right classes."""

    def execute(self, output: Any, target: Any) -> Any:
        return cross_entropy_loss(output, target)


class L1Loss(Module):
    """The mean of the absolute differences."""

    def execute(self, output: Any, target: Any) -> Any:
        return losses.l1_loss(output, functions.as_operand(target))


class BCEWithLogitsLoss(Module):
    """Binary cross entropy of scores."""

    def execute(self, output: Any, target: Any) -> Any:
        return losses.binary_cross_entropy_with_logits(output, functions.as_operand(target))


class Function:
    """An operation with its own gradient: `execute(self, ...)` and `grad(self, cotangent)`."""

    def execute(self, *args: Any) -> Any:
        """The result; what `grad` needs is kept as attributes."""
        raise NotImplementedError

    def grad(self, *cotangents: Any) -> Any:
        """One gradient for each argument of `execute`."""
        raise NotImplementedError

    def __call__(self, *args: Any) -> Any:
        fields = self.__dict__

        class Applied(NativeFunction):
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                result = self.execute(*inputs)
                ctx.kept = [k for k, v in fields.items() if isinstance(v, TensorBase)]
                ctx.save_for_backward(*(fields[k] for k in ctx.kept))
                return result

            @staticmethod
            def backward(ctx: Any, *cotangents: Any) -> Any:
                fields.update(zip(ctx.kept, ctx.saved_tensors, strict=True))
                return self.grad(*cotangents)

        return Applied.apply(*args)

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Apply a new one."""
        return cls()(*args)


__getattr__, __dir__ = names(
    __name__,
    {
        "nn.containers": "ModuleList",
        "api.activations": "relu leaky_relu elu gelu relu6 softmax log_softmax softplus silu mish",
        "api.elementwise": "sigmoid tanh sign",
        "api.linear_algebra": "matmul bmm",
        "api.layers": "linear dropout embedding layer_norm",
        "api.losses": "l1_loss nll_loss binary_cross_entropy_with_logits smooth_l1_loss",
        "api.convolution": "conv2d max_pool2d avg_pool2d",
    },
)
