"""What a network did with each row's given label over training, and metrics computed from it.

`TrainingDynamics` is a numpy container, filled by `noisyfit.dynamics.DynamicsRecorder`; its methods
are the metrics of the literature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from noisyfit.dynamics._column_file import ColumnFile, StoredColumn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Column = np.ndarray | StoredColumn

QUANTITIES = ("correct", "given_prob", "margin", "loss")
_LARGEST = float(np.finfo(np.float16).max)


class TrainingDynamics:
    """Per-row records of training, one column an epoch.

    Parameters
    ----------
    n_samples : int
        Rows of the data set, trained or not.
    quantities : sequence of {"correct", "given_prob", "margin", "loss"}
        What is recorded. ``"correct"`` costs one bit a row and epoch, the others two bytes.
    folder : str, Path or None, default=None
        Folder for a temporary file with the records, where they are too many for memory. The file
        is deleted with the object. Copies and pickles hold the records in memory, as None does.

    Attributes
    ----------
    n_epochs : int
        Epochs recorded so far.

    Notes
    -----
    A row that was not recorded in an epoch, because a selection had dropped it, is NaN there.
    Values are stored as float16, cut off at plus and minus 65504.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.dynamics import TrainingDynamics
    >>> dynamics = TrainingDynamics(2, ["correct"])
    >>> for correct in ([0, 1], [1, 0], [0, 1]):
    ...     dynamics.append(correct=np.array(correct, dtype=float))
    >>> dynamics.correct
    array([[0., 1., 0.],
           [1., 0., 1.]], dtype=float32)
    >>> dynamics.forgetting_events()
    array([1, 1])
    """

    def __init__(
        self,
        n_samples: int,
        quantities: tuple[str, ...] | list[str] = QUANTITIES,
        folder: str | Path | None = None,
    ) -> None:
        unknown = sorted(set(quantities) - set(QUANTITIES))
        if unknown:
            raise ValueError(f"Unknown quantities {unknown}; choose from {list(QUANTITIES)}.")
        self.n_samples = n_samples
        self.quantities = tuple(quantities)
        self._columns: dict[str, list[Column]] = {name: [] for name in self.quantities}
        self._trained: list[Column | None] = []
        self.folder = folder
        self._file: ColumnFile | None = None

    @property
    def n_epochs(self) -> int:
        """Number of recorded epochs."""
        return len(self._trained)

    @property
    def correct(self) -> np.ndarray:
        """Whether the prediction equalled the given label: (n_samples, n_epochs), 0, 1 or NaN."""
        return self._matrix("correct")

    @property
    def given_prob(self) -> np.ndarray:
        """Softmax probability of the given label: (n_samples, n_epochs), in [0, 1]."""
        return self._matrix("given_prob")

    @property
    def margin(self) -> np.ndarray:
        """Logit of the given label minus the largest other logit: (n_samples, n_epochs)."""
        return self._matrix("margin")

    @property
    def relative_prob(self) -> np.ndarray:
        r"""Probability of the given label if only it and its strongest rival could be right.

        :math:`p_y / (p_y + \max_{c \ne y} p_c)`, the logistic function of the margin:
        (n_samples, n_epochs), in [0, 1]; above one half where the prediction is the given label.
        """
        return expit(self.margin)

    @property
    def loss(self) -> np.ndarray:
        """Cross-entropy of the given label in nats: (n_samples, n_epochs)."""
        return self._matrix("loss")

    def append(self, **values: np.ndarray) -> None:
        """Add one epoch.

        Parameters
        ----------
        **values : ndarray of shape (n_samples,)
            One array for each recorded quantity; NaN marks rows that were not trained.

        Raises
        ------
        ValueError
            If a recorded quantity is missing or an array has another length.
        """
        if set(values) != set(self.quantities):
            raise ValueError(f"Expected the quantities {self.quantities}, got {tuple(values)}.")
        trained = np.ones(self.n_samples, dtype=bool)
        for name, value in values.items():
            if np.shape(value) != (self.n_samples,):
                raise ValueError(
                    f"{name} has shape {np.shape(value)}, expected ({self.n_samples},)."
                )
            trained &= ~np.isnan(value)
        for name, value in values.items():
            if name == "correct":
                column = np.packbits(np.nan_to_num(value).astype(bool))
            else:
                column = np.clip(value, -_LARGEST, _LARGEST).astype(np.float16)
            self._columns[name].append(self._stored(column))
        self._trained.append(None if trained.all() else self._stored(np.packbits(trained)))

    def epochs(self, start: int = 0, stop: int | None = None) -> TrainingDynamics:
        """Return the records of the epochs of a slice, without copying them.

        Parameters
        ----------
        start, stop : int
            First epoch, and the one after the last, as in a slice; None: to the end.

        Returns
        -------
        TrainingDynamics
        """
        part = TrainingDynamics(self.n_samples, self.quantities, self.folder)
        part._columns = {name: column[start:stop] for name, column in self._columns.items()}
        part._trained = self._trained[start:stop]
        return part

    def rows(self, start: int, stop: int) -> TrainingDynamics:
        """Return the records of the rows from ``start`` up to ``stop``.

        Matrices of a few rows at a time fit into memory where those of all rows would not.

        Parameters
        ----------
        start, stop : int
            First row, and the one after the last, at least 0. Beyond the last row there are none.

        Returns
        -------
        TrainingDynamics

        Examples
        --------
        >>> import numpy as np
        >>> dynamics = TrainingDynamics(4, ["loss"])
        >>> dynamics.append(loss=np.arange(4.0))
        >>> dynamics.rows(1, 3).loss.ravel()
        array([1., 2.], dtype=float32)
        """
        start, stop = min(start, self.n_samples), min(stop, self.n_samples)
        part = TrainingDynamics(stop - start, self.quantities)
        for epoch in range(self.n_epochs):
            columns = {q: self._column(q, epoch, start, stop) for q in self.quantities}
            part.append(**columns)
        return part

    def select(self, quantities: tuple[str, ...]) -> TrainingDynamics:
        """Return some of the quantities, without copying them.

        Parameters
        ----------
        quantities : sequence of {"correct", "given_prob", "margin", "loss"}
            Those to return; they must have been recorded.

        Returns
        -------
        TrainingDynamics
        """
        part = TrainingDynamics(self.n_samples, quantities, self.folder)
        for name in quantities:
            self._check_recorded(name)
            part._columns[name] = list(self._columns[name])
        part._trained = list(self._trained)
        return part

    @classmethod
    def combine(cls, parts: Sequence[TrainingDynamics]) -> TrainingDynamics:
        """Merge records of different rows over the same epochs.

        Parameters
        ----------
        parts : sequence of TrainingDynamics
            Records of the same number of rows and epochs and of the same quantities. Where several
            have recorded a row in an epoch, the last one counts.

        Returns
        -------
        TrainingDynamics
        """
        first = parts[0]
        combined = cls(first.n_samples, first.quantities, first.folder)
        for epoch in range(first.n_epochs):
            values = {name: np.full(first.n_samples, np.nan) for name in first.quantities}
            for part in parts:
                recorded = part._trained_mask(epoch)  # noqa: SLF001 - of its own class
                for name, value in values.items():
                    value[recorded] = part._column(name, epoch)[recorded]  # noqa: SLF001
            combined.append(**values)
        return combined

    def extend(self, later: TrainingDynamics) -> None:
        """Add the epochs of a later stage, without copying them.

        Parameters
        ----------
        later : TrainingDynamics
            Records of the same number of rows and of the same quantities.
        """
        for name, columns in self._columns.items():
            columns.extend(later._columns[name])
        self._trained.extend(later._trained)

    def trained_epochs(self) -> np.ndarray:
        """Count the epochs in which each row was trained: (n_samples,), int64."""
        count = np.zeros(self.n_samples, dtype=np.int64)
        for epoch in range(self.n_epochs):
            count += self._trained_mask(epoch)
        return count

    def early_agreement(self, judged: np.ndarray) -> float | None:
        """Return the proportion of labels that the network agreed with in its second epoch.

        By then it has seen each row once, and can hardly have learned a label by heart.

        Parameters
        ----------
        judged : ndarray of shape (n_samples,), bool
            Rows whose labels count.

        Returns
        -------
        float or None
            None if there is no such record.
        """
        if self.n_epochs < 2 or "correct" not in self.quantities:
            return None
        correct = self.epochs(start=1, stop=2).correct[judged]
        return None if np.isnan(correct).all() else float(np.nanmean(correct))

    def mean(self, quantity: str) -> np.ndarray:
        """Average a quantity over the epochs in which each row was trained.

        Parameters
        ----------
        quantity : {"correct", "given_prob", "margin", "loss"}
            What to average. The mean of ``given_prob`` is the confidence of data maps, that of
            ``correct`` their correctness.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            NaN for a row that was never trained.
        """
        total = np.zeros(self.n_samples)
        for epoch in range(self.n_epochs):
            total += np.nan_to_num(self._column(quantity, epoch))
        return _divide(total, self.trained_epochs())

    def aum(self, *, skip_first: bool = False) -> np.ndarray:
        """Compute the area under the margin (Pleiss et al. 2020); **low** means suspicious.

        Parameters
        ----------
        skip_first : bool, default=False
            Whether the first recorded epoch, in which the network has hardly learned anything, is
            left out. The paper's mean is over all epochs; the code of its authors leaves it out.

        Returns
        -------
        ndarray of shape (n_samples,), in logits
            Mean of the margin over the epochs in which the row was trained; NaN without one.

        Raises
        ------
        ValueError
            If margins were not recorded, or the first epoch is the only one.

        Examples
        --------
        >>> import numpy as np
        >>> dynamics = TrainingDynamics(2, ["margin"])
        >>> for margin in ([-4, 1], [2, 3], [4, -1]):
        ...     dynamics.append(margin=np.array(margin, dtype=float))
        >>> dynamics.aum().round(2), dynamics.aum(skip_first=True)
        (array([0.67, 1.  ]), array([3., 1.]))
        """
        if not skip_first:
            return self.mean("margin")
        if self.n_epochs < 2:
            raise ValueError(
                f"skip_first=True needs two epochs or more. Got {self.n_epochs}: without the first "
                "there is none."
            )
        return self.epochs(start=1).mean("margin")

    def confidence(self) -> np.ndarray:
        """Compute the confidence of data maps (Swayamdipta et al. 2020).

        Returns
        -------
        ndarray of shape (n_samples,), in [0, 1]
            Mean probability of the given label; **low** means suspicious.
        """
        return self.mean("given_prob")

    def variability(self) -> np.ndarray:
        """Compute the variability of data maps (Swayamdipta et al. 2020).

        Returns
        -------
        ndarray of shape (n_samples,), in [0, 0.5]
            Standard deviation of the given label's probability over the epochs.
        """
        mean = self.confidence()
        total = np.zeros(self.n_samples)
        for epoch in range(self.n_epochs):
            total += np.nan_to_num((self._column("given_prob", epoch) - mean) ** 2)
        return np.sqrt(_divide(total, self.trained_epochs()))

    def forgetting_events(self) -> np.ndarray:
        """Count how often a row went from correct to wrong (Toneva et al. 2019).

        Returns
        -------
        ndarray of shape (n_samples,), int64
            A row that was never correct gets ``n_epochs``, more than any row that was. In the paper
            such rows count as forgotten infinitely often.
        """
        events = np.zeros(self.n_samples, dtype=np.int64)
        was_correct = np.zeros(self.n_samples, dtype=bool)
        learned = np.zeros(self.n_samples, dtype=bool)
        for epoch in range(self.n_epochs):
            now = self._column("correct", epoch)
            events += was_correct & (now == 0)
            was_correct = np.where(np.isnan(now), was_correct, now == 1)
            learned |= now == 1
        events[~learned] = self.n_epochs
        return events

    def nbytes(self) -> int:
        """Return the size of the records in bytes, in memory or in their file."""
        columns = [c for cs in self._columns.values() for c in cs]
        return sum(c.nbytes for c in columns + [t for t in self._trained if t is not None])

    def _stored(self, column: np.ndarray) -> Column:
        if self.folder is None:
            return column
        if self._file is None:
            self._file = ColumnFile(self.folder)
        return self._file.add(column)

    def __getstate__(self) -> dict[str, Any]:
        columns = {name: [c[:] for c in column] for name, column in self._columns.items()}
        trained = [None if t is None else t[:] for t in self._trained]
        in_memory = {"folder": None, "_file": None, "_columns": columns, "_trained": trained}
        return {**self.__dict__, **in_memory}

    def _trained_mask(self, epoch: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.n_samples if stop is None else stop
        packed = self._trained[epoch]
        if packed is None:
            return np.ones(stop - start, dtype=bool)
        return _unpack(packed, start, stop).astype(bool)

    def _column(self, name: str, epoch: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        self._check_recorded(name)
        stop = self.n_samples if stop is None else stop
        column = self._columns[name][epoch]
        if name == "correct":
            bits = _unpack(column, start, stop).astype(np.float32)
            bits[~self._trained_mask(epoch, start, stop)] = np.nan
            return bits
        return column[start:stop].astype(np.float32)

    def _check_recorded(self, name: str) -> None:
        if name not in self._columns:
            raise ValueError(
                f"{name!r} was not recorded; recorded are {list(self.quantities)}. Name it in the "
                "`record` parameter."
            )

    def _matrix(self, name: str) -> np.ndarray:
        if self.n_epochs == 0:
            return np.empty((self.n_samples, 0), dtype=np.float32)
        return np.stack([self._column(name, epoch) for epoch in range(self.n_epochs)], axis=1)


def _unpack(packed: Column, start: int, stop: int) -> np.ndarray:
    """Read the bits from `start` up to `stop`: (stop - start,), uint8."""
    first = start // 8
    return np.unpackbits(packed[first : -(-stop // 8)])[start - 8 * first : stop - 8 * first]


def _divide(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
