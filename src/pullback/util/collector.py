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


#: objects made between two looks while programs are; otherwise Python looks after 700
SELDOM = 50_000


class Seldom:
    """A context with few collections: while a program is recorded and compiled nearly all that is made lives on, and
    looking through it again and again takes a fifteenth of the time. What is garbage waits a little longer."""

    __slots__ = ("before",)

    def __enter__(self) -> None:
        self.before = gc.get_threshold()
        if 0 < self.before[0] < SELDOM:
            gc.set_threshold(SELDOM, *self.before[1:])

    def __exit__(self, *_: object) -> None:
        if 0 < self.before[0] < SELDOM:
            gc.set_threshold(*self.before)
