"""Meta re-labelling: a few trusted rows teach weights and labels (Zhang et al. 2020)."""

from noisyfit.methods.meta_relabel._classifier import MetaRelabelClassifier

__all__ = ["MetaRelabelClassifier"]
