"""`SliceableDataset`: a torch ``Dataset`` that scikit-learn can take rows of."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from torch.utils.data import Dataset, Subset

from noisyfit.data._dataset_items import dataset_targets
from noisyfit.data._refusals import unwrapped


class SliceableDataset(Subset):
    """A torch ``Dataset`` that scikit-learn can take rows of, for cross-validation and searches.

    Pass it as `X` to ``cross_val_score``, ``cross_val_predict``, ``train_test_split`` or
    ``GridSearchCV.fit``, with its `labels` as `y`. Nothing is read before a row is needed.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Map-style, with items ``(input, label)`` or inputs.
    indices : array-like of shape (n_samples,), int, default=None
        Rows that belong; None: all of them.

    Attributes
    ----------
    dataset : torch.utils.data.Dataset
        The data set, as it was passed.
    indices : ndarray of shape (n_samples,), int
        Rows of `dataset` that belong.

    Raises
    ------
    TypeError, ValueError
        If `dataset` is no map-style data set; the message says what to do.

    See Also
    --------
    noisyfit.model_selection.TrustedFold : Cross-validation that tests on verified labels alone.

    Notes
    -----
    An integer gives an item of the data set. A slice, a list, an array of integers or a mask gives
    a `SliceableDataset` of these rows. It pickles with the data set in it, so that
    ``n_jobs=2`` works where the data set pickles.

    Examples
    --------
    >>> import torch
    >>> from sklearn.model_selection import cross_val_predict
    >>> from torch.utils.data import TensorDataset
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.data import SliceableDataset
    >>> y = torch.arange(60) % 2
    >>> data = SliceableDataset(TensorDataset(torch.stack([y, -y], dim=1).float(), y))
    >>> len(data[:10]), data[[3, 5]].labels, data[1]
    (10, array([1, 1]), (tensor([ 1., -1.]), tensor(1)))
    >>> est = MILDSelector(rounds=1, max_epochs=5, lr=0.1, random_state=0)
    >>> predicted = cross_val_predict(est, data, data.labels, cv=2)
    >>> float((predicted == data.labels).mean())
    1.0
    """

    indices: np.ndarray  # type: ignore[assignment]

    def __init__(self, dataset: Dataset, indices: Any = None) -> None:
        dataset = unwrapped(dataset)
        if not isinstance(dataset, Dataset):
            raise TypeError(
                "dataset must be a torch Dataset. Got "
                f"{type(dataset).__name__} instead; scikit-learn can slice an array by itself."
            )
        rows = range(len(dataset)) if indices is None else indices  # type: ignore[arg-type]
        super().__init__(dataset, np.asarray(rows, dtype=np.intp))  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int]:
        """Number of rows, in a tuple, by which scikit-learn knows what it can index."""
        return (len(self),)

    @cached_property
    def labels(self) -> np.ndarray:
        """Labels of the rows, as `fit` finds them in a data set: (n_samples,). Found once."""
        return dataset_targets(self)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # as scikit-learn asks for rows of what may have more dimensions
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            return self.dataset[int(self.indices[key])]
        if not isinstance(key, slice):
            key = np.asarray(key)
            key = key.astype(np.intp) if key.size == 0 and key.dtype != bool else key
            if key.ndim != 1:
                raise IndexError(
                    f"Rows are chosen by integers, a mask or a slice. Got {key.ndim} dimensions."
                )
        part = type(self)(self.dataset, self.indices[key])
        if "labels" in vars(self):
            vars(part)["labels"] = self.labels[key]
        return part

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Read several rows, as torch's DataLoader asks for them."""
        return [self[i] for i in indices]

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to read all rows at once, which a transformer of scikit-learn asks for."""
        raise TypeError(
            "A SliceableDataset is read row by row and does not become an array, which a "
            "transformer in front of the estimator, or BaggingClassifier, asks for. Transform the "
            "rows in the data set, or pass an array."
        )
