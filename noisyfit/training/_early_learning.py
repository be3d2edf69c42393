"""`EarlyLearningNet`: training that holds on to what it has learned early (Liu et al. 2020)."""

from __future__ import annotations

from typing import Any

import torch

from noisyfit.training._class_softmax import class_softmax
from noisyfit.training._losses import early_learning_penalty, row_weighted
from noisyfit.training._net import NoisyNet

MOMENTUM, WEIGHT = 0.7, 3.0
"""Of the moving average of predictions, and of the penalty."""


class EarlyLearningNet(NoisyNet):
    """skorch net of early-learning regularization.

    Parameters
    ----------
    module : torch.nn.Module, class or instance
        As of `NoisyNet`.
    n_source : int
        Rows of the whole data set, each of which has a moving average of its predictions.
    **kwargs : object
        As of `NoisyNet`.

    Notes
    -----
    Cross-entropy, and 3 times `early_learning_penalty` with the moving average
    :math:`t \\leftarrow 0.7 t + 0.3 p` of each row's predictions.
    """

    def __init__(self, module: Any, *args: Any, n_source: int = 0, **kwargs: Any) -> None:
        super().__init__(module, *args, **kwargs)
        self.n_source = n_source

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cross-entropy and the penalty."""
        logits, ids = self.infer(X), X["index"]
        p = class_softmax(logits)
        if not hasattr(self, "target_"):
            self.target_ = p.new_zeros(self.n_source, p.shape[1])
        sample_loss = self.criterion_(logits, y)
        sample_loss = sample_loss + WEIGHT * early_learning_penalty(
            p, moved_target(self.target_, ids, p)
        )
        loss = row_weighted(sample_loss, X).mean()
        return {"loss": loss, "y_pred": logits, "sample_loss": sample_loss}

    def stage_state(self) -> dict[str, Any]:
        """Return the moving averages, for a checkpoint."""
        kept = {"target": self.target_} if hasattr(self, "target_") else {}
        return {**super().stage_state(), **kept}

    def load_stage_state(self, state: dict[str, Any]) -> None:
        """Take back what `stage_state` returned."""
        super().load_stage_state(state)
        if "target" in state:
            self.target_ = state["target"].to(self.device)

    def release(self) -> EarlyLearningNet:
        """Drop what only training needs."""
        self.__dict__.pop("target_", None)
        super().release()
        return self


def moved_target(target: torch.Tensor, ids: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Move the averages of the rows of a batch in place, and return them.

    Parameters
    ----------
    target : tensor of shape (n_source, ..., n_classes)
        Moving averages.
    ids : tensor of shape (n_rows,), int64
        Rows of the batch.
    p : tensor of shape (n_rows, ..., n_classes)
        Their predictions.

    Returns
    -------
    tensor of the shape of `p`
    """
    ids = ids.to(target.device)
    moved = MOMENTUM * target[ids] + (1 - MOMENTUM) * p.detach()
    target[ids] = moved
    return moved
