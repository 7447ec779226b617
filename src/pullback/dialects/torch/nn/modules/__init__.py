"""`torch.nn.modules`: the layers again, also by the files that PyTorch has them in."""

from importlib import import_module
from typing import Any

from pullback.dialects import names
from pullback.dialects.torch import nn

_find, __dir__ = names(__name__, {
    "dialects.torch.nn.bases": """activation= batchnorm= container= conv= distance= dropout= flatten= fold=
        instancenorm= lazy= linear= loss= normalization= padding= pixelshuffle= pooling= rnn= sparse=
        transformer= upsampling=""",
    "dialects.torch.nn.tuples": "utils=",
})


def __getattr__(name: str) -> Any:
    if name == "module":
        return import_module("pullback.dialects.torch.nn.modules.module")
    return _find(name) if name in __dir__() else getattr(nn, name)
