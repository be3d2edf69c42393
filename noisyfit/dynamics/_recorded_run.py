"""`RecordedRun`: train on all rows and record their dynamics, in sample or out-of-fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from noisyfit.dynamics._container import TrainingDynamics
from noisyfit.dynamics._recorder import DynamicsRecorder
from noisyfit.training import NoisyNet, map_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from noisyfit.data import Rows

N_FOLDS = 5


class RecordedRun:
    """Training in stages that records the dynamics of every row, in one of three ways.

    Parameters
    ----------
    make_net : callable
        Takes a list of callbacks and returns an initialized net.
    rows : Rows
        All rows.
    y : ndarray of shape (n_samples,), int64
        Given labels, encoded as class indices.
    quantities : tuple of {"correct", "given_prob", "margin", "loss"}
        What is recorded of every row and epoch.
    recording : {"training", "evaluation", "evaluation_augmented", "held_out"}
        ``"held_out"``: five nets each leave out a fifth of each class, and the dynamics of a row
        are out-of-fold: those of the net that does not train on it. The others: one net trains on
        all rows and is recorded as by `noisyfit.dynamics.DynamicsRecorder`.
    random_state : numpy.random.Generator
        Generator of the random order in which rows are dealt to the folds.
    keeps_net : bool, default=True
        Whether, for ``"held_out"``, a sixth net trains on all rows and is kept.
    folder : str, Path or None, default=None
        Folder of the temporary files that hold the records; None: records in memory.
    validation : ndarray of shape (n_samples,), bool, or None, default=None
        Marks rows that the net that is kept does not train on, but is validated on. For
        ``"held_out"`` the others are validated on the rows that they leave out. None: no
        validation.
    groups : ndarray of shape (n_samples,), int64, or None, default=None
        Codes of groups of rows that are left out together, such as near copies. With fewer than
        five groups there are as many nets as groups. None: every row for itself.

    Attributes
    ----------
    net : NoisyNet or None
        The net that trains on all rows; None for ``"held_out"`` unless `keeps_net`.
    fold : ndarray of shape (n_samples,), int64
        Number of the net that leaves the row out; -1 for a row that no net leaves out. These are
        all rows where one net is recorded in sample, and otherwise the rows that are the only one
        of their class, or whose class is in their group alone, as without them no net could learn
        the class.
    dynamics : TrainingDynamics
        The records of all stages so far.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> from noisyfit.training import NoisyNet, map_logits
    >>> X, y = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32), np.arange(50) % 2
    >>> rows = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(y))
    >>> run = RecordedRun(
    ...     lambda callbacks: NoisyNet(torch.nn.Linear(2, 2), callbacks=callbacks).initialize(),
    ...     rows, y, ("given_prob",), "held_out", np.random.default_rng(0), keeps_net=False,
    ... )
    >>> run.train_stage(np.ones(50, dtype=bool), epochs=3)
    3
    >>> run.dynamics.given_prob.shape, np.bincount(run.fold)
    ((50, 3), array([10, 10, 10, 10, 10]))
    """

    def __init__(
        self,
        make_net: Callable[[list], NoisyNet],
        rows: Rows,
        y: np.ndarray,
        quantities: tuple[str, ...],
        recording: str,
        random_state: np.random.Generator,
        *,
        keeps_net: bool = True,
        folder: Any = None,
        validation: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        n_samples = len(y)
        self.rows, self.recording, self._validation = rows, recording, validation
        self.dynamics = TrainingDynamics(n_samples, quantities, folder)
        self.net: NoisyNet | None = None
        self.fold = np.full(n_samples, -1)
        self._recorders: list[DynamicsRecorder] = []
        self._nets: list[NoisyNet] = []
        settings: dict[str, Any] = {
            "n_samples": n_samples,
            "record": quantities,
            "mode": recording,
            "folder": folder,
        }
        if recording != "held_out":
            self._add(make_net, settings)
            self.net = self._nets[0]
            return
        self.fold = deal_folds(y, random_state, groups)
        for _ in range(self.fold.max() + 1):
            self._add(make_net, settings | {"held_out": rows})
        if keeps_net:
            self.net = make_net([])

    def _add(self, make_net: Callable[[list], NoisyNet], settings: dict[str, Any]) -> None:
        recorder = DynamicsRecorder(**settings)
        self._recorders.append(recorder)
        self._nets.append(make_net([("dynamics", recorder)]))

    @staticmethod
    def n_nets(recording: str, *, keeps_net: bool = True) -> int:
        """Count the nets that a run trains at most, each of which takes as long as a plain fit.

        Parameters
        ----------
        recording : {"training", "evaluation", "evaluation_augmented", "held_out"}
            As in the class.
        keeps_net : bool, default=True
            As in the class.

        Returns
        -------
        int
        """
        return N_FOLDS + keeps_net if recording == "held_out" else 1

    def train_stage(self, keep: np.ndarray, epochs: int, name: str = "training") -> int:
        """Continue the training of every net, on the kept rows that it does not leave out.

        Parameters
        ----------
        keep : ndarray of shape (n_samples,), bool
            Rows that take part. The others have no record in these epochs.
        epochs : int
            Number of epochs, see `noisyfit.training.NoisyNet.train_stage`.
        name : str, default="training"
            Name of the stage.

        Returns
        -------
        int
            Epochs that were trained: fewer than asked for if a callback ended the stage.
        """
        start = self.dynamics.n_epochs
        if self.recording == "held_out":
            for fold in range(len(self._nets)):
                self._train_fold(fold, keep, epochs, f"{name}, fold {fold + 1}")
        if self.net is not None:
            self.net.train_stage(self.rows.subset(keep), epochs, name, self._validation)
        parts = [recorder.dynamics_.epochs(start=start) for recorder in self._recorders]
        self.dynamics.extend(parts[0] if len(parts) == 1 else TrainingDynamics.combine(parts))
        return self.dynamics.n_epochs - start

    def _train_fold(self, fold: int, keep: np.ndarray, epochs: int, name: str) -> None:
        # The first net, which trains on it, also records a row that is in no fold.
        own = (self.fold == fold) | ((self.fold == -1) & (fold == 0))
        self._recorders[fold].held_out = self.rows.subset(keep & own)
        left_out = keep & (self.fold == fold)
        if (left_out == keep).all():  # its net has nothing else to train on
            left_out = np.zeros_like(keep)
        net = self._nets[fold]
        if self._validation is None:
            net.train_stage(self.rows.subset(keep & ~left_out), epochs, name)
        else:
            net.train_stage(self.rows.subset(keep), epochs, name, left_out)

    def map_logits(
        self,
        function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        open_bar: Callable[[int], Any] | None = None,
    ) -> np.ndarray:
        """Apply a function to the logits of all rows, by the nets that were recorded.

        Parameters
        ----------
        function : callable
            As for `noisyfit.training.map_logits`.
        open_bar : callable, default=None
            As there, for the rows of each net.

        Returns
        -------
        ndarray of shape (n_samples, ...)
            For ``"held_out"`` the logits are out-of-fold: those of the net that left the row out.
        """
        if len(self._nets) == 1:
            return map_logits(self._nets[0], self.rows, function, open_bar)
        judge = np.maximum(self.fold, 0)
        parts = {
            fold: map_logits(net, self.rows.subset(judge == fold), function, open_bar)
            for fold, net in enumerate(self._nets)
            if (judge == fold).any()
        }
        values = np.concatenate(list(parts.values()))
        order = np.concatenate([np.flatnonzero(judge == fold) for fold in parts])
        return values[np.argsort(order)]

    def early_agreement(self, judged: np.ndarray) -> float | None:
        """Return `TrainingDynamics.early_agreement` of records in sample.

        Parameters
        ----------
        judged : ndarray of shape (n_samples,), bool
            Rows whose labels count.

        Returns
        -------
        float or None
            None for ``"held_out"``: out of fold nothing is learned by heart, early or late.
        """
        return None if self.recording == "held_out" else self.dynamics.early_agreement(judged)

    def history(self) -> list[dict[str, Any]]:
        """List the epochs of the net that trains on all rows, or of all nets without one."""
        if self.net is not None:
            return self.net.epoch_history()
        histories = enumerate(net.epoch_history() for net in self._nets)
        return [{"fold": fold, **epoch} for fold, epochs in histories for epoch in epochs]


def deal_folds(
    y: np.ndarray, random_state: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """Deal the rows of each class, or whole groups of rows, to the folds in random order.

    Parameters
    ----------
    y : ndarray of shape (n_samples,), int64
        Encoded labels.
    random_state : numpy.random.Generator
        Generator of the random order.
    groups : ndarray of shape (n_samples,), int64, or None, default=None
        Codes of the groups that are to stay together, from 0 on; None: every row for itself.

    Returns
    -------
    ndarray of shape (n_samples,), int64
        Fold of each row, 0 to 4, or to one less than the groups if they are fewer than five; -1 for
        a row whose class is in no other fold, such as the only one of its class.

    Raises
    ------
    ValueError
        If groups leave no row that can be judged by a net that is trained without its fold.

    Examples
    --------
    >>> import numpy as np
    >>> fold = deal_folds(np.array([0] * 10 + [1] * 5 + [2]), np.random.default_rng(0))
    >>> np.bincount(fold[:10]), np.bincount(fold[10:15]), int(fold[15])
    (array([2, 2, 2, 2, 2]), array([1, 1, 1, 1, 1]), -1)
    >>> deal_folds(np.arange(8) % 2, np.random.default_rng(0), np.arange(8) // 2)
    array([3, 3, 2, 2, 1, 1, 0, 0])
    """
    if groups is None:
        order = np.lexsort((random_state.random(len(y)), y))
        fold = np.empty(len(y), dtype=np.int64)
        fold[order] = np.arange(len(y)) % N_FOLDS
        fold[np.bincount(y)[y] == 1] = -1
        return fold
    fold = _deal_groups(y, random_state, groups)
    in_fold = np.zeros((N_FOLDS, y.max() + 1), dtype=bool)
    in_fold[fold, y] = True
    fold[in_fold.sum(axis=0)[y] == 1] = -1
    if (fold == -1).all():
        n_groups = groups.max() + 1
        found = "a single group" if n_groups == 1 else f"{n_groups} groups, each class in one"
        raise ValueError(
            f"To judge rows out of fold, a class has to be in two groups at least. Got {found}. "
            "Pass finer groups, or let nobody judge: judge_epochs=0 and, if there is one, a "
            "recording other than 'held_out'."
        )
    dealt = fold >= 0
    fold[dealt] = np.unique(fold[dealt], return_inverse=True)[1]
    return fold


def _deal_groups(
    y: np.ndarray, random_state: np.random.Generator, groups: np.ndarray
) -> np.ndarray:
    """Deal groups, the largest first, to where their classes have the smallest part of their rows.

    scikit-learn's `StratifiedGroupKFold` takes half a millisecond a group, minutes if most rows are
    groups of their own, and refuses fewer groups than folds.
    """
    size, class_size = np.bincount(groups), np.bincount(y)
    rows = np.argsort(groups, kind="stable")
    end = np.cumsum(size)
    load, total = np.zeros((N_FOLDS, len(class_size))), np.zeros(N_FOLDS)
    fold = np.empty(len(y), dtype=np.int64)
    for group in np.lexsort((random_state.random(len(size)), -size)):
        own = rows[end[group] - size[group] : end[group]]
        labels = y[own]
        share = (load[:, labels] / class_size[labels]).sum(axis=1)
        chosen = np.lexsort((total, share.round(9)))[0]
        np.add.at(load[chosen], labels, 1)
        total[chosen] += len(own)
        fold[own] = chosen
    return fold
