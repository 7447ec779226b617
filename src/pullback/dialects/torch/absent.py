"""PyTorch's modules that are not here: why, and what its programs may ask of them nevertheless."""

from __future__ import annotations

from typing import Any

_ONE = "there is one process; leave init_process_group out, or run with a world size of 1"
_RUN = "programs are compiled as they run: call the module itself"
#: by module: the cure, and the results of functions that are asked whether there is anything
ABSENT: dict[str, tuple[str, dict[str, Any]]] = {
    "ao": ("autocast and tensors of bfloat16 or float16 are here", {}),
    "cuda.nccl": ("there is no CUDA device", {"is_available": False, "version": 0}),
    "distributed": (_ONE, dict.fromkeys(("is_available", "is_initialized", "is_nccl_available", "is_gloo_available",
                                         "is_mpi_available", "is_torchelastic_launched"), False)),
    "export": (_RUN, {}),
    "futures": ("use concurrent.futures", {}),
    "fx": (_RUN, {"is_fx_tracing": False}),
    "hub": ("download the file, and read it with torch.load", {}),
    "library": ("define an operator as a torch.autograd.Function", {}),
    "masked": ("use torch.where", {}),
    "nested": ("pad sequences with torch.nn.utils.rnn.pad_sequence", {}),
    "onnx": ("save the state_dict with torch.save, and export it where PyTorch is installed", {
        "is_in_onnx_export": False}),
    "overrides": ("subclasses of Tensor are not asked for each function", {}),
    "package": ("save the state_dict with torch.save", {}),
    "profiler": ("use pb.profile(), or PULLBACK_DEBUG=timing", {}),
    "quantization": ("autocast and tensors of bfloat16 or float16 are here", {}),
    "quasirandom": ("scipy.stats.qmc has Sobol sequences", {}),
    "utils.benchmark": ("use timeit; pb.synchronize() waits for what was launched", {}),
    "utils.cpp_extension": ("define an operator as a torch.autograd.Function", {}),
    "utils.flop_counter": ("use pb.profile()", {}),
    "utils.model_zoo": ("download the file, and read it with torch.load", {}),
    "utils.tensorboard": ("use the tensorboardX package, or write a CSV file", {}),
    "xpu": ("there is no such device", {"is_available": False, "device_count": 0}),
    "mtia": ("there is no such device", {"is_available": False, "device_count": 0}),
    "mps": ("there is no such device", {"is_available": False, "device_count": 0}),
}

__all__ = ["ABSENT"]
