"""How long a fit will take, from its first batches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

_WARM, _MEASURED = 3, 20
"""Batches before the clock is started, in which caches fill, and batches that are timed at least"""
_SECONDS = 2.0
"""for as long as this at least."""
WORTH_SAYING = 10.0
"""Seconds; a fit that takes less is over before anybody has read how long it takes."""
_OFF = 1.3
"""Factor from which on another estimate is said."""


class Stage(NamedTuple):
    """A stage of training, as it is planned."""

    label: str
    """Its label in the progress bar."""
    epochs: int
    """Epochs, those of all networks that are trained in it."""
    cost: float = 1.0
    """Time of an epoch, in that of plain training of one network on all rows."""
    optional: bool = False
    """Whether it may be left out or end early."""


class ExpectedTime:
    """Time that is left of a fit: the stages as planned, and the seconds of the present one.

    Parameters
    ----------
    name : str, default="fit"
        Name of the estimator, with which the estimate begins.
    about : str, default=""
        What the epochs are of, such as ``" of 8,000 rows on cpu"``.
    device : torch.device or None, default=None
        Device of the training, whose work is waited for where the clock is read.

    Notes
    -----
    The present stage is timed: from its first batches, and then by its epochs. Those that follow
    are taken to last as long as their cost says, in proportion, until they begin and are timed.
    """

    def __init__(
        self, name: str = "fit", about: str = "", device: torch.device | None = None
    ) -> None:
        self.name, self.about, self._device = name, about, device
        self._started = time.monotonic()
        self._said: tuple[float, float] | None = None
        self._plain_epoch: float | None = None  # seconds
        self._note = ""
        self.plan([])

    def plan(self, stages: Iterable[Stage], note: str = "") -> None:
        """Say what the fit has still to do.

        Parameters
        ----------
        stages : iterable of Stage
            Stages in order.
        note : str, default=""
            Which of them the reader would not think of.
        """
        self._stages, self._note = list(stages), note  # the first is the present one
        self._done = 0  # epochs of it
        self._restart()

    def begin(self, label: str, epochs: int) -> None:
        """Begin a stage; those planned before it are not going to come any more.

        Parameters
        ----------
        label : str
            Its label. One that was not planned takes the place of all that was.
        epochs : int
            Epochs of a stage that was not planned.
        """
        first = 1 if self._done else 0
        places = [i for i, stage in enumerate(self._stages) if i >= first and stage.label == label]
        self._stages = self._stages[places[0] :] if places else [Stage(label, epochs)]
        self._done = 0
        self._restart()
        self._go_on()  # past a stage without epochs

    def _restart(self) -> None:
        """Time the present stage anew."""
        self.is_timing = True
        self._n_batches = self._in_epoch = 0
        self._mark: tuple[float, float] | None = None  # time, and epochs done by then

    def after_batch(self, n_batches: int) -> str | None:
        """Count a batch, while the first ones of a stage are timed.

        Parameters
        ----------
        n_batches : int
            Number of batches of the epoch.

        Returns
        -------
        str or None
            How long the fit takes, where this is to be said now.
        """
        self._n_batches += 1
        self._in_epoch += 1
        at = self._done + self._in_epoch / n_batches
        if self._n_batches <= _WARM:
            self._mark = (self._now(), at)
            return None
        assert self._mark is not None, "the warm batches have been seen"
        n_timed = self._n_batches - _WARM
        if n_timed < _MEASURED or time.monotonic() - self._mark[0] < _SECONDS:
            return None
        self.is_timing = False
        self._measure(self._now(), at)
        return self._sentence(at, n_timed)

    def after_epoch(self) -> None:
        """Count an epoch."""
        now = time.monotonic()
        self._in_epoch = 0
        self._done += 1
        if self._mark is None:  # too few batches, or an interrupted fit goes on
            self._mark = (now, self._done)
        else:
            self._measure(now, self._done)
        self._go_on()

    def skip(self, n_epochs: int) -> None:
        """Count epochs of the stage that an interrupted fit has already completed.

        Parameters
        ----------
        n_epochs : int
            Number of these epochs.
        """
        self._done += n_epochs
        self._go_on()

    def _go_on(self) -> None:
        while len(self._stages) > 1 and self._done >= self._stages[0].epochs:
            self._done -= self._stages.pop(0).epochs
            self._restart()

    def _measure(self, now: float, at: float) -> None:
        assert self._mark is not None, "the clock was started"
        started, began_at = self._mark
        if self._stages and at > began_at:
            self._plain_epoch = (now - started) / (at - began_at) / self._stages[0].cost

    def _left(self, at: float) -> tuple[float, float]:
        """Return the seconds that are left at least and at most, by what is known at `at`."""
        if self._plain_epoch is None or not self._stages:
            return 0.0, 0.0
        present, *later = self._stages
        most = max(0.0, present.epochs - at) * present.cost
        least = 0.0 if present.optional else most
        most += sum(stage.epochs * stage.cost for stage in later)
        least += sum(stage.epochs * stage.cost for stage in later if not stage.optional)
        return least * self._plain_epoch, most * self._plain_epoch

    def left(self) -> str:
        """Return the time that is left of the fit.

        Returns
        -------
        str
            Such as ``"4 min left"``; empty where it is unknown, or less than 10 seconds.
        """
        least, most = self._left(self._done)
        return f"{in_words(least, most)} left" if most >= WORTH_SAYING else ""

    def _sentence(self, at: float, n_timed: int) -> str | None:
        gone = time.monotonic() - self._started
        least, most = (gone + left for left in self._left(at))
        if most < WORTH_SAYING:
            return None
        before, self._said = self._said, (least, most)
        if before is None:
            up_to = "up to " if any(stage.optional for stage in self._stages) else ""
            n_epochs = sum(stage.epochs for stage in self._stages)
            return (
                f"{self.name}: about {in_words(least, most)} for {up_to}{n_epochs} epochs"
                f"{self.about}{self._note}, from the first {n_timed} batches"
            )
        if before[0] / _OFF <= most <= before[1] * _OFF:
            self._said = before
            return None
        label = self._stages[0].label
        return (
            f"{self.name}: now about {in_words(least, most)} in all, from the first {n_timed} "
            f"batches of {label.removeprefix(self.name).strip() or 'its own training'}"
        )

    def _now(self) -> float:
        if self._device is not None and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.monotonic()


def in_words(least: float, most: float) -> str:
    """Return a length of time as people say it.

    Parameters
    ----------
    least, most : float
        Bounds, in seconds.

    Returns
    -------
    str

    Examples
    --------
    >>> in_words(38, 38), in_words(61, 230), in_words(0, 230), in_words(9000, 9000)
    ('40 s', '1 to 4 min', 'up to 4 min', '2.5 h')
    """
    size, unit = (5, "s") if most < 95 else (60, "min") if most < 95 * 60 else (3600, "h")
    digits = 1 if unit == "h" else 0
    scale = 5 if unit == "s" else 1
    low, high = (scale * round(value / size, digits) for value in (least, most))
    if unit != "h":
        low, high = int(low), int(high)
    if low == high or least > most / _OFF:
        return f"{high} {unit}"
    return f"{low} to {high} {unit}" if low else f"up to {high} {unit}"
