"""`NoisyNet`: the net that all methods train, in stages and with one hook."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from skorch.callbacks import EpochScoring, LRScheduler, PassthroughScoring, PrintLog

from noisyfit._ranks import sharing
from noisyfit.data import BatchLoader, Rows
from noisyfit.training._distributed import same_weights
from noisyfit.training._engine import Engine
from noisyfit.training._losses import row_weighted
from noisyfit.training._schedule import CosineSchedule, NoSchedule, StageSchedule, named_schedule
from noisyfit.training._users_callbacks import log_numbers_only, weights_file
from noisyfit.training._validation import BestEpoch


class NoisyNet(ClassifierMixin, Engine):
    """skorch net that trains on `Rows`; a method replaces the loss, and says what else.

    Parameters
    ----------
    module : torch.nn.Module, class or instance
        Returns logits of shape (n_rows, n_classes).
    criterion : default=torch.nn.CrossEntropyLoss
        Built with ``reduction="none"``.
    precision : torch.dtype or None, default=None
        Autocast type of the forward pass; None: float32 throughout. In float16 the loss is scaled
        for the backward pass, since small gradients would vanish.
    n_classes : int or None, default=None
        Number of logits that the module has to return; None: any.
    checkpoint : object or None, default=None
        Keeps the state of a stage on disk and says where it goes on, as
        `noisyfit.persistence.FitCheckpoint` does; None: nothing is kept.
    validates : bool, default=False
        Whether the stages get validation rows: ``valid_loss`` and ``valid_acc`` are then in the
        history, and each stage ends with the weights of its best epoch.
    schedule : {"auto", "cosine", "constant", "step"}, StepSchedule or callable, default="auto"
        How the learning rate goes on in a stage, as in the estimators. ``"auto"``: as
        `make_schedule` says.
    **kwargs : object
        skorch's parameters.

    Attributes
    ----------
    stage_ : str
        Name of the stage that is being trained, or was last; in the history as ``stage``.
    stage_epochs_ : int or None
        Length of the stage that is being trained.
    classes_ : ndarray of shape (n_classes,)
        Codes of the classes, which skorch's scoring callbacks ask for.

    Notes
    -----
    A method overrides `training_loss` and, to act between epochs, ``on_epoch_begin``. What else
    acts during training is a callback: the first of them is the schedule of the learning rate,
    which makes room for a user's `skorch.callbacks.LRScheduler`. Parts of the module whose
    parameters are all frozen are in evaluation mode throughout.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> from noisyfit.training import NoisyNet, predict_classes
    >>> X, y = np.eye(2, dtype=np.float32).repeat(20, axis=0), np.arange(2).repeat(20)
    >>> rows = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(y))
    >>> _ = torch.manual_seed(0)
    >>> net = NoisyNet(torch.nn.Linear(2, 2), lr=1.0, batch_size=8)
    >>> predict_classes(net.train_stage(rows, epochs=3), rows)[[0, -1]]
    array([0, 1])
    """

    training_only: ClassVar[tuple[str, ...]] = (
        *("optimizer", "iterator_train", "criterion", "callbacks", "dataset", "train_split"),
        *("checkpoint", "schedule"),
    )
    """Names, or beginnings of names, of settings without which a trained net predicts the same."""
    stage_: str = ""
    stage_epochs_: int | None = None

    def __init__(
        self,
        module: Any,
        criterion: Any = torch.nn.CrossEntropyLoss,
        *,
        precision: torch.dtype | None = None,
        n_classes: int | None = None,
        checkpoint: Any = None,
        validates: bool = False,
        schedule: Any = "auto",
        iterator_train: Any = BatchLoader,
        iterator_valid: Any = BatchLoader,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            criterion,
            train_split=None,
            iterator_train=iterator_train,
            iterator_valid=iterator_valid,
            **{"criterion__reduction": "none", "verbose": 0, **kwargs},
        )
        self.precision = precision
        self.n_classes = n_classes
        self.checkpoint = checkpoint
        self.validates = validates
        self.schedule = schedule

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        skorchs, own = super()._default_callbacks, []
        if not self.verbose:  # it would still print where print itself was replaced, as ray does
            skorchs = [c for c in skorchs if not isinstance(c[1], PrintLog)]
        if self.validates:
            accuracy = EpochScoring("accuracy", name="valid_acc", lower_is_better=False)
            own = [("valid_acc", accuracy), ("best_epoch", BestEpoch())]
        else:
            skorchs = [c for c in skorchs if not _is_validation_score(c[1])]
        callbacks = [c[1] if isinstance(c, (tuple, list)) else c for c in self.callbacks or ()]
        has_own = any(isinstance(callback, LRScheduler) for callback in callbacks)
        named = NoSchedule() if has_own else named_schedule(self.schedule)
        schedule = self.make_schedule() if named is None else named
        return [("schedule", schedule), *skorchs, *own]

    @property
    def classes_(self) -> np.ndarray:
        """Codes of the classes."""
        if self.n_classes is None:
            raise AttributeError("This NoisyNet was not told n_classes.")
        return np.arange(self.n_classes)

    def make_schedule(self) -> StageSchedule:
        """Return the callback that leads the learning rate through a stage, of ``"auto"``."""
        return CosineSchedule()

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of one batch. **The** hook of a method.

        Parameters
        ----------
        X : dict
            ``"x"``, the inputs, and ``"index"``, the row ids; further views under ``"views"``.
        y : tensor of shape (n_rows,), int64
            Given labels.

        Returns
        -------
        dict
            ``"loss"``, a scalar to differentiate, ``"y_pred"``, logits (n_rows, n_classes),
            ``"sample_loss"``, (n_rows,), and whatever else callbacks shall see as keywords.
        """
        logits = self.infer(X)
        sample_loss = self.criterion_(logits, y)
        loss = row_weighted(sample_loss, X).mean()
        return {"loss": loss, "y_pred": logits, "sample_loss": sample_loss}

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin an epoch in the history."""
        super().on_epoch_begin(net, **kwargs)
        if self.stage_:
            self.history.record("stage", self.stage_)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the codes of the classes, for skorch's scoring callbacks.

        Parameters
        ----------
        X : Rows
            Rows in the order of the result.

        Returns
        -------
        ndarray of shape (n_rows,), int64
        """
        return self.predict_proba(X).argmax(axis=1)

    def train_stage(
        self,
        rows: Rows,
        epochs: int,
        name: str = "training",
        validation: np.ndarray | None = None,
    ) -> NoisyNet:
        """Train on with the weights as they are, a fresh optimizer and the schedule from its start.

        Parameters
        ----------
        rows : Rows
            What to train on.
        epochs : int
            Length of the stage and of its schedule. skorch's `EarlyStopping` may end it earlier.
        name : str, default="training"
            Name of the stage, for the callbacks and the history.
        validation : ndarray of shape (n_source,), bool, or None, default=None
            Marks rows that are not trained on, but looked at after each epoch.

        Returns
        -------
        NoisyNet
        """
        if not self.initialized_:
            self.initialize()
        if not self.history:  # the nets of a fit share the user's callbacks
            for _, callback in self.callbacks_:
                callback.initialize()
                log_numbers_only(callback)
        self.initialize_optimizer()
        self.stage_, self.stage_epochs_ = name, epochs
        if validation is not None:
            held_back = rows.subset(validation)
            self.validation_ = held_back if len(held_back) else None
            rows = rows.subset(~validation)
        done = 0 if self.checkpoint is None else self.checkpoint.begin_stage(epochs)
        ranks = sharing()
        try:
            if ranks is not None:
                same_weights(ranks, self.module_)
            self.partial_fit(rows, None, epochs=epochs - done)
            if ranks is not None:  # buffers of a module's own may differ by then
                same_weights(ranks, self.module_)
        finally:
            self.stage_epochs_ = self.validation_ = None
        if self.checkpoint is not None:
            self.checkpoint.end_stage()
        return self

    def load_params(self, *args: Any, checkpoint: Any = None, **kwargs: Any) -> None:
        """Load a state, as skorch does; of a skorch checkpoint nothing but the weights.

        By it `skorch.callbacks.Checkpoint` with ``load_best=True`` and `LoadInitState` load. A
        stage keeps its fresh optimizer, and the history keeps its epochs.
        """
        if checkpoint is not None:
            kwargs["f_params"] = weights_file(self, checkpoint)
        super().load_params(*args, **kwargs)

    def predicting_state(self) -> dict[str, torch.Tensor]:
        """Return a copy of the weights that predict at this moment, as a state of the module."""
        return {name: t.detach().clone() for name, t in self.module_.state_dict().items()}

    def stage_state(self) -> dict[str, Any]:
        """Return what a method remembers from epoch to epoch, for a checkpoint."""
        return {}

    def load_stage_state(self, state: dict[str, Any]) -> None:
        """Take back what `stage_state` returned."""

    def epoch_history(self) -> list[dict[str, Any]]:
        """History of the epochs without that of their batches, as plain numbers."""
        return [
            {
                name: value.item() if isinstance(value, np.generic) else value
                for name, value in epoch.items()
                if name != "batches"
            }
            for epoch in self.history
        ]

    def release(self) -> NoisyNet:
        """Drop what only training needs, so that the net pickles small and loads without CUDA."""
        self.scaler_, self.listeners_, self.checkpoint = None, {}, None
        self.schedule = "auto"
        self.resting_, self.learning_ = (), frozenset()
        history = self.epoch_history()
        self.trim_for_prediction()
        self.module_.zero_grad(set_to_none=True)
        for name in ("generator", "views"):
            setattr(self, f"iterator_train__{name}", None)
        self.module = type(self.module_)  # the instance would be stored a second time
        for epoch in history:
            self.history.new_epoch()
            for key, value in epoch.items():
                self.history.record(key, value)
        return self


def _is_validation_score(callback: Any) -> bool:
    return isinstance(callback, PassthroughScoring) and callback.name == "valid_loss"
