"""All classes of `torch.distributions`, which PyTorch has in a module each."""

from __future__ import annotations

from typing import Any

from pullback import distributions
from pullback.dialects.torch.dtypes import Size
from pullback.dialects.torch.tensors import Tensor
from pullback.distributions.discrete import clamp_probs, logits_to_probs, probs_to_logits


def _styled(kind: Any) -> Any:
    """A class whose numbers become tensors of this dialect, and whose shapes are `torch.Size`."""
    found = type(kind.__name__, (kind,), {"array_type": Tensor, "shape_type": Size, "__doc__": kind.__doc__})
    found.__module__ = "torch.distributions"
    return found


#: classes that take no numbers
_SHARED = ("Distribution", "ExponentialFamily", "Independent", "TransformedDistribution", "MixtureSameFamily")
_found = {name: value for name, value in vars(distributions).items() if isinstance(value, type)}
globals().update({
    name: _styled(kind) if issubclass(kind, distributions.Distribution) and name not in _SHARED else kind
    for name, kind in _found.items()})
kl_divergence, register_kl = distributions.kl_divergence, distributions.register_kl
identity_transform = distributions.identity_transform
__all__ = ["clamp_probs", "identity_transform", "kl_divergence", "logits_to_probs", "probs_to_logits", "register_kl"]
__all__ += [*_found]
