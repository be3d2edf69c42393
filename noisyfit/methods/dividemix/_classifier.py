"""`DivideMixClassifier`: two networks that divide the labels for each other (Li et al. 2020)."""

from __future__ import annotations

from contextlib import closing
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from noisyfit._sklearn import Interval, StrOptions
from noisyfit.base import (
    BaseNoisyClassifier,
    FitResult,
    FitTask,
    PlainRun,
    Trainer,
    noise_scores,
    plain_stage,
    ranked_by_both,
    train_plainly,
)
from noisyfit.data import batch_sizes
from noisyfit.dynamics import DynamicsRecorder
from noisyfit.methods.dividemix._net import DivideNet
from noisyfit.methods.dividemix._settings import DivideSettings, ThresholdSettings
from noisyfit.modules import MeanNetwork
from noisyfit.training import (
    Stage,
    auto_guessed_weight,
    mixmatch_cost,
    threshold_schedule,
    window_length,
)

if TYPE_CHECKING:
    import numpy as np


class DivideMixClassifier(BaseNoisyClassifier):
    r"""Train two networks, each on what the other takes for right labels.

    After a warm-up each network fits a mixture of two normals to its losses of all rows, once an
    epoch. The other network learns from the labels on the side of the small losses, refined by its
    own predictions, and from what both networks predict for the other rows, as MixMatch does [1]_.
    A network does not confirm its own mistakes that way, and the mean of both predicts.

    Parameters
    ----------
    module : torch.nn.Module class or instance, default=None
        Network that returns logits. None: `noisyfit.modules.MLP` for tables, `ConvNet` for images.
        ``n_features`` or ``n_channels``, and ``n_classes`` are passed where its signature has
        them.
    division : {"gmm", "dlt"}, default="gmm"
        How a network divides the labels: by a mixture of its losses, or by the threshold on the
        losses of each batch of `DLTClassifier` (DLT* in Table 4 of [2]_).
    p_threshold : float, default=0.5
        :math:`\tau`: labels that are right with a larger probability are learned from. Of
        ``division="gmm"``.
    strategy : {"sliding_window", "last_epoch"}, default="sliding_window"
        Losses that the threshold is a quantile of. Of ``division="dlt"``.
    unlabeled : int, str or None, default=None
        What stands in `y` for rows without a label, as -1 does in scikit-learn's semi-supervised
        estimators. They are learned from as rejected rows are, have the noise score 0 and are not
        in ``clean_mask_``. None: every row has a label.
    noise_rate : float or "auto", default="auto"
        Share of wrong labels, in [0, 1), from which `lambda_noisy` and the scale of the scores
        follow, and with ``division="dlt"`` the share of rejected rows. ``"auto"`` estimates it as
        `DLTClassifier` does.
    estimation_epochs : int, default=20
        Epochs of the plain training run that estimates the noise rate; unused with a float.
    warmup_epochs : int or "auto", default="auto"
        Epochs of plain training on all rows before anything is divided. ``"auto"``: a fifth of
        `max_epochs`.
    ramp_epochs : int or "auto", default="auto"
        Epochs over which the share of believed labels falls. ``"auto"``: a fifth of `max_epochs`.
        Of ``division="dlt"``.
    window : int or "auto", default="auto"
        Length of the sliding window in batches. ``"auto"``: half an epoch, 200 at most. Of
        ``division="dlt"``.
    n_views : int, default=2
        M, views of each row that are learned from.
    temperature : float, default=0.5
        T, sharpens refined and guessed labels (Eq. 4).
    mixup_alpha : float, default=0.5
        :math:`\alpha`, both parameters of the beta distribution that mixup's factor is drawn from;
        0: no mixup.
    lambda_noisy : float or "auto", default="auto"
        :math:`\lambda_u`, weight of the rows without labels (Eq. 12). ``"auto"``: 0 below a noise
        rate of a quarter, else 2.5 times the number of classes, 150 at most.
    lambda_ramp_epochs : int, default=16
        Epochs after the warm-up over which `lambda_noisy` rises, once an epoch; 0: at once.
    lambda_prior : float, default=1.0
        :math:`\lambda_r`, weight of the penalty that keeps the predictions near `class_prior`.
    class_prior : {"given", "uniform"}, default="given"
        :math:`\pi` of Eq. 11: the frequencies of the given labels, or uniform as in the paper.
    record : sequence of str, default=("loss",)
        What to keep in ``dynamics_``: ``"correct"``, ``"given_prob"``, ``"margin"``, ``"loss"``.
    record_folder : str, Path or None, default=None
        Folder for the temporary file that holds the records of more rows and epochs than memory
        would: a bit or two bytes a row and epoch. None: in memory.
    checkpoint : str, Path or None, default=None
        Folder of this one fit, in which its state is kept after each epoch. A `fit` with the same
        parameters and data that was stopped goes on there, and ends as if it had not been. None:
        nothing is kept.
    optimizer : torch.optim.Optimizer class, default=torch.optim.SGD
        SGD gets ``momentum=0.9`` and ``weight_decay=5e-4`` unless ``optimizer__*`` says otherwise.
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
        Epochs of training, without those of the estimation.
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
        Batched transform that makes all views. ``"auto"``: random crops, with flips where there are
        three channels; tables stay as they are in the warm-up, and get masked features and jitter
        in the views that are learned from.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        ``"auto"``: bfloat16 for images on hardware with units for it, else float32.
    device : str or torch.device, default="auto"
        ``"auto"``: CUDA where there is one.
    callbacks : list of skorch callbacks, default=None
        Used as skorch uses them: the objects themselves, in all stages of the training, of which
        ``net.stage_`` is the name. A `skorch.callbacks.LRScheduler` replaces the built-in schedule.
        `noisyfit.dynamics.SelectionQuality` adds precision and recall of the labels that both
        networks believe, where the wrong ones are known.
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
        Rows whose score is one half at most.
    noise_rate_ : float
        As given, or as `DLTClassifier` finds it: by the networks in cross-validation, see
        `judge_epochs`, and by the gap of early and late losses of plain training where these fall
        into two groups; with ``judge_epochs=0`` by that gap alone.
    noise_rate_interval_ : tuple of two floats, or None
        From what all estimates agree on to what these networks contradict; with
        ``judge_epochs=0`` a 95 % interval over the rows, see
        `noisyfit.label_quality.estimate_noise_rate`. None if `noise_rate` was given or every row is
        trusted.
    clean_probability_ : ndarray of shape (n_samples, 2)
        w by either network at the end of the training: the probability that the given label is
        right; with ``division="dlt"`` 1 where the loss is below the last threshold, else 0. Trusted
        rows have 1, rows without a label 0.
    held_out_noise_rate_ : HeldOutNoiseRate or None
        All that these networks say, see `noisyfit.label_quality.held_out_noise_rate`; None without
        them.
    noise_rate_estimate_ : NoiseRateEstimate or None
        All that the gap of early and late losses told; None where it was not asked.
    trusted_mask_ : ndarray of shape (n_samples,), bool
        Rows whose label was verified, as `fit` was told.
    validation_mask_ : ndarray of shape (n_samples,), bool
        Rows that the network that predicts was not trained on, see `validation_fraction`.
    labeled_mask_ : ndarray of shape (n_samples,), bool
        Rows that have a given label, see `unlabeled`.
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
    net_ : DivideNet
        The skorch net; ``net_.module_.networks`` are the two networks.
    history_ : list of dict
        One entry an epoch: ``kept_share`` (of believed labels, the mean of both networks),
        ``train_loss`` (the sum of both), ``lr``, ``dur``.
    dynamics_ : TrainingDynamics
        What was recorded before the updates, of the mean prediction of both networks: in the
        warm-up of the standard view, then over all views that are learned from.
    scaler_ : TableScaler, ImageScaler or None
        What brings the inputs to a common scale.
    n_features_in_ : int
        Number of features, or of channels.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a data frame.

    See Also
    --------
    DLTClassifier : One network, in half of the time.

    Notes
    -----
    *Deviations from the paper and its code*. Both networks learn from the same batches and views,
    at the same time, where the paper trains one for an epoch and then the other, each in an order
    of its own: one prediction of each network serves both, which saves a third of the passes. They
    differ by their first weights, by mixup and by what they learn from. Two copies of a `module`
    that is an instance differ by the latter two alone, and divide alike at first.

    A batch is drawn from all rows and divided, where the paper draws as many rejected rows as
    believed ones: each row is seen once an epoch, and a part without a row counts nothing.
    Predictions for guesses are made in training mode but leave no trace in batch normalisation. A
    cosine takes the learning rate to zero (the paper: ``schedule="step"``). The penalty's prior is
    that of the given labels.
    :math:`\lambda_u` rises once an epoch, not once a batch. Of two remedies for single settings, a
    mean of the losses of five epochs at 90 % noise and a penalty on sure predictions in the warm-up
    against pair noise, there is neither.

    *Mixture*. Losses are those of evaluation mode and the standard input, scaled to [0, 1], and the
    mixture is fitted as in the paper's code, by k-means and ten steps of EM at most; only that
    Bayes' rule does not turn round beyond the mean of the narrower component. Rows that are held
    back are judged by the mixture, but not in it.

    *Thresholds*. ``division="dlt"`` takes the losses of each batch in training mode without
    gradient, in the standard view, as `DLTClassifier` does. Each network has its own memory, and
    divides for the other; labels below the threshold are believed by half (:math:`w_b = .5`).

    *Scores* (the paper has none). The networks divide all rows once more at the end. 1 - w, the
    mean of both, less the probability of the given label over all epochs ranks the rows: on five
    small problems that was as good as w alone or better, which has forgotten how it came to
    believe a label. A logistic curve, fitted to whether the mean prediction contradicts the label
    and shifted to the noise rate, makes a probability of it.

    The paper's setting for CIFAR-10 is `noisyfit.presets.dividemix_cifar10`.

    *Judges* (no part of the method). As those of `DLTClassifier`.

    References
    ----------
    .. [1] Li, Socher and Hoi, "DivideMix: Learning with Noisy Labels as Semi-supervised Learning",
       ICLR 2020.
    .. [2] Yang et al., "Learning from Noisy Labels via Dynamic Loss Thresholding",
       arXiv:2104.02570, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import DivideMixClassifier
    >>> X, y = make_blobs(300, centers=3, random_state=0, cluster_std=0.7)
    >>> given = y.copy()
    >>> given[:90] = (y[:90] + 1) % 3
    >>> est = DivideMixClassifier(max_epochs=20, random_state=0).fit(X, given)
    >>> round(est.noise_rate_, 1), bool((est.predict(X) == y).mean() > 0.9)
    (0.3, True)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseNoisyClassifier._parameter_constraints,
        "division": [StrOptions({"gmm", "dlt"})],
        "p_threshold": [Interval(Real, 0, 1, closed="left")],
        "strategy": [StrOptions({"sliding_window", "last_epoch"})],
        "unlabeled": [Integral, str, None],
        "noise_rate": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "estimation_epochs": [Interval(Integral, 1, None, closed="left")],
        "warmup_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "ramp_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "window": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "n_views": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "mixup_alpha": [Interval(Real, 0, None, closed="left")],
        "lambda_noisy": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "lambda_ramp_epochs": [Interval(Integral, 0, None, closed="left")],
        "lambda_prior": [Interval(Real, 0, None, closed="left")],
        "class_prior": [StrOptions({"given", "uniform"})],
    }
    optimizer_defaults: ClassVar[dict[str, Any]] = {"momentum": 0.9, "weight_decay": 5e-4}

    takes_named_inputs: ClassVar[bool] = False

    def __init__(
        self,
        module: Any = None,
        *,
        division: str = "gmm",
        p_threshold: float = 0.5,
        strategy: str = "sliding_window",
        unlabeled: Any = None,
        noise_rate: float | str = "auto",
        estimation_epochs: int = 20,
        warmup_epochs: int | str = "auto",
        ramp_epochs: int | str = "auto",
        window: int | str = "auto",
        n_views: int = 2,
        temperature: float = 0.5,
        mixup_alpha: float = 0.5,
        lambda_noisy: float | str = "auto",
        lambda_ramp_epochs: int = 16,
        lambda_prior: float = 1.0,
        class_prior: str = "given",
        record: Any = ("loss",),
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
        self.division = division
        self.p_threshold = p_threshold
        self.strategy = strategy
        self.unlabeled = unlabeled
        self.noise_rate = noise_rate
        self.estimation_epochs = estimation_epochs
        self.warmup_epochs = warmup_epochs
        self.ramp_epochs = ramp_epochs
        self.window = window
        self.n_views = n_views
        self.temperature = temperature
        self.mixup_alpha = mixup_alpha
        self.lambda_noisy = lambda_noisy
        self.lambda_ramp_epochs = lambda_ramp_epochs
        self.lambda_prior = lambda_prior
        self.class_prior = class_prior

    def _fit(self, task: FitTask, trainer: Trainer) -> FitResult:
        warmup, ramp = self._warmup_and_ramp()
        trainer.refuse_views(
            "one standard view and n_views others. Use augment to say how they are made."
        )
        quantities = tuple(dict.fromkeys([*self.record, "given_prob"]))
        recorder = DynamicsRecorder(
            task.n_samples, quantities, folder=self.record_folder
        ).initialize()
        asked = self._is_rate_asked(task)
        given_rate = 0.0 if self.noise_rate == "auto" else float(self.noise_rate)
        stages = self._stages(task, trainer)
        progress = trainer.progress(sum(stage.epochs for stage in stages))
        with closing(progress):
            plain = PlainRun()
            if asked:
                epochs, folder = self.estimation_epochs, self.record_folder
                plain = train_plainly(task, trainer, progress, epochs, folder)
            estimate = plain.estimate
            noise_rate = estimate.rate if estimate else given_rate
            noise_rate = task.noise_rate(noise_rate, plain.gap) if asked else noise_rate
            progress.stage(type(self).__name__)
            net = trainer.make_net(
                [("dynamics", recorder), ("progress", progress)],
                DivideNet,
                module=MeanNetwork([trainer.make_module(0), trainer.make_module(1)]),
                settings=self._settings(task, trainer, noise_rate, warmup, ramp),
                rows=task.rows,
                trusted=task.trusted,
                fitted=~(task.unlabeled | task.validation),
                unlabeled=task.unlabeled if task.unlabeled.any() else None,
                iterator_train__views=trainer.views_to_learn_from(self.n_views),
            )
            net.train_stage(task.balanced_rows, self.max_epochs, validation=task.held_back)
        clean = net.divide().T
        dynamics = recorder.dynamics_
        evidence = 1 - clean.mean(axis=1) - dynamics.mean("given_prob")
        predicted = trainer.predict_classes(net)
        scores = noise_scores(task, ranked_by_both(task, evidence), predicted, noise_rate)
        interval = {"noise_rate_interval_": None if estimate is None else estimate.interval}
        return FitResult(
            net=net,
            noise_scores=scores,
            clean_mask=task.kept_rows(scores > 0.5, scores),
            noise_rate=noise_rate,
            dynamics=dynamics.select(tuple(self.record)),
            history=net.epoch_history(),
            attributes={
                "clean_probability_": clean,
                "noise_rate_estimate_": estimate,
                **({} if asked and task.verdict is not None else interval),
            },
            early_agreement=plain.early_agreement,
            predicted=predicted,
            plain_predicted=plain.predicted,
            loss_gap=plain.gap,
        )

    def _is_rate_asked(self, task: FitTask) -> bool:
        return self.noise_rate == "auto" and bool(task.judged.any())

    def _warmup_and_ramp(self) -> tuple[int, int]:
        ramp = self.ramp_epochs if self.division == "dlt" else 0
        return threshold_schedule(self.warmup_epochs, ramp, self.max_epochs)

    def _stages(self, task: FitTask, trainer: Trainer) -> list[Stage]:
        warmup, _ = self._warmup_and_ramp()
        plain = [plain_stage(trainer, self.estimation_epochs)] if self._is_rate_asked(task) else []
        cost = 2 * (mixmatch_cost(self.n_views) + 1 / 3)  # and a forward pass for the division
        own = [Stage(trainer.name, warmup, 2), Stage(trainer.name, self.max_epochs - warmup, cost)]
        return [*plain, *own]

    def _settings(
        self, task: FitTask, trainer: Trainer, noise_rate: float, warmup: int, ramp: int
    ) -> DivideSettings:
        rejected = 1 - (1 - noise_rate) * (~task.unlabeled).mean()
        lambda_noisy = auto_guessed_weight(rejected, task.n_classes)
        threshold = None
        if self.division == "dlt":
            n_trained = len(task.balanced_rows.subset(~task.validation))
            n_batches = len(batch_sizes(n_trained, trainer.batch_size))
            window = window_length(self.window, n_batches, self.max_epochs)
            slides = self.strategy == "sliding_window"
            threshold = ThresholdSettings(noise_rate, ramp, window if slides else None)
        return DivideSettings(
            warmup_epochs=warmup,
            p_threshold=self.p_threshold,
            temperature=self.temperature,
            mixup_alpha=self.mixup_alpha,
            lambda_noisy=lambda_noisy if self.lambda_noisy == "auto" else float(self.lambda_noisy),
            lambda_ramp_epochs=self.lambda_ramp_epochs,
            lambda_prior=self.lambda_prior,
            prior=task.class_frequencies if self.class_prior == "given" else None,
            threshold=threshold,
        )
