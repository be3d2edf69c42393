"""One round of selection: from the metric of the rows to a threshold, and whether to go on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from noisyfit.methods.mild._metric import group_means, widest_gap
from noisyfit.mixture import WeibullMixture, shift_positive


class Round(NamedTuple):
    """One round of selection; scores, threshold and component means are in the metric's units.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import MILDSelector
    >>> X, y = make_blobs(300, centers=3, random_state=0, cluster_std=0.7)
    >>> y[:30] = (y[:30] + 1) % 3
    >>> first = MILDSelector(max_epochs=10, random_state=0).fit(X, y).rounds_[0]
    >>> first.n_rows, first.n_dropped > 0
    (300, True)
    """

    n_rows: int
    """Rows trained on."""
    n_dropped: int
    """Rows dropped at the end of the round."""
    threshold: float
    """Rows at or above it were to be dropped; NaN where the metric shows no two groups."""
    component_means: tuple[float, float]
    """Means of the clean and the noisy component."""
    component_weights: tuple[float, float]
    """Weights of the components."""


class Split(NamedTuple):
    """The metric of a round, split into a clean and a noisy component."""

    mixture: WeibullMixture | None
    """Fitted to the shifted metric; None where it takes fewer than four values."""
    summary: Round
    """In which all rows beyond the threshold count as dropped."""
    beyond: np.ndarray
    """Rows beyond the threshold: (n_rows,), bool."""
    shifted: np.ndarray
    """What the mixture was fitted to: (n_rows,), positive."""


def split(
    C: np.ndarray,
    ranked: np.ndarray,
    threshold: str | float,
    *,
    min_gap: float,
    zero_value: float | None,
) -> Split:
    """Fit the mixture to a metric and find the rows beyond the threshold.

    Parameters
    ----------
    C : ndarray of shape (n_rows,)
        Metric of the rows that are still in; higher means more suspicious.
    ranked : ndarray of shape (n_rows,)
        The same with ties broken, for a fixed ratio.
    threshold : {"scale", "crossing", "scale_raw"} or float
        As of `MILDSelector`.
    min_gap : float
        Width of a gap that separates two groups where there are too few values for a mixture.
    zero_value : float or None
        What the smallest value becomes, as of `shift_positive`. None: the 400th part of the range,
        as the 0.1 of the published code is for 20 epochs.

    Returns
    -------
    Split

    Examples
    --------
    >>> import numpy as np
    >>> C = np.array([-20.0, -18.0, 20.0])
    >>> split(C, C, "scale", min_gap=8, zero_value=0.1).summary.threshold
    1.0
    """
    offset = C.min()
    if zero_value is None:
        zero_value = float(np.ptp(C)) / 400 or 0.1
    shifted = shift_positive(C - offset, zero_value)[0]
    mixture = WeibullMixture().fit(shifted)
    usable = not mixture.degenerate_
    value = _threshold(C, threshold, mixture, offset, min_gap)
    beyond = value <= C
    if not isinstance(threshold, str):
        beyond = np.ones(len(C), dtype=bool)
        beyond[np.argsort(ranked)[: round(float(threshold) * len(C))]] = False
    means = mixture.means_ + offset if usable else group_means(C, value)
    weights = mixture.weights_ if usable else (1 - beyond.mean(), beyond.mean())
    summary = Round(
        n_rows=len(C),
        n_dropped=int(beyond.sum()),
        threshold=value,
        component_means=(float(means[0]), float(means[1])),
        component_weights=(float(weights[0]), float(weights[1])),
    )
    return Split(mixture if usable else None, summary, beyond, shifted)


def _threshold(
    C: np.ndarray,
    threshold: str | float,
    mixture: WeibullMixture,
    offset: float,
    min_gap: float,
) -> float:
    if not isinstance(threshold, str):
        n_kept = min(round(threshold * len(C)), len(C) - 1)
        return float(np.partition(C, n_kept)[n_kept])
    if mixture.degenerate_:
        return widest_gap(C, min_gap=min_gap)
    if threshold == "scale_raw":
        return float(mixture.scales_.max())
    in_shifted_units = mixture.crossing() if threshold == "crossing" else mixture.scales_[1]
    return float(in_shifted_units + offset)


def wrong_shares(found: Split, wrong: np.ndarray) -> tuple[float, float]:
    """Average over the rows of each component how often they were wrong.

    Parameters
    ----------
    found : Split
        The components.
    wrong : ndarray of shape (n_rows,)
        Share of the epochs of the round in which each row was misclassified.

    Returns
    -------
    tuple of two floats
        Of the clean and the noisy component, each row with the probability that it is of it; NaN
        for a component without rows.

    Examples
    --------
    >>> import numpy as np
    >>> C = np.array([-20.0, -18.0, 20.0])
    >>> found = split(C, C, "scale", min_gap=8, zero_value=0.1)
    >>> wrong_shares(found, np.array([0.25, 0.75, 1.0]))
    (0.5, 1.0)
    """
    p = found.beyond.astype(np.float64)
    if found.mixture is not None:
        p = found.mixture.posterior(found.shifted)
    clean, noisy = (float(w @ wrong / w.sum()) if w.sum() > 0 else float("nan") for w in (1 - p, p))
    return clean, noisy


def reason_to_stop(summary: Round, wrong_share: float, learned: bool) -> str:
    """Return why no further round should follow; empty if one should.

    Parameters
    ----------
    summary : Round
        The round.
    wrong_share : float
        Share of its epochs in which a typical row of the noisy component was wrong.
    learned : bool
        Whether the network is right more often than the most frequent label.

    Returns
    -------
    str

    Examples
    --------
    >>> first = Round(100, 20, -3.0, (-18.0, -12.0), (0.8, 0.2))
    >>> reason_to_stop(first, 0.2, learned=True)
    'the noisy component was learned: wrong in less than a quarter of the epochs'
    """
    if not learned:
        return "the network did no better than naming the most frequent label"
    if np.isnan(summary.threshold):
        return "the metric shows no two groups"
    if summary.n_dropped == 0:
        return "no row was left to drop"
    if wrong_share < 0.25:
        return "the noisy component was learned: wrong in less than a quarter of the epochs"
    return ""
