r"""`MetaRelabelClassifier`: a few trusted rows teach weights and labels (Zhang et al. 2020)."""

from __future__ import annotations

import warnings
from contextlib import closing
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from noisyfit._sklearn import Interval, StrOptions
from noisyfit.augment import strong_view
from noisyfit.base import (
    BaseNoisyClassifier,
    FitResult,
    FitTask,
    Trainer,
    noise_scores,
    plain_settings,
    ranked_by_both,
)
from noisyfit.dynamics import DynamicsRecorder, TrainingDynamics
from noisyfit.methods.meta_relabel._decisions import DecisionRecorder
from noisyfit.methods.meta_relabel._gradient import META_GRADIENTS
from noisyfit.methods.meta_relabel._guard import compare
from noisyfit.methods.meta_relabel._look_ahead import check_look_ahead_optimizer
from noisyfit.methods.meta_relabel._net import MetaNet
from noisyfit.methods.meta_relabel._probe import lowest_loss_rows
from noisyfit.methods.meta_relabel._schedule import n_cosine_cycles
from noisyfit.methods.meta_relabel._settings import PAPER_RULES, MetaSettings
from noisyfit.training import EpochProgress, NoisyNet, Stage, map_logits

if TYPE_CHECKING:
    from noisyfit.data import View


class MetaRelabelClassifier(BaseNoisyClassifier):
    r"""Train on wrong labels under the guidance of a few rows whose labels were verified.

    In every step the network looks one step ahead and asks the trusted rows, by an exact gradient,
    which rows to weigh and whether to believe a row's given label or the network's own guess [1]_.
    Both answers are learned from, next to a consistency loss between two views of each row and a
    mixture of all rows with the trusted ones. Made for severe noise: with ten trusted rows a class
    it holds up where four of five labels are wrong.

    Parameters
    ----------
    module : torch.nn.Module class or instance, default=None
        Network that returns logits. None: `noisyfit.modules.MLP` for tables, `ConvNet` for images.
        ``n_features`` or ``n_channels``, and ``n_classes`` are passed where its signature has
        them.
    unlabeled : int, str or None, default=None
        What stands in `y` for rows without a label, as -1 does in scikit-learn's semi-supervised
        estimators. The network's guesses are their labels throughout; they have the noise score 0
        and are not in ``clean_mask_``. None: every row has a label.
    reweight : bool, default=True
        Whether to learn from the re-weighted rows, :math:`L_{\omega^*}`.
    relabel : bool, default=True
        Whether to learn from the re-labelled rows, :math:`L_{\lambda^*}`. Without, the given labels
        are the targets of the meta step. Without both, the labels of rows that are not trusted are
        never used, see Notes.
    consistency : float or "auto", default="auto"
        k, weight of the consistency loss (Eq. 4). ``"auto"``: the paper's 20 with one of the two
        policies as strong view; else 2 for images, and for tables the number of classes less one, 5
        at most.
    pool_loss : bool, default=True
        Whether to learn from the pool of trusted rows and both views of all others,
        :math:`L_\beta`.
    pool_weight : float, default=5.0
        p, weight of the rows of the pool that are not trusted.
    ramp_epochs : int or "auto", default="auto"
        Epochs over which `consistency` and `pool_weight` rise from 0. ``"auto"``: a fifth of
        `max_epochs`; 0: at once, as in the paper.
    mixup_alpha : float, default=0.5
        Of the distribution of the mixup factor; 0: the pool is not mixed.
    temperature : float, default=0.5
        :math:`\tau`, sharpens the network's guesses (Eq. 3).
    trust_given : float, default=0.9
        :math:`\lambda_0`, share of the given label in the targets of the meta step.
    clean_threshold : float, default=1.0
        T: rows whose :math:`\omega^*` reaches it enter the pool with their given label. Those of a
        batch sum to 1 at most, so that with 1 none does.
    weigh_equally : bool, default=True
        Whether the look-ahead gives all rows the weight :math:`\omega_0 = 1/B`; else 0, as learning
        to reweight does, which needs ``relabel=False``.
    meta_lr : float or "auto", default="auto"
        :math:`\alpha`, step of the look-ahead, the same throughout. ``"auto"``: `lr`. Parameters
        to which ``optimizer__param_groups`` give another rate take a step longer by as much.
    look_ahead_momentum : bool, default=True
        Whether the look-ahead goes on with the optimizer's momentum.
    pseudo_gradient : bool, default=False
        Whether the look-ahead's gradient also runs through the guessed labels, as in the authors'
        code.
    meta_gradient : {"auto", "jvp", "double_backward"}, default="auto"
        How the gradient of the meta step is computed; exactly, either way. ``"auto"`` tries on the
        first batch whether the network supports the quicker ``"jvp"``.
    n_cycles : int or "auto", default="auto"
        Cycles of the learning rate, each 1.5 times as long as the one before and starting at 0.9 of
        its rate, where `schedule` is ``"auto"``. ``"auto"``: so that the first one takes an epoch
        or more.
    ema_decay : float, default=0.999
        Largest decay of the moving average of the weights, which predicts; 0: no average.
    paper_rules : sequence of str, default=()
        Rules to follow as the paper prints them, where the authors' code does otherwise, see Notes:
        ``"weights"``, ``"sum"``, ``"raw_logits"``, ``"mixup_factor"``, ``"two_way_consistency"``.
    probe_per_class : int, default=10
        Rows of each class that stand in for trusted ones if `fit` gets none.
    warmup_epochs : int or "auto", default="auto"
        Epochs of the plain training that finds them. ``"auto"``: a fifth of `max_epochs`.
    strong_augment : {"auto", "randaugment", "autoaugment"}, callable or None, default="auto"
        Batched transform that makes the strong view, see `noisyfit.augment.strong_view`. The two
        named ones are torchvision's, for ``uint8`` images.
    record : sequence of str, default=("given_prob",)
        What to keep in ``dynamics_``: ``"correct"``, ``"given_prob"``, ``"margin"``, ``"loss"``.
    record_folder : str, Path or None, default=None
        Folder for the temporary file that holds the records of more rows and epochs than memory
        would: a bit or two bytes a row and epoch. None: in memory.
    checkpoint : str, Path or None, default=None
        Folder of this one fit, in which its state is kept after each epoch. A `fit` with the same
        parameters and data that was stopped goes on there, and ends as if it had not been. None:
        nothing is kept.
    optimizer : torch.optim.Optimizer class, default=torch.optim.SGD
        The look-ahead knows the step of SGD only. It gets ``momentum=0.9`` and
        ``weight_decay=5e-4`` unless ``optimizer__*`` says otherwise.
    lr : float or "auto", default="auto"
        Learning rate at the start. ``"auto"``: 0.03 for tables, which are scaled for it, and 0.02
        for everything else.
    schedule : str, StepSchedule or callable, default="auto"
        How the learning rate goes on from there, anew in each stage of the training. ``"auto"``:
        cosine cycles, see `n_cycles`, and in plain training ``"cosine"``, to zero. ``"constant"``:
        it stays. ``"step"``: a tenth from half way on, or as a `noisyfit.training.StepSchedule`
        says. A callable gets the optimizer and returns a torch scheduler, which steps after each
        epoch. The networks of `judge_epochs` keep their cosine.
    max_epochs : int, default=50
        Epochs of training, without those of the warm-up.
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
        Batched transform that makes the weak view, also of the trusted rows. ``"auto"``: random
        crops, with flips where there are three channels; tables stay as they are.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        ``"auto"``: bfloat16 for images on hardware with units for it, else float32. In float16 the
        differences that the meta-gradient is made of would vanish.
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
        Probability that the given label is wrong, in [0, 1]; 0 for trusted rows.
    clean_mask_ : ndarray of shape (n_samples,), bool
        Rows whose score is one half at most, and trusted rows.
    noise_rate_ : float
        Proportion of wrong labels by the networks in cross-validation, see `judge_epochs`;
        with ``judge_epochs=0`` the share of all given
        labels that the final network contradicts and nobody verified.
    noise_rate_interval_ : tuple of two floats, or None
        From what all estimates agree on to what these networks contradict; None without them.
    held_out_noise_rate_ : HeldOutNoiseRate or None
        All that they say, see `noisyfit.label_quality.held_out_noise_rate`; None without them.
    weights_ : ndarray of shape (n_samples,), or None without `reweight`
        Mean of :math:`\omega^*` over the epochs, in units of the equal weight of a batch: 0 for
        rows that never helped, 1 on average at most. NaN for trusted rows, which have none.
    trust_ : ndarray of shape (n_samples,), or None without `relabel`
        Mean of :math:`\lambda^*`: share of the epochs in which the given label was preferred to the
        network's guess; 1 for trusted rows.
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
    corrected_proba_ : ndarray of shape (n_samples, n_classes)
        Soft labels: the network's probabilities, mixed with the given label by its probability of
        being right where it is kept. The largest is that of the corrected label.
    probe_ : ndarray of shape (n_samples,), bool
        Rows that guided the training: the trusted ones, or those chosen in their place.
    meta_gradient_ : {"jvp", "double_backward"} or None
        How the gradient of the meta step was computed; None if no step was made.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    net_ : MetaNet, or NoisyNet where plain training does as well
        The skorch net.
    history_ : list of dict
        One entry an epoch: ``probe_loss`` (one step ahead, with weight decay), ``trust`` (mean
        :math:`\lambda^*`), ``unused_share`` (rows of weight 0), ``train_loss``, ``lr``, ``dur``;
        ``stage`` is ``"plain training"`` for those that the guard has added.
    dynamics_ : TrainingDynamics
        What was recorded in the weak view, before the update; trusted rows have no record where
        they are in the minority.
    scaler_ : TableScaler, ImageScaler or None
        What brings the inputs to a common scale.
    n_features_in_ : int
        Number of features, or of channels.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a data frame.

    See Also
    --------
    noisyfit.model_selection.TrustedFold : Cross-validation that tests on trusted rows.
    DLTClassifier : Needs no trusted rows.

    Notes
    -----
    *Baselines from the same pieces*. Learning to reweight (Ren et al., ICML 2018) is
    ``relabel=False, consistency=0, pool_loss=False, weigh_equally=False,
    look_ahead_momentum=False``, with ``ema_decay=0`` and steps of the learning rate as in
    `noisyfit.presets.learning_to_reweight_cifar10`; with the cosine cycles and averaged weights of
    the default it is a relative. ``reweight=False, relabel=False`` ignores the labels of all rows
    that are not trusted. It is a relative of the paper's MixMatch-KL: guesses are learned by
    cross-entropy of scaled logits, where MixMatch has squared error of probabilities and a ramp of
    its own.

    *Paper and code*. The authors' code differs from the paper, and is followed: weights are
    the clipped negative gradient, normalised, where the paper's :math:`\omega_0 - \nabla` hardly
    moves them (``"weights"``); both supervised losses are halved (``"sum"``); the logits of each
    batch are divided by the root of their mean square before they become pseudo-labels or enter the
    pool's loss (``"raw_logits"``); mixup factors are one half at least, so that the trusted row
    stays the larger part (``"mixup_factor"``: Beta); the consistency loss changes the strong
    view's prediction only (``"two_way_consistency"``).

    *Deviations*. k and p rise at first (`ramp_epochs`): the paper's training has a hundred times as
    many steps, and a short one can settle on its own first guesses. The gradient through the
    guessed labels is left out of the look-ahead, see `pseudo_gradient`. Both views are drawn from
    the row itself, where the paper makes the strong view from the weak one. The look-ahead's
    step is fixed at `lr`, as the code's is at its own 0.1. For tables, without a paper to go by,
    the weak view is the row itself, and the strong one has masked features and jitter. With
    milder views and fewer steps than the paper's, its k of 20 keeps a network from learning.

    *Scores* (the paper has none). The probability of the given label, half that of the final
    network and half its mean over the epochs, ranks the rows; a logistic curve, fitted to whether
    the final network contradicts the label, makes a probability of it.

    *What the paper leaves open*. The trusted rows of a batch are balanced over the classes, and as
    many as the batch has rows, or as there are classes. Where they are more than half of all rows,
    they are learned from as all others are, too. A supervised loss that is left alone is not
    halved; without `relabel` it goes by the given label. Rows that stand in for trusted ones are
    also learned from. The look-ahead has one step size for all parameter groups.

    The paper's setting for CIFAR-10 is `noisyfit.presets.meta_relabel_cifar10`.

    *Judges* (no part of the method). Networks in cross-validation give the noise rate, its interval
    and the scale of the scores; a class that hardly any row is predicted as keeps its rows. They
    are also a guard: the network of the meta step, which was trained on the given labels, has to
    agree with more of them than plain networks that were not, beyond chance (t > 2), and with no
    more than can be right. Where it does not, which is told by a warning and in ``doubts_``, the
    scores are the mean of both, in normal scores of their ranks, and a plain network, trained on
    the labels that are kept, predicts and corrects. With ``judge_epochs=0`` the method speaks for
    itself, as described above.

    References
    ----------
    .. [1] Zhang et al., "Distilling Effective Supervision from Severe Label Noise", CVPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import MetaRelabelClassifier
    >>> X, y = make_blobs(300, centers=3, random_state=0, cluster_std=0.7)
    >>> given = np.random.default_rng(0).integers(3, size=300)  # two of three labels are wrong
    >>> trusted = np.arange(300) < 15
    >>> given[trusted] = y[trusted]
    >>> est = MetaRelabelClassifier(max_epochs=10, random_state=0).fit(X, given, trusted=trusted)
    >>> bool((est.predict(X) == y).mean() > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseNoisyClassifier._parameter_constraints,
        "unlabeled": [Integral, str, None],
        "reweight": ["boolean"],
        "relabel": ["boolean"],
        "consistency": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "pool_loss": ["boolean"],
        "pool_weight": [Interval(Real, 0, None, closed="left")],
        "mixup_alpha": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "trust_given": [Interval(Real, 0, 1, closed="both")],
        "clean_threshold": [Interval(Real, 0, None, closed="left")],
        "weigh_equally": ["boolean"],
        "meta_lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "look_ahead_momentum": ["boolean"],
        "pseudo_gradient": ["boolean"],
        "meta_gradient": [StrOptions({"auto", *META_GRADIENTS})],
        "ramp_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "n_cycles": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "paper_rules": [list, tuple],
        "probe_per_class": [Interval(Integral, 1, None, closed="left")],
        "warmup_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "strong_augment": [StrOptions({"auto", "randaugment", "autoaugment"}), callable, None],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    }
    optimizer_defaults: ClassVar[dict[str, Any]] = {"momentum": 0.9, "weight_decay": 5e-4}
    auto_lr: ClassVar[dict[str, float]] = {"table": 0.03, "other": 0.02}

    takes_named_inputs: ClassVar[bool] = False

    def __init__(
        self,
        module: Any = None,
        *,
        unlabeled: Any = None,
        reweight: bool = True,
        relabel: bool = True,
        consistency: float | str = "auto",
        pool_loss: bool = True,
        pool_weight: float = 5.0,
        mixup_alpha: float = 0.5,
        temperature: float = 0.5,
        trust_given: float = 0.9,
        clean_threshold: float = 1.0,
        weigh_equally: bool = True,
        meta_lr: float | str = "auto",
        look_ahead_momentum: bool = True,
        pseudo_gradient: bool = False,
        meta_gradient: str = "auto",
        ramp_epochs: int | str = "auto",
        n_cycles: int | str = "auto",
        ema_decay: float = 0.999,
        paper_rules: Any = (),
        probe_per_class: int = 10,
        warmup_epochs: int | str = "auto",
        strong_augment: Any = "auto",
        record: Any = ("given_prob",),
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
        self.unlabeled = unlabeled
        self.reweight = reweight
        self.relabel = relabel
        self.consistency = consistency
        self.pool_loss = pool_loss
        self.pool_weight = pool_weight
        self.mixup_alpha = mixup_alpha
        self.temperature = temperature
        self.trust_given = trust_given
        self.clean_threshold = clean_threshold
        self.weigh_equally = weigh_equally
        self.meta_lr = meta_lr
        self.look_ahead_momentum = look_ahead_momentum
        self.pseudo_gradient = pseudo_gradient
        self.meta_gradient = meta_gradient
        self.ramp_epochs = ramp_epochs
        self.n_cycles = n_cycles
        self.ema_decay = ema_decay
        self.paper_rules = paper_rules
        self.probe_per_class = probe_per_class
        self.warmup_epochs = warmup_epochs
        self.strong_augment = strong_augment

    def _fit(self, task: FitTask, trainer: Trainer) -> FitResult:
        settings = self._settings(task, trainer)
        views = self._views(trainer, settings)
        quantities = tuple(dict.fromkeys([*self.record, "given_prob"]))
        recorder = DynamicsRecorder(
            task.n_samples, quantities, folder=self.record_folder
        ).initialize()
        decisions = DecisionRecorder(relabel=self.relabel)
        warmup = self._warmup(task)
        progress = trainer.progress(warmup + self.max_epochs)
        with closing(progress):
            probe = self._probe(task, trainer, warmup, progress)
            progress.stage(type(self).__name__)
            net = trainer.make_net(
                [("decisions", decisions), ("dynamics", recorder), ("progress", progress)],
                MetaNet,
                settings=settings,
                probe=task.rows.subset(probe),
                unlabeled=task.unlabeled if task.unlabeled.any() else None,
                iterator_train__views=views,
            )
            rows = task.balanced_rows.subset(_learned(task))
            net.train_stage(rows, self.max_epochs, validation=task.held_back)
        weights, trust = decisions.row_means()
        own = {
            "weights_": np.where(task.trusted, np.nan, weights) if self.reweight else None,
            "trust_": np.where(task.trusted, 1.0, trust) if self.relabel else None,
            "probe_": probe,
            "meta_gradient_": net.meta_gradient_,
        }
        return self._judge(task, trainer, net, recorder.dynamics_, own)

    def _warmup(self, task: FitTask) -> int:
        return 0 if task.has_trusted else self._epochs(self.warmup_epochs)

    def _stages(self, task: FitTask, trainer: Trainer) -> list[Stage]:
        # A plain step, and what the look-ahead, the strong view and the mixed pool add to it.
        cost = 1.0 + 2 * (self.reweight or self.relabel) + 3 * self.pool_loss
        cost += self.relabel or self.pool_loss or self.consistency != 0
        own = [Stage(trainer.name, self.max_epochs, cost * float(_learned(task).mean()))]
        warmup = Stage(f"{trainer.name} warm-up", self._warmup(task))
        return own if task.has_trusted else [warmup, *own]

    def _judge(
        self,
        task: FitTask,
        trainer: Trainer,
        net: NoisyNet,
        dynamics: TrainingDynamics,
        own: dict[str, Any],
    ) -> FitResult:
        proba, history = _probabilities(net, task, trainer), net.epoch_history()
        rows, predicted = np.arange(task.n_samples), proba.argmax(axis=1)
        guard = compare(task, predicted)
        doubt = None if guard is None or guard.stands else guard.doubt
        p_given = proba[rows, task.y]
        wrong = predicted != task.y
        noise_rate = task.noise_rate(float((wrong & task.judged)[~task.unlabeled].mean()))
        evidence = -(p_given + dynamics.mean("given_prob")) / 2
        evidence = evidence if doubt is None else ranked_by_both(task, evidence)
        scores = noise_scores(task, evidence, predicted, noise_rate)
        clean = task.kept_rows(scores > 0.5, scores)
        if doubt is not None:
            warnings.warn(doubt, UserWarning, stacklevel=5)
            net = self._plain(task, trainer, clean)
            proba = _probabilities(net, task, trainer)
            predicted, history = proba.argmax(axis=1), [*history, *net.epoch_history()]
        kept = np.where(clean, 1 - scores, 0.0)[:, None]
        proba *= 1 - kept  # in place: it is as large as rows times classes
        proba[rows, task.y] += kept[:, 0]
        return FitResult(
            net=net,
            noise_scores=scores,
            clean_mask=clean,
            noise_rate=noise_rate,
            dynamics=dynamics.select(tuple(self.record)),
            history=history,
            attributes={**own, "corrected_proba_": proba, "_doubt": doubt},
            predicted=predicted,
        )

    def _plain(self, task: FitTask, trainer: Trainer, kept: np.ndarray) -> NoisyNet:
        """Train on the labels that are kept, as the networks in cross-validation were."""
        task.check_trainable(kept)
        with closing(trainer.progress(self.max_epochs, leave=False)) as progress:
            progress.stage("plain training")
            net = trainer.make_net(
                [("progress", progress)], **plain_settings(trainer, int(kept.sum()))
            )
            rows = task.rows.subset(kept)
            net.train_stage(rows, self.max_epochs, "plain training", task.held_back)
        return net

    @property
    def doubts_(self) -> list[str]:
        """What speaks against the numbers of the fit, a sentence each; empty if nothing does.

        As of all estimators, and that plain training does as well where the guard has said so.
        """
        doubt, doubts = self.__dict__.get("_doubt"), super().doubts_
        return doubts if doubt is None else [*doubts, doubt]

    def _settings(self, task: FitTask, trainer: Trainer) -> MetaSettings:
        unknown = sorted(set(self.paper_rules) - set(PAPER_RULES))
        if unknown:
            raise ValueError(f"paper_rules must be some of {PAPER_RULES}. Got {unknown}.")
        trainer.refuse_views(
            "one weak and one strong view. Use augment and strong_augment to say how they are made."
        )
        learns = self.reweight or self.relabel
        if self.relabel and not self.weigh_equally:
            raise ValueError(
                "weigh_equally=False gives every row the weight 0, with which no label makes a "
                "difference to the look-ahead. Use relabel=False, as learning to reweight does."
            )
        if learns:
            check_look_ahead_optimizer(self.optimizer)
        elif not self.pool_loss and self.consistency == 0:
            raise ValueError(
                "Nothing is left to learn from: switch on reweight, relabel or pool_loss."
            )
        if task.unlabeled.any() and not (self.relabel or self.pool_loss or self.consistency):
            raise ValueError(
                "Rows without a label are learned from by the network's guesses. These settings "
                "make none: switch on relabel or pool_loss, or leave the rows out."
            )
        resolved = {
            "consistency": self._consistency(task, trainer),
            "meta_lr": trainer.lr if self.meta_lr == "auto" else float(self.meta_lr),
            "ramp_epochs": self._epochs(self.ramp_epochs),
            "n_cycles": self._n_cycles(),
            "paper_rules": tuple(self.paper_rules),
        }
        as_given = {name: getattr(self, name) for name in MetaSettings._fields}
        return MetaSettings(**(as_given | resolved))

    def _consistency(self, task: FitTask, trainer: Trainer) -> float:
        if self.consistency != "auto":
            return float(self.consistency)
        if isinstance(self.strong_augment, str) and self.strong_augment != "auto":
            return 20.0
        return 2.0 if trainer.is_image else min(5.0, task.n_classes - 1.0)

    def _n_cycles(self) -> int:
        auto = self.n_cycles == "auto"
        if not auto and self.schedule != "auto":
            raise ValueError(
                f"n_cycles={self.n_cycles} belongs to the cosine cycles of schedule='auto'. Got "
                f"schedule={self.schedule!r}; leave one of them as it is."
            )
        return n_cosine_cycles(self.max_epochs) if auto else int(self.n_cycles)

    def _epochs(self, epochs: int | str) -> int:
        return max(1, round(self.max_epochs / 5)) if epochs == "auto" else int(epochs)

    def _probe(
        self, task: FitTask, trainer: Trainer, warmup: int, progress: EpochProgress
    ) -> np.ndarray:
        """Return which rows are trusted, by the user or by their loss."""
        if task.has_trusted:
            counts = np.bincount(task.y[task.trusted], minlength=task.n_classes)
            missing = task.classes[counts == 0].tolist()
            if missing:
                raise ValueError(
                    f"trusted must mark at least one row of each class. It marks {counts.sum()} of "
                    f"{task.n_samples} rows, none of the classes {missing}. Verify a row of each, "
                    "or leave trusted out: rows of low loss then stand in. In cross-validation, "
                    "noisyfit.model_selection.TrustedFold leaves trusted rows in every part."
                )
            return task.trusted
        warnings.warn(
            f"No trusted rows were given: the {self.probe_per_class} rows of lowest loss of each "
            "class stand in for them, and some of their labels may be wrong. Verify a few rows of "
            "each class and pass fit(..., trusted=mask).",
            UserWarning,
            stacklevel=5,
        )
        progress.stage(f"{type(self).__name__} warm-up")
        recorder = DynamicsRecorder(task.n_samples, ("loss",), folder=self.record_folder)
        net = trainer.make_net(
            [("dynamics", recorder), ("progress", progress)],
            batch_size=trainer.batch_size_for(int((~task.unlabeled).sum())),
        )
        labeled = ~task.unlabeled
        net.train_stage(task.rows.subset(labeled), warmup, "warm-up", task.held_back)
        loss = np.where(task.validation, np.inf, recorder.dynamics_.mean("loss"))
        probe = np.zeros(task.n_samples, dtype=bool)
        probe[labeled] = lowest_loss_rows(loss[labeled], task.y[labeled], self.probe_per_class)
        return probe

    def _views(self, trainer: Trainer, settings: MetaSettings) -> tuple[View | None, ...]:
        """Return the weak view, and the strong one if anything is learned from it."""
        strong = self.strong_augment
        if not (self.relabel or self.pool_loss or settings.consistency):
            return (trainer.view,)
        if strong == "auto":
            strong = strong_view(trainer.row_shape, trainer.feature_std)
        elif isinstance(strong, str):
            strong = strong_view(trainer.row_shape, policy=strong)
        return (trainer.view, strong)


def _learned(task: FitTask) -> np.ndarray:
    """Mark the rows that are learned from: those that are not trusted."""
    others = ~task.trusted
    # Where few rows are left, epochs of them alone would be too short to learn from.
    return others if 2 * others.sum() >= len(others) else np.ones_like(others)


def _probabilities(net: NoisyNet, task: FitTask, trainer: Trainer) -> np.ndarray:
    return map_logits(
        net, task.rows, lambda logits, y: logits.double().softmax(1), trainer.predicting_bar
    )
