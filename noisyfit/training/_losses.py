r"""Losses and parts of semi-supervised learning, as pure functions of logits and targets.

Losses of rows return one value for each row, which a method can weight, mask or record. No function
here waits for the device: a subset is a mask of fixed shape, since the size of a boolean index
would have to be read back.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from noisyfit.training._class_softmax import class_log_softmax, class_softmax

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    r"""Compute the cross-entropy of each row against a distribution over classes.

    Parameters
    ----------
    logits : tensor of shape (n_rows, n_classes)
        Raw outputs of the network.
    target : tensor of shape (n_rows, n_classes)
        Distribution over classes of each row; its entries sum to 1. A one-hot row gives
        :math:`l_i = -\sum_c y_i^c \log P^c(x_i)`, Eq. 1 of Yang et al. 2021.

    Returns
    -------
    tensor of shape (n_rows,), in nats

    Examples
    --------
    >>> soft_cross_entropy(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]))
    tensor([0.6931])
    """
    return -(target * class_log_softmax(logits)).sum(1)


def squared_error(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared difference between each row's predicted and target probabilities.

    Parameters
    ----------
    logits : tensor of shape (n_rows, n_classes)
        Raw outputs of the network.
    target : tensor of shape (n_rows, n_classes)
        Target probabilities of each row.

    Returns
    -------
    tensor of shape (n_rows,), in [0, 1]
        The mean over classes, as in MixMatch.

    Examples
    --------
    >>> squared_error(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor([0.2500])
    """
    return (class_softmax(logits) - target).square().mean(1)


def sharpen(probabilities: Tensor, temperature: float = 0.5) -> Tensor:
    r"""Sharpen distributions over classes with a temperature.

    Parameters
    ----------
    probabilities : tensor of shape (n_rows, n_classes)
        Distribution over classes of each row.
    temperature : float, default=0.5
        T, above 0. With 1 nothing changes; towards 0 only the largest entry of a row is left.

    Returns
    -------
    tensor of shape (n_rows, n_classes)
        :math:`p_c^{1/T} / \sum_k p_k^{1/T}`, Eq. 4 of Yang et al. 2021.

    Examples
    --------
    >>> sharpen(torch.tensor([[0.5, 0.3, 0.2]]), temperature=0.5)
    tensor([[0.6579, 0.2368, 0.1053]])
    """
    # Logarithms, because at a low temperature all powers could underflow to zero.
    return class_softmax(probabilities.clamp_min(1e-30).log() / temperature)


def class_prior_penalty(
    probabilities: Tensor, prior: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    r"""Compute a penalty for a batch whose mean prediction differs from the class prior.

    Parameters
    ----------
    probabilities : tensor of shape (n_rows, n_classes)
        Predicted probabilities of each row.
    prior : tensor of shape (n_classes,) or None, default=None
        Class prior :math:`\pi`, which sums to 1. None: the uniform distribution.
    weight : tensor of shape (n_rows,) or None, default=None
        Weight of each row in the mean. None: all count alike.

    Returns
    -------
    tensor of shape ()
        :math:`\sum_c \pi_c \log(\pi_c / \bar p_c)` with :math:`\bar p` the mean over the rows,
        Eq. 5 of Yang et al. 2021: a Kullback-Leibler divergence, 0 where they agree.

    Examples
    --------
    >>> class_prior_penalty(torch.tensor([[0.9, 0.1]]))
    tensor(0.5108)
    """
    if weight is None:
        mean = probabilities.mean(0)
    else:
        mean = weight @ probabilities / weight.sum().clamp_min(1e-30)
    if prior is None:
        prior = torch.full_like(mean, 1 / len(mean))
    return torch.special.xlogy(prior, prior).sum() - (prior * mean.clamp_min(1e-30).log()).sum()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average the values of the marked rows.

    Parameters
    ----------
    values : tensor of shape (n_rows,)
        Value of each row, finite also for rows that are not marked.
    mask : tensor of shape (n_rows,), bool
        The marked rows.

    Returns
    -------
    tensor of shape ()
        The mean, 0 if no row is marked. Rows that are not marked get a gradient of exactly zero.

    Examples
    --------
    >>> masked_mean(torch.tensor([1.0, 3.0, 8.0]), torch.tensor([True, True, False]))
    tensor(2.)
    """
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1)


def row_weighted(values: Tensor, batch: Mapping[str, Any], n_views: int = 1) -> Tensor:
    """Multiply losses of the rows of a batch by the weights that the user gave them.

    Parameters
    ----------
    values : tensor of shape (n_views * n_rows,)
        Loss of each row, one view after the other.
    batch : dict
        The batch; weights, whose mean over all rows is 1, are under ``"sample_weight"``.
    n_views : int, default=1
        Number of views.

    Returns
    -------
    tensor of shape (n_views * n_rows,)
        `values` themselves if there are no weights.

    Examples
    --------
    >>> row_weighted(torch.tensor([1.0, 3.0]), {"sample_weight": torch.tensor([0.5, 1.5])})
    tensor([0.5000, 4.5000])
    """
    weight = batch.get("sample_weight")
    return values if weight is None else values * weight.repeat(n_views)


def normalize_logits(logits: Tensor) -> Tensor:
    r"""Divide a batch of logits by the root of their mean square.

    Parameters
    ----------
    logits : tensor of shape (n_rows, n_classes)
        Raw outputs of the network.

    Returns
    -------
    tensor of shape (n_rows, n_classes)
        :math:`z / \sqrt{\overline{z^2} + 10^{-8}}` with one mean over the whole batch, as in the
        code of Zhang et al. (CVPR 2020): the scale of the logits has no influence on what follows.

    Examples
    --------
    >>> normalize_logits(torch.tensor([[3.0, -3.0]]))
    tensor([[ 1., -1.]])
    """
    return logits / (logits.square().mean() + 1e-8).sqrt()


def consistency(logits: Tensor, other: Tensor) -> Tensor:
    r"""Compute the Kullback-Leibler divergence between the predictions for two views of each row.

    Parameters
    ----------
    logits, other : tensor of shape (n_rows, n_classes)
        Raw outputs of the network for the two views. Detach `logits` if only the prediction for
        `other` is to move towards the one for `logits`.

    Returns
    -------
    tensor of shape (n_rows,), in nats
        :math:`\sum_c p_c (\log p_c - \log q_c)` with p = softmax(logits) and q = softmax(other),
        Eq. 4 of Zhang et al. (CVPR 2020).

    Examples
    --------
    >>> consistency(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 3.0]])).abs() < 1e-6
    tensor([True])
    """
    log_p, log_q = class_log_softmax(logits), class_log_softmax(other)
    return (log_p.exp() * (log_p - log_q)).sum(1)


@contextmanager
def frozen_batch_statistics(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch normalization as they are while the context lasts.

    In training mode the layers still normalize with the statistics of the batch.

    Parameters
    ----------
    module : torch.nn.Module
        Network in training mode.

    Examples
    --------
    >>> layer = nn.BatchNorm1d(2)
    >>> with frozen_batch_statistics(layer):
    ...     _ = layer(torch.randn(8, 2) + 5)
    >>> layer.running_mean, layer.num_batches_tracked
    (tensor([0., 0.]), tensor(0))
    """
    layers = [m for m in module.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def early_learning_penalty(probabilities: Tensor, target: Tensor) -> Tensor:
    r"""Compute a penalty for rows whose prediction leaves what was learned early.

    Parameters
    ----------
    probabilities : tensor of shape (..., n_classes)
        Predicted probabilities p.
    target : tensor of shape (..., n_classes)
        Moving average t of earlier predictions for the same rows, without gradient.

    Returns
    -------
    tensor of shape (...), in nats
        :math:`\log(1 - \langle t, p \rangle)`, Eq. 6 of Liu et al., "Early-learning regularization
        prevents memorization of noisy labels", NeurIPS 2020: the smaller, the better both agree.

    Examples
    --------
    >>> early_learning_penalty(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.8, 0.2]]))
    tensor([-0.6931])
    """
    agreement = (probabilities * target).sum(-1)
    return torch.log1p(-agreement.clamp(max=1 - 1e-4))
