"""Labels and the first input of a torch ``Dataset``."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset, Subset

from noisyfit._random import seeded
from noisyfit.data._sources import SINGLE_READS


def dataset_targets(dataset: Dataset) -> np.ndarray:
    """Return the labels of a map-style Dataset.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        With an attribute ``targets``, as torchvision's have, or items ``(input, label)``; in the
        latter case every item is read once.

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    if isinstance(dataset, Subset):
        return dataset_targets(dataset.dataset)[np.asarray(dataset.indices)]
    targets = getattr(dataset, "targets", None)
    if targets is not None:
        return np.asarray(targets)
    item = _first_item(dataset)
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        raise ValueError(
            f"{type(dataset).__name__} has neither an attribute 'targets' nor items (input, label);"
            " pass the labels as y."
        )
    with seeded(SINGLE_READS, "cpu"):
        return np.asarray([dataset[i][1] for i in range(len(dataset))])  # type: ignore[arg-type]


def first_input(dataset: Dataset) -> Any:
    """Read the input of the first row."""
    if len(dataset) == 0:  # type: ignore[arg-type]
        raise ValueError("Found a Dataset with 0 samples while a minimum of 1 is required.")
    item = _first_item(dataset)
    return item[0] if isinstance(item, (tuple, list)) else item


def _first_item(dataset: Dataset) -> Any:
    with seeded(SINGLE_READS, "cpu"):
        return dataset[0]
