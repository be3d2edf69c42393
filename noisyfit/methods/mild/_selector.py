"""`MILDSelector`: select clean rows by how they are memorised and forgotten (Hu et al. 2023)."""

from __future__ import annotations

from contextlib import closing
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from noisyfit._sklearn import Interval, StrOptions
from noisyfit.base import (
    BaseNoisyClassifier,
    FitResult,
    FitTask,
    Trainer,
    chosen_recording,
    settled,
)
from noisyfit.dynamics import RECORDINGS, RecordedRun, given_label_statistics
from noisyfit.methods.mild._final_nets import FinalSettings
from noisyfit.methods.mild._final_training import (
    FEW,
    check_final_training,
    final_cost,
    learned_by_heart,
    retrain,
    train_finally,
)
from noisyfit.methods.mild._selection import Selection, SelectionSettings
from noisyfit.training import Stage, auto_guessed_weight, predicted_class

if TYPE_CHECKING:
    from noisyfit.base import Verdict
    from noisyfit.methods.mild._rounds import Round
    from noisyfit.training import EpochProgress, NoisyNet

MAX_AUTO_ROUNDS = 10


class MILDSelector(BaseNoisyClassifier):
    r"""Select clean rows in rounds by memorisation and forgetting, and train on them.

    In each round the network trains on the rows still in, and each row's sequence of right and
    wrong predictions is summed up in a metric. A Weibull mixture splits the metric into a clean and
    a noisy component, and rows beyond the scale of the noisy one are dropped for good [1]_.

    Parameters
    ----------
    module : torch.nn.Module class or instance, default=None
        Network that returns logits. None: `noisyfit.modules.MLP` for tables, `ConvNet` for images.
        ``n_features`` or ``n_channels``, and ``n_classes`` are passed where its signature has
        them.
    rounds : int or "auto", default="auto"
        Rounds of training; rows are dropped between them. ``"auto"`` stops when the noisy component
        is no longer made of rows that resist learning, see Notes, after 10 rounds at most, and
        after the first with early-learning regularization.
    first_epochs : int, default=None
        Epochs of the first round; None: `max_epochs`.
    lam : float, default=1.0
        Weight :math:`\lambda` of forgetting against memorisation, Eq. 2 and 3, at least 0. It does
        not change how C ranks rows, but how :math:`C^F` does: ``full=True, lam=0`` is memorisation
        alone, :math:`M`, the first row of the paper's Table 4.
    full : bool, default=False
        Use the averaged metric :math:`C^F` (MILD-F) instead of the simplified C.
    metric : {"mild", "small_loss", "eigenvector"} or callable, default="mild"
        What a round selects by, the paper's Table 5; higher means more suspicious. ``"mild"``: C or
        :math:`C^F`. ``"small_loss"``: the loss in the epoch of the best ``valid_acc``, see
        `validation_fraction`, without it in the last. ``"eigenvector"``: minus the alignment of the
        inputs of the last linear layer with their first eigenvector in the class [3]_. A callable
        ``metric(dynamics, y)`` gets the `TrainingDynamics` of the round, NaN for rows that were
        dropped before, and the given labels, of all rows, and returns a number for each. `lam` and
        `full` are of ``"mild"`` alone; see Notes.
    threshold : {"scale", "crossing", "scale_raw"} or float, default="scale"
        Where rows are dropped. ``"scale"``: from the noisy component's scale :math:`\alpha_2` on,
        as in the paper. ``"crossing"``: from where the components' densities cross. A float in
        (0, 1): all but this share of the rows with the smallest metric, the fixed ratio R of the
        paper's ablation. ``"scale_raw"`` repeats the published code, see Notes.
    recording : str, default="auto"
        Where predictions come from. ``"training"``: the training step itself. ``"evaluation"``: a
        pass of their own each epoch, over the rows as they are; ``"evaluation_augmented"``: over
        the views of `augment`. ``"held_out"``: five further nets, each row's from the one that does
        not train on it; that costs five times as much, and helps where wrong labels are learned at
        once. ``"auto"``: as ``"training"``, and the scores are averaged with the ranking of the
        networks that judge, see `judge_epochs`.
    loss : {"auto", "cross_entropy", "early_learning"}, default="auto"
        Loss of the networks. ``"auto"``: early-learning regularization [2]_ where, among the
        networks that judge (see `judge_epochs`), its own predict the given labels of rows that they
        did not train on better, beyond chance, than those of cross-entropy. With
        ``judge_epochs=0`` there is nothing to choose by, and it is cross-entropy.
    semi_supervised : {"mixmatch", "mixup_contrastive"} or None, default=None
        A last training of a new network on all rows, the dropped ones without their labels
        (Sec. 3.4). ``"mixmatch"`` (MILD-MM): MixMatch's step as in DivideMix, they learn from
        guesses [4]_. ``"mixup_contrastive"`` (MILD-MUCL): mixup and the interpolated contrastive
        loss of MOiT [5]_; the network has to end with a `torch.nn.Linear`. Selection and scores
        stay what they are; what predicts is that network. None: as `retrain` says.
    retrain : {"auto"} or bool, default="auto"
        Whether a new network learns from the kept rows at the end, which takes as long as a round.
        False, as in the paper: the network of the last round predicts. ``"auto"``: if that network
        predicts the given label of more than two fifths of the rejected rows, which it has learned
        by heart, if others judged the labels (see `judge_epochs`) and more than one in a hundred is
        rejected. Scores stay what they are.
    final_epochs : int, default=50
        Epochs of the last training. It and what follows up to `lambda_ramp_epochs` counts with
        `semi_supervised` alone.
    n_views : int, default=2
        K, views of each row that ``"mixmatch"`` learns from. ``"mixup_contrastive"`` has two.
    temperature : float or "auto", default="auto"
        T, sharpens guesses, or :math:`\tau` of the contrastive loss. ``"auto"``: 0.5, or 0.1.
    mixup_alpha : float or "auto", default="auto"
        :math:`\alpha`, both parameters of the beta distribution that mixup's factor is drawn from;
        0: no mixup. ``"auto"``: 0.5, or 1 for ``"mixup_contrastive"``.
    lambda_noisy : float or "auto", default="auto"
        :math:`\lambda_u`, weight of the dropped rows for ``"mixmatch"``. ``"auto"``: 0 if less than
        a quarter of the rows was dropped, else 2.5 times the number of classes, 150 at most.
    lambda_ramp_epochs : int, default=16
        Epochs over which `lambda_noisy` rises from 0, once an epoch; 0: at once.
    record : sequence of str, default=("correct",)
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
        Learning rate at the start of each round. ``"auto"``: 0.1 for tables, which are scaled for
        it, and 0.02 for everything else.
    schedule : str, StepSchedule or callable, default="auto"
        How the learning rate goes on from there, anew in each round. ``"auto"`` and ``"cosine"``:
        to zero along a cosine. ``"constant"``: it stays. ``"step"``: a tenth from half way on, or
        as a `noisyfit.training.StepSchedule` says. A callable gets the optimizer and returns a
        torch scheduler, which steps after each epoch. The networks of `judge_epochs` keep their
        cosine.
    max_epochs : int, default=20
        Epochs of each round.
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
        Rows whose score is one half at most, or that no round has dropped. With
        ``judge_epochs=0`` those that the last round trained on, but for rows that score above one
        half.
    noise_rate_ : float
        Proportion of wrong labels by the networks in cross-validation, see `judge_epochs`;
        with ``judge_epochs=0`` the mean of ``noise_scores_``, see Notes.
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
    dropped_round_ : ndarray of shape (n_samples,), int64
        Round at whose end a row was dropped; 0 for rows that were kept.
    rounds_ : list of Round
        Size, threshold and mixture of each round.
    mixtures_ : list of WeibullMixture or None
        Fitted to the shifted metric of each round; None where it takes fewer than four values.
    n_rounds_ : int
        Rounds trained.
    termination_ : str
        Why the rounds ended.
    recording_ : str
        What the scores rank by: a `recording`, or ``"both"``, in sample and out of fold.
    recording_reason_ : str
        Why.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    net_ : NoisyNet
        The skorch net of the last round, or of the last training (`semi_supervised`, `retrain`).
    history_ : list of dict
        One entry an epoch: ``round``, which is 0 in a last training, ``train_loss``, ``lr``,
        ``dur``.
    dynamics_ : TrainingDynamics
        What was recorded, over the epochs of all rounds.
    scaler_ : TableScaler, ImageScaler or None
        What brings the inputs to a common scale.
    n_features_in_ : int
        Number of features, or of channels.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of a data frame.

    Notes
    -----
    *What the paper leaves open.* Each round starts from the weights of the last, with an empty
    momentum and the learning rate back at `lr`, as in the published code. The metric is shifted to
    positive values before the mixture is fitted; the published code then compares the **unshifted**
    metric with the scale, which drops almost nothing. Here both are in the same units;
    ``threshold="scale_raw"`` repeats the code. A mixture needs four distinct values; where the
    metric takes fewer, rows are split at its widest gap if that spans four epochs and half the
    range. A class keeps at least `min_share_of_class`
    of its rows; with 0, as in the paper, it may lose all.

    *Stopping* (the paper has no rule). The mean of the noisy component tells how a typical row of
    it was learned. Once that row was wrong in less than a quarter of the epochs, the component is
    the tail of clean rows that took a little longer, and dropping it would cost more than it gains.
    A network that, in the last epoch, is right no more often than the most frequent label ends the
    rounds as well: it would drop the other classes.

    *The network that predicts* is that of the last round in the paper. See `retrain` for when it is
    replaced here.

    *Scores* (the paper only selects). The metric is added up over all rounds. For the epochs after
    a row was dropped, the final network's verdict stands in, which had no part in training then;
    ties are broken by the mean margin. A logistic curve, fitted to whether the final network
    contradicts the label, turns the sum into a probability. After the last round, rows that
    score above one half leave ``clean_mask_`` as well, which matters where errors are few and the
    rounds stop at the first.

    *Noise rate* (not in the paper). `combine_noise_rates` takes the share of labels that the final
    network contradicts, and moves it towards the noisy component's weight in the first round the
    harder the rows of the clean component were to learn. The curve is shifted to that mean.

    The paper's setting for CIFAR-10 is `noisyfit.presets.mild_cifar10`.

    *Other metrics* (Table 5: 20 % of the labels wrong at random; precision and recall of the rows
    kept, and test accuracy, in per cent). The mixture, its threshold and the rounds are those of
    "mild". The paper's small loss is that of the epoch with the best *test* accuracy.

    ==================  ======================  ======================
    metric              CIFAR-10                CIFAR-100
    ==================  ======================  ======================
    ``"small_loss"``    97.75, 95.31, 92.30     88.37, 88.15, 67.79
    ``"eigenvector"``   99.91, 77.05, 91.04     99.56, 82.43, 70.39
    ``"mild"``          98.35, 98.96, 93.03     95.74, 98.78, 74.17
    ==================  ======================  ======================

    What the paper does not do, scores, noise rate and an end of the rounds, takes the share of the
    epochs in which a component's rows were wrong from the records, and the metric into the scores
    by its rank in the round. The mixture is fitted to the metric less its smallest value, which
    itself becomes a 400th of the range, as 0.1 is of 40 for C in 20 epochs.

    *Last training* (Sec. 3.4, which says that the dropped rows become unlabelled and names the two
    techniques, with "the same configurations" as DivideMix and MOiT; neither is in the published
    code). The paper first selects and then trains: here a new network starts from the weights that
    the first round started from, and trains for `final_epochs` at the same learning rate, weight
    decay and schedule. Labels of ``clean_mask_`` count as they are; their rows are repeated until
    they are about half of all, if they are fewer. There is one network, its loss is cross-entropy
    whatever `loss` is, and ``dynamics_`` has no record of it. Tables get masked features and jitter
    as views, as in `DivideMixClassifier`; with ``augment=None`` the views of a row are the same but
    for what they are mixed with. Without a dropped row the network learns from mixed rows alone.

    ``"mixmatch"`` has the penalty of DivideMix with weight 1, and no warm-up: the ramp begins with
    the first epoch. DivideMix's :math:`\alpha` is 4 and its training 300 epochs long.

    ``"mixup_contrastive"``: two views of each row are mixed with factors of their own, a row being
    the larger part. A linear layer projects the inputs of the last layer to 128 dimensions of
    length 1. Rows that are kept are positives of the others with their label, and a dropped row of
    its own views; so for both parts of a mixed row, by :math:`\lambda` and :math:`1 - \lambda`.
    From the fourth epoch on the same loss is added against the last 200 rows for each class; these
    are of the batches before, where MOiT's have the batch itself among them. Dropped rows have no
    target until 52 % of the epochs (MOiT: 130 of 250), then the prediction for the row without
    augmentation. Cross-entropy is a mean over the parts that have a target. MOiT trains for 250
    epochs and finds wrong labels by neighbours as it goes; here they are MILD's.

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
    .. [1] Hu et al., "MILD: Modeling the Instance Learning Dynamics for Learning with Noisy
       Labels", IJCAI 2023.
    .. [2] Liu et al., "Early-learning regularization prevents memorization of noisy labels",
       NeurIPS 2020.
    .. [3] Kim et al., "FINE Samples for Learning with Noisy Labels", NeurIPS 2021.
    .. [4] Berthelot et al., "MixMatch: A Holistic Approach to Semi-Supervised Learning", NeurIPS
       2019; Li, Socher and Hoi, "DivideMix: Learning with Noisy Labels as Semi-supervised
       Learning", ICLR 2020.
    .. [5] Ortego et al., "Multi-Objective Interpolation Training for Robustness to Label Noise",
       CVPR 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import MILDSelector
    >>> X, y = make_blobs(300, centers=3, random_state=0, cluster_std=0.7)
    >>> given = y.copy()
    >>> given[:30] = (y[:30] + 1) % 3
    >>> est = MILDSelector(max_epochs=10, random_state=0).fit(X, given)
    >>> bool(est.noise_scores_[:30].min() > est.noise_scores_[30:].mean())
    True

    The dropped rows help to predict without their labels:

    >>> est = est.set_params(semi_supervised="mixmatch", final_epochs=10)
    >>> bool((est.fit(X, given).predict(X) == y).mean() > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseNoisyClassifier._parameter_constraints,
        "rounds": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "first_epochs": [None, Interval(Integral, 1, None, closed="left")],
        "lam": [Interval(Real, 0, None, closed="left")],
        "full": ["boolean"],
        "metric": [StrOptions({"mild", "small_loss", "eigenvector"}), callable],
        "threshold": [
            StrOptions({"scale", "crossing", "scale_raw"}),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "recording": [StrOptions({"auto", *RECORDINGS})],
        "loss": [StrOptions({"auto", "cross_entropy", "early_learning"})],
        "semi_supervised": [None, StrOptions({"mixmatch", "mixup_contrastive"})],
        "retrain": ["boolean", StrOptions({"auto"})],
        "final_epochs": [Interval(Integral, 1, None, closed="left")],
        "n_views": [Interval(Integral, 1, None, closed="left")],
        "temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "mixup_alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "lambda_noisy": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "lambda_ramp_epochs": [Interval(Integral, 0, None, closed="left")],
    }
    rounds_: list[Round]
    dropped_round_: np.ndarray
    optimizer_defaults: ClassVar[dict[str, Any]] = {"momentum": 0.9, "weight_decay": 5e-3}

    def __init__(
        self,
        module: Any = None,
        *,
        rounds: int | str = "auto",
        first_epochs: int | None = None,
        lam: float = 1.0,
        full: bool = False,
        metric: Any = "mild",
        threshold: str | float = "scale",
        recording: str = "auto",
        loss: str = "auto",
        semi_supervised: str | None = None,
        retrain: bool | str = "auto",
        final_epochs: int = 50,
        n_views: int = 2,
        temperature: float | str = "auto",
        mixup_alpha: float | str = "auto",
        lambda_noisy: float | str = "auto",
        lambda_ramp_epochs: int = 16,
        record: Any = ("correct",),
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
        self.rounds = rounds
        self.first_epochs = first_epochs
        self.lam = lam
        self.full = full
        self.metric = metric
        self.threshold = threshold
        self.recording = recording
        self.loss = loss
        self.semi_supervised = semi_supervised
        self.retrain = retrain
        self.final_epochs = final_epochs
        self.n_views = n_views
        self.temperature = temperature
        self.mixup_alpha = mixup_alpha
        self.lambda_noisy = lambda_noisy
        self.lambda_ramp_epochs = lambda_ramp_epochs

    @property
    def n_rounds_(self) -> int:
        """Number of rounds that were trained."""
        return len(self.rounds_)

    @property
    def _mode(self) -> str:
        return "training" if self.recording == "auto" else self.recording

    def _verdict(self, task: FitTask, trainer: Trainer) -> Verdict | None:
        self._check_metric()  # before anything is trained
        if self.semi_supervised is not None:
            check_final_training(self.semi_supervised, task, trainer)
        return super()._verdict(task, trainer)

    def _check_metric(self) -> None:
        if self.metric != "mild" and (self.full or self.lam != 1):
            raise ValueError(
                f"lam and full belong to metric='mild'. Got lam={self.lam!r}, full={self.full!r} "
                f"with metric={self.metric!r}; leave them at lam=1 and full=False."
            )
        if self.metric == "eigenvector" and self.recording == "held_out":
            raise ValueError(
                "metric='eigenvector' compares the rows of a class by the features of one network, "
                "recording='held_out' has one for each fold. Choose another recording."
            )

    def _fit(self, task: FitTask, trainer: Trainer) -> FitResult:
        loss = task.chosen_loss(self.loss)
        stages = self._stages(task, trainer)
        progress = trainer.progress(sum(stage.epochs for stage in stages))
        with closing(progress):
            result = self._train_rounds(task, trainer, progress, loss, self._lengths(loss))
            kept = settled(task, result.noise_scores, result.clean_mask, task.verdict)[1]
            agreed = None
            if self.semi_supervised is None:
                agreed = self._to_be_replaced(task, trainer, result, kept)
            result.attributes["_replaced_agreement"] = agreed
            if self.semi_supervised is None and agreed is None:
                return result
            progress.stage(stages[-1].label)
            return self._train_finally(task, trainer, progress, result, kept)

    def _to_be_replaced(
        self, task: FitTask, trainer: Trainer, result: FitResult, kept: np.ndarray
    ) -> float | None:
        """Return the share of the labels that the network agrees with, if a new one is trained."""
        if not self.retrain or (self.retrain == "auto" and task.verdict is None):
            return None  # nothing but the network itself speaks against the labels
        predicted = result.predicted
        if predicted is None:
            predicted = trainer.predict_classes(result.net)
        agrees = predicted == task.y
        if self.retrain == "auto" and not learned_by_heart(agrees, ~kept & task.judged):
            return None
        return float(agrees[task.judged].mean())

    def _n_not_learned(self) -> int:
        trained_anew = (
            self.__dict__.get("_replaced_agreement") is not None or self.semi_supervised is not None
        )
        n_rows = int(((self.dropped_round_ > 0) & self.clean_mask_).sum())
        return n_rows if n_rows > FEW * len(self.clean_mask_) and not trained_anew else 0

    def _lengths(self, loss: str) -> list[int]:
        """Return the epochs of each round."""
        # A loss that learns no label by heart needs no second round, and its restarts diverge.
        auto = MAX_AUTO_ROUNDS if loss == "cross_entropy" else 1
        n_rounds = auto if self.rounds == "auto" else int(self.rounds)
        return [self.first_epochs or self.max_epochs] + [self.max_epochs] * (n_rounds - 1)

    def _stages(self, task: FitTask, trainer: Trainer) -> list[Stage]:
        n_nets, lengths = RecordedRun.n_nets(self._mode), self._lengths(task.chosen_loss(self.loss))
        stages = [
            Stage(
                self._round_label(number, len(lengths)),
                epochs * n_nets,
                optional=number > 1 and self.rounds == "auto",
            )
            for number, epochs in enumerate(lengths, start=1)
        ]
        if self.semi_supervised is not None:
            label = f"{trainer.name} {self.semi_supervised}"
            cost = final_cost(self.semi_supervised, self.n_views)
            stages.append(Stage(label, self.final_epochs, cost))
        elif self.retrain is True or (self.retrain == "auto" and self._is_judged(task)):
            optional = self.retrain == "auto"
            stages.append(Stage(f"{trainer.name} retraining", self.max_epochs, optional=optional))
        return stages

    def _is_judged(self, task: FitTask) -> bool:
        return self._judge_epochs() > 0 or task.pred_proba is not None

    def _round_label(self, number: int, n_rounds: int) -> str:
        return f"{type(self).__name__} round {number}/{n_rounds}"

    def _train_finally(
        self,
        task: FitTask,
        trainer: Trainer,
        progress: EpochProgress,
        result: FitResult,
        labeled: np.ndarray,
    ) -> FitResult:
        """Exchange the network for one that learns from kept rows, or without labels (Sec. 3.4)."""
        net: NoisyNet
        if self.semi_supervised is None:
            net = retrain(self.max_epochs, task, trainer, progress, labeled)
        else:
            settings = self._final_settings(1 - labeled.mean(), task.n_classes)
            net = train_finally(self.semi_supervised, settings, task, trainer, progress, labeled)
        last = [{"round": 0, **epoch} for epoch in net.epoch_history()]
        return result._replace(net=net, history=[*result.history, *last], predicted=None)

    def _final_settings(self, dropped: float, n_classes: int) -> FinalSettings:
        mixmatch = self.semi_supervised == "mixmatch"
        temperature, alpha = (0.5, 0.5) if mixmatch else (0.1, 1.0)
        weight = auto_guessed_weight(dropped, n_classes)
        return FinalSettings(
            epochs=self.final_epochs,
            n_views=self.n_views,
            temperature=temperature if self.temperature == "auto" else float(self.temperature),
            mixup_alpha=alpha if self.mixup_alpha == "auto" else float(self.mixup_alpha),
            lambda_noisy=weight if self.lambda_noisy == "auto" else float(self.lambda_noisy),
            lambda_ramp_epochs=self.lambda_ramp_epochs,
        )

    def _train_rounds(
        self,
        task: FitTask,
        trainer: Trainer,
        progress: EpochProgress,
        loss: str,
        lengths: list[int],
    ) -> FitResult:
        n_rounds, reason = len(lengths), ""
        needed = ["correct", "margin"]
        if task.verdict is not None or self.metric == "small_loss":
            needed.append("loss")
        quantities = tuple(dict.fromkeys([*self.record, *needed]))
        run = trainer.make_run(self._mode, quantities, progress, **trainer.net_of(loss))
        selection = Selection(self._selection_settings(), task, run)
        for number, epochs in enumerate(lengths, start=1):
            progress.stage(self._round_label(number, n_rounds))
            start = run.dynamics.n_epochs
            trained = run.train_stage(selection.kept, epochs, f"round {number}")
            reason = selection.end_round(start, trained)
            if number == n_rounds or (reason and self.rounds == "auto"):
                break
            selection.drop()

        assert run.net is not None, "by default a run keeps a net that trains on all rows"
        predicted, margin = run.map_logits(_prediction_and_margin, trainer.predicting_bar).T
        scores, noise_rate, gap = selection.scores(predicted, margin)
        selection.drop_late(scores)
        first_round = run.dynamics.epochs(stop=selection.lengths[0])
        return FitResult(
            net=run.net,
            noise_scores=scores,
            clean_mask=self._clean(selection.kept, scores, task),
            noise_rate=noise_rate,
            dynamics=run.dynamics.select(tuple(self.record)),
            history=_history(run.history(), selection.lengths),
            attributes={
                "dropped_round_": selection.dropped_round,
                **chosen_recording(task, self.recording, self._mode, first_round),
                "rounds_": selection.rounds,
                "mixtures_": selection.mixtures,
                "termination_": (self.rounds == "auto" and (reason or _of_one_round(loss)))
                or "all rounds were trained",
            },
            early_agreement=run.early_agreement(task.judged),
            predicted=None if self._mode == "held_out" else predicted.astype(np.int64),
            loss_gap=gap,
        )

    def _selection_settings(self) -> SelectionSettings:
        return SelectionSettings(self.metric, self.lam, self.full, self.threshold, self.recording)

    @staticmethod
    def _clean(kept: np.ndarray, scores: np.ndarray, task: FitTask) -> np.ndarray:
        # Rounds drop what is hard to learn. With a verdict a label is not rejected for that alone.
        return kept if task.verdict is None else kept | (scores <= 0.5)


def _prediction_and_margin(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Code of the predicted class, and logit of the given label less the largest other one."""
    (margin,) = given_label_statistics(logits, y, ("margin",))
    return torch.stack([predicted_class(logits).float(), margin], dim=1)


def _of_one_round(loss: str) -> str:
    return "early-learning regularization takes one round" if loss == "early_learning" else ""


def _history(epochs: list[dict[str, Any]], lengths: list[int]) -> list[dict[str, Any]]:
    number = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    return [{"round": int(number[i]), **epoch} for i, epoch in enumerate(epochs)]
