"""Record what PyTorch answers: `python tests/conformance/record_torch.py`, where the real one is installed (2.13, CPU,
AVX2)."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def main() -> None:
    import torch
    from torch_samples import SCOPE, digest, evaluate, samples

    warnings.simplefilter("ignore")
    scope = {"digest": digest}
    exec(SCOPE, scope)
    lines = (HERE / "torch_expressions.txt").read_text().splitlines()
    printed = []
    for array, name, grad in samples(400):
        tensor = torch.tensor(array).to(getattr(torch, name))
        printed.append(repr(tensor.requires_grad_() if grad else tensor))
    training, pages = (subprocess.run([sys.executable, str(HERE / name)], capture_output=True, text=True,
                                      check=True).stdout for name in ("torch_training.py", "torch_pages.py"))
    answers = {"version": torch.__version__, "expressions": list(zip(lines, evaluate(lines, scope), strict=True)),
               "printed": printed, "training": training, "pages": pages}
    (HERE / "torch_answers.json").write_text(json.dumps(answers, indent=0) + "\n")


if __name__ == "__main__":
    main()
