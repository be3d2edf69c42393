"""`Rows`: inputs, labels and ids of the rows of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from noisyfit.data._scaling import ImageScaler
    from noisyfit.data._sources import Source


class Rows(Dataset):
    """Rows of a data set: inputs, encoded labels, and the ids under which results are kept.

    Parameters
    ----------
    source : TensorSource, SparseSource or StreamSource
        Inputs of all rows of the data set.
    y : tensor of shape (n_source,), int64
        Encoded labels of all rows of the source.
    scaler : ImageScaler or None
        Standardises ``uint8`` images; None scales them to [0, 1].
    index : tensor of shape (n_rows,), int64, or None
        Ids of the rows that belong; None: all of them.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> source = TensorSource(np.eye(3, dtype=np.float32), torch.device("cpu"))
    >>> rows = Rows(source, torch.tensor([0, 1, 0]))
    >>> kept = rows.subset(np.array([True, False, True]))
    >>> len(kept), kept.index
    (2, tensor([0, 2]))
    """

    def __init__(
        self,
        source: Source,
        y: torch.Tensor,
        scaler: ImageScaler | None = None,
        index: torch.Tensor | None = None,
    ) -> None:
        self.source, self.scaler = source, scaler
        self.y = y.to(source.device)
        self.index = torch.arange(len(source)) if index is None else index

    def __len__(self) -> int:
        return len(self.index)

    def subset(self, keep: np.ndarray) -> Rows:
        """Return the rows whose ids are marked, without copying an input.

        Parameters
        ----------
        keep : ndarray of shape (n_source,), bool
            One entry for each row of the source.

        Returns
        -------
        Rows
        """
        keep = np.asarray(keep)
        if keep.dtype != bool:
            raise TypeError(f"keep must be a boolean mask. Got an array of {keep.dtype} instead.")
        kept = self.index[torch.tensor(keep)[self.index]]  # a copy: it may be read-only
        return Rows(self.source, self.y, self.scaler, kept)

    def with_labels(self, y: np.ndarray) -> Rows:
        """Return the same rows with other labels, without copying an input.

        Parameters
        ----------
        y : ndarray of shape (n_source,), int64
            Encoded labels of all rows of the source.

        Returns
        -------
        Rows
        """
        return Rows(self.source, torch.from_numpy(y), self.scaler, self.index)

    def prepare(self, x: Any) -> Any:
        """Bring gathered inputs into the form the network takes: float32, channels last.

        Of several inputs by name, integers and booleans stay what they are, such as tokens.
        """
        if isinstance(x, dict):
            images = {
                name for name, part in x.items() if part.dtype == torch.uint8 and part.ndim == 4
            }
            return {
                name: self.prepare(part) if part.is_floating_point() or name in images else part
                for name, part in x.items()
            }
        if self.scaler is not None:
            x = self.scaler(x)
        elif x.dtype == torch.uint8 and x.ndim == 4:
            x = x.to(torch.float32).div_(255)
        elif x.dtype != torch.float32:
            x = x.to(torch.float32)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
