"""The table of all labels: what a fit found out about each, the most suspicious first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from noisyfit._pipelines import of_last_step
from noisyfit.base import check_fitted_on, import_pandas
from noisyfit.data import encode_labels
from noisyfit.review._identity import row_index

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

    from noisyfit.base import BaseNoisyClassifier


def label_report(est: BaseNoisyClassifier | Pipeline, X: Any, y: Any = None) -> pd.DataFrame:
    """Make a table of what a fit found out about each label, the most suspicious first.

    Parameters
    ----------
    est : fitted noisyfit estimator, or Pipeline that ends with one
        Estimator whose noise scores and predictions the table shows.
    X : array-like, CSR matrix or torch Dataset of shape (n_samples, n_features)
        The rows that `est` was fitted on.
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels
        The labels that `est` was fitted on.

    Returns
    -------
    pandas.DataFrame
        One line for each label; rows without one are left out. The columns are ``row``, its number
        in `X`; ``index``, its place in the index of `y` or `X`, only where that is not the number;
        ``given``, the label itself; ``suggested``, the network's prediction; ``suggested_proba``
        and ``given_proba``, the network's probabilities of the two; ``noise_score``; ``rank``, from
        1 for the highest score; ``kept`` and ``trusted``, whether the row is one of those;
        ``reason``, the score explained in words.

    Raises
    ------
    ValueError
        If `X` and `y` are not what `est` was fitted on.

    Notes
    -----
    Needs pandas. Of an estimator that speaks from an audit (`noisyfit.audit.Audit.apply`) the rows
    that were verified come last, and what was found to be right is suggested for them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.review import label_report
    >>> X, y = (values[:500] for values in load_digits(return_X_y=True))
    >>> given = y.copy()
    >>> given[:50] = (y[:50] + 3) % 10
    >>> est = MILDSelector(max_epochs=10, random_state=0).fit(X, given)
    >>> report = label_report(est, X, given)
    >>> first = report.iloc[0]
    >>> bool(first.given != y[first.row]), bool(first.suggested == y[first.row])
    (True, True)
    """
    pd = import_pandas("A label report")
    est, rows_of_fit = of_last_step(est, X)
    given = check_fitted_on(est, rows_of_fit, y)
    proba = est.predict_proba(rows_of_fit)
    labeled = est.labeled_mask_
    rows, given_code = np.arange(len(given)), np.zeros(len(given), dtype=np.int64)
    given_code[labeled], _ = encode_labels(given[labeled], est.classes_)
    predicted, suggested = proba.argmax(axis=1), est.classes_[proba.argmax(axis=1)]
    audit, trusted = getattr(est, "audit_", None), est.trusted_mask_.copy()
    verified = np.zeros(len(given), dtype=bool)
    if audit is not None:  # whoever has seen a row need not see it again
        known = audit.right_codes >= 0
        suggested[audit.rows[known]] = est.classes_[audit.right_codes[known]]
        verified[audit.rows], trusted[audit.rows[known]] = True, True
    order = np.lexsort((rows, -est.noise_scores_, verified))
    order = order[labeled[order]]
    index = row_index(y, X)  # first that of y, which apply_review compares
    report = pd.DataFrame(
        {
            "row": rows,
            **({} if index is None else {"index": index}),
            "given": given,
            "suggested": suggested,
            "suggested_proba": proba[rows, predicted],
            "given_proba": proba[rows, given_code],
            "noise_score": est.noise_scores_,
            "kept": est.clean_mask_,
            "trusted": trusted,
        }
    ).iloc[order]
    report.insert(report.columns.get_loc("kept"), "rank", np.arange(1, len(report) + 1))
    report["reason"] = [_reason(line, verified[line.row]) for line in report.itertuples()]
    return report.reset_index(drop=True)


def _reason(line: Any, verified: bool) -> str:
    """Explain in words the score of a label, given its line of the report."""
    if verified and not line.trusted:
        return "verified: wrong, and what is right is not known"
    if line.trusted:
        confirmed = not verified or line.given == line.suggested
        return "verified: taken as right" if confirmed else f"verified as {line.suggested}"
    if line.suggested != line.given:
        says = f"the network says {line.suggested} ({line.suggested_proba:.0%})"
        gets = f"the given label {line.given} gets {line.given_proba:.0%}"
        kept = "; not enough to reject it" if line.kept else ""
        return f"{says}, {gets}{kept}".replace("%", " %")
    agrees = f"the network agrees ({line.given_proba:.0%})".replace("%", " %")
    if line.noise_score > 0.5 or not line.kept:
        return f"{agrees}, but learned the label late or never without its own repetition"
    return agrees
