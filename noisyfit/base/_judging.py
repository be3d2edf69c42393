"""What networks that did not train on a row say of its label, for all methods alike."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from noisyfit._random import seeded
from noisyfit.base._pooling import pooled
from noisyfit.dynamics import CrossFit, deal_folds
from noisyfit.label_quality import HeldOutNoiseRate, held_out_noise_rate

if TYPE_CHECKING:
    from noisyfit.base._fit_task import FitTask
    from noisyfit.base._trainer import Trainer

MOST_EPOCHS, MOST_REPEATED = 30, 5_000
"""Epochs of the judges, and rows up to which they are asked twice."""
_UNPREDICTED = 1 / 3
"""A class is rare or hard if fewer rows are predicted as it than this share of its labels."""
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
    repeats: np.ndarray
    """Out-of-fold probabilities: (n_repeats, n_samples, n_classes), float32."""

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the proportion of wrong labels among all labels."""
        low, high = self.found.interval
        return self.share * low, self.share * high


def reach_verdict(
    task: FitTask, trainer: Trainer, epochs: int, most_repeated: int = MOST_REPEATED
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
    most_repeated : int, default=MOST_REPEATED
        Rows with a label up to which the networks are asked twice.

    Returns
    -------
    Verdict or None
        None where nobody has to be judged, and where there are no probabilities: without
        networks, or with no class of two rows, if `fit` was given none.
    """
    labeled, judged = ~task.unlabeled, task.judged
    if not judged.any() or task.n_classes < 2:
        return None
    rng, brought = task.streams.judging, task.pred_proba
    n_repeats = 2 if labeled.sum() <= most_repeated else 1
    folds = [_deal(task, labeled, rng) for _ in range(n_repeats if epochs else 0)]
    if all((fold[labeled] < 0).all() for fold in folds):
        return None if brought is None else make_verdict(task, brought[None], [])
    crossed = cross_fit(task, trainer, folds, rng, epochs)
    if brought is not None:
        # One repeat: nobody knows how stable the mean is, and the interval has to allow for that.
        crossed = pooled([crossed.mean(axis=0), brought], task.y, judged)[None]
    return make_verdict(task, crossed, folds)


def _deal(task: FitTask, labeled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    fold = np.full(task.n_samples, -1)
    groups = task.fold_groups
    if groups is not None:  # numbered anew: some may have no label
        groups = np.unique(groups[labeled], return_inverse=True)[1]
    fold[labeled] = deal_folds(task.y[labeled], rng, groups)
    return fold


def cross_fit(
    task: FitTask,
    trainer: Trainer,
    folds: list[np.ndarray],
    rng: np.random.Generator,
    epochs: int,
    *,
    early_learning: bool = False,
) -> np.ndarray:
    """Return out-of-fold probabilities of the estimator's network.

    Parameters
    ----------
    task : FitTask
        Rows and labels.
    trainer : Trainer
        Makes the nets.
    folds : list of ndarray of shape (n_samples,), int64
        Fold of each row, for each repeat.
    rng : numpy.random.Generator
        Draws the seeds.
    epochs : int
        Epochs of each network.
    early_learning : bool, default=False
        Whether to train with early-learning regularization.

    Returns
    -------
    ndarray of shape (n_repeats, n_samples, n_classes), float32
    """
    order = torch.Generator().manual_seed(int(rng.integers(2**62)))
    settings: dict[str, Any] = {"iterator_train__generator": order, "for_users": False}
    for name, value in _SETTINGS.items():
        if f"optimizer__{name}" in trainer.sgd_defaults:
            settings[f"optimizer__{name}"] = value
    n_labeled = int((~task.unlabeled).sum())
    settings["batch_size"] = trainer.batch_size_for(n_labeled)

    def make_net(callbacks: list, *args: Any, **kwargs: Any) -> Any:
        return trainer.make_net(callbacks, *args, **(settings | kwargs))

    crossed = CrossFit(
        make_net, task.rows.subset(~task.unlabeled), folds, early_learning=early_learning
    )
    with (
        closing(trainer.progress(epochs * crossed.n_trainings, leave=False)) as bar,
        seeded(int(rng.integers(2**31)), task.device),
    ):
        bar.stage(f"{trainer.name} cross-validation")
        crossed.train(epochs, callbacks=[("progress", bar)])
    return crossed.proba


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
    sizes = np.bincount(task.y[judged], minlength=task.n_classes)
    n_predicted = np.bincount(predicted[judged], minlength=task.n_classes)
    unpredicted = n_predicted < _UNPREDICTED * sizes
    return Verdict(
        proba=proba,
        contradicted=(predicted != task.y) & ~task.unlabeled,
        unpredicted=unpredicted[task.y] & judged,
        found=found,
        share=task.judged_share,
        folds=folds,
        repeats=repeats,
    )
