"""What the trials share: a small problem, and every estimator with settings that are quick."""

from __future__ import annotations

import numpy as np
import pytest
from _estimators import QUICK
from sklearn.base import clone
from sklearn.datasets import make_blobs

ESTIMATORS = [clone(est).set_params(max_epochs=4, lr=0.05) for est in QUICK]
for _est in ESTIMATORS:
    for _name in {"warmup_epochs", "estimation_epochs"} & set(_est.get_params()):
        _est.set_params(**{_name: 2})

MILD = ESTIMATORS[0]

every_estimator = pytest.mark.parametrize("est", ESTIMATORS, ids=lambda est: type(est).__name__)

client = pytest.mark.client


def blobs(n=120):
    """Return rows of three classes, their true labels, and labels of which a sixth is wrong."""
    X, y = make_blobs(n, centers=3, random_state=0, cluster_std=0.7)
    given = y.copy()
    given[::6] = (y[::6] + 1) % 3
    return X, y, given


X, TRUE, GIVEN = blobs()
TRUSTED = np.arange(len(X)) % 4 == 1
"""Verified rows, some of each class; none of them is wrong."""
assert not (GIVEN != TRUE)[TRUSTED].any()
