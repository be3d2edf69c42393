"""Scores recalibrated by verified rows: what the given class adds to the score.

`Audit.recalibrated_scores` with the given labels, and without them, by the same verified rows, 20
draws of them by `noisyfit.audit.sample`; measured on the rows that were not drawn.

Scores are 1 - the self-confidence of cleanlab's published out-of-fold probabilities of three
backbones on CIFAR-10N, and drawn ones: of 3, 20 and 77 classes with the same rate of wrong labels,
of 20 classes of which three have six times the rate of the others, and of a class of 2 % to which a
fifth of the rows is assigned by mistake, with scores that tell something, and all 0.

The penalty of the classes was chosen by "worst" and the synthetic errors with ResNet-18 and by the
rare class; that they count only where they help beyond a standard error, by all that are marked,
with 200 rows and ten draws. The others confirm.

    python examples/benchmarks/audit_classes.py --data DIR

DIR holds cleanlab_cifar_predprobs.npz.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from report import markdown, save
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from noisyfit.audit import Audit, sample

NAME, DRAWS = "audit_classes", 20
BACKBONES = {
    "resnet18": "ResNet-18",
    "resnet50d": "ResNet-50d",
    "swin_base_patch4_window7_224": "Swin-B",
}
LEVELS = {"worst": "worst", "aggre": "aggregate", "cifar10s": "synthetic"}
CONFIRM = [
    "worst, ResNet-50d",
    "aggregate, ResNet-18",
    "aggregate, Swin-B",
    "synthetic, ResNet-50d",
    "synthetic, Swin-B",
]


class Problem(NamedTuple):
    """Given labels, which of them are wrong, and scores."""

    given: np.ndarray
    wrong: np.ndarray
    scores: np.ndarray


def problems(folder: str) -> dict[str, Problem]:
    """Read and draw all problems."""
    file, rng = np.load(Path(folder) / "cleanlab_cifar_predprobs.npz"), np.random.default_rng(0)
    true, found = file["y_true"].astype(int), {}
    for level, name in LEVELS.items():
        given = file[f"y_{level}"].astype(int)
        for backbone, of_name in BACKBONES.items():
            proba = file[f"{level}__{backbone}"].astype(np.float64)
            confidence = proba[np.arange(len(given)), given] / proba.sum(axis=1)
            scores = np.clip(1 - confidence, 0, 1)
            found[f"{name}, {of_name}"] = Problem(given, given != true, scores)
    for n_classes, n_bad in ((3, 0), (20, 0), (77, 0), (20, 3)):
        given = rng.integers(n_classes, size=6_000)
        rate = np.where(np.arange(n_classes) < n_bad, 0.6, 0.1 if n_bad else 0.2)
        wrong = rng.random(6_000) < rate[given]
        name = f"{n_classes} classes, {'three of them bad' if n_bad else 'alike'}"
        found[name] = Problem(given, wrong, scored(wrong, rng))
    true = (rng.random(3_000) < 0.02).astype(int)
    given = np.where(rng.random(3_000) < 0.2, 1 - true, true)
    found["rare class"] = Problem(given, given != true, scored(given != true, rng))
    found["rare class, scores 0"] = Problem(given, given != true, np.zeros(3_000))
    return found


def scored(wrong: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw scores that are higher where labels are wrong."""
    return np.clip(rng.beta(2, 5, len(wrong)) + 0.3 * wrong, 0, 1)


def measured(problem: Problem, n_verified: int) -> np.ndarray:
    """Return AUROC, average precision and log loss without and with the classes: (2, 3)."""
    found = []
    for draw in range(DRAWS):
        drawn = sample(problem.scores, n_verified, random_state=draw)
        left = np.ones(len(problem.given), dtype=bool)
        left[drawn.rows] = False
        for given in (None, problem.given):
            audit = Audit(problem.scores, given, problem.wrong[drawn.rows], drawn)
            scores, wrong = audit.recalibrated_scores()[left], problem.wrong[left]
            clipped = np.clip(scores, 1e-6, 1 - 1e-6)
            figures = roc_auc_score, average_precision_score
            found.append([*(f(wrong, scores) for f in figures), log_loss(wrong, clipped)])
    return np.mean(np.reshape(found, (DRAWS, 2, 3)), axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR", required=True)
    parser.add_argument("--verified", nargs="+", type=int, default=[100, 200, 500])
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # that truth values are no classes
    rows = []
    for name, problem in problems(args.data).items():
        for n_verified in args.verified:
            without, with_classes = measured(problem, n_verified)
            pairs = zip(without, with_classes, strict=True)
            cells = [f"{a:.4f}, {b:.4f}" for a, b in pairs]
            half = "confirms" if name in CONFIRM else "chosen by"
            rows.append([name, half, f"{problem.wrong.mean():.1%}", n_verified, *cells])
            print(rows[-1], flush=True)
    head = ["scores", "", "wrong", "verified", "AUROC", "average precision", "log loss"]
    text = f"Without and with the given classes, means of {DRAWS} draws.\n\n{markdown(head, rows)}"
    save(NAME, text, {"rows": rows})


if __name__ == "__main__":
    main()
