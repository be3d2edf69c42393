"""Pictures of a fit, after scikit-learn's Display objects; drawing one imports matplotlib.

Each class stores the arrays that it draws, has ``from_estimator`` (and ``from_predictions`` where
no estimator is needed), and ``plot(ax=None)``, which sets ``ax_`` and ``figure_``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from noisyfit.base import BaseNoisyClassifier, check_fitted_on
from noisyfit.label_quality import estimate_transition_matrix

_KEPT, _REJECTED, _LINE = "#1f77b4", "#d62728", "#444444"
_BAND = (10, 90)


class _Display:
    """What all displays share: where they draw."""

    def _axes(self, ax: Any, **figure: Any) -> Any:
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(layout="constrained", **figure)
        self.ax_, self.figure_ = ax, ax.figure
        return ax


class NoiseScoreDisplay(_Display):
    """Histogram of the noise scores of kept and rejected rows.

    Parameters
    ----------
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong.
    clean_mask : ndarray of shape (n_samples,), bool
        Rows that were kept.
    is_noisy : ndarray of shape (n_samples,), bool, default=None
        Where it is known which labels are wrong: the rows are coloured by that instead.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from noisyfit.display import NoiseScoreDisplay
    >>> display = NoiseScoreDisplay.from_predictions([0.1, 0.2, 0.9], [True, True, False])
    >>> display.noise_scores
    array([0.1, 0.2, 0.9])
    """

    def __init__(
        self, noise_scores: np.ndarray, clean_mask: np.ndarray, is_noisy: np.ndarray | None = None
    ) -> None:
        self.noise_scores = noise_scores
        self.clean_mask = clean_mask
        self.is_noisy = is_noisy

    @classmethod
    def from_estimator(
        cls, est: BaseNoisyClassifier, *, is_noisy: Any = None, ax: Any = None
    ) -> NoiseScoreDisplay:
        """Draw the scores of a fitted estimator.

        Parameters
        ----------
        est : fitted noisyfit estimator
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Which labels are wrong, where that is known.
        ax : matplotlib Axes, default=None
            None: a new figure.

        Returns
        -------
        NoiseScoreDisplay
        """
        check_is_fitted(est)
        return cls.from_predictions(est.noise_scores_, est.clean_mask_, is_noisy=is_noisy).plot(ax)

    @classmethod
    def from_predictions(
        cls, noise_scores: Any, clean_mask: Any, *, is_noisy: Any = None
    ) -> NoiseScoreDisplay:
        """Store scores from elsewhere; `plot` draws them.

        Parameters
        ----------
        noise_scores : array-like of shape (n_samples,)
        clean_mask : array-like of shape (n_samples,), bool
        is_noisy : array-like of shape (n_samples,), bool, default=None

        Returns
        -------
        NoiseScoreDisplay
        """
        scores, mask = np.asarray(noise_scores, dtype=np.float64), _mask(clean_mask, "clean_mask")
        truth = None if is_noisy is None else _mask(is_noisy, "is_noisy")
        for name, values in (("clean_mask", mask), ("is_noisy", truth)):
            if values is not None and values.shape != scores.shape:
                raise ValueError(
                    f"{name} has shape {values.shape}, but noise_scores {scores.shape}."
                )
        return cls(scores, mask, truth)

    def plot(self, ax: Any = None) -> NoiseScoreDisplay:
        """Draw the histogram, its counts on a logarithmic scale.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a new figure.

        Returns
        -------
        NoiseScoreDisplay
        """
        ax = self._axes(ax, figsize=(6, 3.5))
        if self.is_noisy is None:
            groups = {"kept": self.clean_mask, "rejected": ~self.clean_mask}
        else:
            groups = {"right": ~self.is_noisy, "wrong": self.is_noisy}
        ax.hist(
            [self.noise_scores[group] for group in groups.values()],
            bins=np.linspace(0, 1, 41),
            stacked=True,
            color=[_KEPT, _REJECTED],
            label=[f"{name} ({group.sum():,})" for name, group in groups.items()],
        )
        ax.axvline(0.5, color=_LINE, linestyle="--", linewidth=1)
        ax.set(xlabel="noise score: probability that the label is wrong", ylabel="labels")
        ax.set_yscale("log")
        ax.legend()
        return self


class TrainingDynamicsDisplay(_Display):
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
        for name, mask, colour in zip(self.groups, masks, (_KEPT, _REJECTED), strict=True):
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
            ax.plot(epochs, self.values[row], color=_LINE, linewidth=0.7, alpha=0.8)
        names = {"correct": "share predicted as given", "given_prob": "probability of given label"}
        ax.set(xlabel="epoch", ylabel=names.get(self.quantity, self.quantity))
        ax.legend()
        return self


class RoundsDisplay(_Display):
    """MILD's rounds: how many rows are left, and how pure they are where the truth is known.

    Parameters
    ----------
    n_rows : ndarray of shape (n_rounds + 1,)
        Rows before the first round and after each.
    precision, recall : ndarray of shape (n_rounds + 1,), default=None
        Share of right labels among the rows left, and of the right labels that are left.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
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
        is_noisy : array-like of shape (n_samples,), bool, default=None
            Which labels are wrong, where that is known.
        ax : matplotlib Axes, default=None

        Returns
        -------
        RoundsDisplay
        """
        check_is_fitted(est)
        dropped = _attribute(est, "dropped_round_", "MILDSelector")
        left = [(dropped == 0) | (dropped > number) for number in range(est.n_rounds_ + 1)]
        n_rows = np.array([rows.sum() for rows in left])
        if is_noisy is None:
            return cls(n_rows).plot(ax)
        right = ~_mask(is_noisy, "is_noisy")
        kept_right = np.array([(rows & right).sum() for rows in left])
        return cls(n_rows, kept_right / n_rows, kept_right / max(right.sum(), 1)).plot(ax)

    def plot(self, ax: Any = None) -> RoundsDisplay:
        """Draw rows left, and precision and recall if known.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        RoundsDisplay
        """
        ax = self._axes(ax, figsize=(5, 3.5))
        rounds = np.arange(len(self.n_rows))
        ax.plot(rounds, self.n_rows / self.n_rows[0], "o-", color=_LINE, label="rows left")
        if self.precision is not None and self.recall is not None:
            ax.plot(rounds, self.precision, "s-", color=_KEPT, label="right among them")
            ax.plot(rounds, self.recall, "^-", color="#2ca02c", label="right ones still there")
        ax.set(xlabel="rounds", ylabel="share", xticks=rounds, ylim=(0, 1.05))
        ax.legend()
        return self


class LossThresholdDisplay(_Display):
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
        after = _attribute(est, "thresholds_", "DLTClassifier")
        loss = est.dynamics_.loss
        thresholds = np.full(loss.shape[1], np.nan)
        if len(after):
            thresholds[-len(after) :] = after if after.ndim == 1 else after.mean(axis=1)
        if is_noisy is None:
            return cls(loss, est.clean_mask_, thresholds).plot(ax)
        return cls(loss, ~_mask(is_noisy, "is_noisy"), thresholds, ("right", "wrong")).plot(ax)

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
        self.ax_.plot(epochs, self.thresholds, "--", color=_LINE, label="threshold")
        self.ax_.set_ylabel("loss of the given label, nats")
        self.ax_.legend()
        return self


class TransitionMatrixDisplay(_Display):
    """Which class is given which label.

    Parameters
    ----------
    matrix : ndarray of shape (n_classes, n_classes)
        Row: true class; column: given label.
    classes : sequence of shape (n_classes,)
        Names of the classes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, matrix: np.ndarray, classes: Any) -> None:
        self.matrix = matrix
        self.classes = classes

    @classmethod
    def from_estimator(cls, est: BaseNoisyClassifier, *, ax: Any = None) -> TransitionMatrixDisplay:
        """Draw the estimate of a fitted estimator.

        Parameters
        ----------
        est : fitted noisyfit estimator
        ax : matplotlib Axes, default=None

        Returns
        -------
        TransitionMatrixDisplay
        """
        check_is_fitted(est)
        return cls(est.transition_matrix_, est.classes_).plot(ax)

    @classmethod
    def from_predictions(
        cls, given: Any, true: Any, *, noise_scores: Any = None
    ) -> TransitionMatrixDisplay:
        """Store the matrix of two sets of labels; `plot` draws it.

        Parameters
        ----------
        given, true : array-like of shape (n_samples,)
            Given labels, and true or corrected ones.
        noise_scores : array-like of shape (n_samples,), default=None
            How sure it is that a label is wrong; None: it is where both differ.

        Returns
        -------
        TransitionMatrixDisplay
        """
        given, true = np.asarray(given), np.asarray(true)
        classes, codes = np.unique(np.concatenate([given, true]), return_inverse=True)
        given_codes, true_codes = codes[: len(given)], codes[len(given) :]
        scores = (given_codes != true_codes).astype(float) if noise_scores is None else noise_scores
        return cls(
            estimate_transition_matrix(given_codes, true_codes, scores, len(classes)), classes
        )

    def plot(self, ax: Any = None) -> TransitionMatrixDisplay:
        """Draw the matrix, with figures where there are at most fifteen classes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        TransitionMatrixDisplay
        """
        n_classes = len(self.matrix)
        side = min(9.0, 3 + 0.4 * n_classes)
        ax = self._axes(ax, figsize=(side, side))
        image = ax.imshow(self.matrix, cmap="Blues", vmin=0, vmax=1)
        self.figure_.colorbar(image, ax=ax, shrink=0.7)
        ax.set(xlabel="given label", ylabel="true class, by estimate")
        if n_classes <= 30:
            ax.set_xticks(range(n_classes), [str(c) for c in self.classes], rotation=90)
            ax.set_yticks(range(n_classes), [str(c) for c in self.classes])
        if n_classes <= 15:
            for (i, j), share in np.ndenumerate(self.matrix):
                if share >= 0.005:
                    colour = "white" if share > 0.5 else "black"
                    text = f"{100 * share:.0f}"
                    ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
        return self


class SuspiciousImagesDisplay(_Display):
    """The images with the highest noise scores, with their given and suggested labels.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width) or (n_images, height, width, 3)
    titles : list of str

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, images: np.ndarray, titles: list[str]) -> None:
        self.images = images
        self.titles = titles

    @classmethod
    def from_estimator(
        cls, est: BaseNoisyClassifier, X: Any, y: Any, *, n_images: int = 24
    ) -> SuspiciousImagesDisplay:
        """Draw the most suspicious images of a fit.

        Parameters
        ----------
        est : fitted noisyfit estimator
        X : array-like of shape (n_samples, n_channels, height, width)
            The images that it was fitted on, with one or three channels.
        y : array-like of shape (n_samples,)
            Their given labels.
        n_images : int, default=24

        Returns
        -------
        SuspiciousImagesDisplay
        """
        given, X = check_fitted_on(est, X, y), np.asarray(X)
        if X.ndim != 4 or X.shape[1] not in (1, 3):
            raise ValueError(
                "X must be images of one or three channels, (n_samples, n_channels, height, "
                f"width). Got an array of shape {X.shape}."
            )
        order = np.argsort(-est.noise_scores_, kind="stable")[:n_images]
        shown = X[order].transpose(0, 2, 3, 1)
        if shown.dtype != np.uint8:
            low, high = shown.min(), shown.max()
            shown = (shown - low) / max(high - low, 1e-12)
        titles = [
            f"{given[row]} -> {label}"
            for row, label in zip(order, est.predict(X[order]), strict=True)
        ]
        return cls(shown[..., 0] if X.shape[1] == 1 else shown, titles).plot()

    def plot(self, n_columns: int = 8) -> SuspiciousImagesDisplay:
        """Draw the grid: given label -> what the network suggests.

        Parameters
        ----------
        n_columns : int, default=8

        Returns
        -------
        SuspiciousImagesDisplay
        """
        import matplotlib.pyplot as plt

        n_columns = max(1, min(n_columns, len(self.images)))
        n_lines = max(1, -(-len(self.images) // n_columns))
        self.figure_, self.ax_ = plt.subplots(
            n_lines,
            n_columns,
            figsize=(1.15 * n_columns, 1.4 * n_lines),
            layout="constrained",
            squeeze=False,
        )
        for ax in self.ax_.flat:
            ax.set_axis_off()
        for ax, image, title in zip(self.ax_.flat, self.images, self.titles, strict=False):
            ax.imshow(image, cmap="gray" if image.ndim == 2 else None)
            ax.set_title(title, fontsize=8)
        return self


def _mask(values: Any, name: str) -> np.ndarray:
    mask = np.asarray(values)
    if mask.dtype != bool or mask.ndim != 1:
        raise ValueError(
            f"{name} must be a boolean mask of one entry a row. Got an array of {mask.dtype} of "
            f"shape {mask.shape}."
        )
    return mask


def _attribute(est: Any, name: str, owner: str) -> np.ndarray:
    if not hasattr(est, name):
        raise TypeError(f"est must be a fitted {owner}. Got {type(est).__name__}.")
    return getattr(est, name)
