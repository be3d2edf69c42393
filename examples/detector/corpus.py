"""The training runs that detectors learn from and are measured on: data sets, noise, recording.

A run is one training of one network on one data set with wrong labels, whose dynamics are kept in
one file. Everything about a run follows from its name and number, so that a corpus can be recorded
by several processes, interrupted, and continued: a run whose file exists is not repeated.

`SOURCES` are the data sets of the corpus; `UNSEEN` are never part of it, so that the detector that
ships can be measured on them. ``DATA`` is a folder with ``tabular.npz``, ``text_intents.npz``,
``text_sentences.npz``, ``mnist.npz`` and CIFAR-10 as `paper_tables/cifar.py` reads it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from noisyfit import DynamicsLSTMDetector
from noisyfit.modules import MLP, ConvNet
from noisyfit.noise import corrupt_labels, instance_dependent_noise, transition_matrix

sys.path.insert(0, str(Path(__file__).parents[1] / "paper_tables"))
from cifar import cifar10n, images

TABLES = ["adult", "elec", "weather", "german", "spambase", "vowel", "banknote", "pima"]
TEXTS = ["banking77", "clinc150", "sst2", "sst5", "mr", "cr", "mpqa"]
SYNTHETIC = ["clusters5", "clusters20", "clusters50"]
IMAGES = ["mnist", "cifar10"]
SOURCES = [*TABLES, *TEXTS, *SYNTHETIC, *IMAGES]
UNSEEN = ["optdigits", "phoneme", "trec", "subj"]

RUNS_PER_SOURCE = 12
RECORDINGS = ["training", "evaluation", "held_out"]
QUANTITIES = ("given_prob", "margin")


class DataSet(NamedTuple):
    """Inputs as an estimator takes them, and true labels as codes."""

    X: np.ndarray
    y: np.ndarray


class Run(NamedTuple):
    """What decides about a recorded run."""

    source: str
    name: str
    n_rows: int
    kind: str
    rate: float
    recording: str
    epochs: int
    params: dict
    """Parameters of the estimator, without the module."""
    network: dict
    """Parameters of the module."""
    seed: int


# Data sets


@cache
def load(source: str, data: str) -> DataSet:
    """Read a data set."""
    if source in IMAGES:
        if source == "cifar10":
            X, y, *_ = images(data)
            return DataSet(X, y)
        file = np.load(Path(data) / "mnist.npz")
        return DataSet(file["x_train"][:, None], file["y_train"].astype(np.int64))
    if source in SYNTHETIC:
        n_classes = int(source.removeprefix("clusters"))
        X, y = make_classification(
            n_samples=6000,
            n_features=40,
            n_informative=16,
            n_classes=n_classes,
            n_clusters_per_class=1,
            class_sep=2.0,
            flip_y=0,
            random_state=n_classes,
        )
        return DataSet(X.astype(np.float32), y)
    if source in (*TEXTS, *UNSEEN[2:]):
        return _text(source, Path(data))
    file = np.load(Path(data) / "tabular.npz")
    X = file[f"{source}_X"].astype(np.float32)
    return DataSet(X, np.unique(file[f"{source}_y"], return_inverse=True)[1])


def read_texts(source: str, data: Path) -> tuple[list[str], np.ndarray]:
    """Read sentences, and their classes as codes."""
    name = "text_intents" if source in ("banking77", "clinc150") else "text_sentences"
    file = np.load(data / f"{name}.npz")
    texts = str(file[f"{source}_text_train"]).split("\n")
    return texts, np.unique(file[f"{source}_y_train"], return_inverse=True)[1]


def _text(source: str, data: Path) -> DataSet:
    """Sentences as 150 latent dimensions of their TF-IDF."""
    texts, y = read_texts(source, data)
    counts = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)).fit_transform(texts)
    X = TruncatedSVD(150, random_state=0).fit_transform(counts).astype(np.float32)
    return DataSet(X, y)


def subset(source: str, data: str, n_rows: int, seed: int) -> tuple[DataSet, np.ndarray]:
    """Draw rows without replacement; classes are renumbered. Returns the rows' ids as well."""
    whole = load(source, data)
    ids = np.random.default_rng([seed, 0]).permutation(len(whole.y))[:n_rows]
    y = np.unique(whole.y[ids], return_inverse=True)[1]
    return DataSet(whole.X[ids], y), ids


def corrupt(problem: DataSet, kind: str, rate: float, seed: int) -> np.ndarray:
    """Return given labels; ``"superclass"`` and ``"asymmetric"`` draw their groups at random."""
    rng = np.random.default_rng([seed, 1])
    n_classes = int(problem.y.max()) + 1
    if kind == "instance":
        X = problem.X.reshape(len(problem.X), -1).astype(np.float32)
        return instance_dependent_noise(X, problem.y, rate, rng).labels
    options: dict = {}
    if kind == "superclass":
        options["superclasses"] = rng.permutation(n_classes) // 5
    if kind == "asymmetric":
        order = rng.permutation(n_classes).tolist()
        half = (n_classes + 1) // 2
        options["mapping"] = {c: order[(i + 1) % n_classes] for i, c in enumerate(order[:half])}
    matrix = transition_matrix(kind, n_classes, rate, **options)
    return corrupt_labels(problem.y, matrix, rng, classes=np.arange(n_classes)).labels


# Runs


def corpus() -> list[Run]:
    """All runs of the corpus, the same ones each time."""
    return [_draw(source, i) for source in SOURCES for i in range(RUNS_PER_SOURCE)]


def _draw(source: str, number: int) -> Run:
    """Draw a run's settings: noise, rate, recording, network, optimizer, length."""
    rng = np.random.default_rng([zlib.crc32(source.encode()), number])
    is_image = source in IMAGES
    many_classes = source not in ("adult", "elec", "weather", "german", "spambase", "banknote",
                                  "pima", "sst2", "mr", "cr", "mpqa")  # fmt: skip
    kinds = ["symmetric", "pair", "instance", "superclass", "asymmetric"]
    share = [0.4, 0.2, 0.2, 0.1, 0.1] if many_classes else [0.6, 0, 0.2, 0, 0.2]
    kind = str(rng.choice(kinds, p=share))
    most = {"symmetric": 0.6, "pair": 0.42, "asymmetric": 0.42}.get(kind, 0.5)
    rate = float(rng.uniform(0.03, most if many_classes else min(most, 0.4)))
    recording = RECORDINGS[number % 3]
    lengths = [15, 20, 30, 40] if is_image else [15, 20, 30, 50, 80, 120, 200]
    epochs = int(rng.choice(lengths))
    n_rows = int(np.exp(rng.uniform(np.log(600), np.log(2500 if is_image else 4000))))
    n_rows = max(n_rows, 1500) if source in ("banking77", "clinc150", "clusters50") else n_rows
    lr = (0.02 if is_image else 0.1) * float(rng.choice([0.3, 1, 1, 2]))
    params: dict = {
        "lr": lr,
        "optimizer__weight_decay": float(rng.choice([1e-4, 5e-4, 5e-3, 5e-3])),
    }
    if rng.random() < 0.2:
        params = {"optimizer": torch.optim.Adam, "lr": float(rng.choice([3e-4, 1e-3, 3e-3]))}
    if is_image and rng.random() < 0.75:
        network: dict = {"width": int(rng.choice([8, 16])), "dropout": float(rng.choice([0, 0.3]))}
    else:
        hidden = [(64,), (128, 128), (128, 128), (256, 256, 256)][rng.integers(4)]
        network = {"hidden": hidden, "batch_norm": bool(rng.random() < 0.2)}
        if is_image:
            params["augment"] = None
    if recording == "held_out":
        epochs, n_rows = min(epochs, 80), min(n_rows, 2000)
    name = f"{source}-{number:02d}"
    seed = int(rng.integers(2**31))
    return Run(source, name, n_rows, kind, rate, recording, epochs, params, network, seed)


def evaluation_runs(source: str, recording: str, seeds: range) -> list[Run]:
    """List the runs with the estimator's defaults that a detector is measured on."""
    settings = [("symmetric", 0.2), ("symmetric", 0.4), ("pair", 0.2), ("pair", 0.4)]
    if _binary(source):
        settings = [settings[0], ("symmetric", 0.3)]  # pair noise is the same with two classes
    if source == "cifar10":
        settings += [("cifar10n", "aggre"), ("cifar10n", "worst")]
    is_image = source in IMAGES
    return [
        Run(
            source,
            f"{source}-{kind}-{rate}-{recording}-seed{seed}",
            3000 if is_image else 4000,
            kind,
            rate,
            recording,
            30 if is_image else DynamicsLSTMDetector().max_epochs,
            {},
            {"width": 16} if is_image else {},
            1000 + seed,
        )
        for seed in seeds
        for kind, rate in settings
    ]


def _binary(source: str) -> bool:
    return source in ("spambase", "phoneme", "subj")


def problem(run: Run, data: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, true and given labels of a run."""
    rows, ids = subset(run.source, data, run.n_rows, run.seed)
    if run.kind == "cifar10n":
        given = cifar10n(Path(data), str(run.rate), load(run.source, data).y)[ids]
    else:
        given = corrupt(rows, run.kind, run.rate, run.seed)
    return rows.X, rows.y, given


def record(run: Run, data: str, folder: str) -> str:
    """Train and record one run, and save it at once or not at all."""
    path = Path(folder) / f"{run.name}.npz"
    if path.exists():
        return f"{run.name}: there"
    start = time.perf_counter()
    X, y, given = problem(run, data)
    if X.ndim == 4 and "hidden" in run.network:
        X = X.reshape(len(X), -1).astype(np.float32)
    est = DynamicsLSTMDetector(
        ConvNet if X.ndim == 4 else MLP,
        recording=run.recording,
        record=QUANTITIES,
        max_epochs=run.epochs,
        random_state=run.seed,
        **{f"module__{name}": value for name, value in run.network.items()},
        **run.params,
    )
    recorded = est.record_run(X, given)
    dynamics = recorded.dynamics
    proba = recorded.map_logits(lambda logits, y: logits.softmax(1))
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(
            file,
            given_prob=dynamics.given_prob.astype(np.float16),
            margin=dynamics.margin.astype(np.float16),
            final_proba=proba.astype(np.float16),
            y=y,
            given=given,
            rate=(given != y).mean(),
        )
    part.replace(path)
    return (
        f"{run.name}: {run.kind} {run.rate:.3}, {(given != y).mean():.3f} wrong, {run.recording}, "
        f"{len(y)} rows, {dynamics.n_epochs} epochs, {time.perf_counter() - start:.0f} s"
        if isinstance(run.rate, float)
        else f"{run.name}: {(given != y).mean():.3f} wrong, {time.perf_counter() - start:.0f} s"
    )


def record_all(runs: list[Run], data: str, folder: str, jobs: int) -> None:
    """Record what is missing, in `jobs` processes of one thread."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    todo = [run for run in runs if not (Path(folder) / f"{run.name}.npz").exists()]
    print(f"{len(runs) - len(todo)} of {len(runs)} runs are there", flush=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        futures = [pool.submit(record, run, data, folder) for run in todo]
        for done, future in enumerate(as_completed(futures), start=1):
            print(f"[{done}/{len(todo)}] {future.result()}", flush=True)
