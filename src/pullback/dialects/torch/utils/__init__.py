"""`torch.utils`."""

from pullback.dialects import names

__getattr__, __dir__ = names(__name__, {"dialects.torch.utils.data": "data=",
                                        "dialects.torch.utils.checkpoint": "checkpoint=",
                                        "dialects.torch.utils._pytree": "_pytree="})
