"""What some of skorch's callbacks expect, where noisyfit trains in stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skorch.callbacks import EarlyStopping, PrintLog
from skorch.history import History

if TYPE_CHECKING:
    from skorch import NeuralNet
    from skorch.callbacks import Callback


def asks_to_stop(callback: Callback) -> bool:
    """Tell the interrupt by which skorch's callback ends the training from a user's.

    Parameters
    ----------
    callback : Callback
        The one that has raised `KeyboardInterrupt`.

    Returns
    -------
    bool
    """
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


def log_numbers_only(callback: Callback) -> None:
    """Keep the name of the stage from callbacks that log the history elsewhere, as numbers.

    Parameters
    ----------
    callback : Callback
        Any one, initialized; those that log have a set of names that they leave out.
    """
    ignored = getattr(callback, "keys_ignored_", None)
    if isinstance(ignored, set) and not isinstance(callback, PrintLog):
        ignored.add("stage")


def weights_file(net: NeuralNet, checkpoint: Any) -> Any:
    """Return the file with the weights of a skorch checkpoint.

    Parameters
    ----------
    net : NeuralNet
        The net that is to load them.
    checkpoint : skorch.callbacks.Checkpoint
        Writes the files, or has written them in another training.

    Returns
    -------
    str, file or None
    """
    kept = net.history
    if checkpoint.f_history is not None:  # the names of the files may tell its last epoch
        net.history_ = History.from_file(checkpoint.f_history_)
    try:
        return checkpoint.get_formatted_files(net)["f_params"]
    finally:
        net.history_ = kept
