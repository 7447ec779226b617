"""The GPT with products of bfloat16 numbers, context 128: autocast, or operands converted."""

from workloads.transformer import frameworks

STEPS = 3
LOSS = 3e-2
CHECKED = (1, 2)
FRAMEWORKS = frameworks(128, "bfloat16")
