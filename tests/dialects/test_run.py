"""`pullback run` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from pullback.cli.blocks import blocks_of

HERE = Path(__file__).parent


def run(*arguments: object, plot: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MPLBACKEND": "Agg" if plot else "module://missing"}
    return subprocess.run([sys.executable, "-m", "pullback.cli.main", "run", *map(str, arguments)], capture_output=True,
                          text=True,
                          env=environment, timeout=300)


def run_with_null(path: Path) -> subprocess.CompletedProcess[str]:
    """No process can be given such a name by the system; a program that calls the command can."""
    code = f"import sys; from pullback.cli.main import main; sys.exit(main(['run', {str(path)!r}]))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def script(folder: Path, text: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_programs_of_pytorch() -> None:
    done = run(HERE / "programs.md")
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^(\w+) (\d\S*)", done.stdout, re.M))
    bounds = {"numpy": 0.05, "tensors": 0.05, "variables": 0.05, "function": 0.05, "layers": 0.25, "adam": 0.01,
              "dynamic": 1.5}
    for name, most in bounds.items():
        assert float(found[name]) < most, name
    assert float(found["accuracy"]) > 0.95
    assert re.search(r"^dynamic \S+ True$", done.stdout, re.M), "parameters that were not used have no gradient"
    assert "Using cpu device" in done.stdout
    assert "t = 500\tloss = " in done.stdout


def test_fastai_line() -> None:
    pytest.importorskip("matplotlib", reason="the document plots")
    done = run(HERE / "line.md")
    assert done.returncode == 0, done.stderr
    assert f"{HERE / 'line.md'}:4: skipped: !curl" in done.stderr
    assert f"{HERE / 'line.md'}:8: skipped: %matplotlib inline" in done.stderr
    blocks = done.stdout
    assert re.match(r"tensor\(\[\[ ?-?0\.\d{4}, {1,2}1\.0000\],\n        \[", blocks), "a block shows its last value"
    assert "\ntensor([3., 2.])\n" in blocks
    assert "Parameter containing:\ntensor([0.5055, 0.0874], requires_grad=True)\n" in blocks
    losses = re.findall(r"^tensor\((\S+), grad_fn=<MeanBackward0>\)$", blocks, re.M)
    assert len(losses) == 10
    numbers = [float(x) for x in losses]
    assert 3.5 < numbers[0] < 8
    assert all(0.1 < b / a < 0.45 for a, b in pairwise(numbers[1:]))
    assert numbers[-1] < 1e-3
    for loss in losses:
        small = float(loss) < 1e-4
        assert re.fullmatch(r"\d\.\d{4}e-0\d" if small else r"\d\.\d{4}", loss), "PyTorch's notation"
    final = re.findall(r"tensor\(\[(\S+), (\S+)\], requires_grad=True\)", blocks)[-1]
    assert abs(float(final[0]) - 3) < 0.05
    assert abs(float(final[1]) - 2) < 0.05
    between = blocks.split("tensor([3., 2.])")[1].split("Parameter")[0]
    assert "PathCollection" not in between, "a semicolon silences a block"


def test_script_is_main(tmp_path: Path) -> None:
    script(tmp_path, "VALUE = 7\n", "beside.py")
    path = script(tmp_path, """
import sys, torch, torch.nn.functional as F
from torch import nn
import beside
import __main__
assert __name__ == "__main__" and __main__.nn is nn
print(__file__, sys.argv, beside.VALUE, torch.__name__, F.relu(torch.tensor([-1., 2.])))
""")
    done = run(path, "--lr", "0.1", "-x")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{path} ['{path}', '--lr', '0.1', '-x'] 7 pullback.dialects.torch tensor([0., 2.])"


def test_other_programs_are_left_alone() -> None:
    code = "import importlib.util as u, pullback; print('torch' in pullback.dialects.FINDER.homes)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(("code", "exit_code"), [
    ("import sys; sys.exit(3)", 3), ("raise SystemExit", 0), ("raise SystemExit('words')", 1), ("1/0", 1), ("pass", 0),
    ("raise KeyboardInterrupt", 130),
])
def test_exit_code_is_the_scripts(tmp_path: Path, code: str, exit_code: int) -> None:
    done = run(script(tmp_path, code))
    assert done.returncode == exit_code
    assert ("words" in done.stderr) == ("words" in code)


def test_traceback_is_the_scripts(tmp_path: Path) -> None:
    path = script(tmp_path,
                  "value = 1\n\ndef f():\n    try:\n        return 1 / 0\n    finally:\n        valeu\n\nf()\n")
    done = run(path)
    expected = subprocess.run([sys.executable, str(path)], capture_output=True, text=True).stderr
    assert done.stderr == expected


def test_relative_path_is_shown_as_python_shows_it(tmp_path: Path) -> None:
    script(tmp_path, "import sys\nprint(__file__, sys.argv, sys.path[0])\n1/0\n")
    mine, pythons = (subprocess.run([sys.executable, *before, "script.py", "a"], capture_output=True, text=True,
                                    cwd=tmp_path)
                     for before in (["-m", "pullback.cli.main", "run"], []))
    assert (mine.stdout, mine.stderr) == (pythons.stdout, pythons.stderr)


def test_syntax_error_is_the_scripts(tmp_path: Path) -> None:
    path = script(tmp_path, "x = 1\nif x\n    pass\n")
    done = run(path)
    assert done.returncode == 1
    assert done.stderr == subprocess.run([sys.executable, str(path)], capture_output=True, text=True).stderr


def test_names_that_a_document_imports_nowhere(tmp_path: Path) -> None:
    """Modules of the standard library and names of its frameworks are given to it; a script gets nothing."""
    code = "import jax\nsquares = jit(lambda x: x * x)\nprint(float(copy.copy(squares)(3.0)))\n"
    done = run(script(tmp_path, f"Text.\n\n```python\n{code}```\n", "x.md"))
    assert (done.returncode, done.stdout) == (0, "9.0\n"), done.stderr
    assert "x.md:5: 'jit' is imported nowhere in the document: taken from jax" in done.stderr
    assert "x.md:6: 'copy' is imported nowhere in the document: taken from the standard library" in done.stderr
    assert "'jax'" not in done.stderr and "'squares'" not in done.stderr
    missing = run(script(tmp_path, "```python\nprint(nowhere)\n```\n", "y.md"))
    assert missing.returncode == 1 and "NameError: name 'nowhere' is not defined" in missing.stderr
    assert "NameError: name 'jit'" in run(script(tmp_path, code)).stderr


def test_markdown_keeps_line_numbers(tmp_path: Path) -> None:
    text = "# Text\n\n```python\na = 1\n```\n\n```sh\nnot python\n```\n\n  ```python\n  b = a\n  b.missing\n  ```\n"
    path = script(tmp_path, text, "x.md")
    done = run(path)
    assert done.returncode == 1
    assert f'File "{path}", line 13, in <module>' in done.stderr
    assert "b.missing" in done.stderr


def test_notebook(tmp_path: Path) -> None:
    cells = [{"cell_type": "markdown", "source": "# not code"},
             {"cell_type": "code", "source": ["%%time\n", "import torch\n", "x = torch.ones(2)\n", "x"]},
             {"cell_type": "code", "source": "%%bash\nrm -rf nothing"},
             {"cell_type": "code", "source": "display(x + 1)\nx.sum();"}]
    path = script(tmp_path, json.dumps({"cells": cells, "nbformat": 4}), "n.ipynb")
    done = run(path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tensor([1., 1.])\ntensor([2., 2.])\n"
    assert "skipped: %%bash (the whole cell)" in done.stderr


def test_missing_names_say_what_is_nearest(tmp_path: Path) -> None:
    for code, name, near in [("import torch.nnn", "torch.nnn", "torch.nn"), ("from torch import zeroes", "torch.zeroes",
                                                                             "torch.zeros"),
                             ("import torch; torch.softmaxx", "torch.softmaxx", "torch.softmax"),
                             ("import torch; torch.nn.Linaer(1, 2)", "torch.nn.Linaer", "torch.nn.Linear"),
                             ("import torch; torch.ones(1).clmap()", "torch.Tensor.clmap", "'clamp'")]:
        done = run(script(tmp_path, code))
        assert done.returncode == 1
        assert f"open an issue that names {name}" in done.stderr, done.stderr
        assert near in done.stderr


def test_misspelt_methods_say_what_is_nearest(tmp_path: Path) -> None:
    for code, words in [
        ("import torch\ntorch.ones(3).mena()", "did you mean torch.Tensor.mean"),
        ("import jax.numpy as np\nnp.ones(3).reshpe(3)", "did you mean jax.Array.reshape"),
        ("import jittor as jt\njt.ones(3).brodcast(3)", "did you mean jittor.Var.broadcast"),
        ("import tensorflow as tf\ntf.constant(1.0).get_shap()", "did you mean tensorflow.Tensor.get_shape"),
    ]:
        done = run(script(tmp_path, code))
        assert done.returncode == 1
        assert words in done.stderr.splitlines()[-1], done.stderr


def test_version_1_of_tensorflow_by_its_later_name(tmp_path: Path) -> None:
    done = run(script(tmp_path, """
import tensorflow.compat.v1 as tf
tf.disable_v2_behavior()
x = tf.placeholder(tf.float32)
print(tf.Session().run(2 * x, {x: 3}))
from tensorflow.compat import v1
import tensorflow
from tensorflow.compat.v1.train import AdamOptimizer
assert v1 is tf is tensorflow is tensorflow.compat.v1 and AdamOptimizer is tf.train.AdamOptimizer
"""))
    assert (done.returncode, done.stdout) == (0, "6.0\n"), done.stderr


def test_standard_input(tmp_path: Path) -> None:
    code = "import sys, torch\nprint(sys.argv, repr(sys.path[0]), '__file__' in globals(), torch.ones(1))\n1/0\n"
    mine, pythons = (subprocess.run([sys.executable, *before, "-", "a"], capture_output=True, text=True, cwd=tmp_path,
                                    input=code.replace("torch.ones(1)", shown).replace(", torch", loaded))
                     for before, loaded, shown in ((["-m", "pullback", "run"], ", torch", "torch.ones(1)"),
                                                   ([], "", "'tensor([1.])'")))
    assert (mine.returncode, mine.stdout, mine.stderr) == (1, pythons.stdout, pythons.stderr)


def test_import_error_can_be_caught(tmp_path: Path) -> None:
    done = run(script(tmp_path, "try:\n    from torch import no_such\nexcept ImportError:\n    print('caught')\n"))
    assert done.stdout == "caught\n"


def test_missing_matplotlib_has_a_word(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.pyplot'] = None\n"
    done = run(script(tmp_path, hidden + "import matplotlib.pyplot as plt\n"))
    assert done.returncode == 1
    assert "pip install 'pullback[plot]'" in done.stderr
    done = run(script(tmp_path, hidden + "from fastai.basics import *\nprint(tensor(1., 2))\nplt.plot([1])\n"))
    assert done.stdout == "tensor([1., 2.])\n"
    assert "plt.plot: matplotlib is not installed" in done.stderr


@pytest.mark.parametrize(("name", "content", "words"), [
    ("none.py", None, "can't open file"), ("n.ipynb", b"{", "not a notebook"), ("n.ipynb", b"[1]", "not a notebook"),
    ("x.md", b"\xff\xfe\x00", "not a text file"), ("x.py", b"\x00\x01", "not a Python file"),
    ("n.ipynb", b"", "not a notebook"), ("x.md", b"", "no Python in it"),
    ("x.md", b"# A\n```sh\nls\n```\n", "```python"),
    ("n.ipynb", b'{"cells": []}', "no Python in it"), ("nul\0.py", None, "can't open file"), (".", None, "directory"),
])
def test_files_that_cannot_be_run(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    done = run(path) if "\0" not in name else run_with_null(path)
    assert done.returncode == 2, "as Python says of files that it cannot open"
    assert done.stderr.startswith("pullback run: error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_styles() -> None:
    done = run("--styles")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^torch +PyTorch's names", done.stdout, re.M)
    assert re.search(r"fastai\.basics\(\d\d\)", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_blocks() -> None:
    text = (b"```py\nx = (10\n % 3)\n```\n"
            b"~~~python\n>>> y = x\n>>> for k in range(2):\n...     y += k\n2\n~~~\n```\nplain\n```\n")
    found = blocks_of("x.md", text)
    assert [b.first_line for b in found] == [2, 6]
    assert found[0].skipped == [], "a continued line that begins with a percent sign is no magic"
    scope: dict[str, int] = {}
    for block in found:
        exec(block.compile("x.md")[0], scope)
    assert scope["y"] == 2


def notebook(folder: Path, *cells: str) -> Path:
    """A notebook of code cells."""
    written = [{"cell_type": "code", "source": cell} for cell in cells]
    return script(folder, json.dumps({"cells": written, "nbformat": 4}), "n.ipynb")


def test_traceback_in_a_notebook_shows_the_cells_line(tmp_path: Path) -> None:
    path = notebook(tmp_path, "import torch\ndef f(x):\n    return x.foo\n", "a = 1\nf(torch.ones(a))")
    done = run(path)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines(True) if line.strip(" ~^\n")]  # marks, as each Python draws them
    assert "".join(lines) == f"""Traceback (most recent call last):
  File "{path}, cell 2", line 2, in <module>
    f(torch.ones(a))
  File "{path}, cell 1", line 3, in f
    return x.foo
AttributeError: 'Tensor' object has no attribute 'foo'
  help  did you mean torch.Tensor.floor, torch.Tensor.floor_? to ask for it, open an issue that names torch.Tensor.foo
"""


def test_syntax_error_in_a_block(tmp_path: Path) -> None:
    done = run(notebook(tmp_path, "print(1)", "x = = 2"))
    assert (done.returncode, done.stdout) == (1, "1\n"), "what stands before it has run, as in a notebook"
    assert f'File "{tmp_path / "n.ipynb"}, cell 2", line 1\n    x = = 2\n' in done.stderr
    done = run(script(tmp_path, "```python\nx = 1\n```\n\n```python\nif x\n    y\n```\n", "x.md"))
    assert done.returncode == 1
    assert f'File "{tmp_path / "x.md"}", line 6\n    if x\n' in done.stderr


def test_magics(tmp_path: Path) -> None:
    lines = ["files = !ls", "%cd /nowhere", "!pip install torch", "?print", "for i in range(2):", "    !echo hi",
             "    print(i % 2)", "x = 7 % 4", "x"]
    done = run(notebook(tmp_path, "\n".join(lines), "get_ipython().run_line_magic('matplotlib', 'inline')\n"
                                                    "get_ipython().system('ls')", "%%writefile x.py\nno python"))
    assert (done.returncode, done.stdout) == (0, "0\n1\n3\n"), done.stderr
    for skipped in ("cell 1:1: skipped: files = !ls", "cell 1:6: skipped: !echo hi", "skipped: matplotlib inline",
                    "cell 3:1: skipped: %%writefile"):
        assert skipped in done.stderr


def test_documents_may_await(tmp_path: Path) -> None:
    done = run(notebook(tmp_path, "import asyncio\nasync def f(): return 3", "await asyncio.sleep(0)\nawait f()"))
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


@pytest.mark.parametrize(("name", "code"), [
    ("chained", "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('outer') from e\n"),
    ("thread", "import threading\ndef f(): 1/0\nt = threading.Thread(target=f); t.start(); t.join(); print('end')\n"),
    ("hook", "import sys\nsys.excepthook = lambda *e: print('mine', e[0])\n1/0\n"),
    ("at exit", "import atexit, sys\natexit.register(print, 'bye')\nsys.exit('words')\n"),
    ("warning", "import warnings\nwarnings.warn('careful')\n"),
    ("hard exit", "import os\nprint('lost', end='')\nos._exit(7)\n"),
    ("exit -1", "import sys\nsys.exit(-1)\n"), ("exit True", "import sys\nsys.exit(True)\n"),
    ("exit tuple", "import sys\nsys.exit((1, 2))\n"), ("exit 300", "import sys\nsys.exit(300)\n"),
    ("base", "raise BaseException('x')\n"),
    ("text fails", "class E(Exception):\n    def __str__(self): raise ValueError\n"
     "raise E()\n"),
    ("relative", "from . import beside\n"), ("no input", "input('name? ')\n"),
    ("main", "if __name__ == '__main__':\n    print(__name__, __spec__, __package__, __doc__)\n"),
    ("async", "import asyncio\nasync def m(): print('ok')\nasyncio.run(m())\n"),
    ("fork", "import os\npid = os.fork()\nif not pid: os._exit(4)\n"
     "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"),
])
def test_as_python_runs_it(tmp_path: Path, name: str, code: str) -> None:
    """Output, errors and exit code of a plain script are those of Python."""
    path = script(tmp_path, code)
    mine = subprocess.run([sys.executable, "-m", "pullback.cli.main", "run", str(path)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    pythons = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                             timeout=60)
    assert (mine.stdout, mine.stderr, mine.returncode) == (pythons.stdout, pythons.stderr, pythons.returncode)


def test_arguments_are_the_scripts(tmp_path: Path) -> None:
    path = script(tmp_path, "import sys\nprint(sys.argv[1:])\n")
    assert run(path, "--styles", "-h", "--", "x y", "").stdout == "['--styles', '-h', '--', 'x y', '']\n"


def test_closed_input_and_output(tmp_path: Path) -> None:
    path = script(tmp_path, "import torch\nx = torch.ones(3)\nprint(x.sum())\n")
    command = f"{sys.executable} -m pullback.cli.main run {path}"
    done = subprocess.run(["sh", "-c", f"{command} <&-"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "tensor(3.)\n"), done.stderr
    done = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes(b"# -*- coding: latin-1 -*-\nprint(ascii('\xe9'))\n")
    assert run(path).stdout == "'\\xe9'\n"
    path.write_bytes(b"\xef\xbb\xbfprint('bom')\n")
    assert run(path).stdout == "bom\n"
    path.write_bytes(b"x = '\xe9'\n")
    done = run(path)
    assert done.returncode == 1 and "SyntaxError" in done.stderr and "utf-8" in done.stderr.lower()


def test_missing_module_names_the_scripts_line(tmp_path: Path) -> None:
    """How imports are answered is not part of the traceback; packages beside a framework are named."""
    path = script(tmp_path, "import torch\nimport torch.distribution as dist\n")
    done = run(path)
    assert done.stderr.splitlines()[:3] == ["Traceback (most recent call last):",
                                            f'  File "{path}", line 2, in <module>',
                                            "    import torch.distribution as dist"]
    assert len(re.findall("  File ", done.stderr)) == 1
    done = run(script(tmp_path, "import torchvision\n"))
    assert "torchvision is no part of them and needs the real torch" in done.stderr


def test_plots_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the document plots")
    done = run("--plots", tmp_path / "plots", HERE / "line.md", plot=True)
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "plots").iterdir())
    assert [p.name for p in written] == ["line_1.png", "line_2.png"]
    assert all(p.read_bytes()[:4] == b"\x89PNG" and p.stat().st_size > 5000 for p in written)
    assert f"written: {written[0]}" in done.stderr
