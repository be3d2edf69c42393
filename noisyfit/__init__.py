"""scikit-learn estimators for training torch networks on noisy labels."""

from noisyfit.dlt import DLTClassifier
from noisyfit.mild import MILDSelector

__all__ = ["DLTClassifier", "MILDSelector"]
__version__ = "0.1.0.dev0"
