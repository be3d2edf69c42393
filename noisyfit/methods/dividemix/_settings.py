"""What DivideMix is set to, all numbers settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class ThresholdSettings(NamedTuple):
    """What divides by quantiles of losses; see `noisyfit.methods.dlt`."""

    noise_rate: float
    """w of Eq. 7 of Yang et al. 2021."""
    ramp_epochs: int
    """T_grad."""
    window: int | None
    """s, in batches; None: the last epoch strategy."""


class DivideSettings(NamedTuple):
    """What DivideMix is set to; symbols of the paper, all numbers settled."""

    warmup_epochs: int
    """Epochs of plain training, at least 1."""
    p_threshold: float
    """tau: a label is believed if the other network's w is above it."""
    temperature: float
    """T of sharpening."""
    mixup_alpha: float
    """alpha, both parameters of the beta distribution of mixup's factor; 0: no mixup."""
    lambda_noisy: float
    """lambda_u."""
    lambda_ramp_epochs: int
    """Epochs after the warm-up over which lambda_u rises from 0."""
    lambda_prior: float
    """lambda_r."""
    prior: np.ndarray | None
    """pi, (n_classes,); None: uniform."""
    threshold: ThresholdSettings | None = None
    """DLT's threshold in place of the mixture."""
