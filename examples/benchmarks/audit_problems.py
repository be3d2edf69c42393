"""The data of `audit_coverage.py`: labels with known truth, and scores.

Twelve real settings confirm, and so do four of them with random scores. Another twelve, of other
data or other rows, and synthetic scores (normal ones of a given AUROC, whose probabilities are
right, too sure, too unsure, useless, or 0 and 1 for a third of the rows) are there to choose
settings of `noisyfit.audit` by.

A method is taken as it comes, MNIST is given as vectors, `MetaRelabelClassifier` is told three
verified rows of each class, which an audit leaves out, and CIFAR-10N's labels are scored by the
out-of-fold probabilities of a Swin-B on frozen features, which cleanlab publishes, as somebody
without noisyfit would.

``DIR`` is read as in `believe_problems.py`, and holds ``cleanlab_cifar_predprobs.npz`` besides.
Fits are kept in ``FITS``, an empty folder at first: a setting whose file exists is not fitted anew.

    python examples/benchmarks/audit_problems.py --data DIR --fits FITS
"""

from __future__ import annotations

import argparse
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from believe_problems import Problem as Rows
from believe_problems import Spec, make_problem
from believe_problems import _flip as flip
from comparison import choose_trusted
from scipy.stats import norm
from sklearn.datasets import load_digits

from noisyfit import DLTClassifier, DynamicsLSTMDetector, MetaRelabelClassifier, MILDSelector
from noisyfit.metrics import auroc

MILD, DLT, LSTM, META = "MILDSelector", "DLTClassifier", "DynamicsLSTMDetector", "MetaRelabel"
FROZEN, N_FROZEN = "Swin-B", 10_000
SETTINGS = {
    "confirm": [
        ("digits", "clean", MILD),
        ("digits", "symmetric .4", DLT),
        ("mnist", "symmetric .2", LSTM),
        ("mnist", "pair .4", META),
        ("trec", "symmetric .05", DLT),
        ("trec", "symmetric .6", MILD),
        ("banking77", "symmetric .2", LSTM),
        ("phoneme", "symmetric .2", MILD),
        ("phoneme", "instance .4", META),
        ("subj", "symmetric .4", LSTM),
        ("crowd", "annotator", DLT),
        ("cifar10n", "worst", FROZEN),
    ],
    "choose": [
        ("vowel", "symmetric .2", MILD),
        ("optdigits", "symmetric .05", DLT),
        ("optdigits", "clean", LSTM),
        ("clusters5", "symmetric .6", MILD),
        ("clusters5", "pair .35", LSTM),
        ("adult", "symmetric .2", DLT),
        ("cr", "symmetric .4", LSTM),
        ("clinc150", "symmetric .2", MILD),
        ("weather", "symmetric .2", META),
        ("crowd", "annotator", LSTM),
        ("mr", "instance .4", DLT),
        ("cifar10n", "aggre", FROZEN),
    ],
}
USELESS = [("phoneme", "symmetric .2"), ("subj", "symmetric .4"), ("trec", "symmetric .6")]
"""Settings of the half to confirm that are there with random scores as well."""
SYNTHETIC = [  # rows, noise rate, AUROC, what the probabilities are like
    (2000, 0.0, 0.8, "right"),
    (2000, 0.01, 0.95, "right"),
    (20000, 0.01, 0.99, "right"),
    (5000, 0.01, 0.8, "too sure"),
    (5000, 0.05, 0.8, "too sure"),
    (2000, 0.05, 0.95, "right"),
    (2000, 0.2, 0.95, "right"),
    (20000, 0.2, 0.99, "too sure"),
    (5000, 0.2, 0.8, "too unsure"),
    (5000, 0.2, 0.5, "useless"),
    (5000, 0.4, 0.95, "0 or 1"),
    (2000, 0.4, 0.8, "too sure"),
    (5000, 0.6, 0.6, "right"),
    (5000, 0.6, 0.95, "too unsure"),
]
_ESTIMATORS = {MILD: MILDSelector, DLT: DLTClassifier, LSTM: DynamicsLSTMDetector}


class Problem(NamedTuple):
    """Rows that may be verified, what is known of them, and the truth."""

    name: str
    scores: np.ndarray
    given: np.ndarray
    true: np.ndarray
    flagged: np.ndarray
    estimate: float
    """Share of wrong labels as the fit has it; NaN without one."""

    @property
    def wrong(self) -> np.ndarray:
        """Which labels are wrong."""
        return self.given != self.true


def problems(half: str, data: str, fits: str) -> list[Problem]:
    """Read or make the settings of a half."""
    Path(fits).mkdir(parents=True, exist_ok=True)
    found = [_problem(half, *setting, data, Path(fits)) for setting in SETTINGS[half]]
    if half == "choose":
        return found + [synthetic(*setting) for setting in SYNTHETIC]
    return found + [
        _useless(problem)
        for setting, problem in zip(SETTINGS[half], found, strict=True)
        if setting[:2] in USELESS
    ]


def _useless(problem: Problem) -> Problem:
    scores = np.random.default_rng(0).random(len(problem.scores))
    name = ", ".join([*problem.name.split(", ")[:3], "random scores"])
    return problem._replace(name=name, scores=scores, flagged=scores > 0.5, estimate=np.nan)


def synthetic(n_rows: int, rate: float, auc: float, kind: str) -> Problem:
    """Draw scores of a given AUROC; four classes, each wrong label of the next one."""
    rng = np.random.default_rng(0)
    wrong = rng.permutation(np.arange(n_rows) < round(n_rows * rate))
    apart = math.sqrt(2) * norm.ppf(auc)
    x = rng.normal(size=n_rows) + apart * wrong
    prior = min(max(rate, 0.01), 0.99)
    odds = apart * x - apart**2 / 2 + math.log(prior / (1 - prior))
    factor = {"too sure": 3.0, "too unsure": 0.3}.get(kind, 1.0)
    scores = rng.random(n_rows) if kind == "useless" else 1 / (1 + np.exp(-factor * odds))
    if kind == "0 or 1":
        scores = np.where(rng.random(n_rows) < 1 / 3, scores > 0.5, scores)
    name = f"{n_rows:,} rows, {rate:.0%} wrong, AUROC {auc}, {kind}"
    given = np.arange(n_rows) % 4
    return Problem(name, scores, given, (given - wrong) % 4, scores > 0.5, np.nan)


def _problem(half: str, source: str, noise: str, method: str, data: str, fits: Path) -> Problem:
    file = fits / f"{half} {source} {noise} {method}.npz"
    if not file.exists():
        seed = zlib.crc32(f"{half} {source} {noise}".encode())
        rng = np.random.default_rng(seed)
        if method == FROZEN:
            found = _frozen(noise, rng, data)
        else:
            found = _fitted(_rows(half, source, noise, rng, data), method, rng)
        np.savez_compressed(file, **found)
    found = dict(np.load(file))
    wrong = found["given"] != found["true"]
    ranks = f", AUROC {auroc(wrong, found['scores']):.2f}" if wrong.any() else ""
    name = f"{source} {noise}, {len(wrong):,} rows, {wrong.mean():.1%} wrong, {method}{ranks}"
    return Problem(name, *(found[k] for k in ("scores", "given", "true", "flagged")), found["rate"])


def _rows(half: str, source: str, noise: str, rng: np.random.Generator, data: str) -> Rows:
    if source == "digits":
        X, y = load_digits(return_X_y=True)
        return Rows(X, flip(X, y, noise, rng), y, X, y)
    problem = make_problem(Spec(source, noise, half), 0, data)
    if source == "mnist":
        return problem._replace(X=problem.X.reshape(len(problem.X), -1))
    return problem


def _fitted(rows: Rows, method: str, rng: np.random.Generator) -> dict:
    trusted = np.zeros(len(rows.given), dtype=bool)
    if method == META:
        trusted = choose_trusted(rows.true, 3, rng)
        est = MetaRelabelClassifier(random_state=0)
        est.fit(rows.X, np.where(trusted, rows.true, rows.given), trusted=trusted)
    else:
        est = _ESTIMATORS[method](random_state=0).fit(rows.X, rows.given)
    found = {"scores": est.noise_scores_, "given": rows.given, "true": rows.true}
    found["flagged"] = ~est.clean_mask_
    found = {name: values[~trusted] for name, values in found.items()}
    return {**found, "rate": est.noise_rate_}


def _frozen(noise: str, rng: np.random.Generator, data: str) -> dict:
    file = np.load(Path(data) / "cleanlab_cifar_predprobs.npz")
    rows = rng.choice(50_000, N_FROZEN, replace=False)
    proba = file[f"{noise}__swin_base_patch4_window7_224"][rows].astype(np.float64)
    given, true = file[f"y_{noise}"][rows].astype(int), file["y_true"][rows].astype(int)
    scores = np.clip(1 - proba[np.arange(len(rows)), given], 0, 1)
    flagged = proba.argmax(axis=1) != given
    return {"scores": scores, "given": given, "true": true, "flagged": flagged, "rate": np.nan}


def main() -> None:
    """Fit what has no file yet, and list all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--fits", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    Path(args.fits).mkdir(parents=True, exist_ok=True)
    for half in SETTINGS:
        for setting in SETTINGS[half]:
            print(half, _problem(half, *setting, args.data, Path(args.fits)).name, flush=True)


if __name__ == "__main__":
    main()
