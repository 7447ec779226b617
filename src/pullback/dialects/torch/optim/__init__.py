"""`torch.optim`: the library's optimisers, also by the files that PyTorch has them in."""

from pullback.dialects import names

__getattr__, __dir__ = names(__name__, {
    "optim": """ASGD LBFGS SGD Adadelta Adafactor Adagrad Adam AdamW Adamax Muon NAdam Optimizer RAdam RMSprop Rprop
        SparseAdam""",
    "dialects.torch.optim": """adadelta= adafactor= adagrad= adam= adamax= adamw= asgd= lbfgs= nadam= optimizer= radam=
        rmsprop= rprop= sgd= sparse_adam=""",
    "dialects.torch.optim.lr_scheduler": "lr_scheduler=", "dialects.torch.optim.swa_utils": "swa_utils=",
})
