"""`torch.testing`: closeness by PyTorch's tolerances, and tensors of random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pullback.api.complex_parts import view_as_complex
from pullback.dialects.torch.creation import empty, full, rand, randint
from pullback.dialects.torch.dtypes import SHOWN, Size, checked_device
from pullback.dialects.torch.variants import Tensor
from pullback.util.errors import ArgumentError, message

#: relative and absolute tolerance by dtype; what is not listed must be equal
TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}

_NUMBERS: Any = (bool, int, float, complex, np.number, np.bool_)


def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None,
                 atol: float | None = None, equal_nan: bool = False, check_device: bool = True,
                 check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False,
                 msg: str | Callable[[str], str] | None = None) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    Tensors, numbers, and sequences and mappings of them. Tolerances are those of the dtype where none are given.
    """
    if (rtol is None) != (atol is None):
        raise ArgumentError(message("assert_close: give both tolerances or none",
                                    [("rtol", str(rtol)), ("atol", str(atol))], "rtol=0 asks for atol alone"))
    given = None if rtol is None or atol is None else (float(rtol), float(atol))
    fault = _difference(actual, expected, given, (equal_nan, check_dtype), "")
    if fault is not None:
        raise AssertionError(msg(fault) if callable(msg) else fault if msg is None else msg)


def _difference(actual: Any, expected: Any, given: tuple[float, float] | None, how: tuple[bool, bool],
                place: str) -> str | None:
    """What is wrong, or None. `how`: whether NaN equals NaN, and whether dtypes count."""
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        missing, more = [k for k in expected if k not in actual], [k for k in actual if k not in expected]
        if missing or more:
            return ("The keys of the mappings do not match:\n"
                    f"Missing keys in the actual mapping: {missing}\nAdditional keys in the actual mapping: {more}")
        pairs = [(key, actual[key], expected[key]) for key in actual]
    elif _sequence(actual) and _sequence(expected):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch: {len(actual)} != {len(expected)}"
        pairs = [(k, x, y) for k, (x, y) in enumerate(zip(actual, expected, strict=True))]
    else:
        fault = _compared(actual, expected, given, *how)
        return fault if fault is None or not place else f"{fault}\n\nThe failure occurred for item {place}"
    found = (_difference(x, y, given, how, f"{place}[{key!r}]") for key, x, y in pairs)
    return next((fault for fault in found if fault is not None), None)


def _sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, (str, bytes))


def _compared(actual: Any, expected: Any, given: tuple[float, float] | None, equal_nan: bool,
              check_dtype: bool) -> str | None:
    if actual is None or expected is None:
        return None if actual is expected else f"{actual!r} and {expected!r}: only one is None"
    _check_kinds(actual, expected)
    both = isinstance(actual, Tensor) and isinstance(expected, Tensor)
    if check_dtype and isinstance(actual, _NUMBERS) and type(actual) is not type(expected):
        return f"The (d)types do not match: {type(actual)} != {type(expected)}."
    a, b = _array(actual), _array(expected)
    if a.shape != b.shape:
        return f"The values for attribute 'shape' do not match: {Size(a.shape)} != {Size(b.shape)}."
    if both and check_dtype and actual.dtype != expected.dtype:
        return f"The values for attribute 'dtype' do not match: {actual.dtype} != {expected.dtype}."
    tolerances = given or tuple(max(t) for t in zip(*map(_tolerances, (actual, expected)), strict=True))
    if any(tolerances):
        close = np.isclose(a, b, tolerances[0], tolerances[1], equal_nan=equal_nan)
    else:
        close = (a == b) | ((a != a) & (b != b)) if equal_nan else a == b
    if close.all():
        return None
    return _report("Tensor-likes" if both else "Scalars", a, b, ~close, tolerances)


def _check_kinds(actual: Any, expected: Any) -> None:
    """Tensors are compared with tensors, arrays with arrays and numbers with numbers."""
    for kind in (Tensor, np.ndarray, _NUMBERS):
        if isinstance(actual, kind) and isinstance(expected, kind):
            return
    raise ArgumentError(message("assert_close: nothing compares these two",
                                [("actual", type(actual).__name__), ("expected", type(expected).__name__)],
                                "make a tensor of the other: torch.tensor(...)"))


def _tolerances(x: Any) -> tuple[float, float]:
    kind = str(x.dtype).removeprefix("torch.") if isinstance(x, Tensor) else np.asarray(x).dtype.name
    return TOLERANCES.get(kind, (0.0, 0.0))


def _array(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return np.asarray(x)
    found = x.detach().to_dense() if x.is_sparse else x.detach()
    return (found.to(SHOWN["float32"]) if str(x.dtype) in ("torch.bfloat16", "torch.float16") else found).numpy()


def _report(name: str, a: Any, b: Any, bad: Any, tolerances: tuple[float, ...]) -> str:
    """PyTorch's words: how many, and the greatest differences with their places."""
    with np.errstate(all="ignore"):
        distance = np.abs(np.subtract(a, b, dtype=np.result_type(a, b, np.int8)))
        relative = distance / np.abs(b)
    lines = [f"{name} are not {'close' if any(tolerances) else 'equal'}!\n"]
    if bad.ndim:
        lines.append(f"Mismatched elements: {bad.sum()} / {bad.size} ({100 * bad.mean():.1f}%)")
    else:
        lines.append(f"Expected {b} but got {a}.")
    for what, values, allowed in (("absolute", distance, tolerances[1]), ("relative", relative, tolerances[0])):
        shown = np.where(bad, values, -1)
        at = np.unravel_index(int(np.argmax(np.where(np.isnan(shown), np.inf, shown))), shown.shape)
        place = f" at index {tuple(int(k) for k in at)}" if bad.ndim else ""
        limit = f" (up to {allowed} allowed)" if any(tolerances) else ""
        text = f"{'Greatest ' if bad.ndim else ''}{what} difference: {values[at]}{place}{limit}"
        lines.append(text[0].upper() + text[1:])
    return "\n".join(lines)


def make_tensor(*shape: Any, dtype: Any, device: Any = "cpu", low: float | None = None, high: float | None = None,
                requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False,
                memory_format: Any = None) -> Any:
    """A tensor of random numbers from `low` to `high`: by default -9 to 9, from 0 for unsigned numbers."""
    checked_device(device)
    size = tuple(shape[0]) if len(shape) == 1 and _sequence(shape[0]) else shape
    kind = str(dtype).removeprefix("torch.")
    if kind == "bool":
        return randint(int(exclude_zero), 2, size).to(dtype)
    start = (0 if kind.startswith("uint") else -9) if low is None else low
    stop = (10 if "int" in kind else 9) if high is None else high
    if start > stop:
        raise ArgumentError(message("make_tensor: an empty range", [("low", str(start)), ("high", str(stop))],
                                    "low is the smaller"))
    if 0 in size:
        return empty(size, dtype=dtype).requires_grad_(requires_grad)
    if "int" in kind:
        found = randint(math.ceil(start), max(math.floor(stop), math.ceil(start) + 1), size).to(dtype)
    elif kind.startswith("complex"):
        wide = SHOWN["float32" if kind == "complex64" else "float64"]
        found = view_as_complex(_between(start, stop, (*size, 2), wide))
    else:
        found = _between(start, stop, size, SHOWN["float64" if kind == "float64" else "float32"]).to(dtype)
    if exclude_zero:
        found = found.where(found != 0, full((), 1, dtype=dtype))
    return found.requires_grad_(requires_grad)


def _between(low: float, high: float, size: Any, dtype: Any) -> Any:
    return rand(size, dtype=dtype) * (high - low) + low


assert_allclose = assert_close

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
