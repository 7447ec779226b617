"""`jax.config`: the settings that mean something here, and those that are accepted because they change nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pullback.engine.jit import Jitted, use_defaults
from pullback.ir import dtypes
from pullback.util import config as flags
from pullback.util.errors import AttributeError_, DeviceError, ValueError_, message

_KNOWN: dict[str, Any] = {
    "jax_enable_x64": False,
    "jax_threefry_partitionable": True,
    "jax_debug_key_reuse": False,
    "jax_disable_jit": False,
    "jax_platform_name": "cpu",
    "jax_platforms": "cpu",
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_default_matmul_precision": None,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_log_compiles": False,
    "jax_compilation_cache_dir": None,
    "jax_default_device": None,
    "jax_traceback_filtering": "auto",
    "jax_check_tracer_leaks": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_num_cpu_devices": 1,
}
#: settings that have one value here
_FIXED = {
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_debug_infs": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_check_tracer_leaks": False,
}
_TRUE = ("1", "true", "yes", "on")


class Compiled(Jitted):
    """Jitted functions of this dialect, all of which `jax_disable_jit` turns off."""


class Config:
    """`jax.config.update(name, value)`; settings are attributes: `jax.config.jax_enable_x64`."""

    jax_enable_x64: bool
    jax_threefry_partitionable: bool
    jax_debug_key_reuse: bool
    jax_disable_jit: bool

    def __init__(self) -> None:
        self.__dict__.update(_KNOWN)
        self.__dict__["jax_threefry_partitionable"] = flags.RANDOM_LAYOUT.value == "partitionable"
        for name in ("jax_enable_x64", "jax_threefry_partitionable", "jax_debug_key_reuse", "jax_disable_jit"):
            given = os.environ.get(name.upper())
            if given is not None:
                self.update(name, given.strip().lower() in _TRUE)

    def update(self, name: str, value: Any) -> None:
        """Change a setting."""
        if name not in _KNOWN:
            from difflib import get_close_matches  # needed only when something is wrong

            near = get_close_matches(name, _KNOWN, 1)
            raise AttributeError_(
                message(
                    f"Unrecognized config option: {name}",
                    help=f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(_KNOWN),
                )
            )
        if name in _FIXED and value != _FIXED[name]:
            raise ValueError_(
                message(
                    f"jax.config: {name} has one value here", [("value", repr(value))], f"leave it {_FIXED[name]!r}"
                )
            )
        if name in ("jax_platform_name", "jax_platforms") and value not in (None, "", "cpu"):
            raise DeviceError(message(f"Unknown backend {value!r}", [("backends", "cpu")], "leave it 'cpu'"))
        if name == "jax_disable_jit":
            Compiled.disabled = bool(value)
        if name == "jax_enable_x64":
            use_defaults(*(dtypes.float64, dtypes.int64) if value else (dtypes.float32, dtypes.int32))
        if name == "jax_debug_nans":
            flags.set("detect_nan", bool(value))
        if name == "jax_threefry_partitionable":
            flags.set("random_layout", "partitionable" if value else "original")
        self.__dict__[name] = value

    @property
    def x64_enabled(self) -> bool:
        """Whether 64-bit numbers keep their size."""
        return self.jax_enable_x64

    def __setattr__(self, name: str, value: Any) -> None:
        self.update(name, value)

    def read(self, name: str) -> Any:
        """The value of a setting."""
        if name not in _KNOWN:
            self.update(name, None)
        return self.__dict__[name]


config = Config()


@contextmanager
def _set(name: str, value: Any) -> Iterator[None]:
    before = config.read(name)
    config.update(name, value)
    try:
        yield
    finally:
        config.update(name, before)


def debug_key_reuse(value: bool = True) -> Any:
    """A context in which using a key twice is an error."""
    return _set("jax_debug_key_reuse", value)


def threefry_partitionable(value: bool = True) -> Any:
    """A context with one of the two layouts of random numbers: True is today's, False that of 2024 and before."""
    return _set("jax_threefry_partitionable", value)


def debug_nans(value: bool = True) -> Any:
    """A context in which the operator that first makes NaN is named."""
    return _set("jax_debug_nans", value)


def disable_jit(value: bool = True) -> Any:
    """A context in which jitted functions run as they are written."""
    return _set("jax_disable_jit", value)


def enable_x64(value: bool = True) -> Any:
    """A context in which 64-bit numbers keep their size."""
    return _set("jax_enable_x64", value)
