"""Pictures of a fit or an audit, after scikit-learn's Display objects; drawing imports matplotlib.

Each class stores the arrays that it draws, has ``from_estimator`` (``from_audit`` of an audit,
``from_predictions`` where no estimator is needed), and ``plot(ax=None)``, which sets ``ax_`` and
``figure_``.
"""

from noisyfit.display._audit import AuditDisplay
from noisyfit.display._images import SuspiciousImagesDisplay
from noisyfit.display._mild import MixtureDisplay, RoundsDisplay
from noisyfit.display._noise_scores import NoiseScoreDisplay
from noisyfit.display._training import LossThresholdDisplay, TrainingDynamicsDisplay
from noisyfit.display._transition_matrix import TransitionMatrixDisplay

__all__ = [
    "AuditDisplay",
    "LossThresholdDisplay",
    "MixtureDisplay",
    "NoiseScoreDisplay",
    "RoundsDisplay",
    "SuspiciousImagesDisplay",
    "TrainingDynamicsDisplay",
    "TransitionMatrixDisplay",
]
