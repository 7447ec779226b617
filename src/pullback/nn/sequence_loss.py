"""Losses over sequences and several labels, and a softmax for many classes."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pullback.api.creation import zeros
from pullback.api.manipulation import concat
from pullback.nn import functional as F
from pullback.nn.containers import ModuleList, Sequential
from pullback.nn.linear import Linear
from pullback.nn.loss import NLLLoss, _Loss, _Weighted  # pyright: ignore[reportPrivateUsage]
from pullback.nn.module import Module
from pullback.util.errors import ShapeError, ValueError_, message

ASMoutput = namedtuple("ASMoutput", "output loss")


class CTCLoss(_Loss):
    """Connectionist temporal classification (Graves et al. 2006)."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Any:
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction,
                          self.zero_infinity)


class MultiLabelMarginLoss(_Loss):
    """Margins between the targets of an example and the other classes."""

    def forward(self, input: Any, target: Any) -> Any:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_Weighted):
    """The mean over classes of the binary cross entropy with logits."""

    def forward(self, input: Any, target: Any) -> Any:
        return F.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


class MultiMarginLoss(_Weighted):
    """The mean over other classes of max(0, margin - x[target] + x) ** p."""

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, size_average: Any = None,
                 reduce: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError_(message("MultiMarginLoss: only p = 1 and p = 2 are supported", [("p", repr(p))]))
        self.p, self.margin = p, margin

    def forward(self, input: Any, target: Any) -> Any:
        return F.multi_margin_loss(input, target, p=self.p, margin=self.margin, weight=self.weight,
                                   reduction=self.reduction)


class TripletMarginWithDistanceLoss(_Loss):
    """max(0, distance to the positive - distance to the negative + margin), for any distance."""

    def __init__(self, *, distance_function: Callable[..., Any] | None = None, margin: float = 1.0,
                 swap: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.distance_function = distance_function or F.pairwise_distance
        self.margin, self.swap = margin, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return F.triplet_margin_with_distance_loss(anchor, positive, negative, margin=self.margin, swap=self.swap,
                                                   distance_function=self.distance_function, reduction=self.reduction)


@dataclass(frozen=True, slots=True)
class LinearCrossEntropyOptions:
    """How PyTorch cuts up the batch of `LinearCrossEntropyLoss`; here no value and no memory depends on them."""

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None


class LinearCrossEntropyLoss(_Weighted):
    """A linear layer of scores for classes, and their cross entropy with classes or probabilities."""

    def __init__(self, in_features: int, num_classes: int, *, out_features: tuple[int, ...] = (), bias: bool = False,
                 device: Any = None, dtype: Any = None, reduction: str = "mean", weight: Any = None,
                 ignore_index: int | None = None, label_smoothing: float = 0.0, options: Any = None) -> None:
        super().__init__(weight, reduction=reduction)
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise ShapeError(message(f"expected weight shape to be {(num_classes,)}",
                                     [("weight", repr(weight.info.type))], "one weight for each class"))
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError_(message("expected label_smoothing to be in range [0, 1]",
                                      [("label_smoothing", repr(label_smoothing))]))
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        self.ignore_index, self.label_smoothing, self.options = ignore_index, label_smoothing, options
        self.linear = self.child(Linear, in_features, num_classes * math.prod(self.out_features), bias, device, dtype)

    def forward(self, input: Any, target: Any) -> Any:
        outer, bias = (self.num_classes, *self.out_features), self.linear.bias
        return F.linear_cross_entropy(
            input, self.linear.weight.reshape(*outer, -1), target, linear_bias=None if bias is None else
            bias.reshape(outer), weight=self.weight, reduction=self.reduction, ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing, options=self.options)

    def extra_repr(self) -> str:
        return (f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
                f"out_features={self.out_features}, bias={self.linear.bias is not None}, reduction={self.reduction}, "
                f"ignore_index={self.ignore_index}, label_smoothing={self.label_smoothing}, options={self.options}")


class NLLLoss2d(NLLLoss):
    """`NLLLoss` of images."""


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax over classes sorted by frequency: rare ones in clusters with smaller inputs (Grave et al. 2017)."""

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
                 head_bias: bool = False, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        cuts = list(cutoffs)
        if not cuts or cuts != sorted(set(cuts)) or cuts[0] <= 0 or cuts[-1] > n_classes - 1:
            raise ValueError_(message("cutoffs should be a sequence of unique, positive integers sorted in an "
                                      "increasing order, where each value is between 1 and n_classes-1",
                                      [("cutoffs", repr(cutoffs)), ("n_classes", repr(n_classes))],
                                      f"cutoffs=[{max(1, int(n_classes) // 4)}]"))
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*cuts, n_classes]
        self.div_value, self.head_bias, self.shortlist_size = div_value, head_bias, cuts[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = self.child(Linear, in_features, self.head_size, head_bias, dtype=dtype)
        self.tail = self.child(ModuleList)
        for k in range(self.n_clusters):
            width = int(in_features // (div_value ** (k + 1)))
            size = self.cutoffs[k + 1] - self.cutoffs[k]
            self.tail.append(self.child(Sequential, self.child(Linear, in_features, width, False, dtype=dtype),
                                        self.child(Linear, width, size, False, dtype=dtype)))

    def reset_parameters(self) -> None:
        """As the linear layers within."""
        self.head.reset_parameters()
        for first, second in self.tail:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input_: Any, target_: Any) -> Any:
        single = input_.ndim == 1
        logs = self.log_prob(input_[None] if single else input_)
        at = target_[None] if single else target_
        output = -F.nll_loss(logs, at, reduction="none")
        loss = -output.mean()
        return ASMoutput(output[0] if single else output, loss)

    def log_prob(self, input: Any) -> Any:
        """The log-probabilities of all classes, [batch, n_classes]."""
        head = F.log_softmax(self.head(input), dim=1)
        parts = [head[:, :self.shortlist_size]]
        for k, tail in enumerate(self.tail):
            parts.append(F.log_softmax(tail(input), dim=1) + head[:, self.shortlist_size + k, None])
        return concat(parts, 1) if parts else zeros((0,))

    def predict(self, input: Any) -> Any:
        """The likeliest class of each example."""
        return self.log_prob(input).argmax(1)
