"""Label corruption: the matrices, the draws, the counts, and what stays untouched."""

import numpy as np
import pandas as pd
import pytest
from _generators import global_states
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from noisyfit.noise import (
    CorruptedLabels,
    corrupt_labels,
    instance_dependent_noise,
    noise_generator,
    transition_matrix,
)
from noisyfit.noise._label_noise import _STREAM, CIFAR10_ASYMMETRIC

OPTIONS = {"superclass": {"superclasses": [0, 0, 0, 1]}, "asymmetric": {"mapping": {0: 2}}}
KINDS = ["symmetric", "symmetric_with_self", "pair", "asymmetric", "superclass"]


# transition_matrix


def test_symmetric_by_hand():
    expected = [[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]]
    assert_allclose(transition_matrix("symmetric", 4, 0.3)[:3], expected)


def test_symmetric_with_self_leaves_the_share_of_a_lucky_draw():
    T = transition_matrix("symmetric_with_self", 10, 0.4)
    assert_allclose(np.diag(T), 1 - 0.4 * (1 - 1 / 10))
    assert_allclose(T[0, 1:], 0.04)


def test_pair_wraps_around():
    expected = [[0.8, 0.2, 0], [0, 0.8, 0.2], [0.2, 0, 0.8]]
    assert_allclose(transition_matrix("pair", 3, 0.2), expected)


def test_asymmetric_keeps_unmapped_classes_clean():
    T = transition_matrix("asymmetric", 10, 0.4, mapping=CIFAR10_ASYMMETRIC)
    clean = [0, 1, 6, 7, 8]
    assert_array_equal(T[clean], np.eye(10)[clean])
    assert {i: int(np.argmax(T[i] * (np.arange(10) != i))) for i in (2, 3, 4, 5, 9)} == {
        2: 0,
        3: 5,
        4: 7,
        5: 3,
        9: 1,
    }
    assert_allclose(np.diag(T)[[2, 3, 4, 5, 9]], 0.6)


def test_superclass_stays_within_the_group():
    T = transition_matrix("superclass", 5, 0.3, superclasses=["a", "b", "a", "a", "c"])
    expected = np.eye(5)
    expected[np.ix_([0, 2, 3], [0, 2, 3])] = [
        [0.7, 0.15, 0.15],
        [0.15, 0.7, 0.15],
        [0.15, 0.15, 0.7],
    ]
    assert_allclose(T, expected)


@given(kind=st.sampled_from(KINDS), n=st.integers(3, 12), rate=st.floats(0, 1), data=st.data())
def test_rows_are_distributions(kind, n, rate, data):
    options = {}
    if kind == "asymmetric":
        sources = data.draw(st.sets(st.integers(0, n - 1), min_size=1))
        options["mapping"] = {s: (s + data.draw(st.integers(1, n - 1))) % n for s in sources}
    if kind == "superclass":
        options["superclasses"] = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    T = transition_matrix(kind, n, rate, **options)
    assert T.shape == (n, n)
    assert T.dtype == np.float64
    assert (T >= 0).all()
    assert_allclose(T.sum(axis=1), 1, rtol=0, atol=1e-12)
    # What leaves a class never exceeds the rate.
    assert (np.diag(T) >= 1 - rate - 1e-12).all()


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (("symmetric", 3, 1.2), {}, "'rate' parameter .* in the range"),
        (("symmetric", 3, -0.1), {}, "'rate' parameter"),
        (("symmetric", 3, float("nan")), {}, "'rate' parameter"),
        (("symmetric", 1, 0.2), {}, "'n_classes' parameter"),
        (("uniform", 3, 0.2), {}, "'kind' parameter"),
        (("asymmetric", 3, 0.2), {}, "needs mapping"),
        (("superclass", 3, 0.2), {}, "needs superclasses"),
        (("pair", 3, 0.2), {"mapping": {0: 1}}, "mapping is used by kind='asymmetric' only"),
        (("symmetric", 3, 0.2), {"superclasses": [0, 0, 1]}, "superclasses is used by"),
        (("asymmetric", 3, 0.2), {"mapping": {0: 3}}, r"in 0\.\.2 .* got 0: 3"),
        (("asymmetric", 3, 0.2), {"mapping": {-1: 1}}, "got -1: 1"),
        (("asymmetric", 3, 0.2), {"mapping": {"cat": 1}}, "got 'cat': 1"),
        (("asymmetric", 3, 0.2), {"mapping": {1: 1}}, "got 1: 1"),
        (("asymmetric", 3, 0.2), {"mapping": {}}, "non-empty dict"),
        (("superclass", 3, 0.2), {"superclasses": [0, 1]}, r"shape \(2,\)"),
    ],
)
def test_transition_matrix_errors(args, options, message):
    with pytest.raises(ValueError, match=message):
        transition_matrix(*args, **options)


# corrupt_labels


@pytest.mark.parametrize("kind", KINDS)
def test_counts_agree_with_the_matrix(kind):
    T = transition_matrix(kind, 4, 0.4, **OPTIONS.get(kind, {}))
    y = np.repeat(np.arange(4), 3000)
    labels, flipped = corrupt_labels(y, T, random_state=1)
    assert_array_equal(flipped, labels != y)
    for i in range(4):
        for j in range(4):
            count = int(np.sum((y == i) & (labels == j)))
            # Two-sided binomial interval at 1e-6: 16 cells x 5 kinds leave it 1 run in 10,000.
            low, high = stats.binom.interval(1 - 1e-6, 3000, min(T[i, j], 1.0))
            assert low <= count <= high


def test_symmetric_at_rate_one_never_keeps_a_label():
    y = np.repeat(np.arange(3), 500)
    labels, flipped = corrupt_labels(y, transition_matrix("symmetric", 3, 1.0), 0)
    assert flipped.all()
    assert set(labels) == {0, 1, 2}


@pytest.mark.parametrize("exact", [False, True])
def test_rate_zero_changes_nothing(exact):
    y = np.repeat(np.arange(3), 50)
    labels, flipped = corrupt_labels(y, transition_matrix("symmetric", 3, 0.0), 0, exact=exact)
    assert_array_equal(labels, y)
    assert not flipped.any()


@pytest.mark.parametrize("exact", [False, True])
def test_flips_do_not_cascade(exact):
    # All cats become dogs and all dogs cats. Flipping class by class in place would turn the
    # cats that had just become dogs back into cats.
    y = np.repeat(np.arange(10), 100)
    T = transition_matrix("asymmetric", 10, 1.0, mapping=CIFAR10_ASYMMETRIC)
    labels, _ = corrupt_labels(y, T, 0, exact=exact)
    assert (labels[y == 3] == 5).all()
    assert (labels[y == 5] == 3).all()
    assert (labels[y == 9] == 1).all()
    assert_array_equal(np.bincount(labels)[[3, 5]], [100, 100])


def test_exact_counts_by_hand():
    y = np.repeat(np.arange(10), 100)
    labels, flipped = corrupt_labels(y, transition_matrix("symmetric", 10, 0.27), 0, exact=True)
    for i in range(10):
        assert_array_equal(
            np.bincount(labels[y == i], minlength=10), [73 if j == i else 3 for j in range(10)]
        )
    assert flipped.mean() == 0.27


def test_exact_total_is_right_where_each_class_would_round_the_same_way():
    # 2.6 flips a class: rounding class by class gives 300 of 1000, not 260.
    y = np.repeat(np.arange(100), 10)
    labels, flipped = corrupt_labels(y, transition_matrix("pair", 100, 0.26), 0, exact=True)
    assert flipped.sum() == 260
    assert set(np.bincount(y[flipped], minlength=100)) == {2, 3}
    assert_array_equal(labels[flipped], (y[flipped] + 1) % 100)


def test_exact_ties_do_not_favour_low_classes():
    y = np.zeros(10, dtype=int)
    T = transition_matrix("symmetric", 10, 0.1)
    seen = {
        int(labels[flipped][0])
        for labels, flipped in (
            corrupt_labels(y, T, seed, classes=range(10), exact=True) for seed in range(80)
        )
    }
    assert seen == set(range(1, 10))


def test_exact_ties_between_classes_are_broken_at_random():
    # Half a flip is expected of each of 10 classes, up to float dust in the row sums.
    y = np.repeat(np.arange(10), 5)
    T = transition_matrix("symmetric", 10, 0.1)
    flips = [
        np.bincount(y[corrupt_labels(y, T, seed, exact=True).flipped], minlength=10)
        for seed in range(60)
    ]
    low, high = stats.binom.interval(1 - 1e-6, 60, 0.5)
    assert all(low <= chosen <= high for chosen in np.sum(flips, axis=0))


@settings(max_examples=60)
@given(
    y=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    weights=st.lists(
        st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any), min_size=5, max_size=5
    ),
    seed=st.integers(0, 2**32),
)
def test_exact_counts_are_within_one_of_the_matrix(y, weights, seed):
    T = np.array(weights, dtype=float)
    T /= T.sum(axis=1, keepdims=True)
    y = np.array(y)
    labels, flipped = corrupt_labels(y, T, seed, classes=range(5), exact=True)
    wrong_rate = 1 - np.diag(T)
    assert abs(flipped.sum() - wrong_rate[y].sum()) <= 0.5 + 1e-6
    for i in range(5):
        flips = int(flipped[y == i].sum())
        assert abs(flips - (y == i).sum() * wrong_rate[i]) < 1
        for j in set(range(5)) - {i}:
            count = np.sum(labels[y == i] == j)
            assert count == 0 or T[i, j] > 0
            if flips:
                assert abs(count - flips * T[i, j] / wrong_rate[i]) < 1


@pytest.mark.parametrize(
    "y",
    [
        np.array(["cat", "elephant", "ox", "cat"]),
        np.array(["cat", "elephant", "ox"], dtype=object),
        np.array([-5, 7, 1000], dtype=np.int16),
        np.array([0, 3, 255], dtype=np.uint8),
        np.array([0.0, 1.0, 2.0], dtype=np.float32),
    ],
    ids=["str", "object", "gaps", "uint8", "float"],
)
def test_any_kind_of_label_keeps_its_dtype(y):
    y = np.tile(y, 20)
    labels, flipped = corrupt_labels(y, transition_matrix("pair", 3, 0.5), 0)
    assert labels.dtype == y.dtype
    following = dict(zip(np.unique(y), np.roll(np.unique(y), -1), strict=True))
    assert_array_equal(labels[flipped], [following[label] for label in y[flipped]])
    assert 0 < flipped.sum() < len(y)


def test_booleans():
    y = np.array([True, False] * 20)
    labels, flipped = corrupt_labels(y, transition_matrix("symmetric", 2, 0.25), 0, exact=True)
    assert labels.dtype == bool
    assert_array_equal(labels ^ y, flipped)
    assert flipped.mean() == 0.25


def test_lists_and_series_are_accepted():
    T = transition_matrix("pair", 2, 0.5)
    as_list = corrupt_labels(["a", "b"] * 10, T, 3)
    as_series = corrupt_labels(pd.Series(["a", "b"] * 10, index=range(20, 40)), T, 3)
    assert isinstance(as_list, CorruptedLabels)
    assert_array_equal(as_list.labels, as_series.labels.astype(str))


def test_classes_name_what_is_absent_and_set_the_row_order():
    T = transition_matrix("pair", 3, 1.0)
    y = np.array(["b", "b", "a"])
    labels, _ = corrupt_labels(y, T, 0, classes=["b", "platypus", "a"])
    # The one character of y's dtype would cut the new label to "p".
    assert_array_equal(labels, ["platypus", "platypus", "b"])


def test_input_is_not_changed():
    y = np.array([0, 1, 2] * 10)
    T = transition_matrix("symmetric", 3, 0.9)
    before_y, before_T = y.copy(), T.copy()
    corrupt_labels(y, T, 0)
    corrupt_labels(y, T, 0, exact=True)
    assert_array_equal(y, before_y)
    assert_array_equal(T, before_T)


@pytest.mark.parametrize(
    ("y", "T", "options", "message"),
    [
        ([0, 1, 2], np.eye(2), {}, "there are 3 classes"),
        ([0, 1], np.ones((2, 3)) / 3, {}, r"shape \(2, 3\)"),
        ([0, 1], [[0.5, 0.4], [0, 1]], {}, "row sums from 0.9 to 1"),
        ([0, 1], [[1.5, -0.5], [0, 1]], {}, "smallest entry of -0.5"),
        ([0, 1], [[np.nan, 1], [0, 1]], {}, "matrix contains NaN"),
        ([[0], [1]], np.eye(2), {}, r"1-D .* got shape \(2, 1\)"),
        ([], np.eye(2), {}, "at least one label"),
        ([0.0, np.nan], np.eye(2), {}, "NaN"),
        (["a", np.nan], np.eye(2), {}, "NaN"),
        (["a", None], np.eye(2), {}, "mixes label types"),
        ([0, 5], np.eye(2), {"classes": [0, 1]}, r"not in classes: \[5\]"),
        ([0, 1], np.eye(3), {"classes": [0, 1, 1]}, "without repeats"),
        (np.uint8([0, 1]), np.eye(3), {"classes": [0, 1, 300]}, "do not fit the dtype of y"),
        ([0, 1], np.eye(2), {"random_state": "seed"}, "random_state must be"),
        ([0, 1], np.eye(2), {"random_state": -1}, "Got -1"),
    ],
)
def test_corrupt_labels_errors(y, T, options, message):
    with pytest.raises(ValueError, match=message):
        corrupt_labels(y, T, **options)


# Randomness, all functions alike


def by_matrix(random_state):
    y = np.repeat(np.arange(3), 100)
    return corrupt_labels(y, transition_matrix("symmetric", 3, 0.5), random_state).labels


def by_exact_matrix(random_state):
    y = np.repeat(np.arange(3), 100)
    T = transition_matrix("symmetric", 3, 0.5)
    return corrupt_labels(y, T, random_state, exact=True).labels


def by_instance(random_state):
    X = np.random.default_rng(0).normal(3.0, 2.0, (300, 6))
    return instance_dependent_noise(X, np.repeat(np.arange(3), 100), 0.5, random_state).labels


samplers = pytest.mark.parametrize("sample", [by_matrix, by_exact_matrix, by_instance])


@samplers
def test_same_seed_same_labels(sample):
    assert_array_equal(sample(7), sample(7))
    assert_array_equal(sample(7), sample(np.int64(7)))
    assert (sample(7) != sample(8)).any()
    assert (sample(None) != sample(None)).any()


@samplers
@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_a_generator_is_advanced(sample, make):
    source = make(0)
    first, second = sample(source), sample(source)
    assert (first != second).any()
    again = make(0)
    assert_array_equal(sample(again), first)
    assert_array_equal(sample(again), second)


@samplers
@pytest.mark.parametrize("random_state", [None, 0])
def test_global_generators_stay_untouched(sample, random_state):
    before = global_states()
    sample(random_state)
    assert global_states() == before


def test_an_integer_seed_shares_no_stream_with_a_split_of_the_same_seed():
    # The rows drawn by the plain stream of the same seed must be no more often noisy than others.
    y = np.zeros(1000, dtype=int)
    T = transition_matrix("symmetric", 2, 0.2)
    hits = 0
    for seed in range(20):
        flipped = corrupt_labels(y, T, seed, classes=[0, 1], exact=True).flipped
        hits += flipped[np.random.default_rng(seed).permutation(1000)[:200]].sum()
    low, high = stats.binom.interval(1 - 1e-6, 20 * 200, 0.2)
    assert low <= hits <= high


# What a changed line could do unnoticed otherwise


def test_counts_are_drawn_unless_they_are_to_be_exact():
    y, T = np.zeros(1000, dtype=int), transition_matrix("pair", 2, 0.5)
    drawn = [corrupt_labels(y, T, seed, classes=[0, 1]).flipped.sum() for seed in range(5)]
    exact = [
        corrupt_labels(y, T, seed, classes=[0, 1], exact=True).flipped.sum() for seed in range(5)
    ]
    assert set(exact) == {500}
    assert set(drawn) != {500}


def test_half_a_flip_is_rounded_whatever_its_float_dust():
    T = transition_matrix("symmetric", 7, 0.1)
    expected = np.full(7, 5) @ (1 - np.diag(T))
    assert expected == pytest.approx(3.5)
    assert expected != 3.5
    assert corrupt_labels(np.arange(35) % 7, T, 0, exact=True).flipped.sum() == 4


@pytest.mark.parametrize("shift", [5e-7, -5e-7])
def test_rows_that_sum_to_one_but_for_rounding_are_taken(shift):
    y = np.arange(100) % 3
    T = transition_matrix("symmetric", 3, 0.4)
    T[0, 1] += shift
    for matrix in (T, T.astype(np.float32)):
        assert corrupt_labels(y, matrix, 0).labels.tolist() == corrupt_labels(y, T, 0)[0].tolist()
    T[0, 1] += 9 * shift
    with pytest.raises(ValueError, match="rows that sum to 1"):
        corrupt_labels(y, T, 0)


@pytest.mark.parametrize("kind", [list, tuple])
def test_labels_keep_the_type_that_numpy_gives_them(kind):
    T = transition_matrix("pair", 2, 0.5)
    for y in ([0, 1], [False, True], ["ant", "beetle"]):
        assert corrupt_labels(kind(y), T, 0).labels.dtype == np.array(y).dtype
    longer = corrupt_labels(np.array(["ant", "ant"]), T, 0, classes=["ant", "beetle"])
    assert longer.labels.dtype == np.dtype("<U6")
    wide = np.array(["ant", "bee"], dtype="<U9")
    assert corrupt_labels(wide, T, 0, classes=["ant", "bee"]).labels.dtype == wide.dtype


def test_what_is_missing_among_the_labels_is_told():
    with pytest.raises(ValueError, match="Input y contains NaN"):
        corrupt_labels([0.0, np.nan], np.eye(2), 0)
    with pytest.raises(ValueError, match="'rate' parameter of transition_matrix"):
        transition_matrix("pair", 2, 2)


def test_streams_of_seeds_and_generators_do_not_change():
    """Else the same seed gave other labels after an update."""
    words = np.random.RandomState(3).randint(2**32, size=4, dtype=np.uint32)
    expected = np.random.default_rng(words).random(3)
    assert_array_equal(noise_generator(np.random.RandomState(3)).random(3), expected)
    assert_array_equal(noise_generator(3).random(3), np.random.default_rng([3, _STREAM]).random(3))
