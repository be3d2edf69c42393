"""From raw scores to probabilities, noise rates, transition matrices and the length of a review."""

from noisyfit.label_quality._calibration import (
    break_ties,
    calibrate,
    calibrate_judged,
    moved_to,
    normal_scores,
    with_length,
)
from noisyfit.label_quality._class_counts import count_by_class
from noisyfit.label_quality._doubts import doubts_about
from noisyfit.label_quality._held_out import (
    HeldOutNoiseRate,
    held_out_noise_rate,
    trust_in_gap,
    with_loss_gap,
)
from noisyfit.label_quality._noise_rate import (
    NoiseRateEstimate,
    estimate_noise_rate,
    loss_gap_noise_rate,
)
from noisyfit.label_quality._planted import planted_length
from noisyfit.label_quality._rate_estimates import margins, unpredicted_classes
from noisyfit.label_quality._review_length import expected_errors_found, review_length
from noisyfit.label_quality._selection import MIN_SHARE_OF_CLASS, spare_last_rows
from noisyfit.label_quality._summary import summarize
from noisyfit.label_quality._transition_matrix import (
    estimate_transition_matrix,
    frequent_confusions,
)
from noisyfit.label_quality._votes import VotedLabels, aggregate_votes

__all__ = [
    "HeldOutNoiseRate",
    "NoiseRateEstimate",
    "VotedLabels",
    "aggregate_votes",
    "break_ties",
    "calibrate",
    "estimate_noise_rate",
    "estimate_transition_matrix",
    "expected_errors_found",
    "held_out_noise_rate",
    "loss_gap_noise_rate",
    "review_length",
    "summarize",
]
