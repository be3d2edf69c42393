"""Whether the intervals of noisyfit.audit hold the truth, and how wide they are.

Of each data set with known truth (`audit_problems.py`) rows are drawn 1,000 times by
`audit.sample`, 50 to 500 of them, their truth is told, and each interval is compared with the truth
of all rows: the noise rate, the rate of each class, the transition matrix (up to ten classes),
precision and recall of what the fit rejects (of scores above .5 without one, of the highest fifth
where there are none), AUROC, average precision, the errors left after a review of the highest
fifth, and the certificate of `review_until(.1)`; and the recalibrated scores with the truth.
Beside it, the same number of rows drawn at random: the exact interval of Clopper and Pearson.

    python examples/benchmarks/audit_coverage.py --data DIR --fits FITS [--half confirm] [--jobs 1]

Each line of results/audit_coverage.jsonl is a data set and a number of rows; those that are there
are not drawn again. 15 data sets take about an hour on one core.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from audit_problems import Problem, problems
from comparison import finished, run_all
from report import markdown, save
from scipy.stats import beta

from noisyfit.audit import Audit, Estimate, sample
from noisyfit.metrics import auroc, average_precision, expected_calibration_error

SIZES, MAX_LEFT, MOST_CLASSES, TINY = (50, 100, 200, 500), 0.1, 10, 1e-9


def flags_of(problem: Problem) -> np.ndarray:
    """Return what the fit rejects, or the highest fifth; a random fifth where scores are alike."""
    flagged, scores = problem.flagged, problem.scores
    if not 0 < flagged.sum() < len(flagged):
        flagged = scores > np.quantile(scores, 0.8)
    return flagged if flagged.any() else np.random.default_rng(0).random(len(scores)) < 0.2


def truth_of(problem: Problem) -> dict[str, np.ndarray]:
    """Compute what the intervals should hold, of all rows."""
    scores, wrong, given, true = problem.scores, problem.wrong, problem.given, problem.true
    flagged = flags_of(problem)
    classes = np.unique(given)
    truth = {
        "noise rate": wrong.mean(),
        "classes": np.array([wrong[given == c].mean() for c in classes]),
        "precision": wrong[flagged].mean(),
    }
    if wrong.any():
        truth["recall"] = wrong[flagged].sum() / wrong.sum()
        truth["AUROC"] = auroc(wrong, scores)
        truth["AP"] = average_precision(wrong, scores)
    if len(classes) <= MOST_CLASSES:
        pairs = np.array([[np.sum((true == a) & (given == b)) for b in classes] for a in classes])
        truth["matrix"] = pairs / pairs.sum(axis=1, keepdims=True)
    return truth


def draw(problem: Problem, truth: dict[str, np.ndarray], n: int, seed: int) -> dict[str, float]:
    """Audit one draw, and compare with the truth."""
    scores, wrong, flagged = problem.scores, problem.wrong, flags_of(problem)
    drawn = sample(scores, n, y=problem.given, random_state=seed)
    audit = Audit(scores, problem.given, problem.true[drawn.rows], drawn)
    unseen = np.ones(len(scores), dtype=bool)
    unseen[drawn.rows] = False
    found: dict[str, float] = {}

    def note(name: str, low: float, high: float, right: float) -> None:
        found[name] = float(np.mean((low - TINY <= right) & (right <= high + TINY)))
        found[f"{name}, width"] = float(np.mean(high - low))

    estimates: dict[str, Estimate] = {
        "noise rate": audit.noise_rate,
        "precision": audit.flag_precision(flagged),
        "recall": audit.flag_recall(flagged),
        "AUROC": audit.auroc(),
        "AP": audit.average_precision(),
    }
    for name, estimate in estimates.items():
        if name in truth:
            note(name, estimate.low, estimate.high, truth[name])
    by_class = np.array(list(audit.by_class().values()))
    note("classes", by_class[:, 1], by_class[:, 2], truth["classes"])
    if "matrix" in truth:
        matrix = audit.transition_matrix()
        note("matrix", matrix.low, matrix.high, truth["matrix"])
    fifth, order = len(scores) // 5, np.argsort(-scores, kind="stable")
    left = audit.errors_left(fifth)
    note("errors left", left.low, left.high, (wrong & unseen)[order[fifth:]].sum())
    limit = audit.review_until(MAX_LEFT)
    finite = math.isfinite(limit.rows)
    remain = (wrong & unseen)[order[int(limit.rows) :]].sum() if finite else 0
    found["certificate"] = float(remain <= MAX_LEFT * wrong.sum() + TINY)
    found["finite"] = float(finite)
    found["ECE"] = expected_calibration_error(wrong, audit.recalibrated_scores())

    rows = np.random.default_rng([seed, 1]).choice(len(scores), n, replace=False)
    x = int(wrong[rows].sum())
    low = beta.ppf(0.025, x, n - x + 1) if x else 0.0
    high = beta.ppf(0.975, x + 1, n - x) if x < n else 1.0
    note("exact", low, high, truth["noise rate"])
    return found


def measure(number: int, n: int, half: str, draws: int, data: str, fits: str) -> list[dict]:
    """Average over draws."""
    torch.set_num_threads(1)
    problem = problems(half, data, fits)[number]
    truth = truth_of(problem)
    found = [draw(problem, truth, n, seed) for seed in range(draws)]
    mean = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
    before = expected_calibration_error(problem.wrong, problem.scores)
    line = {"half": half, "problem": problem.name, "n": n, "draws": draws}
    estimate = None if np.isnan(problem.estimate) else float(problem.estimate)
    return [{**line, "estimate": estimate, "ECE before": float(before), **mean}]


KEPT = (
    "noise rate",
    "classes",
    "matrix",
    "precision",
    "recall",
    "AUROC",
    "AP",
    "errors left",
    "certificate",
    "exact",
)


def cells(line: dict) -> list:
    """Lay out a line of the table."""
    ratio = line["noise rate, width"] / line["exact, width"]
    return [
        line["problem"],
        line["n"],
        *(f"{line[key]:.3f}" if key in line else "" for key in KEPT),
        f"{line['finite']:.2f}",
        f"{line['noise rate, width']:.3f}",
        f"{ratio:.2f}",
        f"{ratio**-2:.1f}",
        f"{line['ECE before']:.3f}",
        f"{line['ECE']:.3f}",
    ]


def main() -> None:
    """Measure all, and save the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--fits", required=True)
    parser.add_argument("--half", default="confirm", choices=["choose", "confirm"])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    name = "audit_coverage" if args.half == "confirm" else f"audit_coverage_{args.half}"
    names = [problem.name for problem in problems(args.half, args.data, args.fits)]
    done = {(line["problem"], line["n"]) for line in finished(name)}
    todo = [
        (i, n, args.half, args.draws, args.data, args.fits)
        for n in (200, 100, 500, 50)  # the figures that matter most first
        for i in range(len(names))
        if (names[i], n) not in done
    ]
    run_all(measure, todo, name, args.jobs)
    lines = sorted(finished(name), key=lambda line: (names.index(line["problem"]), line["n"]))
    head = ["data", "verified", *(f"covered: {key}" for key in KEPT), "certificate is finite"]
    head += ["width of the rate", "/ at random", "rows at random for it / verified"]
    head += ["ECE", "after"]
    about = (
        f"Coverage of 95 % intervals, draws: {args.draws:,}; of classes and matrix the mean over "
        "the entries. *Exact*: Clopper and Pearson of as many rows at random."
    )
    least = "Least coverage: " + ", ".join(
        f"{key} {min(line[key] for line in lines if key in line):.3f}" for key in KEPT
    )
    text = "\n\n".join([about, least, markdown(head, [cells(line) for line in lines])])
    save(name, text, {"draws": args.draws})


if __name__ == "__main__":
    main()
