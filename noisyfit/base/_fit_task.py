"""What a method gets to work on, and what it returns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from noisyfit._random import RandomStreams, spawn_streams
from noisyfit._ranks import sharing
from noisyfit.base._leaks import holds_rows
from noisyfit.base._odd_labels import warn_of_odd_labels
from noisyfit.base._pooling import doubt_of_own_rows
from noisyfit.base._row_choices import row_weights, unlabeled_rows, validation_rows
from noisyfit.base._row_sample import row_sample
from noisyfit.base._same_fit import check_same_fit
from noisyfit.data import (
    ImageScaler,
    Rows,
    Scaler,
    TableScaler,
    check_groups,
    check_pred_proba,
    check_trusted,
    check_X_y,
    encode_labels,
    fit_scaler,
    make_rows,
    near_copy_groups,
    users_scaler,
)
from noisyfit.label_quality import (
    MIN_SHARE_OF_CLASS,
    NoiseRateEstimate,
    VotedLabels,
    estimate_noise_rate,
    spare_last_rows,
    with_loss_gap,
)
from noisyfit.persistence import FitCheckpoint
from noisyfit.training import NoisyNet, resolve_device, rows_bar

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from noisyfit.base._classifier import BaseNoisyClassifier
    from noisyfit.base._judging import Verdict
    from noisyfit.dynamics import TrainingDynamics


@dataclass(frozen=True)
class FitTask:
    """What a method gets to work on: checked rows, encoded labels, random streams.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.base import FitTask, make_task
    >>> task = make_task(MILDSelector(), np.eye(4), ["cat", "dog", "dog", "cat"])
    >>> isinstance(task, FitTask), task.y, task.n_classes
    (True, array([0, 1, 1, 0]), 2)
    """

    rows: Rows
    """Inputs, labels and ids of all rows."""
    y: np.ndarray
    """Given labels, encoded as 0 to n_classes - 1: (n_samples,), int64."""
    trusted: np.ndarray
    """Rows whose label was verified: (n_samples,), bool."""
    validation: np.ndarray
    """Rows that the net that predicts is not trained on: (n_samples,), bool."""
    unlabeled: np.ndarray
    """Rows without a label, whose code in `y` stands for nothing: (n_samples,), bool."""
    streams: RandomStreams
    """Seeds and generators, one for each purpose."""
    classes: np.ndarray
    """The labels that the codes stand for: (n_classes,)."""
    scaler: Scaler | None
    """What brings the inputs to a common scale."""
    row_dtype: np.dtype | None = None
    """Type of the checked inputs; None for a Dataset."""
    has_trusted: bool = False
    """Whether `fit` was given trusted rows, were it an empty mask."""
    checkpoint: FitCheckpoint | None = None
    """Where the fit is kept while it runs, to go on with it later."""
    verdict: Verdict | None = None
    """What networks that did not train on a row say of its label; None: nobody was asked."""
    row_sample: np.ndarray | None = None
    """A number for each of a few rows, by which they are known again; None for a stream."""
    groups: np.ndarray | None = None
    """Codes of the groups that `fit` was given: (n_samples,), int64; None: it was given none."""
    pred_proba: np.ndarray | None = None
    """Out-of-fold probabilities that `fit` was given: (n_samples, n_classes), float32; None: it was
    given none."""
    confidence: np.ndarray | None = None
    """Probability of each label by the votes that it was made of: (n_samples,), float64; None:
    there were no votes."""
    min_share_of_class: float = MIN_SHARE_OF_CLASS
    """Smallest share of the rows of each class that a selection keeps, in [0, 1)."""

    @cached_property
    def fold_groups(self) -> np.ndarray | None:
        """Codes of groups of which no net that is to judge a row may know another: (n_samples,).

        Those that `fit` was given, else the groups of near copies. Looking for these takes as long
        as some epochs. None: every row for itself.
        """
        source, scaler = self.rows.source, self.scaler
        if self.groups is not None or not holds_rows(source):
            return self.groups
        std = scaler.scaler_.scale_ if isinstance(scaler, TableScaler) else None
        copies = near_copy_groups(source.X, std)
        if copies is None:
            return None
        of_class = np.unique(np.column_stack([self.y, copies]), axis=0)[:, 0]
        # With each class in one group, no row could be judged by a net that knows its class.
        return copies if (np.bincount(of_class) > 1).any() else None

    @property
    def is_table(self) -> bool:
        """Whether the rows are vectors that were brought to a common scale."""
        return isinstance(self.scaler, TableScaler)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def judged(self) -> np.ndarray:
        """Rows with a label that nobody verified: (n_samples,), bool."""
        return ~(self.trusted | self.unlabeled)

    def chosen_loss(self, loss: str) -> str:
        """Return the loss that was chosen by the out-of-fold verdict.

        Parameters
        ----------
        loss : {"cross_entropy", "early_learning", "auto"}
            What the user asks for.

        Returns
        -------
        {"cross_entropy", "early_learning"}
            Without a verdict there is nothing to choose by: ``"auto"`` is cross-entropy then.
        """
        if self.verdict is not None:
            return self.verdict.loss
        return "cross_entropy" if loss == "auto" else loss

    @property
    def spared(self) -> np.ndarray:
        """Rows that are kept whatever a method says: trusted ones, and of rare or hard classes."""
        return self.trusted if self.verdict is None else self.trusted | self.verdict.unpredicted

    def noise_rate(self, own: float, gap: NoiseRateEstimate | None = None) -> float:
        """Return the noise rate of the out-of-fold verdict, or the method's own without one.

        Parameters
        ----------
        own : float
            Proportion of wrong labels among all labels.
        gap : NoiseRateEstimate or None, default=None
            What the losses in sample say of the rows that nobody verified; None: nothing.

        Returns
        -------
        float
        """
        if self.verdict is None:
            return own
        found = self.verdict.found
        return self.verdict.share * (found.rate if gap is None else with_loss_gap(found, gap))

    def loss_gap(
        self,
        dynamics: TrainingDynamics,
        *,
        n_bootstrap: int = 1,
        random_state: np.random.Generator | int = 0,
    ) -> NoiseRateEstimate | None:
        """Estimate the noise rate from losses that were recorded in sample.

        Parameters
        ----------
        dynamics : TrainingDynamics
            Records of ``"loss"`` and ``"correct"`` of a training on all rows that have a label.
        n_bootstrap : int, default=1
            Bootstrap samples, of which the interval is made; one if nobody reads it.
        random_state : Generator or int, default=0
            Draws them.

        Returns
        -------
        NoiseRateEstimate or None
            Of the rows that nobody verified, without those that were held back: these show no gap
            of early and late losses. None if there is no such row.
        """
        memorised = self.judged & ~self.validation
        if not memorised.any():
            return None
        return estimate_noise_rate(
            dynamics, judged=memorised, n_bootstrap=n_bootstrap, random_state=random_state
        )

    def rate_among_judged(self, noise_rate: float) -> float:
        """Convert a proportion of all rows into one of the rows that nobody verified.

        Parameters
        ----------
        noise_rate : float
            Proportion of wrong labels among all labels; trusted ones are right.

        Returns
        -------
        float
            In [0, 1].
        """
        return min(1.0, noise_rate / self.judged_share) if self.judged.any() else 0.0

    @property
    def judged_share(self) -> float:
        """Proportion of the labels that nobody verified."""
        return float(self.judged[~self.unlabeled].mean())

    @property
    def class_frequencies(self) -> np.ndarray:
        """Share of each class in the given labels, by the weights of the rows: (n_classes,)."""
        labeled = ~self.unlabeled
        weight = None if self.rows.weight is None else self.rows.weight.cpu().numpy()[labeled]
        counts = np.bincount(self.y[labeled], weight, minlength=self.n_classes)
        return counts / counts.sum()

    @property
    def balanced_rows(self) -> Rows:
        """The rows, balanced between those with a label and those without."""
        return self.balanced(self.unlabeled)

    def balanced(self, unlabeled: np.ndarray) -> Rows:
        """Repeat the rows that are learned from by label until they are about a half.

        Else a batch would hold too few labels to learn from.

        Parameters
        ----------
        unlabeled : ndarray of shape (n_samples,), bool
            Rows that are learned from without a label.

        Returns
        -------
        Rows
            The rows as they are if there is no such row.
        """
        if not unlabeled.any():
            return self.rows
        n_unlabeled = int(unlabeled.sum())
        times = max(1, round(n_unlabeled / (self.n_samples - n_unlabeled)))
        return self.rows.repeat(np.where(unlabeled, 1, times))

    @property
    def held_back(self) -> np.ndarray | None:
        """What `NoisyNet.train_stage` takes: `validation`, None if there is no such row."""
        return self.validation if self.validation.any() else None

    def kept_rows(self, drop: np.ndarray, C: np.ndarray) -> np.ndarray:
        """Mark the rows that a selection keeps, some of every class among them.

        Parameters
        ----------
        drop : ndarray of shape (n_samples,), bool
            Rows that a threshold would drop.
        C : ndarray of shape (n_samples,)
            Metric of the selection; the rows of a class with the smallest values stay.

        Returns
        -------
        ndarray of shape (n_samples,), bool
            Trusted rows and `min_share_of_class` of each class are kept, rows without a label are
            not.
        """
        kept, has = np.zeros(self.n_samples, dtype=bool), np.flatnonzero(~self.unlabeled)
        kept[has] = ~self.dropped_rows(drop[has], C[has], has)
        return kept

    def dropped_rows(self, drop: np.ndarray, C: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Take out of the rows to drop those that no selection may drop.

        Parameters
        ----------
        drop : ndarray of shape (n_rows,), bool
            Which of `rows` a threshold would drop.
        C : ndarray of shape (n_rows,)
            Metric of the selection; the rows of a class with the smallest values stay.
        rows : ndarray of shape (n_rows,), int64
            Rows that have a label and were not dropped before.

        Returns
        -------
        ndarray of shape (n_rows,), bool
            Which of `rows` are dropped: no trusted ones, and `min_share_of_class` of the rows that
            a class had before any selection are left to it.
        """
        sizes = np.bincount(self.y[~self.unlabeled], minlength=self.n_classes)
        spared = self.spared[rows]
        return spare_last_rows(drop, C, self.y[rows], sizes, spared, self.min_share_of_class)

    def check_trainable(self, kept: np.ndarray) -> None:
        """Raise unless a selection leaves enough rows to train on.

        Parameters
        ----------
        kept : ndarray of shape (n_samples,), bool
            Rows that a net is to be trained on, but for those that are held back.

        Raises
        ------
        ValueError
            If they are fewer than two.
        """
        left = int(np.count_nonzero(kept & ~self.validation))
        if left < 2:
            raise ValueError(
                f"The selection leaves {left} of {self.n_samples} rows to train on, with "
                f"min_share_of_class={self.min_share_of_class}. Raise min_share_of_class, by which "
                "each class keeps that share of its rows, or have fewer rows dropped."
            )

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def device(self) -> torch.device:
        """Where to train."""
        return self.rows.source.device


def make_task(
    est: BaseNoisyClassifier,
    X: Any,
    y: Any = None,
    trusted: Any = None,
    checkpoint: str | Path | None = None,
    sample_weight: Any = None,
    groups: Any = None,
    pred_proba: Any = None,
) -> FitTask:
    """Check what `fit` was given, and put it into the form in which methods take it.

    Parameters
    ----------
    est : BaseNoisyClassifier
        Gets ``n_features_in_`` and, for a data frame, ``feature_names_in_``.
    X : array-like, CSR matrix or torch Dataset
        Rows, as for `BaseNoisyClassifier.fit`.
    y : array-like of shape (n_samples,), VotedLabels, or None for a Dataset that has the labels
        Given labels.
    trusted : array-like of shape (n_samples,), bool, default=None
        Marks rows whose label was verified.
    checkpoint : str, Path or None, default=None
        Folder in which the fit is kept while it runs.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the losses of the rows.
    groups : array-like of shape (n_samples,), default=None
        Groups of rows that are judged by nets that know none of the group.
    pred_proba : array-like of shape (n_samples, n_classes), default=None
        Out-of-fold probabilities of the classes.

    Returns
    -------
    FitTask

    Raises
    ------
    ValueError, TypeError
        For inputs and parameters that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.base import make_task
    >>> task = make_task(MILDSelector(), np.eye(4), ["cat", "dog", "dog", "cat"])
    >>> task.classes.tolist(), task.rows.source.X.shape
    (['cat', 'dog'], torch.Size([4, 4]))
    """
    est.check_nested_params()
    voted = y if isinstance(y, VotedLabels) else None
    X, y = check_X_y(est, X, y if voted is None else voted.labels)
    unlabeled = unlabeled_rows(y, getattr(est, "unlabeled", None))
    weight = row_weights(sample_weight, est.class_weight, y, unlabeled)
    codes = check_groups(groups, len(y))
    encoded = np.zeros(len(y), dtype=np.int64)
    encoded[~unlabeled], classes = encode_labels(y[~unlabeled])
    brought = check_pred_proba(pred_proba, len(y), classes)
    random_state, kept = est.random_state, None
    beside = {"trusted": trusted, "sample_weight": weight, "groups": codes, "pred_proba": brought}
    ranks = sharing()
    if ranks is not None:
        random_state = check_same_fit(ranks, est, X, y, beside)
    if checkpoint is not None:
        kept = FitCheckpoint(checkpoint)
        random_state = kept.open(est, X, y, **beside)
    warn_of_odd_labels(encoded[~unlabeled], classes)
    trusted_mask = check_trusted(trusted, len(encoded))
    if (trusted_mask & unlabeled).any():
        raise ValueError(
            f"trusted marks {(trusted_mask & unlabeled).sum()} rows without a label, whose y is "
            f"unlabeled={getattr(est, 'unlabeled', None)!r}. A label has to be there to be trusted."
        )
    doubt = doubt_of_own_rows(brought, encoded, ~(trusted_mask | unlabeled))
    if doubt is not None:  # past make_task, fit and scikit-learn's wrapper of it: the user's line
        warnings.warn(doubt, UserWarning, stacklevel=4)
    streams = spawn_streams(random_state)
    fraction = est.validation_fraction
    scaler: Scaler | None = None
    if isinstance(est.standardize, ImageScaler):
        scaler = users_scaler(est.standardize, X)
    elif est.standardize:
        bar = rows_bar(type(est).__name__, est.verbose, "reading")
        scaler = fit_scaler(X, open_bar=bar)
    rows = make_rows(X, encoded, resolve_device(est.device), scaler)
    task = FitTask(
        rows=rows if weight is None else rows.with_weights(weight),
        y=encoded,
        trusted=trusted_mask,
        validation=np.zeros(len(encoded), dtype=bool),
        unlabeled=unlabeled,
        streams=streams,
        classes=classes,
        scaler=scaler,
        row_dtype=getattr(X, "dtype", None),
        has_trusted=trusted is not None,
        checkpoint=kept,
        row_sample=row_sample(X, rows),
        groups=codes,
        pred_proba=brought,
        confidence=None if voted is None else voted.confidence,
        min_share_of_class=float(est.min_share_of_class),
    )
    if fraction is None:
        return task
    spared = trusted_mask | unlabeled
    chosen = validation_rows(encoded, spared, fraction, streams.validation, task.fold_groups)
    return replace(task, validation=chosen)


class FitResult(NamedTuple):
    """What a method returns; `BaseNoisyClassifier.fit` checks it and sets the attributes.

    Examples
    --------
    See `Trainer` for a whole method.

    >>> from noisyfit.base import FitResult
    >>> FitResult._fields[:4]
    ('net', 'noise_scores', 'clean_mask', 'noise_rate')
    """

    net: NoisyNet
    """The net that predicts."""
    noise_scores: np.ndarray
    """Probability that each label is wrong: (n_samples,); those of trusted rows do not count."""
    clean_mask: np.ndarray
    """Rows whose label is kept: (n_samples,), bool; trusted rows always are."""
    noise_rate: float
    """Estimated proportion of wrong labels."""
    dynamics: TrainingDynamics | None
    """What was recorded."""
    history: list[dict[str, Any]]
    """One entry an epoch."""
    attributes: dict[str, Any] = {}  # noqa: RUF012 - read only
    """The method's own fitted attributes by name."""
    early_agreement: float | None = None
    """Proportion of the labels that the net agreed with in its second epoch; None: not recorded."""
    predicted: np.ndarray | None = None
    """Codes of the classes that `net` predicts for all rows; None: `fit` computes them."""
    plain_predicted: np.ndarray | None = None
    """Codes of the classes that plain training on the same rows predicts; None: there was none."""
    loss_gap: NoiseRateEstimate | None = None
    """What the losses in sample say of the labels that nobody verified; None: nothing."""
    verdict: Verdict | None = None
    """An out-of-fold verdict that is better than that of the task; None: that of the task."""
