"""Generated products in memory, between guard pages, and their comparison with NumPy."""

from __future__ import annotations

import ctypes
import mmap
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
from ml_dtypes import bfloat16

from pullback.codegen.llvm.matmul import MatmulKernel, MatmulSpec, Operand, emit_matmul
from pullback.codegen.llvm.matmul_pack import masked_load, masked_store
from pullback.codegen.llvm.target import Target, host
from pullback.codegen.llvm.text import Fn, Module, V, const, i64
from pullback.runtime.native import native

A, B, C, WORKSPACE, BIAS, RATE, CLAIMS = range(7)
NUMPY = {"float": np.float32, "double": np.float64}
TOLERANCE = {"float": 2e-5, "double": 1e-13}
VECTORS = host()._replace(amx=False)  # this machine without a matrix unit


class Output:
    """Store to C[batch, m, n], row-major; subclasses change the value."""

    def __init__(self, spec: MatmulSpec) -> None:
        self.spec = spec
        self.size = 8 if spec.dtype == "double" else 4

    def slot(self, fn: Fn, index: int) -> V:
        return fn.load(fn.gep(fn.params[0], i64(index), "ptr"), "ptr", 8)

    def prepare(self, fn: Fn, step: int = 1) -> None:
        self.c, self.bias, self.rate = self.slot(fn, C), self.slot(fn, BIAS), self.slot(fn, RATE)

    def fetch(self, fn: Fn, batch_index: list[V], row: V, col: V, count: int) -> None:
        """Nothing is asked for."""

    def value(self, fn: Fn, acc: V, address: V, col: V, mask: V | None) -> V:
        return acc

    def read(self, fn: Fn, address: V, acc: V, mask: V | None) -> V:
        if mask is None:
            return fn.load(address, acc.type, self.size)
        return masked_load(fn, address, acc.type, self.size, mask)

    def __call__(self, fn: Fn, batch_index: list[V], row: V, col: V, acc: V, mask: V | None) -> None:
        at = i64(0)
        for index, count in zip(batch_index, self.spec.batch, strict=True):
            at = fn.add(fn.mul(at, i64(count)), index)
        at = fn.add(fn.mul(fn.add(fn.mul(at, i64(self.spec.m)), row), i64(self.spec.n)), col)
        address = fn.gep(self.c, at, self.spec.dtype)
        value = self.value(fn, acc, address, col, mask)
        if mask is None:
            fn.store(value, address, self.size)
        else:
            masked_store(fn, value, address, self.size, mask)


class BiasRelu(Output):
    def value(self, fn: Fn, acc: V, address: V, col: V, mask: V | None) -> V:
        total = fn.binary("fadd", acc, self.read(fn, fn.gep(self.bias, col, self.spec.dtype), acc, mask))
        return fn.select(fn.compare("fcmp", "ogt", total, const(0, acc.type)), total, const(0, acc.type))


class Descend(Output):
    """w -= rate * acc."""

    def value(self, fn: Fn, acc: V, address: V, col: V, mask: V | None) -> V:
        rate = fn.load(self.rate, self.spec.dtype, self.size)
        rate = fn.splat(rate, int(acc.type[1:].split()[0])) if acc.type[0] == "<" else rate
        return fn.binary("fsub", self.read(fn, address, acc, mask), fn.binary("fmul", rate, acc))


class Long(Output):
    """acc + 1 - 1 ... : long enough to be emitted in a loop over rows."""

    def value(self, fn: Fn, acc: V, address: V, col: V, mask: V | None) -> V:
        for _ in range(10):
            acc = fn.binary("fsub", fn.binary("fadd", acc, const(1, acc.type)), const(1, acc.type))
        return acc


class Guarded:
    """Memory that ends (or begins) at a page which may not be touched."""

    def __init__(self, nbytes: int, at_end: bool = True) -> None:
        page = mmap.PAGESIZE
        pages = -(-max(nbytes, 1) // page)
        self.map = mmap.mmap(-1, (pages + 2) * page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        for forbidden in (base, base + (pages + 1) * page):
            assert libc.mprotect(ctypes.c_void_p(forbidden), ctypes.c_size_t(page), 0) == 0
        self.address = base + (pages + 1) * page - nbytes if at_end else base + page
        self.nbytes = nbytes

    def array(self, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
        view = (ctypes.c_char * self.nbytes).from_address(self.address)
        return np.frombuffer(view, dtype).reshape(shape)


class Compiled:
    """A kernel in memory, called with arrays."""

    def __init__(self, spec: MatmulSpec, epilogue: type[Output] = Output, target: Target | None = None) -> None:
        import llvmlite.binding as llvm
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = target or VECTORS
        module = Module()
        self.spec = spec
        self.counters = 0

        def reserve(count: int) -> int:
            self.counters = count
            return CLAIMS

        self.kernel: MatmulKernel = emit_matmul(
            module, "product", spec, A, B, WORKSPACE, reserve, epilogue(spec), target)
        llvm.add_symbol("pb_reach", native().symbols["pb_reach"])
        parsed = llvm.parse_assembly(module.text())
        parsed.verify()
        machine = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu, features=target.features, opt=2)
        self.engine = llvm.create_mcjit_compiler(parsed, machine)
        self.engine.finalize_object()
        self.call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
            self.engine.get_function_address("product"))

    def run(self, pointers: list[int], threads: int = 1) -> None:
        slots = (ctypes.c_void_p * (len(pointers) + self.counters))(*pointers)
        if threads == 1:
            self.call(ctypes.addressof(slots), 0, 1)
            return
        with ThreadPoolExecutor(threads) as pool:  # without the GIL while they run
            list(pool.map(lambda tid: self.call(ctypes.addressof(slots), tid, threads), range(threads)))


LAYOUTS = ("row", "column", "general")


def layout(rows: int, cols: int, kind: str, batch: tuple[int, ...], broadcast: bool) -> tuple[Operand, int]:
    """An operand of one layout and the number of elements it spans."""
    row, col = {"row": (cols, 1), "column": (1, rows), "general": (2 * cols + 1, 2)}[kind]
    size = (rows - 1) * row + (cols - 1) * col + 1
    strides, total = [], size
    for count in reversed(batch):
        strides.insert(0, 0 if broadcast else total)
        total = total if broadcast else total * count
    return Operand(row, col, tuple(strides)), total


def view(data: np.ndarray, operand: Operand, rows: int, cols: int, batch: tuple[int, ...]) -> np.ndarray:
    size = data.itemsize
    strides = [s * size for s in (*operand.batch_strides, operand.row_stride, operand.col_stride)]
    return np.lib.stride_tricks.as_strided(data, (*batch, rows, cols), strides)


def in_panels(b: np.ndarray, parts: int) -> np.ndarray:
    """[panel, block of k, part, strip, line, column, half] of what AMX reads of B [k, n]."""
    k, n = b.shape
    split, rest = [], b.astype(np.float32)
    for _ in range(parts):
        split.append(rest.astype(bfloat16))
        rest = rest - split[-1].astype(np.float32)
    lines = np.stack(split).view(np.uint16).reshape(parts, k // 32, 2, 16, n // 32, 2, 16)
    return np.ascontiguousarray(lines.transpose(4, 1, 0, 5, 3, 6, 2))


def check(m: int, n: int, k: int, *, target: Target | None = None, a: str = "row", b: str = "row", dtype: str = "float",
          batch: tuple[int, ...] = (), broadcast: tuple[bool, bool] = (False, False), epilogue: type[Output] = Output,
          threads: tuple[int, ...] = (1,), at_end: bool = True, parts: int = 3, narrow: bool = False,
          laid: bool = False) -> None:
    """Run one product between guard pages for several thread counts and compare with NumPy in float64; of fewer than
    three parts operands are numbers that have no more. `laid`: B is given in panels."""
    rng = np.random.default_rng(m * 7919 + n * 104729 + k)
    scalar = NUMPY[dtype]
    (oa, na), (ob, nb) = layout(m, k, a, batch, broadcast[0]), layout(k, n, b, batch, broadcast[1])
    operand = bfloat16 if narrow else scalar
    size, narrow_size = np.dtype(scalar).itemsize, np.dtype(operand).itemsize
    spec = MatmulSpec(m, n, k, oa, ob, dtype, batch, parts, narrow, laid)
    compiled = Compiled(spec, epilogue, target)
    memory = [Guarded(count * width, at_end) for count, width in (
        (na, narrow_size), (nb, narrow_size), (prod(batch) * m * n, size), (0, 1), (n, size), (1, size))]
    memory[WORKSPACE] = Guarded(-(-compiled.kernel.workspace(max(threads)) // 64) * 64)
    arrays = [memory[i].array(of, shape) for i, of, shape in (
        (A, operand, (na,)), (B, operand, (nb,)), (C, scalar, (*batch, m, n)), (BIAS, scalar, (n,)),
        (RATE, scalar, (1,)))]
    for array in arrays:
        array[...] = rng.standard_normal(array.shape)
    data_a, data_b, out, bias, rate = arrays
    if parts < 3:
        for array in (data_a, data_b):
            array[...] = array.astype({1: bfloat16, 2: np.float16}[parts])
    before = out.copy()
    memory[WORKSPACE].array(np.uint8, (memory[WORKSPACE].nbytes,))[...] = 0xFF
    exact = view(data_a, oa, m, k, batch).astype(np.float64) @ view(data_b, ob, k, n, batch).astype(np.float64)
    if laid:
        panels = in_panels(view(data_b, ob, k, n, ()), parts)
        memory[B] = Guarded(panels.nbytes)
        memory[B].array(np.uint16, panels.shape)[...] = panels
    expected = {Output: exact, Long: exact, BiasRelu: np.maximum(exact + bias, 0), Descend: before - rate * exact}
    results: list[np.ndarray] = []
    for count in threads:
        out[...] = before if epilogue is Descend else np.nan
        compiled.run([part.address for part in memory], count)
        results.append(out.copy())
        scale = TOLERANCE[dtype] * max(1.0, k ** 0.5) * (4 if epilogue is Long else 1)
        np.testing.assert_allclose(out, expected[epilogue], rtol=scale, atol=scale)
        assert out.tobytes() == results[0].tobytes(), "bits depend on the number of threads"
