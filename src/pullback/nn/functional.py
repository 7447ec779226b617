"""The functions behind the layers, under PyTorch's names: `import pullback.nn.functional as F`."""

from pullback.api.nn_functions import *  # noqa: F403
