"""What became of the labels of each class, as columns and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

_MANY = 1 / 3
"""A class is named if more than this share of its given labels was rejected."""
_N_NAMED = 10
_N_SHOWN = 12
"""Most classes of which all are shown: as many lines as one reads at a glance."""
_WIDTH = 40


def count_by_class(
    given: np.ndarray,
    rejected: np.ndarray,
    corrected: np.ndarray,
    noise_scores: np.ndarray,
    n_classes: int,
) -> dict[str, np.ndarray]:
    """Count given, rejected and corrected labels for each class.

    Parameters
    ----------
    given : ndarray of shape (n_samples,), int64
        Given labels, encoded.
    rejected : ndarray of shape (n_samples,), bool
        Rows whose label was rejected.
    corrected : ndarray of shape (n_samples,), int64
        Labels after correction, encoded.
    noise_scores : ndarray of shape (n_samples,)
        Probability that each given label is wrong.
    n_classes : int
        Number of classes.

    Returns
    -------
    dict of str to ndarray of shape (n_classes,)
        ``given``, the number of rows with that label; ``rejected``, how many of these were;
        ``corrected``, the number of rows with that label after correction; ``share_given`` and
        ``share_corrected``, the same as shares of all rows; ``mean_noise_score`` of the rows with
        that label, NaN where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> counts = count_by_class(np.array([0, 0, 1]), np.array([True, False, False]),
    ...     np.array([1, 0, 1]), np.array([0.9, 0.1, 0.0]), 2)
    >>> [counts[name].tolist() for name in ("given", "rejected", "corrected")]
    [[2, 1], [1, 0], [1, 2]]
    """
    n_given = np.bincount(given, minlength=n_classes)
    n_corrected = np.bincount(corrected, minlength=n_classes)
    total = np.bincount(given, noise_scores, minlength=n_classes)
    return {
        "given": n_given,
        "rejected": np.bincount(given[rejected], minlength=n_classes),
        "corrected": n_corrected,
        "share_given": n_given / len(given),
        "share_corrected": n_corrected / len(given),
        "mean_noise_score": np.divide(
            total, n_given, out=np.full(n_classes, np.nan), where=n_given > 0
        ),
    }


def describe_classes(classes: np.ndarray, counts: Mapping[str, np.ndarray]) -> list[str]:
    r"""Name the classes that lost much, and show all where they are few.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Names of the classes.
    counts : mapping of str to ndarray of shape (n_classes,)
        Result of `count_by_class`.

    Returns
    -------
    list of str
        Lines of text: a table of up to twelve classes; of more than that only the ten that lost
        the largest shares of their labels, each more than a third, and nothing if there are none.

    Examples
    --------
    >>> import numpy as np
    >>> counts = count_by_class(np.array([0, 0, 1]), np.array([True, False, False]),
    ...     np.array([1, 0, 1]), np.array([0.9, 0.1, 0.0]), 2)
    >>> print(*describe_classes(np.array(["cat", "dog"]), counts), sep="\n")
    Labels per class (corrected: as in corrected_labels_):
      class  given  rejected  corrected  mean noise score
      cat        2         1          1              0.50
      dog        1         0          2              0.00
    More than a third of the given labels was rejected of: cat
    """
    names = [f"{name!s:.{_WIDTH}}" for name in classes]
    given, rejected, corrected = (counts[name] for name in ("given", "rejected", "corrected"))
    share = rejected / np.maximum(given, 1)
    lost = [c for c in np.argsort(-share, kind="stable") if share[c] > _MANY]
    of = "More than a third of the given labels was rejected of"
    if len(classes) > _N_SHOWN:
        if not lost:
            return []
        number = f"{len(lost):,} classes" if len(lost) > 1 else "1 class"
        most = f", the worst {_N_NAMED}" if len(lost) > _N_NAMED else ""
        return [f"{of} {number}{most}:"] + [
            f"  {names[c]}: {rejected[c]:,} of {given[c]:,} given labels rejected, "
            f"{corrected[c]:,} after correction"
            for c in lost[:_N_NAMED]
        ]
    table = [["class", "given", "rejected", "corrected", "mean noise score"]]
    for c, name in enumerate(names):
        numbers = (f"{n[c]:,}" for n in (given, rejected, corrected))
        table.append([name, *numbers, f"{counts['mean_noise_score'][c]:.2f}"])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["Labels per class (corrected: as in corrected_labels_):"]
    for name, *cells in table:
        right = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([f"  {name:<{widths[0]}}", *right]))
    return [*lines, f"{of}: {', '.join(names[c] for c in lost)}"] if lost else lines
