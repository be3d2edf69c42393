"""`Engine`: skorch's loop over batches and epochs, with one sync an epoch."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, LRScheduler
from skorch.history import History
from torch import nn
from torch.func import functional_call

from noisyfit._ranks import sharing
from noisyfit.data import any_input, map_inputs
from noisyfit.modules import logits_of
from noisyfit.training._distributed import average_step, own_draws
from noisyfit.training._frozen import rest_frozen_parts, take_up_thawed
from noisyfit.training._param_groups import (
    check_group_settings,
    check_param_groups,
    names_of_users,
)
from noisyfit.training._users_callbacks import asks_to_stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from noisyfit.data import Rows

_ROWS_AT_ONCE = 16
_FUSED_OPTIMIZERS = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
_FUSED_RIVALS = {"fused", "foreach", "differentiable"}  # settings of theirs that exclude it
_BATCH_EVENTS = ("on_batch_begin", "on_grad_computed", "on_batch_end")


class StageEndedEarly(Exception):  # noqa: N818 - nothing is wrong
    """A callback has asked for the end of the stage."""


class Engine(NeuralNet):
    """What `NoisyNet` replaces of skorch's training loop.

    skorch reads the loss back from the device after each batch, asks all callbacks three times a
    batch, and stops quietly at Ctrl-C; here the losses are read once an epoch, only callbacks that
    listen are asked, and Ctrl-C is passed on. skorch's `EarlyStopping` ends the stage, once all
    callbacks have seen its last epoch.
    """

    listeners_: Mapping[str, list[Callback]] = MappingProxyType({})
    precision: torch.dtype | None
    n_classes: int | None
    validation_: Rows | None = None
    stops_: bool = False
    resting_: Sequence[nn.Module] = ()
    learning_: frozenset[int] = frozenset()

    @abstractmethod
    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of one batch, as in `NoisyNet`."""

    def initialize_module(self, *args: Any, **kwargs: Any) -> Engine:
        """Build the module with convolution weights laid out channels-last."""
        super().initialize_module(*args, **kwargs)
        self.module_.to(memory_format=torch.channels_last)
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Engine:
        """Build the optimizer, and for float16 what scales its gradients."""
        super().initialize_optimizer(*args, **kwargs)
        groups = self.get_params_for("optimizer").get("param_groups", ())
        check_group_settings(groups, self.optimizer_)
        self.learning_ = frozenset()
        self.scaler_: torch.amp.GradScaler | None = None
        if self.precision is torch.float16:
            if isinstance(self.optimizer_, torch.optim.LBFGS):
                raise ValueError(
                    "LBFGS repeats a step until it is content, which float16 with its scaled "
                    "gradients does not allow. Use precision='float32'."
                )
            # From torch's own 65,536 it comes down by leaving out the first steps of every network,
            # an eighth of those that a judge of few rows takes.
            self.scaler_ = torch.amp.GradScaler(torch.device(self.device).type, init_scale=1024)
        return self

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> tuple[Any, dict]:
        """Collect what the optimizer is built with; where it can, it steps in one fused kernel."""
        named = names_of_users(self.module_, named_parameters)
        check_param_groups(self.get_params_for(prefix).get("param_groups", ()), named)
        args, kwargs = super().get_params_for_optimizer(prefix, named)
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
        getattr(self, method_name)(self, **cb_kwargs)
        every = [callback for _, callback in self.callbacks_]
        for callback in self.listeners_.get(method_name, every):
            try:
                if method_name == "on_train_begin" and isinstance(callback, LRScheduler):
                    self._begin_schedule(callback, **cb_kwargs)
                else:
                    getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt:
                if not asks_to_stop(callback):
                    raise
                self.stops_ = True
        if method_name == "on_epoch_end" and self.stops_:
            raise StageEndedEarly

    def _begin_schedule(self, callback: Callback, **cb_kwargs: Any) -> None:
        # By the length of the history it would take a new stage, with its new optimizer, for the
        # rest of the one before.
        self.history_, kept = History(), self.history_
        try:
            callback.on_train_begin(self, **cb_kwargs)
        finally:
            self.history_ = kept

    def _listeners(self, event: str) -> list[Callback]:
        idle = getattr(Callback, event)
        callbacks = [callback for _, callback in self.callbacks_]
        return [c for c in callbacks if getattr(getattr(c, event), "__func__", None) is not idle]

    def infer(
        self, x: Any, *, params: Mapping[str, torch.Tensor] | None = None, **fit_params: Any
    ) -> torch.Tensor:
        """Compute the logits of a batch; only the inputs reach the module, never the row ids.

        Processes that share a fit compute a part of the rows each, and all get all logits.

        Several inputs by name, a dict under ``"x"``, reach it as keywords.
        `params` stand in for the module's parameters of the same name.

        Raises
        ------
        ValueError
            If the module returns something else, such as a tuple when it trains, or logits that
            training cannot change any parameter by.
        """
        x = x["x"] if isinstance(x, dict) else x
        ranks, n_rows = sharing(), len(any_input(x))
        span = None if ranks is None else ranks.span(n_rows)
        if ranks is not None:
            ranks.n_divided = None if span is None else n_rows
        if ranks is None or span is None:
            return self._logits(x, params, fit_params)
        with own_draws(ranks, self.device):
            own = self._logits(map_inputs(lambda part: part[span], x), params, fit_params)
        return ranks.gather(own, n_rows)

    def _logits(
        self, x: Any, params: Mapping[str, torch.Tensor] | None, fit_params: dict[str, Any]
    ) -> torch.Tensor:
        autocast = (
            torch.autocast(torch.device(self.device).type, self.precision)
            if self.precision is not None
            else nullcontext()
        )
        with autocast:
            x = map_inputs(lambda part: part.to(self.device), x)
            inputs, named = ((), {**x, **fit_params}) if isinstance(x, dict) else ((x,), fit_params)
            logits = logits_of(
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

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Differentiate the loss of one batch; runs inside the optimizer's closure."""
        if not self.module_.training:  # to walk over its parts each time takes a tenth of a step
            self._set_training(True)
        X, y = batch
        step = self.training_loss(X, y)
        loss, ranks = step["loss"], sharing()
        (loss if self.scaler_ is None else self.scaler_.scale(loss)).backward()
        if ranks is not None:
            average_step(ranks, self.optimizer_, self.module_)
        if self.scaler_ is not None:
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
        if training:
            self.resting_ = rest_frozen_parts(self.module_, self.resting_)
            self.learning_ = take_up_thawed(self.optimizer_, self.module_, self.learning_)
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
        records = self.history[-1]["batches"][-len(sizes) :]
        for record, loss, size in zip(records, values.tolist(), sizes, strict=True):
            record.update({f"{prefix}_loss": loss, f"{prefix}_batch_size": size})
        self.history.record(f"{prefix}_batch_count", len(sizes))

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Engine:
        """Train on, as skorch does, except that Ctrl-C is not swallowed."""
        if not self.initialized_:
            self.initialize()
        fit_params.pop("_routing_method", None)
        self.stops_ = False
        self.notify("on_train_begin", X=X, y=y)
        with suppress(StageEndedEarly):
            self.fit_loop(X, y, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        return self

    def get_split_datasets(
        self, X: Any, y: Any = None, **fit_params: Any
    ) -> tuple[Any, Rows | None]:
        """Return what to train on, and the validation rows of the stage."""
        return X, self.validation_

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch of validation rows."""
        if self.module_.training:
            self._set_training(False)
        X, y = batch
        with torch.no_grad():
            logits = self.infer(X, **fit_params)
            sample_loss = self.criterion_(logits, y)
        return {"loss": sample_loss.mean(), "y_pred": logits, "sample_loss": sample_loss}

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        if training:
            self.resting_ = rest_frozen_parts(self.module_, self.resting_)

    def __getstate__(self) -> dict[str, Any]:
        # As skorch's, but by cloudpickle: plain pickle refuses the network of a notebook, which
        # joblib sends to other processes by value.
        prefixes = tuple(self.cuda_dependent_attributes_)
        state = {k: v for k, v in self.__dict__.items() if not k.startswith(prefixes)}
        attributes = {k: v for k, v in self.__dict__.items() if k.startswith(prefixes)}
        return {**state, "__cuda_dependent_attributes__": cloudpickle.dumps(attributes)}


def _filled_up(x: torch.Tensor, missing: int) -> torch.Tensor:
    x = torch.cat([x, x[:1].expand(missing, *x.shape[1:])])
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
