"""skorch callbacks that record: training dynamics, and how good a selection was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from noisyfit._random import derived_seed, seeded
from noisyfit.data import BatchLoader, Rows, check_mask
from noisyfit.dynamics._container import QUANTITIES, TrainingDynamics
from noisyfit.training import class_log_softmax, predicted_class

RECORDINGS = ("training", "evaluation", "evaluation_augmented", "held_out")
_PENDING_LOGITS = 2**18  # stay in the cache of a processor


class DynamicsRecorder(Callback):
    """skorch callback that records each row's training dynamics.

    Parameters
    ----------
    n_samples : int or None, default=None
        Rows of the whole data set; None: as many as the first recorded data set has.
    record : sequence of {"correct", "given_prob", "margin", "loss"}, default=("correct",)
        What is recorded of every row and epoch, as in `TrainingDynamics`.
    mode : {"training", "evaluation", "evaluation_augmented", "held_out"}, default="training"
        ``"training"`` takes the values from the forward pass of the training step: before the
        update, on the augmented input, with batch normalization in training mode. This needs no
        additional forward pass. Validation rows are recorded as they are looked at after the
        epoch. ``"evaluation"`` makes one more pass over the training rows, as they are, after
        each epoch, in evaluation mode. ``"evaluation_augmented"`` makes it over views of them, the
        first of ``iterator_train__views``, by draws that do not change those of the training.
        ``"held_out"`` makes that pass over the rows of `held_out` instead, which the
        net should not be trained on; `noisyfit.dynamics.RecordedRun` covers all rows that way.
    held_out : Rows or torch Dataset with labels, default=None
        Rows to record in mode ``"held_out"``.
    folder : str, Path or None, default=None
        Folder of a temporary file that holds the records; None: records in memory.

    Attributes
    ----------
    dynamics_ : TrainingDynamics
        The records of all epochs so far.

    Notes
    -----
    The module must return logits, as for ``torch.nn.CrossEntropyLoss``.

    In mode ``"training"`` the batches must carry row ids, ``({"x": ..., "index": ids}, y)``, as
    those of `noisyfit.data.BatchLoader` do; ``"evaluation_augmented"`` needs that loader for
    training and validation. In the other modes any skorch net will do: there the id
    of a row is its position in the data set that is recorded.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skorch import NeuralNetClassifier
    >>> from noisyfit.dynamics import DynamicsRecorder
    >>> recorder = DynamicsRecorder(record=["given_prob"], mode="evaluation")
    >>> net = NeuralNetClassifier(
    ...     torch.nn.Linear, module__in_features=2, module__out_features=2, max_epochs=3,
    ...     criterion=torch.nn.CrossEntropyLoss, callbacks=[recorder], train_split=None, verbose=0,
    ... )
    >>> X = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    >>> _ = net.fit(X, (X[:, 0] > 0).astype(int))
    >>> recorder.dynamics_.given_prob.shape
    (20, 3)
    """

    def __init__(
        self,
        n_samples: int | None = None,
        record: tuple[str, ...] | list[str] = ("correct",),
        mode: str = "training",
        held_out: Any = None,
        folder: Any = None,
    ) -> None:
        self.n_samples = n_samples
        self.record = record
        self.mode = mode
        self.held_out = held_out
        self.folder = folder

    def initialize(self) -> DynamicsRecorder:
        """Start with empty records."""
        if self.mode not in RECORDINGS:
            raise ValueError(f"mode must be one of {RECORDINGS}. Got {self.mode!r} instead.")
        if (self.mode == "held_out") != (self.held_out is not None):
            raise ValueError(
                "mode='held_out' needs the rows to record as `held_out`, and no other mode takes "
                f"any. Got mode={self.mode!r} and {self.held_out!r}."
            )
        TrainingDynamics(0, self.record)  # refuses unknown quantities before any training
        if self.folder is not None and not Path(self.folder).is_dir():
            raise FileNotFoundError(
                f"The folder for the records, {str(self.folder)!r}, does not exist. Make it first."
            )
        self.__dict__.pop("dynamics_", None)
        return self

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Refuse a net whose outputs are not logits, and one without views to record."""
        if self.mode == "evaluation_augmented":
            _view_of(net)
        if isinstance(net.criterion_, torch.nn.NLLLoss):
            raise ValueError(
                "DynamicsRecorder needs a module that returns logits, but this net's criterion is "
                "NLLLoss, whose module returns probabilities. Return logits and use "
                "criterion=torch.nn.CrossEntropyLoss."
            )

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Make room for one epoch."""
        if not hasattr(self, "dynamics_"):
            n_samples = self.n_samples
            if n_samples is None:
                recorded = self.held_out if self.mode == "held_out" else dataset_train
                n_samples = len(getattr(recorded, "source", recorded))  # the ids are its own
            self.dynamics_ = TrainingDynamics(n_samples, self.record, self.folder)
        shape = (len(self.dynamics_.quantities), self.dynamics_.n_samples)
        self._epoch = torch.full(shape, torch.nan, device=net.device)
        self._pending: list[tuple[torch.Tensor, ...]] = []
        self._n_pending = 0

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, y_pred: Any = None, **kwargs: Any
    ) -> None:
        """Keep the values of a batch, on the device; validation rows are recorded as they are."""
        if self.mode != "training":
            return
        inputs, y = batch
        if not isinstance(inputs, dict) or "index" not in inputs:
            if not training:
                return
            raise ValueError(
                "The batches carry no row ids. Use iterator_train=noisyfit.data.BatchLoader, or "
                "mode='evaluation', which needs none."
            )
        self._keep(inputs["index"], y_pred, y)

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Move the epoch's values to the container, in one transfer."""
        if self.mode == "held_out":
            self._evaluate(net, self.held_out)
        elif self.mode == "evaluation":
            self._evaluate_both(net, dataset_train, dataset_valid)
        elif self.mode == "evaluation_augmented":
            with seeded(derived_seed(self.dynamics_.n_epochs), net.device):
                self._evaluate_both(net, dataset_train, dataset_valid, (_view_of(net),))
        self._flush()
        values = self._epoch.cpu().numpy()
        self.dynamics_.append(**dict(zip(self.dynamics_.quantities, values, strict=True)))
        del self._epoch, self._pending

    def _keep(self, ids: torch.Tensor, logits: torch.Tensor, y: torch.Tensor) -> None:
        # A dozen small operations after each batch would take longer than a training step of a
        # small network; they are done for many batches at once.
        self._pending.append((ids, logits.detach(), y))
        self._n_pending += logits.numel()
        if self._n_pending > _PENDING_LOGITS:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        device = self._epoch.device
        ids, logits, y = (torch.cat(parts).to(device) for parts in zip(*self._pending, strict=True))
        self._epoch[:, ids] = given_label_statistics(logits, y, self.dynamics_.quantities)
        self._pending, self._n_pending = [], 0

    def _evaluate_both(self, net: Any, trained: Any, valid: Any, views: tuple = ()) -> None:
        self._evaluate(net, trained, views)
        if isinstance(valid, Rows):  # of another data set the ids would be the same
            self._evaluate(net, valid, views)

    def _evaluate(self, net: Any, dataset: Any, views: tuple = ()) -> None:
        batches, start = net.get_iterator(dataset, training=False), 0
        if views:
            batches.views = views
        for batch in batches:
            inputs, y = batch
            logits = net.evaluation_step(batch, training=False)
            if isinstance(inputs, dict) and "index" in inputs:
                ids = inputs["index"]
            else:
                ids = torch.arange(start, start + len(y))
            start += len(y)
            self._keep(ids, logits, y)


class SelectionQuality(Callback):
    """skorch callback that compares a method's split of each batch with the truth.

    It adds two numbers to each epoch of ``history_``: ``kept_precision``, the proportion of right
    labels among the kept ones, and ``kept_recall``, the proportion of the right labels that was
    kept. Each is NaN in an epoch without a split, and where it would be a
    division by zero.

    Parameters
    ----------
    is_right : array-like of shape (n_samples,), bool
        Whether each given label is right: ``y_given == y_true``.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit import DLTClassifier
    >>> from noisyfit.dynamics import SelectionQuality
    >>> y = np.arange(60) % 2
    >>> X, given = y[:, None] + 0.1 * np.random.default_rng(0).normal(size=(60, 3)), y.copy()
    >>> given[:12] = 1 - y[:12]
    >>> est = DLTClassifier(callbacks=[SelectionQuality(given == y)], random_state=0)
    >>> last = est.fit(X, given).history_[-1]
    >>> last["kept_precision"] > 0.9, last["kept_recall"] > 0.9
    (True, True)
    """

    def __init__(self, is_right: Any) -> None:
        self.is_right = is_right

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Refuse an `is_right` that is not a mask of the data set."""
        check_mask(self.is_right, "is_right", len(X.source), such_as=", such as y_given == y_true")

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start counting."""
        self._right = torch.tensor(np.asarray(self.is_right), device=net.device)
        self._counts = torch.zeros(3, device=net.device)

    def on_batch_end(self, net: Any, batch: Any = None, kept: Any = None, **kwargs: Any) -> None:
        """Count the kept, the right and the kept right rows, on the device."""
        if kept is not None:
            right = self._right[batch[0]["index"]]
            self._counts += torch.stack([kept.sum(), right.sum(), (kept & right).sum()])

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write precision and recall of the epoch to the history."""
        n_kept, n_right, n_both = self._counts.tolist()
        net.history.record("kept_precision", n_both / n_kept if n_kept else float("nan"))
        net.history.record("kept_recall", n_both / n_right if n_right else float("nan"))
        del self._right, self._counts


def view_to_record(views: Any) -> Any:
    """Return the view that ``"evaluation_augmented"`` records.

    Parameters
    ----------
    views : sequence of callables or None
        Those of the training, the first of which makes the input.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If the rows are trained on as they are.
    """
    first = next(iter(views or ()), None)
    if first is None:
        raise ValueError(
            "'evaluation_augmented' records views of the rows, but there are none: tables stay as "
            "they are unless augment says otherwise, and a net of your own makes views by "
            "noisyfit.data.BatchLoader. 'evaluation' records the rows as they are."
        )
    return first


def _view_of(net: Any) -> Any:
    loader = net.iterator_valid
    has_views = isinstance(loader, type) and issubclass(loader, BatchLoader)
    return view_to_record(net.get_params_for("iterator_train").get("views") if has_views else None)


def given_label_statistics(
    logits: torch.Tensor, y: torch.Tensor, quantities: tuple[str, ...] = QUANTITIES
) -> torch.Tensor:
    """Compute the recorded quantities of one batch.

    Parameters
    ----------
    logits : tensor of shape (n_rows, n_classes)
        Outputs of the network.
    y : tensor of shape (n_rows,), int64
        Given labels.
    quantities : sequence of {"correct", "given_prob", "margin", "loss"}
        What to compute, in the order of the result.

    Returns
    -------
    tensor of shape (n_quantities, n_rows), float32

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0, 1.0]])
    >>> given_label_statistics(logits, torch.tensor([2]), ("correct", "margin"))
    tensor([[ 0.],
            [-1.]])
    """
    logits = logits.detach().float()
    computed = {}
    if "correct" in quantities:
        computed["correct"] = (predicted_class(logits) == y).float()
    given = y.view(-1, 1)
    if "margin" in quantities:
        others = logits.scatter(1, given, -torch.inf)
        computed["margin"] = logits.gather(1, given).squeeze(1) - others.amax(1)
    if "given_prob" in quantities or "loss" in quantities:
        log_prob = class_log_softmax(logits).gather(1, given).squeeze(1)
        computed["given_prob"], computed["loss"] = log_prob.exp(), -log_prob
    return torch.stack([computed[name] for name in quantities])
