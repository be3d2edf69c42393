"""May one act on what a fit says? All estimators as they come, on `believe_problems.py`.

Each problem is drawn anew for each seed; settings of noisyfit may be chosen on the half "choose"
alone, and what README and docs state is of the half "confirm". Estimators are taken as they come,
with their default networks and epochs, but that CIFAR-10 gets ``ConvNet(width=8)``, which a CPU
can bear.

- plain training: one round of MILDSelector, 20 epochs; the oracle is the same on the right labels;
- cleanlab: the better by AUROC, in each problem, of logistic regression and histogram boosting, 5
  folds; what `find_label_issues` flags is removed, and the plain training repeated on the rest;
- MetaRelabelClassifier is told ten verified rows of each class, at most a tenth of all, that nobody
  else is told; they do not count where it is measured.

"harm" is the proportion of right labels after correction less before, in points; "worst class" the
largest proportion of a class's right labels that is rejected, of classes with five of them;
"review" the rows that `review_length(scores, .9)` asks for, in units of those that are needed,
where there are 20 errors; "holds" whether ``noise_rate_interval_`` holds the true rate; "gap" the
proportion of the way from plain training to the oracle, where that is three points or more.
Accuracy is that of the last epoch; "time" the processor's, in plain trainings.

    python -m pip install -e ".[bench]" && python examples/benchmarks/believe.py --data DIR

Finished runs go to results/NAME.jsonl at once, and a run that is called again skips them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter

import numpy as np
import torch
from believe_problems import SPECS, Problem, Spec, make_problem
from cleanlab.count import num_label_issues
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from comparison import choose_trusted, finished, run_all
from report import markdown, save
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from noisyfit import (
    ConsensusClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)
from noisyfit.label_quality import review_length
from noisyfit.metrics import auroc, average_precision, expected_calibration_error, mask_f1
from noisyfit.modules import ConvNet
from noisyfit.training import resolve_device

PLAIN, ORACLE, PEER = "plain training", "oracle", "cleanlab"
JUDGES = {"cleanlab, linear": "linear", "cleanlab, boosting": "boosting"}
OURS = {
    "ConsensusClassifier": ConsensusClassifier,
    "MILDSelector": MILDSelector,
    "DLTClassifier": DLTClassifier,
    "DynamicsLSTMDetector": DynamicsLSTMDetector,
    "MetaRelabelClassifier": MetaRelabelClassifier,
}
FINDERS = [PEER, *OURS]
_WARNED = 0.1  # width of an interval from which on `summary` warns


def one_run(half: str, source: str, noise: str, seed: int, data: str, methods: list[str]) -> list:
    """Run methods on one problem; returns a record for each."""
    warnings.simplefilter("ignore")
    spec = Spec(source, noise, half)
    problem = make_problem(spec, seed, data)
    network = {"module": ConvNet, "module__width": 8} if source == "cifar10" else {}
    plain = MILDSelector(**network, rounds=1, judge_epochs=0, random_state=seed)
    MILDSelector(**network, rounds=1, max_epochs=1, judge_epochs=0).fit(
        problem.X, problem.given
    )  # the libraries
    wrong = problem.given != problem.true
    common = {**spec._asdict(), "seed": seed, "n_rows": len(wrong), "rate": float(wrong.mean())}
    common["device"] = str(resolve_device("auto"))
    records = []
    for method in methods:
        if method in (PLAIN, ORACLE):
            labels = problem.given if method == PLAIN else problem.true
            est, seconds = _timed(plain, problem.X, labels)
            figures = {"accuracy": est.score(problem.X_test, problem.y_test), "seconds": seconds}
        elif method in JUDGES:
            figures = _cleanlab(problem, JUDGES[method], seed, plain)
        else:
            figures = _ours(problem, OURS[method](**network, random_state=seed), seed)
        records.append(common | {"method": method} | figures)
    return records


def _timed(est, X, y, **options) -> tuple:
    start = time.process_time()
    est.fit(X, y, **options)
    return est, time.process_time() - start


def _ours(problem: Problem, est, seed: int) -> dict:
    trusted, given, options = np.zeros(len(problem.given), dtype=bool), problem.given, {}
    if isinstance(est, MetaRelabelClassifier):
        per_class = len(given) // (10 * len(np.unique(problem.true)))
        trusted = choose_trusted(
            problem.true, max(1, min(10, per_class)), np.random.default_rng(seed)
        )
        given, options = np.where(trusted, problem.true, given), {"trusted": trusted}
    try:
        est, seconds = _timed(est, problem.X, given, **options)
    except ValueError as error:  # a class of one row that went wrong
        print(f"{type(est).__name__}: {error}", flush=True)
        return {}
    interval = getattr(est, "noise_rate_interval_", None)
    return {
        "accuracy": est.score(problem.X_test, problem.y_test),
        "seconds": seconds,
        "doubts": len(getattr(est, "doubts_", ())),
        **_figures(
            problem,
            est.noise_scores_,
            ~est.clean_mask_,
            est.corrected_labels_,
            est.noise_rate_,
            interval,
            ~trusted,
        ),
    }


def _cleanlab(problem: Problem, judge: str, seed: int, plain: MILDSelector) -> dict:
    """Run cleanlab on out-of-fold probabilities; {} where boosting would take hours."""
    n_classes = int(problem.given.max()) + 1
    sparse = not isinstance(problem.X, np.ndarray)
    X = problem.X if sparse else problem.X.reshape(len(problem.X), -1)
    few_columns = [TruncatedSVD(64, random_state=0)] if sparse or X.shape[1] > 500 else []
    if judge == "linear":
        shrink = few_columns if X.shape[1] > 2_500 and not sparse else []
        model = make_pipeline(
            *shrink, StandardScaler(with_mean=False), LogisticRegression(max_iter=500)
        )
    elif n_classes > 11:
        return {}
    else:
        boosting = HistGradientBoostingClassifier(max_iter=60, random_state=0)
        model = make_pipeline(*few_columns, boosting)
    start = time.process_time()
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    proba = cross_val_predict(model, X, problem.given, cv=folds, method="predict_proba")
    classes, given = np.unique(problem.given, return_inverse=True)
    quality = get_label_quality_scores(given, proba, method="self_confidence")
    flagged = find_label_issues(given, proba, n_jobs=1)
    rate = num_label_issues(given, proba) / len(given)
    seconds = time.process_time() - start
    corrected = np.where(flagged, classes[proba.argmax(axis=1)], problem.given)
    everyone = np.ones(len(given), dtype=bool)
    figures = _figures(
        problem, np.clip(1 - quality, 0, 1), flagged, corrected, rate, None, everyone
    )
    try:
        plain.fit(problem.X[~flagged], problem.given[~flagged])
        figures["accuracy"] = plain.score(problem.X_test, problem.y_test)
    except ValueError:  # it has removed all but one class
        figures["accuracy"] = float((problem.y_test == problem.given[0]).mean())
    return figures | {"seconds": seconds}


def _figures(problem: Problem, scores, rejected, corrected, rate, interval, judged) -> dict:
    true, wrong = problem.true, problem.given != problem.true
    if not judged.all():  # their labels were right for those who were told
        wrong = wrong & judged
    right = ~wrong & judged
    of_class = np.bincount(true[right], minlength=true.max() + 1)
    lost = np.bincount(true[right & rejected], minlength=true.max() + 1)
    after = (corrected == true)[judged].mean() - (~wrong)[judged].mean()
    found = {
        "rate_error": float(rate - wrong.mean()),
        "worst_class": float(np.max(np.where(of_class >= 5, lost / np.maximum(of_class, 1), 0))),
        "harm": float(-100 * after),
        "ece": expected_calibration_error(wrong[judged], scores[judged]),
    }
    if interval is not None:
        low, high = interval
        found |= {
            "low": float(low),
            "high": float(high),
            "holds": bool(low - 1e-9 <= wrong.mean() <= high + 1e-9),
        }
    if wrong.any():
        found |= {
            "auroc": auroc(wrong[judged], scores[judged]),
            "ap": average_precision(wrong[judged], scores[judged]),
            "f1": mask_f1(wrong[judged], rejected[judged]),
        }
    if wrong.sum() >= 20:
        order = np.argsort(-scores[judged], kind="stable")
        needed = np.searchsorted(np.cumsum(wrong[judged][order]), 0.9 * wrong[judged].sum()) + 1
        found["review"] = review_length(scores, 0.9) / int(needed)
    return found


# Tables


def with_better_judge(records: list[dict]) -> list[dict]:
    """Of cleanlab's two judges keep, in each problem, the one with the better AUROC."""
    best: dict[tuple, dict] = {}
    for record in records:
        key = (record["half"], record["source"], record["noise"], record["seed"])
        is_peer = record["method"] in JUDGES and "accuracy" in record
        if is_peer and (key not in best or record.get("auroc", 0) > best[key].get("auroc", 0)):
            best[key] = record | {"method": PEER}
    return [r for r in records if r["method"] not in JUDGES] + list(best.values())


def overview(records: list[dict], half: str) -> str:
    """Say in a table how each method does, over the problems of a half and their seeds."""
    here = [r for r in records if r["half"] == half]
    problems = {(r["source"], r["noise"], r["seed"]) for r in here}
    plain = {_key(r): r for r in here if r["method"] == PLAIN}
    oracle = {_key(r): r for r in here if r["method"] == ORACLE}
    columns: dict[str, list] = {}
    for method in FINDERS:
        runs = [r for r in here if r["method"] == method and "rate_error" in r]
        if not runs:
            continue
        errors = np.abs([r["rate_error"] for r in runs])
        gaps = [
            (plain[_key(r)]["accuracy"], r["accuracy"], oracle[_key(r)]["accuracy"])
            for r in runs
            if _key(r) in plain and _key(r) in oracle
        ]
        gaps = [(a, b, c) for a, b, c in gaps if c - a >= 0.03]
        review = np.array([r["review"] for r in runs if "review" in r])
        holds = [r["holds"] for r in runs if "holds" in r]
        unwarned = [r for r in runs if "low" in r and r["high"] - r["low"] <= _WARNED]
        times = [r["seconds"] / plain[_key(r)]["seconds"] for r in runs if _key(r) in plain]
        columns[method] = [
            len(runs),
            f"{errors.mean():.3f}",
            f"{errors.max():.2f}",
            f"{(errors > 0.1).sum()}",
            f"{np.mean(holds):.0%}" if holds else "",
            f"{max(abs(r['rate_error']) for r in unwarned):.3f} ({len(unwarned)})"
            if unwarned
            else "",
            *(f"{np.mean([r[f] for r in runs if f in r]):.3f}" for f in ("auroc", "ap", "f1")),
            f"{max(r['worst_class'] for r in runs):.2f}",
            f"{np.mean([r['worst_class'] > 0.1 for r in runs]):.0%}",
            f"{sum(r['harm'] > 0.5 for r in runs)}",
            f"{np.mean([-r['harm'] for r in runs]):+.1f}",
            f"{np.mean([r['ece'] for r in runs]):.3f}",
            f"{np.mean((review > 0.8) & (review < 1.5)):.0%}",
            f"{np.mean([b for _, b, _ in gaps]):.3f}" if gaps else "",
            f"{sum(b - a for a, b, _ in gaps) / sum(c - a for a, _, c in gaps):.2f}"
            if gaps
            else "",
            f"{np.median(times):.1f}" if times else "",
        ]
    names = [
        "runs",
        "mean size of the rate's error",
        "its largest",
        "runs in which it is above .1",
        "interval holds",
        "largest error where the interval is narrower than .1 (runs)",
        "AUROC",
        "AP",
        "F1",
        "right labels rejected, worst class of all runs",
        "runs with a class that loses over .1",
        "runs in which correction does harm (over half a point)",
        "right labels after correction less before, points",
        "ECE",
        "review_length within .8 to 1.5 of what it takes",
        "accuracy where labels cost 3 points",
        "of the gap from plain to oracle",
        "time in plain trainings, median",
    ]
    rows = [[name, *(column[i] for column in columns.values())] for i, name in enumerate(names)]
    title = f"Half to {half}: {len(problems)} runs of {len({p[:2] for p in problems})} problems."
    return f"{title}\n\n{markdown(['', *columns], rows)}"


def side_by_side(now: str, before: str, halves: list[str]) -> str:
    """Compare two files of results on the runs that all methods have finished in both."""
    files = [with_better_judge(finished(name)) for name in (now, before)]
    methods = [m for m in FINDERS if all(any(r["method"] == m for r in f) for f in files)]
    complete = [
        set.intersection(*({(r["half"], *_key(r)) for r in f if r["method"] == m} for m in methods))
        for f in files
    ]
    common = complete[0] & complete[1]
    here = [[r for r in f if (r["half"], *_key(r)) in common] for f in files]
    return "\n\n".join(
        f"{name}. {overview(records, half)}"
        for half in halves
        for name, records in zip((before, now), here[::-1], strict=True)
    )


def by_problem(records: list[dict], figure: str) -> str:
    """Average a figure over the seeds, a row for each problem."""
    rows = []
    for spec in SPECS:
        here = [
            r for r in records if (r["half"], r["source"], r["noise"]) == (spec.half, *spec[:2])
        ]
        cells = []
        for method in FINDERS:
            values = [r[figure] for r in here if r["method"] == method and figure in r]
            cells.append(f"{np.mean(values):+.3f}" if values else "")
        if any(cells):
            rate = np.mean([r["rate"] for r in here])
            rows.append([spec.half, spec.name, f"{rate:.1%}", *cells])
    return markdown(["half", "problem", "wrong", *FINDERS], rows)


def by_kind(records: list[dict], figure: str, half: str) -> str:
    """Average the size of a figure over the problems of each kind of noise, and over all."""
    methods = [m for m in (PLAIN, *FINDERS, ORACLE) if any(r["method"] == m for r in records)]
    here = [r for r in records if r["half"] == half and figure in r]
    methods = [m for m in methods if any(r["method"] == m for r in here)]
    # Of a problem that one of them has not finished, no figure counts.
    have = Counter(_key(r) for r in here if r["method"] in methods)
    here = [r for r in here if have[_key(r)] == len(methods)]
    kinds: dict[str, list[dict]] = {}
    for record in here:
        kinds.setdefault(_kind(record["noise"]), []).append(record)
    rows = []
    for kind in (*sorted(kinds, key=list(_KINDS.values()).index), "all"):
        of_kind = here if kind == "all" else kinds[kind]
        cells = [
            f"{np.mean([abs(r[figure]) for r in of_kind if r['method'] == m]):.3f}" for m in methods
        ]
        rows.append([kind, len({_key(r) for r in of_kind}), *cells])
    return markdown(["labels", "runs", *methods], rows)


_KINDS = {
    "clean": "right",
    "symmetric": "wrong by chance",
    "pair": "of the next class, 35 or 40 %",
    "one class": "of one class, 30 %",
    "instance": "depending on the row",
    "people": "by people",
}
"""Kinds of noise as a reader knows them."""


def _kind(noise: str) -> str:
    real = noise.startswith(("cifar10n", "annotator", "majority"))
    return _KINDS["people" if real else noise.rsplit(" ", 1)[0]]


def _key(record: dict) -> tuple:
    return record["source"], record["noise"], record["seed"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--halves", nargs="+", default=["choose", "confirm"])
    parser.add_argument("--methods", nargs="+", default=[PLAIN, ORACLE, *JUDGES, *OURS])
    parser.add_argument("--sources", nargs="+", help="those alone")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", default="believe", help="name of the files")
    parser.add_argument("--beside", help="other results to compare with, in the runs of both")
    parser.add_argument("--note", default="", help="where the runs come from, if from elsewhere")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args()
    if args.beside:
        text = side_by_side(args.results, args.beside, args.halves)
        save(f"{args.results}_beside_{args.beside}", text, {})
        return
    torch.set_num_threads(1)
    done = {(r["half"], *_key(r), r["method"]) for r in finished(args.results)}
    todo = []
    chosen = [s for s in SPECS if s.half in args.halves]
    chosen = [s for s in chosen if not args.sources or s.source in args.sources]
    for seed, spec in sorted(
        ((seed, spec) for seed in args.seeds for spec in chosen),
        key=lambda pair: (pair[1].source == "cifar10", pair[0], pair[1].source == "mnist"),
    ):
        key = (spec.half, spec.source, spec.noise, seed)
        missing = [m for m in args.methods if (*key, m) not in done]
        if missing and not args.table:
            todo.append((spec.half, spec.source, spec.noise, seed, args.data, missing))
    run_all(one_run, todo, args.results, args.jobs)
    records = with_better_judge(finished(args.results))
    parts = [overview(records, half) for half in args.halves]
    figures = {
        "Error of the noise rate": "rate_error",
        "AUROC": "auroc",
        "F1": "f1",
        "Largest proportion of a class's right labels that is rejected": "worst_class",
        "Right labels lost by correction, points": "harm",
        "ECE": "ece",
        "review_length(.9) / needed": "review",
        "Accuracy": "accuracy",
    }
    parts += [
        f"{title}, half to {half}, by kind of noise.\n\n{by_kind(records, name, half)}"
        for half in args.halves
        for title, name in figures.items()
        if name in ("rate_error", "auroc", "f1", "accuracy")
    ]
    parts += [f"{title}.\n\n{by_problem(records, name)}" for title, name in figures.items()]
    where = Counter(r["device"] for r in records if r["half"] in args.halves)
    ran = ", ".join(f"{n} on {device}" for device, n in where.items())
    text = "\n\n".join([*parts, f"Runs: {ran}. {args.note}".strip()])
    save(args.results, text, {"seeds": args.seeds})


if __name__ == "__main__":
    main()
