"""`torch.distributions`: the library's, whose numbers become this dialect's tensors."""

from pullback.dialects import names
from pullback.dialects.torch.distributions import every

_HOME = "dialects.torch.distributions.every"
_MODULES = """bernoulli beta binomial categorical cauchy chi2 dirichlet distribution exponential exp_family gamma
    geometric gumbel half_cauchy half_normal independent laplace log_normal mixture_same_family multinomial
    multivariate_normal negative_binomial normal one_hot_categorical pareto poisson relaxed_bernoulli
    relaxed_categorical studentT transformed_distribution uniform utils weibull"""
__getattr__, __dir__ = names(__name__, {
    _HOME: " ".join([*every.__all__, *(f"{name}=" for name in _MODULES.split())]),
    "distributions.constraints": "constraints=", "distributions.transforms": "transforms=",
    "distributions.kl": "kl=",
})
