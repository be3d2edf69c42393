"""Every estimator, with settings that are quick on toy data. A new method adds its lines here."""

from noisyfit import (
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)

QUICK = [
    MILDSelector(rounds=2, max_epochs=10, random_state=0),
    DLTClassifier(estimation_epochs=6, max_epochs=12, random_state=0),
    DynamicsLSTMDetector(max_epochs=12, random_state=0),
    MetaRelabelClassifier(warmup_epochs=4, max_epochs=12, random_state=0),
]
"""One instance of each estimator, for our own checks; tests fit clones."""

SMALL = {
    "max_epochs": 3,
    "batch_size": 16,
    "lr": 0.1,
    "module__hidden": (8,),
    "optimizer__momentum": 0.5,
}
CHECKED = [
    # As they come, so that scikit-learn's checks see the default settings once.
    MILDSelector(),
    DLTClassifier(max_epochs=20),  # its steps take four times as long as plain ones
    DynamicsLSTMDetector(),
    MetaRelabelClassifier(max_epochs=10),  # and ten times
    # The other choices of each method, with a small network, a few epochs, and parameters that
    # belong to the network and the optimizer.
    MILDSelector(rounds=2, **SMALL),
    DLTClassifier(strategy="last_epoch", noise_rate=0.1, debias=1.0, **SMALL),
    DynamicsLSTMDetector(recording="held_out", remove=0.1, **SMALL),
    MetaRelabelClassifier(relabel=False, consistency=1.0, meta_gradient="double_backward", **SMALL),
]
"""Instances for scikit-learn's checks."""
