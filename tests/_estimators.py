"""Every estimator, with settings that are quick on toy data. A new method adds its lines here."""

import pytest
from sklearn.base import clone

from noisyfit import (
    ConsensusClassifier,
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)

QUICK = [
    MILDSelector(rounds=2, max_epochs=8, judge_epochs=0, random_state=0),
    DLTClassifier(estimation_epochs=4, max_epochs=8, judge_epochs=0, random_state=0),
    DynamicsLSTMDetector(max_epochs=8, judge_epochs=0, random_state=0),
    MetaRelabelClassifier(warmup_epochs=3, max_epochs=8, judge_epochs=0, random_state=0),
    ConsensusClassifier(judge=None, max_epochs=8, judge_epochs=5, random_state=0),
    DivideMixClassifier(
        division="dlt", estimation_epochs=4, n_views=1, max_epochs=8, judge_epochs=0, random_state=0
    ),
]
"""One instance of each estimator, for our own checks; tests fit clones."""

SEMI_SUPERVISED = [
    clone(QUICK[0]).set_params(semi_supervised=kind, rounds=1, final_epochs=8)
    for kind in ("mixmatch", "mixup_contrastive")
]
"""`MILDSelector` with a last training of another kind."""

QUICKER = [clone(est).set_params(max_epochs=3) for est in QUICK]
for _est in QUICKER:
    for _name in {"warmup_epochs", "estimation_epochs"} & set(_est.get_params()):
        _est.set_params(**{_name: 2})
    _est.set_params(judge_epochs=min(_est.judge_epochs, 2))
"""The same where no fit has to find anything."""

SMALL = {
    "max_epochs": 3,
    "batch_size": 16,
    "lr": 0.1,
    "module__hidden": (8,),
    "optimizer__momentum": 0.5,
}
AS_THEY_COME = [
    MILDSelector(max_epochs=8),
    DLTClassifier(max_epochs=8),
    DynamicsLSTMDetector(max_epochs=8),
    MetaRelabelClassifier(max_epochs=10),  # its steps take ten times as long as plain ones
    DivideMixClassifier(max_epochs=8),
    ConsensusClassifier(max_epochs=8),
]
"""But for fewer epochs: instances for those of scikit-learn's checks that settings may matter to.

A check takes ten times as long with them as with CHECKED; the slow tests have all of them.
"""

CHECKED = [
    MILDSelector(rounds=2, judge_epochs=0, **SMALL),
    DLTClassifier(strategy="last_epoch", noise_rate=0.1, debias=1.0, judge_epochs=0, **SMALL),
    DynamicsLSTMDetector(recording="held_out", remove=0.1, judge_epochs=0, **SMALL),
    MetaRelabelClassifier(
        relabel=False, consistency=1.0, meta_gradient="double_backward", judge_epochs=0, **SMALL
    ),
    ConsensusClassifier(judge=None, loss="early_learning", judge_epochs=2, **SMALL),
    DivideMixClassifier(noise_rate=0.1, judge_epochs=0, **SMALL),
]
"""Instances for scikit-learn's checks: other choices of each method than the default ones, with
a small network, a few epochs, and parameters that belong to the network and the optimizer."""


def name_of(est):
    """Name an estimator in the id of a test."""
    return " ".join(filter(None, (type(est).__name__, vars(est).get("semi_supervised"))))


def slow_but(names, estimators):
    """Return parameters of tests: estimators of other names are for the slow tests only."""
    return [
        pytest.param(est, id=name_of(est), marks=() if name_of(est) in names else pytest.mark.slow)
        for est in estimators
    ]


READERS = ("MILDSelector", "MetaRelabelClassifier")
"""They read rows in the two ways that there are: one loader, and one beside another for trusted
rows. What happens to `X` and `y` before a method sees them is tried with these two in every run."""
