"""JAX's names: `import pullback.jax as jax`, `import pullback.jax.numpy as jnp`."""

from __future__ import annotations

from typing import Any

from pullback.dialects import names
from pullback.dialects.jax.array import Array
from pullback.dialects.jax.config import config
from pullback.util import tree as _tree
from pullback.util.errors import DeviceError, message

__version__ = "0.4.38"


def devices(backend: str | None = None) -> list[Any]:
    """The devices there are."""
    if backend not in (None, "cpu"):
        raise DeviceError(
            message(
                f"Unknown backend: {backend!r} requested",
                [("platforms that are present", "cpu")],
                "jax.devices() lists what there is",
            )
        )
    return [_device()]


def _device() -> Any:
    from pullback.dialects.jax.array import CPU

    return CPU


local_devices = devices


def device_count(backend: str | None = None) -> int:
    """How many devices there are."""
    return len(devices(backend))


local_device_count = device_count


def process_index(backend: str | None = None) -> int:
    """The number of this process among those that compute together: the only one."""
    return 0


def process_count(backend: str | None = None) -> int:
    """How many processes compute together."""
    return 1


def host_id(backend: str | None = None) -> int:
    """The number of this process."""
    return 0


host_count = process_count


def default_backend() -> str:
    """The platform that computes."""
    return "cpu"


def device_put(x: Any, device: Any = None) -> Any:
    """Arrays on a device."""
    from pullback.dialects.jax.array import on_device
    from pullback.dialects.jax.transforms import valid_arrays

    return on_device(valid_arrays(x, "device_put"), device)


def device_get(x: Any) -> Any:
    """Arrays as NumPy arrays."""
    return _tree.map(lambda v: v.numpy() if isinstance(v, Array) else v, x)


__getattr__, __dir__ = names(
    __name__,
    {
        "dialects.jax.transforms": """grad value_and_grad jit vmap jacfwd jacrev jacobian hessian jvp vjp linearize
            custom_vjp custom_jvp
        checkpoint remat=checkpoint eval_shape ShapeDtypeStruct block_until_ready""",
        "dialects.jax.jaxpr": "make_jaxpr",
        "dialects.jax.collectives": "pmap",
        "dialects.jax.numpy": "numpy=",
        "dialects.jax.random": "random=",
        "dialects.jax.nn": "nn=",
        "dialects.jax.lax": "lax=",
        "dialects.jax.scipy": "scipy=",
        "dialects.jax.tree": "tree=",
        "dialects.jax.tree_util": "tree_util=",
        "dialects.jax.errors": "errors=",
        "dialects.jax.debug": "debug=",
        "dialects.jax.ops": "ops=",
        "dialects.jax.test_util": "test_util=",
        "dialects.jax.stages": "stages=",
        "dialects.jax.experimental": "experimental=",
        "dialects.jax.sharding": "sharding= P NamedSharding make_mesh set_mesh",
        "dialects.jax.checkpoint_policies": "checkpoint_policies=",
        "dialects.jax.image": "image=",
        "dialects.jax.flatten_util": "flatten_util=",
        "dialects.jax.typing": "typing=",
        "dialects.jax.dtypes": "dtypes= float0",
        "dialects.jax.core": "core=",
        "dialects.jax.custom_derivatives": "custom_derivatives=",
        "dialects.jax.ad_checkpoint": "ad_checkpoint=",
        "dialects.jax.example_libraries": "example_libraries=",
        "dialects.jax.derivatives": """clear_caches closure_convert custom_gradient default_device
            default_matmul_precision effects_barrier ensure_compile_time_eval linear_transpose log_compiles
            named_call named_scope pure_callback transfer_guard typeof""",
        "dialects.jax.config": "debug_key_reuse debug_nans threefry_partitionable disable_jit enable_x64",
        "dialects.jax.array": "Device",
    },
)
__all__ = ["Array", "config"]
