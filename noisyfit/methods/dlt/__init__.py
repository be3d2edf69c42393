"""Dynamic loss thresholds (Yang et al. 2021)."""

from noisyfit.methods.dlt._classifier import DLTClassifier
from noisyfit.training import LastEpoch, SlidingWindow, selection_proportion

__all__ = ["DLTClassifier", "LastEpoch", "SlidingWindow", "selection_proportion"]
