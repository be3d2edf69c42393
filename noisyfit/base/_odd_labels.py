"""Labels that may be slips of the pen: one class written in several ways, or nothing at all."""

from __future__ import annotations

import warnings
from collections import defaultdict

import numpy as np

_N_NAMED = 5


def warn_of_odd_labels(codes: np.ndarray, classes: np.ndarray) -> None:
    """Warn of text labels that differ only in case or white space around, and of blank ones.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), int64
        Encoded labels.
    classes : ndarray of shape (n_classes,)
        The labels that the codes stand for.
    """
    if classes.dtype.kind not in "OUT":
        return
    counts = np.bincount(codes, minlength=len(classes)).tolist()
    alike = defaultdict(list)
    for label, n_rows in zip(classes.tolist(), counts, strict=True):
        rows = f"{n_rows:,} row{'s' if n_rows > 1 else ''}"
        alike[str(label).strip().casefold()].append(f"{label!r} ({rows})")
    blank = alike.pop("", [])
    several = [", ".join(written) for written in alike.values() if len(written) > 1]
    said = []
    if several:
        more = f" and {len(several) - _N_NAMED} more" if len(several) > _N_NAMED else ""
        said.append(
            "Some labels differ only in case or in white space around, and are taken for classes "
            f"of their own: {'; '.join(several[:_N_NAMED])}{more}. If they mean the same, write "
            "them alike before fit: y = pd.Series(y).str.strip().str.lower()."
        )
    if blank:
        said.append(
            f"Some labels are empty, and are taken for a class of their own: {', '.join(blank)}. "
            "If these rows have no label, leave them out."
        )
    if said:
        # Past make_task, fit and scikit-learn's wrapper of it: the line of the user.
        warnings.warn(" ".join(said), UserWarning, stacklevel=5)
