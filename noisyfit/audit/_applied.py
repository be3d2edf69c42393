"""`AppliedAudit`: what a fitted estimator keeps of an audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from noisyfit.audit._intervals import Estimate


class AppliedAudit(NamedTuple):
    """What `Audit.apply` leaves in ``audit_`` of an estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.audit import Audit
    >>> X, y = np.tile(np.eye(2), (20, 1)), np.array(["cat", "dog"] * 20)
    >>> y[:4] = "dog"
    >>> est = MILDSelector(max_epochs=5, judge_epochs=0, random_state=0).fit(X, y)
    >>> right = np.array(["cat", "dog"] * 20)
    >>> Audit(est, y, right, rows=range(40)).apply(est).audit_.noise_rate
    Estimate(value=0.05, low=0.05, high=0.05)
    """

    rows: np.ndarray
    """(n,), int64: the verified rows."""
    right_codes: np.ndarray
    """(n,), int64: their right labels as places in ``classes_``, -1 where these are not known."""
    n_rows: int
    """Rows that could be verified."""
    confidence: float
    """Of the intervals."""
    noise_rate: Estimate
    """Share of wrong labels among the rows that could be verified."""
    precision: Estimate
    """Share of wrong labels among those that are rejected now, verified ones included."""
    recall: Estimate
    """Share of the wrong labels that is rejected now."""

    def sentences(self) -> list[str]:
        """Say what the audit rests on, and what is known of the rejected labels.

        Returns
        -------
        list of str
            Lines of ``summary()``.
        """
        stated = f"{len(self.rows):,} of {self.n_rows:,} labels were verified"
        lines = [
            f"From an audit: {stated}; intervals hold in {100 * self.confidence:g} % of draws."
        ]
        if self.precision.value == self.precision.value:
            lines.append(f"Of the rejected labels {_shares(self.precision)} are wrong.")
        if self.recall.value == self.recall.value:
            lines.append(f"Of the wrong labels {_shares(self.recall)} are rejected.")
        return lines


def _shares(estimate: Estimate) -> str:
    value, low, high = (f"{100 * share:.0f}" for share in estimate)
    return f"{value} % ({low} to {high} %)"
