"""Which method when: all four with their defaults, plain training and cleanlab, on ten data sets.

Tables, sentences and images; errors that are symmetric, of one kind (pair), dependent on the row
(instance) and human (CIFAR-10N worst). Up to 4,000 training rows (images: 3,000), the rest, up to
2,000, to test on with right labels. Each method is taken as it comes, with its default network,
epochs and settings, except that images get ``ConvNet(width=8)``, which a CPU can bear:

- plain training: one round of MILDSelector, 20 epochs, whose strong weight decay suits it;
- cleanlab: self-confidence of 5-fold out-of-fold probabilities of that plain training, of 10 and of
  20 epochs a fold; in each setting the better of both by AUROC, which favours it; what
  `find_label_issues` flags is removed, and the plain training repeated on the rest;
- MILDSelector, DLTClassifier, DynamicsLSTMDetector; and
- MetaRelabelClassifier, which is told which rows are verified: ten of each class, at most a tenth
  of the rows. Their labels are right for the other methods, too, and they are left out where
  detection is measured.

Accuracy is that of the last epoch. "time" is the processor's, in units of the plain training's.
DynamicsLSTMDetector comes with a detector that has learned from other rows of spambase, vowel,
banking77, MNIST and CIFAR-10, with labels flipped anew; the other sets it has not seen.

    python -m pip install -e ".[bench]" && python examples/benchmarks/which_method.py --data DIR

DIR is read as in `detector/corpus.py`. Finished settings go to results/which_method.jsonl at once,
and a run that is called again skips them.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np
import torch
from cleanlab.count import num_label_issues
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from comparison import choose_trusted, finished, run_all
from report import markdown, save
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split

from noisyfit import DLTClassifier, DynamicsLSTMDetector, MetaRelabelClassifier, MILDSelector
from noisyfit.metrics import detection_report
from noisyfit.modules import MLP, ConvNet

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import IMAGES, DataSet, cifar10n, corrupt, load

BINARY = ["phoneme", "spambase", "subj"]
DATA_SETS = ["digits", "optdigits", "vowel", "phoneme", "spambase", "trec", "subj", "banking77"]
DATA_SETS += ["mnist", "cifar10"]
PLAIN, PEER = "plain training", "cleanlab"
CLEANLAB = {"cleanlab, 10 epochs": 10, "cleanlab, 20 epochs": 20}
OURS = {
    "MILDSelector": MILDSelector,
    "DLTClassifier": DLTClassifier,
    "DynamicsLSTMDetector": DynamicsLSTMDetector,
    "MetaRelabelClassifier": MetaRelabelClassifier,
}
EPOCHS = 20


def settings(source: str) -> list[tuple[str, float | str]]:
    """Name the kinds of errors of a data set; of two classes, pair errors are symmetric ones."""
    if source in BINARY:
        return [("symmetric", 0.2), ("symmetric", 0.3), ("instance", 0.3)]
    if source == "cifar10":
        return [("symmetric", 0.4), ("cifar10n", "worst")]
    return [("symmetric", 0.2), ("symmetric", 0.4), ("pair", 0.3), ("instance", 0.3)]


def measure(wrong, scores, flagged, rate, judged) -> dict[str, float]:
    """Say how well the wrong labels were found, among the rows that nobody had verified."""
    rate = min(1.0, rate * len(wrong) / judged.sum())  # no verified row counts as wrong
    return detection_report(
        wrong[judged], scores[judged], clean_mask=~flagged[judged], noise_rate=rate
    )


def one_setting(
    source: str, folder: str, kind: str, rate: float | str, seed: int, methods: list[str]
) -> list[dict]:
    """Run methods on one corruption; returns a record for each."""
    split, noise, training, choice = np.random.SeedSequence(seed).spawn(4)
    whole = DataSet(*load_digits(return_X_y=True)) if source == "digits" else load(source, folder)
    n_train = 3_000 if source in IMAGES else min(4_000, 3 * len(whole.y) // 4)
    train, test = train_test_split(
        np.arange(len(whole.y)),
        train_size=n_train,
        test_size=min(2_000, len(whole.y) - n_train),
        stratify=whole.y,
        random_state=int(split.generate_state(1)[0]),
    )
    X, y, X_test, y_test = whole.X[train], whole.y[train], whole.X[test], whole.y[test]
    n_classes = int(whole.y.max()) + 1
    if kind == "cifar10n":
        given = cifar10n(Path(folder), str(rate), whole.y)[train]
    else:
        given = corrupt(DataSet(X, y), kind, float(rate), int(noise.generate_state(1)[0]))
    per_class = max(1, min(10, n_train // (10 * n_classes)))
    trusted = choose_trusted(y, per_class, np.random.default_rng(choice))
    given = np.where(trusted, y, given)
    wrong, judged = given != y, ~trusted
    network = {"module": ConvNet, "module__width": 8} if source in IMAGES else {"module": MLP}
    run_seed = int(training.generate_state(1)[0]) % 2**31

    def plain(epochs: int) -> MILDSelector:
        return MILDSelector(
            judge_epochs=0, **network, rounds=1, max_epochs=epochs, random_state=run_seed
        )

    def run(method: str) -> dict:
        if method == PLAIN:
            est, seconds = _timed(plain(EPOCHS), X, given)
            return {"accuracy": est.score(X_test, y_test), "seconds": seconds}
        if method in CLEANLAB:
            start = time.process_time()
            folds = StratifiedKFold(5, shuffle=True, random_state=run_seed)
            proba = cross_val_predict(
                plain(CLEANLAB[method]), X, given, cv=folds, method="predict_proba"
            )
            quality = get_label_quality_scores(given, proba, method="self_confidence")
            flagged = find_label_issues(given, proba, n_jobs=1)
            estimate = num_label_issues(given, proba) / len(given)
            seconds = time.process_time() - start  # of the scores, not of the training after them
            est = plain(EPOCHS).fit(X[~flagged], given[~flagged])
            found = measure(wrong, np.clip(1 - quality, 0, 1), flagged, estimate, judged)
        else:
            options = {"trusted": trusted} if OURS[method] is MetaRelabelClassifier else {}
            new = OURS[method](**network, judge_epochs=0, random_state=run_seed)
            est, seconds = _timed(new, X, given, **options)
            found = measure(wrong, est.noise_scores_, ~est.clean_mask_, est.noise_rate_, judged)
        return {"accuracy": est.score(X_test, y_test), "seconds": seconds, **found}

    plain(1).fit(X, given)  # the first fit of a process waits for the libraries; not counted
    common = {
        "data": source,
        "labels": f"{kind} {rate}",
        "seed": seed,
        "n_rows": n_train,
        "n_trusted": int(trusted.sum()),
        "realised_rate": float(wrong[judged].mean()),
    }
    return [common | {"method": method, **run(method)} for method in methods]


def _timed(est, X, given, **options) -> tuple:
    start = time.process_time()
    est.fit(X, given, **options)
    return est, time.process_time() - start


def with_best_cleanlab(records: list[dict]) -> list[dict]:
    """Of cleanlab's lengths keep, in each setting, the one with the better AUROC."""
    best: dict[tuple, dict] = {}
    for record in records:
        key = (record["data"], record["labels"], record["seed"])
        if record["method"] in CLEANLAB and (
            key not in best or record["auroc"] > best[key]["auroc"]
        ):
            best[key] = record | {"method": PEER}
    return [r for r in records if r["method"] not in CLEANLAB] + list(best.values())


def table(records: list[dict], figure: str, methods: list[str]) -> str:
    """Average over the seeds, a row for each data set and kind of errors; the best is bold."""
    rows, means = [], []
    cells = dict.fromkeys((r["data"], r["labels"]) for r in sorted(records, key=_order))
    for data, labels in cells:
        here = [r for r in records if (r["data"], r["labels"]) == (data, labels)]
        values = [np.mean([r[figure] for r in here if r["method"] == m]) for m in methods]
        if figure == "seconds":
            base = np.mean([r["seconds"] for r in here if r["method"] == PLAIN])
            shown = [f"{value / base:.1f}" for value in values]
            values = [value / base for value in values]
        elif figure == "noise_rate_error":
            shown = [f"{value:+.3f}" for value in values]
        else:
            shown = [f"{value:.3f}" for value in values]
            best = max(shown)
            shown = [f"**{text}**" if text == best else text for text in shown]
        rate = np.mean([r["realised_rate"] for r in here])
        rows.append([data, f"{labels} ({rate:.1%} wrong)", len({r["seed"] for r in here}), *shown])
        means.append(np.abs(values))
    last = [f"{value:.3f}" for value in np.mean(means, axis=0)]
    rows.append(["mean (of the size, where there is a sign)", "", "", *last])
    return markdown(["data", "labels", "seeds", *methods], rows)


def by_data_set(records: list[dict], figure: str, methods: list[str]) -> str:
    """Average over the kinds of errors, each of which counts once; the best is bold."""
    rows, means = [], []
    for data in dict.fromkeys(r["data"] for r in sorted(records, key=_order)):
        here = [r for r in records if r["data"] == data]
        kinds = dict.fromkeys(r["labels"] for r in here)
        values = [
            np.mean([_mean(here, method, kind, figure) for kind in kinds]) for method in methods
        ]
        best = min(values) if figure == "noise_rate_error" else max(values)
        rows.append([data, *(_shown(value, best) for value in values)])
        means.append(values)
    overall = np.mean(means, axis=0)
    best = overall.min() if figure == "noise_rate_error" else overall.max()
    rows.append(["mean", *(_shown(value, best) for value in overall)])
    return markdown(["data", *methods], rows)


def _mean(records: list[dict], method: str, labels: str, figure: str) -> float:
    runs = [r for r in records if (r["method"], r["labels"]) == (method, labels)]
    return float(np.mean([abs(r[figure]) for r in runs]))


def _shown(value: float, best: float) -> str:
    text = f"{value:.3f}".removeprefix("0")
    return f"**{text}**" if f"{value:.3f}" == f"{best:.3f}" else text


def _order(record: dict) -> tuple:
    kinds = [f"{kind} {rate}" for kind, rate in settings(record["data"])]
    return DATA_SETS.index(record["data"]), kinds.index(record["labels"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-sets", nargs="+", choices=DATA_SETS, default=DATA_SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    done = {(r["data"], r["labels"], r["seed"], r["method"]) for r in finished("which_method")}
    todo = []
    for seed, source in itertools.product(args.seeds, args.data_sets):
        for kind, rate in settings(source):
            key = (source, f"{kind} {rate}", seed)
            missing = [m for m in (PLAIN, *CLEANLAB, *OURS) if (*key, m) not in done]
            if missing and not args.table:
                todo.append((source, args.data, kind, rate, seed, missing))
    run_all(one_setting, todo, "which_method", args.jobs)
    records = with_best_cleanlab(finished("which_method"))
    finders = [PEER, *OURS]
    parts = {
        "By data set: AUROC": by_data_set(records, "auroc", finders),
        "By data set: F1": by_data_set(records, "mask_f1", finders),
        "By data set: size of the noise rate's error": by_data_set(
            records, "noise_rate_error", finders
        ),
        "By data set: accuracy": by_data_set(records, "accuracy", [PLAIN, *finders]),
        "Ranking of the wrong labels, AUROC": table(records, "auroc", finders),
        "Flagged as wrong, F1": table(records, "mask_f1", finders),
        "Error of the noise rate": table(records, "noise_rate_error", finders),
        "Accuracy on right labels, last epoch": table(records, "accuracy", [PLAIN, *finders]),
        "Processor time in plain trainings": table(records, "seconds", [PLAIN, *finders]),
    }
    text = "\n\n".join(f"{title}.\n\n{part}" for title, part in parts.items())
    save("which_method", text, {"seeds": args.seeds})


if __name__ == "__main__":
    main()
