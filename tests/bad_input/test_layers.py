"""Layers and losses with arguments or inputs that make no sense: each is an error of ours with a cure; what PyTorch
gives a meaning has that meaning. Indices are looked at inside jit, vmap and scan too."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.nn.functional as F
from pullback import nn
from pullback.util import errors


def o(*shape: int) -> Any:
    return pb.ones(shape)


def i(*values: int) -> Any:
    return pb.tensor(list(values), dtype="int64")


NAMES: dict[str, Any] = {"pb": pb, "nn": nn, "F": F, "o": o, "i": i, "rnn": nn.utils.rnn, "nan": float("nan"),
                         "inf": float("inf"), "T": pb.tensor}
#: the class of the error, what its message says, and calls
ERRORS: list[tuple[str, str, str]] = [
    ("ValueError_", "at least 1", """nn.Conv2d(-1,2,3)  nn.Conv2d(1,0,3)  nn.Conv2d(1,2,-3)  nn.Conv2d(1,2,3,stride=0)
        nn.Conv2d(1,2,3,dilation=0)  nn.Conv2d(3,4,3,groups=0)  nn.RNN(0,3)  nn.GRU(3,0)  nn.LSTM(3,4,0)
        nn.LocalResponseNorm(0)(o(1,2,3))
        nn.GRUCell(0,4)  nn.BatchNorm1d(0)  nn.GroupNorm(0,4)  nn.LayerNorm(-1)
        nn.Bilinear(0,3,4)  nn.MultiheadAttention(0,1)  nn.MultiheadAttention(4,-2)  nn.MaxPool2d(0)(o(1,1,4,4))
        nn.MaxPool2d(2,stride=0)(o(1,1,4,4))  nn.MaxPool2d(2,dilation=0)(o(1,1,4,4))  nn.LPPool2d(2,0)(o(1,1,4,4))
        F.fold(o(1,4,9),(0,4),2)  F.unfold(o(1,1,4,4),0)  F.unfold(o(1,1,4,4),2,stride=0)"""),
    ("ValueError_", "at least 0", """nn.Linear(-1,2)  nn.Embedding(-1,3)  nn.EmbeddingBag(2,-1)
        nn.AdaptiveAvgPool2d(-1)(o(1,1,4,4))  nn.MaxPool2d(2,padding=-1)(o(1,1,4,4))"""),
    ("ArgumentError", "integer", """nn.Conv2d(1,2,'3')  nn.Conv2d(1,2,3.0)  nn.Conv2d(1,2,(3,3,3))  nn.Conv2d(1.5,2,3)
        nn.Linear(2.5,1)  nn.AdaptiveMaxPool2d(2.5)(o(1,1,4,4))  F.interpolate(o(1,1,4),size=2.5)
        F.cross_entropy(o(2,3),i(0,1),ignore_index=1.5)  F.nll_loss(o(2,3),i(0,1),ignore_index='a')"""),
    ("ArgumentError", "a number", """nn.Dropout('a')  nn.Threshold('a',1)(o(2))  nn.BatchNorm1d(2,eps='a')
        nn.BatchNorm1d(2,momentum='a')"""),
    ("ValueError_", "divisible", "nn.Conv2d(3,4,3,groups=2)  nn.GroupNorm(3,4)  nn.MultiheadAttention(4,3)"),
    ("ValueError_", "must be 'valid'", "nn.Conv1d(1,2,3,padding='same',stride=2)  nn.Conv1d(1,2,3,padding='x')"),
    ("ShapeError", "kernel has no elements", """F.conv2d(o(1,1,4,4),o(2,1,0,3))
        F.conv_transpose1d(o(1,1,4),o(1,2,0))"""),
    ("ShapeError", "larger than the pad", """F.conv2d(o(1,1,4,4),o(2,1,3,3),dilation=2**40)
        nn.MaxPool2d(5)(o(1,1,4,4))"""),
    ("ShapeError", "no elements", """nn.AdaptiveAvgPool2d(2)(o(1,1,0,4))  nn.AdaptiveMaxPool1d(3)(o(1,1,0))
        F.grid_sample(o(1,1,0,2),o(1,2,2,2))"""),
    ("ValueError_", "smaller than either", "nn.ConvTranspose2d(1,2,3,output_padding=1)(o(1,1,3,3))"),
    ("ShapeError", "would be empty", "nn.ConvTranspose2d(1,2,3,padding=5)(o(1,1,3,3))"),
    ("ShapeError", "no such output size", "nn.ConvTranspose2d(1,2,3,stride=2)(o(1,1,3,3),output_size=(100,100))"),
    ("ValueError_", "padding mode", """nn.ConvTranspose2d(1,2,3,padding_mode='reflect')
        nn.Conv1d(1,2,3,padding_mode='x')"""),
    ("ValueError_", "must not be 0", "nn.LPPool2d(0,2)(o(1,1,4,4))  nn.CELU(0.)(o(2))"),
    ("ArgumentError", "give either", """nn.FractionalMaxPool2d(2)
        nn.FractionalMaxPool2d(2,output_size=2,output_ratio=.5)"""),
    ("ValueError_", "between 0 and 1", """nn.FractionalMaxPool2d(2,output_ratio=1.5)
        nn.Dropout(-.1)  nn.Dropout(nan)"""),
    ("ShapeError", "too large for the input", "nn.FractionalMaxPool2d(5,output_size=1)(o(1,1,4,4))"),
    ("IndexError_", "range", """F.max_unpool2d(o(1,1,1,1),T([[[[-1]]]]),2)  F.max_unpool1d(o(1,1,1),T([[[4]]]),2)
        nn.Embedding(3,2)(i(2**40))  nn.Embedding(3,2,max_norm=1.)(i(3))  F.cross_entropy(o(2,3),i(0,2**33))
        F.multi_margin_loss(o(2,3),i(0,-1))  F.multilabel_margin_loss(o(1,3),i(-2,0,0).reshape(1,3))
        F.multilabel_margin_loss(o(1,3),i(0,3,-1).reshape(1,3))
        nn.EmbeddingBag(3,2,mode='max')(i(0,-1).reshape(1,2))"""),
    ("IndexError_", "out of range", "nn.AdaptiveLogSoftmaxWithLoss(16,12,[3,6])(o(2,16),i(0,12))"),
    ("IndexError_", "offsets must rise", "nn.EmbeddingBag(3,2)(i(0,1),i(0,-1))  nn.EmbeddingBag(3,2)(i(0,1),i(0,2,1))"),
    ("OutOfMemoryError", "parameter: an array of .* GiB does not fit", """nn.Linear(2**40,2**40)  nn.LSTM(2,2**40)
        nn.Embedding(2**50,4)  nn.Conv2d(2**30,2**30,3)  nn.LayerNorm(2**50)  nn.BatchNorm1d(2**50)"""),
    ("OutOfMemoryError", "memory", "F.interpolate(o(1,1,4),scale_factor=1e30)  F.pad(o(1,1,4),(10**12,1))"),
    ("ShapeError", "sizes must be at least", "F.interpolate(o(1,1,0),size=2)  F.interpolate(o(1,1,4),scale_factor=.1)"),
    ("ShapeError", "theta and size", "F.affine_grid(o(1,2,3),(1,1,0,2))  F.affine_grid(o(1,2,3),(2,1,2,2))"),
    ("ShapeError", "channels does not fit", "nn.BatchNorm1d(3)(o(2,4))  nn.InstanceNorm1d(3,affine=True)(o(2,4,5))"),
    ("ValueError_", "eps must not be negative", "nn.BatchNorm2d(3,eps=-1)"),
    ("ShapeError", "the state must be", """nn.GRU(3,4)(o(5,2,3),(o(1,2,4),o(1,2,4)))  nn.LSTM(3,4)(o(5,2,3),o(1,2,4))
        nn.LSTMCell(3,4)(o(2,3),(o(2,4),))  nn.LSTMCell(3,4)(o(2,3),o(2,4))  nn.GRUCell(3,4)(o(2,3),o(3,4))"""),
    ("ShapeError", "larger than 0 in RNN", "nn.LSTM(3,4)(o(0,2,3))  nn.GRU(3,4,batch_first=True)(o(2,0,3))"),
    ("ShapeError", "input must be", """nn.GRU(3,4)(o(5))  nn.GRUCell(3,4)(o(2,5))
        nn.LSTM(3,4)(rnn.pack_sequence([o(2,2)]).data)"""),
    ("ValueError_", "proj_size", "nn.LSTM(3,4,proj_size=4)  nn.LSTM(3,4,proj_size=-1)"),
    ("ValueError_", "total_length", """
        rnn.pad_packed_sequence(rnn.pack_padded_sequence(o(3,2,1),[3,2]),total_length=2)"""),
    ("ShapeError", "mask has more", """
        F.scaled_dot_product_attention(o(1,2,3,4),o(1,2,5,4),o(1,2,5,4),o(2,1,2,3,5)>0)"""),
    ("DTypeError", "must be floating point", """
        F.scaled_dot_product_attention(i(1,2).reshape(2,1),i(1,2).reshape(2,1),i(1,2).reshape(2,1))"""),
    ("DTypeError", "a mask is bool", "F.scaled_dot_product_attention(o(1,3,4),o(1,3,4),o(1,3,4),i(1,1,0))"),
    ("ShapeError", "one length per sequence", "rnn.unpad_sequence(o(3,2),[1,2],batch_first=True)"),
    ("ValueError_", "padding_side 'middle' is not known", "rnn.pad_sequence([o(3),o(2)],padding_side='middle')"),
    ("ValueError_", "greater than max_val", "F.hardtanh(o(2),1.,-1.)"),
    ("ValueError_", "must not be negative", "F.pdist(o(3,2),-1)"),
    ("ShapeError", "more dimensions than there are pairs", """F.cosine_embedding_loss(o(3,2),o(3,2),o(3,1))
        nn.CosineEmbeddingLoss()(o(2),o(2),o(1))"""),
    ("ShapeError", "enable_gqa", """
        F.scaled_dot_product_attention(o(1,3,3,4),o(1,2,5,4),o(1,2,5,4),enable_gqa=True)"""),
    ("ShapeError", "query must be", """nn.MultiheadAttention(4,2)(o(4),o(4),o(4))
        nn.TransformerEncoderLayer(4,2,8)(o(3,2,5))"""),
    ("ShapeError", "or other sizes", """
        F.scaled_dot_product_attention(o(1,2,3,4),o(1,2,5,4),o(1,2,5,4),o(3,4)>0)
        F.scaled_dot_product_attention(o(1,2,3,4),o(1,2,5,4),o(1,2,5,4),o(2,2,3,5))"""),
    ("ShapeError", "batch dimensions cannot", """
        F.scaled_dot_product_attention(o(2,3,4),o(3,5,4),o(3,5,4),o(3,5)>0)"""),
    ("ShapeError", "one length, and the query's batch", """nn.MultiheadAttention(4,2)(o(3,2,4),o(5,3,4),o(5,3,4))
        nn.MultiheadAttention(4,2)(o(3,2,4),o(5,2,4),o(6,2,4))
        nn.MultiheadAttention(4,2)(o(3,4),o(5,2,4),o(5,2,4))"""),
    ("ArgumentError", "projected already", """
        F.multi_head_attention_forward(o(3,2,4),o(3,2,4),o(3,2,4),4,2,o(12,4),None,None,None,False,0.,o(4,4),None,static_k=o(4,3,2))"""),
    ("ShapeError", "shape of the input", """nn.EmbeddingBag(3,2,mode='sum')(i(0,1),i(0),o(3))
        nn.EmbeddingBag(3,2,mode='sum')(i(0,1).reshape(1,2),None,o(2,1))"""),
    ("DTypeError", "masks are bool", """nn.MultiheadAttention(4,2)(o(1,2,4),o(3,2,4),o(3,2,4),
        attn_mask=i(1,2,3).reshape(1,3))"""),
    ("ValueError_", "'relu' or 'gelu'", "nn.TransformerEncoderLayer(4,2,8,activation='x')"),
    ("ShapeError", "equal shapes", "F.margin_ranking_loss(o(2),o(2),o(2,2))  F.soft_margin_loss(o(2),o(3))"),
    ("ShapeError", "equally many dim", "F.triplet_margin_loss(o(2,3),o(2,3),o(3))"),
    ("ValueError_", "greater than 0", "F.triplet_margin_loss(o(2,3),o(2,3),o(2,3),margin=-1)"),
    ("ValueError_", "ctc_loss: .* must be", """F.ctc_loss(F.log_softmax(o(4,1,3),2),i(1,2).reshape(1,2),[-1],[2])
        F.ctc_loss(F.log_softmax(o(4,1,3),2),i(1,2).reshape(1,2),[4],[3])"""),
    ("ShapeError", "blank one of", """
        F.ctc_loss(F.log_softmax(o(4,1,3),2),i(1,2).reshape(1,2),[4],[2],blank=-1)"""),
    ("ValueError_", "cutoffs should be", """nn.AdaptiveLogSoftmaxWithLoss(8,12,[3,3])
        nn.AdaptiveLogSoftmaxWithLoss(8,12,[])"""),
]
CALLS = [(error, text, call.strip()) for error, text, calls in ERRORS
         for call in re.split(r"\s\s+(?=nn\.|F\.|rnn\.)", calls.strip())]


@pytest.mark.parametrize(("error", "text", "call"), CALLS, ids=[c[2] for c in CALLS])
def test_is_an_error_with_a_cure(error: str, text: str, call: str) -> None:
    with pytest.raises(getattr(errors, error), match=text) as caught:
        found = eval(call, NAMES)
        for x in found if isinstance(found, tuple) else (found,):
            x.numpy()
    assert "\n  got " in str(caught.value) or "dropout" in call.lower()
    assert "\n  help " in str(caught.value) or error == "IndexError_"


#: calls, and the shape and the sum of what they give; None: no finite number
VALUES: dict[str, tuple[tuple[int, ...], float | None]] = {
    "nn.AdaptiveAvgPool2d(0)(o(1,1,4,4))": ((1, 1, 0, 0), 0),
    "nn.AdaptiveMaxPool2d((2,0))(o(1,3,4,4))": ((1, 3, 2, 0), 0),
    "F.adaptive_max_pool1d(o(2,3,4),0,return_indices=True)[1]": ((2, 3, 0), 0),
    "nn.AdaptiveMaxPool2d(3)(o(0,1,4,4))": ((0, 1, 3, 3), 0), "nn.MaxPool2d(2)(o(0,1,4,4))": ((0, 1, 2, 2), 0),
    "nn.EmbeddingBag(3,2)(i(0,1),i())": ((0, 2), 0),
    "nn.EmbeddingBag(3,2,include_last_offset=True)(i(),i(0))": ((0, 2), 0),
    "F.interpolate(o(0,1,4),size=2)": ((0, 1, 2), 0), "F.grid_sample(o(1,1,2,2),o(1,2,2,2)*nan)": ((1, 1, 2, 2), None),
    "F.grid_sample(o(1,1,2,2),o(1,2,2,2)*1e30,padding_mode='border')": ((1, 1, 2, 2), 4),
    "F.fractional_max_pool2d(o(1,1,4,4),2,2,_random_samples=o(1,1,2)*5)": ((1, 1, 2, 2), 4),
    "nn.Softmax(-1)(o(2,0))": ((2, 0), 0), "nn.LogSoftmax(-1)(T([-inf,-inf]))": ((2,), None),
    "F.normalize(o(2,3)*0)": ((2, 3), 0), "nn.CosineSimilarity()(o(2,3)*0,o(2,3)*0)": ((2,), 0),
    "F.pdist(o(1,3))": ((0,), 0), "nn.Softplus(0)(o(2))": ((2,), None), "nn.Dropout(1.)(o(3))": ((3,), 0),
    "F.cross_entropy(o(2,3),i(0,-100))": ((), np.log(3)), "F.cross_entropy(o(2,3),i(0,1),weight=o(3)*0)": ((), None),
    "F.binary_cross_entropy(o(2)*0,o(2))": ((), 100), "F.smooth_l1_loss(o(2),o(2)*0,beta=0)": ((), 1),
    "F.multilabel_margin_loss(o(1,3),i(-1,0,0).reshape(1,3))": ((), 0),
    "F.lp_pool1d(T([[[1.,-3.,2.,-1.]]]),inf,2)": ((1, 1, 2), 5), "nn.LPPool2d(inf,2)(o(1,1,4,4)*-2)": ((1, 1, 2, 2), 8),
    "F.normalize(o(2,3),p=1,dim=(0,1))": ((2, 3), 1), "F.normalize(o(2,3,4),dim=(-1,1))": ((2, 3, 4), 24 / np.sqrt(12)),
    "F.ctc_loss(F.log_softmax(o(4,1,3),2),i(1,2).reshape(1,2),[4],[0])": ((), 4 * np.log(3)),
    "nn.LSTMCell(3,4)(o(0,3))[1]": ((0, 4), 0), "F.linear(o(3,2),o(0,2))": ((3, 0), 0),
    "F.linear(o(3,0),o(2,0))": ((3, 2), 0),
    "F.scaled_dot_product_attention(o(1,0,3,4),o(1,0,5,4),o(1,0,5,4))": ((1, 0, 3, 4), 0),
    "F.scaled_dot_product_attention(o(1,2,3,4),o(1,2,5,4),o(1,2,5,0))": ((1, 2, 3, 0), 0),
}


@pytest.mark.parametrize("call", VALUES)
def test_has_the_value_that_is_defined(call: str) -> None:
    shape, total = VALUES[call]
    found = eval(call, NAMES).numpy()
    assert found.shape == shape
    if total is None:
        assert not np.isfinite(found).any()
    else:
        np.testing.assert_allclose(found.sum(), total, 1e-6)


@pytest.mark.parametrize("pool", [F.adaptive_avg_pool2d, F.adaptive_max_pool2d])
def test_pooling_to_nothing_has_a_gradient_of_zeros(pool: Any) -> None:
    x = pb.ones((1, 2, 3, 3), requires_grad=True)
    pool(x, 0).sum().backward()
    assert x.grad.shape == x.shape and not x.grad.numpy().any()


READS: dict[str, Any] = {
    "embedding": lambda k: F.embedding(k, o(5, 3)).sum(),
    "cross_entropy": lambda k: F.cross_entropy(o(2, 5), k),
    "nll_loss": lambda k: F.nll_loss(o(2, 5), k),
    "multi_margin_loss": lambda k: F.multi_margin_loss(o(2, 5), k),
    "embedding_bag": lambda k: F.embedding_bag(k.reshape(1, 2), o(5, 3)).sum(),
    "max_unpool": lambda k: F.max_unpool1d(o(1, 2, 1), k.reshape(1, 2, 1), 5).sum(),
}
WAYS: dict[str, Any] = {
    "jit": lambda f, k: pb.jit(f)(k),
    "vmap": lambda f, k: pb.vmap(f)(pb.stack([k % 5, k])).sum(),
    "scan": lambda f, k: pb.scan(lambda c, x: (c + f(x), c), 0.0, pb.stack([k % 5, k]))[0],
    "grad": lambda f, k: pb.grad(lambda w: f(k) * w)(1.0),
    "jit of vmap": lambda f, k: pb.jit(pb.vmap(f))(pb.stack([k % 5, k])).sum(),
    "cond": lambda f, k: pb.jit(lambda k: pb.cond(k.sum() > 100, lambda k: 0.0 * f(k % 5), f, k))(k),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("bad", [5, -1, 40])
def test_indices_are_looked_at_wherever_they_are_read(read: str, way: str, bad: int) -> None:
    assert np.isfinite(WAYS[way](READS[read], i(0, 4)).item())
    with pytest.raises(errors.IndexError_, match="range"):
        WAYS[way](READS[read], i(0, bad)).item()
