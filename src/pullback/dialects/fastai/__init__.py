"""fastai version 1: what `from fastai.basics import *` brings."""

from pullback.dialects import names

__getattr__, __dir__ = names(__name__, {"dialects.fastai.basics": "basics="})
