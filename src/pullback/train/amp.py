"""Mixed precision: products in a 16-bit dtype, scaled losses.

Parameters stay float32: products read a converted copy, accumulate in float32, and gradients arrive in float32.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

from pullback.api.elementwise import astype
from pullback.engine import operation
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import thread
from pullback.ir.dtypes import DType, bfloat16, dtype_of, float16, float32
from pullback.nn.utils import unscale_gradients_
from pullback.util.errors import ArgumentError, ValueError_, message

#: operations whose operands become 16-bit numbers
LOW = frozenset("""linear matmul mm bmm mv addmm tensordot einsum bilinear convolve convolve_transposed attention
    weights recurrence cell""".split())
#: operations whose operands become float32
HIGH = frozenset("""mse l1 huber poisson gaussian nll_loss cross_entropy bce bce_logits kl hinge_embedding
    margin_ranking soft_margin pair_distance cosine cosine_rows cosine_losses triplet multi_margin_loss ctc
    multilabel_margin cdist cholesky solve inv det slogdet qr eigh svd svdvals pinv prod""".split())
_lock = threading.Lock()
_active = 0


def _cast(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    target = thread.context.precision
    if target is None:
        return args
    if name in LOW:
        return tuple([_as(a, target, float32) for a in args])
    return tuple([_as(a, float32, target) for a in args]) if name in HIGH else args


def _as(x: Any, target: DType, source: DType) -> Any:
    if isinstance(x, TensorBase) and x.info.type.dtype is source:
        return astype(x, target)
    return x


class autocast:
    """Compute products in a 16-bit dtype and losses in float32, in a `with` block or a decorated function.

    >>> import pullback as pb
    >>> with pb.train.amp.autocast(dtype="bfloat16"):
    ...     y = pb.ones((2, 3)) @ pb.ones((3, 2))
    >>> y.dtype
    bfloat16
    """

    def __init__(self, device_type: str = "cpu", dtype: Any = None, enabled: bool = True,
                 cache_enabled: bool | None = None) -> None:
        if device_type != "cpu":
            raise ValueError_(message("autocast: the device is the CPU", [("device_type", repr(device_type))],
                                      'use autocast("cpu")'))
        chosen = bfloat16 if dtype is None else dtype_of(str(dtype).removeprefix("torch."))
        if enabled and chosen not in (bfloat16, float16, float32):
            raise ArgumentError(message("autocast: dtype must be bfloat16 or float16", [("dtype", repr(dtype))]))
        self.fast_dtype, self.enabled = chosen, enabled and chosen is not float32
        self.before: list[Any] = []

    def __enter__(self) -> autocast:
        global _active
        here = thread.context
        self.before.append(here.precision)
        with _lock:
            _active += 1
            operation.casting = _cast
        here.precision = self.fast_dtype if self.enabled else None
        return self

    def __exit__(self, *exception: object) -> None:
        global _active
        thread.context.precision = self.before.pop()
        with _lock:
            _active -= 1
            if not _active:
                operation.casting = None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            with self:
                return function(*args, **options)

        return call


def is_autocast_available(device_type: str) -> bool:
    """Whether there is `autocast` for a device."""
    return device_type == "cpu"


def is_autocast_enabled(device_type: str = "cpu") -> bool:
    """Whether products are computed in another precision here."""
    return thread.context.precision is not None


class GradScaler:
    """Scales losses so that small gradients do not vanish in float16, and leaves out steps whose gradients overflow.

    The scale doubles after `growth_interval` good steps, and halves at an overflow.

    >>> import pullback as pb
    >>> x = pb.tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = pb.optim.SGD([x], lr=0.5), pb.train.amp.GradScaler()
    >>> scaler.scale((x * x).sum()).backward()
    >>> scaler.step(optimizer); scaler.update()
    >>> x.tolist(), scaler.get_scale()
    ([0.0], 65536.0)
    """

    def __init__(self, device: str = "cpu", init_scale: float = 2.0**16, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True) -> None:
        if enabled and not (growth_factor > 1.0 and 0 < backoff_factor < 1.0):
            raise ValueError_(message("GradScaler: the growth factor must be > 1.0, the backoff factor < 1.0",
                                      [("growth_factor", repr(growth_factor)),
                                       ("backoff_factor", repr(backoff_factor))]))
        self._enabled, self._scale = enabled, float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._found: dict[int, bool] = {}  # by optimiser: whether this step's gradients are finite
        self._stepped: set[int] = set()

    def scale(self, outputs: Any) -> Any:
        """A loss (or several) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(x) for x in outputs)
        if isinstance(outputs, TensorBase):
            loss: Any = outputs
            return loss * self._scale
        raise ArgumentError(message("outputs must be a Tensor or an iterable of Tensors",
                                    [("outputs", type(outputs).__name__)]))

    def unscale_(self, optimizer: Any) -> None:
        """Divide an optimiser's gradients by the scale, for example before clipping them."""
        if not self._enabled:
            return
        if id(optimizer) in self._found:
            raise ValueError_(message("unscale_() has already been called on this optimizer since the last update().",
                                      []))
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        size = unscale_gradients_(params, 1.0 / self._scale) if params else 0.0
        self._found[id(optimizer)] = math.isfinite(float(size))

    def step(self, optimizer: Any, *args: Any, **options: Any) -> Any:
        """`optimizer.step()`, unless a gradient is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **options)
        if id(optimizer) in self._stepped:
            raise ValueError_(message("step() has already been called since the last update().", []))
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return optimizer.step(*args, **options) if self._found[id(optimizer)] else None

    def update(self, new_scale: float | None = None) -> None:
        """The scale of the next step."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not all(self._found.values()):
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._scale *= self._growth_factor
                self._growth_tracker = 0
        self._found, self._stepped = {}, set()

    def get_scale(self) -> float:
        """The present scale."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied with after `growth_interval` good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what `get_growth_factor` gives."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied with at an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what `get_backoff_factor` gives."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set what `get_growth_interval` gives."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether anything is scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on."""
        if not self._enabled:
            return {}
        return {"scale": self._scale, "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
                "growth_interval": self._growth_interval, "_growth_tracker": self._growth_tracker}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""
        if not self._enabled:
            return
        self._scale, self._growth_factor = state_dict["scale"], state_dict["growth_factor"]
        self._backoff_factor, self._growth_interval = state_dict["backoff_factor"], state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
