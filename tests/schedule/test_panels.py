"""Constant operands of products in a loop are laid out once before it."""

import numpy as np
import pytest

import pullback as pb


def kernels(function, *arguments):
    return pb.show(function, "schedule")(*arguments)


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(s) / np.sqrt(s[-1])).astype(np.float32) for s in shapes]


@pytest.mark.parametrize("transposed", [False, True])
def test_products_with_a_constant_give_what_numpy_gives(transposed):
    h, x, w = arrays((6, 160), (9, 6, 160), (160, 160))

    def run(h, x, w):
        matrix = w.T if transposed else w
        return pb.scan(lambda c, p: ((y := pb.tanh(p + c @ matrix)), y), h, x)[1]

    found = run(pb.tensor(h), pb.tensor(x), pb.tensor(w)).numpy()
    state = h
    for t in range(9):
        state = np.tanh(x[t] + state @ (w.T if transposed else w))
        np.testing.assert_allclose(found[t], state, rtol=1e-4, atol=1e-5)
    assert "float32[5, 160, 32]" in pb.show(run, "loops")(pb.tensor(h), pb.tensor(x), pb.tensor(w))


@pytest.mark.parametrize(("rows", "columns", "turns", "wanted"), [
    (6, 160, 9, True), (6, 176, 9, True), (65, 160, 9, False), (1, 160, 9, False), (6, 168, 9, False),
    (6, 160, 7, False), (6, 32, 9, False)])
def test_panels_are_made_only_where_they_are_worth_it(rows, columns, turns, wanted):
    h, w = (pb.tensor(a) for a in arrays((rows, columns), (columns, columns)))

    def run(h, w):
        return pb.scan(lambda c, _: ((y := pb.tanh(c @ w)), y), h, None, turns)[1]

    width = 32 if columns % 32 == 0 else 16
    assert (f", {width}] workspace" in pb.show(run, "loops")(h, w)) == wanted


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(("rows", "width"), [(4, 128), (32, 288)])  # the latter on a matrix unit, if any
def test_a_recurrent_layer_and_its_gradients_agree_with_float64(kind, rows, width):
    def gradients(dtype):
        pb.manual_seed(0)
        layer = getattr(pb.nn, kind)(16, width)
        for p in layer.parameters():
            p.data = p.data.astype(dtype)
        x = pb.tensor(arrays((10, rows, 16))[0].astype(dtype), requires_grad=True)
        out, _ = layer(x)
        (out * out).sum().backward()
        return [out.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in layer.parameters())]

    for single, double in zip(gradients(np.float32), gradients(np.float64), strict=True):
        assert double.dtype == np.float64
        np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-5 * np.abs(double).max())
