"""`torch.optim`: the library's optimisers."""

from pullback.dialects import names

__getattr__, __dir__ = names(__name__, {
    "optim": """ASGD LBFGS SGD Adadelta Adafactor Adagrad Adam AdamW Adamax Muon NAdam Optimizer RAdam RMSprop Rprop
        SparseAdam""",
    "dialects.torch.optim.lr_scheduler": "lr_scheduler=", "dialects.torch.optim.swa_utils": "swa_utils=",
})
