"""kill -9 while saving: the file is always the old one or the new one, whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from pullback.io import format
from pullback.io.atomic import write_atomic

# needs no array room, so that 60 processes start fast; the same functions `pb.io.save` calls
WRITER = """
import sys
import numpy as np
from pullback.io import format
from pullback.io.atomic import write_atomic

path, start = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
for k in range(start, start + 10**6):
    arrays = {"a": np.full(50_000, k, np.int64), "b": np.full(3, k, np.float32)}
    write_atomic(path, lambda file: format.write(file, arrays, {"k": str(k)}))
"""


def _read(path: Path) -> int:
    with format.Reader(path) as reader:
        k = int(reader.metadata["k"])
        assert (reader.read("a") == k).all() and (reader.read("b") == np.float32(k)).all()
    return k


def test_sixty_kills_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_atomic(path, lambda file: format.write(file, {"a": np.zeros(1, np.int64), "b": np.zeros(1, np.float32)},
                                                 {"k": "0"}))
    chance = random.Random(0)
    last, moved = 0, 0
    for _ in range(60):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(last + 1)],
                              stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
            time.sleep(chance.random() * 0.03)
            writer.send_signal(signal.SIGKILL)
        now = _read(path)
        assert now >= last
        moved += now > last
        last = now
    assert moved > 20
    write_atomic(path, lambda file: format.write(file, {"a": np.zeros(1, np.int64)}, {}))
    assert os.listdir(tmp_path) == ["x.safetensors"]  # what the dead left is swept up
