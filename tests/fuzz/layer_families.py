"""Random configurations of every family of layers: texts that any framework with PyTorch's names can evaluate.

A family takes a generator of random numbers and gives a `Case` that is valid by construction. It names no framework:
`build` is evaluated with `nn` and `F`, `call` with the layer `m` and the inputs `x` as well.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Random = random.Random


class Case(NamedTuple):
    """One layer with its inputs. An input is a shape (numbers with a gradient) or an array (as it is)."""

    build: str
    call: str
    inputs: list[Any]
    train: bool = False
    coarse: bool = False  # inputs are multiples of one half: ties and kinks
    peer: bool = True  # the call means the same in PyTorch


CHANNELS = (1, 2, 3, 3, 4, 5, 7, 8, 9, 16, 17, 24, 33)
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 31, 33)


def chance(r: Random, p: float = 0.5) -> bool:
    return r.random() < p


def each(r: Random, rank: int, choices: Any) -> Any:
    """One number for all dimensions, or one each."""
    choices = tuple(choices)
    return r.choice(choices) if rank == 1 or chance(r) else tuple(r.choice(choices) for _ in range(rank))


def spread(value: Any, rank: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * rank


def options(**given: Any) -> str:
    return ",".join(f"{name}={value!r}" for name, value in given.items())


def some(r: Random, **given: Any) -> dict[str, Any]:
    """Some of the options."""
    return {name: value for name, value in given.items() if chance(r)}


def batch(r: Random, *shape: int, alone: float = 0.1) -> tuple[int, ...]:
    """A shape with a batch before it; sometimes without."""
    return shape if chance(r, alone) else (r.choice((1, 2, 2, 3, 5)), *shape)


def sizes(r: Random, rank: int, least: tuple[int, ...]) -> tuple[int, ...]:
    most = (40, 14, 7)[rank - 1]
    return tuple(max(n, r.randint(1, most)) for n in least)


def half(r: Random) -> bool:
    return chance(r, 0.25)


# -- convolutions, windows ---------------------------------------------------------------------------------------------
def channels(r: Random) -> tuple[int, int, int]:
    """Channels in and out, groups."""
    kind = r.randrange(4)
    if kind == 0:
        count = r.choice((2, 3, 4))
        return count * r.choice((1, 2, 5)), count * r.choice((1, 2, 3, 8)), count
    if kind == 1:
        count = r.choice(CHANNELS)
        return count, count * r.choice((1, 1, 2)), count
    return r.choice(CHANNELS), r.choice(CHANNELS), 1


def convolution(r: Random) -> Case:
    rank = r.choice((1, 2, 2, 2, 3))
    into, out, groups = channels(r)
    kernel, dilation = each(r, rank, (1, 2, 3, 3, 5)), each(r, rank, (1, 1, 1, 2, 3))
    stride: Any = each(r, rank, (1, 1, 2, 3))
    k, d = spread(kernel, rank), spread(dilation, rank)
    padding: Any = each(r, rank, range(3))
    if chance(r, 0.3):
        padding = r.choice(("same", "valid"))
        stride = 1 if padding == "same" else stride
    mode = r.choice(("zeros", "zeros", "zeros", "reflect", "replicate", "circular"))
    widest = max(a * (b - 1) for a, b in zip(d, k, strict=True)) if padding == "same" else 2
    room = max(widest + 1, 3) if mode != "zeros" else 1
    pads = spread(0 if isinstance(padding, str) else padding, rank)
    least = tuple(max(room, a * (b - 1) + 1 - 2 * p) for a, b, p in zip(d, k, pads, strict=True))
    given = some(r, stride=stride, dilation=dilation, groups=groups, bias=chance(r))
    given.update(padding=padding, padding_mode=mode, stride=stride, dilation=dilation, groups=groups)
    return Case(f"nn.Conv{rank}d({into},{out},{kernel},{options(**given)})", "m(x[0])",
                [batch(r, into, *sizes(r, rank, least))])


def transposed(r: Random) -> Case:
    rank = r.choice((1, 2, 2, 3))
    into, out, groups = channels(r)
    kernel, dilation = each(r, rank, (1, 2, 3, 4)), each(r, rank, (1, 1, 2, 3))
    stride = each(r, rank, (1, 2, 2, 3))
    k, d, s = spread(kernel, rank), spread(dilation, rank), spread(stride, rank)
    padding = tuple(r.randint(0, min(2, a * (b - 1))) for a, b in zip(d, k, strict=True))
    extra = tuple(r.randint(0, max(a, b) - 1) for a, b in zip(d, s, strict=True))
    least = tuple(1 + -(-max(0, 2 * p - a * (b - 1) - e) // c) for a, b, c, p, e in
                  zip(d, k, s, padding, extra, strict=True))
    given = dict(stride=stride, padding=padding, output_padding=extra, groups=groups, bias=chance(r), dilation=dilation)
    spatial = tuple(max(n, r.randint(1, (20, 8, 4)[rank - 1])) for n in least)
    return Case(f"nn.ConvTranspose{rank}d({into},{out},{kernel},{options(**given)})", "m(x[0])",
                [batch(r, into, *spatial)])


def pooled(r: Random) -> Case:
    """Maxima and means of windows."""
    rank, largest = r.choice((1, 2, 2, 3)), chance(r)
    kernel, stride = each(r, rank, (1, 2, 2, 3, 4, 5)), each(r, rank, (1, 2, 3))
    k = spread(kernel, rank)
    padding = tuple(r.randint(0, n // 2) for n in k)
    given = dict(padding=padding, **some(r, stride=stride, ceil_mode=True))
    d = (1,) * rank
    if largest:
        dilation = each(r, rank, (1, 1, 2, 3))
        d = spread(dilation, rank)
        given.update(dilation=dilation)
        given.update(some(r, return_indices=True))
    else:
        given.update(some(r, count_include_pad=False))
        if rank > 1 and chance(r, 0.2):
            given.update(divisor_override=r.choice((1, 3, 7)))
    least = tuple(a * (b - 1) + 1 - 2 * p for a, b, p in zip(d, k, padding, strict=True))
    call = "m(x[0])[0]" if given.get("return_indices") else "m(x[0])"
    if call.endswith("[0]") and chance(r):
        call = "[m(x[0])[0],m(x[0])[1]*1.0]"
    return Case(f"nn.{'Max' if largest else 'Avg'}Pool{rank}d({kernel},{options(**given)})", call,
                [batch(r, r.choice(CHANNELS[:8]), *sizes(r, rank, least))], coarse=half(r))


def adaptive(r: Random) -> Case:
    rank, kind = r.choice((1, 2, 2, 3)), r.choice(("Avg", "Max"))
    out: Any = each(r, rank, (1, 2, 3, 4, 7))
    if rank > 1 and chance(r, 0.2):
        out = tuple(r.choice((None, n)) for n in spread(out, rank))
    return Case(f"nn.Adaptive{kind}Pool{rank}d({out!r})", "m(x[0])",
                [batch(r, r.choice(CHANNELS[:8]), *sizes(r, rank, (1,) * rank))], coarse=half(r))


def other_pooled(r: Random) -> Case:
    """Power means, maxima at random places, and maxima put back."""
    kind = r.randrange(3)
    rank = r.choice((1, 2, 3)) if kind != 1 else r.choice((2, 3))
    kernel = each(r, rank, (1, 2, 3))
    k = spread(kernel, rank)
    shape = batch(r, r.choice(CHANNELS[:8]), *(max(2 * n, size) for n, size in zip(k, sizes(r, rank, k), strict=True)),
                  alone=0)
    if kind == 0:
        given = some(r, stride=each(r, rank, (1, 2, 3)), ceil_mode=True)
        return Case(f"nn.LPPool{rank}d({r.choice((1, 1.5, 2, 3, 4))},{kernel},{options(**given)})", "m(x[0].abs()+.1)",
                    [shape])
    if kind == 1:
        out = tuple(r.randint(1, n - a) for n, a in zip(shape[2:], k, strict=True))
        samples = np.asarray([r.random() for _ in range(shape[0] * shape[1] * rank)]).reshape(*shape[:2], rank)
        return Case("nn.Identity()", f"F.fractional_max_pool{rank}d(x[0],{kernel},{out},_random_samples=x[1])",
                    [shape, samples], coarse=half(r))
    size = "" if chance(r) else f",output_size={shape}"
    return Case(f"nn.MaxUnpool{rank}d({kernel})", f"m(*F.max_pool{rank}d(x[0],{kernel},return_indices=True){size})",
                [shape if size else (*shape[:2], *(n // a * a for n, a in zip(shape[2:], k, strict=True)))])


MODES = {1: ("nearest", "nearest-exact", "linear", "area"), 2: ("nearest", "bilinear", "bicubic", "area"),
         3: ("nearest", "trilinear", "area", "nearest-exact")}


def interpolated(r: Random) -> Case:
    rank = r.choice((1, 2, 2, 3))
    mode = r.choice(MODES[rank])
    shape = batch(r, r.choice(CHANNELS[:6]), *sizes(r, rank, (1,) * rank), alone=0)
    smooth = mode in ("linear", "bilinear", "bicubic", "trilinear")
    given: dict[str, Any] = dict(mode=mode)
    if smooth:
        given.update(align_corners=chance(r))
    if mode in ("bilinear", "bicubic") and chance(r, 0.3):
        given.update(antialias=True)
    if chance(r):
        given.update(size=tuple(r.randint(1, 9) for _ in range(rank)))
    else:
        scale = tuple(max(r.choice((0.3, 0.4, 0.5, 0.75, 1.0, 1.3, 1.7, 2.0, 3.0)), 1.01 / n) for n in shape[2:])
        given.update(scale_factor=scale, **some(r, recompute_scale_factor=True))
    whole = any(int(n * f) in (n, 2 * n) for n, f in zip(shape[2:], given.get("scale_factor", ()), strict=False))
    peer = not (mode == "nearest" and rank == 2 and whole)  # PyTorch copies and doubles there, whatever the factor
    return Case("nn.Identity()", f"F.interpolate(x[0],{options(**given)})", [shape], peer=peer)


def padded(r: Random) -> Case:
    rank, kind = r.choice((1, 2, 2, 3)), r.choice(("Constant", "Zero", "Reflection", "Replication", "Circular"))
    shape = sizes(r, rank, (4,) * rank)
    pairs = tuple(r.randint(0, 3) for _ in range(2 * rank))
    if kind in ("Constant", "Zero"):
        pairs = tuple(r.randint(-1, 3) for _ in range(2 * rank))
    more = f",{r.choice((0.0, 1.5, -2.0))}" if kind == "Constant" else ""
    return Case(f"nn.{kind}Pad{rank}d({pairs}{more})", "m(x[0])", [batch(r, r.choice(CHANNELS[:6]), *shape)])


def windows(r: Random) -> Case:
    """Columns of windows and their sum, shuffled pixels and channels, places of a grid."""
    kind = r.randrange(5)
    n, c = r.choice((1, 2, 3)), r.choice(CHANNELS[:6])
    if kind == 0:
        kernel, dilation = each(r, 2, (1, 2, 3)), each(r, 2, (1, 2))
        k, d = spread(kernel, 2), spread(dilation, 2)
        padding, stride = each(r, 2, (0, 1, 2)), each(r, 2, (1, 2, 3))
        size = sizes(r, 2, tuple(a * (b - 1) + 1 for a, b in zip(d, k, strict=True)))
        given = options(dilation=dilation, padding=padding, stride=stride)
        if chance(r):
            return Case(f"nn.Unfold({kernel},{given})", "m(x[0])", [(n, c, *size)])
        count = math.prod((size[i] + 2 * spread(padding, 2)[i] - d[i] * (k[i] - 1) - 1) // spread(stride, 2)[i] + 1
                          for i in range(2))
        return Case(f"nn.Fold({size},{kernel},{given})", "m(x[0])", [(n, c * k[0] * k[1], count)])
    h, w, f = r.randint(1, 5), r.randint(1, 5), r.choice((1, 2, 3))
    if kind == 1:
        return Case(f"nn.PixelShuffle({f})", "m(x[0])", [(n, c * f * f, h, w)])
    if kind == 2:
        return Case(f"nn.PixelUnshuffle({f})", "m(x[0])", [(n, c, h * f, w * f)])
    if kind == 3:
        return Case(f"nn.ChannelShuffle({f})", "m(x[0])", [(n, c * f, h, w)])
    given = options(mode=r.choice(("bilinear", "nearest", "bicubic")),
                    padding_mode=r.choice(("zeros", "border", "reflection")), align_corners=chance(r))
    return Case("nn.Identity()", f"F.grid_sample(x[0],x[1],{given})",
                [(n, c, h + 1, w + 1), (n, r.randint(1, 5), r.randint(1, 5), 2)])


# -- normalisation, activations, maps ----------------------------------------------------------------------------------
def normalised(r: Random) -> Case:
    kind, rank, c = r.choice(("Batch", "Instance", "Group", "Layer", "RMS", "Local")), r.choice((1, 2, 3)), 0
    c, size, n = r.choice(CHANNELS), sizes(r, rank, (1,) * rank), r.choice((2, 3, 4))
    if kind in ("Batch", "Instance"):
        given = some(r, affine=kind == "Instance", momentum=r.choice((None, 0.3)), eps=1e-3, bias=False)
        if not given.get("affine", kind == "Batch"):
            given.pop("bias", None)
        given["track_running_stats"] = chance(r)
        size = tuple(max(s, 2) for s in size) if kind == "Instance" else size
        size = () if kind == "Batch" and rank == 1 and chance(r, 0.3) else size
        return Case(f"nn.{kind}Norm{rank}d({c},{options(**given)})", "m(x[0])", [(n, c, *size)], train=chance(r, 0.7))
    if kind == "Group":
        groups = r.choice([g for g in range(1, c + 1) if c % g == 0])
        return Case(f"nn.GroupNorm({groups},{c},{options(**some(r, affine=False))})", "m(x[0])", [(n, c, *size, 2)])
    if kind == "Local":
        return Case(f"nn.LocalResponseNorm({r.randint(1, 5)},alpha=.1,beta=.6)", "m(x[0])", [(n, c, *size)])
    shape = (n, c, *size)
    last = shape[-r.randint(1, len(shape) - 1):]
    given = some(r, elementwise_affine=False, eps=1e-3, **({"bias": False} if kind == "Layer" else {}))
    return Case(f"nn.{kind}Norm({last},{options(**given)})", "m(x[0])", [shape])


ACTIVATIONS = """CELU(1.5) ELU(.7) GELU() GELU('tanh') GLU() Hardshrink(.4) Hardsigmoid() Hardswish() Hardtanh(-.5,1)
    LeakyReLU(.2) LogSigmoid() LogSoftmax(-1) Mish() PReLU() PReLU({c}) ReLU() ReLU6() SELU() SiLU() Sigmoid()
    Softmax(1) Softmax(-1) Softmin(-1) Softplus(2.,1.) Softshrink(.5) Softsign() Tanh() Tanhshrink()
    Threshold(.5,-3.) RReLU()""".split()


def activated(r: Random) -> Case:
    c = 2 * r.choice(CHANNELS)
    shape = (r.choice((1, 2, 3)), c, *(2 * r.randint(1, 9) for _ in range(r.choice((0, 1, 2)))))
    name = r.choice(ACTIVATIONS).format(c=c)
    scale = r.choice(("x[0]", "x[0]*3", "x[0]*30"))
    return Case(f"nn.{name}", f"m({scale})", [shape], coarse=half(r))


def mapped(r: Random) -> Case:
    """Linear and bilinear maps, distances."""
    a, b, c = (r.choice(WIDTHS) for _ in range(3))
    shape = tuple(r.choice((1, 2, 3, 7)) for _ in range(r.choice((0, 1, 1, 2, 3))))
    kind = r.randrange(4)
    if kind == 0:
        return Case(f"nn.Bilinear({a},{b},{c},bias={chance(r)})", "m(x[0],x[1])", [(*shape, a), (*shape, b)])
    if kind == 1:
        call = r.choice(("F.cosine_similarity(x[0],x[1],-1)", "F.pairwise_distance(x[0],x[1],{p})",
                         "F.normalize(x[0]+x[1],{p},-1)"))
        return Case("nn.Identity()", call.format(p=r.choice((1, 2, 3.0))), [(3, *shape, a)] * 2)
    return Case(f"nn.Linear({a},{b},bias={chance(r)})", "m(x[0])", [(*shape, a)])


# -- recurrence --------------------------------------------------------------------------------------------------------
def recurrent(r: Random) -> Case:
    kind, a, b = r.choice(("RNN", "LSTM", "GRU")), r.choice(WIDTHS), r.choice(WIDTHS)
    layers, both, first = r.choice((1, 1, 2, 3)), chance(r, 0.4), chance(r, 0.4)
    given: dict[str, Any] = dict(num_layers=layers, bidirectional=both, batch_first=first, bias=chance(r, 0.7))
    out = b
    if kind == "LSTM" and b > 1 and chance(r, 0.4):
        out = r.randint(1, b - 1)
        given.update(proj_size=out)
    if kind == "RNN":
        given.update(nonlinearity=r.choice(("tanh", "relu")))
    steps, n, many = r.choice((1, 2, 3, 5, 11)), r.choice((1, 2, 3, 5)), layers * (2 if both else 1)
    lone = chance(r, 0.15)
    size: tuple[int, ...] = (a,) if lone else (n, a)
    shape = (n, steps, a) if first and not lone else (steps, *size)
    states = [(many, *size[:-1], width) for width in ((out, b) if kind == "LSTM" else (b,))]
    state = ""
    if chance(r):
        state = ",(x[1],x[2])" if kind == "LSTM" else ",x[1]"
    inputs: list[Any] = [shape, *states] if state else [shape]
    build = f"nn.{kind}({a},{b},{options(**given)})"
    if lone or chance(r):
        return Case(build, f"m(x[0]{state})", inputs)
    lengths = [r.randint(1, steps) for _ in range(n)]
    lengths[r.randrange(n)] = steps
    pack = f"nn.utils.rnn.pack_padded_sequence(x[0],{lengths},batch_first={first},enforce_sorted=False)"
    return Case(build, f"(lambda y,h:(nn.utils.rnn.pad_packed_sequence(y)[0],h))(*m({pack}{state}))", inputs)


def cell(r: Random) -> Case:
    kind, a, b = r.choice(("RNN", "LSTM", "GRU")), r.choice(WIDTHS), r.choice(WIDTHS)
    lead = () if chance(r, 0.2) else (r.choice((1, 2, 5)),)
    state = ("x[1],x[2]" if kind == "LSTM" else "x[1]") if chance(r, 0.7) else ""
    call = f"m(x[0],({state}))" if kind == "LSTM" and state else f"m(x[0],{state})"
    inputs = [(*lead, a), *((*lead, b),) * len(state.split(",") if state else "")]
    return Case(f"nn.{kind}Cell({a},{b},bias={chance(r)})", call, inputs)


# -- attention ---------------------------------------------------------------------------------------------------------
LENGTHS = (1, 1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 48, 49, 63, 64, 65, 70)


def masks(r: Random, shape: tuple[int, ...], added: bool) -> Any:
    """Truth values (True: look) or numbers to add; every row may look at one key."""
    keep = np.asarray([chance(r, 0.6) for _ in range(math.prod(shape))]).reshape(shape)
    keep[..., r.randrange(shape[-1])] = True
    return np.where(keep, np.asarray(r.random()), -np.inf) if added else keep


def attention(r: Random) -> Case:
    heads, shared = r.choice((1, 2, 3, 4)), r.choice((1, 1, 2))
    wide, valued = r.choice(WIDTHS[2:] + (64,)), None
    valued = wide if chance(r, 0.7) else r.choice(WIDTHS)
    queries, keys, lead = r.choice(LENGTHS), r.choice(LENGTHS), batch(r, alone=0.15)
    given: dict[str, Any] = some(r, scale=r.choice((0.3, 1.0)))
    inputs: list[Any] = [(*lead, heads * shared, queries, wide)]
    inputs += [(*lead, heads, keys, wide), (*lead, heads, keys, valued)]
    if shared > 1:
        given.update(enable_gqa=True)
    mask = r.randrange(4)
    more = ""
    if mask == 1:
        given.update(is_causal=True)
    elif mask > 1:
        tail = (r.choice((1, queries)), keys)
        shape = r.choice([tail, (r.choice((1, heads * shared)), *tail), (*lead, 1, *tail)])
        inputs.append(masks(r, shape, mask == 3))
        more = ",attn_mask=x[3]"
    return Case("nn.Identity()", f"F.scaled_dot_product_attention(x[0],x[1],x[2]{more},{options(**given)})", inputs)


def with_cache(r: Random) -> Case:
    """Some queries at a time, whose keys and values are written into a cache in place."""
    heads, wide, length = r.choice((1, 2, 3)), r.choice(WIDTHS[2:]), r.choice(LENGTHS[2:])
    count = max(r.choice((1, 1, 2, 5, 7)), length // 8)
    shape = (r.choice((1, 2)), heads, length, wide)
    return Case("nn.Identity()", f"decode(F,*x,count={count})", [shape] * 3, peer=False)


def decode(F: Any, q: Any, k: Any, v: Any, count: int) -> Any:
    """Causal attention, `count` queries at a time, on caches of keys and values."""
    keys, values, found = k * 0, v * 0, 0
    length = q.shape[2]
    for start in range(0, length, count):
        stop = min(start + count, length)
        keys[:, :, start:stop] = k[:, :, start:stop]
        values[:, :, start:stop] = v[:, :, start:stop]
        look = np.arange(length)[None, :] <= np.arange(start, stop)[:, None]
        part = F.scaled_dot_product_attention(q[:, :, start:stop], keys, values, attn_mask=look)
        found = found + F.pad(part, (0, 0, start, length - stop))
    return found


def multihead(r: Random) -> Case:
    heads = r.choice((1, 2, 3))
    wide = heads * r.choice((1, 2, 3, 5, 8, 16))
    first, own, n = chance(r), chance(r), r.choice((1, 2, 3))
    queries = r.choice(LENGTHS[:11])
    keys = queries if own else r.choice(LENGTHS[:11])
    given: dict[str, Any] = some(r, bias=False, add_bias_kv=True, add_zero_attn=True)
    given.update(batch_first=first)
    kdim, vdim = (wide, wide) if own or chance(r) else (r.choice(WIDTHS), r.choice(WIDTHS))
    if (kdim, vdim) != (wide, wide):
        given.update(kdim=kdim, vdim=vdim)

    def shape(length: int, width: int) -> tuple[int, ...]:
        return (n, length, width) if first else (length, n, width)

    inputs: list[Any] = [shape(queries, wide)] if own else [shape(queries, wide), shape(keys, kdim), shape(keys, vdim)]
    call = "x[0],x[0],x[0]" if own else "x[0],x[1],x[2]"
    added = chance(r)
    if chance(r):
        call += f",attn_mask=x[{len(inputs)}]"
        full = r.choice(((queries, keys), (n * heads, queries, keys)))
        keep = masks(r, full, added)
        keep[..., 0] = 0 if added else True
        inputs.append(keep if added else ~keep)
    if chance(r):
        call += f",key_padding_mask=x[{len(inputs)}]"
        keep = masks(r, (n, keys), added)
        keep[..., 0] = 0 if added else True
        inputs.append(keep if added else ~keep)
    how = some(r, need_weights=False, average_attn_weights=False)
    return Case(f"nn.MultiheadAttention({wide},{heads},{options(**given)})", f"m({call},{options(**how)})", inputs)


def transformer(r: Random) -> Case:
    heads = r.choice((1, 2, 3))
    wide, feed = heads * r.choice((1, 2, 4, 7)), r.choice(WIDTHS)
    first, n = chance(r), r.choice((1, 2, 3))
    given = options(activation=r.choice(("relu", "gelu")), norm_first=chance(r), batch_first=first, bias=chance(r, 0.7))
    a, b = r.choice(LENGTHS[:9]), r.choice(LENGTHS[:9])

    def shape(length: int) -> tuple[int, ...]:
        return (n, length, wide) if first else (length, n, wide)

    ahead = ~np.tril(np.ones((a, a), bool))
    padding = np.asarray([[chance(r, 0.3) for _ in range(b)] for _ in range(n)])
    padding[:, 0] = False
    arguments = f"{wide},{heads},{feed},0.,{given}"
    kind = r.randrange(3)
    if kind == 0:
        layer = f"nn.TransformerEncoderLayer({arguments})"
        build = f"nn.TransformerEncoder({layer},2,enable_nested_tensor=False)" if chance(r) else layer
        return Case(build, f"m(x[0]{r.choice(('', ',x[1]'))})", [shape(a), ahead], train=True)
    if kind == 1:
        layer = f"nn.TransformerDecoderLayer({arguments})"
        build = f"nn.TransformerDecoder({layer},2)" if chance(r) else layer
        return Case(build, "m(x[0],x[1],tgt_mask=x[2],memory_key_padding_mask=x[3])",
                    [shape(a), shape(b), ahead, padding], train=True)
    return Case(f"nn.Transformer({wide},{heads},1,1,{feed},0.,{given})",
                "m(x[1],x[0],tgt_mask=x[2],src_key_padding_mask=x[3])", [shape(a), shape(b), ahead, padding],
                train=True)


# -- losses, tables ----------------------------------------------------------------------------------------------------
REDUCTIONS = ("mean", "sum", "none")


def classes(r: Random, shape: tuple[int, ...], count: int, ignored: int | None = None) -> Any:
    kinds = [*range(count), ignored] if ignored is not None else list(range(count))
    return np.asarray([r.choice(kinds) for _ in range(math.prod(shape))], np.int64).reshape(shape)


def class_loss(r: Random) -> Case:
    """Cross entropy and negative likelihoods of classes."""
    c, n = r.choice(CHANNELS), r.choice((1, 2, 5, 9))
    more = tuple(r.randint(1, 4) for _ in range(r.choice((0, 0, 1, 2))))
    how = r.choice(REDUCTIONS)
    kind = r.choice(("CrossEntropyLoss", "CrossEntropyLoss", "NLLLoss", "probabilities"))
    weight = "weight=x[2]" if chance(r, 0.4) else "weight=None"
    weights = np.asarray([r.random() + 0.1 for _ in range(c)])
    smoothing = f",label_smoothing={r.choice((0.0, 0.1, 0.7))}" if kind != "NLLLoss" else ""
    if kind == "probabilities":
        return Case("nn.Identity()", f"F.cross_entropy(x[0],F.softmax(x[1],1),{weight},reduction={how!r}{smoothing})",
                    [(n, c, *more), (n, c, *more), weights])
    lead = () if not more and chance(r, 0.1) else (n,)
    ignored = r.choice((None, -100, 0, -1))
    index = "" if ignored is None else f",ignore_index={ignored}"
    target = classes(r, (*lead, *more), c, ignored)
    target.reshape(-1)[0] = c - 1  # a mean of nothing is NaN
    index = index if ignored != c - 1 else ""
    name = {"CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll_loss"}[kind]
    return Case("nn.Identity()", f"F.{name}(x[0],x[1],{weight}{index},reduction={how!r}{smoothing})",
                [(*lead, c, *more), target, weights], train=True)


PAIRS = """L1Loss() MSELoss() SmoothL1Loss(beta=.7) HuberLoss(delta=.7) KLDivLoss(log_target=True) SoftMarginLoss()
    PoissonNLLLoss() PoissonNLLLoss(log_input=False,full=True) HingeEmbeddingLoss(margin=.8) BCEWithLogitsLoss()
    MultiLabelSoftMarginLoss() SmoothL1Loss(beta=0.) BCELoss()""".split()


def pair_loss(r: Random) -> Case:
    build, how = r.choice(PAIRS), r.choice(REDUCTIONS)
    shape = tuple(r.choice((1, 2, 3, 7, 17)) for _ in range(r.choice((1, 2, 3))))
    if build.startswith("MultiLabelSoft"):
        shape = (3, r.choice(CHANNELS))
    build = build.replace(")", f",reduction={how!r})").replace("(,", "(")
    first, second = "x[0]", "x[1]"
    if "BCE" in build or "MultiLabel" in build:
        first, second = ("F.sigmoid(x[0])" if "BCELoss" in build else "x[0]"), "F.sigmoid(x[1])"
    if build.startswith(("SoftMargin", "Hinge")):
        second = "((x[1]>0)*2.-1)"
    if "Poisson" in build:
        first, second = ("x[0].abs()+.1" if "False" in build else "x[0]"), "x[1].abs()*3+.1"
    return Case(f"nn.{build}", f"m({first},{second})", [shape] * 2, coarse=half(r) and "Poisson" not in build)


def margin_loss(r: Random) -> Case:
    """Losses of rows: margins, distances, sequences."""
    n, c, how = r.choice((1, 2, 5)), r.choice(CHANNELS), r.choice(REDUCTIONS)
    sign = np.asarray([r.choice((-1.0, 1.0)) for _ in range(n)])
    tail = f"reduction={how!r})"
    kind = r.randrange(7)
    if kind == 0:
        return Case(f"nn.MarginRankingLoss(margin=.3,{tail}", "m(x[0],x[1],x[2])", [(n,), (n,), sign])
    if kind == 1:
        return Case(f"nn.CosineEmbeddingLoss(margin=.1,{tail}", "m(x[0],x[1],x[2])", [(n, c), (n, c), sign])
    if kind == 2:
        given = options(p=r.choice((1.0, 2.0)), swap=chance(r))
        return Case(f"nn.TripletMarginLoss(margin=.8,{given},{tail}", "m(x[0],x[1],x[2])", [(n, c)] * 3)
    if kind == 3:
        return Case(f"nn.MultiMarginLoss(p={r.choice((1, 2))},margin=.7,{tail}", "m(x[0],x[1])",
                    [(n, c), classes(r, (n,), c)])
    if kind == 4:
        target = np.full((n, c), -1)
        for row in target:
            count = r.randint(0, c)
            row[:count] = r.sample(range(c), count)
        return Case(f"nn.MultiLabelMarginLoss({tail}", "m(x[0],x[1])", [(n, c), target])
    if kind == 5:
        given = options(full=chance(r), reduction=how)
        return Case(f"nn.GaussianNLLLoss({given})", "m(x[0],x[1],x[2].abs()+.1)", [(n, c)] * 3)
    steps, c = r.choice((3, 7, 12)), r.choice((2, 3, 9))
    lengths = [r.randint(0, min(3, steps // 2)) for _ in range(n)]
    labels = np.asarray([[r.randint(1, c - 1) for _ in range(3)] for _ in range(n)])
    times = [r.randint(max(1, 2 * k), steps) for k in lengths]
    return Case(f"nn.CTCLoss(zero_infinity=True,{tail}", f"m(F.log_softmax(x[0],2),x[1],{times},{lengths})",
                [(steps, n, c), labels])


def table(r: Random) -> Case:
    """Embeddings and bags of them."""
    count, width = r.choice((1, 3, 10, 40)), r.choice(WIDTHS)
    given = some(r, padding_idx=r.randrange(-count, count), scale_grad_by_freq=True)
    shape = tuple(r.choice((1, 2, 5, 9)) for _ in range(r.choice((1, 2, 3))))
    if chance(r):
        return Case(f"nn.Embedding({count},{width},{options(**given)})", "m(x[0])", [classes(r, shape, count)])
    mode = r.choice(("sum", "mean", "max"))
    given.update(mode=mode)
    if mode == "max":
        given.pop("scale_grad_by_freq", None)
    peer = "scale_grad_by_freq" not in given  # PyTorch divides by the counts of other rows
    total = r.choice((1, 4, 11))
    offsets = np.asarray(sorted([0, *(r.randint(0, total) for _ in range(r.choice((0, 1, 3))))]))
    weighted = mode == "sum" and chance(r)
    if chance(r):
        shape = (r.choice((1, 3)), total)
        call = "m(x[0],None,x[1])" if weighted else "m(x[0])"
        return Case(f"nn.EmbeddingBag({count},{width},{options(**given)})", call, [classes(r, shape, count), shape],
                    peer=peer)
    return Case(f"nn.EmbeddingBag({count},{width},{options(**given)})",
                "m(x[0],x[1],x[2])" if weighted else "m(x[0],x[1])", [classes(r, (total,), count), offsets, (total,)],
                peer=peer)


FAMILIES: dict[str, Callable[[Random], Case]] = {
    f.__name__: f for f in (convolution, transposed, pooled, adaptive, other_pooled, interpolated, padded, windows,
                            normalised, activated, mapped, recurrent, cell, attention, with_cache, multihead,
                            transformer, class_loss, pair_loss, margin_loss, table)}


def case_of(family: str, seed: int) -> Case:
    return FAMILIES[family](Random(f"{family} {seed}"))


def arrays_of(case: Case, seed: int) -> tuple[list[Any], list[bool]]:
    """The inputs in double precision, and which of them have gradients."""
    rng = np.random.default_rng(seed)
    found: list[Any] = []
    for given in case.inputs:
        if isinstance(given, tuple):
            x = rng.normal(size=given)
            found.append(np.round(2 * x) / 2 if case.coarse else np.round(x * 64) / 64)
        else:
            found.append(given)
    return found, [isinstance(given, tuple) for given in case.inputs]


class Asked(NamedTuple):
    """A layer and a call of it, in one framework."""

    layer: Any
    inputs: list[Any]
    wanted: list[bool]  # which inputs have gradients
    call: Callable[[Any, list[Any]], list[Any]]


def ask(framework: Any, case: Case, seed: int, dtype: str) -> Asked:
    """A case in a framework: its layer with random parameters, its inputs, and the call that gives tensors."""
    nn, kind = framework.nn, getattr(framework, dtype)
    names = {"nn": nn, "F": nn.functional, "decode": decode}
    arrays, wanted = arrays_of(case, seed)
    rng = np.random.default_rng(seed + 1)
    m = eval(case.build, names).to(kind).train(case.train)
    with framework.no_grad():
        for p in m.parameters():
            p.copy_(framework.tensor(np.round(rng.uniform(-0.5, 0.5, tuple(p.shape)) * 64) / 64, dtype=kind))
    x = [framework.tensor(a, dtype=kind) if np.asarray(a).dtype.kind == "f" else framework.tensor(a) for a in arrays]
    code = compile(case.call, "<case>", "eval")

    def call(m: Any, x: list[Any]) -> list[Any]:
        return tensors(eval(code, {**names, "m": m, "x": x}))

    return Asked(m, x, wanted, call)


def tensors(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [t for v in value for t in tensors(v)]
    return [] if value is None else [value]


def projection(framework: Any, found: list[Any]) -> Any:
    """One number that depends on every result that has a gradient."""
    total: Any = 0
    for v in found:
        if str(v.dtype).rpartition(".")[2] in ("float32", "float64", "bfloat16"):
            places = np.arange(math.prod(v.shape), dtype=np.float64).reshape(tuple(v.shape))
            total = total + (v * framework.tensor(np.sin(places + 1), dtype=v.dtype)).sum()
    return total


def answer(framework: Any, case: Case, seed: int, dtype: str) -> dict[str, Any]:
    """Results, gradients and buffers of a case, by name."""
    m, x, wanted, call = ask(framework, case, seed, dtype)
    for t, has in zip(x, wanted, strict=True):
        if has:
            t.requires_grad_()
    found = call(m, x)
    total = projection(framework, found)
    if getattr(total, "requires_grad", False):
        total.backward()
    named = {f"out{k}": v.detach() for k, v in enumerate(found)}
    named.update((f"x{k}", t.grad) for k, t in enumerate(x) if t.grad is not None)
    named.update((name, p.grad) for name, p in m.named_parameters() if p.grad is not None)
    named.update((f"buffer {name}", b) for name, b in m.named_buffers())
    return named
