"""`MeanProbability`: what a network says of rows that it did not train on, averaged over epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from noisyfit.training import class_softmax

_SMOOTH = 1e-4
"""Added to probabilities before the logarithm is taken."""
SETTLED, _LAST = 0.02, 3
"""Share of its rows that a mean has named another class in so many epochs, if it has settled."""
_STATE = ("sum_", "n_epochs_", "best_", "likelihood_", "recent_")


class MeanProbability(Callback):
    """skorch callback that averages out-of-fold probabilities over all epochs but the first.

    Parameters
    ----------
    y : tensor of shape (n_source,), int64
        Given labels.
    counts : tensor of shape (n_repeats, n_source), bool
        Whether a row's judge has not trained on it: the likelihood of these labels says up to which
        epoch the average is best.
    judge : tensor of shape (n_repeats, n_source), int64, or None, default=None
        For a `PanelNet`: the network that judges each row. Its predictions come from the training
        step, at no cost.
    held_out : Rows or None, default=None
        For any other net: rows to look at after each epoch.
    ends_stage : bool, default=False
        Whether the stage ends once what the average predicts has settled.
    """

    def __init__(
        self,
        y: Any,
        counts: Any,
        judge: Any = None,
        held_out: Any = None,
        ends_stage: bool = False,
    ) -> None:
        self.y, self.counts, self.judge, self.held_out = y, counts, judge, held_out
        self.ends_stage = ends_stage
        self.recent_: list[torch.Tensor] = []
        self.sum_: torch.Tensor | None = None
        self.n_epochs_ = 0
        self.best_: torch.Tensor | None = None
        self.likelihood_ = -np.inf

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Bring the choice of judges to the device: from elsewhere each batch would wait for it."""
        self.y, self.counts = self.y.to(net.device), self.counts.to(net.device)
        if self.judge is not None:
            self.judge = self.judge.to(net.device)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget the first epoch when the second begins; an only one counts."""
        if self.n_epochs_ == 1 and self.sum_ is not None:
            self.sum_.zero_()
        self.n_epochs_ += 1

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, y_pred: Any = None, **kwargs: Any
    ) -> None:
        """Add what the judges of a batch's rows say."""
        if self.judge is None or not training:
            return
        ids = batch[0]["index"]
        rows = torch.arange(len(ids), device=ids.device)
        for r, of_rows in enumerate(self.judge[:, ids]):
            self._add(r, ids, y_pred[rows, of_rows])

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Look at the rows that were left out, and at how well labels are predicted so far."""
        if self.held_out is not None:
            for batch in net.get_iterator(self.held_out, training=False):
                self._add(0, batch[0]["index"], net.evaluation_step(batch, training=False))
        if self.n_epochs_ > 1 and self.sum_ is not None:
            self._keep_best(self.sum_ / (self.n_epochs_ - 1))
            if self.ends_stage and self._has_settled():
                net.stops_ = True

    def _has_settled(self) -> bool:
        """Say whether the average names the classes that it named some epochs ago, and knows some.

        Each given class counts alike: a rare one is learned while nothing else changes any more.
        A row is added to those that changed, since of few rows none may, by chance.
        """
        rows = self.counts[0]
        if len(self.recent_) <= _LAST or not rows.any():
            return False
        y, predicted, before = self.y[rows], self.recent_[-1][rows], self.recent_[0][rows]
        sizes = y.bincount()
        if (predicted == y).sum() <= sizes.max():
            return False
        changed = y[predicted != before].bincount(minlength=len(sizes))
        return bool((changed / sizes)[sizes > 0].mean() + 1 / len(y) < SETTLED)

    def _keep_best(self, mean: torch.Tensor) -> None:
        of_given = mean.gather(2, self.y.expand(len(mean), -1)[:, :, None])[:, :, 0]
        likelihood = float(of_given[self.counts].add(_SMOOTH).log().mean())
        if self.ends_stage:
            self.recent_ = [*self.recent_[-_LAST:], mean[0].argmax(dim=1)]
        if likelihood > self.likelihood_:  # not so of NaN, where no row counts
            self.best_, self.likelihood_ = mean, likelihood

    def _add(self, repeat: int, ids: torch.Tensor, logits: torch.Tensor) -> None:
        if self.sum_ is None:
            n_repeats = 1 if self.judge is None else len(self.judge)
            shape = (n_repeats, len(self.y), logits.shape[1])
            self.sum_ = torch.zeros(shape, device=logits.device)
        self.sum_[repeat, ids] += class_softmax(logits)

    def result(self) -> np.ndarray:
        """Return the means over all epochs.

        Returns
        -------
        ndarray of shape (n_repeats, n_source, n_classes), float32
        """
        assert self.sum_ is not None, "an epoch has been trained"
        return (self.sum_ / max(1, self.n_epochs_ - 1)).cpu().numpy()

    def best(self) -> np.ndarray:
        """Return the means up to the epoch at which they predict the given labels best.

        Returns
        -------
        ndarray of shape (n_repeats, n_source, n_classes), float32
        """
        return self.result() if self.best_ is None else self.best_.cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Return sums and best means, for a checkpoint."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned.

        Parameters
        ----------
        state : dict
            Sums and best means by name.
        """
        for name in _STATE:
            setattr(self, name, state[name])
