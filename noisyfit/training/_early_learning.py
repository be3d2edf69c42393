"""`EarlyLearningNet`: training that holds on to what it has learned early (Liu et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noisyfit.training._class_softmax import class_softmax
from noisyfit.training._losses import early_learning_penalty, row_weighted
from noisyfit.training._net import NoisyNet

if TYPE_CHECKING:
    import torch

MOMENTUM, WEIGHT = 0.7, 3.0
"""Of the moving average of predictions, and of the penalty."""


class EarlyLearningNet(NoisyNet):
    r"""skorch net of early-learning regularization.

    Parameters
    ----------
    module : torch.nn.Module, class or instance
        As of `NoisyNet`.
    n_source : int
        Rows of the whole data set, each of which has a moving average of its predictions.
    **kwargs : object
        As of `NoisyNet`.

    Attributes
    ----------
    target_ : tensor of shape (n_source, n_classes)
        The moving averages, from the first batch on until `release`.

    Notes
    -----
    Cross-entropy, and 3 times `early_learning_penalty` with the moving average
    :math:`t \leftarrow 0.7 t + 0.3 p` of each row's predictions, which begins at zero.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> from noisyfit.training import EarlyLearningNet, predict_classes
    >>> X, y = np.eye(2, dtype=np.float32).repeat(20, axis=0), np.arange(2).repeat(20)
    >>> rows = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(y))
    >>> _ = torch.manual_seed(0)
    >>> net = EarlyLearningNet(torch.nn.Linear(2, 2), n_source=40, lr=1.0, batch_size=8)
    >>> predict_classes(net.train_stage(rows, epochs=3), rows)[[0, -1]], net.target_.shape
    (array([0, 1]), torch.Size([40, 2]))
    """

    training_only: ClassVar[tuple[str, ...]] = (*NoisyNet.training_only, "n_source")
    target_: torch.Tensor

    def __init__(self, module: Any, *args: Any, n_source: int, **kwargs: Any) -> None:
        super().__init__(module, *args, **kwargs)
        self.n_source = n_source

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cross-entropy and the penalty."""
        logits = self.infer(X)
        penalty = self.penalty(class_softmax(logits), X["index"])
        sample_loss = self.criterion_(logits, y) + penalty
        loss = row_weighted(sample_loss, X).mean()
        return {"loss": loss, "y_pred": logits, "sample_loss": sample_loss}

    def penalty(self, p: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Move the averages of the rows of a batch, and say how far predictions have left them.

        Parameters
        ----------
        p : tensor of shape (n_rows, ..., n_classes)
            Predicted probabilities.
        ids : tensor of shape (n_rows,), int64
            Rows of the batch.

        Returns
        -------
        tensor of shape (n_rows, ...), in nats
            Weighted `early_learning_penalty`.
        """
        if not hasattr(self, "target_"):
            self.target_ = p.new_zeros(self.n_source, *p.shape[1:])
        moved = MOMENTUM * self.target_[ids] + (1 - MOMENTUM) * p.detach()
        self.target_[ids] = moved
        return WEIGHT * early_learning_penalty(p, moved)

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
