"""Recurrent layers and cells. The product with the input is one for all steps; the loop holds what depends on it."""

from __future__ import annotations

import math
from typing import Any

from pullback.api import recurrence
from pullback.api.arguments import as_tensor, described
from pullback.api.creation import zeros
from pullback.api.recurrence import GATES, PackedSequence, Weights
from pullback.engine.tensor import from_host
from pullback.ir import dtypes
from pullback.nn import init
from pullback.nn.linear import check_sizes, empty
from pullback.nn.module import Module
from pullback.util.errors import ShapeError, ValueError_, message


def _check_parts(owner: str, hx: Any, pair: bool) -> None:
    if isinstance(hx, (tuple, list)) != pair or (pair and len(hx) != 2):
        raise ShapeError(message(f"{owner}: the state must be {'a pair' if pair else 'one tensor'}",
                                 [("hx", f"{hx!r:.60}")], "(h_0, c_0)" if pair else "h_0"))


class RNNBase(Module):
    """What recurrent layers have in common: weights by layer and direction, states, packed sequences."""

    mode: str
    bidirectional: bool

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
                 device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        owner = type(self).__name__
        check_sizes(owner, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ValueError_(message(f"{owner}: dropout should be a number in range [0, 1]",
                                      [("dropout", repr(dropout))], "dropout=0.1"))
        if not 0 <= proj_size < hidden_size or (proj_size and mode != "LSTM"):
            raise ValueError_(message(f"{owner}: proj_size has to be less than hidden_size, and is for LSTM only",
                                      [("proj_size", repr(proj_size)), ("hidden_size", repr(hidden_size))],
                                      "proj_size=0 has none"))
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bool(bias), bool(batch_first), float(dropout)
        self.bidirectional, self.proj_size = bool(bidirectional), int(proj_size)
        gates, out = GATES[self._kind] * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * self._directions
            for suffix in self._suffixes(layer):
                self.register_parameter(f"weight_ih_{suffix}", empty((gates, width), dtype))
                self.register_parameter(f"weight_hh_{suffix}", empty((gates, out), dtype))
                if bias:
                    self.register_parameter(f"bias_ih_{suffix}", empty((gates,), dtype))
                    self.register_parameter(f"bias_hh_{suffix}", empty((gates,), dtype))
                if proj_size:
                    self.register_parameter(f"weight_hr_{suffix}", empty((proj_size, hidden_size), dtype))
        self.reset_parameters()

    @property
    def _kind(self) -> str:
        return self.mode.lower()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"][:self._directions]

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters by layer and direction."""
        return [[w for w in group if w is not None] for group in self._weights()]

    def _weights(self) -> list[Weights]:
        found: list[Weights] = []
        for layer in range(self.num_layers):
            for suffix in self._suffixes(layer):
                names = [f"{name}_{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
                projection = getattr(self, f"weight_hr_{suffix}") if self.proj_size else None
                given = Weights(*(getattr(self, n) for n in names[:4 if self.bias else 2]))
                found.append(given if projection is None else given._replace(hr=projection))
        return found

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: weights are laid out by the compiler."""

    def _state(self, hx: Any, x: Any, batch: int, order: Any = None) -> tuple[Any, ...]:
        """The first states, [layers * directions, batch, hidden] each."""
        cell = (self.num_layers * self._directions, batch, self.hidden_size)
        shapes = ((*cell[:2], self.proj_size or self.hidden_size), cell)[:2 if self._kind == "lstm" else 1]
        if hx is None:
            return tuple(zeros(shape, dtype=x.info.type.dtype) for shape in shapes)
        given = tuple(hx) if self._kind == "lstm" else (hx,)
        for name, part, shape in zip(("h_0", "c_0")[:len(shapes)], given, shapes, strict=True):
            if tuple(part.shape) != shape:
                raise ShapeError(message(f"{type(self).__name__}: {name} must have the shape {shape}",
                                         [(name, described(part)), ("input", described(x))],
                                         "(layers * directions, batch, hidden_size)"))
        return given if order is None else tuple(part[:, order] for part in given)

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None:
            _check_parts(type(self).__name__, hx, self._kind == "lstm")
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        x = as_tensor(input, type(self).__name__)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            lead = "batch, steps" if self.batch_first else "steps, batch"
            raise ShapeError(message(f"{type(self).__name__}: input must be ({lead}, {self.input_size}) "
                                     f"or (steps, {self.input_size})", [("input", described(x))],
                                     "" if self.batch_first else "with batch_first the batch comes first"))
        single = x.ndim == 2
        if single:
            x = x[:, None]
            hx = None if hx is None else tuple(p[:, None] for p in hx) if self._kind == "lstm" else hx[:, None]
        elif self.batch_first:
            x = x.swapaxes(0, 1)
        if not x.shape[0]:
            raise ShapeError(message("Expected sequence length to be larger than 0 in RNN",
                                     [("input", described(input)), ("layer", type(self).__name__)],
                                     "leave empty sequences out"))
        out, last = self._run(x, self._state(hx, x, x.shape[1]))
        if single:
            out, last = out[:, 0], tuple(p[:, 0] for p in last)
        elif self.batch_first:
            out = out.swapaxes(0, 1)
        return out, last if self._kind == "lstm" else last[0]

    def _run(self, x: Any, state: tuple[Any, ...], mask: Any = None) -> tuple[Any, tuple[Any, ...]]:
        p = self.dropout if self.training else 0.0
        return recurrence.run_layers(self._kind, x, state, self._weights(), self._directions, p, mask)

    def _packed(self, input: PackedSequence, hx: Any) -> Any:
        x, lengths = recurrence.padded_of(input)
        mask = None
        if int(lengths.min()) < x.shape[0]:
            steps = range(x.shape[0])
            mask = from_host([[bool(t < n) for n in lengths] for t in steps], dtypes.bool_)
        state = self._state(hx, x, x.shape[1], input.sorted_indices)
        out, last = self._run(x, state, mask)
        if input.unsorted_indices is not None:
            last = tuple(part[:, input.unsorted_indices] for part in last)
        return recurrence.packed_like(out, input), last if self._kind == "lstm" else last[0]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = (("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0),
                    ("bidirectional", False))
        return text + "".join(f", {k}={getattr(self, k)}" for k, usual in defaults if getattr(self, k) != usual)


class RNN(RNNBase):
    """h = tanh(x @ weight_ih.T + h @ weight_hh.T + biases), or relu, over a sequence (Elman 1990).

    >>> import pullback as pb
    >>> out, last = pb.nn.RNN(3, 4)(pb.ones((5, 2, 3)))
    >>> out.shape, last.shape
    ((5, 2, 4), (1, 2, 4))
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
                 bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 device: Any = None, dtype: Any = None) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError_(message("RNN: nonlinearity must be 'tanh' or 'relu'",
                                      [("nonlinearity", repr(nonlinearity))], "nonlinearity='tanh'"))
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, 0, device, dtype)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000). Returns output, (h, c)."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
                 device: Any = None, dtype: Any = None) -> None:
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
                         proj_size, device, dtype)


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014), the reset gate behind the product as in PyTorch and cuDNN."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 device: Any = None, dtype: Any = None) -> None:
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0,
                         device, dtype)


class RNNCellBase(Module):
    """What cells have in common."""

    kind: str

    def __init__(self, input_size: int, hidden_size: int, bias: bool, kind: str, dtype: Any = None) -> None:
        super().__init__()
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias, self.kind = input_size, hidden_size, bool(bias), kind
        gates = GATES[kind] * hidden_size
        self.weight_ih, self.weight_hh = empty((gates, input_size), dtype), empty((gates, hidden_size), dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, empty((gates,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def forward(self, input: Any, hx: Any = None) -> Any:
        x = as_tensor(input, type(self).__name__)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(message(f"{type(self).__name__}: input must be (batch, {self.input_size})",
                                     [("input", described(x))], f"one step of {self.input_size} features"))
        single = x.ndim == 1
        x = x[None] if single else x
        pair = self.kind == "lstm"
        if hx is None:
            state: Any = (zeros((x.shape[0], self.hidden_size), dtype=x.info.type.dtype),) * (2 if pair else 1)
        else:
            _check_parts(type(self).__name__, hx, pair)
            state = tuple(hx) if pair else (hx,)
            state = tuple(s[None] for s in state) if single else state
        for s in state:
            if tuple(s.shape) != (x.shape[0], self.hidden_size):
                raise ShapeError(message(f"{type(self).__name__}: the state must be ({x.shape[0]}, {self.hidden_size})",
                                         [("hx", described(s)), ("input", described(x))],
                                         "(h_0, c_0), each (batch, hidden_size)" if pair else "(batch, hidden_size)"))
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        found = recurrence.run_cell(self.kind, x, state[0], state[1] if pair else None, weights)
        if not single:
            return found
        return tuple(s[0] for s in found) if pair else found[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of `RNN`."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
                 device: Any = None, dtype: Any = None) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError_(message("RNNCell: nonlinearity must be 'tanh' or 'relu'",
                                      [("nonlinearity", repr(nonlinearity))], "nonlinearity='tanh'"))
        super().__init__(input_size, hidden_size, bias, f"rnn_{nonlinearity}", dtype)
        self.nonlinearity = nonlinearity


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: returns (h, c)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, "lstm", dtype)


class GRUCell(RNNCellBase):
    """One step of `GRU`."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, "gru", dtype)
