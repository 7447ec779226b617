"""The command as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.cli.main import main


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pullback.cli.main", *arguments]


def train(folder: Path, *arguments: str) -> int:
    return main(["train", "digits", "--out", str(folder), "--quiet", *arguments])


def weights(folder: Path) -> dict[str, Any]:
    return pb.io.load(folder / "checkpoint.safetensors", as_numpy=True)


def same(a: Any, b: Any) -> None:
    assert pb.tree.structure(a) == pb.tree.structure(b)
    for x, y in zip(pb.tree.leaves(a), pb.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def without_times(tree: dict[str, Any]) -> dict[str, Any]:
    tree["extra"]["history"]["epochs"].pop("seconds")
    return tree


def test_trains_to_97_percent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    accuracy = float(printed.split("held-out accuracy ")[1].split("%")[0])
    assert accuracy >= 97 and "epoch  40/40" in printed and "steps/s" in printed
    assert (tmp_path / "checkpoint.safetensors").stat().st_size > 100_000
    assert (tmp_path / "curve.png").exists() or (tmp_path / "curve.txt").exists()
    history = weights(tmp_path)["extra"]["history"]
    assert len(history["steps"]) == 40 * 44 and history["steps"][0] > 2.5 * history["steps"][-1]


def test_the_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert train(tmp_path / name, "--epochs", "1", "--seed", seed) == 0
    a, b, c = (weights(tmp_path / name)["model"] for name in "abc")
    same(a, b)
    assert any((a[name] != c[name]).any() for name in a)


def test_resume_after_an_epoch_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(tmp_path / "whole", "--epochs", "3") == 0
    _stop_after(monkeypatch, 44 + 7)
    assert train(tmp_path / "parts", "--epochs", "3") == 130
    assert weights(tmp_path / "parts")["loader"] == {"seed": 0, "epoch": 1, "position": 7}
    monkeypatch.undo()
    _stop_after(monkeypatch, 37)
    assert train(tmp_path / "parts", "--resume") == 130  # exactly at an epoch's last step
    monkeypatch.undo()
    assert train(tmp_path / "parts", "--resume") == 0
    same(without_times(weights(tmp_path / "whole")), without_times(weights(tmp_path / "parts")))


def _stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """A Ctrl-C during a step."""
    from pullback.train import loop

    original = loop.step
    left = [steps]

    def counted(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(loop, "step", counted)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_in_a_process(tmp_path: Path) -> None:
    arguments = command("train", "digits", "--epochs", "100000", "--out", str(tmp_path))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "epoch   1/" not in process.stdout.readline():
            pass
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == ""
    assert "is saved, go on with: pullback train digits --resume --out" in out
    assert weights(tmp_path)["kind"] == "pullback.checkpoint"


def test_cnn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--model", "cnn", "--epochs", "2", "--batch-size", "64") == 0
    assert float(capsys.readouterr().out.split("held-out accuracy ")[1].split("%")[0]) > 60


def test_a_finished_run_resumed_says_so_and_may_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--epochs", "1") == 0
    first = capsys.readouterr().out.split(",")[0]
    assert train(tmp_path, "--resume") == 0
    assert capsys.readouterr().out.split(",")[0] == first
    assert train(tmp_path, "--resume", "--epochs", "2") == 0
    assert "after 2 epochs" in capsys.readouterr().out


def short_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps an epoch instead of hundreds."""
    from pullback.cli import recipes

    whole = {split: recipes.shakespeare(split) for split in ("train", "test")}
    monkeypatch.setattr(recipes, "shakespeare", lambda split: whole[split][:12_000])
    monkeypatch.setattr(recipes, "HELD_OUT", 16)


def test_chars(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    short_text(monkeypatch)
    assert main(["train", "chars", "--epochs", "6", "--batch-size", "8", "--out", str(tmp_path / "whole")]) == 0
    printed = capsys.readouterr().out
    assert "epoch   6/6" in printed and printed.count("ROMEO.") == 6 and "of the next character after 6" in printed
    losses = weights(tmp_path / "whole")["extra"]["history"]["epochs"]["held_out_loss"]
    assert losses[0] < 4.2 and losses[-1] < 3.2
    _stop_after(monkeypatch, 17)
    parts = ["train", "chars", "--out", str(tmp_path / "parts"), "--quiet"]
    assert main([*parts, "--epochs", "6", "--batch-size", "8"]) == 130
    assert "pullback train chars --resume --out" in capsys.readouterr().out
    monkeypatch.undo()
    short_text(monkeypatch)
    assert main([*parts, "--resume"]) == 0
    same(without_times(weights(tmp_path / "whole")), without_times(weights(tmp_path / "parts")))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train"],
        ["train", "letters"],
        ["train", "digits", "--epochs", "0"],
        ["train", "digits", "--epochs", "ten"],
        ["train", "digits", "--lr", "nan"],
        ["train", "digits", "--lr", "-1"],
        ["train", "digits", "--seed", "-1"],
        ["train", "digits", "--model", "gpt"],
        ["train", "digits", "--batch-size", "1e3"],
        ["train", "digits", "--fast"],
        ["train", "chars", "--model", "mlp"],
        ["train", "chars", "--epochs", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "error:" in capsys.readouterr().err


def test_options_that_do_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--resume") == 2 and "no checkpoint" in capsys.readouterr().err
    assert train(tmp_path, "--batch-size", "2000") == 2 and "1437 training images" in capsys.readouterr().err
    assert train(tmp_path, "--epochs", "1") == 0
    assert train(tmp_path, "--resume", "--model", "cnn") == 2 and "made with --model mlp" in capsys.readouterr().err


def test_damaged_and_foreign_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"nonsense" * 10)
    assert train(tmp_path, "--resume") == 1 and "help" in capsys.readouterr().err
    pb.io.save(path, {"a": np.ones(1)})
    assert train(tmp_path, "--resume") == 2 and "not made by pullback train digits" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert train(tmp_path / "file", "--epochs", "1") == 1 and "error:" in capsys.readouterr().err


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for word in ("pullback", "numpy", "llvmlite", "processor", "features", "threads", "cache", "PULLBACK_DEBUG"):
        assert word in printed


def test_help_loads_nothing_heavy() -> None:
    code = ("import sys; from pullback.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
            "print([m for m in ('llvmlite', 'rich', 'matplotlib', 'safetensors') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and "train" in done.stdout
