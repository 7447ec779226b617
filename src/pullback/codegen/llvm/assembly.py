"""What the processor will run, for people to read."""

from __future__ import annotations

from typing import Any

from pullback.codegen.llvm.compile import host_target


def assembly(text: str) -> str:
    """The assembly of a module of IR text, for this machine."""
    import llvmlite.binding as binding  # pyright: ignore[reportMissingTypeStubs]  # lazy: only for looking at code

    llvm: Any = binding
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = host_target()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small")
    module = llvm.parse_assembly(text)
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    return machine.emit_assembly(module)
