"""Random views of batches of vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from noisyfit.augment._checks import check_range, float_dtype

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(eq=False)
class FeatureJitter:
    """Add Gaussian noise of standard deviation ``scale * std`` to every feature.

    Parameters
    ----------
    std : Tensor of shape (n_features,)
        Standard deviation of each feature, finite and at least 0; kept on the CPU.
    scale : float, default=0.1
        Noise in standard deviations, at least 0.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 7.0], [10.0, 7.0]])
    >>> jitter = FeatureJitter.from_data(x, scale=0.1)
    >>> jitter.std
    tensor([5., 0.])
    >>> jitter(x)[:, 1]
    tensor([7., 7.])
    """

    std: Tensor = field(repr=False)
    scale: float = 0.1

    def __post_init__(self) -> None:
        # On the CPU, so that a pickle made on a GPU machine loads anywhere.
        self.std = torch.as_tensor(self.std).detach().cpu()
        if self.std.ndim != 1 or not bool(((self.std >= 0) & self.std.isfinite()).all()):
            raise ValueError(f"std must be a vector, finite and at least 0. Got {self.std}.")
        check_range("scale", self.scale, 0)

    @classmethod
    def from_data(cls, X: Tensor | ArrayLike, scale: float = 0.1) -> FeatureJitter:
        """Take the standard deviations from the rows of `X`, of shape (n_samples, n_features)."""
        X = torch.as_tensor(X)
        return cls(X.to(float_dtype(X)).std(0, correction=0), scale)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the rows of `x`, which must be floating-point, with noise added."""
        if x.shape[1:] != self.std.shape or not x.is_floating_point():
            raise ValueError(
                f"FeatureJitter needs floating-point rows of shape {tuple(self.std.shape)}. "
                f"Got {x.dtype} rows of shape {tuple(x.shape[1:])}."
            )
        # From pageable memory this copy is staged: the host does not wait for the device.
        std = self.std.to(x.device, x.dtype, non_blocking=True)
        return x + self.scale * std * torch.randn_like(x)


@dataclass(frozen=True)
class FeatureMask:
    """Replace features of every row by the same features of random rows of the batch.

    Parameters
    ----------
    p : float, default=0.3
        Probability that a feature is replaced, in [0, 1].

    Notes
    -----
    The replacement is a draw from the feature's marginal distribution, as in SCARF (Bahri et
    al., ICLR 2022) and VIME (Yoon et al., NeurIPS 2020), not its mean: a drawn value is one that
    occurs (a category stays a category) and nothing has to be fitted. The marginal distribution is
    that of the batch, the row itself included, so that a batch of one row stays as it is. As in
    VIME each feature is masked independently; SCARF replaces a fixed number in each row.

    Examples
    --------
    >>> x = torch.tensor([[1, 10], [2, 20], [3, 30]])
    >>> FeatureMask(p=1.0)(x)[:, 1] % 10
    tensor([0, 0, 0])
    """

    p: float = 0.3

    def __post_init__(self) -> None:
        check_range("p", self.p, 0, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the rows of `x` with some features replaced."""
        donor = torch.randint(max(len(x), 1), x.shape, device=x.device)
        masked = torch.rand(x.shape, device=x.device) < self.p
        return torch.where(masked, x.gather(0, donor), x)
