"""`NetMaker`: from the settings of an estimator to the nets that its method trains."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, ClassVar

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator
from skorch.callbacks import EarlyStopping

from noisyfit._nested_params import NestedParams
from noisyfit._random import seeded
from noisyfit.augment import weak_view
from noisyfit.base._fit_task import FitTask
from noisyfit.data import Rows, StreamSource, View
from noisyfit.dynamics import RecordedRun
from noisyfit.modules import build_module
from noisyfit.persistence import StageCheckpoint
from noisyfit.training import EpochProgress, NoisyNet, resolve_precision

_SPREAD_ROWS, _SPREAD_VALUES = 2048, 2**24


class NetMaker(NestedParams, BaseEstimator):
    """The part of an estimator that makes nets, runs and views; what ``"auto"`` stands for."""

    _optimizer_defaults: ClassVar[dict[str, Any]] = {}
    """What SGD gets unless ``optimizer__*`` says otherwise."""

    _auto_lr: ClassVar[dict[str, float]] = {"table": 0.1, "other": 0.02}
    """What ``lr="auto"`` stands for; tables are brought to a scale for it."""

    def _make_net(
        self, task: FitTask, callbacks: list, net_class: type[NoisyNet] = NoisyNet, **kwargs: Any
    ) -> NoisyNet:
        """Return an initialised net with the estimator's settings; `kwargs` overrule them."""
        example = self._example(task.rows)
        with seeded(task.streams.init, task.device):
            module = build_module(
                self.module,
                self._nested_kwargs("module"),
                example=example,
                n_classes=task.n_classes,
            )
        view = self._standard_view(task)
        settings: dict[str, Any] = {
            "optimizer": self.optimizer,
            "lr": self._lr(task),
            "batch_size": self._batch_size(task.n_samples),
            "device": task.device,
            "precision": resolve_precision(self.precision, task.device, example.ndim == 4),
            "verbose": int(self.verbose > 1),
            "iterator_train__shuffle": True,
            "iterator_train__generator": task.streams.shuffle,
            "iterator_train__views": () if view is None else (view,),
            "iterator_train__num_workers": self._num_workers(task.rows),
        }
        if self.optimizer is torch.optim.SGD:
            settings |= {f"optimizer__{k}": v for k, v in self._optimizer_defaults.items()}
        for prefix in ("optimizer", "iterator_train"):
            nested = self._nested_kwargs(prefix)
            settings |= {f"{prefix}__{name}": value for name, value in nested.items()}
        settings["iterator_valid__num_workers"] = settings["iterator_train__num_workers"]
        if task.checkpoint is not None:  # the last one, when all others have done their part
            callbacks = [*callbacks, ("checkpoint", StageCheckpoint(task.checkpoint))]
        net = net_class(module, callbacks=callbacks, **(settings | kwargs)).initialize()
        net.checkpoint_, net.n_classes_ = task.checkpoint, task.n_classes
        return net

    def _make_run(
        self,
        task: FitTask,
        recording: str,
        quantities: Iterable[str],
        progress: EpochProgress,
        *,
        keeps_net: bool = True,
    ) -> RecordedRun:
        """Return a run that records the dynamics of all rows; each net has its own callbacks."""
        return RecordedRun(
            lambda own: self._make_net(
                task, [*self._user_callbacks(), *own, ("progress", progress)]
            ),
            task.rows,
            task.y,
            tuple(quantities),
            recording,
            task.streams.split,
            keeps_net=keeps_net,
            folder=self.record_folder,
        )

    def _standard_view(self, task: FitTask) -> View | None:
        """Augmentation of plain training."""
        if self.augment != "auto":
            return self.augment
        return weak_view(self._example(task.rows).shape[1:])

    def _feature_std(self, task: FitTask) -> torch.Tensor | None:
        """Spread of each feature over a sample of the rows; None for what is no table."""
        example = self._example(task.rows)
        if example.ndim != 2:
            return None
        source = task.rows.source
        n_rows = max(2, min(_SPREAD_ROWS, _SPREAD_VALUES // example.shape[1]))
        every = -(-len(source) // n_rows)
        sample = source.gather(torch.arange(0, len(source), every, device=source.device))
        return sample.float().std(0, correction=0)

    def _progress(self, total: int) -> EpochProgress:
        return EpochProgress(total, type(self).__name__, disable=self.verbose != 1)

    def _lr(self, task: FitTask) -> float:
        if self.lr != "auto":
            return self.lr
        return self._auto_lr["table" if task.is_table else "other"]

    def _batch_size(self, n_samples: int) -> int:
        size: Any = self._nested_kwargs("iterator_train").get("batch_size", self.batch_size)
        return auto_batch_size(n_samples) if size == "auto" else size

    def _user_callbacks(self) -> list:
        callbacks = copy.deepcopy(list(self.callbacks or []))
        for callback in callbacks:
            inner = callback[1] if isinstance(callback, tuple) else callback
            if isinstance(inner, EarlyStopping):
                raise ValueError(
                    "skorch's EarlyStopping ends training by raising KeyboardInterrupt, which fit "
                    "takes as Ctrl-C. Lower max_epochs instead."
                )
        return callbacks

    @staticmethod
    def _num_workers(rows: Rows) -> int:
        available = joblib.cpu_count()
        return min(4, available) if isinstance(rows.source, StreamSource) else 0

    @staticmethod
    def _example(rows: Rows) -> torch.Tensor:
        ids = rows.index[:2].to(rows.source.device)
        return rows.prepare(rows.source.gather(ids))


def auto_batch_size(n_samples: int) -> int:
    """Batch size that gives a small data set enough steps: about 50 an epoch, 16 to 128 rows.

    Parameters
    ----------
    n_samples : int

    Returns
    -------
    int
        A power of two.

    Examples
    --------
    >>> [auto_batch_size(n) for n in (100, 500, 1797, 50_000)]
    [16, 16, 32, 128]
    """
    return int(np.clip(2 ** round(np.log2(max(1, n_samples / 50))), 16, 128))
