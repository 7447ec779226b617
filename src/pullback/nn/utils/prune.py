"""Pruning: weights under masks of zeros and ones.

`l1_unstructured(layer, "weight", 0.3)` makes the parameter `weight_orig` of the weight and the buffer `weight_mask`
beside it; in front of every call `weight` becomes their product. `remove` leaves that product as the weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from pullback.api.creation import ones_like, zeros_like
from pullback.api.elementwise import abs as absolute
from pullback.api.elementwise import where
from pullback.api.linear_algebra import norm
from pullback.api.sorting import topk
from pullback.engine.control import no_grad
from pullback.engine.tensor import TensorBase, from_host
from pullback.nn import draw
from pullback.nn.module import Module
from pullback.nn.utils import parameters_to_vector
from pullback.util.errors import ArgumentError, AxisError, LengthsError, ShapeError, ValueError_, message


class BasePruningMethod:
    """A way to choose what is pruned. A subclass has `compute_mask`, and says in PRUNING_TYPE what of a tensor that has
    been pruned before it is shown: "unstructured", the elements that are left; "structured", the channels along its
    `dim` of which something is left; "global", all."""

    PRUNING_TYPE: str = "unstructured"
    _tensor_name: str = ""

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for scores, given the one of what was pruned before."""
        raise NotImplementedError(f"{type(self).__name__}.compute_mask")

    def apply_mask(self, module: Any) -> Any:
        """The pruned tensor of a module."""
        if not self._tensor_name:
            raise ArgumentError(message(f"{type(module).__name__} has to be pruned",
                                        help=f"{type(self).__name__}.apply(module, 'weight', ...)"))
        original = getattr(module, f"{self._tensor_name}_orig")
        return getattr(module, f"{self._tensor_name}_mask").to(original.dtype) * original

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prune a parameter of a module, by the scores given or its own size; returns the method that is at work."""
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        held = _held(module, name)
        weight = getattr(module, name)
        scores = _scores(weight, importance_scores, name)
        if held is None:
            before: Any = ones_like(weight.detach())
        else:
            before = getattr(module, f"{name}_mask").detach().clone()
            method = _joined(held[1], method)
        mask = method.compute_mask(scores, default_mask=before)
        if held is None:
            delattr(module, name)
            module.register_parameter(f"{name}_orig", weight)
        else:
            del module._pre_hooks[held[0]]
        module.register_buffer(f"{name}_mask", mask)
        method(module, ())
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """A tensor pruned."""
        scores = _scores(t, importance_scores, "t")
        before: Any = ones_like(t.detach()) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=before)

    def remove(self, module: Any) -> None:
        """Leave the pruned tensor as the module's parameter."""
        value, name = self.apply_mask(module).detach(), self._tensor_name
        original = module._parameters[f"{name}_orig"]
        for part in (name, f"{name}_orig", f"{name}_mask"):
            delattr(module, part)
        with no_grad():
            original.copy_(value)
        setattr(module, name, original)


def _held(module: Any, name: str | None = None) -> tuple[int, BasePruningMethod] | None:
    """The hook that prunes a parameter (None: any), and its number."""
    for number, hook in module.__dict__.get("_pre_hooks", {}).items():
        method = hook.call
        if isinstance(method, BasePruningMethod) and name in (None, method._tensor_name):  # pyright: ignore[reportPrivateUsage]
            return number, method
    return None


def _joined(before: BasePruningMethod, method: BasePruningMethod) -> PruningContainer:
    """A container of what pruned before, and one more."""
    return PruningContainer(*(before if isinstance(before, PruningContainer) else (before,)), method)


def _scores(tensor: Any, scores: Any, name: str) -> Any:
    if scores is None:
        return tensor.detach()
    if tuple(scores.shape) != tuple(tensor.shape):
        raise LengthsError(message(f"importance_scores should have the same shape as {name}",
                                   [("importance_scores", repr(scores.info.type)), (name, repr(tensor.info.type))],
                                   "one score for each element"))
    return scores.detach()


class PruningContainer(BasePruningMethod):
    """Methods that pruned a parameter one after the other."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Put a method behind the others."""
        if not isinstance(method, BasePruningMethod):
            raise ArgumentError(message(f"{type(method).__name__} is not a BasePruningMethod subclass",
                                        [("method", f"{method!r:.60}")], "give an instance of one"))
        if self._tensor_name != method._tensor_name:
            raise ValueError_(message("Can only add pruning methods acting on the parameter of the container",
                                      [("container", repr(self._tensor_name)), ("method", repr(method._tensor_name))],
                                      "use a container for each parameter"))
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: Any) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with what the last method chooses of what is left."""
        method, mask = self._pruning_methods[-1], default_mask.to(t.dtype)
        if method.PRUNING_TYPE == "global":
            return method.compute_mask(t, default_mask=mask).to(t.dtype)
        if method.PRUNING_TYPE not in ("structured", "unstructured"):
            raise ValueError_(message("Unrecognized PRUNING_TYPE", [("PRUNING_TYPE", repr(method.PRUNING_TYPE))],
                                      "'unstructured', 'structured' or 'global'"))
        left: Any = mask == 1
        if method.PRUNING_TYPE == "structured":
            along = _dimension(t, getattr(method, "dim", -1))
            keep = (mask.moveaxis(along, 0).reshape(t.shape[along], -1).sum(1) != 0)
            left = (*(slice(None),) * along, keep)
        found = mask.clone()
        found[left] = method.compute_mask(t[left], default_mask=mask[left]).to(t.dtype)
        return found


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask there was."""
        return default_mask


class _Some(BasePruningMethod):
    """What methods that prune an amount of elements or channels have in common."""

    def __init__(self, amount: Any) -> None:
        whole = isinstance(amount, int) and not isinstance(amount, bool)
        if not whole and not isinstance(amount, float):
            raise ArgumentError(message("Invalid type for amount: must be int or float",
                                        [("amount", f"{type(amount).__name__} {amount!r:.60}")], "amount=0.3"))
        if amount < 0 or (not whole and not amount <= 1):
            raise ValueError_(message("amount should either be a float in the range [0, 1] or a non-negative integer",
                                      [("amount", repr(amount))], "a fraction, or how many"))
        self.amount = amount

    def count(self, size: int) -> int:
        """How many of so many are pruned."""
        found = self.amount if isinstance(self.amount, int) else round(self.amount * size)
        if found > size:
            raise ValueError_(message("amount should be smaller than the number of parameters to prune",
                                      [("amount", repr(self.amount)), ("parameters", str(size))], "a fraction of them"))
        return found


class _Elements(_Some):
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask without the elements of the lowest scores."""
        count, mask = self.count(math.prod(t.shape)), default_mask.clone()
        if count:
            mask.view(-1)[topk(self.scores(t).reshape(-1), count, largest=False)[1]] = 0
        return mask

    def scores(self, t: Any) -> Any:
        """What is low is pruned."""
        raise NotImplementedError


class RandomUnstructured(_Elements):
    """Prunes elements at random."""

    def scores(self, t: Any) -> Any:
        """Random numbers."""
        return -from_host(draw.uniform(t, 0.0, 1.0))


class L1Unstructured(_Elements):
    """Prunes the smallest elements."""

    def scores(self, t: Any) -> Any:
        """The sizes of elements."""
        return absolute(t)


class _Channels(_Some):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask without the channels of the lowest scores."""
        if t.ndim <= 1:
            raise ShapeError(message("Structured pruning can only be applied to multidimensional tensors",
                                     [("tensor", repr(t.info.type))], "use l1_unstructured"))
        along = _dimension(t, self.dim)
        size = t.shape[along]
        count = self.count(size)
        if not count:
            return default_mask
        lines = t.moveaxis(along, 0).reshape(size, -1)
        keep = zeros_like(lines[:, 0])
        keep[topk(self.scores(lines), size - count)[1]] = 1
        shape = [size if d == along else 1 for d in range(t.ndim)]
        return where(keep.reshape(shape) == 1, default_mask.to(t.dtype), 0.0)

    def scores(self, lines: Any) -> Any:
        """Of what is low, the channel is pruned."""
        raise NotImplementedError


class RandomStructured(_Channels):
    """Prunes channels along a dimension at random."""

    def scores(self, lines: Any) -> Any:
        """Random numbers."""
        return from_host(draw.uniform(lines[:, 0], 0.0, 1.0))


class LnStructured(_Channels):
    """Prunes the channels along a dimension whose norms are the smallest."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def scores(self, lines: Any) -> Any:
        """The norms of channels."""
        return norm(lines, self.n, 1)


class CustomFromMask(BasePruningMethod):
    """Prunes what a mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The product of both masks."""
        if tuple(default_mask.shape) != tuple(self.mask.shape):
            raise LengthsError(message("the mask must have the shape of what is pruned",
                                       [("mask", repr(self.mask.info.type)), ("pruned", repr(t.info.type))]))
        return default_mask * self.mask.to(default_mask.dtype)


def _dimension(t: Any, dim: int) -> int:
    if not -t.ndim <= dim < t.ndim:
        raise AxisError(message(f"Invalid index {dim} for a tensor of {t.ndim} dimensions",
                                [("tensor", repr(t.info.type)), ("dim", str(dim))],
                                f"from {-t.ndim} to {t.ndim - 1}"))
    return dim % t.ndim


def identity(module: Module, name: str) -> Module:
    """Give a parameter a mask of ones."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prune an amount (a fraction, or how many) of elements at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: Any, importance_scores: Any = None) -> Module:
    """Prune an amount (a fraction, or how many) of elements: the smallest, or those of the lowest scores.

    >>> import pullback as pb
    >>> layer = pb.nn.utils.prune.l1_unstructured(pb.nn.Linear(3, 2), "weight", amount=2)
    >>> sorted(layer.state_dict()), int((layer.weight == 0).sum())
    (['bias', 'weight_mask', 'weight_orig'], 2)
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prune an amount (a fraction, or how many) of channels along a dimension at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Module:
    """Prune an amount (a fraction, or how many) of channels along a dimension: those of the smallest norms."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Any) -> Module:
    """Prune what a mask says."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prune elements of several parameters, (module, name) each, as if they were one."""
    if not isinstance(parameters, Iterable):
        raise ArgumentError(message("global_unstructured: parameters is not an Iterable",
                                    [("parameters", type(parameters).__name__)], "[(module, 'weight'), ...]"))
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise ArgumentError(message("global_unstructured: importance_scores must be of type dict",
                                    [("importance_scores", type(importance_scores).__name__)],
                                    "{(module, 'weight'): scores}"))
    pairs: list[tuple[Any, str]] = list(parameters)
    weights: list[TensorBase] = [getattr(module, name).detach() for module, name in pairs]
    given: dict[Any, Any] = importance_scores or {}
    scores = [given.get(pair, weight) for pair, weight in zip(pairs, weights, strict=True)]
    masks = [getattr(m, f"{name}_mask", None) for m, name in pairs]
    before = [ones_like(w) if mask is None else mask for w, mask in zip(weights, masks, strict=True)]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise ArgumentError(message('Only "unstructured" PRUNING_TYPE supported for the `pruning_method`',
                                    [("pruning_method", pruning_method.__name__),
                                     ("PRUNING_TYPE", repr(method.PRUNING_TYPE))],
                                    "L1Unstructured, RandomUnstructured"))
    found = PruningContainer(method).compute_mask(parameters_to_vector(scores).detach(), parameters_to_vector(before))
    start = 0
    for (module, name), weight in zip(pairs, weights, strict=True):
        stop = start + math.prod(weight.shape)
        custom_from_mask(module, name, found[start:stop].reshape(tuple(weight.shape)))
        start = stop


def remove(module: Any, name: str) -> Any:
    """Leave a pruned parameter as it is: without the original and the mask."""
    held = _held(module, name)
    if held is None:
        raise ValueError_(message(f"Parameter {name!r} of module {type(module).__name__} has to be pruned before "
                                  "pruning can be removed", help=f"l1_unstructured(module, {name!r}, amount=0.3)"))
    held[1].remove(module)
    del module._pre_hooks[held[0]]
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of a module, or of one in it, is pruned."""
    return any(_held(part) is not None for _, part in module.named_modules())


__all__ = ["BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
           "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned",
           "l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove"]
