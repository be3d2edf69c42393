"""A moving average of a network's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping


class WeightAverage:
    """Exponential moving average of parameters, with a smaller decay in the first steps.

    Parameters
    ----------
    params : mapping of str to tensor
        Parameters to average; the average starts from their values.
    largest_decay : float, default=0.999
        Decay that the average reaches in the end, see `ema_decay`.

    Attributes
    ----------
    params : dict of str to tensor
        The averages, by name.

    Notes
    -----
    ``torch.optim.swa_utils.AveragedModel`` does the same, but reads its counter back from the
    device in every step.

    Examples
    --------
    >>> weight = torch.zeros(1)
    >>> average = WeightAverage({"w": weight})
    >>> average.update({"w": weight + 1})  # the first decay is 0.1
    >>> average.params["w"]
    tensor([0.9000])
    """

    def __init__(self, params: Mapping[str, Tensor], largest_decay: float = 0.999) -> None:
        self.params = {name: param.detach().clone() for name, param in params.items()}
        self.largest_decay = largest_decay
        self._n_updates = 0

    def update(self, params: Mapping[str, Tensor]) -> None:
        """Move the averages towards `params`, a mapping of the same names."""
        decay = ema_decay(self._n_updates, self.largest_decay)
        current = [param.detach() for param in params.values()]
        torch._foreach_lerp_(list(self.params.values()), current, 1 - decay)
        self._n_updates += 1

    def copy_to(self, params: Mapping[str, Tensor]) -> None:
        """Overwrite `params` with their averages."""
        with torch.no_grad():
            for name, param in params.items():
                param.copy_(self.params[name])


def ema_decay(step: int, largest: float = 0.999) -> float:
    """Compute the decay of a moving average, which is smaller in the first steps.

    Parameters
    ----------
    step : int
        Number of the step, counted from 0.
    largest : float, default=0.999
        Largest decay.

    Returns
    -------
    float
        :math:`(1 + t) / (10 + t)` in step t, at most `largest`.

    Examples
    --------
    >>> [round(ema_decay(step), 3) for step in (0, 100, 100_000)]
    [0.1, 0.918, 0.999]
    """
    return min(largest, (1 + step) / (10 + step))
