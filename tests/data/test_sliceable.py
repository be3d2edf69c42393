"""A data set that scikit-learn can slice gives what the arrays in it give."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from noisyfit import MILDSelector
from noisyfit.data import SliceableDataset
from noisyfit.model_selection import TrustedFold
from tests._estimators import QUICK

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 90)
X = (RNG.normal(size=(90, 3)) + 1.5 * Y[:, None]).astype(np.float32)
TENSORS = TensorDataset(torch.tensor(X), torch.tensor(Y))
EST = MILDSelector(rounds=1, max_epochs=3, standardize=False, random_state=0)


class Items(Dataset):
    """Read row by row."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        assert type(i) is int
        self.read.append(i)
        return X[i], int(Y[i])


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        (slice(2, 8, 3), [2, 5]),
        ([3, 0, 3], [3, 0, 3]),
        (np.array([5, -1]), [5, 89]),
        (torch.tensor([5, 6]), [5, 6]),
        (Y == 2, []),
        (np.arange(90) > 87, [88, 89]),
        ((np.arange(90) > 87).tolist(), [88, 89]),
        ([], []),
        ((np.array([4, 5]), Ellipsis), [4, 5]),
        (range(3), [0, 1, 2]),
    ],
    ids=str,
)
def test_rows_are_chosen_as_of_an_array(key, rows):
    items = Items()
    data = SliceableDataset(items)
    part = data[key]
    assert isinstance(part, SliceableDataset)
    assert part.indices.tolist() == rows
    assert part.shape == (len(rows),) == (len(part),)
    assert not items.read
    np.testing.assert_array_equal(part.labels, Y[rows])
    data.labels  # noqa: B018 - from now on nothing is read for the labels of a part
    n_read = len(items.read)
    np.testing.assert_array_equal(data[key].labels, Y[rows])
    assert len(items.read) == n_read
    if rows:
        x, label = part[0]
        np.testing.assert_array_equal(x, X[rows[0]])
        assert label == Y[rows[0]]
        np.testing.assert_array_equal(part[-1][0], X[rows[-1]])
    assert [label for _, label in part] == Y[rows].tolist()


def test_a_part_of_a_part_and_what_torch_reads():
    part = SliceableDataset(Items())[10:30][np.arange(20) % 2 == 0]
    assert part.indices.tolist() == list(range(10, 30, 2))
    x, y = next(iter(DataLoader(part, batch_size=10)))
    np.testing.assert_array_equal(x, X[10:30:2])
    np.testing.assert_array_equal(y, Y[10:30:2])
    again = pickle.loads(pickle.dumps(part))
    assert again.indices.tolist() == part.indices.tolist()
    assert SliceableDataset(TENSORS, [4, 2]).labels.tolist() == Y[[4, 2]].tolist()


@pytest.mark.parametrize("key", [90, [90], np.zeros(89, bool), [[1]], [0.5], ([1], [2]), "a"])
def test_rows_that_are_not_there_are_refused(key):
    with pytest.raises(IndexError):
        SliceableDataset(TENSORS)[key]


def test_what_is_no_map_style_data_set_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(TENSORS)

    with pytest.raises(TypeError, match="X is a Stream, an IterableDataset"):
        SliceableDataset(Stream())
    with pytest.raises(TypeError, match=r"must be a torch Dataset\. Got ndarray"):
        SliceableDataset(X)


@pytest.mark.parametrize("dataset", [TENSORS, Items()], ids=["tensors", "items"])
def test_cross_validation_gives_what_arrays_give(dataset):
    data = SliceableDataset(dataset)
    est = clone(EST).set_params(iterator_train__num_workers=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_rows = cross_val_score(est, data, data.labels, cv=3, error_score="raise")
        predicted = cross_val_predict(est, data, data.labels, cv=3)
    np.testing.assert_array_equal(by_rows, cross_val_score(est, X, Y, cv=3))
    np.testing.assert_array_equal(predicted, cross_val_predict(est, X, Y, cv=3))
    assert by_rows.min() > 0.7


@pytest.mark.slow
def test_in_two_processes():
    data = SliceableDataset(TENSORS)
    alone, together = (cross_val_score(EST, data, data.labels, cv=2, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(alone, together)


def test_a_search_refits_and_predicts():
    data = SliceableDataset(TENSORS)
    pipe = make_pipeline("passthrough", clone(EST))
    searches = [
        GridSearchCV(pipe, {"mildselector__lr": [1e-9, 0.1]}, cv=3).fit(rows, Y)
        for rows in (data, X)
    ]
    assert searches[0].best_params_ == searches[1].best_params_ == {"mildselector__lr": 0.1}
    np.testing.assert_array_equal(searches[0].predict(data), searches[1].predict(X))
    assert searches[0].score(data, Y) == searches[1].score(X, Y)


def test_trusted_folds_and_splits():
    trusted = np.arange(90) < 20
    cv, data = TrustedFold(2, trusted=trusted), SliceableDataset(TENSORS)
    scores = [
        cross_val_score(EST, rows, Y, cv=cv, params={"trusted": trusted}) for rows in (data, X)
    ]
    np.testing.assert_array_equal(*scores)
    train, test, y_train, y_test = train_test_split(data, Y, random_state=0, stratify=Y)
    np.testing.assert_array_equal(train.labels, y_train)
    np.testing.assert_array_equal(test.labels, y_test)
    mixed, y_mixed = shuffle(data, Y, random_state=0)
    np.testing.assert_array_equal(mixed.labels, y_mixed)


@pytest.mark.parametrize("est", QUICK, ids=lambda est: type(est).__name__)
def test_the_rows_that_were_kept(est):
    est, data = clone(est).set_params(max_epochs=5), SliceableDataset(TENSORS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no trusted rows
        rows, y = est.fit_resample(data, Y)
        of_subset, _ = clone(est).fit_resample(TENSORS, Y)
    assert isinstance(rows, SliceableDataset)
    assert rows.indices.tolist() == np.flatnonzero(est.clean_mask_).tolist()
    assert type(of_subset) is Subset
    assert of_subset.indices == rows.indices.tolist()
    np.testing.assert_array_equal(rows.labels, y)


def test_a_transformer_in_front_is_refused_in_words():
    data = SliceableDataset(TENSORS)
    with pytest.raises(TypeError, match="Transform the rows in the data set"):
        make_pipeline(StandardScaler(), clone(EST)).fit(data, Y)
