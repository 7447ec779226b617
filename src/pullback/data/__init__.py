"""Datasets and loaders."""

from pullback.data.augment import shift_images
from pullback.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from pullback.data.loader import (
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    default_collate,
)
from pullback.data.shipped import digits

__all__ = [
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "digits",
    "random_split",
    "shift_images",
]
