"""How the learning rate is led through a stage of training: callbacks around torch's schedulers."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from skorch.callbacks import Callback

if TYPE_CHECKING:
    from noisyfit.data import Rows


class StageSchedule(Callback, metaclass=ABCMeta):
    """skorch callback with one torch scheduler a stage, which steps after each epoch.

    It writes the learning rate of each epoch into the history. Outside of
    `NoisyNet.train_stage`, where the length of the training is not known, the rate stays as it is.

    Attributes
    ----------
    scheduler_ : torch.optim.lr_scheduler.LRScheduler or None
        That of the stage that is being trained.
    """

    scheduler_: torch.optim.lr_scheduler.LRScheduler | None = None

    @abstractmethod
    def make(
        self, net: Any, rows: Rows, epochs: int
    ) -> torch.optim.lr_scheduler.LRScheduler | None:
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
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])
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

    def make(self, net: Any, rows: Rows, epochs: int) -> torch.optim.lr_scheduler.LRScheduler:
        """Return torch's cosine over all epochs of the stage."""
        return torch.optim.lr_scheduler.CosineAnnealingLR(net.optimizer_, T_max=epochs)


class UsersSchedule(StageSchedule):
    """No schedule: one of the user's callbacks leads the learning rate."""

    def make(self, net: Any, rows: Rows, epochs: int) -> None:
        """Return no scheduler."""
