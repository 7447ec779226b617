"""`torch.special`: the array room's special functions."""

from __future__ import annotations

from typing import Any

from pullback.api import special
from pullback.dialects import names
from pullback.dialects.torch.arguments import named
from pullback.dialects.torch.composed import as_special
from pullback.dialects.torch.tensors import as_torch, styled


def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """The logarithm of the sum of exponentials over dimensions."""
    return as_torch(input).logsumexp(dim, keepdim)


def softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """exp(x) over its sum along a dimension."""
    return as_torch(input).softmax(dim, dtype)


def log_softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The logarithm of softmax."""
    return as_torch(input).log_softmax(dim, dtype)


def zeta(input: Any, other: Any) -> Any:
    """Hurwitz's zeta function."""
    return styled(special.zeta(input, other))


ndtr, ndtri, log_ndtr, entr, i0, i0e, i1, i1e, xlog1py, sinc = map(as_special, (
    special.ndtr, special.ndtri, special.log_ndtr, special.entr, special.i0, special.i0e, special.i1, special.i1e,
    special.xlog1py, special.sinc))
__getattr__, __dir__ = names(__name__, {
    "dialects.torch.written": """digamma psi=digamma erf erfc erfinv exp2 expm1 expit=sigmoid gammaln=lgamma log1p logit
        xlogy round""",
    "dialects.torch.composed": "polygamma multigammaln=mvlgamma",
}, named)
