"""The probe: trusted rows as endless batches, and the choice of rows where none is given."""

from __future__ import annotations

import numpy as np
import torch

from noisyfit.data import Rows, Source, StreamSource, TensorSource, View


def balanced_order(y: np.ndarray) -> np.ndarray:
    """Order that visits the classes in turn and the rows of each class in a cycle.

    Parameters
    ----------
    y : ndarray of shape (n_rows,), int64

    Returns
    -------
    ndarray of int64
        Positions in `y`, as many from every class as the largest one has.

    Examples
    --------
    >>> balanced_order(np.array([0, 0, 0, 1, 1]))
    array([0, 3, 1, 4, 2, 3])
    """
    members = [np.flatnonzero(y == c) for c in np.unique(y)]
    longest = max(len(rows) for rows in members)
    return np.stack([np.resize(rows, longest) for rows in members], axis=1).ravel()


def lowest_loss_rows(loss: np.ndarray, y: np.ndarray, n_per_class: int) -> np.ndarray:
    """Mark the rows of each class that a network found easiest.

    Parameters
    ----------
    loss : ndarray of shape (n_rows,)
    y : ndarray of shape (n_rows,), int64
        Given labels.
    n_per_class : int
        Rows wanted of each class; at most half of its rows are marked, but at least one.

    Returns
    -------
    ndarray of shape (n_rows,), bool

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
    """Batches of trusted rows without end, balanced over the classes.

    Parameters
    ----------
    rows : Rows
        The trusted rows. Those of a streamed data set are read once and kept.
    view : callable or None
        Batched augmentation of the rows; drawn anew when a row comes again.

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
        if isinstance(rows.source, StreamSource):
            self._source = TensorSource(rows.source.gather(ids).cpu().numpy(), device)
            self._ids = torch.arange(len(ids), device=device)
        self._rows, self._view = rows, view
        self._order = torch.from_numpy(order).to(device)
        self.place = 0

    def draw(self, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next rows, as a network takes them, and their labels.

        Parameters
        ----------
        n_rows : int

        Returns
        -------
        x : tensor of shape (n_rows, ...), float32
        y : tensor of shape (n_rows,), int64
        """
        device = self._order.device
        steps = torch.arange(self.place, self.place + n_rows, device=device) % len(self._order)
        self.place = (self.place + n_rows) % len(self._order)
        position = self._order[steps]
        x = self._source.gather(self._ids[position])
        if self._view is not None:
            x = self._view(x)
        return self._rows.prepare(x), self.y[position]
