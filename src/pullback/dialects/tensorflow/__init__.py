"""TensorFlow 1's names: `import pullback.tensorflow as tf`. Graphs, placeholders, variables, sessions.

The functions of TensorFlow 2 that act at once are not here; `tf.compat.v1` is this module.
"""

from __future__ import annotations

from typing import Any

from pullback.dialects import names
from pullback.dialects.tensorflow.ops import NAMES

__version__ = "1.15.0"
VERSION = __version__
newaxis = None


def disable_v2_behavior() -> None:
    """Nothing to do: this is version 1."""


disable_eager_execution = disable_v2_behavior


def executing_eagerly() -> bool:
    """False: graphs are run by sessions."""
    return False


class ConfigProto:
    """Settings of sessions, accepted and not needed."""

    def __init__(self, **settings: Any) -> None:
        self.__dict__.update(settings)


class _Test:
    """`tf.test`."""

    @staticmethod
    def is_gpu_available(*_: Any, **__: Any) -> bool:
        """False: there is no GPU here."""
        return False

    @staticmethod
    def gpu_device_name() -> str:
        """The empty name: there is no GPU here."""
        return ""


test = _Test()

__getattr__, __dir__ = names(
    __name__,
    {
        "dialects.tensorflow.ops": " ".join(NAMES),
        "dialects.tensorflow.dtypes": """DType TensorShape Dimension as_dtype float16 bfloat16 float32 float64 half
            double int8 int16 int32
        int64 uint8 uint16 uint32 uint64 bool complex64 complex128""",
        "dialects.tensorflow.graph": """Graph Operation Tensor get_default_graph reset_default_graph name_scope
            control_dependencies device""",
        "dialects.tensorflow.session": "Session InteractiveSession get_default_session",
        "dialects.tensorflow.variables": """Variable assign assign_add assign_sub global_variables trainable_variables
        variables_initializer global_variables_initializer local_variables_initializer initialize_all_variables
        variable_scope
        get_variable_scope get_variable AUTO_REUSE""",
        "dialects.tensorflow.control_flow": "gradients cond case while_loop map_fn scan foldl foldr",
        "dialects.tensorflow.initializers": """zeros_initializer ones_initializer constant_initializer
            random_normal_initializer
        truncated_normal_initializer random_uniform_initializer glorot_uniform_initializer glorot_normal_initializer
        variance_scaling_initializer""",
        "dialects.tensorflow.summary": "summary=",
        "dialects.tensorflow.train": "train=",
        "dialects.tensorflow.nn": "nn=",
        "dialects.tensorflow.layers": "layers=",
        "dialects.tensorflow.losses": "losses=",
        "dialects.tensorflow.data": "data=",
        "dialects.tensorflow.errors": "errors=",
        "dialects.tensorflow.compat": "compat=",
    },
)
