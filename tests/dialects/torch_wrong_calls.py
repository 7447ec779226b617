"""Wrong calls, and what PyTorch makes of them: `python tests/dialects/torch_wrong_calls.py` where the real one is
installed (2.13, without CUDA) writes torch_wrong_calls.json."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCOPE = """import copy
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.autograd import Variable
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split
"""


def calls() -> list[str]:
    """Programs of one wrong call each; "\\n" stands for a new line."""
    lines = (HERE / "torch_wrong_calls.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def outcome(call: str) -> BaseException | None:
    """What a call raises."""
    scope: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(SCOPE, scope)
        try:
            *statements, last = ast.parse(call.replace("\\n", "\n")).body
            if not isinstance(last, ast.Expr):
                statements.append(last)
            exec(compile(ast.Module(statements, []), "<call>", "exec"), scope)
            shown = eval(compile(ast.Expression(last.value), "<call>", "eval"), scope) if isinstance(
                last, ast.Expr) else None
            for value in (shown, scope.get("x")):  # what is wrong in values is known when they are looked at
                repr(value)
        except Exception as error:  # whatever it is: that is the question
            return error
        finally:
            scope["torch"].set_default_device("cpu")
            scope["torch"].set_default_dtype(scope["torch"].float32)
    return None


def kinds(error: BaseException | None) -> list[str]:
    """The classes by which it can be caught, most special first, without those that all share."""
    return [] if error is None else [c.__name__ for c in type(error).__mro__[:-3]]


if __name__ == "__main__":
    recorded = {call: kinds(outcome(call)) for call in calls()}
    (HERE / "torch_wrong_calls.json").write_text(json.dumps(recorded, indent=0) + "\n")
