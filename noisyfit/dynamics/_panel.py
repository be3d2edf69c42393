"""`PanelNet`: networks that train on the same batches, each on rows of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn.functional import cross_entropy

from noisyfit.training import EarlyLearningNet, class_softmax, row_weighted

if TYPE_CHECKING:
    import torch


class PanelNet(EarlyLearningNet):
    """skorch net of a `StackedMLP`, each network of which leaves some rows out.

    Parameters
    ----------
    module : StackedMLP
        Returns logits (n_rows, n_networks, n_classes).
    takes : tensor of shape (n_source, n_networks), bool
        Rows that each network is trained on.
    early_learning : bool, default=False
        Whether the loss has the penalty of `EarlyLearningNet`, with moving averages for each
        network.
    **kwargs : object
        As of `EarlyLearningNet`.

    Notes
    -----
    A network's gradient from a row that it leaves out is exactly zero: nothing of the row's label
    reaches it. (In float16, an overflow in one network leaves the step out for all of them.)
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        takes: torch.Tensor,
        early_learning: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, **kwargs)
        self.takes = takes
        self.early_learning = early_learning

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Bring the choice of rows to the device: from elsewhere each batch would wait for it."""
        super().on_train_begin(net, **kwargs)
        self.takes = self.takes.to(self.device)

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Add up the mean losses of the networks, each over the rows that it takes."""
        logits, ids = self.infer(X), X["index"]
        takes = self.takes[ids].to(logits.dtype)
        of_all = logits.flatten(0, 1)
        losses = cross_entropy(of_all, y.repeat_interleave(takes.shape[1]), reduction="none")
        losses = losses.view_as(takes)
        if self.early_learning:
            losses = losses + self.penalty(class_softmax(of_all).view_as(logits), ids)
        losses = losses * takes
        weighted = row_weighted(losses.t(), X)
        loss = (weighted.sum(1) / takes.sum(0).clamp(min=1)).sum()
        return {"loss": loss, "y_pred": logits, "sample_loss": losses.sum(1)}
