"""From a ranking to probabilities: break ties, calibrate on a verdict, settle the noise rate."""

from __future__ import annotations

import numpy as np


def combine_noise_rates(contradicted: float, noisy_weight: float, wrong_share: float) -> float:
    """Estimate the noise rate from two estimates that err for different reasons.

    Parameters
    ----------
    contradicted : float
        Share of given labels that the final network contradicts. It counts the network's own
        mistakes as well, which are many where clean rows are hard.
    noisy_weight : float
        Weight of the mixture's noisy component in the first round. It is too large where errors
        are few, since two components always find something to split, and too small where wrong
        labels are learned.
    wrong_share : float
        Share of epochs in which a row of the clean component was wrong in the first round: how
        hard the clean rows are.

    Returns
    -------
    float
        `contradicted` where it is the smaller one or clean rows are never wrong; from there
        linearly to `noisy_weight`, reached where they are wrong in half of the epochs.

    Examples
    --------
    >>> combine_noise_rates(0.5, 0.4, 0.0), combine_noise_rates(0.5, 0.4, 0.25)
    (0.5, 0.45)
    >>> combine_noise_rates(0.5, 0.4, 0.7), combine_noise_rates(0.02, 0.4, 0.1)
    (0.4, 0.02)
    """
    if not noisy_weight < contradicted:
        return float(contradicted)
    hardness = min(2 * wrong_share, 1.0)
    return float((1 - hardness) * contradicted + hardness * noisy_weight)


def detector_noise_rate(mean_probability: float, loss_gap_rate: float, separation: float) -> float:
    """Estimate the noise rate from a detector's probabilities and from the gap of losses.

    Parameters
    ----------
    mean_probability : float
        Mean of the detector's probabilities: drawn towards the rate that it was trained with, and
        all there is where hard rows and wrong labels cannot be told apart.
    loss_gap_rate : float
        Rate of `noisyfit.label_quality.estimate_noise_rate`: the better one where losses fall into two
        groups, far too large where they do not.
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
