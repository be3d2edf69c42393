"""DivideMixClassifier with both divisions, DLTClassifier and plain training on digits.

Digits, 30 % of which test: 40 % symmetric errors, 40 % pair errors, and 20 % of either where 15 %
of the rows have a label, the others none (``unlabeled=-1``; plain training leaves them out).
Accuracy on the right labels of the test rows after the last epoch, AUROC of the noise scores among
the labels, seconds of the processor. Default settings but ``judge_epochs=0``: each method speaks
for itself. Plain training is ``MILDSelector(rounds=1)``.

    python examples/benchmarks/dividemix.py

writes results/dividemix.md and .json; about four minutes on one core.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from report import markdown, save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import DivideMixClassifier, DLTClassifier, MILDSelector
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

SEEDS = (0, 1)
PROBLEMS = {
    "symmetric 40 %": ("symmetric", 0.4, 1.0),
    "pair 40 %": ("pair", 0.4, 1.0),
    "15 % labelled, symmetric 20 %": ("symmetric", 0.2, 0.15),
    "15 % labelled, pair 20 %": ("pair", 0.2, 0.15),
}
METHODS = {
    "plain training": (MILDSelector, {"rounds": 1}),
    "DLTClassifier": (DLTClassifier, {}),
    "DivideMixClassifier": (DivideMixClassifier, {}),
    'DivideMixClassifier(division="dlt")': (DivideMixClassifier, {"division": "dlt"}),
}


def measure(problem: str, seed: int) -> list[dict]:
    """Fit every method once."""
    kind, rate, share = PROBLEMS[problem]
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)
    given = corrupt_labels(y, transition_matrix(kind, 10, rate), seed).labels
    wrong, labeled = given != y, np.random.default_rng(seed).random(len(y)) < share
    found = []
    for method, (estimator, settings) in METHODS.items():
        est = estimator(judge_epochs=0, random_state=seed, **settings)
        start = time.process_time()
        if share == 1 or estimator is MILDSelector:
            scores = est.fit(X[labeled], given[labeled]).noise_scores_
        else:
            est.set_params(unlabeled=-1).fit(X, np.where(labeled, given, -1))
            scores = est.noise_scores_[labeled]
        found.append(
            {
                "problem": problem,
                "method": method,
                "seed": seed,
                "wrong": float(wrong[labeled].mean()),
                "accuracy": est.score(X_test, y_test),
                "auroc": auroc(wrong[labeled], scores),
                "seconds": time.process_time() - start,
            }
        )
    return found


def main() -> None:
    """Measure all, and save the table."""
    torch.set_num_threads(1)
    found = [line for problem in PROBLEMS for seed in SEEDS for line in measure(problem, seed)]
    lines = []
    for problem in PROBLEMS:
        for method in METHODS:
            runs = [f for f in found if (f["problem"], f["method"]) == (problem, method)]
            mean = {key: np.mean([f[key] for f in runs]) for key in ("wrong", "seconds")}
            accuracy = ", ".join(f"{f['accuracy']:.1%}" for f in runs)
            ranking = ", ".join(f"{f['auroc']:.3f}" for f in runs)
            seconds = f"{mean['seconds']:.0f}"
            lines.append([problem, f"{mean['wrong']:.1%}", method, accuracy, ranking, seconds])
    head = ["labels", "wrong", "method", "accuracy", "AUROC", "seconds"]
    text = f"Digits, a value for each of the seeds {list(SEEDS)}, last epoch."
    save("dividemix", f"{text}\n\n{markdown(head, lines)}", {"fits": found})


if __name__ == "__main__":
    main()
