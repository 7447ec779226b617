"""Sessions: variables' values, and runs of the graph, each compiled once."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.api.random import Generator
from pullback.api.tensor import Tensor as Array
from pullback.dialects.tensorflow import graph as graphs
from pullback.dialects.tensorflow.dtypes import TensorShape
from pullback.dialects.tensorflow.errors import InvalidArgumentError, NotFoundError, OpError
from pullback.dialects.tensorflow.graph import Graph, MissingNameError, Operation, Summary, Tensor, get_default_graph
from pullback.dialects.tensorflow.run import READS, WRITES, Run, needed, seeded, unfed
from pullback.engine.jit import Jitted
from pullback.engine.tensor import TensorBase, from_host, host_array, host_number
from pullback.util import tree
from pullback.util.errors import ArgumentError, IndexError_, ValueError_, message

_SEED_STEP = 0x9E3779B97F4A7C15


class Plan:
    """What a set of fetches with a set of feeds does: the operations needed, the variables read and written, the
    program."""

    __slots__ = ("feeds", "jitted", "listed", "operations", "places", "pulled", "reads", "ready", "structure",
                 "targets", "writes")

    def __init__(self, session: Session, fetches: list[Any], structure: Any, feeds: list[Tensor]) -> None:
        self.structure, self.feeds = structure, feeds
        self.listed = structure is tree.flatten([0] * len(fetches))[1]
        self.ready = False  # whether all variables have values
        wanted = [f if isinstance(f, Operation) else f.op for f in fetches]
        fed = dict.fromkeys(feeds)
        self.operations = needed(wanted, fed)
        self.targets = [None if isinstance(f, Operation) else f for f in fetches]
        self.places = [k for k, t in enumerate(self.targets) if t is not None]
        self.pulled = [op for op in self.operations if op.type == "IteratorGetNext"]
        self.writes = [op.variable for op in self.operations if op.variable is not None and op.type in WRITES]
        self.reads = [op.variable for op in self.operations if op.variable is not None and op.type in READS]
        for op in self.operations:
            _check_device(op, session.soft)
            if op.compute is None:
                raise InvalidArgumentError(unfed(op), op)
        given = [*feeds, *(t for op in self.pulled for t in op.outputs)]

        def run(*values: Any) -> Any:
            state = Run(session)
            state.bound.update(zip(given, values, strict=True))
            for op in self.operations:
                state.step(op)
            for variable, value in state.updates.items():
                session.store(variable, value)
            return [None if t is None else state.bound[t] for t in self.targets]

        run.__name__ = "Session.run"
        self.jitted = Jitted(run)

    def values(self, given: Any) -> list[Any]:
        """The values fed, checked and cast."""
        return [_value(t, v) for t, v in zip(self.feeds, given, strict=True)]

    def call(self, session: Session, given: Any) -> Any:
        """The results for values fed."""
        values = self.values(given)
        for op in self.pulled:
            values.extend(session.pull(op))
        storage = session.storage
        if self.ready or (all(v in storage for v in self.writes) and all(v in storage for v in self.reads)):
            self.ready = True
            results = self.jitted(*values)
        else:  # variables get their first values: once, so it is not compiled apart
            results = self.jitted.function(*values)
        return tree.unflatten(self.structure, [_host(x) for x in results])

    def placed(self, values: list[Any]) -> Any:
        """The values of the tensors fetched, among the fetches, as NumPy has them."""
        results: list[Any] = [None] * len(self.targets)
        for k, value in zip(self.places, values):
            make = _MAKERS.get(value.info)
            results[k] = _host_value(value) if make is None else make(host_number(value))
        return results if self.listed else tree.unflatten(self.structure, results)


def _check_device(op: Operation, soft: bool) -> None:
    """Refuse operations for a device that is not there, unless the CPU may stand for it."""
    if soft or not op.device or "cpu" in op.device.lower() or ":" not in op.device:
        return
    raise InvalidArgumentError(
        message(
            f"Cannot assign a device for operation {op.name}: Could not satisfy explicit device specification "
            f"'{op.device}'",
            [("devices", "/device:CPU:0")],
            "leave tf.device() out, or tf.Session(config=tf.ConfigProto(allow_soft_placement=True))",
        ),
        op,
    )


class Session:
    """Runs parts of a graph and keeps the values of its variables."""

    def __init__(self, target: str = "", graph: Graph | None = None, config: Any = None) -> None:
        if graph is not None and not isinstance(graph, Graph):
            raise ArgumentError(message(f"Argument `graph` must be a tf.Graph, but got {type(graph).__name__}"))
        if target:
            raise NotFoundError(message("Session: no such master", [("target", repr(target))], "leave it empty"))
        self.graph = graph or get_default_graph()
        self.soft = bool(getattr(config, "allow_soft_placement", False))  # whether the CPU may stand for other devices
        self.storage: dict[Any, Any] = {}
        self.plans: dict[Any, Plan] = {}
        self.routes: dict[Any, Plan] = {}  # plans by fetches and feeds as they are given
        self.generators: dict[Any, Generator] = {}
        self.iterators: dict[Operation, Any] = {}
        self.closed = False
        self._graph_context: Any = None

    # -- running -------------------------------------------------------------------------------------------------------
    def run(self, fetches: Any, feed_dict: Any = None, options: Any = None, run_metadata: Any = None) -> Any:
        """The values of `fetches` (a tensor, operation, variable or name, or nested lists, tuples and dicts of them),
        as NumPy
        arrays; `feed_dict` gives values of placeholders."""
        kind = type(fetches)
        feeds = feed_dict or ()
        try:
            key = (kind, *fetches, None, *feeds) if kind is list or kind is tuple else (fetches, None, *feeds)
            plan = self.routes.get(key)
        except TypeError:  # nested fetches
            key = plan = None
        if plan is None:
            leaves, structure = tree.flatten(fetches)
            if any(isinstance(x, Summary) for x in leaves):
                return self.summarised(leaves, structure, feed_dict)
            plan = self.plan(fetches, feeds)
            if key is not None:
                self.routes[key] = plan
        try:
            given = tuple(feed_dict.values()) if feed_dict else ()
            if plan.ready and not plan.pulled:
                found = plan.jitted.again(given)
                if found is not None:  # types met before need no check
                    return plan.placed(found)
            return plan.call(self, given)
        except IndexError_ as error:  # met by a program, or by an operation as the program was made
            if isinstance(error, OpError):
                raise
            raise InvalidArgumentError(str(error)) from None

    def summarised(self, leaves: list[Any], structure: Any, feed_dict: Any) -> Any:
        """A run with summaries among what is fetched: their tensors are fetched, and encoded."""
        expanded = tree.unflatten(structure, [tuple(x.tensors) if isinstance(x, Summary) else x for x in leaves])
        values = structure.flatten_up_to(self.run(expanded, feed_dict))
        found = [x.encode(v) if isinstance(x, Summary) else v for x, v in zip(leaves, values, strict=True)]
        return tree.unflatten(structure, found)

    def plan(self, fetches: Any, feeds: Any) -> Plan:
        """What a run of these fetches with values for these feeds does."""
        if self.closed:
            raise ValueError_(message("Attempted to use a closed Session.", help="make a new one"))
        leaves, structure = tree.flatten(fetches, is_leaf=lambda x: x is None)
        found = [self.fetched(x) for x in leaves]
        fed = [self.fed(k) for k in feeds]
        key = (structure, *found, None, *fed)
        plan = self.plans.get(key)
        if plan is None:
            plan = self.plans[key] = Plan(self, found, structure, fed)
        return plan

    def fetched(self, x: Any) -> Any:
        """A fetch as a tensor or operation of this session's graph."""
        if isinstance(x, str):
            try:
                return self.graph.get_tensor_by_name(x) if ":" in x else self.graph.get_operation_by_name(x)
            except MissingNameError as error:
                raise ValueError_(f"Argument `fetch` = {x} cannot be interpreted as a Tensor. {error}") from None
        found = x.value() if hasattr(x, "initializer") else x
        if not isinstance(found, (Tensor, Operation)):
            raise ArgumentError(
                message(
                    f"Fetch argument {x!r:.60} has invalid type {type(x).__name__}",
                    help="fetch tensors, operations or variables",
                )
            )
        if found.graph is not self.graph:
            raise ValueError_(
                message(
                    f"Tensor {found} is not an element of this graph.",
                    help="make the session with tf.Session(graph=...)",
                )
            )
        return found

    def fed(self, x: Any) -> Tensor:
        """A feed's key as a tensor."""
        try:
            named: Any = self.graph.get_tensor_by_name(x) if isinstance(x, str) else x
        except MissingNameError as error:
            raise ArgumentError(f"Cannot interpret feed_dict key as Tensor: {error}") from None
        found = named.value() if hasattr(named, "initializer") else named
        if not isinstance(found, Tensor):
            raise ArgumentError(
                message(f"Cannot interpret feed_dict key as Tensor: {x!r:.60}", help="feed placeholders")
            )
        if found.graph is not self.graph:
            raise ValueError_(message(f"Tensor {found} is not an element of this graph."))
        return found

    def store(self, variable: Any, value: Any) -> None:
        """Keep a variable's new value."""
        tensor: Any = value if isinstance(value, TensorBase) else from_host(np.asarray(value), variable.dtype.native)
        held = self.storage.get(variable)
        if held is None:
            self.storage[variable] = Array(tensor.detach()._peek())
        else:
            held.data = tensor

    def pull(self, op: Operation) -> list[Any]:
        """The next elements of a data set."""
        iterator = self.iterators.get(op)
        if iterator is None:
            iterator = self.iterators[op] = op.source.start()
        return iterator.next(op)

    def key_of(self, op: Operation) -> Any:
        """The key of a random operation for one run: from the operation's seed, the graph's, or the system."""
        own = op.seed
        label = op if own is not None or self.graph.seed is not None else None
        generator = self.generators.get(label)
        if generator is None:
            generator = self.generators[label] = self.generator(op, own)
        return generator.next_key()

    def generator(self, op: Operation, own: int | None) -> Generator:
        if own is None and self.graph.seed is None:
            found = Generator()
            found.seed()
            return found
        number = op.number if own is None else 0
        return seeded(((self.graph.seed or 0) * _SEED_STEP + (own or 0) + number * 2654435761) & (2**63 - 1))

    # -- life ----------------------------------------------------------------------------------------------------------
    def as_default(self) -> Any:
        """A context in which this session is the default one."""
        return _Default(self)

    def __enter__(self) -> Session:
        self._graph_context = self.graph.as_default()
        self._graph_context.__enter__()
        graphs.sessions.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        graphs.sessions.remove(self)
        self._graph_context.__exit__(None, None, None)
        self.close()

    def close(self) -> None:
        """Let the variables go."""
        self.closed = True
        self.storage.clear()
        self.plans.clear()
        self.routes.clear()


class _Default:
    """Makes a session the default one, and leaves it open."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __enter__(self) -> Session:
        graphs.sessions.append(self.session)
        return self.session

    def __exit__(self, *_: object) -> None:
        graphs.sessions.remove(self.session)


class InteractiveSession(Session):
    """A session that is the default one from the start."""

    def __init__(self, target: str = "", graph: Graph | None = None, config: Any = None) -> None:
        super().__init__(target, graph, config)
        graphs.sessions.append(self)

    def close(self) -> None:
        """Let the variables go."""
        if self in graphs.sessions:
            graphs.sessions.remove(self)
        super().close()


def get_default_session() -> Any:
    """The session entered last."""
    return graphs.sessions[-1] if graphs.sessions else None


def _value(tensor: Tensor, value: Any) -> Any:
    """A fed value, checked and cast."""
    if isinstance(value, Tensor):
        raise ArgumentError(
            message(
                "The value of a feed cannot be a tf.Tensor object.",
                [("feed", str(tensor))],
                "feed numbers, lists or NumPy arrays; run the tensor first",
            )
        )
    kind = tensor.dtype.as_numpy_dtype
    try:
        array = np.ascontiguousarray(value, kind).reshape(np.shape(value))
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            message(
                f"Cannot feed value for Tensor {tensor.name!r}: not numbers of dtype {tensor.dtype.name}",
                [("value", f"{type(value).__name__} {value!r:.60}")],
            ),
            tensor.op,
        ) from None
    sizes = tensor.sizes
    if sizes is not None and (
        len(sizes) != array.ndim or any(n is not None and n != m for n, m in zip(sizes, array.shape, strict=True))
    ):
        raise InvalidArgumentError(
            message(
                f"Cannot feed value of shape {array.shape} for Tensor {tensor.name!r}, "
                f"which has shape {str(TensorShape(sizes))!r}"
            ),
            tensor.op,
        )
    return array


def _host(x: Any) -> Any:
    """A result as NumPy has it."""
    if isinstance(x, TensorBase):
        return _host_value(x._peek())
    return x[()] if isinstance(x, np.ndarray) and not x.ndim else x


def _host_value(value: Any) -> Any:
    if value.info.type.shape:
        return host_array(value)
    make = _SCALARS.get(value.info.type.dtype.name)
    if make is None:
        return host_array(value)[()]
    _MAKERS[value.info] = make
    return make(host_number(value))


#: what makes NumPy's number of a single number, by what is known of it
_MAKERS: dict[Any, Any] = {}


#: NumPy's types of single numbers that Python's hold without loss
_SCALARS: dict[str, Any] = {"float32": np.float32, "float64": np.float64, "int32": np.int32, "int64": np.int64,
                            "bool": np.bool_}
