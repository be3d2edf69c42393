"""Problems with a known answer: wrong labels, rows of no class, and hard rows."""

from noisyfit.noise._hard_samples import hard_samples
from noisyfit.noise._instance_dependent import instance_dependent_noise
from noisyfit.noise._label_noise import (
    CorruptedLabels,
    corrupt_labels,
    noise_generator,
    transition_matrix,
)
from noisyfit.noise._open_set import OpenSetRows, open_set_noise
from noisyfit.noise._semantic import semantic_noise

__all__ = [
    "CorruptedLabels",
    "OpenSetRows",
    "corrupt_labels",
    "hard_samples",
    "instance_dependent_noise",
    "noise_generator",
    "open_set_noise",
    "semantic_noise",
    "transition_matrix",
]
