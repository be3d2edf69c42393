"""Pictures of what happened in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from noisyfit.base import BaseNoisyClassifier
from noisyfit.display._base import KEPT, LINE, REJECTED, Display, as_mask, attribute_of

_BAND = (10, 90)


class TrainingDynamicsDisplay(Display):
    """A recorded quantity over the epochs: mean and band of kept against rejected rows.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_epochs)
        NaN where a row took no part.
    clean_mask : ndarray of shape (n_samples,), bool
    quantity : str
        What the values are.
    rows : sequence of int, default=()
        Rows that are drawn on top, one by one.
    groups : tuple of two str, default=("kept", "rejected")
        What the rows inside and outside of the mask are.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.display import TrainingDynamicsDisplay
    >>> probability = np.array([[0.4, 0.8, 0.9], [0.5, 0.9, 1.0], [0.1, 0.2, 0.6]])
    >>> kept = np.array([True, True, False])
    >>> display = TrainingDynamicsDisplay(probability, kept, "given_prob").plot()
    >>> display.ax_.get_xlabel()
    'epoch'
    """

    def __init__(
        self,
        values: np.ndarray,
        clean_mask: np.ndarray,
        quantity: str,
        rows: Any = (),
        groups: tuple[str, str] = ("kept", "rejected"),
    ) -> None:
        self.values = values
        self.clean_mask = clean_mask
        self.quantity = quantity
        self.rows = rows
        self.groups = groups

    @classmethod
    def from_estimator(
        cls,
        est: BaseNoisyClassifier,
        *,
        quantity: str | None = None,
        rows: Any = (),
        ax: Any = None,
    ) -> TrainingDynamicsDisplay:
        """Draw what an estimator recorded.

        Parameters
        ----------
        est : fitted noisyfit estimator
        quantity : {"correct", "given_prob", "margin", "loss"} or None, default=None
            Has to be among those of its ``record`` parameter; None: the first of them.
        rows : sequence of int, default=()
            Rows to draw on top, such as ``est.noise_scores_.argsort()[-5:]``.
        ax : matplotlib Axes, default=None

        Returns
        -------
        TrainingDynamicsDisplay
        """
        check_is_fitted(est)
        dynamics = est.dynamics_
        if dynamics is None or not dynamics.quantities:
            raise ValueError("est has recorded nothing; name quantities in its `record` parameter.")
        quantity = dynamics.quantities[0] if quantity is None else quantity
        return cls(getattr(dynamics, quantity), est.clean_mask_, quantity, list(rows)).plot(ax)

    def plot(self, ax: Any = None) -> TrainingDynamicsDisplay:
        """Draw means, bands from the 10th to the 90th percentile, and single rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        TrainingDynamicsDisplay
        """
        ax = self._axes(ax, figsize=(6, 3.5))
        epochs = np.arange(1, self.values.shape[1] + 1)
        masks = (self.clean_mask, ~self.clean_mask)
        for name, mask, colour in zip(self.groups, masks, (KEPT, REJECTED), strict=True):
            part = self.values[mask]
            seen = ~np.isnan(part).all(axis=0) if len(part) else np.zeros(len(epochs), dtype=bool)
            if not seen.any():
                continue
            label = f"{name} ({mask.sum():,})"
            ax.plot(epochs[seen], np.nanmean(part[:, seen], axis=0), color=colour, label=label)
            if self.quantity != "correct":  # of zeros and ones a band would say nothing
                low, high = np.nanpercentile(part[:, seen], _BAND, axis=0)
                ax.fill_between(epochs[seen], low, high, color=colour, alpha=0.15, linewidth=0)
        for row in self.rows:
            ax.plot(epochs, self.values[row], color=LINE, linewidth=0.7, alpha=0.8)
        names = {"correct": "share predicted as given", "given_prob": "probability of given label"}
        ax.set(xlabel="epoch", ylabel=names.get(self.quantity, self.quantity))
        ax.legend()
        return self


class LossThresholdDisplay(Display):
    """DLT's threshold over the losses of kept and rejected rows (Yang et al. 2021, Figures 1, 3).

    Parameters
    ----------
    loss : ndarray of shape (n_samples, n_epochs)
    clean_mask : ndarray of shape (n_samples,), bool
    thresholds : ndarray of shape (n_epochs,)
        Mean threshold of each epoch; NaN in the warm-up.
    groups : tuple of two str, default=("kept", "rejected")
        What the rows inside and outside of the mask are.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.display import LossThresholdDisplay
    >>> loss = np.array([[1.1, 0.3, 0.1], [1.2, 0.2, 0.1], [2.1, 2.5, 2.9]])
    >>> thresholds = np.array([np.nan, 1.4, 1.0])
    >>> display = LossThresholdDisplay(loss, np.array([True, True, False]), thresholds).plot()
    >>> display.ax_.get_ylabel()
    'loss of the given label, nats'
    """

    def __init__(
        self,
        loss: np.ndarray,
        clean_mask: np.ndarray,
        thresholds: np.ndarray,
        groups: tuple[str, str] = ("kept", "rejected"),
    ) -> None:
        self.loss = loss
        self.clean_mask = clean_mask
        self.thresholds = thresholds
        self.groups = groups

    @classmethod
    def from_estimator(
        cls, est: Any, *, is_noisy: Any = None, ax: Any = None
    ) -> LossThresholdDisplay:
        """Draw the losses and thresholds of a fitted `DLTClassifier`.

        Parameters
        ----------
        est : fitted DLTClassifier
            That has recorded ``"loss"``, as it does by default.
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Which labels are wrong, where that is known; None: what the estimator says.
        ax : matplotlib Axes, default=None

        Returns
        -------
        LossThresholdDisplay
        """
        check_is_fitted(est)
        after = attribute_of(est, "thresholds_", "DLTClassifier")
        loss = est.dynamics_.loss
        thresholds = np.full(loss.shape[1], np.nan)
        if len(after):
            thresholds[-len(after) :] = after if after.ndim == 1 else after.mean(axis=1)
        if is_noisy is None:
            return cls(loss, est.clean_mask_, thresholds).plot(ax)
        return cls(loss, ~as_mask(is_noisy, "is_noisy"), thresholds, ("right", "wrong")).plot(ax)

    def plot(self, ax: Any = None) -> LossThresholdDisplay:
        """Draw the bands of the losses and the threshold.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        LossThresholdDisplay
        """
        display = TrainingDynamicsDisplay(self.loss, self.clean_mask, "loss", (), self.groups)
        display.plot(ax)
        self.ax_, self.figure_ = display.ax_, display.figure_
        epochs = np.arange(1, len(self.thresholds) + 1)
        self.ax_.plot(epochs, self.thresholds, "--", color=LINE, label="threshold")
        self.ax_.set_ylabel("loss of the given label, nats")
        self.ax_.legend()
        return self
