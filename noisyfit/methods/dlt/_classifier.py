"""`DLTClassifier`: robust training by dynamic loss thresholds (Yang et al. 2021)."""

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
from noisyfit.methods.dlt._net import ThresholdNet, ThresholdSettings
from noisyfit.training import (
    Stage,
    auto_guessed_weight,
    mixmatch_cost,
    threshold_schedule,
    window_length,
)

if TYPE_CHECKING:
    import numpy as np


class DLTClassifier(BaseNoisyClassifier):
    r"""Train by dynamic loss thresholds: likely wrong labels are dropped, their rows are not.

    After a warm-up, each batch is split by a quantile of recent losses. Rows below it keep their
    labels; rows above it lose them and get the network's own predictions as targets instead. The
    share below falls from all rows to one minus the noise rate, which is estimated from a plain
    training run beforehand [1]_. Wrong labels are not memorised: the last epoch is as good as the
    best.

    Parameters
    ----------
    module : torch.nn.Module class or instance, default=None
        Network that returns logits. None: `noisyfit.modules.MLP` for tables, `ConvNet` for images.
        ``n_features`` or ``n_channels``, and ``n_classes`` are passed where its signature has
        them.
    strategy : {"sliding_window", "last_epoch"}, default="sliding_window"
        Losses that the threshold is a quantile of: those of the last `window` batches (Eq. 3), or
        of the epoch before (Eq. 2).
    unlabeled : int, str or None, default=None
        What stands in `y` for rows without a label, as -1 does in scikit-learn's semi-supervised
        estimators. They are learned from as rejected rows are, have the noise score 0 and are not
        in ``clean_mask_``. None: every row has a label.
    noise_rate : float or "auto", default="auto"
        Share w of wrong labels, in [0, 1). ``"auto"`` estimates it, see Notes.
    estimation_epochs : int, default=20
        Epochs of the plain training run that estimates the noise rate; unused with a float.
    warmup_epochs : int or "auto", default="auto"
        :math:`T_{warm}`, plain training on all rows before anything is split. ``"auto"``: a fifth
        of `max_epochs`.
    ramp_epochs : int or "auto", default="auto"
        :math:`T_{grad}`, epochs over which the share of clean rows falls (Eq. 7). ``"auto"``: a
        fifth of `max_epochs`.
    window : int or "auto", default="auto"
        s, the sliding window's length in batches. ``"auto"``: half an epoch, 200 at most.
    split_mode : {"training", "evaluation"}, default="training"
        Mode of batch normalisation and dropout in the forward pass that takes the losses after the
        warm-up; the warm-up's own losses and the pseudo-labels are always of training mode.
    n_views : int, default=2
        K, views of each row that are learned from.
    temperature : float, default=0.5
        T, sharpens the network's predictions into targets (Eq. 4).
    mixup_alpha : float, default=0.5
        Both parameters of the beta distribution that mixup's factor is drawn from; 0: no mixup.
    lambda_noisy : float or "auto", default="auto"
        :math:`\lambda_n`, weight of the rows without labels (Eq. 6). ``"auto"``: 0 below a noise
        rate of a quarter, else 2.5 times the number of classes, 150 at most.
    lambda_ramp_epochs : int, default=16
        Epochs after the warm-up over which `lambda_noisy` rises, once an epoch; 0: at once.
    lambda_prior : float, default=1.0
        :math:`\lambda_r`, weight of the penalty that keeps the predictions near `class_prior`.
    class_prior : {"given", "uniform"}, default="given"
        :math:`\pi` of Eq. 5: the frequencies of the given labels, or uniform as in the paper.
    debias : float, default=0.0
        :math:`\tau \ge 0`, by how much the selection takes from the predictions their bias to
        some classes [2]_: 0 not at all, as in the paper, 1 wholly. See Notes.
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
        three channels; tables stay as they are for the losses, and get masked features and jitter
        in the views that are learned from.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        ``"auto"``: bfloat16 for images on hardware with units for it, else float32.
    device : str or torch.device, default="auto"
        ``"auto"``: CUDA where there is one.
    callbacks : list of skorch callbacks, default=None
        Used as skorch uses them: the objects themselves, in all stages of the training, of which
        ``net.stage_`` is the name. A `skorch.callbacks.LRScheduler` replaces the built-in schedule.
        `noisyfit.dynamics.SelectionQuality` adds precision and recall of the split where the
        wrong labels are known.
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
        As given, or the proportion of wrong labels by the networks in cross-validation, see
        `judge_epochs`, and by Eq. 8 where the losses fall into two groups; with ``judge_epochs=0``
        by Eq. 8 alone.
    noise_rate_interval_ : tuple of two floats, or None
        From what all estimates agree on to what these networks contradict; with
        ``judge_epochs=0`` a 95 % interval over the rows, see
        `noisyfit.label_quality.estimate_noise_rate`. None if `noise_rate` was given or every row is
        trusted.
    held_out_noise_rate_ : HeldOutNoiseRate or None
        All that these networks say, see `noisyfit.label_quality.held_out_noise_rate`; None without
        them.
    noise_rate_estimate_ : NoiseRateEstimate or None
        All that the estimation by Eq. 8 found; None where there was none.
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
    thresholds_ : ndarray of shape (n_epochs, n_batches), or (n_epochs,) for ``"last_epoch"``
        The loss threshold of every batch, or epoch, after the warm-up, in nats; of the debiased
        losses, which ``dynamics_`` does not hold, if `debias` is not 0.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    net_ : ThresholdNet
        The skorch net.
    history_ : list of dict
        One entry an epoch: ``selection_proportion`` (the share q aimed at), ``kept_share`` (that
        reached), ``train_loss``, ``lr``, ``dur``.
    dynamics_ : TrainingDynamics
        What was recorded in the split, before the update.
    scaler_ : TableScaler, ImageScaler or None
        What brings the inputs to a common scale.
    n_features_in_ : int
        Number of features, or of channels.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a data frame.

    See Also
    --------
    noisyfit.label_quality.estimate_noise_rate : How the noise rate is estimated.
    MILDSelector : Quicker; trains on the kept rows alone.
    DivideMixClassifier : Two networks that divide the labels for each other.

    Notes
    -----
    *What the paper leaves open*. The losses of a batch come from a forward pass of their own, on
    the standard view, without gradient and without a trace in batch normalisation's running
    statistics; they are compared with those of earlier batches and join them afterwards. A clean
    row is mixed with a clean row, any other with a random clean one, by one factor a batch that is
    at least one half, as in DivideMix, whose ramp of :math:`\lambda_n` over 16 epochs and mean over
    classes are taken as well. The penalty looks at the predictions for the mixed rows.

    *Deviations*. A cosine takes the learning rate to zero, where the paper divides it by ten half
    way (``schedule="step"``). The penalty's prior is that of the given labels, which for balanced
    classes is the paper's and for others is nearer to the truth than uniform, if still too even.
    DivideMix mixes harder (``mixup_alpha=4``), which needs its 300 epochs: rows of a table half way
    between two others seldom make sense, and a short run on images ends before it has learned them.
    ``"auto"`` takes `window` from the number of batches: the paper's 200 are half of its epochs,
    and many of a small data set's.

    *Noise rate*. `estimate_noise_rate` fits Eq. 8 to the losses of a short plain training run with
    the same network, optimizer and seed.

    *Debiased selection* (not of the paper). With `debias`, a row is compared by the cross-entropy
    of :math:`f(x) - \tau \log(\bar p / \pi)` in place of the logits f(x), where :math:`\bar p` is
    the mean prediction, a moving average over the batches with momentum 0.99. For :math:`\tau = 1`
    this is the marginal distribution adjustment of [2]_ with a threshold on the loss in place of
    agreement of prediction and label, and with `class_prior` where [2]_ has the uniform
    distribution, which is the same for balanced classes. What is learned from the two parts,
    the pseudo-labels and ``dynamics_`` do not change.

    *Scores* (the paper only splits). The probability of the given label, averaged over all epochs,
    ranks the rows; a logistic curve, fitted to whether the final network contradicts the label and
    shifted to the noise rate, makes a probability of it.

    The paper's setting for CIFAR-10 is `noisyfit.presets.dlt_cifar10`.

    *Judges* (no part of the method). Networks in cross-validation give the noise rate, its
    interval, half of the ranking and the scale of the scores; a class that hardly any row is
    predicted as keeps its rows. Where
    the losses fall into two groups, the rate by Eq. 8 takes the place of theirs. The short plain
    training then has their weight decay (5e-3) and is what the last network is compared with:
    where it contradicts what they are surest of more often, by over five points of these rows,
    ``doubts_`` says that plain training may be better. With
    ``judge_epochs=0`` the method speaks for itself, as described above.

    References
    ----------
    .. [1] Yang et al., "Learning from Noisy Labels via Dynamic Loss Thresholding",
       arXiv:2104.02570, 2021.
    .. [2] Pan, Wei and Xie, "Debiased Sample Selection for Learning with Noisy Labels", CVPR 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import DLTClassifier
    >>> X, y = make_blobs(300, centers=3, random_state=0, cluster_std=0.7)
    >>> given = y.copy()
    >>> given[:90] = (y[:90] + 1) % 3
    >>> est = DLTClassifier(max_epochs=20, random_state=0).fit(X, given)
    >>> round(est.noise_rate_, 1), bool((est.predict(X) == y).mean() > 0.9)
    (0.3, True)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseNoisyClassifier._parameter_constraints,
        "strategy": [StrOptions({"sliding_window", "last_epoch"})],
        "unlabeled": [Integral, str, None],
        "noise_rate": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "estimation_epochs": [Interval(Integral, 1, None, closed="left")],
        "warmup_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "ramp_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "window": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "split_mode": [StrOptions({"training", "evaluation"})],
        "n_views": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "mixup_alpha": [Interval(Real, 0, None, closed="left")],
        "lambda_noisy": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "lambda_ramp_epochs": [Interval(Integral, 0, None, closed="left")],
        "lambda_prior": [Interval(Real, 0, None, closed="left")],
        "class_prior": [StrOptions({"given", "uniform"})],
        "debias": [Interval(Real, 0, None, closed="left")],
    }
    optimizer_defaults: ClassVar[dict[str, Any]] = {"momentum": 0.9, "weight_decay": 5e-4}

    takes_named_inputs: ClassVar[bool] = False

    def __init__(
        self,
        module: Any = None,
        *,
        strategy: str = "sliding_window",
        unlabeled: Any = None,
        noise_rate: float | str = "auto",
        estimation_epochs: int = 20,
        warmup_epochs: int | str = "auto",
        ramp_epochs: int | str = "auto",
        window: int | str = "auto",
        split_mode: str = "training",
        n_views: int = 2,
        temperature: float = 0.5,
        mixup_alpha: float = 0.5,
        lambda_noisy: float | str = "auto",
        lambda_ramp_epochs: int = 16,
        lambda_prior: float = 1.0,
        class_prior: str = "given",
        debias: float = 0.0,
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
        self.strategy = strategy
        self.unlabeled = unlabeled
        self.noise_rate = noise_rate
        self.estimation_epochs = estimation_epochs
        self.warmup_epochs = warmup_epochs
        self.ramp_epochs = ramp_epochs
        self.window = window
        self.split_mode = split_mode
        self.n_views = n_views
        self.temperature = temperature
        self.mixup_alpha = mixup_alpha
        self.lambda_noisy = lambda_noisy
        self.lambda_ramp_epochs = lambda_ramp_epochs
        self.lambda_prior = lambda_prior
        self.class_prior = class_prior
        self.debias = debias

    def _fit(self, task: FitTask, trainer: Trainer) -> FitResult:
        warmup, ramp = threshold_schedule(self.warmup_epochs, self.ramp_epochs, self.max_epochs)
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
            settings = self._settings(task, trainer, noise_rate, warmup, ramp)
            progress.stage(type(self).__name__)
            net = trainer.make_net(
                [("dynamics", recorder), ("progress", progress)],
                ThresholdNet,
                settings=settings,
                trusted=task.trusted,
                unlabeled=task.unlabeled if task.unlabeled.any() else None,
                iterator_train__views=trainer.views_to_learn_from(self.n_views),
            )
            net.train_stage(task.balanced_rows, self.max_epochs, validation=task.held_back)
        interval = {"noise_rate_interval_": None if estimate is None else estimate.interval}
        dynamics = recorder.dynamics_
        evidence = -dynamics.mean("given_prob")
        predicted = trainer.predict_classes(net)
        scores = noise_scores(task, ranked_by_both(task, evidence), predicted, noise_rate)
        return FitResult(
            net=net,
            noise_scores=scores,
            clean_mask=task.kept_rows(scores > 0.5, scores),
            noise_rate=noise_rate,
            dynamics=dynamics.select(tuple(self.record)),
            history=net.epoch_history(),
            attributes={
                "thresholds_": net.threshold_history(),
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

    def _stages(self, task: FitTask, trainer: Trainer) -> list[Stage]:
        warmup, _ = threshold_schedule(self.warmup_epochs, self.ramp_epochs, self.max_epochs)
        plain = [plain_stage(trainer, self.estimation_epochs)] if self._is_rate_asked(task) else []
        cost = mixmatch_cost(self.n_views) + 1 / 3  # and a forward pass for the split
        own = [Stage(trainer.name, warmup), Stage(trainer.name, self.max_epochs - warmup, cost)]
        return [*plain, *own]

    def _settings(
        self, task: FitTask, trainer: Trainer, noise_rate: float, warmup: int, ramp: int
    ) -> ThresholdSettings:
        n_trained = len(task.balanced_rows.subset(~task.validation))
        n_batches = len(batch_sizes(n_trained, trainer.batch_size))
        rejected = 1 - (1 - noise_rate) * (~task.unlabeled).mean()
        lambda_noisy = auto_guessed_weight(rejected, task.n_classes)
        window = window_length(self.window, n_batches, self.max_epochs)
        return ThresholdSettings(
            noise_rate=noise_rate,
            warmup_epochs=warmup,
            ramp_epochs=ramp,
            window=window if self.strategy == "sliding_window" else None,
            split_mode=self.split_mode,
            temperature=self.temperature,
            mixup_alpha=self.mixup_alpha,
            lambda_noisy=lambda_noisy if self.lambda_noisy == "auto" else float(self.lambda_noisy),
            lambda_ramp_epochs=self.lambda_ramp_epochs,
            lambda_prior=self.lambda_prior,
            prior=task.class_frequencies if self.class_prior == "given" else None,
            debias=float(self.debias),
        )
