"""Probability distributions: sampling, densities, moments, divergences, under PyTorch's names.

>>> import pullback as pb
>>> policy = pb.distributions.Categorical(logits=pb.tensor([0.0, 1.0]))
>>> policy.log_prob(pb.tensor(1))
Tensor(-0.31326175, dtype=float32)
"""

from pullback.distributions import constraints as constraints
from pullback.distributions import transforms as transforms
from pullback.distributions.combined import Independent as Independent
from pullback.distributions.combined import LogNormal as LogNormal
from pullback.distributions.combined import MixtureSameFamily as MixtureSameFamily
from pullback.distributions.combined import RelaxedBernoulli as RelaxedBernoulli
from pullback.distributions.combined import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from pullback.distributions.combined import TransformedDistribution as TransformedDistribution
from pullback.distributions.continuous import Cauchy as Cauchy
from pullback.distributions.continuous import Chi2 as Chi2
from pullback.distributions.continuous import Exponential as Exponential
from pullback.distributions.continuous import Gamma as Gamma
from pullback.distributions.continuous import Gumbel as Gumbel
from pullback.distributions.continuous import HalfCauchy as HalfCauchy
from pullback.distributions.continuous import HalfNormal as HalfNormal
from pullback.distributions.continuous import Laplace as Laplace
from pullback.distributions.continuous import Normal as Normal
from pullback.distributions.continuous import Pareto as Pareto
from pullback.distributions.continuous import StudentT as StudentT
from pullback.distributions.continuous import Uniform as Uniform
from pullback.distributions.continuous import Weibull as Weibull
from pullback.distributions.discrete import Bernoulli as Bernoulli
from pullback.distributions.discrete import Binomial as Binomial
from pullback.distributions.discrete import Categorical as Categorical
from pullback.distributions.discrete import Geometric as Geometric
from pullback.distributions.discrete import Multinomial as Multinomial
from pullback.distributions.discrete import NegativeBinomial as NegativeBinomial
from pullback.distributions.discrete import OneHotCategorical as OneHotCategorical
from pullback.distributions.discrete import OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough
from pullback.distributions.discrete import Poisson as Poisson
from pullback.distributions.distribution import Distribution as Distribution
from pullback.distributions.distribution import ExponentialFamily as ExponentialFamily
from pullback.distributions.kl import kl_divergence as kl_divergence
from pullback.distributions.kl import register_kl as register_kl
from pullback.distributions.multivariate import Beta as Beta
from pullback.distributions.multivariate import Dirichlet as Dirichlet
from pullback.distributions.multivariate import MultivariateNormal as MultivariateNormal
from pullback.distributions.transforms import AbsTransform as AbsTransform
from pullback.distributions.transforms import AffineTransform as AffineTransform
from pullback.distributions.transforms import ComposeTransform as ComposeTransform
from pullback.distributions.transforms import ExpTransform as ExpTransform
from pullback.distributions.transforms import IndependentTransform as IndependentTransform
from pullback.distributions.transforms import PowerTransform as PowerTransform
from pullback.distributions.transforms import ReshapeTransform as ReshapeTransform
from pullback.distributions.transforms import SigmoidTransform as SigmoidTransform
from pullback.distributions.transforms import SoftmaxTransform as SoftmaxTransform
from pullback.distributions.transforms import SoftplusTransform as SoftplusTransform
from pullback.distributions.transforms import StickBreakingTransform as StickBreakingTransform
from pullback.distributions.transforms import TanhTransform as TanhTransform
from pullback.distributions.transforms import Transform as Transform
from pullback.distributions.transforms import identity_transform as identity_transform
