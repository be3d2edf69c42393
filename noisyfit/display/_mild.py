"""Displays of MILD's rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from noisyfit.data import check_mask
from noisyfit.display._base import KEPT, LINE, Display, attribute_of, draw_histogram
from noisyfit.methods.mild import selection_metric

if TYPE_CHECKING:
    from noisyfit.mixture import WeibullMixture


class RoundsDisplay(Display):
    """How many rows each of MILD's rounds left, with precision and recall where they are known.

    Parameters
    ----------
    n_rows : ndarray of shape (n_rounds + 1,)
        Rows before the first round and after each.
    precision, recall : ndarray of shape (n_rounds + 1,), default=None
        Proportion of the rows left whose labels are right, and proportion of all right labels that
        are left.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure that has them.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.display import RoundsDisplay
    >>> display = RoundsDisplay(np.array([1000, 820, 790])).plot()
    >>> display.ax_.get_xlabel()
    'rounds'
    """

    def __init__(
        self,
        n_rows: np.ndarray,
        precision: np.ndarray | None = None,
        recall: np.ndarray | None = None,
    ) -> None:
        self.n_rows = n_rows
        self.precision = precision
        self.recall = recall

    @classmethod
    def from_estimator(cls, est: Any, *, is_noisy: Any = None, ax: Any = None) -> RoundsDisplay:
        """Draw the rounds of a fitted `MILDSelector`.

        Parameters
        ----------
        est : fitted MILDSelector
            Estimator whose rounds are drawn.
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Whether each label is wrong, where that is known.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

        Returns
        -------
        RoundsDisplay
        """
        check_is_fitted(est)
        dropped = attribute_of(est, "dropped_round_", "MILDSelector")
        left = [(dropped == 0) | (dropped > number) for number in range(est.n_rounds_ + 1)]
        n_rows = np.array([rows.sum() for rows in left])
        if is_noisy is None:
            return cls(n_rows).plot(ax)
        right = ~check_mask(is_noisy, "is_noisy")
        kept_right = np.array([(rows & right).sum() for rows in left])
        return cls(n_rows, kept_right / n_rows, kept_right / max(right.sum(), 1)).plot(ax)

    def _figure_size(self) -> tuple[float, float]:
        return 5, 3.5

    def _draw(self, ax: Any) -> None:
        rounds = np.arange(len(self.n_rows))
        ax.plot(rounds, self.n_rows / self.n_rows[0], "o-", color=LINE, label="rows left")
        if self.precision is not None and self.recall is not None:
            ax.plot(rounds, self.precision, "s-", color=KEPT, label="right among them")
            ax.plot(rounds, self.recall, "^-", color="#2ca02c", label="right ones still there")
        ax.set(xlabel="rounds", ylabel="proportion", xticks=rounds, ylim=(0, 1.05))
        ax.legend()


class MixtureDisplay(Display):
    """One of MILD's rounds: histogram of the metric, the mixture fitted to it, and the threshold.

    Parameters
    ----------
    metric : ndarray of shape (n_rows,)
        C or C^F (Eq. 3 or 2 of Hu et al. 2023) of the rows that took part in the round, in epochs.
    mixture : WeibullMixture or None
        Mixture fitted to the metric, which was shifted to positive values for it; None where the
        fit failed.
    threshold : float
        Metric from which on rows are dropped; NaN where the metric did not fall into two groups.
    is_noisy : ndarray of shape (n_rows,), bool, default=None
        Whether each label is wrong, where that is known. The histogram then tells right labels from
        wrong ones.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure that has them.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.display import MixtureDisplay
    >>> X, y = make_blobs(300, centers=3, random_state=0, cluster_std=0.7)
    >>> y[:30] = (y[:30] + 1) % 3
    >>> est = MILDSelector(max_epochs=10, random_state=0).fit(X, y)
    >>> MixtureDisplay.from_estimator(est, round=1).metric.shape
    (300,)
    """

    def __init__(
        self,
        metric: np.ndarray,
        mixture: WeibullMixture | None,
        threshold: float,
        is_noisy: np.ndarray | None = None,
    ) -> None:
        self.metric = metric
        self.mixture = mixture
        self.threshold = threshold
        self.is_noisy = is_noisy

    @classmethod
    def from_estimator(
        cls, est: Any, *, round: int = 1, is_noisy: Any = None, ax: Any = None
    ) -> MixtureDisplay:
        """Draw a round of a fitted `MILDSelector`.

        Parameters
        ----------
        est : fitted MILDSelector
            Estimator that has recorded ``"correct"``, as it does by default, with
            ``metric="mild"``.
        round : int, default=1
            Number of the round, from 1 to ``est.n_rounds_``.
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Whether each label is wrong, where that is known.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

        Returns
        -------
        MixtureDisplay
        """
        check_is_fitted(est)
        dropped = attribute_of(est, "dropped_round_", "MILDSelector")
        if not 1 <= round <= est.n_rounds_:
            raise ValueError(
                f"round must be one of the {est.n_rounds_} rounds, from 1. Got {round!r}."
            )
        if est.metric != "mild":
            raise ValueError(
                "MixtureDisplay draws the metric of memorisation and forgetting, of metric='mild'. "
                f"Got a fit with metric={est.metric!r}; draw its rounds with RoundsDisplay."
            )
        epochs = [i for i, epoch in enumerate(est.history_) if epoch["round"] == round]
        rows = (dropped == 0) | (dropped >= round)
        correct = est.dynamics_.correct[rows][:, epochs]
        metric = selection_metric(correct, lam=est.lam, full=est.full)
        truth = None if is_noisy is None else check_mask(is_noisy, "is_noisy")[rows]
        number = round - 1
        return cls(metric, est.mixtures_[number], est.rounds_[number].threshold, truth).plot(ax)

    def _draw(self, ax: Any) -> None:
        values = np.unique(self.metric)
        step = np.diff(values).min() if len(values) > 1 else 1.0
        n_bins = min(60, round((values[-1] - values[0]) / step) + 1)  # C has a value for each epoch
        low, high = values[0] - step / 2, values[-1] + step / 2
        groups = {"rows": np.ones(len(self.metric), dtype=bool)}
        if self.is_noisy is not None:
            groups = {"right": ~self.is_noisy, "wrong": self.is_noisy}
        bins = np.linspace(low, high, n_bins + 1)
        counts, edges, _ = draw_histogram(ax, self.metric, groups, bins=bins, alpha=0.6)
        if self.mixture is not None:
            # The mixture was fitted to distances from the smallest value, 0.1 in place of 0.
            shifted = np.linspace(0.1, values[-1] - values[0], 400)
            density = self.mixture.pdf(shifted) * self.mixture.weights_
            density *= len(self.metric) * (edges[1] - edges[0])
            for i, (name, dashes) in enumerate([("clean", "-"), ("noisy", ":")]):
                label = f"{name} component"
                ax.plot(shifted + values[0], density[:, i], dashes, color=LINE, label=label)
        if not np.isnan(self.threshold):
            ax.axvline(self.threshold, color=LINE, linestyle="--", linewidth=1, label="threshold")
        ax.set(xlabel="metric: epochs misclassified less epochs memorised", ylabel="rows")
        ax.set_yscale("symlog", linthresh=1)
        # A Weibull density of a shape below 1 has no largest value.
        ax.set_ylim(0, 3 * np.max(counts))
        ax.legend()
