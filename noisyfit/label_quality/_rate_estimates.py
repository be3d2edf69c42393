"""Estimates of the noise rate from out-of-fold probabilities; each assumes something else."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.stats import rankdata

_SMOOTH = 1e-4
_DRAWS = 3
_ROUNDING = 1e-6
_UNPREDICTED = 1 / 3
"""A class is rare or hard if fewer rows are predicted as it than this share of its labels."""
_ONE_SIDED = 1.64
"""Standard errors of a bound that holds in 95 %."""


def margins(P: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return log-probabilities of labels less those of the likeliest other class.

    Parameters
    ----------
    P : ndarray of shape (n_samples, n_classes)
        Probabilities.
    y : ndarray of shape (n_samples,), int64
        Labels.

    Returns
    -------
    ndarray of shape (n_samples,), in nats
    """
    log, rows = np.log(P + _SMOOTH), np.arange(len(y))
    given = log[rows, y]
    log[rows, y] = -np.inf
    return given - log.max(axis=1)


def unpredicted_classes(predicted: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """Mark the classes that hardly any row is predicted as, which are rare or hard.

    Parameters
    ----------
    predicted, y : ndarray of shape (n_samples,), int64
        Most probable classes, and given labels.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (n_classes,), bool
    """
    sizes, n_predicted = (np.bincount(codes, minlength=n_classes) for codes in (y, predicted))
    return n_predicted < _UNPREDICTED * sizes


def surest_rows(P: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the most confident predictions of each class, as many as contradict least.

    Parameters
    ----------
    P : ndarray of shape (n_samples, n_classes)
        Out-of-fold probabilities.
    y : ndarray of shape (n_samples,), int64
        Given labels.

    Returns
    -------
    ndarray of shape (n_surest,), int64
        Numbers of rows.
    """
    predicted, confidence = P.argmax(axis=1), P.max(axis=1)
    rank = np.empty(len(y))
    for c in np.unique(predicted):
        rows = np.flatnonzero(predicted == c)
        rank[rows] = (rankdata(-confidence[rows]) - 0.5) / len(rows)
    order = np.argsort(rank)
    k = _cuts(rank[order], min(len(y), int(max(50, len(y) / 50))))
    share = np.cumsum((predicted != y)[order])[k - 1] / k
    bound = share + np.sqrt(np.maximum(share * (1 - share), 1 / k) / k)
    return order[: k[np.argmin(bound)]]


def evenly_spread(P: np.ndarray, y: np.ndarray, surest: np.ndarray) -> float:
    r"""Return how many labels are wrong at least, by those that no overlap of classes explains.

    Parameters
    ----------
    P : ndarray of shape (n_samples, n_classes)
        Out-of-fold probabilities.
    y : ndarray of shape (n_samples,), int64
        Given labels.
    surest : ndarray of shape (n_surest,), int64
        `surest_rows`.

    Returns
    -------
    float
        In [0, 1]; 0 with two classes, and where most of the surest rows are contradicted.

    Notes
    -----
    A right label of a hard row is one of the likelier classes. Errors that are drawn evenly from
    the C - 1 other classes fall as often upon the m = (C - 1) // 2 least likely ones of a row as
    upon any others, so that these have the proportion m / (C - 1) of them. It is counted among the
    surest rows, where overlap reaches least, less 1.64 standard errors. Of errors that go to
    similar classes alone it sees nothing. Labels of a class that hardly any row is predicted as do
    not count: what nobody has learned is unlikely wherever it is right.
    """
    m = (P.shape[1] - 1) // 2
    predicted = P.argmax(axis=1)
    known = ~unpredicted_classes(predicted, y, P.shape[1])
    P, y, predicted = P[surest], y[surest], predicted[surest]
    contradicted = predicted != y
    if m == 0 or contradicted.mean() > 0.5:
        return 0.0
    # Of equal ones, such as zeros, nobody knows which are the least likely: they count as likely.
    n_no_likelier = (P[np.arange(len(y)), y][:, None] >= P).sum(axis=1) - 1
    share = float((contradicted & known[y] & (n_no_likelier < m)).mean())
    share -= _ONE_SIDED * np.sqrt(max(share * (1 - share), 1 / len(y)) / len(y))
    return max(0.0, share * (P.shape[1] - 1) / m)


def _cuts(ordered: np.ndarray, least: int) -> np.ndarray:
    """Return how many of the first rows may be taken: equal ones all or none, however they lie."""
    k = np.flatnonzero(np.append(np.diff(ordered) != 0, True)) + 1
    return k[k >= least]


def selective_classification(P: np.ndarray, y: np.ndarray) -> float:
    """Return b of `held_out_noise_rate`."""
    n_samples, n_classes = P.shape
    sizes = np.bincount(y, minlength=n_classes)
    # A class without a label would have a column like the shares themselves, and so explain all.
    present = np.flatnonzero(sizes)
    T = np.zeros((n_classes, len(present)))
    for column, j in enumerate(present):
        order = np.argsort(-P[:, j])
        given = y[order]
        k = _cuts(
            P[order, j], int(np.clip(min(max(n_samples / 200, 10), sizes[j] / 3), 1, n_samples))
        )
        share = np.cumsum(given == j)[k - 1] / k
        bound = share - np.sqrt(np.maximum(share * (1 - share), 1 / (4 * k)) / k)
        best = k[np.argmax(bound)]
        T[:, column] = np.bincount(given[:best], minlength=n_classes) / best
    # The last equation says that the shares of the true classes sum to 1.
    shares, _ = nnls(
        np.vstack([T, np.full((1, len(present)), 100.0)]), np.append(sizes / n_samples, 100.0)
    )
    return float(np.clip(1 - shares @ T[present, np.arange(len(present))], 0, 1))


def confident_joint(P: np.ndarray, y: np.ndarray) -> float:
    """Return c of `held_out_noise_rate`."""
    n_classes = P.shape[1]
    sizes = np.bincount(y, minlength=n_classes)
    sums = np.bincount(y, P[np.arange(len(y)), y], minlength=n_classes)
    tau = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    above = tau - _ROUNDING <= P  # the mean of equal numbers may round up
    confident = np.where(above, P, -1.0).argmax(axis=1)
    return float((above.any(axis=1) & (confident != y) & (P.argmax(axis=1) != y)).mean())


def planted_labels(P: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """Return d of `held_out_noise_rate`."""
    n_samples, n_classes = P.shape
    if n_classes == 1:
        return 0.0
    planted = np.concatenate(
        [
            -margins(P, (y + rng.integers(1, n_classes, n_samples)) % n_classes)
            for _ in range(_DRAWS)
        ]
    )
    given = np.sort(-margins(P, y))
    at = np.append(-np.inf, given)  # shares that are as suspicious as each of these, or more
    of_given = 1 - np.searchsorted(given, at) / n_samples
    of_planted = 1 - np.searchsorted(np.sort(planted), at) / len(planted)
    chance = 1.01 * np.sqrt(np.log(2 / 0.1) / (2 * n_samples))  # Dvoretzky, Kiefer, Wolfowitz
    seen = of_planted > 0
    best = np.argmin((of_given[seen] + chance) / of_planted[seen])
    kappa = of_given[seen][best] / of_planted[seen][best]
    # A planted label is right by chance where the given one was wrong.
    return float(min(1.0, kappa / (1 + kappa / (n_classes - 1))))
