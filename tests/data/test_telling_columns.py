"""Columns that tell the given labels: leaks made by hand, and honest tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_blobs,
    make_classification,
)

from noisyfit.data import TellingColumns, telling_columns
from noisyfit.data._telling_columns import _by_value

N = 600
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, N)
NOISE = RNG.normal(size=(N, 5))
ONE_HOT = np.eye(3)[Y]


def found(X, y=Y, rows=None):
    """What is found in a dense table."""
    rows = np.arange(len(y)) if rows is None else rows
    return telling_columns(torch.from_numpy(np.ascontiguousarray(X)), y, rows)


def beside(*columns):
    """A table in which noise stands in front."""
    return np.column_stack([NOISE, *columns])


LEAKS = {
    "copy": (beside(Y), TellingColumns(cuts={5: 0})),
    "code": (beside(np.array([7, 3, 12])[Y]), TellingColumns(cuts={5: 0})),
    "noisy code": (beside(Y + 0.05 * RNG.normal(size=N)), TellingColumns(cuts={5: 0})),
    "twice": (beside(Y, NOISE[:, 0], -Y), TellingColumns(cuts={5: 0, 7: 0})),
    "one-hot": (beside(ONE_HOT), TellingColumns(marks={5: 0, 6: 0, 7: 0})),
    "one-hot without the first": (beside(ONE_HOT[:, 1:]), TellingColumns(marks={5: 0, 6: 0})),
    "one-hot, turned round": (beside(1 - ONE_HOT), TellingColumns(marks={5: 0, 6: 0, 7: 0})),
    "one class": (beside(ONE_HOT[:, 0]), None),
}


@pytest.mark.parametrize(("X", "expected"), LEAKS.values(), ids=LEAKS)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_leaks_are_found(kind, X, expected):
    if kind == "dense":
        assert found(X) == expected
    else:
        thinned = np.where((np.arange(X.shape[1]) < 5) & (X < 1), 0, X)
        assert telling_columns(sparse.csr_array(thinned), Y, np.arange(N)) == expected


def test_words_that_every_text_of_a_class_has_are_found_whatever_their_weight():
    weighted = ONE_HOT * RNG.uniform(0.1, 1, (N, 1))
    X = sparse.hstack([sparse.random(N, 200, 0.05, random_state=0), sparse.csr_array(weighted)])
    assert telling_columns(X.tocsr(), Y, np.arange(N)).marks == {200: 0, 201: 0, 202: 0}


def test_numbers_of_sorted_rows_tell_their_labels_and_others_do_not():
    order = np.argsort(Y, kind="stable")
    assert found(beside(np.arange(N)), Y[order]) == TellingColumns(cuts={5: 0})
    assert found(beside(np.arange(N))) is None


def test_codes_of_parts_of_classes_are_told_apart_from_cut_points():
    part = RNG.integers(0, 30, N)
    of_part = np.arange(30) % 3  # neighbours differ: cut points would be 29
    assert found(beside(part), of_part[part]) == TellingColumns(codes={5: 0})
    # With a row of each value, values tell no more than the number of the row does.
    many = RNG.permutation(N)
    assert found(beside(many), many % 3) is None


def test_few_labels_may_differ_but_not_many_nor_those_of_a_rare_class():
    y = np.repeat([0, 1], 2500)
    X = np.column_stack([RNG.normal(size=5000), y])
    for n_off, expected in ((1, {1: 1}), (2, {1: 2}), (3, None)):
        given = y.copy()
        given[:n_off] = 1
        told = found(X, given)
        assert (told and told.cuts) == expected
    rare = np.zeros(5000, dtype=np.int64)
    rare[:6] = 1
    flagged = (np.arange(5000) < 4).astype(float)  # but two are not
    assert found(np.column_stack([X[:, 0], flagged]), rare) is None


def test_only_the_labels_that_count_have_to_be_told():
    given = Y.copy()
    given[:60] = (given[:60] + 1) % 3
    assert found(beside(Y), given) is None
    assert found(beside(Y), given, np.arange(60, N)).cuts == {5: 0}
    assert found(beside(Y), given, np.empty(0, dtype=np.int64)) is None


@pytest.mark.parametrize("X", [Y[:, None], np.column_stack([np.ones(N), Y]), ONE_HOT])
def test_where_all_that_varies_tells_the_labels_nothing_is_left_to_find(X):
    assert found(X.astype(float)) is None


def test_of_few_rows_and_many_columns_one_tells_the_labels_by_chance():
    X = np.random.default_rng(0).normal(size=(12, 5000))
    y = np.repeat([0, 1], 6)
    apart = (X[:6].max(axis=0) < X[6:].min(axis=0)) | (X[6:].max(axis=0) < X[:6].min(axis=0))
    assert apart.any()
    assert found(X, y) is None
    # Which column takes log2 5000 = 12.3 bits, its two labels 2; 12 rows take 9.9, 40 take 37.
    X = np.random.default_rng(0).normal(size=(40, 5000))
    X[:, 7] = np.repeat([0, 1], 20)
    assert found(X, X[:, 7].astype(np.int64)) == TellingColumns(cuts={7: 0})


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_usual_tables_are_no_leaks(load, noise):
    X, y = load(return_X_y=True)
    wrong = np.random.default_rng(0).random(len(y)) < noise
    assert found(X, np.where(wrong, (y + 1) % (y.max() + 1), y)) is None


def test_a_leak_beside_usual_columns_is_found():
    X, y = load_digits(return_X_y=True)
    given = np.where(RNG.random(len(y)) < 0.1, (y + 1) % 10, y)
    assert found(np.column_stack([X, given]), given) == TellingColumns(cuts={64: 0})
    assert found(np.column_stack([X, y]), given) is None  # of the right labels: no leak


def test_what_nothing_can_tell_from_a_leak_is_one():
    X, y = make_blobs(N, centers=[[0, 0], [30, 1]], random_state=0)
    assert found(X, y) == TellingColumns(cuts={0: 0})
    X, y = make_blobs(N, centers=[[0, 0], [30, 30]], random_state=0)
    assert found(X, y) is None  # two columns tell, and there is no third
    X, y = make_classification(N, 10, n_informative=7, n_redundant=0, class_sep=2, random_state=0)
    assert found(X, y) is None


def test_a_wide_table_is_looked_at_by_its_likeliest_columns():
    X = np.random.default_rng(1).normal(size=(200, 3000))
    X[:, :40] = 0.3 * X[:, :40] + (Y[:200, None] == 0)  # tell much of a class, not all of it
    X[:, 2999] = Y[:200]
    assert found(X, Y[:200]) == TellingColumns(cuts={2999: 0})


def test_pieces_and_labels_left_out_are_counted():
    y = np.array([0] * 3000 + [1] * 3000)
    column = np.arange(6000.0)
    assert _by_value(column, y, 2, 1e4) == (0, True)
    y[[10, 20]] = 1  # six pieces, of which four are allowed
    assert _by_value(column, y, 2, 1e4) == (1, True)
    y[[100 * k for k in range(1, 9)]] = 1
    assert _by_value(column, y, 2, 1e4) is None
    assert _by_value(column // 10, y, 2, 1e4) is None  # ten of the first class are outvoted
