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

CHECKED = [
    MILDSelector(),
    MILDSelector(
        rounds=2, max_epochs=10, batch_size=16, module__hidden=(32,), optimizer__momentum=0.5
    ),
    DLTClassifier(),
    DLTClassifier(
        strategy="last_epoch",
        noise_rate=0.1,
        max_epochs=20,
        batch_size=16,
        module__hidden=(32,),
        optimizer__momentum=0.5,
    ),
    DynamicsLSTMDetector(),
    DynamicsLSTMDetector(
        recording="held_out",
        remove=0.1,
        max_epochs=10,
        batch_size=16,
        module__hidden=(32,),
        optimizer__momentum=0.5,
    ),
    MetaRelabelClassifier(max_epochs=10),  # its steps take ten times as long as the others'
    MetaRelabelClassifier(
        relabel=False,
        consistency=1.0,
        meta_gradient="double_backward",
        max_epochs=6,
        batch_size=32,
        module__hidden=(32,),
        optimizer__momentum=0.5,
    ),
]
"""Instances for scikit-learn's checks: defaults, and parameters of the network and optimizer."""
