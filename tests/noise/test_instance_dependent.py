"""Label corruption by the features of the rows."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from noisyfit.noise import instance_dependent_noise
from noisyfit.noise._instance_dependent import _draw, _standardization


def make_rows(n_samples, n_features=6, seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, (n_samples, n_features))


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
    X = np.column_stack([make_rows(200), np.full(200, 9.0)]) * np.logspace(-2, 2, 7)
    mean, factor = _standardization(X, scale)
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
    monkeypatch.setattr("noisyfit.noise._instance_dependent._BLOCK", 6 * 7)
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


def test_scale_of_the_logits():
    X, y = make_rows(300), np.arange(300) % 3
    default = instance_dependent_noise(X, y, 0.4, 0).labels
    assert_array_equal(default, instance_dependent_noise(X, y, 0.4, 0, logit_scale=3.0).labels)
    assert (default != instance_dependent_noise(X, y, 0.4, 0, logit_scale=0.3).labels).any()
    column = np.array([[1.0], [5.0]])
    mean, factor = _standardization(column, 3.0)
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
