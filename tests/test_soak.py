"""Many fits in one process, several processes at once, and a fit that runs out of memory."""

import gc
import multiprocessing
import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from _estimators import QUICK
from sklearn.base import clone
from sklearn.datasets import make_blobs

from noisyfit import MILDSelector

X, TRUE = make_blobs(120, 4, centers=3, random_state=0)
Y = np.where(np.arange(120) < 15, (TRUE + 1) % 3, TRUE)
PROC = Path("/proc/self")
needs_proc = pytest.mark.skipif(not PROC.exists(), reason="reads /proc")


def held():
    """Count memory in bytes, open files and threads of this process."""
    gc.collect()
    pages = int((PROC / "statm").read_text().split()[1])
    memory = pages * resource.getpagesize()
    return memory, len(os.listdir(PROC / "fd")), threading.active_count()


@pytest.mark.slow
@needs_proc
def test_200_fits_hold_on_to_nothing(tmp_path):
    est = [
        clone(quick).set_params(max_epochs=4, record_folder=tmp_path, random_state=None)
        for quick in QUICK
    ]
    for _ in range(10):  # what libraries keep, they keep from the first fits on
        for one in est:
            one.fit(X, Y, trusted=np.arange(120) > 100)
    memory, files, threads = held()
    for _ in range(50):
        for one in est:
            one.fit(X, Y, trusted=np.arange(120) > 100)
    memory_then, files_then, threads_then = held()
    print(f"\n200 fits: {(memory_then - memory) / 2**20:+.1f} MiB")
    assert memory_then - memory < 16 * 2**20
    assert (files_then, threads_then) == (files, threads)


def fit_scores(est, queue):
    torch.set_num_threads(1)
    queue.put(est.fit(X, Y).noise_scores_)


@pytest.mark.slow
def test_eight_fits_at_once_agree():
    est = MILDSelector(rounds=2, max_epochs=5, random_state=0)
    expected = clone(est).fit(X, Y).noise_scores_
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=fit_scores, args=(est, queue)) for _ in range(8)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    for scores in results:
        np.testing.assert_array_equal(scores, expected)


def fit_in_little_memory(queue):
    torch.set_num_threads(1)
    rows = np.zeros((20_000, 500), dtype=np.float32)  # 40 MB; standardised, another 40
    rows[:, 0] = np.arange(20_000) % 2
    used = int((PROC / "statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 30 * 2**20, resource.RLIM_INFINITY))
    try:
        MILDSelector(rounds=1, max_epochs=1).fit(rows, np.arange(20_000) % 2)
        queue.put("no error")
    except BaseException as error:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        queue.put(f"{type(error).__name__}: {error}")


@pytest.mark.slow
@needs_proc
def test_too_little_memory_is_an_error_with_a_name():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=fit_in_little_memory, args=(queue,))
    process.start()
    told = queue.get(timeout=120)
    process.join()
    assert process.exitcode == 0
    assert "memory" in told.lower() or "allocate" in told.lower(), told
