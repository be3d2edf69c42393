"""Training of a detector: the choice of the epoch, and learning from several runs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback
from torch import nn

from noisyfit._random import RandomStreams, seeded
from noisyfit.data import Rows, TensorSource
from noisyfit.methods.dynamics_lstm._grouped_loss import GroupedLoss
from noisyfit.metrics import auroc, average_precision
from noisyfit.training import NoisyNet, predict_logits

if TYPE_CHECKING:
    from noisyfit.modules import SequenceLSTM

_HELD_OUT = 0.1
_LEAST_STD = 1e-3


def train_detector(
    module: SequenceLSTM,
    sequences: np.ndarray,
    marks: np.ndarray,
    groups: np.ndarray | None,
    *,
    max_epochs: int,
    lr: float,
    batch_size: int,
    device: torch.device,
    streams: RandomStreams,
) -> tuple[SequenceLSTM, dict[str, float]]:
    """Train on nine tenths of the sequences and keep the epoch that ranks the last tenth best.

    Parameters
    ----------
    module : SequenceLSTM
        Network to start from; it is trained in place.
    sequences : ndarray of shape (n_samples, n_epochs), float32
        Probability of the given label in each epoch, without NaN.
    marks : ndarray of shape (n_samples,), bool
        Whether each label is wrong.
    groups : ndarray of shape (n_samples,), int64, or None
        Training run that each sequence comes from. None: there is only one.
    max_epochs, batch_size : int
        Number of epochs, and number of sequences of a batch.
    lr : float
        Learning rate at the start. It falls to zero along a cosine.
    device : torch.device
        Device to train on.
    streams : RandomStreams
        Random streams of the split, of the training and of the order of the sequences.

    Returns
    -------
    module : SequenceLSTM
        The trained network, on the CPU and in evaluation mode.
    held_out : dict
        ``"auroc"`` and ``"average_precision"`` on the last tenth.

    Raises
    ------
    ValueError
        If no group has both right and wrong labels in the last tenth.
    RuntimeError
        If no epoch ranks the last tenth better than chance.
    """
    seed = int(streams.split.integers(2**31))
    train, held_out = train_test_split(
        np.arange(len(marks)), test_size=_HELD_OUT, stratify=marks, random_state=seed
    )
    settings: dict[str, Any] = {}
    if groups is not None:
        settings = {
            "criterion": GroupedLoss,
            "criterion__groups": groups[train],
            "criterion__marks": marks[train],
            "optimizer__param_groups": [
                (name, {"lr": 10 * lr, "weight_decay": 0.0}) for name in ("log_scale", "offset")
            ],
        }
    best = _BestEpoch(
        _rows(sequences[held_out], marks[held_out], device),
        marks[held_out],
        None if groups is None else groups[held_out],
    )
    if not best.parts:
        raise ValueError(
            "No group has both right and wrong labels among the held-out sequences. Give "
            "larger groups, or none."
        )
    with seeded(streams.training, device):
        net = (NoisyNet if groups is None else _GroupedNet)(
            module,
            optimizer=torch.optim.AdamW,
            lr=lr,
            batch_size=batch_size,
            max_epochs=max_epochs,
            device=device,
            iterator_train__shuffle=True,
            iterator_train__generator=streams.shuffle,
            callbacks=[best],
            **settings,
        ).initialize()
        rows = _rows(sequences[train], marks[train], device)
        net.train_stage(rows, max_epochs)
    if best.state is None:
        raise RuntimeError(
            f"Training collapsed: after none of {max_epochs} epochs did the detector tell the "
            "held-out sequences of wrong labels from those of right ones. Lower lr (now "
            f"{lr:g}), train the detector for longer, or record a longer run."
        )
    net.module_.load_state_dict(best.state)
    if groups is not None:
        scale = float(net.criterion_.log_scale.detach().mean().exp())
        _recalibrate(net.module_.linear, _log_odds(predict_logits(net, rows)), marks[train], scale)
    return net.module_.cpu().eval(), best.figures


class _GroupedNet(NoisyNet):
    """Net whose criterion also gets the ids of the rows in the batch."""

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.infer(X)
        sample_loss = self.criterion_(logits, y, X["index"])
        return {"loss": sample_loss.mean(), "y_pred": logits, "sample_loss": sample_loss}


def _recalibrate(
    linear: nn.Linear, log_odds: np.ndarray, marks: np.ndarray, mean_scale: float
) -> None:
    """Fit one scale and offset to the log-odds of all groups and fold them into the last layer.

    If the groups' levels run against the order within the groups, the best scale is negative and
    would reverse the ranking. The mean scale of the groups is used instead.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, and for training only

    curve = LogisticRegression(C=np.inf).fit(log_odds[:, None], marks)
    scale, offset = float(curve.coef_[0, 0]), float(curve.intercept_[0])
    if scale <= 0:
        scale, rate = mean_scale, marks.mean()
        offset = brentq(lambda b: expit(scale * log_odds + b).mean() - rate, -100, 100)
    with torch.no_grad():
        for parameter in (linear.weight, linear.bias):
            parameter *= scale
        linear.bias[1] += offset


def _log_odds(logits: np.ndarray) -> np.ndarray:
    return logits[:, 1].astype(np.float64) - logits[:, 0]


class _BestEpoch(Callback):
    """Callback that keeps the weights of the epoch that ranks the held-out sequences best."""

    def __init__(self, rows: Rows, marks: np.ndarray, groups: np.ndarray | None) -> None:
        self.rows, self.marks = rows, marks
        groups = np.zeros(len(marks), dtype=np.int64) if groups is None else groups
        parts = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        self.parts = [part for part in parts if 0 < marks[part].sum() < len(part)]
        self.state: dict[str, torch.Tensor] | None = None
        self.figures: dict[str, Any] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        p = expit(_log_odds(predict_logits(net, self.rows)))
        figures = {
            name: float(np.mean([figure(self.marks[part], p[part]) for part in self.parts]))
            for name, figure in (("auroc", auroc), ("average_precision", average_precision))
        }
        net.history.record("held_out_auroc", figures["auroc"])
        judges = p.std() > _LEAST_STD and figures["auroc"] > 0.5
        # Of epochs that rank equally well, the last one.
        if judges and figures["auroc"] >= self.figures.get("auroc", -1):
            self.figures = figures
            self.state = {k: v.detach().clone() for k, v in net.module_.state_dict().items()}


def _rows(sequences: np.ndarray, marks: np.ndarray, device: torch.device) -> Rows:
    labels = torch.from_numpy(marks.astype(np.int64))
    return Rows(TensorSource(sequences[:, :, None], device), labels)
