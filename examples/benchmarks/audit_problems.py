"""The real data of `audit_coverage.py`: labels with known truth, and scores of noisyfit's methods.

Twelve settings confirm, and each method has scored three of them; the others are there to choose
settings of `noisyfit.audit` by, and are made of other data. A method is taken as it comes, MNIST
is given as vectors, `MetaRelabelClassifier` is told three verified rows of each class, which an
audit leaves out, and CIFAR-10N's labels are scored by the out-of-fold probabilities of a Swin-B on
frozen features, which cleanlab publishes, as somebody without noisyfit would.

``DIR`` is read as in `believe_problems.py`, and holds ``cleanlab_cifar_predprobs.npz`` besides.
Fits are kept in ``FITS``, an empty folder at first: a setting whose file exists is not fitted anew.

    python examples/benchmarks/audit_problems.py --data DIR --fits FITS [--half confirm]
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from believe_problems import Problem as Rows
from believe_problems import Spec, make_problem
from believe_problems import _flip as flip
from comparison import choose_trusted
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
    return [_problem(half, *setting, data, Path(fits)) for setting in SETTINGS[half]]


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
    parser.add_argument("--half", nargs="+", default=["choose", "confirm"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    Path(args.fits).mkdir(parents=True, exist_ok=True)
    for half in args.half:
        for setting in SETTINGS[half]:
            print(half, _problem(half, *setting, args.data, Path(args.fits)).name, flush=True)


if __name__ == "__main__":
    main()
