"""Which line of the user's program is running."""

from __future__ import annotations

import inspect
import os

PACKAGE = __name__.partition(".")[0]


def user_line() -> str:
    """`train.py:31`: the innermost line outside this package, "" where there is none. Below the working directory the
    file is named from there."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame = frame.f_back
    if frame is None:
        return ""
    name, here = frame.f_code.co_filename, os.path.join(os.getcwd(), "")
    return f"{name.removeprefix(here)}:{frame.f_lineno}"
