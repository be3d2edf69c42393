"""Mixup: the blend of two rows, its factors and its partners."""

from __future__ import annotations

import torch
from torch import Tensor


def mixup(
    inputs: Tensor, target: Tensor, partner: Tensor, factor: float | Tensor
) -> tuple[Tensor, Tensor]:
    r"""Blend each row with another one (Zhang et al. 2018).

    Parameters
    ----------
    inputs : tensor of shape (n_rows, ...)
        Rows :math:`x` of a batch.
    target : tensor of shape (n_rows, n_classes)
        Target distribution of each row.
    partner : tensor of shape (n_rows,), int64
        Position :math:`j(i)` of the row that each row is blended with.
    factor : float or tensor of shape (n_rows,)
        Weight :math:`\lambda` of the row itself, in [0, 1].

    Returns
    -------
    inputs : tensor of shape (n_rows, ...)
        :math:`\lambda x_i + (1 - \lambda) x_{j(i)}`.
    target : tensor of shape (n_rows, n_classes)
        The targets, blended in the same way.

    Examples
    --------
    >>> x, target = torch.tensor([[0.0], [10.0]]), torch.eye(2)
    >>> mixup(x, target, torch.tensor([1, 1]), 0.75)[0].flatten()
    tensor([ 2.5000, 10.0000])
    """
    if not isinstance(factor, Tensor):
        mixed = torch.lerp(inputs[partner], inputs, factor)
        return mixed, torch.lerp(target[partner], target, factor)
    by_row = factor.view(-1, *[1] * (inputs.ndim - 1)).to(inputs.dtype)
    mixed = torch.lerp(inputs[partner], inputs, by_row)
    return mixed, torch.lerp(target[partner], target, factor.unsqueeze(1))


def dominant_factor(n_rows: int, alpha: float, device: torch.device | str = "cpu") -> Tensor:
    r"""Draw mixup factors of at least one half.

    Parameters
    ----------
    n_rows : int
        Number of factors.
    alpha : float
        Parameter :math:`\alpha` of the distribution, above 0. The smaller it is, the closer the
        factors are to 1.
    device : torch.device or str, default="cpu"
        Device to draw on.

    Returns
    -------
    tensor of shape (n_rows,), in [0.5, 1]
        :math:`1 - u^{1/\alpha} / 2` for uniform u; with :math:`\alpha = 1/2` the mean is 5/6.

    Notes
    -----
    The code of Zhang et al. (CVPR 2020) draws its factors in this way. Their distribution is close
    to that of the larger of :math:`\beta` and :math:`1 - \beta` for
    :math:`\beta \sim Beta(\alpha, \alpha)`.

    Examples
    --------
    >>> bool((dominant_factor(100, alpha=0.5) >= 0.5).all())
    True
    """
    return 1 - torch.rand(n_rows, device=device).pow(1 / alpha) / 2


def clean_partner(clean: Tensor) -> Tensor:
    """Draw for each row a clean row to be mixed with, without waiting for the device.

    Parameters
    ----------
    clean : tensor of shape (n_rows,), bool
        Rows of the batch that are taken as clean.

    Returns
    -------
    tensor of shape (n_rows,), int64
        Positions of the partners. Clean rows get a random permutation of themselves; the other rows
        get clean rows in random order, each equally often up to one. If no row is clean, every row
        is its own partner.

    Examples
    --------
    >>> partner = clean_partner(torch.tensor([False, True, True]))
    >>> partner[1:].sort().values, int(partner[0]) in (1, 2)
    (tensor([1, 2]), True)
    """
    keys = torch.rand(len(clean), device=clean.device) + ~clean
    clean_first = keys.argsort()
    rank = torch.where(clean, clean.cumsum(0), (~clean).cumsum(0)) - 1
    n_clean = clean.sum()
    partner = clean_first[rank % n_clean.clamp_min(1)]
    return torch.where(n_clean > 0, partner, torch.arange(len(clean), device=clean.device))
