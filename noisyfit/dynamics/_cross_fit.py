"""`CrossFit`: networks in cross-validation, which say of each row what the others know of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs

from noisyfit._random import derived_seed, seeded
from noisyfit.dynamics._mean_probability import SETTLED, MeanProbability
from noisyfit.dynamics._panel import PanelNet
from noisyfit.dynamics._recorded_run import N_FOLDS
from noisyfit.modules import StackedMLP, can_be_stacked
from noisyfit.training import EarlyLearningNet, NoisyNet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from noisyfit.data import Rows
    from noisyfit.modules import MLP


class _Part(NamedTuple):
    """What one of the networks says of the rows that it left out; zeros for all others."""

    of_all: np.ndarray
    """Mean probabilities over all epochs: (n_source, n_classes)."""
    to_best: np.ndarray
    """The same, up to the epoch at which they predict the given labels best."""
    ended_early: bool


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

    Each of the networks that are trained one after the other has a seed of its own, so that they
    may as well be trained by several processes.

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
        template = make_net([])
        self._template, self._device = template.module_, template.device
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
        n_jobs: int | None = None,
        on_trained: Callable[[int], None] = lambda n_epochs: None,
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
        n_jobs : int or None, default=None
            Processes of joblib, between which the threads of torch are divided, for networks that
            are trained one after the other otherwise. They are without `callbacks`; what they find
            is the same, but for rounding if the number of threads differs. None: 1.
        on_trained : callable, default=nothing
            Called with the number of epochs, for each network that another process has trained.
        """
        if self.is_stacked:
            self._keep(*self._train_stacked(epochs, name, list(callbacks)))
            return
        n_jobs = effective_n_jobs(1 if n_jobs is None else n_jobs)
        calls = self._calls(epochs, name)
        parts: Iterator[_Part]
        if n_jobs == 1:
            parts = (self._train_one(list(callbacks), *call) for call in calls)
        else:
            parts = self._by_processes(calls, n_jobs, lambda: on_trained(epochs))
        found = self._gather(parts, goes_on)
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

    def _nets(self) -> list[tuple[int, int]]:
        """List the networks by repeat and fold; each judges a row at least."""
        every = [(r, k) for r in range(len(self._folds)) for k in range(N_FOLDS)]
        return [(r, k) for r, k in every if len(self._rows.subset(self._judged_by(r, k)))]

    def _judged_by(self, repeat: int, k: int) -> np.ndarray:
        # The first net, which trains on it, also judges a row that is in no fold.
        return np.maximum(self._folds[repeat], 0) == k

    def _calls(self, epochs: int, name: str) -> list[tuple]:
        """Return what `_train_one` takes beside callbacks, for each network."""
        return [
            (epochs, f"{name} {r + 1}, fold {k + 1}", r, k, derived_seed(number))
            for number, (r, k) in enumerate(self._nets())
        ]

    def _by_processes(
        self, calls: list, n_jobs: int, on_trained: Callable[[], None]
    ) -> Iterator[_Part]:
        """Train as many networks at a time as there are processes, as long as somebody asks."""
        n_threads = max(1, torch.get_num_threads() // n_jobs)
        jobs = [delayed(_in_process)(n_threads, os.getpid(), self, *call) for call in calls]
        for first in range(0, len(jobs), n_jobs):
            for part in Parallel(n_jobs)(jobs[first : first + n_jobs]):
                on_trained()
                yield part

    def _gather(
        self,
        parts: Iterator[_Part],
        goes_on: Callable[[np.ndarray, np.ndarray], bool] | None,
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Add up what the networks say, as long as they are to be asked."""
        nets = self._nets()
        found: np.ndarray | None = None
        for (r, k), part in zip(nets, parts, strict=True):
            if found is None:
                found = np.zeros((2, len(self._folds), *part.of_all.shape), dtype=np.float32)
            found[:, r] += part.of_all, part.to_best
            if part.ended_early:
                self.may_still_gain = SETTLED
            if goes_on is None or (r, k) == nets[-1]:
                continue
            so_far = [self._judged_by(*net) for net in nets if net[0] == r and net[1] <= k]
            if not goes_on(found[0, r].copy(), np.any(so_far, axis=0)):
                return None
        assert found is not None, "there is a network"
        return found[0], found[1]

    def _train_one(
        self, callbacks: list, epochs: int, stage: str, repeat: int, k: int, seed: int
    ) -> _Part:
        takes, judges = self._folds[repeat] != k, self._judged_by(repeat, k)
        of_loss: dict[str, Any] = {}
        if self._early:
            of_loss = {"net_class": EarlyLearningNet, "n_source": len(self._rows.source)}
        mean = MeanProbability(
            self._rows.y,
            torch.from_numpy(~takes[None]),
            held_out=self._rows.subset(judges),
            ends_stage=not self._early,
        )
        with seeded(seed, self._device):
            order = torch.Generator().manual_seed(seed)
            net = self._make_net(
                [("mean_probability", mean), *callbacks], iterator_train__generator=order, **of_loss
            )
            net.train_stage(self._rows.subset(takes), epochs, stage)
        return _Part(mean.result()[0], mean.best()[0], ended_early=len(net.history) < epochs)


def _in_process(n_threads: int, parent: int, crossed: CrossFit, *call: Any) -> _Part:
    """Train a network in a process of its own, with its share of the threads."""
    before = torch.get_num_threads()
    if os.getpid() == parent:  # a backend of threads, which share the setting and take turns
        n_threads = before
    torch.set_num_threads(n_threads)
    try:
        return crossed._train_one([], *call)  # noqa: SLF001
    finally:
        torch.set_num_threads(before)
