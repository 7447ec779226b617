"""`torch.nn.utils.rnn`."""

from pullback.nn.utils.rnn import *  # noqa: F403
