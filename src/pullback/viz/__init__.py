"""Curves and tables."""

from pullback.viz.curve import save_curve, text_curve
from pullback.viz.table import KernelRow, Limits, kernel_table, kernel_text

__all__ = ["KernelRow", "Limits", "kernel_table", "kernel_text", "save_curve", "text_curve"]
