"""PyTorch's generator of the CPU: Mersenne Twister, and its samplers, number for number, drawn on the host.

Sources: Matsumoto and Nishimura, 1998 (the generator); PyTorch's `DistributionsHelper.h` and `DistributionTemplates.h`
(how its words become numbers).
"""

from __future__ import annotations

import math
import secrets
import struct
from typing import Any

import numpy as np

from pullback.api import box_muller
from pullback.api.arguments import integer
from pullback.api.random import Generator, drawn
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir import dtypes
from pullback.ir.dtypes import DType, numpy_dtype
from pullback.runtime.native import native
from pullback.util.errors import ArgumentError, ValueError_, message

DEFAULT_SEED = 67280421310721
#: words of the generator's state
SIZE = 624
#: a range from this on takes two words a number
WIDE_RANGE = 1 << 28
#: uniform numbers are made so many at a time: they stay in the caches
CHUNK = 1 << 15
#: normal numbers are made in blocks of sixteen from this count on, in pairs below it
BLOCK = 16
_STATE = struct.Struct("<QiiQ4992s3di4xf?3x")
Words = Any
Numbers = Any


class Mersenne(Generator):
    """The generator that `torch.manual_seed` seeds."""

    host = True

    def __init__(self, device: Any = None) -> None:
        super().__init__(device)
        self._state: Any = None  # 624 words, one for the runtime, and the position of the next; made when it is needed
        self._spare: float | None = None  # the second normal number of a pair
        self._seed = DEFAULT_SEED

    def manual_seed(self, seed: int) -> Mersenne:
        """Start anew from a seed of 64 bits, of which the generator uses the lower 32."""
        given = integer(seed, "manual_seed", "seed")
        if not -(2**63) <= given < 2**64:
            raise ValueError_(message("manual_seed: the seed must fit 64 bits", [("seed", str(given))],
                                      "a number from 0 to 2**64 - 1"))
        with self._lock:
            self._seed, self._state, self._spare = given % 2**64, None, None
        return self

    def seed(self) -> int:
        """Start anew from a seed of the system's."""
        self.manual_seed(secrets.randbits(53))
        return self._seed

    def _words(self) -> Words:
        """The generator's words, of its seed where nothing was drawn yet."""
        if self._state is None:
            word = self._seed & 0xFFFFFFFF
            words = [word]
            for k in range(1, SIZE):
                word = (1812433253 * (word ^ (word >> 30)) + k) & 0xFFFFFFFF
                words.append(word)
            self._state = np.array([*words, 0, SIZE], np.uint32)
        return self._state

    # -- words -------------------------------------------------------------------------------------------------------
    def words(self, count: int) -> Words:
        """The next words of 32 bits."""
        found = np.empty(count, np.uint32)
        self._draw(found.ctypes.data, count)
        return found

    def _draw(self, address: int, count: int) -> None:
        drawn.count += 1
        with self._lock:
            native().mersenne(self._words().ctypes.data, address, count)

    def long_words(self, count: int) -> Words:
        """The next numbers of 64 bits: two words each, the first one is the upper half."""
        words = self.words(2 * count)
        return (words[0::2].astype(np.uint64) << np.uint64(32)) | words[1::2]

    def draw(self) -> int:
        """The next 64 bits."""
        return int(self.long_words(1)[0])

    def _unit(self, count: int, dtype: DType) -> Numbers:
        """Uniform in [0, 1): 53 bits for float64, else 24."""
        if dtype is dtypes.float64:
            return (self.long_words(count) & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53
        return box_muller.uniform(self.words(count))

    # -- samplers ----------------------------------------------------------------------------------------------------
    def uniform(self, shape: tuple[int, ...], dtype: DType, low: float = 0.0, high: float = 1.0) -> Numbers:
        """Uniform in [low, high): what is rounded up to high is low."""
        count, kind = _count(shape), numpy_dtype(dtype)
        wide = np.float64 if dtype is dtypes.float64 else np.float32
        first, last = wide(low), wide(high)
        bound = last.astype(kind)
        before = wide(np.nextafter(bound, first.astype(kind)))
        found = np.empty(count, kind)
        for k in range(0, count, CHUNK):
            part = self._unit(min(CHUNK, count - k), dtype)
            if (low, high) != (0, 1):
                part = box_muller.fused(part, last - first, first)
            found[k:k + CHUNK] = part
            if kind != wide or (low, high) != (0, 1):  # else nothing is rounded
                (near,) = np.nonzero(part > before)
                found[k + near[found[k + near] == bound]] = first.astype(kind)
        return found.reshape(shape)

    def normal(self, shape: tuple[int, ...], dtype: DType, mean: float = 0.0, std: float = 1.0) -> Numbers:
        """Normal. Sixteen and more are made in blocks, fewer in pairs of which one may be left for the next call."""
        count = _count(shape)
        if count >= BLOCK:
            found = self._normal_blocks(count, dtype, mean, std)
        else:
            found = box_muller.fused(self._normal_pairs(count), std, mean)
        return _narrowed(found, dtype).reshape(shape)

    def _normal_blocks(self, count: int, dtype: DType, mean: float, std: float) -> Numbers:
        numbers = np.empty(count, np.float64 if dtype is dtypes.float64 else np.float32)
        whole = count - count % BLOCK
        self._fill_blocks(numbers[:whole].reshape(-1, BLOCK), mean, std)
        if whole < count:  # the last sixteen are drawn again
            if dtype.itemsize >= 4:  # smaller ones are drawn block by block, without the rest
                self._unit(count - whole, dtype)
            self._fill_blocks(numbers[-BLOCK:].reshape(1, BLOCK), mean, std)
        return numbers

    def _fill_blocks(self, blocks: Numbers, mean: float, std: float) -> None:
        if blocks.dtype == np.float64:
            blocks[...] = box_muller.double(self._unit(blocks.size, dtypes.float64).reshape(blocks.shape), mean, std)
        else:
            box_muller.single(blocks, self._draw, mean, std)

    def _normal_pairs(self, count: int) -> Numbers:
        """Box and Muller, a pair at a time, in double precision."""
        found = np.empty(count, np.float64)
        for k in range(count):
            if self._spare is not None:
                found[k], self._spare = self._spare, None
                continue
            turn, chance = self._unit(2, dtypes.float64)
            radius, angle = np.sqrt(-2.0 * np.log1p(-chance)), 2.0 * np.pi * turn
            found[k], self._spare = radius * np.cos(angle), float(radius * np.sin(angle))
        return found

    def integers(self, low: int, high: int, shape: tuple[int, ...], dtype: DType, wide: bool | None = None) -> Numbers:
        """Whole numbers in [low, high), of two words each where that is wide."""
        span, count = high - low, _count(shape)
        long = span >= WIDE_RANGE if wide is None else wide
        words = self.long_words(count) if long else self.words(count)
        if span <= np.iinfo(words.dtype).max:
            words -= words // words.dtype.type(span) * words.dtype.type(span)  # NumPy's % takes thrice the time
        found = words.astype(np.int64)
        found += np.int64(low)
        return found.astype(numpy_dtype(dtype), copy=False).reshape(shape)

    def permutation(self, count: int) -> Numbers:
        """A shuffle of range(count) (Fisher and Yates)."""
        order = np.arange(count, dtype=np.int64)
        if count < 2:
            return order
        words = self.words(count - 1)
        native().shuffle(words.ctypes.data, order.ctypes.data, count)
        return order

    def chances(self, p: Any, shape: tuple[int, ...]) -> Numbers:
        """True with a probability, one for all or one for each element."""
        if isinstance(p, np.ndarray):
            kind = dtypes.float64 if p.dtype == np.float64 else dtypes.float32
            return self._unit(_count(shape), kind).reshape(shape) < p
        return self._below(_count(shape), p).reshape(shape)

    def _below(self, count: int, p: float) -> Numbers:
        """Whether numbers uniform in [0, 1) of 53 bits are less: 21 bits of one word and all of the next, in whole
        numbers, of which the first nearly always decide."""
        high, low = divmod(math.ceil(min(max(p, 0.0), 1.0) * 2**53), 2**32)
        words = self.words(2 * count)
        first = words[0::2] & np.uint32(2**21 - 1)
        found = first < high
        (undecided,) = np.nonzero(first == high)
        found[undecided] = words[1::2][undecided] < low
        return found

    def exponential(self, shape: tuple[int, ...], dtype: DType, rate: float = 1.0) -> Numbers:
        """Exponential with a rate."""
        found = -1.0 / rate * np.log1p(-self._unit(_count(shape), dtypes.float64))
        return _narrowed(found, dtype).reshape(shape)

    def unit(self) -> float:
        """One number, uniform in [0, 1), in double precision."""
        return float(self._unit(1, dtypes.float64)[0])

    def standard_normal(self) -> float:
        """One normal number, in double precision."""
        return float(self._normal_pairs(1)[0])

    def log_normal(self, shape: tuple[int, ...], mean: float, std: float) -> Numbers:
        """Exponentials of normal numbers."""
        return np.exp(box_muller.fused(self._normal_pairs(_count(shape)), std, mean)).reshape(shape)

    def choices(self, weights: Numbers, count: int, replacement: bool) -> Numbers:
        """Positions drawn with the probabilities that rows of weights stand for."""
        if not replacement or count == 1:
            race = weights / self.exponential(weights.shape, dtypes.dtype_of(weights.dtype))
            return _first(race, count)
        steps = np.cumsum(weights, -1).reshape(-1, weights.shape[-1])
        steps /= steps[:, -1:]
        units = self._unit(len(steps) * count, dtypes.float64).reshape(len(steps), count)
        drawn = np.stack([np.searchsorted(line, unit) for line, unit in zip(steps, units, strict=True)])
        return np.minimum(drawn, weights.shape[-1] - 1).reshape(*weights.shape[:-1], count)

    # -- state -------------------------------------------------------------------------------------------------------
    def get_state(self) -> Any:
        """The state as PyTorch stores it, uint8[5056]."""
        with self._lock:
            state = self._words()
            words, position = state[:SIZE], int(state[-1])
            fresh = position == SIZE and self._seed & 0xFFFFFFFF == int(words[0])
            used = 0 if fresh else position
            left = 1 if fresh else 625 - used
            spare = self._spare
            packed = _STATE.pack(self._seed, left, 1, used, words.astype("<u8").tobytes(), 0.0,
                                 0.0 if spare is None else spare, 0.0, int(spare is not None), 0.0, False)
        return from_host(np.frombuffer(packed, np.uint8))

    def set_state(self, state: Any) -> None:
        """Go on from a state."""
        given = np.asarray(state.numpy() if isinstance(state, TensorBase) else state)
        if given.dtype != np.uint8 or given.size != _STATE.size:
            raise ArgumentError(message("set_state: not a state of this generator",
                                        [("state", f"{given.dtype}[{given.size}]")], "pass what get_state() gave"))
        seed, left, _, used, key, _, spare, _, kept, _, _ = _STATE.unpack(given.tobytes())
        with self._lock:
            self._seed, self._spare = seed, spare if kept else None
            words = np.frombuffer(key, "<u8").astype(np.uint32)
            self._state = np.array([*words, 0, SIZE if left == 1 else min(used, SIZE)], np.uint32)


def _first(race: Numbers, count: int) -> Numbers:
    """Positions of the largest numbers of each row, in order; of equal ones the first come first."""
    if count == 1:
        return np.argmax(race, -1)[..., None]
    if 0 < count < race.shape[-1] // 8:
        found = np.sort(np.argpartition(race, -count, -1)[..., -count:], -1)
        chosen = np.take_along_axis(race, found, -1)
        if ((race >= chosen.min(-1, keepdims=True)).sum(-1) == count).all():  # no equal one was left out
            return np.take_along_axis(found, np.argsort(-chosen, -1, kind="stable"), -1)
    return np.argsort(-race, axis=-1, kind="stable")[..., :count]


def _narrowed(found: Numbers, dtype: DType) -> Numbers:
    """Numbers in a dtype; those of 16 bits are rounded to single precision first, as PyTorch's are."""
    if dtype.itemsize < 4:
        found = found.astype(np.float32, copy=False)
    return found.astype(numpy_dtype(dtype), copy=False)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


generator = Mersenne()
