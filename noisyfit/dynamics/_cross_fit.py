"""`CrossFit`: networks in cross-validation, which say of each row what the others know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from skorch.callbacks import Callback

from noisyfit.dynamics._panel import PanelNet
from noisyfit.dynamics._recorded_run import N_FOLDS
from noisyfit.modules import StackedMLP, can_be_stacked
from noisyfit.training import EarlyLearningNet, NoisyNet, class_softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noisyfit.data import Rows
    from noisyfit.modules import MLP

_SMOOTH = 1e-4
"""Added to probabilities before the logarithm is taken."""
_SETTLED, _LAST = 0.02, 3
"""Share of its rows that a mean has named another class in so many epochs, if it has settled."""
_STATE = ("sum_", "n_epochs_", "best_", "likelihood_", "recent_")


class CrossFit:
    """Out-of-fold probabilities of networks that leave out a fifth of the rows each.

    Probabilities are averaged over all epochs but the first: that is better calibrated, and ranks
    better, than those of the last epoch. The average ends with the epoch up to which it predicts
    the given labels best, by their likelihood: what the networks learn by heart after that says
    nothing of other rows. Networks that are `MLP` are computed side by side as one batched product;
    others are trained one after the other, each with an end of its own: once its average predicts
    more of the labels than their most frequent one would, and over the last three epochs came to
    predict another class for less than 2 % of the rows, as a mean of all given classes and one row
    added, a network is not trained on.

    Parameters
    ----------
    make_net : callable
        Makes an initialized net; takes a list of callbacks, and as keywords the class of the net
        and its settings.
    rows : Rows
        Rows to train on and to judge.
    folds : sequence of ndarray of shape (n_source,), int64
        For each repeat, the fold of each row, 0 to 4; -1 for a row that no network leaves out, of
        which what the first one says counts. Where all rows are in one fold, none is left out:
        its network would have nothing to train on.
    early_learning : bool, default=False
        Whether the loss is that of `noisyfit.training.EarlyLearningNet`, which learns nothing by
        heart: the average is then over all epochs.

    Attributes
    ----------
    proba : ndarray of shape (n_repeats, n_source, n_classes), float32
        Out-of-fold probabilities; zeros for rows that are none of `rows`.
    proba_of_all : ndarray of shape (n_repeats, n_source, n_classes), float32
        The same, averaged to the last epoch that was trained.
    is_stacked : bool
        Whether the networks are computed side by side.
    may_still_gain : float
        Share of the labels that the networks might have predicted besides, had none ended early: 0
        if none did, else the 2 % below which a network has settled.

    Raises
    ------
    ValueError
        For other folds.

    Notes
    -----
    Side by side, a row's probabilities are those of the training step, in which dropout and views
    are at work; one after the other, those after each epoch. Optimizers that look at a whole matrix
    of weights, which SGD and Adam do not, see those of all networks in one.

    A row's own label counts among all others where the end of the average is chosen, and nowhere
    else.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> from noisyfit.dynamics import CrossFit
    >>> from noisyfit.training import NoisyNet
    >>> X, y = np.eye(2, dtype=np.float32).repeat(20, axis=0), np.arange(2).repeat(20)
    >>> rows = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(y))
    >>> def make_net(callbacks, net_class=NoisyNet, module=None, **settings):
    ...     module = torch.nn.Linear(2, 2) if module is None else module
    ...     settings |= {"callbacks": callbacks, "lr": 1.0, "batch_size": 8}
    ...     return net_class(module, **settings).initialize()
    >>> _ = torch.manual_seed(0)
    >>> crossed = CrossFit(make_net, rows, [np.arange(40) % 5])
    >>> crossed.train(epochs=5)
    >>> crossed.proba.shape, bool((crossed.proba[0].argmax(1) == y).all())
    ((1, 40, 2), True)
    """

    def __init__(
        self,
        make_net: Callable[..., NoisyNet],
        rows: Rows,
        folds: Sequence[np.ndarray],
        *,
        early_learning: bool = False,
    ) -> None:
        self.proba = self.proba_of_all = np.empty(0, dtype=np.float32)
        self._make_net, self._rows, self._early = make_net, rows, early_learning
        self._folds = [self._checked(np.asarray(fold)) for fold in folds]
        self._template = make_net([]).module_
        self.is_stacked = can_be_stacked(self._template)
        self.may_still_gain = 0.0

    def _checked(self, fold: np.ndarray) -> np.ndarray:
        n_source = len(self._rows.source)
        if fold.shape != (n_source,) or fold.min() < -1 or fold.max() >= N_FOLDS:
            raise ValueError(
                f"Folds must be numbers from -1 to {N_FOLDS - 1} for each of {n_source} rows. Got "
                f"the shape {fold.shape} and {np.unique(fold)[[0, -1]]} at the ends."
            )
        own = fold[self._rows.index.numpy()]
        return np.full(n_source, -1) if (own == own[0]).all() else fold.astype(np.int64)

    @property
    def n_trainings(self) -> int:
        """Trainings that a progress bar counts, of as many epochs as `train` is told."""
        return 1 if self.is_stacked else N_FOLDS * len(self._folds)

    def train(
        self,
        epochs: int,
        name: str = "cross-validation",
        callbacks: Sequence = (),
        goes_on: Callable[[np.ndarray, np.ndarray], bool] | None = None,
    ) -> None:
        """Train all networks.

        Parameters
        ----------
        epochs : int
            Epochs of each, at most.
        name : str, default="cross-validation"
            Name of the stage.
        callbacks : sequence, default=()
            Callbacks of every net, such as a progress bar.
        goes_on : callable, default=None
            Whether to train the other networks, after each but the last of those that are trained
            one after the other: takes the mean probabilities to the last epoch, (n_source,
            n_classes), and which rows were judged so far, (n_source,) bool. None: all are trained.

        Returns
        -------
        bool
            Whether all were trained. Else there are no probabilities.
        """
        if self.is_stacked:
            self._keep(*self._train_stacked(epochs, name, list(callbacks)))
            return
        found = self._train_each(epochs, name, list(callbacks), goes_on)
        if found is not None:
            self._keep(*found)

    def _keep(self, of_all: np.ndarray, to_best: np.ndarray) -> None:
        self.proba_of_all, self.proba = of_all, of_all if self._early else to_best

    @property
    def is_complete(self) -> bool:
        """Whether all networks were trained: else there are no probabilities."""
        return len(self.proba) > 0

    def _train_stacked(
        self, epochs: int, name: str, callbacks: list
    ) -> tuple[np.ndarray, np.ndarray]:
        takes = np.stack([fold != k for fold in self._folds for k in range(N_FOLDS)], axis=1)
        judge = [np.maximum(fold, 0) + N_FOLDS * r for r, fold in enumerate(self._folds)]
        mean = MeanProbability(
            self._rows.y,
            torch.from_numpy(np.stack(self._folds) >= 0),
            judge=torch.from_numpy(np.stack(judge)),
        )
        net = self._make_net(
            [("mean_probability", mean), *callbacks],
            PanelNet,
            module=StackedMLP([cast("MLP", self._template)] * takes.shape[1]),
            n_classes=None,
            n_source=len(takes),
            takes=torch.from_numpy(takes),
            early_learning=self._early,
        )
        net.train_stage(self._rows, epochs, name)
        return mean.result(), mean.best()

    def _train_each(
        self,
        epochs: int,
        name: str,
        callbacks: list,
        goes_on: Callable[[np.ndarray, np.ndarray], bool] | None,
    ) -> tuple[np.ndarray, np.ndarray] | None:
        repeats = []
        for r, fold in enumerate(self._folds):
            # The first net, which trains on it, also judges a row that is in no fold.
            judge = np.maximum(fold, 0)
            waiting = [k for k in range(N_FOLDS) if len(self._rows.subset(judge == k))]
            parts = []
            while waiting:
                k = waiting.pop(0)
                stage = f"{name} {r + 1}, fold {k + 1}"
                parts.append(self._train_one(epochs, stage, callbacks, fold != k, judge == k))
                if goes_on is not None and (waiting or r + 1 < len(self._folds)):
                    so_far = np.isin(judge, waiting, invert=True)
                    if not goes_on(np.sum([of_all for of_all, _ in parts], axis=0), so_far):
                        return None
            repeats.append(np.sum(parts, axis=0))
        of_all, to_best = np.stack(repeats, axis=1)
        return of_all, to_best

    def _train_one(
        self, epochs: int, stage: str, callbacks: list, takes: np.ndarray, judges: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        of_loss: dict[str, Any] = {}
        if self._early:
            of_loss = {"net_class": EarlyLearningNet, "n_source": len(self._rows.source)}
        mean = MeanProbability(
            self._rows.y,
            torch.from_numpy(~takes[None]),
            held_out=self._rows.subset(judges),
            ends_stage=not self._early,
        )
        net = self._make_net([("mean_probability", mean), *callbacks], **of_loss)
        net.train_stage(self._rows.subset(takes), epochs, stage)
        if len(net.history) < epochs:
            self.may_still_gain = _SETTLED
        return mean.result()[0], mean.best()[0]


class MeanProbability(Callback):
    """skorch callback that averages out-of-fold probabilities over all epochs but the first.

    Parameters
    ----------
    y : tensor of shape (n_source,), int64
        Given labels.
    counts : tensor of shape (n_repeats, n_source), bool
        Whether a row's judge has not trained on it: the likelihood of these labels says up to which
        epoch the average is best.
    judge : tensor of shape (n_repeats, n_source), int64, or None, default=None
        For a `PanelNet`: the network that judges each row. Its predictions come from the training
        step, at no cost.
    held_out : Rows or None, default=None
        For any other net: rows to look at after each epoch.
    ends_stage : bool, default=False
        Whether the stage ends once what the average predicts has settled.
    """

    def __init__(
        self,
        y: Any,
        counts: Any,
        judge: Any = None,
        held_out: Any = None,
        ends_stage: bool = False,
    ) -> None:
        self.y, self.counts, self.judge, self.held_out = y, counts, judge, held_out
        self.ends_stage = ends_stage
        self.recent_: list[torch.Tensor] = []
        self.sum_: torch.Tensor | None = None
        self.n_epochs_ = 0
        self.best_: torch.Tensor | None = None
        self.likelihood_ = -np.inf

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Bring the choice of judges to the device: from elsewhere each batch would wait for it."""
        self.y, self.counts = self.y.to(net.device), self.counts.to(net.device)
        if self.judge is not None:
            self.judge = self.judge.to(net.device)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget the first epoch when the second begins; an only one counts."""
        if self.n_epochs_ == 1 and self.sum_ is not None:
            self.sum_.zero_()
        self.n_epochs_ += 1

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, y_pred: Any = None, **kwargs: Any
    ) -> None:
        """Add what the judges of a batch's rows say."""
        if self.judge is None or not training:
            return
        ids = batch[0]["index"]
        rows = torch.arange(len(ids), device=ids.device)
        for r, of_rows in enumerate(self.judge[:, ids]):
            self._add(r, ids, y_pred[rows, of_rows])

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Look at the rows that were left out, and at how well labels are predicted so far."""
        if self.held_out is not None:
            for batch in net.get_iterator(self.held_out, training=False):
                self._add(0, batch[0]["index"], net.evaluation_step(batch, training=False))
        if self.n_epochs_ > 1 and self.sum_ is not None:
            self._keep_best(self.sum_ / (self.n_epochs_ - 1))
            if self.ends_stage and self._has_settled():
                net.stops_ = True

    def _has_settled(self) -> bool:
        """Say whether the average names the classes that it named some epochs ago, and knows some.

        Each given class counts alike: a rare one is learned while nothing else changes any more.
        A row is added to those that changed, since of few rows none may, by chance.
        """
        rows = self.counts[0]
        if len(self.recent_) <= _LAST or not rows.any():
            return False
        y, predicted, before = self.y[rows], self.recent_[-1][rows], self.recent_[0][rows]
        sizes = y.bincount()
        if (predicted == y).sum() <= sizes.max():
            return False
        changed = y[predicted != before].bincount(minlength=len(sizes))
        return bool((changed / sizes)[sizes > 0].mean() + 1 / len(y) < _SETTLED)

    def _keep_best(self, mean: torch.Tensor) -> None:
        of_given = mean.gather(2, self.y.expand(len(mean), -1)[:, :, None])[:, :, 0]
        likelihood = float(of_given[self.counts].add(_SMOOTH).log().mean())
        if self.ends_stage:
            self.recent_ = [*self.recent_[-_LAST:], mean[0].argmax(dim=1)]
        if likelihood > self.likelihood_:  # not so of NaN, where no row counts
            self.best_, self.likelihood_ = mean, likelihood

    def _add(self, repeat: int, ids: torch.Tensor, logits: torch.Tensor) -> None:
        if self.sum_ is None:
            n_repeats = 1 if self.judge is None else len(self.judge)
            shape = (n_repeats, len(self.y), logits.shape[1])
            self.sum_ = torch.zeros(shape, device=logits.device)
        self.sum_[repeat, ids] += class_softmax(logits)

    def result(self) -> np.ndarray:
        """Return the means over all epochs.

        Returns
        -------
        ndarray of shape (n_repeats, n_source, n_classes), float32
        """
        assert self.sum_ is not None, "an epoch has been trained"
        return (self.sum_ / max(1, self.n_epochs_ - 1)).cpu().numpy()

    def best(self) -> np.ndarray:
        """Return the means up to the epoch at which they predict the given labels best.

        Returns
        -------
        ndarray of shape (n_repeats, n_source, n_classes), float32
        """
        return self.result() if self.best_ is None else self.best_.cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Return sums and best means, for a checkpoint."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned.

        Parameters
        ----------
        state : dict
            Sums and best means by name.
        """
        for name in _STATE:
            setattr(self, name, state[name])
