"""What random programs and random layers have in common."""

from __future__ import annotations

from typing import Any

import pytest

from pullback.engine import pipeline
from pullback.util import config
from pullback.util.errors import CompileError

pipeline_compile = pipeline.compile_function


@pytest.fixture(autouse=True)
def _no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without native code is an error here: the engine would run the reference."""
    def compiled(function: Any, **options: Any) -> Any:
        assert not config.REFERENCE.value
        try:
            return pipeline_compile(function, **options)
        except CompileError as error:
            raise AssertionError("no native code") from error

    monkeypatch.setattr(pipeline, "compile_function", compiled)
