"""What all displays share: colors, the way to a picture, and checks of what is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np

KEPT, REJECTED, LINE = "#1f77b4", "#d62728", "#444444"


class Display:
    """A picture of stored arrays, drawn by `plot`.

    A subclass stores its arrays in ``__init__`` and draws them in ``_draw``. Its other
    constructors, such as ``from_estimator``, make an instance and return what its `plot` returns.
    """

    ax_: Any
    figure_: Any

    def plot(self, ax: Any = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.

        Returns
        -------
        Display
            The instance itself, with ``ax_`` and ``figure_``.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=self._figure_size(), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self._draw(ax)
        return self

    def _figure_size(self) -> tuple[float, float]:
        return 6, 3.5

    def _draw(self, ax: Any) -> None:
        raise NotImplementedError


def draw_histogram(
    ax: Any, values: np.ndarray, groups: dict[str, np.ndarray], **options: Any
) -> Any:
    """Draw the values of each group of rows, stacked; the legend has the size of each group.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw on.
    values : ndarray of shape (n_rows,)
        Value of each row.
    groups : dict of str to ndarray of shape (n_rows,), bool
        Name and rows of one or two groups.
    **options : object
        Passed to ``ax.hist``.

    Returns
    -------
    tuple
        Counts, bin edges and patches, as ``ax.hist`` returns them.
    """
    return ax.hist(
        [values[group] for group in groups.values()],
        stacked=True,
        color=[KEPT, REJECTED][: len(groups)],
        label=[f"{name} ({group.sum():,})" for name, group in groups.items()],
        **options,
    )


def attribute_of(est: Any, name: str, owner: str) -> np.ndarray:
    """Return a fitted attribute that only one class of estimators has.

    Parameters
    ----------
    est : fitted noisyfit estimator
        Estimator to draw.
    name : str
        Name of the attribute.
    owner : str
        Name of the class that has it, for the message.

    Returns
    -------
    ndarray
        The attribute's value.

    Raises
    ------
    TypeError
        If the estimator has no such attribute.
    """
    if not hasattr(est, name):
        raise TypeError(f"est must be a fitted {owner}. Got {type(est).__name__}.")
    return getattr(est, name)
