"""scikit-learn estimators for training torch networks on noisy labels."""

from noisyfit._show_versions import show_versions
from noisyfit.ensemble import ConsensusClassifier
from noisyfit.methods.dividemix import DivideMixClassifier
from noisyfit.methods.dlt import DLTClassifier
from noisyfit.methods.dynamics_lstm import DynamicsLSTM, DynamicsLSTMDetector
from noisyfit.methods.meta_relabel import MetaRelabelClassifier
from noisyfit.methods.mild import MILDSelector
from noisyfit.persistence import load
from noisyfit.review import debug_labels

__all__ = [
    "ConsensusClassifier",
    "DLTClassifier",
    "DivideMixClassifier",
    "DynamicsLSTM",
    "DynamicsLSTMDetector",
    "MILDSelector",
    "MetaRelabelClassifier",
    "debug_labels",
    "load",
    "show_versions",
]
__version__ = "0.1.0.dev1"  # a checkpoint goes on under the version that began it
