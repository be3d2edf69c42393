"""Training dynamics: what a network did with each row, epoch by epoch."""

from noisyfit.dynamics._container import TrainingDynamics
from noisyfit.dynamics._cross_fit import CrossFit
from noisyfit.dynamics._recorded_run import N_FOLDS, RecordedRun, deal_folds
from noisyfit.dynamics._recorder import (
    RECORDINGS,
    DynamicsRecorder,
    SelectionQuality,
    given_label_statistics,
    view_to_record,
)

__all__ = [
    "DynamicsRecorder",
    "RecordedRun",
    "SelectionQuality",
    "TrainingDynamics",
    "given_label_statistics",
]
