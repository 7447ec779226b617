"""Transformations of functions, as users see them."""

from __future__ import annotations

from pullback.engine.control import cond, enable_grad, no_grad, scan, stop_gradient, switch, while_loop
from pullback.engine.functional import grad, hessian, jacfwd, jacrev, jvp, value_and_grad, vjp, vmap
from pullback.engine.jit import jit
from pullback.engine.rules import Function, checkpoint, custom_jvp, custom_vjp

__all__ = ["Function", "checkpoint", "cond", "custom_jvp", "custom_vjp", "enable_grad", "grad", "hessian", "jacfwd",
           "jacrev", "jit", "jvp", "no_grad", "scan", "stop_gradient", "switch", "value_and_grad", "vjp", "vmap",
           "while_loop"]
