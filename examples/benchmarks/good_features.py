"""Texts and tables with the features that the first hour recommends, beside cleanlab.

Texts (trec, subj, banking77, the crowd's sentences) are the 256 numbers of wordllama and 150 latent
dimensions of TF-IDF, side by side. Tables (adult, german, phoneme, spambase) pass through skrub's
TableVectorizer and SimpleImputer, as the first hour has it; the categories of adult and german are
codes in the file, which reach skrub as strings. Up to 3,000 training rows and up to 2,000, with
right labels, to test on.

Labels are as they were published ("clean"), 20 % wrong evenly ("symmetric", with two classes a
flip), 30 % of the next class ("pair", more than two classes), and of the crowd's sentences what
people have answered: one of them ("annotator"), or the most of three ("majority").

- plain training: one round of MILDSelector, 20 epochs, on all labels as they are;
- cleanlab: self-confidence of out-of-fold probabilities of that plain training in five folds, what
  `find_label_issues` flags, and the plain training repeated on the rest;
- cleanlab, usual model: the same with logistic regression for texts and histogram boosting for
  tables, which also predict in the end. `accuracy_on_all` is theirs on all labels as they are;
- MILDSelector, DLTClassifier, DynamicsLSTMDetector and ConsensusClassifier with default settings.

Corrected labels are `corrected_labels_`; of cleanlab those that it flags become the class that is
most probable out of fold. The review: the 200 rows with the highest scores are looked at. The
audit: 200 rows that `noisyfit.audit.sample` draws by the scores are verified instead, and what
follows from them is applied; it is measured on the rows that were not drawn, among which fewer have
high scores, so that its F1 is not to be compared with that of all rows.

Accuracy is that of the last epoch. Time is the processor's, without what turns texts and tables
into numbers, in plain trainings of the same labels.

    python -m pip install -e ".[bench,tables,texts]"
    python examples/benchmarks/good_features.py --data DIR

DIR is read as in `believe_problems.py`. Finished runs go to results/good_features.jsonl at once,
and a run that is called again skips them; --table only prints what is there.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from believe_problems import MIXED, crowd_labels
from believe_problems import _flip as flip
from cifar10n_features import FOLDS, VERIFIED, plain
from cleanlab.count import num_label_issues
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from comparison import finished, run_all
from report import markdown, save
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skrub import StringEncoder, TableVectorizer
from text_embeddings import represent

from noisyfit import ConsensusClassifier, DLTClassifier, DynamicsLSTMDetector, MILDSelector
from noisyfit.audit import Audit, sample
from noisyfit.metrics import detection_report, mask_f1

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import load, read_texts

NAME = "good_features"
CLASSES = {"trec": 6, "subj": 2, "banking77": 77, "crowd": 2}
TABLES = ["adult", "german", "phoneme", "spambase"]
SOURCES = [*CLASSES, *TABLES]
N_TRAIN, N_TEST = 3_000, 2_000
CLEAN, ANNOTATORS = "clean", {"annotator": 1, "majority": 3}
PLAIN, PEER, USUAL = "plain training", "cleanlab", "cleanlab, usual model"
OURS = {
    method.__name__: method
    for method in (MILDSelector, DLTClassifier, DynamicsLSTMDetector, ConsensusClassifier)
}
METHODS = [PLAIN, PEER, USUAL, *OURS]
FIGURES = {
    "AUROC of the scores": "auroc",
    "Average precision of the scores": "average_precision",
    "F1 of the flagged rows": "mask_f1",
    "F1 of the flagged rows after the audit, of the rows that were not drawn": "audited_f1",
    "Share of the 200 rows with the highest scores that is wrong": "first_wrong",
    "Share of the rows that is flagged": "flagged",
    "Estimated noise rate, and interval": "noise_rate",
    "Noise rate of the audit, and interval": "audited_rate",
    "Right labels gained by correction, points": "gained",
    "Right labels gained by correction after the audit, of the rows not drawn": "audited_gained",
    "Accuracy on test rows": "accuracy",
    "Accuracy on test rows of the usual model trained on all labels": "accuracy_on_all",
    "Processor time in plain trainings": "time",
}
INTERVALS = {"noise_rate": ("low", "high"), "audited_rate": ("audited_low", "audited_high")}
UNRANKED = ("flagged", "time", "accuracy_on_all")
"""Figures of which nobody is the best."""


class Rows(NamedTuple):
    """Features and true labels, and the crowd's answers, a column for each annotator."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    answers: np.ndarray | None = None


def labels_of(source: str) -> list[str]:
    """Name the kinds of labels of a data set."""
    if source == "crowd":
        return [CLEAN, *ANNOTATORS]
    return [CLEAN, "symmetric .2", *(["pair .3"] if CLASSES.get(source, 2) > 2 else [])]


@cache
def rows(source: str, seed: int, data: str) -> Rows:
    """Draw training and test rows, and turn them into numbers."""
    if source == "crowd":
        return _crowd(seed, Path(data))
    given, y = read_texts(source, Path(data)) if source in CLASSES else _table(source, data)
    n_train = min(N_TRAIN, 3 * len(y) // 4)
    train, test = train_test_split(
        np.arange(len(y)), train_size=n_train, test_size=min(N_TEST, len(y) - n_train), stratify=y,
        random_state=seed,
    )  # fmt: skip
    if source in CLASSES:
        X, X_test = represent([given[i] for i in train], [given[i] for i in test])["both"]
    else:
        words = StringEncoder(random_state=seed)
        to_numbers = make_pipeline(
            TableVectorizer(high_cardinality=words), SimpleImputer(add_indicator=True)
        )
        X = np.asarray(to_numbers.fit_transform(given.iloc[train]))
        X_test = np.asarray(to_numbers.transform(given.iloc[test]))
    return Rows(X, y[train], X_test, y[test])


def _table(source: str, data: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Read a table; categories are strings, as a CSV file has them."""
    whole = load(source, data)
    frame = pd.DataFrame(whole.X, columns=[f"x{i}" for i in range(whole.X.shape[1])])
    for i in MIXED.get(source, []):
        frame[f"x{i}"] = "c" + frame[f"x{i}"].astype(int).astype(str)
    return frame, whole.y


def _crowd(seed: int, data: Path) -> Rows:
    file = np.load(data / "crowd_sentiment.npz")
    rng = np.random.default_rng(seed)
    texts, others = (str(file[f"text_{part}"]).split("\n") for part in ("train", "test"))
    train = rng.permutation(len(texts))[:N_TRAIN]
    test = rng.permutation(len(others))[:N_TEST]
    X, X_test = represent([texts[i] for i in train], [others[i] for i in test])["both"]
    y, y_test = (file[f"y_{part}"].astype(np.int64) for part in ("train", "test"))
    return Rows(X, y[train], X_test, y_test[test], file["answers"][train])


def one_run(source: str, labels: str, seed: int, method: str, data: str) -> list[dict]:
    """Train one method on one draw of labels; returns its record in a list."""
    warnings.simplefilter("ignore")
    whole = rows(source, seed, data)
    rng = np.random.default_rng([seed, zlib.crc32(f"{source} {labels}".encode())])
    if labels in ANNOTATORS:
        given = crowd_labels(whole.answers, ANNOTATORS[labels], rng)
    else:
        given = flip(whole.X, whole.y, labels, rng)
    plain(seed).set_params(max_epochs=1).fit(whole.X, given)  # the libraries
    est, found = fitted(method, source in TABLES, whole, given, seed)
    return [
        {
            "data": source,
            "labels": labels,
            "seed": seed,
            "method": method,
            "n_rows": len(given),
            "n_features": whole.X.shape[1],
            "wrong": float((given != whole.y).mean()),
            **found,
            "accuracy": float(est.score(whole.X_test, whole.y_test)),
        }
    ]


def fitted(method: str, is_table: bool, whole: Rows, given, seed: int) -> tuple[Any, dict]:
    """Return what predicts in the end, and what was found."""
    X, y = whole.X, whole.y
    start = time.process_time()
    if method == PLAIN:
        est = plain(seed).fit(X, given)
        return est, {"seconds": time.process_time() - start}
    if method in OURS:
        est = OURS[method](random_state=seed).fit(X, given)
        seconds = time.process_time() - start
        rejected, corrected = ~est.clean_mask_, est.corrected_labels_
        low, high = est.noise_rate_interval_
        found = {
            "low": float(low),
            "high": float(high),
            "holds": bool(low - 1e-9 <= (given != y).mean() <= high + 1e-9),
            "believed": not est.doubts_,
            "seconds": seconds,
        }
        found |= figures(y, given, est.noise_scores_, rejected, corrected, est.noise_rate_)
        return est, found | after_audit(est, y, given, seed)
    model = usual_model(is_table) if method == USUAL else plain(seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    proba = cross_val_predict(model, X, given, cv=folds, method="predict_proba")
    scores = 1 - get_label_quality_scores(given, proba, method="self_confidence")
    flagged = find_label_issues(given, proba, n_jobs=1)
    rate = num_label_issues(given, proba) / len(y)
    corrected = np.where(flagged, np.unique(given)[proba.argmax(axis=1)], given)
    est = model.fit(X[~flagged], given[~flagged])
    seconds = time.process_time() - start
    found = figures(y, given, scores, flagged, corrected, rate)
    if method == USUAL:
        on_all = usual_model(is_table).fit(X, given)
        found["accuracy_on_all"] = float(on_all.score(whole.X_test, whole.y_test))
    return est, found | {"seconds": seconds}


def usual_model(is_table: bool) -> Any:
    """Return what cleanlab's users would take: boosting for a table, else a linear model."""
    if is_table:
        return HistGradientBoostingClassifier(random_state=0)
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


def figures(y, given, scores, flagged, corrected, rate) -> dict[str, float]:
    """Say how well the wrong labels were found; where there are none, what was flagged."""
    wrong = given != y
    found = {
        "flagged": float(flagged.mean()),
        "noise_rate": float(rate),
        "gained": gained(y, given, corrected),
    }
    if not wrong.any():
        return found
    scores, rate = np.clip(scores, 0, 1), min(1.0, float(rate))
    found["first_wrong"] = float(wrong[np.argsort(-scores, kind="stable")[:VERIFIED]].mean())
    return detection_report(wrong, scores, clean_mask=~flagged, noise_rate=rate) | found


def gained(y, given, corrected) -> float:
    """Count the right labels after correction less those before, in points."""
    return float(100 * ((corrected == y).mean() - (given == y).mean()))


def after_audit(est, y, given, seed: int) -> dict[str, float]:
    """Say what is known once rows are verified, of the others."""
    drawn = sample(est, VERIFIED, random_state=seed)
    better = Audit(est, given, y[drawn.rows], drawn).apply(est)
    low, high = better.noise_rate_interval_
    left = np.ones(len(y), dtype=bool)
    left[drawn.rows] = False
    wrong, flagged = (given != y)[left], ~better.clean_mask_[left]
    found = {
        "audited_rate": float(better.noise_rate_),
        "audited_low": float(low),
        "audited_high": float(high),
        "audited_gained": gained(y[left], given[left], better.corrected_labels_[left]),
    }
    return found | ({"audited_f1": mask_f1(wrong, flagged)} if wrong.any() else {})


# Tables


def derived(records: list[dict]) -> list[dict]:
    """Add what follows: time in plain trainings of the same labels, errors, what intervals hold."""
    base = {_key(r): r["seconds"] for r in records if r["method"] == PLAIN}
    found = []
    for r in records:
        if _key(r) not in base:
            continue
        more = {"time": r["seconds"] / base[_key(r)]}
        if "noise_rate" in r:
            more["noise_rate_error"] = abs(r["noise_rate"] - r["wrong"])
        if "low" in r:
            low, high = r["audited_low"], r["audited_high"]
            more |= {
                "width": r["high"] - r["low"],
                "from_zero": r["low"] < 0.005,
                "no_gain": abs(r["gained"]) < 0.05,
                "audited_error": abs(r["audited_rate"] - r["wrong"]),
                "audited_holds": low - 1e-9 <= r["wrong"] <= high + 1e-9,
            }
        found.append(r | more)
    return found


def table(records: list[dict], figure: str) -> str:
    """Average over the seeds, a row for each kind of labels of a data set; the best is bold."""
    settings = [s for s in _settings() if any((r["data"], r["labels"]) == s for r in records)]
    methods = [m for m in METHODS if any(figure in r for r in records if r["method"] == m)]
    lines = []
    for setting in settings:
        here = [r for r in records if (r["data"], r["labels"]) == setting and figure in r]
        found = {m: [r for r in here if r["method"] == m] for m in methods}
        if here:
            wrong = f"{np.mean([r['wrong'] for r in here]):.1%}"
            best = _best(found, figure)
            cells = [_shown(some, figure, bold=m in best) for m, some in found.items()]
            lines.append([*setting, len({r["seed"] for r in here}), wrong, *cells])
    return markdown(["data", "labels", "seeds", "wrong", *methods], lines)


OVERVIEW = {
    "AUROC": "auroc",
    "average precision": "average_precision",
    "wrong of the first 200": "first_wrong",
    "F1": "mask_f1",
    "share flagged": "flagged",
    "error of the rate, mean size": "noise_rate_error",
    "interval holds the rate, share of fits": "holds",
    "interval, mean width": "width",
    "interval begins below .005, share of fits": "from_zero",
    "fits without a doubt, share": "believed",
    "right labels gained, points": "gained",
    "nothing gained, share of fits": "no_gain",
    "audit: error of the rate, mean size": "audited_error",
    "audit: interval holds the rate, share of fits": "audited_holds",
    "audit: right labels gained among rows not drawn, points": "audited_gained",
    "test accuracy": "accuracy",
    "test accuracy of the usual model on all labels": "accuracy_on_all",
    "time in plain trainings, median": "time",
}


def overview(records: list[dict]) -> str:
    """Average over data sets and seeds: texts and tables by the kind of their labels, and all."""
    groups = {}
    for kind, sources in (("texts", list(CLASSES)), ("tables", TABLES)):
        for labels in dict.fromkeys(labels for source in sources for labels in labels_of(source)):
            here = [r for r in records if r["data"] in sources and r["labels"] == labels]
            groups[kind, labels] = here
    groups["all", "not clean"] = [r for r in records if r["labels"] != CLEAN]
    groups["all", "all"] = records
    lines = []
    for group, here in groups.items():
        n = len({_key(r) for r in here})
        for title, figure in OVERVIEW.items():
            cells = [_mean(here, method, figure) for method in METHODS]
            if any(cell != "-" for cell in cells):
                lines.append([*group, n, title, *cells])
    return markdown(["", "labels", "runs", "figure", *METHODS], lines)


def _mean(records: list[dict], method: str, figure: str) -> str:
    values = [r[figure] for r in records if r["method"] == method and figure in r]
    if not values:
        return "-"
    if figure == "time":
        return f"{np.median(values):.1f}"
    return f"{np.mean(values):{'+.1f' if figure.endswith('gained') else '.3f'}}"


def _settings() -> list[tuple[str, str]]:
    return [(source, labels) for source in SOURCES for labels in labels_of(source)]


def _key(record: dict) -> tuple:
    return record["data"], record["labels"], record["seed"]


def _best(found: dict[str, list[dict]], figure: str) -> list[str]:
    """Name the methods whose mean is best, as it is shown."""
    if figure in UNRANKED:
        return []

    def badness(record: dict) -> float:
        error = abs(record[figure] - record["wrong"])
        return error if figure in INTERVALS else -record[figure]

    bad = {m: round(np.mean([badness(r) for r in some]), 3) for m, some in found.items() if some}
    return [method for method, value in bad.items() if value == min(bad.values())]


def _shown(records: list[dict], figure: str, *, bold: bool) -> str:
    if not records:
        return "-"
    form = "+.1f" if figure.endswith("gained") else ".1f" if figure == "time" else ".3f"
    text = f"{np.mean([r[figure] for r in records]):{form}}"
    text = f"**{text}**" if bold else text
    ends = INTERVALS.get(figure)
    if ends and ends[0] in records[0]:
        text += " ({:.2f} to {:.2f})".format(*(np.mean([r[end] for r in records]) for end in ends))
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 0])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.table:
        if args.data is None:
            parser.error("Pass --data DIR, or --table.")
        done = {(*_key(r), r["method"]) for r in finished(NAME)}
        todo = [
            (source, labels, seed, method, args.data)
            for seed, (source, labels) in itertools.product(args.seeds, _settings())
            for method in args.methods
            if source in args.sources and (source, labels, seed, method) not in done
        ]
        run_all(one_run, todo, NAME, args.jobs)
    records = derived(finished(NAME))
    seeds = sorted({r["seed"] for r in records})
    parts = [f"Means over data sets and seeds.\n\n{overview(records)}"]
    parts += [f"{title}.\n\n{table(records, figure)}" for title, figure in FIGURES.items()]
    text = f"Up to {N_TRAIN:,} training rows, default settings, seeds {seeds}."
    save(NAME, "\n\n".join([text, *parts]), {"seeds": seeds})


if __name__ == "__main__":
    main()
