"""Which labels are right: a mixture of two normals on the losses of all rows."""

from __future__ import annotations

import numpy as np

from noisyfit.mixture import GaussianMixture1D

_LEAST_VARIANCE = 5e-4
"""Of a component, for losses between 0 and 1: scikit-learn's ``reg_covar`` in the paper's code."""


def clean_probability(losses: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Compute the probability that each row belongs to the component of small losses.

    Parameters
    ----------
    losses : ndarray of shape (n_samples,)
        Cross-entropy of the given labels.
    fitted : ndarray of shape (n_samples,), bool
        Rows that the mixture is fitted to; the others are judged by it.

    Returns
    -------
    ndarray of shape (n_samples,)
        w, in [0, 1]; 1 for all rows where the losses are no two groups.

    Examples
    --------
    >>> losses = np.array([0.0, 0.1, 0.2, 0.1, 3.0, 2.8, 3.1])
    >>> clean_probability(losses, np.ones(7, dtype=bool)).round(2)
    array([1., 1., 1., 1., 0., 0., 0.])
    """
    low, high = losses[fitted].min(), losses[fitted].max()
    if low == high:
        return np.ones(len(losses))
    scaled = (losses.astype(np.float64) - low) / (high - low)
    # The mixture takes the bound in units of the standard deviation of its values.
    least = min(0.5, _LEAST_VARIANCE**0.5 / scaled[fitted].std())
    mixture = GaussianMixture1D(min_std=least).fit(scaled[fitted])
    if mixture.degenerate_:
        return np.ones(len(losses))
    return 1 - mixture.posterior(scaled)
