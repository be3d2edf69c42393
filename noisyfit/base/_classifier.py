"""`BaseNoisyClassifier`: scikit-learn's contract, met once for all methods."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset, Subset

from noisyfit._random import seeded, spawn_streams
from noisyfit._sklearn import Interval, StrOptions, fit_context, safe_indexing
from noisyfit.base._fit_task import FitResult, FitTask
from noisyfit.base._trainer import NetMaker
from noisyfit.data import (
    Rows,
    check_labels,
    check_trusted,
    check_X,
    check_X_y,
    dataset_targets,
    fit_scaler,
    make_rows,
)
from noisyfit.label_quality import (
    calibrate,
    estimate_transition_matrix,
    frequent_confusions,
    summarize,
)
from noisyfit.persistence import FitCheckpoint, save_estimator
from noisyfit.training import resolve_device


class BaseNoisyClassifier(ClassifierMixin, NetMaker, metaclass=ABCMeta):
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

    @abstractmethod
    def _fit(self, task: FitTask) -> FitResult:
        """Run the method; torch's generators are seeded and restored around it."""

    @fit_context(prefer_skip_nested_validation=True)
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
        return summarize(
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
            return Subset(X, kept.tolist()), None if y is None else safe_indexing(y, kept)
        return safe_indexing(X, kept), safe_indexing(y, kept)

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

    def _rows(self, X: Any) -> Rows:
        X = check_X(self, X, self._row_dtype)
        return make_rows(X, None, torch.device(self.net_.device), self._scaler)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags
