"""What `pip install .` downloads and unpacks, in MB. Needs the network; not part of a run unless asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def size_mb(folder: str) -> float:
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names
               if not os.path.islink(os.path.join(at, name))) / 1e6


def install(seconds: float, *wanted: str) -> dict[str, Any]:
    """Into empty folders: the wheels, and what they unpack to without byte code."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as folder:
        wheels, unpacked = os.path.join(folder, "wheels"), os.path.join(folder, "unpacked")
        subprocess.run([*pip, "wheel", "--wheel-dir", wheels, *(wanted or (ROOT,))], check=True)
        names = sorted(os.listdir(wheels))
        paths = [os.path.join(wheels, name) for name in names]
        subprocess.run([*pip, "install", "--no-deps", "--no-compile", "--target", unpacked, *paths], check=True)
        return {"download_mb": round(size_mb(wheels), 1), "unpacked_mb": round(size_mb(unpacked), 1),
                "packages": [name.split("-")[0] for name in names]}


FRAMEWORKS = {"pullback": install}
