"""The detector's noise rate, from its probabilities and from the gap of losses."""

from __future__ import annotations

import numpy as np


def detector_noise_rate(mean_probability: float, loss_gap_rate: float, separation: float) -> float:
    """Estimate the noise rate from a detector's probabilities and from the gap of losses.

    Parameters
    ----------
    mean_probability : float
        Mean of the detector's probabilities: drawn towards the rate that it was trained with, and
        all there is where hard rows and wrong labels cannot be told apart.
    loss_gap_rate : float
        Rate of `noisyfit.label_quality.estimate_noise_rate`: the better one where losses fall into
        two groups, far too large where they do not.
    separation : float
        Ashman's D between these groups.

    Returns
    -------
    float
        The first up to a separation of 2, the second from 4 on, a mixture in between.

    Examples
    --------
    >>> [detector_noise_rate(0.25, 0.35, D) for D in (1.5, 3, 5)]
    [0.25, 0.3, 0.35]
    """
    trust = float(np.clip((separation - 2) / 2, 0, 1))
    return trust * loss_gap_rate + (1 - trust) * mean_probability
