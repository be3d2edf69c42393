"""What networks that did not train on a row say of its label, for all methods alike."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from noisyfit._random import seeded
from noisyfit.base._guard import paired_difference
from noisyfit.base._pooling import pooled
from noisyfit.dynamics import N_FOLDS, CrossFit, deal_folds
from noisyfit.label_quality import HeldOutNoiseRate, held_out_noise_rate, unpredicted_classes
from noisyfit.modules import can_be_stacked
from noisyfit.training import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from noisyfit.base._fit_task import FitTask
    from noisyfit.base._trainer import Trainer

MOST_EPOCHS, MOST_REPEATED = 30, 5_000
"""Epochs of the judges, and rows up to which they are asked twice."""
_SURE, _BEATEN = 2.0, -1.0
"""t-values: early-learning regularization has to be above the first against cross-entropy to the
last epoch, and above the second against cross-entropy to its best one."""
_SIDE_BY_SIDE, _ONE_FOLD = (2.0, 0.2), 0.8 + 0.2 / 3
"""Time of an epoch of the judges in that of plain training. Side by side, by measurement on tables
of 10 to 40 columns: at all, and for each of them. One alone predicts the rows that it left out."""
_SETTINGS = {"momentum": 0.9, "weight_decay": 5e-3}
"""Of SGD, so that the judges of all methods are the same."""


class Verdict(NamedTuple):
    """Out-of-fold verdict on all rows."""

    proba: np.ndarray
    """Out-of-fold probabilities, the mean of the repeats: (n_samples, n_classes)."""
    contradicted: np.ndarray
    """Rows whose most probable class is not the given label: (n_samples,), bool."""
    unpredicted: np.ndarray
    """Rows of classes that hardly any row is predicted as: (n_samples,), bool."""
    found: HeldOutNoiseRate
    """Noise rate among the rows with a label that nobody verified."""
    share: float
    """Proportion of the labels that nobody verified."""
    folds: list[np.ndarray]
    """Fold of each row, for each repeat: (n_samples,), int64; -1 for a row that is in none."""
    loss: str = "cross_entropy"
    """Loss of the networks."""
    plain: np.ndarray | None = None
    """Out-of-fold probabilities of the networks alone; None: none was asked."""
    gain: float | None = None
    """By how much early-learning regularization predicts a larger share of the given labels than
    cross-entropy; None: these were not compared on all rows."""

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the proportion of wrong labels among all labels."""
        low, high = self.found.interval
        return self.share * low, self.share * high


def reach_verdict(
    task: FitTask,
    trainer: Trainer,
    epochs: int,
    loss: str = "cross_entropy",
    most_repeated: int = MOST_REPEATED,
) -> Verdict | None:
    """Train networks in cross-validation, and let each judge the rows that it left out.

    Probabilities that `fit` was given are averaged with theirs, by accuracy on the given labels.

    Parameters
    ----------
    task : FitTask
        Rows and labels.
    trainer : Trainer
        Makes the nets.
    epochs : int
        Epochs of each network; 0: none is asked.
    loss : {"cross_entropy", "early_learning", "auto"}, default="cross_entropy"
        Their loss. ``"auto"``: early-learning regularization if, over the same folds, its networks
        predict more of the given labels than those of cross-entropy, with a t-value of the paired
        difference above 2, and are not beaten by these where they predict best. If some of these
        ended early, the difference has to be above the 2 % that they might still have gained.
    most_repeated : int, default=MOST_REPEATED
        Rows with a label up to which the networks are asked twice.

    Returns
    -------
    Verdict or None
        None where nobody has to be judged, and where there are no probabilities: without
        networks, or with no class of two rows, if `fit` was given none.

    Notes
    -----
    Up to 5,000 rows each is judged twice, over other folds. Not so if two losses are compared and
    the networks cannot be computed side by side: each loss is then asked once. Of these networks
    those of early-learning regularization are trained fold by fold as long as, over the folds so
    far, they predict more of the given labels.
    """
    labeled, judged = ~task.unlabeled, task.judged
    if not judged.any() or task.n_classes < 2:
        return None
    rng, brought = task.streams.judging, task.pred_proba
    folds = []
    if epochs:
        n_repeats = _n_repeats(task, trainer, loss, most_repeated)
        folds = [_deal(task, labeled, rng) for _ in range(n_repeats)]
    if all((fold[labeled] < 0).all() for fold in folds):
        if brought is None:
            return None
        asked = "cross_entropy" if loss == "auto" else loss  # nothing to choose by
        return make_verdict(task, brought[None], [])._replace(loss=asked)
    crossed, chosen, gain = _best_loss(task, trainer, folds, epochs, loss)
    plain = crossed.mean(axis=0)
    if brought is not None:
        # One repeat: nobody knows how stable the mean is, and the interval has to allow for that.
        crossed = pooled([plain, brought], task.y, judged)[None]
    return make_verdict(task, crossed, folds)._replace(loss=chosen, plain=plain, gain=gain)


def _best_loss(
    task: FitTask, trainer: Trainer, folds: list[np.ndarray], epochs: int, loss: str
) -> tuple[np.ndarray, str, float | None]:
    """Return out-of-fold probabilities, of which loss they are, and what it has gained."""
    if loss != "auto":
        early = loss == "early_learning"
        return _cross_fit(task, trainer, folds, epochs, early).proba, loss, None
    plain = _cross_fit(task, trainer, folds, epochs, early_learning=False)
    # The networks of cross-entropy that ended early are not to lose by that.
    reference, lead = plain.proba_of_all[0], plain.may_still_gain

    def may_win(proba: np.ndarray, so_far: np.ndarray) -> bool:
        rows = task.judged & so_far
        return not rows.any() or _gain(proba, reference, task, rows, lead)[1] > 0

    epochs = _early_learning_epochs(epochs)
    trial = _cross_fit(task, trainer, folds[:1], epochs, early_learning=True, goes_on=may_win)
    if not trial.is_complete:
        return plain.proba, "cross_entropy", None
    tried = trial.proba
    gain, t = _gain(tried[0], reference, task, task.judged, lead)
    _, t_of_best = _gain(tried[0], plain.proba[0], task, task.judged)
    if t <= _SURE or t_of_best <= _BEATEN:
        return plain.proba, "cross_entropy", gain
    if len(folds) > 1:
        others = _cross_fit(task, trainer, folds[1:], epochs, early_learning=True).proba
        tried = np.concatenate([tried, others])
    return tried, "early_learning", gain


def judging_stages(
    task: FitTask, trainer: Trainer, epochs: int, loss: str, most_repeated: int
) -> list[Stage]:
    """Plan the stages in which `reach_verdict` trains its networks.

    Parameters
    ----------
    task, trainer, epochs, loss, most_repeated
        As of `reach_verdict`.

    Returns
    -------
    list of Stage
    """
    if not epochs or not task.judged.any() or task.n_classes < 2:
        return []
    stacked = _stacked(trainer)

    def stage(epochs: int, n_repeats: int, optional: bool = not stacked) -> Stage:
        n_nets = N_FOLDS * n_repeats
        at_all, for_each = _SIDE_BY_SIDE
        n_trainings, cost = (1, at_all + for_each * n_nets) if stacked else (n_nets, _ONE_FOLD)
        share = float((~task.unlabeled).mean())
        return Stage(_label(trainer), epochs * n_trainings, cost * share, optional)

    n_repeats = _n_repeats(task, trainer, loss, most_repeated)
    if loss != "auto":
        return [stage(epochs, n_repeats)]
    early = _early_learning_epochs(epochs)
    stages = [stage(epochs, n_repeats), stage(early, 1)]
    return [*stages, stage(early, n_repeats - 1, optional=True)] if n_repeats > 1 else stages


def _label(trainer: Trainer) -> str:
    return f"{trainer.name} cross-validation"


def _n_repeats(task: FitTask, trainer: Trainer, loss: str, most_repeated: int) -> int:
    many = (~task.unlabeled).sum() > most_repeated
    return 1 if many or (loss == "auto" and not _stacked(trainer)) else 2


def _early_learning_epochs(epochs: int) -> int:
    return max(1, epochs // 2)  # early-learning regularization is as good by then


def _stacked(trainer: Trainer) -> bool:
    return can_be_stacked(trainer.make_module())


def _gain(
    proba: np.ndarray, other: np.ndarray, task: FitTask, rows: np.ndarray, lead: float = 0.0
) -> tuple[float, float]:
    """Return by how much more of the given labels are predicted, and its t-value above a lead."""
    right, before = (p[rows].argmax(axis=1) == task.y[rows] for p in (proba, other))
    return paired_difference(right, before, lead)


def _deal(task: FitTask, labeled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    fold = np.full(task.n_samples, -1)
    groups = task.fold_groups
    if groups is not None:  # numbered anew: some may have no label
        groups = np.unique(groups[labeled], return_inverse=True)[1]
    fold[labeled] = deal_folds(task.y[labeled], rng, groups)
    return fold


def _cross_fit(
    task: FitTask,
    trainer: Trainer,
    folds: list[np.ndarray],
    epochs: int,
    early_learning: bool,
    goes_on: Callable[[np.ndarray, np.ndarray], bool] | None = None,
) -> CrossFit:
    """Train the estimator's network on all folds of all repeats but one each."""
    rng = task.streams.judging
    order = torch.Generator().manual_seed(int(rng.integers(2**62)))
    settings: dict[str, Any] = {"iterator_train__generator": order, "for_users": False}
    settings |= plain_settings(trainer, int((~task.unlabeled).sum()))

    def make_net(callbacks: list, *args: Any, **kwargs: Any) -> Any:
        return trainer.make_net(callbacks, *args, **(settings | kwargs))

    crossed = CrossFit(
        make_net, task.rows.subset(~task.unlabeled), folds, early_learning=early_learning
    )
    with (
        closing(trainer.progress(epochs * crossed.n_trainings, leave=False)) as bar,
        seeded(int(rng.integers(2**31)), task.device),
    ):
        bar.stage(_label(trainer))
        crossed.train(
            epochs,
            callbacks=[("progress", bar)],
            goes_on=goes_on,
            n_jobs=trainer.n_jobs,
            on_trained=bar.skip,
        )
    return crossed


def plain_settings(trainer: Trainer, n_rows: int) -> dict[str, Any]:
    """Return what nets get that are trained alike in all methods.

    Parameters
    ----------
    trainer : Trainer
        Knows the optimizer.
    n_rows : int
        Number of rows to train on.

    Returns
    -------
    dict
        Size of a batch and, unless the user says otherwise, momentum and weight decay of SGD.
    """
    own = {f"optimizer__{name}": value for name, value in _SETTINGS.items()}
    settings = {name: value for name, value in own.items() if name in trainer.sgd_defaults}
    return {**settings, "batch_size": trainer.batch_size_for(n_rows)}


def make_verdict(task: FitTask, repeats: np.ndarray, folds: list[np.ndarray]) -> Verdict:
    """Judge all labels by out-of-fold probabilities.

    Parameters
    ----------
    task : FitTask
        Rows and labels.
    repeats : ndarray of shape (n_repeats, n_samples, n_classes)
        Out-of-fold probabilities.
    folds : list of ndarray of shape (n_samples,), int64
        Fold of each row, for each repeat.

    Returns
    -------
    Verdict
    """
    judged = task.judged
    proba = repeats.mean(axis=0)
    predicted = proba.argmax(axis=1)
    found = held_out_noise_rate(repeats[:, judged], task.y[judged])
    unpredicted = unpredicted_classes(predicted[judged], task.y[judged], task.n_classes)
    return Verdict(
        proba=proba,
        contradicted=(predicted != task.y) & ~task.unlabeled,
        unpredicted=unpredicted[task.y] & judged,
        found=found,
        share=task.judged_share,
        folds=folds,
    )
