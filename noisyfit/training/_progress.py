"""A progress bar over all epochs of a fit, or lines of a log."""

from __future__ import annotations

import sys
import time
from typing import Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm

_SECONDS, _SHARE = 30.0, 0.1


class EpochProgress(Callback):
    """One progress bar for all stages of a fit, as a skorch callback.

    Where a bar cannot be redrawn, in a log, there are lines instead: one at each stage, and then
    one every 30 seconds or tenth of the epochs, whichever comes first.

    Parameters
    ----------
    total : int
        Largest number of epochs of the whole fit, from which the remaining time is estimated.
    label : str, default="fit"
        Text in front of the bar.
    disable : bool, default=False
        Show nothing.
    leave : bool, default=True
        Whether the bar stays when it is closed.

    Examples
    --------
    >>> from noisyfit.training import EpochProgress
    >>> progress = EpochProgress(total=30, label="round 1", disable=True)
    >>> progress.stage("round 2")
    >>> progress.close()
    """

    def __init__(
        self, total: int, label: str = "fit", disable: bool = False, leave: bool = True
    ) -> None:
        self.total = total
        self.label = label
        self.disable = disable
        self.leave = leave
        # Not in `initialize`: every net of a fit calls that.
        self.bar_ = progress_bar(total, label, "epoch", disable=disable, leave=leave)

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


def progress_bar(total: int, label: str, unit: str, *, disable: bool, leave: bool = True) -> Any:
    """Return a bar of tqdm, or what writes lines where a bar cannot be redrawn.

    Parameters
    ----------
    total : int
        Number of steps.
    label : str
        Text in front.
    unit : str
        What a step is.
    disable : bool
        Show nothing.
    leave : bool, default=True
        Whether the bar stays when it is closed.

    Returns
    -------
    tqdm or an object with what noisyfit uses of it
    """
    kind = tqdm if disable or _can_redraw() else _LogLines
    return kind(total=total, desc=label, unit=unit, disable=disable, leave=leave)


def _can_redraw() -> bool:
    """Whether standard error is a terminal, or the output of a notebook's cell."""
    # That of a notebook is no terminal, and tqdm tells it by this module as well.
    return "ipykernel.zmqshell" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


class _LogLines:
    """Lines of a log, with what noisyfit uses of a tqdm bar."""

    def __init__(self, total: int, desc: str, unit: str, **kwargs: Any) -> None:
        self.total, self.n, self._label, self._unit, self._loss = total, 0, desc, unit, ""
        self._started = time.monotonic()
        self._written, self._written_at = 0, self._started

    def set_postfix(self, loss: str) -> None:
        self._loss = f", loss={loss}"

    def set_description(self, label: str) -> None:
        self._label = label
        self._write()

    def update(self, n: int = 1) -> None:
        self.n += n
        waited = time.monotonic() - self._written_at
        if self.n - self._written >= _SHARE * self.total or waited >= _SECONDS:
            self._write()

    def close(self) -> None:
        if self._written < self.n:
            self._write()

    def _write(self) -> None:
        self._written, self._written_at = self.n, time.monotonic()
        elapsed = tqdm.format_interval(self._written_at - self._started)
        told = f"{self._label}: {self._unit} {self.n}/{self.total}{self._loss}, {elapsed}"
        print(told, file=sys.stderr, flush=True)
