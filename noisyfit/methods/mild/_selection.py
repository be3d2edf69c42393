"""`Selection`: the rows that are still in after each round, and the evidence against each label."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import rankdata

from noisyfit.base import noise_scores, ranked_by_both
from noisyfit.label_quality import break_ties
from noisyfit.methods.mild._metric import selection_metric
from noisyfit.methods.mild._noise_rate import combine_noise_rates
from noisyfit.methods.mild._other_metrics import other_metric
from noisyfit.methods.mild._rounds import Round, Split, reason_to_stop, split, wrong_shares

if TYPE_CHECKING:
    from noisyfit.base import FitTask
    from noisyfit.dynamics import RecordedRun, TrainingDynamics
    from noisyfit.label_quality import NoiseRateEstimate
    from noisyfit.mixture import WeibullMixture


class SelectionSettings(NamedTuple):
    """What `MILDSelector` selects by; its parameters of the same names."""

    metric: str
    lam: float
    full: bool
    threshold: str | float
    recording: str


class Selection:
    """Rows in rounds, by the records of a run: which are still in, and what speaks against each.

    Parameters
    ----------
    settings : SelectionSettings
        What to select by.
    task : FitTask
        Rows and labels.
    run : RecordedRun
        Records the rounds.

    Attributes
    ----------
    dropped_round : ndarray of shape (n_samples,), int64
        Round at whose end a row was dropped, counted from 1; 0: it is still in.
    rounds : list of Round
        What the rounds found.
    mixtures : list of WeibullMixture or None
        Mixture of each round.
    lengths : list of int
        Epochs of each round.
    learned : bool
        Whether the last round predicts more of its labels than their most frequent one would.
    """

    def __init__(self, settings: SelectionSettings, task: FitTask, run: RecordedRun) -> None:
        self._settings, self._task, self._run = settings, task, run
        self.dropped_round = np.zeros(task.n_samples, dtype=np.int64)
        self.rounds: list[Round] = []
        self.mixtures: list[WeibullMixture | None] = []
        self.lengths: list[int] = []
        self.learned = False
        self._evidence = np.zeros(task.n_samples)
        self._first: tuple[float, float] = (np.nan, np.nan)
        self._to_drop = np.empty(0, dtype=np.int64)

    @property
    def kept(self) -> np.ndarray:
        """Rows that are still in: (n_samples,), bool."""
        return self.dropped_round == 0

    def end_round(self, start: int, epochs: int) -> str:
        """Look at the rows of a round that has been trained.

        Parameters
        ----------
        start : int
            Recorded epochs before the round.
        epochs : int
            Epochs of the round.

        Returns
        -------
        str
            Why no further round is worth it, or nothing.
        """
        rows = np.flatnonzero(self.kept)
        recent = self._run.dynamics.epochs(start=start)
        C = self._metric(recent, rows)
        self._evidence[rows] += self._in_epochs(C, recent.n_epochs)
        found, drop = self.split_rows(C, recent.mean("margin")[rows], rows)
        clean, noisy = self._wrong_shares(found, recent, rows)
        if not self.rounds:
            self._first = clean, found.summary.component_weights[1]
        self.mixtures.append(found.mixture)
        self.rounds.append(found.summary)
        self.lengths.append(epochs)
        self._to_drop = rows[drop]
        accuracy = np.nanmean(recent.epochs(start=epochs - 1).correct)
        self.learned = bool(accuracy > np.bincount(self._task.y[rows]).max() / len(rows))
        return reason_to_stop(found.summary, noisy, self.learned)

    def drop(self) -> None:
        """Drop what the last round found."""
        self.dropped_round[self._to_drop] = len(self.rounds)
        self._task.check_trainable(self.kept)

    def _metric(self, recent: TrainingDynamics, rows: np.ndarray) -> np.ndarray:
        at = self._settings
        if at.metric != "mild":
            return other_metric(at.metric, self._run, recent, rows, self._task)
        if not at.full:  # C needs the count of correct epochs alone, Eq. 3
            ones = recent.mean("correct")[rows] * recent.n_epochs
            return recent.n_epochs - (1 + at.lam) * np.rint(ones)
        return selection_metric(recent.correct[rows], lam=at.lam, full=True)

    def _in_epochs(self, C: np.ndarray, epochs: int) -> np.ndarray:
        """Return what a round says of its rows in epochs: C, or another metric by its rank."""
        if self._settings.metric == "mild":
            return C
        return epochs * ((2 * rankdata(C) - 1) / len(C) - 1)

    def split_rows(
        self, C: np.ndarray, margin: np.ndarray, rows: np.ndarray
    ) -> tuple[Split, np.ndarray]:
        """Split the metric of rows, and say which of them to drop.

        Parameters
        ----------
        C, margin : ndarray of shape (n_rows,)
            Metric, and mean margin, which breaks its ties.
        rows : ndarray of shape (n_rows,), int64
            Of all rows, in order.

        Returns
        -------
        Split
        ndarray of shape (n_rows,), bool
        """
        at, ranked = self._settings, break_ties(C, -margin)
        # Four epochs, Eq. 3; of another metric a gap has to be half the range wide, no more.
        gap, zero_value = (4 * (1 + at.lam), 0.1) if at.metric == "mild" else (0.0, None)
        found = split(C, ranked, at.threshold, min_gap=gap, zero_value=zero_value)
        drop = self._task.dropped_rows(found.beyond, ranked, rows)
        summary = found.summary._replace(n_dropped=int(drop.sum()))
        return found._replace(summary=summary), drop

    def _wrong_shares(
        self, found: Split, recent: TrainingDynamics, rows: np.ndarray
    ) -> tuple[float, float]:
        """Return the shares of the epochs in which rows of the two components were wrong."""
        at = self._settings
        if at.metric != "mild":
            return wrong_shares(found, 1 - recent.mean("correct")[rows])
        epochs, (clean, noisy) = recent.n_epochs, found.summary.component_means
        clean, noisy = ((C / epochs + at.lam) / (1 + at.lam) for C in (clean, noisy))  # Eq. 3
        return clean, noisy

    def scores(
        self, predicted: np.ndarray, final_margin: np.ndarray
    ) -> tuple[np.ndarray, float, NoiseRateEstimate | None]:
        """Judge all rows at the end, once: the evidence is used up.

        Parameters
        ----------
        predicted : ndarray of shape (n_samples,), float
            Codes of the classes that the last network predicts.
        final_margin : ndarray of shape (n_samples,)
            Its logit of the given label less the largest other one.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Probability that each label is wrong.
        noise_rate : float
            Proportion of wrong labels.
        gap : NoiseRateEstimate or None
            What the losses of the first round say, where they were asked.
        """
        task = self._task
        wrong, judged = predicted != task.y, task.judged
        if not judged.any():
            return np.zeros(task.n_samples), 0.0, None
        rate, gap = float(wrong[judged].mean()), None
        hardness, noisy_weight = self._first
        if np.isfinite(hardness):  # else the metric shows no two groups
            rate = combine_noise_rates(rate, noisy_weight, hardness)
        if task.verdict is not None:
            first_round = self._run.dynamics.epochs(stop=self.lengths[0])
            held_out = self._settings.recording == "held_out"
            gap = None if held_out else task.loss_gap(first_round)
            rate = task.rate_among_judged(task.noise_rate(rate, gap))
        total = self._add_up(wrong, final_margin)
        if self._settings.recording == "auto":
            total = ranked_by_both(task, total)
        scores = noise_scores(task, total, predicted, task.judged_share * rate)
        noise_rate = float(scores.mean()) if task.verdict is None else task.judged_share * rate
        return scores, noise_rate, gap

    def _add_up(self, wrong: np.ndarray, final_margin: np.ndarray) -> np.ndarray:
        """Add the final verdict to the evidence, in place, and break its ties by the margin."""
        evidence, judged = self._evidence, self._task.judged
        trained = np.cumsum(self.lengths, dtype=np.int32)[self.dropped_round - 1]
        missed = sum(self.lengths) - trained
        evidence += missed * np.where(wrong, 1.0, -self._settings.lam)
        # The final verdict counts as one more epoch: recorded margins are float16 and can tie.
        margin = self._run.dynamics.mean("margin")
        margin *= trained
        margin += (missed + 1) * final_margin
        np.negative(margin, out=margin)
        del trained, missed
        which = slice(None) if judged.all() else judged  # which copies nothing
        evidence[which] = break_ties(evidence[which], margin[which])
        return evidence

    def drop_late(self, scores: np.ndarray) -> None:
        """Drop rows of the last round that score above one half, if it has learned anything.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            Of all rows.
        """
        rows = np.flatnonzero(self.kept)
        suspicious = (scores[rows] > 0.5) & self.learned
        late = rows[self._task.dropped_rows(suspicious, scores[rows], rows)]
        self.dropped_round[late] = len(self.rounds)
        self.rounds[-1] = self.rounds[-1]._replace(n_dropped=len(late))
