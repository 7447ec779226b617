"""Compiling IR text: errors, targets, keys, and llvmlite staying unloaded when everything is cached."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pullback.codegen.llvm import compile as compile_module
from pullback.codegen.llvm.compile import (
    CompileError,
    Target,
    cached_compile,
    compile_ir,
    generic_target,
    host_target,
    object_key,
    toolchain_version,
)
from pullback.codegen.llvm.library import TRIED
from pullback.codegen.llvm.resident import read_only_spans
from pullback.codegen.llvm.support import Platform, support_ir
from pullback.util.background import Job
from pullback.util.disk_cache import DiskCache

IR = "define i64 @f(i64 %x) {\n  %y = add i64 %x, 1\n  ret i64 %y\n}\n"


@pytest.mark.parametrize("text, message", [
    ("nonsense", "expected top-level entity"),
    ("define i64 @f() {\n  ret i32 0\n}", "match function result type"),
    ("define void @f() {\n  %a = add i64 %b, 1\n  ret void\n}", "undefined value"),
    ("declare float @llvm.fma.f32(float)\ndefine float @f(float %x) {\n  %a = call float @llvm.fma.f32(float %x)\n"
     "  ret float %a\n}", "not defined|ntrinsic"),
    ("declare float @llvm.nonsense.f32(float)\ndefine void @f() {\n  ret void\n}", "may not use: llvm.nonsense"),
])
def test_wrong_ir_raises(text: str, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        compile_ir(text)


def test_unknown_targets_raise() -> None:
    with pytest.raises(CompileError, match="no code generator"):
        compile_ir(IR, triple="pdp11-unknown-none")
    with pytest.raises(CompileError, match="no such pass"):
        compile_ir(IR, passes=("magic",))


@pytest.mark.parametrize("triple, cpu, features, intrinsic", [
    ("x86_64-unknown-linux-gnu", "x86-64", "", "void @llvm.aarch64.isb(i32)"),
    ("aarch64-unknown-linux-gnu", "", "", "void @llvm.x86.sse2.pause()"),
    ("x86_64-unknown-linux-gnu", "x86-64", "+avx2,-avx512f", "<16 x float> @llvm.x86.avx512.sqrt.ps.512(<16 x float>)"),
    ("x86_64-unknown-linux-gnu", "x86-64-v4", "", "float @llvm.nvvm.sin.approx.f(float)"),
])
def test_intrinsics_that_would_end_the_process_are_refused(triple: str, cpu: str, features: str,
                                                           intrinsic: str) -> None:
    with pytest.raises(CompileError, match="may not use"):
        compile_ir(f"declare {intrinsic}\n", cpu, features, triple)


@pytest.mark.parametrize("triple, cpu, magic", [
    ("x86_64-unknown-linux-gnu", "x86-64-v4", b"\x7fELF"),
    ("x86_64-unknown-linux-gnu", "", b"\x7fELF"),
    ("aarch64-unknown-linux-gnu", "neoverse-n1", b"\x7fELF"),
    ("arm64-apple-darwin", "apple-m1", b"\xcf\xfa\xed\xfe"),
    ("x86_64-pc-windows-msvc", "x86-64", b"\x64\x86"),
])
def test_cross_targets(triple: str, cpu: str, magic: bytes) -> None:
    vectors = "define <16 x float> @g(<16 x float> %x) {\n  %y = fadd <16 x float> %x, %x\n  ret <16 x float> %y\n}"
    assert compile_ir(IR + vectors, cpu, "", triple).startswith(magic)


@pytest.mark.parametrize("platform, triple", [
    (Platform("aarch64", "linux", 32, 8), "aarch64-unknown-linux-gnu"),
    (Platform("aarch64", "posix", 32, 8), "arm64-apple-darwin"),
    (Platform("x86_64", "none", 32, 8), "x86_64-pc-windows-msvc"),
    (Platform("x86_64", "linux", 48, 24), "x86_64-unknown-linux-gnu"),
])
def test_the_support_code_compiles_for_every_platform(platform: Platform, triple: str) -> None:
    assert len(compile_ir(support_ir(platform), "", "", triple)) > 4000


def test_passes_and_keys(tmp_path: Path) -> None:
    assert compile_ir(IR, passes=("instcombine", "simplifycfg", "gvn", "sroa", "dce"))
    target = generic_target()
    keys = {object_key(IR, target), object_key(IR + "\n", target), object_key(IR, target, ("dce",)),
            object_key(IR, Target(target.triple, target.cpu, "+avx2"))}
    assert len(keys) == 4
    store = DiskCache(tmp_path / "cache")
    first = cached_compile(IR, store=store)
    assert cached_compile(IR, store=store) == first
    assert len(os.listdir(store.directory)) == 1


def test_host() -> None:
    target = host_target()
    assert target.triple.split("-")[0] == generic_target().triple.split("-")[0]
    assert target.cpu
    assert toolchain_version()[0].isdigit()


WARM = """
import sys
from pullback.codegen.llvm.compile import cached_compile, host_target
from pullback.runtime.native import native
host_target(), cached_compile(%r), native()
print("libllvmlite" in open("/proc/self/maps").read() if sys.platform == "linux" else "llvmlite" in sys.modules)
"""


def test_second_process_does_not_load_llvm(tmp_path: Path) -> None:
    environment = {**os.environ, "PULLBACK_CACHE_DIR": str(tmp_path / "cache")}
    answers = [subprocess.run([sys.executable, "-c", WARM % IR], env=environment, capture_output=True, text=True,
                              check=True).stdout.split() for _ in range(2)]
    assert answers == [["True"], ["False"]]


BAD = ("define", "define i32 @f() {\n  ret i64 0\n}", "define void @f() {\n  br label %a\na:\n  br label %b\nb:\n"
       "  %x = add i32 %y, 1\n  %y = add i32 1, 1\n  ret void\n}")


@pytest.mark.skipif(not toolchain_version().startswith(TRIED), reason="an llvmlite whose library was not tried")
def test_the_library_and_llvmlite_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects, the host and errors, by LLVM's functions and by llvmlite's."""
    target = host_target()

    def answers() -> list[object]:
        found: list[object] = [compile_ir(IR), compile_ir(IR, *target[1:], target.triple, level=0),
                               compile_ir(IR, "", "", "aarch64-unknown-linux-gnu")]
        for text in BAD:
            with pytest.raises(CompileError) as caught:
                compile_ir(text)
            found.append(str(caught.value))
        return found

    direct, host = answers(), compile_module._library().host()
    monkeypatch.setattr(compile_module, "_library_once", lambda: None)
    assert answers() == direct
    assert compile_module._detect_by_llvmlite() == host


RELEASE = f"""
from pullback.codegen.llvm import compile as llvm
from pullback.codegen.llvm import library

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssFile"))

code = llvm.compile_ir({IR!r})
before = resident()
library.RELEASE_SECONDS = 1e9
llvm.release()
kept = resident()
library.RELEASE_SECONDS = 0.0
llvm.release()
freed = before - resident()
print(kept >= before - 1000, freed > 20_000, llvm.compile_ir({IR!r}) == code)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(not toolchain_version().startswith(TRIED), reason="an llvmlite whose library was not tried")
def test_the_compiler_gives_its_memory_back_and_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", RELEASE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]


def test_only_what_nobody_may_write_is_given_back(tmp_path: Path) -> None:
    assert read_only_spans(str(tmp_path / "missing.so")) == ()
    plain = tmp_path / "plain.so"
    plain.write_bytes(b"not a library" * 20)
    assert read_only_spans(str(plain)) == ()
    if not sys.platform.startswith("linux"):
        return
    with open("/proc/self/maps", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    library = next(row[5] for row in rows if len(row) > 5 and "_multiarray_umath" in row[5])
    found = read_only_spans(library)
    assert sum(span.size for span in found) > 1 << 20
    link = tmp_path / "link.so"
    link.symlink_to(library)
    assert read_only_spans(str(link)) == found
    writable = [tuple(int(x, 16) for x in row[0].split("-")) for row in rows if "w" in row[1]]
    assert all(end <= span.start or start >= span.start + span.size for span in found for start, end in writable)


def test_threads_compile_at_once() -> None:
    """The same objects as one after another."""
    texts = [IR.replace("ret", f"; {n}\n  ret", 1) + f"\n@g{n} = global i64 {n}\n" for n in range(8)]
    expected = [compile_ir(text) for text in texts]
    jobs = [Job(lambda text=text: compile_ir(text)) for text in texts]
    assert [job.result() for job in jobs] == expected
