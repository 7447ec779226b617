"""Datasets and loaders."""

from pullback.data.augment import crop_windows, shift_images
from pullback.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from pullback.data.loader import (
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    default_collate,
)
from pullback.data.shipped import digits, shakespeare

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
    "crop_windows",
    "default_collate",
    "digits",
    "random_split",
    "shakespeare",
    "shift_images",
]
