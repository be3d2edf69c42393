"""What every estimator is: scikit-learn's contract, and the interface for authors of methods."""

from noisyfit.base._classifier import BaseNoisyClassifier
from noisyfit.base._decisions import chosen_recording, noise_scores, ranked_by_both, settled
from noisyfit.base._fit_task import FitResult, FitTask, make_task
from noisyfit.base._fitted_labels import import_pandas
from noisyfit.base._fitted_on import check_fitted_on, check_labels_of_fit
from noisyfit.base._guard import paired_difference
from noisyfit.base._judging import Verdict, make_verdict, plain_settings
from noisyfit.base._plain_run import PlainRun, plain_stage, train_plainly
from noisyfit.base._pooling import accuracy_weights
from noisyfit.base._trainer import Trainer, auto_batch_size

__all__ = ["BaseNoisyClassifier", "FitResult", "FitTask", "Trainer", "make_task"]
