"""The guard: whether the meta step has told more than plain training does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from noisyfit.base import paired_difference

if TYPE_CHECKING:
    from noisyfit.base import FitTask

_SURE = 2.0
"""Standard errors from which on a difference is no chance."""


class Guard(NamedTuple):
    """How two networks predict the given labels that nobody verified."""

    agreement: float
    """Proportion that the network of the meta step predicts, which was trained on them."""
    held_out: float
    """Proportion that plain networks predict of rows that they were not trained on."""
    t: float
    """Difference in units of its standard error."""
    excess: float
    """Agreement less the proportion of right labels by the out-of-fold verdict, in units of its
    standard error: who agrees with more has learned wrong ones by heart."""

    @property
    def stands(self) -> bool:
        """Whether the network of the meta step is better, and not by heart."""
        return self.t > _SURE and self.excess <= _SURE

    @property
    def doubt(self) -> str:
        """What a user should know where it does not stand: a sentence or two."""
        why = (
            "more than can be right, so that it has learned wrong ones by heart"
            if self.t > _SURE
            else "no more beyond chance, though it was trained on them"
        )
        return (
            f"The meta step gains nothing here: its network agrees with {100 * self.agreement:.1f} "
            f"% of the given labels, plain networks that did not train on the rows with "
            f"{100 * self.held_out:.1f} %; {why}. The scores are half theirs, and a plain network, "
            "trained on the labels that are kept, predicts. DynamicsLSTMDetector and "
            "ConsensusClassifier take trusted rows as well."
        )


def compare(task: FitTask, predicted: np.ndarray) -> Guard | None:
    """Compare the network of the meta step with the out-of-fold verdict.

    Parameters
    ----------
    task : FitTask
        Labels and the verdict on them.
    predicted : ndarray of shape (n_samples,), int64
        Codes of the classes that the network predicts.

    Returns
    -------
    Guard or None
        None without a verdict, and where it can tell nothing.
    """
    verdict, judged = task.verdict, task.judged
    if verdict is None or verdict.plain is None or not verdict.found.told:
        return None
    own = (predicted == task.y)[judged]
    plain = (verdict.plain.argmax(axis=1) == task.y)[judged]
    _, t = paired_difference(own, plain)
    excess = own.mean() - (1 - verdict.found.rate)
    error = np.sqrt(float(own.var()) / len(own) + 1 / len(own) ** 2)
    return Guard(float(own.mean()), float(plain.mean()), t, float(excess / error))
