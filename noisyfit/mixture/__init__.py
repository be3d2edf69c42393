"""Two-component one-dimensional mixtures on weighted values."""

from noisyfit.mixture._collapse import shift_positive
from noisyfit.mixture._mixtures import GaussianMixture1D, WeibullMixture

__all__ = ["GaussianMixture1D", "WeibullMixture"]
