"""`Trainer`: from the parameters of an estimator to the nets that its method trains."""

from __future__ import annotations

from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import torch
from skorch.callbacks import EarlyStopping

from noisyfit._nested_params import nested_params
from noisyfit._random import seeded
from noisyfit._ranks import leads, sharing
from noisyfit.augment import weak_view
from noisyfit.base._callbacks import check_callback, check_schedule_alone
from noisyfit.dynamics import RecordedRun, view_to_record
from noisyfit.modules import build_module
from noisyfit.persistence import StageCheckpoint
from noisyfit.training import (
    EarlyLearningNet,
    EpochProgress,
    ExpectedTime,
    NoisyNet,
    predict_classes,
    resolve_precision,
    rows_bar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

    from noisyfit.base._classifier import BaseNoisyClassifier
    from noisyfit.base._fit_task import FitTask
    from noisyfit.data import Rows, View

Net = TypeVar("Net", bound=NoisyNet)

_SPREAD_ROWS, _SPREAD_VALUES = 2048, 2**24


class Trainer:
    """Makes the nets, runs and progress bar of one fit; every ``"auto"`` of it is resolved here.

    Parameters
    ----------
    est : BaseNoisyClassifier
        Its parameters are read, by their public names, and nothing is set.
    task : FitTask
        What is to be learned.

    Attributes
    ----------
    lr : float
        Learning rate at the start.
    batch_size : int
        Rows in a batch.
    view : callable or None
        Augmentation of plain training.
    n_jobs : int or None
        Processes that train the networks of the judges.
    precision : torch.dtype or None
        Autocast type of the forward pass; None: float32.
    row_shape : tuple of int
        Shape of one row as the network gets it.
    user_callbacks : list
        The user's callbacks, the objects themselves; classes were made into one object each.
    expected : ExpectedTime
        How long the fit will take, which its progress bars say.

    Raises
    ------
    TypeError
        For what is no callback, and for rows of several inputs where the method takes one.
    ValueError
        If both `schedule` and a callback say how the learning rate goes on, and if views are to be
        recorded where there are none.

    Examples
    --------
    A method gets the trainer of its fit, and makes its nets with it. Plain training, and a label is
    wrong where the network contradicts it:

    >>> import numpy as np
    >>> from noisyfit.base import BaseNoisyClassifier, FitResult, Trainer
    >>> class Plain(BaseNoisyClassifier):
    ...     def __init__(self, module=None, *, max_epochs=10, random_state=None):
    ...         super().__init__(module, max_epochs=max_epochs, random_state=random_state)
    ...
    ...     def _fit(self, task, trainer: Trainer):
    ...         net = trainer.make_net()
    ...         net.train_stage(task.rows, self.max_epochs)
    ...         wrong = trainer.predict_classes(net) != task.y
    ...         return FitResult(
    ...             net=net,
    ...             noise_scores=wrong.astype(float),
    ...             clean_mask=~wrong,
    ...             noise_rate=wrong.mean(),
    ...             dynamics=None,
    ...             history=net.epoch_history(),
    ...         )
    >>> X, y = np.repeat(np.eye(2), 20, axis=0), np.repeat(["cat", "dog"], 20)
    >>> y[0] = "dog"
    >>> est = Plain(random_state=0).fit(X, y)
    >>> int(est.noise_scores_.argmax()), bool(est.clean_mask_[0])
    (0, False)
    """

    def __init__(self, est: BaseNoisyClassifier, task: FitTask) -> None:
        self._est, self._task = est, task
        self._nested = est.get_params(deep=False)
        # Two rows, fetched once: where they come from may be slow.
        ids = task.rows.index[:2].to(task.device)
        self._example = task.rows.prepare(task.rows.source.gather(ids))
        if not est.takes_named_inputs:
            self.refuse_named_inputs(type(est).__name__)
        named = isinstance(self._example, dict)
        self.row_shape = () if named else tuple(self._example.shape[1:])
        self.n_jobs: int | None = est.n_jobs
        _check_jobs(est.n_jobs, est.checkpoint)
        auto_lr = est.auto_lr["table" if task.is_table else "other"]
        self.lr = auto_lr if isinstance(est.lr, str) else est.lr
        self.batch_size = self.batch_size_for(task.n_samples)
        self.view: View | None = est.augment
        if est.augment == "auto":
            self.view = weak_view(self.row_shape)
        self.precision = resolve_precision(est.precision, task.device, self.is_image)
        validates = est.validation_fraction is not None
        self.user_callbacks = [check_callback(item, validates) for item in est.callbacks or []]
        check_schedule_alone(est.schedule, self.user_callbacks)
        about = f" of {task.n_samples:,} rows on {task.device.type}"
        self.expected = ExpectedTime(self.name, about, task.device)
        if getattr(est, "recording", None) == "evaluation_augmented":  # said before any training
            view_to_record(self.nested("iterator_train").get("views", (self.view,)))

    @property
    def is_image(self) -> bool:
        """Whether a row is an image: (channels, height, width)."""
        return len(self.row_shape) == 3

    @cached_property
    def feature_std(self) -> torch.Tensor | None:
        """Standard deviation of each feature over a sample of the rows; None for no table.

        It is 0 for columns of whole numbers that were not standardised: whatever they stand for, a
        number beside them may stand for nothing.
        """
        if len(self.row_shape) != 1:
            return None
        source = self._task.rows.source
        n_rows = max(2, min(_SPREAD_ROWS, _SPREAD_VALUES // self.row_shape[0]))
        every = -(-len(source) // n_rows)
        sample = source.gather(torch.arange(0, len(source), every, device=source.device)).float()
        std = sample.std(0, correction=0)
        if not self._task.is_table:  # whole numbers may be codes, such as those of words
            std[(sample == sample.round()).all(0)] = 0
        return std

    def nested(self, prefix: str) -> dict[str, Any]:
        """Return the user's parameters ``prefix__name``, by name.

        Parameters
        ----------
        prefix : {"module", "optimizer", "iterator_train"}
            What the names of the parameters begin with.

        Returns
        -------
        dict
        """
        return nested_params(self._nested, prefix)

    def batch_size_for(self, n_rows: int) -> int:
        """Return the batch size of a training on some of the rows.

        Parameters
        ----------
        n_rows : int
            Number of these rows, by which ``"auto"`` goes.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If the user gave another batch size than a whole number or ``"auto"``.
        """
        nested = self.nested("iterator_train")
        size: Any = nested.get("batch_size", self._est.batch_size)
        if size == "auto":
            return auto_batch_size(n_rows)
        if not isinstance(size, Integral) or size < 2:
            raise ValueError(
                "iterator_train__batch_size must be a whole number from 2 on, or 'auto'. Got "
                f"{size!r}; batch_size does the same."
            )
        return int(size)

    @property
    def sgd_defaults(self) -> dict[str, Any]:
        """What SGD gets unless the user says otherwise, by the names of the net's parameters."""
        if self._est.optimizer is not torch.optim.SGD:
            return {}
        own = {f"optimizer__{name}": v for name, v in self._est.optimizer_defaults.items()}
        users = {f"optimizer__{name}" for name in self.nested("optimizer")}
        return {name: value for name, value in own.items() if name not in users}

    def refuse_views(self, how: str) -> None:
        """Refuse the user's views of the batches, for methods that make their own.

        Parameters
        ----------
        how : str
            Says which views the method makes, and which parameters to use.

        Raises
        ------
        ValueError
            If ``iterator_train__views`` was given.
        """
        if "views" in self.nested("iterator_train"):
            raise ValueError(f"iterator_train__views is set by the method itself: {how}")

    def refuse_named_inputs(self, who: str) -> None:
        """Refuse rows of several inputs, for methods that blend rows.

        Parameters
        ----------
        who : str
            What does so.

        Raises
        ------
        TypeError
            If the network gets its inputs by name.
        """
        if isinstance(self._example, dict):
            raise TypeError(
                f"{who} mixes and changes inputs, which it cannot do to a dict with the keys "
                f"{list(self._example)}. MILDSelector without semi_supervised and "
                "DynamicsLSTMDetector take such items; here return one tensor, such as an "
                "embedding."
            )

    def views_to_learn_from(self, n_views: int) -> tuple[View | None, ...]:
        """Return the standard view, and views that differ from each other in every kind of rows.

        Parameters
        ----------
        n_views : int
            Number of these.

        Returns
        -------
        tuple of 1 + n_views callables or None
            Tables stay as they are in the standard view; the others mask and jitter features.
        """
        view = self.view
        if self._est.augment == "auto" and self.feature_std is not None:
            view = weak_view(self.row_shape, self.feature_std)
        return (self.view, *(view,) * n_views)

    @property
    def name(self) -> str:
        """Name of the estimator, with which its progress bars begin."""
        return type(self._est).__name__

    @property
    def predicting_bar(self) -> Callable[[int], Any]:
        """What opens a bar over rows that a trained net predicts."""
        return rows_bar(self.name, self._est.verbose, "predicting")

    def predict_classes(self, net: NoisyNet) -> np.ndarray:
        """Predict the codes of the classes of all rows, and show how far that has come.

        Parameters
        ----------
        net : NoisyNet
            A trained net.

        Returns
        -------
        ndarray of shape (n_samples,), int64
        """
        return predict_classes(net, self._task.rows, self.predicting_bar)

    def progress(self, total: int, *, leave: bool = True) -> EpochProgress:
        """Open a progress bar; close it at the end.

        Parameters
        ----------
        total : int
            Epochs that the whole fit may take, or a part of it.
        leave : bool, default=True
            Whether the bar stays when it is closed: that of the last part does.

        Returns
        -------
        EpochProgress
        """
        return EpochProgress(
            total,
            self.name,
            disable=self._est.verbose != 1 or not leads(),
            leave=leave,
            expected=self.expected,
        )

    @property
    def may_stop_early(self) -> bool:
        """Whether a callback of the user's may end a stage before its last epoch."""
        users = [c[1] if isinstance(c, tuple) else c for c in self.user_callbacks]
        return any(isinstance(callback, EarlyStopping) for callback in users)

    def net_of(self, loss: str) -> dict[str, Any]:
        """Return the keywords of `make_net` and `make_run` for a loss.

        Parameters
        ----------
        loss : {"cross_entropy", "early_learning"}
            By name.

        Returns
        -------
        dict
        """
        if loss == "cross_entropy":
            return {}
        return {"net_class": EarlyLearningNet, "n_source": len(self._task.rows.source)}

    def make_module(self, number: int = 0) -> nn.Module:
        """Return a new network, as the user's parameters say.

        Parameters
        ----------
        number : int, default=0
            Of several networks with weights of their own. All nets of a fit start from those of 0,
            unless they get a module.

        Returns
        -------
        torch.nn.Module
        """
        with seeded(self._task.streams.init + number, self._task.device):
            return build_module(
                self._est.module,
                self.nested("module"),
                example=self._example,
                n_classes=self._task.n_classes,
            )

    @overload
    def make_net(self, callbacks: list[Any] = ..., **settings: Any) -> NoisyNet: ...

    @overload
    def make_net(self, callbacks: list[Any], net_class: type[Net], **settings: Any) -> Net: ...

    def make_net(
        self,
        callbacks: list[Any] | None = None,
        net_class: type[NoisyNet] = NoisyNet,
        *,
        module: Any = None,
        for_users: bool = True,
        **settings: Any,
    ) -> NoisyNet:
        """Return an initialized net with the settings of the estimator.

        Parameters
        ----------
        callbacks : list or None, default=None
            The method's own skorch callbacks, or pairs of a name and one; those of the user come
            after them.
        net_class : type, default=NoisyNet
            `NoisyNet`, or what a method has made of it.
        module : torch.nn.Module or None, default=None
            Network to train; None: a new one.
        for_users : bool, default=True
            Whether the user's callbacks see the net, whether `schedule` leads its learning rate,
            and whether it is validated on rows that were held back. Not so where it only judges the
            rows.
        **settings : object
            Parameters of the net, which overrule those of the estimator.

        Returns
        -------
        NoisyNet
            All nets of a fit start from the same weights.
        """
        est, task = self._est, self._task
        module = self.make_module() if module is None else module
        own: dict[str, Any] = {
            **self.sgd_defaults,
            "optimizer": est.optimizer,
            "lr": self.lr,
            "batch_size": self.batch_size,
            "device": task.device,
            "precision": self.precision,
            "n_classes": task.n_classes,
            "schedule": est.schedule if for_users else "auto",
            "checkpoint": task.checkpoint,
            "validates": for_users and est.validation_fraction is not None,
            "verbose": int(est.verbose > 1 and leads()),
            "iterator_train__shuffle": True,
            "iterator_train__generator": task.streams.shuffle,
            "iterator_train__views": () if self.view is None else (self.view,),
            "iterator_train__num_workers": None,  # of rows that are streamed, now or in predict
        }
        for prefix in ("optimizer", "iterator_train"):
            own |= {f"{prefix}__{name}": value for name, value in self.nested(prefix).items()}
        own.pop("iterator_train__batch_size", None)  # it is that of the net
        own["iterator_valid__num_workers"] = own["iterator_train__num_workers"]
        callbacks = [*(callbacks or []), *(self.user_callbacks if for_users else ())]
        if task.checkpoint is not None:  # the last one, when all others have done their part
            callbacks.append(("checkpoint", StageCheckpoint(task.checkpoint)))
        return net_class(module, callbacks=callbacks, **(own | settings)).initialize()

    def make_run(
        self,
        recording: str,
        quantities: Iterable[str],
        progress: EpochProgress,
        *,
        rows: Rows | None = None,
        keeps_net: bool = True,
        **settings: Any,
    ) -> RecordedRun:
        """Return a run that records the dynamics of all rows; each net has its own callbacks.

        Parameters
        ----------
        recording : {"training", "evaluation", "evaluation_augmented", "held_out"}
            Where the records come from, see `RecordedRun`.
        quantities : iterable of {"correct", "given_prob", "margin", "loss"}
            What to record.
        progress : EpochProgress
            The bar to move.
        rows : Rows or None, default=None
            The rows of the task with other labels; None: as they are.
        keeps_net : bool, default=True
            Whether, for ``"held_out"``, one more net trains on all rows.
        **settings : object
            Keywords of `make_net`.

        Returns
        -------
        RecordedRun
        """
        rows = self._task.rows if rows is None else rows
        if recording == "held_out" and self.may_stop_early:
            raise ValueError(
                "With recording='held_out' all networks train equally long, so that their records "
                "can be compared. Leave EarlyStopping out, or choose another recording."
            )
        return RecordedRun(
            lambda own: self.make_net([*own, ("progress", progress)], **settings),
            rows,
            rows.y.cpu().numpy(),
            tuple(quantities),
            recording,
            self._task.streams.split,
            keeps_net=keeps_net,
            folder=self._est.record_folder,
            validation=self._task.held_back,
            groups=self._task.fold_groups if recording == "held_out" else None,
        )


def _check_jobs(n_jobs: int | None, checkpoint: Any) -> None:
    """Refuse processes where the networks of the judges have to be trained in this one."""
    if n_jobs in (None, 1):
        return
    if checkpoint is not None:
        raise ValueError(
            f"With checkpoint={str(checkpoint)!r} the networks of the judges are trained in this "
            f"process, so that each epoch is kept. Got n_jobs={n_jobs}; leave out one of the two."
        )
    if sharing() is not None:
        raise ValueError(
            f"The processes that share this fit train every network together. Got n_jobs={n_jobs}; "
            "leave it out."
        )


def auto_batch_size(n_samples: int) -> int:
    """Choose a batch size that gives small data enough steps: about 50 an epoch, 16 to 128 rows.

    Parameters
    ----------
    n_samples : int
        Number of rows.

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
