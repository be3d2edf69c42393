"""Interpolated contrastive learning (Ortego et al. 2021): mixed rows near those of their labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax


def positive_codes(y: Tensor, ids: Tensor, labeled: Tensor, n_classes: int) -> Tensor:
    """Give the same number to rows that are to lie near each other.

    Parameters
    ----------
    y : tensor of shape (n_rows,), int64
        Given labels; those of rows that are not labeled do not count.
    ids : tensor of shape (n_rows,), int64
        Ids of the rows.
    labeled : tensor of shape (n_rows,), bool
        Rows that learn from their label.
    n_classes : int
        Number of classes.

    Returns
    -------
    tensor of shape (n_rows,), int64
        The label, or a number of its own for a row without one: it is like its other views alone.

    Examples
    --------
    >>> y, ids = torch.tensor([0, 1, 1]), torch.tensor([7, 8, 9])
    >>> positive_codes(y, ids, torch.tensor([True, True, False]), n_classes=2)
    tensor([ 0,  1, 11])
    """
    return torch.where(labeled, y, n_classes + ids)


def interpolated_contrastive(
    z: Tensor,
    keys: Tensor,
    codes: tuple[Tensor, Tensor],
    key_codes: Tensor,
    factor: Tensor,
    temperature: float,
    compared: Tensor | None = None,
) -> Tensor:
    r"""Compute how far mixed rows lie from the rows that are like either of their two parts.

    Parameters
    ----------
    z : tensor of shape (n_rows, n_dimensions)
        Projections of the mixed rows, of length 1.
    keys : tensor of shape (n_keys, n_dimensions)
        Projections they are compared with.
    codes : tuple of two tensors of shape (n_rows,), int64
        `positive_codes` of the larger and of the smaller part of each row.
    key_codes : tensor of shape (n_keys,), int64
        The same of the larger part of each key, for which alone it stands.
    factor : tensor of shape (n_rows,)
        Share :math:`\lambda` of the larger part.
    temperature : float
        :math:`\tau`.
    compared : tensor of shape (n_rows, n_keys), bool, or None, default=None
        Which pairs count; None: all.

    Returns
    -------
    tensor of shape (n_rows,), in nats
        :math:`\lambda L_a + (1 - \lambda) L_b`, where :math:`L_c` is the mean over the keys j of
        code c of :math:`-\log \left( e^{z_i \cdot z_j / \tau} / \sum_r e^{z_i \cdot z_r / \tau}
        \right)`; a part without such a key counts nothing.

    References
    ----------
    Ortego et al., "Multi-Objective Interpolation Training for Robustness to Label Noise", CVPR
    2021.

    Examples
    --------
    >>> z, codes = torch.eye(2), torch.tensor([0, 1])
    >>> interpolated_contrastive(z, z, (codes, codes.flip(0)), codes, torch.ones(2), 1.0)
    tensor([0.3133, 0.3133])
    """
    similarity = z @ keys.T / temperature
    if compared is None:
        compared = torch.ones_like(similarity, dtype=torch.bool)
    log_p = log_softmax(similarity.masked_fill(~compared, -torch.inf), dim=1)
    parts = []
    for code in codes:
        positive = (code.unsqueeze(1) == key_codes) & compared
        total = log_p.masked_fill(~positive, 0.0).sum(1)
        parts.append(-total / positive.sum(1).clamp_min(1))
    return torch.lerp(parts[1], parts[0], factor)


class ContrastiveMemory:
    """The projections of the last rows that were trained on, without their gradient.

    Parameters
    ----------
    capacity : int
        Rows that are kept.

    Attributes
    ----------
    z : tensor of shape (n_rows, n_dimensions), or None
        Projections, the latest first; None before the first batch.
    codes : tensor of shape (n_rows,), or None
        Their `positive_codes`.

    Examples
    --------
    >>> memory = ContrastiveMemory(capacity=3)
    >>> for i in range(2):
    ...     memory.push(torch.full((2, 1), float(i)), torch.tensor([i, i]))
    >>> memory.codes
    tensor([1, 1, 0])
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.z: Tensor | None = None
        self.codes: Tensor | None = None

    def push(self, z: Tensor, codes: Tensor) -> None:
        """Add the rows of a batch; the oldest ones leave."""
        if self.z is not None and self.codes is not None:
            z, codes = torch.cat([z, self.z]), torch.cat([codes, self.codes])
        self.z, self.codes = z[: self.capacity], codes[: self.capacity]


def partly_labeled_cross_entropy(loss: Tensor, target: Tensor) -> Tensor:
    """Average the losses of mixed rows, some of whose parts have no target.

    Parameters
    ----------
    loss : tensor of shape (n_rows,)
        `soft_cross_entropy` of each row against its target, weighted as the user says.
    target : tensor of shape (n_rows, n_classes)
        Mixed targets; a part without a target has added nothing, so that the sum of a row is the
        share that has one.

    Returns
    -------
    tensor of shape ()
        The mean over these shares, 0 where there are none.

    Examples
    --------
    >>> target = torch.tensor([[0.75, 0.0], [0.25, 0.0]])
    >>> partly_labeled_cross_entropy(torch.tensor([1.5, 1.0]), target)
    tensor(2.5000)
    """
    share = target.sum()
    return torch.where(share > 0, loss.sum() / share.clamp_min(1e-30), 0.0)
