"""What benchmarks of training on wrong labels share: data, plain training, accuracy, runs."""

from __future__ import annotations

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from report import RESULTS
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback

from noisyfit import DLTClassifier
from noisyfit.data import make_rows
from noisyfit.training import predict_logits

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[1]))


def load(dataset: str, folder: str | None, seed: int) -> tuple[np.ndarray, ...]:
    """Return training, validation and test rows, split anew for each seed."""
    if dataset == "digits":
        X, y = load_digits(return_X_y=True)
        X, X_test, y, y_test = train_test_split(
            X.astype(np.float32), y, test_size=0.25, stratify=y, random_state=seed
        )
        X, X_val, y, y_val = train_test_split(X, y, test_size=200, stratify=y, random_state=seed)
        return X, y, X_val, y_val, X_test, y_test
    if dataset == "mnist":
        file = np.load(Path(folder) / "mnist.npz")
        images = file["x_train"].reshape(-1, 1, 28, 28)
        X, X_val, y, y_val = train_test_split(
            images,
            file["y_train"].astype(np.int64),
            train_size=10_000,
            test_size=1_000,
            stratify=file["y_train"],
            random_state=seed,
        )
        return X, y, X_val, y_val, file["x_test"].reshape(-1, 1, 28, 28), file["y_test"]
    from detector.corpus import load as load_text

    X, y = load_text(dataset, folder)
    X, X_test, y, y_test = train_test_split(X, y, train_size=4_500, stratify=y, random_state=seed)
    X, X_val, y, y_val = train_test_split(X, y, test_size=500, stratify=y, random_state=seed)
    return X, y, X_val, y_val, X_test, y_test


def choose_trusted(y: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Mark rows of each class: the first of an order that does not depend on their number."""
    order, trusted = rng.permutation(len(y)), np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        trusted[order[y[order] == c][:per_class]] = True
    return trusted


class EpochAccuracy(Callback):
    """Accuracy on rows that are not trained on, after each epoch or every few.

    `fit` gets this very object, not a copy.
    """

    def __init__(self, X_val, y_val, X_test, y_test, scaler, every: int = 1) -> None:
        X = np.concatenate([X_val, X_test])
        self.rows = make_rows(X, None, torch.device("cpu"), scaler)
        self.y, self.n_val = np.concatenate([y_val, y_test]), len(X_val)
        self.every = every
        self.val, self.test = [], []

    def __deepcopy__(self, memo):
        return self

    def on_epoch_end(self, net, dataset_train=None, **kwargs) -> None:
        """Predict, in evaluation mode."""
        if len(net.history) % self.every:
            return
        right = predict_logits(net, self.rows).argmax(axis=1) == self.y
        self.val.append(float(right[: self.n_val].mean()))
        self.test.append(float(right[self.n_val :].mean()))

    def result(self) -> dict[str, float]:
        """Return the last accuracy, and that of the epoch chosen on the validation rows."""
        selected = int(np.argmax(self.val))
        epoch = self.every * (selected + 1)
        return {"last": self.test[-1], "selected": self.test[selected], "epoch": epoch}


def plain(network: dict, epochs: int, seed: int, **params) -> DLTClassifier:
    """Return plain training: DLT that never leaves its warm-up."""
    return DLTClassifier(
        judge_epochs=0,
        **network,
        noise_rate=0.0,
        warmup_epochs=epochs,
        ramp_epochs=0,
        n_views=1,
        max_epochs=epochs,
        random_state=seed,
        **params,
    )


def finished(name: str) -> list[dict]:
    """Return the records of results/NAME.jsonl written so far."""
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_all(run: Callable[..., list[dict]], todo: list[tuple], name: str, jobs: int) -> None:
    """Run in `jobs` processes and append the records of each run to results/NAME.jsonl at once.

    A run that fails is reported and the others go on.
    """
    RESULTS.mkdir(exist_ok=True)
    failed = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        futures = {pool.submit(run, *arguments): arguments for arguments in todo}
        for future in as_completed(futures):
            if future.exception() is not None:
                failed += 1
                print(f"FAILED {futures[future]}: {future.exception()!r}", flush=True)
                continue
            with (RESULTS / f"{name}.jsonl").open("a") as file:
                file.writelines(json.dumps(record) + "\n" for record in future.result())
            for record in future.result():
                shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in record.items()}
                print(shown, flush=True)
    if failed:
        raise SystemExit(f"{failed} of {len(todo)} runs failed; call again to repeat them.")


def percent(values: list[float]) -> str:
    """Mean and standard deviation of shares, in per cent."""
    return f"{100 * np.mean(values):.2f} ± {100 * np.std(values):.2f}"
