"""Wrong calls of the jittor dialect: the exception of each, and what its message begins with."""

from __future__ import annotations

import builtins
from typing import Any

import pullback.jittor as jt
import pytest
from pullback.jittor import nn

from pullback.util.errors import PullbackError


def setitem(x: Any, index: Any, value: Any) -> None:
    x[index] = value


def set_flag(name: str, value: Any) -> None:
    setattr(jt.flags, name, value)


def grad_twice_after_reading() -> Any:
    w = jt.array([1.0, 2.0])
    loss = (w * w).sum()
    assert jt.grad(loss, w).data.tolist() == [2.0, 4.0]
    return jt.grad(loss, w)


def changed_shape() -> None:
    with jt.var_scope("changed", unique=True):
        jt.make_var([2], init=jt.ones(2))
    with jt.var_scope("changed", unique=True):
        jt.make_var([3], init=jt.ones(3))


def init_var_stop() -> Any:
    w = jt.array([1.0, 2.0]).stop_grad()
    return jt.grad((w * w).sum(), w)


def in_scope_var_name_clash() -> None:
    with jt.var_scope("clash", unique=True):
        jt.make_var([2], init=jt.ones(2), name="a", unique=True)
    with jt.var_scope("clash", unique=True), jt.var_scope("a", unique=True):
        pass


HELPERS = (setitem, set_flag, grad_twice_after_reading, changed_shape, init_var_stop, in_scope_var_name_clash)

WRONG = [
    ("jt.ones((2,3)) + jt.ones((4,))", "RuntimeError", "add: shapes cannot be broadcast together"),
    ("jt.ones((2,3)) + 'a'", "TypeError", "add: not an array"),
    ("jt.ones((2,3)) + None", "TypeError", "add: not an array"),
    ("jt.matmul(jt.ones((2,3)), jt.ones((2,3)))", "RuntimeError", "matmul: contracted dimensions must have"),
    ("nn.matmul(jt.ones((2,3)), jt.ones((2,3)))", "RuntimeError", "matmul: contracted dimensions must have"),
    ("jt.ones((2,3)).reshape((4,))", "RuntimeError", "reshape: 6 elements do not fit (4,)"),
    ("jt.ones((2,3)).broadcast([4,5])", "RuntimeError", "broadcast_to: the shape does not broadca"),
    ("jt.ones((2,3)).broadcast([2,3,4], dims=[0])", "RuntimeError", "broadcast_in_dim: sizes must be equal or"),
    ("jt.ones((2,3)).broadcast([2,3,4], dims=[7])", "RuntimeError", "broadcast_in_dim: sizes must be equal or"),
    ("jt.ones(3).reindex([2,2], ['i0+'])", "RuntimeError", "reindex: cannot read an index expression"),
    ("jt.ones(3).reindex([2,2], ['i5'])", "RuntimeError", "reindex: cannot read an index expression"),
    ("jt.ones(3).reindex([2,2], ['i0','i1'])", "TypeError", "reindex: one index expression for each d"),
    ("jt.ones(3).reindex_reduce('foo', [3], ['i0'])", "RuntimeError", "reindex_reduce: op 'foo' is not known"),
    ("jt.array('a')", "TypeError", "jt.array: not numbers"),
    ("jt.array(None)", "TypeError", "jt.array: not numbers"),
    ("jt.array([[1,2],[3]])", "TypeError", "tensor: rows of different lengths"),
    ("jt.array(object())", "TypeError", "jt.array: not numbers"),
    ("jt.random('a')", "TypeError", "jt.random: not a shape"),
    ("jt.random((2,), type='foo')", "RuntimeError", "jt.random: no such distribution"),
    ("jt.random((2,), dtype='foo')", "TypeError", "dtype: not an element type of this libra"),
    ("jt.random((-1,))", "RuntimeError", "jt.random: a size cannot be negative"),
    ("jt.zeros('a')", "TypeError", "zeros: not a shape"),
    ("jt.ones((2,3)).sum(dim=5)", "IndexError", "sum: axis 5 is out of range for 2 dimens"),
    ("jt.ones((2,3)).mean(5)", "IndexError", "mean: axis 5 is out of range for 2 dimen"),
    ("jt.ones(3)[5]", "IndexError", "index 5 is out of range for dimension 0"),
    ("jt.ones(3)['a']", "TypeError", "index: not an index"),
    ("jt.ones(3)[1.5]", "TypeError", "index: not an index"),
    ("jt.concat([jt.ones((2,3)), jt.ones((3,4))], 0)", "RuntimeError", "concat: shapes must be equal but for dim"),
    ("jt.concat([])", "RuntimeError", "concat: the list of arrays is empty"),
    ("jt.stack([jt.ones(2), jt.ones(3)])", "RuntimeError", "stack: all shapes must be equal"),
    ("jt.grad(jt.ones(3).sum(), [3])", "TypeError", "jt.grad: not a Var"),
    ("jt.grad(3, [jt.ones(3)])", "TypeError", "jt.grad: not a Var"),
    ("jt.grad(jt.ones(3).stop_grad().sum(), [jt.ones(3)])", "RuntimeError", "jt.grad: the loss does not depend on a V"),
    ("jt.grad(jt.array([1,2,3]).sum(), jt.array([1,2,3]))", "RuntimeError", "jt.grad: the loss does not depend on a V"),
    ("grad_twice_after_reading()", "RuntimeError", "jt.grad: the way to this loss was let go"),
    ("jt.make_var([2], init=None)", "TypeError", "make_var: a new parameter needs init"),
    ("jt.make_var([2], init=lambda *a: 'a')", "TypeError", "tensor: not numbers"),
    ("jt.make_var([2], init=jt.ones(3))", "RuntimeError", "broadcast_to: the shape does not broadca"),
    ("changed_shape()", "RuntimeError", "Shape or dtype not match: changed/var_0"),
    ("jt.find_var('nowhere')", "KeyError", "find_scope: no such scope"),
    ("jt.find_scope('nowhere')", "KeyError", "find_scope: no such scope"),
    ("jt.find_vars('nowhere')", "KeyError", "find_scope: no such scope"),
    ("set_flag('use_cuda', 1)", "RuntimeError", "jt.flags.use_cuda: there is no CUDA devi"),
    ("set_flag('no_such_flag', 1)", "AttributeError", "jt.flags has no 'no_such_flag' here"),
    ("jt.flags.no_such_flag", "AttributeError", "jt.flags has no 'no_such_flag' here"),
    ("jt.foo", "AttributeError", "jittor has no 'foo' here"),
    ("nn.foo", "AttributeError", "jittor.nn has no 'foo' here"),
    ("nn.SGD('nowhere', jt.ones(1), 0.1)", "KeyError", "find_scope: no such scope"),
    ("nn.SGD([jt.ones(2)], -1)", "RuntimeError", "SGD: Invalid lr: -1"),
    ("nn.SGD([], 0.1)", "RuntimeError", "optimizer got an empty parameter list"),
    ("nn.SGD([3], 0.1)", "TypeError", "optimizer: not a Var"),
    ("nn.SGD(3, 0.1)", "TypeError", "optimizer: parameters come in a list"),
    ("nn.Adam([jt.ones(2)], lr='a')", "TypeError", "Adam: lr must be a number"),
    ("nn.Adam([jt.ones(2)], 0.1, betas=(2,2))", "RuntimeError", "Adam: Invalid beta parameter at index 0:"),
    ("nn.SGD([jt.ones(2)], 0.1).step(3)", "TypeError", "jt.grad: not a Var"),
    ("nn.SGD([jt.ones(2)], 0.1).step(jt.array([1,2]))", "RuntimeError", "jt.grad: the loss does not depend on a V"),
    ("nn.SGD([jt.ones(2)], 0.1, momentum='a')", "TypeError", "SGD: momentum must be a number"),
    ("jt.ones(2).opt_grad(nn.SGD([jt.ones(2)], 0.1))", "RuntimeError", "opt_grad: no gradient is there"),
    ("nn.Linear(3, 2)(jt.ones((4,5)))", "RuntimeError", "linear: contracted dimensions must have"),
    ("nn.Linear('a', 2)", "TypeError", "Linear: sizes are positive whole numbers"),
    ("nn.Linear(3, 2)('a')", "TypeError", "linear: not an array"),
    ("nn.Module()(1)", "AttributeError", "Module has no execute()"),
    ("nn.Conv(1, 2, 3)(jt.ones((1,2,5,5)))", "RuntimeError", "conv2d: channels do not fit"),
    ("nn.Conv(1, 2, 3)(jt.ones((5,5)))", "RuntimeError", "conv2d: input and weight need 4 dimensio"),
    ("nn.CrossEntropyLoss()(jt.ones((2,3)), jt.ones((3,)))", "TypeError", "cross_entropy: target must be integer cl"),
    (
        "nn.cross_entropy_loss(jt.ones((2,3)), jt.array([5, 1])).data",
        "IndexError",
        "cross_entropy: an index is out of range   (",
    ),
    ("nn.mse_loss(jt.ones((2,3)), jt.ones((3,)))", "RuntimeError", "mse_loss: input and target must have equ"),
    ("nn.softmax(jt.ones((2,3)), dim=4)", "IndexError", "softmax: axis 4 is out of range for 2 di"),
    ("nn.Sequential(3)(jt.ones(2))", "TypeError", "Sequential: not a module or function"),
    ("nn.Linear(2,2).load('/nonexistent.pkl')", "ValueError", "load: there is no such file"),
    ("nn.Linear(2,2).load_state_dict({'foo': 1})", "KeyError", "load_state_dict for Linear: the keys do"),
    ("jt.ones(3).assign(jt.ones(4))", "RuntimeError", "assign: the new value must have the Var'"),
    ("jt.ones(3).update(jt.ones(4))", "RuntimeError", "assign: the new value must have the Var'"),
    ("setitem(jt.ones(3), 5, 1)", "IndexError", "index 5 is out of range for dimension 0"),
    ("setitem(jt.ones(3), 0, 'a')", "TypeError", "setitem: not an array"),
    ("bool(jt.ones(3))", "RuntimeError", "bool: only a tensor with one element can"),
    ("float(jt.ones(3))", "RuntimeError", "float: only a tensor with one element ca"),
    ("int(jt.ones(3))", "RuntimeError", "int: only a tensor with one element can"),
    ("jt.ones(3).item()", "RuntimeError", "item: the tensor must have exactly one e"),
    ("jt.ones(3).item(5)", "IndexError", "index 5 is out of range for dimension 0"),
    ("iter(jt.array(1.0)[0])", "IndexError", "index: 1 indices for 0 dimensions"),
    ("len(jt.ones(3).sum())", "TypeError", "len: a 0-dimensional tensor has no lengt"),
    ("[1,2,3][jt.ones(3)]", "TypeError", "index: only a 0-dimensional integer tens"),
    ("jt.ones(3).name(3)", "TypeError", "name: a name is a string"),
    ("jt.ones(3).fetch(3)", "TypeError", "fetch: expected a function"),
    ("jt.ones(3).astype('foo')", "TypeError", "dtype: not an element type of this libra"),
    ("jt.float32('a')", "TypeError", "tensor: not numbers"),
    ("jt.float32(None)", "TypeError", "tensor: not numbers"),
    ("jt.arange('a')", "TypeError", "arange: stop must be a number"),
    ("jt.randint(5, 2)", "RuntimeError", "jt.randint: low must be less than high"),
    ("jt.ones(3).argmax(4)", "IndexError", "argmax: axis 4 is out of range for 1 dim"),
    ("jt.where(jt.ones(3), 'a', 1)", "TypeError", "where: not an array"),
    ("jt.maximum(jt.ones(3), 'a')", "TypeError", "maximum: not an array"),
    ("jt.set_seed('a')", "TypeError", "manual_seed: seed must be an integer"),
    ("jt.set_global_seed(None)", "TypeError", "manual_seed: seed must be an integer"),
    ("jt.init.gauss('a')", "TypeError", "jt.random: not a shape"),
    ("jt.init.constant((2,), 'foo')", "TypeError", "dtype: not an element type of this libra"),
    ("jt.ones(3) @ jt.ones(4)", "RuntimeError", "matmul: contracted dimensions must have"),
    ("jt.Var('a')", "TypeError", "jt.array: not numbers"),
    ("init_var_stop()", "RuntimeError", "jt.grad: the loss does not depend on a V"),
    ("jt.ones((1<<40,))", "MemoryError", "ones: an array of 4,096.0 GiB does not f"),
    ("jt.export_vars('nowhere')", "KeyError", "find_scope: no such scope"),
    ("in_scope_var_name_clash()", "KeyError", "var_scope: the name belongs to a paramet"),
]


@pytest.mark.parametrize(("line", "kind", "text"), WRONG, ids=[w[0] for w in WRONG])
def test_wrong_call(line: str, kind: str, text: str) -> None:
    names = {"jt": jt, "nn": nn, **{f.__name__: f for f in HELPERS}}
    with pytest.raises(getattr(builtins, kind)) as caught:
        eval(line, names)
    assert isinstance(caught.value, PullbackError)
    assert str(caught.value).startswith(text)


def test_backward_twice_where_the_graph_was_kept() -> None:
    w = jt.array([1.0, 2.0])
    loss = (w * w).sum()
    assert jt.grad(loss, w, retain_graph=True).data.tolist() == [2.0, 4.0]
    assert jt.grad(loss, w).data.tolist() == [2.0, 4.0]


def test_flags() -> None:
    assert jt.has_cuda == 0 and jt.flags.use_cuda == 0
    jt.flags.use_cuda = jt.has_cuda
    with jt.flag_scope(no_grad=1):
        assert jt.flags.no_grad == 1
        w = jt.array([1.0, 2.0])
        loss = (w * w).sum()
    assert jt.flags.no_grad == 0 and loss.is_stop_grad()
    with jt.flag_scope(enable_tuner=0, no_fuse=1):
        assert (jt.flags.enable_tuner, jt.flags.no_fuse) == (0, 1)
    assert (jt.flags.enable_tuner, jt.flags.no_fuse) == (1, 0)
    with pytest.raises(AttributeError, match="use_cuda"):
        jt.flags.use_cude = 1


def test_every_floating_var_can_be_differentiated() -> None:
    for make in (
        jt.ones,
        jt.zeros,
        lambda n: jt.full(n, 2.0),
        lambda n: jt.linspace(0, 1, 3),
        lambda n: jt.Var([1.0] * 3),
    ):
        w = make((3,))
        assert not w.is_stop_grad() and jt.grad((w * 3.0).sum(), w).data.tolist() == [3.0] * 3
    assert jt.array([1, 2]).is_stop_grad()
