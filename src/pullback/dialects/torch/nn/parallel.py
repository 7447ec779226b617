"""`torch.nn.parallel`: modules on the devices there are, one."""

from pullback.dialects import names

__getattr__, __dir__ = names(__name__, {
    "dialects.torch.nn": "DataParallel", "dialects.torch.nn.parallel": "data_parallel=",
})
