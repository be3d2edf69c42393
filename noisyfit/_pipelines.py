"""A scikit-learn `Pipeline` in the place of the estimator that it ends with."""

from __future__ import annotations

from copy import copy
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def of_last_step(est: Any, X: Any) -> tuple[Any, Any]:
    """Return whom to ask, and the rows that this one was fitted on.

    Parameters
    ----------
    est : fitted estimator or Pipeline
        Of a pipeline, the last step is asked.
    X : object
        What `est` was fitted on; None, if only the estimator is wanted.

    Returns
    -------
    tuple of an estimator and its rows
        Of a pipeline, the last step and what the others make of `X`.

    Raises
    ------
    NotFittedError
        If `est` is a pipeline that is not fitted.
    """
    if not isinstance(est, Pipeline):
        return est, X
    check_is_fitted(est[-1])
    return est[-1], X if X is None or len(est) == 1 else est[:-1].transform(X)


def with_last_step(est: Any, last: Any) -> Any:
    """Return a copy of a pipeline with another last step; of anything else, the step.

    Parameters
    ----------
    est : estimator or Pipeline
        Left as it is; a copy has the same other steps, not copies of them.
    last : estimator
        To end with.

    Returns
    -------
    estimator or Pipeline
    """
    if not isinstance(est, Pipeline):
        return last
    made = copy(est)
    made.steps = [*est.steps[:-1], (est.steps[-1][0], last)]
    return made
