"""`PanelNet`: networks that train on the same batches, each on rows of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from noisyfit.training import (
    NoisyNet,
    class_softmax,
    early_learning_penalty,
    moved_target,
    row_weighted,
)
from noisyfit.training._early_learning import WEIGHT


class PanelNet(NoisyNet):
    """skorch net of a `StackedMLP`, each network of which leaves some rows out.

    Parameters
    ----------
    module : StackedMLP
        Returns logits (n_rows, n_networks, n_classes).
    takes : tensor of shape (n_source, n_networks), bool
        Rows that each network is trained on.
    early_learning : bool, default=False
        Whether the loss is that of `EarlyLearningNet`.
    **kwargs : object
        As of `NoisyNet`.
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        takes: Any = None,
        early_learning: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, **kwargs)
        self.takes = takes
        self.early_learning = early_learning

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Add up the mean losses of the networks, each over the rows that it takes."""
        logits, ids = self.infer(X), X["index"]
        takes = self.takes[ids.to(self.takes.device)].to(logits)
        of_all = logits.flatten(0, 1)
        losses = cross_entropy(of_all, y.repeat_interleave(takes.shape[1]), reduction="none")
        losses = losses.view_as(takes)
        if self.early_learning:
            p = class_softmax(of_all).view_as(logits)
            if not hasattr(self, "target_"):
                self.target_ = p.new_zeros(len(self.takes), *p.shape[1:])
            penalty = early_learning_penalty(p, moved_target(self.target_, ids, p))
            losses = losses + WEIGHT * penalty
        losses = row_weighted(losses * takes, X)
        loss = (losses.sum(0) / takes.sum(0).clamp(min=1)).sum()
        return {"loss": loss, "y_pred": logits, "sample_loss": losses.sum(1)}

    def stage_state(self) -> dict[str, Any]:
        """Return the moving averages, for a checkpoint."""
        kept = {"target": self.target_} if hasattr(self, "target_") else {}
        return {**super().stage_state(), **kept}

    def load_stage_state(self, state: dict[str, Any]) -> None:
        """Take back what `stage_state` returned."""
        super().load_stage_state(state)
        if "target" in state:
            self.target_ = state["target"].to(self.device)
