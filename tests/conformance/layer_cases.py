"""Layers with inputs, and what is recorded of each: the same program asks PyTorch and the torch dialect."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def r(*shape: int) -> tuple[str, tuple[int, ...]]:
    """Normal numbers that require gradients."""
    return "normal", shape


def fixed(values: Any) -> tuple[str, Any]:
    """Numbers as they are."""
    return "fixed", values


_PADS = ["ConstantPad1d(2,1.5)|4", "ConstantPad2d((1,0,2,1),-1.)|44", "ConstantPad3d(1,2.5)|333", "ZeroPad1d(2)|3",
         "ZeroPad2d((1,2,0,1))|33", "ZeroPad3d(1)|222", "ReflectionPad1d(2)|4", "ReflectionPad2d((1,2,0,1))|44",
         "ReflectionPad3d(1)|333", "ReplicationPad1d((1,2))|4", "ReplicationPad2d(2)|33", "ReplicationPad3d(1)|333",
         "CircularPad1d(2)|4", "CircularPad2d((1,2,0,1))|44", "CircularPad3d(1)|333"]
_POOLS = ["MaxPool1d(3,2,1)|7", "MaxPool2d((2,3),ceil_mode=True)|78", "MaxPool3d(2)|555", "AvgPool1d(3,2)|7",
          "AvgPool2d(3,2,1,count_include_pad=False)|78", "AvgPool3d(2)|555", "AdaptiveAvgPool1d(3)|7",
          "AdaptiveAvgPool2d((3,2))|78", "AdaptiveAvgPool3d((2,3,1))|546", "AdaptiveMaxPool1d(3)|7",
          "AdaptiveMaxPool2d((3,2))|78", "AdaptiveMaxPool3d(2)|546", "LPPool1d(2,2)|7", "LPPool2d(2,3,2)|78",
          "LPPool3d(2,2)|444", "Upsample(scale_factor=2,mode='bilinear')|34", "Upsample(size=(5,6))|34",
          "UpsamplingNearest2d(scale_factor=2)|33", "UpsamplingBilinear2d(scale_factor=2)|33", "PixelShuffle(1)|34",
          "PixelUnshuffle(2)|44", "ChannelShuffle(2)|33", "Unfold((2,3))|45", "LocalResponseNorm(3)|33"]
_CONVOLUTIONS = ["Conv1d(2,4,3,2,1)|9", "Conv2d(2,4,(3,2),padding=1,groups=2)|67",
                 "Conv2d(2,4,3,padding='same',dilation=2,padding_mode='reflect')|77", "Conv3d(2,3,2,bias=False)|345",
                 "ConvTranspose1d(2,4,3,2,1,1)|5", "ConvTranspose2d(2,4,3,stride=2,groups=2)|34",
                 "ConvTranspose3d(2,3,2)|333"]
_NORMS = ["BatchNorm1d(2)|5", "BatchNorm2d(2,momentum=None)|34", "BatchNorm3d(2,affine=False)|334",
          "InstanceNorm1d(2,affine=True)|5", "InstanceNorm2d(2,track_running_stats=True)|34", "InstanceNorm3d(2)|334",
          "GroupNorm(2,2)|34", "LayerNorm((2,5))|5", "LayerNorm(5,bias=False)|5", "RMSNorm(5)|5"]
_POOLS = [*_POOLS, "MaxPool2d(3,2,ceil_mode=True)|22", "AvgPool2d(2,divisor_override=3)|45",
           "AdaptiveMaxPool2d(3,return_indices=True)|67", "MaxPool1d(2,return_indices=True)|7",
           "Upsample(scale_factor=1.7,mode='bicubic',recompute_scale_factor=True)|34"]
_NORMS = [*_NORMS, "BatchNorm1d(2,bias=False)|5", "GroupNorm(1,2,bias=False)|34",
           "InstanceNorm1d(2,momentum=.3,track_running_stats=True)|5"]
_ACTIVATIONS = """CELU(2.) ELU(.5) GELU() GELU('tanh') GLU() Hardshrink() Hardsigmoid() Hardswish() Hardtanh(-.5,.7)
    LeakyReLU(.2) LogSigmoid() LogSoftmax(1) Mish() PReLU(3) ReLU() ReLU6() RReLU() SELU() SiLU() Sigmoid() Softmax(1)
    Softmin(1) Softplus(2.) Softshrink() Softsign() Tanh() Tanhshrink() Threshold(.1,-3.) Softmax2d()""".split()


def _images(entries: list[str], train: bool = False) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for entry in entries:
        build, _, sizes = entry.partition("|")
        channels = 4 if "Shuffle(2)" in build and "Pixel" not in build else 2
        found.append((f"nn.{build}", "m(*x)", [r(2, channels, *map(int, sizes))], train))
    return found


_TARGETS = fixed([1, 0, 3])
_LOSSES: list[tuple[str, list[Any]]] = [
    ("L1Loss()", [r(3, 4), r(3, 4)]), ("MSELoss(reduction='sum')", [r(3, 4), r(3, 4)]),
    ("SmoothL1Loss(beta=.3)", [r(3, 4), r(3, 4)]), ("HuberLoss(delta=.7)", [r(3, 4), r(3, 4)]),
    ("CrossEntropyLoss(label_smoothing=.1,ignore_index=0)", [r(3, 4), _TARGETS]),
    ("CrossEntropyLoss(weight=torch.tensor([.1,.2,.3,.4]).double())", [r(3, 4), _TARGETS]),
    ("NLLLoss()", [r(3, 4), _TARGETS]), ("NLLLoss2d()", [r(1, 3, 2, 2), fixed([[[0, 1], [2, 0]]])]),
    ("KLDivLoss(reduction='batchmean',log_target=True)", [r(3, 4), r(3, 4)]),
    ("PoissonNLLLoss(full=True)", [r(3, 4), fixed([[1.0, 2.0, 3.0, 4.0]] * 3)]),
    ("BCEWithLogitsLoss(pos_weight=torch.tensor([2.]).double())", [r(3, 4), fixed([[0.0, 1.0, 1.0, 0.0]] * 3)]),
    ("HingeEmbeddingLoss()", [r(4), fixed([1, -1, 1, -1])]),
    ("SoftMarginLoss()", [r(4), fixed([1.0, -1.0, 1.0, -1.0])]),
    ("MarginRankingLoss(.3)", [r(4), r(4), fixed([1.0, -1.0, 1.0, -1.0])]),
    ("CosineEmbeddingLoss(.1)", [r(3, 4), r(3, 4), fixed([1.0, -1.0, 1.0])]),
    ("TripletMarginLoss(swap=True)", [r(3, 4), r(3, 4), r(3, 4)]),
    ("TripletMarginWithDistanceLoss(swap=True,margin=2.)", [r(3, 4), r(3, 4), r(3, 4)]),
    ("MultiMarginLoss(2,.7)", [r(3, 4), _TARGETS]),
    ("MultiLabelMarginLoss()", [r(2, 4), fixed([[3, 0, -1, 1], [0, 1, 2, 3]])]),
    ("MultiLabelSoftMarginLoss()", [r(2, 4), fixed([[1.0, 0.0, 1.0, 1.0]] * 2)]),
    ("AdaptiveLogSoftmaxWithLoss(8,12,[3,6],2.)", [r(5, 8), fixed([0, 4, 7, 11, 2])]),
    ("PairwiseDistance()", [r(3, 4), r(3, 4)]), ("CosineSimilarity()", [r(3, 4), r(3, 4)]),
]
_IMAGE = "nn.functional.interpolate(x[0],{},mode='{}',antialias=True,align_corners={})"
_SAMPLES = "_random_samples=torch.linspace(.1,.8,4*len(x[0].shape)-8).double().reshape(2,2,-1)"
_CTC = "m(x[0].log_softmax(2),x[1],x[2],x[3])"
_PACK = "nn.utils.rnn.pack_padded_sequence(x[0],[3,5],enforce_sorted=False)"
_MASK = "torch.triu(torch.full((4,4),True),1)"
CASES: list[tuple[Any, ...]] = [
    *_images(_PADS), *_images(_POOLS), *_images(_CONVOLUTIONS), *_images(_NORMS, True), *_images(_NORMS[:4]),
    *((f"nn.{a}", "m(*x)", [r(2, 3, 4) if "2d" in a or "PReLU" in a else r(3, 4)], False) for a in _ACTIVATIONS),
    *((f"nn.{build}", "m(*x)", inputs, False) for build, inputs in _LOSSES),
    *((f"nn.CTCLoss(reduction={how!r})", _CTC, [r(7, 3, 5), fixed([[1, 2, 2], [3, 4, 1], [2, 0, 0]]),
                                                fixed([7, 5, 6]), fixed([3, 2, 1])], False)
      for how in ("mean", "sum", "none")),
    ("nn.CTCLoss(2,zero_infinity=True)", _CTC, [r(4, 2, 5), fixed([1, 1, 1, 1, 1, 3]), fixed([4, 4]), fixed([5, 1])],
     False),
    ("nn.RNN(3,4)", "m(*x)", [r(5, 2, 3), r(1, 2, 4)], False),
    ("nn.GRU(3,4,bias=False)", "m(*x)", [r(5, 2, 3), r(1, 2, 4)], False),
    ("nn.RNN(3,4,2,nonlinearity='relu',bias=False)", "m(*x)", [r(5, 2, 3), r(2, 2, 4)], False),
    ("nn.GRU(3,4,2,bidirectional=True)", "m(*x)", [r(5, 2, 3), r(4, 2, 4)], False),
    ("nn.GRU(3,4)", "m(*x)", [r(5, 3)], False),
    ("nn.LSTM(3,4,2,bidirectional=True,batch_first=True)", "m(x[0],(x[1],x[2]))", [r(2, 5, 3), r(4, 2, 4), r(4, 2, 4)],
     False),
    *((f"nn.{kind}(3,4,bidirectional=True)", f"nn.utils.rnn.pad_packed_sequence(m({_PACK})[0])[0]", [r(5, 2, 3)], False)
      for kind in ("RNN", "LSTM", "GRU")),
    ("nn.RNN(3,1)", "m(*x)", [r(5, 2, 3), r(1, 2, 1)], False),
    ("nn.LSTM(3,4,2,bidirectional=True,proj_size=2)", "m(x[0],(x[1],x[2]))", [r(5, 2, 3), r(4, 2, 2), r(4, 2, 4)],
     False),
    ("nn.LSTM(3,4,bidirectional=True,proj_size=2)",
     f"nn.utils.rnn.pad_packed_sequence(m({_PACK},(x[1],x[2]))[0])[0]", [r(5, 2, 3), r(2, 2, 2), r(2, 2, 4)], False),
    ("nn.RNNCell(3,4)", "m(*x)", [r(2, 3), r(2, 4)], False),
    ("nn.LSTMCell(3,4)", "m(x[0],(x[1],x[2]))", [r(2, 3), r(2, 4), r(2, 4)], False),
    ("nn.GRUCell(3,4,bias=False)", "m(*x)", [r(2, 3), r(2, 4)], False),
    ("nn.GRUCell(3,4)", "m(*x)", [r(3), r(4)], False),
    ("nn.MultiheadAttention(8,2)", "m(*x)", [r(3, 2, 8), r(5, 2, 8), r(5, 2, 8)], False),
    ("nn.MultiheadAttention(8,2)", "m(x[0],x[0],x[0],need_weights=False)", [r(3, 2, 8)], False),
    ("nn.MultiheadAttention(8,2,add_bias_kv=True,add_zero_attn=True,batch_first=True)",
     "m(x[0],x[1],x[1],key_padding_mask=x[2]>0,average_attn_weights=False)",
     [r(2, 3, 8), r(2, 5, 8), fixed([[0, 0, 0, 0, 0], [0, 0, 1, 0, 1]])], False),
    ("nn.MultiheadAttention(8,2,kdim=6,vdim=5,bias=False)", "m(*x)", [r(3, 2, 8), r(5, 2, 6), r(5, 2, 5)], False),
    ("nn.MultiheadAttention(4,2,add_zero_attn=True,vdim=5,batch_first=True)", "m(*x,average_attn_weights=False)",
     [r(1, 4), r(5, 4), r(5, 5)], False),
    ("nn.TransformerDecoder(nn.TransformerDecoderLayer(4,2,10,0.,batch_first=True,norm_first=True,bias=False),2)",
     "m(*x[:2],memory_key_padding_mask=x[2]>0)", [r(1, 5, 4), r(1, 6, 4), fixed([[0, 0, 1, 0, 1, 1]])], False),
    ("nn.TransformerEncoderLayer(8,2,16,0.)", f"m(x[0],{_MASK})", [r(4, 2, 8)], True),
    ("nn.TransformerEncoderLayer(8,2,16,0.,'gelu',batch_first=True,norm_first=True)", "m(*x)", [r(2, 4, 8)], True),
    ("nn.TransformerDecoderLayer(8,2,16,0.,norm_first=True)", "m(*x)", [r(4, 2, 8), r(3, 2, 8)], True),
    ("nn.TransformerEncoder(nn.TransformerEncoderLayer(8,2,16,0.),2,nn.LayerNorm(8))", "m(*x)", [r(4, 2, 8)], True),
    ("nn.Transformer(8,2,2,2,16,0.)", "m(x[0],x[1],tgt_mask=m.generate_square_subsequent_mask(3).double())",
     [r(4, 2, 8), r(3, 2, 8)], True),
    ("nn.Linear(3,4)", "m(*x)", [r(2, 3)], False), ("nn.Bilinear(3,4,2)", "m(*x)", [r(5, 3), r(5, 4)], False),
    ("nn.Embedding(6,3,padding_idx=1)", "m(*x)", [fixed([[0, 1], [5, 1]])], False),
    ("nn.Embedding(6,3,max_norm=.4,scale_grad_by_freq=True,sparse=False)", "m(*x)", [fixed([[0, 1], [5, 1]])], False),
    ("nn.EmbeddingBag(6,3,max_norm=.4,norm_type=1.,mode='sum')", "m(*x)",
     [fixed([1, 2, 4, 5, 4, 3]), fixed([0, 2, 2])], False),
    ("nn.EmbeddingBag(6,3,scale_grad_by_freq=True,include_last_offset=True)", "m(*x)",
     [fixed([5, 2, 1, 5, 5]), fixed([0, 2, 5])], False),
    ("nn.EmbeddingBag(6,3)", "m(*x)", [fixed([1, 2, 4, 5, 4, 3]), fixed([0, 2, 2])], False),
    ("nn.EmbeddingBag(6,3,mode='max')", "m(*x)", [fixed([[1, 2, 4], [5, 4, 3]])], False),
    ("nn.EmbeddingBag(6,3,mode='sum',padding_idx=4)", "m(*x)",
     [fixed([1, 2, 4, 5, 4, 3]), fixed([0, 2, 4]), r(6)], False),
    ("nn.Fold((4,5),(2,2))", "m(*x)", [r(1, 8, 12)], False),
    ("nn.MaxUnpool2d(2)", "m(*nn.functional.max_pool2d(x[0],2,return_indices=True))", [r(1, 2, 4, 6)], False),
    ("nn.MaxPool3d(2,return_indices=True)", "nn.functional.max_unpool3d(*m(x[0]),2)", [r(1, 2, 4, 6, 2)], False),
    *(("nn.Identity()", _IMAGE.format(size, mode, corners), [r(1, 2, 7, 8)], False)
      for size in ("(3,4)", "(9,3)", "None,.4") for mode in ("bilinear", "bicubic") for corners in (False, True)),
    *(("nn.Identity()", f"nn.functional.fractional_max_pool{rank}d(x[0],2,output_ratio=(.6,)*{rank},"
       f"return_indices=True,{_SAMPLES})", [r(2, 2, *(5, 7, 6)[:rank])], False) for rank in (2, 3)),
    *(("nn.Identity()", f"nn.functional.{name}(*x[:2],weight=x[2].abs(),reduction={how!r})", [r(3, 4)] * 3, False)
      for name in ("mse_loss", "l1_loss", "huber_loss") for how in ("mean", "sum", "none")),
    ("nn.Identity()", "nn.functional.nll_loss(x[0],x[1],None,None,0,None,'sum')", [r(3, 4), _TARGETS], False),
    ("nn.Identity()", "nn.functional.cross_entropy(x[0],x[1],None,False)", [r(3, 4), _TARGETS], False),
    ("nn.utils.parametrizations.weight_norm(nn.Linear(3,4))", "m(*x)", [r(2, 3)], False),
    ("nn.utils.weight_norm(nn.Conv1d(2,3,2))", "m(*x)", [r(1, 2, 5)], False),
    *_images(["Conv1d(2,3,4,padding='same')|7", "Conv2d(2,4,(2,4),padding='same',dilation=(3,1),groups=2)|67",
              "Conv2d(2,4,(4,3),padding='same',padding_mode='circular')|56", "Conv1d(2,6,2,5,groups=2)|9",
              "Conv3d(2,4,2,(2,1,3),(1,0,2),(1,2,1),2)|545", "ConvTranspose2d(2,4,3,stride=(2,1))|43",
              "ConvTranspose2d(2,4,(3,2),(1,3),(1,0),(1,2),2,False,(2,1))|34",
              "ConvTranspose3d(2,2,(1,3,2),(3,1,2),(0,2,0),(2,0,1),2,True,(1,2,3))|233",
              "MaxPool2d((3,2),(2,3),1,(2,1),ceil_mode=True)|79", "AvgPool3d((2,3,1),2,(1,1,0),True,False,5)|455",
              "AdaptiveAvgPool2d((5,3))|47", "AdaptiveMaxPool3d((3,None,2))|435"]),
    ("nn.CrossEntropyLoss(torch.tensor([.1,.2,.3,.4]).double(),ignore_index=2,label_smoothing=.3)", "m(*x)",
     [r(2, 4, 2, 3), fixed([[[0, 2, 1], [2, 3, 3]], [[2, 2, 2], [1, 0, 2]]])], False),
    ("nn.Identity()", "nn.functional.grid_sample(x[0],nn.functional.affine_grid(x[1]*0+torch.eye(2,3).double(),"
     "(1,2,3,4),align_corners=True),padding_mode='border',align_corners=True)", [r(1, 2, 3, 4), r(1, 2, 3)], False),
]


def _summary(x: Any) -> list[Any]:
    """Shape, a projection, and the size of a tensor: what differs, differs in one of them."""
    array = np.asarray(x.detach().numpy(), np.float64)
    places = np.arange(array.size, dtype=np.float64)
    return [list(array.shape), float(np.dot(array.ravel(), np.cos(places * 0.7 + 1))), float(np.sqrt((array**2).sum()))]


def _tensors(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [t for v in value for t in _tensors(v)]
    return [] if value is None else [value]


def ask(torch: Any, k: int) -> dict[str, Any]:
    """What a framework says of case k."""
    build, call, inputs, train = CASES[k]
    random = np.random.RandomState(k)
    nn = torch.nn
    m = eval(build, {"torch": torch, "nn": nn}).double().train(train)
    for p in m.parameters():
        p.data.copy_(torch.tensor(random.uniform(-0.5, 0.5, tuple(p.shape))))
    x: list[Any] = []
    for kind, given in inputs:
        array = random.normal(size=given) if kind == "normal" else np.asarray(given)
        x.append(torch.tensor(array))
        if kind == "normal":
            x[-1].requires_grad_()
    out = _tensors(eval(call, {"torch": torch, "nn": nn, "m": m, "x": x}))
    weights = [np.sin(np.arange(math.prod(v.shape)) + 1.0).reshape(tuple(v.shape)) for v in out]
    sum((v * torch.tensor(w)).sum() for v, w in zip(out, weights, strict=True)).backward()
    gradients = {f"x{n}": _summary(t.grad) for n, t in enumerate(x) if t.grad is not None}
    gradients.update({name: _summary(p.grad) for name, p in m.named_parameters() if p.grad is not None})
    return {"state": sorted(m.state_dict()), "buffers": {name: _summary(b) for name, b in m.named_buffers()},
            "out": [_summary(v) for v in out], "gradients": gradients}
