"""Which labels are right: a mixture of two normals on the losses of all rows."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning


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
        w, in [0, 1]; 1 for all rows where all losses are equal.

    Notes
    -----
    As in the paper's code: losses scaled to [0, 1], k-means and then at most ten steps of EM, which
    end where the likelihood gains less than 1e-2 (usually after three), and a variance of 5e-4 that
    is added. The few steps matter. Where the losses of right labels are spread out, as on a task
    that is not easy, the maximum of the likelihood has a narrow component of the very smallest
    losses, and would believe half as many labels.

    Where the components are of different width, Bayes' rule turns round somewhere beyond the mean
    of the narrower one. From there on w stays as it is, so that a smaller loss is never less clean.

    Examples
    --------
    >>> losses = np.array([0.0, 0.1, 0.2, 0.1, 3.0, 2.8, 3.1])
    >>> clean_probability(losses, np.ones(7, dtype=bool)).round(2)
    array([1., 1., 1., 1., 0., 0., 0.])
    """
    from sklearn.mixture import GaussianMixture  # with half of scikit-learn, which takes its time

    low, high = losses[fitted].min(), losses[fitted].max()
    if low == high:
        return np.ones(len(losses))
    scaled = (losses.astype(np.float64) - low) / (high - low)
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is to stop early
        mixture.fit(scaled[fitted, None])
    mean, variance = mixture.means_[:, 0], mixture.covariances_[:, 0, 0]
    small, large = np.argsort(mean)
    wider = variance[large] - variance[small]
    if wider != 0:  # the logarithm of the odds is a parabola
        turn = (mean[small] * variance[large] - mean[large] * variance[small]) / wider
        scaled = np.maximum(scaled, turn) if wider > 0 else np.minimum(scaled, turn)
    return mixture.predict_proba(scaled[:, None])[:, small]
