"""Convolutions in numbers: how their tiles are chosen for processors with other registers."""

from __future__ import annotations

import pytest

from pullback.codegen.llvm.matmul_plan import make_plan, register_tile
from pullback.codegen.llvm.matmul_spec import MatmulSpec, Operand
from pullback.codegen.llvm.target import AARCH64, X86_64_V3, X86_64_V4, Target
from pullback.codegen.llvm.window_images import together
from pullback.codegen.llvm.window_spec import Dim, WindowSpec


def convolution(images: int, channels: int, filters: int, side: int) -> WindowSpec:
    """3x3 with a padding of one."""
    batch, cols, terms = (images,), (side, side), (channels, 3, 3)
    return WindowSpec(
        "float", batch, (filters,), cols, terms, 0, (0,), (channels * 9,), (9, 3, 1), (
            Dim(images, channels * side * side, 1, 0, (1,), (0, 0), (0, 0, 0)),
            Dim(channels, side * side, 1, 0, (0,), (0, 0), (1, 0, 0)),
            Dim(side, side, 1, -1, (0,), (1, 0), (0, 1, 0)),
            Dim(side, 1, 1, -1, (0,), (0, 1), (0, 0, 1))))


@pytest.mark.parametrize(("target", "side", "many"), [
    (X86_64_V4, 4, 4), (X86_64_V4, 8, 1), (X86_64_V4, 6, 4), (X86_64_V3, 4, 1), (X86_64_V3, 2, 4), (AARCH64, 2, 4)])
def test_images_side_by_side_fill_a_tile(target: Target, side: int, many: int) -> None:
    spec = convolution(32, 256, 64, side)
    found = together(spec, target)
    assert found.many == many
    assert found.spec.n == many * spec.n and found.spec.flops == spec.flops
    if many > 1:
        assert found.spec.batch == (32 // many,) and found.spec.cols == (many, side, side)
        assert found.spec.dims[0].batch == (many,) and found.spec.dims[0].cols == (1, 0, 0)


def test_few_terms_do_not_repay_images_that_end_within_a_vector() -> None:
    assert together(convolution(24, 3, 64, 7), X86_64_V3).many == 1


@pytest.mark.parametrize(("m", "n", "tile"), [
    (512, 16, (8, 3)), (512, 48, (8, 3)), (512, 64, (6, 4)), (512, 144, (8, 3)), (384, 384, (6, 4)),
    (32, 1024, (8, 3))])
def test_tiles_of_32_registers(m: int, n: int, tile: tuple[int, int]) -> None:
    assert register_tile(m, n, 16, X86_64_V4) == tile
    assert register_tile(m, n, 8, X86_64_V3) == (6, 2)


@pytest.mark.parametrize(("m", "n", "tile"), [
    (1536, 384, (8, 3)), (384, 384, (8, 3)), (1024, 128, (8, 3)), (256, 1024, (6, 4)), (384, 1536, (6, 4))])
def test_tiles_where_rows_are_copied_first(m: int, n: int, tile: tuple[int, int]) -> None:
    """Fewer columns repay fewer copies: those of 8 rows fill a vector. So measured on a Zen 5."""
    assert register_tile(m, n, 16, X86_64_V4, 16) == tile
    transposed = MatmulSpec(m, n, 1024, Operand(1, m), Operand(n, 1), "float")
    for copy, shape in ((0, (6, 4)), (16, tile)):
        plan = make_plan(transposed, X86_64_V4._replace(copy_cycles=copy))
        assert plan.pack_a and (plan.tall, plan.cols) == (min(shape[0], m), 16 * shape[1])
