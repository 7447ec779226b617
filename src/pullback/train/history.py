"""What a run has measured so far, as plain numbers that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COLUMNS = ("loss", "accuracy", "held_out_loss", "held_out_accuracy", "seconds")


@dataclass
class History:
    """One number per epoch and column, the loss of every step, and the part of an epoch that is under way."""

    epochs: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    steps: list[float] = field(default_factory=list)
    part_loss: list[float] = field(default_factory=list)
    part_right: list[int] = field(default_factory=list)
    part_seen: int = 0

    def __len__(self) -> int:
        return len(self.epochs["loss"])

    def last(self, column: str) -> float:
        """The newest number of a column; NaN before there is one."""
        numbers = self.epochs[column]
        return numbers[-1] if numbers else float("nan")

    def best(self, column: str) -> float:
        """The greatest number of a column; NaN before there is one."""
        return max(self.epochs[column], default=float("nan"))

    def state_dict(self) -> dict[str, Any]:
        """Everything, in a form that `io.save` stores."""
        return {"epochs": self.epochs, "steps": self.steps, "part_loss": self.part_loss, "part_right": self.part_right,
                "part_seen": self.part_seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.epochs = {name: [float(x) for x in state["epochs"].get(name, [])] for name in COLUMNS}
        self.steps = [float(x) for x in state["steps"]]
        self.part_loss = [float(x) for x in state["part_loss"]]
        self.part_right = [int(x) for x in state["part_right"]]
        self.part_seen = int(state["part_seen"])
