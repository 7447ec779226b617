"""`jax.scipy.special`: functions of the array room under SciPy's names."""

from __future__ import annotations

from pullback.api import activations, elementwise, reductions
from pullback.dialects import names
from pullback.dialects.jax.array import function

_SAME = {
    elementwise: "digamma erf erfc erfinv expit=sigmoid gammaln=lgamma logit xlogy",
    reductions: "logsumexp",
    activations: "log_softmax softmax",
}
for _home, _entries in _SAME.items():
    for _entry in _entries.split():
        _name, _, _there = _entry.partition("=")
        globals()[_name] = function(vars(_home)[_there or _name], True)

__getattr__, __dir__ = names(__name__, {})
