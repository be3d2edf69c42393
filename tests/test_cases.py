"""Faults that were found by trying, each by its name: the right value, or a clear error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from noisyfit import DynamicsLSTMDetector, MILDSelector
from noisyfit.data import SliceableDataset

# --- C01 output of transformers ---


# --- C02 softmax at the end ---


# --- C03 labels of a data set ---


class _Pictures(Dataset):
    """As torchvision's: targets, and a transform of theirs that only items show."""

    def __init__(self, target_transform=None):
        self.targets, self.target_transform, self.n_read = [0, 1, 2, 3] * 25, target_transform, 0

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        self.n_read += 1
        x, label = torch.eye(4)[self.targets[i]], self.targets[i]
        return x, label if self.target_transform is None else self.target_transform(label)


class _Relabelled(_Pictures):
    def __getitem__(self, i):
        x, label = super().__getitem__(i)
        return x, label % 2


@pytest.mark.parametrize("part", [False, True], ids=["whole", "Subset"])
@pytest.mark.parametrize("kind", ["target_transform", "subclass"])
def test_c03_labels_are_those_of_the_items(kind, part):
    dataset = _Pictures(lambda t: t % 2) if kind == "target_transform" else _Relabelled()
    dataset = Subset(dataset, range(10, 90)) if part else dataset
    est = MILDSelector(rounds=1, max_epochs=1, random_state=0, iterator_train__num_workers=0)
    with warnings.catch_warnings():
        if kind == "target_transform":
            warnings.simplefilter("error")
        else:
            warnings.filterwarnings("ignore", "The items of")
        est.fit(dataset)
        assert est.given_labels_.tolist() == [label for _, label in dataset]
        assert est.classes_.tolist() == [0, 1]
        assert est.score(dataset) == np.mean(est.predict(dataset) == est.given_labels_)


# --- C04 callbacks ---


# --- C05 imbalanced-learn ---


# --- C06 review, decisions of a frame ---


# --- C07 images ---


# --- C08 sparse and dense ---


# --- C09 frames ---


# --- C10 words ---


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ([(np.zeros(3), i % 2) for i in range(60)], "list of pairs.*Take them apart"),
        ((np.zeros(3) for _ in range(60)), "generator, which can be gone through once"),
        (torch.utils.data.DataLoader(TensorDataset(torch.zeros(6, 3))), "Pass its data set"),
        ([({"tokens": [1, 2]}, 0)] * 60, "list of pairs"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_c10_what_cannot_be_rows_is_named(X, match):
    with pytest.raises(TypeError, match=match):
        MILDSelector(max_epochs=2).fit(X, np.arange(60) % 2)


def test_c10_items_with_dicts_are_refused_with_the_way():
    class Dicts(TensorDataset):
        def __getitem__(self, i):
            return {"tokens": self.tensors[0][i]}, self.tensors[1][i]

    with pytest.raises(TypeError, match=r"dict with the keys \['tokens'\]. Return one tensor"):
        MILDSelector(max_epochs=2).fit(Dicts(torch.zeros(60, 3), torch.arange(60) % 2))


class _OfTokens(torch.nn.Module):
    """Mean of the embeddings of the tokens that the mask leaves."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = torch.nn.Embedding(50, 8), torch.nn.Linear(8, 2)

    def forward(self, x):
        tokens, mask = x.long().unbind(1)
        return self.head((self.embed(tokens) * mask[..., None]).sum(1) / mask.sum(1)[:, None])


@pytest.mark.parametrize("method", [MILDSelector, DynamicsLSTMDetector])
def test_c10_the_way_that_is_named_for_dicts_works(method):
    rng, y = np.random.default_rng(0), np.arange(120) % 2
    tokens = rng.integers(0, 25, (120, 6)) + 25 * y[:, None]
    mask = np.arange(6) < rng.integers(1, 7, (120, 1))
    items = TensorDataset(torch.tensor(np.stack([tokens, mask], axis=1)), torch.tensor(y))
    est = method(_OfTokens, max_epochs=10, lr=1.0, random_state=0).fit(Subset(items, range(80)))
    assert est.score(Subset(items, range(80, 120))) > 0.9


# --- C11 notebooks ---


# --- C12 others ---


def test_c12_targets_of_the_parts_of_a_concat_dataset_spare_the_reading():
    parts = [_Pictures() for _ in range(3)]
    for part in parts:
        part.targets = [0, 1] * 1000
    assert SliceableDataset(ConcatDataset(parts)).labels.tolist() == [0, 1] * 3000
    assert max(part.n_read for part in parts) < 300


# --- B01 offsets ---


# --- B02 other rows ---


# --- B03 a class lost ---


# --- B04 rare class ---


# --- B05 pair noise ---


# --- B06 row numbers ---


# --- B08 clean digits ---


# --- B09 X says nothing ---


# --- B10 review, labels beside gaps ---


# --- B11 nullable labels ---


# --- B12 EpochScoring ---


# --- B13 Dataset in cross-validation ---


def test_b13_a_data_set_is_cross_validated_as_arrays_are():
    y = np.arange(90) % 3
    X = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32) + 2 * np.eye(3)[y]
    data = SliceableDataset(TensorDataset(torch.tensor(X).float(), torch.tensor(y)))
    est = MILDSelector(max_epochs=2, standardize=False, random_state=0)
    scores = cross_val_score(est, data, data.labels, cv=2, error_score="raise")
    np.testing.assert_array_equal(scores, cross_val_score(est, X, y, cv=2))
    assert scores.min() > 0.4


# --- B14 IterableDataset ---


def test_b14_a_stream_is_refused_with_the_map_style_way():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(torch.randn(60, 3), torch.arange(60) % 3, strict=True))

    est = MILDSelector(max_epochs=2)
    with pytest.raises(TypeError, match=r"IterableDataset.*map-style.*__len__ and a __getitem__"):
        est.fit(Stream())
    est.fit(np.eye(3).repeat(20, axis=0), np.arange(3).repeat(20))
    with pytest.raises(TypeError, match=r"IterableDataset.*map-style"):
        est.predict(Stream())


# --- B15 LRScheduler ---


# --- NaN noise rate ---


# --- frozen BatchNorm ---
