"""`DynamicsLSTM`: a network that finds wrong labels by how their probability developed."""

from __future__ import annotations

import copy
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from noisyfit._random import seeded, spawn_streams
from noisyfit.dynamics import RECORDINGS, TrainingDynamics
from noisyfit.methods.dynamics_lstm._detector_file import read_detector, write_detector
from noisyfit.methods.dynamics_lstm._detector_training import train_detector
from noisyfit.methods.dynamics_lstm._sequences import as_sequences, resample
from noisyfit.modules import SequenceLSTM
from noisyfit.training import resolve_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

ANY_RECORDING = "any"
_PRETRAINED = "pretrained/dynamics_lstm.safetensors"
_BATCH_OF_PREDICTION = 512  # the states of so many sequences fit into a processor's cache
_BATCH_ON_DEVICE = 65536


class DynamicsLSTM:
    """LSTM that reads the training dynamics of a label and predicts whether it is wrong.

    Its input for each row is one sequence: the probability that a network gave to the row's label
    in each epoch of training. It is trained on sequences of labels that are known to be right or
    wrong, and transfers to other data sets and networks [1]_.

    Parameters
    ----------
    max_epochs : int, default=10
        Number of epochs of training. The weights of the epoch with the best AUROC on held-out
        sequences are kept.
    lr : float, default=0.003
        Learning rate of AdamW at the start. It falls to zero along a cosine. With the published
        0.1, training ends for some seeds in a detector that gives every sequence the same
        probability.
    batch_size : int, default=64
        Number of sequences of a batch.
    recording : str, default="training"
        How the sequences were recorded: ``"training"``, ``"evaluation"``,
        ``"evaluation_augmented"`` or ``"held_out"``, as `noisyfit.dynamics.DynamicsRecorder` does,
        or ``"any"`` for a mixture. It changes nothing in training and prediction, but is kept and
        written to files: the detector should be used on sequences that were recorded in the same
        way.
    device : str or torch.device, default="auto"
        Device for training and prediction; ``"auto"`` is CUDA if it is available.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights, the held-out tenth and the order of the sequences.

    Attributes
    ----------
    training_length_ : int
        Length to which all sequences are resampled.
    noise_rate_ : float
        Proportion of wrong labels in the last training data: the prior of its probabilities.
    held_out_ : dict
        ``"auroc"`` and ``"average_precision"`` of the epoch that was kept on the held-out tenth;
        with groups, their mean over the groups.
    data_sets_ : list of str
        Names of the training data sets, as given to `fit`.

    Notes
    -----
    The network has two layers of 64 units and 50,562 parameters. The class has no ``get_params``,
    so that scikit-learn's ``clone`` copies a detector that is a parameter together with its
    weights.

    *Differences from the published code*. The learning rate and its schedule differ, and
    fine-tuning takes a tenth of that rate, which forgets less. The epoch is chosen by AUROC instead
    of accuracy, which a constant prediction makes high if there are few wrong labels. The held-out
    tenth is stratified. Sequences of another length are resampled linearly, whereas the published
    code lets the LSTM run for more or fewer steps than in training.

    *Several runs* (not in the paper). The same sequence means different things in a hard data set
    and in an easy one, and a detector that learns from both at once learns to tell the data sets
    apart. With ``groups``, the log-odds of each run have their own scale and offset in training, so
    that the detector learns only the order within runs. After training, a logistic regression
    finds one scale and offset for all runs.

    References
    ----------
    .. [1] Jia et al., "Learning from Training Dynamics: Identifying Mislabeled Data Beyond Manually
       Designed Features", AAAI 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit import DynamicsLSTM
    >>> rng = np.random.default_rng(0)
    >>> is_noisy = np.arange(400) < 100
    >>> start = np.where(is_noisy, 12, 3)[:, None] + rng.normal(size=(400, 1))
    >>> sequences = 1 / (1 + np.exp(start - np.arange(20)))
    >>> detector = DynamicsLSTM(random_state=0).fit(sequences, is_noisy)
    >>> p = detector.predict_proba(sequences[:, ::2])
    >>> bool(p[is_noisy].min() > p[~is_noisy].max())
    True
    """

    def __init__(
        self,
        *,
        max_epochs: int = 10,
        lr: float = 0.003,
        batch_size: int = 64,
        recording: str = "training",
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.recording = recording
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        sequences: ArrayLike,
        is_noisy: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        data_sets: Sequence[str] = (),
    ) -> DynamicsLSTM:
        """Train the detector from scratch.

        Parameters
        ----------
        sequences : array-like of shape (n_samples, n_epochs)
            Probability of the given label in each epoch, in [0, 1]; NaN where none was recorded.
        is_noisy : array-like of shape (n_samples,), bool
            Whether each label is wrong.
        groups : array-like of shape (n_samples,), default=None
            Training run that each sequence comes from, if there are several; see the Notes of the
            class.
        data_sets : sequence of str, default=()
            Names of the data sets that the sequences come from; they are kept with the detector.

        Returns
        -------
        DynamicsLSTM
            The detector itself.

        Raises
        ------
        ValueError
            If the sequences or marks cannot be used.
        RuntimeError
            If no epoch ranks the held-out sequences better than chance.
        """
        if self.recording not in (*RECORDINGS, ANY_RECORDING):
            raise ValueError(
                f"recording must be one of {(*RECORDINGS, ANY_RECORDING)}. Got {self.recording!r}."
            )
        if isinstance(data_sets, str):
            raise ValueError(f"data_sets must be a list of names. Got {data_sets!r}.")
        values = as_sequences(sequences)
        marks = check_marks(is_noisy, len(values))
        codes = None if groups is None else _check_groups(groups, len(values))
        streams = spawn_streams(self.random_state)
        with seeded(streams.init, "cpu"):
            module = SequenceLSTM()
        self._train(module, values, marks, self.max_epochs, self.lr, codes)
        self.training_length_ = values.shape[1]
        self.data_sets_ = list(data_sets)
        return self

    def fine_tune(
        self, sequences: ArrayLike, is_noisy: ArrayLike, *, max_epochs: int | None = None
    ) -> DynamicsLSTM:
        """Return a copy that is trained further, at a tenth of the learning rate.

        Parameters
        ----------
        sequences : array-like of shape (n_samples, n_epochs)
            Sequences of any length, which are resampled to ``training_length_``.
        is_noisy : array-like of shape (n_samples,), bool
            Whether each label is wrong.
        max_epochs : int or None, default=None
            Number of epochs. None: as many as in `fit`.

        Returns
        -------
        DynamicsLSTM
            The copy; the detector itself does not change.
        """
        self.check_fitted()
        tuned = copy.deepcopy(self)
        values = resample(as_sequences(sequences), self.training_length_)
        marks = check_marks(is_noisy, len(values))
        epochs = self.max_epochs if max_epochs is None else max_epochs
        tuned._train(tuned.module_, values, marks, epochs, self.lr / 10)  # noqa: SLF001 - a copy of itself
        return tuned

    def predict_proba(self, sequences: ArrayLike | TrainingDynamics) -> np.ndarray:
        """Predict the probability that each label is wrong.

        Parameters
        ----------
        sequences : array-like of shape (n_samples, n_epochs), or TrainingDynamics
            Probability of the given label in each epoch, in [0, 1], of any length; NaN where none
            was recorded. Of TrainingDynamics, ``relative_prob`` is read, a few rows at a time.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Probabilities in [0, 1]. The probability of a row does not depend on the other rows.
        """
        self.check_fitted()
        device, length = resolve_device(self.device), self.training_length_
        module = self.module_.to(device).eval()
        size = _BATCH_OF_PREDICTION if device.type == "cpu" else _BATCH_ON_DEVICE
        p = [np.empty(0)]
        with torch.inference_mode():
            for values in _batches(sequences, size):
                x = torch.from_numpy(resample(values, length)).unsqueeze(2).to(device)
                p.append(module(x).double().softmax(1)[:, 1].cpu().numpy())
        self.module_.cpu()
        return np.concatenate(p)

    def __getstate__(self) -> dict[str, Any]:
        # As arrays, which every way of storing estimators takes.
        state = self.__dict__.copy()
        if "module_" in state:
            weights = state["module_"].state_dict()
            state["module_"] = {name: t.cpu().numpy() for name, t in weights.items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        weights = state.get("module_")
        if isinstance(weights, dict):
            self.module_ = SequenceLSTM()
            self.module_.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})

    def save(self, path: str | Path) -> None:
        """Write the detector to a file of safetensors, which cannot run code when it is read.

        Parameters
        ----------
        path : str or Path
            The file to write. A file of noisyfit that is there is replaced.

        Raises
        ------
        FileExistsError
            If there is a file of something else, which is left as it is.
        """
        self.check_fitted()
        header = {
            "training_length": self.training_length_,
            "recording": self.recording,
            "data_sets": self.data_sets_,
            "held_out": self.held_out_,
            "noise_rate": self.noise_rate_,
        }
        write_detector(path, self.module_.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "auto") -> DynamicsLSTM:
        """Read a detector from a file that `save` wrote.

        The file does not hold the settings of training, such as `lr`; they have their defaults.

        Parameters
        ----------
        path : str or Path
            The file to read.
        device : str or torch.device, default="auto"
            Device for predictions and further training.

        Returns
        -------
        DynamicsLSTM
            The detector.

        Raises
        ------
        ValueError
            If the file is corrupt, holds something else, or comes from a later version.
        """
        module = SequenceLSTM()
        header = read_detector(path, module)
        detector = cls(recording=header["recording"], device=device)
        detector.module_ = module
        detector.training_length_ = header["training_length"]
        detector.noise_rate_ = header["noise_rate"]
        detector.data_sets_, detector.held_out_ = header["data_sets"], header["held_out"]
        return detector

    @classmethod
    def pretrained(cls, *, device: str | torch.device = "auto") -> DynamicsLSTM:
        """Read the detector that comes with noisyfit; ``docs/detector_card.md`` describes it.

        Use it to rank labels. Its probabilities are those of an average data set; on an easy one
        they are too cautious.

        Parameters
        ----------
        device : str or torch.device, default="auto"
            Device for predictions and further training.

        Returns
        -------
        DynamicsLSTM
            The detector.

        Examples
        --------
        Probabilities of the given label that any training loop has logged, one column an epoch:

        >>> import numpy as np
        >>> from noisyfit import DynamicsLSTM
        >>> learned_early = 1 - 0.9 ** np.arange(1, 31)
        >>> learned_late = np.r_[np.full(20, 0.05), np.linspace(0.05, 0.9, 10)]
        >>> p = DynamicsLSTM.pretrained().predict_proba([learned_early, learned_late])
        >>> bool(p[0] < p[1])
        True
        """
        with as_file(files(__package__) / _PRETRAINED) as path:
            return cls.load(path, device=device)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def check_fitted(self) -> None:
        """Raise RuntimeError if there is no trained network."""
        if not self.__sklearn_is_fitted__():
            raise RuntimeError("This DynamicsLSTM is not trained yet; call fit or load first.")

    def _train(
        self,
        module: SequenceLSTM,
        sequences: np.ndarray,
        marks: np.ndarray,
        max_epochs: int,
        lr: float,
        groups: np.ndarray | None = None,
    ) -> None:
        self.module_, self.held_out_ = train_detector(
            module,
            sequences,
            marks,
            groups,
            max_epochs=max_epochs,
            lr=lr,
            batch_size=self.batch_size,
            device=resolve_device(self.device),
            streams=spawn_streams(self.random_state),
        )
        self.noise_rate_ = float(marks.mean())


def _batches(sequences: ArrayLike | TrainingDynamics, size: int) -> Iterator[np.ndarray]:
    """Check sequences batch by batch, so that there is never a second copy of all of them."""
    blocks: Iterable[tuple[int, np.ndarray]]
    if isinstance(sequences, TrainingDynamics):
        starts = range(0, sequences.n_samples, _BATCH_ON_DEVICE)
        blocks = ((i, sequences.rows(i, i + _BATCH_ON_DEVICE).relative_prob) for i in starts)
    else:
        blocks = [(0, np.asarray(sequences))]
    for first, block in blocks:
        if block.ndim != 2 or not len(block):
            as_sequences(block)  # raises for a wrong shape
            continue
        for start in range(0, len(block), size):
            yield as_sequences(block[start : start + size], first + start)


def _check_groups(groups: ArrayLike, n_samples: int) -> np.ndarray:
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    if codes.shape != (n_samples,):
        raise ValueError(
            f"groups must hold one entry for each of {n_samples} sequences. Got an array of shape "
            f"{np.shape(groups)}."
        )
    return codes.astype(np.int64)


def check_marks(is_noisy: ArrayLike, n_samples: int) -> np.ndarray:
    """Check marks of wrong labels and return them as booleans.

    Parameters
    ----------
    is_noisy : array-like of shape (n_samples,), bool
        Whether each label is wrong.
    n_samples : int
        Number of sequences.

    Returns
    -------
    ndarray of shape (n_samples,), bool
        The marks.

    Raises
    ------
    ValueError
        If there are other values than 0 and 1, another number of marks, or fewer than 20 of either
        kind.

    Examples
    --------
    >>> from noisyfit.methods.dynamics_lstm._detector import check_marks
    >>> check_marks([0, 1] * 30, 60)[:4]
    array([False,  True, False,  True])
    """
    marks = np.asarray(is_noisy)
    if marks.shape != (n_samples,) or not np.isin(marks, (0, 1)).all():
        raise ValueError(
            f"is_noisy must hold one mark, True or False, for each of {n_samples} sequences. Got "
            f"an array of {marks.dtype} of shape {marks.shape}."
        )
    marks = marks.astype(bool)
    fewest = min(marks.sum(), (~marks).sum())
    if fewest < 20:
        raise ValueError(
            "A detector needs at least 20 sequences of right and 20 of wrong labels. Got "
            f"{(~marks).sum()} and {marks.sum()}."
        )
    return marks
