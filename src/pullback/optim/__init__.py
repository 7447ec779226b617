"""Optimisers and learning rate schedules; `functional` has the same update rules as pure functions on pytrees."""

from pullback.optim import functional as functional
from pullback.optim import lr_scheduler as lr_scheduler
from pullback.optim.algorithms import ASGD as ASGD
from pullback.optim.algorithms import SGD as SGD
from pullback.optim.algorithms import Adadelta as Adadelta
from pullback.optim.algorithms import Adafactor as Adafactor
from pullback.optim.algorithms import Adagrad as Adagrad
from pullback.optim.algorithms import Adam as Adam
from pullback.optim.algorithms import Adamax as Adamax
from pullback.optim.algorithms import AdamW as AdamW
from pullback.optim.algorithms import Lion as Lion
from pullback.optim.algorithms import Muon as Muon
from pullback.optim.algorithms import NAdam as NAdam
from pullback.optim.algorithms import RAdam as RAdam
from pullback.optim.algorithms import RMSprop as RMSprop
from pullback.optim.algorithms import Rprop as Rprop
from pullback.optim.algorithms import SparseAdam as SparseAdam
from pullback.optim.lbfgs import LBFGS as LBFGS
from pullback.optim.optimizer import Optimizer as Optimizer
