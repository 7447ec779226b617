"""Pullback: a deep-learning framework in pure Python. One graph, every style, compiled.

>>> import pullback as pb
>>> pb.grad(lambda x: (x ** 2).sum())(pb.tensor([1.0, 2.0]))
Tensor([2., 4.], dtype=float32)
"""

from __future__ import annotations

import importlib
import sys
from math import e, inf, nan, pi
from typing import Any

from pullback.util.collector import Resting

if not getattr(sys, "_is_gil_enabled", lambda: True)():  # who else holds a value is read from reference counts
    raise ImportError("pullback: this Python runs without its global lock (GIL), which pullback needs"
                      "\n  help  start it with PYTHON_GIL=1 in the environment, or as python -X gil=1")

with Resting():
    from pullback.api.tensor import Tensor
    from pullback.dialects import DIALECTS, FINDER
    from pullback.ir.dtypes import (
        DType,
        bfloat16,
        bool_,
        complex64,
        complex128,
        float16,
        float32,
        float64,
        int8,
        int16,
        int32,
        int64,
        uint8,
        uint16,
        uint32,
        uint64,
    )

__version__ = "0.1.0"
__array_api_version__ = "2024.12"
newaxis = None

#: public packages, loaded at the first use
_PACKAGES = ("config", "data", "distributions", "fft", "io", "linalg", "nn", "optim", "random", "train", "tree", "viz",
             *DIALECTS)
if FINDER not in sys.meta_path:
    sys.meta_path.insert(0, FINDER)

#: where every other public name stands; loaded at the first use, so that importing stays fast
_NAMES: dict[str, str] = {
    "api.creation": """arange array asarray diag empty empty_like eye from_dlpack from_numpy full full_like identity
        linspace logspace meshgrid ones ones_like tensor tril triu zeros zeros_like""",
    "api.elementwise": """abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan
        arctan2 arctanh asin asinh astype atan atan2 atanh bitcast cbrt ceil clamp clamp_max clamp_min clip
        clone conj copysign cos cosh deg2rad digamma divide erf erfc erfinv exp exp2 expm1 floor floor_divide
        fmax fmin fmod frac heaviside hypot imag lerp lgamma log log10 log1p log2 logaddexp logit maximum
        minimum multiply nan_to_num negative nextafter positive pow power rad2deg real reciprocal remainder
        round rsqrt sigmoid sign signbit sin sinh sqrt square subtract tan tanh trunc where xlogy isnan isinf
        isfinite""",
    "api.comparison": """allclose array_equal bitwise_and bitwise_invert bitwise_left_shift bitwise_not
        bitwise_or bitwise_right_shift bitwise_xor equal greater greater_equal isclose isneginf isposinf less
        less_equal logical_and logical_not logical_or logical_xor not_equal""",
    "api.reductions": """all amax amin any argmax argmin count_nonzero cummax cummin cumprod cumsum cumulative_prod
        cumulative_sum logcumsumexp logsumexp max mean min nanmean nansum prod ptp std std_mean sum var var_mean""",
    "api.manipulation": """adjoint array_split atleast_1d atleast_2d broadcast_arrays broadcast_shapes
        broadcast_tensors broadcast_to cat chunk concat concatenate diag_embed diagonal expand_dims flatten flip
        fliplr flipud hstack matrix_transpose moveaxis movedim narrow pad permute permute_dims ravel repeat
        repeat_interleave reshape roll rot90 select split squeeze stack swapaxes tile transpose unbind unflatten
        unfold unsqueeze unstack vstack""",
    "api.linear_algebra": """addmm addmv addr baddbmm bmm cross dot einsum inner kron matmul mm mv norm outer tensordot
        trace vdot vecdot""",
    "api.selecting": """argwhere bincount bucketize gather index_add index_copy index_fill index_put index_select isin
        masked_fill masked_select nonzero one_hot put_along_axis scatter scatter_add searchsorted take
        take_along_axis take_along_dim""",
    "api.sorting": """argsort histc kthvalue median quantile sort sort_with_indices topk unique unique_all
        unique_consecutive unique_counts unique_inverse unique_values""",
    "api.activations": "log_softmax relu softmax",
    "api.images": "cdist",
    "api.loops": "ShapeDtype accumulate eval_shape fori_loop map_batches map_sequentially while_at_most",
    "api.polynomials": "polyval",
    "api.series": "convolve cumulative_trapezoid diff gradient interp trapezoid",
    "api.joining": """atleast_3d block_diag cartesian_prod column_stack combinations diagflat dsplit dstack hsplit
        ravel_multi_index tensor_split tril_indices triu_indices unravel_index vsplit""",
    "api.integers": "gcd lcm",
    "api.statistics": "aminmax corrcoef cov histogram mode nanmedian nanquantile renorm",
    "api.special": "float_power frexp i0 i1 ldexp logaddexp2 multigammaln ndtr ndtri polygamma sinc zeta",
    "api.writing": """as_strided diagonal_scatter index_reduce masked_scatter scatter_reduce select_scatter
        slice_scatter""",
    "api.signals": """bartlett_window blackman_window hamming_window hann_window istft kaiser_window stft""",
    "api.complex_parts": "complex_of isreal polar view_as_complex view_as_real",
    "api.reindexing": "broadcast_in_dim reindex reindex_reduce",
    "api.bits": "bit_count leading_zeros shift_right_logical",
    "api.windows": "associative_scan fold pad_between reduce_window",
    "api.data_types": """array_namespace_info can_cast finfo iinfo is_complex is_floating_point is_tensor isdtype
        promote_types result_type""",
    "api.rand": "bernoulli multinomial normal rand rand_like randint randn randn_like randperm",
    "api.random": "Generator get_rng_state initial_seed manual_seed seed set_rng_state",
    "api.transforms": """Function checkpoint cond custom_jvp custom_vjp enable_grad grad hessian jacfwd jacrev jit jvp
        no_grad scan stop_gradient switch value_and_grad vjp vmap while_loop""",
    "engine.execute": "synchronize",
    "engine.inspect": "show",
    "engine.profiler": "profile",
    "io": "load save",
}
_HOME = {name: home for home, names in _NAMES.items() for name in names.split()}
_ALIASES = {"bool": bool_, "__array_namespace_info__": "array_namespace_info"}


def __getattr__(name: str) -> Any:
    if name in _ALIASES:
        target = _ALIASES[name]
        found = __getattr__(target) if isinstance(target, str) else target
    elif name in _HOME:
        found = getattr(importlib.import_module(f"pullback.{_HOME[name]}"), name)
    elif name in _PACKAGES:
        found = importlib.import_module(f"pullback.{name}")
    elif f"pullback.{name}" in sys.modules:  # a room whose modules import each other, half-way
        return sys.modules[f"pullback.{name}"]
    else:
        raise _unknown(name)
    globals()[name] = found
    return found


def _unknown(name: str) -> AttributeError:
    from difflib import get_close_matches

    from pullback.util.errors import AttributeError_, message

    near = get_close_matches(name, __dir__(), 3)
    help_text = f"did you mean {', '.join('pb.' + n for n in near)}?" if near else "dir(pullback) lists what there is"
    return AttributeError_(message(f"pullback has no {name!r}", help=help_text))


def __dir__() -> list[str]:
    hidden = ("annotations", "importlib", "sys", "Any", "DIALECTS", "FINDER", "Resting")
    own = [n for n in globals() if not n.startswith("_") and n not in hidden]
    return sorted({*own, *_HOME, *_PACKAGES, "bool"})


__all__ = [  # pyright: ignore[reportUnsupportedDunderAll] - the names stand in one table
    "DType", "Tensor", "__version__", "bfloat16", "bool_", "complex64", "complex128", "e", "float16", "float32",
    "float64", "inf", "int8", "int16", "int32", "int64", "nan", "newaxis", "pi", "uint8", "uint16", "uint32", "uint64",
    *(n for names in _NAMES.values() for n in names.split()),
]
