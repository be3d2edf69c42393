"""`BaseNoisyClassifier`: scikit-learn's contract, met once for all methods."""

from __future__ import annotations

import copy
from abc import ABCMeta, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import joblib
import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Tags, _safe_indexing
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping
from torch.utils.data import Dataset, Subset

from noisyfit._building import build_module
from noisyfit._checkpoint import FitCheckpoint, StageCheckpoint
from noisyfit._params import NestedParams
from noisyfit._seeding import RandomStreams, seeded, spawn_streams
from noisyfit.augment import weak_view
from noisyfit.calibration import calibrate
from noisyfit.data import Rows, StreamSource, View
from noisyfit.device import resolve_device, resolve_precision
from noisyfit.dynamics import TrainingDynamics
from noisyfit.engine import NoisyNet
from noisyfit.inputs import (
    Scaler,
    check_labels,
    check_trusted,
    check_X,
    check_X_y,
    dataset_targets,
    fit_scaler,
    make_rows,
)
from noisyfit.label_quality import (
    estimate_transition_matrix,
    frequent_confusions,
    summarise,
)
from noisyfit.persistence import save_estimator
from noisyfit.progress import EpochProgress
from noisyfit.recorded_run import RecordedRun
from noisyfit.scaling import TableScaler

_SPREAD_ROWS, _SPREAD_VALUES = 2048, 2**24


@dataclass(frozen=True)
class FitTask:
    """What a method gets to work on."""

    rows: Rows
    y: np.ndarray
    """Given labels, encoded as 0 to n_classes - 1: (n_samples,), int64."""
    trusted: np.ndarray
    """Rows whose label was verified: (n_samples,), bool."""
    streams: RandomStreams
    classes: np.ndarray
    """The labels that the codes stand for: (n_classes,)."""
    scaler: Scaler | None
    """What brings the inputs to a common scale."""
    has_trusted: bool = False
    """Whether `fit` was given trusted rows, were it an empty mask."""
    checkpoint: FitCheckpoint | None = None
    """Where the fit is kept while it runs, to go on with it later."""

    @property
    def is_table(self) -> bool:
        """Whether the rows are vectors that were brought to a common scale."""
        return isinstance(self.scaler, TableScaler)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def device(self) -> torch.device:
        """Where to train."""
        return self.rows.source.device


class FitResult(NamedTuple):
    """What a method returns; `BaseNoisyClassifier.fit` checks it and sets the attributes."""

    net: NoisyNet
    noise_scores: np.ndarray
    clean_mask: np.ndarray
    noise_rate: float
    dynamics: TrainingDynamics | None
    history: list[dict[str, Any]]
    attributes: dict[str, Any]
    """The method's own fitted attributes by name."""
    predicted: np.ndarray | None = None
    """Codes of the classes that `net` predicts for all rows; None: `fit` computes them."""


class BaseNoisyClassifier(NestedParams, ClassifierMixin, BaseEstimator, metaclass=ABCMeta):
    """Template of all estimators: a method adds its parameters and `_fit`."""

    __metadata_request__fit: ClassVar = {"trusted": True}

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "module": [callable, None],
        "optimizer": [callable],
        "lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "standardize": ["boolean"],
        "augment": [StrOptions({"auto"}), callable, None],
        "precision": [StrOptions({"auto", "float32", "bfloat16", "float16"})],
        "device": [str, torch.device],
        "callbacks": [list, tuple, None],
        "checkpoint": [str, Path, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    _optimizer_defaults: ClassVar[dict[str, Any]] = {}
    """What SGD gets unless ``optimizer__*`` says otherwise."""

    _auto_lr: ClassVar[dict[str, float]] = {"table": 0.1, "other": 0.02}
    """What ``lr="auto"`` stands for; tables are brought to a scale for it."""

    @abstractmethod
    def _fit(self, task: FitTask) -> FitResult:
        """Run the method; torch's generators are seeded and restored around it."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, trusted: Any = None) -> BaseNoisyClassifier:
        """Train on rows whose labels may be wrong, and judge every label.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset of shape (n_samples, n_features)
            Or images (n_samples, channels, height, width), ``uint8`` or float. A map-style Dataset
            is streamed from where it lies.
        y : array-like of shape (n_samples,), or None for a Dataset that has the labels
            Given labels: integers, strings or booleans.
        trusted : array-like of shape (n_samples,), bool, default=None
            Marks rows whose label was verified. Their noise score is 0.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For inputs that cannot be used; the message says what was got and what to do.
        FloatingPointError
            If training diverges.
        """
        X, task = self._make_task(X, y, trusted, self.checkpoint)
        with seeded(task.streams.training, task.device):
            result = self._fit(task)
            self.classes_ = task.classes
            self._scaler = task.scaler
            self._row_dtype = getattr(X, "dtype", None)
            self._set_fitted(task, result)
        return self

    def _make_task(
        self, X: Any, y: Any, trusted: Any = None, checkpoint: str | Path | None = None
    ) -> tuple[Any, FitTask]:
        """Check what `fit` was given; return the checked X and the task."""
        self.check_nested_params()
        X, y = check_X_y(self, X, y)
        random_state, kept = self.random_state, None
        if checkpoint is not None:
            kept = FitCheckpoint(checkpoint)
            random_state = kept.open(self, X, y, trusted)
        encoder = LabelEncoder().fit(y)
        encoded = encoder.transform(y).astype(np.int64)
        scaler = fit_scaler(X) if self.standardize else None
        return X, FitTask(
            rows=make_rows(X, encoded, resolve_device(self.device), scaler),
            y=encoded,
            trusted=check_trusted(trusted, len(encoded)),
            streams=spawn_streams(random_state),
            classes=encoder.classes_,
            scaler=scaler,
            has_trusted=trusted is not None,
            checkpoint=kept,
        )

    def _set_fitted(self, task: FitTask, result: FitResult) -> None:
        scores = np.where(task.trusted, 0.0, np.asarray(result.noise_scores, dtype=np.float64))
        clean = np.asarray(result.clean_mask) | task.trusted
        assert scores.shape == clean.shape == (task.n_samples,), "one score and mark a row"
        assert np.isfinite(scores).all(), "noise scores are finite"
        assert 0 <= scores.min() <= scores.max() <= 1, "noise scores lie in [0, 1]"
        assert 0 <= result.noise_rate <= 1, "the noise rate lies in [0, 1]"
        self._trusted = task.trusted
        self.noise_scores_ = scores
        self.clean_mask_ = clean
        self.noise_rate_ = float(result.noise_rate)
        self._row_shape = tuple(self._example(task.rows).shape[1:])
        self.net_ = result.net.release()
        self.history_ = result.history
        self.dynamics_ = result.dynamics
        predicted = result.predicted
        if predicted is None:
            predicted = self.net_.predicted_classes(task.rows)
        self.corrected_labels_ = self.classes_[np.where(clean, task.y, predicted)]
        self._given_codes, self._predicted_codes = task.y, predicted
        for name, value in result.attributes.items():
            setattr(self, name, value)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of each row.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows like those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        return self.classes_[self.net_.predicted_classes(self._rows(X))]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows like those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        return softmax(self.net_.logits(self._rows(X)), axis=1)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy of `predict` on labels that are taken as true.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
        y : array-like of shape (n_samples,), or None for a Dataset that has the labels
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        y = dataset_targets(X) if y is None and isinstance(X, Dataset) else y
        return float(accuracy_score(y, self.predict(X), sample_weight=sample_weight))

    def score_labels(self, X: Any, y: Any) -> np.ndarray:
        r"""Score labels of rows that were not trained on, without training again.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
        y : array-like of shape (n_samples,)
            Labels to judge, each one of ``classes_``.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            In [0, 1]; higher means more likely mislabelled.

        Notes
        -----
        With the network's :math:`p_c(x)` and the estimated noise rate :math:`\varepsilon` spread
        evenly over the other classes, Bayes' rule gives the probability that label y is wrong:

        .. math:: 1 - \frac{(1-\varepsilon)\,p_y}
                  {(1-\varepsilon)\,p_y + \frac{\varepsilon}{C-1}\,(1-p_y)}

        :math:`\varepsilon` is kept within :math:`[10^{-3}, 1 - 1/C]`: a rate of zero would declare
        every label right.
        """
        check_is_fitted(self)
        y = check_labels(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y contains the labels {unknown.tolist()}, which were not seen in fit; "
                f"known are {self.classes_.tolist()}."
            )
        rows = self._rows(X)
        if len(rows) != len(y):
            raise ValueError(f"X has {len(rows)} rows, but y has {len(y)} labels.")
        given = np.searchsorted(self.classes_, y)
        rows = Rows(rows.source, torch.from_numpy(given), rows.scaler)
        p_given = self.net_.map_logits(
            rows, lambda logits, y: logits.double().softmax(1).gather(1, y.view(-1, 1))
        ).ravel()
        n_classes = len(self.classes_)
        rate = np.clip(self.noise_rate_, 1e-3, 1 - 1 / n_classes)
        right = (1 - rate) * p_given
        wrong = rate / (n_classes - 1) * (1 - p_given)
        return wrong / (right + wrong)

    @property
    def transition_matrix_(self) -> np.ndarray:
        """Estimated share of the rows of a true class (row) that were given each label (column).

        See `noisyfit.label_quality.estimate_transition_matrix`. Made when asked for: it has the
        size of the classes squared.
        """
        if not hasattr(self, "_given_codes"):
            raise AttributeError(f"{type(self).__name__} is not fitted: no transition_matrix_ yet.")
        return estimate_transition_matrix(
            self._given_codes, self._predicted_codes, self.noise_scores_, len(self.classes_)
        )

    def summary(self) -> str:
        """Say in a few lines how good the labels are, and what to look at.

        Returns
        -------
        str
            All counts but that of the rejected rows are estimates from the noise scores.
        """
        check_is_fitted(self)
        return summarise(
            type(self).__name__,
            self.classes_,
            self.noise_scores_,
            int((~self.clean_mask_).sum()),
            int(self._trusted.sum()),
            self.noise_rate_,
            frequent_confusions(self._given_codes, self._predicted_codes, self.noise_scores_),
        )

    def fit_resample(self, X: Any, y: Any, **fit_params: Any) -> tuple[Any, Any]:
        """Fit, and return only the rows whose label was kept.

        imbalanced-learn's pipelines call it by this name, when fitting only.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
        y : array-like of shape (n_samples,)
        **fit_params : object
            Passed to `fit`.

        Returns
        -------
        X : of the type of `X`
            The rows where ``clean_mask_`` is true.
        y : of the type of `y`
        """
        self.fit(X, y, **fit_params)
        kept = np.flatnonzero(self.clean_mask_)
        if isinstance(X, Dataset):
            return Subset(X, kept.tolist()), None if y is None else _safe_indexing(y, kept)
        return _safe_indexing(X, kept), _safe_indexing(y, kept)

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a file, without pickle; `noisyfit.load` reads it.

        A file that is there is replaced once the new one is complete.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        TypeError
            If a parameter, such as a network that was given as an instance or a callback, cannot be
            stored by name and numbers; the message says which.
        FileNotFoundError
            If there is no such folder.

        Notes
        -----
        The file is safetensors with a JSON header and a SHA-256 over both. It holds the parameters,
        the fitted attributes, and the network as its class and weights, but no training rows.
        """
        check_is_fitted(self)
        save_estimator(self, path)

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

    @staticmethod
    def _calibrated_scores(
        task: FitTask, predicted: np.ndarray, evidence: np.ndarray, noise_rate: float
    ) -> np.ndarray:
        """Calibrate evidence on which labels a net contradicts; trusted labels are right."""
        scores, judged = np.zeros(task.n_samples), ~task.trusted
        if judged.any():
            wrong = predicted != task.y
            # The rate counts trusted rows, which are right.
            rate = min(1.0, noise_rate / judged.mean())
            scores[judged] = calibrate(evidence[judged], wrong[judged], rate)
        return scores

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

    def _rows(self, X: Any) -> Rows:
        X = check_X(self, X, self._row_dtype)
        return make_rows(X, None, torch.device(self.net_.device), self._scaler)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags


def check_fitted_on(est: BaseNoisyClassifier, X: Any, y: Any = None) -> np.ndarray:
    """Check that the labels are those that an estimator was fitted on.

    Parameters
    ----------
    est : noisyfit estimator
    X : array-like, CSR matrix or torch Dataset
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels

    Returns
    -------
    ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    NotFittedError
        If `est` is not fitted.
    ValueError
        If there are more or fewer labels, or some differ.
    """
    if isinstance(est, Pipeline):
        raise TypeError(
            "est must be a noisyfit estimator. Got a Pipeline: pass its last step and what that "
            "was fitted on, pipeline[-1] and pipeline[:-1].transform(X)."
        )
    if not isinstance(est, BaseNoisyClassifier):
        raise TypeError(f"est must be a noisyfit estimator. Got {type(est).__name__} instead.")
    check_is_fitted(est)
    if y is None and not isinstance(X, Dataset):
        raise ValueError("y must be the labels that est was fitted on. Got None.")
    given = check_labels(dataset_targets(X) if y is None else y)
    if len(given) != len(est.noise_scores_):
        raise ValueError(
            f"est was fitted on {len(est.noise_scores_)} rows, but y has {len(given)} labels. "
            "Pass what it was fitted on."
        )
    differ = np.flatnonzero(given != est.classes_[est._given_codes])
    if len(differ):
        then = est.classes_[est._given_codes[differ[0]]]
        raise ValueError(
            f"y is not what est was fitted on: row {differ[0]} has the label {given[differ[0]]}, "
            f"which was {then} in fit, and {len(differ) - 1} more differ. Pass the given labels in "
            "their order of then" + (", as y: the data set has others." if y is None else ".")
        )
    return given


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
