"""PyTorch's names: `import pullback.torch as torch`."""

from __future__ import annotations

from math import e, inf, nan, pi
from typing import TYPE_CHECKING

from pullback.dialects import FINDER, names
from pullback.dialects.torch.absent import ABSENT
from pullback.dialects.torch.arguments import adapted
from pullback.dialects.torch.dtypes import SHOWN, Size, device, dtype, tensor_types
from pullback.dialects.torch.in_place import NAMES as IN_PLACE
from pullback.dialects.torch.variants import Tensor  # from where all methods have been installed

if TYPE_CHECKING:
    from pullback.dialects.torch import autograd as autograd
    from pullback.dialects.torch import cuda as cuda
    from pullback.dialects.torch import nn as nn
    from pullback.dialects.torch import optim as optim

__version__ = "2.13.0"
newaxis = None
strided, sparse_coo = "torch.strided", "torch.sparse_coo"
contiguous_format, channels_last = "torch.contiguous_format", "torch.channels_last"
preserve_format = "torch.preserve_format"

globals().update(SHOWN)
_SHORT = {"half": "float16", "float": "float32", "double": "float64", "short": "int16", "int": "int32", "long": "int64",
          "cfloat": "complex64", "cdouble": "complex128"}
globals().update({short: SHOWN[name] for short, name in _SHORT.items()})
globals().update(tensor_types("torch"))

#: where every other name stands
_TABLE = {
    "dialects.torch.creation": """tensor is_tensor as_tensor asarray from_numpy from_dlpack zeros ones empty full
        zeros_like ones_like empty_like full_like arange range=inclusive_range linspace logspace eye scalar_tensor
        rand randn rand_like randn_like randint randint_like randperm bernoulli normal multinomial manual_seed seed
        initial_seed get_rng_state set_rng_state Generator default_generator set_default_dtype get_default_dtype
        set_default_tensor_type""",
    "dialects.torch.functions": """sum prod equal numel is_storage is_grad_enabled set_grad_enabled inference_mode
        result_type promote_types can_cast finfo iinfo is_floating_point is_complex is_nonzero where meshgrid
        dist rsub split_with_sizes vmap compile are_deterministic_algorithms_enabled use_deterministic_algorithms
        set_float32_matmul_precision get_float32_matmul_precision set_num_threads get_num_threads
        set_default_device cross get_default_device set_num_interop_threads get_num_interop_threads set_flush_denormal
        is_inference_mode_enabled is_anomaly_enabled is_anomaly_check_nan_enabled set_anomaly_enabled
        is_deterministic_algorithms_warn_only_enabled set_deterministic_debug_mode get_deterministic_debug_mode
        set_warn_always is_warn_always_enabled typename is_signed get_device embedding lstm_cell gru_cell rnn_tanh_cell
        rnn_relu_cell cond kl_div poisson_nll_loss hinge_embedding_loss margin_ranking_loss ctc_loss
        cosine_embedding_loss triplet_margin_loss nansum""",
    "dialects.torch.composed": """diff trapezoid trapz cumulative_trapezoid gradient atleast_3d tril_indices
        triu_indices unravel_index unique_consecutive vander cov corrcoef aminmax mode nanmedian nanquantile
        histogram frexp real imag complex conj conj_physical resolve_conj resolve_neg sgn detach fill
        is_same_size put=put_elements addbmm chain_matmul frombuffer block_diag cartesian_prod column_stack combinations
        diagflat dsplit dstack hsplit tensor_split vsplit sinc logaddexp2 float_power ldexp i0 polygamma
        mvlgamma gcd lcm as_strided diagonal_scatter index_reduce masked_scatter scatter_reduce select_scatter
        slice_scatter angle polar view_as_complex view_as_real isreal isneginf isposinf renorm adjoint""",
    "dialects.torch.signals": """hann_window hamming_window blackman_window bartlett_window kaiser_window stft istft""",
    "dialects.torch.storage": "poisson binomial empty_strided is_conj is_neg is_inference",
    "dialects.torch.in_place": " ".join(IN_PLACE),
    "dialects.torch.nn.functional": """adaptive_avg_pool1d adaptive_max_pool1d avg_pool1d bilinear celu_
        channel_shuffle feature_alpha_dropout hardshrink pdist rms_norm rrelu rrelu_ selu_ threshold_ relu selu prelu
        threshold celu""",
    "dialects.torch.pairs": """max min sort msort argsort topk kthvalue median argmax argmin count_nonzero nonzero
        argwhere searchsorted bucketize bincount unique histc masked_select var std var_mean std_mean""",
    "dialects.torch.variants": """cumsum cumprod cummax cummin softmax log_softmax logcumsumexp index_select index_add
        index_copy index_fill scatter scatter_add take_along_dim norm squeeze transpose gather
        cosine_similarity""",
    "dialects.torch.printing": "set_printoptions",
    "dialects.torch.amp": "amp= autocast", "train.amp": "is_autocast_enabled",
    "dialects.torch.serialization": "serialization= save load", "dialects.torch.sparse": "sparse= sparse_coo_tensor",
    "engine.control": "enable_grad no_grad",
    "api.creation": "diag tril triu",
    "dialects.torch.written": """abs absolute acos acosh add addcdiv addcmul arccos arccosh arcsin arcsinh arctan
        arctan2 arctanh asin asinh atan atan2 atanh ceil clamp clamp_max clamp_min clip clone copysign cos cosh deg2rad
        digamma div=divide divide erf erfc erfinv exp exp2 expm1 floor floor_divide fmax fmin fmod frac heaviside hypot
        lerp lgamma log log10 log1p log2 logaddexp logit maximum minimum mul=multiply multiply nan_to_num neg=negative
        negative nextafter positive pow rad2deg reciprocal remainder round rsqrt sigmoid sign signbit sin sinh sqrt
        square sub=subtract subtract tan tanh true_divide=divide trunc fix=trunc xlogy isnan isinf isfinite cat
        concat=cat concatenate=cat bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
        bitwise_xor eq=equal greater greater_equal gt=greater ge=greater_equal less less_equal lt=less le=less_equal
        logical_and logical_not logical_or logical_xor not_equal ne=not_equal addmm addmv addr baddbmm bmm dot
        einsum inner kron matmul mm mv spmm=mm dsmm=mm outer ger=outer trace vdot stack""",
    "api.comparison": "allclose isclose",
    "api.reductions": "all amax amin any logsumexp mean nanmean",
    "api.manipulation": """atleast_1d atleast_2d broadcast_shapes broadcast_tensors broadcast_to chunk
        diag_embed diagonal flatten flip fliplr flipud hstack moveaxis movedim narrow narrow_copy=narrow permute
        ravel repeat_interleave reshape roll rot90 select split swapaxes swapdims=swapaxes t tile unbind
        unflatten unsqueeze vstack row_stack=vstack""",
    "dialects.torch.linalg": """linalg= det slogdet inverse=inv logdet cholesky=old_cholesky cholesky_solve
        cholesky_inverse qr=old_qr svd=old_svd pinverse=pinv matrix_power matrix_exp tensordot
        lu_solve=old_lu_solve lu=old_lu lu_unpack svd_lowrank pca_lowrank nuclear_norm frobenius_norm""",
    "api.selecting": "index_put isin masked_fill take",
    "api.sorting": "quantile",
    "api.layers": "dropout alpha_dropout batch_norm layer_norm group_norm instance_norm",
    "api.convolution": """conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d max_pool1d
        max_pool2d max_pool3d""",
    "api.images": "cdist pixel_shuffle pixel_unshuffle",
    "api.losses": "pairwise_distance",
    "dialects.torch.nn": "nn=", "dialects.torch.optim": "optim=", "dialects.torch.autograd": "autograd=",
    "dialects.torch.cuda": "cuda=", "dialects.torch.utils": "utils=", "dialects.torch.backends": "backends=",
    "dialects.torch.func": "func=", "dialects.torch.accelerator": "accelerator=", "dialects.torch.random": "random=",
    "dialects.torch.distributions": "distributions=",
    "dialects.torch.jit": "jit=", "dialects.torch.compiler": "compiler=", "dialects.torch.testing": "testing=",
    "dialects.torch.types": "types=", "dialects.torch.version": "version=",
    "dialects.torch.multiprocessing": "multiprocessing=",
    "dialects.torch.fft": "fft=", "dialects.torch.special": "special=", "dialects.torch.signal": "signal=",
}
__getattr__, __dir__ = names(__name__, _TABLE, adapted)
FINDER.absent |= {f"{__name__}.{name}": entry for name, entry in ABSENT.items()}
__all__ = ["Size", "Tensor", "device", "dtype", "e", "inf", "nan", "pi"]
