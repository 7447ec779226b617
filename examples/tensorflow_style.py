"""A two-layer network as one writes it for TensorFlow 1: a graph is built once, a session runs it many times.

    python examples/tensorflow_style.py
"""

import numpy as np
import pullback.tensorflow as tf

rng = np.random.RandomState(0)
data = rng.rand(64, 4)
target = (data * data).sum(axis=1, keepdims=True)

x = tf.placeholder(tf.float32, shape=[None, 4])
y = tf.placeholder(tf.float32, shape=[None, 1])
w1 = tf.Variable(tf.constant(rng.rand(4, 32) - 0.5, dtype=tf.float32))
b1 = tf.Variable(tf.zeros([32]))
w2 = tf.Variable(tf.constant(rng.rand(32, 1) - 0.5, dtype=tf.float32))
b2 = tf.Variable(tf.zeros([1]))

h = tf.nn.relu(tf.matmul(x, w1) + b1)
prediction = tf.matmul(h, w2) + b2
loss = tf.reduce_mean(tf.squared_difference(prediction, y))
train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)

with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for step in range(101):
        value, _ = session.run([loss, train], feed_dict={x: data, y: target})
        if step % 20 == 0:
            print(f"step {step:3d}  loss {value:.5f}")
