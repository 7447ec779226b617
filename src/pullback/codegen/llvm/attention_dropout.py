"""Dropout of attention's weights: their bits are computed where the weights are, and stored nowhere.

A vector of weights takes one threefry of half as many lanes: the counter is the row and the pair of columns, its two
words are the bits of that pair (`ops.attention.dropped`).
"""

from __future__ import annotations

from typing import NamedTuple

from pullback.codegen.llvm import matmul_index as ix
from pullback.codegen.llvm.attention_parts import Blocks, Operands, lane_numbers
from pullback.codegen.llvm.matmul_pack import shuffle
from pullback.codegen.llvm.text import Fn, V, const, i64, vector
from pullback.kernel.nodes import AttentionNest, Dropout
from pullback.util.threefry import rounds

#: what functions over a block take besides: the key, the number of its first row, that of its first pair of columns
PARAMS = [("i32", "key0"), ("i32", "key1"), ("i32", "line"), ("i32", "pair")]
_ROWS = {"add": "add", "bitwise_xor": "xor", "bitwise_or": "or", "shift_left": "shl", "shift_right": "lshr"}


class Lines(NamedTuple):
    """The key of a batch index, and the number of its first row."""

    key0: V
    key1: V
    first: V

    def at(self, fn: Fn, row: V, column: V) -> tuple[V, V, V, V]:
        """Arguments for `PARAMS` of the block that begins at a row and a column, an even one."""
        line = fn.cast("trunc", ix.add(fn, self.first, row), "i32")
        return self.key0, self.key1, line, fn.cast("trunc", ix.div(fn, column, 2), "i32")


def lines(fn: Fn, nest: AttentionNest, operands: Operands, index: list[V], flat: V) -> Lines | None:
    """Those of a batch index, and of its number."""
    found = nest.dropout
    if found is None:
        return None
    keys = [fn.load(operands.at(found.key, index, i64(k), "i32"), "i32", 4) for k in (0, 1)]
    inner = 1
    for n in nest.batch[found.lead:]:
        inner *= n
    return Lines(keys[0], keys[1], ix.mul(fn, ix.rem(fn, flat, inner), nest.m))


def params(nest: AttentionNest) -> list[tuple[str, str]]:
    """`PARAMS` where weights are dropped."""
    return [] if nest.dropout is None else PARAMS


def dropper(fn: Fn, b: Blocks, nest: AttentionNest) -> Dropper | None:
    """What drops weights inside of a function that has `params` last."""
    return None if nest.dropout is None else Dropper(fn, b, nest.dropout)


class Dropper:
    """Drops weights inside of a function that has `PARAMS` last."""

    def __init__(self, fn: Fn, b: Blocks, dropout: Dropout) -> None:
        self.fn, self.b, self.dropout = fn, b, dropout
        self.half = vector("i32", b.wide // 2)
        self.keys = tuple(fn.splat(k, b.wide // 2) for k in fn.params[-4:-2])
        self.line, self.pair = fn.params[-2:]

    def drop(self, r: V, c: V, *values: V) -> list[V]:
        """What belongs to the weights of a row from a column on, a vector each: 0 where these are dropped."""
        fn, half = self.fn, self.b.wide // 2
        row = fn.splat(fn.add(self.line, fn.cast("trunc", r, "i32")), half)
        pair = fn.add(self.pair, fn.cast("trunc", ix.div(fn, c, 2), "i32"))
        pairs = fn.add(fn.splat(pair, half), lane_numbers(half))
        words = rounds(self.step, self.word, (self.keys[0], self.keys[1]), row, pairs)
        order = [k // 2 + half * (k % 2) for k in range(self.b.wide)]
        bits = shuffle(fn, *words, order, vector("i32", self.b.wide))
        kept = fn.compare("icmp", "uge", bits, _word(self.dropout.threshold, bits.type))
        return [fn.select(kept, x, const(0.0, x.type)) for x in values]

    def step(self, name: str, x: V, y: V) -> V:
        return self.fn.binary(_ROWS[name], x, y)

    def word(self, number: int) -> V:
        return _word(number, self.half)


def _word(number: int, type_: str) -> V:
    """32 bits, which are written as a signed number."""
    return const(number - 2**32 if number >= 2**31 else number, type_)


__all__ = ["Dropper", "Lines", "dropper", "lines", "params"]
