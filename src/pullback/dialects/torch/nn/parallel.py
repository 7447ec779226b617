"""`torch.nn.parallel`: modules on the devices there are, one."""

from pullback.dialects import names
from pullback.dialects.absent import Absent
from pullback.dialects.torch.absent import ABSENT

__getattr__, __dir__ = names(__name__, {
    "dialects.torch.nn": "DataParallel", "dialects.torch.nn.parallel": "data_parallel=",
})
DistributedDataParallel = Absent("torch.nn.parallel.DistributedDataParallel", ABSENT["distributed"][0])
