"""A progress bar over all epochs of a fit."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm


class EpochProgress(Callback):
    """One progress bar for all stages of a fit, as a skorch callback.

    Parameters
    ----------
    total : int
        Largest number of epochs of the whole fit, from which the remaining time is estimated.
    label : str, default="fit"
        Text in front of the bar.
    disable : bool, default=False
        Show nothing.

    Examples
    --------
    >>> from noisyfit.training import EpochProgress
    >>> progress = EpochProgress(total=30, label="round 1", disable=True)
    >>> progress.stage("round 2")
    >>> progress.close()
    """

    def __init__(self, total: int, label: str = "fit", disable: bool = False) -> None:
        self.total = total
        self.label = label
        self.disable = disable
        # Not in `initialize`: every net of a fit calls that.
        self.bar_ = tqdm(total=total, desc=label, unit="epoch", disable=disable)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Advance the bar by one epoch and show the training loss."""
        self.bar_.set_postfix(loss=f"{net.history[-1].get('train_loss', float('nan')):.3g}")
        self.bar_.update()

    def skip(self, n_epochs: int) -> None:
        """Advance the bar by epochs that an interrupted fit has already completed.

        Parameters
        ----------
        n_epochs : int
            Number of these epochs.
        """
        self.bar_.update(n_epochs)

    def stage(self, label: str) -> None:
        """Show the name of the stage that begins.

        Parameters
        ----------
        label : str
            Name of the stage.
        """
        self.bar_.set_description(label)

    def close(self) -> None:
        """Close the bar as complete, even if the fit needed fewer epochs than expected."""
        self.bar_.total = self.bar_.n
        self.bar_.close()
