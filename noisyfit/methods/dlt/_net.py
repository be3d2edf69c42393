"""`ThresholdNet`: the training step of dynamic loss thresholding (Yang et al. 2021)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch.nn.functional import one_hot

from noisyfit.data import batch_sizes
from noisyfit.methods.dlt._debias import MarginalDistribution
from noisyfit.training import (
    NO_LABEL,
    LastEpoch,
    NoisyNet,
    SlidingWindow,
    class_softmax,
    clean_partner,
    frozen_batch_statistics,
    guess_labels,
    linear_ramp,
    mixmatch_loss,
    mixup,
    mixup_factor,
    selection_proportion,
    without_unlabeled,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class ThresholdSettings(NamedTuple):
    """What dynamic loss thresholding is set to; symbols of the paper, all numbers settled."""

    noise_rate: float
    """w, in [0, 1)."""
    warmup_epochs: int
    """T_warm, at least 1."""
    ramp_epochs: int
    """T_grad."""
    window: int | None
    """s, in batches; None: the last epoch strategy."""
    split_mode: str
    """``"training"`` or ``"evaluation"``: batch normalisation and dropout in the split forward."""
    temperature: float
    """T of sharpening."""
    mixup_alpha: float
    """Both parameters of the beta distribution of mixup's factor; 0: no mixup."""
    lambda_noisy: float
    """lambda_n."""
    lambda_ramp_epochs: int
    """Epochs after the warm-up over which lambda_n rises from 0."""
    lambda_prior: float
    """lambda_r."""
    prior: np.ndarray | None
    """pi, (n_classes,); None: uniform."""
    debias: float = 0.0
    """tau of the debiased losses to select by; files of earlier versions do not have it."""


class ThresholdNet(NoisyNet):
    """Net that splits each batch by a loss threshold and learns from both parts.

    Parameters
    ----------
    module : torch.nn.Module, class or instance
        Returns logits of shape (n_rows, n_classes).
    settings : ThresholdSettings
        All numbers of the method, resolved.
    trusted : ndarray of shape (n_samples,), bool
        Rows that are in the clean part whatever their loss.
    unlabeled : ndarray of shape (n_samples,), bool, or None, default=None
        Rows without a label, which are never in the clean part. None: there are none.
    **kwargs
        Parameters of `NoisyNet`.

    Attributes
    ----------
    kept_ : tensor of shape (n_samples,), bool
        Rows that were in the clean part when last seen.
    thresholds_ : list of tensor of shape ()
        The threshold of every batch after the warm-up.

    Notes
    -----
    Beside the loss it keeps a memory of past losses, from which the thresholds are taken.

    A step after the warm-up makes one forward in the standard view for the split, one over the K
    views for the pseudo-labels, both without gradient and without touching batch normalisation's
    running statistics, and one forward and backward over the mixed views.
    """

    training_only: ClassVar[tuple[str, ...]] = (*NoisyNet.training_only, "trusted", "unlabeled")

    def __init__(
        self,
        module: Any,
        *,
        settings: ThresholdSettings,
        trusted: np.ndarray,
        unlabeled: np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.settings = settings
        self.trusted: Any = trusted
        self.unlabeled: Any = unlabeled

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start with empty memories."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        window, device = self.settings.window, self.device
        largest = max(batch_sizes(len(X), self.batch_size))
        self.memory_ = LastEpoch() if window is None else SlidingWindow(window, largest)
        self.trusted_ = torch.tensor(self.trusted, device=device)
        self.unlabeled_ = (
            None if self.unlabeled is None else torch.tensor(self.unlabeled).to(device)
        )
        labeled = 1.0 if self.unlabeled is None else 1 - self.unlabeled[X.index.numpy()].mean()
        self.labeled_share_ = float(labeled)
        self.kept_ = torch.ones(len(self.trusted), dtype=torch.bool, device=device)
        self.thresholds_: list[torch.Tensor] = []
        prior, debias = self.settings.prior, self.settings.debias
        self.prior_ = (
            None if prior is None else torch.tensor(prior, dtype=torch.float32, device=device)
        )
        self.marginal_ = MarginalDistribution(debias, self.prior_) if debias > 0 else None

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Set the share to select and the weight of the noisy part for this epoch."""
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)
        at, epoch = self.settings, len(self.history)
        self.memory_.next_epoch()
        self.share_ = selection_proportion(
            epoch,
            noise_rate=at.noise_rate,
            warmup_epochs=at.warmup_epochs,
            ramp_epochs=at.ramp_epochs,
        )
        self.share_ *= self.labeled_share_
        risen = linear_ramp(epoch, at.warmup_epochs, at.lambda_ramp_epochs)
        self.lambda_noisy_ = at.lambda_noisy * risen

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **step: Any
    ) -> None:
        """Remember the losses of a batch, and how it was split.

        Here and not in the step itself, which some optimizers repeat.
        """
        super().on_batch_end(net, batch=batch, training=training, **step)
        if not training:
            return
        losses = self._selection_loss(step["y_pred"], batch[1], step["sample_loss"])
        if self.marginal_ is not None:
            self.marginal_.push(step["y_pred"])
        if self.unlabeled_ is not None:  # above every threshold
            losses = losses.masked_fill(self.unlabeled_[batch[0]["index"]], NO_LABEL)
        self.memory_.push(losses)
        if "kept" in step:
            self.kept_[batch[0]["index"]] = step["kept"]
            self.thresholds_.append(step["threshold"])

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Record what was selected."""
        super().on_epoch_end(net, dataset_train=dataset_train, **kwargs)
        ids = dataset_train.index.to(self.kept_.device)
        self.history.record("selection_proportion", self.share_)
        self.history.record("kept_share", float(self.kept_[ids].float().mean()))

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of one batch: plain cross-entropy in the warm-up, Eq. 6 afterwards."""
        if len(self.history) <= self.settings.warmup_epochs:
            return super().training_loss(without_unlabeled(X, self.unlabeled_), y)
        split = self.split(X, y)
        views = X.get("views") or (X["x"],)
        inputs = torch.cat(views)
        pseudo = self.pseudo_labels(inputs, len(views))
        logits, target = self._mixed(inputs, y, pseudo, split["kept"])
        loss = mixmatch_loss(
            logits,
            target,
            split["kept"],
            X,
            guessed_weight=self.lambda_noisy_,
            prior_weight=self.settings.lambda_prior,
            prior=self.prior_,
        )
        return {"loss": loss, **split}

    def split(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Divide a batch by its given labels' losses in the standard view.

        Parameters
        ----------
        X : dict
            A batch's inputs ``"x"`` and row ids ``"index"``.
        y : tensor of shape (n_rows,), int64
            Given labels.

        Returns
        -------
        dict
            ``"y_pred"``, ``"sample_loss"``, ``"threshold"``, and ``"kept"``, (n_rows,), bool: the
            clean part.
        """
        with torch.no_grad(), self._without_traces(self.settings.split_mode):
            logits = self.infer(X)
            losses = self.criterion_(logits, y)
        threshold = self.memory_.threshold(self.share_)
        kept = (self._selection_loss(logits, y, losses) <= threshold) | self.trusted_[X["index"]]
        if self.unlabeled_ is not None:
            kept &= ~self.unlabeled_[X["index"]]
        return {"y_pred": logits, "sample_loss": losses, "threshold": threshold, "kept": kept}

    def _selection_loss(
        self, logits: torch.Tensor, y: torch.Tensor, sample_loss: torch.Tensor
    ) -> torch.Tensor:
        """Return the losses that are compared with the threshold and of which it is a quantile."""
        if self.marginal_ is None:
            return sample_loss
        return self.criterion_(self.marginal_.debias(logits), y)

    def pseudo_labels(self, inputs: torch.Tensor, n_views: int) -> torch.Tensor:
        """Sharpened mean prediction over the views, without gradient: (n_rows, n_classes), Eq. 4.

        Parameters
        ----------
        inputs : tensor of shape (n_views * n_rows, ...)
            One view after the other.
        n_views : int
            K, number of views.

        Returns
        -------
        tensor of shape (n_rows, n_classes)
        """
        with torch.no_grad(), self._without_traces("training"):
            predicted = class_softmax(self.infer(inputs))
        by_view = predicted.reshape(n_views, -1, predicted.shape[1])
        return guess_labels(by_view, self.settings.temperature)

    def _mixed(
        self, inputs: torch.Tensor, y: torch.Tensor, pseudo: torch.Tensor, kept: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        n_views = len(inputs) // len(y)
        given = one_hot(y, pseudo.shape[1]).to(pseudo.dtype)
        target = torch.where(kept.unsqueeze(1), given, pseudo).repeat(n_views, 1)
        if self.settings.mixup_alpha > 0:
            factor = mixup_factor(self.settings.mixup_alpha)
            partner = clean_partner(kept.repeat(n_views))
            inputs, target = mixup(inputs, target, partner, factor)
        return self.infer(inputs), target

    def stage_state(self) -> dict[str, Any]:
        """Return the memory of the losses, and what was kept by which thresholds."""
        memory = {"memory": self.memory_, "kept": self.kept_, "thresholds": self.thresholds_}
        return {**super().stage_state(), **memory, "marginal": self.marginal_}

    def load_stage_state(self, state: dict[str, Any]) -> None:
        """Take back what `stage_state` returned."""
        super().load_stage_state(state)
        self.memory_, self.kept_ = state["memory"], state["kept"]
        self.thresholds_, self.marginal_ = state["thresholds"], state["marginal"]

    def threshold_history(self) -> np.ndarray:
        """Thresholds of the epochs after the warm-up, one a batch or, for the last epoch, one.

        Returns
        -------
        ndarray of shape (n_epochs, n_batches) or (n_epochs,), in nats
        """
        if not self.thresholds_:
            return np.empty((0,) if self.settings.window is None else (0, 0), dtype=np.float32)
        n_epochs = len(self.history) - self.settings.warmup_epochs
        by_batch = torch.stack(self.thresholds_).view(n_epochs, -1).cpu().numpy()
        return by_batch if self.settings.window is not None else by_batch[:, 0]

    @contextmanager
    def _without_traces(self, mode: str) -> Iterator[None]:
        """Leave no trace of a forward in batch normalisation's running statistics."""
        if mode == "evaluation":
            self._set_training(False)
            try:
                yield
            finally:
                self._set_training(True)
            return
        with frozen_batch_statistics(self.module_):
            yield

    def release(self) -> ThresholdNet:
        """Drop what only training needs."""
        for name in (
            "memory_",
            "trusted_",
            "unlabeled_",
            "kept_",
            "thresholds_",
            "prior_",
            "marginal_",
        ):
            self.__dict__.pop(name, None)
        self.trusted = self.unlabeled = None
        super().release()
        return self
