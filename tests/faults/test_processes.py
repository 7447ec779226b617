"""Forks, threads, Ctrl-C, memory that runs out, the end of the interpreter: each in a child process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="signals and fork are POSIX")

HEAD = """
import os, signal, sys, threading, time
import numpy as np
import pullback as pb

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

def interrupt_after(seconds):
    threading.Thread(target=lambda: (time.sleep(seconds), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()

def works():
    x = pb.ones((300, 300))
    assert (x @ x).sum().item() == 300 ** 3

def train(seed, steps=20):
    rng = np.random.default_rng(seed)
    x, y = (pb.tensor(rng.standard_normal((64, n)).astype(np.float32)) for n in (100, 1))
    w = pb.tensor((rng.standard_normal((100, 1)) * 0.1).astype(np.float32), requires_grad=True)
    losses = []
    for _ in range(steps):
        loss = ((x @ w - y) ** 2).mean()
        loss.backward()
        with pb.no_grad():
            w -= 0.05 * w.grad
        w.grad = None
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    return losses
"""


def child(body: str, folder: Path | None = None, **environment: str) -> str:
    """Run a script after HEAD; it must succeed and leave nothing on standard error. Returns what it printed."""
    source = str(Path(__file__).parents[2] / "src")
    path = os.pathsep.join(p for p in (source, os.environ.get("PYTHONPATH", "")) if p)
    settings: dict[str, str] = {**os.environ, "PYTHONPATH": path, **environment}
    if folder is not None:
        settings["PULLBACK_CACHE_DIR"] = str(folder)
    command = [sys.executable, "-W", "error", "-X", "faulthandler", "-c", HEAD + textwrap.dedent(body)]
    made: Any = subprocess.run(command,
                               capture_output=True, text=True, timeout=120, env=settings, check=False)
    assert made.returncode == 0 and not made.stderr, (made.returncode, made.stdout, made.stderr)
    return made.stdout


@posix
def test_fork_with_programs_in_flight() -> None:
    child("""
        a = pb.ones((1200, 1200))
        f = pb.jit(lambda a: (a @ a).sum())
        before, pending = f(a), pb.exp(a) + 1
        pid = os.fork()
        total = np.float32(1200 ** 3)
        assert f(a).item() == total and before.item() == total
        assert abs(pending.sum().item() / 1200 ** 2 - 3.71828) < 1e-3
        train(0)
        if pid == 0:
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """)


def test_eight_threads_jit_and_train() -> None:
    child("""
        found, wrong = {}, []
        def work(k):
            try:
                losses = train(k)
                f = pb.jit(lambda a, b: pb.tanh(a @ b).sum())
                for n in (16, 300):
                    a = pb.full((n, n), 0.01)
                    for _ in range(10):
                        last = f(a, a)
                    expected = n * n * np.tanh(n * 1e-4)
                    assert abs(last.item() / expected - 1) < 1e-4
                found[k] = losses
            except BaseException as error:
                wrong.append(repr(error))
        threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert not wrong, wrong
        assert all(found[k] == train(k) for k in range(8))
    """)


def test_a_value_crosses_threads_unfinished() -> None:
    child("""
        x = pb.exp(pb.zeros((500, 500))) + 1
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(x.sum().item())) for _ in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert seen == [500_000.0] * 4 and x.sum().item() == 500_000.0
    """)


@posix
@pytest.mark.parametrize("size", [300, 700])
@pytest.mark.parametrize("wait", ["pass", "pb.synchronize()"])
def test_interrupt_in_a_python_loop(size: int, wait: str) -> None:
    child(f"""
        f = pb.jit(lambda x: pb.tanh(x @ x) + 0.001)
        x = f(pb.full(({size}, {size}), 1e-3))
        start = time.monotonic()
        interrupt_after(0.3)
        try:
            while True:
                x = f(x)
                {wait}
        except KeyboardInterrupt:
            pass
        assert time.monotonic() - start < 5
        assert np.isfinite(x.numpy()).all()
        works()
    """)


@posix
@pytest.mark.parametrize("loop", ["pb.scan(lambda c, _: (pb.tanh(c @ c), None), x, None, length=10_000_000)[0]",
                                  "pb.while_loop(lambda c: (c >= 0).all(), lambda c: pb.abs(c) * 0.5 + 1, x)"])
def test_interrupt_ends_a_long_program(loop: str) -> None:
    child(f"""
        x = pb.full((64, 64), 1e-3)
        f = pb.jit(lambda x: {loop})
        start = time.monotonic()
        interrupt_after(1.0)
        try:
            result = f(x)
            result.numpy()
        except KeyboardInterrupt:
            pass
        else:
            raise SystemExit("not interrupted")
        works()
        assert time.monotonic() - start < 10
        double = pb.jit(lambda x: x * 2)
        for use in (lambda: result.numpy(), lambda: (result + 1).numpy(), lambda: double(result).numpy()):
            try:
                use()
            except pb.util.errors.InterruptedError_ as error:
                assert "Ctrl-C" in str(error)
            else:
                raise SystemExit("rubbish was read")
        train(0)
    """)


@posix
@pytest.mark.parametrize("call", ["linalg.eigh(x)", "linalg.svd(x)", "linalg.qr(x)"])
def test_interrupt_ends_a_long_decomposition(call: str) -> None:
    """Between its steps: four thousand rows take seconds (reflections alone) or a minute."""
    child(f"""
        x = pb.tensor(np.random.default_rng(0).normal(size=(4000, 4000)))
        x = (x + x.mT).numpy()
        x = pb.tensor(x)
        start = time.monotonic()
        interrupt_after(0.5)
        try:
            result = pb.{call}[0]
            result.numpy()
        except KeyboardInterrupt:
            pass
        else:
            raise SystemExit("not interrupted")
        works()
        assert time.monotonic() - start < 5
        try:
            result.numpy()
        except pb.util.errors.InterruptedError_:
            pass
        else:
            raise SystemExit("rubbish was read")
    """)


def test_arrays_beyond_any_memory() -> None:
    child("""
        from pullback.util.errors import OutOfMemoryError
        for make in (lambda: pb.zeros((1 << 45,)), lambda: pb.ones((1 << 20, 1 << 25)).numpy(),
                     lambda: pb.exp(pb.ones((1 << 20, 1)) + pb.ones((1, 1 << 24))).numpy(),
                     lambda: pb.jit(lambda x: x.reshape(-1, 1) * x.reshape(1, -1))(pb.ones(1 << 22)).numpy()):
            try:
                make()
            except OutOfMemoryError as error:
                assert isinstance(error, MemoryError)
            else:
                raise SystemExit("no error")
            works()
        train(0)
    """)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS")
def test_memory_that_the_system_refuses() -> None:
    child("""
        import resource
        from pullback.util.errors import OutOfMemoryError
        works()
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        for _ in range(3):
            try:
                (pb.ones((1 << 30,)) + pb.arange(1 << 30, dtype=pb.float32)).numpy()
            except OutOfMemoryError:
                pass
            else:
                raise SystemExit("no error")
            works()
        train(0)
    """)


def test_the_end_of_the_interpreter_is_quiet() -> None:
    child("""
        x = pb.ones((1000, 1000))
        w = pb.ones(3, requires_grad=True)
        (w * 2).sum().backward()
        class Holder:
            def __del__(self):
                self.x = None
        holder = Holder()
        holder.self, holder.x, holder.f = holder, pb.exp(x @ x), pb.jit(lambda y: y @ y)
        holder.f(x)
        pending = pb.exp(x) + 1
    """)


def test_import_under_errors_loads_nothing_heavy() -> None:
    child("""
        heavy = {"llvmlite", "rich", "matplotlib", "ml_dtypes"} & set(sys.modules)
        assert not heavy, heavy
    """)


def test_a_python_without_its_lock_is_refused() -> None:
    source = str(Path(__file__).parents[2] / "src")
    script = "import sys; sys._is_gil_enabled = lambda: False; import pullback"
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "PYTHONPATH": source})
    assert made.returncode == 1
    assert made.stderr.endswith("needs\n  help  start it with PYTHON_GIL=1 in the environment, or as python -X gil=1\n")


# -- the disk cache ---------------------------------------------------------------------------------------------------
USE = "works(); print(sum(train(1)))"


@posix
def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    assert child(USE, tmp_path / "file" / "below") == child(USE, Path("/dev/null/cache"))


def test_damaged_cache_entries(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    first = child(USE, folder)
    entries = sorted(folder.glob("*.bin"))
    assert entries
    for k, path in enumerate(entries):
        data = bytearray(path.read_bytes())
        data[(k * 97) % len(data)] ^= 0xFF
        path.write_bytes((bytes(data), bytes(data[:len(data) // 2]), b"", os.urandom(200))[k % 4])
    assert child(USE, folder) == first == child(USE, folder)


def test_two_processes_fill_one_cache(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        seen = set(pool.map(lambda _: child(USE, tmp_path / "cache"), range(3)))
    assert len(seen) == 1 and not list((tmp_path / "cache").glob("*.tmp"))
