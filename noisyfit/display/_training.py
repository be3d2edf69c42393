"""Displays of what was recorded in training, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from noisyfit.data import check_mask
from noisyfit.display._base import KEPT, LINE, REJECTED, Display, attribute_of

if TYPE_CHECKING:
    from noisyfit.base import BaseNoisyClassifier

_BAND = (10, 90)
_AXIS_LABELS = {
    "correct": "proportion predicted as given",
    "given_prob": "probability of given label",
}


class TrainingDynamicsDisplay(Display):
    """A recorded quantity over the epochs, for kept and for rejected rows.

    A line shows the mean of each group, a band reaches from its 10th to its 90th percentile.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_epochs)
        The recorded values; NaN in epochs in which a row took no part.
    clean_mask : ndarray of shape (n_samples,), bool
        Rows that were kept.
    quantity : str
        Name of the recorded quantity.
    rows : sequence of int, default=()
        Rows whose own values are drawn as well, a line for each.
    groups : tuple of two str, default=("kept", "rejected")
        Names of the rows inside and outside of `clean_mask`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure that has them.

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
            Estimator that recorded the quantity.
        quantity : {"correct", "given_prob", "margin", "loss"} or None, default=None
            One of those in the ``record`` parameter of `est`. None: the first of them.
        rows : sequence of int, default=()
            Rows whose own values are drawn as well, such as ``est.noise_scores_.argsort()[-5:]``.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

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

    def _draw(self, ax: Any) -> None:
        masks = (self.clean_mask, ~self.clean_mask)
        # A band over the zeros and ones of "correct" would say nothing.
        draw_means(ax, self.values, self.groups, masks, with_bands=self.quantity != "correct")
        epochs = np.arange(1, self.values.shape[1] + 1)
        for row in self.rows:
            ax.plot(epochs, self.values[row], color=LINE, linewidth=0.7, alpha=0.8)
        ax.set(xlabel="epoch", ylabel=_AXIS_LABELS.get(self.quantity, self.quantity))
        ax.legend()


class LossThresholdDisplay(Display):
    """DLT's threshold over the losses of kept and rejected rows (Yang et al. 2021, Figures 1, 3).

    Parameters
    ----------
    loss : ndarray of shape (n_samples, n_epochs)
        Loss of each given label in each epoch, in nats.
    clean_mask : ndarray of shape (n_samples,), bool
        Rows that were kept.
    thresholds : ndarray of shape (n_epochs,)
        Mean threshold of each epoch; NaN in the warm-up.
    groups : tuple of two str, default=("kept", "rejected")
        Names of the rows inside and outside of `clean_mask`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure that has them.

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
            Estimator that has recorded ``"loss"``, as it does by default.
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Whether each label is wrong, where that is known: right labels are then told from wrong
            ones. None: kept rows are told from rejected ones.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

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
        return cls(loss, ~check_mask(is_noisy, "is_noisy"), thresholds, ("right", "wrong")).plot(ax)

    def _draw(self, ax: Any) -> None:
        draw_means(ax, self.loss, self.groups, (self.clean_mask, ~self.clean_mask))
        epochs = np.arange(1, len(self.thresholds) + 1)
        ax.plot(epochs, self.thresholds, "--", color=LINE, label="threshold")
        ax.set(xlabel="epoch", ylabel="loss of the given label, nats")
        ax.legend()


def draw_means(
    ax: Any,
    values: np.ndarray,
    names: tuple[str, str],
    masks: tuple[np.ndarray, np.ndarray],
    *,
    with_bands: bool = True,
) -> None:
    """Draw the mean of two groups of rows over the epochs, and a band around each.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw on.
    values : ndarray of shape (n_samples, n_epochs)
        The recorded values; NaN in epochs in which a row took no part. Epochs in which no row of a
        group took part are left out of its line.
    names : tuple of two str
        Names of the groups.
    masks : tuple of two ndarray of shape (n_samples,), bool
        Rows of the groups.
    with_bands : bool, default=True
        Whether to draw the bands from the 10th to the 90th percentile.
    """
    epochs = np.arange(1, values.shape[1] + 1)
    for name, mask, color in zip(names, masks, (KEPT, REJECTED), strict=True):
        part = values[mask]
        seen = ~np.isnan(part).all(axis=0) if len(part) else np.zeros(len(epochs), dtype=bool)
        if not seen.any():
            continue
        label = f"{name} ({mask.sum():,})"
        ax.plot(epochs[seen], np.nanmean(part[:, seen], axis=0), color=color, label=label)
        if with_bands:
            low, high = np.nanpercentile(part[:, seen], _BAND, axis=0)
            ax.fill_between(epochs[seen], low, high, color=color, alpha=0.15, linewidth=0)
