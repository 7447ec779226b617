"""Flags: `pb.config.set("threads", 2)`, `with pb.config.override(debug="graph"): ...`. See `pullback.util.config`."""

from pullback.util.config import describe, get, override, reset, set

__all__ = ["describe", "get", "override", "reset", "set"]
