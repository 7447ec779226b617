"""Python's collector of cycles, told to rest where nothing can be garbage."""

from __future__ import annotations

import gc


class Resting:
    """A context without collections. What is made inside lives on, and counts as old afterwards: modules being loaded
    are looked through for garbage forty times otherwise, which takes a twelfth of the time."""

    __slots__ = ("enabled",)

    def __enter__(self) -> None:
        self.enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if not self.enabled:
            return
        if not gc.get_freeze_count():  # all objects become old ones, without a look at any
            gc.freeze()
            gc.unfreeze()
        gc.enable()
