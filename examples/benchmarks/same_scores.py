"""Do two versions of noisyfit give the same fits, to the last bit?

All methods, on all kinds of rows. Write the fingerprints with one version, hold another against
them, on the same machine:

    python examples/benchmarks/same_scores.py > before.txt
    python examples/benchmarks/same_scores.py --against before.txt

A line is a fit: its name, and hashes of the noise scores, the probabilities of the rows, the
epochs' losses and learning rates, the corrected labels, the transition matrix and the noise rate.
It takes about two minutes on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch.utils.data import Dataset

from noisyfit import DLTClassifier, DynamicsLSTMDetector, MetaRelabelClassifier, MILDSelector

if TYPE_CHECKING:
    from collections.abc import Iterator

N_ROWS = 400


class Streamed(Dataset):
    """Images read one by one, with a transform that draws at random."""

    def __init__(self, images: np.ndarray, targets: np.ndarray) -> None:
        self.images, self.targets = images, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self.images[i])
        shift = int(torch.randint(3, ())) - 1
        return image.roll(shift, dims=2), int(self.targets[i])


def problems() -> dict[str, tuple]:
    """Return rows of each kind with their given labels, a fifth of them wrong, and a mask."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:N_ROWS].astype(np.float32), y[:N_ROWS]
    rng = np.random.default_rng(0)
    given = np.where(rng.random(N_ROWS) < 0.2, rng.integers(10, size=N_ROWS), y)
    trusted = np.zeros(N_ROWS, dtype=bool)
    trusted[:60] = True
    given[:60] = y[:60]
    images = (X.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    names = np.array([f"digit {i}" for i in range(10)])
    return {
        "table": (X, names[given], trusted),
        "csr": (sparse.csr_matrix(X), given, trusted),
        "uint8 images": (images, given, trusted),
        "float images": (images.astype(np.float32) / 255, given, trusted),
        "streamed": (Streamed(images, given), None, trusted),
    }


def estimators() -> Iterator[tuple[str, object]]:
    """Yield estimators by name: defaults but for the epochs, and each branch of a method."""
    quick = {"max_epochs": 8, "random_state": 0}
    yield "MILD", MILDSelector(judge_epochs=0, rounds=2, **quick)
    yield (
        "MILD auto",
        MILDSelector(judge_epochs=0, record=("correct", "given_prob", "margin", "loss"), **quick),
    )
    yield (
        "MILD held out",
        MILDSelector(judge_epochs=0, rounds=2, recording="held_out", full=True, **quick),
    )
    yield (
        "MILD evaluation",
        MILDSelector(judge_epochs=0, rounds=2, recording="evaluation", threshold=0.8, **quick),
    )
    yield "DLT", DLTClassifier(judge_epochs=0, estimation_epochs=6, **quick)
    yield (
        "DLT last epoch",
        DLTClassifier(judge_epochs=0, strategy="last_epoch", noise_rate=0.3, **quick),
    )
    yield (
        "DLT evaluation",
        DLTClassifier(judge_epochs=0, split_mode="evaluation", noise_rate=0.2, **quick),
    )
    yield "LSTM", DynamicsLSTMDetector(judge_epochs=0, **quick)
    yield (
        "LSTM held out",
        DynamicsLSTMDetector(judge_epochs=0, recording="held_out", remove=0.1, **quick),
    )
    yield (
        "LSTM fine-tuned",
        DynamicsLSTMDetector(judge_epochs=0, fine_tune=True, **(quick | {"max_epochs": 20})),
    )
    yield "meta", MetaRelabelClassifier(judge_epochs=0, **quick)
    yield (
        "meta reweight",
        MetaRelabelClassifier(
            judge_epochs=0,
            relabel=False,
            consistency=0,
            pool_loss=False,
            weigh_equally=False,
            **quick,
        ),
    )
    yield (
        "meta guesses only",
        MetaRelabelClassifier(judge_epochs=0, reweight=False, relabel=False, **quick),
    )
    yield (
        "meta paper",
        MetaRelabelClassifier(
            judge_epochs=0,
            pseudo_gradient=True,
            paper_rules=("weights", "sum", "raw_logits", "mixup_factor", "two_way_consistency"),
            **quick,
        ),
    )
    yield (
        "MILD AdamW",
        MILDSelector(judge_epochs=0, rounds=1, optimizer=torch.optim.AdamW, lr=1e-3, **quick),
    )


def fingerprint(est: object, X: object) -> str:
    """Hash what a fit found out."""
    torch.manual_seed(0)  # a transform that draws at random does so in prediction as well
    arrays = {
        "scores": est.noise_scores_,
        "probabilities": est.predict_proba(X),
        "epochs": np.array([(e["train_loss"], e["lr"]) for e in est.history_]),
        "labels": est.corrected_labels_,
        "matrix": est.transition_matrix_,
        "rate": np.array([est.noise_rate_]),
    }
    digests = (hashlib.sha256(np.ascontiguousarray(a).tobytes()) for a in arrays.values())
    return " ".join(f"{n} {d.hexdigest()[:8]}" for n, d in zip(arrays, digests, strict=True))


def fits(only: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each fit and its fingerprint."""
    rows = problems()
    small = {"uint8 images", "float images", "streamed"}
    for name, est in estimators():
        kinds = list(rows) if " " not in name else ["table", "uint8 images"]
        if name == "LSTM fine-tuned":  # has to learn something
            kinds = ["table"]
        for kind in kinds:
            X, y, trusted = rows[kind]
            for mask in (None, trusted):
                own = clone(est)
                if kind in small:
                    own.set_params(max_epochs=3, module__width=8)
                if kind == "streamed":
                    own.set_params(iterator_train__num_workers=0)
                title = f"{name}, {kind}{'' if mask is None else ', trusted'}"
                if only in title:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", UserWarning)
                        own.fit(X, y, trusted=mask)
                    yield title, fingerprint(own, X)


def main() -> None:
    """Print the fingerprints, or what differs from earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="fingerprints of another version")
    parser.add_argument("--only", default="", help="part of the names of the fits to make")
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = {}
    if options.against:
        before = dict(line.split(": ") for line in options.against.read_text("utf-8").splitlines())
    differ = 0
    for name, found in fits(options.only):
        if not before:
            print(f"{name}: {found}", flush=True)
        elif before.get(name) != found:
            differ += 1
            print(f"{name} differs\n  then {before.get(name)}\n  now  {found}", flush=True)
    if before:
        sys.exit(f"{differ} fits differ." if differ else print("All fits are the same."))


if __name__ == "__main__":
    main()
