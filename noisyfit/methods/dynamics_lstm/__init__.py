"""An LSTM that reads training dynamics (Jia et al. 2023)."""

from noisyfit.methods.dynamics_lstm._detector import DynamicsLSTM
from noisyfit.methods.dynamics_lstm._estimator import DynamicsLSTMDetector

__all__ = ["DynamicsLSTM", "DynamicsLSTMDetector"]
