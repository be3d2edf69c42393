"""`AuditDisplay`: what verified labels say of a review and of the scores, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from noisyfit.audit import Audit
from noisyfit.display._base import KEPT, LINE, REJECTED, Display
from noisyfit.label_quality import expected_errors_found

_BINS = 5
_MOST_POINTS = 201
"""Points of the recalibrated line: as many as lengths in `Audit.review_curve`."""


class AuditDisplay(Display):
    """An audit beside its scores: errors that a review finds, or how far scores are probabilities.

    Parameters
    ----------
    kind : {"review", "reliability"}
        What `x` and the shares are: the rows reviewed and the share of all wrong labels among
        them, or the mean score of bins of rows and the share of wrong labels in each.
    x : ndarray of shape (n_points,)
        Ascending.
    share : ndarray of shape (n_points,)
        Estimates from the verified labels; NaN where these say nothing, which is not drawn.
    low, high : ndarray of shape (n_points,)
        Ends of the interval of each estimate by itself.
    line_x, line_y : ndarray of shape (n_line,)
        What stands beside it: the share that the scores alone expect to be found, or what
        recalibration makes of each score. May be empty.
    confidence : float
        Of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure that has them.

    Examples
    --------
    >>> from noisyfit.audit import Audit
    >>> from noisyfit.display import AuditDisplay
    >>> audit = Audit([0.1, 0.9, 0.2, 0.8], None, [False, True, False, True], rows=range(4))
    >>> display = AuditDisplay.from_audit(audit)
    >>> display.share.tolist(), display.line_y.round(2).tolist()
    ([0.0, 0.5, 1.0, 1.0, 1.0], [0.0, 0.45, 0.85, 0.95, 1.0])
    """

    def __init__(
        self,
        kind: str,
        x: np.ndarray,
        share: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        line_x: np.ndarray,
        line_y: np.ndarray,
        *,
        confidence: float,
    ) -> None:
        self.kind = kind
        self.x = x
        self.share = share
        self.low = low
        self.high = high
        self.line_x = line_x
        self.line_y = line_y
        self.confidence = confidence

    @classmethod
    def from_audit(cls, audit: Audit, *, kind: str = "review", ax: Any = None) -> AuditDisplay:
        """Draw an audit.

        Parameters
        ----------
        audit : Audit
            Audit that is drawn, of the rows that could be drawn for it.
        kind : {"review", "reliability"}, default="review"
            "review": the share of the wrong labels that a review finds, by its length, as
            `Audit.review_curve` has it, beside what the scores alone expect. "reliability": the
            share of wrong labels in five bins of about equally many rows, by their mean score,
            beside the recalibrated scores of the rows that nobody verified. Equal scores share a
            bin, and a bin without a verified row joins the one below it.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

        Returns
        -------
        AuditDisplay

        Raises
        ------
        TypeError
            If `audit` is none.
        ValueError
            If `kind` is neither of the two.
        """
        if not isinstance(audit, Audit):
            raise TypeError(
                f"audit must be a noisyfit.audit.Audit. Got {type(audit).__name__}. Pass "
                "Audit(est, y, verified, sample); a fit without one is drawn by the other displays."
            )
        if kind not in _ARRAYS:
            raise ValueError(f"kind must be 'review' or 'reliability'. Got {kind!r}.")
        return cls(kind, *_ARRAYS[kind](audit), confidence=audit.confidence).plot(ax)

    def _figure_size(self) -> tuple[float, float]:
        return (6, 3.5) if self.kind == "review" else (4, 4)

    def _draw(self, ax: Any) -> None:
        label = f"verified labels, {100 * self.confidence:g} % interval"
        if self.kind == "review":
            ax.fill_between(self.x, self.low, self.high, color=KEPT, alpha=0.2, linewidth=0)
            ax.plot(self.x, self.share, color=KEPT, label=label)
            ax.plot(self.line_x, self.line_y, "--", color=LINE, label="scores alone")
            ax.set(xlabel="rows reviewed, highest scores first", ylabel="wrong labels found")
            ax.set(xlim=(0, self.x.max()), ylim=(0, 1.02))
            ax.legend(loc="lower right")
        else:
            ends = np.stack([self.share - self.low, self.high - self.share])
            ax.plot([0, 1], [0, 1], ":", color=LINE, linewidth=1, label="probabilities")
            ax.errorbar(self.x, self.share, ends, fmt="o", color=KEPT, capsize=3, label=label)
            ax.plot(self.line_x, self.line_y, color=REJECTED, label="recalibrated")
            ax.set(xlabel="noise score", ylabel="share of wrong labels", aspect="equal")
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            ax.legend(loc="upper left", fontsize="small")


def _review(audit: Audit) -> tuple[np.ndarray, ...]:
    curve, scores = audit.review_curve(), audit.scores
    expected = expected_errors_found(scores[~np.isnan(scores)])
    return (*curve, curve.rows, expected[curve.rows])


def _reliability(audit: Audit) -> tuple[np.ndarray, ...]:
    scores = audit.scores
    drawable = ~np.isnan(scores)
    bins = _join_unseen(audit, _cut(scores))
    shares = audit.by(bins)
    codes = sorted(shares)
    x = np.array([scores[drawable & (bins == code)].mean() for code in codes])
    share, low, high = np.array([shares[code] for code in codes]).T
    return (x, share, low, high, *_recalibrated(audit))


def _cut(scores: np.ndarray) -> np.ndarray:
    """Return a bin for each row, with about as many rows in each; equal scores stay together."""
    ordered = np.sort(scores[~np.isnan(scores)])
    last = np.ceil(np.arange(1, _BINS) * len(ordered) / _BINS).astype(int) - 1  # of lower bins
    return np.searchsorted(ordered[last], scores)  # NaN, which no estimate is of, comes last


def _join_unseen(audit: Audit, bins: np.ndarray) -> np.ndarray:
    """Return bins each of which has a verified row."""
    seen = sorted(code for code, share in audit.by(bins).items() if not np.isnan(share.value))
    return np.maximum(np.searchsorted(seen, bins, side="right") - 1, 0)


def _recalibrated(audit: Audit) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of rows that nobody verified, ascending, and what becomes of them.

    Where that depends on the class, too, the line that rises with the score and is nearest to all.
    """
    before, after = audit.scores, audit.recalibrated_scores()
    unseen = ~np.isnan(before)
    unseen[audit.rows] = False  # these have what was found, which says nothing of other rows
    if not unseen.any():
        return np.empty(0), np.empty(0)
    x, first = np.unique(before[unseen], return_index=True)
    rising = IsotonicRegression().fit_transform(before[unseen], after[unseen])
    picked = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).astype(int))
    return x[picked], rising[first][picked]


_ARRAYS = {"review": _review, "reliability": _reliability}
