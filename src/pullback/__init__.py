"""First face; the explicit one follows."""
from pullback.api.tensor import *
from pullback.api.creation import *
from pullback.api.elementwise import *
from pullback.api.comparison import *
from pullback.api.reductions import *
from pullback.api.manipulation import *
from pullback.api.linear_algebra import *
from pullback.api.activations import *
from pullback.api.selecting import *
from pullback.api.sorting import *
from pullback.api.transforms import *
from pullback.api.rand import *
from pullback.api.random import manual_seed, Generator, get_rng_state, set_rng_state
from pullback.engine.execute import synchronize
from pullback.ir.dtypes import float32, float64, int32, int64, bool_, float16, bfloat16, uint8, int8, int16, uint32, uint16, uint64
from pullback.util.errors import *
__version__ = "0.1.0"
def __getattr__(name):
    import importlib
    if name in ("nn","optim","data","io","random","tree"):
        return importlib.import_module("pullback."+name)
    raise AttributeError(name)
