"""`DynamicsLSTM`: a network that tells wrong labels by how their probability developed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback

from noisyfit._detector_file import read_detector, write_detector
from noisyfit._seeding import seeded, spawn_streams
from noisyfit.data import Rows, TensorSource
from noisyfit.engine import NoisyNet, resolve_device
from noisyfit.metrics import auroc, average_precision
from noisyfit.modules import SequenceLSTM
from noisyfit.sequences import as_sequences, resample

_HELD_OUT = 0.1
_LEAST_STD = 1e-3
_BATCH_OF_PREDICTION = 8192


class DynamicsLSTM:
    """LSTM that reads the training dynamics of a label and says whether it is wrong.

    For each row it gets one sequence: the probability that a network gave to the row's label in
    each epoch of training. It is trained on sequences of labels that are known to be right or
    wrong, and transfers to other data sets and networks [1]_.

    Parameters
    ----------
    max_epochs : int, default=10
        Epochs of training; the one with the best AUROC on held-out sequences is kept.
    lr : float, default=0.01
        Learning rate of AdamW. The published 0.1 ends, for some seeds, in a detector that gives
        the same answer to every sequence.
    batch_size : int, default=64
    recording : {"training", "evaluation", "held_out"}, default="training"
        How the sequences were recorded, see `noisyfit.recorder.DynamicsRecorder`. Only kept, and
        written to files: sequences to be judged should be recorded in the same way.
    device : str or torch.device, default="auto"
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    training_length_ : int
        Length to which all sequences are stretched or shrunk.
    held_out_ : dict
        ``"auroc"`` and ``"average_precision"`` on the held-out tenth, of the epoch that was kept.
    data_sets_ : list of str
        Names of what it was trained on, as told to `fit`.

    Notes
    -----
    Two layers of 64 units, 50,562 parameters. A plain class without ``get_params``, so that it
    passes through scikit-learn's ``clone`` as a parameter, weights and all.

    *What is done differently from the published code*. The learning rate; the epoch is chosen by
    AUROC, not by accuracy, which a constant answer fulfils where errors are few; the held-out tenth
    is stratified; sequences of another length are resampled linearly, where the code lets the LSTM
    run for longer or shorter than it was trained to.

    References
    ----------
    .. [1] Jia et al., "Learning from Training Dynamics: Identifying Mislabeled Data Beyond Manually
       Designed Features", AAAI 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.detector import DynamicsLSTM
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
        lr: float = 0.01,
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
        self, sequences: ArrayLike, is_noisy: ArrayLike, *, data_sets: Sequence[str] = ()
    ) -> DynamicsLSTM:
        """Train from scratch.

        Parameters
        ----------
        sequences : array-like of shape (n_samples, n_epochs)
            Probability of the given label in each epoch, in [0, 1]; NaN where none was recorded.
        is_noisy : array-like of shape (n_samples,), bool
            Whether each label is wrong.
        data_sets : sequence of str, default=()
            What the sequences come from; kept with the detector.

        Returns
        -------
        DynamicsLSTM

        Raises
        ------
        ValueError
            For sequences or marks that cannot be used.
        RuntimeError
            If every epoch ends with the same verdict on all sequences.
        """
        sequences, marks = as_sequences(sequences), _check_marks(is_noisy, len(sequences))
        streams = spawn_streams(self.random_state)
        with seeded(streams.init, "cpu"):
            module = SequenceLSTM()
        self.training_length_ = sequences.shape[1]
        self.data_sets_ = list(data_sets)
        self._train(module, sequences, marks, self.max_epochs)
        return self

    def fine_tune(
        self, sequences: ArrayLike, is_noisy: ArrayLike, *, max_epochs: int | None = None
    ) -> DynamicsLSTM:
        """Return a copy that is trained further, with a fresh optimizer.

        Parameters
        ----------
        sequences : array-like of shape (n_samples, n_epochs)
            Of any length: they are resampled to ``training_length_``.
        is_noisy : array-like of shape (n_samples,), bool
        max_epochs : int or None, default=None
            None: as many as in `fit`.

        Returns
        -------
        DynamicsLSTM
        """
        self._check_fitted()
        tuned = copy.deepcopy(self)
        values = resample(as_sequences(sequences), self.training_length_)
        marks = _check_marks(is_noisy, len(values))
        tuned._train(tuned.module_, values, marks, max_epochs or self.max_epochs)
        return tuned

    def predict_proba(self, sequences: ArrayLike) -> np.ndarray:
        """Probability that each label is wrong.

        Parameters
        ----------
        sequences : array-like of shape (n_samples, n_epochs)
            Probability of the given label in each epoch, in [0, 1], of any length; NaN where none
            was recorded.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            In [0, 1]; each row's is independent of the others.
        """
        self._check_fitted()
        values = resample(as_sequences(sequences), self.training_length_)
        device = resolve_device(self.device)
        module = self.module_.to(device).eval()
        parts = []
        with torch.inference_mode():
            for part in torch.from_numpy(values).split(_BATCH_OF_PREDICTION):
                parts.append(module(part.unsqueeze(2).to(device)).float().cpu())
        self.module_.cpu()
        logits = torch.cat(parts).numpy().astype(np.float64) if parts else np.empty((0, 2))
        return softmax(logits, axis=1)[:, 1]

    def save(self, path: str | Path) -> None:
        """Write weights and header to a file of safetensors; nothing in it can run code.

        Parameters
        ----------
        path : str or Path
        """
        self._check_fitted()
        header = {
            "training_length": self.training_length_,
            "recording": self.recording,
            "data_sets": self.data_sets_,
            "held_out": self.held_out_,
        }
        write_detector(path, self.module_.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "auto") -> DynamicsLSTM:
        """Read a detector from a file that `save` wrote.

        Parameters
        ----------
        path : str or Path
        device : str or torch.device, default="auto"

        Returns
        -------
        DynamicsLSTM

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
        detector.data_sets_, detector.held_out_ = header["data_sets"], header["held_out"]
        return detector

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise RuntimeError("This DynamicsLSTM is not trained yet; call fit or load first.")

    def _train(
        self, module: SequenceLSTM, sequences: np.ndarray, marks: np.ndarray, max_epochs: int
    ) -> None:
        streams, device = spawn_streams(self.random_state), resolve_device(self.device)
        seed = int(streams.split.integers(2**31))
        train, held_out = train_test_split(
            np.arange(len(marks)), test_size=_HELD_OUT, stratify=marks, random_state=seed
        )
        best = _BestEpoch(_rows(sequences[held_out], marks[held_out], device), marks[held_out])
        with seeded(streams.training, device):
            net = NoisyNet(
                module,
                optimizer=torch.optim.AdamW,
                lr=self.lr,
                batch_size=self.batch_size,
                max_epochs=max_epochs,
                device=device,
                iterator_train__shuffle=True,
                iterator_train__generator=streams.shuffle,
                callbacks=[best],
            ).initialize()
            net.partial_fit(_rows(sequences[train], marks[train], device), None)
        if best.state is None:
            raise RuntimeError(
                f"Training collapsed: after each of {max_epochs} epochs the detector gave the same "
                f"verdict on all held-out sequences. Train for longer, or lower lr (now {self.lr})."
            )
        net.module_.load_state_dict(best.state)
        self.module_ = net.module_.cpu().eval()
        self.held_out_ = best.figures


class _BestEpoch(Callback):
    """Keeps the weights of the epoch that ranks held-out sequences best."""

    def __init__(self, rows: Rows, marks: np.ndarray) -> None:
        self.rows, self.marks = rows, marks
        self.state: dict[str, torch.Tensor] | None = None
        self.figures: dict[str, Any] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        p = softmax(net.logits(self.rows).astype(np.float64), axis=1)[:, 1]
        score = auroc(self.marks, p)
        net.history.record("held_out_auroc", score)
        judges = p.std() > _LEAST_STD and p.min() < 0.5 < p.max()
        if judges and score > self.figures.get("auroc", -1):
            self.figures = {"auroc": score, "average_precision": average_precision(self.marks, p)}
            self.state = {k: v.detach().clone() for k, v in net.module_.state_dict().items()}


def _rows(sequences: np.ndarray, marks: np.ndarray, device: torch.device) -> Rows:
    labels = torch.from_numpy(marks.astype(np.int64))
    return Rows(TensorSource(sequences[:, :, None], device), labels)


def _check_marks(is_noisy: ArrayLike, n_samples: int) -> np.ndarray:
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
