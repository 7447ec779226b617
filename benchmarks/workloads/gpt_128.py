"""Character GPT 6x384, context 128, batch 8, AdamW."""

from workloads.transformer import frameworks

STEPS = 3
LOSS = 1e-3
CHECKED = (1, 2)
FRAMEWORKS = frameworks(128)
