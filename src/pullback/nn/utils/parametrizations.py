"""Weights by direction and length, of spectral norm 1, orthogonal; the first two also in PyTorch's older form."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api.creation import eye, tril
from pullback.api.decompositions import householder_product, solve
from pullback.api.elementwise import clip, conj
from pullback.api.linear_algebra import matmul, vector_norm
from pullback.api.manipulation import diagonal, pad_pairs
from pullback.api.spectra import matrix_exp
from pullback.engine.control import no_grad
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir import dtypes
from pullback.nn import draw
from pullback.nn.module import Module
from pullback.nn.utils.parametrize import register_parametrization
from pullback.util.errors import NoInverseError, ShapeError, ValueError_, message


def norm_except_dim(x: Any, dim: int | None = 0) -> Any:
    """The norm over all dimensions but one, which are kept with size 1 (None: the norm of all)."""
    if dim is None or dim == -1:
        return vector_norm(x)
    k = dim % x.ndim
    return vector_norm(x, 2, tuple(d for d in range(x.ndim) if d != k), True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Any) -> Any:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """A weight as direction times length: g v / |v| (Salimans and Kingma 2016).

    >>> import pullback as pb
    >>> layer = pb.nn.utils.parametrizations.weight_norm(pb.nn.Linear(3, 2))
    >>> sorted(layer.state_dict())
    ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1']
    """
    return register_parametrization(module, name, _WeightNorm(dim))


class _SpectralNorm(Module):
    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise ValueError_(message("spectral_norm: n_power_iterations must be positive",
                                      [("n_power_iterations", repr(n_power_iterations))]))
        self.dim, self.eps, self.n_power_iterations = dim % max(weight.ndim, 1), eps, n_power_iterations
        if weight.ndim > 1:
            with no_grad():
                flat = self._matrix(weight)
                for name, size in (("_u", flat.shape[0]), ("_v", flat.shape[1])):
                    start = from_host(np.asarray(draw.normal(flat, 0, 1, None, (size,)), flat.info.type.dtype.numpy))
                    self.register_buffer(name, self._unit(start))
                self._iterate(flat, 15)

    def _matrix(self, weight: Any) -> Any:
        moved = weight.moveaxis(self.dim, 0) if self.dim else weight
        return moved.reshape((moved.shape[0], -1))

    def _unit(self, x: Any) -> Any:
        return x / clip(vector_norm(x), self.eps, None)

    def _iterate(self, weight: Any, times: int) -> None:
        with no_grad():
            for _ in range(times):
                u = self._unit(matmul(weight, self._v))
                v = self._unit(matmul(weight.mT, u))
                self._u.copy_(u)
                self._v.copy_(v)

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return weight / clip(vector_norm(weight), self.eps, None)
        flat = self._matrix(weight)
        if self.training:
            self._iterate(flat.detach(), self.n_power_iterations)
        u, v = self._u.detach().clone(), self._v.detach().clone()
        return weight / matmul(u, matmul(flat, v))

    def right_inverse(self, value: Any) -> Any:
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                  dim: int | None = None) -> Module:
    """A weight over its largest singular value, by power iteration (Miyato et al. 2018)."""
    weight = getattr(module, name)
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


_MAPS = ("matrix_exp", "cayley", "householder")


def _orthogonalised(array: Any) -> Any:
    """The Q of Q R, where R has a positive diagonal."""
    q, r = np.linalg.qr(array)
    diagonal = np.diagonal(r, axis1=-2, axis2=-1)
    return q * np.sign(np.where(diagonal == 0, 1, diagonal))[..., None, :]


def _is_orthogonal(array: Any) -> bool:
    n, k = array.shape[-2:]
    distance = np.abs(array.swapaxes(-2, -1).conj() @ array - np.eye(k, dtype=array.dtype))
    return n >= k and bool((distance <= 10 * n * np.finfo(array.dtype).eps).all())


class _Orthogonal(Module):
    """An orthogonal map of the entries below a diagonal, behind a fixed orthogonal matrix (the base) if there is one:
    the exponential or Cayley's map of an antisymmetric matrix, or a product of Householder's reflections."""

    def __init__(self, weight: Any, orthogonal_map: str, based: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map, self.based = tuple(weight.shape), orthogonal_map, based
        if based:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        wide = x.shape[-2] < x.shape[-1]
        flat = x.mT if wide else x
        q = self._reflected(flat) if self.orthogonal_map == "householder" else self._turned(flat)
        q = matmul(self.base, q) if self.based else q
        return q.mT if wide else q

    def _turned(self, x: Any) -> Any:
        n, k = x.shape[-2:]
        lower = tril(pad_pairs(x, (*((0, 0),) * (x.ndim - 1), (0, n - k)), "constant", 0))
        a = lower - conj(lower.mT)
        if self.orthogonal_map == "matrix_exp":
            return matrix_exp(a)[..., :, :k]
        one = eye(n, dtype=a.dtype)
        return solve(one - a / 2, one + a / 2)[..., :, :k]

    def _reflected(self, x: Any) -> Any:
        below = tril(x, -1)
        signs = diagonal(x, 0, -2, -1).detach().to(dtypes.int32).to(x.dtype)
        q = householder_product(below, 2.0 / (1.0 + (below * below).sum(-2)))
        return q * signs[..., None, :]

    def right_inverse(self, value: Any) -> Any:
        """The entries of a matrix; with a base, that becomes the matrix, and the entries those of the identity."""
        if tuple(value.shape) != self.shape:
            raise ShapeError(message(f"Expected a matrix or batch of matrices of shape {self.shape}",
                                     [("value", repr(value.info.type))], "assign a tensor of the weight's shape"))
        wide = value.shape[-2] < value.shape[-1]
        array = (value.mT if wide else value).detach().numpy()
        if not self.based:
            found = from_host(self._reflections(array), cls=value.result_class)
            return found.mT.clone() if wide else found
        n, k = array.shape[-2:]
        if n != k:
            more = draw.normal(value, 0, 1, None, (*array.shape[:-2], n, n - k))
            array = np.concatenate([array, np.asarray(more, array.dtype)], -1)
        base = array if n == k and _is_orthogonal(array) else _orthogonalised(array)
        self.base = from_host(np.ascontiguousarray(base, array.dtype), cls=value.result_class)
        return (value * 0 - eye(*value.shape[-2:], dtype=value.dtype)).detach()

    def _reflections(self, array: Any) -> Any:
        """What `forward` makes the orthogonal matrix of: reflections below the diagonal, signs on it."""
        if self.orthogonal_map != "householder":
            raise NoInverseError(message(
                "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                "use_trivialization=False", [("orthogonal_map", repr(self.orthogonal_map))],
                "leave use_trivialization=True, or take orthogonal_map='householder'"))
        raw, tau = np.linalg.qr(array, "raw")
        found = np.array(raw.swapaxes(-2, -1))
        places = np.arange(found.shape[-1])
        signs = np.sign(found[..., places, places])
        found[..., places, places] = np.where(tau == 0, -signs, signs)
        return found


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *,
               use_trivialization: bool = True) -> Module:
    """A weight with orthonormal rows or columns, whichever are fewer.

    With `use_trivialization` it starts at the present one, made orthogonal. The map is "matrix_exp" (of square and of
    complex matrices), "householder" (of others), or "cayley".

    >>> import pullback as pb
    >>> layer = pb.nn.utils.parametrizations.orthogonal(pb.nn.Linear(3, 2))
    >>> bool(pb.allclose(layer.weight @ layer.weight.mT, pb.eye(2), atol=1e-6))
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, TensorBase):
        raise ValueError_(message(f"Module {type(module).__name__} has no parameter or buffer with name {name!r}",
                                  [("name", repr(name))]))
    if weight.ndim < 2:
        raise ShapeError(message("orthogonal: expected a matrix or batch of matrices",
                                 [("weight", repr(weight.info.type))], "a weight of two or more dimensions"))
    is_complex = weight.info.type.dtype.kind == "c"
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] or is_complex else "householder"
    if orthogonal_map not in _MAPS or (is_complex and orthogonal_map == "householder"):
        raise ValueError_(message('orthogonal_map has to be one of "matrix_exp", "cayley", "householder" (of real '
                                  "matrices)", [("orthogonal_map", repr(orthogonal_map)),
                                                ("weight", repr(weight.info.type))]))
    return register_parametrization(module, name, _Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True)


# -- the older form: a hook in front of `forward` ----------------------------------------------------------------------


class _WeightNormHook:
    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def value(self, module: Any) -> Any:
        return _WeightNorm.forward(self, getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v"))  # pyright: ignore[reportArgumentType]

    def __call__(self, module: Any, args: Any) -> None:
        setattr(module, self.name, self.value(module))


def hooked_weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """`weight_norm` with the parameters `weight_g` and `weight_v` in the module itself."""
    weight: Any = getattr(module, name)
    hook = _WeightNormHook(name, dim)
    delattr(module, name)
    kind = type(weight)
    module.register_parameter(f"{name}_g", kind(norm_except_dim(weight, dim).detach()))
    module.register_parameter(f"{name}_v", kind(weight.detach()))
    setattr(module, name, hook.value(module))
    handles = module.__dict__.setdefault("_weight_norms", {})
    handles[name] = (module.register_forward_pre_hook(hook), hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter again."""
    held = module.__dict__.get("_weight_norms", {}).pop(name, None)
    if held is None:
        raise ValueError_(message(f"weight_norm of {name!r} not found in {type(module).__name__}", []))
    handle, hook = held
    weight = hook.value(module).detach()
    handle.remove()
    kind = type(getattr(module, f"{name}_g"))
    for part in ("g", "v"):
        delattr(module, f"{name}_{part}")
    delattr(module, name)
    module.register_parameter(name, kind(weight))
    return module


class _SpectralNormHook:
    def __init__(self, name: str, times: int, eps: float, dim: int) -> None:
        self.name, self.times, self.eps, self.dim = name, times, eps, dim

    def unit(self, x: Any) -> Any:
        return x / clip(vector_norm(x), self.eps, None)

    def matrix(self, weight: Any) -> Any:
        moved = weight.moveaxis(self.dim, 0) if self.dim else weight
        return moved.reshape((moved.shape[0], -1))

    def value(self, module: Any, iterate: bool) -> Any:
        weight = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        flat = self.matrix(weight)
        if iterate:
            with no_grad():
                for _ in range(self.times):
                    v.copy_(self.unit(matmul(flat.mT, u)))
                    u.copy_(self.unit(matmul(flat, v)))
        return weight / matmul(u.detach().clone(), matmul(flat, v.detach().clone()))

    def __call__(self, module: Any, args: Any) -> None:
        setattr(module, self.name, self.value(module, module.training))


def hooked_spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                         dim: int | None = None) -> Module:
    """`spectral_norm` with the parameter `weight_orig` and the vectors of the power iteration in the module itself."""
    if n_power_iterations <= 0:
        raise ValueError_(message("spectral_norm: n_power_iterations must be positive",
                                  [("n_power_iterations", repr(n_power_iterations))]))
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    weight: Any = getattr(module, name)
    hook = _SpectralNormHook(name, n_power_iterations, eps, dim % max(weight.ndim, 1))
    flat = hook.matrix(weight.detach())
    delattr(module, name)
    module.register_parameter(f"{name}_orig", type(weight)(weight.detach()))
    setattr(module, name, weight.detach())
    for part, size in (("u", flat.shape[0]), ("v", flat.shape[1])):
        start = from_host(np.asarray(draw.normal(flat, 0, 1, None, (size,)), flat.info.type.dtype.numpy))
        module.register_buffer(f"{name}_{part}", hook.unit(start))
    handles = module.__dict__.setdefault("_spectral_norms", {})
    handles[name] = (module.register_forward_pre_hook(hook), hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter again."""
    held = module.__dict__.get("_spectral_norms", {}).pop(name, None)
    if held is None:
        raise ValueError_(message(f"spectral_norm of {name!r} not found in {type(module).__name__}", []))
    handle, hook = held
    weight = hook.value(module, False).detach()
    handle.remove()
    kind = type(getattr(module, f"{name}_orig"))
    for part in ("orig", "u", "v"):
        delattr(module, f"{name}_{part}")
    delattr(module, name)
    module.register_parameter(name, kind(weight))
    return module


__all__ = ["hooked_spectral_norm", "hooked_weight_norm", "norm_except_dim", "orthogonal", "remove_spectral_norm",
           "remove_weight_norm", "spectral_norm", "weight_norm"]
