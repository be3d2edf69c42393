"""`DecisionRecorder`: what the meta step decided on each row, summed up over the training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from skorch.callbacks import Callback

if TYPE_CHECKING:
    import numpy as np

_SUMS = ("weight_sum_", "trust_sum_", "n_seen_")


class DecisionRecorder(Callback):
    """skorch callback that adds up the weights and labels that a `MetaNet` decides on.

    It writes the means of an epoch into the history: ``unused_share``, ``probe_loss`` and, with
    `relabel`, ``trust``.

    Parameters
    ----------
    relabel : bool
        Whether the net chooses between given labels and its own guesses.
    """

    def __init__(self, relabel: bool) -> None:
        self.relabel = relabel

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Start with empty sums, one for each row of the source."""
        zeros = partial(torch.zeros, len(X.source), device=net.device)
        self.weight_sum_, self.trust_sum_, self.n_seen_ = zeros(), zeros(), zeros()

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start the lists of an epoch."""
        self._of_epoch: dict[str, list[torch.Tensor]] = {}

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **step: Any
    ) -> None:
        """Add up what was decided on the rows of a batch; nothing leaves the device."""
        if not training or "weight" not in step:
            return
        ids, n_rows = batch[0]["index"], len(batch[1])
        self.weight_sum_[ids] += n_rows * step["weight"]
        self.trust_sum_[ids] += step["given_preferred"]
        self.n_seen_[ids] += 1
        decided = ("weight", "given_preferred", "probe_loss")
        for name in decided if self.relabel else ("weight", "probe_loss"):
            self._of_epoch.setdefault(name, []).append(step[name].view(-1))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the means of the epoch to the history."""
        if not self._of_epoch:
            return
        values = {name: torch.cat(parts) for name, parts in self._of_epoch.items()}
        values["weight"] = (values["weight"] == 0).float()
        means = torch.stack([part.mean() for part in values.values()]).tolist()
        names = {"weight": "unused_share", "given_preferred": "trust", "probe_loss": "probe_loss"}
        for name, mean in zip(values, means, strict=True):
            net.history.record(names[name], mean)

    def row_means(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what was decided on each row of the source over the run, NaN if never seen.

        Returns
        -------
        weights : ndarray of shape (n_source,), float64
            Mean weight, in units of the equal weight of a batch.
        trust : ndarray of shape (n_source,), float64
            Proportion of the epochs in which the given label was preferred.
        """
        sums = torch.stack([self.weight_sum_, self.trust_sum_])
        weights, trust = (sums / self.n_seen_).double().cpu().numpy()
        return weights, trust

    def state_dict(self) -> dict[str, Any]:
        """Return the sums, for a checkpoint."""
        return {name: getattr(self, name) for name in _SUMS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned.

        Parameters
        ----------
        state : dict
            The sums by name.
        """
        for name in _SUMS:
            setattr(self, name, state[name])
