"""joblib's backends: folds in threads and in processes; clusters are in `test_clusters.py`."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
from _trial import GIVEN, MILD, X, client, every_estimator
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import cross_val_predict
from torch import nn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]


def assert_same_as_alone(est, n_jobs):
    """Folds that run side by side predict what they do one after another."""
    alone = cross_val_predict(clone(est), X, GIVEN, cv=2, method="predict_proba", n_jobs=None)
    found = cross_val_predict(clone(est), X, GIVEN, cv=2, method="predict_proba", n_jobs=n_jobs)
    np.testing.assert_allclose(found, alone, atol=1e-4)


@client("joblib")
@every_estimator
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_backend(est, backend):
    """`cross_val_predict(est, ..., n_jobs=2)` with the backend `{backend}`."""
    with joblib.parallel_config(backend, n_jobs=2):
        assert_same_as_alone(est, 2)


@client("joblib")
def test_network_of_a_notebook():
    """A network that was defined in a notebook, in `BaggingClassifier(est, n_jobs=2)` by loky."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))

        def forward(self, x):
            return self.layers(x)

    Own.__module__, Own.__qualname__ = "__main__", "Own"  # as in a notebook
    est = clone(MILD).set_params(module=Own)
    bag = BaggingClassifier(est, 2, n_jobs=2, random_state=0).fit(X, GIVEN)
    assert bag.predict(X).shape == GIVEN.shape
