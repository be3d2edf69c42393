"""Whether the intervals of noisyfit.audit hold the truth, and how wide they are.

Of each data set with known truth rows are drawn 1,000 times by `audit.sample`, 50 to 500 of them,
their truth is told, and each interval is compared with the truth of all rows: the noise rate, the
rate of each class, precision and recall of the flags (scores above .5, or the highest fifth where
there are none), the errors left after a review of the highest fifth, and the certificate of
`review_until(.1)`. Beside it, the same number of rows drawn at random: the exact interval of
Clopper and Pearson, and an `Audit` without a sample.

Scores are synthetic (normal ones of a given AUROC, whose probabilities are right, too sure, too
unsure, useless, or 0 and 1 for a third of the rows), or those of `MILDSelector` on digits and on a
table. Four classes in turn; of digits, the ten digits as given. The share of even allocation in
`audit.sample` (3/4; 1/2 and 9/10 were tried) was chosen on synthetic scores of the same kinds, made
with another seed, in 40 draws of each.

    python examples/benchmarks/audit_coverage.py [--draws 1000] [--jobs 1]

writes results/audit_coverage.md and .json; 72,000 draws of 30 ms, the better part of
an hour on one core.
"""

from __future__ import annotations

import argparse
import math
from typing import NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed
from report import markdown, save
from scipy.stats import beta, norm
from sklearn.datasets import load_digits, make_classification

from noisyfit import MILDSelector
from noisyfit.audit import Audit, Estimate, sample
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

SIZES, MAX_LEFT, TINY = (50, 100, 200, 500), 0.1, 1e-9
SYNTHETIC = [  # rows, noise rate, AUROC, what the probabilities are like
    (2000, 0.0, 0.8, "right"),
    (2000, 0.01, 0.95, "right"),
    (20000, 0.01, 0.99, "right"),
    (5000, 0.01, 0.8, "too sure"),
    (5000, 0.05, 0.8, "too sure"),
    (2000, 0.05, 0.95, "right"),
    (2000, 0.2, 0.95, "right"),
    (20000, 0.2, 0.99, "too sure"),
    (5000, 0.2, 0.8, "too unsure"),
    (5000, 0.2, 0.5, "useless"),
    (5000, 0.4, 0.95, "0 or 1"),
    (2000, 0.4, 0.8, "too sure"),
    (5000, 0.6, 0.6, "right"),
    (5000, 0.6, 0.95, "too unsure"),
]


class Problem(NamedTuple):
    """Rows with known truth."""

    name: str
    scores: np.ndarray
    wrong: np.ndarray
    groups: np.ndarray


def synthetic(n_rows: int, rate: float, auc: float, kind: str) -> Problem:
    """Draw scores of a given AUROC."""
    rng = np.random.default_rng(0)
    wrong = np.arange(n_rows) < round(n_rows * rate)
    wrong = rng.permutation(wrong)
    apart = math.sqrt(2) * norm.ppf(auc)
    x = rng.normal(size=n_rows) + apart * wrong
    prior = min(max(rate, 0.01), 0.99)
    odds = apart * x - apart**2 / 2 + math.log(prior / (1 - prior))
    factor = {"too sure": 3.0, "too unsure": 0.3}.get(kind, 1.0)
    scores = rng.random(n_rows) if kind == "useless" else 1 / (1 + np.exp(-factor * odds))
    if kind == "0 or 1":
        scores = np.where(rng.random(n_rows) < 1 / 3, scores > 0.5, scores)
    name = f"{n_rows:,} rows, {rate:.0%} wrong, AUROC {auc}, {kind}"
    return Problem(name, scores, wrong, np.arange(n_rows) % 4)


def real() -> list[Problem]:
    """Fit quickly, and take what the estimator says."""
    problems = []
    digits = load_digits(return_X_y=True)
    table = make_classification(
        5000, 20, n_informative=8, n_classes=4, class_sep=1.2, flip_y=0, random_state=0
    )
    for name, (X, y), n_classes, kind, rate in [
        ("digits", digits, 10, "symmetric", 0.2),
        ("digits", digits, 10, "pair", 0.4),
        ("table", table, 4, "symmetric", 0.05),
        ("table", table, 4, "symmetric", 0.6),
    ]:
        given = corrupt_labels(y, transition_matrix(kind, n_classes, rate), random_state=0)
        est = MILDSelector(max_epochs=15, judge_epochs=0, random_state=0).fit(X, given.labels)
        ranks = auroc(given.flipped, est.noise_scores_)
        stated = f"{kind} {given.flipped.mean():.1%} wrong, AUROC {ranks:.2f}"
        name = f"{name}, {len(y):,} rows, {stated}"
        problems.append(Problem(name, est.noise_scores_, given.flipped, given.labels))
    return problems


def draw(problem: Problem, n: int, seed: int) -> dict[str, float]:
    """Audit one draw of each kind, and compare with the truth."""
    scores, wrong, groups = problem[1:]
    flagged = scores > 0.5
    if not 0 < flagged.sum() < len(flagged):
        flagged = scores > np.quantile(scores, 0.8)
    drawn = sample(scores, n, random_state=seed)
    audit = Audit(scores, groups, wrong[drawn.rows], drawn)
    unseen = np.ones(len(scores), dtype=bool)
    unseen[drawn.rows] = False
    order = np.argsort(-scores, kind="stable")
    fifth = len(scores) // 5
    found: dict[str, float] = {}

    def note(name: str, estimate: Estimate, truth: float) -> None:
        found[name] = estimate.low - TINY <= truth <= estimate.high + TINY
        found[f"{name}, width"] = estimate.high - estimate.low

    note("noise rate", audit.noise_rate, wrong.mean())
    by_class = audit.by_class()
    for label, estimate in by_class.items():
        note(f"class {label}", estimate, wrong[groups == label].mean())
    note("precision", audit.flag_precision(flagged), wrong[flagged].mean())
    if wrong.any():
        note("recall", audit.flag_recall(flagged), wrong[flagged].sum() / wrong.sum())
    note("errors left", audit.errors_left(fifth), (wrong & unseen)[order[fifth:]].sum())
    limit = audit.review_until(MAX_LEFT)
    finite = math.isfinite(limit.rows)
    left = (wrong & unseen)[order[int(limit.rows) :]].sum() if finite else 0
    found["certificate"] = left <= MAX_LEFT * wrong.sum() + TINY
    found["finite"] = finite
    found["rows"] = limit.rows / len(scores) if finite else 1.0

    rows = np.random.default_rng([seed, 1]).choice(len(scores), n, replace=False)
    note("at random", Audit(scores, None, wrong[rows], rows=rows).noise_rate, wrong.mean())
    x = int(wrong[rows].sum())
    low = beta.ppf(0.025, x, n - x + 1) if x else 0.0
    high = beta.ppf(0.975, x + 1, n - x) if x < n else 1.0
    found["exact"], found["exact, width"] = low <= wrong.mean() <= high, high - low
    return found


def measure(problem: Problem, n: int, draws: int) -> dict:
    """Average over draws."""
    found = [draw(problem, n, seed) for seed in range(draws)]
    mean = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
    per_class = [value for key, value in mean.items() if key.startswith("class") and "," not in key]
    return {
        "problem": problem.name,
        "n": n,
        "class, mean": float(np.mean(per_class)),
        "class, worst": min(per_class),
        **mean,
    }


def cells(line: dict) -> list:
    """Lay out a line of the table."""
    ratio = [f"{line[f'{key}, width'] / line['exact, width']:.2f}" for key in RATES]
    kept = [f"{line[key]:.3f}" if key in line else "" for key in KEPT]
    widths = [f"{line[f'{key}, width']:.3f}" for key in RATES]
    limit = [f"{line['certificate']:.3f}", f"{line['finite']:.2f}", f"{line['rows']:.2f}"]
    return [
        line["problem"],
        line["n"],
        *kept,
        *widths,
        f"{line['exact, width']:.3f}",
        *ratio,
        *limit,
    ]


RATES = ("noise rate", "at random")
KEPT = (
    "noise rate",
    "class, mean",
    "class, worst",
    "precision",
    "recall",
    "errors left",
    "at random",
    "exact",
)


def main() -> None:
    """Measure all, and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    problems = [synthetic(*setting) for setting in SYNTHETIC] + real()
    found = Parallel(n_jobs=args.jobs, verbose=10)(
        delayed(measure)(problem, n, args.draws) for problem in problems for n in SIZES
    )
    head = ["data", "verified", *(f"covered: {key}" for key in KEPT)]
    head += ["width: noise rate", "at random", "exact", "width / exact", "at random / exact"]
    head += ["certificate holds", "is finite", "rows to review"]
    worst = {key: min(line[key] for line in found if key in line) for key in (*KEPT, "certificate")}
    about = (
        f"Coverage of 95 % intervals over {args.draws:,} draws. *At random*: `Audit` of a simple "
        "random sample; *exact*: Clopper and Pearson of the same. *Rows to review*: mean share of "
        f"all rows by `review_until({MAX_LEFT})`, 1 where it is infinite."
    )
    least = "Least coverage: " + ", ".join(f"{key} {value:.3f}" for key, value in worst.items())
    text = "\n\n".join([about, least, markdown(head, [cells(line) for line in found])])
    save("audit_coverage", text, {"draws": args.draws, "found": found})


if __name__ == "__main__":
    main()
