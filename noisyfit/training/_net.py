"""`NoisyNet`, the one training engine: skorch with row ids, one hook and one sync an epoch."""

from __future__ import annotations

from contextlib import nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, PassthroughScoring
from torch.func import functional_call

from noisyfit.data import BatchLoader, Rows, any_input, map_inputs
from noisyfit.training._schedule import CosineSchedule, StageSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_ROWS_AT_ONCE = 16
_FUSED_OPTIMIZERS = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
_FUSED_RIVALS = {"fused", "foreach", "differentiable"}  # settings of theirs that exclude it
_BATCH_EVENTS = ("on_batch_begin", "on_grad_computed", "on_batch_end")


class NoisyNet(NeuralNet):
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
    **kwargs : object
        skorch's parameters.

    Attributes
    ----------
    stage_epochs_ : int or None
        Length of the stage that is being trained.

    Notes
    -----
    A method overrides `training_loss` and, to act between epochs, ``on_epoch_begin``. Every other
    override here replaces what skorch does once a batch, such as reading the loss back from the
    device, by the same thing once an epoch. What else acts during training is a callback: the first
    of them is the schedule of the learning rate.

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
        "checkpoint",
    )
    """Names, or beginnings of names, of settings without which a trained net predicts the same."""
    listeners_: Mapping[str, list[Callback]] = MappingProxyType({})
    stage_epochs_: int | None = None

    def __init__(
        self,
        module: Any,
        criterion: Any = torch.nn.CrossEntropyLoss,
        *,
        precision: torch.dtype | None = None,
        n_classes: int | None = None,
        checkpoint: Any = None,
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

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        # The batch losses arrive at the end of the epoch; a validation score there never is.
        skorchs = [c for c in super()._default_callbacks if not _is_validation_score(c[1])]
        return [("schedule", self.make_schedule()), *skorchs]

    def make_schedule(self) -> StageSchedule:
        """Return the callback that leads the learning rate through a stage."""
        return CosineSchedule()

    def initialize_module(self, *args: Any, **kwargs: Any) -> NoisyNet:
        """Build the module with convolution weights laid out channels-last."""
        super().initialize_module(*args, **kwargs)
        self.module_.to(memory_format=torch.channels_last)
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> NoisyNet:
        """Build the optimizer, and for float16 what scales its gradients."""
        super().initialize_optimizer(*args, **kwargs)
        self.scaler_: torch.amp.GradScaler | None = None
        if self.precision is torch.float16:
            if isinstance(self.optimizer_, torch.optim.LBFGS):
                raise ValueError(
                    "LBFGS repeats a step until it is content, which float16 with its scaled "
                    "gradients does not allow. Use precision='float32'."
                )
            self.scaler_ = torch.amp.GradScaler(torch.device(self.device).type)
        return self

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> tuple[Any, dict]:
        """Collect what the optimizer is built with; where it can, it steps in one fused kernel."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        if self.optimizer in _FUSED_OPTIMIZERS and not _FUSED_RIVALS & kwargs.keys():
            sparse = any(getattr(m, "sparse", False) for m in self.module_.modules())
            # If the first step is left out for an overflow, fused SGD goes on from a momentum that
            # was never written (torch 2.15).
            kwargs["fused"] = not sparse and self.precision is not torch.float16
        return args, kwargs

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the hooks of this name, the net's and the callbacks'.

        Three times a batch most callbacks have nothing to do; who has is looked up once an epoch.
        """
        if method_name == "on_epoch_begin":
            self.listeners_ = {event: self._listeners(event) for event in _BATCH_EVENTS}
        if method_name not in self.listeners_:
            super().notify(method_name, **cb_kwargs)
            return
        getattr(self, method_name)(self, **cb_kwargs)
        for callback in self.listeners_[method_name]:
            getattr(callback, method_name)(self, **cb_kwargs)

    def _listeners(self, event: str) -> list[Callback]:
        idle = getattr(Callback, event)
        callbacks = [callback for _, callback in self.callbacks_]
        return [c for c in callbacks if getattr(getattr(c, event), "__func__", None) is not idle]

    def infer(
        self, x: Any, *, params: Mapping[str, torch.Tensor] | None = None, **fit_params: Any
    ) -> torch.Tensor:
        """Compute the logits of a batch; only the inputs reach the module, never the row ids.

        Several inputs by name, a dict under ``"x"``, reach it as keywords.
        `params` stand in for the module's parameters of the same name.

        Raises
        ------
        ValueError
            If the module returns something else, such as a tuple when it trains, or logits that
            training cannot change any parameter by.
        """
        x = x["x"] if isinstance(x, dict) else x
        autocast = (
            torch.autocast(torch.device(self.device).type, self.precision)
            if self.precision is not None
            else nullcontext()
        )
        with autocast:
            x = map_inputs(lambda part: part.to(self.device), x)
            inputs, named = ((), {**x, **fit_params}) if isinstance(x, dict) else ((x,), fit_params)
            logits = (
                self.module_(*inputs, **named)
                if params is None
                else functional_call(self.module_, dict(params), inputs, named)
            )
        self._check_logits(
            logits, len(any_input(x)), trains=params is None and self.module_.training
        )
        return logits.float()

    def _check_logits(self, logits: Any, n_rows: int, *, trains: bool) -> None:
        # The module was tried out in evaluation mode, and may do another thing when it trains.
        name, is_tensor = type(self.module_).__name__, isinstance(logits, torch.Tensor)
        if self.n_classes and not (is_tensor and logits.shape == (n_rows, self.n_classes)):
            raise ValueError(
                f"The network must always return logits of shape {(n_rows, self.n_classes)}. Got "
                f"{tuple(logits.shape) if is_tensor else type(logits).__name__} instead: {name} in "
                f"{'training' if self.module_.training else 'evaluation'} mode."
            )
        if trains and torch.is_grad_enabled() and not logits.requires_grad:
            raise ValueError(
                f"The logits of {name} have no gradient, so that it cannot learn. Leave out "
                "detach(), no_grad() and argmax() in its forward, and freeze no more than a part."
            )

    def evaluation_step(self, batch: Any, training: bool = False) -> torch.Tensor:
        """Compute the logits of a batch without gradient.

        Matrix products take odd rows at the end another way, with another rounding: a row's
        prediction would depend on how many others are asked for. The first row fills up the batch.
        """
        X, y = batch
        x = X["x"] if isinstance(X, dict) else X
        n_rows = len(any_input(x))
        missing = -n_rows % _ROWS_AT_ONCE
        if missing and not training:
            x = map_inputs(lambda part: _filled_up(part, missing), x)
        return super().evaluation_step(({"x": x}, y), training)[:n_rows]

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
        return {"loss": sample_loss.mean(), "y_pred": logits, "sample_loss": sample_loss}

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Differentiate the loss of one batch; runs inside the optimizer's closure."""
        if not self.module_.training:  # to walk over its parts each time takes a tenth of a step
            self._set_training(True)
        X, y = batch
        step = self.training_loss(X, y)
        if self.scaler_ is None:
            step["loss"].backward()
        else:
            self.scaler_.scale(step["loss"]).backward()
            self.scaler_.unscale_(self.optimizer_)  # callbacks see the gradients themselves
        return {name: value.detach() for name, value in step.items()}

    def _step_optimizer(self, step_fn: Callable) -> None:
        if self.scaler_ is None:
            super()._step_optimizer(step_fn)
            return
        step_fn()
        self.scaler_.step(self.optimizer_)  # leaves a step with an overflow out
        self.scaler_.update()

    def run_single_epoch(
        self,
        iterator: Iterable | None,
        training: bool,
        prefix: str,
        step_fn: Callable,
        **fit_params: Any,
    ) -> None:
        """Run one epoch with skorch's bookkeeping, but read the losses back once, at its end.

        Raises
        ------
        FloatingPointError
            If a loss is not finite: training has diverged.
        """
        if iterator is None:
            return
        losses, sizes = [], []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"])
            sizes.append(len(batch[1]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
        values = torch.stack(losses).float().cpu().numpy()
        if not np.isfinite(values).all():
            first = int(np.flatnonzero(~np.isfinite(values))[0])
            raise FloatingPointError(
                f"Training diverged: the loss of batch {first} in epoch {len(self.history)} is "
                f"{values[first]}. Lower lr (now {self.lr}) or standardise the features."
            )
        for record, loss, size in zip(
            self.history[-1]["batches"], values.tolist(), sizes, strict=False
        ):
            record.update({f"{prefix}_loss": loss, f"{prefix}_batch_size": size})
        self.history.record(f"{prefix}_batch_count", len(sizes))

    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> NoisyNet:
        """Train on, as skorch does, except that Ctrl-C is not swallowed."""
        if not self.initialized_:
            self.initialize()
        fit_params.pop("_routing_method", None)
        self.notify("on_train_begin", X=X, y=y)
        self.fit_loop(X, y, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        return self

    def train_stage(self, rows: Rows, epochs: int) -> NoisyNet:
        """Train on with the weights as they are, a fresh optimizer and the schedule from its start.

        Parameters
        ----------
        rows : Rows
            What to train on.
        epochs : int
            Length of the stage and of its schedule.

        Returns
        -------
        NoisyNet
        """
        if not self.initialized_:
            self.initialize()
        self.initialize_optimizer()
        self.stage_epochs_ = epochs
        done = 0 if self.checkpoint is None else self.checkpoint.begin_stage(epochs)
        try:
            self.partial_fit(rows, None, epochs=epochs - done)
        finally:
            self.stage_epochs_ = None
        if self.checkpoint is not None:
            self.checkpoint.end_stage()
        return self

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


def _filled_up(x: torch.Tensor, missing: int) -> torch.Tensor:
    x = torch.cat([x, x[:1].expand(missing, *x.shape[1:])])
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _is_validation_score(callback: Any) -> bool:
    return isinstance(callback, PassthroughScoring) and callback.name == "valid_loss"
