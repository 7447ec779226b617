"""The handwritten digits and the text that ship with the package (see README.md for their source and licence)."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from pullback.data.dataset import TensorDataset
from pullback.util.errors import ValueError_, message

SPLITS = ("all", "train", "test")


def digits(split: str = "all") -> TensorDataset:
    """The UCI optical digits: float32[n, 8, 8] images of 0 to 1 and int64[n] labels of 0 to 9.

    `split`: "all" (1,797), "train" (1,437) or "test" (360, a fifth of each class; which ones is fixed).
    """
    if split not in SPLITS:
        raise ValueError_(message("digits: no such split", [("split", repr(split))], "one of " + ", ".join(SPLITS)))
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        images, labels, test = file["images"], file["labels"], file["test"]
    keep = {"all": np.ones_like(test), "train": ~test, "test": test}[split]
    return TensorDataset(images[keep].astype(np.float32) / np.float32(16), labels[keep].astype(np.int64))


def shakespeare(split: str = "all") -> str:
    """Ten plays by William Shakespeare, 1.27 million characters of 80 kinds.

    `split`: "all", "train" (the first nine tenths of each play) or "test" (the last tenth of each).
    """
    if split not in SPLITS:
        raise ValueError_(message("shakespeare: no such split", [("split", repr(split))],
                                  "one of " + ", ".join(SPLITS)))
    packed = Path(__file__).with_name("shakespeare.txt.gz").read_bytes()
    plays = gzip.decompress(packed).decode("ascii").split("\f")
    cuts = [len(play) * 9 // 10 for play in plays]
    start = [cut if split == "test" else 0 for cut in cuts]
    end = [cut if split == "train" else len(play) for cut, play in zip(cuts, plays, strict=True)]
    return "\n".join([play[a:b] for play, a, b in zip(plays, start, end, strict=True)])
