"""Attention and transformer blocks (Vaswani et al. 2017)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from pullback.api.arguments import as_tensor, described
from pullback.api.creation import full, triu
from pullback.nn import functional as F
from pullback.nn import init
from pullback.nn.containers import ModuleList
from pullback.nn.linear import Dropout, Linear, check_sizes, empty
from pullback.nn.module import Module
from pullback.nn.normalization import LayerNorm
from pullback.util.errors import ShapeError, ValueError_, message


class MultiheadAttention(Module):
    """Attention of several heads: `attention(query, key, value)` gives the output and the weights.

    >>> import pullback as pb
    >>> x = pb.ones((5, 2, 8))
    >>> out, weights = pb.nn.MultiheadAttention(8, 2)(x, x, x)
    >>> out.shape, weights.shape
    ((5, 2, 8), (2, 5, 5))
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        check_sizes("MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ValueError_(message("MultiheadAttention: embed_dim must be divisible by num_heads",
                                      [("embed_dim", str(embed_dim)), ("num_heads", str(num_heads))],
                                      "embed_dim is shared out among the heads"))
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.head_dim, self.batch_first, self.add_zero_attn = embed_dim // num_heads, batch_first, add_zero_attn
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        if self._qkv_same_embed_dim:
            self.in_proj_weight = empty((3 * embed_dim, embed_dim), dtype)
            for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                self.register_parameter(name, None)
        else:
            self.q_proj_weight = empty((embed_dim, embed_dim), dtype)
            self.k_proj_weight = empty((embed_dim, self.kdim), dtype)
            self.v_proj_weight = empty((embed_dim, self.vdim), dtype)
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", empty((3 * embed_dim,), dtype) if bias else None)
        self.out_proj = self.child(Linear, embed_dim, embed_dim, bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, empty((1, 1, embed_dim), dtype) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Weights by Glorot's rule, biases 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for weight in (self.bias_k, self.bias_v):
            if weight is not None:
                init.xavier_normal_(weight)

    def forward(self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
                attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False) -> Any:
        _checked_hint("MultiheadAttention", "is_causal", is_causal, attn_mask)
        query = as_tensor(query, "MultiheadAttention")
        turn = self.batch_first and query.ndim == 3
        if turn:
            key, value = (query if x is query else x for x in (key, value))
            given = {id(x): x.swapaxes(0, 1) for x in (query, key, value)}
            query, key, value = (given[id(x)] for x in (query, key, value))
        separate = not self._qkv_same_embed_dim
        out, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k,
            self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias, self.training,
            key_padding_mask, need_weights, attn_mask, separate, self.q_proj_weight, self.k_proj_weight,
            self.v_proj_weight, None, None, average_attn_weights)
        return (out.swapaxes(0, 1) if turn else out), weights


def _checked_hint(owner: str, name: str, is_causal: bool | None, mask: Any) -> None:
    """`is_causal` is a hint about the mask: without one it would ask for what does not happen."""
    if is_causal and mask is None:
        raise ValueError_(message(f"{owner}: {name} is a hint about the mask, which is needed too", [("mask", "None")],
                                  "pass nn.Transformer.generate_square_subsequent_mask(length)"))


def _activation(given: Any) -> Callable[[Any], Any]:
    """A function, or "relu" or "gelu"."""
    named = {"relu": F.relu, "gelu": F.gelu}
    if isinstance(given, str):
        if given not in named:
            raise ValueError_(message("activation should be 'relu' or 'gelu'", [("activation", repr(given))],
                                      "activation='relu', or a function"))
        return named[given]
    return given


class TransformerEncoderLayer(Module):
    """Self-attention and a feed-forward network, each with a residual connection and layer normalisation."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: Any = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
                 norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.self_attn = self.child(MultiheadAttention, d_model, nhead, dropout, bias, batch_first=batch_first,
                                    dtype=dtype)
        self.linear1 = self.child(Linear, d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = self.child(Dropout, dropout)
        self.linear2 = self.child(Linear, dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for k in (1, 2):
            self.register_module(f"norm{k}", self.child(LayerNorm, d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for k in (1, 2):
            self.register_module(f"dropout{k}", self.child(Dropout, dropout))
        self.activation = _activation(activation)

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None,
                is_causal: bool = False) -> Any:
        _checked_hint("TransformerEncoderLayer", "is_causal", is_causal, src_mask)

        def attend(x: Any) -> Any:
            return self.dropout1(self.self_attn(x, x, x, src_key_padding_mask, False, src_mask)[0])

        if self.norm_first:
            x = src + attend(self.norm1(src))
            return x + self._feed(self.norm2(x))
        x = self.norm1(src + attend(src))
        return self.norm2(x + self._feed(x))

    def _feed(self, x: Any) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerDecoderLayer(Module):
    """Self-attention, attention on the encoder's output, and a feed-forward network."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: Any = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
                 norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        for name in ("self_attn", "multihead_attn"):
            self.register_module(name, self.child(MultiheadAttention, d_model, nhead, dropout, bias,
                                                  batch_first=batch_first, dtype=dtype))
        self.linear1 = self.child(Linear, d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = self.child(Dropout, dropout)
        self.linear2 = self.child(Linear, dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for k in (1, 2, 3):
            self.register_module(f"norm{k}", self.child(LayerNorm, d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for k in (1, 2, 3):
            self.register_module(f"dropout{k}", self.child(Dropout, dropout))
        self.activation = _activation(activation)

    def forward(self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
                tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None, tgt_is_causal: bool = False,
                memory_is_causal: bool = False) -> Any:
        _checked_hint("TransformerDecoderLayer", "tgt_is_causal", tgt_is_causal, tgt_mask)
        _checked_hint("TransformerDecoderLayer", "memory_is_causal", memory_is_causal, memory_mask)

        def attend(x: Any) -> Any:
            return self.dropout1(self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask)[0])

        def look(x: Any) -> Any:
            return self.dropout2(self.multihead_attn(x, memory, memory, memory_key_padding_mask, False,
                                                     memory_mask)[0])

        if self.norm_first:
            x = tgt + attend(self.norm1(tgt))
            x = x + look(self.norm2(x))
            return x + self._feed(self.norm3(x))
        x = self.norm1(tgt + attend(tgt))
        x = self.norm2(x + look(x))
        return self.norm3(x + self._feed(x))

    def _feed(self, x: Any) -> Any:
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class _Stack(Module):
    def __init__(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        super().__init__()
        self.layers = self.child(ModuleList, [copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm


class TransformerEncoder(_Stack):
    """Copies of an encoder layer, one after the other."""

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None,
                 enable_nested_tensor: bool = True, mask_check: bool = True) -> None:
        super().__init__(encoder_layer, num_layers, norm)

    def forward(self, src: Any, mask: Any = None, src_key_padding_mask: Any = None,
                is_causal: bool | None = None) -> Any:
        _checked_hint("TransformerEncoder", "is_causal", is_causal, mask)
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(_Stack):
    """Copies of a decoder layer, one after the other."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
                tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
                tgt_is_causal: bool | None = None, memory_is_causal: bool = False) -> Any:
        _checked_hint("TransformerDecoder", "tgt_is_causal", tgt_is_causal, tgt_mask)
        _checked_hint("TransformerDecoder", "memory_is_causal", memory_is_causal, memory_mask)
        for layer in self.layers:
            tgt = layer(tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
                        tgt_key_padding_mask=tgt_key_padding_mask, memory_key_padding_mask=memory_key_padding_mask)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder.

    >>> import pullback as pb
    >>> model = pb.nn.Transformer(8, 2, 1, 1, 16)
    >>> model(pb.ones((5, 2, 8)), pb.ones((3, 2, 8))).shape
    (3, 2, 8)
    """

    def __init__(self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
                 dim_feedforward: int = 2048, dropout: float = 0.1, activation: Any = "relu",
                 custom_encoder: Any = None, custom_decoder: Any = None, layer_norm_eps: float = 1e-5,
                 batch_first: bool = False, norm_first: bool = False, bias: bool = True, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias,
                   None, dtype)
        self.encoder = custom_encoder or self.child(
            TransformerEncoder, self.child(TransformerEncoderLayer, *options), num_encoder_layers,
            self.child(LayerNorm, d_model, layer_norm_eps, bias=bias, dtype=dtype))
        self.decoder = custom_decoder or self.child(
            TransformerDecoder, self.child(TransformerDecoderLayer, *options), num_decoder_layers,
            self.child(LayerNorm, d_model, layer_norm_eps, bias=bias, dtype=dtype))
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None, memory_mask: Any = None,
                src_key_padding_mask: Any = None, tgt_key_padding_mask: Any = None,
                memory_key_padding_mask: Any = None, src_is_causal: bool | None = None,
                tgt_is_causal: bool | None = None, memory_is_causal: bool = False) -> Any:
        for name, x in (("src", src), ("tgt", tgt)):
            if x.shape[-1] != self.d_model:
                raise ShapeError(message(f"Transformer: the feature number of {name} must be {self.d_model}",
                                         [(name, described(x))], f"(length, batch, {self.d_model})"))
        _checked_hint("Transformer", "src_is_causal", src_is_causal, src_mask)
        _checked_hint("Transformer", "tgt_is_causal", tgt_is_causal, tgt_mask)
        _checked_hint("Transformer", "memory_is_causal", memory_is_causal, memory_mask)
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        return self.decoder(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """-inf above the diagonal, 0 elsewhere: positions see themselves and what is before them."""
        return triu(full((sz, sz), float("-inf"), dtype=dtype or "float32"), 1)
