"""What the first pages about TensorFlow 1 do, written anew: they run here as they run there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pullback.tensorflow as tf
import pytest


@pytest.fixture(autouse=True)
def _fresh_graph() -> None:
    tf.reset_default_graph()


# -- getting started: graphs, sessions, feeding ------------------------------------------------------------------------


def test_constants_and_operations() -> None:
    a, b = tf.constant(3.0, dtype=tf.float32), tf.constant(4.0)
    total = a + b
    assert [str(t) for t in (a, b, total)] == [
        'Tensor("Const:0", shape=(), dtype=float32)',
        'Tensor("Const_1:0", shape=(), dtype=float32)',
        'Tensor("add:0", shape=(), dtype=float32)',
    ]
    sess = tf.Session()
    assert sess.run(total) == 7.0 and sess.run({"ab": (a, b), "total": total}) == {"ab": (3.0, 4.0), "total": 7.0}
    vec = tf.random_uniform(shape=(3,))
    out1, out2 = vec + 1, vec + 2
    assert not np.array_equal(sess.run(vec), sess.run(vec))
    first, second = sess.run((out1, out2))
    assert np.allclose(first + 1, second)


def test_placeholders_and_the_rank_of_what_is_fed() -> None:
    x, y = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
    z = x + y
    triple = z * 3.0
    with tf.Session() as sess:
        assert sess.run(z, feed_dict={x: 3, y: 4.5}) == 7.5
        assert sess.run(z, feed_dict={x: [1, 3], y: [2, 4]}).tolist() == [3.0, 7.0]
        assert sess.run(triple, {x: 3, y: 4.5}) == 22.5
        with pytest.raises(tf.errors.InvalidArgumentError, match="You must feed a value"):
            sess.run(z)


def test_data_sets() -> None:
    my_data = [[0, 1], [2, 3], [4, 5], [6, 7]]
    next_item = tf.data.Dataset.from_tensor_slices(my_data).make_one_shot_iterator().get_next()
    seen = []
    with tf.Session() as sess:
        while True:
            try:
                seen.append(sess.run(next_item).tolist())
            except tf.errors.OutOfRangeError:
                break
    assert seen == my_data


def test_a_line_by_layers() -> None:
    tf.set_random_seed(1)
    x = tf.constant([[1], [2], [3], [4]], dtype=tf.float32)
    y_true = tf.constant([[0], [-1], [-2], [-3]], dtype=tf.float32)
    linear_model = tf.layers.Dense(units=1)
    y_pred = linear_model(x)
    loss = tf.losses.mean_squared_error(labels=y_true, predictions=y_pred)
    train = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
    with tf.Session() as sess:
        with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized value dense/kernel"):
            sess.run(y_pred)
        sess.run(tf.global_variables_initializer())
        first = sess.run(loss)
        for _ in range(100):
            _, loss_value = sess.run((train, loss))
        assert loss_value < first
    assert sorted(v.name for v in tf.trainable_variables()) == ["dense/bias:0", "dense/kernel:0"]


def test_variables_are_shared_by_scope_and_saved(tmp_path: Path) -> None:
    def layer(x: Any) -> Any:
        with tf.variable_scope("conv", reuse=tf.AUTO_REUSE):
            w = tf.get_variable("weights", [3, 2], initializer=tf.random_normal_initializer(seed=3))
            b = tf.get_variable("biases", initializer=tf.constant([0.5, -0.5]))
        return tf.nn.relu(tf.matmul(x, w) + b)

    x = tf.placeholder(tf.float32, [None, 3])
    one, two = layer(x), layer(x)
    counter = tf.Variable(0, name="counter", trainable=False)
    count = counter.assign(counter + 1)
    saver = tf.train.Saver()
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        assert len(tf.global_variables()) == 3 and len(tf.trainable_variables()) == 2
        feed = {x: np.ones((4, 3))}
        before, again = sess.run([one, two], feed)
        assert np.array_equal(before, again) and before.shape == (4, 2)
        assert [sess.run(count) for _ in range(3)] == [1, 2, 3]
        path = saver.save(sess, str(tmp_path / "model.ckpt"), global_step=3)
    assert path.endswith("model.ckpt-3") and tf.train.latest_checkpoint(str(tmp_path)) == path
    with tf.Session() as sess:
        saver.restore(sess, path)
        assert sess.run(counter) == 3 and np.array_equal(sess.run(one, feed), before)
        assert tf.train.latest_checkpoint(str(tmp_path / "nowhere")) is None


# -- classifying digits ------------------------------------------------------------------------------------------------


def blobs() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    g = np.random.RandomState(0)
    labels = g.randint(0, 10, 500)
    centres = g.randn(10, 64) * 2
    return (centres[labels] + g.randn(500, 64)).astype(np.float32), np.eye(10, dtype=np.float32)[labels]


def test_softmax_regression() -> None:
    xs, ys = blobs()
    x, y_ = tf.placeholder(tf.float32, [None, 64]), tf.placeholder(tf.float32, [None, 10])
    W, b = tf.Variable(tf.zeros([64, 10])), tf.Variable(tf.zeros([10]))
    y = tf.nn.softmax(tf.matmul(x, W) + b)
    cross_entropy = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y), reduction_indices=[1]))
    train_step = tf.train.GradientDescentOptimizer(0.1).minimize(cross_entropy)
    sess = tf.InteractiveSession()
    tf.global_variables_initializer().run()
    for k in range(100):
        rows = slice(k % 5 * 100, k % 5 * 100 + 100)
        sess.run(train_step, feed_dict={x: xs[rows], y_: ys[rows]})
    correct_prediction = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))
    accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))
    assert sess.run(accuracy, feed_dict={x: xs, y_: ys}) > 0.95 and accuracy.eval({x: xs, y_: ys}) > 0.95
    sess.close()


def test_a_network_of_dense_layers_with_dropout() -> None:
    tf.set_random_seed(0)
    xs, ys = blobs()
    x, labels = tf.placeholder(tf.float32, [None, 64], name="x"), tf.placeholder(tf.int64, [None])
    training = tf.placeholder(tf.bool)
    hidden = tf.layers.dense(x, 32, activation=tf.nn.relu, name="hidden")
    dropped = tf.layers.dropout(hidden, rate=0.2, training=training)
    logits = tf.layers.dense(dropped, 10, name="out")
    loss = tf.losses.sparse_softmax_cross_entropy(labels=labels, logits=logits)
    global_step = tf.train.get_or_create_global_step()
    rate = tf.train.exponential_decay(0.01, global_step, 50, 0.9)
    train = tf.train.AdamOptimizer(rate).minimize(loss, global_step=global_step)
    accuracy = tf.reduce_mean(tf.to_float(tf.nn.in_top_k(logits, labels, 1)))
    feed = {x: xs, labels: ys.argmax(1)}
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for _ in range(60):
            sess.run(train, {**feed, training: True})
        assert sess.run(global_step) == 60
        assert sess.run(accuracy, {**feed, training: False}) > 0.95
        kernel = tf.get_default_graph().get_tensor_by_name("hidden/kernel:0")
        assert sess.run(kernel).shape == (64, 32)


def test_a_convolutional_network() -> None:
    g = np.random.RandomState(0)
    labels = g.randint(0, 2, 64)
    images = g.randn(64, 8, 8, 1).astype(np.float32) * 0.1
    images[labels == 1, :4] += 1.0
    x, y = tf.placeholder(tf.float32, [None, 8, 8, 1]), tf.placeholder(tf.int32, [None])
    pooled = tf.layers.max_pooling2d(tf.layers.conv2d(x, 4, 3, padding="same", activation=tf.nn.relu), 2, 2)
    logits = tf.layers.dense(tf.layers.flatten(pooled), 2)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    train = tf.train.MomentumOptimizer(0.05, 0.9).minimize(loss)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        losses = [sess.run([loss, train], {x: images, y: labels})[0] for _ in range(30)]
    assert losses[-1] < 0.1 * losses[0]


def test_loops_and_gradients_by_hand() -> None:
    i = tf.constant(0)
    r = tf.while_loop(lambda i: tf.less(i, 10), lambda i: tf.add(i, 1), [i])
    x = tf.Variable(2.0)
    clipped = [(tf.clip_by_value(g, -1.0, 1.0), v) for g, v in
               tf.train.GradientDescentOptimizer(0.5).compute_gradients(x**3)]
    apply = tf.train.GradientDescentOptimizer(0.5).apply_gradients(clipped)
    second = tf.gradients(tf.gradients(x**3, x)[0], x)[0]
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        assert sess.run(r) == 10 and sess.run(second) == 12.0
        sess.run(apply)
        assert sess.run(x) == 1.5
        with tf.control_dependencies([tf.assign(x, 7.0)]):
            after = tf.identity(x)
        assert sess.run(after) == 7.0


def test_assignment_in_a_branch() -> None:
    p = tf.placeholder(tf.bool, [])
    best, other = tf.Variable(1.0), tf.Variable(5.0)
    kept = tf.cond(p, lambda: tf.assign(best, best + 10.0), lambda: tf.assign_sub(other, 1.0))
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        assert sess.run(kept, {p: True}) == 11.0 and sess.run([best, other]) == [11.0, 5.0]
        assert sess.run(kept, {p: False}) == 4.0 and sess.run([best, other]) == [11.0, 4.0]
        assert sess.run(kept, {p: True}) == 21.0 and sess.run([best, other]) == [21.0, 4.0]


def test_gradients_through_a_loop_with_a_limit() -> None:
    x = tf.placeholder(tf.float32, [])
    _, power = tf.while_loop(
        lambda i, y: i < 3, lambda i, y: (i + 1, y * x), [tf.constant(0), tf.constant(1.0)], maximum_iterations=10
    )
    gradient = tf.gradients(power, x)[0]
    short = tf.while_loop(lambda i: i < 100, lambda i: i + 1, [tf.constant(0)], maximum_iterations=7)
    with tf.Session() as sess:
        assert sess.run([power, gradient], {x: 2.0}) == [8.0, 12.0]
        assert sess.run(short) == 7


def test_summaries(tmp_path: Path) -> None:
    x = tf.placeholder(tf.float32, [3])
    loss = tf.reduce_sum(x)
    tf.summary.scalar("loss", loss)
    tf.summary.histogram("x", x)
    merged = tf.summary.merge_all()
    with tf.Session() as sess, tf.summary.FileWriter(str(tmp_path), sess.graph) as writer:
        for step in range(3):
            value, summary = sess.run([loss, merged], {x: [1.0, 2.0, step]})
            assert value == 3.0 + step
            writer.add_summary(summary, step)
        writer.flush()
        with pytest.raises(TypeError, match="add_summary"):
            writer.add_summary(3.0)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    assert path.name.startswith("events.out.tfevents.") and data.count(b"loss") == 3 and b"brain.Event:2" in data
