"""What a method gets to work on, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from noisyfit._random import RandomStreams
from noisyfit.data import Rows, Scaler, TableScaler
from noisyfit.dynamics import TrainingDynamics
from noisyfit.persistence import FitCheckpoint
from noisyfit.training import NoisyNet


@dataclass(frozen=True)
class FitTask:
    """What a method gets to work on."""

    rows: Rows
    y: np.ndarray
    """Given labels, encoded as 0 to n_classes - 1: (n_samples,), int64."""
    trusted: np.ndarray
    """Rows whose label was verified: (n_samples,), bool."""
    streams: RandomStreams
    classes: np.ndarray
    """The labels that the codes stand for: (n_classes,)."""
    scaler: Scaler | None
    """What brings the inputs to a common scale."""
    has_trusted: bool = False
    """Whether `fit` was given trusted rows, were it an empty mask."""
    checkpoint: FitCheckpoint | None = None
    """Where the fit is kept while it runs, to go on with it later."""

    @property
    def is_table(self) -> bool:
        """Whether the rows are vectors that were brought to a common scale."""
        return isinstance(self.scaler, TableScaler)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def device(self) -> torch.device:
        """Where to train."""
        return self.rows.source.device


class FitResult(NamedTuple):
    """What a method returns; `BaseNoisyClassifier.fit` checks it and sets the attributes."""

    net: NoisyNet
    noise_scores: np.ndarray
    clean_mask: np.ndarray
    noise_rate: float
    dynamics: TrainingDynamics | None
    history: list[dict[str, Any]]
    attributes: dict[str, Any]
    """The method's own fitted attributes by name."""
    predicted: np.ndarray | None = None
    """Codes of the classes that `net` predicts for all rows; None: `fit` computes them."""
