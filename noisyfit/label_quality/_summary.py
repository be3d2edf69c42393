"""What a fit has to say of the labels, in words, and what its numbers cannot know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from noisyfit.label_quality._class_counts import describe_classes
from noisyfit.label_quality._review_length import review_length

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noisyfit.label_quality._held_out import HeldOutNoiseRate

_MOST, _TIMES = 0.5, 3.0
"""A class is rejected if more than this share of its labels are, and more than so many times that
of all labels."""
_EVEN = 0.8
"""Largest share of a label up to which it says something that the network names others early on."""
_UNLEARNED = 0.1
"""Share of the labels that the network contradicted early and repeats at the end."""
_BY_HEART = 0.2
"""Share of the labels that a network agrees with only if it trains on the rows."""
_ASTRAY = 0.05
"""Share of the surest rows that the network, but not plain training, predicts otherwise."""
_WIDE, _N_VERIFIED = 0.1, 40
"""Width of the interval of the noise rate from which on it is doubted, and the number of random
rows that tell its ends apart: at this width there are four wrong ones more at one than at the
other."""

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
    about = f"about {round(n_wrong):,} ({_percent(noise_rate)})"
    if interval is not None:
        low, high = (f"{round(share * n_rows):,}" for share in interval)
        about += f", between {low} and {high} ({' and '.join(map(_percent, interval))})"
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
        at_low = "" if interval is None else f", at the lower end of {_percent(interval[0])}"
        lines.append(
            f"None of the rejected labels was replaced{at_low}: they may be hard rows, not wrong "
            "ones. predicted_labels_ has what the network says."
        )
    if n_not_learned:
        lines.append(
            f"Of the kept rows {n_not_learned:,} ({_percent(n_not_learned / n_rows)}) were left "
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
        most = _percent(interval[1])
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
        of = f"{_percent(share)} of the rows that are {classes[true]}"
        lines.append(f"  {classes[true]} -> {classes[label]}: {of}")
    return lines


def doubts_about(
    classes: np.ndarray,
    given: np.ndarray,
    contradicted: np.ndarray,
    rejected: np.ndarray,
    noise_rate: float,
    early_agreement: float | None,
    interval: tuple[float, float] | None = None,
    held_out: HeldOutNoiseRate | None = None,
    hard: Sequence[int] | np.ndarray = (),
    astray: float | None = None,
    lost_to_plain: str | None = None,
    *,
    audited: bool = False,
    replaced: float | None = None,
) -> list[str]:
    """Find out what speaks against the numbers of a fit.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Names of the classes.
    given : ndarray of shape (n_samples,), int64
        Given labels, encoded.
    contradicted : ndarray of shape (n_samples,), bool
        Rows for which the network predicts another class.
    rejected : ndarray of shape (n_samples,), bool
        Rows whose label was rejected.
    noise_rate : float
        Estimated proportion of wrong labels.
    early_agreement : float or None
        Proportion of the labels that the network agreed with in its second epoch, when it had seen
        each row once; None if nobody knows.
    interval : tuple of two floats or None, default=None
        Lowest and highest proportion of wrong labels that the estimate leaves possible.
    held_out : HeldOutNoiseRate or None, default=None
        What networks say of rows that they did not train on; None: nobody asked.
    hard : sequence of int, default=()
        Classes that these networks predict hardly any row as.
    astray : float or None, default=None
        By how much more of the rows that these networks are surest of the network predicts
        otherwise than plain training does; None: nobody knows.
    lost_to_plain : str or None, default=None
        What is said where plain training is better; None: it is not, or nobody knows.
    audited : bool, default=False
        Whether rate and interval come from verified labels, which settle what else would be doubted
        of them.
    replaced : float or None, default=None
        Proportion of the labels that a network agreed with which was replaced by one that learned
        from the kept rows; None: none was.

    Returns
    -------
    list of str
        Sentences.

    Examples
    --------
    >>> import numpy as np
    >>> rare = np.array([0] * 97 + [1] * 3)
    >>> doubts_about(np.array(["cat", "dog"]), rare, rare == 1, rare == 1, 0.03, None)
    ['Of the 3 labels dog, 3 were rejected: a rare or hard class looks like that, too.']
    """
    sizes = np.bincount(given, minlength=len(classes))
    n_rejected = np.bincount(given[rejected], minlength=len(classes))
    share = n_rejected / np.maximum(sizes, 1)
    doubts = [
        f"Of the {sizes[c]:,} labels {classes[c]!s:.40}, {n_rejected[c]:,} were "
        "rejected: a rare or hard class looks like that, too."
        for c in np.flatnonzero((share > _MOST) & (share > _TIMES * rejected.mean()))
    ]
    doubts += [
        f"Hardly any row is predicted to be {classes[c]!s:.40} by networks that did not train on "
        f"it: a rare or hard class. Its {sizes[c]:,} labels were kept as they are."
        for c in hard
    ]
    if held_out is not None and not held_out.told and not audited:
        return [
            (
                "Nothing can be told: networks predict the labels of rows that they did not train "
                "on no better than those of any other row. X may tell nothing about y. No label "
                "was rejected or replaced."
            ),
            *doubts,
        ]
    n_rows, most, at_last = len(given), sizes.max() / len(given), float(contradicted.mean())
    if lost_to_plain is not None:
        doubts.append(lost_to_plain)
    if astray is not None and astray > _ASTRAY:
        doubts.append(
            "Of the rows that networks which did not train on them are surest of, this network "
            f"predicts {100 * astray:.1f} points more otherwise than plain training does, which "
            "may be better here: compare MILDSelector(rounds=1) on verified rows, or give "
            "validation_fraction to have them compared."
        )
    if audited:
        return doubts
    if at_last - noise_rate > _UNLEARNED:
        doubts.append(
            f"The network contradicts {_percent(at_last)} of the labels, many more than are "
            "estimated to be wrong."
        )
    if interval is not None and interval[1] - interval[0] > _WIDE:
        low, high = interval
        n_verified = min(_N_VERIFIED, n_rows)
        doubts.append(
            f"The estimate is uncertain: between {_percent(low)} and {_percent(high)} of the "
            f"labels are wrong. Verify {n_verified} random rows: at the low end about "
            f"{low * n_verified:.0f} of them are wrong, at the high end {high * n_verified:.0f}."
        )
    agreed = 1 - at_last if replaced is None else replaced
    if held_out is not None and agreed - (1 - held_out.contradicted) > _BY_HEART:
        last = "" if replaced is None else " of the rounds, since replaced,"
        doubts.append(
            f"The network{last} agrees with {_percent(agreed)} of the labels, networks that did "
            f"not train on the rows with {_percent(1 - held_out.contradicted)}: it has learned "
            "labels by heart. Near copies of rows, or columns that number them, do that."
        )
    if held_out is not None or early_agreement is None:
        return doubts
    if most <= _EVEN and early_agreement <= most + 3 * np.sqrt(most * (1 - most) / n_rows):
        doubts.append(
            "At first the network was right no more often than by naming the most frequent label: "
            "X may tell nothing about y, and then no label can be judged."
        )
    elif early_agreement > 1 / len(classes) and 1 - early_agreement - at_last > _UNLEARNED:
        doubts.append(
            f"At first the network contradicted {_percent(1 - early_agreement)} of the labels, at "
            f"last {_percent(at_last)}: it has learned hard rows since, or wrong labels by heart. "
            "recording='held_out' of MILDSelector or DynamicsLSTMDetector tells them apart."
        )
    return doubts


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
