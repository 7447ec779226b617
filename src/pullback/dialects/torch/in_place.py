"""PyTorch's functions that write to their first argument: `torch.exp_(x)` is `x.exp_()`."""

from __future__ import annotations

from typing import Any

#: functions of this kind
NAMES = """abs_ acos_ acosh_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_ ceil_
        clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp_ exp2_ expm1_ fill_ fix_
        floor_ frac_ gcd_ i0_ lcm_ ldexp_ log_ log10_ log1p_ log2_ logit_ nan_to_num_ neg_ negative_ rad2deg_
        reciprocal_ relu_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_
        index_put_ resize_as_ as_strided_""".split()


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(name)

    def call(input: Any, *args: Any, **options: Any) -> Any:
        return getattr(input, name)(*args, **options)

    call.__name__, call.__doc__ = name, f"`x.{name}(...)`."
    globals()[name] = call
    return call

