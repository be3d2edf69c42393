"""Learning rates with warm restarts: cosine cycles that become longer and start lower."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch

from noisyfit.data import Rows, batch_sizes
from noisyfit.training import StageSchedule


class CosineCycles(StageSchedule):
    """Cosine cycles over all steps of a stage; the learning rate changes with every batch.

    Parameters
    ----------
    n_cycles : int
        Number of cycles, at most; none is without a step.
    """

    def __init__(self, n_cycles: int) -> None:
        self.n_cycles = n_cycles

    def make(self, net: Any, rows: Rows, epochs: int) -> torch.optim.lr_scheduler.LambdaLR:
        """Return the cycles of a stage."""
        n_steps = epochs * len(batch_sizes(len(rows), net.batch_size))
        ends = cosine_cycle_ends(n_steps, min(self.n_cycles, n_cosine_cycles(n_steps)))
        factor = partial(cosine_cycle_factor, ends=ends)
        return torch.optim.lr_scheduler.LambdaLR(net.optimizer_, factor)

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Step; before it, the learning rate is that of the batch."""
        if training:
            self.lr_ = net.optimizer_.param_groups[-1]["lr"]
            self.step()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Record the learning rate of the last batch."""
        net.history.record("lr", self.lr_)


def n_cosine_cycles(epochs: int, growth: float = 1.5) -> int:
    """Compute the largest number of cycles of which the first still takes a whole epoch.

    Parameters
    ----------
    epochs : int
        Length of the training, at least 1.
    growth : float, default=1.5
        Factor by which each cycle is longer than the one before, above 1.

    Returns
    -------
    int
        The number of cycles, at least 1.

    Examples
    --------
    >>> [n_cosine_cycles(epochs) for epochs in (1, 20, 408)]
    [1, 5, 13]
    """
    return max(1, int(math.log(1 + epochs * (growth - 1), growth) + 1e-9))


def cosine_cycle_ends(n_steps: int, n_cycles: int, growth: float = 1.5) -> np.ndarray:
    """Compute the step at which each cycle ends; the last cycle ends with the training.

    Parameters
    ----------
    n_steps, n_cycles : int
        Number of steps of the training, and of cycles.
    growth : float, default=1.5
        Factor by which each cycle is longer than the one before, above 1.

    Returns
    -------
    ndarray of shape (n_cycles,), int64
        Number of steps before each end.

    Examples
    --------
    Zhang et al. (CVPR 2020) begin with a cycle of 500 steps:

    >>> cosine_cycle_ends(10_390, 6)
    array([  500,  1250,  2375,  4062,  6593, 10390])
    """
    cycle = np.arange(1, n_cycles + 1)
    fractions = np.expm1(cycle * math.log(growth)) / math.expm1(n_cycles * math.log(growth))
    return np.rint(n_steps * fractions).astype(np.int64)


def cosine_cycle_factor(step: int, ends: np.ndarray, peak_decay: float = 0.9) -> float:
    r"""Compute the learning rate of one step in units of the first one.

    Parameters
    ----------
    step : int
        Number of the step, counted from 0.
    ends : ndarray of shape (n_cycles,), int64
        Ends of the cycles, see `cosine_cycle_ends`.
    peak_decay : float, default=0.9
        Factor d by which the peak of each cycle is lower than the one before.

    Returns
    -------
    float
        :math:`d^n \, (1 + \cos(\pi\,t / L)) / 2` at step t of the n-th cycle, of length L; 0 from
        the last end on.

    Notes
    -----
    Warm restarts (Loshchilov and Hutter, ICLR 2017) as in footnote 3 of Zhang et al. (CVPR 2020).

    Examples
    --------
    >>> [round(cosine_cycle_factor(step, np.array([4, 10])), 2) for step in (0, 2, 4, 7, 10)]
    [1.0, 0.5, 0.9, 0.45, 0.0]
    """
    cycle = int(np.searchsorted(ends, step, side="right"))
    if cycle == len(ends):
        return 0.0
    start = int(ends[cycle - 1]) if cycle else 0
    progress = (step - start) / (int(ends[cycle]) - start)
    return peak_decay**cycle * 0.5 * (1 + math.cos(math.pi * progress))
