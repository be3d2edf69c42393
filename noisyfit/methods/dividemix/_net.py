"""`DivideNet`: the training step of DivideMix (Li, Socher and Hoi 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch

from noisyfit.data import batch_sizes
from noisyfit.methods.dividemix._division import clean_probability
from noisyfit.modules import log_mean_softmax
from noisyfit.training import (
    NO_LABEL,
    LastEpoch,
    NoisyNet,
    SlidingWindow,
    class_softmax,
    frozen_batch_statistics,
    guess_labels,
    linear_ramp,
    map_logits,
    mixmatch_loss,
    mixup,
    mixup_factor,
    refine_labels,
    row_weighted,
    selection_proportion,
    without_unlabeled,
)

if TYPE_CHECKING:
    from noisyfit.data import Rows
    from noisyfit.methods.dividemix._settings import DivideSettings
    from noisyfit.modules import MeanNetwork

_PAIR = (0, 1)
_HALF_BELIEVED = 0.5  # w_b of DLT*, whose threshold says only on which side a label lies


class DivideNet(NoisyNet):
    """Net of two networks, each of which learns from what the other takes for right labels.

    Parameters
    ----------
    module : MeanNetwork
        The two networks.
    settings : DivideSettings
        All numbers of the method, resolved.
    rows : Rows
        All rows, to be divided.
    trusted : ndarray of shape (n_samples,), bool
        Rows whose label is believed whatever its loss.
    fitted : ndarray of shape (n_samples,), bool
        Rows with a label that is trained on, to which the mixture is fitted.
    unlabeled : ndarray of shape (n_samples,), bool, or None, default=None
        Rows without a label. None: there are none.
    **kwargs
        Parameters of `NoisyNet`.

    Attributes
    ----------
    labeled_ : tensor of shape (2, n_samples), bool
        Rows whose label each network believed when they were last seen.

    Notes
    -----
    Both networks see the same batches and views, so that each is asked once a step for the sake of
    both; they differ by their weights at the start, by mixup and by what they learn from. The loss
    is the sum of theirs: a network's gradient is what it would be alone.
    """

    training_only: ClassVar[tuple[str, ...]] = (
        *NoisyNet.training_only,
        *("settings", "rows", "trusted", "fitted", "unlabeled"),
    )

    def __init__(
        self,
        module: Any,
        *,
        settings: DivideSettings,
        rows: Rows,
        trusted: np.ndarray,
        fitted: np.ndarray,
        unlabeled: np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.settings: Any = settings
        self.rows: Any = rows
        self.trusted: Any = trusted
        self.fitted: Any = fitted
        self.unlabeled: Any = unlabeled

    @property
    def _pair(self) -> MeanNetwork:
        return cast("MeanNetwork", self.module_)

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start with nothing remembered."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        device, prior = self.device, self.settings.prior
        self.trusted_ = torch.tensor(self.trusted, device=device)
        self.unlabeled_ = (
            None if self.unlabeled is None else torch.tensor(self.unlabeled).to(device)
        )
        labeled = 1.0 if self.unlabeled is None else 1 - self.unlabeled[X.index.numpy()].mean()
        self.labeled_share_ = float(labeled)
        self.prior_ = None if prior is None else torch.tensor(prior).float().to(device)
        self.labeled_ = torch.ones(2, len(self.trusted), dtype=torch.bool, device=device)
        self.memories_: list[Any] = []
        if self.settings.threshold is not None:
            window, largest = (
                self.settings.threshold.window,
                max(batch_sizes(len(X), self.batch_size)),
            )
            self.memories_ = [
                LastEpoch() if window is None else SlidingWindow(window, largest) for _ in _PAIR
            ]

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Divide the rows, if that is done once an epoch."""
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)
        for memory in self.memories_:
            memory.next_epoch()
        if len(self.history) > self.settings.warmup_epochs and not self.memories_:
            self.clean_ = torch.tensor(self.divide(), dtype=torch.float32, device=self.device)

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **step: Any
    ) -> None:
        """Remember the losses of a batch, and how it was divided."""
        super().on_batch_end(net, batch=batch, training=training, **step)
        if not training:
            return
        ids = batch[0]["index"]
        if self.memories_:
            losses = step["network_losses"]
            if self.unlabeled_ is not None:  # above every threshold
                losses = losses.masked_fill(self.unlabeled_[ids], NO_LABEL)
            for memory, of_network in zip(self.memories_, losses, strict=True):
                memory.push(of_network)
        if "labeled" in step:
            self.labeled_[:, ids] = step["labeled"]

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Record how many labels were believed."""
        super().on_epoch_end(net, dataset_train=dataset_train, **kwargs)
        ids = dataset_train.index.to(self.labeled_.device)
        self.history.record("kept_share", float(self.labeled_[:, ids].float().mean()))

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of one batch: plain cross-entropy in the warm-up, Eq. 12 afterwards."""
        if len(self.history) <= self.settings.warmup_epochs:
            return self._warm_up(X, y)
        views = X.get("views") or (X["x"],)
        inputs = torch.cat(views)
        with torch.no_grad(), frozen_batch_statistics(self.module_):
            split = self.split(X, y)
            asked = torch.stack([class_softmax(self.infer_alone(k, inputs)) for k in _PAIR])
        by_view = asked.view(2, len(views), len(y), -1)
        guessed = guess_labels(by_view.flatten(0, 1), self.settings.temperature)
        losses = [self._loss_of(k, X, inputs, y, by_view[k].mean(0), guessed, split) for k in _PAIR]
        mean = by_view.mean((0, 1)).clamp_min(1e-30).log()
        seen = {"y_pred": mean, "sample_loss": self.criterion_(mean, y)}
        return {"loss": losses[0] + losses[1], **seen, **split}

    def _warm_up(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = torch.stack([self.infer_alone(k, X) for k in _PAIR])
        losses = torch.stack([self.criterion_(of_network, y) for of_network in logits])
        batch = without_unlabeled(X, self.unlabeled_)
        loss = sum(row_weighted(of_network, batch).mean() for of_network in losses)
        mean = log_mean_softmax(logits.detach())
        seen = {"y_pred": mean, "sample_loss": self.criterion_(mean, y)}
        return {"loss": torch.as_tensor(loss), **seen, "network_losses": losses}

    def infer_alone(self, network: int, x: Any) -> torch.Tensor:
        """Compute the logits of one network for a batch.

        Parameters
        ----------
        network : int
            0 or 1.
        x : tensor or dict
            As for `infer`.

        Returns
        -------
        tensor of shape (n_rows, n_classes)
        """
        with self._pair.alone(network):
            return self.infer(x)

    def split(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Say which labels of a batch each network believes, and how much.

        Parameters
        ----------
        X : dict
            A batch's inputs ``"x"`` and row ids ``"index"``.
        y : tensor of shape (n_rows,), int64
            Given labels.

        Returns
        -------
        dict
            ``"labeled"``, (2, n_rows), bool, and ``"belief"``, (2, n_rows), w; ``"kept"``,
            (n_rows,), bool: what both believe. With thresholds ``"network_losses"`` as well.
        """
        ids, losses = X["index"], {}
        if self.memories_:
            of_networks = [self.criterion_(self.infer_alone(k, X), y) for k in _PAIR]
            losses = {"network_losses": torch.stack(of_networks)}
            labeled = losses["network_losses"] <= self._thresholds().unsqueeze(1)
            labeled |= self.trusted_[ids]
            if self.unlabeled_ is not None:
                labeled &= ~self.unlabeled_[ids]
            belief = torch.where(self.trusted_[ids], 1.0, _HALF_BELIEVED).expand(2, -1)
        else:
            belief = self.clean_[:, ids]
            labeled = belief > self.settings.p_threshold
        return {"labeled": labeled, "belief": belief, "kept": labeled.all(0), **losses}

    def _loss_of(
        self,
        network: int,
        X: dict[str, Any],
        inputs: torch.Tensor,
        y: torch.Tensor,
        own: torch.Tensor,
        guessed: torch.Tensor,
        split: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        """Loss of one network, Eq. 12, with the labels that the other one believes."""
        at, n_views = self.settings, len(inputs) // len(y)
        labeled, belief = split["labeled"][1 - network], split["belief"][1 - network]
        refined = refine_labels(y, own, belief, at.temperature)
        target = torch.where(labeled.unsqueeze(1), refined, guessed).repeat(n_views, 1)
        if at.mixup_alpha > 0:
            partner = torch.randperm(len(inputs), device=inputs.device)
            inputs, target = mixup(inputs, target, partner, mixup_factor(at.mixup_alpha))
        risen = linear_ramp(len(self.history), at.warmup_epochs, at.lambda_ramp_epochs)
        return mixmatch_loss(
            self.infer_alone(network, inputs),
            target,
            labeled,
            X,
            guessed_weight=at.lambda_noisy * risen,
            prior_weight=at.lambda_prior,
            prior=self.prior_,
        )

    def _thresholds(self) -> torch.Tensor:
        """Return the loss threshold of each network, (2,)."""
        at = self.settings.threshold
        share = self.labeled_share_ * selection_proportion(
            len(self.history),
            noise_rate=at.noise_rate,
            warmup_epochs=self.settings.warmup_epochs,
            ramp_epochs=at.ramp_epochs,
        )
        return torch.stack([memory.threshold(share) for memory in self.memories_])

    def divide(self) -> np.ndarray:
        """Judge the labels of all rows by the networks as they are, in evaluation mode.

        Returns
        -------
        ndarray of shape (2, n_samples)
            w of each network, the probability that a label is right; with thresholds 0 or 1.
        """
        losses = []
        for network in _PAIR:
            with self._pair.alone(network):
                losses.append(map_logits(self, self.rows, self.criterion_))
        if self.memories_:
            thresholds = self._thresholds().cpu().numpy()
            clean = (np.stack(losses) <= thresholds[:, None]).astype(np.float64)
        else:
            clean = np.stack([clean_probability(one, self.fitted) for one in losses])
        clean[:, self.trusted] = 1
        if self.unlabeled is not None:
            clean[:, self.unlabeled] = 0
        return clean

    def stage_state(self) -> dict[str, Any]:
        """Return what was believed, and the memories of the losses."""
        return {
            **super().stage_state(),
            "labeled": self.labeled_,
            "memories": self.memories_,
        }

    def load_stage_state(self, state: dict[str, Any]) -> None:
        """Take back what `stage_state` returned."""
        super().load_stage_state(state)
        self.labeled_, self.memories_ = state["labeled"], state["memories"]

    def release(self) -> DivideNet:
        """Drop what only training needs."""
        for name in ("trusted_", "unlabeled_", "prior_", "labeled_", "memories_", "clean_"):
            self.__dict__.pop(name, None)
        self.settings = self.rows = self.trusted = self.fitted = self.unlabeled = None
        super().release()
        return self
