"""Wrong calls of the jax dialect: each raises the exception that JAX raises for it, with a message of the library's.

The kinds are those that JAX 0.10 raises for the same line: a builtin exception, or one of `jax.errors`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.jax as jax
import pullback.jax.numpy as jnp
import pytest

from pullback.util.errors import PullbackError


def setitem(x: Any, index: Any, value: Any) -> None:
    x[index] = value


def delitem(x: Any, index: Any) -> None:
    del x[index]


def leak(transform: Callable[..., Any], argument: Any) -> Any:
    """A traced value kept from a transformed function, and used afterwards."""
    kept: list[Any] = []
    transform(lambda x: kept.append(x * 2) or x)(argument)
    return kept[0] + 1


def custom_without_rules() -> Any:
    return jax.grad(jax.custom_vjp(lambda x: x))(1.0)


def custom_with_too_few() -> Any:
    f = jax.custom_vjp(lambda x, y: x)
    f.defvjp(lambda x, y: (x, None), lambda residuals, g: (g,))
    return jax.grad(f)(1.0, 2.0)


def reuse() -> Any:
    with jax.debug_key_reuse(True):
        key = jax.random.key(0)
        return jax.random.normal(key) + jax.random.normal(key)


NAMES = {
    "G": jax.lax.GatherDimensionNumbers,
    "S": jax.lax.ScatterDimensionNumbers,
    "lax": jax.lax,
    "jax": jax,
    "jnp": jnp,
    "np": np,
    "setitem": setitem,
    "delitem": delitem,
    "leak": leak,
    "reuse": reuse,
    "custom_without_rules": custom_without_rules,
    "custom_with_too_few": custom_with_too_few,
}

#: a line, the exception of JAX, and what the message says
WRONG = [
    ("jnp.ones((2,3)) + jnp.ones((4,))", "ValueError", "shapes cannot be broadcast togethe"),
    ("jnp.ones((2,3)) @ jnp.ones((2,3))", "TypeError", "contracted dimensions must have eq"),
    ("jnp.dot(jnp.ones((2,3)), jnp.ones((2,3)))", "TypeError", "contracted dimensions must have eq"),
    ("jnp.ones((2,3)).reshape(4)", "TypeError", "6 elements do not fit (4,)"),
    ("jnp.reshape(jnp.ones((2,3)), (5,-1))", "TypeError", "6 elements do not fit (5, -1)"),
    ("jnp.concatenate([jnp.ones((2,3)), jnp.ones((2,4))])", "TypeError", "shapes must be equal but for dimen"),
    ("jnp.stack([jnp.ones(2), jnp.ones(3)])", "ValueError", "all shapes must be equal"),
    ("jnp.concatenate([])", "ValueError", "the list of arrays is empty"),
    ("jnp.stack([])", "ValueError", "the list of arrays is empty"),
    ("jnp.broadcast_to(jnp.ones(3), (2,4))", "ValueError", "the shape does not broadcast to (2"),
    ("jnp.expand_dims(jnp.ones(3), 4)", "ValueError", "axis 4 is out of range for 2 dimen"),
    ("jnp.squeeze(jnp.ones((2,3)), 0)", "ValueError", "dimension 0 has size 2, not 1"),
    ("jnp.transpose(jnp.ones((2,3)), (0,0))", "TypeError", "transpose permutation isn't a perm"),
    ("jnp.transpose(jnp.ones((2,3)), (0,))", "TypeError", "transpose permutation isn't a perm"),
    ("jnp.swapaxes(jnp.ones((2,3)), 0, 2)", "IndexError", "axis 2 is out of range for 2 dimen"),
    ("jnp.sum(jnp.ones((2,3)), axis=2)", "ValueError", "axis 2 is out of range for 2 dimen"),
    ("jnp.ones((2,3)).sum(axis=(0,0))", "ValueError", "an axis is given twice"),
    ("jnp.argmax(jnp.ones((2,3)), axis=5)", "IndexError", "axis 5 is out of range for 2 dimen"),
    ("jnp.argmax(jnp.zeros((0,)))", "ValueError", "there is no max of no elements"),
    ("jnp.max(jnp.zeros((0,)))", "ValueError", "there is no max of no elements"),
    ("jnp.split(jnp.ones(5), 2)", "ValueError", "array split does not result in an "),
    ("jnp.einsum('ij,jk->ik', jnp.ones((2,3)), jnp.ones((4,5)))", "ValueError", "label 'j' has sizes 3 and 4"),
    ("jnp.einsum('ij->k', jnp.ones((2,3)))", "ValueError", "the result 'k' must name different"),
    ("jnp.array('a')", "TypeError", "not a valid JAX array type"),
    ("jnp.array(None)", "ValueError", "not a valid JAX array type"),
    ("jnp.array({})", "TypeError", "not a valid JAX array type"),
    ("jnp.array([1, 'a'])", "TypeError", "not numbers"),
    ("jnp.array([[1,2],[3]])", "ValueError", "rows of different lengths"),
    ("jnp.array(object())", "TypeError", "not numbers"),
    ("jnp.sin('a')", "TypeError", "sin requires ndarray or scalar arg"),
    ("jnp.sin([1.0])", "TypeError", "sin requires ndarray or scalar arg"),
    ("jnp.sin(None)", "TypeError", "not an array"),
    ("jnp.add('a', 1)", "TypeError", "add requires ndarray or scalar arg"),
    ("jnp.ones(3) + [1,2,3]", "TypeError", "list"),
    ("jnp.zeros(-1)", "TypeError", "a size cannot be negative"),
    ("jnp.zeros((2,-1))", "TypeError", "a size cannot be negative"),
    ("jnp.zeros((2, 3.5))", "TypeError", "size must be an integer"),
    ("jnp.zeros('a')", "TypeError", "not a shape"),
    ("jnp.ones(3, dtype='float33')", "TypeError", "not an element type of this librar"),
    ("jnp.ones(3, dtype=3)", "TypeError", "not an element type of this librar"),
    ("jnp.linspace(0, 1, -1)", "ValueError", "num cannot be negative"),
    ("jnp.eye(-1)", "ValueError", "a size cannot be negative"),
    ("jnp.eye(2.5)", "TypeError", "size must be an integer"),
    ("setitem(jnp.ones(3), 0, 1.)", "TypeError", "JAX arrays are immutable and do no"),
    ("setitem(jnp.ones((3,3)), (0,0), 1.)", "TypeError", "JAX arrays are immutable and do no"),
    ("delitem(jnp.ones(3), 0)", "AttributeError", "JAX arrays are immutable and do no"),
    ("setattr(jnp.ones(3), 'shape', (1,))", "AttributeError", "cannot be assigned to"),
    ("setattr(jnp.ones(3), 'dtype', 'int32')", "AttributeError", "cannot be assigned to"),
    ("jnp.ones(3)[1.0]", "TypeError", "not an index"),
    ("jnp.ones(3)['a']", "TypeError", "not an index"),
    ("jnp.ones(3)[0,0]", "IndexError", "2 indices for 1 dimensions"),
    ("jnp.ones(3)[[0,1]]", "TypeError", "Using a non-tuple sequence for mul"),
    ("jnp.ones((3,3))[..., ...]", "IndexError", "only one ellipsis is allowed"),
    ("jnp.ones(3)[jnp.ones(3)]", "TypeError", "an index array must have an intege"),
    ("jnp.ones(3)[jnp.array([True, False])]", "IndexError", "a mask must have the shape of the "),
    ("jnp.ones(3)[::0]", "ValueError", "a slice step cannot be zero"),
    ("jnp.ones(3).at[0].set('a')", "TypeError", "not an array"),
    ("jnp.ones(3).at[0:2].set(jnp.ones(3))", "ValueError", "the value does not fit the element"),
    ("jnp.ones(3).at[0].set(1, mode='bogus')", "ValueError", "no such mode"),
    ("jnp.foo", "AttributeError", "jax.numpy has no 'foo' here"),
    ("bool(jnp.ones(3))", "ValueError", "only a tensor with one element can"),
    ("float(jnp.ones(3))", "TypeError", "the tensor must have exactly one e"),
    ("int(jnp.ones(3))", "TypeError", "only a tensor with one element can"),
    ("jnp.ones(3).item()", "ValueError", "the tensor must have exactly one e"),
    ("iter(jnp.float32(1))", "TypeError", "iteration over a 0-d array"),
    ("len(jnp.float32(1))", "TypeError", "a 0-dimensional tensor has no leng"),
    ("range(jnp.ones(2))", "TypeError", "only a 0-dimensional integer tenso"),
    ("[1,2,3][jnp.float32(1)]", "TypeError", "only a 0-dimensional integer tenso"),
    ("hash(jnp.ones(3))", "TypeError", "a jax.Array"),
    ("jnp.ones(3).astype('foo')", "TypeError", "not an element type of this librar"),
    ("jnp.ones(3) & 1", "TypeError", "not defined for float32"),
    ("~jnp.ones(3)", "TypeError", "not defined for float32"),
    ("jnp.ones(3) << 1", "TypeError", "not defined for float32"),
    ("jnp.bool_(True) - jnp.bool_(True)", "TypeError", "not defined for bool"),
    ("-jnp.array(True)", "TypeError", "not defined for bool"),
    ("jnp.where(jnp.ones(3) > 0, jnp.ones(3))", "TypeError", "not an array"),
    ("jnp.where(jnp.ones(3) > 0, jnp.ones(2), 0)", "ValueError", "shapes cannot be broadcast togethe"),
    ("jnp.clip(jnp.ones(3), 'a', 2)", "TypeError", "not an array"),
    ("jnp.take(jnp.ones((2,3)), 0, axis=4)", "ValueError", "axis 4 is out of range for 2 dimen"),
    ("jnp.tile(jnp.ones(3), 'a')", "TypeError", "size must be an integer"),
    ("jnp.pad(jnp.ones(3), -1)", "ValueError", "index can't contain negative value"),
    ("jnp.pad(jnp.ones(3), 1, mode='foo')", "NotImplementedError", "no such mode"),
    ("jnp.cross(jnp.ones(4), jnp.ones(4))", "ValueError", "the axis must have size 3"),
    ("jnp.sort(jnp.ones(3), axis=1)", "ValueError", "axis 1 is out of range for 1 dimen"),
    ("jax.grad(3)", "TypeError", "expected a function"),
    ("jax.grad(lambda x: x*2)(jnp.ones(3))", "TypeError", "the function must return one numbe"),
    ("jax.grad(lambda x: x)(3)", "TypeError", "grad requires real- or complex-val"),
    ("jax.grad(lambda x: x.sum())(jnp.arange(3))", "TypeError", "grad requires real- or complex-val"),
    ("jax.grad(lambda x: 'a')(1.0)", "TypeError", "not an array or a number"),
    ("jax.grad(lambda x: None)(1.0)", "TypeError", "the function must return one numbe"),
    ("jax.grad(lambda x: (x, x))(1.0)", "TypeError", "the function must return one numbe"),
    ("jax.grad(lambda x: x > 0)(1.0)", "TypeError", "the function must return a floatin"),
    ("jax.grad(lambda x: x, argnums=1)(1.0)", "TypeError", "argnums does not fit the call"),
    ("jax.grad(lambda x: x, argnums=1.5)(1.0)", "TypeError", "argnums are the positions of argum"),
    ("jax.grad(lambda x: x, argnums='a')(1.0)", "TypeError", "argnums are the positions of argum"),
    ("jax.grad(lambda x: x)('a')", "TypeError", "grad requires real- or complex-val"),
    ("jax.grad(lambda x: x)(None)", "TypeError", "the function must return one numbe"),
    ("jax.grad(lambda x: x)()", "TypeError", "argnums does not fit the call"),
    ("jax.grad(lambda x: x, has_aux=True)(1.0)", "TypeError", "with has_aux=True the function mus"),
    ("jax.value_and_grad(lambda p: p['a'])({'a': 'b'})", "TypeError", "grad requires real- or complex-val"),
    ("jax.value_and_grad(lambda p: p['a'])({'a': 1})", "TypeError", "grad requires real- or complex-val"),
    ("jax.jit(3)", "TypeError", "expected a function"),
    ("jax.jit(lambda x: x, static_argnums=3)(1)", "ValueError", "Jitted function has static_argnums"),
    ("jax.jit(lambda x: x, static_argnums=0)([1,2])", "ValueError", "a static argument must be hashable"),
    ("jax.jit(lambda x: x, static_argnames='y')(1)", "ValueError", "Jitted function has invalid argnam"),
    ("jax.jit(lambda x: x)('a')", "TypeError", "cannot interpret an argument as an"),
    ("jax.jit(lambda x: x)(object())", "TypeError", "cannot interpret an argument as an"),
    ("jax.jit(lambda x: 'a')(1)", "TypeError", "<lambda> traced for jit returned a"),
    ("jax.jit(lambda x: object())(1)", "TypeError", "<lambda> traced for jit returned a"),
    (
        "jax.jit(lambda x: x if x > 0 else -x)(1.0)",
        "errors.TracerBoolConversionError",
        "the value is not known while jit o",
    ),
    ("jax.jit(lambda x: float(x))(1.0)", "errors.ConcretizationTypeError", "the value is not known while jit o"),
    ("jax.jit(lambda x: int(x))(1.0)", "errors.ConcretizationTypeError", "the value is not known while jit o"),
    ("jax.jit(lambda x: np.sin(x))(1.0)", "errors.TracerArrayConversionError", "the value is not known while jit o"),
    (
        "jax.jit(lambda x: np.asarray(x))(1.0)",
        "errors.TracerArrayConversionError",
        "the value is not known while jit o",
    ),
    ("jax.jit(lambda x: [1,2,3][x])(1)", "errors.TracerIntegerConversionError", "the value is not known while jit o"),
    ("jax.jit(lambda x: range(x))(1)", "errors.TracerIntegerConversionError", "the value is not known while jit o"),
    ("jax.jit(lambda x: x.item())(1.0)", "errors.ConcretizationTypeError", "the value is not known while jit o"),
    ("jax.jit(lambda x: jnp.zeros(x))(3)", "TypeError", "size must be an integer"),
    ("jax.jit(lambda x: jnp.arange(x))(3)", "errors.ConcretizationTypeError", "the value is not known while jit o"),
    ("jax.jit(lambda x: jnp.reshape(jnp.ones(4), (x, -1)))(2)", "TypeError", "size must be an integer"),
    (
        "jax.jit(lambda x: x[x > 0])(jnp.ones(3))",
        "errors.NonConcreteBooleanIndexError",
        "the value is not known while jit o",
    ),
    (
        "jax.jit(lambda x: jnp.nonzero(x))(jnp.ones(3))",
        "errors.ConcretizationTypeError",
        "the value is not known while jit o",
    ),
    (
        "jax.jit(lambda x: jnp.unique(x))(jnp.ones(3))",
        "errors.ConcretizationTypeError",
        "the value is not known while jit o",
    ),
    (
        "jax.jit(lambda x: x.tolist())(jnp.ones(3))",
        "errors.ConcretizationTypeError",
        "the value is not known while jit o",
    ),
    (
        "jax.jit(lambda x: jnp.where(x))(jnp.ones(3))",
        "errors.ConcretizationTypeError",
        "the value is not known while jit o",
    ),
    ("jax.jit(lambda x: {x: 1})(jnp.ones(3))", "TypeError", "a jax.Array"),
    ("leak(jax.jit, 1.0)", "errors.UnexpectedTracerError", "a traced value was used after jit "),
    ("leak(jax.grad, 1.0)", "errors.UnexpectedTracerError", "a traced value was used after grad"),
    ("leak(jax.vmap, jnp.ones(3))", "errors.UnexpectedTracerError", "a traced value was used after vmap"),
    ("jax.vmap(3)", "TypeError", "expected a function"),
    ("jax.vmap(lambda x: x)(1.0)", "ValueError", "the mapped axis is out of range"),
    ("jax.vmap(lambda x: x, in_axes=1)(jnp.ones(3))", "ValueError", "the mapped axis is out of range"),
    ("jax.vmap(lambda x, y: x)(jnp.ones(3), jnp.ones(4))", "ValueError", "the mapped axes must all have one "),
    (
        "jax.vmap(lambda x, y: x, in_axes=(0,))(jnp.ones(3), jnp.ones(3))",
        "ValueError",
        "in_axes must have one entry per ar",
    ),
    ("jax.vmap(lambda x: x, in_axes=None)(jnp.ones(3))", "ValueError", "the mapped axes must all have one "),
    (
        "jax.vmap(lambda x, y: x, in_axes=(None, None))(jnp.ones(3), 1.0)",
        "ValueError",
        "the mapped axes must all have one ",
    ),
    ("jax.vmap(lambda x: x, in_axes='a')(jnp.ones(3))", "TypeError", "in_axes must be an axis, None, or "),
    ("jax.vmap(lambda x: x, in_axes=(0.5,))(jnp.ones(3))", "TypeError", "in_axes must be an axis, None, or "),
    ("jax.vmap(lambda x: x, out_axes=3)(jnp.ones(3))", "ValueError", "out_axes is out of range"),
    ("jax.vmap(lambda x: 'a')(jnp.ones(3))", "TypeError", "not an array or a number"),
    (
        "jax.vmap(lambda x: 3 if x > 0 else 4)(jnp.ones(3))",
        "errors.TracerBoolConversionError",
        "the value is not known while vmap ",
    ),
    (
        "jax.vmap(lambda x: x, in_axes=({'a': 0},))({'b': jnp.ones(3)})",
        "ValueError",
        "in_axes must be an axis, None, or ",
    ),
    ("jax.vmap(lambda x: x)()", "ValueError", "the mapped axes must all have one "),
    ("jax.vmap(lambda: 1)()", "ValueError", "the mapped axes must all have one "),
    ("jax.vmap(lambda x: x)({'a': jnp.ones(3), 'b': jnp.ones(4)})", "ValueError", "the mapped axes must all have one "),
    ("jax.jvp(lambda x: x, (1.0,), (1.0, 2.0))", "TypeError", "tangents must have the structure o"),
    ("jax.jvp(lambda x: x, (1.0,), (jnp.ones(2),))", "ValueError", "a tangent must have the shape of i"),
    ("jax.jvp(lambda x: x, 1.0, 1.0)", "TypeError", "primal and tangent arguments to ja"),
    ("jax.jvp(lambda x: x, (1,), (1,))", "TypeError", "primal and tangent arguments to ja"),
    ("jax.vjp(lambda x: x, 1.0)[1]((1.0, 2.0))", "ValueError", "cotangents must have the structure"),
    ("jax.vjp(lambda x: x, jnp.ones(2))[1](jnp.ones(3))", "ValueError", "a cotangent must have the shape of"),
    ("jax.vjp(3, 1.0)", "TypeError", "expected a function"),
    ("jax.jacfwd(3)", "TypeError", "expected a function"),
    ("jax.jacrev(lambda x: x)(jnp.arange(3))", "TypeError", "only floating-point arguments can "),
    ("jax.hessian(lambda x: x**2)('a')", "TypeError", "not an array or a number"),
    ("jax.linearize(3, 1.0)", "TypeError", "expected a function"),
    ("jax.custom_vjp(lambda x: x)(1.0)", "AttributeError", "the rules are missing"),
    ("custom_without_rules()", "AttributeError", "the rules are missing"),
    ("custom_with_too_few()", "TypeError", "the reverse rule must return one c"),
    ("jax.lax.cond(True, 1, 2)", "TypeError", "expected a function"),
    ("jax.lax.cond(jnp.ones(2), lambda: 1, lambda: 2)", "TypeError", "the choice must be one bool or int"),
    ("jax.lax.cond(True, lambda: 1, lambda: (2, 3))", "TypeError", "all branches must return the same "),
    ("jax.lax.cond(True, lambda: 1.0, lambda: jnp.ones(2))", "TypeError", "all branches must return the same "),
    ("jax.lax.cond('a', lambda: 1.0, lambda: 2.0)", "TypeError", "not a valid JAX array type"),
    ("jax.lax.scan(lambda c, x: c, 0.0, jnp.ones(3))", "TypeError", "the body must return a pair (carry"),
    ("jax.lax.scan(lambda c, x: (c, x), 0.0)", "ValueError", "all inputs must have one leading s"),
    ("jax.lax.scan(lambda c, x: ((c, c), x), 0.0, jnp.ones(3))", "TypeError", "the body must return a state of th"),
    (
        "jax.lax.scan(lambda c, x: (jnp.ones(2), x), 0.0, jnp.ones(3))",
        "TypeError",
        "the body must return a state of th",
    ),
    (
        "jax.lax.scan(lambda c, x: (c, x), 0.0, (jnp.ones(3), jnp.ones(4)))",
        "ValueError",
        "all inputs must have one leading s",
    ),
    (
        "jax.lax.scan(lambda c, x: (c, x), 0.0, jnp.ones(3), length=4)",
        "ValueError",
        "all inputs must have one leading s",
    ),
    ("jax.lax.scan(lambda c, x: (c, x), 0.0, 1.0)", "ValueError", "all inputs must have one leading s"),
    ("jax.lax.scan(3, 0.0, jnp.ones(3))", "TypeError", "expected a function"),
    ("jax.lax.while_loop(lambda c: c, lambda c: c, 1.0)", "TypeError", "the condition must return one bool"),
    ("jax.lax.while_loop(lambda c: c < 3, lambda c: (c, c), 1.0)", "TypeError", "the body must return a state of th"),
    (
        "jax.lax.while_loop(lambda c: jnp.ones(2) > 0, lambda c: c, 1.0)",
        "TypeError",
        "the condition must return one bool",
    ),
    ("jax.lax.fori_loop(0, 'a', lambda i, c: c, 1.0)", "TypeError", "upper must be an integer"),
    ("jax.lax.fori_loop(0, 3, lambda i, c: (c, c), 1.0)", "TypeError", "the body must return a state of th"),
    (
        "jax.grad(lambda x: jax.lax.while_loop(lambda c: c < 3, lambda c: c * 2, x))(1.0)",
        "ValueError",
        "a loop of unknown length has no re",
    ),
    ("jax.lax.add(1, 1.0)", "TypeError", "lax.add requires arguments to have"),
    ("jax.lax.add(jnp.ones(2), jnp.ones(3))", "TypeError", "shapes cannot be broadcast togethe"),
    ("jax.lax.add(jnp.ones(2), 1)", "TypeError", "lax.add requires arguments to have"),
    ("jax.lax.dot(jnp.ones((2,3)), jnp.ones((2,3)))", "ValueError", "contracted dimensions must have eq"),
    ("jax.lax.dynamic_slice(jnp.ones(3), (0,), (4,))", "TypeError", "slice_sizes must be less than or e"),
    ("jax.lax.dynamic_slice(jnp.ones(3), (0, 0), (2,))", "ValueError", "one start and one size for every d"),
    ("jax.lax.switch(0, [])", "ValueError", "Empty branch sequence"),
    ("jax.random.split(3)", "TypeError", "split accepts a key, not a number"),
    ("jax.random.normal(3)", "TypeError", "normal accepts a key, not a number"),
    ("jax.random.normal(None)", "TypeError", "normal accepts a key, not a number"),
    ("jax.random.normal('a')", "TypeError", "normal accepts a key, not a number"),
    ("jax.random.normal(jax.random.key(0), 'a')", "TypeError", "not a shape"),
    ("jax.random.normal(jax.random.key(0), (2,), 'int32')", "ValueError", "dtype argument to `normal` must be"),
    ("jax.random.normal((2,), jax.random.key(0))", "TypeError", "normal accepts a key, not a number"),
    ("jax.random.uniform(jax.random.key(0), (-1,))", "ValueError", "a size cannot be negative"),
    ("jax.random.randint(jax.random.key(0), (2,), 0, 10, 'float32')", "TypeError", "not an integer dtype"),
    ("jax.random.key('a')", "TypeError", "seed must be an integer"),
    ("jax.random.key(1.5)", "TypeError", "PRNG key seed must be an integer"),
    ("jax.random.PRNGKey(1.5)", "TypeError", "PRNG key seed must be an integer"),
    ("jax.random.key(jnp.ones(3))", "TypeError", "3 elements do not fit (1,)"),
    ("jax.random.normal(jax.random.split(jax.random.key(0)))", "ValueError", "normal accepts a single key, but w"),
    ("jax.random.bernoulli(jax.random.key(0), 'a')", "TypeError", "not an array"),
    ("jax.random.choice(jax.random.key(0), 3, (5,), replace=False)", "ValueError", "not enough to choose from"),
    ("jax.random.choice(jax.random.key(0), jnp.ones((0,)))", "ValueError", "not enough to choose from"),
    ("jax.random.permutation(jax.random.key(0), 3.5)", "TypeError", "x must be an integer or at least 1"),
    (
        "jax.random.categorical(jax.random.key(0), jnp.ones(3), axis=2)",
        "IndexError",
        "axis 2 is out of range for 1 dimen",
    ),
    ("jax.random.key(0) + 1", "TypeError", "keys have no arithmetic"),
    ("reuse()", "errors.KeyReuseError", "this key was used before"),
    ("jax.tree.map(lambda a, b: a, [1], (1,))", "ValueError", "the trees have different structure"),
    ("jax.tree.map(lambda a, b: a, [1, 2], [1])", "ValueError", "the trees have different structure"),
    ("jax.tree.map(lambda a, b: a, {'a': 1}, {'b': 1})", "ValueError", "the trees have different structure"),
    ("jax.tree.unflatten(jax.tree.structure([1,2]), [1])", "ValueError", "wrong number of leaves"),
    ("jax.tree.flatten({1: 2, 'a': 3})", "ValueError", "the keys of a dict cannot be sorte"),
    ("jax.tree.reduce(lambda a, b: a + b, [])", "TypeError", "the tree has no leaves"),
    (
        "jax.tree_util.register_pytree_node(dict, lambda d: ((), None), lambda a, b: {})",
        "ValueError",
        "the class is registered already",
    ),
    ("jax.devices('gpu')", "RuntimeError", "'gpu' requested"),
    ("jax.devices('tpu')", "RuntimeError", "'tpu' requested"),
    ("jax.devices('foo')", "RuntimeError", "'foo' requested"),
    ("jax.local_devices(backend='gpu')", "RuntimeError", "'gpu' requested"),
    ("jax.device_put('a')", "TypeError", "not a valid JAX type"),
    ("jax.device_put(1.0, 'gpu')", "ValueError", "no such device"),
    ("jax.config.update('foo', 1)", "AttributeError", "foo"),
    ("jax.nn.one_hot(jnp.ones(3), 'a')", "TypeError", "num_classes is a whole number of 0"),
    ("jax.nn.one_hot(jnp.arange(3), -1)", "TypeError", "num_classes is a whole number of 0"),
    ("jax.nn.softmax(jnp.ones(3), axis=2)", "ValueError", "axis 2 is out of range for 1 dimen"),
    ("jax.nn.relu('a')", "TypeError", "requires ndarray or scalar arguments"),
    ("jax.nn.foo", "AttributeError", "jax.nn has no 'foo' here"),
    ("jax.foo", "AttributeError", "jax has no 'foo' here"),
    ("jax.make_jaxpr(lambda x: x)('a')", "TypeError", "not an array"),
    ("jax.eval_shape(3, 1)", "TypeError", "expected a function"),
    ("jnp.float32('a')", "ValueError", "not a valid JAX array type"),
    ("jnp.ones(3).reshape('a')", "TypeError", "not a shape"),
    ("jnp.matmul(jnp.float32(1), jnp.ones(3))", "ValueError", "operands need at least one dimensi"),
    ("jnp.sum('abc')", "TypeError", "sum requires ndarray or scalar arguments, got <class 'str'> at position 0"),
    ("jnp.sum([1, 2, 3])", "TypeError", "sum requires ndarray or scalar arguments, got <class 'list'>"),
    ("jnp.mean((1, 2))", "TypeError", "mean requires ndarray"),
    ("jnp.max([1, 2])", "TypeError", "max requires ndarray"),
    ("jnp.add(jnp.ones(2), [1, 2])", "TypeError", "add requires ndarray or scalar arguments, got <class 'list'>"),
    ("jnp.where([True], 1, 2)", "TypeError", "where requires ndarray"),
    ("jnp.concatenate([[1.0], [2.0]])", "TypeError", "requires ndarray or scalar arguments"),
    ("jnp.stack([[1.0], [2.0]])", "TypeError", "stack requires ndarray"),
    ("jnp.dot([1.0], [2.0])", "TypeError", "dot requires ndarray"),
    ("jnp.cumsum([1.0])", "TypeError", "cumsum requires ndarray"),
    ("jnp.take([1.0], 0)", "TypeError", "take requires ndarray"),
    ("jnp.clip([1.0], 0, 1)", "TypeError", "clip requires ndarray"),
    ("jnp.linalg.norm([1.0])", "TypeError", "norm requires ndarray"),
    ("jnp.max(jnp.ones(2), where=jnp.array([True, False]))", "ValueError", "an initial value"),
    ("lax.gather(jnp.ones(3), jnp.array([[7.0]]), G((), (0,), (0,)), (1,))", "TypeError", "indices must be integers"),
    ("lax.gather(jnp.ones(3), jnp.array([[1, 2]]), G((), (0,), (0,)), (1,))", "ValueError", "size of the index map"),
    ("lax.gather(jnp.ones(3), jnp.array([[1]]), G((), (0,), (0,)), (4,))", "ValueError", "do not fit into the operand"),
    ("lax.gather(jnp.ones(3), jnp.array([[1]]), G((1,), (0,), (0,)), (1,))", "ValueError", "window dimensions"),
    ("lax.gather(jnp.ones(3), jnp.array([[1]]), G((), (0,), (0,)), (1,), mode='no')", "ValueError", "Unknown gather m"),
    ("lax.scatter(jnp.ones(3), jnp.array([[1]]), jnp.array([1]), S((), (0,), (0,)))", "TypeError", "the same dtypes"),
    ("lax.scatter(jnp.ones(3), jnp.array([[1]]), jnp.ones(2), S((), (0,), (0,)))", "ValueError", "do not fit the indi"),
    ("jnp.ones(3).at[0].get(mode='wrap')", "ValueError", "no such mode"),
    ("jnp.ones(3) @ 2", "ValueError", "operands need at least one dimensi"),
    ("jax.jit(lambda x, y: x + y)(jnp.ones(2), jnp.ones(3))", "TypeError", "shapes cannot be broadcast togethe"),
    ("jax.jit(lambda x, n: x, static_argnums=1)(1.0, jnp.ones(3))", "ValueError", "a static argument must be hashable"),
    ("jax.jit(lambda x, n: x, static_argnums=1)(1.0, {})", "ValueError", "a static argument must be hashable"),
    ("jax.jit(lambda x: x, static_argnums='a')", "TypeError", "static_argnums are whole numbers"),
    ("jax.jit(lambda x: setitem(x, 0, 1))(jnp.ones(3))", "TypeError", "JAX arrays are immutable and do no"),
]


def kind_of(name: str) -> type[BaseException]:
    return getattr(jax.errors, name.removeprefix("errors.")) if name.startswith("errors.") else getattr(builtins, name)


@pytest.mark.parametrize(("line", "kind", "text"), WRONG, ids=[w[0] for w in WRONG])
def test_wrong_call(line: str, kind: str, text: str) -> None:
    with pytest.raises(kind_of(kind)) as caught:
        eval(line, dict(NAMES))
    assert isinstance(caught.value, PullbackError)
    assert text in str(caught.value)
