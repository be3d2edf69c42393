"""What rows without a label are worth to DLTClassifier and MetaRelabelClassifier.

Digits: a quarter of the rows tests; of the others 5, 15 or 30 % have a label, of which a fifth is
wrong (symmetric). Three trusted rows of each class for MetaRelabelClassifier, among the labelled
ones. Compared is a fit on the labelled rows alone with one on all rows and ``unlabeled=-1``, with
default settings, after the last epoch, on the same rows with the same seed.

    python examples/benchmarks/without_labels.py

writes results/without_labels.md and .json; about ten minutes on one core.
"""

from __future__ import annotations

import numpy as np
import torch
from report import markdown, save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import DLTClassifier, MetaRelabelClassifier
from noisyfit.noise import corrupt_labels, transition_matrix

SHARES, SEEDS, N_TRUSTED, RATE = (0.05, 0.15, 0.3), (0, 1, 2), 3, 0.2


def problem(share: float, seed: int) -> dict:
    """Divide the rows, hide most labels and corrupt some of the others."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=seed, stratify=y)
    rng = np.random.default_rng(seed)
    labeled, trusted = rng.random(len(y)) < share, np.zeros(len(y), dtype=bool)
    for code in range(10):  # every class has trusted rows
        chosen = rng.permutation(np.flatnonzero(y == code))[:N_TRUSTED]
        trusted[chosen] = labeled[chosen] = True
    given = corrupt_labels(y, transition_matrix("symmetric", 10, RATE), seed).labels
    given = np.where(trusted, y, given)
    return {
        "train": (X, np.where(labeled, given, -1), trusted),
        "alone": (X[labeled], given[labeled], trusted[labeled]),
        "test": (X_test, y_test),
        "wrong": float((given != y)[labeled].mean()),
        "n_labeled": int(labeled.sum()),
    }


def measure(share: float, seed: int) -> list[dict]:
    """Fit both estimators with and without the rows that have no label."""
    rows, found = problem(share, seed), []
    for estimator in (DLTClassifier, MetaRelabelClassifier):
        for which in ("alone", "train"):
            X, y, trusted = rows[which]
            est = estimator(unlabeled=-1, random_state=seed)
            est.fit(X, y, trusted=trusted if estimator is MetaRelabelClassifier else None)
            found.append(
                {
                    "estimator": estimator.__name__,
                    "share": share,
                    "seed": seed,
                    "rows": which,
                    "n_labeled": rows["n_labeled"],
                    "wrong": rows["wrong"],
                    "accuracy": est.score(*rows["test"]),
                    "noise_rate": est.noise_rate_,
                }
            )
    return found


def main() -> None:
    """Measure all, and save the table."""
    torch.set_num_threads(1)
    found = [line for share in SHARES for seed in SEEDS for line in measure(share, seed)]
    lines = []
    for name in ("DLTClassifier", "MetaRelabelClassifier"):
        for share in SHARES:
            part = [f for f in found if (f["estimator"], f["share"]) == (name, share)]
            by_rows = {w: [f for f in part if f["rows"] == w] for w in ("alone", "train")}
            line = [name, f"{np.mean([f['n_labeled'] for f in part]):.0f} of 1,347"]
            line.append(f"{np.mean([f['wrong'] for f in part]):.1%}")
            for key in ("accuracy", "noise_rate"):
                for which in ("alone", "train"):
                    values = [f[key] for f in by_rows[which]]
                    line.append(f"{np.mean(values):.1%} ± {np.std(values):.1%}")
            lines.append(line)
    head = ["estimator", "labelled", "wrong", "accuracy, labelled alone", "accuracy, all rows"]
    table = markdown([*head, "noise rate, labelled alone", "noise rate, all rows"], lines)
    save("without_labels", f"Digits, seeds {list(SEEDS)}, last epoch.\n\n{table}", {"fits": found})


if __name__ == "__main__":
    main()
