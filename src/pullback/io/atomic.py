"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable
from typing import BinaryIO

from pullback.util.files import remove


def write_atomic(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Replace a file by what `write` puts into an open one: at any moment the old or the new one is there, complete.

    The new file is written beside the old one, forced onto the disk, renamed over it, and the directory is forced too.
    """
    target = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(target)
    prefix = f".{name}.{socket.gethostname()}."
    _remove_left_over(folder, prefix)
    temporary = os.path.join(folder, f"{prefix}{os.getpid()}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        remove(temporary)
        raise
    _force_directory(folder)


def _force_directory(folder: str) -> None:
    """See a rename onto the disk, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_left_over(folder: str, prefix: str) -> None:
    """Delete temporary files of this target that processes of this machine left when they died."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if name.startswith(prefix) and name.endswith(".tmp"):
            process = name[len(prefix):].split(".")[0]
            if process.isascii() and process.isdigit() and not _alive(int(process)):
                remove(os.path.join(folder, name))


def _alive(process: int) -> bool:
    if sys.platform == "win32" or process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
