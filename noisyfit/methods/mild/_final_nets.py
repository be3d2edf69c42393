"""Nets of the last training, in which the dropped rows are learned from without their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import nn
from torch.nn.functional import normalize, one_hot

from noisyfit.training import (
    ContrastiveMemory,
    LastLayerInputs,
    NoisyNet,
    class_softmax,
    frozen_batch_statistics,
    guess_labels,
    interpolated_contrastive,
    linear_ramp,
    mixmatch_loss,
    mixup,
    mixup_factor,
    partly_labeled_cross_entropy,
    positive_codes,
    row_weighted,
    soft_cross_entropy,
)

if TYPE_CHECKING:
    import numpy as np

_PRIOR_WEIGHT = 1.0
_N_DIMENSIONS, _ROWS_PER_CLASS = 128, 200  # 100 rows a class in two views
_MEMORY_FROM, _GUESSES_FROM = 3, 130 / 250  # MOiT's epochs without either, of its 250
OF_CONTRASTIVE = {
    "purpose": "semi_supervised='mixup_contrastive'",
    "way_out": "use semi_supervised='mixmatch'",
}
"""What `LastLayerInputs` says to users whose network has no features."""


class FinalSettings(NamedTuple):
    """What the last training is set to, all numbers settled."""

    epochs: int
    """Epochs of it."""
    n_views: int
    """K, views of each row for MixMatch."""
    temperature: float
    """T of sharpening, or tau of the contrastive loss."""
    mixup_alpha: float
    """Both parameters of the beta distribution of mixup's factor; 0: no mixup."""
    lambda_noisy: float
    """lambda_u."""
    lambda_ramp_epochs: int
    """Epochs over which lambda_u rises from 0."""


class PartlyLabeledNet(NoisyNet):
    """Net that learns from the labels of some rows only.

    Parameters
    ----------
    module : torch.nn.Module, class or instance
        Returns logits of shape (n_rows, n_classes).
    settings : FinalSettings or None, default=None
        All numbers of the method, resolved. None only where nothing is trained.
    labeled : ndarray of shape (n_samples,), bool, or None, default=None
        Rows whose label is learned from. None only where nothing is trained.
    **kwargs
        Parameters of `NoisyNet`.
    """

    training_only: ClassVar[tuple[str, ...]] = (*NoisyNet.training_only, "settings", "labeled")

    def __init__(
        self,
        module: Any,
        *,
        settings: FinalSettings | None = None,
        labeled: np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.settings: Any = settings
        self.labeled: Any = labeled

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Bring the mask to the device."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        self.labeled_ = torch.tensor(self.labeled, device=self.device)

    def mixed(
        self, inputs: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
        """Blend each row with another one of the batch, of which it stays the larger part.

        Parameters
        ----------
        inputs : tensor of shape (n_rows, ...)
            Rows.
        target : tensor of shape (n_rows, n_classes)
            What they learn.

        Returns
        -------
        inputs, target : tensor
            Blended.
        partner : tensor of shape (n_rows,), int64
            The other rows.
        factor : float
            Share of the row itself.
        """
        alpha = self.settings.mixup_alpha
        factor = mixup_factor(alpha) if alpha > 0 else 1.0
        partner = torch.randperm(len(inputs), device=inputs.device)
        return *mixup(inputs, target, partner, factor), partner, factor

    def release(self) -> PartlyLabeledNet:
        """Drop what only training needs."""
        self.__dict__.pop("labeled_", None)
        self.settings = self.labeled = None
        super().release()
        return self


class MixMatchNet(PartlyLabeledNet):
    """Net that learns by MixMatch's step from kept labels and from guesses for all other rows.

    Parameters
    ----------
    module, settings, labeled, **kwargs
        As of `PartlyLabeledNet`.
    prior : ndarray of shape (n_classes,), or None, default=None
        pi, near which the mean prediction is kept. None only where nothing is trained.
    """

    training_only: ClassVar[tuple[str, ...]] = (*PartlyLabeledNet.training_only, "prior")

    def __init__(self, module: Any, *, prior: np.ndarray | None = None, **kwargs: Any) -> None:
        super().__init__(module, **kwargs)
        self.prior: Any = prior

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Bring the prior to the device."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        self.prior_ = torch.tensor(self.prior, dtype=torch.float32, device=self.device)

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of one batch: MixMatch's, with DivideMix's penalty."""
        at, labeled = self.settings, self.labeled_[X["index"]]
        views = (X["x"], *X.get("views", ()))
        inputs = torch.cat(views)
        with torch.no_grad(), frozen_batch_statistics(self.module_):
            asked = class_softmax(self.infer(inputs))
        by_view = asked.view(len(views), len(y), -1)
        guessed = guess_labels(by_view, at.temperature)
        given = one_hot(y, guessed.shape[1]).to(guessed.dtype)
        target = torch.where(labeled.unsqueeze(1), given, guessed).repeat(len(views), 1)
        inputs, target, _, _ = self.mixed(inputs, target)
        risen = linear_ramp(len(self.history), 0, at.lambda_ramp_epochs)
        loss = mixmatch_loss(
            self.infer(inputs),
            target,
            labeled,
            X,
            guessed_weight=at.lambda_noisy * risen,
            prior_weight=_PRIOR_WEIGHT,
            prior=self.prior_,
        )
        mean = by_view.mean(0).clamp_min(1e-30).log()
        seen = {"y_pred": mean, "sample_loss": self.criterion_(mean, y)}
        return {"loss": loss, **seen, "kept": labeled}

    def release(self) -> MixMatchNet:
        """Drop what only training needs."""
        self.__dict__.pop("prior_", None)
        self.prior = None
        super().release()
        return self


class MixupContrastiveNet(PartlyLabeledNet):
    """Net that learns mixed labels, and to lay rows near those that are like them.

    Parameters
    ----------
    module, settings, labeled, **kwargs
        As of `PartlyLabeledNet`.
    n_features : int or None, default=None
        Inputs of the last linear layer, which are projected. None only where nothing is trained.

    Attributes
    ----------
    head_ : torch.nn.Linear or None
        The projection; None after the training.
    memory_ : ContrastiveMemory
        Projections of the last batches.
    """

    training_only: ClassVar[tuple[str, ...]] = (*PartlyLabeledNet.training_only, "n_features")

    def __init__(self, module: Any, *, n_features: int | None = None, **kwargs: Any) -> None:
        super().__init__(module, **kwargs)
        self.n_features = n_features

    def initialize_module(self, *args: Any, **kwargs: Any) -> MixupContrastiveNet:
        """Build the module, and the head beside it."""
        super().initialize_module(*args, **kwargs)
        if self.n_features is not None:
            self.head_: Any = nn.Linear(self.n_features, _N_DIMENSIONS)
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start with an empty memory."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        assert self.n_classes is not None, "nets of a fit know their classes"
        self.memory_ = ContrastiveMemory(_ROWS_PER_CLASS * self.n_classes)

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **step: Any
    ) -> None:
        """Remember a batch, here and not in the step, which some optimizers repeat."""
        super().on_batch_end(net, batch=batch, training=training, **step)
        if training:
            self.memory_.push(step["projections"], step["codes"])

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of one batch: mixed cross-entropy, and the contrastive loss on batch and memory."""
        at, labeled, n_classes = self.settings, self.labeled_[X["index"]], self.n_classes
        assert n_classes is not None, "nets of a fit know their classes"
        with torch.no_grad(), frozen_batch_statistics(self.module_):
            plain = self.infer(X)
        guesses = len(self.history) > _GUESSES_FROM * at.epochs
        given = one_hot(y, n_classes).to(plain.dtype)
        other = class_softmax(plain) if guesses else torch.zeros_like(given)
        target = torch.where(labeled.unsqueeze(1), given, other)
        own = positive_codes(y, X["index"].to(y.device), labeled, n_classes)

        views = [self.mixed(view, target) for view in X["views"]]
        target = torch.cat([view[1] for view in views])
        codes = own.repeat(len(views)), torch.cat([own[view[2]] for view in views])
        factor = torch.cat([target.new_full((len(y),), view[3]) for view in views])
        with LastLayerInputs(self.module_, **OF_CONTRASTIVE) as caught:
            logits = self.infer(torch.cat([view[0] for view in views]))
        z = normalize(self.head_(caught.of(logits)))

        others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        near = interpolated_contrastive(z, z, codes, codes[0], factor, at.temperature, others)
        memory = self.memory_
        if len(self.history) > _MEMORY_FROM and memory.z is not None and memory.codes is not None:
            near = near + interpolated_contrastive(
                z, memory.z, codes, memory.codes, factor, at.temperature
            )
        named = row_weighted(soft_cross_entropy(logits, target), X, len(views))
        loss = (
            partly_labeled_cross_entropy(named, target) + row_weighted(near, X, len(views)).mean()
        )
        seen = {"y_pred": plain, "sample_loss": self.criterion_(plain, y), "kept": labeled}
        return {"loss": loss, **seen, "projections": z, "codes": codes[0]}

    def stage_state(self) -> dict[str, Any]:
        """Return the head and the memory."""
        memory = {"z": self.memory_.z, "codes": self.memory_.codes}
        return {**super().stage_state(), "head": dict(self.head_.state_dict()), **memory}

    def load_stage_state(self, state: dict[str, Any]) -> None:
        """Take back what `stage_state` returned."""
        super().load_stage_state(state)
        self.head_.load_state_dict(state["head"])
        self.memory_.z, self.memory_.codes = state["z"], state["codes"]

    def release(self) -> MixupContrastiveNet:
        """Drop what only training needs."""
        self.__dict__.pop("memory_", None)
        self.head_ = self.n_features = None
        super().release()
        return self
