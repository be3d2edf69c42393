"""A short plain training beside a method's own: how many labels are wrong, by its losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from noisyfit.base._judging import plain_settings
from noisyfit.dynamics import DynamicsRecorder
from noisyfit.training import Stage

if TYPE_CHECKING:
    import numpy as np

    from noisyfit.base._fit_task import FitTask
    from noisyfit.base._trainer import Trainer
    from noisyfit.label_quality import NoiseRateEstimate
    from noisyfit.training import EpochProgress

_N_BOOTSTRAP = 100


class PlainRun(NamedTuple):
    """What plain training tells."""

    gap: NoiseRateEstimate | None = None
    """What its losses say of the labels that nobody verified; None: nothing."""
    early_agreement: float | None = None
    """Proportion of these labels that it predicts early."""
    predicted: np.ndarray | None = None
    """Codes of the classes that it predicts for all rows; None without judges to compare with."""
    judged_share: float = 1.0
    """Proportion of the labels that nobody verified."""

    @property
    def estimate(self) -> NoiseRateEstimate | None:
        """The gap as proportions of all labels, of which the verified ones are right."""
        if self.gap is None:
            return None
        share, (low, high) = self.judged_share, self.gap.interval
        return self.gap._replace(rate=share * self.gap.rate, interval=(share * low, share * high))


def plain_stage(trainer: Trainer, epochs: int) -> Stage:
    """Plan the training of `train_plainly`.

    Parameters
    ----------
    trainer : Trainer
        Makes the net.
    epochs : int
        Length of the training.

    Returns
    -------
    Stage
    """
    return Stage(f"{trainer.name} noise rate", epochs)


def train_plainly(
    task: FitTask, trainer: Trainer, progress: EpochProgress, epochs: int, folder: Any = None
) -> PlainRun:
    """Train on all labels with cross-entropy, and look at the gap of early and late losses.

    Parameters
    ----------
    task : FitTask
        Rows and labels.
    trainer : Trainer
        Makes the net.
    progress : EpochProgress
        The bar to move.
    epochs : int
        Length of the training.
    folder : str, Path or None, default=None
        Where the losses are recorded; None: in memory.

    Returns
    -------
    PlainRun

    Raises
    ------
    ValueError
        If no label is to be judged, and nobody else says how many are wrong.
    """
    progress.stage(plain_stage(trainer, epochs).label)
    recorder = DynamicsRecorder(task.n_samples, ("loss", "correct"), folder=folder)
    settings = plain_settings(trainer, int((~task.unlabeled).sum()))
    if task.verdict is None:  # nobody to be compared with: the method's own weight decay
        settings = {"batch_size": settings["batch_size"]}
    net = trainer.make_net([("dynamics", recorder), ("progress", progress)], **settings)
    net.train_stage(task.rows.subset(~task.unlabeled), epochs, "noise rate", task.held_back)
    dynamics = recorder.dynamics_
    gap = task.loss_gap(dynamics, n_bootstrap=_N_BOOTSTRAP, random_state=task.streams.split)
    if gap is None and task.verdict is None:
        raise ValueError(
            "noise_rate='auto' needs a row that is neither trusted nor held back to validate "
            "on. Got none: lower validation_fraction, or give the noise rate."
        )
    plain = None if task.verdict is None else trainer.predict_classes(net)
    return PlainRun(gap, dynamics.early_agreement(task.judged), plain, task.judged_share)
