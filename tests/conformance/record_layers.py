"""Record what PyTorch's layers answer: `python tests/conformance/record_layers.py`, where the real one is installed
(2.13)."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def main() -> None:
    import torch
    from layer_cases import CASES, ask

    warnings.simplefilter("ignore")
    answers = [{"case": CASES[k][0], **ask(torch, k)} for k in range(len(CASES))]
    (HERE / "layer_answers.json").write_text(json.dumps(answers, indent=0) + "\n")


if __name__ == "__main__":
    main()
