"""Two networks that divide the labels for each other (Li, Socher and Hoi 2020)."""

from noisyfit.methods.dividemix._classifier import DivideMixClassifier

__all__ = ["DivideMixClassifier"]
