"""What ends a command with one line and exit code 2."""

from __future__ import annotations

from pullback.util.errors import PullbackError


class OptionError(Exception):
    """Options that are each right but do not fit together, or not the files there."""


class FileError(PullbackError):
    """A file that cannot be run."""
