"""The functions behind the layers, under PyTorch's names: `import pullback.nn.functional as F`."""

from pullback.api.nn_functions import *  # noqa: F403
from pullback.api.nn_functions import __dir__ as __dir__
from pullback.api.nn_functions import __getattr__ as __getattr__
