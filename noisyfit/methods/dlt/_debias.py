"""Debiased predictions to select by: marginal distribution adjustment (Pan et al. 2026)."""

from __future__ import annotations

import torch
from torch import Tensor

from noisyfit.training import class_softmax

_MOMENTUM = 0.99


class MarginalDistribution:
    r"""Moving average of the mean prediction, by which predictions are debiased.

    A network that favours a class has small losses on every row with its label, right or wrong.
    Dividing its predictions by the class distribution that it predicts on average takes that away.

    Parameters
    ----------
    factor : float
        :math:`\tau \ge 0`: 1 divides by the whole average, 0 by nothing.
    target : tensor of shape (n_classes,) or None, default=None
        Class distribution that a network without bias would predict on average; None: uniform.

    Notes
    -----
    The average :math:`\bar p` starts at the target :math:`\pi`, and after each batch b becomes
    :math:`0.99\, \bar p + 0.01 \frac{1}{|b|} \sum_{i \in b} p(x_i)`, p being the softmax of the
    logits f. The debiased logits are :math:`f(x) - \tau \log(\bar p / \pi)`.

    With :math:`\tau = 1` and a uniform target this is the marginal distribution adjustment of Pan,
    Wei and Xie, "Debiased Sample Selection for Learning with Noisy Labels", CVPR 2026, where a
    batch is in the average that its own predictions are debiased by; here it joins afterwards, as
    its losses join the memory. A :math:`\tau` between 0 and 1 is that of logit adjustment (Menon et
    al., ICLR 2021) and of debiased pseudo-labels (Wang et al., CVPR 2022).

    Examples
    --------
    >>> marginal = MarginalDistribution(factor=1.0)
    >>> for _ in range(1000):
    ...     marginal.push(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    >>> marginal.debias(torch.tensor([[1.0, 0.0]])).softmax(1)
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, factor: float, target: Tensor | None = None) -> None:
        self.factor, self.target = factor, target
        self._mean = target

    def push(self, logits: Tensor) -> None:
        """Add the predictions for one batch, logits of shape (n_rows, n_classes)."""
        mean = class_softmax(logits).mean(0)
        before = torch.full_like(mean, 1 / len(mean)) if self._mean is None else self._mean
        self._mean = torch.lerp(mean, before, _MOMENTUM)

    def debias(self, logits: Tensor) -> Tensor:
        """Return the debiased logits, of shape (n_rows, n_classes)."""
        if self._mean is None:  # as uniform as its target
            return logits
        bias = self._mean.clamp_min(1e-30).log()
        if self.target is not None:
            bias = bias - self.target.clamp_min(1e-30).log()
        return logits - self.factor * bias
