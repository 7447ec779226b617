"""What code generation must know of a processor: vector width, registers, caches, LLVM's names for it."""

from __future__ import annotations

from typing import NamedTuple

from pullback.codegen.llvm.compile import host_target
from pullback.util import config


class Target(NamedTuple):
    """One processor family as the emitters see it. Cache sizes are bytes per core."""

    triple: str
    cpu: str
    features: str
    vector_bits: int = 256
    vector_registers: int = 16
    fma: bool = True
    masked_memory: bool = True
    l1_bytes: int = 32 * 1024
    l2_bytes: int = 512 * 1024
    amx: bool = False  # multiplies tiles of bfloat16 numbers
    pairs: bool = False  # multiplies and adds pairs of bfloat16 numbers, in vectors
    copy_cycles: int = 0  # what copying a tile's rows of a transposed operand costs for each term, beside its products

    @property
    def native(self) -> int:
        """How many terms of a product of bfloat16 numbers it takes at a time; 0: it converts them first."""
        return 1 if self.amx else 2 if self.pairs else 0

    def lanes(self, scalar: str) -> int:
        """Lanes of a full vector of a scalar type ("float": 8 at 256 bits)."""
        bits = {"double": 64, "float": 32, "half": 16, "bfloat": 16}[scalar]
        return self.vector_bits // bits


X86_64_V3 = Target("x86_64-unknown-linux-gnu", "x86-64-v3", "")
X86_64_V4 = Target("x86_64-unknown-linux-gnu", "x86-64-v4", "", vector_bits=512, vector_registers=32,
                   l2_bytes=1024 * 1024)
X86_64_PAIRS = X86_64_V4._replace(cpu="cooperlake", features="+avx512bf16", pairs=True)
X86_64_AMX = X86_64_V4._replace(cpu="sapphirerapids", features="+amx-tile,+amx-bf16", amx=True)
AARCH64 = Target("aarch64-unknown-linux-gnu", "generic", "+neon", vector_bits=128, vector_registers=32,
                 masked_memory=False, l1_bytes=64 * 1024)


def host() -> Target:
    """The machine this process runs on."""
    triple, cpu, features = host_target()
    flags = set(features.split(","))
    if triple.startswith(("aarch64", "arm64")):
        return AARCH64._replace(triple=triple, cpu=cpu, features=features)
    if {"+avx512f", "+avx512vl", "+avx512bw"} <= flags:
        amx = config.AMX.value and {"+amx-tile", "+amx-bf16"} <= flags
        copy = 16 if cpu.startswith("znver") else 0  # measured on a Zen 5; Intel's gain by the other shape
        return X86_64_V4._replace(triple=triple, cpu=cpu, features=features, amx=amx, pairs="+avx512bf16" in flags,
                                  copy_cycles=copy)
    if {"+avx2", "+fma"} <= flags:
        return X86_64_V3._replace(triple=triple, cpu=cpu, features=features)
    return Target(triple, cpu, features, vector_bits=128, fma="+fma" in flags, masked_memory=False)
