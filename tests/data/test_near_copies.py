"""Near copies are found, and rows that are alike by chance are none."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, make_blobs

from noisyfit.data import TableScaler
from noisyfit.data._near_copies import near_copy_groups


def rng(seed=0):
    return np.random.default_rng(seed)


def find(X):
    """Near copies of a table that is standardised as in a fit."""
    scaler = TableScaler().fit(X)
    return near_copy_groups(scaler.transform(X), scaler.scaler_.scale_)


def same_groups(found, expected):
    pairs = np.unique(np.column_stack([found, expected]), axis=0)
    return len(pairs) == len(np.unique(found)) == len(np.unique(expected))


def one_hot(n_columns, n_levels, n=2000, p=None):
    draws = (rng(i).choice(n_levels, size=n, p=p) for i in range(n_columns))
    return np.concatenate([np.eye(n_levels)[draw] for draw in draws], axis=1)


def texts(n_words, n=1000, n_vocabulary=5000):
    share = 1 / np.arange(1, n_vocabulary + 1)
    words = rng().choice(n_vocabulary, size=n * n_words, p=share / share.sum())
    start = np.arange(0, n * n_words + 1, n_words)
    X = sparse.csr_array((np.ones(n * n_words), words, start), shape=(n, n_vocabulary))
    X.sum_duplicates()
    return X


@pytest.mark.parametrize("n_columns", [2, 5, 20])
@pytest.mark.parametrize("n", [60, 300, 2000])
def test_a_continuous_table_has_no_copies(n, n_columns):
    for seed in range(3):
        assert find(rng(seed).normal(size=(n, n_columns))) is None
        X = make_blobs(n, n_columns, cluster_std=[0.05, 1, 2], random_state=seed)[0]
        assert find(X) is None, "nor has a cluster that is denser than the others"


def test_digits_have_no_copies_and_iris_has_the_pair_that_it_is_known_for():
    digits = load_digits().data
    assert find(digits) is None
    assert near_copy_groups(digits.astype(np.uint8).reshape(-1, 1, 8, 8)) is None
    groups = find(load_iris().data)
    assert np.flatnonzero(np.bincount(groups)[groups] > 1).tolist() == [101, 142]


@pytest.mark.parametrize(
    "X",
    [
        one_hot(3, 5),
        one_hot(5, 4),
        one_hot(6, 6),
        one_hot(10, 4, p=[0.9, 0.05, 0.03, 0.02]),
        sparse.csr_array(one_hot(6, 6)),
        rng().integers(50, size=(1000, 1)),
        rng().integers(10_000, size=(1000, 1)),
        np.column_stack([rng().integers(10_000, size=1000), rng(1).integers(2, size=1000)]),
        rng().integers(30, size=(1000, 3)),
        np.ones((200, 4)),
        np.column_stack([np.ones((200, 4)), rng().integers(2, size=200)]),
        np.repeat(np.eye(2), 100, axis=0),
    ],
    ids=str,
)
def test_rows_with_few_distinct_values_are_equal_by_chance(X):
    assert near_copy_groups(X) is None
    if not (sparse.issparse(X) or np.ptp(X, axis=0).max() == 0):
        assert find(X.astype(float)) is None


@pytest.mark.parametrize("n_columns", [10, 64])
def test_every_row_three_times_with_noise(n_columns):
    X = rng().normal(size=(300, n_columns))
    row = rng(1).permutation(np.repeat(np.arange(300), 3))
    X = X[row] + 0.01 * rng(2).normal(size=(900, n_columns))
    assert same_groups(find(X), row)
    assert find(X)[:5].tolist() == [0, 1, 2, 3, 4], "numbered in the order of the rows"
    assert same_groups(near_copy_groups(torch.tensor(X)), row)


def test_columns_of_nothing_but_noise_hide_no_copies():
    X = rng().normal(size=(300, 20))
    row = np.repeat(np.arange(300), 3)
    noise = rng(1).normal(size=(900, 10))  # as much as all else once it is standardised
    X = np.column_stack([X[row] + 0.01 * rng(2).normal(size=(900, 20)), 0.01 * noise])
    assert near_copy_groups(TableScaler().fit(X).transform(X)) is None
    assert same_groups(find(X), row)


@pytest.mark.parametrize("n_columns", [2, 5, 64])
def test_a_tenth_of_exact_duplicates(n_columns):
    row = rng(1).permutation(np.r_[np.arange(1000), np.arange(100)])
    assert same_groups(find(rng().normal(size=(1000, n_columns))[row]), row)


def test_few_distinct_values_hide_no_duplicates_of_rows_that_many_columns_tell_apart():
    X = np.column_stack([one_hot(5, 5), rng(9).normal(size=(2000, 5)).round(1)])
    groups = find(X[np.r_[np.arange(2000), np.arange(200)]])
    assert len(np.unique(groups[:2000])) == 2000, "others are not taken for duplicates"
    assert (groups[2000:] == groups[:200]).mean() > 0.95


def test_sparse_texts():
    X, row = texts(40), rng(1).permutation(np.r_[np.arange(1000), np.arange(100)])
    assert find(X) is None
    assert same_groups(find(X[row]), row)
    assert same_groups(near_copy_groups(sparse.csr_matrix(X[row])), row)


def test_images():
    parts, basis = rng().normal(size=(600, 20)), rng(1).normal(size=(20, 3 * 8 * 8))
    X = np.clip(128 + 15 * parts @ basis, 5, 250).astype(np.uint8).reshape(-1, 3, 8, 8)
    row = np.r_[np.arange(600), np.arange(100)]
    noise = rng(2).integers(-2, 3, size=(700, 3, 8, 8))
    assert near_copy_groups(X) is None
    assert same_groups(near_copy_groups((X[row] + noise).astype(np.uint8)), row)


def test_a_cluster_is_no_group_of_copies():
    X = rng().normal(size=(1000, 20))
    X[:30] = X[0] + 1e-3 * X[:30]
    X[30:60:2] = X[31:60:2]
    groups = find(X)
    assert (np.bincount(groups)[groups[:30]] == 1).all()
    assert same_groups(groups[30:60], np.arange(30) // 2)


def test_values_that_cannot_be_squared_have_no_copies():
    X = rng().normal(size=(100, 5)).astype(np.float32)
    X[3] = 3e38
    assert near_copy_groups(X) is None
    X[3] = np.nan
    assert near_copy_groups(X) is None
