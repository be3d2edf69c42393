"""How the learning rate is led through a stage of training: callbacks around torch's schedulers."""

from __future__ import annotations

import inspect
import math
from abc import ABCMeta, abstractmethod
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from skorch.callbacks import Callback
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

if TYPE_CHECKING:
    from collections.abc import Callable

    from noisyfit.data import Rows

SCHEDULES = ("auto", "cosine", "constant", "step")
"""Those that have a name."""


class StepSchedule(NamedTuple):
    """Multiply the learning rate by a factor at one milestone or several of a stage of training.

    A value of the parameter `schedule` of all estimators; ``"step"`` stands for that without
    arguments, a tenth from half way on.

    Examples
    --------
    A tenth from half way on, and a hundredth from three quarters on, as the LSTM paper trains:

    >>> from noisyfit import DynamicsLSTMDetector
    >>> from noisyfit.training import StepSchedule
    >>> est = DynamicsLSTMDetector(max_epochs=200, schedule=StepSchedule((0.5, 0.75)))
    >>> est.schedule
    StepSchedule(milestones=(0.5, 0.75), factor=0.1)
    >>> est.schedule.first_epochs(200)
    [100, 150]
    """

    milestones: tuple[float, ...] = (0.5,)
    """Shares of the epochs of a stage that are over before each change, in (0, 1), rising. Shares,
    as the stages of a fit, such as MILD's rounds, may be of different lengths."""
    factor: float = 0.1
    """What the learning rate is multiplied by at each of them, above 0."""

    def first_epochs(self, epochs: int) -> list[int]:
        """Return the first epoch of each new learning rate, counted from 0.

        Parameters
        ----------
        epochs : int
            Length of the stage.

        Returns
        -------
        list of int
            `epochs` itself where the change would come after the last one.
        """
        return [math.ceil(round(share * epochs, 9)) for share in self.milestones]


class StageSchedule(Callback, metaclass=ABCMeta):
    """skorch callback with one torch scheduler a stage, which steps after each epoch.

    It writes the learning rate of each epoch into the history. Outside of
    `NoisyNet.train_stage`, where the length of the training is not known, the rate stays as it is.

    Attributes
    ----------
    scheduler_ : torch.optim.lr_scheduler.LRScheduler or None
        That of the stage that is being trained.
    """

    scheduler_: LRScheduler | None = None

    @abstractmethod
    def make(self, net: Any, rows: Rows, epochs: int) -> LRScheduler | None:
        """Return the scheduler of a stage; None: something else changes the rate, if anything.

        Parameters
        ----------
        net : NoisyNet
            With the optimizer of the stage.
        rows : Rows
            What is trained on.
        epochs : int
            Length of the stage.
        """

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Begin the schedule of a stage."""
        epochs = net.stage_epochs_
        self.scheduler_ = None if epochs is None else self.make(net, X, epochs)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Record the learning rate, and step."""
        # The last group is of the parameters that no pattern of `optimizer__param_groups` took.
        net.history.record("lr", net.optimizer_.param_groups[-1]["lr"])
        self.step()

    def step(self) -> None:
        """Go on to the next learning rate."""
        if self.scheduler_ is not None:
            self.scheduler_.step()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """End the schedule: it would lead the learning rate up again."""
        self.scheduler_ = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the scheduler, for a checkpoint."""
        return {} if self.scheduler_ is None else self.scheduler_.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned.

        Parameters
        ----------
        state : dict
            Of the scheduler of the same stage.
        """
        if self.scheduler_ is not None:
            self.scheduler_.load_state_dict(state)


class CosineSchedule(StageSchedule):
    """Cosine from the learning rate to zero, epoch by epoch."""

    def make(self, net: Any, rows: Rows, epochs: int) -> LRScheduler:
        """Return torch's cosine over all epochs of the stage."""
        return torch.optim.lr_scheduler.CosineAnnealingLR(net.optimizer_, T_max=epochs)


class NoSchedule(StageSchedule):
    """The learning rate stays as it is, unless one of the user's callbacks leads it."""

    def make(self, net: Any, rows: Rows, epochs: int) -> None:
        """Return no scheduler."""


class Steps(StageSchedule):
    """What a `StepSchedule` says.

    Parameters
    ----------
    steps : StepSchedule
        Milestones and factor.
    """

    def __init__(self, steps: StepSchedule) -> None:
        self.steps = steps

    def make(self, net: Any, rows: Rows, epochs: int) -> LRScheduler:
        """Return torch's steps, with the milestones as numbers of epochs."""
        return torch.optim.lr_scheduler.MultiStepLR(
            net.optimizer_, self.steps.first_epochs(epochs), gamma=self.steps.factor
        )


class MadeByUser(StageSchedule):
    """The torch scheduler that the user's callable makes of the optimizer of the stage.

    Parameters
    ----------
    factory : callable
        Gets the optimizer, returns the scheduler.
    """

    def __init__(self, factory: Callable[[torch.optim.Optimizer], Any]) -> None:
        self.factory = factory

    def make(self, net: Any, rows: Rows, epochs: int) -> LRScheduler:
        """Call the factory, and look at what it returns.

        Raises
        ------
        TypeError
            If it is no scheduler that steps once an epoch, without a figure to go by.
        ValueError
            If it is that of another optimizer.
        """
        made = self.factory(net.optimizer_)
        if isinstance(made, ReduceLROnPlateau):
            raise TypeError(
                "schedule returned a ReduceLROnPlateau, which goes by a figure. Leave schedule "
                "as it is, and pass skorch.callbacks.LRScheduler(ReduceLROnPlateau, monitor=...) "
                "among the callbacks."
            )
        if not isinstance(made, LRScheduler):
            raise TypeError(
                "schedule must return a scheduler of torch.optim.lr_scheduler for the optimizer "
                f"that it gets. It returned {type(made).__name__}."
            )
        if made.optimizer is not net.optimizer_:
            raise ValueError(
                "schedule returned a scheduler of another optimizer than the one that it got. "
                "Each stage has an optimizer of its own: make a new scheduler at each call."
            )
        return made


def named_schedule(schedule: Any) -> StageSchedule | None:
    """Return the callback for a value of `schedule`.

    Parameters
    ----------
    schedule : {"auto", "cosine", "constant", "step"}, StepSchedule or callable
        As of an estimator, checked by `check_schedule`.

    Returns
    -------
    StageSchedule or None
        None for ``"auto"``: that of the net itself.
    """
    if isinstance(schedule, StepSchedule):
        return Steps(schedule)
    if not isinstance(schedule, str):
        return MadeByUser(schedule)
    made = {"auto": None, "cosine": CosineSchedule(), "constant": NoSchedule()}
    return Steps(StepSchedule()) if schedule == "step" else made[schedule]


def check_schedule(schedule: Any) -> None:
    """Refuse milestones out of range, and a callable that needs more than the optimizer.

    Parameters
    ----------
    schedule : {"auto", "cosine", "constant", "step"}, StepSchedule or callable
        As of an estimator.

    Raises
    ------
    ValueError
        If the milestones or the factor make no schedule.
    TypeError
        If it cannot be called with the optimizer alone.
    """
    if isinstance(schedule, StepSchedule):
        _check_steps(schedule)
    elif callable(schedule):
        try:
            inspect.signature(schedule).bind(None)
        except TypeError as error:
            name = getattr(schedule, "__name__", type(schedule).__name__)
            raise TypeError(
                f"schedule={name} cannot be called with the optimizer alone: {error}. Give the "
                f"rest beforehand, as functools.partial({name}, ...) does."
            ) from None
        except ValueError:  # it has no signature that could be read
            pass


def _check_steps(steps: StepSchedule) -> None:
    milestones, factor = steps
    shares = list(milestones) if isinstance(milestones, (tuple, list)) else []
    fits = all(isinstance(share, Real) and 0 < share < 1 for share in shares)
    if not shares or not fits or any(b <= a for a, b in pairwise(shares)):
        raise ValueError(
            "milestones of a StepSchedule must be rising shares of the epochs, each in (0, 1), "
            f"such as (0.5, 0.75): not numbers of epochs. Got {milestones!r} instead."
        )
    if not isinstance(factor, Real) or not 0 < factor < math.inf:
        raise ValueError(f"factor of a StepSchedule must be above 0. Got {factor!r} instead.")
