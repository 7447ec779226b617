"""Python's collector of cycles rests while programs are made, and is as before afterwards."""

import gc
from collections.abc import Iterator

import pytest

import pullback as pb
from pullback.util.collector import SELDOM, Seldom


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before, enabled = gc.get_threshold(), gc.isenabled()
    yield
    gc.set_threshold(*before)
    (gc.enable if enabled else gc.disable)()


def test_a_function_is_traced_with_few_collections() -> None:
    found: list[int] = []

    @pb.jit
    def double(x: pb.Tensor) -> pb.Tensor:
        found.append(gc.get_threshold()[0])
        return x * 2

    before = gc.get_threshold()
    double(pb.ones(3))
    assert found == [SELDOM]
    assert gc.get_threshold() == before


def test_thresholds_are_as_before_after_an_error() -> None:
    @pb.jit
    def wrong(x: pb.Tensor) -> pb.Tensor:
        raise ValueError("stop")

    before = gc.get_threshold()
    with pytest.raises(ValueError, match="stop"):
        wrong(pb.ones(3))
    assert gc.get_threshold() == before


@pytest.mark.parametrize("own", [(0, 10, 10), (SELDOM * 2, 5, 5)])
def test_a_user_who_wants_fewer_keeps_them(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with Seldom():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    with Seldom(), Seldom():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_garbage_is_found_while_a_program_is_made() -> None:
    class Cycle:
        living = 0

        def __init__(self) -> None:
            self.me = self
            Cycle.living += 1

        def __del__(self) -> None:
            Cycle.living -= 1

    with Seldom():
        for _ in range(4 * SELDOM):
            Cycle()
        assert Cycle.living <= SELDOM
