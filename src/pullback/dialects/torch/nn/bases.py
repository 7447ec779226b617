"""The classes below PyTorch's layers, which programs ask instances for and derive their own from; and the layers
again, for the many files of `torch.nn.modules`."""

from __future__ import annotations

from typing import Any

from pullback.dialects.torch import nn
from pullback.nn import convolution, linear, loss, normalization, recurrent


class _Base(type):
    """The class of a class that every layer built on the library's own one is an instance of."""

    stands_for: tuple[type, ...]

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, vars(cls)["stands_for"]) if "stands_for" in vars(cls) else \
            type.__subclasscheck__(cls, subclass)


def _base(name: str, *classes: type) -> Any:
    return _Base(name, (nn.Module, classes[0]), {"stands_for": classes, "__module__": __name__,
                                                 "__doc__": f"The class below PyTorch's layers of this kind: {name}."})


_BatchNorm = _base("_BatchNorm", normalization._BatchNorm)
_InstanceNorm = _base("_InstanceNorm", normalization._InstanceNorm)
_NormBase = _base("_NormBase", normalization._ByBatch)
_ConvNd = _base("_ConvNd", convolution._Conv)
_Loss = _base("_Loss", loss._Loss)
_WeightedLoss = _base("_WeightedLoss", loss._Weighted, nn.BCEWithLogitsLoss)
_DropoutNd = _base("_DropoutNd", linear._Dropout)
RNNBase = _base("RNNBase", recurrent.RNNBase)
RNNCellBase = _base("RNNCellBase", recurrent.RNNCellBase)


def __getattr__(name: str) -> Any:
    return getattr(nn, name)
