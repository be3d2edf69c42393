"""Verify a few labels, and know with a stated confidence how many are wrong in all."""

from noisyfit.audit._applied import AppliedAudit
from noisyfit.audit._audit import Audit
from noisyfit.audit._certificate import ReviewLimit
from noisyfit.audit._intervals import Estimate
from noisyfit.audit._population import read_population
from noisyfit.audit._ranking import ReviewCurve
from noisyfit.audit._recalibration import CalibrationError
from noisyfit.audit._sampling import AuditSample, check_sample, sample
from noisyfit.audit._transitions import MatrixEstimate

__all__ = [
    "AppliedAudit",
    "Audit",
    "AuditSample",
    "CalibrationError",
    "Estimate",
    "MatrixEstimate",
    "ReviewCurve",
    "ReviewLimit",
    "sample",
]
