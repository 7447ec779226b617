"""Records what JAX prints for the lines of jax_answers.json, or for more lines: `python record_jax.py [FILE OF LINES]`.

It needs JAX, which neither the package nor its tests do.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import Any

import numpy as np


def main() -> None:
    import jax
    import jax.numpy as jnp
    import jax.scipy.cluster.vq
    import jax.scipy.integrate
    import jax.scipy.ndimage
    import jax.scipy.optimize
    import jax.scipy.signal
    import jax.scipy.sparse.linalg
    import jax.scipy.stats
    from jax import lax, nn, random

    path = os.path.join(os.path.dirname(__file__), "jax_answers.json")
    with open(path) as file:
        lines: list[str] = list(json.load(file))
    if len(sys.argv) > 1:
        with open(sys.argv[1]) as file:
            lines += [line.strip() for line in file if line.strip()]
    names: dict[str, Any] = {"jax": jax, "jnp": jnp, "lax": lax, "nn": nn, "random": random, "np": np,
                             "partial": partial}
    answers = {line: repr(eval(line, dict(names))) for line in dict.fromkeys(lines)}
    with open(path, "w") as file:
        json.dump(answers, file, indent=1)


if __name__ == "__main__":
    main()
