"""Jittor's names: `import pullback.jittor as jt`.

Functions of `jt` are methods of `jt.Var` too. Where today's Jittor and its first releases differ, both are here:
scopes of
parameters (`var_scope`, `make_var`, `find_vars`) and modules.
"""

from __future__ import annotations

from pullback.dialects import names
from pullback.dialects.jittor.var import Var

__version__ = "1.3"

__getattr__, __dir__ = names(
    __name__,
    {
        "dialects.jittor.functions": """array random rand randn rand_like randn_like uniform normal randint zeros ones
            empty full
        zeros_like ones_like full_like arange linspace broadcast reindex reindex_reduce clamp
        concat
        cat=concat stack sync_all liveness_info flags flag_scope has_cuda float16 float32 float64 bfloat16
            int8 int16 int32 int64
        uint8
        uint16 uint32 uint64 bool float double half int long""",
        "dialects.jittor.positions": "argmax argmin argsort",
        "dialects.jittor.scope": """var_scope make_var find_var find_vars find_scope find_record find_records
            export_vars import_vars
        clean""",
        "dialects.jittor.autograd": "grad no_grad enable_grad",
        "dialects.jittor.stream": "set_seed set_global_seed seed=set_seed",
        "dialects.jittor.nn": "nn= Module Function",
        "dialects.jittor.init": "init=",
        "dialects.jittor.optim": "optim=",
        "api.elementwise": """abs acos acosh add asin asinh atan acosh arccos=acos arcsin=asin arctan=atan
            arctan2=atan2 atanh ceil
        cos cosh divide erf erfinv exp floor floor_divide isfinite isinf isnan lerp log log2 maximum minimum
        mod=remainder
        multiply negative pow round sigmoid sign sin sinh sqr=square sqrt subtract tan tanh ternary=where where""",
        "api.comparison": """all_equal=array_equal bitwise_and bitwise_or bitwise_xor equal greater greater_equal less
            less_equal
        logical_and logical_not logical_or logical_xor not_equal""",
        "api.reductions": "all_=all any_=any cumprod cumsum logsumexp max mean min prod std sum",
        "api.manipulation": """chunk diagonal expand flatten flip permute repeat reshape roll split squeeze
        transpose unbind unsqueeze view=reshape""",
        "api.creation": "meshgrid tril triu",
        "api.linear_algebra": "bmm dot einsum matmul norm outer",
        "api.selecting": "gather index_select masked_fill nonzero one_hot scatter",
        "api.sorting": "sort topk",
        "api.activations": "log_softmax relu softmax",
    },
)
__all__ = ["Var"]
