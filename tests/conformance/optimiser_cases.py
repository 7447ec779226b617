"""Optimisers with their options, schedules and clipping: the same program asks PyTorch and the torch dialect."""

from __future__ import annotations

from typing import Any

import numpy as np

OPTIMISERS = """SGD(g,.1) SGD(g,.1,.9,weight_decay=.1) SGD(g,.1,.9,nesterov=True) SGD(g,.1,.5,.3,.1,maximize=True)
    Adam(g,.1) Adam(g,.1,(.5,.9),.01,.1) Adam(g,.1,amsgrad=True,maximize=True)
    Adam(g,.1,weight_decay=.1,decoupled_weight_decay=True) AdamW(g,.1) AdamW(g,.1,(.5,.9),.01,.1,True)
    NAdam(g,.1) NAdam(g,.1,weight_decay=.1,momentum_decay=.1) NAdam(g,.1,weight_decay=.1,decoupled_weight_decay=True)
    RAdam(g,.1) RAdam(g,.1,(.5,.7),weight_decay=.1) RAdam(g,.1,(.5,.7),weight_decay=.1,decoupled_weight_decay=True)
    Adagrad(g,.1) Adagrad(g,.1,.1,.1,.3,.01) Adadelta(g) Adadelta(g,.3,.5,.01,.1) RMSprop(g,.05)
    RMSprop(g,.05,.5,.01,.1,.9,True) Adamax(g,.1) Adamax(g,.1,(.5,.7),.01,.1)
    Rprop(g,.1) Rprop(g,.1,(.3,1.7),(.001,.2)) ASGD(g,.1) ASGD(g,.1,.1,.5,2,.1)
    Adafactor(g,.1)
    Adafactor(g,.1,-.5,d=2.,weight_decay=.1) Muon(g,.05) Muon(g,.05,.1,.5,False,ns_steps=3)
    Muon(g,.05,adjust_lr_fn='match_rms_adamw')
    LBFGS(p,1.,3) LBFGS(p,.5,5,history_size=2) LBFGS(p,1.,4,line_search_fn='strong_wolfe')""".split()
SCHEDULES = """L.StepLR(o,2,.5) L.MultiStepLR(o,[1,3,3],.3) L.ConstantLR(o,.5,3) L.LinearLR(o,.2,.9,4)
    L.ExponentialLR(o,.8) L.CosineAnnealingLR(o,4,.01) L.CosineAnnealingWarmRestarts(o,2,2,.01)
    L.CosineAnnealingWarmRestarts(o,1,3) L.PolynomialLR(o,5,2.) L.LambdaLR(o,[half,inverse])
    L.MultiplicativeLR(o,inverse) L.CyclicLR(o,.01,.2,2,3) L.CyclicLR(o,.01,.2,2,mode='triangular2')
    L.CyclicLR(o,.01,.2,2,mode='exp_range',gamma=.9) L.CyclicLR(o,[.01,.02],[.2,.1],1,base_momentum=.5,max_momentum=.8)
    L.CyclicLR(o,.01,.2,2,scale_fn=inverse,scale_mode='iterations',cycle_momentum=False) L.OneCycleLR(o,.3,9)
    L.OneCycleLR(o,[.3,.2],epochs=3,steps_per_epoch=3,pct_start=.5,anneal_strategy='linear')
    L.OneCycleLR(o,.3,12,three_phase=True) L.OneCycleLR(o,.3,9,div_factor=5.,final_div_factor=10.,base_momentum=.5)
    L.SequentialLR(o,[L.LinearLR(o,.1,1.,2),L.CosineAnnealingLR(o,4),L.StepLR(o,1)],[2,5])
    L.ChainedScheduler([L.ConstantLR(o,.5,2),L.ExponentialLR(o,.7)])""".split()
CLIPS = ["N.clip_grad_norm_(p,1.)", "N.clip_grad_norm_(p,.5,float('inf'))", "N.clip_grad_norm_(p,2.,1.)",
         "N.clip_grad_value_(p,.3)", "N.clip_grad_norm_(p,.1,0.5)"]
#: an optimiser, a schedule and a clipping; the latter may be nothing
CASES: list[tuple[str, str, str]] = [
    *((o, "", "") for o in OPTIMISERS), *(("SGD(g,.1,.9)", s, "") for s in SCHEDULES),
    *(("Adam(g,.1)", s, "") for s in SCHEDULES if "OneCycle" in s or "Cyclic" in s),
    *(("SGD(g,.1)", "", c) for c in CLIPS)]


def _summary(x: Any) -> list[float]:
    array = np.asarray(x.detach().numpy(), np.float64).ravel()
    return [float(np.dot(array, np.cos(np.arange(array.size) * 0.7 + 1))), float(np.sqrt((array**2).sum()))]


def ask(torch: Any, k: int) -> list[Any]:
    """After each of eight steps: the parameters, and the numbers of the groups that schedules move."""
    made, schedule, clip = CASES[k]
    random = np.random.RandomState(k)
    shapes = ((3, 4), (2, 5)) if made.startswith("Muon") else ((3, 4), (5,))
    p = [torch.tensor(random.normal(size=s), requires_grad=True) for s in shapes]
    aims = [torch.tensor(random.normal(size=s)) for s in shapes]
    names = {"p": p, "L": torch.optim.lr_scheduler, "N": torch.nn.utils, "half": lambda e: 0.5**e,
             "inverse": lambda e: 1 / (1 + e),
             "g": [{"params": p[:1]}, {"params": p[1:], **({"weight_decay": 0.05} if ",.1," in made else {})}]}
    optimiser = names["o"] = eval(f"optim.{made}", {**names, "optim": torch.optim})
    moves = eval(schedule, names) if schedule else None

    def loss() -> Any:
        optimiser.zero_grad()
        total = sum(((x - y) ** 4).mean() + (x * y).sin().sum() for x, y in zip(p, aims, strict=True))
        total.backward()
        return total

    found: list[Any] = []
    for _ in range(8):
        if made.startswith("LBFGS"):
            optimiser.step(loss)
        else:
            loss()
            found.append(_summary(eval(clip, names)) if "norm" in clip else eval(clip or "None", names))
            optimiser.step()
        if moves is not None:
            moves.step()
        groups = [[float(g["lr"]), float(g.get("momentum", 0)), *map(float, g.get("betas", ()))]
                  for g in optimiser.param_groups]
        found.append([*map(_summary, p), *groups])
    return found
