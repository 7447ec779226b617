"""The TensorFlow 1 dialect: graphs, names, sessions, state, control flow, optimisers, wrong calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pullback.jax.numpy as jnp
import pullback.tensorflow as tf
import pytest

from pullback.util.errors import AttributeError_, PullbackError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    tf.reset_default_graph()
    yield
    tf.reset_default_graph()


def run(fetches: Any, feed: Any = None) -> Any:
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feed)


# -- a network ---------------------------------------------------------------------------------------------------------


def two_layers(n: int, d: int, h: int, o: int, rate: float) -> tuple[Any, ...]:
    x, y = tf.placeholder(tf.float32, shape=[n, d]), tf.placeholder(tf.float32, shape=[n, o])
    w1, w2 = tf.Variable(tf.random_normal(shape=[d, h])), tf.Variable(tf.random_normal(shape=[h, o]))
    hidden = tf.maximum(tf.matmul(x, w1), tf.zeros(1))
    loss = tf.reduce_sum(tf.squared_difference(tf.matmul(hidden, w2), y))
    g1, g2 = tf.gradients(loss, [w1, w2])
    return x, y, w1, w2, loss, w1.assign(w1 - rate * g1), w2.assign(w2 - rate * g2)


def test_names_of_a_network() -> None:
    x, y, w1, _, loss, new1, _ = two_layers(64, 100, 1000, 10, 1e-6)
    assert str(loss) == 'Tensor("Sum:0", shape=(), dtype=float32)'
    assert repr(loss) == "<tf.Tensor 'Sum:0' shape=() dtype=float32>"
    assert (x.name, y.name, w1.name) == ("Placeholder:0", "Placeholder_1:0", "Variable:0")
    assert repr(w1) == "<tf.Variable 'Variable:0' shape=(100, 1000) dtype=float32_ref>"
    assert {op.type for op in tf.get_default_graph().get_operations()} >= {
        "MatMul",
        "Maximum",
        "zeros",
        "SquaredDifference",
        "Sum",
    }
    assert tf.get_default_graph().get_tensor_by_name("MatMul_1:0").shape.as_list() == [64, 10]
    assert new1.shape.as_list() == [100, 1000]


def test_training_by_assignment_lands_in_its_band() -> None:
    tf.set_random_seed(0)
    x, y, _, _, loss, new1, new2 = two_layers(64, 100, 1000, 10, 1e-6)
    feed = {x: RNG.normal(size=(64, 100)), y: RNG.normal(size=(64, 10))}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        losses = [session.run([loss, new1, new2], feed_dict=feed)[0] for _ in range(500)]
        assert len(session.plans) == 2  # the initialiser, and one program for all steps
    assert losses[0] > 1e6 and losses[-1] < 0.05
    assert type(losses[0]) is np.float32


def test_the_same_steps_as_numpy() -> None:
    n, d, h, o = 8, 5, 7, 3
    x, y, w1, w2, loss, new1, new2 = two_layers(n, d, h, o, 1e-2)
    xs, ys = (RNG.normal(size=s).astype(np.float32) for s in ((n, d), (n, o)))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        a, b = session.run([w1, w2])
        for _ in range(5):
            hidden = np.maximum(xs @ a, 0)
            difference = hidden @ b - ys
            want = (difference**2).sum()
            gb = hidden.T @ (2 * difference)
            ga = xs.T @ ((2 * difference) @ b.T * (xs @ a > 0))
            a, b = a - 1e-2 * ga, b - 1e-2 * gb
            found, fa, fb = session.run([loss, new1, new2], {x: xs, y: ys})
            np.testing.assert_allclose([found], [want], rtol=1e-4)
            np.testing.assert_allclose(fa, a, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(fb, b, rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(session.run(w1), fa)


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_fetches_keep_their_structure() -> None:
    a, b = tf.constant(3.0), tf.constant([1, 2])
    c = a + 4.0
    found = run({"pair": (a, [b]), "sum": c})
    assert found["pair"][0] == 3.0 and found["pair"][1][0].tolist() == [1, 2] and found["sum"] == 7.0
    assert run("Const:0") == 3.0
    assert run(c.op) is None
    assert run([c, c]) == [7.0, 7.0]


def test_feeds_are_cast_and_may_replace_any_tensor() -> None:
    x = tf.placeholder(tf.float32)
    y = x * 2.0
    z = y + 1.0
    assert run(z, {x: 3}) == 7.0 and run(z, {x: [1, 2]}).tolist() == [3.0, 5.0]
    assert run(z, {y: np.float64(10)}) == 11.0
    assert run(x, {x: np.arange(3.0)}).dtype == np.float32
    assert run(z, {x: jnp.ones(2)}).tolist() == [3.0, 3.0]
    default = tf.placeholder_with_default(5.0, [])
    assert run(default) == 5.0 and run(default, {default: 6}) == 6.0


def test_random_numbers_differ_from_run_to_run_and_agree_within_one() -> None:
    v = tf.random_uniform([3])
    one, two = v + 1.0, v + 2.0
    with tf.Session() as session:
        first, second = session.run(v), session.run(v)
        assert not np.array_equal(first, second) and ((first >= 0) & (first < 1)).all()
        a, b = session.run((one, two))
        np.testing.assert_allclose(b - a, 1.0, rtol=1e-6)


def test_seeds() -> None:
    tf.set_random_seed(7)
    u, n = tf.random_uniform([4]), tf.random_normal([4], seed=3)
    found = []
    for _ in range(2):
        with tf.Session() as session:
            found.append([*session.run([u, n]), *session.run([u, n])])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(found[0][0], found[0][2])
    sample = run(tf.random_normal([20000], mean=2.0, stddev=3.0, seed=1))
    assert abs(sample.mean() - 2) < 0.1 and abs(sample.std() - 3) < 0.1


def test_variables_persist_and_reads_come_before_assignments() -> None:
    v = tf.Variable(1.0)
    add = v.assign_add(1.0)
    with tf.Session() as session:
        session.run(v.initializer)
        assert session.run([v, add, v]) == [1.0, 2.0, 1.0]
        u = tf.Variable(7.0)
        session.run(u.initializer)
        session.run([u.assign(v), v.assign(u)])  # both read what was there before
        assert session.run([u, v]) == [2.0, 7.0]
        session.run(v.assign(2.0))
        assert session.run(v) == 2.0 == v.eval()
        with tf.control_dependencies([add]):
            after = tf.identity(v)
        assert session.run(after) == 3.0
        session.run(tf.assign_sub(v, 2.5))
        v.load(9.0)
        assert v.eval() == 9.0
    with tf.Session() as other, pytest.raises(tf.errors.FailedPreconditionError):
        other.run(v)


def test_default_session_and_graphs() -> None:
    session = tf.InteractiveSession()
    assert tf.constant(2.0).eval() == 2.0
    session.close()
    other = tf.Graph()
    with other.as_default():
        c = tf.constant(5)
    assert c.graph is other and tf.get_default_graph() is not other
    assert tf.Session(graph=other).run(c) == 5


def test_initialisers_that_read_other_variables() -> None:
    a = tf.Variable(tf.random_normal([2]))
    b = tf.Variable(a.initialized_value() * 2.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        x, y = session.run([a, b])
        np.testing.assert_allclose(y, 2 * x)


# -- names and scopes --------------------------------------------------------------------------------------------------


def test_scopes_and_sharing() -> None:
    with tf.name_scope("part"):
        assert tf.constant(1.0).name == "part/Const:0"
    with tf.name_scope("part"):
        assert tf.constant(1.0).name == "part_1/Const:0"
    with tf.variable_scope("layer"):
        w = tf.get_variable("w", [2, 3])
    assert w.name == "layer/w:0"
    with tf.variable_scope("layer", reuse=True):
        assert tf.get_variable("w") is w
    with tf.variable_scope("layer", reuse=tf.AUTO_REUSE):
        assert tf.get_variable("w", [2, 3]) is w
    with pytest.raises(ValueError, match="already exists"), tf.variable_scope("layer"):
        tf.get_variable("w", [2, 3])
    with pytest.raises(ValueError, match="does not exist"), tf.variable_scope("layer", reuse=True):
        tf.get_variable("v", [2, 3])
    bound = (6 / 5) ** 0.5
    assert (np.abs(run(w)) <= bound).all()
    assert tf.global_variables() == [w] == tf.trainable_variables()


def test_unknown_sizes() -> None:
    x = tf.placeholder(tf.float32, [None, 4])
    y = tf.matmul(x, tf.zeros([4, 2]))
    assert str(y) == 'Tensor("MatMul:0", shape=(?, 2), dtype=float32)'
    assert str(tf.placeholder(tf.int32)) == 'Tensor("Placeholder_1:0", shape=<unknown>, dtype=int32)'
    flat = tf.reshape(x, [-1, 2])
    assert flat.shape.as_list() == [None, 2]
    half = tf.reshape(x, [tf.shape(x)[0] // 2, 8])
    assert run(half, {x: np.ones((4, 4))}).shape == (2, 8)
    assert run([tf.shape(x), tf.size(x), tf.rank(x)], {x: np.ones((3, 4))})[0].tolist() == [3, 4]
    assert run(tf.reduce_mean(x, 0), {x: np.ones((3, 4))}).tolist() == [1.0] * 4
    assert tf.TensorShape([None, 3]).is_compatible_with([5, 3]) and str(tf.TensorShape([None, 3])) == "(?, 3)"


#: operations against NumPy: name, TensorFlow, NumPy
SAME: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = [
    ("square", lambda x: tf.square(x), np.square),
    ("operators", lambda x: 2.0 * x - x / 4.0 + 1.0 - (-x) ** 2.0, lambda x: 2 * x - x / 4 + 1 - (-x) ** 2),
    ("sum", lambda x: tf.reduce_sum(x, axis=1, keepdims=True), lambda x: x.sum(1, keepdims=True)),
    ("mean", lambda x: tf.reduce_mean(x, [0]), lambda x: x.mean(0)),
    ("max", lambda x: tf.reduce_max(x), np.max),
    ("argmax", lambda x: tf.argmax(x, 1), lambda x: x.argmax(1)),
    ("cast", lambda x: tf.cast(x > 0.0, tf.int32), lambda x: (x > 0).astype(int)),
    ("transpose", lambda x: tf.transpose(x), np.transpose),
    ("matmul", lambda x: tf.matmul(x, x, transpose_b=True), lambda x: x @ x.T),
    ("concat", lambda x: tf.concat([x, x], 1), lambda x: np.concatenate([x, x], 1)),
    ("stack", lambda x: tf.stack([x, x]), lambda x: np.stack([x, x])),
    ("split", lambda x: tf.split(x, 2, axis=1)[1], lambda x: x[:, 2:]),
    ("slice", lambda x: tf.slice(x, [1, 0], [-1, 2]), lambda x: x[1:, :2]),
    ("index", lambda x: x[1:, ::2], lambda x: x[1:, ::2]),
    ("gather", lambda x: tf.gather(x, [2, 0]), lambda x: x[[2, 0]]),
    ("one_hot", lambda x: tf.one_hot([1, 0], 3), lambda x: np.eye(3)[[1, 0]]),
    ("clip", lambda x: tf.clip_by_value(x, -0.5, 0.5), lambda x: x.clip(-0.5, 0.5)),
    ("where", lambda x: tf.where(x > 0.0, x, -x), np.abs),
    ("tile", lambda x: tf.tile(x, [1, 2]), lambda x: np.tile(x, (1, 2))),
    ("softmax", lambda x: tf.nn.softmax(x), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    ("sigmoid", lambda x: tf.sigmoid(x), lambda x: 1 / (1 + np.exp(-x))),
    ("relu", lambda x: tf.nn.relu(x), lambda x: np.maximum(x, 0)),
    ("norm", lambda x: tf.norm(x), np.linalg.norm),
    ("l2", lambda x: tf.nn.l2_loss(x), lambda x: (x * x).sum() / 2),
    ("range", lambda x: tf.range(2, 10, 3), lambda x: np.arange(2, 10, 3)),
    ("fill", lambda x: tf.fill([2, 2], 1.5), lambda x: np.full((2, 2), 1.5)),
    ("pad", lambda x: tf.pad(x, [[1, 0], [0, 2]]), lambda x: np.pad(x, [(1, 0), (0, 2)])),
    ("expand", lambda x: tf.expand_dims(x, 1), lambda x: x[:, None]),
    ("einsum", lambda x: tf.einsum("ij,kj->ik", x, x), lambda x: x @ x.T),
    ("cumsum", lambda x: tf.cumsum(x, 1), lambda x: x.cumsum(1)),
    ("unstack", lambda x: tf.unstack(x, axis=1)[1], lambda x: x[:, 1]),
    ("add_n", lambda x: tf.add_n([x, x, x]), lambda x: 3 * x),
    ("moments", lambda x: tf.nn.moments(x, [0])[1], lambda x: x.var(0)),
    ("top_k", lambda x: tf.nn.top_k(x, 2)[0], lambda x: -np.sort(-x, 1)[:, :2]),
]


@pytest.mark.parametrize("row", SAME, ids=[name for name, _, _ in SAME])
def test_operations(row: Any) -> None:
    _, ours, numpy = row
    data = RNG.normal(size=(3, 4)).astype(np.float32)
    x = tf.placeholder(tf.float32, [None, 4])
    found = run(ours(x), {x: data})
    np.testing.assert_allclose(found, numpy(data), rtol=1e-5, atol=1e-6)


def test_images() -> None:
    x = RNG.normal(size=(2, 5, 5, 3)).astype(np.float32)
    w = RNG.normal(size=(3, 3, 3, 4)).astype(np.float32)
    same = run(tf.nn.conv2d(x, w, strides=[1, 1, 1, 1], padding="SAME"))
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    np.testing.assert_allclose(same, np.einsum("bijcpq,pqco->bijo", windows, w), rtol=1e-4, atol=1e-4)
    assert run(tf.nn.conv2d(x, w, strides=[1, 2, 2, 1], padding="VALID")).shape == (2, 2, 2, 4)
    pooled = run(tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME"))
    assert pooled.shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(pooled[:, 2, 2], x[:, 4, 4])
    mean = run(tf.nn.avg_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME"))
    np.testing.assert_allclose(mean[:, 2, 2], x[:, 4, 4], rtol=1e-5)


# -- control flow and gradients ----------------------------------------------------------------------------------------


def test_scan() -> None:
    x = tf.placeholder(tf.float32, [None])
    feed = {x: [1.0, 2.0, 3.0, 4.0]}
    assert run(tf.scan(lambda a, v: a + v, x), feed).tolist() == [1.0, 3.0, 6.0, 10.0]
    assert run(tf.scan(lambda a, v: a * v, x, initializer=2.0), feed).tolist() == [2.0, 4.0, 12.0, 48.0]
    assert run(tf.scan(lambda a, v: a + v, x, reverse=True), feed).tolist() == [10.0, 9.0, 7.0, 4.0]
    pairs = tf.scan(lambda a, v: (a[1], a[0] + v), x, initializer=(1.0, 1.0))
    assert [p.tolist() for p in run(pairs, feed)] == [[1.0, 2.0, 3.0, 5.0], [2.0, 3.0, 5.0, 7.0]]
    scale = tf.Variable(3.0)
    assert run(tf.scan(lambda a, v: a + scale * v, x, 0.0), feed).tolist() == [3.0, 9.0, 18.0, 30.0]
    gradient = tf.gradients(tf.scan(lambda a, v: a * v, x, 1.0)[-1], x)[0]
    assert run(gradient, {x: [1.0, 2.0, 3.0]}).tolist() == [6.0, 3.0, 2.0]
    rows = tf.scan(lambda a, v: tf.tanh(tf.matmul(a, tf.ones([2, 2])) + v), tf.ones([5, 3, 2]), tf.zeros([3, 2]))
    assert rows.shape.as_list() == [5, 3, 2]


def test_loops_and_decisions() -> None:
    x = tf.placeholder(tf.float32, [None])
    feed = {x: [1.0, 2.0, 3.0]}
    assert run(tf.map_fn(lambda v: v * v, x), feed).tolist() == [1.0, 4.0, 9.0]
    assert (
        run(tf.foldl(lambda a, v: a * 10 + v, x), feed) == 123.0
        and run(tf.foldr(lambda a, v: a * 10 + v, x), feed) == 321.0
    )
    i, total = tf.while_loop(lambda i, a: i < 10, lambda i, a: (i + 1, a * 2.0), [tf.constant(0), tf.constant(1.0)])
    assert run([i, total]) == [10, 1024.0]
    limit = tf.Variable(100.0)
    assert run(tf.while_loop(lambda a: a < limit, lambda a: a * 3.0, [2.0])) == 162.0
    choice = tf.placeholder(tf.bool, [])
    picked = tf.cond(choice, lambda: tf.reduce_sum(x), lambda: tf.reduce_max(x) * limit)
    assert [run(picked, {**feed, choice: c}) for c in (True, False)] == [6.0, 300.0]
    gradient = tf.gradients(tf.cond(choice, lambda: x * 2.0, lambda: x * 3.0), x)[0]
    assert run(gradient, {**feed, choice: False}).tolist() == [3.0] * 3
    assert run(tf.case([(tf.constant(False), lambda: tf.constant(1.0))], lambda: tf.constant(2.0))) == 2.0


def test_gradients() -> None:
    x = tf.placeholder(tf.float32, [2])
    y = x**3
    first = tf.gradients(y, x)[0]
    second = tf.gradients(first, x)[0]
    assert [v.tolist() for v in run([first, second], {x: [1.0, 2.0]})] == [[3.0, 12.0], [6.0, 12.0]]
    assert tf.gradients(y, tf.constant(1.0)) == [None]
    assert run(tf.gradients(tf.stop_gradient(x) * x, x)[0], {x: [1.0, 2.0]}).tolist() == [1.0, 2.0]
    assert run(tf.gradients(y, x, grad_ys=tf.constant([1.0, 10.0]))[0], {x: [1.0, 2.0]}).tolist() == [3.0, 120.0]
    middle = x * 2.0
    assert run(tf.gradients(tf.reduce_sum(middle * middle), middle)[0], {x: [1.0, 2.0]}).tolist() == [4.0, 8.0]
    kept, slope = (lambda d: (d, tf.gradients(d, x)[0]))(tf.nn.dropout(x, 0.5))
    a, b = run([kept, slope], {x: [1.0, 1.0]})
    np.testing.assert_array_equal(a, b)  # the gradient sees the same numbers


# -- training ----------------------------------------------------------------------------------------------------------

OPTIMISERS: list[tuple[Callable[[Any], Any], float]] = [
    (lambda r: tf.train.GradientDescentOptimizer(r), 0.9),
    (lambda r: tf.train.MomentumOptimizer(r, 0.9), 0.4),
    (lambda r: tf.train.AdamOptimizer(r), 0.1),
    (lambda r: tf.train.RMSPropOptimizer(r), 0.5),
    (lambda r: tf.train.AdagradOptimizer(r), 0.7),
    (lambda r: tf.train.AdadeltaOptimizer(1.0), 1.0),
]


@pytest.mark.parametrize("number", range(len(OPTIMISERS)))
def test_optimisers(number: int) -> None:
    make, bound = OPTIMISERS[number]
    tf.set_random_seed(1)
    x, y = tf.placeholder(tf.float32, [None, 8]), tf.placeholder(tf.int64, [None])
    hidden = tf.layers.dense(x, 32, activation=tf.nn.relu)
    logits = tf.layers.dense(hidden, 3)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    count = tf.train.get_or_create_global_step()
    train = make(tf.train.exponential_decay(0.05, count, 10, 0.95)).minimize(loss, global_step=count)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(100, 8))
    feed = {x: data, y: (data[:, 0] > 0) + (data[:, 1] > 0) * 1}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = session.run(loss, feed)
        for _ in range(60):
            assert session.run(train, feed) is None
        after, steps = session.run([loss, count], feed)
        assert after < bound * before and steps == 60
        assert session.run(loss, {x: data[:7], y: feed[y][:7]}) > 0  # another batch size
    assert [v.name for v in tf.trainable_variables()] == [
        "dense/kernel:0",
        "dense/bias:0",
        "dense_1/kernel:0",
        "dense_1/bias:0",
    ]


def reference(name: str, w: float, steps: int) -> float:
    """TensorFlow's rules on the loss w * w, rate 0.1."""
    m = v = move = 0.0
    square, total = 1.0, 0.1
    for t in range(1, steps + 1):
        g = 2 * w
        if name == "Adam":
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w -= 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 0.1)
        elif name == "RMSProp":
            square = 0.9 * square + 0.1 * g * g
            move = 0.5 * move + 0.1 * g / np.sqrt(square + 1e-10)
            w -= move
        elif name == "Adagrad":
            total += g * g
            w -= 0.1 * g / np.sqrt(total)
        else:
            move = 0.9 * move + g
            w -= 0.1 * (g + 0.9 * move if name == "Nesterov" else move)
    return w


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("Adam", lambda: tf.train.AdamOptimizer(0.1, epsilon=0.1)),
        ("RMSProp", lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.5)),
        ("Adagrad", lambda: tf.train.AdagradOptimizer(0.1)),
        ("Momentum", lambda: tf.train.MomentumOptimizer(0.1, 0.9)),
        ("Nesterov", lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True)),
    ],
)
def test_update_rules(name: str, make: Callable[[], Any]) -> None:
    w = tf.Variable(1.5)
    train = make().minimize(w * w)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(7):
            session.run(train)
        assert session.run(w) == pytest.approx(reference(name, 1.5, 7), rel=1e-4)


def test_layers_data_and_losses() -> None:
    x = tf.constant([[1], [2], [3], [4]], dtype=tf.float32)
    target = tf.constant([[0], [-1], [-2], [-3]], dtype=tf.float32)
    layer = tf.layers.Dense(units=1)
    loss = tf.losses.mean_squared_error(labels=target, predictions=layer(x))
    again = layer(x)
    train = tf.train.GradientDescentOptimizer(0.05).minimize(loss)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(300):
            _, value = session.run((train, loss))
        assert value < 0.01 and session.run(again).shape == (4, 1)
    assert len(tf.trainable_variables()) == 2
    items = tf.data.Dataset.from_tensor_slices((np.arange(5), np.arange(5.0) * 2)).batch(2)
    a, b = items.make_one_shot_iterator().get_next()
    found = []
    with tf.Session() as session, pytest.raises(tf.errors.OutOfRangeError):
        while True:
            found.append(session.run([a, b]))
    assert [f[0].tolist() for f in found] == [[0, 1], [2, 3], [4]] and found[2][1].tolist() == [8.0]
    shuffled = (
        tf.data.Dataset.from_tensor_slices(np.arange(10))
        .shuffle(10, seed=0)
        .repeat(2)
        .make_one_shot_iterator()
        .get_next()
    )
    with tf.Session() as session:
        drawn = [int(session.run(shuffled)) for _ in range(20)]
    assert sorted(drawn[:10]) == list(range(10)) and drawn[:10] != list(range(10))


def test_saver(tmp_path: Path) -> None:
    v = tf.Variable([1.0, 2.0], name="v")
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(v.assign([5.0, 6.0]))
        path = saver.save(session, str(tmp_path / "model"))
    with tf.Session() as session:
        saver.restore(session, path)
        assert session.run(v).tolist() == [5.0, 6.0]


# -- wrong calls -------------------------------------------------------------------------------------------------------


def network() -> tuple[Any, Any, Any]:
    x = tf.placeholder(tf.float32, [64, 100])
    w = tf.Variable(tf.zeros([100, 2]))
    return x, w, tf.matmul(x, w)


def fed(shape: tuple[int, ...], initialise: bool = True) -> Any:
    x, _, y = network()
    with tf.Session() as session:
        if initialise:
            session.run(tf.global_variables_initializer())
        return session.run(y, {x: np.zeros(shape)})


WRONG: list[tuple[Callable[[], Any], Any, str]] = [
    (
        lambda: run(network()[2]),
        tf.errors.InvalidArgumentError,
        r"You must feed a value for placeholder tensor 'Placeholder' with dtype float and shape \[64,100\]",
    ),
    (
        lambda: fed((64, 101)),
        ValueError,
        r"Cannot feed value of shape \(64, 101\) for Tensor 'Placeholder:0', which has shape '\(64, 100\)'",
    ),
    (
        lambda: fed((64, 100), False),
        tf.errors.FailedPreconditionError,
        "Attempting to use uninitialized value Variable",
    ),
    (lambda: tf.matmul(tf.zeros([2, 3]), tf.zeros([2, 3])), ValueError, "contracted dimensions"),
    (lambda: tf.zeros([2]) + tf.zeros([3]), ValueError, "broadcast"),
    (lambda: bool(tf.constant(True)), TypeError, "as a Python `bool` is not allowed"),
    (lambda: list(tf.zeros([2])), TypeError, "not iterable"),
    (lambda: np.asarray(tf.zeros([2])), TypeError, "until a session runs it"),
    (lambda: tf.constant(1) + tf.constant(1.0), TypeError, "does not match type int32"),
    (lambda: tf.constant(1) * 1.5, TypeError, "Expected int32"),
    (lambda: tf.constant("a" * 3 and object()), TypeError, "Failed to convert"),
    (lambda: run(3), TypeError, "Fetch argument 3 has invalid type"),
    (lambda: run("Nothing:0"), ValueError, "not in the graph"),
    (lambda: tf.Session(graph=tf.Graph()).run(tf.constant(1)), ValueError, "not an element of this graph"),
    (lambda: tf.constant(1.0).eval(), ValueError, "No default session"),
    (lambda: tf.cond(tf.constant(True), 1, 2), TypeError, "must be callable"),
    (lambda: tf.while_loop(lambda a, b: a < 3, lambda a, b: a, [1, 2]), TypeError, "as many values"),
    (lambda: tf.Variable(1.0).assign(tf.zeros([2])), ValueError, "variable's shape"),
    (lambda: tf.train.AdamOptimizer().minimize(tf.constant(1.0)), ValueError, "No variables to optimize"),
    (
        lambda: tf.train.AdamOptimizer().minimize(tf.constant(1.0), var_list=[tf.Variable(1.0)]),
        ValueError,
        "No gradients provided",
    ),
    (lambda: tf.losses.mean_squared_error(tf.zeros([3]), tf.zeros([3, 1])), ValueError, "one shape"),
    (lambda: tf.nn.softmax_cross_entropy_with_logits(1, 2), ValueError, "named arguments"),
    (lambda: tf.layers.dense(tf.placeholder(tf.float32, [None, None]), 3), ValueError, "should be defined"),
    (lambda: tf.unstack(tf.placeholder(tf.float32, [None, 2])), ValueError, "Cannot infer num"),
    (lambda: tf.reduce_summ, AttributeError_, "reduce_sum"),
    (lambda: tf.nn.rellu, AttributeError_, "relu"),
    (
        lambda: run(tf.map_fn(lambda x: tf.Variable(1.0).assign(2.0) * x, tf.zeros(3))),
        tf.errors.UnimplementedError,
        "assignment inside",
    ),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_calls(number: int) -> None:
    call, kind, text = WRONG[number]
    with pytest.raises(kind, match=text) as caught:
        call()
    assert isinstance(caught.value, PullbackError)


def test_errors_know_their_operation() -> None:
    with pytest.raises(tf.errors.OpError) as caught:
        run(network()[2])
    assert caught.value.op.name == "Placeholder" and "Placeholder" in caught.value.message


def test_closed_sessions_and_gpus() -> None:
    session = tf.Session()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(tf.constant(1))
    assert tf.test.is_gpu_available() is False and tf.test.gpu_device_name() == "" and tf.compat.v1 is tf
