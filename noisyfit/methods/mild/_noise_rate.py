"""MILD's noise rate, combined from two estimates."""

from __future__ import annotations


def combine_noise_rates(contradicted: float, noisy_weight: float, wrong_fraction: float) -> float:
    """Combine two estimates of the noise rate that err for different reasons.

    Parameters
    ----------
    contradicted : float
        Proportion of given labels that the final network contradicts. It includes the network's
        own mistakes, of which there are many if clean rows are hard.
    noisy_weight : float
        Weight of the mixture's noisy component in the first round. It is too large if there are few
        wrong labels, since a mixture of two components always splits the rows, and too small if
        wrong labels are memorised.
    wrong_fraction : float
        Mean fraction of the epochs in which the network misclassified a row of the clean component
        in the first round: how hard the clean rows are.

    Returns
    -------
    float
        `contradicted` if it is the smaller one or clean rows are never misclassified. Otherwise a
        value between the two that moves linearly towards `noisy_weight`, which it reaches if clean
        rows are misclassified in half of the epochs.

    Examples
    --------
    >>> combine_noise_rates(0.5, 0.4, 0.0), combine_noise_rates(0.5, 0.4, 0.25)
    (0.5, 0.45)
    >>> combine_noise_rates(0.5, 0.4, 0.7), combine_noise_rates(0.02, 0.4, 0.1)
    (0.4, 0.02)
    """
    if not noisy_weight < contradicted:
        return float(contradicted)
    hardness = min(2 * wrong_fraction, 1.0)
    return float((1 - hardness) * contradicted + hardness * noisy_weight)
