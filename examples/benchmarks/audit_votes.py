"""What an audit says where several annotators who err have verified its rows.

Of 5,000 rows 20 % have a wrong given label, at random. Of these rows 100 or 200 are drawn by
`audit.sample` from scores of an AUROC of .9, and three annotators name the class of each; each of
them errs in 15 % of the rows, by himself, and names any of the other classes. How often is the true
noise rate in the interval, and how far off is its middle on average, by what is passed as
`verified`: the truth, what the first of them says, the votes of all by each method, or only the
labels that these make. *With the given label*: it is one more annotator.

    python examples/benchmarks/audit_votes.py [--draws 300]

writes results/audit_votes.md and .json; some minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from report import markdown, save
from scipy.stats import norm

from noisyfit.audit import Audit, sample
from noisyfit.label_quality import aggregate_votes

N_ROWS, NOISE, ERRORS, AUROC = 5000, 0.2, 0.15, 0.9


def other(y: np.ndarray, n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """Return another class for each."""
    return (y + rng.integers(1, n_classes, y.shape)) % n_classes


def measure(n_classes: int, n: int, seed: int) -> dict[str, tuple[float, bool, float]]:
    """Return the distance from the truth, whether it is covered, and the width, by way."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, N_ROWS)
    is_wrong = rng.permutation(N_ROWS) < NOISE * N_ROWS
    given = np.where(is_wrong, other(true, n_classes, rng), true)
    scores = norm.cdf(norm.ppf(AUROC) * np.sqrt(2) * is_wrong + rng.normal(size=N_ROWS) - 1.5)
    drawn = sample(scores, n, y=given, random_state=seed)
    right = np.repeat(true[drawn.rows][:, None], 3, axis=1)
    votes = np.where(rng.random(right.shape) < ERRORS, other(right, n_classes, rng), right)
    majority, model = aggregate_votes(votes), aggregate_votes(votes, "dawid_skene")
    beside = np.column_stack([votes, given[drawn.rows]])
    with_given = aggregate_votes(beside, "dawid_skene")
    ways = {
        "the truth": true[drawn.rows],
        "one annotator": votes[:, 0],
        "majority, votes": replace(majority, method="dawid_skene"),  # else it is refused
        "majority, labels": majority.labels,
        "Dawid and Skene, votes": model,
        "Dawid and Skene, labels": model.labels,
        "Dawid and Skene with the given label, votes": with_given,
        "Dawid and Skene with the given label, labels": with_given.labels,
    }
    found = {}
    for name, verified in ways.items():
        value, low, high = Audit(scores, given, verified, drawn).noise_rate
        found[name] = (value - NOISE, bool(low <= NOISE <= high), high - low)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=300)
    args = parser.parse_args()
    head = ["classes", "verified", "passed as verified", "off by", "covered", "width"]
    table: list[list] = []
    for n_classes in (2, 10):
        for n in (100, 200):
            runs = [measure(n_classes, n, seed) for seed in range(args.draws)]
            for name in runs[0]:
                off, covered, width = np.mean([run[name] for run in runs], axis=0)
                table.append([n_classes, n, name, f"{off:+.3f}", f"{covered:.3f}", f"{width:.3f}"])
    save("audit_votes", markdown(head, table), {"head": head, "table": table})
