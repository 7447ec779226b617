"""Steps written in each style beside the native form, alternated in one process.

`python benchmarks/styles.py [seconds]` prints, for each of the four programs, the ratio of a dialect's step to the
native one that does the same (medians of rounds of 40 steps; each step reads its loss).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "src"), HERE]

import pullback.jax as jax  # noqa: E402
import pullback.jax.numpy as jnp  # noqa: E402
import pullback.jittor as jt  # noqa: E402
import pullback.tensorflow as tf  # noqa: E402
import pullback.torch as torch  # noqa: E402
from workloads import line, small_batch, tutorial, two_layer  # noqa: E402

import pullback as pb  # noqa: E402

WORKLOADS = {"line fit": line, "batch 50": small_batch, "1-128-1 tanh": tutorial, "two-layer net": two_layer}
PAIRS = [("torch", "imperative"), ("jax.jit", "jit"), ("jax", "functional"), ("jittor", "imperative"),
         ("jittor optim", "optim"), ("tensorflow", "jit, fed")]
ROUND = 40
Step = tuple[Callable[[int], Any], Callable[[Any], Any]]
clock = time.perf_counter


def losses(name: str, lib: Any, matmul: Any = lambda a, b: a @ b, mean: Any = lambda e: e.mean(),
           total: Any = lambda e: e.sum()) -> Callable[..., Any]:
    """The loss of a program in the words of a library."""
    return {
        "line fit": lambda p, x, y: mean((matmul(x, p[0]) - y) ** 2),
        "batch 50": lambda p, x, y: mean(
            (matmul(lib.maximum(matmul(x, p[0]) + p[1], 0.0), p[2]) + p[3] - y) ** 2),
        "1-128-1 tanh": lambda p, x, y: mean((y - (matmul(lib.tanh(matmul(x, p[0]) + p[1]), p[2]) + p[3])) ** 2),
        "two-layer net": lambda p, x, y: total((matmul(lib.maximum(matmul(x, p[0]), 0.0), p[1]) - y) ** 2),
    }[name]


def data_of(name: str, array: Callable[[Any], Any]) -> tuple[Callable[[int], tuple[Any, Any]], list[Any]]:
    """The data of a step, and the parameters. Batch 50 brings a fresh batch into the framework at each step."""
    x, y, *first = WORKLOADS[name].data()
    if name == "batch 50":
        batches = small_batch.batches()
        return lambda i: (array(batches[i][0]), array(batches[i][1])), first
    fixed = array(x), array(y)
    return lambda i: fixed, first


def optim(name: str) -> Step:
    batch, first = data_of(name, pb.tensor)
    params = [pb.nn.Parameter(pb.tensor(p)) for p in first]
    optimizer, loss_of = pb.optim.SGD(params, WORKLOADS[name].RATE), losses(name, pb)

    def step(i: int) -> Any:
        optimizer.zero_grad()
        loss = loss_of(params, *batch(i))
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda loss: loss.item()


def jittor_optim(name: str) -> Step:
    batch, first = data_of(name, lambda a: jt.float32(a))
    params = [jt.array(p) for p in first]
    optimizer, loss_of = jt.nn.SGD(params, WORKLOADS[name].RATE), losses(name, jt)

    def step(i: int) -> Any:
        loss = loss_of(params, *batch(i))
        optimizer.step(loss)
        return loss

    return step, lambda loss: loss.item()


def jittor(name: str) -> Step:
    batch, first = data_of(name, lambda a: jt.float32(a))
    with jt.var_scope(name, unique=True):
        for p in first:
            jt.make_var(p.shape, init=jt.array(p))
    params, rate, loss_of = jt.find_vars(name), jt.float32(WORKLOADS[name].RATE).stop_grad(), losses(name, jt)

    def step(i: int) -> Any:
        loss = loss_of(params, *batch(i))
        for p, g in zip(params, jt.grad(loss, params), strict=True):
            p -= g * rate
        return loss

    return step, lambda loss: loss.item()


def jit_fed(name: str) -> Step:
    """Parameters inside, the data fed as NumPy arrays: what a session does."""
    batch, first = data_of(name, lambda a: a)
    params, rate, loss_of = [pb.tensor(p) for p in first], WORKLOADS[name].RATE, losses(name, pb)

    @pb.jit
    def train(x: Any, y: Any) -> Any:
        loss, grads = pb.value_and_grad(loss_of)(params, x, y)
        for p, g in zip(params, grads, strict=True):
            p -= rate * g
        return loss

    return lambda i: train(*batch(i)), float


def tensorflow(name: str) -> Step:
    batch, first = data_of(name, lambda a: a)

    def matmul(a: Any, b: Any) -> Any:
        return tf.matmul(a, b) if len(b.shape) > 1 else tf.tensordot(a, b, 1)

    graph = tf.Graph()
    with graph.as_default():
        x, y = (tf.placeholder(tf.float32, v.shape) for v in batch(0))
        params = [tf.Variable(p) for p in first]
        loss = losses(name, tf, matmul, tf.reduce_mean, tf.reduce_sum)(params, x, y)
        train = tf.train.GradientDescentOptimizer(WORKLOADS[name].RATE).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())

    def step(i: int) -> Any:
        a, b = batch(i)
        return session.run([loss, train], feed_dict={x: a, y: b})[0]

    return step, float


def restarted(training: tuple[Any, Any, Any]) -> Step:
    reset, step, read = training
    reset()
    return step, read


def styles(name: str) -> dict[str, Step]:
    workload: Any = WORKLOADS[name]
    words = () if name == "line fit" else (0,)

    def functional(array: Any, lib: Any, value_and_grad: Any, jit: Any) -> Step:
        return restarted(workload.functional(array, *([lib] if words else []), value_and_grad, jit))

    def imperative(lib: Any) -> Step:
        return restarted(workload.imperative(lib, lib.tensor) if name == "batch 50" else workload.imperative(lib))

    return {
        "imperative": imperative(pb), "torch": imperative(torch),
        "jit": functional(pb.tensor, pb, pb.value_and_grad, pb.jit),
        "jax.jit": functional(jnp.asarray, jnp, jax.value_and_grad, jax.jit),
        "functional": functional(pb.tensor, pb, pb.value_and_grad, lambda f: f),
        "jax": functional(jnp.asarray, jnp, jax.value_and_grad, lambda f: f),
        "jittor": jittor(name), "optim": optim(name), "jittor optim": jittor_optim(name),
        "jit, fed": jit_fed(name), "tensorflow": tensorflow(name),
    }


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def measure(name: str, seconds: float) -> None:
    found = styles(name)
    rounds: dict[str, list[float]] = {style: [] for style in found}
    begin, end = 0, clock() + seconds
    while clock() < end or len(rounds["jit"]) < 10:
        for style, (step, read) in found.items():
            times: list[float] = []
            for i in range(begin, begin + ROUND):
                start = clock()
                read(step(i))
                times.append(clock() - start)
            rounds[style].append(median(times) * 1e6)
        begin = (begin + ROUND) % 1000
    for dialect, native in PAIRS:
        pairs = list(zip(rounds[dialect], rounds[native], strict=True))[3:]
        ratio = median([a / b for a, b in pairs])
        print(f"| {name} | {dialect} | {native} | {median([a for a, _ in pairs]):.1f} | "
              f"{median([b for _, b in pairs]):.1f} | {ratio:.2f} |", flush=True)


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    print("| program | dialect | native form | us a step | native | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for name in WORKLOADS:
        measure(name, float(sys.argv[1]) if len(sys.argv) > 1 else 6.0)


if __name__ == "__main__":
    main()
