"""Labels of a data set are those of its items, and few items are read to know them."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from noisyfit.data import _dataset_items as module
from noisyfit.data import check_labels
from noisyfit.data._dataset_items import dataset_targets


class Items(Dataset):
    """Counts the items that are read."""

    def __init__(self, items):
        self.items, self.n_read = items, 0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        self.n_read += 1
        return self.items[i]


class WithTargets(Items):
    """As torchvision's data sets are."""

    def __init__(self, targets, target_transform=None):
        super().__init__(list(range(len(targets))))
        self.targets, self.target_transform = targets, target_transform

    def __getitem__(self, i):
        x, label = super().__getitem__(i), int(self.targets[i])
        return x, label if self.target_transform is None else self.target_transform(label)


class Relabelled(WithTargets):
    """A subclass whose items have a label of their own for the one row of class 7."""

    def __getitem__(self, i):
        x, label = super().__getitem__(i)
        return x, 0 if label == 7 else label


MANY = np.arange(5000) % 4


def test_targets_are_compared_with_a_sample_of_items():
    for targets in (MANY.tolist(), MANY, torch.tensor(MANY)):
        dataset = WithTargets(targets)
        np.testing.assert_array_equal(dataset_targets(dataset), MANY)
        assert 10 <= dataset.n_read <= 300


def test_items_that_carry_their_label():
    assert dataset_targets(Items([("x", 3), ("y", 1)])).tolist() == [3, 1]
    assert dataset_targets(Items([("x", "cat"), ("y", "dog")])).tolist() == ["cat", "dog"]
    tensors = TensorDataset(torch.zeros(3, 2), torch.tensor([2, 0, 1]))
    assert check_labels(dataset_targets(tensors)).tolist() == [2, 0, 1]
    assert dataset_targets(ConcatDataset([tensors, tensors])).tolist() == [2, 0, 1] * 2


def test_labels_of_a_tensor_dataset_are_not_read_one_by_one(monkeypatch):
    tensors = TensorDataset(torch.zeros(3, 2), torch.tensor([2, 0, 1]))
    monkeypatch.setattr(TensorDataset, "__getitem__", None)
    assert dataset_targets(tensors).tolist() == [2, 0, 1]


def test_targets_of_a_subset():
    whole = WithTargets([10, 11, 12, 13, 14])
    part = Subset(whole, [4, 0, 3])
    assert dataset_targets(part).tolist() == [14, 10, 13]
    assert dataset_targets(Subset(part, [1, 2])).tolist() == [10, 13]
    assert dataset_targets(Subset(Items([("x", 3), ("y", 1)]), torch.tensor([1]))).tolist() == [1]


def test_of_a_subset_only_its_own_items_are_read():
    whole = Items([(i, i % 3) for i in range(1000)])
    assert dataset_targets(Subset(whole, [4, 9])).tolist() == [1, 0]
    assert whole.n_read < 10


@pytest.mark.parametrize(
    "dataset", [Items([1.0, 2.0]), TensorDataset(torch.zeros(2, 3)), Subset(Items([1.0]), [0])]
)
def test_a_dataset_without_labels_is_refused(dataset):
    with pytest.raises(
        ValueError, match=r"neither an attribute 'targets' nor items .*pass .* as y"
    ):
        dataset_targets(dataset)


def test_items_that_are_dicts_are_named():
    with pytest.raises(ValueError, match=r"items are dicts with \['image', 'label'\]"):
        dataset_targets(Items([{"image": 1, "label": 0}]))


def test_a_target_transform_is_applied_without_reading_the_items():
    dataset = WithTargets(MANY, lambda label: {0: "cat"}.get(label, "other"))
    for data, known in ((dataset, MANY), (Subset(dataset, [1, 4, 8]), MANY[[1, 4, 8]])):
        expected = np.where(known == 0, "cat", "other")
        np.testing.assert_array_equal(dataset_targets(data), expected)
    assert dataset.n_read < 300


@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: Subset(d, range(5000)), lambda d: ConcatDataset([d])]
)
def test_one_row_of_a_class_that_its_item_names_otherwise_is_found(wrap):
    targets = MANY.copy()
    targets[3333] = 7
    expected = np.where(targets == 7, 0, targets)
    with pytest.warns(UserWarning, match=r"other labels than its 'targets', such as row 3333"):
        found = dataset_targets(wrap(Relabelled(targets)))
    np.testing.assert_array_equal(found, expected)
    assert found[3333] == 0


def test_a_wrong_number_of_targets_is_found():
    dataset = WithTargets([0, 1, 2, 3, 4])
    dataset.items = dataset.items[:4]
    with pytest.warns(UserWarning, match="other labels"):
        assert dataset_targets(dataset).tolist() == [0, 1, 2, 3]


def test_only_the_part_without_targets_is_read():
    parts = [WithTargets(MANY), Items([(0, 5), (0, 6)])]
    assert dataset_targets(ConcatDataset(parts)).tolist() == [*MANY, 5, 6]
    assert parts[0].n_read < 300


def test_targets_are_taken_where_items_are_inputs_alone():
    dataset = Items([1.0, 2.0])
    dataset.targets = ["a", "b"]
    assert dataset_targets(dataset).tolist() == ["a", "b"]


def test_labels_drawn_at_random_are_the_same_each_time_and_leave_the_generators():
    dataset = WithTargets(np.zeros(200, int), lambda label: random.randrange(10))
    random.seed(5)
    state = random.getstate()
    with pytest.warns(UserWarning, match="other labels"):
        first, second = dataset_targets(dataset), dataset_targets(dataset)
    assert first.tolist() == second.tolist()
    assert len(set(first.tolist())) > 3
    assert random.getstate() == state


def test_labels_of_two_types_are_refused():
    strings = Items([(0, "cat"), (0, "dog")])
    with pytest.raises(ValueError, match="labels of two types: strings, and 3"):
        dataset_targets(Items([(0, "cat"), (0, 3)]))
    with pytest.raises(ValueError, match="labels of two types"):
        dataset_targets(ConcatDataset([strings, TensorDataset(torch.zeros(1), torch.tensor([3]))]))
    assert dataset_targets(ConcatDataset([strings, strings])).tolist() == ["cat", "dog"] * 2


@pytest.mark.parametrize(
    ("label", "match"),
    [
        (torch.eye(3)[0], r"Got ndarray of shape \(3,\) in row 0.*argmax"),
        ({"boxes": [1]}, "Got dict in row 0"),
    ],
)
def test_what_is_no_label_is_refused(label, match):
    with pytest.raises(ValueError, match=match):
        dataset_targets(Items([(0, label)] * 2))


def test_a_long_reading_is_announced_once(monkeypatch):
    dataset = Items([(0, i % 2) for i in range(20)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset_targets(dataset)
    monkeypatch.setattr(module, "_SECONDS_IN_SILENCE", 0)
    with pytest.warns(UserWarning, match=r"all 20 items are read.* Pass the labels as y") as caught:
        dataset_targets(dataset)
    assert len(caught) == 1
