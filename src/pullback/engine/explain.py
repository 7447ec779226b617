"""Why something is traced or compiled again: what the flag `explain` prints to standard error.

A known structure with one part changed (a shape, a dtype, a static argument) is compared with the nearest known key.
"""

from __future__ import annotations

import sys
from typing import Any

#: what stands before the leaves in the key of a jitted function's signature
LABELS = ("structure of the arguments", "gradient mode", "precision", "dtypes of Python's numbers")


def _text(part: Any) -> str:
    kind = getattr(part, "type", None)
    if isinstance(part, type):
        return f"a Python {part.__name__}"
    if isinstance(part, int) and not isinstance(part, bool):
        return f"the result in slot {part}"
    return repr(kind) if kind is not None else repr(part)


def _differences(new: tuple[Any, ...], old: tuple[Any, ...]) -> list[int]:
    if len(new) != len(old):
        return list(range(max(len(new), len(old))))
    return [k for k, (a, b) in enumerate(zip(new, old, strict=True)) if a != b]


def nearest(new: tuple[Any, ...], known: list[tuple[Any, ...]]) -> tuple[tuple[Any, ...], list[int]]:
    """The known key with the fewest differences, and where they are."""
    return min(((old, _differences(new, old)) for old in known), key=lambda pair: len(pair[1]))


def signature(name: str, key: tuple[Any, ...], known: list[tuple[Any, ...]]) -> None:
    """A jitted function meets a new signature."""
    old, where = nearest(key, known)
    lines = [f"explain: {name} is compiled again ({len(known)} signatures known)"]
    if len(key) != len(old):
        lines.append(f"  {len(key) - len(LABELS)} arguments; known: {len(old) - len(LABELS)}")
    else:
        for k in where:
            label = LABELS[k] if k < len(LABELS) else f"argument leaf {k - len(LABELS)}"
            lines.append(f"  {label}: {_text(key[k])}; known: {_text(old[k])}")
    print("\n".join(lines), file=sys.stderr)


def step(name: str, key: tuple[Any, ...], known: list[tuple[Any, ...]]) -> None:
    """A recorded step takes a new way from a state that others have left before."""
    same = [k for k in known if k and k[0] is key[0]]
    if not same:
        names = ", ".join(sorted({getattr(k[0], "name", str(k[0])) for k in known}))
        print(f"explain: new step {name}; seen here before: {names}", file=sys.stderr)
        return
    old, where = nearest(key, same)
    changed = "; ".join(f"{_text(key[k])} (known: {_text(old[k])})" for k in where if k < len(key) and k < len(old))
    print(f"explain: new step {name}: {changed or 'another number of operands'}", file=sys.stderr)
