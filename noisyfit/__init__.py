"""scikit-learn estimators for training torch networks on noisy labels."""

__version__ = "0.1.0.dev0"
