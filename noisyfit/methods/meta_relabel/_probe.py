"""The probe: endless batches of trusted rows, and a choice of rows if none are given."""

from __future__ import annotations

import numpy as np
import torch

from noisyfit.data import Rows, Source, StoredSource, StreamSource, TensorSource, View


def balanced_order(y: np.ndarray) -> np.ndarray:
    """Return an order in which the classes take turns and small classes repeat their rows.

    Parameters
    ----------
    y : ndarray of shape (n_rows,), int64
        Class of each row.

    Returns
    -------
    ndarray of int64
        Positions in `y`, from every class as many as the largest class has rows.

    Examples
    --------
    >>> balanced_order(np.array([0, 0, 0, 1, 1]))
    array([0, 3, 1, 4, 2, 3])
    """
    members = [np.flatnonzero(y == c) for c in np.unique(y)]
    longest = max(len(rows) for rows in members)
    return np.stack([np.resize(rows, longest) for rows in members], axis=1).ravel()


def lowest_loss_rows(loss: np.ndarray, y: np.ndarray, n_per_class: int) -> np.ndarray:
    """Mark the rows of each class that have the lowest losses.

    Parameters
    ----------
    loss : ndarray of shape (n_rows,)
        Loss of each row.
    y : ndarray of shape (n_rows,), int64
        Given labels.
    n_per_class : int
        Number of rows to mark of each class, limited to half of its rows, but at least one.

    Returns
    -------
    ndarray of shape (n_rows,), bool
        The marked rows.

    Examples
    --------
    >>> lowest_loss_rows(np.array([0.3, 0.1, 0.9, 0.2]), np.array([0, 0, 0, 1]), 1)
    array([False,  True, False,  True])
    """
    marked = np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        easiest = members[np.argsort(loss[members], kind="stable")]
        marked[easiest[: max(1, min(n_per_class, len(members) // 2))]] = True
    return marked


class ProbeBatches:
    """Endless batches of trusted rows, balanced over the classes.

    Parameters
    ----------
    rows : Rows
        The trusted rows. Those of a streamed data set are read once and kept in memory.
    view : callable or None
        Augmentation of a batch, drawn anew for every batch. None: no augmentation.

    Notes
    -----
    As in the code of Zhang et al. (CVPR 2020) the order is fixed and repeats itself.
    """

    def __init__(self, rows: Rows, view: View | None) -> None:
        ids = rows.index
        self.y = rows.y[ids.to(rows.y.device)]
        self.n_classes = len(torch.unique(self.y))
        order = balanced_order(self.y.cpu().numpy())
        device = rows.source.device
        self._source: Source = rows.source
        self._ids = ids.to(device)
        if isinstance(rows.source, StreamSource | StoredSource):
            self._source = TensorSource(rows.source.gather(ids).cpu().numpy(), device)
            self._ids = torch.arange(len(ids), device=device)
        self._rows, self._view = rows, view
        self._order = torch.from_numpy(order).to(device)
        self.place = 0

    def draw(self, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next rows, prepared for the network, and their labels.

        Parameters
        ----------
        n_rows : int
            Number of rows.

        Returns
        -------
        x : tensor of shape (n_rows, ...), float32
            The rows.
        y : tensor of shape (n_rows,), int64
            Codes of their labels.
        """
        device = self._order.device
        steps = torch.arange(self.place, self.place + n_rows, device=device) % len(self._order)
        self.place = (self.place + n_rows) % len(self._order)
        position = self._order[steps]
        x = self._source.gather(self._ids[position])
        if self._view is not None:
            x = self._view(x)
        return self._rows.prepare(x), self.y[position]
