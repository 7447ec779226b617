"""Record how PyTorch's optimisers move: `python tests/conformance/record_optimisers.py`, where the real one is
installed (2.13)."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def main() -> None:
    import torch
    from optimiser_cases import CASES, ask

    warnings.simplefilter("ignore")
    answers = [{"case": CASES[k], "steps": ask(torch, k)} for k in range(len(CASES))]
    (HERE / "optimiser_answers.json").write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
