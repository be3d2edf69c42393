"""The problems of `believe.py`: rows, given labels and the truth, in two halves.

One half is there to choose settings on, the other to confirm them.

A problem is a data source, its rows and a way in which labels go wrong. No source is in both
halves, but the three of which each half has rows of its own: MNIST, CIFAR-10 and the crowd's
sentences. Everything that is drawn follows from the problem's name and the seed.

``DIR`` is read as in `detector/corpus.py`, and holds ``crowd_sentiment.npz`` besides.
"""

from __future__ import annotations

import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import make_classification
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder

from noisyfit.noise import corrupt_labels, transition_matrix

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import DataSet, cifar10n, corrupt, load

N_TABLE, N_IMAGES, N_TEST = 1_200, 3_000, 1_500
MIXED = {
    "adult": [1, 3, 5, 6, 7, 8, 9, 13],
    "german": [0, 2, 3, 5, 6, 8, 9, 11, 13, 14, 16, 18, 19],
}
"""Tables with columns of categories, which are one-hot encoded."""


class Problem(NamedTuple):
    """What an estimator gets, and what it is measured against."""

    X: Any
    given: np.ndarray
    true: np.ndarray
    X_test: Any
    y_test: np.ndarray


class Spec(NamedTuple):
    """What decides about a problem."""

    source: str
    noise: str
    half: str

    @property
    def name(self) -> str:
        """Name of the problem."""
        return f"{self.source}, {self.noise}"

    @property
    def is_image(self) -> bool:
        """Whether the rows are pictures."""
        return self.source in ("mnist", "cifar10")

    @property
    def is_real(self) -> bool:
        """Whether people have made the errors."""
        return self.noise.startswith(("cifar10n", "annotator", "majority"))


def _specs(half: str, problems: dict[str, list[str]]) -> list[Spec]:
    return [Spec(source, noise, half) for source, kinds in problems.items() for noise in kinds]


SPECS = [
    *_specs(
        "choose",
        {
            "phoneme": ["clean", "symmetric .05", "symmetric .2", "instance .3"],
            "vowel": ["clean", "symmetric .4", "pair .4"],
            "clusters5": ["clean", "symmetric .7", "pair .35", "one class .3"],
            "adult": ["clean", "symmetric .2", "instance .3"],
            "ordered": ["clean", "symmetric .2"],
            "banking77": ["symmetric .02", "symmetric .4"],
            "subj": ["symmetric .2", "instance .2"],
            "cr": ["clean", "one class .3"],
            "banknote": ["symmetric .02", "symmetric .4"],
            "wheat_seeds": ["symmetric .2"],
            "rare, 1:100": ["clean", "symmetric .05"],
            "ten rows": ["clean"],
            "copies": ["symmetric .15"],
            "row numbers": ["symmetric .2"],
            "wide": ["symmetric .2"],
            "unrelated": ["clean"],
            "sparse mpqa": ["symmetric .2"],
            "crowd": ["annotator", "majority"],
            "mnist": ["symmetric .2", "pair .35"],
            "cifar10": ["cifar10n aggre", "cifar10n worst"],
        },
    ),
    *_specs(
        "confirm",
        {
            "optdigits": ["clean", "symmetric .02", "symmetric .7", "pair .4"],
            "spambase": ["clean", "symmetric .2", "instance .3"],
            "weather": ["clean", "symmetric .4"],
            "elec": ["symmetric .05", "instance .2"],
            "german": ["clean", "symmetric .2"],
            "pima": ["symmetric .2"],
            "clusters20": ["symmetric .4", "one class .3"],
            "ordered ten": ["clean", "pair .35"],
            "trec": ["clean", "symmetric .2", "pair .4"],
            "clinc150": ["symmetric .2"],
            "mr": ["symmetric .2", "one class .3"],
            "sst5": ["clean", "symmetric .05"],
            "mammography": ["clean", "symmetric .02"],
            "rare, 1:20": ["clean", "symmetric .2"],
            "ten rows of digits": ["symmetric .05"],
            "copies of optdigits": ["symmetric .15"],
            "row numbers of trec": ["symmetric .2"],
            "wide two": ["clean", "symmetric .4"],
            "constant": ["symmetric .2"],
            "sparse trec": ["symmetric .05", "symmetric .4"],
            "crowd": ["annotator", "majority"],
            "mnist": ["clean", "instance .4"],
            "cifar10": ["cifar10n aggre", "cifar10n random1", "cifar10n worst"],
        },
    ),
]


def make_problem(spec: Spec, seed: int, data: str) -> Problem:
    """Draw the rows and the wrong labels of a problem."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{spec.half} {spec.name}".encode())])
    if spec.source == "crowd":
        return _crowd(spec, rng, data)
    if spec.is_image:
        return _pictures(spec, rng, data)
    X, y = _rows(spec.source, rng, data)
    n_train = 150 if spec.source.startswith("wide") else min(N_TABLE, 2 * len(y) // 3)
    if spec.source in ("banking77", "clinc150"):
        n_train = 2_500
    train, test = train_test_split(
        rng.permutation(len(y)), train_size=n_train, stratify=None, random_state=0
    )
    test = test[:N_TEST]
    if spec.source.startswith("copies"):
        return _copies(X, y, train, test, spec.noise, rng)
    given = _flip(X[train], y[train], spec.noise, rng)
    X_train, X_test = X[train], X[test]
    if spec.source.startswith("row numbers"):
        X_train = sp.hstack([sp.csr_matrix(X_train), sp.eye_array(n_train)]).tocsr()
        X_test = sp.hstack([sp.csr_matrix(X_test), sp.csr_array((len(test), n_train))]).tocsr()
    return Problem(X_train, given, y[train], X_test, y[test])


def _rows(source: str, rng: np.random.Generator, data: str) -> tuple[Any, np.ndarray]:
    """Return all rows of a source and their true labels."""
    shape: dict = {"flip_y": 0, "n_clusters_per_class": 1, "random_state": int(rng.integers(2**31))}
    if source.startswith("rare"):
        rare = 1 / 101 if source == "rare, 1:100" else 1 / 21
        return make_classification(
            3_000, 10, n_informative=7, n_redundant=0, class_sep=1.5, weights=[1 - rare], **shape
        )
    if source.startswith("wide"):
        n_classes = 2 if source == "wide" else 3
        return make_classification(
            900, 2_000, n_informative=30, n_redundant=0, n_classes=n_classes, class_sep=2, **shape
        )
    if source in ("unrelated", "constant"):
        y = rng.integers(0, 3, 2_000)
        return (rng.normal(size=(2_000, 10)) if source == "unrelated" else np.ones((2_000, 4))), y
    if source.startswith("ordered"):
        return _ordered(4 if source == "ordered" else 10, rng)
    if source in ("ten rows", "ten rows of digits"):
        if source == "ten rows":
            X, y = make_classification(
                6_000, 20, n_informative=12, n_classes=10, class_sep=2, **shape
            )
        else:
            X, y = _rows("optdigits", rng, data)
        few = np.flatnonzero(y == 3)
        keep = np.ones(len(y), dtype=bool)
        keep[few[int(len(few) * 0.1) :]] = False  # about ten of 1,200 rows
        return X[keep], y[keep]
    if source in ("copies", "row numbers"):
        return _rows("clusters5", rng, data)
    if source.startswith(("copies of", "row numbers of")):
        return _rows(source.split()[-1], rng, data)
    if source.startswith("sparse"):
        return _sparse_text(source.split()[-1], data)
    whole = _mixed(source, data) if source in MIXED else load(source, data)
    return whole.X, whole.y


@cache
def _mixed(source: str, data: str) -> DataSet:
    whole, categories = load(source, data), MIXED[source]
    numbers = np.delete(whole.X, categories, axis=1)
    encoder = OneHotEncoder(sparse_output=False, min_frequency=20, handle_unknown="ignore")
    coded = encoder.fit_transform(whole.X[:, categories].astype(int))
    return DataSet(np.hstack([numbers, coded]).astype(np.float32), whole.y)


def _ordered(n_classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a hidden grade, which numbers and categories tell roughly: classes overlap."""
    n = 3_000
    grade = rng.normal(size=n)
    numbers = grade[:, None] * rng.uniform(0.3, 1.2, 8) + rng.normal(size=(n, 8))
    group = np.digitize(grade + rng.normal(0, 0.8, (4, n)), [-1, 0, 1])
    coded = np.hstack([np.eye(4)[g] for g in group])
    edges = np.quantile(grade, np.linspace(0, 1, n_classes + 1)[1:-1])
    return np.hstack([numbers, coded]), np.digitize(grade, edges)


@cache
def _sparse_text(source: str, data: str) -> tuple[Any, np.ndarray]:
    file = np.load(Path(data) / "text_sentences.npz")
    texts = str(file[f"{source}_text_train"]).split("\n")
    X = TfidfVectorizer(sublinear_tf=True, min_df=3).fit_transform(texts).astype(np.float32)
    return X.tocsr(), np.unique(file[f"{source}_y_train"], return_inverse=True)[1]


def _flip(X: Any, y: np.ndarray, noise: str, rng: np.random.Generator) -> np.ndarray:
    """Return given labels."""
    if noise == "clean":
        return y.copy()
    kind, rate = noise.rsplit(" ", 1)
    n_classes = int(y.max()) + 1
    if kind == "instance":
        return corrupt(DataSet(X, y), kind, float(rate), int(rng.integers(2**31)))
    if kind == "one class":  # of one class, and always into the same other one
        matrix = np.eye(n_classes)
        a, b = rng.choice(np.unique(y), 2, replace=False)
        matrix[a, [a, b]] = 1 - float(rate), float(rate)
    else:
        matrix = transition_matrix(kind, n_classes, float(rate))
    return corrupt_labels(y, matrix, rng, classes=np.arange(n_classes)).labels


def _copies(X, y, train, test, noise: str, rng: np.random.Generator) -> Problem:
    """Three near copies of each row, with one label, as frames of a film or scans of a patient."""
    few = train[:400]
    given = _flip(X[few], y[few], noise, rng)
    group = rng.permutation(np.repeat(np.arange(400), 3))
    noise_of_copy = 0.01 * X[train].std(axis=0) * rng.normal(size=(len(group), X.shape[1]))
    return Problem(X[few][group] + noise_of_copy, given[group], y[few][group], X[test], y[test])


def _crowd(spec: Spec, rng: np.random.Generator, data: str) -> Problem:
    """Sentences as people have labelled them: by one annotator each, or by the most of three."""
    X, X_test, answers_of, y, y_of_test = _crowd_sentences(data)
    of_half = np.arange(len(X)) % 2 == (spec.half == "confirm")
    rows = rng.permutation(np.flatnonzero(of_half))[:2_000]
    given = crowd_labels(answers_of[rows], 1 if spec.noise == "annotator" else 3, rng)
    has = given >= 0
    true = y[rows]
    half_test = np.flatnonzero(np.arange(len(X_test)) % 2 == (spec.half == "confirm"))[:N_TEST]
    return Problem(X[rows[has]], given[has], true[has], X_test[half_test], y_of_test[half_test])


def crowd_labels(answers_of: np.ndarray, n_annotators: int, rng: np.random.Generator) -> np.ndarray:
    """Return what most of some annotators of each row say, drawn; -1 where nobody has answered."""
    given = np.empty(len(answers_of), dtype=np.int64)
    for i, answers in enumerate(answers_of):
        drawn = rng.permutation(answers[answers >= 0])[:n_annotators]
        given[i] = np.bincount(drawn).argmax() if len(drawn) else -1
    return given


@cache
def _crowd_sentences(data: str) -> tuple[np.ndarray, ...]:
    file = np.load(Path(data) / "crowd_sentiment.npz")
    words = TfidfVectorizer(sublinear_tf=True, min_df=3, ngram_range=(1, 2))
    counts = words.fit_transform(str(file["text_train"]).split("\n"))
    counts_of_test = words.transform(str(file["text_test"]).split("\n"))
    svd = TruncatedSVD(150, random_state=0)
    X, X_test = svd.fit_transform(counts), svd.transform(counts_of_test)
    y, y_test = (file[name].astype(np.int64) for name in ("y_train", "y_test"))
    return X.astype(np.float32), X_test.astype(np.float32), file["answers"], y, y_test


def _pictures(spec: Spec, rng: np.random.Generator, data: str) -> Problem:
    whole = load(spec.source, data)
    of_half = np.flatnonzero(np.arange(len(whole.y)) % 2 == (spec.half == "confirm"))
    n_train = N_IMAGES if spec.source == "cifar10" else N_TABLE
    rows = rng.permutation(of_half)[: n_train + N_TEST]
    train, test = rows[:n_train], rows[n_train:]
    X, y = whole.X[train], whole.y[train].astype(np.int64)
    if spec.noise.startswith("cifar10n"):
        given = cifar10n(Path(data), spec.noise.split()[1], whole.y)[train].astype(np.int64)
    else:
        given = _flip(X, y, spec.noise, rng)
    return Problem(X, given, y, whole.X[test], whole.y[test].astype(np.int64))
