"""Neural network layers, losses and their parameters, with PyTorch's names."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pullback.nn import functional as functional
from pullback.nn import init as init
from pullback.nn import utils as utils
from pullback.nn.activation import CELU as CELU
from pullback.nn.activation import ELU as ELU
from pullback.nn.activation import GELU as GELU
from pullback.nn.activation import GLU as GLU
from pullback.nn.activation import SELU as SELU
from pullback.nn.activation import Hardshrink as Hardshrink
from pullback.nn.activation import Hardsigmoid as Hardsigmoid
from pullback.nn.activation import Hardswish as Hardswish
from pullback.nn.activation import Hardtanh as Hardtanh
from pullback.nn.activation import LeakyReLU as LeakyReLU
from pullback.nn.activation import LogSigmoid as LogSigmoid
from pullback.nn.activation import LogSoftmax as LogSoftmax
from pullback.nn.activation import Mish as Mish
from pullback.nn.activation import PReLU as PReLU
from pullback.nn.activation import ReLU as ReLU
from pullback.nn.activation import ReLU6 as ReLU6
from pullback.nn.activation import Sigmoid as Sigmoid
from pullback.nn.activation import SiLU as SiLU
from pullback.nn.activation import Softmax as Softmax
from pullback.nn.activation import Softmax2d as Softmax2d
from pullback.nn.activation import Softmin as Softmin
from pullback.nn.activation import Softplus as Softplus
from pullback.nn.activation import Softshrink as Softshrink
from pullback.nn.activation import Softsign as Softsign
from pullback.nn.activation import Tanh as Tanh
from pullback.nn.activation import Tanhshrink as Tanhshrink
from pullback.nn.activation import Threshold as Threshold
from pullback.nn.containers import DataParallel as DataParallel
from pullback.nn.containers import ModuleDict as ModuleDict
from pullback.nn.containers import ModuleList as ModuleList
from pullback.nn.containers import ParameterDict as ParameterDict
from pullback.nn.containers import ParameterList as ParameterList
from pullback.nn.containers import Sequential as Sequential
from pullback.nn.convolution import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from pullback.nn.convolution import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from pullback.nn.convolution import AdaptiveMaxPool1d as AdaptiveMaxPool1d
from pullback.nn.convolution import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from pullback.nn.convolution import AvgPool1d as AvgPool1d
from pullback.nn.convolution import AvgPool2d as AvgPool2d
from pullback.nn.convolution import AvgPool3d as AvgPool3d
from pullback.nn.convolution import ConstantPad1d as ConstantPad1d
from pullback.nn.convolution import ConstantPad2d as ConstantPad2d
from pullback.nn.convolution import Conv1d as Conv1d
from pullback.nn.convolution import Conv2d as Conv2d
from pullback.nn.convolution import Conv3d as Conv3d
from pullback.nn.convolution import ConvTranspose1d as ConvTranspose1d
from pullback.nn.convolution import ConvTranspose2d as ConvTranspose2d
from pullback.nn.convolution import ConvTranspose3d as ConvTranspose3d
from pullback.nn.convolution import MaxPool1d as MaxPool1d
from pullback.nn.convolution import MaxPool2d as MaxPool2d
from pullback.nn.convolution import MaxPool3d as MaxPool3d
from pullback.nn.convolution import PixelShuffle as PixelShuffle
from pullback.nn.convolution import ReflectionPad1d as ReflectionPad1d
from pullback.nn.convolution import ReflectionPad2d as ReflectionPad2d
from pullback.nn.convolution import ReplicationPad2d as ReplicationPad2d
from pullback.nn.convolution import Upsample as Upsample
from pullback.nn.convolution import ZeroPad2d as ZeroPad2d
from pullback.nn.linear import AlphaDropout as AlphaDropout
from pullback.nn.linear import Bilinear as Bilinear
from pullback.nn.linear import CosineSimilarity as CosineSimilarity
from pullback.nn.linear import Dropout as Dropout
from pullback.nn.linear import Dropout1d as Dropout1d
from pullback.nn.linear import Dropout2d as Dropout2d
from pullback.nn.linear import Dropout3d as Dropout3d
from pullback.nn.linear import Embedding as Embedding
from pullback.nn.linear import FeatureAlphaDropout as FeatureAlphaDropout
from pullback.nn.linear import Flatten as Flatten
from pullback.nn.linear import Identity as Identity
from pullback.nn.linear import Linear as Linear
from pullback.nn.linear import Unflatten as Unflatten
from pullback.nn.loss import BCELoss as BCELoss
from pullback.nn.loss import BCEWithLogitsLoss as BCEWithLogitsLoss
from pullback.nn.loss import CosineEmbeddingLoss as CosineEmbeddingLoss
from pullback.nn.loss import CrossEntropyLoss as CrossEntropyLoss
from pullback.nn.loss import GaussianNLLLoss as GaussianNLLLoss
from pullback.nn.loss import HingeEmbeddingLoss as HingeEmbeddingLoss
from pullback.nn.loss import HuberLoss as HuberLoss
from pullback.nn.loss import KLDivLoss as KLDivLoss
from pullback.nn.loss import L1Loss as L1Loss
from pullback.nn.loss import MarginRankingLoss as MarginRankingLoss
from pullback.nn.loss import MSELoss as MSELoss
from pullback.nn.loss import NLLLoss as NLLLoss
from pullback.nn.loss import PoissonNLLLoss as PoissonNLLLoss
from pullback.nn.loss import SmoothL1Loss as SmoothL1Loss
from pullback.nn.loss import SoftMarginLoss as SoftMarginLoss
from pullback.nn.loss import TripletMarginLoss as TripletMarginLoss
from pullback.nn.module import Module as Module
from pullback.nn.module import functional_call as functional_call
from pullback.nn.normalization import BatchNorm1d as BatchNorm1d
from pullback.nn.normalization import BatchNorm2d as BatchNorm2d
from pullback.nn.normalization import BatchNorm3d as BatchNorm3d
from pullback.nn.normalization import GroupNorm as GroupNorm
from pullback.nn.normalization import InstanceNorm1d as InstanceNorm1d
from pullback.nn.normalization import InstanceNorm2d as InstanceNorm2d
from pullback.nn.normalization import InstanceNorm3d as InstanceNorm3d
from pullback.nn.normalization import LayerNorm as LayerNorm
from pullback.nn.normalization import RMSNorm as RMSNorm
from pullback.nn.normalization import SyncBatchNorm as SyncBatchNorm
from pullback.nn.parameter import Buffer as Buffer
from pullback.nn.parameter import Parameter as Parameter
from pullback.nn.parameter import UninitializedBuffer as UninitializedBuffer
from pullback.nn.parameter import UninitializedParameter as UninitializedParameter

if TYPE_CHECKING:
    from pullback.nn import grad as grad
    from pullback.nn.attention import MultiheadAttention as MultiheadAttention
    from pullback.nn.attention import Transformer as Transformer
    from pullback.nn.attention import TransformerDecoder as TransformerDecoder
    from pullback.nn.attention import TransformerDecoderLayer as TransformerDecoderLayer
    from pullback.nn.attention import TransformerEncoder as TransformerEncoder
    from pullback.nn.attention import TransformerEncoderLayer as TransformerEncoderLayer
    from pullback.nn.lazy import LazyBatchNorm1d as LazyBatchNorm1d
    from pullback.nn.lazy import LazyBatchNorm2d as LazyBatchNorm2d
    from pullback.nn.lazy import LazyBatchNorm3d as LazyBatchNorm3d
    from pullback.nn.lazy import LazyConv1d as LazyConv1d
    from pullback.nn.lazy import LazyConv2d as LazyConv2d
    from pullback.nn.lazy import LazyConv3d as LazyConv3d
    from pullback.nn.lazy import LazyConvTranspose1d as LazyConvTranspose1d
    from pullback.nn.lazy import LazyConvTranspose2d as LazyConvTranspose2d
    from pullback.nn.lazy import LazyConvTranspose3d as LazyConvTranspose3d
    from pullback.nn.lazy import LazyInstanceNorm1d as LazyInstanceNorm1d
    from pullback.nn.lazy import LazyInstanceNorm2d as LazyInstanceNorm2d
    from pullback.nn.lazy import LazyInstanceNorm3d as LazyInstanceNorm3d
    from pullback.nn.lazy import LazyLinear as LazyLinear
    from pullback.nn.lazy import LazyModule as LazyModule
    from pullback.nn.pooling import AdaptiveAvgPool3d as AdaptiveAvgPool3d
    from pullback.nn.pooling import AdaptiveMaxPool3d as AdaptiveMaxPool3d
    from pullback.nn.pooling import ChannelShuffle as ChannelShuffle
    from pullback.nn.pooling import CircularPad1d as CircularPad1d
    from pullback.nn.pooling import CircularPad2d as CircularPad2d
    from pullback.nn.pooling import CircularPad3d as CircularPad3d
    from pullback.nn.pooling import ConstantPad3d as ConstantPad3d
    from pullback.nn.pooling import CrossMapLRN2d as CrossMapLRN2d
    from pullback.nn.pooling import EmbeddingBag as EmbeddingBag
    from pullback.nn.pooling import Fold as Fold
    from pullback.nn.pooling import FractionalMaxPool2d as FractionalMaxPool2d
    from pullback.nn.pooling import FractionalMaxPool3d as FractionalMaxPool3d
    from pullback.nn.pooling import LocalResponseNorm as LocalResponseNorm
    from pullback.nn.pooling import LPPool1d as LPPool1d
    from pullback.nn.pooling import LPPool2d as LPPool2d
    from pullback.nn.pooling import LPPool3d as LPPool3d
    from pullback.nn.pooling import MaxUnpool1d as MaxUnpool1d
    from pullback.nn.pooling import MaxUnpool2d as MaxUnpool2d
    from pullback.nn.pooling import MaxUnpool3d as MaxUnpool3d
    from pullback.nn.pooling import PairwiseDistance as PairwiseDistance
    from pullback.nn.pooling import PixelUnshuffle as PixelUnshuffle
    from pullback.nn.pooling import ReflectionPad3d as ReflectionPad3d
    from pullback.nn.pooling import ReplicationPad1d as ReplicationPad1d
    from pullback.nn.pooling import ReplicationPad3d as ReplicationPad3d
    from pullback.nn.pooling import RReLU as RReLU
    from pullback.nn.pooling import Unfold as Unfold
    from pullback.nn.pooling import UpsamplingBilinear2d as UpsamplingBilinear2d
    from pullback.nn.pooling import UpsamplingNearest2d as UpsamplingNearest2d
    from pullback.nn.pooling import ZeroPad1d as ZeroPad1d
    from pullback.nn.pooling import ZeroPad3d as ZeroPad3d
    from pullback.nn.positions import RotaryPositionalEmbeddings as RotaryPositionalEmbeddings
    from pullback.nn.recurrent import GRU as GRU
    from pullback.nn.recurrent import LSTM as LSTM
    from pullback.nn.recurrent import RNN as RNN
    from pullback.nn.recurrent import GRUCell as GRUCell
    from pullback.nn.recurrent import LSTMCell as LSTMCell
    from pullback.nn.recurrent import RNNBase as RNNBase
    from pullback.nn.recurrent import RNNCell as RNNCell
    from pullback.nn.recurrent import RNNCellBase as RNNCellBase
    from pullback.nn.sequence_loss import AdaptiveLogSoftmaxWithLoss as AdaptiveLogSoftmaxWithLoss
    from pullback.nn.sequence_loss import CTCLoss as CTCLoss
    from pullback.nn.sequence_loss import LinearCrossEntropyLoss as LinearCrossEntropyLoss
    from pullback.nn.sequence_loss import MultiLabelMarginLoss as MultiLabelMarginLoss
    from pullback.nn.sequence_loss import MultiLabelSoftMarginLoss as MultiLabelSoftMarginLoss
    from pullback.nn.sequence_loss import MultiMarginLoss as MultiMarginLoss
    from pullback.nn.sequence_loss import NLLLoss2d as NLLLoss2d
    from pullback.nn.sequence_loss import TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss

#: layers whose modules are loaded at the first use
_LATE: dict[str, str] = {
    "attention": """MultiheadAttention Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder
        TransformerEncoderLayer""",
    "lazy": """LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d
        LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d
        LazyLinear LazyModule""",
    "pooling": """AdaptiveAvgPool3d AdaptiveMaxPool3d ChannelShuffle CircularPad1d CircularPad2d CircularPad3d
        ConstantPad3d CrossMapLRN2d EmbeddingBag Fold FractionalMaxPool2d FractionalMaxPool3d
        LPPool1d LPPool2d LPPool3d LocalResponseNorm MaxUnpool1d MaxUnpool2d MaxUnpool3d
        PairwiseDistance PixelUnshuffle RReLU ReflectionPad3d ReplicationPad1d ReplicationPad3d Unfold
        UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad3d""",
    "positions": "RotaryPositionalEmbeddings",
    "recurrent": """GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase""",
    "sequence_loss": """AdaptiveLogSoftmaxWithLoss CTCLoss LinearCrossEntropyLoss MultiLabelMarginLoss
        MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss2d TripletMarginWithDistanceLoss""",
}
LATE = {name: home for home, names in _LATE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "grad":
        return importlib.import_module("pullback.nn.grad")
    if name not in LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"pullback.nn.{LATE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    names = {*(n for n in globals() if not n.startswith("_")), *LATE, "grad"}
    return sorted(names - {"annotations", "importlib", "Any"})
