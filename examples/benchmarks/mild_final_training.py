"""MILDSelector with and without a last training on the dropped rows, on digits.

Digits, 30 % of which test: 40 % symmetric errors, 40 % pair errors. Accuracy on the right labels of
the test rows after the last epoch, shares of the training rows that are kept and of wrong labels
among these, seconds of the processor. Default settings but ``judge_epochs=0``. With
``lambda_noisy=0`` the dropped rows are mixed into the others, but not learned from.

    python examples/benchmarks/mild_final_training.py

writes results/mild_final_training.md and .json; about two minutes on one core.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from report import markdown, save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisyfit import MILDSelector
from noisyfit.noise import corrupt_labels, transition_matrix

SEEDS = (0, 1)
PROBLEMS = {"symmetric 40 %": "symmetric", "pair 40 %": "pair"}
SETTINGS = {
    "None": {},
    '"mixmatch", lambda_noisy=0': {"semi_supervised": "mixmatch", "lambda_noisy": 0},
    '"mixmatch"': {"semi_supervised": "mixmatch"},
    '"mixup_contrastive"': {"semi_supervised": "mixup_contrastive"},
}


def measure(problem: str, seed: int) -> list[dict]:
    """Fit with every setting once."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)
    given = corrupt_labels(y, transition_matrix(PROBLEMS[problem], 10, 0.4), seed).labels
    found = []
    for name, settings in SETTINGS.items():
        start = time.process_time()
        est = MILDSelector(judge_epochs=0, random_state=seed, **settings).fit(X, given)
        found.append(
            {
                "problem": problem,
                "semi_supervised": name,
                "seed": seed,
                "wrong": float((given != y).mean()),
                "kept": float(est.clean_mask_.mean()),
                "wrong_among_kept": float((given != y)[est.clean_mask_].mean()),
                "accuracy": est.score(X_test, y_test),
                "epochs": len(est.history_),
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
        for name in SETTINGS:
            runs = [f for f in found if (f["problem"], f["semi_supervised"]) == (problem, name)]
            shares = ("wrong", "kept", "wrong_among_kept", "accuracy")
            cells = [", ".join(f"{f[key]:.1%}" for f in runs) for key in shares]
            epochs = ", ".join(str(f["epochs"]) for f in runs)
            seconds = f"{np.mean([f['seconds'] for f in runs]):.0f}"
            lines.append([problem, name, *cells, epochs, seconds])
    head = ["labels", "semi_supervised", "wrong", "kept", "wrong among them", "accuracy"]
    text = f"Digits, a value for each of the seeds {list(SEEDS)}, last epoch."
    table = markdown([*head, "epochs", "seconds"], lines)
    save("mild_final_training", f"{text}\n\n{table}", {"fits": found})


if __name__ == "__main__":
    main()
