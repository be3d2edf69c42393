"""Several views of each label, combined: the estimator to start with."""

from noisyfit.ensemble._consensus import ConsensusClassifier

__all__ = ["ConsensusClassifier"]
