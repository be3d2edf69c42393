"""One progress bar over all epochs of a fit, whatever stages it has."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm


class EpochProgress(Callback):
    """skorch callback that moves one bar through all stages of a fit.

    Parameters
    ----------
    total : int
        Epochs that the whole fit may take; the bar's remaining time counts on them.
    label : str, default="fit"
        Name in front of the bar.
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
        # Here, not in `initialize`, which every net of a fit calls.
        self.bar_ = tqdm(total=total, desc=label, unit="epoch", disable=disable)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Move on by one epoch."""
        self.bar_.set_postfix(loss=f"{net.history[-1].get('train_loss', float('nan')):.3g}")
        self.bar_.update()

    def skip(self, n_epochs: int) -> None:
        """Move on over epochs that were made before the fit was stopped.

        Parameters
        ----------
        n_epochs : int
        """
        self.bar_.update(n_epochs)

    def stage(self, label: str) -> None:
        """Name the stage that begins.

        Parameters
        ----------
        label : str
        """
        self.bar_.set_description(label)

    def close(self) -> None:
        """Close the bar; epochs that were not needed are no longer waited for."""
        self.bar_.total = self.bar_.n
        self.bar_.close()
