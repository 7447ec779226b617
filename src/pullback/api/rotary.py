"""Positions as rotations of pairs of features."""

from __future__ import annotations

from typing import Any

from pullback.api.arguments import as_tensor, described
from pullback.api.layers import embedding
from pullback.api.manipulation import stack
from pullback.ir import dtypes
from pullback.util.errors import ShapeError, message

Array = Any


def rotary_embedding(input: Array, table: Array, positions: Array = None) -> Array:
    """Pairs of features of each head turned by an angle that grows with the position (Su et al. 2021).

    `input` is (batch, length, heads, features); a row of `table` holds the cosines of a position's angles, then their
    sines. `positions`, (length,) or (batch, length), are 0 to length - 1 by default. 16-bit features are turned in
    float32.
    """
    name = "rotary_embedding"
    x, rows = as_tensor(input, name), as_tensor(table, name)
    if x.ndim != 4 or rows.ndim != 2 or rows.shape[1] != x.shape[3] or x.shape[3] % 2:
        raise ShapeError(message(f"{name}: shapes do not fit", [("input", described(x)), ("table", described(rows))],
                                 "input (batch, length, heads, features), table (positions, features), features even"))
    length, features = x.shape[1], x.shape[3]
    if positions is not None:
        places = as_tensor(positions, name)
        if tuple(places.shape) not in ((length,), (1, length), (x.shape[0], length)):
            raise ShapeError(message(f"{name}: positions do not fit the input",
                                     [("positions", described(places)), ("input", described(x))],
                                     f"({length},) or ({x.shape[0]}, {length})"))
        rows = embedding(places, rows)
    elif length > rows.shape[0]:
        raise ShapeError(message(f"{name}: the input is longer than the table",
                                 [("input", described(x)), ("table", described(rows))],
                                 "a table of more positions, or fewer steps"))
    else:
        rows = rows[:length]
    kind = x.info.type.dtype
    wide = x.astype(dtypes.float32) if kind.itemsize < 4 else x
    turns = rows.astype(wide.info.type.dtype).reshape((-1, length, 1, features))
    cosine, sine = turns[..., :features // 2], turns[..., features // 2:]
    first, second = wide[..., ::2], wide[..., 1::2]
    turned = stack([first * cosine - second * sine, second * cosine + first * sine], -1)
    return turned.reshape(x.shape).astype(kind)


__all__ = ["rotary_embedding"]
