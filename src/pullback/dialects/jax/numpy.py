"""`jax.numpy`: the array functions under NumPy's names."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from importlib import import_module
from math import e, inf, nan, pi
from typing import Any

import numpy as np

from pullback.api import comparison, creation, data_types, elementwise, manipulation, reductions
from pullback.dialects import importable, missing_text
from pullback.dialects.jax import array as border
from pullback.dialects.jax.array import Array, canonical, default_float, default_int, function, lift, lower, wanted
from pullback.engine.tensor import TensorBase
from pullback.engine.trace import SCALARS
from pullback.ir import dtypes
from pullback.ir.dtypes import DType, dtype_of
from pullback.util.errors import (
    ArgumentError,
    AttributeError_,
    ShapeError,
    UnsupportedError,
    ValueError_,
    message,
)

newaxis = None
ndarray = Array
#: functions that need JAX's border only, by the module they stand in: "name" or "name=name_there"
_SAME = {
    "elementwise": """abs absolute acos acosh add angle around=round arccos=acos arccosh=acosh arcsin=asin
        arcsinh=asinh arctan=atan arctan2=atan2 arctanh=atanh asin asinh atan atan2 atanh cbrt ceil conj
        conjugate=conj copysign cos cosh deg2rad degrees=rad2deg divide exp exp2 expm1 fix=trunc
        floor floor_divide fmax fmin fmod hypot imag isfinite isinf isnan log log10
        log1p log2 logaddexp maximum minimum mod=remainder multiply nan_to_num negative nextafter positive pow
        power rad2deg radians=deg2rad real reciprocal remainder round sign signbit sin sinh sqrt
        square subtract tan tanh true_divide=divide trunc""",
    "series": "convolve diff interp trapezoid",
    "special": "ldexp logaddexp2 sinc",
    "integers": "gcd lcm",
    "comparison": """isneginf isposinf bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or
        bitwise_right_shift
        bitwise_xor equal greater greater_equal invert=bitwise_not isclose left_shift=bitwise_left_shift less
        less_equal logical_and
        logical_not logical_or logical_xor not_equal right_shift=bitwise_right_shift""",
    "reductions": """argmax argmin count_nonzero nanmean nansum ptp cumulative_prod
        cumulative_sum""",
    "manipulation": """atleast_1d atleast_2d broadcast_arrays broadcast_shapes broadcast_to concat
        concatenate=concat
        diagonal expand_dims flip fliplr flipud hstack matrix_transpose moveaxis permute_dims roll rot90
        row_stack=vstack
        squeeze stack swapaxes unstack vstack""",
    "linear_algebra": "cross dot einsum inner kron matmul outer tensordot vdot vecdot",
    "selecting": "isin put_along_axis searchsorted",
    "sorting": "unique_counts unique_inverse unique_values",
    "creation": "diag meshgrid tril triu",
    "polynomials": "polyval",
    "data_types": "can_cast finfo iinfo",
}
#: homes whose functions take arrays and numbers, and no lists of them, and for how many arguments
_STRICT = {"elementwise": 2, "special": 2, "integers": 2, "comparison": 2, "reductions": 1, "linear_algebra": 2,
           "sorting": 1, "polynomials": 2}
#: others that take no lists, by the number of their arguments that are arrays; 0: the elements of their list
_ARRAYS = {
    0: """column_stack concat concatenate dstack hstack stack vstack row_stack""",
    1: """argpartition argwhere average copy delete diag diagflat diagonal diff empty_like expand_dims flatnonzero
        flip         fliplr flipud frexp full_like gradient i0 iscomplex isreal matrix_transpose modf nanargmax
        nanargmin nancumprod         nancumsum nanmax nanmedian nanmin nanpercentile nanprod nanquantile nanstd
        nanvar nonzero ones_like pad partition         percentile permute_dims poly polyder polyint quantile
        ravel repeat resize roll rollaxis rot90 sort_complex         spacing squeeze swapaxes take tile transpose
        tril trim_zeros triu unique_all unstack unwrap vander zeros_like""",
    2: """allclose append compress convolve corrcoef correlate cov digitize divmod ediff1d extract histogram
        histogram_bin_edges intersect1d isin matvec polyadd polymul polysub searchsorted setdiff1d setxor1d
        trapezoid         union1d vecmat""",
    9: """atleast_1d atleast_2d atleast_3d broadcast_arrays ix_ meshgrid""",
}
_COUNTS = {name: count for count, entries in _ARRAYS.items() for name in entries.split()}
_HOMES = {
    entry.partition("=")[0]: (home, entry.partition("=")[2] or entry)
    for home, entries in _SAME.items()
    for entry in entries.split()
}
#: functions of `numpy_more`
_MORE = """apply_along_axis apply_over_axes argpartition array_equiv array_repr array_str atleast_3d bartlett
        bitwise_count blackman block c_ choose compress corrcoef correlate cov delete diag_indices
        diag_indices_from diagflat divmod dsplit ediff1d euler_gamma extract fill_diagonal frexp from_dlpack
        frombuffer fromfunction geomspace get_printoptions gradient hamming hanning histogram
        histogram_bin_edges i0 index_exp indices insert intersect1d iscomplex isdtype isreal isrealobj iterable
        ix_ kaiser lexsort load mask_indices matvec mgrid modf nanargmax nanargmin nancumprod nancumsum nanmax
        nanmedian nanmin nanpercentile nanprod nanquantile nanstd nanvar ogrid partition piecewise place poly
        polyadd polyder polyfit polyint polymul polysub printoptions put r_ ravel_multi_index resize rollaxis s_
        save savez set_printoptions setdiff1d setxor1d sort_complex spacing take take_along_axis tril_indices
        tril_indices_from trim_zeros triu_indices triu_indices_from unique_all unravel_index unwrap
        vander vecmat""".split()
#: functions whose integers are positions or counts
_POSITIONS = frozenset("""argmax argmin argpartition argsort argwhere count_nonzero digitize flatnonzero lexsort
    nanargmax nanargmin nonzero searchsorted""".split())
#: functions of `numpy_sized`
_SIZED = """argsort argwhere average bincount digitize fabs flatnonzero float_power heaviside linspace median nonzero
        percentile quantile ravel repeat reshape rint sort trace union1d unique""".split()
_TYPES = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "bool_",
)


class ScalarType:
    """`jnp.float32`: a dtype that makes Arrays when it is called."""

    def __init__(self, dtype: DType) -> None:
        self.dtype, self.name = dtype, dtype.name

    def __call__(self, x: Any = 0) -> Any:
        kind = canonical(self.dtype)
        if type(x) is int and kind.is_integer and not np.iinfo(kind.name).min <= x <= np.iinfo(kind.name).max:
            raise OverflowError(f"Python integer {x} out of bounds for {kind.name}")
        return border.asarray(x, kind)

    def __repr__(self) -> str:
        return f"<class 'jax.numpy.{self.name}'>"

    def __eq__(self, other: object) -> bool:
        return self.dtype == (other.dtype if isinstance(other, ScalarType) else other)

    def __hash__(self) -> int:
        return hash(self.dtype)


def __getattr__(name: str) -> Any:
    if name in _TYPES:
        found: Any = ScalarType(getattr(dtypes, name))
    elif name in ("bool", "float_", "int_", "complex_", "uint", "double", "single", "half", "csingle",
                  "cdouble"):
        target = {
            "bool": "bool_",
            "float_": "float64",
            "int_": "int64",
            "complex_": "complex128",
            "uint": "uint64",
            "double": "float64",
            "single": "float32",
            "half": "float16",
            "csingle": "complex64",
            "cdouble": "complex128",
        }[name]
        found = __getattr__(target)
    elif name in ("linalg", "fft"):
        found = import_module(f"pullback.dialects.jax.{name}")
    elif name in _HOMES:
        home, there = _HOMES[name]
        target = vars(import_module(f"pullback.api.{home}"))[there]
        found = function(target, {"einsum": 0, "nan_to_num": 1}.get(name, _STRICT.get(home, 0)))
    elif name.startswith("__"):
        raise AttributeError(name)
    elif name in _SIZED:
        found = getattr(import_module("pullback.dialects.jax.numpy_sized"), name)
    elif name in _MORE:
        found = getattr(import_module("pullback.dialects.jax.numpy_more"), name)
    else:
        raise AttributeError_(missing_text("jax.numpy", name, __dir__()))
    if name in _COUNTS:
        found = border.refusing_lists(found, _COUNTS[name])
    if name in _POSITIONS:
        found = border.counting(found)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    private = {"Any", "Array", "Callable", "annotations", "border", "import_module", "np", "SCALARS", "TensorBase"}
    own = (n for n in globals() if not n.startswith("_") and n not in private)
    return sorted({*own, *_HOMES, *_TYPES, *_MORE, *_SIZED, "fft", "linalg"})


# -- making arrays -----------------------------------------------------------------------------------------------------


def array(object: Any, dtype: Any = None, copy: bool = True, order: Any = None, ndmin: int = 0) -> Any:
    """An Array from numbers, lists, NumPy arrays or tensors."""
    found = border.asarray(object, dtype, "array")
    while found.ndim < ndmin:
        found = found[None]
    return found


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None) -> Any:
    """An Array from numbers, lists, NumPy arrays or tensors; an Array of the right dtype is returned as it is."""
    return border.asarray(a, dtype, "asarray")


def _filled(name: str, value: Callable[..., Any]) -> Callable[..., Any]:
    def make(shape: Any, dtype: Any = None, *, device: Any = None) -> Any:
        border.on_device(None, device)
        return lift(value(shape, dtype=wanted(dtype, name) or default_float()))

    make.__name__, make.__doc__ = name, value.__doc__
    return make


zeros, ones, empty = (
    _filled(n, f) for n, f in (("zeros", creation.zeros), ("ones", creation.ones), ("empty", creation.zeros))
)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value everywhere."""
    if dtype is None:
        dtype = border.asarray(fill_value).dtype
    return lift(creation.full(shape, lower(fill_value), dtype=wanted(dtype, "full")))


def _like(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    def like(a: Any, *args: Any, dtype: Any = None, shape: Any = None) -> Any:
        a = border.asarray(a)
        if shape is not None:
            return globals()[name.removesuffix("_like")](shape, *args, dtype=dtype or a.dtype)
        return lift(make(a, *[lower(x) for x in args], dtype=wanted(dtype, name)))

    like.__name__, like.__doc__ = name, make.__doc__
    return like


zeros_like, ones_like, empty_like, full_like = (
    _like(n, f)
    for n, f in (
        ("zeros_like", creation.zeros_like),
        ("ones_like", creation.ones_like),
        ("empty_like", creation.zeros_like),
        ("full_like", creation.full_like),
    )
)


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Numbers from start up to stop, not included."""
    if dtype is None:
        floating = builtins.any(isinstance(x, float) for x in (start, stop, step))
        dtype = default_float() if floating else default_int()
    return lift(creation.arange(start, stop, 1 if step is None else step, dtype=wanted(dtype, "arange")))


def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: float = 10.0, dtype: Any = None) -> Any:
    """Numbers spaced equally on a logarithmic scale."""
    return lift(creation.logspace(start, stop, num, endpoint=endpoint, base=base, dtype=wanted(dtype, "logspace")))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones on a diagonal, zeros elsewhere."""
    return lift(creation.eye(N, M, k=k, dtype=wanted(dtype, "eye") or default_float()))


def identity(n: int, dtype: Any = None) -> Any:
    """Ones on the diagonal, zeros elsewhere."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones at and below a diagonal."""
    return lift(creation.tril(creation.ones((N, M or N), dtype=wanted(dtype, "tri") or default_float()), k))


def copy(a: Any) -> Any:
    """The array itself: nobody can change it."""
    return border.asarray(a)


def astype(x: Any, dtype: Any, /, *, copy: bool = False) -> Any:
    """The elements as another dtype."""
    return border.asarray(x).astype(dtype)


# -- reductions whose arguments stand in another order -----------------------------------------------------------------


def _reduction(name: str, reduce: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        *,
        where: Any = None,
        **options: Any,
    ) -> Any:
        if type(a) is not Array:
            border.refuse_list(a, name)
        if out is not None:
            raise ArgumentError(message(f"{name}: out= is not supported", help="use what it returns"))
        if dtype is not None:
            options["dtype"] = wanted(dtype, name)
        if where is not None or "initial" in options:
            x = lower(a) if dtype is None else border.asarray(a).astype(dtype)
            return _masked(name, x, axis, keepdims, where, options.get("initial"))
        return lift(reduce(lower(a), axis, keepdims, **options))

    call.__name__, call.__doc__ = name, reduce.__doc__
    return call


def _masked(name: str, x: Any, axis: Any, keepdims: bool, where: Any, initial: Any, correction: float = 0) -> Any:
    from pullback.api.masked import reduce_where  # needed by few

    return lift(reduce_where(name, x, axis, keepdims, where, initial, correction))


def _selecting(name: str, reduce: Callable[..., Any]) -> Callable[..., Any]:
    plain = function(reduce, 1)

    def call(
        a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
    ) -> Any:
        if out is not None:
            raise ArgumentError(message(f"{name}: out= is not supported", help="use what it returns"))
        if where is not None or initial is not None:
            return _masked(name, border.array_of(a, name), axis, keepdims, where, initial)
        return plain(a) if axis is None and not keepdims else plain(a, axis, keepdims)

    call.__name__, call.__doc__ = name, reduce.__doc__
    return call


sum, prod, mean = (
    _reduction(n, f) for n, f in (("sum", reductions.sum), ("prod", reductions.prod), ("mean", reductions.mean))
)


def _spread(name: str, reduce: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        where: Any = None,
        correction: float | None = None,
    ) -> Any:
        if type(a) is not Array:
            border.refuse_list(a, name)
        less = ddof if correction is None else correction
        if where is not None:
            return _masked(name, lower(a), axis, keepdims, where, None, less)
        result = lift(reduce(lower(a), axis, keepdims, correction=less))
        return result if dtype is None else result.astype(dtype)

    call.__name__, call.__doc__ = name, reduce.__doc__
    return call


std, var = _spread("std", reductions.std), _spread("var", reductions.var)
max, min, any, all = (_selecting(n, vars(reductions)[n]) for n in ("max", "min", "any", "all"))
amax, amin = max, min


def _running(name: str, scan: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
        a = border.array_of(a, name)
        kind = wanted(dtype, name) or (a.dtype if a.dtype.is_integer else None)
        return lift(scan(a.ravel() if axis is None else a, 0 if axis is None else axis, dtype=kind))

    call.__name__, call.__doc__ = name, scan.__doc__
    return call


cumsum, cumprod = _running("cumsum", reductions.cumsum), _running("cumprod", reductions.cumprod)


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Pieces of equal size, or cut at the positions in a list."""
    x = border.asarray(ary)
    count = indices_or_sections
    if isinstance(count, int) and x.shape[axis] % count:
        raise ShapeError(
            message(
                "split: array split does not result in an equal division",
                [("array", repr(x.info.type)), ("sections", str(count))],
                "use jnp.array_split, or give the positions of the cuts in a list",
            )
        )
    return list(lift(manipulation.array_split(x, list(count) if isinstance(count, tuple) else count, axis)))


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Pieces of nearly equal size, or cut at the positions in a list."""
    return list(lift(manipulation.array_split(border.asarray(ary), indices_or_sections, axis)))


def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the second dimension, or the only one."""
    return split(ary, indices_or_sections, 0 if ndim(ary) == 1 else 1)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`split` along the first dimension."""
    return split(ary, indices_or_sections, 0)


def dstack(tup: Any) -> Any:
    """Arrays joined along the third dimension."""
    arrays = [border.asarray(x) for x in tup]
    deep = [x[None, :, None] if x.ndim == 1 else x.reshape(1, 1, 1) if not x.ndim else x for x in arrays]
    return lift(manipulation.concat([x[:, :, None] if x.ndim == 2 else x for x in deep], 2))


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """The choice of the first condition that holds."""
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return result


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether two arrays have one shape and the same elements."""
    x, y = border.asarray(a1), border.asarray(a2)
    if x.shape != y.shape:
        return border.asarray(False)
    same = x == y
    if equal_nan:
        same = same | (lift(elementwise.isnan(x)) & lift(elementwise.isnan(y)))
    return same.all()


def allclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether all elements are nearly the same."""
    return lift(comparison.isclose(border.asarray(a), border.asarray(b), rtol, atol, equal_nan)).all()


_PADDINGS = ("constant", "edge", "reflect", "wrap", "symmetric")


def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """Elements added around."""
    if mode not in _PADDINGS:
        raise UnsupportedError(message("pad: no such mode", [("mode", repr(mode))], "one of " + ", ".join(_PADDINGS)))
    if np.any(np.asarray(pad_width) < 0):
        raise ValueError_(message("pad: index can't contain negative values", [("pad_width", repr(pad_width))]))
    options = {"constant_values": lower(constant_values)} if mode == "constant" else {}
    return lift(manipulation.pad(border.asarray(array), pad_width, mode, **options))


def transpose(a: Any, axes: Any = None) -> Any:
    """The dimensions in another order, by default reversed."""
    x = border.asarray(a)
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(axes)
    if sorted(k % builtins.max(x.ndim, 1) for k in order) != list(range(x.ndim)):
        raise ShapeError(
            message(
                "transpose permutation isn't a permutation of operand dimensions",
                [("permutation", str(order)), ("operand", repr(x.info.type))],
                "name every dimension once",
            )
        )
    return lift(manipulation.permute_dims(x, order))


# -- functions with NumPy's own rules ----------------------------------------------------------------------------------


def where(
    condition: Any, x: Any = None, y: Any = None, /, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """x where the condition holds, y elsewhere; with one argument the positions where it holds."""
    if x is None and y is None:
        return __getattr__("nonzero")(condition, size=size, fill_value=fill_value)
    for k, given in enumerate((condition, x, y)):
        if type(given) is list or type(given) is tuple:
            border.refuse_list(given, "where", k)
    return lift(elementwise.where(lower(condition), lower(x), lower(y)))


def clip(
    arr: Any = None, /, min: Any = None, max: Any = None, *, a: Any = None, a_min: Any = None, a_max: Any = None
) -> Any:
    """The elements limited to [min, max]."""
    x = a if arr is None else arr
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    for k, given in enumerate((x, low, high)):
        if type(given) is list or type(given) is tuple:
            border.refuse_list(given, "clip", k)
    return (
        border.asarray(x) if low is None and high is None else lift(elementwise.clip(lower(x), lower(low), lower(high)))
    )


def tile(A: Any, reps: Any) -> Any:
    """The array several times along dimensions."""
    counts = (reps,) if isinstance(reps, int) else tuple(reps)
    return lift(manipulation.tile(border.asarray(A), counts))


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Values at the end."""
    arr, values = border.asarray(arr), border.asarray(values)
    if axis is None:
        arr, values, axis = arr.ravel(), values.ravel(), 0
    return lift(manipulation.concat([arr, values], axis))


def column_stack(tup: Any) -> Any:
    """Vectors as columns."""
    columns = [border.asarray(x) for x in tup]
    return lift(manipulation.concat([x[:, None] if x.ndim == 1 else x for x in columns], 1))


def result_type(*args: Any) -> Any:
    """The dtype of a result of these."""
    return canonical(data_types.result_type(*[a.dtype if isinstance(a, ScalarType) else lower(a) for a in args]))


def promote_types(a: Any, b: Any) -> Any:
    """The dtype of a result of two dtypes."""
    return canonical(data_types.promote_types(dtype_of(a), dtype_of(b)))


class _Kind:
    """An abstract kind of dtype, for `issubdtype`."""

    def __init__(self, name: str, kinds: str) -> None:
        self.name, self.kinds = name, kinds

    def __repr__(self) -> str:
        return f"<class 'jax.numpy.{self.name}'>"


number, inexact, floating = _Kind("number", "iufc"), _Kind("inexact", "fc"), _Kind("floating", "f")
integer, signedinteger = _Kind("integer", "iu"), _Kind("signedinteger", "i")
unsignedinteger, complexfloating, generic = (
    _Kind("unsignedinteger", "u"),
    _Kind("complexfloating", "c"),
    _Kind("generic", "biufc"),
)


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether a dtype is of a kind, or is another dtype."""
    first = dtype_of(arg1)
    if isinstance(arg2, _Kind):
        return first.kind in arg2.kinds
    kinds = {
        np.floating: "f",
        np.integer: "iu",
        np.number: "iufc",
        np.inexact: "fc",
        np.complexfloating: "c",
        np.signedinteger: "i",
        np.unsignedinteger: "u",
    }
    if arg2 in kinds:
        return first.kind in kinds[arg2]
    return first is dtype_of(arg2)


def dtype(x: Any) -> DType:
    """A dtype."""
    return canonical(x)


def shape(a: Any) -> tuple[int, ...]:
    """The shape of an array or number."""
    return border.asarray(a).shape


def ndim(a: Any) -> int:
    """The number of dimensions of an array or number."""
    return border.asarray(a).ndim


def size(a: Any, axis: int | None = None) -> int:
    """The number of elements."""
    x = border.asarray(a)
    return x.size if axis is None else x.shape[axis]


def isscalar(element: Any) -> bool:
    """Whether something is a number."""
    return type(element) in SCALARS or (isinstance(element, (TensorBase, np.generic)) and element.ndim == 0)


def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex."""
    return border.asarray(x).dtype.is_complex


def vectorize(pyfunc: Any, *, excluded: Any = frozenset(), signature: str | None = None) -> Any:
    """A function of numbers, or of the dimensions of a signature, as one of arrays with more in front."""
    from pullback.dialects.jax.vectorizing import vectorize as make  # it needs vmap, which needs this module

    return make(pyfunc, excluded=excluded, signature=signature)


__all__ = ["e", "inf", "nan", "newaxis", "pi"]

#: `import jax.numpy.linalg` finds its home
importable(__name__, "linalg", "pullback.dialects.jax.linalg")

for _name in _COUNTS:
    if _name in globals():
        globals()[_name] = border.refusing_lists(globals()[_name], _COUNTS[_name])
