"""How a network trains: the engine, its losses, its device and its progress bar."""

from noisyfit.training._class_softmax import class_log_softmax, class_softmax, predicted_class
from noisyfit.training._contrastive import (
    ContrastiveMemory,
    interpolated_contrastive,
    partly_labeled_cross_entropy,
    positive_codes,
)
from noisyfit.training._device import resolve_device, resolve_precision
from noisyfit.training._early_learning import EarlyLearningNet
from noisyfit.training._expected_time import ExpectedTime, Stage
from noisyfit.training._features import LastLayerInputs
from noisyfit.training._loss_thresholds import (
    NO_LABEL,
    LastEpoch,
    SlidingWindow,
    selection_proportion,
    threshold_schedule,
    window_length,
)
from noisyfit.training._losses import (
    class_prior_penalty,
    consistency,
    early_learning_penalty,
    frozen_batch_statistics,
    masked_mean,
    normalize_logits,
    row_weighted,
    sharpen,
    soft_cross_entropy,
    squared_error,
)
from noisyfit.training._mixup import clean_partner, dominant_factor, mixup
from noisyfit.training._net import NoisyNet
from noisyfit.training._param_groups import lr_share
from noisyfit.training._prediction import map_logits, predict_classes, predict_logits
from noisyfit.training._progress import EpochProgress, progress_bar, rows_bar
from noisyfit.training._schedule import SCHEDULES, StageSchedule, StepSchedule, check_schedule
from noisyfit.training._semi_supervised import (
    auto_guessed_weight,
    guess_labels,
    linear_ramp,
    mixmatch_cost,
    mixmatch_loss,
    mixup_factor,
    refine_labels,
    without_unlabeled,
)

__all__ = [
    "EpochProgress",
    "NoisyNet",
    "StepSchedule",
    "class_prior_penalty",
    "clean_partner",
    "consistency",
    "dominant_factor",
    "frozen_batch_statistics",
    "map_logits",
    "masked_mean",
    "mixup",
    "normalize_logits",
    "predict_classes",
    "predict_logits",
    "resolve_device",
    "resolve_precision",
    "row_weighted",
    "sharpen",
    "soft_cross_entropy",
    "squared_error",
]
