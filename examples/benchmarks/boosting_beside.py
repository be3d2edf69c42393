"""Tables, where boosting predicts better than a network: should it judge, and learn from the rest?

Each table passes through skrub as in `good_features.py`: up to 3,000 training rows and up to 2,000,
with right labels, to test on. Labels are as they were published ("clean"), 20 % wrong evenly
("symmetric"), or 30 % wrong in ways that depend on the row ("instance").

`DynamicsLSTMDetector` finds the wrong ones in three ways: with its own judges, with the out-of-fold
probabilities of histogram boosting (five folds, `pred_proba`) beside them, and with these alone
(`judge_epochs=0`). `MILDSelector` with its own judges has no part that was trained beforehand, as
the detector has, on records of six of these tables. Beside them stands cleanlab on the same
probabilities of boosting.

In the end boosting is trained on all labels as they are, on the rows that are kept, on all rows
with 1 - the noise score as their weight, and on all rows with corrected labels; of cleanlab, what
it flags becomes the class most probable out of fold.
Accuracy is on the test rows. Time is the processor's, in five folds of boosting.

The first four tables are those of `good_features.py`, on which boosting was seen to predict better;
the other four were first looked at here.

    python -m pip install -e ".[bench,tables,texts]"
    python examples/benchmarks/boosting_beside.py --data DIR

DIR is read as in `believe_problems.py`. Finished runs go to results/boosting_beside.jsonl at once,
and a run that is called again skips them; --table only prints what is there.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
import zlib

import numpy as np
import torch
from believe_problems import _flip as flip
from cifar10n_features import FOLDS
from cleanlab.count import num_label_issues
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from comparison import finished, run_all
from good_features import TABLES, figures, gained, rows, usual_model
from report import markdown, save
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from noisyfit import DynamicsLSTMDetector, MILDSelector

NAME = "boosting_beside"
HALVES = {"seen before": TABLES, "new": ["elec", "weather", "optdigits", "vowel"]}
SOURCES = [source for half in HALVES.values() for source in half]
LABELS = ["symmetric .2", "instance .3", "clean"]
PEER, ALONE = "cleanlab, boosting", "judges: boosting"
NETWORKS, BOTH = "judges: networks", "judges: both"
MILD = "MILDSelector"
METHODS = [PEER, NETWORKS, BOTH, ALONE, MILD]
FIGURES = {
    "AUROC": "auroc",
    "average precision": "average_precision",
    "wrong of the 200 first": "first_wrong",
    "F1 of the flagged": "mask_f1",
    "share flagged": "flagged",
    "error of the rate": "error",
    "interval holds the rate, share": "holds",
    "interval, width": "width",
    "right labels after correction, points": "gained",
    "accuracy of its own network": "own_accuracy",
    "boosting on all labels": "all_accuracy",
    "boosting on the kept rows": "kept_accuracy",
    "boosting, weighted": "weighted_accuracy",
    "boosting on corrected labels": "corrected_accuracy",
    "time": "time",
}


def one_run(source: str, labels: str, seed: int, methods: tuple, data: str) -> list[dict]:
    """Find the wrong labels of one table in all ways; returns a record for each."""
    warnings.simplefilter("ignore")
    whole = rows(source, seed, data)
    X, y = whole.X, whole.y
    rng = np.random.default_rng([seed, zlib.crc32(f"{source} {labels}".encode())])
    given = flip(X, y, labels, rng)
    DynamicsLSTMDetector(max_epochs=1, judge_epochs=0).fit(X, given)  # the libraries
    start = time.process_time()
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    proba = cross_val_predict(usual_model(True), X, given, cv=folds, method="predict_proba")
    boosting = time.process_time() - start

    def accuracy(labels: np.ndarray, weight: np.ndarray) -> float:
        labels, weight, rows = labels[weight > 0], weight[weight > 0], X[weight > 0]
        model = usual_model(True).fit(rows, labels, sample_weight=weight)
        return float(model.score(whole.X_test, whole.y_test))

    everything = np.ones(len(y))
    shared = {
        "data": source,
        "labels": labels,
        "seed": seed,
        "n_rows": len(given),
        "wrong": float((given != y).mean()),
        "all_accuracy": accuracy(given, everything),
    }
    records = []
    for method in methods:
        start, found = time.process_time(), {}
        if method == PEER:
            scores = 1 - get_label_quality_scores(given, proba, method="self_confidence")
            rejected = find_label_issues(given, proba, n_jobs=1)
            corrected = np.where(rejected, np.unique(given)[proba.argmax(axis=1)], given)
            rate = num_label_issues(given, proba) / len(y)
        else:
            kind = MILDSelector if method == MILD else DynamicsLSTMDetector
            est = kind(random_state=seed, judge_epochs=0 if method == ALONE else "auto")
            est.fit(X, given, pred_proba=proba if method in (BOTH, ALONE) else None)
            scores, rejected, corrected = est.noise_scores_, ~est.clean_mask_, est.corrected_labels_
            rate, (low, high) = est.noise_rate_, est.noise_rate_interval_
            found["holds"] = bool(low - 1e-9 <= shared["wrong"] <= high + 1e-9)
            found["width"] = float(high - low)
            found["own_accuracy"] = float(est.score(whole.X_test, whole.y_test))
        seconds = time.process_time() - start + boosting * (method in (PEER, BOTH, ALONE))
        found |= figures(y, given, scores, rejected, corrected, rate)
        found |= {"error": abs(float(rate) - shared["wrong"]), "time": seconds / boosting}
        found["gained"] = gained(y, given, corrected)
        found["kept_accuracy"] = accuracy(given, (~rejected).astype(float))
        found["weighted_accuracy"] = accuracy(given, 1 - scores)
        found["corrected_accuracy"] = accuracy(corrected, everything)
        records.append({**shared, "method": method, **found})
    return records


def table(records: list[dict]) -> str:
    """Average over tables and seeds, for each half and each kind of labels."""
    lines = []
    for (half, sources), labels in itertools.product(HALVES.items(), LABELS):
        here = [r for r in records if r["data"] in sources and r["labels"] == labels]
        n = len({(r["data"], r["seed"]) for r in here})
        for title, figure in FIGURES.items():
            found = {
                m: [r[figure] for r in here if r["method"] == m and figure in r] for m in METHODS
            }
            if any(found.values()):
                form = "+.1f" if figure == "gained" else ".1f" if figure == "time" else ".3f"
                cells = [f"{np.mean(v):{form}}" if v else "-" for v in found.values()]
                lines.append([half, labels, n, title, *cells])
    return markdown(["tables", "labels", "runs", "mean of", *METHODS], lines)


def by_table(records: list[dict]) -> str:
    """Average over the seeds, a line for each table and its labels."""
    chosen = ["auroc", "all_accuracy", "kept_accuracy", "weighted_accuracy", "corrected_accuracy"]
    lines = []
    for source, labels in itertools.product(SOURCES, LABELS):
        here = [r for r in records if (r["data"], r["labels"]) == (source, labels)]
        for figure in chosen if here else []:
            found = [[r[figure] for r in here if r["method"] == m and figure in r] for m in METHODS]
            cells = [f"{np.mean(v):.3f}" if v else "-" for v in found]
            lines.append([source, labels, figure, *cells])
    return markdown(["table", "labels", "figure", *METHODS], lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--labels", nargs="+", choices=LABELS, default=LABELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.table:
        if args.data is None:
            parser.error("Pass --data DIR, or --table.")
        done = {(r["data"], r["labels"], r["seed"], r["method"]) for r in finished(NAME)}
        todo = []
        for seed, source, labels in itertools.product(args.seeds, args.sources, args.labels):
            missing = tuple(m for m in METHODS if (source, labels, seed, m) not in done)
            todo += [(source, labels, seed, missing, args.data)] if missing else []
        run_all(one_run, todo, NAME, args.jobs)
    records = finished(NAME)
    seeds = sorted({r["seed"] for r in records})
    text = f"Up to 3,000 training rows, default settings, seeds {seeds}."
    save(NAME, "\n\n".join([text, table(records), by_table(records)]), {"seeds": seeds})


if __name__ == "__main__":
    main()
