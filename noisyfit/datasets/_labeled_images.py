"""`LabeledImages`, which every reader returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class LabeledImages(NamedTuple):
    """Images with their labels, and what is published about these labels.

    `X`, `X_val` and `X_test` are arrays for small images and `ImageFiles` for photographs. Either
    can be passed to an estimator. Labels are integers from 0 on, in the order of `class_names`.

    Notes
    -----
    Top-5 accuracy, which papers report on WebVision, is
    ``sklearn.metrics.top_k_accuracy_score(y_test, est.predict_proba(X_test), k=5)``.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.datasets import LabeledImages
    >>> images = np.zeros((4, 3, 8, 8), np.uint8)
    >>> data = LabeledImages(
    ...     images, np.array([0, 1, 1, 0]), images[:1], np.array([0]), ("cat", "dog"))
    >>> data.class_names[data.y[1]], data.true_labels is None
    ('dog', True)
    """

    X: Any
    """Training images."""
    y: np.ndarray
    """(n_samples,), int: the given labels of the training images, as noisy as they are."""
    X_test: Any
    """Test images."""
    y_test: np.ndarray
    """(n_test,), int: labels of the test images."""
    class_names: tuple[str, ...]
    """The names of the classes."""
    true_labels: np.ndarray | None = None
    """(n_samples,), int: right labels of the training images; -1 where none is published. None if
    there are none at all."""
    is_right: np.ndarray | None = None
    """(n_samples,), int: 1 where somebody found the given label right, 0 where wrong, and -1 where
    nobody looked. None if nobody looked at any."""
    X_val: Any = None
    """Validation images with checked labels; None if none are published."""
    y_val: np.ndarray | None = None
    """(n_val,), int: labels of the validation images."""
    noise_rate: float | None = None
    """Share of wrong labels among the training images, in [0, 1], as published or counted; None if
    unknown."""
    noise_rate_source: str = ""
    """Where `noise_rate` is from."""
