"""Train on wrong labels: DLTClassifier against plain training, cleanlab and the clean rows alone.

Measures the accuracy on clean test rows, on scikit-learn's digits (an MLP) and on 10,000 images of
MNIST (a small convolutional network), with symmetric errors of 40 and 60 % and pair errors of 40 %:

- plain training: the same network, loop, optimizer, learning rate, schedule, batch size, epochs and
  standard view, on all rows;
- DLTClassifier, which estimates the noise rate; on digits with the last epoch strategy as well;
- cleanlab: find_label_issues on 5-fold out-of-fold probabilities of the plain training, 10 epochs a
  fold, the rows it flags removed, then the plain training on the rest;
- oracle: the plain training on the rows whose label is right.

"last" is the accuracy after the last epoch, "selected" that of the epoch with the best accuracy on
validation rows whose labels are corrupted like the others'; never the best test epoch. "gap closed"
is how far the last epoch got from plain to oracle.

A second table gives the estimated noise rate, for 20 % as well, from the estimation run alone.

    python -m pip install -e ".[bench]"
    python examples/benchmarks/robust_training.py                             (digits)
    python examples/benchmarks/robust_training.py --data DIR --dataset mnist  (DIR holds mnist.npz)

Finished runs go to results/robust_training_DATASET.jsonl at once, and a run that is called again
skips them; --jobs runs that many at a time, one thread each.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from cleanlab.filter import find_label_issues
from comparison import EpochAccuracy, finished, load, percent, plain, run_all
from report import markdown, save
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from noisyfit import DLTClassifier
from noisyfit.data import fit_scaler
from noisyfit.metrics import detection_report, mask_f1
from noisyfit.modules import MLP, ConvNet
from noisyfit.noise import corrupt_labels, transition_matrix

SETTINGS = [("symmetric", 0.4), ("symmetric", 0.6), ("pair", 0.4)]
ESTIMATED = [("symmetric", 0.0), ("symmetric", 0.2), *SETTINGS, ("pair", 0.2)]
EPOCHS = {"digits": 50, "mnist": 20}
FOLD_EPOCHS = 10
STRATEGIES = {
    "digits": {"DLTClassifier": "sliding_window", "DLTClassifier, last epoch": "last_epoch"},
    "mnist": {"DLTClassifier": "sliding_window"},
}
METHODS = ["plain training", *STRATEGIES["digits"], "cleanlab", "oracle"]


def network(dataset: str) -> dict:
    """Return the network of a data set."""
    if dataset == "digits":
        return {"module": MLP}
    return {"module": ConvNet, "module__width": 16}


def one_run(dataset: str, folder: str | None, kind: str, rate: float, seed: int) -> list[dict]:
    """Run all methods on one corruption; returns a record for each."""
    split, noise, training = np.random.SeedSequence(seed).spawn(3)
    data = load(dataset, folder, int(split.generate_state(1)[0]))
    X, y, X_val, y_val, X_test, y_test = data
    rng, matrix = np.random.default_rng(noise), transition_matrix(kind, 10, rate)
    given, wrong = corrupt_labels(y, matrix, rng)
    given_val, _ = corrupt_labels(y_val, matrix, rng)
    seed_of_run, epochs = int(training.generate_state(1)[0]) % 2**31, EPOCHS[dataset]
    common = {"kind": kind, "rate": rate, "seed": seed, "realised_rate": float(wrong.mean())}
    records = []

    def fit(method: str, estimator: DLTClassifier, keep: np.ndarray, **more) -> None:
        watch = EpochAccuracy(X_val, given_val, X_test, y_test, fit_scaler(X[keep]))
        start = time.process_time()
        estimator.set_params(callbacks=[watch]).fit(X[keep], given[keep])
        seconds = time.process_time() - start
        records.append(common | {"method": method, **watch.result(), "seconds": seconds, **more})

    everything = np.ones(len(y), dtype=bool)
    if (kind, rate) in SETTINGS:
        baseline = plain(network(dataset), epochs, seed_of_run)
        fit("plain training", clone(baseline), everything)
        fit("oracle", clone(baseline), ~wrong)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed_of_run)
        shorter = plain(network(dataset), FOLD_EPOCHS, seed_of_run)
        start = time.process_time()
        probabilities = cross_val_predict(shorter, X, given, cv=folds, method="predict_proba")
        flagged = find_label_issues(given, probabilities, n_jobs=1)
        seconds = time.process_time() - start
        fit("cleanlab", clone(baseline), ~flagged, mask_f1=mask_f1(wrong, flagged))
        records[-1]["seconds"] += seconds
        for method, strategy in STRATEGIES[dataset].items():
            dlt = DLTClassifier(
                judge_epochs=0,
                **network(dataset),
                strategy=strategy,
                max_epochs=epochs,
                random_state=seed_of_run,
            )
            fit(method, dlt, everything)
            records[-1] |= detection_report(
                wrong, dlt.noise_scores_, clean_mask=dlt.clean_mask_, noise_rate=dlt.noise_rate_
            ) | {"noise_rate": dlt.noise_rate_, "interval": dlt.noise_rate_interval_}
    else:
        dlt = DLTClassifier(
            judge_epochs=0, **network(dataset), max_epochs=1, random_state=seed_of_run
        )
        dlt.fit(X, given)
        estimate = {"noise_rate": dlt.noise_rate_, "interval": dlt.noise_rate_interval_}
        records.append(common | {"method": "DLTClassifier", **estimate})
    return records


def summary(records: list[dict]) -> str:
    """Average over the seeds."""
    rows, rates = [], []
    for kind, rate in ESTIMATED:
        here = [r for r in records if (r["kind"], r["rate"]) == (kind, rate)]
        if not here:
            continue
        realised = f"{np.mean([r['realised_rate'] for r in here]):.1%}"
        name = f"{kind} {rate:.0%} ({realised} wrong)"
        mean = {
            method: np.mean([r["last"] for r in here if r["method"] == method])
            for method in METHODS
            if any(r["method"] == method and "last" in r for r in here)
        }
        for method in mean:
            runs = [r for r in here if r["method"] == method]
            last, selected = ([r[k] for r in runs] for k in ("last", "selected"))
            gap = mean["oracle"] - mean["plain training"]
            closed = (mean[method] - mean["plain training"]) / gap
            row = [name, method, percent(last), percent(selected)]
            row.append(f"{100 * (np.mean(last) - np.mean(selected)):+.2f}")
            row.append("" if method in ("plain training", "oracle") else f"{closed:.0%}")
            row.append(f"{np.mean([r['auroc'] for r in runs]):.4f}" if "auroc" in runs[0] else "")
            row.append(f"{np.mean([r['seconds'] for r in runs]):.0f}")
            rows.append(row)
        found = [r for r in here if r["method"] == "DLTClassifier"]
        errors = [r["noise_rate"] - r["realised_rate"] for r in found]
        inside = sum(r["interval"][0] <= r["realised_rate"] <= r["interval"][1] for r in found)
        rates.append(
            [
                name,
                ", ".join(f"{r['noise_rate']:.3f}" for r in found),
                f"{np.mean(errors):+.3f}",
                f"{max(errors, key=abs):+.3f}",
                f"{inside} of {len(found)}",
            ]
        )
    head = ["labels", "method", "last", "selected", "last - selected", "gap closed", "AUROC"]
    text = markdown([*head, "CPU seconds"], rows)
    text += "\n\nEstimated noise rate.\n\n"
    head = ["labels", "estimates", "mean error", "largest error", "realised rate in the interval"]
    return text + markdown(head, rates)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=list(EPOCHS), default="digits")
    parser.add_argument("--data", help="folder of mnist.npz")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    if args.dataset != "digits" and args.data is None:
        parser.error("--data is needed")
    torch.set_num_threads(1)
    name = f"robust_training_{args.dataset}"
    done = {(r["kind"], r["rate"], r["seed"]) for r in finished(name)}
    settings = [(*setting, seed) for seed in args.seeds for setting in ESTIMATED]
    todo = [(args.dataset, args.data, *s) for s in settings if s not in done]
    run_all(one_run, todo, name, args.jobs)
    records = [r for r in finished(name) if r["seed"] in args.seeds]
    title = {
        "digits": "Digits: 1,147 training, 200 validation and 450 test rows, MLP 128-128",
        "mnist": "MNIST: 10,000 training, 1,000 validation, 10,000 test images, ConvNet, width 16",
    }[args.dataset]
    text = f"{title}, {EPOCHS[args.dataset]} epochs, seeds {args.seeds}.\n\n{summary(records)}"
    save(name, text, {"seeds": args.seeds, "records": records})


if __name__ == "__main__":
    main()
