"""Every allowed intrinsic compiles for each of its target families, in a child process, and leaves no call behind."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pullback.codegen.llvm.allowed import ALLOWED_INTRINSICS, FAMILIES, SHAPES
from pullback.codegen.llvm.text import lanes, mangle, vector, with_element

CHILD = """
import sys
import llvmlite.binding as llvm
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
triple, cpu, features = sys.argv[1:]
machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=2)
module = llvm.parse_assembly(sys.stdin.read())
module.triple = triple
module.data_layout = str(machine.target_data)
module.verify()
sys.stdout.write(machine.emit_assembly(module))
"""
X86_CALL = r"^\s+(?:callq?|jmp)\s+[a-z]\w*(?:@PLT)?$"
CALLS = {"x86-64-v3": X86_CALL, "x86-64-v4": X86_CALL, "aarch64": r"^\s+bl?\s+[a-z]\w*$", "nvptx64": r"^\s+call"}


def _addressed(name: str, type_: str) -> str:
    """A function around an intrinsic that takes an address."""
    mask = with_element(type_, "i1")
    if name == "llvm.prefetch":
        return ("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)\n"
                "define void @F(ptr %p) { call void @llvm.prefetch.p0(ptr %p, i32 0, i32 3, i32 1)\n ret void }\n")
    full = f"{name}.{mangle(type_)}.p0"
    if name == "llvm.masked.load":
        return (f"declare {type_} @{full}(ptr, {mask}, {type_})\n"
                f"define {type_} @F(ptr %p, {mask} %m) {{ %r = call {type_} @{full}(ptr align 4 %p, {mask} %m, "
                f"{type_} zeroinitializer)\n ret {type_} %r }}\n")
    return (f"declare void @{full}({type_}, ptr, {mask})\n"
            f"define void @F(ptr %p, {mask} %m, {type_} %v) {{\n"
            f" call void @{full}({type_} %v, ptr align 4 %p, {mask} %m)\n ret void }}\n")


def _plain(name: str, type_: str, arity: int, result: str) -> str:
    """A function that calls a register-to-register intrinsic once."""
    suffix = mangle(type_) if result == type_ or "reduce" in name else f"{mangle(result)}.{mangle(type_)}"
    flag = ", i1 false" if name == "llvm.ctlz" else ""
    types = ", ".join([type_] * arity) + (", i1" if flag else "")
    params = ", ".join(f"{type_} %a{k}" for k in range(arity))
    full = f"{name}.{suffix}"
    return (f"declare {result} @{full}({types})\n"
            f"define {result} @F({params}) {{ %r = call {result} @{full}({params}{flag})\n ret {result} %r }}\n")


def _program(names: frozenset[str]) -> str:
    parts: list[str] = []
    for name in sorted(names):
        shapes, arity = SHAPES[name]
        for type_ in shapes:
            if "masked" in name or name == "llvm.prefetch":
                texts = [_addressed(name, type_)]
            elif name.endswith(".sat"):
                texts = [_plain(name, type_, arity, vector(f"i{bits}", lanes(type_))) for bits in (8, 16, 32, 64)]
            else:
                texts = [_plain(name, type_, arity, "i1" if "reduce" in name else type_)]
            parts += [text.replace("@F(", f"@f{len(parts) + k}(") for k, text in enumerate(texts)]
    return "".join(parts)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_allowed_intrinsic_compiles(family: str) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, *FAMILIES[family]], input=_program(ALLOWED_INTRINSICS[family]),
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.findall(CALLS[family], done.stdout, re.MULTILINE) == []
