"""joblib's backends: folds in threads, in processes, and on clusters of dask and ray."""

from __future__ import annotations

import os
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from _trial import GIVEN, MILD, X, client, every_estimator
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict
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


@contextmanager
def dask_cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield


@contextmanager
def ray_cluster():
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False
    )
    try:
        yield
    finally:
        ray.shutdown()


@client("dask", "joblib")
@pytest.mark.filterwarnings("ignore")  # of the cluster
def test_dask():
    """`parallel_config("dask")`: folds on a `LocalCluster` of two workers."""
    with dask_cluster(), joblib.parallel_config("dask"):
        assert_same_as_alone(MILD, 2)


@client("dask", "joblib")
@pytest.mark.filterwarnings("ignore")  # of the cluster
def test_search_on_dask():
    """`GridSearchCV(est, grid)` on a `LocalCluster`: the results of one process, a thread each."""

    def threads(est, X, y):
        return torch.get_num_threads()

    def process(est, X, y):
        return os.getpid()

    scoring = {"accuracy": "accuracy", "threads": threads, "process": process}
    grid = {"lr": [0.01, 0.05], "module__hidden": [(4,), (8,)]}
    search = GridSearchCV(clone(MILD), grid, scoring=scoring, refit="accuracy", cv=2)
    alone = clone(search).fit(X, GIVEN)
    with dask_cluster(), joblib.parallel_config("dask"):
        found = clone(search).fit(X, GIVEN)
    for split in ("split0_test", "split1_test"):
        results = found.cv_results_
        np.testing.assert_array_equal(
            results[f"{split}_accuracy"], alone.cv_results_[f"{split}_accuracy"]
        )
        assert (results[f"{split}_threads"] == 1).all()
        assert os.getpid() not in results[f"{split}_process"]
    workers = {p for s in ("split0", "split1") for p in found.cv_results_[f"{s}_test_process"]}
    assert len(workers) == 2
    assert found.best_params_ == alone.best_params_
    np.testing.assert_allclose(
        found.best_estimator_.noise_scores_, alone.best_estimator_.noise_scores_, atol=1e-6
    )


@client("ray", "joblib")
@pytest.mark.filterwarnings("ignore")  # of the cluster
def test_ray(monkeypatch):
    """`register_ray()`, `parallel_config("ray")`: folds on two workers."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with ray_cluster(), joblib.parallel_config("ray"):
        assert_same_as_alone(MILD, 2)
