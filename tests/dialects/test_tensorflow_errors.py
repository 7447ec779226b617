"""Wrong calls of the tensorflow dialect: each raises the exception that TensorFlow's version 1 interface (2.21,
`tf.compat.v1`) raises for it, with a message of the library's."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pullback.tensorflow as tf
import pytest

from pullback.util.errors import PullbackError

tf_errors: Any = tf.errors


def run(fetches: Any, feeds: Any = None) -> Any:
    with tf.Session() as session:
        return session.run(fetches, feeds)


def other_graph() -> Any:
    with tf.Graph().as_default():
        return tf.constant(1.0)


def reuse_missing() -> Any:
    with tf.variable_scope("nowhere", reuse=True):
        return tf.get_variable("q", [2])


def closed(v: Any) -> Any:
    session = tf.Session()
    session.close()
    return session.run(v)


def finalized() -> Any:
    with tf.Graph().as_default() as graph:
        graph.finalize()
        return tf.constant(1.0)


def with_control_of_number() -> Any:
    with tf.control_dependencies([3]):
        return tf.constant(1)


def bad_name() -> Any:
    with tf.name_scope("bad name!"):
        return tf.constant(1)


def nested_reset() -> None:
    with tf.Graph().as_default():
        tf.reset_default_graph()


def run_on_gpu() -> Any:
    with tf.Graph().as_default():
        with tf.device("/gpu:0"):
            c = tf.constant(1.0) + 1.0
        return run(c)


def exhausted() -> Any:
    row = tf.data.Dataset.from_tensor_slices(np.ones(1)).make_one_shot_iterator().get_next()
    with tf.Session() as session:
        session.run(row)
        return session.run(row)


HELPERS = (
    run,
    other_graph,
    reuse_missing,
    closed,
    finalized,
    with_control_of_number,
    bad_name,
    nested_reset,
    run_on_gpu,
    exhausted,
)

#: a line, the exception of TensorFlow, and what the message begins with
WRONG = [
    ("tf.nn.conv2d(tf.zeros((4,4)), tf.zeros((2,2,1,1)), [1,1,1,1], 'SAME')", "ValueError", "conv2d"),
    ("tf.assign(3, 4)", "AttributeError", "assign"),
    (
        "tf.losses.sparse_softmax_cross_entropy(tf.zeros((2,), tf.int32), tf.zeros((3,4)))",
        "ValueError",
        "sparse_softmax_cross_entropy_with_logits",
    ),
    (
        "tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.zeros((2,), tf.int32), logits=tf.zeros((3,4)))",
        "ValueError",
        "sparse_softmax_cross_entropy_with_logits",
    ),
    ("run(x)", "errors.InvalidArgumentError", "You must feed a value for placeholder te"),
    ("run(x + 1)", "errors.InvalidArgumentError", "You must feed a value for placeholder te"),
    ("run(x, {x: np.ones((3,3))})", "ValueError", "Cannot feed value of shape (3, 3) for Te"),
    ("run(x, {x: 'a'})", "ValueError", "Cannot feed value for Tensor 'x:0': not"),
    ("run(x, {x: None})", "ValueError", "Cannot feed value of shape () for Tensor"),
    ("run(x, {x: tf.zeros((2,3))})", "TypeError", "The value of a feed cannot be a tf.Tenso"),
    ("run(x, {'nope:0': 1})", "TypeError", "Cannot interpret feed_dict key as Tensor"),
    ("run(x, {3: 1})", "TypeError", "Cannot interpret feed_dict key as Tensor"),
    ("run(x, {v: np.ones((5,))})", "ValueError", "You must feed a value for placeholder te"),
    ("run(v)", "errors.FailedPreconditionError", "Attempting to use uninitialized value v"),
    ("run(v + 1)", "errors.FailedPreconditionError", "Attempting to use uninitialized value v"),
    ("run(v.assign_add([1.,1.,1.]))", "errors.FailedPreconditionError", "Attempting to use uninitialized value v"),
    (
        "run(tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(v)))",
        "errors.FailedPreconditionError",
        "Attempting to use uninitialized value v",
    ),
    ("run(3)", "TypeError", "Fetch argument 3 has invalid type int"),
    ("run(None)", "TypeError", "Fetch argument None has invalid type Non"),
    ("run('nope:0')", "ValueError", "Argument `fetch` = nope:0 cannot be inte"),
    ("run('nope')", "ValueError", "Argument `fetch` = nope cannot be interp"),
    ("run([x, 3])", "TypeError", "Fetch argument 3 has invalid type int"),
    ("run({'a': object()})", "TypeError", "Fetch argument"),
    ("run(other_graph())", "ValueError", 'Tensor Tensor("Const:0", shape=(), dtype'),
    ("v.assign(other_graph())", "ValueError", "Assign: the value must have the variable"),
    ("tf.add(x, other_graph())", "ValueError", 'Tensor("Const:0", shape=(), dtype=float3'),
    ("tf.matmul(tf.zeros((2,3)), tf.zeros((2,3)))", "ValueError", "matmul: contracted dimensions must have"),
    ("tf.matmul(tf.zeros((2,3)), tf.zeros((3,)))", "ValueError", "MatMul: shape must be rank 2 but is rank"),
    ("tf.zeros((2,3)) + tf.zeros((4,))", "ValueError", "add: shapes cannot be broadcast together"),
    ("tf.zeros((2,3)) + 'a'", "TypeError", "Failed to convert object to Tensor"),
    ("tf.zeros((2,3)) + None", "ValueError", "None values not supported."),
    ("tf.zeros(3) + tf.zeros(3, tf.int32)", "TypeError", "Input 'y' of 'add' Op has type int32 tha"),
    ("tf.zeros(3) + tf.constant(1)", "TypeError", "Input 'y' of 'add' Op has type int32 tha"),
    ("tf.constant(1) + 1.5", "TypeError", "Expected int32, got 1.5 of type 'float'"),
    ("tf.add(1, 1.5)", "TypeError", "Expected int32, got 1.5 of type 'float'"),
    ("tf.constant('a') + 1 if False else tf.constant([1, 'a'])", "TypeError", "Failed to convert object to Tensor"),
    ("tf.constant([[1,2],[3]])", "ValueError", "Failed to convert object to Tensor"),
    ("tf.constant(None)", "ValueError", "None values not supported."),
    ("tf.constant(1.5, dtype=tf.int32)", "TypeError", "Expected int32, got 1.5 of type 'float'"),
    ("tf.constant([1,2,3], shape=(2,))", "ValueError", "constant: too many or too few elements f"),
    ("tf.constant(object())", "TypeError", "Failed to convert object to Tensor"),
    ("tf.reshape(tf.zeros(6), (4,))", "ValueError", "reshape: 6 elements do not fit (4,)"),
    ("tf.reshape(tf.zeros(6), (4,-1))", "ValueError", "reshape: 6 elements do not fit (4, -1)"),
    ("tf.concat([tf.zeros((2,3)), tf.zeros((3,4))], 0)", "ValueError", "concat: shapes must be equal but for dim"),
    ("tf.stack([tf.zeros(2), tf.zeros(3)])", "ValueError", "stack: all shapes must be equal"),
    ("tf.split(tf.zeros(5), 2)", "ValueError", "split: dimension size must be evenly div"),
    ("tf.transpose(tf.zeros((2,3)), [0])", "ValueError", "permute_dims: 1 axes for 2 dimensions"),
    ("tf.expand_dims(tf.zeros(2), 5)", "ValueError", "expand_dims: axis 5 is out of range for"),
    ("tf.squeeze(tf.zeros((2,3)), [0])", "ValueError", "squeeze: dimension 0 has size 2, not 1"),
    ("tf.reduce_sum(tf.zeros((2,3)), 4)", "ValueError", "sum: axis 4 is out of range for 2 dimens"),
    ("tf.argmax(tf.zeros((2,3)), 4)", "ValueError", "argmax: axis 4 is out of range for 2 dim"),
    ("tf.gather(tf.zeros(3), 0.5)", "TypeError", "take: indices must be integers"),
    ("run(tf.gather(tf.zeros(3), 7))", "errors.InvalidArgumentError", "take: index 7 is out of range for size 3"),
    ("tf.zeros(3)[5]", "ValueError", "index 5 is out of range for dimension 0"),
    ("tf.zeros(3)['a']", "TypeError", "index: not an index"),
    ("tf.zeros(3)[1.5]", "TypeError", "index: not an index"),
    ("tf.zeros(3)[0,0]", "ValueError", "index: 2 indices for 1 dimensions"),
    ("tf.zeros((2,3))[:, :, :]", "ValueError", "index: 3 indices for 2 dimensions"),
    ("tf.placeholder('foo')", "TypeError", "Cannot convert value 'foo' to a TensorFl"),
    ("tf.placeholder(tf.float32, 'a')", "TypeError", "Dimension value must be integer or None"),
    ("tf.placeholder(tf.float32, [1.5])", "TypeError", "Dimension value must be integer or None"),
    ("tf.Variable()", "ValueError", "initial_value must be specified."),
    ("tf.Variable(None)", "ValueError", "initial_value must be specified."),
    (
        "tf.Variable('a') if False else tf.Variable(tf.placeholder(tf.float32)) ",
        "ValueError",
        "initial_value must have a shape specifie",
    ),
    ("tf.get_variable('noshape')", "ValueError", "Shape of a new variable (noshape) must b"),
    ("tf.get_variable('u', [2], dtype='foo')", "TypeError", "Cannot convert value 'foo' to a TensorFl"),
    (
        "tf.get_variable('u', initializer=tf.zeros(3), shape=[2])",
        "ValueError",
        "If initializer is a constant, do not spe",
    ),
    ("reuse_missing()", "ValueError", "Variable nowhere/q does not exist, or wa"),
    ("v.assign(np.ones(5))", "ValueError", "Assign: the value must have the variable"),
    ("v.assign(tf.zeros(5))", "ValueError", "Assign: the value must have the variable"),
    ("v.assign(tf.zeros(3, tf.int32))", "TypeError", "Assign: the value must have the variable"),
    ("v.assign('a')", "TypeError", "Failed to convert object to Tensor"),
    ("v.assign_add(tf.zeros(5))", "ValueError", "AssignAdd: the value must have the varia"),
    ("bool(x)", "TypeError", "Using a `tf.Tensor` as a Python `bool` i"),
    ("iter(x)", "TypeError", "`Tensor` objects are not iterable: their"),
    ("len(x)", "TypeError", "object of type 'Tensor' has no len()"),
    ("float(x)", "TypeError", "a tensor of a graph has no value until a"),
    ("np.asarray(x)", "NotImplementedError", "a tensor of a graph has no value until a"),
    ("x.eval()", "ValueError", "Cannot evaluate tensor using `eval()`: N"),
    ("tf.foo", "AttributeError", "tensorflow has no 'foo' here"),
    ("tf.nn.foo", "AttributeError", "tensorflow.nn has no 'foo' here"),
    ("tf.cast(x, 'foo')", "TypeError", "Cannot convert value 'foo' to a TensorFl"),
    ("tf.gradients(other_graph(), x)", "ValueError", 'Tensor("Const:0", shape=(), dtype=float3'),
    ("tf.cond(x, lambda: 1, lambda: 2)", "TypeError", "Tensor conversion requested dtype bool f"),
    ("tf.cond(True, 1, 2)", "TypeError", "cond: true_fn and false_fn must be calla"),
    (
        "tf.cond(tf.constant(1.0) > 0, lambda: 1, lambda: (2, 3))",
        "ValueError",
        "cond: true_fn and false_fn must return t",
    ),
    ("tf.cond(tf.constant(1.0) > 0, lambda: 1, lambda: 2.0)", "ValueError", "cond: outputs of true_fn and false_fn mu"),
    (
        "tf.while_loop(lambda i: i, lambda i: i, [tf.constant(1.0)])",
        "TypeError",
        "while_loop: the condition must give one",
    ),
    (
        "tf.while_loop(lambda i: i < 3, lambda i: (i, i), [tf.constant(1)])",
        "ValueError",
        "while_loop: the body must return as many",
    ),
    ("tf.while_loop(lambda i: i < 3, lambda i: i + 1, [])", "ValueError", "while_loop: loop_vars must be provided."),
    ("tf.while_loop(3, lambda i: i + 1, [tf.constant(1)])", "TypeError", "while_loop: expected a function"),
    ("tf.while_loop(lambda i: i < 3, 3, [tf.constant(1)])", "TypeError", "while_loop: expected a function"),
    (
        "tf.while_loop(lambda i: i < 3, lambda i: tf.stack([i, i]), [tf.constant(1)])",
        "ValueError",
        "while_loop: a loop variable must keep it",
    ),
    ("tf.scan(lambda a, b: (a, b), tf.zeros(3))", "ValueError", "scan: fn must return the structure of it"),
    ("tf.map_fn(lambda a: a, tf.constant(1.0))", "ValueError", "map_fn: elems need a leading dimension"),
    ("tf.nn.softmax_cross_entropy_with_logits(labels=x)", "ValueError", "Both labels and logits must be provided."),
    (
        "tf.nn.softmax_cross_entropy_with_logits(labels=tf.zeros((2,3)), logits=tf.zeros((2,4)))",
        "ValueError",
        "multiply: shapes cannot be broadcast tog",
    ),
    (
        "tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.zeros((2,3), tf.int32), logits=tf.zeros((2,4)))",
        "ValueError",
        "sparse_softmax_cross_entropy_with_logits",
    ),
    (
        "tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.zeros((2,)), logits=tf.zeros((2,4)))",
        "TypeError",
        "take_along_axis: indices must be integer",
    ),
    (
        "run(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.constant([7]), logits=tf.zeros((1,4))))",
        "errors.InvalidArgumentError",
        "take_along: an index is out of range   (",
    ),
    ("tf.nn.relu('a')", "TypeError", "Failed to convert object to Tensor"),
    ("tf.nn.relu(None)", "ValueError", "None values not supported."),
    ("tf.nn.dropout(x)", "ValueError", "dropout: keep_prob or rate must be given"),
    ("tf.nn.dropout(x, 1.5)", "ValueError", "dropout: keep_prob must be in (0, 1]"),
    ("tf.nn.dropout(x, 0.0)", "ValueError", "dropout: keep_prob must be in (0, 1]"),
    (
        "tf.nn.conv2d(tf.zeros((1,4,4,1)), tf.zeros((2,2,3,1)), [1,1,1,1], 'SAME')",
        "ValueError",
        "conv2d: channels do not fit",
    ),
    (
        "tf.nn.conv2d(tf.zeros((1,4,4,1)), tf.zeros((2,2,1,1)), [1,1,1,1], 'FOO')",
        "ValueError",
        "padding must be 'SAME' or 'VALID'",
    ),
    (
        "tf.nn.max_pool(tf.zeros((4,4)), [1,2,2,1], [1,2,2,1], 'SAME')",
        "ValueError",
        "permute_dims: axis 3 is out of range for",
    ),
    (
        "tf.losses.mean_squared_error(tf.zeros(3), tf.zeros(4))",
        "ValueError",
        "mean_squared_error: labels and predictio",
    ),
    (
        "tf.losses.softmax_cross_entropy(tf.zeros((2,3)), tf.zeros((2,4)))",
        "ValueError",
        "multiply: shapes cannot be broadcast tog",
    ),
    ("tf.train.GradientDescentOptimizer(0.1).minimize(x, var_list=[])", "ValueError", "No variables to optimize."),
    (
        "tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(x))",
        "ValueError",
        "No gradients provided for any variable:",
    ),
    (
        "tf.train.GradientDescentOptimizer(0.1).apply_gradients([])",
        "ValueError",
        "No gradients provided for any variable.",
    ),
    (
        "tf.train.GradientDescentOptimizer(0.1).apply_gradients([(None, v)])",
        "ValueError",
        "No gradients provided for any variable.",
    ),
    ("tf.train.Saver({})", "ValueError", "No variables to save"),
    (
        "tf.train.Saver().restore(tf.Session(), '/nonexistent/model')",
        "ValueError",
        "The passed save_path is not a valid chec",
    ),
    (
        "tf.train.Saver().save(tf.Session(), '/tmp/pbtf/model')",
        "errors.FailedPreconditionError",
        "Attempting to use uninitialized value v",
    ),
    ("tf.get_default_graph().get_tensor_by_name('nope:0')", "KeyError", "The name 'nope' refers to an Operation n"),
    ("tf.get_default_graph().get_tensor_by_name('nope')", "ValueError", "'nope' is not a tensor's name"),
    ("tf.get_default_graph().get_tensor_by_name(3)", "TypeError", "Tensor names are strings (or similar), n"),
    ("tf.get_default_graph().get_operation_by_name('nope')", "KeyError", "The name 'nope' refers to an Operation n"),
    (
        "tf.get_default_graph().get_tensor_by_name(x.op.name + ':4')",
        "KeyError",
        "The name 'x:4' refers to a Tensor which",
    ),
    ("closed(v)", "RuntimeError", "Attempted to use a closed Session."),
    ("finalized()", "RuntimeError", "Graph is finalized and cannot be modifie"),
    ("tf.Session(graph=3)", "TypeError", "Argument `graph` must be a tf.Graph, but"),
    ("x.set_shape([5, 5])", "ValueError", "Dimensions of x:0 are not compatible"),
    ("x.set_shape('a')", "TypeError", "Dimension value must be integer or None"),
    (
        "tf.random_uniform((2,), 0, 10, tf.int32) if False else tf.random_uniform((2,), dtype=tf.int32)",
        "ValueError",
        "Must specify maxval for integer dtype",
    ),
    ("tf.random_normal('a')", "TypeError", "Dimension value must be integer or None"),
    ("tf.zeros('a')", "TypeError", "Dimension value must be integer or None"),
    ("tf.zeros((-1,))", "ValueError", "Dimension value must be >= 0"),
    ("tf.fill([2], [1,2])", "ValueError", "fill: the value must be one number"),
    ("tf.one_hot(tf.constant([0.5]), 3)", "TypeError", "one_hot: classes must be integers"),
    ("tf.one_hot([0], -3)", "ValueError", "one_hot: there must be at least one clas"),
    ("tf.range(3, 0, 1, 2, 3)", "TypeError", "Cannot convert value 2 to a TensorFlow D"),
    ("tf.equal(tf.zeros(3), tf.zeros(4))", "ValueError", "equal: shapes cannot be broadcast togeth"),
    ("tf.where(tf.zeros(3), 1, 2)", "TypeError", "Input 'condition' of 'Select' Op must be"),
    ("tf.tile(tf.zeros(3), [1, 2])", "ValueError", "tile: one multiple for every dimension"),
    ("tf.pad(tf.zeros(3), [[1, 1], [1, 1]])", "ValueError", "pad: one pair for every dimension"),
    ("tf.layers.dense(tf.zeros((2,3)), -4)", "ValueError", "dense: units must be a positive whole nu"),
    ("tf.layers.dense(tf.zeros((2,3)), 'a')", "ValueError", "dense: units must be a positive whole nu"),
    ("tf.layers.dense(tf.zeros((2,3)), 4, activation='foo')", "ValueError", "no such activation"),
    ("tf.layers.dense(tf.placeholder(tf.float32), 4)", "ValueError", "The last dimension of the inputs to `Den"),
    (
        "tf.layers.dense(tf.placeholder(tf.float32, [None, None]), 4)",
        "ValueError",
        "The last dimension of the inputs to `Den",
    ),
    ("tf.layers.dense(tf.zeros((2,3), tf.int32), 4)", "TypeError", "Input 'b' of 'MatMul' Op has type float3"),
    ("tf.layers.dropout(tf.zeros(3), rate=2.0, training=True)", "ValueError", "dropout: keep_prob must be in (0, 1]"),
    ("with_control_of_number()", "TypeError", "Can not convert a int into a Tensor or O"),
    ("bad_name()", "ValueError", "'bad name!' is not a valid scope name."),
    ("tf.identity(3, name='bad name!')", "ValueError", "'bad name!' is not a valid operation nam"),
    ("nested_reset()", "AssertionError", "Do not use tf.reset_default_graph() to c"),
    ("run_on_gpu()", "errors.InvalidArgumentError", "Cannot assign a device for operation Con"),
    ("tf.contrib", "AttributeError", "tensorflow has no 'contrib' here"),
    (
        "tf.data.Dataset.from_tensor_slices((np.ones(3), np.ones(4)))",
        "ValueError",
        "from_tensor_slices: all arrays need one",
    ),
    ("exhausted()", "errors.OutOfRangeError", "End of sequence"),
    ("tf.clip_by_value(x, 'a', 1)", "TypeError", "clamp: not an array"),
    ("tf.norm('a')", "TypeError", "Failed to convert object to Tensor"),
    ("x.op.run()", "ValueError", "Cannot evaluate tensor using `eval()`: N"),
]


def kind_of(name: str) -> type[BaseException]:
    return getattr(tf_errors, name.removeprefix("errors.")) if name.startswith("errors.") else getattr(builtins, name)


@pytest.mark.parametrize(("line", "kind", "text"), WRONG, ids=[w[0] for w in WRONG])
def test_wrong_call(line: str, kind: str, text: str) -> None:
    tf.reset_default_graph()
    x, v = tf.placeholder(tf.float32, [2, 3], name="x"), tf.Variable([1.0, 2.0, 3.0], name="v")
    names = {"tf": tf, "np": np, "x": x, "v": v, **{f.__name__: f for f in HELPERS}}
    with pytest.raises(kind_of(kind)) as caught:
        eval(line, names)
    assert isinstance(caught.value, PullbackError)
    assert str(caught.value).startswith(text)


def test_the_cpu_stands_for_a_gpu_where_placement_is_soft() -> None:
    assert not tf.test.is_gpu_available() and not tf.test.gpu_device_name()
    with tf.Graph().as_default():
        with tf.device("/gpu:0"):
            c = tf.constant(1.0) + 1.0
        with tf.device("/cpu:0"):
            d = c * 2.0
        with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
            assert session.run([c, d]) == [2.0, 4.0]
        with tf.Session() as session, pytest.raises(tf_errors.InvalidArgumentError, match="allow_soft_placement"):
            session.run(c)


def test_gather_counts_from_the_front_only() -> None:
    for dtype in (tf.int32, tf.int64):
        at = tf.placeholder(dtype, [2])
        x = tf.constant([1.0, 2.0, 3.0])
        found = tf.gather(x, at)
        gradient = tf.gradients(found, x)[0]
        with tf.Session() as session:
            assert session.run([found, gradient], {at: [2, 0]})[0].tolist() == [3.0, 1.0]
            assert session.run(gradient, {at: [2, 2]}).tolist() == [0.0, 0.0, 2.0]
            for wrong in ([0, -1], [3, 0], [-3, 0]):
                with pytest.raises(tf.errors.InvalidArgumentError, match="out of range"):
                    session.run(found, {at: wrong})


def test_a_loop_of_unknown_length_has_no_gradient_and_says_how_to_limit_it() -> None:
    x = tf.constant(2.0)
    for limit in (None, 5):
        _, y = tf.while_loop(lambda k, a: k < 3, lambda k, a: (k + 1, a * x), [0, tf.constant(1.0)],
                             maximum_iterations=limit)
        gradient = tf.gradients(y, x)[0]
        if limit:
            assert tf.Session().run(gradient) == 12.0
            continue
        with pytest.raises(tf.errors.UnimplementedError, match="maximum_iterations"):
            tf.Session().run(gradient)
