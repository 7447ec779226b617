"""pb.show, the debug and stop_after flags, profiles."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

import pullback as pb
from pullback.engine import execute
from pullback.engine.profiler import limits
from pullback.util import config
from pullback.util.errors import ValueError_


def f(x: Any, w: Any, scale: float) -> Any:
    return (pb.tanh(x @ w) * scale).sum()


def arguments(n: int = 32) -> tuple[Any, Any, float]:
    return pb.full((n, n), 0.01), pb.full((n, n), 0.02), 2.0


def test_show_all_stages() -> None:
    out = io.StringIO()
    text = pb.show(f, file=out)(*arguments())
    for heading in ("graph, as recorded", "graph, simplified", "schedule", "loop IR", "LLVM IR", "assembly"):
        assert f"== {heading} ==" in text and heading in out.getvalue()
    assert "contract" in text and "phase 0" in text and "define void @prog" in text and "kernel k0" in text
    assert f"{'prog'}:" in text


def test_show_of_a_jitted_function_runs_nothing(capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, scale = arguments(20)
    pb.synchronize()
    monkeypatch.setattr(execute, "watch", lambda *_: pytest.fail("a program was launched"))
    g = pb.jit(f)
    text = pb.show(g, ["graph"])(x, w, scale)
    assert capsys.readouterr().out.strip() == text and len(g.entries) == 1
    gradient = pb.show(pb.grad(lambda a: (a * a).sum()), "graph,loops")(x)
    assert "mul" in gradient
    with pytest.raises(ValueError_, match="stage"):
        pb.show(f, "grap")


def test_debug_prints_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with config.override(debug="schedule,loops,timing,cache,launch"):
        (pb.ones((11, 7)) * 3).sum().item()
    err = capsys.readouterr().err
    for part in ("== schedule ==", "== loop IR ==", "== timing (ms)", "== cache:", "== launch:"):
        assert part in err
    assert "LLVM IR" not in err


def test_stop_after(capsys: pytest.CaptureFixture[str]) -> None:
    with config.override(stop_after="schedule", debug="all"):
        assert (pb.ones((13, 7)) * 3).sum().item() == 273.0
    err = capsys.readouterr().err
    assert "== schedule ==" in err and "loop IR" not in err and "launch" not in err


def test_profile(tmp_path: Path) -> None:
    g = pb.jit(f)
    x, w, scale = arguments(200)
    expected = g(x, w, scale).item()
    with pb.profile() as p:
        for _ in range(3):
            last = g(x, w, scale)
        with pytest.raises(RuntimeError, match="another profile"), pb.profile():
            pass
    assert execute.watch is None and last.item() == expected
    rows = p.rows()
    product = next(r for r in rows if r.kind == "matmul")
    assert product.calls == 3 and product.flops >= 3 * 2 * 200 ** 3 and 0 < product.seconds < 1
    assert all(0 <= r.seconds < 1 for r in rows)
    assert limits() is limits() and limits().gflops > 1 and limits().gbytes > 0.1
    assert "matmul" in str(p) and p.table().row_count == len(rows) + 1
    path = tmp_path / "trace.json"
    p.chrome_trace(path)
    events = [e for e in json.loads(path.read_text())["traceEvents"] if e["ph"] == "X"]
    assert [e["cat"] for e in events].count("launch") == 3 and list(tmp_path.iterdir()) == [path]
    launches = {e["name"]: e for e in events if e["cat"] == "launch"}
    last_kernel = events[-1]
    whole = launches[last_kernel["name"].split(".")[0]]
    assert whole["ts"] <= last_kernel["ts"] and last_kernel["ts"] + last_kernel["dur"] <= whole["ts"] + whole["dur"] + 1


def test_profile_of_what_has_no_native_code() -> None:
    with config.override(reference=True), pb.profile() as p:
        assert (pb.ones((3, 17)) * 5).sum().item() == 255.0
    assert [r.kind for r in p.rows()] == ["reference"]
