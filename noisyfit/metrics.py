"""How well a detector found the wrong labels, measured against known flips.

``is_noisy`` is the truth, True where a label is wrong (`CorruptedLabels.flipped` for corrupted
data), and is the positive class throughout; noise scores are higher where a label is more likely
wrong.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score
from sklearn.utils import check_array, check_consistent_length

from noisyfit._sklearn import Interval, validate_parameter_constraints


def auroc(is_noisy: npt.ArrayLike, noise_scores: npt.ArrayLike) -> float:
    """Compute the area under the ROC curve: how often a wrong label outranks a right one.

    Parameters
    ----------
    is_noisy : array-like of shape (n_samples,)
        True (or 1) where the label is wrong; both values must occur.
    noise_scores : array-like of shape (n_samples,)
        Finite scores, higher = more likely wrong.

    Returns
    -------
    auroc : float in [0, 1]
        Probability that a random wrong label has a higher score than a random right one, ties
        counting half. 0.5 is chance.

    Raises
    ------
    ValueError
        If `is_noisy` is not binary or has one class only, a score is not finite, or shapes differ.

    Examples
    --------
    >>> from noisyfit.metrics import auroc
    >>> auroc([False, False, True, True], [0.1, 0.6, 0.4, 0.9])
    0.75
    """
    return float(roc_auc_score(*_ranking(is_noisy, noise_scores)))


def average_precision(is_noisy: npt.ArrayLike, noise_scores: npt.ArrayLike) -> float:
    """Compute the average precision of the ranking, without interpolation.

    Parameters
    ----------
    is_noisy : array-like of shape (n_samples,)
        True (or 1) where the label is wrong; both values must occur.
    noise_scores : array-like of shape (n_samples,)
        Finite scores, higher = more likely wrong.

    Returns
    -------
    average_precision : float in (0, 1]
        Precision summed over the distinct scores from the highest down, each weighted by the
        recall it adds. A random ranking gets about the proportion of wrong labels.

    Raises
    ------
    ValueError
        If `is_noisy` is not binary or has one class only, a score is not finite, or shapes differ.

    Examples
    --------
    >>> from noisyfit.metrics import average_precision
    >>> average_precision([True, False, True, False], [0.9, 0.6, 0.4, 0.1])
    0.8333...
    """
    return float(average_precision_score(*_ranking(is_noisy, noise_scores)))


def precision_at_recall(
    is_noisy: npt.ArrayLike, noise_scores: npt.ArrayLike, recall: float = 0.95
) -> float:
    """Compute the precision at the cut where recall first reaches a target.

    If rows are reviewed from the highest score down until a proportion `recall` of the wrong labels
    is found, this is the proportion of wrong labels among the reviewed rows.

    Parameters
    ----------
    is_noisy : array-like of shape (n_samples,)
        True (or 1) where the label is wrong; both values must occur.
    noise_scores : array-like of shape (n_samples,)
        Finite scores, higher = more likely wrong. Rows of equal score are taken together.
    recall : float in (0, 1], default=0.95
        Proportion of the wrong labels to find.

    Returns
    -------
    precision : float in (0, 1]
        Precision at the highest threshold whose recall is at least `recall`.

    Raises
    ------
    ValueError
        If `is_noisy` is not binary or has one class only, a score is not finite, shapes differ, or
        `recall` is out of range.

    Examples
    --------
    >>> from noisyfit.metrics import precision_at_recall
    >>> precision_at_recall([True, False, True, False], [0.9, 0.6, 0.4, 0.1])
    0.6666...
    >>> precision_at_recall([True, False, True, False], [0.9, 0.6, 0.4, 0.1], recall=0.5)
    1.0
    """
    _check_options("precision_at_recall", recall=recall)
    precision, reached, _ = precision_recall_curve(*_ranking(is_noisy, noise_scores))
    # Thresholds rise along the curve and recall falls, so the last cut that reaches it is wanted.
    return float(precision[np.flatnonzero(reached >= recall)[-1]])


def mask_f1(is_noisy: npt.ArrayLike, flagged: npt.ArrayLike) -> float:
    """Compute the F1 score of the rows flagged as wrongly labelled.

    Parameters
    ----------
    is_noisy : array-like of shape (n_samples,)
        True (or 1) where the label is wrong, at least once.
    flagged : array-like of shape (n_samples,)
        True (or 1) where the detector calls the label wrong: ``~clean_mask_`` of an estimator.

    Returns
    -------
    f1 : float in [0, 1]
        2 TP / (2 TP + FP + FN); 0 if no flag is right.

    Raises
    ------
    ValueError
        If an argument is not binary, `is_noisy` has no True, or shapes differ.

    Examples
    --------
    >>> from noisyfit.metrics import mask_f1
    >>> mask_f1([True, True, False, False], [True, False, True, False])
    0.5
    """
    truth, flags = _binary(is_noisy, "is_noisy"), _binary(flagged, "flagged")
    if not truth.any():
        raise ValueError("is_noisy has no True: F1 is not defined without a wrong label.")
    return float(f1_score(truth, flags))


def noise_rate_error(is_noisy: npt.ArrayLike, noise_rate: float) -> float:
    """Compute the signed error of an estimated noise rate.

    Parameters
    ----------
    is_noisy : array-like of shape (n_samples,)
        True (or 1) where the label is wrong.
    noise_rate : float in [0, 1]
        The estimated proportion of wrong labels.

    Returns
    -------
    error : float in [-1, 1]
        Estimate minus truth: positive where the estimate is too high.

    Raises
    ------
    ValueError
        If `is_noisy` is not binary or `noise_rate` is out of range.

    Examples
    --------
    >>> from noisyfit.metrics import noise_rate_error
    >>> noise_rate_error([True, False, False, False], 0.5)
    0.25
    """
    _check_options("noise_rate_error", noise_rate=noise_rate)
    return float(noise_rate - _binary(is_noisy, "is_noisy").mean())


def expected_calibration_error(
    is_noisy: npt.ArrayLike, noise_scores: npt.ArrayLike, n_bins: int = 10
) -> float:
    r"""Compute the calibration error of scores read as probabilities of a wrong label.

    .. math:: \mathrm{ECE} = \sum_{m=1}^{M} \frac{|B_m|}{n}
        \left| \mathrm{wrong}(B_m) - \mathrm{score}(B_m) \right|

    with n rows, :math:`B_m` the rows whose score lies in bin m of M = `n_bins`, and
    :math:`\mathrm{wrong}` and :math:`\mathrm{score}` the proportion of wrong labels and the mean
    score there: Eq. 3 of [1]_ for the event "the label is wrong", at any score and not only above
    1/2.

    Parameters
    ----------
    is_noisy : array-like of shape (n_samples,)
        True (or 1) where the label is wrong.
    noise_scores : array-like of shape (n_samples,)
        Scores in [0, 1], higher = more likely wrong.
    n_bins : int, default=10
        Number M of bins of equal width on [0, 1]. Bin m holds ((m - 1) / M, m / M], the first
        bin 0 as well.

    Returns
    -------
    ece : float in [0, 1]
        0 is perfect calibration at this resolution.

    Raises
    ------
    ValueError
        If `is_noisy` is not binary, a score is not finite or outside [0, 1], shapes differ, or
        `n_bins` is out of range.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
       ICML 2017.

    Examples
    --------
    >>> from noisyfit.metrics import expected_calibration_error
    >>> expected_calibration_error([False, True, True, True], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    _check_options("expected_calibration_error", n_bins=n_bins)
    truth, scores = _binary(is_noisy, "is_noisy"), _scores(noise_scores)
    check_consistent_length(truth, scores)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            "noise_scores must lie in [0, 1] to be read as probabilities, got values from "
            f"{scores.min():.6g} to {scores.max():.6g}."
        )
    bins = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], scores)
    # |B_m| cancels against the means, which leaves the sum of (wrong - score) in each bin.
    gaps = np.bincount(bins, weights=truth - scores)
    return float(np.abs(gaps).sum() / len(scores))


def detection_report(
    is_noisy: npt.ArrayLike,
    noise_scores: npt.ArrayLike,
    *,
    clean_mask: npt.ArrayLike | None = None,
    noise_rate: float | None = None,
) -> dict[str, float]:
    """Compute all metrics of this module for one detector.

    Parameters
    ----------
    is_noisy : array-like of shape (n_samples,)
        True (or 1) where the label is wrong; both values must occur.
    noise_scores : array-like of shape (n_samples,)
        Scores in [0, 1], higher = more likely wrong: ``noise_scores_`` of an estimator.
    clean_mask : array-like of shape (n_samples,), default=None
        True where the detector takes the label as right: ``clean_mask_`` of an estimator.
    noise_rate : float in [0, 1], default=None
        The estimated proportion of wrong labels: ``noise_rate_`` of an estimator.

    Returns
    -------
    report : dict of str to float
        ``true_noise_rate``, the proportion of True in `is_noisy`, and one entry named after each
        function of this module at its default settings: ``auroc``, ``average_precision``,
        ``precision_at_recall``, ``expected_calibration_error``, and ``mask_f1`` and
        ``noise_rate_error`` where `clean_mask` and `noise_rate` are given.

    Raises
    ------
    ValueError
        As the functions themselves.

    Examples
    --------
    >>> from noisyfit.metrics import detection_report
    >>> report = detection_report(
    ...     [True, False, True, False], [1.0, 0.0, 0.5, 0.5], clean_mask=[False, True, True, True])
    >>> for name, value in report.items():
    ...     print(f"{name:26} {value:.3f}")
    true_noise_rate            0.500
    auroc                      0.875
    average_precision          0.833
    precision_at_recall        0.667
    expected_calibration_error 0.000
    mask_f1                    0.667
    """
    report = {
        "true_noise_rate": float(_binary(is_noisy, "is_noisy").mean()),
        "auroc": auroc(is_noisy, noise_scores),
        "average_precision": average_precision(is_noisy, noise_scores),
        "precision_at_recall": precision_at_recall(is_noisy, noise_scores),
        "expected_calibration_error": expected_calibration_error(is_noisy, noise_scores),
    }
    if clean_mask is not None:
        report["mask_f1"] = mask_f1(is_noisy, ~_binary(clean_mask, "clean_mask"))
    if noise_rate is not None:
        report["noise_rate_error"] = noise_rate_error(is_noisy, noise_rate)
    return report


def _check_options(caller: str, **options: Any) -> None:
    """Check the ranges of the scalar arguments, with scikit-learn's message."""
    constraints = {
        "recall": [Interval(Real, 0, 1, closed="right")],
        "noise_rate": [Interval(Real, 0, 1, closed="both")],
        "n_bins": [Interval(Integral, 1, None, closed="left")],
    }
    validate_parameter_constraints(constraints, options, caller_name=caller)


def _vector(values: npt.ArrayLike, name: str) -> np.ndarray:
    """Return `values` as a non-empty finite numeric 1-D array."""
    array = check_array(values, ensure_2d=False, allow_nd=True, input_name=name)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got an array of shape {array.shape}.")
    return array


def _binary(mask: npt.ArrayLike, name: str) -> np.ndarray:
    array = _vector(mask, name)
    if not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"{name} must be a boolean mask with one entry a row, got the values "
            f"{np.unique(array)[:5].tolist()}."
        )
    return array.astype(bool)


def _scores(noise_scores: npt.ArrayLike) -> np.ndarray:
    return _vector(noise_scores, "noise_scores").astype(np.float64)


def _ranking(is_noisy: npt.ArrayLike, noise_scores: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Check the arguments of a ranking metric, which needs wrong and right labels."""
    truth, scores = _binary(is_noisy, "is_noisy"), _scores(noise_scores)
    if truth.all() or not truth.any():
        raise ValueError(
            f"is_noisy is {bool(truth[0])} everywhere: a ranking of wrong above right labels is "
            "defined only where both occur."
        )
    return truth, scores
