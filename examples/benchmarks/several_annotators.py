"""What the confidence of votes is good for, in training and in the scores.

Sentences that people have labelled as friendly or not (``crowd_sentiment.npz`` in ``--data``), as
the first 150 singular vectors of their words. Of the four to ten votes of each of 1,500 sentences,
three are drawn; the truth is known. One half of the sentences is there to choose on, the other to
confirm; all settings of the estimators are defaults, and the last epoch counts.

Beside them scikit-learn's digits, named by three of twenty annotators with 5 to 60 % errors.

With labels and confidence c of the majority or of Dawid and Skene an estimator is fitted on the
labels alone (plain) or with ``sample_weight=c`` (weight), and its scores are taken as they are, or
combined with the votes by Bayes' rule (Bayes): odds(score) odds(1 - c) / odds(mean(1 - c)), with c
within .02 and .98; *moved*: with as much added to all logits as keeps the mean of the scores.
*votes alone* is 1 - c. AUROC and ECE are those of the wrong labels, F1 is that of the rejected
ones: of ``clean_mask_``, or of scores above one half where they were combined.

    python examples/benchmarks/several_annotators.py --data DIR [--seeds 3]

writes results/several_annotators.md and .json; half an hour on one core.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
from report import markdown, save
from scipy.special import expit, logit
from sklearn.datasets import load_digits
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.label_quality import aggregate_votes, moved_to
from noisyfit.metrics import auroc, expected_calibration_error

N_ROWS, N_VOTES, HALVES = 1_500, 3, ("choose", "confirm")


class Digits:
    """Small images, each called something by three of twenty annotators who err at random."""

    def __init__(self) -> None:
        self.X, self.y = load_digits(return_X_y=True)

    def draw(self, half: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows of one half to train on, three votes of each, and rows to test on."""
        rng = np.random.default_rng(seed)
        rows = np.random.default_rng(123).permutation(len(self.y))[half::2]
        train, test = np.split(rng.permutation(rows), [600])
        rates = rng.uniform(0.05, 0.6, 20)
        votes = np.full((len(train), len(rates)), -1)
        for i, row in enumerate(train):
            who = rng.permutation(len(rates))[:N_VOTES]
            other = (self.y[row] + rng.integers(1, 10, N_VOTES)) % 10
            votes[i, who] = np.where(rng.random(N_VOTES) < rates[who], other, self.y[row])
        return train, votes, test


class Crowd:
    """The sentences, their truth and their votes."""

    def __init__(self, folder: Path) -> None:
        file = np.load(folder / "crowd_sentiment.npz")
        words = TfidfVectorizer(sublinear_tf=True, min_df=3, ngram_range=(1, 2))
        counts = words.fit_transform(str(file["text_train"]).split("\n"))
        svd = TruncatedSVD(150, random_state=0)
        X = svd.fit_transform(counts)
        X_test = svd.transform(words.transform(str(file["text_test"]).split("\n")))
        self.X = np.concatenate([X, X_test]).astype(np.float32)
        self.y = np.concatenate([file["y_train"], file["y_test"]]).astype(int)
        self.answers = file["answers"].astype(int)

    def draw(self, half: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows of one half to train on, three votes of each, and rows to test on."""
        rng = np.random.default_rng(seed)
        n_train = len(self.answers)
        of_half = np.random.default_rng(123).permutation(n_train)[half::2]
        rows = rng.permutation(of_half)[:N_ROWS]
        votes = np.full((N_ROWS, self.answers.shape[1]), -1)
        for i, row in enumerate(rows):
            who = rng.permutation(np.flatnonzero(self.answers[row] >= 0))[:N_VOTES]
            votes[i, who] = self.answers[row, who]
        return rows, votes, np.arange(n_train + half, len(self.y), 2)


def combined(scores: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Combine scores with the votes by Bayes' rule."""
    prior = 1 - np.clip(confidence, 0.02, 0.98)
    return expit(logit(np.clip(scores, 1e-6, 1 - 1e-6)) + logit(prior) - logit(prior.mean()))


def measure(data: Digits | Crowd, half: int, seed: int) -> list[dict]:
    """Fit both estimators on both labels, with weights and without."""
    rows, votes, test = data.draw(half, seed)
    X, y, lines = data.X[rows], data.y[rows], []
    base = {"data": type(data).__name__, "half": HALVES[half], "seed": seed}

    def add(
        estimator: str, way: str, scores: np.ndarray, flags: np.ndarray, accuracy: float = np.nan
    ) -> None:
        is_wrong = voted.labels != y
        values = {
            "wrong": is_wrong.mean(),
            "auroc": auroc(is_wrong, scores),
            "ece": expected_calibration_error(is_wrong, scores),
            "F1": f1_score(is_wrong, flags),
            "accuracy": accuracy,
        }
        numbers = {name: float(value) for name, value in values.items()}
        lines.append(base | {"estimator": estimator, "labels": labels, "way": way} | numbers)

    for labels in ("majority", "dawid_skene"):
        voted = aggregate_votes(votes, labels, missing=-1)
        c = voted.confidence
        add("votes alone", "1 - c", 1 - c, 1 - c > 0.5)
        for make in (MILDSelector, DLTClassifier):
            for weight, way in ((None, "plain"), (c, "weight")):
                est = make(random_state=seed).fit(X, voted.labels, sample_weight=weight)
                accuracy = est.score(data.X[test], data.y[test])
                own = est.noise_scores_
                add(make.__name__, way, own, ~est.clean_mask_, accuracy)
                both = combined(own, c)
                add(make.__name__, f"{way}, Bayes", both, both > 0.5, accuracy)
                if own.any():
                    both = moved_to(logit(both), own.mean())
                add(make.__name__, f"{way}, Bayes, moved", both, both > 0.5, accuracy)
    return lines


def table(lines: list[dict]) -> str:
    """Lay out means over seeds."""
    keys = ("data", "estimator", "labels", "way")
    rows: dict[tuple, dict[str, list[dict]]] = {}
    for line in lines:
        of_half = rows.setdefault(tuple(line[k] for k in keys), {name: [] for name in HALVES})
        of_half[line["half"]].append(line)
    names = ("wrong", "auroc", "ece", "F1", "accuracy")
    head = [*keys, *(f"{name}, {half}" for name in names for half in HALVES)]
    cells = [
        [*key, *(_mean(of_half[half], name) for name in names for half in HALVES)]
        for key, of_half in rows.items()
    ]
    return markdown(head, cells)


def _mean(lines: list[dict], name: str) -> str:
    return f"{np.mean([line[name] for line in lines]):.3f}" if lines else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    lines: list[dict] = []
    for data in (Crowd(args.data), Digits()):
        for seed in range(args.seeds):
            for half in (0, 1):
                lines += measure(data, half, seed)
                print(table(lines), flush=True)
    save("several_annotators", table(lines), {"lines": lines})
