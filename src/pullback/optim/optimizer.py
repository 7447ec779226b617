"""The base of all optimisers: groups of parameters, state, and a step that records one operation for each group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, ClassVar

from pullback.engine.execute import flush
from pullback.engine.operation import Operation
from pullback.engine.tensor import AutogradMeta, TensorBase, from_host, zeros_at_once
from pullback.engine.trace import SCALARS, record, thread
from pullback.ir.dtypes import float32
from pullback.optim.functional import OPERATIONS, Structure, first_scalar, first_state, have_of
from pullback.optim.rules import Rule
from pullback.util.errors import ArgumentError, GradientError, KeyError_, NotLeafError, ShapeError, ValueError_, message


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Plan:
    """How the parameters of a group that have gradients are stepped: sets that share scalars, one operation each."""

    __slots__ = ("missing", "parts", "sparse", "state", "states", "structure")

    def __init__(self, missing: list[int], sparse: list[int], parts: list[Part], state: Any, structure: Any) -> None:
        self.missing, self.sparse, self.parts, self.state, self.structure = missing, sparse, parts, state, structure
        self.states = len(state)


class Part:
    """Parameters stepped by one operation."""

    __slots__ = ("have", "params", "scalars", "sparse", "states", "static")

    def __init__(self, params: list[TensorBase], states: list[dict[str, Any]],
                 have: tuple[tuple[str, tuple[int, ...]], ...], scalars: tuple[str, ...], flags: Any) -> None:
        self.params, self.states, self.scalars = params, states, scalars
        self.have = [(name, [states[k] for k in members]) for name, members in have]
        grads: list[Any] = [p.grad for p in params]
        self.sparse = [k for k, g in enumerate(grads) if g.is_sparse]
        sparse = ("sparse", tuple((k, grads[k].leading) for k in self.sparse))
        self.static = Structure.of((("count", len(params)), ("have", have), ("scalars", scalars), sparse, *flags))

    def gradients(self) -> list[Any]:
        """The tensors of the gradients: of sparse ones the entries, and, after all gradients, their places."""
        grads: list[Any] = [p._meta.grad for p in self.params]  # pyright: ignore[reportOptionalMemberAccess]
        sparse = [grads[k] for k in self.sparse]
        for k, g in zip(self.sparse, sparse, strict=True):
            grads[k] = g.held
        return grads + [g.places for g in sparse]


class Optimizer:
    """Base class of optimisers: `params` is an iterable of tensors, `(name, tensor)` pairs, or dicts of groups."""

    rule: ClassVar[Rule]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: Any = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._plans: dict[int, Plan] = {}
        self._pre_hooks: dict[Any, Callable[..., Any]] = {}
        self._post_hooks: dict[Any, Callable[..., Any]] = {}
        self._state_hooks: dict[str, dict[Any, Callable[..., Any]]] = defaultdict(dict)
        if isinstance(params, TensorBase):
            raise ArgumentError(message("optimiser: params must be an iterable of tensors",
                                        [("given", repr(params.info.type))], "pass [x], or model.parameters()"))
        if not isinstance(params, Iterable):
            raise ArgumentError(message("optimiser: params must be an iterable of tensors",
                                        [("given", type(params).__name__)], "pass model.parameters()"))
        groups = list(params)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if not groups:
            raise ValueError_(message("optimizer got an empty parameter list", [("params", "[]")],
                                      "a generator can be used once only; check that the model has parameters"))
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # -- groups ------------------------------------------------------------------------------------------------------
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with its own hyperparameters, given as `{"params": [...], "lr": ...}`."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise ArgumentError(message("optimiser: a parameter group must be a dict with the key 'params'",
                                        [("given", f"{param_group!r:.60}")]))
        group = dict(param_group)
        given = group["params"]
        params: list[Any] = [given] if isinstance(given, TensorBase) else list(given)
        if params and all(isinstance(p, tuple) for p in params):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        for p in params:
            _check_parameter(p)
        if len({id(p) for p in params}) < len(params):
            raise ValueError_(message("optimiser: a parameter stands twice in one group",
                                      help="pass each parameter once"))
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in known for p in params):
            raise ValueError_(message("some parameters appear in more than one parameter group",
                                      help="each parameter belongs to one group"))
        group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError_(message(f"optimiser: a parameter group lacks {name}", help=f"pass {name}="))
            group.setdefault(name, default)
        self.param_groups.append(group)
        self._plans.clear()
        trace = thread.context.trace
        values: list[Any] = [p._value for p in params]  # those of lazy layers may be None
        if trace.kind == "main" and any(v is not None and v.trace is trace for v in values):
            flush(trace)  # their first values are there, whatever becomes of the program of the first step

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or set them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                meta = p._meta
                if meta is None or meta.grad is None:
                    continue
                if set_to_none or not meta.grad.is_sparse:
                    meta.grad = None if set_to_none else _zeros_like(p)
                else:
                    meta.grad.zero_()

    # -- the step ----------------------------------------------------------------------------------------------------
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have gradients, and launch what was recorded.

        `closure` computes the loss again; its result is returned.
        """
        if self._pre_hooks:
            for hook in list(self._pre_hooks.values()):
                hook(self, (), {})
        here = thread.context
        before = here.grad_enabled
        loss = None
        if closure is not None:
            here.grad_enabled = True
            try:
                loss = closure()
            finally:
                here.grad_enabled = before
        here.grad_enabled = False
        try:
            for index, group in enumerate(self.param_groups):
                self._step_group(index, group)
        finally:
            here.grad_enabled = before
        trace = here.trace
        if trace.kind == "main":
            flush(trace)
        if self._post_hooks:
            for hook in list(self._post_hooks.values()):
                hook(self, (), {})
        return loss

    def _step_group(self, index: int, group: dict[str, Any]) -> None:
        missing: list[int] = []
        sparse: list[int] = []
        for k, p in enumerate(group["params"]):
            meta = p._meta
            if meta is None or meta.grad is None:
                missing.append(k)
            elif meta.grad.is_sparse:
                sparse.append(k)
        rule = self.rule
        flags = rule.flags(group)
        plan = self._plans.get(index)
        state = self.state
        if (plan is None or plan.missing != missing or plan.state is not state or plan.states != len(state)
                or plan.structure != flags or plan.sparse != sparse):
            plan = self._plans[index] = self._plan(group, missing, sparse, flags)
        numbers = [x if type(x) is float else _number(x) for x in rule.numbers(group)]
        operation = OPERATIONS[rule.name]
        for part in plan.parts:
            _run(operation, part, numbers, part.static)

    def _plan(self, group: dict[str, Any], missing: list[int], sparse: list[int], flags: Any) -> Plan:
        """Make the state of parameters that have none, and find sets that share their scalars."""
        absent = set(missing)
        check_sparse(self.rule, group, sparse, len(group["params"]) - len(missing))
        params: list[TensorBase] = [p for k, p in enumerate(group["params"]) if k not in absent]
        scalars = self.rule.shared(group)
        slots = self.rule.slots(group)
        new = [p for p in params if not self.state.get(p)]
        firsts = {name: first_scalar(start(group)) for name, start in scalars} if new else {}
        for p in params:
            if p._meta is not None and p._meta.grad.shape != p.shape:
                raise ShapeError(message("optimiser: a gradient must have the shape of its parameter",
                                         [("param", repr(p.info.type)), ("grad", repr(p._meta.grad.info.type))]))
            state = self.state[p]
            for name, start in scalars:
                if name not in state:
                    state[name] = firsts[name] if name in firsts else first_scalar(start(group))
            for slot in slots:
                if slot.name not in state and slot.rank[0] <= p.ndim <= slot.rank[1]:
                    state[slot.name] = first_state(slot, group, p.shape, p.dtype)
        names = tuple(name for name, _ in scalars)
        parts: list[Part] = []
        on_rows = (("on_rows", self.rule.on_rows(group)),) if sparse and self.rule.on_rows is not None else ()
        for members in self._sharing(params, names, missing, group):
            have = have_of(slots, [p.ndim for p in members])
            parts.append(Part(members, [self.state[p] for p in members], have, names, (*flags, *on_rows)))
        return Plan(missing, sparse, parts, self.state, flags)

    def _sharing(self, params: list[TensorBase], names: tuple[str, ...], missing: list[int],
                 group: dict[str, Any]) -> list[list[TensorBase]]:
        """Sets of parameters with the same scalars. Those that step now stop sharing with those that do not."""
        sets: dict[tuple[int, ...], list[TensorBase]] = {}
        for p in params:
            state = self.state[p]
            sets.setdefault(tuple(id(state[n]) for n in names), []).append(p)
        waiting = [state for k in missing if (state := self.state.get(group["params"][k]))]
        idle = {id(state[n]) for state in waiting for n in names if n in state}
        for members in sets.values():
            for name in names:
                scalar = self.state[members[0]][name]
                if id(scalar) not in idle:
                    continue
                own = type(scalar)(scalar._peek())
                for p in members:
                    self.state[p][name] = own
        return list(sets.values())

    # -- hooks -------------------------------------------------------------------------------------------------------
    def register_step_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(optimizer, args, kwargs)` before each step."""
        return Handle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return Handle(self._post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call `hook(optimizer)` before `state_dict()` is made."""
        return Handle(self._state_hooks["state_dict_pre"], hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call `hook(optimizer, state_dict)` on what `state_dict()` has made; what it returns replaces it."""
        return Handle(self._state_hooks["state_dict_post"], hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call `hook(optimizer, state_dict)` before it is loaded; what it returns is loaded in its place."""
        return Handle(self._state_hooks["load_pre"], hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call `hook(optimizer)` after a state dict has been loaded."""
        return Handle(self._state_hooks["load_post"], hook, prepend)

    def _changed(self, when: str, state_dict: dict[str, Any]) -> dict[str, Any]:
        """A state dict after the hooks that may replace it."""
        for hook in list(self._state_hooks[when].values()):
            found = hook(self, state_dict)
            state_dict = state_dict if found is None else found
        return state_dict

    # -- saving ------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """State and hyperparameters: `{"state": {index: {...}}, "param_groups": [{..., "params": [index, ...]}]}`."""
        for hook in list(self._state_hooks["state_dict_pre"].values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups: list[dict[str, Any]] = []
        for group in self.param_groups:
            indices = [numbers.setdefault(id(p), len(numbers)) for p in group["params"]]
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": indices})
        state = {numbers[id(p)]: dict(s) for p, s in self.state.items() if id(p) in numbers and s}
        return self._changed("state_dict_post", {"state": dict(sorted(state.items())), "param_groups": groups})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave. Tensors are copied and cast to the dtype of their parameter."""
        self._load(self._changed("load_pre", dict(state_dict)))
        for hook in list(self._state_hooks["load_post"].values()):
            hook(self)

    def _load(self, state_dict: dict[str, Any]) -> None:
        for key in ("state", "param_groups"):
            if key not in state_dict:
                raise KeyError_(message(f"load_state_dict: {key!r} is missing",
                                        [("keys", ", ".join(map(str, state_dict)) or "none")],
                                        "pass what Optimizer.state_dict() returned"))
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError_(message("loaded state dict has a different number of parameter groups",
                                      [("saved", str(len(saved))), ("here", str(len(self.param_groups)))],
                                      "build the optimiser with the same groups first"))
        by_index: dict[int, tuple[TensorBase, dict[Any, Any]]] = {}
        for k, (group, other) in enumerate(zip(self.param_groups, saved, strict=True)):
            if len(group["params"]) != len(other["params"]):
                raise ValueError_(message(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
                    [("saved", f"group {k}: {len(other['params'])} parameters"),
                     ("here", f"{len(group['params'])} parameters")]))
            pool: dict[Any, Any] = {}  # each group counts its steps in a tensor of its own
            by_index.update({i: (p, pool) for i, p in zip(other["params"], group["params"], strict=True)})
        state: Any = defaultdict(dict)
        for index, entry in state_dict["state"].items():
            found = by_index.get(int(index)) if isinstance(index, (int, str)) else None
            if found is None:
                raise KeyError_(message("load_state_dict: state of a parameter that is in no group",
                                        [("index", repr(index))]))
            p, pool = found
            state[p] = {name: _restored(p, name, value, pool) for name, value in entry.items()}
            if "momentum_buffer" in state[p] and "step" not in state[p]:
                state[p]["step"] = pool.setdefault(("step", 1.0), first_scalar(1.0))
        self.state = state
        self.param_groups = [{**group, **other, "params": group["params"]}
                             for group, other in zip(self.param_groups, saved, strict=True)]
        self._plans.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": dict(self.state), "param_groups": self.param_groups}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__dict__.update(saved)
        state: Any = defaultdict(dict)
        state.update(saved["state"])
        self.state = state
        self._plans, self._pre_hooks, self._post_hooks, self._state_hooks = {}, {}, {}, defaultdict(dict)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


_NUMBERS = count()


class Handle:
    """Removes a hook again."""

    def __init__(self, hooks: dict[Any, Any], hook: Any, prepend: bool = False) -> None:
        self._hooks, self._key = hooks, next(_NUMBERS)  # not the handle's address: few keep their handles
        before = list(hooks.items()) if prepend else []
        hooks[self._key] = hook
        for key, other in before:  # dicts keep the order in which keys came
            del hooks[key]
            hooks[key] = other

    def remove(self) -> None:
        self._hooks.pop(self._key, None)


def _run(operation: Operation, part: Part, numbers: list[Any], static: Any) -> None:
    """Record one step of a part and give its tensors their new values."""
    here = thread.context
    if here.track is None and here.trace.kind == "main":
        values = _values(part)
        if None not in values:
            results = record(operation, values + numbers, static)
            count = len(part.params)
            here.trace.exchange(values[:count] + values[len(values) - len(results) + count:], results)
            _assign(part, results)
            return
    _run_traced(operation, part, numbers, static)


def _values(part: Part) -> list[Any]:
    """The operands, read without ceremony (None for a view)."""
    params = part.params
    values: list[Any] = [p._value for p in params]
    if part.sparse:
        values += [g._value for g in part.gradients()]
    else:
        values += [p._meta.grad._value for p in params]  # pyright: ignore[reportOptionalMemberAccess]
    for name, states in part.have:
        values += [state[name]._value for state in states]
    first = part.states[0]
    for name in part.scalars:
        values.append(first[name]._value)
    return values


def _assign(part: Part, results: tuple[Any, ...]) -> None:
    """Give tensors their new values; forget what the forward pass read, so that its memory is free for results."""
    k = 0
    for p in part.params:
        p._value = results[k]
        meta: Any = p._meta
        meta.source = meta.leaf = None
        k += 1
    for name, states in part.have:
        for state in states:
            state[name]._value = results[k]
            k += 1
    first = part.states[0]
    for name in part.scalars:
        first[name]._value = results[k]
        k += 1


def _run_traced(operation: Operation, part: Part, numbers: list[Any], static: Any) -> None:
    """The same inside a function that is being traced, and for views."""
    first = part.states[0]
    targets: list[Any] = list(part.params)
    for name, states in part.have:
        targets += [state[name] for state in states]
    targets += [first[name] for name in part.scalars]
    count = len(part.params)
    grads = part.gradients()
    track = thread.context.track
    values: list[Any] = []
    for t in [*targets[:count], *grads, *targets[count:]]:
        value = t._peek()
        if track is not None:
            track[value] = t
        values.append(value)
    for t, value in zip(targets, record(operation, values + numbers, static), strict=True):
        t.assign_value(value)


def _number(x: Any) -> Any:
    if isinstance(x, TensorBase):
        value = x._peek()
        track = thread.context.track
        if track is not None:
            track[value] = x
        return value
    return float(x)


def check_sparse(rule: Rule, group: dict[str, Any], sparse: list[int], count: int) -> None:
    """Refuse gradients that a rule has no step for."""
    name = "Adam" if rule.name == "AdamW" else rule.name
    if rule.name == "SparseAdam" and len(sparse) < count:
        raise GradientError(message("SparseAdam does not support dense gradients, please consider Adam instead",
                                    [("group", f"{count - len(sparse)} dense gradients")],
                                    "Embedding(..., sparse=True) has sparse ones, outside of jit"))
    if not sparse:
        return
    if rule.on_rows is None:
        rest = ", please consider SparseAdam instead" if name == "Adam" else ""
        raise GradientError(message(f"{name} does not support sparse gradients{rest}",
                                    [("parameter", f"number {sparse[0]}")],
                                    "SparseAdam, SGD and Adagrad do; sparse=False gives dense ones"))
    if group.get("weight_decay"):
        raise GradientError(message(f"{name}: weight_decay option is not compatible with sparse gradients",
                                    [("weight_decay", repr(group["weight_decay"]))],
                                    "weight_decay=0 in the group of that parameter; it would reach every row"))


def _check_parameter(p: Any) -> None:
    if not isinstance(p, TensorBase):
        raise ArgumentError(message("optimizer can only optimize Tensors", [("given", type(p).__name__)],
                                    "pass model.parameters()"))
    if not p.is_leaf:
        raise NotLeafError(message("can't optimize a non-leaf Tensor", [("tensor", repr(p.info.type))],
                                    "pass the tensor it was computed from, or x.detach().requires_grad_()"))
    if not p.dtype.is_inexact:
        raise GradientError(message("optimizer can only optimize floating-point tensors",
                                    [("tensor", repr(p.info.type))], "convert first: x.float()"))
    if p._meta is None:
        p._meta = AutogradMeta(False)


def _restored(p: TensorBase, name: str, value: Any, pool: dict[Any, Any]) -> Any:
    """A state tensor of one's own; equal scalars of several parameters become one tensor."""
    if not isinstance(value, TensorBase) and not hasattr(value, "__array__") and type(value) not in SCALARS:
        return value
    if isinstance(value, TensorBase) and value.ndim and value.dtype is p.dtype:
        return type(value)(value._peek())
    tensor = from_host(value, float32 if name == "step" else None)
    if tensor.ndim == 0 and name in ("step", "mu_product", "eta", "mu"):
        return pool.setdefault((name, tensor.item()), tensor)
    return from_host(tensor, p.dtype) if tensor.dtype.is_inexact else tensor


def _zeros_like(p: TensorBase) -> Any:
    """Zeros like a parameter, concrete."""
    return zeros_at_once(p.shape, p.dtype)
