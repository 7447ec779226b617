"""Changes of training samples that keep their labels."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def shift_images(random: np.random.Generator, images: Array, labels: Array) -> tuple[Array, Array]:
    """Move many images by up to one pixel, up or down and left or right; what comes in is 0."""
    count, height, width = len(images), *images.shape[-2:]
    room = [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)]
    padded = np.pad(images, room).reshape(count, -1, height + 2, width + 2)
    moves = random.integers(0, 3, (2, count))
    moves[:, random.random(count) < 0.4] = 1
    rows = moves[0][:, None, None] + np.arange(height)[:, None]
    columns = moves[1][:, None, None] + np.arange(width)
    moved = padded[np.arange(count)[:, None, None], :, rows, columns]  # channels come last
    return np.moveaxis(moved, -1, 1).reshape(images.shape), labels


def crop_windows(random: np.random.Generator, windows: Array, *, length: int) -> tuple[Array, Array]:
    """A random piece of each row as `length` tokens, and the `length` tokens that follow each of them."""
    starts = random.integers(0, windows.shape[1] - length, len(windows))
    pieces = np.take_along_axis(windows, starts[:, None] + np.arange(length + 1), 1).astype(np.int32)
    return pieces[:, :-1], pieces[:, 1:].astype(np.int64)
