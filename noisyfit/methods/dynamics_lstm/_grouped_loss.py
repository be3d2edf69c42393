"""Cross-entropy in which each group of sequences has its own scale and offset."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

_SHRINKAGE = 1e-4


class GroupedLoss(nn.Module):
    r"""Cross-entropy of two logits whose difference d is scaled and shifted for each group g.

    The log-odds of a row of group g are :math:`e^{s_g} d + b_g`, and :math:`s_g` and :math:`b_g`
    are learned together with the network. The network then has to learn only the order of the rows
    within each group, not how hard a group is or how many of its labels are wrong.

    Parameters
    ----------
    groups : ndarray of shape (n_rows,), int64
        Group of each row id, counted from 0.
    marks : ndarray of shape (n_rows,), bool
        Whether each row's label is wrong. The offsets start at the log-odds of the groups' noise
        rates.
    reduction : "none"
        Not used; `noisyfit.training.NoisyNet` passes it to every loss.
    """

    groups: Tensor

    def __init__(self, groups: np.ndarray, marks: np.ndarray, reduction: str = "none") -> None:
        super().__init__()
        n_groups = int(groups.max()) + 1
        wrong = np.bincount(groups, weights=marks, minlength=n_groups) + 1
        right = np.bincount(groups, weights=~marks, minlength=n_groups) + 1
        self.log_scale = nn.Parameter(torch.zeros(n_groups))
        self.offset = nn.Parameter(torch.from_numpy(np.log(wrong / right)).float())
        self.register_buffer("groups", torch.from_numpy(groups))

    def forward(self, logits: Tensor, y: Tensor, ids: Tensor) -> Tensor:
        """Compute the losses (n,) from logits (n, 2), labels (n,) in {0, 1} and row ids (n,)."""
        group = self.groups[ids.to(self.groups.device)]
        scale = self.log_scale[group]
        log_odds = scale.exp() * (logits[:, 1] - logits[:, 0]) + self.offset[group]
        loss = binary_cross_entropy_with_logits(log_odds, y.float(), reduction="none")
        return loss + _SHRINKAGE * scale**2
