"""What a fit has to say of the labels, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from noisyfit.label_quality._class_counts import describe_classes
from noisyfit.label_quality._doubts import percent
from noisyfit.label_quality._review_length import review_length

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UNCHECKED = (
    "Unchecked: no network judged rows that it did not train on. Hard rows may count as wrong."
)


class Summary(str):
    r"""Lines of text, which a notebook shows as lines and not as a string in quotes.

    Examples
    --------
    >>> Summary("one\ntwo") == "one\ntwo"
    True
    """

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print as IPython asks for it; everywhere else it is a string like any other."""
        printer.text(str(self))


def summarize(
    name: str,
    classes: np.ndarray,
    noise_scores: np.ndarray,
    n_rejected: int,
    n_trusted: int,
    noise_rate: float,
    confusions: list[tuple[int, int, float]],
    doubts: Sequence[str] = (),
    *,
    interval: tuple[float, float] | None = None,
    n_unlabeled: int = 0,
    counts: Mapping[str, np.ndarray] | None = None,
    loss_gain: float | None = None,
    ranking: str | None = None,
    n_replaced: int | None = None,
    n_not_learned: int = 0,
    audit: Sequence[str] = (),
    unsearched: str | None = None,
    seen: np.ndarray | None = None,
) -> Summary:
    """Describe the labels of a data set in a few lines, whether to believe them first.

    Parameters
    ----------
    name : str
        Name of the estimator.
    classes : ndarray of shape (n_classes,)
        Names of the classes.
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong.
    n_rejected, n_trusted : int
        Numbers of rows whose label was rejected, and of trusted rows.
    noise_rate : float
        Estimated proportion of wrong labels.
    confusions : list of tuple
        Result of `frequent_confusions`.
    doubts : sequence of str, default=()
        What speaks against the numbers, as ``doubts_`` of an estimator has it.
    interval : tuple of two floats or None, default=None
        Lowest and highest proportion of wrong labels that the estimate leaves possible. None: none
        was made, and nothing has checked the estimate, which is said.
    n_unlabeled : int, default=0
        Number of rows beside these that have no label.
    counts : mapping of str to ndarray of shape (n_classes,), default=None
        Numbers of labels of each class: ``given``, ``rejected``, ``corrected`` as in
        ``corrected_labels_``, and ``mean_noise_score``, as the columns of ``class_report`` of an
        estimator. None: nothing is said of single classes.
    loss_gain : float or None, default=None
        By how much early-learning regularization, if it was taken, predicts a larger share of the
        given labels than cross-entropy.
    ranking : str or None, default=None
        By what the rows are ranked, and why, where that was chosen by the data.
    n_replaced : int or None, default=None
        Number of rejected labels that were replaced; None: nothing is said of it.
    n_not_learned : int, default=0
        Number of kept rows that the network has not learned from, where that is worth a line.
    audit : sequence of str, default=()
        What is said of the audit that the numbers come from; empty: they come from none.
    unsearched : str or None, default=None
        What was not looked for, and so is among neither doubts nor beliefs; None: nothing is said.
    seen : ndarray of shape (n_samples,), bool, default=None
        Rows that somebody has verified and need not review. None: none.

    Returns
    -------
    Summary
        Lines of text without a line end after the last one.

    Examples
    --------
    >>> print(summarize("MILDSelector", ["cat", "dog"], [0.9, 0.1, 0.0, 0.0], 1, 0, 0.25,
    ...     [(1, 0, 0.3)]))
    MILDSelector on 4 labels of 2 classes
    Unchecked: no network judged rows that it did not train on. Hard rows may count as wrong.
    Wrong by estimate: about 1 (25.0 %). Rejected: 1.
    Review the 1 most suspicious rows to find about 90 % of the errors, the 2 for 95 %.
    Most frequent confusions (true class -> given label):
      dog -> cat: 30.0 % of the rows that are dog
    """
    n_rows, n_wrong = len(noise_scores), noise_rate * len(noise_scores)
    about = f"about {round(n_wrong):,} ({percent(noise_rate)})"
    if interval is not None:
        low, high = (f"{round(share * n_rows):,}" for share in interval)
        about += f", between {low} and {high} ({' and '.join(map(percent, interval))})"
    lines = [
        f"{name} on {n_rows:,} labels of {len(classes)} classes",
        *(_verdict(doubts, noise_rate, interval) if doubts or not audit else ()),
        *([] if unsearched is None else [unsearched]),
        *audit,
        f"Wrong by {'the audit' if audit else 'estimate'}: {about}. Rejected: {n_rejected:,}.",
    ]
    by_score = int((np.asarray(noise_scores) > 0.5).sum())
    if by_score != n_rejected and abs(n_rejected - n_wrong) > max(0.25 * n_wrong, 10):
        more = "more" if n_rejected > n_wrong else "fewer"
        lines.append(
            f"It has rejected many {more} than it estimates to be wrong: decide by the scores, of "
            f"which {by_score:,} are above one half."
        )
    if n_rejected and n_replaced == 0:
        at_low = "" if interval is None else f", at the lower end of {percent(interval[0])}"
        lines.append(
            f"None of the rejected labels was replaced{at_low}: they may be hard rows, not wrong "
            "ones. predicted_labels_ has what the network says."
        )
    if n_not_learned:
        lines.append(
            f"Of the kept rows {n_not_learned:,} ({percent(n_not_learned / n_rows)}) were left "
            "out by the rounds: the network that predicts has not learned from them. retrain=True "
            "trains one that has; which of the two predicts better differs from data to data."
        )
    if loss_gain is not None:
        lines.append(
            "Loss: early-learning regularization, which predicts the given labels of rows that it "
            f"was not trained on better than cross-entropy by {100 * loss_gain:.1f} points."
        )
    if ranking is not None:
        lines.append(f"Ranked in sample and out of fold: {ranking}.")
    if n_trusted:
        lines.append(f"Trusted: {n_trusted:,}, taken as right.")
    if n_unlabeled:
        lines.append(f"Without a label: {n_unlabeled:,} more rows.")
    if seen is not None:
        n_wrong -= float(np.sum(noise_scores[seen]))
        noise_scores = noise_scores[~seen]
    lines += _what_to_review(classes, noise_scores, n_wrong, confusions)
    lines += [] if counts is None else describe_classes(classes, counts)
    return Summary("\n".join(lines))


def _verdict(
    doubts: Sequence[str], noise_rate: float, interval: tuple[float, float] | None
) -> list[str]:
    if not doubts and interval is not None and interval[0] == 0 < noise_rate < interval[1] / 2:
        most = percent(interval[1])
        return [f"Believe that few labels are wrong, at most {most}. How many is not known."]
    if not doubts and interval is None:
        return [_UNCHECKED]
    if not doubts:
        return ["Believe it: nothing speaks against these numbers."]
    things = "1 thing speaks" if len(doubts) == 1 else f"{len(doubts)} things speak"
    return [f"With care: {things} against these numbers:", *(f"- {doubt}" for doubt in doubts)]


def _what_to_review(
    classes: np.ndarray,
    noise_scores: np.ndarray,
    n_wrong: float,
    confusions: list[tuple[int, int, float]],
) -> list[str]:
    if not np.any(noise_scores):
        return ["No label is suspicious."]
    if n_wrong < 0.5:
        return ["Less than one error is expected: no number of rows to review."]
    many, more = (f"{review_length(noise_scores, share):,}" for share in (0.9, 0.95))
    review = f"Review the {many} most suspicious rows to find about 90 % of the errors"
    lines = [f"{review}, the {more} for 95 %."]
    if confusions:
        lines.append("Most frequent confusions (true class -> given label):")
    for true, label, share in confusions:
        of = f"{percent(share)} of the rows that are {classes[true]}"
        lines.append(f"  {classes[true]} -> {classes[label]}: {of}")
    return lines
