"""Pullback: a deep-learning framework in pure Python. One graph, every style, compiled.

>>> import pullback as pb
>>> pb.grad(lambda x: (x ** 2).sum())(pb.tensor([1.0, 2.0]))
Tensor([2., 4.], dtype=float32)
"""

from __future__ import annotations

import importlib
from typing import Any

from pullback.api.tensor import Tensor  # first: it is the class of every result
