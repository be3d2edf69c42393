"""The last training: rows that were kept with their labels, all others without (Sec. 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from noisyfit.methods.mild._final_nets import (
    OF_CONTRASTIVE,
    FinalSettings,
    MixMatchNet,
    MixupContrastiveNet,
    PartlyLabeledNet,
)
from noisyfit.methods.mild._other_metrics import last_layer_inputs
from noisyfit.training import mixmatch_cost

if TYPE_CHECKING:
    from noisyfit.base import FitTask, Trainer
    from noisyfit.training import EpochProgress, NoisyNet


_CONTRASTIVE_COST = 4.0
"""Time of an epoch with the contrastive loss in that of plain training, by measurement."""
_BY_HEART = 0.4
"""Share of the rejected labels above which a network that predicts them has learned by heart."""
FEW = 0.01
"""Share of the rows up to which it is not worth a training, or a word, what becomes of them."""


def check_final_training(kind: str, task: FitTask, trainer: Trainer) -> None:
    """Refuse what the last training cannot do, before anything is trained.

    Parameters
    ----------
    kind : {"mixmatch", "mixup_contrastive"}
        As ``semi_supervised`` of `MILDSelector`.
    task : FitTask
        Rows.
    trainer : Trainer
        Makes the networks.

    Raises
    ------
    TypeError
        For rows of several inputs, which cannot be blended.
    ValueError
        For views of the user's, and for networks without a last linear layer where it is needed.
    """
    trainer.refuse_named_inputs(f"MILDSelector(semi_supervised={kind!r})")
    trainer.refuse_views(
        f"semi_supervised={kind!r} learns from several. Use augment to say how they are made."
    )
    if kind == "mixup_contrastive":
        _n_features(task, trainer)


def final_cost(kind: str, n_views: int) -> float:
    """Return the time of an epoch of the last training, in that of plain training.

    Parameters
    ----------
    kind : {"mixmatch", "mixup_contrastive"}
        As ``semi_supervised`` of `MILDSelector`.
    n_views : int
        K, views of each row for MixMatch.

    Returns
    -------
    float
        A backward pass counts as two forward passes.
    """
    if kind == "mixmatch":
        return mixmatch_cost(n_views)
    return _CONTRASTIVE_COST


def train_finally(
    kind: str,
    settings: FinalSettings,
    task: FitTask,
    trainer: Trainer,
    progress: EpochProgress,
    labeled: np.ndarray,
) -> PartlyLabeledNet:
    """Train a new network on all rows, of which some have a label.

    Parameters
    ----------
    kind : {"mixmatch", "mixup_contrastive"}
        As ``semi_supervised`` of `MILDSelector`.
    settings : FinalSettings
        All numbers, resolved.
    task : FitTask
        Rows and given labels.
    trainer : Trainer
        Makes the network.
    progress : EpochProgress
        The bar to move.
    labeled : ndarray of shape (n_samples,), bool
        Rows whose label is learned from.

    Returns
    -------
    PartlyLabeledNet
    """
    task.check_trainable(labeled)
    callbacks = [("progress", progress)]
    net: PartlyLabeledNet
    if kind == "mixmatch":
        net = trainer.make_net(
            callbacks,
            MixMatchNet,
            settings=settings,
            labeled=labeled,
            prior=task.class_frequencies,
            iterator_train__views=trainer.views_to_learn_from(settings.n_views)[1:],
        )
    else:
        net = trainer.make_net(
            callbacks,
            MixupContrastiveNet,
            settings=settings,
            labeled=labeled,
            n_features=_n_features(task, trainer),
            iterator_train__views=(None, *trainer.views_to_learn_from(2)[1:]),
        )
    net.train_stage(task.balanced(~labeled), settings.epochs, kind, task.held_back)
    return net


def learned_by_heart(agrees: np.ndarray, rejected: np.ndarray) -> bool:
    """Tell whether a network predicts so many of the rejected labels that a new one is worth it.

    Parameters
    ----------
    agrees : ndarray of shape (n_samples,), bool
        Rows whose given label the network predicts.
    rejected : ndarray of shape (n_samples,), bool
        Rows whose label is taken as wrong.

    Returns
    -------
    bool

    Examples
    --------
    >>> agrees, rejected = np.arange(10) < 5, np.arange(10) >= 3
    >>> learned_by_heart(agrees, rejected), learned_by_heart(~agrees, rejected)
    (False, True)
    """
    return bool(rejected.mean() > FEW and agrees[rejected].mean() > _BY_HEART)


def retrain(
    epochs: int, task: FitTask, trainer: Trainer, progress: EpochProgress, kept: np.ndarray
) -> NoisyNet:
    """Train a new network on the kept rows alone.

    Parameters
    ----------
    epochs : int
        Length of the training.
    task : FitTask
        Rows and given labels.
    trainer : Trainer
        Makes the network.
    progress : EpochProgress
        The bar to move.
    kept : ndarray of shape (n_samples,), bool
        Rows to learn from.

    Returns
    -------
    NoisyNet
    """
    task.check_trainable(kept)
    net = trainer.make_net([("progress", progress)])
    net.train_stage(task.rows.subset(kept), epochs, "retraining", task.held_back)
    return net


def _n_features(task: FitTask, trainer: Trainer) -> int:
    """Return how many inputs the last linear layer has."""
    two = np.arange(task.n_samples) < 2
    net = trainer.make_net([], for_users=False)
    return last_layer_inputs(net, task.rows.subset(two), **OF_CONTRASTIVE).shape[1]
