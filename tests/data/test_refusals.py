"""Each line of the table: what was passed, and what the message says to do."""

import pathlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from skorch.helper import SliceDataset
from torch.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StackDataset,
    TensorDataset,
)

from noisyfit import MILDSelector
from noisyfit.data import SliceableDataset
from noisyfit.data._checks import check_X, check_X_y
from noisyfit.data._refusals import TABLE, refuse_unusable


class Estimator(ClassifierMixin, BaseEstimator):
    """Gets n_features_in_."""


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(torch.randn(6, 3), torch.arange(6) % 2, strict=True))


class WithoutLength(Dataset):
    def __getitem__(self, i):
        return torch.zeros(3), i % 2


class WithoutItems(Dataset):
    def __len__(self):
        return 6


class NoTorchDataset:
    """Acts as a map-style data set without being one."""

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return np.zeros(3), i % 2


ROWS, Y = np.zeros((6, 3)), np.arange(6) % 2
TENSORS = TensorDataset(torch.zeros(6, 3), torch.arange(6) % 2)
IMAGE = Image.new("RGB", (4, 5))


class Halves(SliceDataset):
    def transform(self, data):
        return data / 2


PASSED = [
    ("photos/", "path", r"not a path\. Got 'photos/'.*ImageFolder\(path"),
    ("shard-000.tar", "path", r"for tar shards datasets\.load_dataset\('webdataset'.*HFRows\("),
    (pathlib.Path("photos"), "path", "ImageFolder"),
    (DataLoader(TENSORS), "DataLoader", r"Pass its data set, X\.dataset"),
    (Stream(), "IterableDataset", "X is a Stream, an IterableDataset.*__getitem__"),
    (ChainDataset([Stream()]), "IterableDataset", "ChainDataset.*map-style torch Dataset"),
    (WithoutLength(), "Dataset without length", "WithoutLength, a Dataset without __len__"),
    (WithoutItems(), "Dataset without items", "WithoutItems, a Dataset without __getitem__"),
    ((row for row in ROWS), "iterator", r"generator, .*numpy\.stack\(list\(X\)\)"),
    (zip(ROWS, Y, strict=True), "iterator", "X is a zip"),
    (map(np.sqrt, ROWS), "iterator", "X is a map"),
    (iter(DataLoader(TENSORS)), "iterator", "gone through once"),
    (WithoutItems, "class", r"class WithoutItems\. Pass an instance of it: WithoutItems\("),
    ((ROWS, Y), "rows and labels", r"Pass them apart: fit\(X\[0\], X\[1\]\)"),
    ((torch.zeros(6, 3), torch.zeros(6)), "rows and labels", "Pass them apart"),
    ({1.0, 2.0}, "set", "set, whose rows have no order"),
    (list(zip(ROWS, Y, strict=True)), "pairs", r"list of pairs.*inputs, y = zip\(\*X\)"),
    ([(torch.zeros(3), torch.tensor(1))] * 6, "pairs", r"data\.SliceableDataset\(dataset\)"),
    ([([1.0, 2.0], "cat")] * 6, "pairs", "take them apart"),
    ([(IMAGE, 0)] * 6, "pairs", r"SliceableDataset.*fit\(list\(inputs\), y\)"),
    (tuple((row, 0) for row in ROWS), "pairs", "tuple of pairs"),
    (NoTorchDataset(), "pairs", r"NoTorchDataset with items .*inherit from torch\.utils\.data"),
    ([IMAGE] * 6, "PIL images", "list of PIL images.*features.ImageFeatures.*ImageFolder"),
    (["a/1.jpg", "b/2.PNG"] * 3, "paths of pictures", r"make_pipeline\(ImageFeatures\(\)"),
    ([pathlib.Path("a/1.jpeg")] * 6, "paths of pictures", "features.ImageFeatures"),
    (np.array(["a/1.jpg"] * 6), "paths of pictures", "features.ImageFeatures"),
    (pd.Series(["a/1.jpg"] * 6), "paths of pictures", "pass the whole pipeline"),
    (["a/1.parquet"] * 6, "paths of Parquet files", r"parquet_dataset\(X, columns, label\)"),
    ([pathlib.Path("a/1.tar")] * 6, "paths of tar files", r"load_dataset\('webdataset'"),
    ({"age": ROWS[:, 0], "size": ROWS[:, 1]}, "dict", r"keys \['age', 'size'\].*DataFrame"),
    ([{"age": 3}] * 6, "dicts", "list of dicts.*DictVectorizer"),
    (SliceDataset(TENSORS, idx=1), "SliceDataset of something else", "gives part 1 of each item"),
    (Halves(TENSORS), "SliceDataset of something else", r"SliceableDataset\(X\.dataset\)"),
]


@pytest.mark.parametrize(("X", "line", "match"), PASSED)
@pytest.mark.parametrize("y", [Y, None], ids=["y", "no y"])
def test_what_cannot_be_rows_is_refused_with_what_to_do(X, line, match, y):
    error = TABLE[line].error
    assert next(name for name, row in TABLE.items() if row.applies(X)) == line
    with pytest.raises(error, match=f"(?s){match}"):
        check_X_y(Estimator(), X, y)
    with pytest.raises(error, match=f"(?s){match}"):
        check_X(Estimator(), X, None)


def test_every_line_of_the_table_is_tested():
    of_hugging_face = {name for name in TABLE if name.startswith("Hugging Face")}  # test_hf_rows.py
    assert {line for _, line, _ in PASSED} | of_hugging_face == set(TABLE)


def test_streams_of_webdataset_are_refused():
    webdataset = pytest.importorskip("webdataset")
    stream = webdataset.WebDataset("none.tar", shardshuffle=False)
    instead = r".*load_dataset\('webdataset', data_files=.*HFRows\("
    with pytest.raises(TypeError, match=f"X is a WebDataset, an IterableDataset{instead}"):
        refuse_unusable(stream)
    with pytest.raises(TypeError, match=f"X is a WebLoader, an IterableDataset{instead}"):
        refuse_unusable(webdataset.WebLoader(stream))


@pytest.mark.parametrize(
    "X",
    [
        ROWS,
        ROWS.tolist(),
        [(1.0, 2.0), (3.0, 4.0)],
        [[1, 2], [3, 4]],
        [[[1.0, 2.0], [3.0, 4.0]]] * 3,
        list(ROWS),
        (ROWS[0], ROWS[1]),
        list(torch.zeros(6, 3)),
        [],
        torch.zeros(6, 3),
        sparse.csr_array(ROWS),
        pd.DataFrame(ROWS),
        pd.DataFrame({"a": [(1, 2)]}),
        TENSORS,
        ConcatDataset([TENSORS]),
        StackDataset(torch.zeros(6, 3), Y),
        SliceableDataset(TENSORS),
        SliceDataset(TENSORS),
        None,
        3,
    ],
    ids=lambda X: type(X).__name__,
)
def test_what_may_be_rows_is_left_to_the_checks_that_follow(X):
    refuse_unusable(X)


def test_a_slice_dataset_of_skorch_is_the_data_set_in_it():
    y = torch.arange(40) % 2
    tensors = TensorDataset(torch.stack([y, -y, y], dim=1).float(), y)
    est = MILDSelector(rounds=1, max_epochs=2, lr=0.1, random_state=0)
    scores = [
        est.fit(X, labels).noise_scores_
        for X, labels in (
            (tensors, None),
            (SliceDataset(tensors), SliceDataset(tensors, idx=1)),
            (SliceDataset(tensors), y),
        )
    ]
    assert scores[0].tolist() == scores[1].tolist() == scores[2].tolist()
    predicted = est.predict(SliceDataset(tensors)[np.array([3, 4])])
    assert predicted.tolist() == est.predict(tensors)[[3, 4]].tolist()
    kept, _ = est.fit_resample(SliceDataset(tensors), y)
    assert isinstance(kept, SliceDataset)
    assert len(kept) == est.clean_mask_.sum()
