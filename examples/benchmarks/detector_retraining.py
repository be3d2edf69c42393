"""Accuracy after the rows that a method takes for wrong are left out and a network is retrained.

4,000 training rows with wrong labels, up to 2,000 test rows with right ones, of data sets that the
detector has not seen (see `detector_transfer.py`). All networks are the same, trained in the same
way for as many epochs:

- plain training on all rows;
- DynamicsLSTMDetector: leaves out as many rows as it estimates to be wrong;
- AUM: as many rows as that, those with the smallest mean margin;
- cleanlab: what `find_label_issues` returns, from 5-fold out-of-fold probabilities;
- oracle: exactly the wrong rows.

    python examples/benchmarks/detector_retraining.py --data DATA --work WORK
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from detector_transfer import detector_for
from report import markdown, save
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from noisyfit import DynamicsLSTMDetector, MILDSelector

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import UNSEEN, corrupt, evaluation_runs, subset

DATA_SETS = [*UNSEEN, "spambase", "banking77"]
N_TRAIN, N_TEST = 4000, 2000
EPOCHS = DynamicsLSTMDetector().max_epochs
METHODS = ["plain", "DynamicsLSTMDetector", "AUM", "cleanlab", "oracle"]


def plain(seed: int) -> MILDSelector:
    """Plain training, which is one round of selection; its record gives AUM."""
    return MILDSelector(
        judge_epochs=0, rounds=1, max_epochs=EPOCHS, record=("margin",), random_state=seed
    )


def one_run(run, data: str, work: Path) -> list[dict]:
    """Train all methods on the labels of one run."""
    rows, _ = subset(run.source, data, N_TRAIN + N_TEST, run.seed)
    X, y, test = rows.X[:N_TRAIN], rows.y[:N_TRAIN], slice(N_TRAIN, None)
    given = corrupt(rows._replace(X=X, y=y), run.kind, run.rate, run.seed)
    wrong, seed = given != y, run.seed
    detector = DynamicsLSTMDetector(
        judge_epochs=0, detector=detector_for(run.source, work), random_state=seed
    )
    detector.fit(X, given)
    everything = plain(seed).fit(X, given)
    by_aum = np.zeros(N_TRAIN, dtype=bool)
    by_aum[np.argsort(-everything.dynamics_.aum())[: detector.clean_mask_.sum()]] = True
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    proba = cross_val_predict(plain(seed), X, given, cv=folds, method="predict_proba")
    classes = np.unique(given, return_inverse=True)[1]
    kept = {
        "plain": np.ones(N_TRAIN, dtype=bool),
        "DynamicsLSTMDetector": detector.clean_mask_,
        "AUM": by_aum,
        "cleanlab": ~find_label_issues(classes, proba, n_jobs=1),
        "oracle": ~wrong,
    }
    records = []
    for method, mask in kept.items():
        est = {"plain": everything, "DynamicsLSTMDetector": detector}.get(method)
        est = plain(seed).fit(X[mask], given[mask]) if est is None else est
        records.append(
            {
                "data": run.source,
                "labels": f"{run.kind} {run.rate}",
                "seed": seed,
                "realised_rate": float(wrong.mean()),
                "estimated_rate": detector.noise_rate_,
                "method": method,
                "accuracy": est.score(rows.X[test], rows.y[test]),
                "kept_right": float(1 - wrong[mask].mean()),
                "n_kept": int(mask.sum()),
            }
        )
    return records


def table(records: list[dict]) -> str:
    """Average over the seeds."""
    rows, means = [], []
    for data, labels in dict.fromkeys((r["data"], r["labels"]) for r in records):
        here = [r for r in records if (r["data"], r["labels"]) == (data, labels)]
        mean = [np.mean([r["accuracy"] for r in here if r["method"] == m]) for m in METHODS]
        means.append(mean)
        rates = (np.mean([r[k] for r in here]) for k in ("realised_rate", "estimated_rate"))
        seeds = len({r["seed"] for r in here})
        rows.append([data, labels, seeds, *(f"{x:.3f}" for x in rates)])
        rows[-1] += [f"{100 * x:.1f}" for x in mean]
    rows.append(["**mean**", "", "", "", "", *(f"**{100 * x:.1f}**" for x in np.mean(means, 0))])
    return markdown(["data", "labels", "seeds", "wrong", "estimated", *METHODS], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    done = args.work / "retraining.jsonl"
    records = [json.loads(line) for line in done.read_text().splitlines()] if done.exists() else []
    for source in DATA_SETS:
        for run in evaluation_runs(source, "training", range(args.seeds)):
            key = (source, f"{run.kind} {run.rate}", run.seed)
            if key in {(r["data"], r["labels"], r["seed"]) for r in records}:
                continue
            new = one_run(run, args.data, args.work)
            with done.open("a") as file:
                file.writelines(json.dumps(r) + "\n" for r in new)
            records += new
            print(*key, [(r["method"], round(r["accuracy"], 4)) for r in new], flush=True)
    text = (
        "Accuracy in per cent on clean test rows after retraining, last epoch; share of wrong "
        "labels among 4,000, and the detector's estimate.\n\n"
    )
    save("detector_retraining", text + table(records), {"records": records})


if __name__ == "__main__":
    main()
