"""Callbacks as users pass them."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback, InputShapeSetter, LRScheduler

_OF_VALIDATION = ("valid_loss", "valid_acc", "valid_loss_best", "valid_acc_best")


def check_callback(item: Any, validates: bool) -> Any:
    """Return a callback, or a pair of name and callback; a class becomes an object.

    Parameters
    ----------
    item : object
        One of ``callbacks``.
    validates : bool
        Whether there are validation rows.

    Returns
    -------
    Callback or tuple of str and Callback

    Raises
    ------
    TypeError
        If it is none, or one that has nothing to do here.
    ValueError
        If it looks at validation rows, and there are none.
    """
    is_pair = isinstance(item, (tuple, list)) and len(item) == 2 and isinstance(item[0], str)
    callback = item[1] if is_pair else item
    made = callback() if isinstance(callback, type) and issubclass(callback, Callback) else callback
    if not isinstance(made, Callback):
        raise TypeError(
            "callbacks must be a list of skorch callbacks, or of pairs of a name and a callback. "
            f"It has {item!r}, which is none: see skorch.callbacks."
        )
    if isinstance(made, InputShapeSetter):
        raise TypeError(
            "InputShapeSetter is not needed: the network is built for the rows of fit. One of your "
            "own that names n_features in its __init__ gets the number of columns."
        )
    monitor = getattr(made, "monitor", None)
    if not validates and isinstance(monitor, str) and monitor in _OF_VALIDATION:
        raise ValueError(
            f"{type(made).__name__} looks at {monitor!r}, for which there have to be rows to "
            "validate on. Set validation_fraction=, or another monitor, such as 'train_loss'."
        )
    return (item[0], made) if is_pair else made


def check_schedule_alone(schedule: Any, callbacks: list[Any]) -> None:
    """Refuse a `schedule` beside a callback that is one.

    Parameters
    ----------
    schedule : object
        The parameter of that name.
    callbacks : list
        What `check_callback` returned.

    Raises
    ------
    ValueError
        If there are two.
    """
    users = [item[1] if isinstance(item, tuple) else item for item in callbacks]
    if schedule != "auto" and any(isinstance(callback, LRScheduler) for callback in users):
        raise ValueError(
            f"schedule={schedule!r} and the LRScheduler among the callbacks both say how the "
            "learning rate goes on. Leave one of them out."
        )
