"""`tf.train`: optimisers whose step is part of the graph, and checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.api import elementwise
from pullback.dialects.tensorflow import ops
from pullback.dialects.tensorflow.control_flow import gradients
from pullback.dialects.tensorflow.errors import MissingCheckpointError, NotFoundError
from pullback.dialects.tensorflow.graph import Operation, Tensor, make_operation
from pullback.dialects.tensorflow.variables import (
    GLOBAL,
    Variable,
    get_default_graph,
    global_variables,
    trainable_variables,
)
from pullback.optim import functional
from pullback.util.errors import ArgumentError, ValueError_, message


class Optimizer:
    """Base of optimisers: `minimize(loss)` gives an operation that makes one step."""

    def __init__(
        self, learning_rate: Any, name: str, transform: Callable[..., functional.Transform], **hyper: Any
    ) -> None:
        self.learning_rate, self.name = learning_rate, name
        fixed = 0.0 if isinstance(learning_rate, Tensor) or hasattr(learning_rate, "initializer") else learning_rate
        self.transform = transform(lr=fixed, **hyper)
        self.slots: dict[Variable, dict[str, Any]] = {}

    def minimize(
        self,
        loss: Any,
        global_step: Any = None,
        var_list: Any = None,
        name: str | None = None,
        grad_loss: Any = None,
        **_: Any,
    ) -> Operation:
        """An operation that makes one step down the loss."""
        pairs = self.compute_gradients(loss, var_list, grad_loss=grad_loss)
        if all(g is None for g, _ in pairs):
            raise ValueError_(
                message(
                    "No gradients provided for any variable: the loss does not depend on them",
                    [("loss", str(loss)), ("variables", ", ".join(v.name for _, v in pairs) or "none")],
                    "check the graph between variables and loss",
                )
            )
        return self.apply_gradients(pairs, global_step, name)

    def compute_gradients(
        self, loss: Any, var_list: Any = None, grad_loss: Any = None, **_: Any
    ) -> list[tuple[Any, Variable]]:
        """Pairs of gradient and variable."""
        if not isinstance(loss, Tensor) and not hasattr(loss, "initializer"):
            raise ArgumentError(message("minimize: the loss must be a tensor", [("loss", f"{loss!r:.60}")]))
        variables = list(trainable_variables() if var_list is None else var_list)
        if not variables:
            raise ValueError_(message("No variables to optimize.", help="make one with tf.Variable before minimize()"))
        return list(zip(gradients(loss, variables, grad_loss), variables, strict=True))

    def apply_gradients(self, grads_and_vars: Any, global_step: Any = None, name: str | None = None) -> Operation:
        """An operation that changes variables by their gradients."""
        pairs = [(g, v) for g, v in grads_and_vars if g is not None]
        if not pairs:
            raise ValueError_(message("No gradients provided for any variable."))
        variables = [v for _, v in pairs]
        for v in variables:
            self.slots.setdefault(v, self._slots(v))
        rate = ops.convert_to_tensor(self.learning_rate) if not isinstance(self.learning_rate, (int, float)) else None
        inputs = [ops.convert_to_tensor(g) for g, _ in pairs] + ([rate] if rate is not None else [])
        op = make_operation(
            "ApplyGradients",
            inputs,
            lambda run, *values: self._step(run, variables, values, rate is not None),
            name or self.name,
        )
        if global_step is None:
            return op
        step = global_step.assign_add(1)
        return ops.group(op, step.op, name=f"{self.name}/step")

    def _slots(self, variable: Variable) -> dict[str, Any]:
        """The optimiser's state for a variable, as variables."""
        size = variable.shape.known()
        shown = ops.from_host(np.zeros(size, variable.dtype.as_numpy_dtype), variable.dtype.native)
        first = self.transform.init(shown)
        graph = get_default_graph()
        before, graph.prefix = graph.prefix, ""
        try:
            return {
                name: Variable(
                    self.first(name, value.numpy()), False, [GLOBAL], name=f"{variable.op.name}/{self.name}_{name}"
                )
                for name, value in first.items()
            }
        finally:
            graph.prefix = before

    def first(self, name: str, value: Any) -> Any:
        """The state of this name before the first step."""
        return value

    def _step(self, run: Any, variables: list[Variable], values: Any, with_rate: bool) -> None:
        rate = {"lr": values[-1]} if with_rate else {}
        slots = [self.slots[v] for v in variables]
        params = {str(k): run.read(v, True) for k, v in enumerate(variables)}
        grads = {str(k): g for k, g in enumerate(values[: len(variables)])}
        for k, (v, own) in enumerate(zip(variables, slots, strict=True)):
            state = {name: run.read(slot, True) for name, slot in own.items()}
            new, changed = self.update(grads[str(k)], state, params[str(k)], rate)
            run.assign(v, new)
            for name, slot in own.items():
                run.assign(slot, changed[name])

    def update(
        self, gradient: Any, state: dict[str, Any], param: Any, rate: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """The new value of one variable, and its new state."""
        return self.transform.update(gradient, state, param, **rate)

    def variables(self) -> list[Variable]:
        """The optimiser's state."""
        return [s for own in self.slots.values() for s in own.values()]

    def get_slot_names(self) -> list[str]:
        """The names of the optimiser's state."""
        return sorted({name for own in self.slots.values() for name in own})

    def get_name(self) -> str:
        """The optimiser's name."""
        return self.name


class GradientDescentOptimizer(Optimizer):
    """Gradient descent."""

    def __init__(self, learning_rate: Any, use_locking: bool = False, name: str = "GradientDescent") -> None:
        super().__init__(learning_rate, name, functional.sgd)


class MomentumOptimizer(Optimizer):
    """Gradient descent with momentum."""

    def __init__(
        self,
        learning_rate: Any,
        momentum: float,
        use_locking: bool = False,
        name: str = "Momentum",
        use_nesterov: bool = False,
    ) -> None:
        super().__init__(learning_rate, name, functional.sgd, momentum=momentum, nesterov=use_nesterov)


class AdamOptimizer(Optimizer):
    """Adam, with epsilon added before the bias of the second moment is corrected."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        use_locking: bool = False,
        name: str = "Adam",
    ) -> None:
        self.beta2, self.epsilon = beta2, epsilon
        super().__init__(learning_rate, name, functional.adam, betas=(beta1, beta2), eps=epsilon)

    def update(
        self, gradient: Any, state: dict[str, Any], param: Any, rate: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        bias = 1 - elementwise.power(self.beta2, state["step"] + 1)
        return self.transform.update(gradient, state, param, eps=self.epsilon / elementwise.sqrt(bias), **rate)


class AdagradOptimizer(Optimizer):
    """Adagrad."""

    def __init__(
        self,
        learning_rate: Any,
        initial_accumulator_value: float = 0.1,
        use_locking: bool = False,
        name: str = "Adagrad",
    ) -> None:
        super().__init__(
            learning_rate, name, functional.adagrad, initial_accumulator_value=initial_accumulator_value, eps=0.0
        )


class AdadeltaOptimizer(Optimizer):
    """Adadelta."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-8,
        use_locking: bool = False,
        name: str = "Adadelta",
    ) -> None:
        super().__init__(learning_rate, name, functional.adadelta, rho=rho, eps=epsilon)


class RMSPropOptimizer(Optimizer):
    """RMSProp, with epsilon under the root and a mean square that starts at 1."""

    def __init__(
        self,
        learning_rate: Any,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-10,
        use_locking: bool = False,
        centered: bool = False,
        name: str = "RMSProp",
    ) -> None:
        if centered:
            raise ArgumentError(message("RMSPropOptimizer: centered is not supported", help="centered=False"))
        self.decay, self.momentum, self.epsilon = decay, momentum, epsilon
        super().__init__(learning_rate, name, functional.rmsprop, alpha=decay, momentum=momentum or 1.0)

    def first(self, name: str, value: Any) -> Any:
        return np.ones_like(value) if name == "square_avg" else value

    def update(
        self, gradient: Any, state: dict[str, Any], param: Any, rate: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        square = self.decay * state["square_avg"] + (1 - self.decay) * gradient * gradient
        lr = rate.get("lr", self.learning_rate)
        move = self.momentum * state["momentum_buffer"] + lr * gradient / elementwise.sqrt(square + self.epsilon)
        return param - move, {**state, "square_avg": square, "momentum_buffer": move}


def exponential_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: int,
    decay_rate: float,
    staircase: bool = False,
    name: str = "ExponentialDecay",
) -> Tensor:
    """learning_rate * decay_rate ** (global_step / decay_steps), as a tensor."""
    step: Any = ops.cast(ops.convert_to_tensor(global_step), "float32")
    step = step / float(decay_steps)
    exponent = ops.floor(step) if staircase else step  # type: ignore[attr-defined]
    return ops.pow(ops.constant(decay_rate, "float32"), exponent) * float(learning_rate)  # type: ignore[attr-defined]


def get_or_create_global_step(graph: Any = None) -> Variable:
    """The variable that counts steps."""
    found = [v for v in global_variables() if v.op.name == "global_step"]
    return found[0] if found else Variable(ops.constant(0, "int64"), False, name="global_step")


def create_global_step(graph: Any = None) -> Variable:
    """The variable that counts steps."""
    return get_or_create_global_step(graph)


_LATEST = "checkpoint"  # the file that names what was saved last in a folder


def latest_checkpoint(checkpoint_dir: str, latest_filename: str | None = None) -> str | None:
    """The path that was saved last in a folder; None where there is none."""
    try:
        with open(os.path.join(checkpoint_dir, latest_filename or _LATEST)) as file:
            name = file.readline().partition('"')[2].rpartition('"')[0]
    except OSError:
        return None
    return os.path.join(checkpoint_dir, name)


def checkpoint_exists(checkpoint_prefix: str) -> bool:
    """Whether there is a checkpoint of this name."""
    return os.path.exists(f"{checkpoint_prefix}.safetensors")


class Saver:
    """Writes variables to a file and reads them back. One file, in the safetensors format."""

    def __init__(self, var_list: Any = None, max_to_keep: int = 5, **_: Any) -> None:
        given = global_variables() if var_list is None else var_list
        if not given:
            raise ValueError_(message("No variables to save", help="make them before the Saver"))
        self.variables: dict[str, Variable] = dict(given) if isinstance(given, dict) else {v.op.name: v for v in given}

    def save(self, sess: Any, save_path: str, global_step: Any = None, **_: Any) -> str:
        """Write the variables; returns the path."""
        from pullback.io import save  # files are needed here only

        path = save_path if global_step is None else f"{save_path}-{int(np.asarray(global_step))}"
        absent = [v for v in self.variables.values() if v not in sess.storage]
        if absent:
            sess.run(absent[0])  # says that it has no value
        save(f"{path}.safetensors", {name: np.asarray(sess.run(v)) for name, v in self.variables.items()})
        with open(os.path.join(os.path.dirname(path) or ".", _LATEST), "w") as file:
            file.write(f'model_checkpoint_path: "{os.path.basename(path)}"\n')
        return path

    def restore(self, sess: Any, save_path: str) -> None:
        """Set the variables from a file."""
        from pullback.io import load

        if not checkpoint_exists(save_path):
            raise MissingCheckpointError(
                message(f"The passed save_path is not a valid checkpoint: {save_path}", help="saver.save() gives it")
            )
        found = load(f"{save_path}.safetensors")
        missing = [name for name in self.variables if name not in found]
        if missing:
            raise NotFoundError(
                message(
                    f"Key {missing[0]} not found in checkpoint", [("file", save_path)], "it has " + ", ".join(found)
                )
            )
        for name, variable in self.variables.items():
            sess.store(variable, found[name])
