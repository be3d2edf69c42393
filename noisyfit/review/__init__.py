"""Look at suspicious labels, decide on them, and apply the decisions to the labels."""

from noisyfit.review._debugging import DebuggedLabels, debug_labels
from noisyfit.review._decisions import Review, apply_review
from noisyfit.review._page import review_page
from noisyfit.review._report import label_report

__all__ = [
    "DebuggedLabels",
    "Review",
    "apply_review",
    "debug_labels",
    "label_report",
    "review_page",
]
