"""Where wrong labels lie in a ranking, by labels that are planted as the wrong ones seem to go."""

from __future__ import annotations

import numpy as np

from noisyfit.label_quality._rate_estimates import margins

_DRAWS = 20_000


def planted_length(
    proba: np.ndarray, y: np.ndarray, noise_scores: np.ndarray, share: float
) -> float | None:
    """Find how far down a ranking by out-of-fold margin a share of planted errors lies.

    Each planted error takes its kind from a row that looks wrong, from the likeliest other class to
    the given label, and its place from a row of that class that looks right: the margin that the
    planted label would have there is known without any training.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_classes)
        Out-of-fold probabilities.
    y : ndarray of shape (n_samples,), int64
        Given labels.
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong, as far as it is known.
    share : float
        Proportion of the planted errors, in (0, 1).

    Returns
    -------
    float or None
        Proportion of the rows, in (0, 1], that are as suspicious as the last of them. None where
        no error can be planted, as no class has a row that looks wrong and one that looks right.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.arange(2).repeat(50)
    >>> proba = np.where(np.eye(2, dtype=bool)[y], 0.9, 0.1)
    >>> y[:10] = 1
    >>> planted_length(proba, y, np.where(np.arange(100) < 10, 0.9, 0.01), share=0.9)
    0.1
    """
    if not noise_scores.any():
        return None
    n_samples, n_classes = proba.shape
    rng = np.random.default_rng(0)
    others = proba.copy()
    others[np.arange(n_samples), y] = -1.0
    kind = rng.choice(n_samples, _DRAWS, p=noise_scores / noise_scores.sum())
    true, planted = others.argmax(axis=1)[kind], y[kind]
    order = np.argsort(y, kind="stable")  # rows by class, to be drawn by their chance to be right
    right = np.cumsum(1 - noise_scores[order])
    ends = np.searchsorted(y[order], np.arange(n_classes + 1))
    start, stop = (np.append(0.0, right)[edge] for edge in (ends[:-1], ends[1:]))
    drawable = (stop - start)[true] > 1e-9
    true, planted = true[drawable], planted[drawable]
    if not len(true):
        return None
    at = rng.uniform(start[true], stop[true])
    row = order[np.minimum(np.searchsorted(right, at, side="right"), ends[true + 1] - 1)]
    reached = np.quantile(-margins(proba[row], planted), 1 - share)
    return float((-margins(proba, y) >= reached - 1e-9).mean())
