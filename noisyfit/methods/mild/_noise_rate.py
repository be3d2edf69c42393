"""MILD's noise rate, from two estimates that err for different reasons."""

from __future__ import annotations


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
