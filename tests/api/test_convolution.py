"""Convolutions and their gradients beside plain loops, in all combinations of stride, padding, dilation and groups."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
import pullback.nn.functional as F
from pullback.util import config


class Case(NamedTuple):
    """A convolution: channels and filters are of one group."""

    batch: int
    channels: int
    filters: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def out(self) -> tuple[int, ...]:
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(
            self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True))

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


def arrays(c: Case, dtype: str = "float64", seed: int = 0) -> tuple[Any, Any, Any]:
    """Input, weight, and a cotangent of the result."""
    g = np.random.default_rng(seed)
    shapes = ((c.batch, c.groups * c.channels, *c.size), (c.groups * c.filters, c.channels, *c.kernel),
              (c.batch, c.groups * c.filters, *c.out))
    return tuple(g.standard_normal(s).astype(dtype) for s in shapes)  # pyright: ignore[reportReturnType]


def taps(c: Case, padded: Any) -> Any:
    """For each place of the kernel, the slice of the padded input that it sees."""
    for place in np.ndindex(*c.kernel):
        at = tuple(slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in zip(
            place, c.dilation, c.stride, c.out, strict=True))
        yield place, (..., *at)


def expected(c: Case, x: Any, w: Any, ct: Any) -> tuple[Any, Any, Any]:
    """The convolution, and ct times its derivatives, place by place of the kernel."""
    pads = [(0, 0), (0, 0), *((p, p) for p in c.padding)]
    padded = np.pad(x, pads).reshape(c.batch, c.groups, c.channels, *(n + 2 * p for n, p in zip(
        c.size, c.padding, strict=True)))
    weight = w.reshape(c.groups, c.filters, c.channels, *c.kernel)
    cts = ct.reshape(c.batch, c.groups, c.filters, *c.out)
    y, dx, dw = np.zeros(cts.shape), np.zeros(padded.shape), np.zeros(weight.shape)
    for place, at in taps(c, padded):
        one = weight[(..., *place)]
        y += np.einsum("ngc...,gfc->ngf...", padded[at], one)
        dx[at] += np.einsum("ngf...,gfc->ngc...", cts, one)
        dw[(..., *place)] = np.einsum("ngfp,ngcp->gfc", cts.reshape(*cts.shape[:3], -1),
                                      padded[at].reshape(*padded.shape[:3], -1))
    inner = (..., *(slice(p, p + n) for p, n in zip(c.padding, c.size, strict=True)))
    return y.reshape(ct.shape), dx[inner].reshape(x.shape), dw.reshape(w.shape)


def found(c: Case, x: Any, w: Any, ct: Any) -> list[Any]:
    conv = getattr(F, f"conv{len(c.size)}d")

    def all_three(x: Any, w: Any, ct: Any) -> Any:
        grads = pb.grad(lambda x, w: (conv(x, w, **c.options) * ct).sum(), argnums=(0, 1))(x, w)
        return (conv(x, w, **c.options), *grads)

    return [v.numpy() for v in pb.jit(all_three)(*map(pb.tensor, (x, w, ct)))]


def compare(c: Case, dtype: str = "float64") -> None:
    given_ = arrays(c, dtype)
    for got, want in zip(found(c, *given_), expected(c, *given_), strict=True):
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(got, want, rtol=0, atol=scale * (1e-12 if dtype == "float64" else 2e-5))


#: every path of the generated code: panels, boxes, few rows, blocks of terms, large and odd images
CASES = {
    "first layer": Case(3, 3, 32, (18, 32), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "terms in blocks": Case(2, 128, 24, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "filters in blocks": Case(2, 24, 136, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "odd sizes": Case(2, 20, 21, (13, 11), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "strided": Case(2, 16, 24, (16, 16), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    "strided, odd": Case(2, 9, 14, (15, 17), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    "strided by three": Case(2, 9, 14, (15, 17), (5, 4), (3, 3), (2, 1), (1, 1), 1),
    "strided and dilated": Case(2, 9, 14, (19, 17), (3, 3), (2, 2), (1, 2), (2, 3), 1),
    "stem": Case(1, 3, 16, (40, 40), (7, 7), (2, 2), (3, 3), (1, 1), 1),
    "pointwise": Case(3, 40, 24, (8, 8), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "pointwise, odd": Case(3, 40, 24, (7, 7), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "pointwise, strided": Case(3, 40, 24, (8, 8), (1, 1), (2, 2), (0, 0), (1, 1), 1),
    "patches": Case(2, 3, 24, (16, 16), (4, 4), (4, 4), (0, 0), (1, 1), 1),
    "groups": Case(2, 4, 6, (12, 12), (3, 3), (1, 1), (1, 1), (1, 1), 4),
    "groups, strided": Case(2, 4, 6, (12, 12), (3, 3), (2, 2), (1, 1), (1, 1), 4),
    "depthwise": Case(2, 1, 1, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1), 12),
    "depthwise, strided": Case(2, 1, 1, (16, 18), (3, 3), (2, 2), (1, 1), (1, 1), 12),
    "depthwise, odd": Case(3, 1, 1, (7, 7), (5, 5), (1, 1), (2, 2), (1, 1), 9),
    "depthwise, wide": Case(1, 1, 1, (20, 130), (3, 7), (1, 1), (1, 3), (1, 1), 3),
    "depthwise, two filters": Case(2, 1, 2, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1), 5),
    "one image": Case(1, 8, 16, (24, 24), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "one filter": Case(2, 8, 1, (12, 12), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "small images": Case(16, 32, 40, (4, 4), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "tiny images": Case(9, 16, 24, (2, 2), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "side by side": Case(8, 130, 24, (6, 6), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "side by side, odd": Case(6, 260, 16, (7, 5), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "side by side, few filters": Case(8, 260, 3, (4, 5), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "side by side, strided": Case(8, 130, 140, (8, 8), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    "side by side, groups": Case(8, 64, 40, (4, 4), (3, 3), (1, 1), (1, 1), (1, 1), 2),
    "padded far": Case(2, 6, 8, (5, 6), (3, 3), (1, 1), (4, 5), (1, 1), 1),
    "line": Case(3, 6, 8, (50,), (5,), (1,), (2,), (1,), 1),
    "long line": Case(1, 4, 8, (2000,), (9,), (2,), (4,), (1,), 1),
    "solid": Case(2, 5, 7, (6, 7, 8), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
    "solid, strided": Case(2, 5, 7, (6, 7, 8), (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 2, 1), 1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_convolution_and_gradients(name: str, dtype: str) -> None:
    compare(CASES[name], dtype)


@st.composite
def cases(draw: Any) -> Case:
    rank = draw(st.integers(1, 3))
    most = {1: 24, 2: 14, 3: 7}[rank]

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    size, kernel, padding, dilation = each(1, most), each(1, 4), each(0, 3), each(1, 2)
    kernel = tuple(min(k, (n + 2 * p - 1) // d + 1) for k, n, p, d in zip(kernel, size, padding, dilation, strict=True))
    number = st.sampled_from((1, 2, 3, 8, 13))
    return Case(draw(st.integers(1, 3)), draw(number), draw(number), size, kernel, each(1, 3), padding, dilation,
                draw(st.sampled_from((1, 1, 2, 4))))


@given(cases())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_convolution(c: Case) -> None:
    compare(c)


def test_every_combination() -> None:
    for stride, padding, dilation, groups in itertools.product((1, 2, 3), (0, 1, 2), (1, 2), (1, 2)):
        compare(Case(2, 3, 5, (9, 11), (3, 2), (stride,) * 2, (padding,) * 2, (dilation,) * 2, groups))


@pytest.mark.parametrize("name", ["odd sizes", "strided", "depthwise, strided", "groups"])
def test_transposed_is_the_gradient(name: str) -> None:
    c = CASES[name]
    x, w, ct = arrays(c)
    extra = tuple((n + 2 * p - d * (k - 1) - 1) % s for n, p, d, k, s in zip(
        c.size, c.padding, c.dilation, c.kernel, c.stride, strict=True))
    y = F.conv_transpose2d(pb.tensor(ct), pb.tensor(w), None, c.stride, c.padding, extra, c.groups, c.dilation)
    np.testing.assert_allclose(y.numpy(), expected(c, x, w, ct)[1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("kernel", [(1, 3), (3, 3)])
@pytest.mark.parametrize("channels", [1, 12])
def test_results_past_what_the_image_reaches(channels: int, kernel: tuple[int, int]) -> None:
    """With an output padding of the stride and more, rows of the result have no row of the image."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, channels, 5, 5)), rng.normal(size=(channels, 1, *kernel))
    ct = rng.normal(size=(2, 1, 5 + 3 * (kernel[0] - 1) + 2, 5))
    options = dict(padding=(0, kernel[1] // 2), output_padding=(2, 0), dilation=(3, 1))
    want = np.zeros(w.shape)
    for i, j in itertools.product(*map(range, kernel)):
        part = np.pad(ct, ((0, 0), (0, 0), (0, 0), (1, 1)))[:, 0, 3 * i:3 * i + 5, j:j + 5]
        want[:, 0, i, j] = np.einsum("nchw,nhw->c", x, part)
    dw = pb.grad(lambda w: (F.conv_transpose2d(pb.tensor(x), w, **options) * pb.tensor(ct)).sum())(pb.tensor(w))
    np.testing.assert_allclose(dw.numpy(), want, rtol=0, atol=1e-11)


def test_gradients_are_those_of_finite_differences() -> None:
    c = Case(2, 4, 6, (9, 10), (3, 3), (2, 1), (1, 1), (1, 1), 2)
    x, w, ct = arrays(c)
    _, dx, dw = found(c, x, w, ct)
    step = 1e-5
    for base, gradient, at in ((x, dx, 0), (w, dw, 1)):
        for k in range(0, base.size, max(1, base.size // 7)):
            moved = [base.copy(), base.copy()]
            moved[0].flat[k] += step
            moved[1].flat[k] -= step
            values = [(found(c, *(m if at == 0 else x, m if at == 1 else w), ct)[0] * ct).sum() for m in moved]
            assert gradient.flat[k] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", ["odd sizes", "depthwise", "strided"])
def test_batched_by_vmap(name: str) -> None:
    c = CASES[name]
    three = [arrays(c, seed=k) for k in range(3)]
    x, w, _ = (np.stack([a[k] for a in three]) for k in range(3))
    one = pb.vmap(lambda x: F.conv2d(x, pb.tensor(w[0]), **c.options))(pb.tensor(x)).numpy()
    both = pb.vmap(lambda x, w: F.conv2d(x, w, **c.options))(pb.tensor(x), pb.tensor(w)).numpy()
    for k in range(3):
        np.testing.assert_allclose(one[k], expected(c, x[k], w[0], three[0][2])[0], rtol=0, atol=1e-11)
        np.testing.assert_allclose(both[k], expected(c, x[k], w[k], three[0][2])[0], rtol=0, atol=1e-11)


def test_second_derivative() -> None:
    c = Case(1, 3, 4, (6, 7), (3, 3), (1, 1), (1, 1), (1, 1), 1)
    x, w, _ = map(pb.tensor, arrays(c))

    def f(w: Any) -> Any:
        return (F.conv2d(x, w, padding=1) ** 2).sum()

    v = pb.tensor(arrays(c, seed=5)[1])
    _, product = pb.jvp(pb.grad(f), (w,), (v,))
    y = F.conv2d(x, v, padding=1).numpy()
    want = 2 * expected(c, x.numpy(), w.numpy(), y)[2]
    np.testing.assert_allclose(product.numpy(), want, rtol=1e-10)


def test_bits_do_not_depend_on_threads() -> None:
    for name in ("terms in blocks", "strided", "depthwise", "small images", "side by side, odd", "first layer"):
        given_ = arrays(CASES[name], "float32")
        bits = []
        for threads in (1, 2):
            with config.override(threads=threads):
                bits.append([v.tobytes() for v in found(CASES[name], *given_)])
        assert bits[0] == bits[1], name


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (5, 3), (6, 6)])
def test_what_follows_a_convolution_of_images_side_by_side(size: tuple[int, int]) -> None:
    c = Case(8, 260, 12, size, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    x, w, other = arrays(c)
    bias = np.arange(12.0)
    program = pb.jit(lambda x, w, b, other: F.relu(F.conv2d(x, w, b, padding=1)) + other)
    y = program(*map(pb.tensor, (x, w, bias, other)))
    want = np.maximum(expected(c, x, w, other)[0] + bias[:, None, None], 0) + other
    np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=1e-11)


# -- pooling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 1, 0, 2), (5, 3, 2, 1)], ids=str)
def test_max_pool_takes_the_first_of_equal_elements(options: tuple[int, int, int, int]) -> None:
    kernel, stride, padding, dilation = options
    x = np.random.default_rng(0).integers(0, 3, (2, 3, 11, 12)).astype(np.float32)
    out = [(n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for n in x.shape[2:]]
    ct = np.random.default_rng(1).standard_normal((2, 3, *out)).astype(np.float32)
    y, dx = np.zeros_like(ct), np.zeros_like(x)
    for n, c, i, j in np.ndindex(*ct.shape):
        best, place = -np.inf, (0, 0)
        for a, b in itertools.product(range(kernel), repeat=2):
            at = i * stride + a * dilation - padding, j * stride + b * dilation - padding
            if 0 <= at[0] < 11 and 0 <= at[1] < 12 and x[n, c, *at] > best:
                best, place = x[n, c, *at], at
        y[n, c, i, j] = best
        dx[n, c, *place] += ct[n, c, i, j]

    def pooled(x: Any) -> Any:
        return F.max_pool2d(x, kernel, stride, padding, dilation)

    np.testing.assert_array_equal(pooled(pb.tensor(x)).numpy(), y)
    gradient = pb.grad(lambda x: (pooled(x) * pb.tensor(ct)).sum())(pb.tensor(x)).numpy()
    np.testing.assert_allclose(gradient, dx, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("out", [(1, 1), (2, 2), (2, 3), (3, 4)])
def test_adaptive_max_pool_takes_the_first_of_equal_elements(out: tuple[int, int]) -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, 3, 4, 6)).astype(np.float32)
    gradient = np.zeros_like(x)
    for n, c, i, j in np.ndindex(2, 3, *out):
        rows = slice(i * 4 // out[0], -(-(i + 1) * 4 // out[0]))
        columns = slice(j * 6 // out[1], -(-(j + 1) * 6 // out[1]))
        part = x[n, c, rows, columns]
        y, z = np.unravel_index(part.argmax(), part.shape)
        gradient[n, c, rows.start + y, columns.start + z] += i + 2 * j + 1
    t = pb.tensor(x, requires_grad=True)
    y, places = F.adaptive_max_pool2d(t, out, return_indices=True)
    i, j = np.indices(out, np.float32)
    (y * pb.tensor(i + 2 * j + 1)).sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), gradient)
    np.testing.assert_array_equal(y.numpy(), np.take_along_axis(x.reshape(2, 3, 24), places.numpy().reshape(2, 3, -1),
                                                                2).reshape(y.shape))


def test_max_pool_of_nan_and_of_integers() -> None:
    x = np.array([[[1.0, np.nan, 2.0, 3.0, np.inf, -np.inf]]], np.float32)
    np.testing.assert_array_equal(F.max_pool1d(pb.tensor(x), 2).numpy(), [[[np.nan, 3.0, np.inf]]])
    k = np.array([[[3, -7, -2, -9]]], np.int32)
    np.testing.assert_array_equal(F.max_pool1d(pb.tensor(k), 2, padding=1).numpy(), [[[3, -2, -9]]])
