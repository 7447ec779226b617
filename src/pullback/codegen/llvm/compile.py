"""LLVM IR text to object code, and what the host is, with llvmlite loaded only when something must be compiled.

The IR that reaches this file is already tiled, unrolled and vectorised, so LLVM's mid-level passes are skipped unless
asked for; code generation runs at level 2. Objects are position independent for the loader in `runtime/loader.py`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from pullback.codegen.llvm.library import TRIED, Library, LibraryError, library_path
from pullback.util.background import Job
from pullback.util.disk_cache import DiskCache, default_cache, sha256
from pullback.util.host import host_architecture, tiles_allowed

FORMAT = "pullback-object-3"  # part of every key: raise it when the same IR should give other code
_CPU_FIELDS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU implementer",
               "CPU architecture", "CPU variant", "CPU part")
_INTRINSIC = r"(?m)^declare [^@\n]*@(llvm\.[\w.]+)"
_lock = threading.Lock()


class CompileError(ValueError):
    """The IR could not be parsed, verified or compiled; says what LLVM said."""


class Target(NamedTuple):
    """What code is compiled for, in LLVM's own words."""

    triple: str
    cpu: str
    features: str


GENERIC: dict[str, str] = {"x86_64": "x86-64", "aarch64": "generic", "arm64": "generic"}


def compile_ir(text: str, cpu: str | None = None, features: str | None = None, triple: str | None = None,
               passes: tuple[str, ...] = (), level: int = 2) -> bytes:
    """Object code of a module of IR text.

    `cpu` and `features` default to the host's where the triple is the host's, else to the triple's plainest machine;
    `passes` are names from `PASSES`, run in that order before code generation.

    Raises CompileError for IR that LLVM rejects. LLVM ends the process on what it cannot select, so intrinsics that
    it does not know are refused here.
    """
    target = _fill_target(cpu, features, triple)
    unknown = [name for name in re.findall(_INTRINSIC, text) if not _may_use(name, target)]
    if unknown:
        raise CompileError(f"intrinsics that code generation may not use: {', '.join(sorted(set(unknown)))}")
    library = None if passes else _library()
    if library is None:
        return _compile_by_llvmlite(text, target, passes, level)
    try:
        return library.compile(text, *target, level)
    except LibraryError as error:
        raise CompileError(str(error).strip()) from None


def _compile_by_llvmlite(text: str, target: Target, passes: tuple[str, ...], level: int) -> bytes:
    """The same by llvmlite's public functions."""
    binding = _llvmlite()
    machine = _machine(binding, target, level)
    context = binding.create_context()
    module = None
    try:
        module = binding.parse_assembly(text, context=context)
        module.triple = target.triple
        module.data_layout = str(machine.target_data)
        module.verify()
        if passes:
            _run_passes(binding, machine, module, passes)
        return machine.emit_object(module)
    except RuntimeError as error:
        raise CompileError(str(error).strip()) from None
    finally:
        if module is not None:
            module.close()  # before its context, whoever holds them
        context.close()


def cached_compile(text: str, cpu: str | None = None, features: str | None = None, triple: str | None = None,
                   passes: tuple[str, ...] = (), store: DiskCache | None = None) -> bytes:
    """`compile_ir` through the disk cache: the second process never loads llvmlite."""
    target = _fill_target(cpu, features, triple)
    store = default_cache() if store is None else store
    key = object_key(text, target, passes)
    found = store.get(key)
    if found is None:
        found = compile_ir(text, target.cpu, target.features, target.triple, passes)
        store.put(key, found)
    return found


def object_key(text: str, target: Target, passes: tuple[str, ...] = ()) -> str:
    """Key of an object: the IR, the machine, the compiler and this file's format."""
    parts = [FORMAT, toolchain_version(), *target, ",".join(passes), sha256(text.encode()).hex()]
    return "\n".join(parts)


@cache
def _package() -> str | None:
    """The folder of the installed llvmlite."""
    spec = find_spec("llvmlite")
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None


@cache
def toolchain_version() -> str:
    """Version of the installed llvmlite, read from its files without loading it; "none" where there is none."""
    package = _package()
    if package is None:
        return "none"
    try:
        with open(os.path.join(package, "_version.py"), encoding="utf-8") as file:
            source = file.read()
    except OSError:
        return "unknown"
    quoted = source.replace('"', "'").split("'")[1::2]
    return next((text for text in quoted if text[:1].isdigit() and "." in text), "unknown")


@cache
def host_target() -> Target:
    """The host's triple, CPU, and those of its features that this process may use."""
    found = _host_target()
    features = found.features.split(",")
    if "+amx-tile" in features and not tiles_allowed():
        return found._replace(features=",".join(f for f in features if not f.startswith("+amx")))
    return found


def _host_target() -> Target:
    """What the host is; llvmlite is asked once per kind of machine, the disk cache afterwards."""
    key = f"host-target\n{FORMAT}\n{toolchain_version()}\n{_host_fingerprint()}"
    stored = default_cache().get(key)
    if stored is not None:
        fields = stored.decode().split("\n")
        if len(fields) == 3:
            return Target(*fields)
    library = _library()
    detected = _detect_by_llvmlite() if library is None else Target(*library.host())
    default_cache().put(key, "\n".join(detected).encode())
    return detected


def _detect_by_llvmlite() -> Target:
    binding = _llvmlite()
    return Target(binding.get_process_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())


def generic_target() -> Target:
    """The plainest machine of the host's architecture and system: needs neither llvmlite nor the disk."""
    arch = host_architecture()
    if sys.platform == "darwin":
        triple = f"{'arm64' if arch == 'aarch64' else arch}-apple-darwin"
    elif sys.platform == "win32":
        triple = f"{arch}-pc-windows-msvc"
    else:
        triple = f"{arch}-unknown-linux-gnu"
    return Target(triple, GENERIC.get(arch, "generic"), "")


def _fill_target(cpu: str | None, features: str | None, triple: str | None) -> Target:
    if triple is None and cpu is None:
        host = host_target()
        return host if features is None else host._replace(features=features)
    triple = generic_target().triple if triple is None else triple
    arch = triple.split("-", 1)[0]
    return Target(triple, GENERIC.get(arch, "generic") if cpu is None else cpu, features or "")


def _may_use(intrinsic: str, target: Target) -> bool:
    """Whether code generation for this target selects the intrinsic; it ends the process where it does not."""
    family = intrinsic.split(".", 2)[1]
    if family != "x86":
        return intrinsic.startswith(KNOWN_INTRINSICS) or (
            family == _FAMILIES.get(target.triple.split("-", 1)[0]) and family in ("aarch64", "nvvm"))
    if not target.triple.startswith("x86_64"):
        return False
    word = intrinsic.split(".", 3)[2]
    extension = _AMX.get(word, word)
    implied = X86_LEVELS.get(target.cpu, ())
    features = target.features.replace("+avx512f", "+avx512").split(",")
    return extension in ("sse", "sse2", *implied) or f"+{extension}" in features


def _host_fingerprint() -> str:
    """What tells one kind of CPU from another; only the first processor's record is read."""
    try:
        descriptor = os.open("/proc/cpuinfo", os.O_RDONLY)
    except OSError:
        import platform  # loads much, and no Linux comes here

        return "|".join((*platform.uname(), platform.processor()))
    try:
        record = os.read(descriptor, 16384).split(b"\n\n", 1)[0]
    finally:
        os.close(descriptor)
    fields = [line for line in record.decode("utf-8", "replace").split("\n")
              if line.partition(":")[0].strip() in _CPU_FIELDS]
    return host_architecture() + sha256("\n".join(fields).encode()).hex()


def preload() -> None:
    """Begin to load the compiler where it is not loaded yet. What is wrong with it is said when it is used."""
    if not _library_once.cache_info().currsize:
        Job(_library)


def release() -> None:
    """Give the compiler's memory back, where there is much: the programs that it made run now."""
    library = _library() if _library_once.cache_info().currsize else None
    if library is not None:
        library.release()


@cache
def _library_once() -> Library | None:
    package = _package()
    path = library_path(package) if package is not None and toolchain_version().startswith(TRIED) else None
    return None if path is None else Library(path)


def _library() -> Library | None:
    """LLVM's own functions; None where only llvmlite knows how to call them."""
    with _lock:
        try:
            return _library_once()
        except (OSError, AttributeError) as error:
            raise CompileError(f"compiling needs llvmlite, which cannot be loaded: {error}") from error


@cache
def _llvmlite_once() -> Any:
    binding: Any = import_module("llvmlite.binding")
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    binding.initialize_native_asmparser()
    return binding


def _llvmlite() -> Any:
    """llvmlite.binding, initialised once for every target in the wheel."""
    with _lock:
        try:
            return _llvmlite_once()
        except ImportError as error:
            raise CompileError(f"compiling needs llvmlite, which cannot be loaded: {error}") from error


def _machine(binding: Any, target: Target, level: int) -> Any:
    try:
        found = binding.Target.from_triple(target.triple)
        return found.create_target_machine(cpu=target.cpu, features=target.features, opt=level, reloc="pic",
                                           codemodel="small")
    except RuntimeError as error:
        raise CompileError(f"no code generator for {target.triple}: {error}") from None


PASSES: dict[str, str] = {
    "instcombine": "add_instruction_combine_pass",
    "simplifycfg": "add_simplify_cfg_pass",
    "gvn": "add_new_gvn_pass",
    "sroa": "add_sroa_pass",
    "dce": "add_dead_code_elimination_pass",
}


def _run_passes(binding: Any, machine: Any, module: Any, passes: tuple[str, ...]) -> None:
    manager = binding.create_new_module_pass_manager()
    available: dict[str, Any] = {name: getattr(manager, method, None) for name, method in PASSES.items()}
    for name in passes:
        add = available.get(name)
        if add is None:
            raise CompileError(f"no such pass: {name!r}; there are {', '.join(PASSES)}")
        add()
    manager.run(module, binding.create_pass_builder(machine, binding.create_pipeline_tuning_options()))


_FAMILIES = {"aarch64": "aarch64", "arm64": "aarch64", "nvptx64": "nvvm"}
# Extensions whose intrinsics (`llvm.x86.EXTENSION.`) a CPU name implies; otherwise the feature must be named.
X86_LEVELS: dict[str, tuple[str, ...]] = {
    "x86-64-v3": ("avx", "avx2", "fma"),
    "x86-64-v4": ("avx", "avx2", "fma", "avx512"),
}

_AMX = {"ldtilecfg": "amx-tile", "tilerelease": "amx-tile", "tilezero": "amx-tile", "tileloadd64": "amx-tile",
        "tilestored64": "amx-tile", "tdpbf16ps": "amx-bf16"}

# Stems of the intrinsics that every target of ours selects for the types that the emitters use. LLVM expands the
# scalar mathematics of vectors into libm calls, which is slow but sound.
KNOWN_INTRINSICS = tuple(f"llvm.{name}" for name in (
    "abs.", "acos.", "asin.", "assume", "atan", "bitreverse.", "bswap.", "canonicalize.", "ceil.",
    "copysign.", "cos.", "cosh.", "ctlz.", "ctpop.", "cttz.", "exp.", "exp2.", "exp10.", "expect.", "fabs.",
    "floor.", "fma.", "fmuladd.", "fptosi.sat.", "fptoui.sat.", "frexp.", "fshl.", "fshr.", "is.fpclass.", "ldexp.",
    "lifetime.", "llrint.", "llround.", "log.", "log10.", "log2.", "lrint.", "lround.", "masked.", "maximum.",
    "maximumnum.", "maxnum.", "memcpy.", "memmove.", "memset.", "minimum.", "minimumnum.", "minnum.", "nearbyint.",
    "pow.", "powi.", "prefetch.", "rint.", "round.", "roundeven.", "sadd.", "scmp.", "sin.", "sincos.", "sinh.",
    "smax.", "smin.", "smul.with.", "sqrt.", "sshl.sat.", "ssub.", "stacksave", "stackrestore", "tan.", "tanh.",
    "trap", "trunc.", "uadd.", "ucmp.", "umax.", "umin.", "umul.with.", "ushl.sat.", "usub.", "vector.",
    "experimental.", "readcyclecounter", "threadlocal.address", "dbg.", "donothing", "debugtrap", "ubsantrap",
    "convert.", "thread.pointer",
))
