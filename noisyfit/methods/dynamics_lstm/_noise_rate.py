"""The noise rate of `DynamicsLSTMDetector`, combined from two estimates."""

from __future__ import annotations

import numpy as np


def detector_noise_rate(mean_probability: float, loss_gap_rate: float, separation: float) -> float:
    """Combine the noise rate by the detector's probabilities with the one by the gap of losses.

    Parameters
    ----------
    mean_probability : float
        Mean of the detector's probabilities. It is biased towards the noise rate of the detector's
        training data, but the only estimate if hard rows and wrong labels have similar losses.
    loss_gap_rate : float
        Noise rate by `noisyfit.label_quality.estimate_noise_rate`. It is the better estimate if the
        losses fall into two groups, and far too large if they do not.
    separation : float
        Ashman's D between the two groups of losses.

    Returns
    -------
    float
        `mean_probability` up to a separation of 2, `loss_gap_rate` from 4 on, and in between a
        weighted mean of the two.

    Examples
    --------
    >>> [detector_noise_rate(0.25, 0.35, D) for D in (1.5, 3, 5)]
    [0.25, 0.3, 0.35]
    """
    trust = float(np.clip((separation - 2) / 2, 0, 1))
    return trust * loss_gap_rate + (1 - trust) * mean_probability
