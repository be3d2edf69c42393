"""`Rows`: inputs, labels and ids of the rows of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from noisyfit.data._image_scaling import ImageScaler
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
    weight : tensor of shape (n_source,), float32, or None, default=None
        Weights of the losses of all rows of the source, with mean 1; None: all count alike.

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
        weight: torch.Tensor | None = None,
    ) -> None:
        self.source, self.scaler = source, scaler
        self.y = y.to(source.device)
        self.weight = None if weight is None else weight.to(source.device)
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
        return Rows(self.source, self.y, self.scaler, kept, self.weight)

    def repeat(self, times: np.ndarray) -> Rows:
        """Return rows that are there several times, without copying an input.

        Parameters
        ----------
        times : ndarray of shape (n_source,), int64
            How often each row of the source is there, for each time that it is there now.

        Returns
        -------
        Rows
        """
        index = self.index.repeat_interleave(torch.tensor(times)[self.index])
        return Rows(self.source, self.y, self.scaler, index, self.weight)

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
        return Rows(self.source, torch.from_numpy(y), self.scaler, self.index, self.weight)

    def with_weights(self, weight: np.ndarray | None) -> Rows:
        """Return the same rows with weights for their losses.

        Parameters
        ----------
        weight : ndarray of shape (n_source,) or None
            Weights of all rows of the source, with mean 1; None: all count alike.

        Returns
        -------
        Rows
        """
        weights = None if weight is None else torch.tensor(weight, dtype=torch.float32)
        return Rows(self.source, self.y, self.scaler, self.index, weights)

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
