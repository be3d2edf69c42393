"""Choose an epoch by rows that are not trained on, whose labels may be as wrong as all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skorch.callbacks import Callback

if TYPE_CHECKING:
    import torch


class BestEpoch(Callback):
    """skorch callback by which a stage ends with the weights of its best epoch.

    That is the epoch with the highest ``valid_acc``, the last one of several.

    Attributes
    ----------
    best_score_ : float
        Highest accuracy of the stage so far.
    weights_ : dict of str to tensor, or None
        The weights that predict after that epoch.
    """

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin a stage."""
        self.best_score_ = -1.0
        self.weights_: dict[str, torch.Tensor] | None = None

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Keep the weights if no epoch was better."""
        score = net.history[-1].get("valid_acc", -1.0)  # missing if all such rows were dropped
        if score >= max(self.best_score_, 0.0):
            self.best_score_, self.weights_ = float(score), net.predicting_state()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Go back to the weights that were kept."""
        if self.weights_ is not None:
            net.module_.load_state_dict(self.weights_)
        self.weights_ = None

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept, for a checkpoint."""
        return {"best_score": self.best_score_, "weights": self.weights_}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned.

        Parameters
        ----------
        state : dict
            Of the same stage.
        """
        self.best_score_, self.weights_ = state["best_score"], state["weights"]
