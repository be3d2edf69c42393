"""Files of fitted estimators and of fits that are not finished, without pickle."""

from noisyfit.persistence._checkpoint import FitCheckpoint, StageCheckpoint
from noisyfit.persistence._estimator_file import load, save_estimator
from noisyfit.persistence._fit_identity import hash_values, identity_of_fit
from noisyfit.persistence._held_folder import held_folder
from noisyfit.persistence._replace import check_replaceable, is_tensor_file
from noisyfit.persistence._tensor_file import read_tensors, write_tensors

__all__ = ["load"]
