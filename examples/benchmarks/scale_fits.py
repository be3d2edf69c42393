"""Memory and threads of the workers that run the fits of a search: of loky, Dask and Ray.

For each backend two workers are started, which search a small table, so that all is loaded, and
then a large one: four settings in two folds, float32 in random numbers with a fifth of the labels
wrong. A scorer asks the worker after each fit for the most memory that it has had (VmHWM, in which
the pages count that workers share) and for torch's threads. A number of threads in the
environment would be taken over by the workers, and is removed.

    python examples/benchmarks/scale_fits.py
"""

from __future__ import annotations

import argparse
import os
from contextlib import contextmanager

import joblib
import numpy as np
from report import markdown, save
from sklearn.model_selection import GridSearchCV

from noisyfit import MILDSelector

GRID = {"lr": [0.02, 0.05], "optimizer__momentum": [0.5, 0.9]}
N_CLASSES, FOLDS = 5, 2


def table(n_rows: int, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and labels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
    y = (X @ rng.normal(size=(n_columns, N_CLASSES))).argmax(1)
    wrong = rng.random(n_rows) < 0.2
    y[wrong] = rng.integers(N_CLASSES, size=wrong.sum())
    return X, y


@contextmanager
def loky():
    """Nothing has to be started."""
    yield


@contextmanager
def dask():
    """Start two workers as docs/scale.md has it."""
    from dask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=None) as made, Client(made):
        yield


@contextmanager
def ray():
    """Start two workers as docs/scale.md has it."""
    import ray
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=500_000_000)
    yield
    ray.shutdown()


CLUSTERS = {"loky": loky, "dask": dask, "ray": ray}


def scorers() -> dict:
    """Return what is asked of a worker; functions in a function go there as they are."""

    def peak(est, X, y):
        from pathlib import Path

        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    def threads(est, X, y):
        import torch

        return torch.get_num_threads()

    def process(est, X, y):
        return os.getpid()

    return {"accuracy": "accuracy", "peak": peak, "threads": threads, "process": process}


def search(backend: str, X: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Search, and return what the scorers found in each fit."""
    est = MILDSelector(
        rounds=1,
        max_epochs=2,
        batch_size=4096,
        judge_epochs=0,
        module__hidden=(64,),
        device="cpu",
        random_state=0,
    )
    fits = GridSearchCV(est, GRID, scoring=scorers(), refit=False, cv=FOLDS, error_score="raise")
    with joblib.parallel_config(backend, n_jobs=2):
        results = fits.fit(X, y).cv_results_
    return {
        name: np.ravel([results[f"split{k}_test_{name}"] for k in range(FOLDS)])
        for name in scorers()
    }


def run(backend: str, sizes: list[int], n_columns: int) -> list[dict]:
    """Search tables that grow on workers that are started once."""
    with CLUSTERS[backend]():
        runs = []
        for n_rows in (1000, *sizes):
            found = search(backend, *table(n_rows, n_columns))
            runs.append({name: values.tolist() for name, values in found.items()})
            runs[-1] |= {"backend": backend, "n_rows": n_rows}
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--backends", nargs="+", default=list(CLUSTERS), choices=list(CLUSTERS))
    args = parser.parse_args()
    os.environ.pop("OMP_NUM_THREADS", None)
    runs = [r for name in args.backends for r in run(name, sorted(args.rows), args.columns)]
    scores = {r["n_rows"]: r["accuracy"] for r in runs}
    assert all(scores[r["n_rows"]] == r["accuracy"] for r in runs), "backends differ"
    lines = []
    for r in runs:
        first = next(o for o in runs if o["backend"] == r["backend"])
        most, before = max(r["peak"]) / 1e6, max(first["peak"]) / 1e6
        size = 4e-6 * r["n_rows"] * args.columns
        more = "-" if r is first else f"{most - before:,.0f}"
        line = [r["backend"], f"{r['n_rows']:,}", f"{size:,.1f}", f"{most:,.0f}", more]
        lines.append([*line, f"{max(r['threads']):.0f}", len({*r["process"]})])
    head = ["backend", "rows", "MB of the table", "MB of a worker at most", "more than at first"]
    head += ["threads of torch", "workers"]
    text = (
        f"GridSearchCV of {len(GRID['lr']) * len(GRID['optimizer__momentum'])} settings in "
        f"{FOLDS} folds over MILDSelector(rounds=1, max_epochs=2, batch_size=4096, "
        f"judge_epochs=0) with a hidden layer of 64, {args.columns} float32 columns. All "
        "backends found the same accuracies.\n\n" + markdown(head, lines)
    )
    save("scale_fits", text, {"runs": runs})


if __name__ == "__main__":
    main()
