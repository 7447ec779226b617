"""Pytrees: structure, order, printing, errors, and the generated flatteners against the walk."""

from __future__ import annotations

import pickle
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback import tree
from pullback.util import tree as core
from pullback.util.errors import ArgumentError, TreeError

Point = namedtuple("Point", ["x", "y"])


@dataclass
class Layer:
    weight: Any
    bias: Any
    name: str = "layer"


tree.register_dataclass(Layer, meta_fields=("name",))


@tree.register_pytree_node_class
class Pair:
    def __init__(self, a: Any, b: Any, tag: Any = 0) -> None:
        self.a, self.b, self.tag = a, b, tag

    def tree_flatten(self) -> Any:
        return (self.a, self.b), self.tag

    @classmethod
    def tree_unflatten(cls, rest: Any, children: Any) -> Pair:
        return cls(*children, rest)


SAMPLES = [
    1,
    None,
    (),
    [],
    {},
    (None,),
    (1,),
    [1, (2, 3)],
    {"b": 1, "a": [2, None]},
    OrderedDict(b=1, a=2),
    Point(1, (2, 3)),
    ({"W1": 1, "b1": 2, "W2": 3, "b2": 4}, 5, 6, 0.1),
    [[[[1]]], 2],
    {"x": {"y": {"z": ()}}},
    (Layer(1, [2, 3], "q"), 4),
    {2: "a", 1: "b"},
]


@pytest.mark.parametrize("sample", SAMPLES, ids=repr)
def test_round_trip(sample: Any) -> None:
    for _ in range(30):  # past the point where code is generated
        leaves, treedef = tree.flatten(sample)
        assert tree.unflatten(treedef, leaves) == sample
        assert treedef == tree.structure(sample) == pickle.loads(pickle.dumps(treedef))
        assert hash(treedef) == hash(tree.structure(sample))
        assert treedef.num_leaves == len(leaves) == len(treedef.paths())


def test_printing_and_order_are_those_of_jax() -> None:
    assert str(tree.structure([(1, 2), (3, 4), 5])) == "PyTreeDef([(*, *), (*, *), *])"
    assert str(tree.structure({"b": 1, "a": (1,)})) == "PyTreeDef({'a': (*,), 'b': *})"
    assert str(tree.structure((None, Point(1, 2)))) == "PyTreeDef((None, CustomNode(namedtuple[Point], [*, *])))"
    assert str(tree.structure(7)) == "PyTreeDef(*)"
    assert tree.leaves({"W2": 1, "b1": 2, "W1": 3, "b2": 4}) == [3, 1, 2, 4]
    assert tree.leaves(OrderedDict(b=1, a=2)) == [1, 2]
    assert len(tree.leaves([(1, 2), (3, None), {"k": 4}])) == 4


def test_default_dict_and_custom_class() -> None:
    d = defaultdict(list, b=1, a=2)
    back = tree.map(lambda x: x + 1, d)
    assert back == {"a": 3, "b": 2} and back.default_factory is list
    p = tree.map(lambda x: x * 10, Pair(1, [2], "tag"))
    assert (p.a, p.b, p.tag) == (10, [20], "tag")


def test_map_reduce_all_transpose() -> None:
    assert tree.map(add, {"a": 1, "b": (2,)}, {"b": (20,), "a": 10}) == {"a": 11, "b": (22,)}
    assert tree.map(lambda x, y: (x, y), [1, 2], [(1, 2), None]) == [(1, (1, 2)), (2, None)]
    assert tree.reduce(lambda a, b: a * b, [(-1, 2), (-3, -4), 5]) == -120
    assert tree.reduce(add, [], 5) == 5
    assert tree.all((True, [1])) and not tree.all((True, [0]))
    outer, inner = tree.structure([0, 0]), tree.structure({"a": 0, "b": 0})
    assert tree.transpose(outer, inner, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]) == {"a": [1, 3], "b": [2, 4]}
    assert tree.leaves((1, [2, 3]), is_leaf=lambda x: isinstance(x, list)) == [1, [2, 3]]


def test_paths() -> None:
    pairs, _ = tree.flatten_with_path({"net": [Layer(1, 2), Point(3, 4)]})
    assert ["".join(map(repr, path)) for path, _ in pairs] == [
        "['net'][0].weight", "['net'][0].bias", "['net'][1].x", "['net'][1].y"]
    assert tree.map_with_path(lambda path, x: len(path) + x, [1, (2,)]) == [2, (4,)]


def test_generated_flattener_refuses_other_structures() -> None:
    f = core.compile_flatten(({"a": 1, "b": 2}, 3, None))
    assert f(({"b": 5, "a": 4}, 6, None)) == [4, 5, 6]
    others: list[Any] = [({"a": 1, "c": 2}, 3, None), ({"a": 1, "b": (2,)}, 3, None), ({"a": 1}, 3, None), [1], 3,
                         ({"a": 1, "b": 2}, 3, 4), ({"a": 1, "b": 2}, 3, None, 1), (OrderedDict(a=1, b=2), 3, None)]
    assert [f(other) for other in others] == [None] * len(others)


def test_a_class_registered_late_becomes_a_node() -> None:
    class Late:
        pass

    sample = (Late(), 1)
    for _ in range(20):
        assert len(tree.leaves(sample)) == 2
    tree.register_pytree_node(Late, lambda t: ((1, 2, 3), None), lambda rest, c: Late())
    assert len(tree.leaves(sample)) == 4


NESTED = st.recursive(st.integers() | st.none(), lambda c: st.lists(c, max_size=3) | st.lists(c, max_size=3).map(tuple)
                      | st.dictionaries(st.sampled_from("abc"), c, max_size=3), max_leaves=12)


@given(NESTED, NESTED)
def test_structures_are_equal_exactly_where_map_succeeds(a: Any, b: Any) -> None:
    same = tree.structure(a) == tree.structure(b)
    f = core.compile_flatten(a)
    assert f(a) == tree.leaves(a) and (f(b) is not None) == same
    if same:
        assert tree.map(lambda x, y: y, a, b) == b


class Unhashable:
    pass


tree.register_pytree_node(Unhashable, lambda u: ((), [1]), lambda rest, c: Unhashable())


def cycle() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tree.map(add, [1], (1,)), TreeError, "different structures"),
    (lambda: tree.map(add, [1, 2], [1]), TreeError, "lengths and keys"),
    (lambda: tree.map(add, {"a": [1]}, {"a": 3}), TreeError, r"tree\['a'\]"),
    (lambda: tree.map(add, {"a": 1}, {"b": 1}), TreeError, "different structures"),
    (lambda: tree.unflatten(tree.structure([1, 2]), [1]), TreeError, "wrong number of leaves"),
    (lambda: tree.unflatten([1], tree.structure([1])), ArgumentError, "structure comes first"),  # type: ignore[arg-type]
    (lambda: tree.reduce(add, []), TreeError, "initial value"),
    (lambda: tree.leaves({1: 1, "a": 2}), TreeError, "sorted"),
    (lambda: tree.leaves(Unhashable()), TreeError, "hashable"),
    (lambda: tree.leaves(cycle()), TreeError, "cycle"),
    (lambda: tree.register_pytree_node(tuple, lambda t: (t, 0), lambda r, c: c), TreeError, "already"),
    (lambda: tree.register_dataclass(int), ArgumentError, "not a dataclass"),
    (lambda: tree.register_dataclass(dataclass(type("D", (), {})), ["q"]), ArgumentError, "no such field"),
    (lambda: tree.transpose(tree.structure([]), None, []), TreeError, "inner structure"),
    (lambda: tree.transpose(tree.structure([0, 0]), None, [[1], (1,)]), TreeError, "tree.transpose"),
]


@pytest.mark.parametrize("case", WRONG, ids=lambda c: c[2])
def test_wrong_calls(case: tuple[Callable[[], Any], type[Exception], str]) -> None:
    call, error, text = case
    with pytest.raises(error, match=text) as caught:
        call()
    assert "help" in str(caught.value)
