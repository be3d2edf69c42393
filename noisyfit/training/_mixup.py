"""Mixup, and whom a row is mixed with."""

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
    target : tensor of shape (n_rows, n_classes)
    partner : tensor of shape (n_rows,), int64
        Row that each row is blended with.
    factor : float or tensor of shape (n_rows,)
        Share :math:`\lambda` of the row itself, in [0, 1].

    Returns
    -------
    inputs : tensor of shape (n_rows, ...)
        :math:`\lambda x_i + (1 - \lambda) x_{j(i)}`.
    target : tensor of shape (n_rows, n_classes)

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
    r"""Draw mixup factors of which none is below one half.

    Parameters
    ----------
    n_rows : int
    alpha : float
        Above 0; the smaller, the nearer the factors are to 1.
    device : torch.device or str, default="cpu"

    Returns
    -------
    tensor of shape (n_rows,), in [0.5, 1]
        :math:`1 - u^{1/\alpha} / 2` for uniform u; with :math:`\alpha = 1/2` the mean is 5/6.

    Notes
    -----
    As in the code of Zhang et al. (CVPR 2020), close to the larger of :math:`\beta` and
    :math:`1 - \beta` for :math:`\beta \sim Beta(\alpha, \alpha)`.

    Examples
    --------
    >>> bool((dominant_factor(100, alpha=0.5) >= 0.5).all())
    True
    """
    return 1 - torch.rand(n_rows, device=device).pow(1 / alpha) / 2


def clean_partner(clean: Tensor) -> Tensor:
    """Draw a clean row for each row to be mixed with, without waiting for the device.

    Parameters
    ----------
    clean : tensor of shape (n_rows,), bool

    Returns
    -------
    tensor of shape (n_rows,), int64
        For clean rows a random permutation of them; for the others clean rows in random order, each
        as often as any other within one. Without a clean row every row is its own partner.

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
