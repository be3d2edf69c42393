r"""The proportion of wrong labels from out-of-fold probabilities: four estimates and an interval.

Where classes overlap and where labels are wrong, (x, given label) look the same. Every estimate
assumes something to tell them apart; here are four that assume different things.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from noisyfit.label_quality._rate_estimates import (
    confident_joint,
    evenly_spread,
    planted_labels,
    selective_classification,
    surest_rows,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from noisyfit.label_quality._noise_rate import NoiseRateEstimate

_TOLD = 2.33
"""Standard deviations by which the given labels must be likelier than permuted ones: chance alone
gets that far once in a hundred."""


class HeldOutNoiseRate(NamedTuple):
    """What out-of-fold probabilities say of the labels.

    Examples
    --------
    >>> from noisyfit.label_quality import HeldOutNoiseRate
    >>> found = HeldOutNoiseRate(0.1, (0.06, 0.19), (0.1, 0.08, 0.12, 0.1), 0.19, 0.04, True)
    >>> f"{found.rate:.0%}, from {found.interval[0]:.0%} to {found.interval[1]:.0%}"
    '10%, from 6% to 19%'
    """

    rate: float
    """Proportion of wrong labels, in [0, 1]."""
    interval: tuple[float, float]
    """From what all estimates agree on to what the probabilities contradict."""
    estimates: tuple[float, float, float, float]
    """By confident contradictions, selective classification, the confident joint, and labels
    planted by chance."""
    contradicted: float
    """Proportion of labels that differ from the most probable class."""
    instability: float
    """Proportion of rows whose most probable class differs between two repeats, the mean over all
    pairs; NaN for one."""
    told: bool
    """Whether given labels are likelier than permuted ones, beyond chance. If not, nothing is known
    of the rate: it is 0, and the interval goes up to `contradicted`."""

    @property
    def spread(self) -> float:
        """Difference of the middle two estimates."""
        middle = sorted(self.estimates)
        return middle[2] - middle[1]


def held_out_noise_rate(
    proba: ArrayLike, y: ArrayLike, *, random_state: np.random.Generator | int | None = 0
) -> HeldOutNoiseRate:
    r"""Estimate the noise rate from probabilities of models that did not train on the rows.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_classes) or (n_repeats, n_samples, n_classes)
        Out-of-fold probabilities, each row's from a model that was not trained on it. They sum to 1
        in each row, to 0.01. Those of
        networks are best averaged over the epochs. With repeats, of other folds, their disagreement
        tells how far the models' own mistakes can reach.
    y : array-like of shape (n_samples,), int
        Given labels as class indices, from 0 to ``n_classes - 1``. A class may be without rows.
    random_state : Generator, int or None, default=0
        Draws the planted labels.

    Returns
    -------
    HeldOutNoiseRate

    Raises
    ------
    ValueError
        For shapes that do not fit, values that are no probabilities, labels that are no class
        indices, and no rows.

    Notes
    -----
    The four estimates, with :math:`m_i(c)` the logarithm of class c's probability less that of the
    largest other one, and :math:`\hat y` the most probable class:

    *a, confident contradictions*: the proportion of contradicted labels among the most confident
    predictions of each class, where it is least, with a bound for chance. It is too large where
    nothing can be predicted with confidence.

    *b, selective classification* [1]_: the transition matrix's column j from the rows that are most
    surely of class j, the class shares from the shares of given labels by non-negative least
    squares, and 1 less the expected diagonal. Classes without a given label are left out.

    *c, confident joint* [2]_: a row counts if the class whose probability exceeds its mean over the
    rows of that label, and the most probable class, both differ from the label.

    *d, planted labels*: how often given labels are as suspicious as random ones, at the threshold
    where that is rarest. It sees errors that are spread over all classes, and no others.

    The rate is the second smallest: overlap of classes makes a, b and c too large together, errors
    of one kind make d too small. The interval goes from the smallest, less half of the proportion
    of rows that two repeats predict differently (with one repeat: from half the smallest), to the
    proportion of contradicted labels. It begins lower where more labels are contradicted among all
    rows than among the surest (a): overlap of classes that falls so far may be as large again
    among these. 1.64 standard errors of a proportion widen it. The lower end assumes that rows near
    another class are merely hard, the upper one that they are wrong. Nobody can tell from features
    and labels alone.

    Before all that, a permutation test: the mean probability of the given labels has to exceed that
    of permuted labels by 2.33 of its standard deviations over all permutations, which, as their
    mean, have a closed form [3]_.

    References
    ----------
    .. [1] de Juan et al., "Selective classification for noise transition estimation", 2026.
    .. [2] Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset
       labels", JAIR 2021.
    .. [3] Hoeffding, "A combinatorial central limit theorem", Annals of Mathematical Statistics,
       1951.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.label_quality import held_out_noise_rate
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 3, 900)
    >>> proba = np.where(np.eye(3, dtype=bool)[y], 0.9, 0.05)
    >>> given = np.where(np.arange(900) < 90, (y + 1) % 3, y)
    >>> round(held_out_noise_rate(proba, given).rate, 2)
    0.1
    """
    repeats, y = _checked(proba, y)
    P = repeats.mean(axis=0)
    n_samples = len(y)
    rng = np.random.default_rng(random_state)
    contradicted = float((P.argmax(axis=1) != y).mean())
    pairs = list(combinations(repeats.argmax(axis=2), 2))
    instability = float(np.mean([first != second for first, second in pairs])) if pairs else np.nan
    surest = surest_rows(P, y)
    estimates = (
        float((P[surest].argmax(axis=1) != y[surest]).mean()),
        selective_classification(P, y),
        confident_joint(P, y),
        planted_labels(P, y, rng),
    )
    if not _told(P, y):
        return HeldOutNoiseRate(
            0.0, (0.0, contradicted), estimates, contradicted, instability, told=False
        )
    ordered = sorted(estimates)
    rate = ordered[1]
    low = ordered[0] / 2 if np.isnan(instability) else ordered[0] - instability / 2
    low = min(low, 2 * estimates[0] - contradicted)
    low -= 1.64 * np.sqrt(max(rate * (1 - rate), 1 / n_samples) / n_samples)
    low = min(rate, max(low, evenly_spread(P, y, surest)))
    high = contradicted + 1.64 * np.sqrt(contradicted * (1 - contradicted) / n_samples)
    interval = (float(max(0.0, low)), float(min(1.0, max(rate, high))))
    return HeldOutNoiseRate(rate, interval, estimates, contradicted, instability, told=True)


def with_loss_gap(found: HeldOutNoiseRate, gap: NoiseRateEstimate) -> float:
    """Combine the out-of-fold rate with that of the losses in sample, where these tell two groups.

    Parameters
    ----------
    found : HeldOutNoiseRate
        What out-of-fold probabilities say.
    gap : NoiseRateEstimate
        What the losses of a network say that was trained on the same rows.

    Returns
    -------
    float
        ``found.rate`` up to a separation of 2.5, and in between a weighted mean; from 4 on the rate
        of the gap, but no larger than three of the four estimates, nor smaller than all; from 6 on
        the rate of the gap as it is, with the same in between. Where nothing can be told, and where
        the gap's rate is above the interval or below half of ``found.rate``, as it is once most
        wrong labels are learned by heart, ``found.rate``.

    Notes
    -----
    The losses help to choose among the four estimates. Right labels of hard rows, which a network
    contradicts from beginning to end, lie in the same group as wrong ones: alone the losses are
    believed only where hardly a row lies between the groups.

    Examples
    --------
    >>> from noisyfit.label_quality import HeldOutNoiseRate, NoiseRateEstimate
    >>> found = HeldOutNoiseRate(0.1, (0.05, 0.25), (0.09, 0.1, 0.12, 0.16), 0.25, 0.02, True)
    >>> rates = [(0.24, 2.0), (0.24, 3.25), (0.24, 4.0), (0.24, 5.0), (0.24, 6.0), (0.6, 6.0)]
    >>> gaps = [NoiseRateEstimate(rate, (0, 1), 3, D, rate) for rate, D in rates]
    >>> [round(with_loss_gap(found, gap), 2) for gap in gaps]
    [0.1, 0.11, 0.12, 0.18, 0.24, 0.1]
    """
    trust = trust_in_gap(found, gap)
    ordered = sorted(found.estimates)
    alone = float(np.clip((gap.separation - 4) / 2, 0, 1))
    limited = float(np.clip(gap.rate, ordered[0], ordered[2]))
    rate = alone * gap.rate + (1 - alone) * limited
    return trust * rate + (1 - trust) * found.rate


def trust_in_gap(found: HeldOutNoiseRate, gap: NoiseRateEstimate) -> float:
    """Say how clearly the losses in sample fall into two groups that can be right and wrong labels.

    Parameters
    ----------
    found : HeldOutNoiseRate
        What out-of-fold probabilities say.
    gap : NoiseRateEstimate
        What the losses of a network say that was trained on the same rows.

    Returns
    -------
    float
        Weight of the gap's rate, from 0 to 1, see `with_loss_gap`.
    """
    if not found.told or not found.rate / 2 <= gap.rate <= found.interval[1]:
        return 0.0
    return float(np.clip((gap.separation - 2.5) / 1.5, 0, 1))


def _checked(proba: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    P, y = np.asarray(proba, dtype=np.float64), np.asarray(y)
    P = P[None] if P.ndim == 2 else P
    if P.ndim != 3 or y.shape != P.shape[1:2] or P.size == 0:
        raise ValueError(
            "proba must have the shape (n_samples, n_classes), or (n_repeats, n_samples, "
            f"n_classes), and y (n_samples,), with a row at least. Got {np.shape(proba)} and "
            f"{y.shape}."
        )
    sums = P.sum(axis=2)
    if not (P.min() >= 0 and np.abs(sums - 1).max() <= 0.01):  # not so of NaN, either
        raise ValueError(
            "proba must be probabilities of each class that sum to 1 in each row. Got values from "
            f"{P.min():.3g} to {P.max():.3g} and sums from {sums.min():.3g} to {sums.max():.3g}. "
            "Pass predict_proba, not decision values, and only rows that a model has judged."
        )
    if y.dtype.kind not in "iu":
        raise ValueError(
            f"y must be class indices from 0 to {P.shape[2] - 1}, the columns of proba. Got values "
            f"of type {y.dtype}; np.unique(y, return_inverse=True) makes indices of labels."
        )
    if y.min() < 0 or y.max() >= P.shape[2]:
        raise ValueError(
            f"y must be class indices from 0 to {P.shape[2] - 1}, the columns of proba. Got values "
            f"from {y.min()} to {y.max()}. Leave out rows without a label."
        )
    return P, y.astype(np.int64)


def _told(P: np.ndarray, y: np.ndarray) -> bool:
    """Say whether given labels are likelier than permuted ones, beyond chance.

    The statistic is the mean probability of the given labels. Its mean and variance over all
    permutations follow from what is left of P[i, y_j] without the means of rows i and of columns
    j: no permutation has to be drawn, and those of equal labels are counted at once. The spread of
    the rows' own gains would not do: where classes are of unequal size it is mostly that of the
    class means, which no permutation changes.
    """
    n_samples, n_classes = P.shape
    if n_samples < 2:
        return False
    sizes = np.bincount(y, minlength=n_classes)
    of_row, of_class = P @ sizes / n_samples, P.mean(axis=0)
    expected = of_row.mean()
    left = P - of_row[:, None] - of_class + expected
    variance = (left**2 @ sizes).sum() / (n_samples - 1) / n_samples**2
    gain = P[np.arange(n_samples), y].mean() - expected
    # Rounding leaves a trace of probabilities that are equal in all rows.
    return bool(gain > max(_TOLD * np.sqrt(variance), 1e-12))
