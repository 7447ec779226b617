"""How PyTorch writes tensors: four digits, one width for all elements, scientific where magnitudes differ, three at
each edge."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from pullback.dialects.torch.dtypes import SHOWN, DefaultDtype
from pullback.engine.trace import Value, visible_dtype
from pullback.ir import dtypes

Array = Any


class Options:
    """What `torch.set_printoptions` sets."""

    precision = 4
    threshold = 1000.0
    edgeitems = 3
    linewidth = 80
    sci_mode: bool | None = None


_PROFILES = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80), "full": (4, math.inf, 3, 80)}


def set_printoptions(precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
                     linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None) -> None:
    """Set how tensors are written: digits, elements above which to summarise, elements at each edge, columns."""
    if profile is not None:
        Options.precision, Options.threshold, Options.edgeitems, Options.linewidth = _PROFILES[profile]
    if precision is not None:
        Options.precision = precision
    if threshold is not None:
        Options.threshold = threshold
    if edgeitems is not None:
        Options.edgeitems = edgeitems
    if linewidth is not None:
        Options.linewidth = linewidth
    Options.sci_mode = sci_mode


class _Style:
    """How the elements of one array are written: whole, fixed or scientific, and how wide."""

    def __init__(self, array: Array) -> None:
        self.floating = array.dtype.kind == "f"
        self.whole, self.scientific, self.width = True, False, 1
        if not self.floating:
            self.width = max([1, *(len(str(v)) for v in array.reshape(-1).tolist())])
            return
        values = array[np.isfinite(array) & (array != 0)]
        if not values.size:
            return
        sizes = np.abs(values.astype(np.float64))
        largest, smallest = float(sizes.max()), float(sizes.min())
        self.whole = bool((values == np.ceil(values)).all())
        uneven = largest / smallest > 1000.0 or largest > 1.0e8
        self.scientific = uneven or (not self.whole and smallest < 1.0e-4)
        form = f".{Options.precision}e" if self.scientific else ".0f" if self.whole else f".{Options.precision}f"
        point = 1 if self.whole and not self.scientific else 0
        self.width = max([1, *(len(format(v, form)) + point for v in values.tolist())])
        if Options.sci_mode is not None:
            self.scientific = Options.sci_mode

    def text(self, value: Any) -> str:
        """One element, right-aligned."""
        if not self.floating:
            found = str(value)
        elif self.scientific:
            found = f"{value:{self.width}.{Options.precision}e}"
        elif self.whole:
            found = f"{value:.0f}" + ("." if math.isfinite(value) else "")
        else:
            found = f"{value:.{Options.precision}f}"
        return found.rjust(self.width)


class _Writer:
    """Writes an array whose elements have one style (two for complex numbers)."""

    def __init__(self, array: Array, summarise: bool) -> None:
        self.summarise = summarise
        shown = _edges(array) if summarise else array
        parts = [shown.real, shown.imag] if array.dtype.kind == "c" else [shown]
        self.styles = [_Style(part) for part in parts]

    def element(self, value: Any) -> str:
        if len(self.styles) == 1:
            return self.styles[0].text(value)
        real, imaginary = self.styles[0].text(value.real), self.styles[1].text(value.imag).lstrip()
        return f"{real}{imaginary}j" if imaginary[0] in "+-" else f"{real}+{imaginary}j"

    def write(self, array: Array, indent: int) -> str:
        if array.ndim == 0:
            return self.element(array.item())
        cut = self.summarise and array.shape[0] > 2 * Options.edgeitems
        if array.ndim == 1:
            return self._row(array, indent, cut)
        edge = Options.edgeitems
        rows = [*array[:edge], *array[len(array) - edge:]] if cut else list(array)
        texts = [self.write(row, indent + 1) for row in rows]
        if cut:
            texts.insert(edge, "...")
        between = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
        return "[" + between.join(texts) + "]"

    def _row(self, array: Array, indent: int, cut: bool) -> str:
        wide = sum(s.width for s in self.styles) + 2 + (len(self.styles) - 1)
        per_line = max(1, (Options.linewidth - indent) // wide)
        edge = Options.edgeitems
        if cut:
            texts = [*map(self.element, array[:edge].tolist()), " ...",
                     *map(self.element, array[len(array) - edge:].tolist())]
        else:
            texts = [self.element(v) for v in array.tolist()]
        lines = [", ".join(texts[k:k + per_line]) for k in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _edges(array: Array) -> Array:
    """The elements that a summary shows."""
    if array.ndim == 0:
        return array
    edge = Options.edgeitems
    if array.shape[0] > 2 * edge:
        array = np.concatenate([array[:edge], array[array.shape[0] - edge:]])
    return array if array.ndim == 1 else np.stack([_edges(row) for row in array])


def _suffixed(text: str, suffixes: list[str], indent: int) -> str:
    parts = [text]
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > Options.linewidth:
            parts.append(",\n" + " " * indent + suffix)
            column = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            column += len(suffix) + 2
    return "".join(parts) + ")"


def tensor_text(x: Any) -> str:
    """A tensor as PyTorch writes it."""
    value = x._peek()
    kind = visible_dtype(value.info)
    trace = value.trace
    if value.buffer is None and trace is not None and trace.kind != "main":
        return f"tensor(<being traced>, size={tuple(value.info.type.shape)}, dtype={SHOWN[kind.name]!r})"
    history = backward_name(x)  # asked for first: reading the elements launches what is recorded
    array = x.numpy()
    prefix = "tensor("
    suffixes: list[str] = []
    usual = (DefaultDtype.current, dtypes.complex128 if DefaultDtype.current is dtypes.float64 else dtypes.complex64)
    if array.size == 0:
        if array.ndim != 1:
            suffixes.append(f"size={tuple(array.shape)}")
        if kind is not DefaultDtype.current:
            suffixes.append(f"dtype={SHOWN[kind.name]!r}")
        body = "[]"
    else:
        if kind not in (*usual, dtypes.int64, dtypes.bool_):
            suffixes.append(f"dtype={SHOWN[kind.name]!r}")
        wide = array.astype(np.float32) if kind.kind == "f" and kind.bits == 16 else array
        body = _Writer(wide, wide.size > Options.threshold).write(wide, len(prefix))
    if history:
        suffixes.append(f"grad_fn=<{history}>")
    elif x.requires_grad:
        suffixes.append("requires_grad=True")
    return _suffixed(prefix + body, suffixes, len(prefix))


# -- names of gradient functions --------------------------------------------------------------------------------------

#: what PyTorch calls the gradients of operations that have another name here
_NAMES = {
    "subtract": "SubBackward0", "multiply": "MulBackward0", "divide": "DivBackward0", "negative": "NegBackward0",
    "power": "PowBackward0", "mse": "MseLossBackward0", "copy": "CloneBackward0", "astype": "ToCopyBackward0",
    "clamp": "ClampBackward1", "clamp_min": "ClampBackward1", "clamp_max": "ClampBackward1",
    "concat": "CatBackward0", "linear": "AddmmBackward0", "cross_entropy": "NllLossBackward0",
    "square": "PowBackward0", "convolve": "ConvolutionBackward0", "log1p": "Log1PBackward0", "l1": "MeanBackward0",
    "kl": "MeanBackward0", "bce": "BinaryCrossEntropyBackward0",
    "bce_logits": "BinaryCrossEntropyWithLogitsBackward0", "max_pool": "MaxPool2DWithIndicesBackward0",
    "avg_pool": "AvgPool2DBackward0", "drop": "MulBackward0", "layer_norm": "NativeLayerNormBackward0",
    "batch_norm": "NativeBatchNormBackward0", "batch_norm_training": "NativeBatchNormBackward0",
    "outer": "MulBackward0", "einsum": "ViewBackward0", "tensordot": "ViewBackward0",
    "cumulative": "CumsumBackward0", "take": "IndexSelectBackward0", "gather": "IndexBackward0",
    "gather_along": "GatherBackward0", "sort_both": "SortBackward0", "triangle": "TrilBackward0",
    "tile": "RepeatBackward0", "huber": "HuberLossBackward0", "interpolate": "UpsampleNearest2DBackward0",
    "pad": "ConstantPadNdBackward0", "standardize": "DivBackward0", "cosine": "SumBackward1",
    "adaptive_avg": "MeanBackward1", "kth": "MedianBackward0", "vector_norm": "LinalgVectorNormBackward0",
    "read_diagonal": "DiagonalBackward0", "read_flip": "FlipBackward0", "read_broadcast": "ExpandBackward0",
    "read_reshape": "ViewBackward0", "max": "MaxBackward1", "min": "MinBackward1", "median": "MedianBackward1",
    "max_pool_with_indices": "MaxPool2DWithIndicesBackward0",
}
#: a number at the left changes the name
_REFLECTED = {"subtract": "RsubBackward1", "divide": "MulBackward0", "power": "PowBackward2"}
#: the form over given dimensions has the number 1
_OVER_SOME = ("mean", "sum", "prod")
_PRODUCTS = {0: "Dot", 1: "Mv", 2: "Mm", 3: "Bmm"}


def backward_name(x: Any) -> str:
    """The name of a tensor's gradient function as PyTorch calls it, "" for a leaf."""
    value = x._peek()
    if x._meta is not None or not value.info.requires_grad:
        return ""
    if x._function:
        return f"{x._function}Backward"
    state = value.trace.state if value.trace is not None else None
    while state is not None and state.base > value.slot:
        state = state.parent
    if state is None or state.step is None:
        return "Backward0"
    op = state.step
    static = dict(op.define.keywords) if isinstance(op.define, partial) else {}
    return _backward_name(str(op.name).strip("_"), static, value, state)


def _backward_name(name: str, static: dict[str, Any], value: Value, state: Any) -> str:
    if name in _OVER_SOME:
        return f"{name.capitalize()}Backward{0 if static.get('axes') is None else 1}"
    if name == "matmul":
        return f"{_PRODUCTS.get(len(value.info.type.shape), 'UnsafeView')}Backward0"
    if name == "read_transpose":
        return "TBackward0" if len(value.info.type.shape) == 2 else "PermuteBackward0"
    if name == "read_index":
        kinds = {entry[0] for entry in static.get("entries", ())}
        return "SelectBackward0" if "i" in kinds else "SliceBackward0" if kinds <= {"s"} else "UnsqueezeBackward0"
    if name in _REFLECTED and _number_first(state):
        return _REFLECTED[name]
    if name in ("max", "min") and static.get("axes") is not None:
        return f"A{name}Backward0"
    return _NAMES.get(name) or "".join(part.capitalize() for part in name.split("_")) + "Backward0"


def _number_first(state: Any) -> bool:
    """Whether the first operand of a step was a Python number."""
    key = next((k for k, s in state.parent.next.items() if s is state), ())
    return len(key) > 1 and key[1] in (float, int)
