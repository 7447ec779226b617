"""Files of tensors: safetensors, written atomically, read without trust."""

from pullback.io.checkpoint import load_checkpoint, save_checkpoint
from pullback.io.files import load, load_metadata, save

__all__ = ["load", "load_checkpoint", "load_metadata", "save", "save_checkpoint"]
