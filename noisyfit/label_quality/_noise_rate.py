r"""The proportion of wrong labels from the gap between early and late losses (Yang et al. 2021).

A network learns right labels first. In the early epochs of plain training wrong labels have large
losses, and once everything is memorised none has. By how much the loss of a row fell in between
tells the two groups apart.
"""

from __future__ import annotations

import math
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from noisyfit.data import check_mask
from noisyfit.mixture import GaussianMixture1D

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from noisyfit.dynamics import TrainingDynamics

_LEVELS = 2048
_SEPARATED = 2.0
_MEMORIZED = 0.01  # nats


class NoiseRateEstimate(NamedTuple):
    """An estimate of the proportion of wrong labels, from a run of plain training.

    Examples
    --------
    >>> from noisyfit.label_quality import NoiseRateEstimate
    >>> found = NoiseRateEstimate(0.2, (0.18, 0.23), 3, separation=5.1, contradicted=0.21)
    >>> low, high = found.interval
    >>> f"{found.rate:.0%}, from {low:.0%} to {high:.0%}"
    '20%, from 18% to 23%'
    """

    rate: float
    """Proportion of wrong labels, in [0, 1]."""
    interval: tuple[float, float]
    """A 95 % bootstrap interval over the rows if the groups are separated, else from 0 to the
    proportion of labels that the network contradicts in its second epoch."""
    early_epoch: int
    """Last epoch of the early stage, counted from 1."""
    separation: float
    """Ashman's D between the two groups of loss gaps."""
    contradicted: float
    """Proportion of labels that differ from the prediction in most of the early epochs."""


def loss_gap_noise_rate(
    early: ArrayLike, late: ArrayLike, threshold: float = 0.5, *, posterior: str = "monotone"
) -> float:
    r"""Estimate the noise rate from losses of an early and a late stage, Eq. 8.

    Parameters
    ----------
    early, late : array-like of shape (n_samples,)
        Loss of each row's given label in the two stages, in any unit.
    threshold : float, default=0.5
        :math:`\theta`, in (0, 1).
    posterior : {"monotone", "mixture"}, default="monotone"
        ``"mixture"``: :math:`\phi` by Bayes' rule, as in the paper. Where the noisy component is
        the wider one, its density is the larger one also far below the clean mean, and the rows
        with the smallest gaps of all count as noise. ``"monotone"`` holds :math:`\phi` constant
        there, so that a smaller gap never makes a label more suspicious.

    Returns
    -------
    float
        In [0, 1]; 0 where all gaps are equal. A mixture of two components splits any values:
        `estimate_noise_rate` checks that there are two groups.

    Notes
    -----
    With the gaps :math:`d_i = l_i^{early} - l_i^{late}` and :math:`\phi_i` the posterior of the
    component with the smaller mean in a mixture of two normals, the rate is the proportion of rows
    with :math:`\phi_i < \theta`. The paper calls that set the clean one and its proportion the
    noise rate, two slips that cancel.

    The default's monotone posterior is a deviation from the paper; the mixture's own one gives a
    rate that is as large or larger. Gaps are rounded to one of 2,048 levels between the smallest
    and the largest.

    References
    ----------
    Yang et al., "Learning from Noisy Labels via Dynamic Loss Thresholding", 2021, Section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> early = np.r_[rng.normal(0.4, 0.35, 603), rng.normal(2.5, 0.6, 397)]
    >>> round(loss_gap_noise_rate(early, np.zeros(1000)), 2)
    0.39

    Wrong labels whose gaps vary widely:

    >>> early = np.r_[rng.normal(0.4, 0.35, 600), rng.normal(1, 1, 400)]
    >>> round(loss_gap_noise_rate(early, np.zeros(1000)), 2)
    0.2
    >>> round(loss_gap_noise_rate(early, np.zeros(1000), posterior="mixture"), 2)
    0.26
    """
    early, late = (np.asarray(x, dtype=np.float64) for x in (early, late))
    if early.shape != late.shape or early.ndim != 1 or len(early) == 0:
        raise ValueError(
            f"early and late must have the same shape (n_samples,). Got {early.shape} and "
            f"{late.shape} instead."
        )
    _check_threshold(threshold)
    if posterior not in ("monotone", "mixture"):
        raise ValueError(f"posterior must be 'monotone' or 'mixture'. Got {posterior!r} instead.")
    if not np.isfinite(early - late).all():
        raise ValueError("early and late must be finite. Got NaN or infinity.")
    values, level = _levels(early - late)
    mass = np.bincount(level)
    mixture = GaussianMixture1D().fit(values, mass)
    monotone = posterior == "monotone"
    return _share_of_large(mixture, values, mass, threshold, monotone=monotone)


def estimate_noise_rate(
    dynamics: TrainingDynamics,
    *,
    threshold: float = 0.5,
    judged: np.ndarray | None = None,
    n_bootstrap: int = 100,
    random_state: np.random.Generator | int | None = None,
) -> NoiseRateEstimate:
    r"""Estimate the noise rate from the dynamics of a plain training run, long or short.

    Parameters
    ----------
    dynamics : TrainingDynamics
        Records of ``"loss"`` and ``"correct"`` for every epoch, of any estimator that trained on
        all rows.
    threshold : float, default=0.5
        :math:`\theta` of Eq. 8.
    judged : ndarray of shape (n_samples,), bool, or None
        Rows whose labels are counted; None: all.
    n_bootstrap : int, default=100
        Number of bootstrap samples of the rows.
    random_state : Generator, int or None, default=None
        Makes the bootstrap samples repeatable.

    Returns
    -------
    NoiseRateEstimate

    Notes
    -----
    *Early stage*. A row's early loss is its mean over the epochs 2 to e, which varies less than
    that of a single epoch. e is chosen from the data, from 5 to half of the epochs: the one whose
    mixture has the largest ratio of variance between the components to variance within. It is at
    most half, as wrong labels of one kind, such as those of pair noise, are learned soon after.

    *Late stage*. The paper trains until everything is memorised and late losses are 0. If the mean
    loss of the last epoch is below 0.01 nats, its losses are used. In a shorter run they are not,
    as wrong labels still have large losses there, which would cancel the early ones. 0 is used
    instead, the loss after memorisation.

    *Units*. The losses of clean rows are distributed like an exponential. A normal component does
    not cover the tail of it, and the rows there would count as noise. Square roots of the losses
    are nearly normal.

    *Groups that are not separated*. A mixture of two components splits any values. Where
    :math:`D = \sqrt 2 |\mu_2 - \mu_1| / \sqrt{\sigma_1^2 + \sigma_2^2} \le 2` [1]_, the components
    are not separated, and the proportion of labels that the early predictions contradict takes the
    place of Eq. 8. Where they are separated, that proportion is an upper bound. Contradicted labels
    are wrong labels and the network's own mistakes together. Without separation the interval
    therefore reaches down to 0, and up to the proportion contradicted in the second epoch, before
    much can have been memorised.

    The bootstrap tells what another sample of rows would give. It does not see the bias of the
    method: wrong labels that the network predicts early on are not counted in any sample.

    References
    ----------
    .. [1] Ashman, Bird and Zepf, "Detecting bimodality in astronomical datasets", 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.dynamics import TrainingDynamics
    >>> rng, wrong = np.random.default_rng(0), np.arange(500) < 100
    >>> dynamics = TrainingDynamics(500, ["loss", "correct"])
    >>> for epoch in range(10):
    ...     loss = rng.exponential(np.where(wrong, 0, 0.2)) + 3 * wrong
    ...     dynamics.append(loss=loss, correct=~wrong)
    >>> estimate_noise_rate(dynamics, random_state=0).rate
    0.2
    """
    _check_threshold(threshold)
    n_samples = dynamics.n_samples
    judged = np.ones(n_samples, dtype=bool) if judged is None else judged
    judged = check_mask(judged, "judged", n_samples)
    if n_bootstrap < 1:
        raise ValueError(f"n_bootstrap must be at least 1. Got {n_bootstrap!r} instead.")
    loss, wrong = dynamics.loss[judged], dynamics.correct[judged] == 0
    if len(loss) == 0 or dynamics.n_epochs == 0:
        raise ValueError(
            f"A noise rate needs rows and epochs. Got {len(loss)} rows and {dynamics.n_epochs} "
            "epochs."
        )
    if np.isnan(loss).any():
        raise ValueError(
            "Some rows were not trained in every epoch: their losses are NaN. Use the dynamics of "
            "a run on all rows, such as dynamics.epochs(stop=...) before the first selection, or "
            "mark the others in `judged`."
        )
    if (loss < 0).any():
        raise ValueError(f"Losses must be at least 0. Got {loss.min():g}.")
    memorized = loss[:, -1].mean() < _MEMORIZED
    late = np.sqrt(loss[:, -1]) if memorized else np.zeros(len(loss))
    stages = [_Stage.fit(loss, wrong, late, stop) for stop in _early_stops(dynamics.n_epochs)]
    stage = max(stages, key=lambda s: s.ratio)

    rng = np.random.default_rng(random_state)
    separated = _ashman_d(stage.mixture) > _SEPARATED
    if separated:
        samples = []
        for _ in range(n_bootstrap):
            resampled = stage.resampled(rng.integers(len(loss), size=len(loss)))
            samples.append(resampled.rate(threshold, separated))
        low, high = np.quantile(samples, [0.025, 0.975])
    else:
        low, high = 0.0, max(wrong[:, :2][:, -1].mean(), stage.contradicted.mean())
    return NoiseRateEstimate(
        rate=stage.rate(threshold, separated),
        interval=(float(low), float(high)),
        early_epoch=stage.stop,
        separation=_ashman_d(stage.mixture),
        contradicted=float(stage.contradicted.mean()),
    )


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be in the range (0, 1). Got {threshold!r} instead.")


class _Stage(NamedTuple):
    """An early stage of training, and the mixture fitted to its loss gaps."""

    stop: int
    values: np.ndarray
    level: np.ndarray
    contradicted: np.ndarray
    mixture: GaussianMixture1D

    @classmethod
    def fit(cls, loss: np.ndarray, wrong: np.ndarray, late: np.ndarray, stop: int) -> _Stage:
        epochs = slice(min(1, stop - 1), stop)  # in the first epoch the network still guesses
        values, level = _levels(np.sqrt(loss[:, epochs].mean(axis=1)) - late)
        mixture = GaussianMixture1D().fit(values, sample_weight=np.bincount(level))
        return cls(stop, values, level, wrong[:, epochs].mean(axis=1) > 0.5, mixture)

    def resampled(self, rows: np.ndarray) -> _Stage:
        level = self.level[rows]
        mass = np.bincount(level, minlength=len(self.values))
        mixture = copy(self.mixture).set_params(warm_start=True).fit(self.values, mass)
        return self._replace(level=level, contradicted=self.contradicted[rows], mixture=mixture)

    @property
    def ratio(self) -> float:
        """Variance between the components, divided by the variance within."""
        weights, means, stds = self.mixture.weights_, self.mixture.means_, self.mixture.stds_
        within = weights @ stds**2
        return float(weights.prod() * np.diff(means)[0] ** 2 / within) if within > 0 else 0.0

    def rate(self, threshold: float, separated: bool) -> float:
        contradicted = float(self.contradicted.mean())
        if not separated:
            return contradicted
        mass = np.bincount(self.level, minlength=len(self.values))
        return min(_share_of_large(self.mixture, self.values, mass, threshold), contradicted)


def _early_stops(n_epochs: int) -> list[int]:
    """List the early stages to try by their last epoch: 5 to 12, then in growing steps."""
    last = min(n_epochs, max(5, n_epochs // 2))
    stops = [*range(min(5, last), min(last, 12) + 1)]
    while stops[-1] < last:
        stops.append(min(last, math.ceil(1.25 * stops[-1])))
    return stops


def _levels(gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round to few levels, to keep the mixture fast; return them and the level of each gap."""
    low, high = gaps.min(), gaps.max()
    step = (high - low) / (_LEVELS - 1) or 1.0
    occupied, level = np.unique(np.rint((gaps - low) / step), return_inverse=True)
    return low + step * occupied, level


def _share_of_large(
    mixture: GaussianMixture1D,
    values: np.ndarray,
    mass: np.ndarray,
    threshold: float,
    *,
    monotone: bool = True,
) -> float:
    phi = 1 - mixture.posterior(values, monotone=monotone)
    return float(mass[phi < threshold].sum() / mass.sum())


def _ashman_d(mixture: GaussianMixture1D) -> float:
    if mixture.degenerate_:
        return 0.0
    spread = np.sqrt((mixture.stds_**2).sum() / 2)
    return float(np.diff(mixture.means_)[0] / spread)
