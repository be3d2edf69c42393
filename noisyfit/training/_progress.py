"""A progress bar over all epochs of a fit, or lines of a log."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm

from noisyfit._ranks import leads
from noisyfit.data import batch_sizes
from noisyfit.training._expected_time import WORTH_SAYING, ExpectedTime, in_words

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS, _SHARE = 30.0, 0.1
_NO_MATTER = 3.0
"""Seconds of reading up to which nothing is said of it."""


class EpochProgress(Callback):
    """One progress bar for all stages of a fit, as a skorch callback.

    Where a bar cannot be redrawn, in a log, there are lines instead: one at each stage, and then
    one every 30 seconds or tenth of the epochs, whichever comes first. Both say how much time is
    left of the fit, and a line from the first batches how much it takes; nothing of this where it
    is less than 10 seconds.

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
    expected : object or None, default=None
        Time of the whole fit, which several bars share; None: the bar is all of it.

    Examples
    --------
    >>> from noisyfit.training import EpochProgress
    >>> progress = EpochProgress(total=30, label="round 1", disable=True)
    >>> progress.stage("round 2")
    >>> progress.close()
    """

    def __init__(
        self,
        total: int,
        label: str = "fit",
        disable: bool = False,
        leave: bool = True,
        expected: ExpectedTime | None = None,
    ) -> None:
        self.total = total
        self.label = label
        self.disable = disable
        self.leave = leave
        self.expected = expected
        # Not in `initialize`: every net of a fit calls that.
        self.bar_ = progress_bar(total, label, "epoch", disable=disable, leave=leave)
        self._expected = ExpectedTime(label) if expected is None else expected
        self._loss: dict[str, str] = {}
        self._in_stage = False
        self._listen()

    def _begin(self, label: str) -> None:
        self._in_stage = True
        self._expected.begin(label, self.total - self.bar_.n)
        self._listen()

    def _listen(self) -> None:
        """Listen to batches as long as they are timed; skorch's own hook is never called."""
        if self._expected.is_timing and not self.disable:
            vars(self).pop("on_batch_end", None)
        else:
            vars(self)["on_batch_end"] = super().on_batch_end

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Count the batches of the epoch."""
        if not self._in_stage:
            self._begin(self.label)
        self._n_batches = len(batch_sizes(len(dataset_train), net.batch_size))

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Time the first batches of a stage, and say what follows from them."""
        if not training or not self._expected.is_timing:
            return
        told = self._expected.after_batch(self._n_batches)
        if told:
            self.bar_.write(told, file=sys.stderr)
        self._listen()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Advance the bar by one epoch and show the training loss."""
        self._expected.after_epoch()
        self._listen()
        self._loss = {"loss": f"{net.history[-1].get('train_loss', float('nan')):.3g}"}
        self._show()
        self.bar_.update()

    def _show(self) -> None:
        left = self._expected.left()
        self.bar_.set_postfix({**self._loss, **({"fit": left} if left else {})})

    def skip(self, n_epochs: int) -> None:
        """Advance the bar by epochs that an interrupted fit has already completed.

        Parameters
        ----------
        n_epochs : int
            Number of these epochs.
        """
        if not self._in_stage:
            self._begin(self.label)
        self._expected.skip(n_epochs)
        self._listen()
        self.bar_.update(n_epochs)

    def stage(self, label: str) -> None:
        """Show the name of the stage that begins.

        Parameters
        ----------
        label : str
            Name of the stage.
        """
        self._begin(label)
        self._show()
        self.bar_.set_description(label)

    def close(self) -> None:
        """Close the bar as complete, even if the fit needed fewer epochs than expected."""
        self.bar_.total = self.bar_.n
        self.bar_.close()


def rows_bar(name: str, verbose: int, doing: str) -> Callable[[int], Any]:
    """Return what opens a bar over the rows that a fit reads or predicts outside of its epochs.

    Parameters
    ----------
    name : str
        Name of the estimator.
    verbose : int
        Its parameter.
    doing : str
        What is done with the rows, such as ``"reading"``.

    Returns
    -------
    callable
        Takes the number of rows. Nothing is shown of what takes less than three seconds.
    """
    disable = verbose != 1 or not leads()
    return partial(
        progress_bar,
        label=f"{name} {doing}",
        unit="row",
        disable=disable,
        leave=False,
        delay=_NO_MATTER,
    )


def progress_bar(
    total: int, label: str, unit: str, *, disable: bool, leave: bool = True, delay: float = 0.0
) -> Any:
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
    delay : float, default=0.0
        Seconds before anything is shown.

    Returns
    -------
    tqdm or an object with what noisyfit uses of it
    """
    kind = _Silence if disable else tqdm if _can_redraw() else _LogLines
    return kind(total=total, desc=label, unit=unit, leave=leave, delay=delay)


def _can_redraw() -> bool:
    """Whether standard error is a terminal, or the output of a notebook's cell."""
    # That of a notebook is no terminal, and tqdm tells it by this module as well.
    return "ipykernel.zmqshell" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


class _LogLines:
    """Lines of a log, with what noisyfit uses of a tqdm bar."""

    def __init__(self, total: int, desc: str, unit: str, delay: float, **kwargs: Any) -> None:
        self._delay = delay
        self.total, self.n, self._label, self._unit = total, 0, desc, unit
        self._loss = ""
        self._left: str | None = None
        self._started = time.monotonic()
        self._written, self._written_at = 0, self._started

    def set_postfix(self, shown: dict[str, str]) -> None:
        self._loss = f", loss={shown['loss']}" if "loss" in shown else ""
        self._left = f", {shown['fit']}" if "fit" in shown else ""  # of the fit, not of the bar

    def write(self, told: str, file: Any) -> None:
        print(told, file=file, flush=True)

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
        if time.monotonic() - self._started < self._delay:
            return
        self._written, self._written_at = self.n, time.monotonic()
        seconds = self._written_at - self._started
        left = self._own_left(seconds) if self._left is None else self._left
        told = f"{self._label}: {self._unit} {self.n}/{self.total}"
        self.write(f"{told}{self._loss}, {tqdm.format_interval(seconds)}{left}", sys.stderr)

    def _own_left(self, seconds: float) -> str:
        left = seconds * (self.total - self.n) / max(1, self.n)
        return f", {in_words(left, left)} left" if self.n and left >= WORTH_SAYING else ""


class _Silence(_LogLines):
    """Nothing, with what noisyfit uses of a bar.

    A disabled bar of tqdm takes its lock all the same, which forked processes share: one that is
    killed while it holds the lock would let every later fit of the others wait for ever.
    """

    def write(self, told: str, file: Any) -> None:
        pass

    def _write(self) -> None:
        pass
