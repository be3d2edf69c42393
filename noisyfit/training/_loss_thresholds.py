r"""Dynamic loss thresholds (Yang et al. 2021): quantiles of the losses of past batches.

The losses stay on their device, and the host knows how many they are. A threshold therefore takes
one selection on the device, and the host never waits for it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

NO_LABEL = 1e30
"""What stands for the loss of a row without a label: it is above every threshold."""


def selection_proportion(
    epoch: int, *, noise_rate: float, warmup_epochs: int, ramp_epochs: int
) -> float:
    r"""Compute the proportion of the rows that an epoch takes as clean, Eq. 7.

    Parameters
    ----------
    epoch : int
        Number of the epoch, t, counted from 1.
    noise_rate : float
        Proportion of wrong labels, w, in [0, 1].
    warmup_epochs : int
        :math:`T_{warm}`: up to and including this epoch all rows are taken.
    ramp_epochs : int
        :math:`T_{grad}`, at least 0: number of epochs over which the proportion falls.

    Returns
    -------
    float
        :math:`q = 1 - w \min(1, (t - T_{warm}) / T_{grad})` after the warm-up, 1 before.

    Examples
    --------
    >>> [selection_proportion(t, noise_rate=0.5, warmup_epochs=10, ramp_epochs=20)
    ...  for t in (10, 11, 20, 30, 31)]
    [1.0, 0.975, 0.75, 0.5, 0.5]
    """
    if epoch <= warmup_epochs:
        return 1.0
    return 1 - noise_rate * min(1.0, (epoch - warmup_epochs) / max(ramp_epochs, 1))


def threshold_schedule(
    warmup_epochs: int | str, ramp_epochs: int | str, max_epochs: int
) -> tuple[int, int]:
    """Settle the epochs before the first threshold, and those over which the share falls.

    Parameters
    ----------
    warmup_epochs, ramp_epochs : int or "auto"
        ``"auto"``: a fifth of `max_epochs`.
    max_epochs : int
        Length of the training.

    Returns
    -------
    tuple of two ints

    Raises
    ------
    ValueError
        If both are longer than the training.

    Examples
    --------
    >>> threshold_schedule("auto", 4, max_epochs=50)
    (10, 4)
    """
    warmup = max(1, round(max_epochs / 5)) if warmup_epochs == "auto" else int(warmup_epochs)
    longest = max(0, max_epochs - warmup)
    ramp = min(round(max_epochs / 5), longest) if ramp_epochs == "auto" else int(ramp_epochs)
    if warmup + ramp > max_epochs:
        raise ValueError(
            f"warmup_epochs + ramp_epochs must not exceed max_epochs. Got {warmup} + {ramp} > "
            f"{max_epochs}; raise max_epochs or lower them."
        )
    return warmup, ramp


def window_length(window: int | str, n_batches: int, max_epochs: int) -> int:
    """Settle the length of a sliding window.

    Parameters
    ----------
    window : int or "auto"
        ``"auto"``: half an epoch, 200 at most.
    n_batches : int
        Batches of an epoch.
    max_epochs : int
        Length of the training, beyond which there are no batches to remember.

    Returns
    -------
    int
        In batches.

    Examples
    --------
    >>> window_length("auto", 31, 10), window_length("auto", 800, 10), window_length(99, 3, 10)
    (16, 200, 30)
    """
    length = min(200, -(-n_batches // 2)) if window == "auto" else int(window)
    return min(length, n_batches * max_epochs)


def quantile(values: Tensor, q: float, n_values: int | None = None) -> Tensor:
    """Compute a quantile with linear interpolation, by selection instead of sorting.

    Parameters
    ----------
    values : tensor of shape (n,)
        The values. If `n_values` is smaller than n, all others must be infinite.
    q : float
        Proportion of the values below the quantile, in [0, 1].
    n_values : int or None, default=None
        Number of values that count. None: all.

    Returns
    -------
    tensor of shape ()
        The quantile, on the device of the values.

    Examples
    --------
    >>> quantile(torch.arange(1, 11) / 10, 0.8)
    tensor(0.8200)
    """
    n_values = len(values) if n_values is None else n_values
    if n_values == 1:
        return values.amin()
    position = q * (n_values - 1)
    below = min(math.floor(position), n_values - 2)
    neighbors = _by_partition if values.device.type == "cpu" else _by_topk
    return torch.lerp(*neighbors(values, below), position - below)


def _by_topk(values: Tensor, below: int) -> tuple[Tensor, Tensor]:
    """Find the values of rank `below` and `below` + 1, counted from 0, on any device.

    They are the two largest of the `below` + 2 smallest values. This takes a fifth of the time of
    ``torch.kthvalue``.
    """
    smallest = values.topk(below + 2, largest=False, sorted=False).values
    high, low = smallest.topk(2).values
    return low, high


def _by_partition(values: Tensor, below: int) -> tuple[Tensor, Tensor]:
    """Find the same values as `_by_topk`, in a tenth of its time but only on a CPU."""
    ordered = np.partition(values.detach().numpy(), below)
    return torch.tensor(ordered[below]), torch.tensor(ordered[below + 1 :].min())


class SlidingWindow:
    r"""Threshold from the losses of the last s batches, Eq. 3; every batch changes it.

    Parameters
    ----------
    n_batches : int
        Length of the window in batches, s.
    batch_size : int
        Number of rows of the largest batch.

    Examples
    --------
    >>> window = SlidingWindow(n_batches=2, batch_size=2)
    >>> for batch in ([9.0, 9.0], [1.0, 2.0], [3.0, 5.0]):
    ...     window.push(torch.tensor(batch))
    >>> window.threshold(1.0)
    tensor(5.)
    """

    def __init__(self, n_batches: int, batch_size: int) -> None:
        self.n_batches, self.batch_size = n_batches, batch_size
        self._sizes: list[int] = []
        self._slot = 0
        self._losses: Tensor | None = None

    def push(self, losses: Tensor) -> None:
        """Add the losses of one batch, (n_rows,); they replace those of the oldest one."""
        if self._losses is None:
            shape = (self.n_batches, self.batch_size)
            self._losses = torch.full(shape, torch.inf, device=losses.device)
        row = self._losses[self._slot]
        row[: len(losses)] = losses
        if self._slot == len(self._sizes):
            self._sizes.append(len(losses))
        else:
            row[len(losses) :] = torch.inf
            self._sizes[self._slot] = len(losses)
        self._slot = (self._slot + 1) % self.n_batches

    def next_epoch(self) -> None:
        """Do nothing: the window continues across epochs."""

    def threshold(self, q: float) -> Tensor:
        """Return the `q`-quantile of the losses in the window, a tensor of shape ()."""
        if self._losses is None:
            raise RuntimeError("No loss was recorded yet: a threshold needs a warm-up.")
        return quantile(self._losses.view(-1), q, sum(self._sizes))


class LastEpoch:
    r"""Threshold from all losses of the epoch before, Eq. 2; the same for all batches of an epoch.

    Examples
    --------
    >>> memory = LastEpoch()
    >>> memory.push(torch.tensor([1.0, 2.0]))
    >>> memory.next_epoch()
    >>> memory.push(torch.tensor([7.0, 9.0]))
    >>> memory.threshold(1.0)
    tensor(2.)
    """

    def __init__(self) -> None:
        self._current: list[Tensor] = []
        self._last: Tensor | None = None
        self._cached: tuple[float, Tensor] | None = None

    def push(self, losses: Tensor) -> None:
        """Add the losses of one batch, (n_rows,)."""
        self._current.append(losses)

    def next_epoch(self) -> None:
        """Begin an epoch: the losses added since the last call are those of the epoch before."""
        if self._current:
            self._last, self._current, self._cached = torch.cat(self._current), [], None

    def threshold(self, q: float) -> Tensor:
        """Return the `q`-quantile of the losses of the epoch before, a tensor of shape ()."""
        if self._last is None:
            raise RuntimeError("No epoch was recorded yet: a threshold needs a warm-up.")
        if self._cached is None or self._cached[0] != q:
            self._cached = q, quantile(self._last, q)
        return self._cached[1]
