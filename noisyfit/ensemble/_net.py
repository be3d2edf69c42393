"""`SoftLabelNet`: the network of a consensus learns distributions over the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noisyfit.training import NoisyNet, row_weighted, soft_cross_entropy

if TYPE_CHECKING:
    import torch


class SoftLabelNet(NoisyNet):
    """skorch net that is trained on a distribution over the classes for each row.

    Parameters
    ----------
    module : torch.nn.Module, class or instance
        As of `NoisyNet`.
    target : tensor of shape (n_source, n_classes) or None, default=None
        Proportion of each class in the label of each row of the source. They may sum to less than
        1, which is then the weight of the row.
    **kwargs : object
        As of `NoisyNet`.
    """

    training_only: ClassVar[tuple[str, ...]] = (*NoisyNet.training_only, "target")

    def __init__(self, module: Any, *args: Any, target: Any = None, **kwargs: Any) -> None:
        super().__init__(module, *args, **kwargs)
        self.target = target

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cross-entropy with the targets of the batch."""
        logits = self.infer(X)
        target = self.target[X["index"].to(self.target.device)].to(logits)
        sample_loss = soft_cross_entropy(logits, target)
        loss = row_weighted(sample_loss, X).mean()
        return {"loss": loss, "y_pred": logits, "sample_loss": sample_loss}

    def release(self) -> SoftLabelNet:
        """Drop what only training needs."""
        self.target = None
        super().release()
        return self
