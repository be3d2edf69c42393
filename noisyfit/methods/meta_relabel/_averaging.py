"""A moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class WeightAverage:
    """Exponential moving average of parameters, which follows quickly at first.

    Parameters
    ----------
    params : mapping of str to tensor
        Parameters to follow; the average starts from them.
    largest_decay : float, default=0.999

    Attributes
    ----------
    params : dict of str to tensor
        The averages.

    Notes
    -----
    ``torch.optim.swa_utils.AveragedModel`` reads its counter back from the device in every step.

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
        """Move towards `params`."""
        decay = ema_decay(self._n_updates, self.largest_decay)
        current = [param.detach() for param in params.values()]
        torch._foreach_lerp_(list(self.params.values()), current, 1 - decay)
        self._n_updates += 1

    def copy_to(self, params: Mapping[str, Tensor]) -> None:
        """Overwrite `params` by their averages."""
        with torch.no_grad():
            for name, param in params.items():
                param.copy_(self.params[name])


def ema_decay(step: int, largest: float = 0.999) -> float:
    """Decay of a moving average, small at first.

    Parameters
    ----------
    step : int
        Counted from 0.
    largest : float, default=0.999

    Returns
    -------
    float
        :math:`(1 + t) / (10 + t)`, `largest` at most.

    Examples
    --------
    >>> [round(ema_decay(step), 3) for step in (0, 100, 100_000)]
    [0.1, 0.918, 0.999]
    """
    return min(largest, (1 + step) / (10 + step))
