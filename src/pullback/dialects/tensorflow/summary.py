"""`tf.summary`: numbers and histograms of a run, for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.dialects import names
from pullback.dialects.tensorflow import ops
from pullback.dialects.tensorflow.graph import Summary, check_name, get_default_graph
from pullback.io import events
from pullback.util.errors import ArgumentError, message

SUMMARIES = "summaries"


def _kind(name: str, encode: Callable[[str, Any], bytes]) -> Callable[..., Summary]:
    def make(
        name: str, tensor: Any = None, collections: Any = None, family: str | None = None, **other: Any
    ) -> Summary:
        value = other.get("values", tensor)
        check_name(name, "summary")
        graph = get_default_graph()
        tag = graph.unique_name(name if family is None else f"{family}/{name}")
        found = Summary([ops.convert_to_tensor(value)], lambda numbers: encode(tag, numbers[0]))
        for key in collections or [SUMMARIES]:
            graph.add_to_collection(key, found)
        return found

    make.__name__, make.__doc__ = name, encode.__doc__
    return make


scalar, histogram = _kind("scalar", events.scalar), _kind("histogram", events.histogram)


def merge(inputs: Sequence[Any], collections: Any = None, name: str | None = None) -> Summary:
    """Several summaries as one."""
    parts = list(inputs)
    for part in parts:
        if not isinstance(part, Summary):
            raise ArgumentError(
                message("summary.merge: not a summary", [("given", f"{part!r:.60}")], "tf.summary.scalar gives one")
            )

    def encode(numbers: Sequence[Any]) -> bytes:
        stream = iter(numbers)
        return b"".join(part.encode([next(stream) for _ in part.tensors]) for part in parts)

    return Summary([t for part in parts for t in part.tensors], encode)


def merge_all(key: str = SUMMARIES, scope: str | None = None) -> Summary | None:
    """All summaries of the graph as one; None where there are none."""
    found = get_default_graph().get_collection(key)
    return merge(found) if found else None


class FileWriter:
    """Writes summaries to an event file in a folder. Graphs are not written."""

    def __init__(self, logdir: str, graph: Any = None, *_: Any, **__: Any) -> None:
        self.logdir = logdir
        self.file = events.EventFile(logdir)

    def add_summary(self, summary: bytes, global_step: Any = None) -> None:
        """Write what a session gave for a summary."""
        if not isinstance(summary, bytes):
            raise ArgumentError(
                message(
                    "add_summary: not the value of a summary",
                    [("given", type(summary).__name__)],
                    "writer.add_summary(sess.run(merged), step)",
                )
            )
        self.file.add(summary, 0 if global_step is None else int(np.asarray(global_step)))

    def add_graph(self, graph: Any, global_step: Any = None) -> None:
        """Nothing: TensorBoard has no picture of these graphs; `pb.show` prints what is run."""

    def flush(self) -> None:
        """Hand everything to the system."""
        self.file.flush()

    def close(self) -> None:
        """End the file."""
        self.file.close()

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__getattr__, __dir__ = names(__name__, {})
