"""Generated matrix products: values, epilogues, thread counts, memory bounds, other targets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from tests.codegen.products import (
    CLAIMS,
    LAYOUTS,
    WORKSPACE,
    A,
    B,
    BiasRelu,
    Descend,
    Long,
    Output,
    check,
    layout,
)

from pullback.codegen.llvm.compile import compile_ir
from pullback.codegen.llvm.matmul import MatmulSpec, Operand, emit_matmul
from pullback.codegen.llvm.matmul_plan import Plan, chunks, make_plan, smallest_cuttable
from pullback.codegen.llvm.target import AARCH64, X86_64_V3, X86_64_V4, Target, host
from pullback.codegen.llvm.text import Module


@pytest.mark.parametrize("a", LAYOUTS)
@pytest.mark.parametrize("b", LAYOUTS)
@pytest.mark.parametrize("m, n, k", [(13, 29, 37), (64, 48, 16), (1, 37, 41), (37, 1, 41), (3, 5, 2)])
def test_layouts(m: int, n: int, k: int, a: str, b: str) -> None:
    check(m, n, k, a=a, b=b)


def random_shapes() -> Iterator[tuple[int, int, int, str, str, str]]:
    rng = np.random.default_rng(5)
    sizes = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 16, 17, 19, 31, 50, 64, 97, 130]
    for _ in range(60):
        m, n, k = (int(rng.choice(sizes)) for _ in range(3))
        yield m, n, k, str(rng.choice(LAYOUTS)), str(rng.choice(LAYOUTS)), str(rng.choice(["float", "double"]))


@pytest.mark.parametrize("m, n, k, a, b, dtype", list(random_shapes()))
def test_random_shapes(m: int, n: int, k: int, a: str, b: str, dtype: str) -> None:
    check(m, n, k, a=a, b=b, dtype=dtype, epilogue=(Output, BiasRelu, Descend)[(m + n) % 3], threads=(1, 2, 3),
          at_end=k % 2 == 0)


@pytest.mark.parametrize("m, n, k", [
    (1, 1, 1), (1, 1000, 100), (1000, 1, 100), (100, 100, 1), (64, 10, 100), (4, 3, 700)])
def test_skinny(m: int, n: int, k: int) -> None:
    for a, b in (("row", "row"), ("column", "row"), ("row", "column")):
        check(m, n, k, a=a, b=b, epilogue=BiasRelu, threads=(1, 2))


@pytest.mark.parametrize("m, n, k", [
    (64, 100, 1000), (130, 200, 1100), (301, 203, 257), (97, 210, 3000), (40, 70, 6000), (256, 256, 256)])
def test_blocked(m: int, n: int, k: int) -> None:
    """Several blocks of k or of rows, packed panels."""
    for a, b in (("row", "row"), ("column", "column")):
        check(m, n, k, a=a, b=b, threads=(1, 2, 5))
    for a, b in (("row", "row"), ("column", "column"), ("general", "general")):
        check(m, n, k, a=a, b=b, dtype="double", threads=(1, 3))


@pytest.mark.parametrize("m, n, k", [(1400, 70, 1000), (1100, 2100, 870)])
def test_blocked_rows_and_columns(m: int, n: int, k: int) -> None:
    check(m, n, k, a="column", b="row", threads=(1, 2))


@pytest.mark.parametrize("a", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_pieces_of_a_large_product(a: str, dtype: str) -> None:
    """Rows in several parts where columns are few, copied by all threads before they claim tiles, in blocks of k."""
    for m, n, k in ((1009, 195, 1009), (1500, 200, 700), (1009, 803, 1000)):
        spec = MatmulSpec(m, n, k, layout(m, k, a, (), False)[0], Operand(n, 1), dtype)
        plan = make_plan(spec, host())
        assert plan.parts > (n < 300 and dtype == "float")  # panels of doubles are half as wide: twice as many
        assert bool(plan.shared_bytes) == (plan.pack_a and plan.split == "n")
        assert bool(plan.a_bytes) == (plan.pack_a and plan.split == "m")
        assert plan.pack_a or a == "row"
        check(m, n, k, a=a, dtype=dtype, threads=(1, 2, 3, 5))


@pytest.mark.parametrize("m, n, k", [(1536, 384, 1024), (1003, 201, 1009), (1200, 200, 1900)])
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_blocks_of_rows_stay_near(m: int, n: int, k: int, dtype: str) -> None:
    """Far more rows than columns: all of B is copied, and of A one block of rows after the other, by whom it serves."""
    spec = MatmulSpec(m, n, k, Operand(1, m), Operand(n, 1), dtype)
    plan = make_plan(spec, X86_64_V4)
    if dtype == "float":
        assert (plan.split, plan.pack_b, plan.shared_bytes) == ("m", "block", 0)
        assert 0 < plan.a_bytes <= X86_64_V4.l2_bytes
    check(m, n, k, a="column", dtype=dtype, threads=(1, 2, 3, 5))


@pytest.mark.parametrize("m", range(198, 212))
def test_panels_side_by_side(m: int) -> None:
    """A transposed: groups of panels, their last k, and the rows at the end of memory."""
    for dtype in ("float", "double"):
        check(m, 192, 33, a="column", dtype=dtype, threads=(1, 2, 3))


@pytest.mark.parametrize("m", [500, 1000, 1003])
def test_transposed_rows_are_read_once(m: int) -> None:
    """A transposed and not copied, B nearly all of L1: rows outside, tiles of six rows beside a narrow last panel."""
    for n in (90, 100, 112):
        plan = make_plan(MatmulSpec(m, n, 64, Operand(1, m), Operand(n, 1), "float"), X86_64_V3)
        assert plan.row_outer
        assert not plan.pack_a
        assert plan.tall == 6 or len(plan.edge) != 1
        check(m, n, 64, a="column", threads=(1, 2, 3))


@pytest.mark.parametrize("n", [2, 3, 5, 6, 7, 9, 11, 12])
def test_narrow_packed_columns(n: int) -> None:
    """Panels narrower than a vector, or of one vector and a bit."""
    here = host()
    for target in (here, AARCH64._replace(triple=here.triple, cpu=here.cpu, features=here.features)):
        for dtype in ("float", "double"):
            check(23, n, 30, b="column", dtype=dtype, target=target)


@pytest.mark.parametrize("shape", ["neon", "avx512"])
def test_plans_of_other_targets_give_right_values(shape: str) -> None:
    """Their tiles, cuts and packing, run in this machine's instructions."""
    like = AARCH64 if shape == "neon" else X86_64_V4
    here = host()
    target = like._replace(triple=here.triple, cpu=here.cpu, features=here.features)
    for m, n, k in ((65, 103, 300), (1, 77, 200), (103, 205, 777), (300, 257, 700), (9, 5, 3)):
        for a, b in (("row", "row"), ("column", "column"), ("row", "column")):
            check(m, n, k, a=a, b=b, target=target, epilogue=BiasRelu, threads=(1, 3))
    check(103, 205, 1100, dtype="double", target=target, threads=(1, 2))


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_few_rows_stream_the_other_operand(m: int) -> None:
    check(m, 210, 203, epilogue=Descend, threads=(1, 2))
    check(210, m, 203, a="column", b="column", epilogue=BiasRelu, threads=(1, 2))


@pytest.mark.parametrize("epilogue", [BiasRelu, Descend, Long])
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_epilogues(epilogue: type[Output], dtype: str) -> None:
    check(61, 43, 33, epilogue=epilogue, dtype=dtype)
    check(1, 43, 33, b="column", epilogue=epilogue, dtype=dtype)
    check(50, 1, 33, epilogue=epilogue, dtype=dtype)
    check(20, 40, 5000, epilogue=epilogue, dtype=dtype)


@pytest.mark.parametrize("batch, broadcast", [((3,), (False, False)), ((2, 5), (False, True)), ((9,), (True, False))])
def test_batches(batch: tuple[int, ...], broadcast: tuple[bool, bool]) -> None:
    check(17, 21, 19, batch=batch, broadcast=broadcast, threads=(1, 2, 4))
    check(17, 21, 19, a="column", b="column", batch=batch, broadcast=broadcast, epilogue=BiasRelu)
    check(30, 1, 19, batch=batch, broadcast=broadcast, threads=(1, 2))


def test_tiny_products_stay_on_one_thread() -> None:
    def threads(m: int, n: int, k: int) -> int:
        return make_plan(MatmulSpec(m, n, k, Operand(k, 1), Operand(n, 1), "float"), X86_64_V3).max_threads
    assert threads(16, 16, 16) == 1
    assert threads(36, 36, 36) == 1
    assert threads(128, 128, 128) >= 2


def test_rows_can_always_be_cut() -> None:
    for tall in range(2, 9):
        least = smallest_cuttable(tall)
        for count in range(least, least + 200):
            tiles = -(-count // tall)
            assert 0 <= count - tiles * (tall - 1) <= tiles


def test_every_thread_share_can_be_cut() -> None:
    """Row ranges of threads and blocks leave no row to a tile that is not emitted."""
    for target in (X86_64_V3, X86_64_V4, AARCH64):
        for m in range(1, 400, 3):
            plan = make_plan(MatmulSpec(m, 400, 700, Operand(700, 1), Operand(400, 1), "float"), target)
            for threads in range(1, plan.max_threads + 1 if plan.split == "m" else 2):
                units = m // plan.row_unit
                cuts = [units * t // threads for t in range(threads + 1)]
                for low, high in pairwise(cuts):
                    assert_cut(plan, high - low)


def assert_cut(plan: Plan, units: int) -> None:
    if plan.row_unit > 1:
        return
    blocks = -(-units // plan.mc)
    for n in range(blocks):
        count = units * (n + 1) // blocks - units * n // blocks
        tiles = -(-count // plan.tall)
        assert plan.tall == 1 or 0 <= count - tiles * (plan.tall - 1) <= tiles


def test_chunks_cover_columns() -> None:
    for cols in range(1, 40):
        for masked in (True, False):
            assert sum(chunk.valid for chunk in chunks(cols, 8, masked)) == cols


@pytest.mark.parametrize("target", [X86_64_V3, X86_64_V4, AARCH64], ids=lambda target: target.cpu)
@pytest.mark.parametrize("m, n, k, a, b", [(65, 103, 300, "row", "row"), (7, 5, 33, "column", "column"),
                                           (1, 77, 50, "row", "column"), (130, 200, 1100, "column", "column")])
def test_other_targets_compile(target: Target, m: int, n: int, k: int, a: str, b: str) -> None:
    for dtype in ("float", "double"):
        module = Module()
        spec = MatmulSpec(m, n, k, layout(m, k, a, (), False)[0], layout(k, n, b, (), False)[0], dtype)
        emit_matmul(module, "product", spec, A, B, WORKSPACE, lambda _: CLAIMS, BiasRelu(spec), target)
        assert len(compile_ir(module.text(), target.cpu, target.features, target.triple)) > 500


def test_sizes_must_be_positive() -> None:
    spec = MatmulSpec(3, 0, 2, Operand(2, 1), Operand(0, 1), "float")
    with pytest.raises(ValueError, match="positive"):
        emit_matmul(Module(), "product", spec, A, B, WORKSPACE, lambda _: CLAIMS, Output(spec), X86_64_V3)
