"""NumPy's arrays and numbers in pickles, as NumPy writes them: dtype, shape and bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.io.pickles import Call, Maker, Name, wrong

_RANK_LIMIT = 64


class Kind:
    """A dtype that a file describes: its byte order comes after its name."""

    def __init__(self, name: Any, *rest: Any) -> None:
        if type(name) is not str or name[:1] not in "biufc" or not name[1:].isdigit():
            raise wrong("an array's dtype is none of numbers", ("dtype", f"{name!r:.60}"))
        self.dtype = np.dtype(name)

    def order(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise wrong("a dtype's byte order is not readable", ("state", f"{state!r:.60}"))
        self.dtype = self.dtype.newbyteorder(state[1])


class Arrays:
    """The arrays that one file gives: elements are put into no others."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}

    def make(self, kind: Any, shape: Any, code: Any) -> Any:
        """An array without elements."""
        if kind != ARRAY:
            raise wrong("an array of another class", ("class", f"{kind!r:.60}"))
        found = np.empty((0,), np.uint8)
        self.made[id(found)] = found
        return found

    def restore(self, target: Any, state: Any) -> bool:
        """Give a dtype its byte order, or an array its elements, once; False where it is none of these."""
        if type(target) is Kind:
            target.order(state)
            return True
        if id(target) not in self.made:
            return False
        if type(state) is not tuple or len(state) != 5:
            raise wrong("an array's description is not readable", ("state", f"{state!r:.60}"))
        _, shape, kind, fortran, data = state
        dtype = _checked(kind, shape, data)
        self.made.pop(id(target)).__setstate__((1, shape, dtype, bool(fortran), data))
        return True

    def names(self) -> dict[str, Any]:
        """What pickles call NumPy's functions by, before and after version 2."""
        found: dict[str, Any] = {ARRAY.text: ARRAY, "numpy.dtype": Maker(Kind)}
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            found |= {f"{module}._reconstruct": Maker(self.make), f"{module}.scalar": Maker(_number)}
        return found


def _checked(kind: Any, shape: Any, data: Any) -> Any:
    """The dtype, where the bytes are as many as the shape says."""
    whole = type(kind) is Kind and type(shape) is tuple and len(shape) <= _RANK_LIMIT and type(data) is bytes \
        and all(type(n) is int and 0 <= n < 1 << 47 for n in shape)
    if not whole or math.prod(shape) * kind.dtype.itemsize != len(data):
        raise wrong("an array's bytes do not fit its shape", ("shape", f"{shape!r:.60}"))
    return kind.dtype


def _number(kind: Any, data: Any = None) -> Any:
    return np.frombuffer(data, _checked(kind, (), data))[0]


ARRAY = Name("numpy.ndarray")


def described(value: Any) -> Call | None:
    """What stands for an array or a number of NumPy's; None for anything else, and where elements are no numbers."""
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.kind not in "biufc":
        return None
    dtype = value.dtype
    kind = Call("numpy.dtype", (dtype.str[1:], False, True), (3, dtype.str[0], None, None, None, -1, -1, 0))
    if isinstance(value, np.generic):
        return Call("numpy._core.multiarray.scalar", (kind, value.tobytes()))
    return Call("numpy._core.multiarray._reconstruct", (ARRAY, (0,), b"b"),
                (1, value.shape, kind, False, value.tobytes()))


__all__ = ["Arrays", "described"]
