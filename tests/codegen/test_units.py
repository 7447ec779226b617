"""Kernels as units: equal work is compiled once, in one program and in another, and stays while somebody calls it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.codegen.llvm import workshop
from pullback.codegen.llvm.compile import compile_ir
from pullback.codegen.llvm.text import Module, i64
from pullback.codegen.llvm.units import NAME, Unit, merged_text
from pullback.codegen.llvm.workshop import Workshop
from pullback.engine import pipeline
from pullback.engine.pipeline import compile_function
from pullback.runtime.native import native
from pullback.runtime.objects import find, load_code
from pullback.util import disk_cache
from pullback.util.background import Job, wait_for_all


def unit(constant: int, called: str = "") -> Unit:
    """A function that returns a number, or what another returns and one more."""
    module = Module()
    fn = module.function(NAME, [], "i64")
    fn.ret(fn.add(fn.call(called, "i64"), i64(1)) if called else i64(constant))
    return Unit(f"k{constant}", module)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[str]:
    """The texts that reach LLVM, with an empty disk cache."""
    texts: list[str] = []
    monkeypatch.setattr(disk_cache, "_default", disk_cache.DiskCache(tmp_path / "cache"))
    monkeypatch.setattr(workshop, "compile_ir", lambda text: (texts.append(text), compile_ir(text))[1])
    return texts


def functions(texts: list[str]) -> int:
    return sum(line.startswith("define void @u") and "phase" not in line for text in texts for line in text.split("\n"))


def graph(fn: Callable[..., Any], *args: Any) -> Any:
    return pb.jit(fn).entry_for(args, {}).function


def test_names() -> None:
    """The symbol follows from the text; the name does not matter."""
    assert unit(1).symbol == unit(1).symbol != unit(2).symbol
    text = merged_text([unit(1), unit(2)], ["a", "b"])
    assert "@a(" in text and "@b(" in text and NAME not in text


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_workshop(helpers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups do not depend on who compiles them; equal and known units are left out."""
    monkeypatch.setattr(workshop, "GROUP_SIZE", 600)
    known = unit(3).symbol
    shop = Workshop(lambda symbol: symbol == known, helpers)
    for n in (0, 1, 2, 3, 1, 4, 5, 0):
        shop.add(unit(n))
    groups = shop.finish()
    assert [s for g in groups for s in g.symbols] == [unit(n).symbol for n in (0, 1, 2, 4, 5)]
    assert len(groups) > 1
    assert [g.code for g in groups] == [compile_ir(g.text) for g in groups]


def test_a_helper_that_found_nothing_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where compiling is quicker than emitting, what is emitted later is compiled on other cores too."""
    by: list[threading.Thread] = []
    monkeypatch.setattr(workshop, "GROUP_SIZE", 1)
    monkeypatch.setattr(workshop, "compile_ir", lambda text: (by.append(threading.current_thread()), b"")[1])
    shop = Workshop(lambda symbol: False, 1)
    for n in range(3):
        shop.add(unit(n))
        wait_for_all()
    shop.finish()
    assert len(by) == 3
    assert threading.current_thread() not in by


def test_two_groups_are_compiled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the other: one after another, neither would end."""
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(workshop, "GROUP_SIZE", 1)
    monkeypatch.setattr(workshop, "compile_ir", lambda text: str(both.wait()).encode())
    shop = Workshop(lambda symbol: False, 1)
    shop.add(unit(0))
    shop.add(unit(1))
    assert sorted(group.code for group in shop.finish()) == [b"0", b"1"]


def test_a_unit_that_llvm_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of another thread is raised by `finish`."""
    monkeypatch.setattr(workshop, "GROUP_SIZE", 1)
    shop = Workshop(lambda symbol: False, 1)
    bad = unit(1)
    bad.module.functions[0].lines.append("  nonsense")
    shop.add(bad)
    shop.add(unit(2))
    with pytest.raises(ValueError, match="expected instruction opcode"):
        shop.finish()


def test_equal_kernels_of_a_program(compiled: list[str]) -> None:
    """Twelve layers of one shape: their products are one unit."""
    def tower(x: Any, ws: Any) -> Any:
        for w in ws:
            x = pb.tanh(x @ w)
        return x

    x, ws = pb.ones((40, 30)), [pb.full((30, 30), 0.01 * n) for n in range(12)]
    expected = x.numpy().astype(np.float64)
    for w in ws:
        expected = np.tanh(expected @ w.numpy())
    compiled.clear()
    np.testing.assert_allclose(pb.jit(tower)(x, ws).numpy(), expected, rtol=1e-4)
    assert functions(compiled) <= 4  # first, inner and last products, and the program


def test_another_order_of_arguments(compiled: list[str]) -> None:
    """Only the function that calls the kernels is new."""
    def f(x: Any, w: Any, b: Any) -> Any:
        return pb.tanh(x @ w + b).sum()

    rng = np.random.default_rng(5)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((31, 17), (17, 29), (29,)))
    first = compile_function(graph(f, pb.tensor(x), pb.tensor(w), pb.tensor(b)))
    assert functions(compiled) > 1
    compiled.clear()
    second = compile_function(graph(lambda b, x, w: f(x, w, b), pb.tensor(b), pb.tensor(x), pb.tensor(w)))
    assert functions(compiled) == 1
    answers: list[float] = []
    for program, arrays in ((first, (x, w, b)), (second, (b, x, w))):
        out, room = np.zeros(16, np.float32), np.zeros(program.workspace_bytes + 64, np.uint8)
        native().run(program.address, np.array([a.ctypes.data for a in (*arrays, out, room)]).ctypes.data)
        answers.append(out[0])
    assert answers[0] == answers[1]
    assert abs(answers[0] - np.tanh(x.astype(np.float64) @ w + b).sum()) < 1e-2


def test_what_is_called_stays() -> None:
    """A caller keeps the objects that it was linked with, also where they are replaced under their names."""
    inner = unit(41)
    outer = unit(0, inner.symbol)
    texts = [merged_text([u], [u.symbol]) for u in (inner, outer)]
    caller = load_code([outer.symbol], compile_ir(texts[1]), {},
                       (load_code([inner.symbol], compile_ir(texts[0]), {}),))
    gc.collect()
    assert find(inner.symbol) is caller.callees[0]
    import ctypes

    assert ctypes.CFUNCTYPE(ctypes.c_int64)(caller.loaded.address(outer.symbol))() == 42
    name = inner.symbol
    del caller
    gc.collect()
    assert find(name) is None


def test_stored_objects(compiled: list[str]) -> None:
    """A program from the disk runs, and is what was stored."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    function = graph(lambda x: (pb.exp(x) @ pb.ones((4, 5))).sum(0), pb.tensor(x))
    first = compile_function(function)
    where = [code.data for code in first.loaded]
    del first
    gc.collect()
    compiled.clear()
    again = compile_function(function)
    assert again.cached and not compiled
    assert [code.data for code in again.loaded] == where
    objects = [(["a"], 2, []), (["b"], 1, [0])]
    assert pipeline.unpack(pipeline.pack({"objects": objects}, [b"xy", b"z"]))[1] == [b"xy", b"z"]


def test_jobs() -> None:
    """A result, an error, and a fork that waits."""
    assert Job(lambda: 3).result() == 3
    with pytest.raises(ZeroDivisionError):
        Job(lambda: 1 // 0).result()
    if not hasattr(os, "fork"):
        return
    began, done = threading.Event(), []

    def slow() -> None:
        began.set()
        time.sleep(0.05)
        done.append(1)

    job = Job(slow)
    began.wait()
    child = os.fork()
    if not child:
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    job.result()


_TWO_PROGRAMS = """
import sys
import numpy as np
import pullback as pb
a, b, x = (pb.tensor(np.ones(s, np.float32)) for s in ((128, 100), (100, 96), (3000,)))
both = pb.jit(lambda a, b, x: (a @ b, pb.exp(x).sum()))
one = pb.jit(lambda x: pb.exp(x).sum())
if sys.argv[1] == "both":
    both(a, b, x)
print(one(x).item())
assert not any(e.reference for entry in one.entries.values() for e in entry.executables.values())
"""


def test_a_stored_program_brings_all_that_its_objects_call(tmp_path: Path) -> None:
    """The second process has the program whose kernel stands in the first program's object, which calls a third."""
    found = [subprocess.run([sys.executable, "-c", _TWO_PROGRAMS, which], capture_output=True, text=True, check=True,
                            env={**os.environ, "PULLBACK_CACHE_DIR": str(tmp_path)}).stdout
             for which in ("both", "one")]
    assert found[0] == found[1]
