"""MILD: rounds of selection by memorisation and forgetting dynamics (Hu et al. 2023)."""

from noisyfit.methods.mild._metric import selection_metric
from noisyfit.methods.mild._rounds import Round
from noisyfit.methods.mild._selector import MILDSelector

__all__ = ["MILDSelector", "Round", "selection_metric"]
