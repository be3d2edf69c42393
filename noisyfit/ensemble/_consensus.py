"""`ConsensusClassifier`: several views of each label, combined."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy.special import logit

from noisyfit._sklearn import HasMethods, Interval, StrOptions
from noisyfit.base import (
    BaseNoisyClassifier,
    FitResult,
    FitTask,
    Trainer,
    make_verdict,
    noise_scores,
)
from noisyfit.ensemble._net import SoftLabelNet
from noisyfit.ensemble._views import (
    MOST_NEIGHBORS,
    View,
    combined_probability,
    combined_suspicion,
    cross_fitted,
    neighbors_view,
    vectors_of,
    view_of,
    weights,
)
from noisyfit.methods.dynamics_lstm import DynamicsLSTM
from noisyfit.training import Stage

if TYPE_CHECKING:
    from noisyfit.base import Verdict
    from noisyfit.dynamics import RecordedRun
    from noisyfit.training import NoisyNet

_MOST_BOOSTED = 11
"""Classes up to which boosting, which grows a tree for each, is asked by itself."""
_BOOSTING: dict[str, Any] = {"max_iter": 30, "learning_rate": 0.2, "max_leaf_nodes": 8}
"""Of boosting: larger trees learn more wrong labels, and take five times as long."""
_QUICK_EPOCHS = 15
"""Epochs of the networks that judge, where it has to be quick."""


class ConsensusClassifier(BaseNoisyClassifier):
    r"""Combine several views of each label; the estimator to start with.

    Networks in cross-validation, training dynamics read by an LSTM, the nearest rows, and
    scikit-learn classifiers in cross-validation each say how suspicious a label is. Views that
    predict the given labels better count for more. A network is then trained on the labels that
    are left, and on what the views say of the others.

    Parameters
    ----------
    module : torch.nn.Module class or instance, default=None
        Network that returns logits. None: `noisyfit.modules.MLP` for tables, `ConvNet` for images.
        ``n_features`` or ``n_channels``, and ``n_classes`` are passed where its signature has
        them.
    judge : "auto", classifier, list of classifiers or None, default="auto"
        scikit-learn classifiers with ``predict_proba`` that judge as well, each row by one that did
        not learn from it. They get the inputs as the network does, flattened. ``"auto"``: for
        tables logistic regression, and gradient boosting if they are dense and have at most 11
        classes; none for anything else.
    loss : {"auto", "cross_entropy", "early_learning"}, default="auto"
        Loss of the networks that judge. ``"auto"``: early-learning regularization [1]_ where its
        networks predict the given labels of rows that they did not train on better, beyond chance,
        than those of cross-entropy.
    preset : {"default", "quick"}, default="default"
        What ``"auto"`` stands for. ``"quick"``, in a third of the time: `judge_epochs` of 15 at
        most, whose networks judge each row once instead of twice; of the judges logistic regression
        alone; cross-entropy, without a comparison. What is said by itself counts as it is said.
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
        Epochs of the last training. Those that only judge get 30 at most.
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
        Epochs of the networks that judge, from 1 on. ``"auto"``: as many as `max_epochs`, at most
        30, or 15 with ``preset="quick"``.
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
        Rows whose label is kept: their score is one half at most, or they are among the last tenth
        of their class, or of a class that hardly any row is predicted as.
    noise_rate_ : float
        Estimated share of wrong labels.
    noise_rate_interval_ : tuple of two floats, or None
        From what all estimates agree on to what the networks contradict, see
        `noisyfit.label_quality.held_out_noise_rate`; None if every row is trusted.
    held_out_noise_rate_ : HeldOutNoiseRate or None
        All that the estimation found.
    held_out_proba_ : ndarray of shape (n_samples, n_classes), float32
        Out-of-fold probabilities, the mean over the views that have some.
    views_ : dict of str to float
        Weight of each view, ``"pred_proba"`` of `fit` among them; they sum to 1.
    loss_ : {"cross_entropy", "early_learning"}
        The loss that was taken.
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
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    net_ : NoisyNet
        The skorch net of the last training.
    history_ : list of dict
        One entry an epoch of the network in sample and of the last one.
    dynamics_ : TrainingDynamics
        What was recorded of the network in sample.
    scaler_ : TableScaler, ImageScaler or None
        What brings the inputs to a common scale.
    n_features_in_ : int
        Number of features, or of channels.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a data frame.

    Notes
    -----
    This is no paper's method. *Views*: the detector's log-odds for a network in sample; the
    out-of-fold margin; the 20 nearest rows by cosine, for tables up to 20,000 rows; each judge's
    margin, and that of ``pred_proba`` of `fit`. Ranks are turned into normal scores and averaged
    with the weights :math:`e^{(a_v - \max a)/0.05}`, a being the accuracy on given labels out of
    fold. A logistic regression that learns the weights from planted errors was tried and ranked
    worse.

    *Loss*: both are tried over the same folds, and early-learning regularization is taken if the
    paired difference of their out-of-fold accuracies on the given labels has a t-value above 2, and
    above -1 against cross-entropy up to the epoch where it predicts best.
    Networks that cannot be computed side by side, which all but `noisyfit.modules.MLP` are, get one
    repeat of each loss, where with a fixed loss they get two.

    *Last training*: on soft labels, each given label with one less its noise score s, the likeliest
    other class with s times its out-of-fold probability among the others. What is left is not
    learned, so that a row of which nothing is known weighs little.

    References
    ----------
    .. [1] Liu et al., "Early-learning regularization prevents memorization of noisy labels",
       NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import ConsensusClassifier
    >>> X, y = make_blobs(300, centers=3, random_state=0, cluster_std=0.7)
    >>> given = y.copy()
    >>> given[:30] = (y[:30] + 1) % 3
    >>> est = ConsensusClassifier(random_state=0).fit(X, given)
    >>> round(est.noise_rate_, 1), est.score(X, y) > 0.9
    (0.1, True)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseNoisyClassifier._parameter_constraints,
        "judge_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "judge": [StrOptions({"auto"}), "array-like", None, HasMethods(["fit", "predict_proba"])],
        "loss": [StrOptions({"auto", "cross_entropy", "early_learning"})],
        "preset": [StrOptions({"default", "quick"})],
    }
    optimizer_defaults: ClassVar[dict[str, Any]] = {"momentum": 0.9, "weight_decay": 5e-3}

    def __init__(
        self,
        module: Any = None,
        *,
        judge: Any = "auto",
        loss: str = "auto",
        preset: str = "default",
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
        self.judge = judge
        self.loss = loss
        self.preset = preset

    @property
    def _is_quick(self) -> bool:
        return self.preset == "quick"

    @property
    def _most_judge_epochs(self) -> int:  # type: ignore[override]
        return _QUICK_EPOCHS if self._is_quick else super()._most_judge_epochs

    @property
    def _most_repeated(self) -> int:  # type: ignore[override]
        return 0 if self._is_quick else super()._most_repeated

    @property
    def _judge_loss(self) -> str:
        return "cross_entropy" if self._is_quick and self.loss == "auto" else self.loss

    def _verdict(self, task: FitTask, trainer: Trainer) -> Verdict | None:
        # What the user brought is a view of its own, beside that of the networks.
        return super()._verdict(replace(task, pred_proba=None), trainer)

    def _fit(self, task: FitTask, trainer: Trainer) -> FitResult:
        verdict = task.verdict
        if verdict is None:
            return self._trusted_alone(task, trainer)
        judged = task.judged
        run_in_sample = self._in_sample(task, trainer)
        views = self._views(task, trainer, verdict, run_in_sample)
        proba = np.zeros_like(verdict.proba)
        proba[judged] = combined_probability(views)
        suspicion = np.zeros(task.n_samples)
        suspicion[judged] = combined_suspicion(views)
        verdict = self._final_verdict(task, verdict, proba)
        gap = task.loss_gap(run_in_sample.dynamics)
        judged_by_all = replace(task, verdict=verdict)
        rate = judged_by_all.noise_rate(0.0, gap)
        scores = noise_scores(judged_by_all, suspicion, verdict.proba.argmax(axis=1), rate)
        net = self._last(task, trainer, scores, proba)
        shares = dict(zip((view.name for view in views), weights(views).tolist(), strict=True))
        return FitResult(
            net=net,
            noise_scores=scores,
            clean_mask=task.kept_rows(scores > 0.5, scores),
            noise_rate=rate,
            dynamics=run_in_sample.dynamics.select(tuple(self.record)),
            history=[*run_in_sample.history(), *net.epoch_history()],
            attributes={
                "views_": shares,
                "held_out_proba_": proba.astype(np.float32),
            },
            verdict=verdict,
            loss_gap=gap,
        )

    def _stages(self, task: FitTask, trainer: Trainer) -> list[Stage]:
        in_sample = Stage(f"{trainer.name} in sample", self._judge_epochs())
        return [in_sample, Stage(f"{trainer.name} last training", self.max_epochs)]

    def _in_sample(self, task: FitTask, trainer: Trainer) -> RecordedRun:
        quantities = dict.fromkeys([*self.record, "margin", "loss", "correct"])
        epochs = self._judge_epochs()
        with closing(trainer.progress(epochs, leave=False)) as bar:
            bar.stage(self._stages(task, trainer)[0].label)
            settings = trainer.net_of(task.chosen_loss(self.loss))
            run = trainer.make_run("training", quantities, bar, keeps_net=False, **settings)
            run.train_stage(~task.unlabeled, epochs, "in sample")
        return run

    def _views(
        self,
        task: FitTask,
        trainer: Trainer,
        verdict: Verdict,
        run: RecordedRun,
    ) -> list[View]:
        judged = task.judged
        y = task.y[judged]
        networks = view_of("networks out of fold", verdict.proba[judged], y)
        p = DynamicsLSTM.pretrained(device=self.device).predict_proba(run.dynamics)[judged]
        views = [
            networks,
            View("training dynamics", logit(np.clip(p, 1e-12, 1 - 1e-12)), networks.accuracy),
        ]
        if task.pred_proba is not None:
            views.append(view_of("pred_proba", task.pred_proba[judged], y))
        X = vectors_of(task.rows)
        if X is None:
            return views
        # Trusted rows are asked as well: judged rows alone may be few, or of one class.
        has = ~task.unlabeled
        asked = judged[has]
        X, known, fold = X[has], task.y[has], verdict.folds[0][has]
        if len(trainer.row_shape) == 1 and 2 < len(known) <= MOST_NEIGHBORS:
            groups = None if task.fold_groups is None else task.fold_groups[has]
            views.append(neighbors_view(X, known, task.n_classes, groups, asked))
        for judge in self._judges(task, trainer, X):
            proba = cross_fitted(judge, X, known, fold, task.n_classes)[asked]
            views.append(view_of(type(judge).__name__, proba, y))
        return views

    def _judges(self, task: FitTask, trainer: Trainer, X: Any) -> list[Any]:
        if self.judge is None:
            return []
        if not isinstance(self.judge, str):
            return list(self.judge) if isinstance(self.judge, (list, tuple)) else [self.judge]
        if len(trainer.row_shape) != 1:
            return []
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression

        judges: list[Any] = [LogisticRegression(max_iter=500)]
        dense = isinstance(X, np.ndarray)
        if dense and task.n_classes <= _MOST_BOOSTED and not self._is_quick:
            seed = int(task.streams.judging.integers(2**31))
            judges.append(HistGradientBoostingClassifier(**_BOOSTING, random_state=seed))
        return judges

    def _final_verdict(self, task: FitTask, verdict: Verdict, proba: np.ndarray) -> Verdict:
        """Let the mean of all probabilities judge; the networks' repeats say how stable it is."""
        all_of_them = make_verdict(task, proba[None], verdict.folds)
        first, found = verdict.found, all_of_them.found
        if not found.told:  # the networks alone may tell something, and the mean may not
            return all_of_them._replace(found=first)
        rate, low, high = found.rate, 0.0, found.interval[1]
        if first.told:
            rate = (first.rate + rate) / 2
            low, high = min(first.interval[0], rate), max(first.interval[1], high)
        found = found._replace(
            rate=rate, interval=(low, max(high, rate)), instability=first.instability
        )
        return all_of_them._replace(found=found)

    def _last(
        self, task: FitTask, trainer: Trainer, scores: np.ndarray, proba: np.ndarray
    ) -> NoisyNet:
        """Train on given labels as far as they are believed, and on the views' for the rest."""
        rows = np.arange(task.n_samples)
        others = proba.astype(np.float64)
        others[rows, task.y] = 0
        best = others.argmax(axis=1)
        of_best = others[rows, best] / np.maximum(others.sum(axis=1), 1e-12)
        target = np.zeros_like(others)
        target[rows, best] = scores * of_best  # what is unknown is not learned
        target[rows, task.y] = 1 - scores
        with closing(trainer.progress(self.max_epochs)) as bar:
            bar.stage(self._stages(task, trainer)[1].label)
            net = trainer.make_net(
                [("progress", bar)], SoftLabelNet, target=torch.from_numpy(target).float()
            )
            labeled = task.rows.subset(~task.unlabeled)
            net.train_stage(labeled, self.max_epochs, "last training", task.held_back)
        return net

    def _trusted_alone(self, task: FitTask, trainer: Trainer) -> FitResult:
        """Train on labels of which none is to be judged, or none can be."""
        run = self._in_sample(task, trainer)
        net = self._last(task, trainer, np.zeros(task.n_samples), np.eye(task.n_classes)[task.y])
        return FitResult(
            net=net,
            noise_scores=np.zeros(task.n_samples),
            clean_mask=~task.unlabeled,
            noise_rate=0.0,
            dynamics=run.dynamics.select(tuple(self.record)),
            history=[*run.history(), *net.epoch_history()],
            attributes={"views_": {}, "held_out_proba_": None},
        )
