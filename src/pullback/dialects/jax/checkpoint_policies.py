"""`jax.checkpoint_policies`: what a checkpointed function keeps. Here it keeps its arguments, and computes again what
the backward pass needs; the policies are accepted and change no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def everything_saveable(prim: Any, *args: Any, **params: Any) -> bool:
    """Keep everything."""
    return True


def nothing_saveable(prim: Any, *args: Any, **params: Any) -> bool:
    """Keep nothing."""
    return False


def dots_saveable(prim: Any, *args: Any, **params: Any) -> bool:
    """Keep products of matrices."""
    return str(prim) == "dot_general"


def dots_with_no_batch_dims_saveable(prim: Any, *args: Any, **params: Any) -> bool:
    """Keep products of matrices without batch dimensions."""
    return dots_saveable(prim)


checkpoint_dots, checkpoint_dots_with_no_batch_dims = dots_saveable, dots_with_no_batch_dims_saveable


def _named(*names: str) -> Callable[..., bool]:
    return lambda prim, *args, **params: params.get("name") in names


def save_only_these_names(*names_which_can_be_saved: str) -> Callable[..., bool]:
    """Keep what has one of these names."""
    return _named(*names_which_can_be_saved)


def save_any_names_but_these(*names_not_to_save: str) -> Callable[..., bool]:
    """Keep what has another name."""
    inner = _named(*names_not_to_save)
    return lambda prim, *args, **params: "name" in params and not inner(prim, **params)


def save_anything_except_these_names(*names_not_to_save: str) -> Callable[..., bool]:
    """Keep what has none of these names."""
    inner = _named(*names_not_to_save)
    return lambda prim, *args, **params: not inner(prim, **params)


def save_from_both_policies(*policies: Callable[..., Any]) -> Callable[..., bool]:
    """Keep what one of the policies keeps."""
    return lambda prim, *args, **params: any(p(prim, *args, **params) for p in policies)


def save_and_offload_only_these_names(*, names_which_can_be_saved: Any, names_which_can_be_offloaded: Any = (),
                                      **_: Any) -> Callable[..., bool]:
    """Keep what has one of these names."""
    return _named(*names_which_can_be_saved, *names_which_can_be_offloaded)


def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Callable[..., bool]:
    """Keep products of matrices."""
    return dots_saveable


__all__ = ["checkpoint_dots", "checkpoint_dots_with_no_batch_dims", "dots_saveable",
           "dots_with_no_batch_dims_saveable", "everything_saveable", "nothing_saveable",
           "offload_dot_with_no_batch_dims", "save_and_offload_only_these_names", "save_any_names_but_these",
           "save_anything_except_these_names", "save_from_both_policies", "save_only_these_names"]
