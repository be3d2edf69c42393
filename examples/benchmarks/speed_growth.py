"""Part "growth" of `speed.py`: time and memory against rows, epochs and classes."""

from __future__ import annotations

import ctypes
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from report import markdown

from noisyfit import DynamicsLSTM, MILDSelector
from noisyfit.dynamics import TrainingDynamics, given_label_statistics
from noisyfit.label_quality import calibrate, spare_last_rows
from noisyfit.mixture import WeibullMixture, shift_positive

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCHS = 20


def dynamics_of(n_rows: int, n_epochs: int, quantities: tuple[str, ...]) -> TrainingDynamics:
    """Draw records epoch by epoch; a fifth of the rows is learned late."""
    rng = np.random.default_rng(0)
    dynamics = TrainingDynamics(n_rows, quantities)
    late = rng.random(n_rows, dtype=np.float32) < 0.2
    for _ in range(n_epochs):
        p = rng.random(n_rows, dtype=np.float32)
        p = np.where(late, p * 0.5, 1 - 0.3 * p)
        values = {"given_prob": p, "margin": 4 * p - 2, "correct": (p > 0.5).astype(np.float32)}
        dynamics.append(**{name: values[name] for name in quantities})
    return dynamics


def recorded_scores(n_rows: int, n_epochs: int = EPOCHS) -> Callable[[], object]:
    """Mean margin and forgetting events of the records."""
    dynamics = dynamics_of(n_rows, n_epochs, ("correct", "margin"))
    return lambda: (dynamics.aum(), dynamics.forgetting_events())


def mixture(n_rows: int) -> Callable[[], object]:
    """Weibull mixture of scores with as many values as rows."""
    rng = np.random.default_rng(0)
    late = rng.random(n_rows) < 0.2
    C = np.where(late, rng.normal(12, 3, n_rows), rng.normal(-12, 3, n_rows))
    return lambda: WeibullMixture().fit(shift_positive(C)[0])


def calibration(n_rows: int) -> Callable[[], object]:
    """Noise scores as probabilities."""
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=n_rows)
    wrong = rng.random(n_rows) < 1 / (1 + np.exp(-4 * evidence + 4))
    return lambda: calibrate(evidence, wrong, 0.2)


def selection(n_rows: int, n_classes: int = 10) -> Callable[[], object]:
    """Which rows to drop, with a rest left of each class."""
    rng = np.random.default_rng(0)
    y = rng.integers(n_classes, size=n_rows)
    scores = rng.random(n_rows)
    sizes, trusted = np.bincount(y, minlength=n_classes), np.zeros(n_rows, dtype=bool)
    return lambda: spare_last_rows(scores > 0.7, scores, y, sizes, trusted)


def lstm_scoring(n_rows: int, n_epochs: int = EPOCHS) -> Callable[[], object]:
    """Scores of the detector that ships."""
    detector = DynamicsLSTM.pretrained(device="cpu")
    dynamics = dynamics_of(n_rows, n_epochs, ("margin",))
    return lambda: detector.predict_proba(dynamics)


def statistics(n_classes: int) -> Callable[[], object]:
    """Compute the recorded quantities of 4,096 rows."""
    torch.manual_seed(0)
    logits = torch.randn(4096, n_classes)
    y = torch.randint(n_classes, (4096,))
    return lambda: given_label_statistics(logits, y)


def whole_fit(n_classes: int) -> Callable[[], object]:
    """Fit of MILDSelector on 20,000 rows, one round of five epochs."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(20_000) % n_classes)
    X = (rng.normal(size=(n_classes, 32))[y] + rng.normal(size=(20_000, 32))).astype(np.float32)
    est = MILDSelector(
        judge_epochs=0, rounds=1, max_epochs=5, batch_size=128, device="cpu", random_state=0
    )
    return lambda: est.fit(X, y)


# What grows: function, sizes, what a size is.
SERIES = {
    f"scores from the records of {EPOCHS} epochs": (
        recorded_scores,
        (10**3, 10**4, 10**5, 10**6, 10**7),
        "rows",
    ),
    "Weibull mixture, all values distinct": (mixture, (10**3, 10**4, 10**5, 10**6, 10**7), "rows"),
    "calibration": (calibration, (10**3, 10**4, 10**5, 10**6, 10**7), "rows"),
    "selection": (selection, (10**3, 10**4, 10**5, 10**6, 10**7), "rows"),
    f"LSTM scoring, {EPOCHS} epochs": (lstm_scoring, (10**3, 10**4, 10**5, 10**6), "rows"),
    "scores from the records of 10^5 rows": (
        lambda n: recorded_scores(10**5, n),
        (10, 30, 100, 300, 1000),
        "epochs",
    ),
    "LSTM scoring, 10^4 rows": (lambda n: lstm_scoring(10**4, n), (10, 100, 1000), "epochs"),
    "recorded quantities of 4,096 rows": (statistics, (2, 10, 100, 1000, 10**4), "classes"),
    "selection from 10^6 rows": (lambda n: selection(10**6, n), (2, 100, 10**4), "classes"),
    "MILDSelector.fit on 20,000 rows": (whole_fit, (2, 10, 100, 1000, 10**4), "classes"),
}


def resident(field: str) -> int:
    """Read a resident size of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(s.split()[1]) for s in lines if s.startswith(field))


def one_point(name: str, size: int) -> tuple[float, float]:
    """Seconds of the processor, and bytes at the peak above what the inputs hold."""
    torch.set_num_threads(1)
    work = SERIES[name][0](size)
    SERIES[name][0](SERIES[name][1][0])()  # loads libraries, and torch's own memory
    ctypes.CDLL(None).malloc_trim(0)  # what was freed would hide what is taken
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.process_time()
    work()
    seconds = time.process_time() - start
    return seconds, float(resident("VmHWM") - before)


def growth(device_name: str, scale: float) -> tuple[str, dict]:
    """One process a point; the exponent is that of the points that take over 5 ms."""
    context = multiprocessing.get_context("spawn")
    table, figures = [], {}
    for name, (_, sizes, unit) in SERIES.items():
        points = {}
        for size in sizes:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                points[size] = pool.submit(one_point, name, size).result()
        figures[name] = points
        slow = {n: s for n, (s, _) in points.items() if s > 0.005}
        exponent = "-"
        if len(slow) > 1:
            exponent = f"{np.polyfit(np.log(list(slow)), np.log(list(slow.values())), 1)[0]:.2f}"
        largest = max(sizes)
        seconds, memory = points[largest]
        table.append([name, unit, f"{min(sizes):,} to {largest:,}", exponent])
        table[-1] += [f"{seconds:.2f}", f"{memory / 1e6:,.0f}", f"{memory / largest:,.0f}"]
        print(table[-1], flush=True)
    head = ["what", "grows", "from, to", "exponent of time", "s at the largest"]
    head += ["peak at the largest, MB", "bytes for each"]
    text = "One thread on the CPU. Memory is the peak above what the inputs and libraries hold; "
    text += "rows of records are drawn, networks are trained only in the last line.\n\n"
    return text + markdown(head, table), figures
