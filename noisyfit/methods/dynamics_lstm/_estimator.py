"""`DynamicsLSTMDetector`: an LSTM reads training dynamics (Jia et al. 2023)."""

from __future__ import annotations

import copy
import warnings
from contextlib import closing
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy.special import logit
from sklearn.base import clone

from noisyfit._random import seeded
from noisyfit._sklearn import Interval, StrOptions, fit_context
from noisyfit.base import (
    BaseNoisyClassifier,
    FitResult,
    FitTask,
    Trainer,
    chosen_recording,
    make_task,
    noise_scores,
    ranked_by_both,
)
from noisyfit.dynamics import RECORDINGS, RecordedRun, TrainingDynamics
from noisyfit.methods.dynamics_lstm._detector import ANY_RECORDING, DynamicsLSTM, check_marks
from noisyfit.methods.dynamics_lstm._noise_rate import detector_noise_rate
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import EpochProgress, Stage

if TYPE_CHECKING:
    from noisyfit.base import Verdict
    from noisyfit.data import Rows
    from noisyfit.label_quality import NoiseRateEstimate

_FLIPPED_SHARE = 0.2
_SMALLEST = 1e-12


class DynamicsLSTMDetector(BaseNoisyClassifier):
    r"""Find wrong labels with an LSTM that has learned to read training dynamics.

    The network trains on all rows, and a detector reads how each row's label was learned [1]_. The
    one that ships was trained beforehand on other data sets, so that no clean label is needed. Rows
    that it takes for wrong are left out, and a fresh network is trained on the others.

    Parameters
    ----------
    module : torch.nn.Module class or instance, default=None
        Network that returns logits. None: `noisyfit.modules.MLP` for tables, `ConvNet` for images.
        ``n_features`` or ``n_channels``, and ``n_classes`` are passed where its signature has
        them.
    detector : "pretrained" or DynamicsLSTM, default="pretrained"
        The detector that ships, or one of your own that has learned from relative probabilities,
        see Notes, as `fit_detector` teaches it.
    recording : str, default="auto"
        Where the dynamics come from. ``"auto"``: as ``"training"``, and the ranking is averaged
        with that of the networks that judge, see `judge_epochs`. ``"training"``: from the training
        step itself, at no cost. ``"evaluation"``: from a pass of its own each epoch, over the rows
        as they are; ``"evaluation_augmented"``: over the views of `augment`, as in the published
        code. ``"held_out"``: from five networks in cross-validation, each row's from the one that
        does not train on it; that costs five times as much, and pays where few rows are memorised
        at once, see Notes.
    loss : {"auto", "cross_entropy", "early_learning"}, default="auto"
        Loss of the networks. ``"auto"``: early-learning regularization [2]_ where, among the
        networks that judge (see `judge_epochs`), its own predict the given labels of rows that they
        did not train on better, beyond chance, than those of cross-entropy. With
        ``judge_epochs=0`` there is nothing to choose by, and it is cross-entropy.
    fine_tune : bool, default=False
        Adapt the detector to the data set: a fifth of the labels that it takes for right is flipped
        on purpose, the network trains on the result, the detector on what that looks like. Costs a
        second run, and needs 20 flipped and 20 unflipped labels.
    remove : "estimated" or float, default="estimated"
        Share :math:`\rho` of the rows that is left out, those with the highest scores;
        :math:`\lfloor n(1-\rho) \rfloor` are kept. ``"estimated"``: the estimated noise rate. Or a
        float in [0, 1).
    record : sequence of str, default=("given_prob", "margin")
        What to keep in ``dynamics_``: ``"correct"``, ``"given_prob"``, ``"margin"``, ``"loss"``.
    record_folder : str, Path or None, default=None
        Folder for the temporary file that holds the records of more rows and epochs than memory
        would: a bit or two bytes a row and epoch. None: in memory.
    checkpoint : str, Path or None, default=None
        Folder of this one fit, in which its state is kept after each epoch. A `fit` with the same
        parameters and data that was stopped goes on there, and ends as if it had not been. None:
        nothing is kept.
    optimizer : torch.optim.Optimizer class, default=torch.optim.SGD
        SGD gets ``momentum=0.9`` and ``weight_decay=5e-3`` unless ``optimizer__*`` says otherwise.
    lr : float or "auto", default="auto"
        Learning rate at the start. ``"auto"``: 0.1 for tables, which are scaled for it, and 0.02
        for everything else.
    schedule : str, StepSchedule or callable, default="auto"
        How the learning rate goes on from there, anew in each stage of the training. ``"auto"`` and
        ``"cosine"``: to zero along a cosine. ``"constant"``: it stays. ``"step"``: a tenth from
        half way on, or as a `noisyfit.training.StepSchedule` says. A callable gets the optimizer
        and returns a torch scheduler, which steps after each epoch. The networks of `judge_epochs`
        keep their cosine.
    max_epochs : int, default=50
        Epochs of the recorded run, and again of the retraining.
    batch_size : int or "auto", default="auto"
        ``"auto"``: about 50 steps an epoch, 16 to 128 rows.
    class_weight : dict, "balanced" or None, default=None
        Weights of the losses by given label, multiplied with ``sample_weight`` of `fit`.
        ``"balanced"``: inverse to the number of rows with the label. None: all count alike.
    validation_fraction : float or None, default=None
        Fraction of the rows of each given label, in (0, 0.5], that are not trained on. Their labels
        are as noisy as all others. ``valid_loss`` and ``valid_acc`` are then in ``history_``, where
        skorch's `EarlyStopping` finds them, and each stage of the training ends with the weights of
        the epoch of the best ``valid_acc``. Trusted rows are never among them. None: no such rows.
    judge_epochs : int or "auto", default="auto"
        Epochs of five networks in cross-validation, ten up to 5,000 rows, whose verdict on rows
        that they did not train on gives ``noise_rate_``, its interval and the scale of the scores.
        Those that are no `noisyfit.modules.MLP` end earlier, once their verdict has settled.
        ``"auto"``: as many as `max_epochs`, at most 30. 0: no such networks, which is quicker;
        without ``pred_proba`` in `fit`, the rate is then the method's own, which is wrong more
        often. Callbacks do not see them.
    min_share_of_class : float, default=0.1
        Smallest share of the rows of each given label that are kept, those that look best, however
        suspicious they are, in [0, 1). 0: a class may lose all its rows, as in the papers. It stays
        in ``classes_``, but a network that is trained after that has no row of it. Whatever this
        is, a class that hardly any row is predicted as by the networks of `judge_epochs` keeps all.
    standardize : bool or ImageScaler, default=True
        Standardise the columns of a table and the channels of ``uint8`` images. A
        `noisyfit.data.ImageScaler`: by these means and standard deviations, as a pretrained network
        asks for.
    augment : callable, "auto" or None, default="auto"
        Batched transform of the training inputs. ``"auto"``: random crops, with flips where there
        are three channels; nothing for tables.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        ``"auto"``: bfloat16 for images on hardware with units for it, else float32.
    device : str or torch.device, default="auto"
        ``"auto"``: CUDA where there is one.
    callbacks : list of skorch callbacks, default=None
        Used as skorch uses them: the objects themselves, in all stages of the training, of which
        ``net.stage_`` is the name. A `skorch.callbacks.LRScheduler` replaces the built-in schedule.
    n_jobs : int or None, default=None
        Processes of joblib that train the networks of `judge_epochs` where these cannot be computed
        side by side, as those for images; -1: one for each processor. Torch's threads are divided
        among them. Worth it on a CPU with several; not together with `checkpoint`, nor in a fit
        that processes share. None: 1.
    random_state : int, RandomState instance or None, default=None
        Makes a fit repeatable; torch's and numpy's global generators are left alone.
    verbose : int, default=0
        1 shows a progress bar, and how long the fit will take; 2 skorch's table of epochs.
    **net_params : object
        ``module__<name>``, ``optimizer__<name>``, ``iterator_train__<name>`` (such as
        ``num_workers``).

    Attributes
    ----------
    noise_scores_ : ndarray of shape (n_samples,)
        Probability that the given label is wrong, in [0, 1].
    clean_mask_ : ndarray of shape (n_samples,), bool
        Rows that the final network was trained on.
    noise_rate_ : float
        Proportion of wrong labels by the networks in cross-validation, see `judge_epochs`;
        with ``judge_epochs=0`` close to the mean of ``noise_scores_``.
    noise_rate_interval_ : tuple of two floats, or None
        From what all estimates agree on to what these networks contradict; None without them.
    held_out_noise_rate_ : HeldOutNoiseRate or None
        All that they say, see `noisyfit.label_quality.held_out_noise_rate`; None without them.
    trusted_mask_ : ndarray of shape (n_samples,), bool
        Rows whose label was verified, as `fit` was told.
    validation_mask_ : ndarray of shape (n_samples,), bool
        Rows that the network that predicts was not trained on, see `validation_fraction`.
    given_labels_, predicted_labels_ : ndarray of shape (n_samples,)
        The labels that `fit` was given, and those that the network predicts for its rows.
    corrected_labels_ : ndarray of shape (n_samples,)
        The given label, or the predicted one where it was rejected and that is the better guess
        even at the lower end of ``noise_rate_interval_``, or at ``noise_rate_`` where the losses in
        sample fall into two groups; without an interval wherever it was rejected.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Estimated share of the rows of a true class (row) that were given each label (column), see
        `noisyfit.label_quality.estimate_transition_matrix`.
    loss_ : {"cross_entropy", "early_learning"}
        The loss that was taken.
    detector_ : DynamicsLSTM
        The detector that was used.
    recording_ : str
        What the scores rank by: a `recording`, or ``"both"``, in sample and out of fold.
    recording_reason_ : str
        Why.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    net_ : NoisyNet
        The skorch net that was trained on the kept rows.
    history_ : list of dict
        One entry an epoch: ``stage``, ``train_loss``, ``lr``, ``dur``, and ``fold`` if held out.
    dynamics_ : TrainingDynamics
        What was recorded in the first run.
    scaler_ : TableScaler, ImageScaler or None
        What brings the inputs to a common scale.
    n_features_in_ : int
        Number of features, or of channels.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a data frame.

    Notes
    -----
    *What the detector reads* differs from the paper where there are more than two classes: not the
    probability of the given label, but that relative to the strongest rival alone,
    :math:`p_y / (p_y + \max_{c \ne y} p_c)`. It tells whether the label was predicted, which the
    former does not, and counts for more with many classes and with pair noise
    (``docs/benchmarks.md`` has the figures). The detector that ships was trained on these; it also
    takes probabilities of the given label that another training loop has logged, and does about as
    well on them as their mean.

    *How many rows are left out*. The paper removes a share chosen by hand. Here it is the noise
    rate that `detector_noise_rate` estimates: from the gap between early and late losses where they
    fall into two groups, from the detector's mean probability where they do not. A class keeps at
    least `min_share_of_class` of its rows.

    *Scores* rank the rows as the detector does. How sure it may be depends on the data set, which
    it does not know: a logistic curve, fitted to whether the final network contradicts the label,
    turns its log-odds into probabilities whose mean is the noise rate.

    *Recording*. The published code records in a pass of its own in evaluation mode, the paper
    speaks of a by-product of training; both are there. ``"held_out"`` is neither's.

    *Judges* (no part of the method). Networks in cross-validation give the noise rate, its
    interval, half of the ranking (``recording="auto"``) and the scale of the scores; a class that
    hardly any row is predicted as keeps its rows. With ``judge_epochs=0`` the method speaks for
    itself, as described above.

    *Loss* (no part of the method). Both losses are tried over the same folds, and early-learning
    regularization is taken if the paired difference of their out-of-fold accuracies on the given
    labels has a t-value above 2, and above -1 against cross-entropy up to the epoch where it
    predicts best; its networks are then also the judges. This costs one repeat more.
    Networks that cannot be computed side by side, which all but `noisyfit.modules.MLP` are, get one
    repeat of each loss, where with a fixed loss they get two: it takes as long.

    References
    ----------
    .. [1] Jia et al., "Learning from Training Dynamics: Identifying Mislabeled Data Beyond Manually
       Designed Features", AAAI 2023.
    .. [2] Liu et al., "Early-learning regularization prevents memorization of noisy labels",
       NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from noisyfit import DynamicsLSTMDetector
    >>> from noisyfit.noise import corrupt_labels, transition_matrix
    >>> X, y = load_digits(return_X_y=True)
    >>> given, wrong = corrupt_labels(y, transition_matrix("symmetric", 10, 0.2), 0)
    >>> est = DynamicsLSTMDetector(max_epochs=10, random_state=0).fit(X, given)
    >>> bool(est.noise_scores_[wrong].mean() > 0.6 > 0.1 > est.noise_scores_[~wrong].mean())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseNoisyClassifier._parameter_constraints,
        "detector": [StrOptions({"pretrained"}), DynamicsLSTM],
        "recording": [StrOptions({"auto", *RECORDINGS})],
        "loss": [StrOptions({"auto", "cross_entropy", "early_learning"})],
        "fine_tune": ["boolean"],
        "remove": [StrOptions({"estimated"}), Interval(Real, 0, 1, closed="left")],
    }
    optimizer_defaults: ClassVar[dict[str, Any]] = {"momentum": 0.9, "weight_decay": 5e-3}

    def __init__(
        self,
        module: Any = None,
        *,
        detector: str | DynamicsLSTM = "pretrained",
        recording: str = "auto",
        loss: str = "auto",
        fine_tune: bool = False,
        remove: str | float = "estimated",
        record: Any = ("given_prob", "margin"),
        record_folder: Any = None,
        checkpoint: Any = None,
        optimizer: Any = torch.optim.SGD,
        lr: float | str = "auto",
        schedule: Any = "auto",
        max_epochs: int = 50,
        batch_size: int | str = "auto",
        class_weight: Any = None,
        validation_fraction: float | None = None,
        judge_epochs: int | str = "auto",
        min_share_of_class: float = 0.1,
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
        super().__init__(
            module,
            record=record,
            record_folder=record_folder,
            checkpoint=checkpoint,
            optimizer=optimizer,
            lr=lr,
            schedule=schedule,
            max_epochs=max_epochs,
            batch_size=batch_size,
            class_weight=class_weight,
            validation_fraction=validation_fraction,
            judge_epochs=judge_epochs,
            min_share_of_class=min_share_of_class,
            standardize=standardize,
            augment=augment,
            precision=precision,
            device=device,
            callbacks=callbacks,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
            **net_params,
        )
        self.detector = detector
        self.recording = recording
        self.loss = loss
        self.fine_tune = fine_tune
        self.remove = remove

    @fit_context(prefer_skip_nested_validation=True)
    def record_run(self, X: Any, y: Any = None, *, groups: Any = None) -> RecordedRun:
        """Train as `fit` does in its first half, and return what was recorded.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows, as for `fit`.
        y : array-like of shape (n_samples,), or None for a Dataset that has the labels
            Given labels.
        groups : array-like of shape (n_samples,), default=None
            Rows that belong together, as for `fit`.

        Returns
        -------
        RecordedRun
            Its ``dynamics`` are the records, its ``map_logits`` reads the recorded nets. The
            estimator itself is left as it is.
        """
        task = make_task(clone(self), X, y, groups=groups)
        return self._run_alone(task, Trainer(self, task))

    @fit_context(prefer_skip_nested_validation=True)
    def fit_detector(
        self,
        X: Any,
        y: Any = None,
        *,
        noise: Any = "symmetric",
        rate: float | None = None,
        detector: DynamicsLSTM | None = None,
        groups: Any = None,
    ) -> DynamicsLSTM:
        """Train a detector on rows whose labels are (nearly) all right, steps 1 and 2 of the paper.

        Some labels are flipped on purpose, the estimator's network trains on the result, and the
        detector learns to tell the flipped labels by their dynamics.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset
            Rows, as for `fit`.
        y : array-like of shape (n_samples,), or None for a Dataset that has the labels
            Clean labels. If some are wrong, the detector learns from them as right ones.
        noise : {"symmetric", "pair"} or array-like of shape (n_classes, n_classes), \
                default="symmetric"
            How labels are flipped: by name, or as a transition matrix, see `noisyfit.noise`.
        rate : float or None, default=None
            Share of labels to flip, in (0, 1). None: 0.2. A matrix has its own.
        detector : DynamicsLSTM or None, default=None
            Settings of the detector, copied and trained from scratch; None: the defaults.
        groups : array-like of shape (n_samples,), default=None
            Rows that belong together, as for `fit`.

        Returns
        -------
        DynamicsLSTM
            To be passed as ``detector`` to an estimator for the data set in question.

        Raises
        ------
        ValueError
            For noise that cannot be made, or fewer than 20 flipped or unflipped labels.
        RuntimeError
            If the detector learns nothing.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from noisyfit import DynamicsLSTMDetector
        >>> X, y = load_digits(return_X_y=True)
        >>> est = DynamicsLSTMDetector(max_epochs=15, random_state=0)
        >>> detector = est.fit_detector(X[:900], y[:900], noise="pair", rate=0.3)
        >>> round(detector.noise_rate_, 1)
        0.3
        """
        if not isinstance(detector, DynamicsLSTM | None):
            raise TypeError(f"detector must be a DynamicsLSTM or None. Got {detector!r}.")
        task = make_task(clone(self), X, y, groups=groups)
        rows, flipped = _flip(task, _matrix(noise, rate, task.n_classes))
        check_marks(flipped, task.n_samples)
        sequences = self._run_alone(task, Trainer(self, task), rows).dynamics.relative_prob
        default = DynamicsLSTM(device=self.device, random_state=self.random_state)
        new = copy.deepcopy(default if detector is None else detector)
        new.recording = self._mode
        return new.fit(sequences, flipped)

    @property
    def _mode(self) -> str:
        return "training" if self.recording == "auto" else self.recording

    def _verdict(self, task: FitTask, trainer: Trainer) -> Verdict | None:
        if not isinstance(self.detector, str):
            self.detector.check_fitted()  # before anything is trained
        return super()._verdict(task, trainer)

    def _fit(self, task: FitTask, trainer: Trainer) -> FitResult:
        detector = self._load_detector()
        n_epochs = sum(stage.epochs for stage in self._stages(task, trainer))
        with closing(trainer.progress(n_epochs)) as bar:
            settings = trainer.net_of(task.chosen_loss(self.loss))
            run = self._record(trainer, "recording", bar, **settings)
            recorded = run.history()
            suspicion, rate, gap = self._judge(detector, run.dynamics, task)
            drop = self._drop(suspicion, rate, task)
            if self.fine_tune:
                detector, history = self._fine_tune(detector, task, trainer, ~drop, bar, **settings)
                recorded += history
                suspicion, rate, gap = self._judge(detector, run.dynamics, task)
                drop = self._drop(suspicion, rate, task)
            task.check_trainable(~drop)
            bar.stage(f"{type(self).__name__} retraining")
            net = trainer.make_net([("progress", bar)], **settings)
            net.train_stage(task.rows.subset(~drop), self.max_epochs, "retraining", task.held_back)
        predicted = trainer.predict_classes(net)
        return FitResult(
            net=net,
            noise_scores=noise_scores(task, suspicion, predicted, rate),
            clean_mask=~drop,
            noise_rate=rate,
            dynamics=run.dynamics.select(tuple(self.record)),
            history=[*recorded, *net.epoch_history()],
            attributes={
                "detector_": detector,
                **chosen_recording(task, self.recording, self._mode, run.dynamics),
            },
            early_agreement=run.early_agreement(task.judged),
            predicted=predicted,
            loss_gap=gap,
        )

    def _stages(self, task: FitTask, trainer: Trainer) -> list[Stage]:
        recorded = self.max_epochs * RecordedRun.n_nets(self._mode, keeps_net=False)
        epochs = {"recording": recorded, "fine-tuning": recorded, "retraining": self.max_epochs}
        if not self.fine_tune:
            del epochs["fine-tuning"]
        return [Stage(f"{trainer.name} {name}", n) for name, n in epochs.items()]

    def _load_detector(self) -> DynamicsLSTM:
        if isinstance(self.detector, str):
            return DynamicsLSTM.pretrained(device=self.device)
        if self.detector.recording not in (ANY_RECORDING, self._mode):
            warnings.warn(
                f"The detector has learned from dynamics recorded in mode "
                f"{self.detector.recording!r}, this run is recorded in mode {self._mode!r}.",
                UserWarning,
                stacklevel=4,
            )
        return self.detector

    def _run_alone(self, task: FitTask, trainer: Trainer, rows: Rows | None = None) -> RecordedRun:
        n_nets = RecordedRun.n_nets(self._mode, keeps_net=False)
        with (
            closing(trainer.progress(self.max_epochs * n_nets)) as bar,
            seeded(task.streams.training, task.device),
        ):
            settings = trainer.net_of(task.chosen_loss(self.loss))
            return self._record(trainer, "recording", bar, rows, **settings)

    def _record(
        self,
        trainer: Trainer,
        stage: str,
        bar: EpochProgress,
        rows: Rows | None = None,
        keep: np.ndarray | None = None,
        **settings: Any,
    ) -> RecordedRun:
        """Train on the rows to keep and record them; `rows` may have other labels."""
        bar.stage(f"{type(self).__name__} {stage}")
        quantities = dict.fromkeys([*self.record, "margin", "loss", "correct"])
        run = trainer.make_run(self._mode, quantities, bar, rows=rows, keeps_net=False, **settings)
        keep = np.ones(run.dynamics.n_samples, dtype=bool) if keep is None else keep
        run.train_stage(keep, self.max_epochs, stage)
        return run

    def _judge(
        self, detector: DynamicsLSTM, dynamics: TrainingDynamics, task: FitTask
    ) -> tuple[np.ndarray, float, NoiseRateEstimate | None]:
        """Return the ranking, the noise rate, and what losses in sample say of the labels."""
        suspicion, judged = np.full(task.n_samples, -np.inf), task.judged
        if not judged.any():
            return suspicion, 0.0, None
        p = detector.predict_proba(dynamics)[judged]
        suspicion[judged] = logit(np.clip(p, _SMALLEST, 1 - _SMALLEST))
        gap, rate = task.loss_gap(dynamics), float(p.mean())
        if gap is not None:
            rate = detector_noise_rate(rate, gap.rate, gap.separation)
        if self._mode == "held_out":  # nothing is learned by heart
            gap = None
        rate = task.noise_rate(float(judged.mean() * rate), gap)
        ranking = ranked_by_both(task, suspicion) if self.recording == "auto" else suspicion
        return ranking, rate, gap

    def _drop(self, suspicion: np.ndarray, rate: float, task: FitTask) -> np.ndarray:
        """Mark the rows that are not retrained on."""
        share = rate if self.remove == "estimated" else float(self.remove)
        n_kept = int(task.n_samples * (1 - share) + 1e-6)  # 5000 * (1 - 0.8) is 999.999...
        drop = np.zeros(task.n_samples, dtype=bool)
        drop[np.argsort(suspicion, kind="stable")[n_kept:]] = True
        return task.dropped_rows(drop, suspicion, np.arange(task.n_samples))

    def _fine_tune(
        self,
        detector: DynamicsLSTM,
        task: FitTask,
        trainer: Trainer,
        kept: np.ndarray,
        bar: EpochProgress,
        **settings: Any,
    ) -> tuple[DynamicsLSTM, list[dict[str, Any]]]:
        """Train the detector further on flips among the rows that it takes for clean."""
        matrix = transition_matrix("symmetric", task.n_classes, _FLIPPED_SHARE)
        rows, flipped = _flip(task, matrix, kept)
        check_marks(flipped[kept], int(kept.sum()))
        run = self._record(trainer, "fine-tuning", bar, rows, kept, **settings)
        tuned = copy.copy(detector)
        tuned.random_state = int(task.streams.split.integers(2**31))
        tuned = tuned.fine_tune(run.dynamics.relative_prob[kept], flipped[kept])
        return tuned, run.history()


def _matrix(noise: Any, rate: float | None, n_classes: int) -> np.ndarray:
    """Return the transition matrix that the user has asked for."""
    if isinstance(noise, str):
        return transition_matrix(noise, n_classes, _FLIPPED_SHARE if rate is None else rate)  # type: ignore[arg-type]
    if rate is not None:
        raise ValueError(
            f"rate is for noise with a name; a transition matrix has its own. Got rate={rate!r}."
        )
    return np.asarray(noise)


def _flip(
    task: FitTask, matrix: np.ndarray, among: np.ndarray | None = None
) -> tuple[Rows, np.ndarray]:
    """Return the rows of the task with some labels replaced, and which."""
    corrupted = corrupt_labels(
        task.y, matrix, task.streams.split, classes=np.arange(task.n_classes)
    )
    flipped = corrupted.flipped if among is None else corrupted.flipped & among
    return task.rows.with_labels(np.where(flipped, corrupted.labels, task.y)), flipped
