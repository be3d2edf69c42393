"""MixMatch's step (Berthelot et al. 2019): rows without a usable label learn from guesses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot

from noisyfit.training._class_softmax import class_softmax
from noisyfit.training._losses import (
    class_prior_penalty,
    masked_mean,
    row_weighted,
    sharpen,
    soft_cross_entropy,
    squared_error,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_HARMLESS, _LARGEST = 0.25, 150.0


def linear_ramp(epoch: int, start: int, length: int) -> float:
    """Compute the factor of a weight that rises with the epochs.

    Parameters
    ----------
    epoch : int
        Number of the epoch, counted from 1.
    start : int
        Up to and including this epoch the factor is 0.
    length : int
        Epochs over which it rises to 1; 0: at once.

    Returns
    -------
    float

    Examples
    --------
    >>> [linear_ramp(epoch, start=2, length=4) for epoch in (2, 3, 5, 6, 9)]
    [0.0, 0.25, 0.75, 1.0, 1.0]
    """
    return min(1.0, max(0.0, (epoch - start) / max(length, 1)))


def auto_guessed_weight(rejected: float, n_classes: int) -> float:
    """Choose the weight of the rows that learn from guesses.

    Parameters
    ----------
    rejected : float
        Proportion of these rows, in [0, 1].
    n_classes : int
        Number of classes.

    Returns
    -------
    float
        0 below a quarter, else 2.5 times the number of classes, 150 at most: 25 for ten classes,
        as in the papers, which pick among 0, 25, 50 and 150 by hand.

    Examples
    --------
    >>> auto_guessed_weight(0.2, 10), auto_guessed_weight(0.4, 10), auto_guessed_weight(0.4, 100)
    (0.0, 25.0, 150.0)
    """
    return 0.0 if rejected < _HARMLESS else min(_LARGEST, 2.5 * n_classes)


def guess_labels(probabilities: Tensor, temperature: float) -> Tensor:
    """Guess the labels of rows: the sharpened mean of several predictions.

    Parameters
    ----------
    probabilities : tensor of shape (n_predictions, n_rows, n_classes)
        One for each view, and for each network that is asked.
    temperature : float
        T of `sharpen`.

    Returns
    -------
    tensor of shape (n_rows, n_classes)

    Examples
    --------
    >>> guess_labels(torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]]]), temperature=0.5)
    tensor([[0.8448, 0.1552]])
    """
    return sharpen(probabilities.mean(0), temperature)


def refine_labels(y: Tensor, probabilities: Tensor, belief: Tensor, temperature: float) -> Tensor:
    """Mix given labels with predictions, by how far the labels are believed, and sharpen.

    Parameters
    ----------
    y : tensor of shape (n_rows,), int64
        Given labels.
    probabilities : tensor of shape (n_rows, n_classes)
        Predictions, the mean over the views.
    belief : tensor of shape (n_rows,), in [0, 1]
        Probability w that each given label is right.
    temperature : float
        T of `sharpen`.

    Returns
    -------
    tensor of shape (n_rows, n_classes)
        Of w y + (1 - w) p with y as one-hot vector, Eq. 3 and 4 of Li, Socher and Hoi 2020.

    Examples
    --------
    >>> y, p = torch.tensor([0]), torch.tensor([[0.2, 0.8]])
    >>> refine_labels(y, p, belief=torch.tensor([0.5]), temperature=1.0)
    tensor([[0.6000, 0.4000]])
    """
    given = one_hot(y, probabilities.shape[1]).to(probabilities.dtype)
    return sharpen(torch.lerp(probabilities, given, belief.unsqueeze(1)), temperature)


def mixup_factor(alpha: float) -> float:
    r"""Draw one mixup factor for a batch: the row itself stays the larger part.

    Parameters
    ----------
    alpha : float
        Both parameters of the beta distribution, above 0.

    Returns
    -------
    float
        :math:`\max(\lambda, 1 - \lambda)`, drawn on the host, where it is needed.

    Examples
    --------
    >>> 0.5 <= mixup_factor(4.0) <= 1
    True
    """
    factor = float(Beta(alpha, alpha, validate_args=False).sample())
    return max(factor, 1 - factor)


def mixmatch_cost(n_views: int) -> float:
    """Return the time of a MixMatch step, in that of a plain step.

    Parameters
    ----------
    n_views : int
        K, views of each row.

    Returns
    -------
    float
        K forward passes for the guesses, then K with their backward pass, which takes twice as
        long as the forward pass.
    """
    return 4 * n_views / 3


def mixmatch_loss(
    logits: Tensor,
    target: Tensor,
    labeled: Tensor,
    batch: Mapping[str, Any],
    *,
    guessed_weight: float,
    prior_weight: float,
    prior: Tensor | None = None,
) -> Tensor:
    r"""Compute the loss of a batch of which some rows learn from labels, all others from guesses.

    Parameters
    ----------
    logits, target : tensor of shape (n_views * n_rows, n_classes)
        Outputs of the network for the mixed rows, one view after the other, and their mixed
        targets.
    labeled : tensor of shape (n_rows,), bool
        Rows that learn from a label.
    batch : dict
        The batch, with the weights of its rows if they have any.
    guessed_weight : float
        :math:`\lambda_u` of this epoch.
    prior_weight : float
        :math:`\lambda_r`, weight of `class_prior_penalty`.
    prior : tensor of shape (n_classes,) or None, default=None
        Class prior of the penalty; None: uniform.

    Returns
    -------
    tensor of shape ()
        Mean cross-entropy of the labeled rows, :math:`\lambda_u` times the mean squared error of
        the others, and the penalty. A part without a row counts nothing.

    Examples
    --------
    >>> logits, target = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> labeled, weights = torch.tensor([True, False]), {"guessed_weight": 2, "prior_weight": 1}
    >>> mixmatch_loss(logits, target, labeled, {}, **weights)  # log 2 + 2 * .25
    tensor(1.1931)
    """
    n_views = len(logits) // len(labeled)
    labeled = labeled.repeat(n_views)
    weighted = partial(row_weighted, batch=batch, n_views=n_views)
    loss_labeled = masked_mean(weighted(soft_cross_entropy(logits, target)), labeled)
    loss_guessed = masked_mean(weighted(squared_error(logits, target)), ~labeled)
    weight = batch["sample_weight"].repeat(n_views) if "sample_weight" in batch else None
    penalty = class_prior_penalty(class_softmax(logits), prior, weight)
    return loss_labeled + guessed_weight * loss_guessed + prior_weight * penalty


def without_unlabeled(batch: dict[str, Any], unlabeled: Tensor | None) -> dict[str, Any]:
    """Take the weight from rows without a label, so that plain training leaves them out.

    Parameters
    ----------
    batch : dict
        A batch's inputs, with row ids under ``"index"``.
    unlabeled : tensor of shape (n_samples,), bool, or None
        Rows without a label; None: there are none.

    Returns
    -------
    dict
        The batch with ``"sample_weight"``, whose mean is 1 without weights of the user.

    Examples
    --------
    >>> batch = {"index": torch.tensor([2, 0])}
    >>> without_unlabeled(batch, torch.tensor([True, False, False]))["sample_weight"]
    tensor([2., 0.])
    """
    if unlabeled is None:
        return batch
    weight = (~unlabeled[batch["index"]]).float()
    weight *= len(weight) / weight.sum().clamp_min(1)
    return {**batch, "sample_weight": row_weighted(weight, batch)}
