"""Faults that were found by trying, each by its name: the right value, or a clear error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from noisyfit import (
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
    load,
)
from noisyfit.data import SliceableDataset
from noisyfit.modules import MLP

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


class _Tokens(Dataset):
    """Items with a dict: tokens, of which a mask leaves some, and their scale."""

    def __init__(self, n_rows=120):
        rng = np.random.default_rng(0)
        self.labels = np.arange(n_rows) % 2
        self.tokens = rng.integers(0, 25, (n_rows, 6)) + 25 * self.labels[:, None]
        self.mask = np.arange(6) < rng.integers(1, 7, (n_rows, 1))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        x = {"tokens": self.tokens[i], "mask": torch.tensor(self.mask[i]), "scale": 1.0}
        return x, self.labels[i]


class _OfTokens(torch.nn.Module):
    """Mean of the embeddings of the tokens that the mask leaves."""

    def __init__(self, n_classes):
        super().__init__()
        self.embed, self.head = torch.nn.Embedding(50, 8), torch.nn.Linear(8, n_classes)

    def forward(self, *, mask, tokens, scale):
        assert tokens.dtype == torch.int64
        assert mask.dtype == torch.bool
        assert scale.dtype == torch.float32
        assert len(scale) == len(tokens)
        total = (self.embed(tokens) * mask[..., None]).sum(1)
        return self.head(total / mask.sum(1)[:, None] * scale[:, None])


class _Packed(_OfTokens):
    """The same network on one tensor."""

    def forward(self, x):
        tokens, mask, scale = x.unbind(1)
        return super().forward(mask=mask.bool(), tokens=tokens.long(), scale=scale[:, 0])


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    "est",
    [
        MILDSelector(_OfTokens, rounds=1),
        MILDSelector(_OfTokens(2), rounds=2, augment=None),
        DynamicsLSTMDetector(_OfTokens),
        DynamicsLSTMDetector(_OfTokens, recording="held_out"),
    ],
    ids=["class", "instance", "LSTM", "held out"],
)
def test_c10_dicts_reach_the_network_as_keywords(est, num_workers, tmp_path):
    items = _Tokens()
    wrong = items.labels.copy()
    wrong[:6] = 1 - wrong[:6]
    est = clone(est).set_params(
        max_epochs=10, lr=1.0, random_state=0, iterator_train__num_workers=num_workers
    )
    est.fit(Subset(items, range(80)), wrong[:80])
    rest = SliceableDataset(items)[80:]
    assert est.score(rest, rest.labels) > 0.9
    packed = np.stack([items.tokens, items.mask, np.ones((120, 6))], axis=1)
    module = _Packed(2) if isinstance(est.module, torch.nn.Module) else _Packed
    if module is not _Packed:
        module.load_state_dict(est.module.state_dict())
    same = clone(est).set_params(module=module).fit(packed[:80], wrong[:80])
    np.testing.assert_array_equal(est.noise_scores_, same.noise_scores_)
    one_by_one = [est.predict_proba(rest[i : i + 1])[0] for i in range(3)]
    np.testing.assert_array_equal(est.predict_proba(rest)[:3], one_by_one)
    if not isinstance(est.module, torch.nn.Module):
        est.save(tmp_path / "est")
        again = load(tmp_path / "est", trusted=[__name__])
        np.testing.assert_array_equal(again.predict_proba(rest), est.predict_proba(rest))


def test_c10_dicts_as_rows_of_what_cannot_take_them():
    for method in (DLTClassifier, MetaRelabelClassifier):
        with pytest.raises(TypeError, match=r"a dict with the keys \['tokens', 'mask', 'scale'\]"):
            method(_OfTokens, max_epochs=2).fit(_Tokens())
    with pytest.raises(ValueError, match="dicts, need a network: pass module"):
        MILDSelector(max_epochs=2).fit(_Tokens())
    with pytest.raises(ValueError, match=r"failed: MLP on a batch of shape {'tokens': \(2, 6\)"):
        MILDSelector(MLP(6, 2), max_epochs=2).fit(_Tokens())

    class Ragged(_Tokens):
        def __getitem__(self, i):
            x, label = super().__getitem__(i)
            return {**x, "tokens": x["tokens"][: 3 + label]}, label

    with pytest.raises(ValueError, match=r"one shape\. Row 1 has {'tokens': \(4,\).*pad texts"):
        MILDSelector(_OfTokens, max_epochs=2).fit(Ragged())


def test_c10_a_row_of_one_number_is_refused():
    numbers = TensorDataset(torch.arange(60.0), torch.arange(60) % 2)
    with pytest.raises(ValueError, match=r"must be a vector or more\. Got 0\.0, a single number"):
        MILDSelector(max_epochs=2).fit(numbers)


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
