"""PyTorch's generator of the CPU: Mersenne Twister, and its samplers, number for number, drawn on the host.

Sources: Matsumoto and Nishimura, 1998 (the generator); PyTorch's `DistributionsHelper.h` and `DistributionTemplates.h`
(how
its words become numbers); Cephes (the logarithm, sine and cosine of single precision that the normal numbers use).
"""

from __future__ import annotations

import secrets
import struct
from typing import Any

import numpy as np

from pullback.api.arguments import integer
from pullback.api.random import Generator, drawn
from pullback.engine.tensor import TensorBase, from_host
from pullback.ir import dtypes
from pullback.ir.dtypes import DType, numpy_dtype
from pullback.util.errors import ArgumentError, ValueError_, message

DEFAULT_SEED = 67280421310721
#: a range from this on takes two words a number
WIDE_RANGE = 1 << 28
#: normal numbers are made in blocks of sixteen from this count on, in pairs below it
BLOCK = 16
#: blocks transformed at a time: what stays in cache
CHUNK = 2048
_STATE = struct.Struct("<QiiQ4992s3di4xf?3x")
Words = Any
Numbers = Any


class Mersenne(Generator):
    """The generator that `torch.manual_seed` seeds."""

    host = True

    def __init__(self, device: Any = None) -> None:
        super().__init__(device)
        self._words: Any = None
        self._spare: float | None = None  # the second normal number of a pair
        self._seed = DEFAULT_SEED

    def manual_seed(self, seed: int) -> Mersenne:
        """Start anew from a seed of 64 bits, of which the generator uses the lower 32."""
        given = integer(seed, "manual_seed", "seed")
        if not -(2**63) <= given < 2**64:
            raise ValueError_(message("manual_seed: the seed must fit 64 bits", [("seed", str(given))],
                                      "a number from 0 to 2**64 - 1"))
        with self._lock:
            self._seed, self._words, self._spare = given % 2**64, None, None
        return self

    def seed(self) -> int:
        """Start anew from a seed of the system's."""
        self.manual_seed(secrets.randbits(53))
        return self._seed

    def _stream(self) -> Any:
        if self._words is None:
            from numpy.random import MT19937  # loaded late: a fifth of the time to import numpy

            self._words = MT19937()
            self._words._legacy_seeding(self._seed & 0xFFFFFFFF)
        return self._words

    # -- words -------------------------------------------------------------------------------------------------------
    def words(self, count: int) -> Words:
        """The next words of 32 bits."""
        drawn.count += 1
        with self._lock:
            return self._stream().random_raw(count)

    def long_words(self, count: int) -> Words:
        """The next numbers of 64 bits: two words each, the first one is the upper half."""
        words = self.words(2 * count)
        return (words[0::2] << np.uint64(32)) | words[1::2]

    def draw(self) -> int:
        """The next 64 bits."""
        return int(self.long_words(1)[0])

    def _unit(self, count: int, dtype: DType) -> Numbers:
        """Uniform in [0, 1): 53 bits for float64, else 24."""
        if dtype is dtypes.float64:
            return (self.long_words(count) & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53
        return (self.words(count) & np.uint64(2**24 - 1)).astype(np.float32) * np.float32(2.0**-24)

    # -- samplers ----------------------------------------------------------------------------------------------------
    def uniform(self, shape: tuple[int, ...], dtype: DType, low: float = 0.0, high: float = 1.0) -> Numbers:
        """Uniform in [low, high)."""
        scaled = self._unit(_count(shape), dtype)
        if dtype is dtypes.float64:
            scaled = scaled * (high - low) + low
        elif (low, high) != (0, 1):
            scaled = _fused(scaled, np.float32(high) - np.float32(low), np.float32(low))
        return scaled.astype(numpy_dtype(dtype), copy=False).reshape(shape)

    def normal(self, shape: tuple[int, ...], dtype: DType, mean: float = 0.0, std: float = 1.0) -> Numbers:
        """Normal. Sixteen and more are made in blocks, fewer in pairs of which one may be left for the next call."""
        count = _count(shape)
        if count >= BLOCK:
            found = self._normal_blocks(count, dtype, mean, std)
        else:
            found = self._normal_pairs(count) * std + mean
        return found.astype(numpy_dtype(dtype), copy=False).reshape(shape)

    def _normal_blocks(self, count: int, dtype: DType, mean: float, std: float) -> Numbers:
        numbers = self._unit(count, dtype)
        rest = count % BLOCK
        tail = self._unit(BLOCK, dtype) if rest else numbers[:0]
        blocks = (_normal_double if dtype is dtypes.float64 else _normal_single)
        whole = numbers[:count - rest].reshape(-1, BLOCK)
        for k in range(0, len(whole), CHUNK):
            whole[k:k + CHUNK] = blocks(whole[k:k + CHUNK], mean, std)
        if rest:  # the last sixteen are drawn again
            numbers[-BLOCK:] = blocks(tail.reshape(1, BLOCK), mean, std)
        return numbers

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

    def integers(self, low: int, high: int, shape: tuple[int, ...], dtype: DType) -> Numbers:
        """Whole numbers in [low, high)."""
        span, count = high - low, _count(shape)
        words = self.words(count) if span < WIDE_RANGE else self.long_words(count)
        if span < 2**64:
            words = words % np.uint64(span)
        return (words.astype(np.int64) + np.int64(low)).astype(numpy_dtype(dtype)).reshape(shape)

    def permutation(self, count: int) -> Numbers:
        """A shuffle of range(count) (Fisher and Yates)."""
        if count < 2:
            return np.arange(count)
        steps = (self.words(count - 1) % np.arange(count, 1, -1, dtype=np.uint64)).tolist()
        order = list(range(count))
        for k, step in enumerate(steps):
            order[k], order[k + step] = order[k + step], order[k]
        return np.array(order, np.int64)

    def chances(self, p: Any, shape: tuple[int, ...]) -> Numbers:
        """True with a probability, one for all or one for each element."""
        if isinstance(p, np.ndarray):
            kind = dtypes.float64 if p.dtype == np.float64 else dtypes.float32
            return self._unit(_count(shape), kind).reshape(shape) < p
        return self._unit(_count(shape), dtypes.float64).reshape(shape) < p

    def exponential(self, shape: tuple[int, ...], dtype: DType, rate: float = 1.0) -> Numbers:
        """Exponential with a rate."""
        found = -np.log1p(-self._unit(_count(shape), dtypes.float64)) / rate
        return found.astype(numpy_dtype(dtype)).reshape(shape)

    def unit(self) -> float:
        """One number, uniform in [0, 1), in double precision."""
        return float(self._unit(1, dtypes.float64)[0])

    def standard_normal(self) -> float:
        """One normal number, in double precision."""
        return float(self._normal_pairs(1)[0])

    def log_normal(self, shape: tuple[int, ...], mean: float, std: float) -> Numbers:
        """Exponentials of normal numbers."""
        return np.exp(self._normal_pairs(_count(shape)) * std + mean).reshape(shape)

    def choices(self, weights: Numbers, count: int, replacement: bool) -> Numbers:
        """Positions drawn with the probabilities that rows of weights stand for."""
        if not replacement or count == 1:
            race = weights / self.exponential(weights.shape, dtypes.dtype_of(weights.dtype))
            return np.argsort(-race, axis=-1, kind="stable")[..., :count]
        steps = np.cumsum(weights, -1).reshape(-1, weights.shape[-1])
        steps /= steps[:, -1:]
        units = self._unit(len(steps) * count, dtypes.float64).reshape(len(steps), count)
        drawn = np.stack([np.searchsorted(line, unit) for line, unit in zip(steps, units, strict=True)])
        return np.minimum(drawn, weights.shape[-1] - 1).reshape(*weights.shape[:-1], count)

    # -- state -------------------------------------------------------------------------------------------------------
    def get_state(self) -> Any:
        """The state as PyTorch stores it, uint8[5056]."""
        with self._lock:
            state = self._stream().state["state"]
            fresh = state["pos"] == 624 and self._seed & 0xFFFFFFFF == int(state["key"][0])
            used = 0 if fresh else int(state["pos"])
            left = 1 if fresh else 625 - used
            spare = self._spare
            packed = _STATE.pack(self._seed, left, 1, used, state["key"].astype("<u8").tobytes(), 0.0,
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
            stream = self._stream()
            words = np.frombuffer(key, "<u8").astype(np.uint32)
            stream.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624 if left == 1 else used}}


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


# -- a block of sixteen normal numbers: eight radii and eight angles ---------------------------------------------------


def _normal_double(block: Numbers, mean: float, std: float) -> Numbers:
    radius = np.sqrt(-2.0 * np.log(1.0 - block[:, :8]))
    angle = 2.0 * np.pi * block[:, 8:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1) * std + mean


def _normal_single(block: Numbers, mean: float, std: float) -> Numbers:
    single = np.float32
    radius = np.sqrt(single(-2.0) * _log(single(1.0) - block[:, :8]))
    sine, cosine = _sine_and_cosine(single(2.0 * np.pi) * block[:, 8:])
    return _fused(np.concatenate([radius * cosine, radius * sine], 1), single(std), single(mean))


def _fused(a: Numbers, b: Any, c: Any) -> Numbers:
    """a * b + c, rounded once: the product is exact in double precision."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def _polynomial(x: Numbers, coefficients: tuple[float, ...]) -> Numbers:
    y: Any = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y = _fused(y, x, np.float32(c))
    return y


_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1, 3.3333331174e-1)
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)


def _log(x: Numbers) -> Numbers:
    """Cephes' logf: m * 2**e with m in [sqrt(1/2), sqrt(2)), a polynomial in m - 1."""
    single = np.float32
    bits = x.view(np.int32)
    m = ((bits & 0x007FFFFF) | 0x3F000000).view(single)
    low = m < single(0.707106781186547524)
    e = ((bits >> 23) - np.where(low, 127, 126)).astype(single)
    m = np.where(low, m + m, m) - single(1.0)
    z = m * m
    y = _fused(_polynomial(m, _LOG) * m, z, e * single(-2.12194440e-4)) - z * single(0.5)
    return _fused(e, single(0.693359375), m + y)


def _sine_and_cosine(x: Numbers) -> tuple[Numbers, Numbers]:
    """Cephes' sinf and cosf for x >= 0: the octant, the rest of the angle by three parts of pi/4, two polynomials."""
    single = np.float32
    octant = ((x * single(1.27323954473516)).astype(np.int32) + 1) & ~1
    y = octant.astype(single)
    for part in (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8):
        x = _fused(y, single(part), x)
    z = x * x
    cosine = _fused(_polynomial(z, _COSINE) * z, z, -(z * single(0.5))) + single(1.0)
    sine = _fused(_polynomial(z, _SINE) * z, x, x)
    swapped = (octant & 2) != 0
    sine, cosine = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    return np.where(octant & 4, -sine, sine), np.where((octant + 2) & 4, -cosine, cosine)


generator = Mersenne()
