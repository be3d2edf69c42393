"""Rows of Hugging Face are known again by their values, wherever and however they are stored."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch.utils.data import Subset, TensorDataset

from noisyfit import MILDSelector
from noisyfit.data import HFRows, SliceableDataset
from noisyfit.data._identifying import identifying_parts
from noisyfit.persistence import hash_values
from tests.persistence.test_checkpoint import Stopper, assert_same_fit, fit_until

datasets = pytest.importorskip("datasets")

N = 150  # three of the blocks that are read at a time
Y = np.arange(N) % 3
X = (np.random.default_rng(0).normal(size=(N, 4)) + 3 * np.eye(4)[Y]).astype(np.float32)
SHUFFLED = np.random.default_rng(1).permutation(N)


def table(X=X, kind="float32", label=Y):
    features = {"x": datasets.Sequence(datasets.Value(kind)), "label": datasets.Value("int64")}
    columns = {"x": X.tolist(), "label": label.tolist()}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def saved(dataset, path):
    dataset.save_to_disk(path)
    return datasets.load_from_disk(path)


def copied(dataset, path):
    first = saved(dataset, path / "first")
    (path / "second").mkdir()
    copy = shutil.copy(first.cache_files[0]["filename"], path / "second")
    return datasets.Dataset.from_file(copy)


def in_parts(dataset):
    bounds = itertools.pairwise((0, 1, 70, 71, 140, N))
    return datasets.concatenate_datasets([dataset.select(range(*part)) for part in bounds])


SAME = {
    "made again": lambda path: HFRows(table()),
    "saved": lambda path: HFRows(saved(table(), path)),
    "copied": lambda path: HFRows(copied(table(), path)),
    "in parts": lambda path: HFRows(in_parts(table())),
    "sorted again": lambda path: HFRows(table(X[SHUFFLED]).select(np.argsort(SHUFFLED))),
    "mapped": lambda path: HFRows(table(X / 2).map(lambda row: {"x": [2 * v for v in row["x"]]})),
    "another format": lambda path: HFRows(table().with_format("torch")),
    "other labels": lambda path: HFRows(table(label=Y[::-1])),
    "no labels": lambda path: HFRows(table(), input="x", label=None),
    "other columns": lambda path: HFRows(table().add_column("id", range(N)), "x", "label"),
    "a subset of more": lambda path: Subset(
        HFRows(datasets.concatenate_datasets([table(X[::-1]), table()])), np.arange(N, 2 * N)
    ),
    "slices": lambda path: SliceableDataset(HFRows(table(X[::-1])))[::-1],
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_rows_are_known_again(name, tmp_path):
    assert hash_values(SAME[name](tmp_path)) == hash_values(HFRows(table()))


def test_the_fingerprint_of_the_data_set_would_refuse_them(tmp_path):
    """Why values are read: of these rows, which are the same, it says otherwise."""
    others = (copied(table(), tmp_path), in_parts(table()))
    for other in others:
        assert other._fingerprint != table()._fingerprint


def with_one_value(value=0.5):
    changed = X.copy()
    changed[77, 2] = value
    return changed


OTHER = {
    "a value": lambda: HFRows(table(with_one_value())),
    "the order": lambda: HFRows(table(X[::-1])),
    "which rows": lambda: Subset(HFRows(table()), [1, 0, *range(2, N)]),
    "fewer rows": lambda: HFRows(table().select(range(N - 1))),
    "the type": lambda: HFRows(table(kind="float64")),
    "what a transform makes of them": lambda: HFRows(table(), transform=lambda x: x[:3]),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_rows_are_told(name):
    assert hash_values(OTHER[name]()) != hash_values(HFRows(table()))


def test_a_transform_of_the_data_set_is_no_matter_but_what_it_is_made_of():
    def jittered(batch):
        return {"made": [np.asarray(x) + np.random.rand() for x in batch["x"]]}  # noqa: NPY002

    def hashed(X):
        return hash_values(HFRows(table(X).with_transform(jittered), input="made"))

    assert hashed(X) == hashed(X)
    assert hashed(X) != hashed(with_one_value())


def test_pictures_in_files_are_read(tmp_path):
    def hashed(name):
        paths = [str(tmp_path / name / f"{i}.png") for i in range(3)]
        rows = datasets.Dataset.from_dict({"image": paths, "label": [0, 1, 0]})
        rows = rows.cast_column("image", datasets.Image())
        assert rows.with_format("arrow")[0]["image"][0].as_py()["bytes"] is None
        return hash_values(HFRows(rows))

    (tmp_path / "here").mkdir()
    for i in range(3):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / "here" / f"{i}.png")
    before = hashed("here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert hashed("there") == before
    Image.new("RGB", (4, 4), (9, 0, 0)).save(tmp_path / "there" / "1.png")
    assert hashed("there") != before


def test_others_are_left_alone():
    rows = TensorDataset(torch.zeros(3, 1, 4, 4))
    assert identifying_parts(rows) is None
    assert identifying_parts(Subset(rows, [1])) is None


def test_the_reading_is_shown():
    shown = []

    class Bar:
        update = staticmethod(shown.append)
        close = staticmethod(lambda: shown.append("closed"))

    assert hash_values(HFRows(table()), lambda n_rows: shown.append(n_rows) or Bar())
    assert shown == [N, 64, 64, 22, "closed"]


def test_a_stopped_fit_goes_on_with_the_same_rows_alone(tmp_path, monkeypatch):
    settings = {"rounds": 1, "max_epochs": 3, "batch_size": 16, "random_state": 0}
    est = MILDSelector(**settings, iterator_train__num_workers=0)
    whole = clone(est).fit(HFRows(table()))
    est.set_params(checkpoint=tmp_path / "fit")
    fit_until(15, monkeypatch, clone(est), HFRows(table()))
    with pytest.raises(ValueError, match=r"is of another fit, which differs in: X \(now \w+"):
        clone(est).fit(HFRows(table(with_one_value())))
    with monkeypatch.context() as patch:
        counter = Stopper(patch)
        again = clone(est).fit(HFRows(copied(table(), tmp_path)))
    assert_same_fit(whole, again)
    assert counter.n_batches < 30
