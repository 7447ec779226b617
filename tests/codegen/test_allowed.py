"""Every allowed intrinsic compiles for each of its target families, in a child process, and leaves no call behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pullback.codegen.llvm.allowed import ALLOWED_INTRINSICS, FAMILIES, PAIRS, SHAPES, TILES
from pullback.codegen.llvm.text import lanes, mangle, vector, with_element

# Prints the names that the object (PTX: the text) leaves to others.
CHILD = """
import re, struct, sys
import llvmlite.binding as llvm
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
triple, cpu, features = sys.argv[1:]
machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=2)
module = llvm.parse_assembly(sys.stdin.read())
module.triple = triple
module.data_layout = str(machine.target_data)
module.verify()
if triple.startswith("nvptx"):
    print(*re.findall(r"^[ \\t{]*(call[^;]*);", machine.emit_assembly(module), re.MULTILINE))
    sys.exit()
elf = machine.emit_object(module)
at, = struct.unpack_from("<Q", elf, 0x28)
size, count = struct.unpack_from("<HH", elf, 0x3A)
sections = [struct.unpack_from("<IIQQQQIIQQ", elf, at + k * size) for k in range(count)]
for _, kind, _, _, offset, length, link, *_ in sections:
    for entry in range(offset, offset + length, 24) if kind == 2 else ():
        name, _, _, section = struct.unpack_from("<IBBH", elf, entry)
        start = sections[link][4] + name
        if name and section == 0:
            print(elf[start:elf.index(0, start)].decode())
"""
CONTROL = """
declare float @llvm.fma.f32(float, float, float)
declare float @elsewhere(float)
define float @F(float %a) {
  %r = call float @elsewhere(float %a)
  ret float %r
}
"""


def _unresolved(family: str, program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", CHILD, *FAMILIES[family]], input=program, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


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
    for name in sorted(names & TILES.keys()):
        types = ", ".join(argument.split()[0] for argument in TILES[name].split(", ") if argument)
        parts.append(f"declare void @{name}({types})\n"
                     f"define void @f{len(parts)}(ptr %p) {{ call void @{name}({TILES[name]})\n ret void }}\n")
    for name in sorted(names & PAIRS.keys()):
        first, *_ = types = PAIRS[name]
        given = ", ".join(f"{type_} %a{k}" for k, type_ in enumerate(types))
        parts.append(f"declare {first} @{name}({', '.join(types)})\ndefine {first} @f{len(parts)}({given}) {{ "
                     f"%r = call {first} @{name}({given})\n ret {first} %r }}\n")
    for name in sorted(names - TILES.keys() - PAIRS.keys()):
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
    assert _unresolved(family, _program(ALLOWED_INTRINSICS[family])) == []


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_call_would_be_seen(family: str) -> None:
    """The check above can fail: an outside call is found in every family, in ELF objects a lowered `llvm.exp` too."""
    assert any("elsewhere" in name for name in _unresolved(family, CONTROL))
    if family != "nvptx64":
        assert "expf" in _unresolved(family, _plain("llvm.exp", "<8 x float>", 1, "<8 x float>"))
