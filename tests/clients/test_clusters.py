"""Searches and folds on clusters of dask and ray, of two workers: as in one process."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from _trial import GIVEN, MILD, X, blobs, client
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    cross_validate,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the clusters
]

GRID = {"lr": [0.01, 0.05], "module__hidden": [(4,), (8,)]}


@contextmanager
def dask_cluster():
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.scheduler.active-memory-manager.start": False}),
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100_000_000,
            log_to_driver=False,
        )
    try:
        yield
    finally:
        ray.shutdown()


CLUSTERS = {"dask": dask_cluster, "ray": ray_cluster}


@pytest.fixture(scope="module")
def cluster(request):
    """Start a cluster for all tests of its software; nothing here tells it how many threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        with CLUSTERS[request.param]():
            yield request.param


def on_cluster(*names):
    params = [pytest.param(name, marks=client(name, "joblib")) for name in names]
    return pytest.mark.parametrize("cluster", params, indirect=True)


on_each_cluster = on_cluster(*CLUSTERS)


def scorers():
    """Return what is asked of each fold.

    Functions within a function are sent to the workers as they are: these do not import this file.
    """

    def threads(est, X, y):
        return torch.get_num_threads()

    def process(est, X, y):
        return os.getpid()

    return {"accuracy": "accuracy", "threads": threads, "process": process}


def assert_divided(threads, processes):
    """Fits ran in the workers alone, with one thread each."""
    assert {*np.ravel(threads)} == {1}
    assert len({*np.ravel(processes)}) <= 2  # where the second begins late, in one of them
    assert os.getpid() not in np.ravel(processes)


def assert_same_search(found, alone, score="score"):
    splits = [key for key in alone.cv_results_ if key.endswith(f"_test_{score}") and "split" in key]
    assert len(splits) >= 2
    for key in splits:
        np.testing.assert_array_equal(found.cv_results_[key], alone.cv_results_[key], err_msg=key)
    assert found.best_params_ == alone.best_params_


@on_each_cluster
def test_grid_search(cluster):
    """`GridSearchCV(est, grid, n_jobs=-1)` on two workers: the results of one process."""
    search = GridSearchCV(clone(MILD), GRID, scoring=scorers(), refit="accuracy", cv=2)
    alone = clone(search).fit(X, GIVEN)
    with joblib.parallel_config(cluster):
        found = clone(search).set_params(n_jobs=-1).fit(X, GIVEN)
    assert_same_search(found, alone, "accuracy")
    np.testing.assert_allclose(
        found.best_estimator_.noise_scores_, alone.best_estimator_.noise_scores_, atol=1e-6
    )
    told = [[found.cv_results_[f"split{k}_test_{name}"] for k in (0, 1)] for name in scorers()]
    assert_divided(*told[1:])


@on_each_cluster
def test_halving_search(cluster):
    """`HalvingGridSearchCV(est, grid, resource="max_epochs")`: the results of one process."""
    search = HalvingGridSearchCV(
        clone(MILD), GRID, resource="max_epochs", max_resources=4, factor=2, cv=2, random_state=0
    )
    alone = clone(search).fit(X, GIVEN)
    with joblib.parallel_config(cluster):
        found = clone(search).set_params(n_jobs=-1).fit(X, GIVEN)
    assert found.n_resources_ == alone.n_resources_ == [1, 2, 4]
    assert_same_search(found, alone)


@on_each_cluster
def test_cross_validate(cluster):
    """`cross_validate(est, X, y, return_estimator=True)`: estimators and scores of one process."""
    asked = {"cv": 4, "scoring": scorers(), "return_estimator": True}
    alone = cross_validate(clone(MILD), X, GIVEN, **asked)
    with joblib.parallel_config(cluster):
        found = cross_validate(clone(MILD), X, GIVEN, n_jobs=-1, **asked)
    np.testing.assert_array_equal(found["test_accuracy"], alone["test_accuracy"])
    for one, other in zip(found["estimator"], alone["estimator"], strict=True):
        np.testing.assert_allclose(one.noise_scores_, other.noise_scores_, atol=1e-6)
    assert_divided(found["test_threads"], found["test_process"])


@on_each_cluster
def test_common_checkpoint(cluster, tmp_path):
    """`checkpoint="folder"` in `cross_validate(est, X, y)` is refused: the folds would share it."""
    est = clone(MILD).set_params(checkpoint=tmp_path)
    with (
        joblib.parallel_config(cluster),
        pytest.raises(ValueError, match=r"is in use by another fit|is of another fit"),
    ):
        cross_validate(est, X, GIVEN, cv=2, n_jobs=-1, error_score="raise")


ROWS, _, LABELS = blobs(600)
FOLDS = list(StratifiedKFold(5).split(ROWS, LABELS))


def killed_once(folder):
    """Return a score that kills its process the fourth time it is asked for."""

    def score(est, X, y):
        (folder / f"{len(list(folder.iterdir()))}-{os.getpid()}").touch()
        if len(list(folder.iterdir())) >= 4:
            try:
                (folder / "killed").mkdir()  # by one process alone
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return est.score(X, y)

    return score


def search_with_a_kill(folder, **config):
    """Search with a worker that is killed, and in this process."""
    scoring = killed_once(folder)
    # No clone of it, which would have copies of the folds that no worker holds.
    search = GridSearchCV(clone(MILD).set_params(rounds=1), GRID, cv=FOLDS, scoring=scoring)
    with joblib.parallel_config(**config):
        found = search.set_params(n_jobs=-1).fit(ROWS, LABELS)
    assert (folder / "killed").exists()
    alone = clone(search).set_params(n_jobs=None, scoring=None).fit(ROWS, LABELS)
    assert_same_search(found, alone)


@on_cluster("dask")
def test_killed_worker_of_dask(cluster, tmp_path):
    """A worker that is killed, with all arrays on all workers: its folds are done again."""
    arrays = [ROWS, LABELS, *(rows for fold in FOLDS for rows in fold)]
    search_with_a_kill(tmp_path, backend=cluster, scatter=arrays)


@on_cluster("ray")
def test_killed_worker_of_ray(cluster, tmp_path):
    """A worker that is killed, with `ray_remote_args=`: its folds are done again."""
    again = {"max_restarts": 3, "max_task_retries": 3}
    search_with_a_kill(tmp_path, backend=cluster, ray_remote_args=again)


@on_cluster("ray")
def test_killed_worker_without_restarts(cluster, tmp_path):
    """A worker that is killed, without `ray_remote_args=`: the search ends with an error."""
    ray = pytest.importorskip("ray")
    with pytest.raises(ray.exceptions.RayActorError, match="worker process has died"):
        search_with_a_kill(tmp_path, backend=cluster)
