"""`jax.sharding`: how arrays are laid out over devices, of which there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.dialects.jax.array import CPU
from pullback.util.errors import DeviceError, message


class PartitionSpec(tuple[Any, ...]):
    """The mesh axis of each dimension: `PartitionSpec("x", None)`."""

    def __new__(cls, *parts: Any) -> PartitionSpec:
        return super().__new__(cls, parts)

    def __repr__(self) -> str:
        return f"PartitionSpec({', '.join(map(repr, self))}{',' * (len(self) == 1)})"


P = PartitionSpec


class Mesh:
    """Devices under named axes, each of size 1 here."""

    def __init__(self, devices: Any, axis_names: Any) -> None:
        self.devices = np.asarray(devices, object)
        self.axis_names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        if self.devices.size > 1:
            raise DeviceError(message("Mesh: there is one device", [("devices", str(self.devices.size))]))

    @property
    def shape(self) -> dict[str, int]:
        """The size of each axis."""
        return dict(zip(self.axis_names, self.devices.shape, strict=True))

    @property
    def size(self) -> int:
        """How many devices there are."""
        return self.devices.size

    def __enter__(self) -> Mesh:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name!r}: {n}" for name, n in self.shape.items())
        return f"Mesh({sizes})"


class Sharding:
    """A layout over devices."""

    memory_kind = "device"

    @property
    def device_set(self) -> set[Any]:
        """The devices."""
        return {CPU}

    @property
    def is_fully_replicated(self) -> bool:
        """Whether every device has all elements."""
        return True


class SingleDeviceSharding(Sharding):
    """All elements on one device."""

    def __init__(self, device: Any) -> None:
        self._device = device

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self._device!r}, memory_kind=device)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SingleDeviceSharding)

    def __hash__(self) -> int:
        return hash(SingleDeviceSharding)


class NamedSharding(Sharding):
    """Dimensions over the axes of a mesh."""

    def __init__(self, mesh: Mesh, spec: Any, **_: Any) -> None:
        self.mesh, self.spec = mesh, spec

    def __repr__(self) -> str:
        return f"NamedSharding(mesh={self.mesh!r}, spec={self.spec!r}, memory_kind=device)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedSharding) and self.spec == other.spec

    def __hash__(self) -> int:
        return hash(self.spec)


def make_mesh(axis_shapes: Sequence[int], axis_names: Sequence[str], *_: Any, devices: Any = None, **__: Any) -> Mesh:
    """The devices under named axes."""
    if math.prod(axis_shapes) != 1:
        raise DeviceError(
            message(f"Number of devices 1 must be >= the product of mesh_shape {tuple(axis_shapes)}",
                    help="there is one device: axes of size 1")
        )
    return Mesh(np.full(tuple(axis_shapes), CPU, object), axis_names)


@contextmanager
def set_mesh(mesh: Mesh) -> Any:
    """A mesh for what is inside."""
    yield mesh


use_mesh = set_mesh


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """The same arrays: they are on the only device."""
    return x


__all__ = ["Mesh", "NamedSharding", "P", "PartitionSpec", "Sharding", "SingleDeviceSharding", "make_mesh", "set_mesh",
           "use_mesh", "with_sharding_constraint"]
