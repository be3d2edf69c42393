"""`BaseNoisyClassifier`: scikit-learn's contract, met once for all methods."""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset

from noisyfit._nested_params import NestedParams
from noisyfit._random import seeded
from noisyfit._ranks import shared_fit
from noisyfit._sklearn import Interval, StrOptions, fit_context
from noisyfit.base._decisions import relabeled_rows, settled, worth_replacing_from
from noisyfit.base._fit_task import FitResult, FitTask, make_task
from noisyfit.base._fitted_labels import FittedLabels
from noisyfit.base._guard import compare_with_plain, led_astray
from noisyfit.base._judging import (
    MOST_EPOCHS,
    MOST_REPEATED,
    Verdict,
    judging_stages,
    reach_verdict,
)
from noisyfit.base._leaks import doubts_of_leaks, find_leaks, not_looked_for
from noisyfit.base._names import refuse_names
from noisyfit.base._pooling import doubt_of_own_rows
from noisyfit.base._same_fit import check_same_result
from noisyfit.base._trainer import Trainer
from noisyfit.data import (
    ImageScaler,
    Rows,
    check_labels,
    check_selectable,
    check_X,
    dataset_targets,
    encode_labels,
    make_rows,
    plain_labels,
    select_rows,
)
from noisyfit.dynamics import DynamicsRecorder
from noisyfit.label_quality import MIN_SHARE_OF_CLASS
from noisyfit.persistence import held_folder, save_estimator
from noisyfit.training import (
    SCHEDULES,
    Stage,
    StepSchedule,
    check_schedule,
    map_logits,
    predict_classes,
    predict_logits,
    rows_bar,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.utils import Tags

_RENAMED = {"_trusted": "trusted_mask_", "_scaler": "scaler_"}


class BaseNoisyClassifier(
    ClassifierMixin, FittedLabels, NestedParams, BaseEstimator, metaclass=ABCMeta
):
    """Template of all estimators: a method adds its parameters and `_fit`.

    The 21 parameters that all estimators share are assigned here; a method names them in its own
    signature, beside those that only it has, and passes them on. `Trainer` has an example.

    Examples
    --------
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.base import BaseNoisyClassifier
    >>> isinstance(MILDSelector(), BaseNoisyClassifier)
    True
    """

    __metadata_request__fit: ClassVar = {"trusted": True, "groups": True, "pred_proba": True}
    __metadata_request__fit_resample: ClassVar = __metadata_request__fit

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "module": [callable, None],
        "optimizer": [callable],
        "lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions(set(SCHEDULES)), StepSchedule, callable],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right"), None],
        "judge_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "min_share_of_class": [Interval(Real, 0, 1, closed="left")],
        "standardize": ["boolean", ImageScaler],
        "augment": [StrOptions({"auto"}), callable, None],
        "precision": [StrOptions({"auto", "float32", "bfloat16", "float16"})],
        "device": [str, torch.device],
        "callbacks": [list, tuple, None],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "record": ["array-like"],
        "record_folder": [str, Path, None],
        "checkpoint": [str, Path, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    optimizer_defaults: ClassVar[dict[str, Any]] = {}
    """What SGD gets unless ``optimizer__*`` says otherwise."""

    auto_lr: ClassVar[dict[str, float]] = {"table": 0.1, "other": 0.02}
    """What ``lr="auto"`` stands for; tables are brought to a scale for it."""

    takes_named_inputs: ClassVar[bool] = True
    """Whether rows may have several inputs, dicts by the names of the network's arguments."""

    _most_judge_epochs, _most_repeated = MOST_EPOCHS, MOST_REPEATED

    def __init__(
        self,
        module: Any = None,
        *,
        record: Any = (),
        record_folder: Any = None,
        checkpoint: Any = None,
        optimizer: Any = torch.optim.SGD,
        lr: float | str = "auto",
        schedule: Any = "auto",
        max_epochs: int = 20,
        batch_size: int | str = "auto",
        class_weight: Any = None,
        validation_fraction: float | None = None,
        judge_epochs: int | str = "auto",
        min_share_of_class: float = MIN_SHARE_OF_CLASS,
        standardize: Any = True,
        augment: Any = "auto",
        precision: str = "auto",
        device: str | torch.device = "auto",
        callbacks: list[Any] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        **net_params: Any,
    ) -> None:
        self.module = module
        self.record = record
        self.record_folder = record_folder
        self.checkpoint = checkpoint
        self.optimizer = optimizer
        self.lr = lr
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.judge_epochs = judge_epochs
        self.min_share_of_class = min_share_of_class
        self.standardize = standardize
        self.augment = augment
        self.precision = precision
        self.device = device
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self._net_params = net_params

    def _validate_params(self) -> None:
        refuse_names(type(self).__name__, self.module, self.optimizer)
        super()._validate_params()
        check_schedule(self.schedule)

    @abstractmethod
    def _fit(self, task: FitTask, trainer: Trainer) -> FitResult:
        """Run the method; torch's generators are seeded and restored around it."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        trusted: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        pred_proba: Any = None,
    ) -> BaseNoisyClassifier:
        """Train on rows whose labels may be wrong, and judge every label.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset of shape (n_samples, n_features)
            Or images (n_samples, channels, height, width), ``uint8`` or float. A map-style Dataset
            is streamed from where it lies.
        y : array-like of shape (n_samples,), VotedLabels, or None for a Dataset that has the labels
            Given labels: integers, strings or booleans. For a Dataset they count in place of the
            labels of its items. What `noisyfit.label_quality.aggregate_votes` makes of the votes of
            several annotators: their labels, and with how sure each is the noise scores are
            combined; training is that on the labels alone.
        trusted : array-like of shape (n_samples,), bool, default=None
            Marks rows whose label was verified. Their noise score is 0.
        sample_weight : array-like of shape (n_samples,), float, default=None
            Weights of the losses of the rows, not below 0; only their proportions matter. Noise
            scores and noise rate count all rows alike. None: so do the losses.
        groups : array-like of shape (n_samples,), default=None
            Which rows belong together: frames of a film, scans of a patient, augmented copies.
            Integers, strings or anything else that is hashable. A network that has seen the label
            of one row knows it of the others, so that a group as a whole is left out of the
            training of the network that judges it (``recording="held_out"``), and as a whole among
            the rows of `validation_fraction` or not; each class has to be in two groups at least,
            or is judged by a network that knows it. All else takes the rows one by one. None: rows
            that are equal or nearly, other than by chance, are found and kept together there,
            unless they are streamed.
        pred_proba : array-like of shape (n_samples, n_classes), float, default=None
            Probabilities of the classes by a model of your own, such as boosting or a language
            model, that was not trained on the row: ``cross_val_predict(model, X, y,
            method="predict_proba")``. Columns in the order of ``np.unique(y)``, without the mark
            of rows that have no label. They judge together with the networks of `judge_epochs`,
            weighed by the proportion of given labels that each predicts; alone with
            ``judge_epochs=0``. None: the networks judge alone.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For inputs that cannot be used; the message says what was got and what to do.
        TypeError
            For what cannot be rows, such as a generator; the message says what to pass instead.
        FloatingPointError
            If training diverges.
        """
        with shared_fit() as ranks, held_folder(self.checkpoint):
            task = make_task(
                self, X, y, trusted, self.checkpoint, sample_weight, groups, pred_proba
            )
            trainer = Trainer(self, task)
            with seeded(task.streams.training, task.device):
                self._expect(task, trainer, judged=False)
                task = replace(task, verdict=self._verdict(task, trainer))
                self._expect(task, trainer, judged=True)
                result = self._fit(task, trainer)
                self._set_fitted(task, trainer, result)
            if ranks is not None:
                check_same_result(ranks, self)
        return self

    def _verdict(self, task: FitTask, trainer: Trainer) -> Verdict | None:
        """Ask networks, and the user's model, that did not train on a row of its label."""
        # What is wrong with the records is said before anything is trained.
        DynamicsRecorder(task.n_samples, tuple(self.record), folder=self.record_folder).initialize()
        return reach_verdict(task, trainer, *self._judges_asked())

    def _expect(self, task: FitTask, trainer: Trainer, judged: bool) -> None:
        """Plan what is left of the fit, so that its progress bar knows how long that takes."""
        if self.verbose != 1:
            return
        own = self._stages(task, trainer)
        if trainer.may_stop_early:
            own = [stage._replace(optional=True) for stage in own]
        judging = [] if judged else judging_stages(task, trainer, *self._judges_asked())
        trainer.expected.plan([*judging, *own], ", judges included" if judging else "")

    def _stages(self, task: FitTask, trainer: Trainer) -> list[Stage]:
        """Return the stages of `_fit`, by the labels that it gives to the progress bar.

        For a method that trains something else than one network plainly.
        """
        return [Stage(trainer.name, self.max_epochs)]

    def _judges_asked(self) -> tuple[int, str, int]:
        return self._judge_epochs(), self._judge_loss, self._most_repeated

    @property
    def _judge_loss(self) -> str:
        return getattr(self, "loss", "cross_entropy")  # not every method has the choice

    def _judge_epochs(self) -> int:
        auto = min(self._most_judge_epochs, self.max_epochs)
        return auto if self.judge_epochs == "auto" else int(self.judge_epochs)

    def _set_fitted(self, task: FitTask, trainer: Trainer, result: FitResult) -> None:
        verdict = task.verdict if result.verdict is None else result.verdict
        scores, clean = settled(task, result.noise_scores, result.clean_mask, verdict)
        assert 0 <= result.noise_rate <= 1, "the noise rate lies in [0, 1]"
        net, predicted = result.net.release(), result.predicted
        if predicted is None:  # before anything is set: it may find that training diverged
            predicted = trainer.predict_classes(net)
        self.classes_ = task.classes
        self.trusted_mask_ = task.trusted
        self.validation_mask_ = task.validation
        self._unlabeled = task.unlabeled if task.unlabeled.any() else None
        self.noise_scores_ = scores
        self.clean_mask_ = clean
        self.noise_rate_ = float(result.noise_rate)
        self.noise_rate_interval_ = None if verdict is None else verdict.interval
        self.held_out_noise_rate_ = None if verdict is None else verdict.found
        # What was spared while the method decided, not what a better verdict would have spared.
        self._unpredicted = None if task.verdict is None else task.verdict.unpredicted
        rejected = ~clean & task.judged
        self._worth_from = worth_replacing_from(verdict, task.y, predicted)
        self._relabeled = relabeled_rows(
            verdict, self._worth_from, scores, rejected, result.loss_gap
        )
        self.__dict__.pop("audit_", None)  # of the fit before
        self.net_ = net
        self.history_ = result.history
        self._early_agreement = result.early_agreement
        self.dynamics_ = result.dynamics
        if hasattr(self, "loss"):
            self.loss_ = task.chosen_loss(self.loss)
            self._loss_gain = None if task.verdict is None else task.verdict.gain
        self.scaler_, self._row_dtype = task.scaler, task.row_dtype
        self._row_shape, self._row_sample = trainer.row_shape, task.row_sample
        # Labels are kept as codes: those of a text would take many times the memory.
        self._given_codes, self._predicted_codes = task.y, predicted
        for name, value in result.attributes.items():
            setattr(self, name, value)
        contradicted = predicted != task.y if verdict is None else verdict.contradicted
        names = getattr(self, "feature_names_in_", None)
        self._leaks = doubts_of_leaks(find_leaks(task), contradicted[task.judged], names)
        folds = task.verdict is not None and self._judge_epochs() > 0
        folds |= getattr(self, "recording", None) == "held_out" or bool(task.validation.any())
        self._unsearched = not_looked_for(task, trainer.row_shape, folds)
        self._compare_with_plain(task, predicted, result.plain_predicted)

    def _compare_with_plain(
        self, task: FitTask, predicted: np.ndarray, plain: np.ndarray | None
    ) -> None:
        """Keep what speaks for plain training, and warn where it is better."""
        verdict = task.verdict
        self._astray = self._beside_plain = None
        self._own_rows = doubt_of_own_rows(task.pred_proba, task.y, task.judged)
        if verdict is None or verdict.plain is None or verdict.loss != "cross_entropy":
            return  # nobody was trained plainly
        if plain is not None:
            self._astray = led_astray(verdict, predicted, plain, task.judged)
        found = compare_with_plain(verdict, task.y, predicted, task.validation)
        self._beside_plain = found
        if found is not None and found.plain_is_better:
            # Past _set_fitted, fit and scikit-learn's wrapper of it: the line of the user.
            warnings.warn(found.sentence(), UserWarning, stacklevel=5)

    @property
    def _predicting_bar(self) -> Callable[[int], Any]:
        return rows_bar(type(self).__name__, self.verbose, "predicting")

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
        return self.classes_[predict_classes(self.net_, self.as_rows(X), self._predicting_bar)]

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
        return softmax(predict_logits(self.net_, self.as_rows(X), self._predicting_bar), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows like those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            In nats; finite also where the probability would be rounded to 0.
        """
        check_is_fitted(self)
        return log_softmax(predict_logits(self.net_, self.as_rows(X), self._predicting_bar), axis=1)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits of the network, in the form that scikit-learn gives them.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows like those of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes, float32
            The largest is that of the predicted class. For two classes: the second less the first.
        """
        check_is_fitted(self)
        logits = predict_logits(self.net_, self.as_rows(X), self._predicting_bar)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy of `predict` on labels that are taken as true.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows like those of `fit`.
        y : array-like of shape (n_samples,), or None for a Dataset that has the labels
            Labels to compare the predictions with; rows without one, see `unlabeled`, are left out.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None: all count alike.

        Returns
        -------
        float
        """
        y = dataset_targets(X) if y is None and isinstance(X, Dataset) else y
        labels, predicted = plain_labels(y), self.predict(X)
        mark = getattr(self, "unlabeled", None)
        if mark is not None:  # rows without a label say nothing of the predictions
            has = np.asarray(labels) != mark
            labels, predicted = np.asarray(labels)[has], predicted[has]
            sample_weight = None if sample_weight is None else np.asarray(sample_weight)[has]
        return float(accuracy_score(labels, predicted, sample_weight=sample_weight))

    def score_labels(self, X: Any, y: Any) -> np.ndarray:
        r"""Score labels of rows that were not trained on, without training again.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows like those of `fit`.
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
        given, _ = encode_labels(check_labels(y), self.classes_)
        rows = self.as_rows(X)
        if len(rows) != len(given):
            raise ValueError(f"X has {len(rows)} rows, but y has {len(given)} labels.")
        rows = rows.with_labels(given)
        p_given = map_logits(
            self.net_,
            rows,
            lambda logits, y: logits.double().softmax(1).gather(1, y.view(-1, 1)),
            self._predicting_bar,
        ).ravel()
        n_classes = len(self.classes_)
        rate = np.clip(self.noise_rate_, 1e-3, 1 - 1 / n_classes)
        right = (1 - rate) * p_given
        wrong = rate / (n_classes - 1) * (1 - p_given)
        return wrong / (right + wrong)

    def fit_resample(self, X: Any, y: Any, **fit_params: Any) -> tuple[Any, Any]:
        """Fit, and return only the rows whose label was kept.

        imbalanced-learn's pipelines call it by this name, when fitting only.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows, as for `fit`.
        y : array-like of shape (n_samples,)
            Given labels, as for `fit`.
        **fit_params : object
            Passed to `fit`.

        Returns
        -------
        X : of the type of `X`
            The rows where ``clean_mask_`` is true; of a Dataset a `torch.utils.data.Subset`,
            unless it is a `noisyfit.data.SliceableDataset`.
        y : of the type of `y`

        Raises
        ------
        TypeError
            Before the training, if rows of `X` or `y` cannot be picked out, such as of a dask
            array.

        Warns
        -----
        UserWarning
            If nothing can be told of the labels, so that all rows are returned.
        """
        check_selectable(X, "X")
        check_selectable(y, "y")
        self.fit(X, y, **fit_params)
        kept = self.sample_indices_
        found = self.__dict__.get("held_out_noise_rate_")
        if found is not None and not found.told:  # in a pipeline nobody reads the summary
            warnings.warn(
                f"All {len(kept):,} rows with a label were kept, since nothing can be told of "
                "their labels: networks predict those of rows that they did not train on no "
                "better than by chance. summary() says more.",
                UserWarning,
                stacklevel=2,
            )
        return select_rows(X, kept), None if y is None else select_rows(y, kept, "y")

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a file, without pickle; `noisyfit.load` reads it.

        A file of noisyfit that is there is replaced once the new one is complete.

        Parameters
        ----------
        path : str or Path
            File to write; a later `noisyfit.load` reads it from there.

        Raises
        ------
        TypeError
            If a parameter, such as a network that was given as an instance or a callback, cannot be
            stored by name and numbers; the message says which.
        FileNotFoundError
            If there is no such folder.
        FileExistsError
            If there is a file of something else, which is left as it is.

        Notes
        -----
        The file is safetensors with a JSON header and a SHA-256 over both. It holds the parameters,
        the fitted attributes, and the network as its class and weights, but no training rows: of up
        to 256 of them a single number, by which `label_report` knows them again.
        """
        check_is_fitted(self)
        save_estimator(self, path)

    def as_rows(self, X: Any) -> Rows:
        """Return inputs as the fitted network takes them, for authors of methods.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows like those of `fit`.

        Returns
        -------
        Rows
            Checked against what `fit` was given, scaled, and on the device of the network; their
            labels are all 0.
        """
        check_is_fitted(self)
        X = check_X(self, X, self._row_dtype)
        return make_rows(X, None, torch.device(self.net_.device), self.scaler_)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Of versions in which these names were others, or attributes that are derived today.
        state = {_RENAMED.get(name, name): value for name, value in state.items()}
        own = type(self)
        derived = {name for name in state if isinstance(getattr(own, name, None), property)}
        super().__setstate__({name: value for name, value in state.items() if name not in derived})

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags
