"""Label corruption: the matrices, the draws, the counts, and what stays untouched."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
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
from noisyfit.noise._label_noise import _STREAM, CIFAR10_ASYMMETRIC, _draw, _standardisation

OPTIONS = {"superclass": {"superclasses": [0, 0, 0, 1]}, "asymmetric": {"mapping": {0: 2}}}
KINDS = ["symmetric", "symmetric_with_self", "pair", "asymmetric", "superclass"]


def make_rows(n_samples, n_features=6, seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, (n_samples, n_features))


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


# Randomness, both functions alike


def by_matrix(random_state):
    y = np.repeat(np.arange(3), 100)
    return corrupt_labels(y, transition_matrix("symmetric", 3, 0.5), random_state).labels


def by_exact_matrix(random_state):
    y = np.repeat(np.arange(3), 100)
    T = transition_matrix("symmetric", 3, 0.5)
    return corrupt_labels(y, T, random_state, exact=True).labels


def by_instance(random_state):
    return instance_dependent_noise(
        make_rows(300), np.repeat(np.arange(3), 100), 0.5, random_state
    ).labels


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


# instance_dependent_noise


@pytest.mark.parametrize(("rate", "mean"), [(0.1, 0.12876), (0.2, 0.20552), (0.4, 0.40001)])
def test_realised_rate_is_the_mean_of_the_truncated_normal(rate, mean):
    y = np.repeat(np.arange(4), 2500)
    labels, flipped = instance_dependent_noise(make_rows(10_000), y, rate, random_state=0)
    assert_array_equal(flipped, labels != y)
    low, high = stats.binom.interval(1 - 1e-6, 10_000, mean)
    assert low <= flipped.sum() <= high


def test_rate_zero_leaves_all_labels():
    y = np.repeat(["a", "b"], 50)
    labels, flipped = instance_dependent_noise(make_rows(100), y, 0, 0)
    assert_array_equal(labels, y)
    assert not flipped.any()


def test_algorithm_2_to_the_letter():
    # The draws in the order in which they are made: q, then for each class W and the uniforms.
    X, y, rate = make_rows(60), np.arange(60) % 3, 0.4
    labels, _ = instance_dependent_noise(X, y, rate, np.random.default_rng(5), logit_scale=None)
    rng = np.random.default_rng(5)
    q = stats.truncnorm(-rate / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1).rvs(
        60, random_state=rng
    )
    for c in range(3):
        W = rng.standard_normal((6, 3))
        rows = np.flatnonzero(y == c)
        for i, u in zip(rows, rng.random(len(rows)), strict=True):
            p = np.exp(X[i] @ W - (X[i] @ W).max())
            p[c] = 0
            p = q[i] * p / p.sum()
            p[c] = 1 - q[i]
            assert labels[i] == np.searchsorted(np.cumsum(p), u, side="right")


def test_the_wrong_class_depends_on_the_features():
    # Two distinct rows repeated: within a class, each has its own likeliest wrong label.
    X = np.repeat([[-1.0, 2.0, 0.5], [3.0, -1.0, 1.5]], 2000, axis=0)
    y = np.tile(np.arange(4), 1000)
    labels, flipped = instance_dependent_noise(X, y, 0.5, 0, logit_scale=5.0)
    counts = np.array(
        [np.bincount(labels[flipped & (y == 0) & (X[:, 0] == x)], minlength=4) for x in (-1.0, 3.0)]
    )
    assert (counts[:, 0] == 0).all()
    assert stats.chi2_contingency(counts[:, 1:]).pvalue < 1e-6


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_logit_scale_is_the_root_mean_square_of_p(scale):
    from noisyfit.noise._label_noise import _standardisation

    X = np.column_stack([make_rows(200), np.full(200, 9.0)]) * np.logspace(-2, 2, 7)
    mean, factor = _standardisation(X, scale)
    W = np.random.default_rng(0).standard_normal((7, 20_000))
    p = ((X - mean) * factor) @ W
    assert_allclose(np.sqrt(np.mean(p**2)), scale, rtol=0.02)


def test_sparse_equals_dense():
    X = sp.csr_array(sp.random(400, 30, 0.1, random_state=np.random.default_rng(0)))
    y = np.arange(400) % 4
    dense = instance_dependent_noise(X.toarray(), y, 0.4, 0)
    for sparse in (X, sp.csr_matrix(X), X.tocsc()):
        assert_array_equal(instance_dependent_noise(sparse, y, 0.4, 0).labels, dense.labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_equal_their_flattened_rows(dtype):
    X = np.random.default_rng(0).integers(0, 256, (120, 3, 4, 4)).astype(dtype)
    y = np.arange(120) % 3
    images = instance_dependent_noise(X, y, 0.4, 0)
    rows = instance_dependent_noise(X.reshape(120, -1).astype(np.float64), y, 0.4, 0)
    assert_array_equal(images.labels, rows.labels)


def test_affine_maps_of_the_features_change_nothing():
    X, y = make_rows(300), np.arange(300) % 3
    moved = X * [1e-3, 1, 1e3, 2, 5, 0.1] + [0, 1e4, -5, 3, 100, 0]
    assert_array_equal(
        instance_dependent_noise(X, y, 0.4, 0).labels,
        instance_dependent_noise(moved, y, 0.4, 0).labels,
    )


def test_constant_features_give_uniform_wrong_labels():
    y = np.zeros(6000, dtype=int)
    labels, flipped = instance_dependent_noise(np.ones((6000, 4)), y, 0.5, 0, classes=range(4))
    assert stats.chisquare(np.bincount(labels[flipped], minlength=4)[1:]).pvalue > 1e-6


def test_blocks_of_rows_change_nothing(monkeypatch):
    X, y = make_rows(200), np.arange(200) % 3
    whole = instance_dependent_noise(X, y, 0.4, 0).labels
    monkeypatch.setattr("noisyfit.noise._label_noise._BLOCK", 6 * 7)
    assert_array_equal(instance_dependent_noise(X, y, 0.4, 0).labels, whole)


def test_string_labels_and_frames():
    y = np.array(["ant", "bee", "cricket"])[np.arange(90) % 3]
    frame = pd.DataFrame(make_rows(90))
    labels, flipped = instance_dependent_noise(frame, y, 0.5, 0)
    assert labels.dtype == y.dtype
    assert_array_equal(labels != y, flipped)


@pytest.mark.parametrize(
    ("X", "y", "rate", "options", "message"),
    [
        (np.eye(3), [0, 1, 1], 2, {}, "'rate' parameter of instance_dependent_noise"),
        (np.eye(3), [0, 1, 1], 0.2, {"logit_scale": 0}, "'logit_scale' parameter"),
        (np.eye(3), [0, 1], 0.2, {}, r"inconsistent numbers of samples: \[3, 2\]"),
        (np.eye(3), [0, 0, 0], 0.2, {}, "at least 2 classes"),
        (np.eye(3) * np.nan, [0, 1, 1], 0.2, {}, "NaN"),
        ([1.0, 2.0, 3.0], [0, 1, 1], 0.2, {}, "Expected 2D array"),
        (np.eye(3), [0, 1, 1], 0, {"random_state": -1}, "Got -1"),
    ],
)
def test_instance_dependent_noise_errors(X, y, rate, options, message):
    with pytest.raises(ValueError, match=message):
        instance_dependent_noise(X, y, rate, **options)


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


def test_scale_of_the_logits():
    X, y = make_rows(300), np.arange(300) % 3
    default = instance_dependent_noise(X, y, 0.4, 0).labels
    assert_array_equal(default, instance_dependent_noise(X, y, 0.4, 0, logit_scale=3.0).labels)
    assert (default != instance_dependent_noise(X, y, 0.4, 0, logit_scale=0.3).labels).any()
    column = np.array([[1.0], [5.0]])
    mean, factor = _standardisation(column, 3.0)
    assert_allclose((mean, factor), ([3.0], [3.0 / 2]))


def test_gray_images_equal_their_flattened_rows():
    X, y = make_rows(120, 16), np.arange(120) % 3
    assert_array_equal(
        instance_dependent_noise(X.reshape(120, 4, 4), y, 0.4, 0).labels,
        instance_dependent_noise(X, y, 0.4, 0).labels,
    )


def test_rate_zero_marks_nothing_and_rate_one_is_cut_off():
    X, y = make_rows(20_000, 2), np.arange(20_000) % 2
    flipped = instance_dependent_noise(X, y, 0.0, 0).flipped
    assert flipped.dtype == bool
    assert not flipped.any()
    # q is normal around 1 with deviation .1 and cut off at 1: its mean is 1 - .1 sqrt(2 / pi).
    realised = instance_dependent_noise(X, y, 1.0, 0).flipped.mean()
    assert realised == pytest.approx(1 - 0.1 * np.sqrt(2 / np.pi), abs=0.008)


class Zeros:
    """The smallest number that a generator draws."""

    def random(self, shape):
        return np.zeros(shape)


def test_columns_are_drawn_with_their_probabilities():
    p = np.repeat([[2.0, 0.0, 6.0]], 20_000, axis=0)  # also where they do not sum to 1
    counts = np.bincount(_draw(p, np.random.default_rng(0)), minlength=3)
    assert counts[1] == 0
    assert counts[0] / 20_000 == pytest.approx(0.25, abs=0.015)
    assert _draw(np.array([[0.0, 1.0], [0.5, 0.5]]), Zeros()).tolist() == [1, 0]
