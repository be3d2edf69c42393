"""Look at labels, decide, and take the decisions back."""

from noisyfit.review._debugging import DebuggedLabels, debug_labels
from noisyfit.review._report import Review, apply_review, label_report, review_page

__all__ = [
    "DebuggedLabels",
    "Review",
    "apply_review",
    "debug_labels",
    "label_report",
    "review_page",
]
