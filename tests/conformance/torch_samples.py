"""Arrays whose printing is compared: many shapes, magnitudes, dtypes; from NumPy's legacy stream, which never
changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

SHAPES = [(), (1,), (3,), (7,), (30,), (2, 3), (5, 5), (4, 40), (3, 2, 2), (2, 3, 1, 2), (0,), (0, 3), (2, 0), (1001,),
          (50, 50),
          (10, 10, 20), (1, 1500), (8,), (1100, 2), (2, 2, 300)]
KINDS: list[Any] = [
    lambda r, s: r.randn(*s),
    lambda r, s: r.randn(*s) * 10 ** r.uniform(-8, 8),
    lambda r, s: np.round(r.randn(*s) * 10),
    lambda r, s: r.randint(-1000, 1000, s),
    lambda r, s: r.rand(*s) > 0.5,
    lambda r, s: np.where(r.rand(*s) < 0.2, np.nan, r.randn(*s)),
    lambda r, s: np.where(r.rand(*s) < 0.2, np.inf * np.sign(r.randn(*s)), np.round(r.randn(*s) * 3)),
    lambda r, s: r.randn(*s) * 10.0 ** r.randint(-6, 6, s),
    lambda r, s: np.zeros(s),
    lambda r, s: r.randn(*s) + 1j * r.randn(*s),
    lambda r, s: np.round(r.randn(*s) * 1e5) * 1e4,
    lambda r, s: r.randint(0, 127, s),
    lambda r, s: np.where(r.rand(*s) < 0.5, 0, r.randn(*s)),
    lambda r, s: r.randn(*s) * 1e-5,
]
DTYPES = {"f": ["float32", "float64", "float16", "bfloat16"], "c": ["complex64", "complex128"],
          "i": ["int32", "int64", "int16", "int8"], "b": ["bool"]}


def samples(count: int) -> Iterator[tuple[Any, str, bool]]:
    """Arrays, a dtype for each, and whether gradients are asked for."""
    random = np.random.RandomState(0)
    for k in range(count):
        shape = SHAPES[random.randint(len(SHAPES))]
        array = np.asarray(KINDS[k % len(KINDS)](random, shape))
        if array.dtype.kind == "i" and k % len(KINDS) == 3:
            names = DTYPES["i"][:2]
        else:
            names = DTYPES[array.dtype.kind]
        name = names[random.randint(len(names))]
        yield array, name, name.startswith("float") and random.rand() < 0.3


def digest(x: Any) -> str:
    """What stands for the exact bits of a tensor."""
    array = np.ascontiguousarray(x.detach().numpy())
    return f"{array.dtype}{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:24]}"


def evaluate(lines: list[str], scope: dict[str, Any]) -> list[str]:
    """What each line gives: its text, "ok" for statements, or the exceptions it may be caught as."""
    found: list[str] = []
    for line in lines:
        scope["torch"].manual_seed(0)
        try:
            if line.startswith("!"):
                exec(line[1:].replace("\\n", "\n"), scope)
                found.append("ok")
            else:
                found.append(repr(eval(line, scope)))
        except Exception as error:
            kinds = [c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"]
            found.append("raises " + " ".join(kinds[:kinds.index("Exception")]))
    return found


SCOPE = """
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.autograd import Variable
from torch.utils.data import DataLoader, RandomSampler, TensorDataset, random_split
"""
