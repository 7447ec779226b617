"""Recurrent networks over sequences, and sequences of different lengths: padded, packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pullback.api._lazy import build
from pullback.api.arguments import as_tensor, described, one_of
from pullback.api.layers import dropout
from pullback.api.layers import linear as linear_map
from pullback.api.manipulation import concat, stack
from pullback.engine.operation import operation
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir import dtypes
from pullback.ir.dtypes import DType
from pullback.ir.node import Node, apply, project
from pullback.ops.recurrence import GATES, Recurrence
from pullback.ops.recurrence import step as step_of
from pullback.util.errors import ArgumentError, ShapeError, ValueError_, message

Array = Any


@operation(promote="exact")
def _recurrence(pre: Node, *rest: Node, kind: str, reverse: bool, biased: bool, masked: bool) -> tuple[Node, ...]:
    """Every h, the last h and, for lstm, the last c."""
    outs = project(apply(Recurrence(kind, reverse, biased, masked), pre, *rest))
    if masked:
        mask = build.broadcast(rest[-1], outs[0].shape, (0, 1))
        outs = (build.select(mask, outs[0], build.zeros_like(outs[0])), *outs[1:])
    return outs[:3] if kind == "lstm" else outs[:2]


@operation(promote="exact")
def _gate_bias(first: Node, second: Node, kind: str) -> Node:
    """What is added outside of the loop: of gru's reset block only the input's own."""
    if kind != "gru":
        return build.add(first, second)
    n = first.shape[0] // 3
    return build.add(first, build.pad(build.slice_(second, (0,), (2 * n,)), (0,), (n,)))


class Weights(NamedTuple):
    """Of one layer in one direction, as PyTorch names them; biases may be None, and the projection of an lstm's h."""

    ih: Array
    hh: Array
    bias_ih: Array | None = None
    bias_hh: Array | None = None
    hr: Array | None = None


def run_layer(kind: str, x: Array, h: Array, c: Array | None, weights: Weights, reverse: bool = False,
              mask: Array | None = None) -> tuple[Array, ...]:
    """One layer in one direction over [steps, batch, features]: every h, the last h, (lstm) the last c."""
    if weights.hr is not None:
        return _run_projected(x, h, c, weights, reverse, mask)
    bias = None if weights.bias_ih is None else _gate_bias(weights.bias_ih, weights.bias_hh, kind=kind)
    given = [linear_map(x, weights.ih, bias), h]
    given += [] if c is None else [c]
    given.append(weights.hh)
    second = weights.bias_hh
    biased = kind == "gru" and second is not None
    if biased and second is not None:
        given.append(second[2 * (second.shape[0] // 3):])
    given += [] if mask is None else [mask]
    return _recurrence(*given, kind=kind, reverse=reverse, biased=biased, masked=mask is not None)


def _run_projected(x: Array, h: Array, c: Array, weights: Weights, reverse: bool,
                   mask: Array | None) -> tuple[Array, ...]:
    """A projected lstm (Sak et al. 2014) as a plain one whose weight is the product of weight and projection: all steps
    are projected at once behind the loop, and what the first h adds is part of the first step's input."""
    bias = None if weights.bias_ih is None else _gate_bias(weights.bias_ih, weights.bias_hh, kind="lstm")
    pre = _with_first(linear_map(x, weights.ih, bias), linear_map(h, weights.hh), *([] if mask is None else [mask]),
                      reverse=reverse)
    given = [pre, c * 0, c, weights.hh @ weights.hr, *([] if mask is None else [mask])]
    every, last, cell = _recurrence(*given, kind="lstm", reverse=reverse, biased=False, masked=mask is not None)
    return linear_map(every, weights.hr), linear_map(last, weights.hr), cell


@operation(promote="exact")
def _with_first(pre: Node, added: Node, *mask: Node, reverse: bool) -> Node:
    """`added` at the first step that each sequence takes."""
    steps = pre.shape[0]
    shape = pre.shape[:2]
    at = build.full(shape, steps - 1 if reverse else 0, dtypes.int32)
    if mask and reverse:
        count = build.reduce("add", build.convert(mask[0], dtypes.int32), (0,))
        at = build.broadcast(build.sub(count, build.ones_like(count)), shape, (1,))
    here = build.binary("eq", build.iota(shape, 0, dtypes.int32), at)
    wide = build.broadcast(added, pre.shape, (1, 2))
    return build.add(pre, build.select(build.broadcast(here, pre.shape, (0, 1)), wide, build.zeros_like(wide)))


def run_layers(kind: str, x: Array, state: Sequence[Array], weights: Sequence[Weights], directions: int,
               dropout_p: float = 0.0, mask: Array | None = None) -> tuple[Array, tuple[Array, ...]]:
    """All layers over [steps, batch, features], `weights` by layer and direction: outputs, and the last states."""
    lasts: list[tuple[Array, ...]] = []
    for first in range(0, len(weights), directions):
        if first and dropout_p:
            x = dropout(x, dropout_p)
        outs: list[Array] = []
        for k in range(first, first + directions):
            h, c = state[0][k], state[1][k] if kind == "lstm" else None
            every, *last = run_layer(kind, x, h, c, weights[k], k > first, mask)
            outs.append(every)
            lasts.append(tuple(last))
        x = outs[0] if directions == 1 else concat(outs, -1)
    return x, tuple(stack(list(part)) for part in zip(*lasts, strict=True))


@operation(promote="exact")
def _cell(x: Node, h: Node, *rest: Node, kind: str, biased: bool) -> tuple[Node, ...]:
    c = rest[0] if kind == "lstm" else None
    w_ih, w_hh, *biases = rest[c is not None:]
    pre = build.contract(x, w_ih, 0, 1)
    bias = None
    if biased:
        pre = build.add(pre, build.broadcast(_gate_bias.define(*biases, kind=kind), pre.shape, (1,)))
        size = biases[1].shape[0] // 3
        bias = build.slice_(biases[1], (2 * size,), (3 * size,)) if kind == "gru" else None
    new = step_of(kind, pre, h, c, w_hh, bias)
    return (new.h,) if new.c is None else (new.h, new.c)


def run_cell(kind: str, x: Array, h: Array, c: Array | None, weights: Weights) -> Any:
    """One step on [batch, features]: the new h, or (h, c)."""
    biased = weights.bias_ih is not None
    given = [x, h, *([] if c is None else [c]), weights.ih, weights.hh]
    given += [weights.bias_ih, weights.bias_hh] if biased else []
    return _cell(*given, kind=kind, biased=biased)


def _like(x: Array, array: Any, dtype: DType = dtypes.int64) -> Array:
    """Positions, counts or flags as a tensor of x's class."""
    return x.result_class(from_host(array, dtype)._use())


# -- lengths -----------------------------------------------------------------------------------------------------------


class PackedSequence(NamedTuple):
    """Sequences one step after the other, the longest first: `batch_sizes` says how many there are at each step."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None

    @property
    def is_cuda(self) -> bool:
        """False: the device is the CPU."""
        return False

    def is_pinned(self) -> bool:
        """False: no memory is pinned."""
        return False

    def to(self, *args: Any, **options: Any) -> PackedSequence:
        """The data converted."""
        return self._replace(data=self.data.to(*args, **options))


def lengths_of(lengths: Any, name: str) -> Any:
    """Lengths as a NumPy array of positive integers; of floating-point numbers, what is before the point."""
    found = np.asarray(lengths.numpy() if isinstance(lengths, TensorBase) else lengths)
    if found.dtype.kind == "f" and np.isfinite(found).all():
        found = found.astype(np.int64)
    if found.ndim != 1 or not found.size or found.dtype.kind not in "iu":
        raise ArgumentError(message(f"{name}: lengths must be a list of integers", [("lengths", f"{lengths!r:.60}")],
                                    "one for each sequence"))
    if found.min() <= 0:
        raise ValueError_(message(f"{name}: every length must be greater than 0",
                                  [("lengths", f"{found.tolist()!r:.60}")],
                                  "leave empty sequences out"))
    return found.astype(np.int64)


def pack_padded_sequence(input: Array, lengths: Any, batch_first: bool = False,
                         enforce_sorted: bool = True) -> PackedSequence:
    """The valid steps of padded sequences [steps, batch, ...], the longest sequence first.

    >>> import pullback as pb
    >>> packed = pb.nn.utils.rnn.pack_padded_sequence(pb.arange(6).reshape(3, 2), [3, 1])
    >>> packed.data, packed.batch_sizes
    (Tensor([0, 1, 2, 4], dtype=int32), Tensor([2, 1, 1], dtype=int64))
    """
    name = "pack_padded_sequence"
    x = as_tensor(input, name)
    x = x.swapaxes(0, 1) if batch_first else x
    sizes = lengths_of(lengths, name)
    if x.ndim < 2 or len(sizes) != x.shape[1] or sizes.max() > x.shape[0]:
        raise ShapeError(message(f"{name}: lengths do not fit", [("input", described(x)),
                                                                 ("lengths", f"{sizes.tolist()!r:.60}")],
                                 "one for each sequence, none longer than the input"))
    order = None
    if enforce_sorted:
        if (np.diff(sizes) > 0).any():
            raise ValueError_(message(f"{name}: lengths must be in decreasing order",
                                      [("lengths", f"{sizes.tolist()!r:.60}")], "pass enforce_sorted=False"))
    else:
        order = np.argsort(-sizes, kind="stable")
        sizes = sizes[order]
    counts = (sizes[None, :] > np.arange(sizes[0])[:, None]).sum(1)
    columns = np.arange(len(sizes)) if order is None else order
    places = np.concatenate([t * x.shape[1] + columns[:n] for t, n in enumerate(counts)])
    data = x.reshape((-1, *x.shape[2:]))[from_host(places, dtypes.int64)]
    if order is None:
        return PackedSequence(data, _like(x, counts))
    return PackedSequence(data, _like(x, counts), _like(x, order), _like(x, np.argsort(order)))


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Array, Array]:
    """Padded sequences of a packed one, and their lengths."""
    padded, lengths = padded_of(sequence, total_length, padding_value)
    if sequence.unsorted_indices is not None:
        padded, lengths = padded[:, sequence.unsorted_indices], lengths[sequence.unsorted_indices.numpy()]
    return (padded.swapaxes(0, 1) if batch_first else padded), _like(padded, lengths)


def padded_of(sequence: PackedSequence, total_length: int | None = None,
              padding_value: float = 0.0) -> tuple[Array, Any]:
    """[steps, batch, ...] in the packed order, and the lengths as a NumPy array."""
    counts = sequence.batch_sizes.numpy()
    steps, batch = len(counts), int(counts[0])
    if total_length is not None:
        if total_length < steps:
            raise ValueError_(message("pad_packed_sequence: total_length is less than the longest sequence",
                                      [("total_length", str(total_length)), ("longest", str(steps))],
                                      "leave total_length out, or give a larger one"))
        steps = total_length
    full = np.zeros(steps, np.int64)
    full[:len(counts)] = counts
    valid = np.arange(batch)[None, :] < full[:, None]
    starts = np.cumsum(full) - full
    places = np.where(valid, starts[:, None] + np.arange(batch)[None, :], 0)
    x = sequence.data[from_host(places, dtypes.int64)]
    mask = _like(x, valid, dtypes.bool_).reshape(valid.shape + (1,) * (x.ndim - 2))
    return _filled(x, mask, padding_value), valid.sum(0)


def _filled(x: Array, mask: Array, value: float) -> Array:
    from pullback.api.elementwise import where

    return where(mask, x, value)


def packed_like(padded: Array, sequence: PackedSequence) -> PackedSequence:
    """The valid steps of [steps, batch, ...] as a packed sequence with the lengths of another."""
    counts = sequence.batch_sizes.numpy()
    places = np.concatenate([t * padded.shape[1] + np.arange(n) for t, n in enumerate(counts)])
    data = padded.reshape((-1, *padded.shape[2:]))[from_host(places, dtypes.int64)]
    return sequence._replace(data=data)


def pad_sequence(sequences: Sequence[Array], batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Array:
    """Sequences of different lengths stacked, filled up with a value."""
    from pullback.api.manipulation import pad

    one_of(padding_side, ("left", "right"), "pad_sequence", "padding_side")
    xs = [as_tensor(x, "pad_sequence") for x in sequences]
    if not xs:
        raise ArgumentError(message("pad_sequence: no sequences are given", [], "pass a list of tensors"))
    longest = max(x.shape[0] for x in xs)
    rows = []
    for x in xs:
        more = longest - x.shape[0]
        width = ((more, 0) if padding_side == "left" else (0, more), *((0, 0),) * (x.ndim - 1))
        rows.append(pad(x, width, constant_values=padding_value) if more else x)
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Array, lengths: Any, batch_first: bool = False) -> list[Array]:
    """The sequences of a padded tensor."""
    x = as_tensor(padded_sequences, "unpad_sequence")
    x = x if batch_first else x.swapaxes(0, 1)
    sizes = lengths.numpy() if isinstance(lengths, TensorBase) else lengths
    if len(sizes) != len(x):
        raise ShapeError(message("unpad_sequence: needs one length per sequence",
                                 [("padded_sequences", described(padded_sequences)), ("lengths", str(len(sizes)))],
                                 "batch_first=True where the first dimension counts sequences"))
    return [x[k, :int(n)] for k, n in enumerate(sizes)]


def pack_sequence(sequences: Sequence[Array], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of different lengths, packed."""
    return pack_padded_sequence(pad_sequence(sequences), [len(x) for x in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Array]:
    """The sequences of a packed one."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


__all__ = ["GATES", "PackedSequence", "Weights", "pack_padded_sequence", "pack_sequence", "packed_like",
           "pad_packed_sequence", "pad_sequence", "padded_of", "run_cell", "run_layer", "run_layers", "unpack_sequence",
           "unpad_sequence"]
