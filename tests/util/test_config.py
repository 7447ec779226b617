"""Flags: types, environment, scopes, errors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pullback.util import config
from pullback.util.errors import KeyError_, PullbackError


def test_get_set_override() -> None:
    before = config.get("debug")
    with config.override(debug="graph, timing", verify=True):
        assert config.DEBUG.value == {"graph", "timing"} and config.VERIFY.value is True
        with config.override(debug="all"):
            assert config.DEBUG.value == set(config.STAGES)
        config.set("threads", "3")
        assert config.get("threads") == 3
    config.reset("threads")
    assert config.get("debug") == before and config.get("threads") == 0


def test_key_holds_what_changes_code() -> None:
    before = config.cache_key()
    with config.override(debug="llvm", explain=True):
        assert config.cache_key() == before
    with config.override(recognise=False):
        assert config.cache_key() != before
    hash(before)


def test_override_undoes_on_errors() -> None:
    with pytest.raises(ZeroDivisionError), config.override(recognise=False):
        raise ZeroDivisionError
    assert config.get("recognise") is True


@pytest.mark.parametrize("name, value", [
    ("debug", "grpah"), ("debug", 3), ("verify", "perhaps"), ("threads", -1), ("threads", "many"), ("threads", True),
    ("cache_size", "12X"), ("cache_dir", 7), ("stop_after", "never"), ("random_layout", "new"), ("recognise", None),
    ("matmul_precision", "low"),
])
def test_wrong_values(name: str, value: object) -> None:
    with pytest.raises(PullbackError) as caught:
        config.set(name, value)
    assert "help" in str(caught.value)


def test_unknown_flag_names_the_nearest() -> None:
    with pytest.raises(KeyError_, match="did you mean 'verify'"):
        config.get("verfy")


def test_sizes() -> None:
    with config.override(cache_size="2M"):
        assert config.get("cache_size") == 2 << 20


def _python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True,
                          check=False)


def test_environment() -> None:
    code = "from pullback.util import config as c; print(sorted(c.DEBUG.value), c.THREADS.value, c.RECOGNISE.value)"
    done = _python(code, PULLBACK_DEBUG="asm", PULLBACK_NUM_THREADS="2", PULLBACK_RECOGNISE="off")
    assert done.stdout == "['asm'] 2 False\n"
    wrong = _python(code, PULLBACK_VERIFY="perhaps")
    assert wrong.returncode == 1 and "PULLBACK_VERIFY: not a truth value" in wrong.stderr


def test_all_flags_from_the_environment() -> None:
    code = """
import pullback as pb
from pullback.runtime import memory
from pullback.runtime.native import native
from pullback.util.disk_cache import default_cache
print(native().num_threads, default_cache().directory, default_cache().limit, pb.config.get("memory_cache"))
pb.config.set("threads", 3)
pb.config.set("cache_size", "1M")
print(native().num_threads, default_cache().limit)
"""
    done = _python(code, PULLBACK_NUM_THREADS="2", PULLBACK_CACHE_SIZE="64M", PULLBACK_MEMORY_CACHE="1K")
    where = config.get("cache_dir") or os.environ.get("PULLBACK_CACHE_DIR", "")
    first, second = done.stdout.splitlines()
    assert first.split()[0] == "2" and first.split()[2:] == [str(64 << 20), "1024"], done
    assert not where or first.split()[1] == where
    assert second.split() == ["3", str(1 << 20)]


def test_watchers_hear_of_changes_only() -> None:
    heard: list[int] = []
    config.find("cache_size").watch(lambda: heard.append(config.get("cache_size")))
    with config.override(cache_size=5):
        config.set("cache_size", 5)
        config.set("cache_size", 6)
    assert heard == [5, 6, config.get("cache_size")]


def test_describe_covers_every_flag() -> None:
    rows = config.describe()
    assert {"debug", "threads", "explain"} <= {row[0] for row in rows}
    assert {type(text) for row in rows for text in row} == {str}
