"""Read-only arrays of loaded models."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor


def freeze(model: Any) -> None:
    """Makes the numpy arrays and CSR matrices of a model read-only, where they are.

    Tensors stay as they are: torch has no read-only ones. (It refuses to write into the parameters
    of networks while gradients are on; into tensors of `inference_mode` it writes first.)
    """
    for name, value in [*vars(model).items()]:
        if isinstance(value, np.ndarray):
            setattr(model, name, _read_only(value))
        elif sp.issparse(value):
            for part in ("data", "indices", "indptr"):
                setattr(value, part, _read_only(getattr(value, part)))


def tensor_of(array: np.ndarray) -> Tensor:
    """An array of a model as a tensor in the same memory. torch would warn of a read-only array.

    >>> array = np.zeros(2)
    >>> tensor_of(array).data_ptr() == array.ctypes.data
    True
    """
    if not array.flags.writeable:
        base = array.base
        if (
            isinstance(base, np.ndarray)
            and base.flags.writeable
            and base.shape == array.shape
            and base.strides == array.strides
        ):
            array = base.view(array.dtype)
        else:
            array = array.copy()
    return torch.from_numpy(array)


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
