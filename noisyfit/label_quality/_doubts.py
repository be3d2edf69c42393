"""What speaks against the numbers of a fit, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

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


_NOTHING = (
    "Nothing can be told: networks predict the labels of rows that they did not train on no better "
    "than those of any other row. X may tell nothing about y. No label was rejected or replaced."
)


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
    at_last = float(contradicted.mean())
    of_classes = [*_much_rejected(classes, given, rejected), *_hardly_seen(classes, given, hard)]
    if held_out is not None and not held_out.told and not audited:
        return [_NOTHING, *of_classes]
    said = [lost_to_plain, _led_astray(astray)]
    if not audited:
        said += [_contradicts_more(at_last, noise_rate), _uncertain(interval, len(given))]
        sizes = np.bincount(given, minlength=len(classes))
        said += [
            _at_first(sizes, early_agreement, at_last)
            if held_out is None
            else _by_heart(held_out, at_last, replaced)
        ]
    return of_classes + [doubt for doubt in said if doubt is not None]


def _much_rejected(classes: np.ndarray, given: np.ndarray, rejected: np.ndarray) -> list[str]:
    sizes = np.bincount(given, minlength=len(classes))
    n_rejected = np.bincount(given[rejected], minlength=len(classes))
    share = n_rejected / np.maximum(sizes, 1)
    return [
        f"Of the {sizes[c]:,} labels {classes[c]!s:.40}, {n_rejected[c]:,} were "
        "rejected: a rare or hard class looks like that, too."
        for c in np.flatnonzero((share > _MOST) & (share > _TIMES * rejected.mean()))
    ]


def _hardly_seen(
    classes: np.ndarray, given: np.ndarray, hard: Sequence[int] | np.ndarray
) -> list[str]:
    return [
        f"Hardly any row is predicted to be {classes[c]!s:.40} by networks that did not train on "
        "it: a rare or hard class, or one most of whose labels are wrong. Its "
        f"{(given == c).sum():,} labels were kept as they are: verify some of them."
        for c in hard
    ]


def _contradicts_more(at_last: float, noise_rate: float) -> str | None:
    if at_last - noise_rate <= _UNLEARNED:
        return None
    return (
        f"The network contradicts {percent(at_last)} of the labels, many more than are "
        "estimated to be wrong."
    )


def _led_astray(astray: float | None) -> str | None:
    if astray is None or astray <= _ASTRAY:
        return None
    return (
        "Of the rows that networks which did not train on them are surest of, this network "
        f"predicts {100 * astray:.1f} points more otherwise than plain training does, which "
        "may be better here: compare MILDSelector(rounds=1) on verified rows, or give "
        "validation_fraction to have them compared."
    )


def _uncertain(interval: tuple[float, float] | None, n_rows: int) -> str | None:
    if interval is None or interval[1] - interval[0] <= _WIDE:
        return None
    low, high = interval
    n_verified = min(_N_VERIFIED, n_rows)
    return (
        f"The estimate is uncertain: between {percent(low)} and {percent(high)} of the "
        f"labels are wrong. Verify {n_verified} random rows: at the low end about "
        f"{low * n_verified:.0f} of them are wrong, at the high end {high * n_verified:.0f}."
    )


def _by_heart(held_out: HeldOutNoiseRate, at_last: float, replaced: float | None) -> str | None:
    agreed, out_of_fold = 1 - at_last if replaced is None else replaced, 1 - held_out.contradicted
    if agreed - out_of_fold <= _BY_HEART:
        return None
    last = "" if replaced is None else " of the rounds, since replaced,"
    return (
        f"The network{last} agrees with {percent(agreed)} of the labels, networks that did "
        f"not train on the rows with {percent(out_of_fold)}: it has learned "
        "labels by heart. Near copies of rows, or columns that number them, do that."
    )


def _at_first(sizes: np.ndarray, early_agreement: float | None, at_last: float) -> str | None:
    """Compare with the beginning; of a fit that nobody has judged."""
    if early_agreement is None:
        return None
    n_rows = sizes.sum()
    most = sizes.max() / n_rows
    if most <= _EVEN and early_agreement <= most + 3 * np.sqrt(most * (1 - most) / n_rows):
        return (
            "At first the network was right no more often than by naming the most frequent label: "
            "X may tell nothing about y, and then no label can be judged."
        )
    if early_agreement > 1 / len(sizes) and 1 - early_agreement - at_last > _UNLEARNED:
        return (
            f"At first the network contradicted {percent(1 - early_agreement)} of the labels, at "
            f"last {percent(at_last)}: it has learned hard rows since, or wrong labels by heart. "
            "recording='held_out' of MILDSelector or DynamicsLSTMDetector tells them apart."
        )
    return None


def percent(share: float) -> str:
    """Write a share as it is read."""
    return f"{100 * share:.1f} %"
