"""Wrong calls raise what PyTorch 2.13 raises (recorded by torch_wrong_calls.py), with a message of ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dialects.torch_wrong_calls import calls, kinds, outcome

from pullback.dialects import FINDER
from pullback.util.errors import PullbackError

RECORDED: dict[str, list[str]] = json.loads((Path(__file__).parent / "torch_wrong_calls.json").read_text())
NUMBERS = "lists and numbers are taken for tensors"
NAMES = "dtypes may be named by texts"
STALE = "gradients are taken of recorded nodes, which in-place operations do not change"
HOST = "arrays that require gradients become detached copies (docs/design.md)"
CHECKED = "another class, which says more"
#: what PyTorch refuses and this dialect computes, and why
ACCEPTED = {
    "nn.Linear(3,2)([1.,2.,3.])": NUMBERS, "nn.Parameter([1.,2.])": NUMBERS, "F.relu([1.])": NUMBERS,
    "F.relu(3)": NUMBERS, "torch.exp(2)": NUMBERS, "torch.sqrt(4.)": NUMBERS, "torch.abs([1.])": NUMBERS,
    "torch.ones(2)+[1,2]": NUMBERS, 'torch.tensor([1.],dtype="float32")': NAMES, 'torch.ones(2,dtype="int")': NAMES,
    'torch.ones(2).astype("float32")': "NumPy's name of it is there too",
    "F.cross_entropy(torch.ones(3,2),torch.ones(3).int())": "classes may have any integer dtype",
    "x=torch.ones(2,requires_grad=True);h=x.exp();h.sum().backward();(h*2).sum().backward()":
        "a history is there as long as a tensor that is part of it",
    "x=torch.ones(2,requires_grad=True);y=x.exp();y+=1;y.sum().backward()": STALE,
    "x=torch.ones(2,requires_grad=True);y=x*2;z=y*y;y+=1;z.sum().backward()": STALE,
    "x=torch.ones(2,requires_grad=True);y=x.sigmoid();y.mul_(2);y.sum().backward()": STALE,
    "x=torch.ones(2,requires_grad=True);x.numpy()": HOST, "x=torch.ones(2,requires_grad=True);np.asarray(x)": HOST,
    "x=torch.ones(2,requires_grad=True);copy.deepcopy(x*2)": "the copy is detached",
    "next(iter(DataLoader([object(),object()],batch_size=2)))": "what is no array becomes a list",
}
#: what another exception stands for
OTHERS = {
    "nn.Flatten(5)(torch.ones(2,3))": CHECKED,
    r"class G(torch.autograd.Function):\n @staticmethod\n def forward(ctx,x): return x*2\n @staticmethod\n "
    r"def backward(ctx,g): return g\nG.apply(x=torch.ones(1))": "a TypeError; PyTorch lets the argument fall",
    "F.interpolate(torch.ones(2,2),scale_factor=2)": CHECKED,
    "torch.take_along_dim(torch.ones(2,2),torch.tensor([[5]]),1)": "PyTorch reads behind the end",
    "optim.Adam([torch.ones(2,requires_grad=True)],betas=(.9,))": CHECKED,
    'optim.SGD([{"params":[torch.ones(2,requires_grad=True)]},{"lr":1.}],lr=.1)': CHECKED, "torch.load(3)": CHECKED,
    "DataLoader(3)": "found when the loader is made", "torch.cuda.set_device(0)": "PyTorch fails inside itself",
}
#: classes that a caught exception needs not be
SPECIAL = {"LookupError", "ArithmeticError", "OSError"}


@pytest.fixture(scope="module", autouse=True)
def answered() -> Iterator[None]:
    """`import torch` finds the dialect."""
    FINDER.add("torch", "pullback.dialects.torch")
    yield
    FINDER.homes.pop("torch")
    for name in [n for n in sys.modules if n.split(".")[0] == "torch"]:
        del sys.modules[name]


def test_every_call_is_recorded() -> None:
    assert list(RECORDED) == calls()
    assert {*ACCEPTED, *OTHERS} <= {*RECORDED}


@pytest.mark.parametrize("call", calls())
def test_wrong_call(call: str) -> None:
    error = outcome(call)
    recorded = set(RECORDED[call]) - SPECIAL
    if call in ACCEPTED:
        assert error is None and recorded, "listed as accepted"
        return
    fits = (error is None) == (not recorded) and recorded <= set(kinds(error))
    if call in OTHERS:
        assert error is not None and not fits, "listed as another exception"
    else:
        assert fits, f"recorded {recorded}, raised {error!r}"
    if isinstance(error, PullbackError):
        assert len(str(error)) > 20
    else:  # Python's own: wrong arguments of a function, attributes that are not there
        assert error is None or type(error).__module__ == "builtins"
        assert error is None or str(error)
