"""What all pictures share: colours, axes, and checks of what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

KEPT, REJECTED, LINE = "#1f77b4", "#d62728", "#444444"


class Display:
    """What all displays share: where they draw."""

    def _axes(self, ax: Any, **figure: Any) -> Any:
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(layout="constrained", **figure)
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def as_mask(values: Any, name: str) -> np.ndarray:
    mask = np.asarray(values)
    if mask.dtype != bool or mask.ndim != 1:
        raise ValueError(
            f"{name} must be a boolean mask of one entry a row. Got an array of {mask.dtype} of "
            f"shape {mask.shape}."
        )
    return mask


def attribute_of(est: Any, name: str, owner: str) -> np.ndarray:
    if not hasattr(est, name):
        raise TypeError(f"est must be a fitted {owner}. Got {type(est).__name__}.")
    return getattr(est, name)
