"""CIFAR-10N at full size on a CPU: all methods on the features of a network that others trained.

The 50,000 training and 10,000 test pictures of CIFAR-10 become 1,280 features of EfficientNet-Lite0
once, which are kept in --cache; each method then trains networks on them as on a table. Labels are
those of CIFAR-10N (aggregate, first annotator, worst), or drawn from all classes (symmetric: 20, 40
and 80 %, of which a tenth happens to be right). Everything has its default settings, the network
too: a small multilayer perceptron.

- plain training: one round of MILDSelector, 20 epochs, on all labels as they are;
- cleanlab: self-confidence of out-of-fold probabilities of that plain training in five folds, what
  `find_label_issues` flags, and the plain training repeated on the rest;
- the four methods, ConsensusClassifier, and DivideMixClassifier. MetaRelabelClassifier is told
  which ten rows of each class are verified; they are right for the others too, and are left out
  where detection is measured.

The audit: 200 rows that `noisyfit.audit.sample` draws by the scores are verified, and what follows
from them is applied. The network is not trained anew, but the plain training is repeated on the
labels as they are corrected then.

Accuracy is that of the last epoch on the 10,000 test pictures. Time is the processor's, in plain
trainings of the same setting and seed.

    python -m pip install -e ".[bench,images]"
    python examples/benchmarks/cifar10n_features.py --data DIR

--size 224 is what the network was trained on; --rows 20000 takes the first so many training
pictures, which a slow machine bears (with --size 96). Both go to other files of results.

DIR is read as in `paper_tables/cifar.py`. Finished runs go to results/cifar10n_features.jsonl at
once, and a run that is called again skips them; --table only prints what is there.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import torch
from cleanlab.count import num_label_issues
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from comparison import choose_trusted, finished, run_all
from report import markdown, save
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from noisyfit import (
    ConsensusClassifier,
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)
from noisyfit.audit import Audit, sample
from noisyfit.features import ImageFeatures
from noisyfit.metrics import detection_report, mask_f1

sys.path.append(str(Path(__file__).parents[1] / "paper_tables"))
from cifar import given_labels, images, source

NAME, ALL_ROWS, SIZE = "cifar10n_features", 50_000, 128
SETTINGS = ["cifar10n-aggre", "cifar10n-random1", "cifar10n-worst"]
SETTINGS += [f"symmetric-{rate}" for rate in (0.2, 0.4, 0.8)]
PLAIN, PEER = "plain training", "cleanlab"
OURS = {
    method.__name__: method
    for method in (
        *(MILDSelector, DLTClassifier, DynamicsLSTMDetector, MetaRelabelClassifier),
        *(DivideMixClassifier, ConsensusClassifier),
    )
}
METHODS = [PLAIN, PEER, *OURS]
EPOCHS, FOLDS, TRUSTED_PER_CLASS, VERIFIED = 20, 5, 10, 200
FIGURES = {
    "AUROC of the scores": "auroc",
    "Average precision of the scores": "average_precision",
    "F1 of the flagged rows": "mask_f1",
    "F1 of the flagged rows, after the audit": "audited_f1",
    "Estimated noise rate, and interval": "noise_rate",
    "Noise rate of the audit, and interval": "audited_rate",
    "Right labels after correction": "corrected",
    "Right labels after correction, after the audit": "audited_corrected",
    "Calibration error of the scores": "expected_calibration_error",
    "Accuracy on test rows": "accuracy",
    "Accuracy of the plain training on the labels corrected after the audit": "audited_accuracy",
    "Processor time in plain trainings": "time",
}
INTERVALS = {"noise_rate": ("low", "high"), "audited_rate": ("audited_low", "audited_high")}


@cache
def features(folder: str, size: int, memory: str, n_rows: int) -> tuple[np.ndarray, ...]:
    """Return the features of the first training rows, the labels of all, and the test rows."""
    X, y, X_test, y_test = images(folder)
    backbone = ImageFeatures("efficientnet_lite0", size=size, memory=memory, verbose=1)
    return backbone.fit_transform(X[:n_rows]), y, backbone.transform(X_test), y_test


def one_run(setting: str, seed: int, method: str, folder: str, size: int, memory: str, n_rows: int):
    """Train one method on one draw of labels; returns its record in a list."""
    X, y, X_test, y_test = features(folder, size, memory, n_rows)
    noise, choice, training = np.random.SeedSequence(seed).spawn(3)
    given = given_labels({"setting": setting}, folder, y, np.random.default_rng(noise))
    y, given = y[:n_rows], given[:n_rows]
    trusted = choose_trusted(y, TRUSTED_PER_CLASS, np.random.default_rng(choice))
    given = np.where(trusted, y, given)
    wrong, judged = given != y, ~trusted
    seed_of_fit = int(training.generate_state(1)[0]) % 2**31
    start, found, better = time.process_time(), {}, None
    if method == PLAIN:
        est = plain(seed_of_fit).fit(X, given)
    elif method == PEER:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed_of_fit)
        proba = cross_val_predict(plain(seed_of_fit), X, given, cv=folds, method="predict_proba")
        scores = 1 - get_label_quality_scores(given, proba, method="self_confidence")
        flagged = find_label_issues(given, proba, n_jobs=1)
        found = measured(wrong, scores, flagged, num_label_issues(given, proba) / len(y), judged)
        est = plain(seed_of_fit).fit(X[~flagged], given[~flagged])
    else:
        told = {"trusted": trusted} if OURS[method] is MetaRelabelClassifier else {}
        est = OURS[method](random_state=seed_of_fit).fit(X, given, **told)
        found = measured(wrong, est.noise_scores_, ~est.clean_mask_, est.noise_rate_, judged)
        better = audited(est, y, given, seed)
        found |= after_audit(est, better, y, wrong, judged)
    seconds = time.process_time() - start
    if better is not None:
        again = plain(seed_of_fit).fit(X, better.corrected_labels_)
        found["audited_accuracy"] = float(again.score(X_test, y_test))
    return [
        {
            "setting": setting,
            "seed": seed,
            "method": method,
            "size": size,
            "rows": n_rows,
            "pictures": source(folder),
            "wrong": float(wrong[judged].mean()),
            **found,
            "seconds": seconds,
            "accuracy": float(est.score(X_test, y_test)),
        }
    ]


def plain(seed: int) -> MILDSelector:
    """Return the plain training."""
    return MILDSelector(judge_epochs=0, rounds=1, max_epochs=EPOCHS, random_state=seed)


def measured(wrong, scores, flagged, rate, judged) -> dict[str, float]:
    """Say how well the wrong labels were found, among the rows that nobody had verified."""
    rate = min(1.0, float(rate) * len(wrong) / judged.sum())  # no verified row counts as wrong
    found = detection_report(
        wrong[judged], np.clip(scores[judged], 0, 1), clean_mask=~flagged[judged], noise_rate=rate
    )
    return {**found, "noise_rate": float(rate)}


def audited(est, y, given, seed: int):
    """Return the estimator as it speaks once rows drawn by `noisyfit.audit` are verified."""
    drawn = sample(est, VERIFIED, random_state=seed)
    return Audit(est, given, y[drawn.rows], drawn).apply(est)


def after_audit(est, better, y, wrong, judged) -> dict[str, float]:
    """Say what is known then, beside the intervals before and after."""
    low, high = est.noise_rate_interval_
    low_after, high_after = better.noise_rate_interval_
    return {
        "low": float(low),
        "high": float(high),
        "audited_rate": float(better.noise_rate_),
        "audited_low": float(low_after),
        "audited_high": float(high_after),
        "audited_f1": mask_f1(wrong[judged], ~better.clean_mask_[judged]),
        "corrected": float((est.corrected_labels_ == y).mean()),
        "audited_corrected": float((better.corrected_labels_ == y).mean()),
    }


def with_times(records: list[dict]) -> list[dict]:
    """Add the time in plain trainings of the same labels, where one ran on the same machine."""

    def key(r: dict) -> tuple:
        return r["setting"], r["seed"], r.get("machine")

    base = {key(r): r["seconds"] for r in records if r["method"] == PLAIN}
    return [r | ({"time": r["seconds"] / base[key(r)]} if key(r) in base else {}) for r in records]


def table(records: list[dict], figure: str) -> str:
    """Average over the seeds, a row for each setting; the best is bold."""
    rows = []
    for setting in dict.fromkeys(r["setting"] for r in sorted(records, key=_order)):
        here = [r for r in records if r["setting"] == setting]
        wrong = np.mean([r["wrong"] for r in here])
        found = {m: [r for r in here if r["method"] == m and figure in r] for m in METHODS}
        best = _best(found, figure)
        cells = [_shown(some, figure, bold=method in best) for method, some in found.items()]
        rows.append([setting, f"{wrong:.1%}", *cells])
    seeds = sorted({r["seed"] for r in records})
    shown = [i for i, _ in enumerate(METHODS) if any(row[i + 2] != "-" for row in rows)]
    rows = [[*row[:2], *(row[i + 2] for i in shown)] for row in rows]
    head = ["labels", "wrong", *(METHODS[i] for i in shown)]
    return f"Seeds {seeds}.\n\n" + markdown(head, rows)


def _order(record: dict) -> int:
    return SETTINGS.index(record["setting"])


def _best(found: dict[str, list[dict]], figure: str) -> list[str]:
    """Name the methods whose mean is best, as it is shown."""
    if figure == "time":
        return []

    def badness(record: dict) -> float:
        if figure in INTERVALS:
            return abs(record[figure] - record["wrong"])
        return record[figure] if figure == "expected_calibration_error" else -record[figure]

    bad = {m: round(np.mean([badness(r) for r in some]), 3) for m, some in found.items() if some}
    return [method for method, value in bad.items() if value == min(bad.values())]


def _shown(records: list[dict], figure: str, *, bold: bool) -> str:
    if not records:
        return "-"
    if figure == "time":
        return f"{np.mean([r['time'] for r in records]):.1f}"
    text = f"{np.mean([r[figure] for r in records]):.3f}"
    if len(records) > 1:
        text += f" ± {np.std([r[figure] for r in records]):.3f}"
    text = f"**{text}**" if bold else text
    ends = INTERVALS.get(figure)
    if ends and ends[0] in records[0]:
        text += " ({:.3f} to {:.3f})".format(*(np.mean([r[end] for r in records]) for end in ends))
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--cache", default="features", help="folder that keeps the features")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels that pictures get")
    parser.add_argument("--rows", type=int, default=ALL_ROWS, metavar="N", help="training rows")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    name = NAME + ("" if args.rows == ALL_ROWS else f"_{args.rows}")
    name += "" if args.rows != ALL_ROWS or args.size == SIZE else f"_{args.size}px"
    if not args.table:
        if args.data is None:
            parser.error("Pass --data DIR, or --table.")
        where = (args.data, args.size, args.cache, args.rows)
        features(*where)  # once, before processes ask for them
        done = {(r["setting"], r["seed"], r["method"]) for r in finished(name)}
        every = itertools.product(args.seeds, args.methods, args.settings)
        todo = [(s, seed, m) for seed, m, s in every if (s, seed, m) not in done]
        run_all(one_run, [(*run, *where) for run in todo], name, args.jobs)
    records = with_times(finished(name))
    parts = [f"{title}. {table(records, figure)}" for title, figure in FIGURES.items()]
    text = (
        "CIFAR-10 ({pictures}), {rows:,} training rows, features of EfficientNet-Lite0 at {size} "
        "pixels, default settings.".format(**{"rows": ALL_ROWS} | records[0])
    )
    for machine, n in Counter(r["machine"] for r in records if "machine" in r).items():
        text += f" {n} of the runs on {machine}, by hand in the same way."
    save(name, "\n\n".join([text, *parts]), {"seeds": args.seeds})


if __name__ == "__main__":
    main()
