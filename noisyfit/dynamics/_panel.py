"""`PanelNet`: networks that train on the same batches, each on labels and rows of its own."""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import Callback

from noisyfit.training import NoisyNet, class_softmax
from noisyfit.training._losses import early_learning_penalty


class PanelNet(NoisyNet):
    """skorch net of a `StackedMLP`, each network of which has its own labels, rows and loss.

    Parameters
    ----------
    module : StackedMLP
        Returns logits (n_rows, n_networks, n_classes).
    labels : tensor of shape (n_source, n_networks), int64
        Labels that each network is trained on.
    takes : tensor of shape (n_source, n_networks), bool
        Rows that each network is trained on.
    early : tensor of shape (n_networks,), bool
        Networks that are trained with `early_learning_penalty`.
    **kwargs : object
        As of `NoisyNet`.
    """

    def __init__(self, module: Any, *args: Any, labels: Any, takes: Any, early: Any, **kwargs: Any):
        super().__init__(module, *args, **kwargs)
        self.labels, self.takes, self.early = labels, takes, early

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Add up the mean losses of the networks, each over the rows that it takes."""
        logits, ids = self.infer(X), X["index"]
        labels, takes = self.labels[ids], self.takes[ids].float()
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none"
        ).view_as(takes)
        if self.early.any():
            losses = losses + self._early_learning(logits, ids)
        losses = losses * takes
        of_networks = losses.sum(0) / takes.sum(0).clamp(min=1)
        return {"loss": of_networks.sum(), "y_pred": logits, "sample_loss": losses.sum(1)}

    def _early_learning(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        p = class_softmax(logits[:, self.early].flatten(0, 1)).view_as(logits[:, self.early])
        if not hasattr(self, "early_target_"):
            self.early_target_ = p.new_zeros(len(self.labels), *p.shape[1:])
        target = 0.7 * self.early_target_[ids] + 0.3 * p.detach()
        self.early_target_[ids] = target
        penalty = logits.new_zeros(logits.shape[:2])
        penalty[:, self.early] = 3.0 * early_learning_penalty(p, target)
        return penalty
