"""Does a new network on the kept rows predict better than that of the last round?

MILDSelector with default settings, ``retrain=False``, on tables and sentences (150 latent
dimensions), up to 2,000 rows, none, 10 % and 30 % of the labels wrong, symmetric and of the next
class; then with a new network on the rows that it keeps (``retrain=True``), whose scores and
selection are the same. Shown beside both accuracies is what ``retrain="auto"`` goes by: how many of
the rejected labels the first network predicts itself, from two fifths on, a number that was chosen
on the first group of data sets, with 30 % wrong, and on features of CIFAR-10; and how many rows the
rounds dropped which are kept in the end, as the judges say, from one in a hundred on.

    python examples/benchmarks/mild_retraining.py --data DIR

DIR is read as in `detector/corpus.py`. Finished problems go to results/mild_retraining.jsonl at
once, and a run that is called again skips them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from comparison import finished, run_all
from report import markdown, save
from sklearn.model_selection import train_test_split

from noisyfit import MILDSelector

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import DataSet, corrupt, load

NAME = "mild_retraining"
GROUPS = {
    "chosen on": ["trec", "subj", "optdigits", "vowel"],
    "confirmed on": ["phoneme", "spambase", "banking77", "sst2", "mr", "elec", "german"],
}
KINDS = [("symmetric", 0.0), ("symmetric", 0.1), ("symmetric", 0.3), ("pair", 0.3)]


def one_problem(data: str, kind: str, rate: float, folder: str) -> list[dict]:
    """Fit twice; returns the record in a list."""
    whole = load(data, folder)
    n_train = min(2_000, 3 * len(whole.y) // 4)
    X, X_test, y, y_test = train_test_split(
        *(whole.X, whole.y),
        train_size=n_train,
        test_size=min(3_000, len(whole.y) - n_train),
        stratify=whole.y,
        random_state=0,
    )
    given = corrupt(DataSet(X, y), kind, rate, 0) if rate else y
    last, new = (MILDSelector(random_state=0, retrain=r).fit(X, given) for r in (False, True))
    rejected = ~last.clean_mask_
    by_heart = last.predicted_labels_[rejected] == given[rejected]
    return [
        {
            "data": data,
            "kind": kind,
            "rate": rate,
            "n_rows": n_train,
            "wrong": float(np.mean(given != y)),
            "rejected": float(rejected.mean()),
            "by_heart": float(by_heart.mean()) if rejected.any() else 0.0,
            "taken_back": float((last.dropped_round_[~rejected] > 0).sum() / n_train),
            "loss": last.loss_,
            "accuracy_last": float(last.score(X_test, y_test)),
            "accuracy_new": float(new.score(X_test, y_test)),
        }
    ]


def table(records: list[dict]) -> str:
    """Lay out a line for each problem."""
    rows = [
        [
            group,
            f"{r['data']}, {r['kind']}",
            *(f"{r[part]:.0%}" for part in ("wrong", "rejected", "by_heart", "taken_back")),
            *(f"{r[part]:.3f}" for part in ("accuracy_last", "accuracy_new")),
        ]
        for group, names in GROUPS.items()
        for r in sorted(records, key=lambda r: -r["taken_back"])
        if r["data"] in names
    ]
    head = ["", "problem", "wrong", "rejected", "predicted all the same", "dropped, but kept"]
    return markdown([*head, "last round", "new network"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    done = {(r["data"], r["kind"], r["rate"]) for r in finished(NAME)}
    runs = [(data, *kind) for kind in KINDS for names in GROUPS.values() for data in names]
    todo = [(*run, args.data) for run in runs if run not in done]
    run_all(one_problem, todo, NAME, args.jobs)
    text = "Accuracy on test rows with right labels, last epoch, one seed.\n\n"
    save(NAME, text + table(finished(NAME)), {"problems": finished(NAME)})
