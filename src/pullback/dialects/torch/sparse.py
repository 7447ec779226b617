"""`torch.sparse`, and sparse tensors as PyTorch shows them."""

from __future__ import annotations

from typing import Any

from pullback.api import sparse
from pullback.dialects.torch import printing
from pullback.dialects.torch.creation import tensor
from pullback.dialects.torch.dtypes import Size, checked_device, dtype_argument
from pullback.dialects.torch.tensors import STYLES, Tensor, as_torch, styled
from pullback.util.errors import ArgumentError, message


class SparseTensor(sparse.SparseTensor, Tensor):
    """A tensor of layout `torch.sparse_coo`."""

    result_class = Tensor
    layout = "torch.sparse_coo"

    @property
    def shape(self) -> Size:  # type: ignore[override]
        """The sizes."""
        return Size(self._shape)

    def _plain(self, x: Any) -> Any:
        return styled(x)

    def numpy(self, *, force: bool = False) -> Any:
        """Refused: there is no array of it."""
        raise ArgumentError(message("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.",
                                    [("x", repr(self.info.type))]))

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        def indented(x: Any, name: str) -> str:
            text = printing.tensor_text(x)
            if not x.shape[-1] or not x.shape[0]:
                text = f"tensor([], size={tuple(x.shape)})"
            return f"{name}={text}".replace("\n", "\n" + " " * (8 + len(name)))

        held = self._values().detach()
        last = f"size={tuple(self._shape)}, nnz={held.shape[0]}, layout=torch.sparse_coo"
        last += ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({indented(self._indices(), 'indices')},\n       {indented(held, 'values')},\n       {last})"

    __str__ = __repr__


SparseTensor.__module__ = "torch"
STYLES[sparse.SparseTensor] = SparseTensor


def sparse_coo_tensor(indices: Any = None, values: Any = None, size: Any = None, *, dtype: Any = None,
                      device: Any = None, requires_grad: bool = False, check_invariants: bool | None = None,
                      is_coalesced: bool | None = None) -> Any:
    """Entries at places: indices are [sparse dimensions, entries], values [entries, dense dimensions]."""
    if device is not None:
        checked_device(device)
    if indices is None:
        if size is None:
            raise ArgumentError(message("sparse_coo_tensor: indices and values, or a size, are needed"))
        indices, values = [[] for _ in size], tensor([])
    held = as_torch(values) if isinstance(values, Tensor) else tensor(values)
    held = held if dtype is None else held.to(dtype_argument(dtype))
    if requires_grad:
        held = held.detach().requires_grad_()
    return styled(sparse.sparse_coo_tensor(indices, held, size))


def mm(mat1: Any, mat2: Any) -> Any:
    """The product of a sparse matrix and a dense one."""
    return styled(sparse.mm(mat1, as_torch(mat2)))


def sum(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """The sum of all entries, or, dense, over dimensions."""
    x = input if dtype is None else input.to(dtype)
    return x.sum() if dim is None else x.sum(dim)


__all__ = ["SparseTensor", "mm", "sparse_coo_tensor", "sum"]
