"""Compile LLVM IR text in memory and call it on NumPy arrays: for tests and benchmarks of emitters only."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence

import llvmlite.binding as llvm
import numpy as np

from pullback.codegen.llvm.math import emit_load_convert, emit_store_convert, storage_type
from pullback.codegen.llvm.text import Fn, Module, V, vector

Array = np.ndarray
BYTES = {"bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4,
         "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8}


class Jit:
    """One compiled module; `seconds` is the time from text to object code."""

    def __init__(self, text: str) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_default_triple()
        features = llvm.get_host_cpu_features().flatten()
        self.machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True)
        begin = time.perf_counter()
        module = llvm.parse_assembly(text)
        module.verify()
        self.engine = llvm.create_mcjit_compiler(module, self.machine)
        self.engine.finalize_object()
        self.seconds = time.perf_counter() - begin

    def function(self, name: str, arity: int) -> Callable[..., None]:
        """The kernel `name` as a ctypes function of `arity` pointers and a length."""
        prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arity, ctypes.c_int64)
        return prototype(self.engine.get_function_address(name))


def array_kernel(module: Module, name: str, inputs: Sequence[str], output: str, body: Callable[[Fn, list[V]], V],
                 width: int = 8) -> None:
    """`void name(ptr in..., ptr out, i64 n)`: `body` on `width` lanes at a time; n is a multiple of `width`."""
    params = [("ptr noalias", f"a{k}") for k in range(len(inputs))]
    fn = module.function(name, [*params, ("ptr noalias", "out"), ("i64", "n")])
    loop = fn.begin_loop(V("0", "i64"), fn.params[-1], V(str(width), "i64"))
    values: list[V] = []
    for pointer, dtype in zip(fn.params, inputs, strict=False):
        stored = storage_type(dtype)
        raw = fn.load(fn.gep(pointer, loop.counter, stored), vector(stored, width), BYTES[dtype])
        values.append(emit_load_convert(fn, raw, dtype))
    result = emit_store_convert(fn, body(fn, values), output)
    fn.store(result, fn.gep(fn.params[-2], loop.counter, storage_type(output)), BYTES[output])
    fn.end_loop(loop)
    fn.ret()


def run(jit: Jit, name: str, inputs: Sequence[Array], output: np.dtype, width: int = 8) -> Array:
    """Call an `array_kernel` on equally long arrays, padded to whole vectors."""
    n = len(inputs[0])
    padded = -(-n // width) * width
    arrays = [np.ascontiguousarray(np.concatenate([a, np.ones(padded - n, a.dtype)])) for a in inputs]
    out = np.zeros(padded, output)
    jit.function(name, len(arrays) + 1)(*[a.ctypes.data for a in arrays], out.ctypes.data, padded)
    return out[:n]
