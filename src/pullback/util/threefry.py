"""Threefry-2x32 with 20 rounds (Salmon et al., SC 2011), over what computes on 32-bit words: arrays, nodes, code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def rounds(row: Callable[..., Any], word: Callable[[int], Any], key: tuple[Any, Any], x0: Any, x1: Any,
           ) -> tuple[Any, Any]:
    """The two words for a counter (x0, x1).

    `row` computes "add", "bitwise_xor", "bitwise_or", "shift_left" or "shift_right" of two words; `word` makes one.
    """
    keys = (*key, row("bitwise_xor", row("bitwise_xor", key[0], key[1]), word(PARITY)))
    x0, x1 = row("add", x0, keys[0]), row("add", x1, keys[1])
    for group in range(5):
        for r in ROTATIONS[group % 2]:
            x0 = row("add", x0, x1)
            turned = row("bitwise_or", row("shift_left", x1, word(r)), row("shift_right", x1, word(32 - r)))
            x1 = row("bitwise_xor", turned, x0)
        x0 = row("add", x0, keys[(group + 1) % 3])
        x1 = row("add", row("add", x1, keys[(group + 2) % 3]), word(group + 1))
    return x0, x1


__all__ = ["rounds"]
