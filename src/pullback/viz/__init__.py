"""Curves and tables."""

from pullback.util.table import KernelRow, Limits, kernel_table, kernel_text
from pullback.viz.curve import save_curve, text_curve

__all__ = ["KernelRow", "Limits", "kernel_table", "kernel_text", "save_curve", "text_curve"]
