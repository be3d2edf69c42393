"""Open-set noise: which rows are replaced, by what, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from _generators import global_states
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse, stats

from noisyfit.noise import OpenSetRows, corrupt_labels, open_set_noise, transition_matrix

CONTAINERS = {
    "table": lambda x: np.repeat(x[:, None], 3, axis=1).astype(np.float32),
    "integers": lambda x: np.repeat(x[:, None], 3, axis=1),
    "float images": lambda x: np.tile(x[:, None, None, None], (1, 2, 3, 4)).astype(np.float64),
    "uint8 images": lambda x: np.tile(x[:, None, None, None], (1, 3, 4, 4)).astype(np.uint8),
    "sequences": lambda x: np.tile(x[:, None, None], (1, 5, 2)).astype(np.float16),
    "csr_array": lambda x: sparse.csr_array(np.outer(x, [0, 1, 1]).astype(np.float32)),
    "csr_matrix": lambda x: sparse.csr_matrix(np.outer(x, [0, 1, 1]).astype(np.float32)),
}


def numbers(rows):
    """Return the number that each row carries in its last element."""
    rows = rows.toarray() if sparse.issparse(rows) else rows
    last = rows.reshape(len(rows), -1)[:, -1].astype(int)
    assert (rows.reshape(len(rows), -1).max(axis=1).astype(int) == last).all()
    return last


def inside_and_pool(n=40, n_out=14):
    return np.arange(1, n + 1), np.arange(101, n_out + 101)


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_rows_are_replaced_by_rows_of_the_pool_each_at_most_once(make):
    inside, outside = inside_and_pool()
    X, X_out = make(inside), make(outside)
    result = open_set_noise(X, X_out, 0.3, random_state=0)
    assert isinstance(result, OpenSetRows)
    noisy, replaced = result
    assert (type(noisy), noisy.shape, noisy.dtype) == (type(X), X.shape, X.dtype)
    assert replaced.dtype == bool
    assert replaced.sum() == 12
    found = numbers(noisy)
    assert_array_equal(found[~replaced], inside[~replaced])
    drawn = found[replaced]
    assert set(drawn) <= set(outside)
    assert len(set(drawn)) == 12
    assert (np.diff(drawn) < 0).any()  # in random order
    if sparse.issparse(X):
        assert noisy.format == "csr"
        assert noisy.nnz == X.nnz
    # A copy, and neither input has changed.
    assert_array_equal(numbers(X), inside)
    assert_array_equal(numbers(X_out), outside)
    assert noisy is not X
    assert numbers(open_set_noise(X, X_out, 0).X).tolist() == inside.tolist()


def test_a_whole_row_is_replaced():
    rng = np.random.default_rng(0)
    for X, X_out in [
        (rng.normal(size=(20, 3, 4, 4)), rng.normal(size=(30, 3, 4, 4))),
        (
            sparse.csr_array(sparse.random(20, 9, 0.3, random_state=rng)),
            sparse.csr_array(sparse.random(30, 9, 0.6, random_state=rng)),
        ),
    ]:
        noisy, replaced = open_set_noise(X, X_out, 0.5, random_state=0)
        full = [m.toarray() if sparse.issparse(m) else m for m in (X, X_out, noisy)]
        assert_array_equal(full[2][~replaced], full[0][~replaced])
        for row in full[2][replaced]:
            assert any(np.array_equal(row, other) for other in full[1])


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    rate=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**32),
)
def test_counts_are_those_asked_for_overall_and_in_each_class(sizes, rate, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    X, X_out = np.zeros((len(y), 1)), np.ones((len(y), 1))
    by_class = open_set_noise(X, X_out, rate, y=y, random_state=seed)
    overall = open_set_noise(X, X_out, rate, random_state=seed)
    for noisy, replaced in (by_class, overall):
        assert abs(replaced.sum() - rate * len(y)) <= 0.5 + 1e-6
        assert_array_equal(noisy[:, 0] == 1, replaced)
    for c, size in enumerate(sizes):
        assert abs(by_class.replaced[y == c].sum() - rate * size) < 1 + 1e-6


def test_they_are_the_rows_whose_label_would_be_flipped():
    y = np.array(["b", "a", "c"] * 20)
    expected = corrupt_labels(y, transition_matrix("pair", 3, 0.35), 5, exact=True).flipped
    replaced = open_set_noise(np.zeros((60, 2)), np.ones((60, 2)), 0.35, y=y, random_state=5)[1]
    assert_array_equal(replaced, expected)


def test_every_row_and_every_row_of_the_pool_is_equally_likely():
    inside, outside = inside_and_pool(10, 8)
    X, X_out = inside[:, None], outside[:, None]
    results = [open_set_noise(X, X_out, 0.4, random_state=seed) for seed in range(400)]
    hits = np.sum([replaced for _, replaced in results], axis=0)
    low, high = stats.binom.interval(1 - 1e-6, 400, 0.4)
    assert low <= hits.min() <= hits.max() <= high
    drawn = np.bincount(np.concatenate([X[r, 0] - 101 for X, r in results]), minlength=8)
    low, high = stats.binom.interval(1 - 1e-6, 400, 0.5)
    assert low <= drawn.min() <= drawn.max() <= high
    # Where a row comes from does not follow where it goes to.
    first = np.bincount([X[r, 0][0] - 101 for X, r in results], minlength=8)
    low, high = stats.binom.interval(1 - 1e-6, 400, 1 / 8)
    assert low <= first.min() <= first.max() <= high


def test_random_state():
    X, X_out = np.arange(60)[:, None], np.arange(100, 160)[:, None]

    def drawn(random_state):
        return open_set_noise(X, X_out, 0.5, random_state=random_state).X[:, 0]

    before = global_states()
    assert_array_equal(drawn(7), drawn(7))
    assert (drawn(7) != drawn(8)).any()
    assert (drawn(None) != drawn(None)).any()
    assert global_states() == before
    for make in (np.random.default_rng, np.random.RandomState):
        source = make(0)
        first, second = drawn(source), drawn(source)
        assert (first != second).any()
        assert_array_equal(drawn(make(0)), first)


def test_an_integer_seed_shares_no_stream_with_a_split_of_the_same_seed():
    X, X_out, hits = np.zeros((1000, 1)), np.ones((200, 1)), 0
    for seed in range(20):
        replaced = open_set_noise(X, X_out, 0.2, random_state=seed).replaced
        hits += replaced[np.random.default_rng(seed).permutation(1000)[:200]].sum()
    low, high = stats.binom.interval(1 - 1e-6, 20 * 200, 0.2)
    assert low <= hits <= high


def test_lists_frames_and_mixed_containers():
    expected = open_set_noise(np.zeros((10, 2)), np.ones((9, 2)), 0.5, random_state=0).X
    for X, X_out in [
        ([[0.0, 0.0]] * 10, [[1.0, 1.0]] * 9),
        (pd.DataFrame(np.zeros((10, 2))), pd.DataFrame(np.ones((9, 2)), index=range(9, 18))),
        (sparse.csc_array((10, 2)), np.ones((9, 2))),
        (sparse.csr_array((10, 2)), sparse.coo_matrix(np.ones((9, 2)))),
    ]:
        noisy = open_set_noise(X, X_out, 0.5, y=["a"] * 10, random_state=0).X
        noisy = noisy.toarray() if sparse.issparse(noisy) else noisy
        assert_array_equal(noisy, expected)


def test_values_that_fit_are_taken_whatever_their_dtype():
    X = np.zeros((10, 2), dtype=np.float32)
    for dtype in (np.uint8, np.int64, np.float64, bool):
        noisy, replaced = open_set_noise(X, np.ones((5, 2), dtype=dtype), 0.5, random_state=0)
        assert noisy.dtype == np.float32
        assert (noisy[replaced] == 1).all()


@pytest.mark.parametrize(
    ("X", "X_out", "message"),
    [
        (np.zeros((9, 3)), np.zeros((9, 2)), r"shape \(3,\), as X does. Got .* \(2,\) instead"),
        (np.zeros((9, 3, 8, 8)), np.zeros((9, 1, 8, 8)), r"shape \(3, 8, 8\).*\(1, 8, 8\)"),
        (np.zeros((9, 12)), np.zeros((9, 3, 2, 2)), r"shape \(12,\).*\(3, 2, 2\)"),
        (
            np.zeros((9, 1, 2, 2), np.uint8),
            np.ones((9, 1, 2, 2)),
            r"images of uint8\. Got X_out of float64 instead, on another scale",
        ),
        (
            np.zeros((9, 1, 2, 2), np.float32),
            np.ones((9, 1, 2, 2), np.uint8),
            r"images of float32\. Got X_out of uint8 instead, on another scale",
        ),
        (np.zeros((9, 2), int), np.full((9, 2), 0.5), r"X holds int64\. Got X_out of float64"),
        (np.zeros((9, 2), np.uint8), np.full((9, 2), 256), r"astype\(np\.uint8\) if rounding"),
        (np.zeros((9, 2), np.float32), np.full((9, 2), 0.1), r"or X\.astype\(np\.float64\)"),
        (np.zeros((9, 2), np.float16), np.full((9, 2), 1e9), "whose values that cannot hold"),
        (
            sparse.csr_array(np.zeros((9, 2), np.float32)),
            sparse.csr_array(np.full((9, 2), 0.1)),
            "X holds float32",
        ),
        (np.zeros((9, 2)), np.zeros((3, 2)), r"rate=0\.5 of 9 rows are 4, .* Got 3 of them"),
        (np.zeros((9, 2)), np.full((9, 2), np.nan), "Input X_out contains NaN"),
        (np.full((9, 2), np.inf), np.zeros((9, 2)), "Input X contains infinity"),
    ],
)
def test_rows_that_do_not_fit_are_refused(X, X_out, message):
    with pytest.raises(ValueError, match=message):
        open_set_noise(X, X_out, 0.5)


def test_a_sparse_pool_for_dense_rows_is_refused():
    with pytest.raises(TypeError, match="dense data is required"):
        open_set_noise(np.zeros((9, 2)), sparse.csr_array((9, 2)), 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1}, r"'rate' parameter of open_set_noise must be a float in the range \[0"),
        ({"rate": -0.1}, "'rate' parameter"),
        ({"rate": float("nan")}, "'rate' parameter"),
        ({"rate": 0.2, "y": [0, 1]}, "inconsistent numbers of samples"),
        ({"rate": 0.2, "y": np.linspace(0, 1, 9)}, "Unknown label type"),
        ({"rate": 0.2, "random_state": "seed"}, "random_state must be"),
    ],
)
def test_parameters_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        open_set_noise(np.zeros((9, 2)), np.zeros((9, 2)), **options)
