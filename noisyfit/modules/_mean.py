"""`MeanNetwork`: several networks as one, which predicts the mean of their probabilities."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from noisyfit.modules._outputs import logits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class MeanNetwork(nn.Module):
    """Several networks that each map the same rows to logits.

    Parameters
    ----------
    networks : iterable of torch.nn.Module
        Each returns logits of shape (n_rows, n_classes).

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from noisyfit.modules import MeanNetwork
    >>> networks, x = [nn.Linear(4, 3), nn.Linear(4, 3)], torch.randn(5, 4)
    >>> pair = MeanNetwork(networks)
    >>> mean = (networks[0](x).softmax(1) + networks[1](x).softmax(1)) / 2
    >>> torch.allclose(pair(x).softmax(1), mean, atol=1e-6)
    True
    >>> with pair.alone(1):
    ...     torch.equal(pair(x), networks[1](x))
    True
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._asked: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithm of the mean probabilities, or one network's logits (`alone`)."""
        if self._asked is not None:
            return logits_of(self.networks[self._asked](x))
        return log_mean_softmax(torch.stack([logits_of(network(x)) for network in self.networks]))

    def names_in_one(self) -> dict[str, str]:
        """Return what each parameter is called in its own network."""
        return {name: name.split(".", 2)[2] for name, _ in self.named_parameters()}

    @contextmanager
    def alone(self, number: int) -> Iterator[None]:
        """Let one network speak for all while the context lasts.

        Parameters
        ----------
        number : int
            Its place among the networks.
        """
        self._asked = number
        try:
            yield
        finally:
            self._asked = None


def log_mean_softmax(logits: Tensor) -> Tensor:
    """Compute the logarithm of the mean probabilities of several predictions.

    Parameters
    ----------
    logits : tensor of shape (n_predictions, n_rows, n_classes)
        Raw outputs of networks.

    Returns
    -------
    tensor of shape (n_rows, n_classes), float32
        Logits whose softmax is the mean of the softmaxes.

    Examples
    --------
    >>> log_mean_softmax(torch.tensor([[[0.0, 0.0]], [[0.0, 100.0]]])).exp()
    tensor([[0.2500, 0.7500]])
    """
    return logits.float().log_softmax(2).logsumexp(0) - math.log(len(logits))
