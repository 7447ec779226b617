"""What several rooms do with files."""

from __future__ import annotations

import os


def remove(path: str) -> None:
    """Delete a file, if it is there and may be deleted."""
    try:
        os.unlink(path)
    except OSError:
        pass
