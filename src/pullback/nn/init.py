"""Initialisation of parameters, in place: `nn.init.xavier_uniform_(layer.weight)`.

Values are drawn on the host from the global generator and are concrete at once, so that initialisation does not become
part of the first training step.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from pullback.engine.tensor import TensorBase, from_host
from pullback.engine.trace import thread
from pullback.ir.dtypes import numpy_dtype
from pullback.nn import draw
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message

_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
           "sigmoid")


def assign(tensor: Any, array: Any) -> Any:
    """Give a tensor the values of an array, without gradients."""
    if not isinstance(tensor, TensorBase):
        raise ArgumentError(message("init: not a tensor", [("argument", f"{tensor!r:.60}")], "pass layer.weight"))
    here = thread.context
    before = here.grad_enabled
    here.grad_enabled = False
    try:
        tensor.assign_value(from_host(np.asarray(array), tensor.info.type.dtype)._peek())
    finally:
        here.grad_enabled = before
    return tensor


def _shape(tensor: Any) -> tuple[int, ...]:
    if not isinstance(tensor, TensorBase):
        raise ArgumentError(message("init: not a tensor", [("argument", f"{tensor!r:.60}")], "pass layer.weight"))
    return tensor.shape


def _fill(tensor: Any, value: float) -> Any:
    shape = _shape(tensor)
    return assign(tensor, np.full(shape, value, numpy_dtype(tensor.dtype)))


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Uniform in [a, b)."""
    _shape(tensor)
    return assign(tensor, draw.uniform(tensor, a, b, generator))


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Normal with a mean and standard deviation."""
    _shape(tensor)
    return assign(tensor, draw.normal(tensor, mean, std, generator))


def trunc_normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
                  generator: Any = None) -> Any:
    """Normal, values outside [a, b] drawn again."""
    if not a < b:
        raise ValueError_(message("trunc_normal_: a must be below b", [("a", repr(a)), ("b", repr(b))]))
    _shape(tensor)
    values = draw.normal(tensor, mean, std, generator).reshape(-1)
    for _ in range(10_000):
        outside = np.flatnonzero(~((values >= a) & (values <= b)))
        if not outside.size:
            break
        values[outside] = draw.normal(tensor, mean, std, generator).reshape(-1)[outside]
    return assign(tensor, np.clip(values, a, b).reshape(tensor.shape))


def constant_(tensor: Any, val: float) -> Any:
    """The same value everywhere."""
    return _fill(tensor, val)


def ones_(tensor: Any) -> Any:
    """One everywhere."""
    return _fill(tensor, 1.0)


def zeros_(tensor: Any) -> Any:
    """Zero everywhere."""
    return _fill(tensor, 0.0)


def _matrix(name: str, tensor: Any, least: int = 2, most: int = 2) -> tuple[int, ...]:
    shape = _shape(tensor)
    if not least <= len(shape) <= most:
        wanted = str(least) if least == most else f"{least} to {most}" if most < 64 else f"{least} or more"
        raise ShapeError(message(f"{name}: only tensors with {wanted} dimensions are supported",
                                 [("tensor", repr(tensor.info.type))]))
    return shape


def eye_(tensor: Any) -> Any:
    """The identity matrix."""
    rows, columns = _matrix("eye_", tensor)
    return assign(tensor, np.eye(rows, columns))


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Convolution kernels that pass channels through."""
    shape = _matrix("dirac_", tensor, 3, 5)
    if shape[0] % groups:
        raise ValueError_(message("dirac_: dim 0 must be divisible by groups", [("groups", str(groups))]))
    values = np.zeros(shape)
    per_group = shape[0] // groups
    centre = tuple(n // 2 for n in shape[2:])
    for g in range(groups):
        for k in range(min(per_group, shape[1])):
            values[(g * per_group + k, k, *centre)] = 1
    return assign(tensor, values)


#: a normal distribution cut at two deviations has this deviation itself
TRUNCATED = 0.87962566103423978


def fans(shape: tuple[int, ...], in_axis: int = 1, out_axis: int = 0) -> tuple[int, int]:
    """How many inputs an output has, and outputs an input, in weights of a shape; other axes are a receptive field."""
    used = (in_axis % len(shape), out_axis % len(shape))
    receptive = math.prod(n for k, n in enumerate(shape) if k not in used)
    return shape[in_axis] * receptive, shape[out_axis] * receptive


def fan_variance(scale: float, mode: str, fan_in: int, fan_out: int) -> float:
    """scale / fan: the variance of weights that keep that of their inputs; `mode` "fan_in", "fan_out" or "fan_avg"."""
    found = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in found:
        raise ValueError_(message("init: no such mode", [("mode", repr(mode))], "one of " + ", ".join(found)))
    return scale / found[mode]


def _fans(tensor: Any) -> tuple[int, int]:
    return fans(_matrix("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions", tensor, 2,
                        64))


def fan_of(tensor: Any, mode: str) -> int:
    """The number of inputs of each output ("fan_in"), or of outputs of each input ("fan_out")."""
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError_(message(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']"))
    return _fans(tensor)[mode.lower() == "fan_out"]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The gain recommended for a nonlinearity."""
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError_(message(f"negative_slope {param} not a valid number"))
        return math.sqrt(2.0 / (1 + slope ** 2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity not in gains:
        raise ValueError_(message(f"Unsupported nonlinearity {nonlinearity}",
                                  help="one of " + ", ".join((*_LINEAR, "leaky_relu", *gains))))
    return gains[nonlinearity]


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform with variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _kaiming(tensor: Any, a: float, mode: str, nonlinearity: str) -> float | None:
    """Standard deviation (None for an empty tensor)."""
    if 0 in _shape(tensor):
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_of(tensor, mode))


def kaiming_uniform_(tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator: Any = None) -> Any:
    """Uniform with variance gain^2 / fan (He et al. 2015)."""
    std = _kaiming(tensor, a, mode, nonlinearity)
    return tensor if std is None else uniform_(tensor, -math.sqrt(3.0) * std, math.sqrt(3.0) * std, generator)


def kaiming_normal_(tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator: Any = None) -> Any:
    """Normal with variance gain^2 / fan (He et al. 2015)."""
    std = _kaiming(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """A (semi-)orthogonal matrix times gain (Saxe et al. 2014)."""
    shape = _matrix("orthogonal_", tensor, 2, 64)
    if 0 in shape:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    flat = draw.normal(tensor, 0.0, 1.0, generator, (rows, columns)).astype(np.float64)
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diag(r))
    return assign(tensor, (gain * (q.T if rows < columns else q)).reshape(shape))


def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Normal, with a fraction of each column zero."""
    rows, columns = _matrix("sparse_", tensor)
    values = draw.normal(tensor, 0.0, std, generator)
    for column in range(columns):
        values[draw.order(tensor, rows, generator)[:math.ceil(sparsity * rows)], column] = 0
    return assign(tensor, values)
