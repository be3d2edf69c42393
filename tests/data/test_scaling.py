"""Channels of images and columns of tables against values worked out by hand."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.preprocessing import StandardScaler

from noisyfit.data import ImageScaler, TableScaler, _scaling, fit_scaler


def test_image_scaler_standardises_each_channel():
    images = torch.zeros(2, 2, 1, 2, dtype=torch.uint8)
    images[:, 0] = torch.tensor([[[0, 255]], [[0, 255]]])
    images[:, 1] = 51
    scaler = ImageScaler.from_images(images)
    np.testing.assert_allclose(scaler.mean, [0.5, 0.2], atol=1e-6)
    # unbiased: squares of 1/2 over 4 - 1 pixels; a constant channel counts one grey level
    np.testing.assert_allclose(scaler.std, [np.sqrt(1 / 3), 1 / 255], atol=1e-6)
    x = scaler(images)
    root = 0.5 * np.sqrt(3)
    np.testing.assert_allclose(x[0, 0, 0], [-root, root], atol=1e-5)
    np.testing.assert_allclose(x[:, 1], 0, atol=1e-4)


@pytest.mark.parametrize(
    ("mean", "std", "match"),
    [
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4), r"units of \[0, 1\].*divided by 255.*123\.7"),
        ((0.5, 0.5, 0.5), (0.2,), "one number a channel"),
        (0.5, 0.2, "one number a channel"),
        ((np.nan,), (0.2,), "one number a channel"),
        ((0.5,), (0.0,), r"std of an ImageScaler must be above 0 and finite. Got \(0\.0,\)"),
        ((0.5,), (np.nan,), "above 0 and finite"),
    ],
    ids=["of 255", "lengths", "numbers", "nan", "zero", "nan std"],
)
def test_image_scaler_refuses_what_no_images_have(mean, std, match, refused):
    with refused(ValueError, match):
        ImageScaler(mean, std)


def test_white_images_have_a_scaler():
    white = torch.full((700, 1, 9, 9), 255, dtype=torch.uint8)
    assert ImageScaler.from_images(white)(white).abs().max() < 1e-3


def test_image_scaler_gives_mean_zero_and_variance_one_and_spares_the_images():
    images = torch.tensor(
        np.random.default_rng(0).integers(30, 200, size=(50, 3, 6, 6), dtype=np.uint8)
    )
    before = images.clone()
    x = ImageScaler.from_images(images)(images)
    assert x.dtype == torch.float32
    std, mean = torch.std_mean(x.transpose(0, 1).flatten(1), dim=1)
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(std, 1, atol=1e-4)
    assert torch.equal(images, before)


def test_a_narrow_table_gets_unit_columns():
    X = np.array([[0.0, 10.0, 7.0], [2.0, 30.0, 7.0]], dtype=np.float32)
    before = X.copy()
    Z = TableScaler().fit(X).transform(X)
    one = 1 / np.sqrt(1 + 1 / 9)  # a standard deviation, clipped smoothly at 3
    np.testing.assert_allclose(Z, [[-one, -one, 0], [one, one, 0]], atol=1e-6)
    assert Z.dtype == np.float32
    np.testing.assert_array_equal(X, before)


def test_new_rows_are_scaled_by_the_training_rows():
    scaler = TableScaler().fit(np.array([[0.0], [2.0]], dtype=np.float32))
    X = np.array([[5.0], [2001.0], [-1999.0]], dtype=np.float32)
    np.testing.assert_allclose(scaler.transform(X)[:, 0], [4 / (5 / 3), 3, -3], rtol=1e-5)


@pytest.mark.parametrize("far", [1e18, 1e20, 1e30, 3.4e38])
def test_values_far_beyond_the_training_rows_stay_clipped(far):
    X = np.array([[0.0], [2e-6]], dtype=np.float32)  # divided by 1e-6, float32 overflows
    new = np.array([[far], [-far]], dtype=np.float32)
    np.testing.assert_allclose(TableScaler().fit(X).transform(new)[:, 0], [3, -3], rtol=1e-5)
    Z = TableScaler().fit(sparse.csr_array(X)).transform(sparse.csr_array(new)).toarray()
    np.testing.assert_allclose(Z[:, 0], [3, -3], rtol=1e-5)


def test_the_ends_of_float32_can_be_scaled():
    signs = np.resize([1, 1, 1, -1, -1], 300)
    X = (signs * np.finfo(np.float32).max)[:, None].astype(np.float32)
    Z = TableScaler().fit(X).transform(X)[:, 0]
    assert np.isfinite(Z).all()
    np.testing.assert_array_equal(np.sign(Z), signs)


@settings(max_examples=25)
@given(n_features=st.integers(1, 120), n_constant=st.integers(0, 30), row_norm=st.floats(0.5, 8))
def test_the_row_norm_counts_varying_columns_only(n_features, n_constant, row_norm):
    rng = np.random.default_rng(n_features)
    X = rng.normal(3, 5, size=(200, n_features + n_constant)).astype(np.float32)
    X[:, n_features:] = 1
    Z = TableScaler(row_norm, clip=1e9).fit(X).transform(X)
    norm = np.sqrt((Z**2).sum(axis=1).mean())
    assert norm == pytest.approx(min(row_norm, np.sqrt(n_features)), rel=1e-3)


def test_a_sparse_table_stays_sparse_and_is_not_centred():
    X = sparse.csr_array(np.array([[0.0, 4.0], [2.0, 0.0], [0.0, 0.0]], dtype=np.float32))
    Z = TableScaler(clip=1e9).fit(X).transform(X)
    assert sparse.issparse(Z)
    assert Z.format == "csr"
    assert Z.dtype == np.float32
    assert Z.nnz == 2
    np.testing.assert_allclose(Z.toarray() * X.toarray().std(axis=0), X.toarray(), atol=1e-5)

    wide = sparse.csr_array(sparse.random(100, 64, 0.2, dtype=np.float32, random_state=0))
    dense = TableScaler().fit(wide).transform(wide).toarray()
    narrow = TableScaler(row_norm=1e9).fit(wide).transform(wide)
    shrunk = TableScaler(row_norm=4).fit(wide).transform(wide)
    norm = np.sqrt((narrow.toarray() ** 2).sum(axis=1).mean())
    np.testing.assert_allclose(shrunk.toarray(), narrow.toarray() * 4 / norm, rtol=1e-5)
    assert np.abs(dense).max() < 3


def scaled_at_once(X):
    """Scale a table by the formula, with copies of all its values."""
    scaler = StandardScaler(with_mean=not sparse.issparse(X)).fit(X)
    Z = scaler.transform(X)
    values = Z.data if sparse.issparse(Z) else Z
    values /= np.sqrt(1 + (values / 3.0) ** 2)
    squares = Z.multiply(Z) if sparse.issparse(Z) else Z**2
    shrink = np.float32(min(1, 3 / np.sqrt(squares.sum() / X.shape[0])))
    return scaler, (Z * shrink).astype(np.float32)


def with_duplicates(X):
    """Store each element as two halves, one in five a zero."""
    X = sparse.csr_array(X)
    data = np.repeat(X.data / 2, 2)
    data[::5] = 0
    return sparse.csr_array((data, np.repeat(X.indices, 2), X.indptr * 2), shape=X.shape)


def beyond_float32(X):
    """Shift a table so far that only float64 can tell its values apart."""
    return X.astype(np.float64) + 1e9


@pytest.mark.parametrize("block", [1, 50, 1000])
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 6, 17])
@pytest.mark.parametrize(
    "kind",
    [
        *(np.asarray, np.asfortranarray, np.flipud, np.float64, sparse.csr_array, with_duplicates),
        beyond_float32,
    ],
)
def test_large_tables_are_scaled_in_parts_to_the_same_bits(monkeypatch, kind, n_features, block):
    X = np.random.default_rng(0).normal(3, 5, size=(300, n_features)).astype(np.float32)
    X[:, 3::4] = 5.3
    X = kind(X * (X > 6) if "csr" in kind.__name__ or kind is with_duplicates else X)
    # What float32 holds is scaled in float32, whatever the type in which it comes.
    then, expected = scaled_at_once(X.astype(np.float32) if kind is np.float64 else X)
    monkeypatch.setattr(_scaling, "_SMALL", 0)
    monkeypatch.setattr(_scaling, "_BLOCK", block)
    scaler = TableScaler().fit(X)
    Z = scaler.transform(X)
    assert vars(scaler.scaler_).keys() == vars(then).keys()
    for name, value in vars(then).items():
        np.testing.assert_array_equal(getattr(scaler.scaler_, name), value)
    assert Z.dtype == np.float32
    assert type(Z) is type(expected)
    if sparse.issparse(Z):
        np.testing.assert_array_equal(Z.data, expected.data)
        np.testing.assert_array_equal(Z.indices, expected.indices)
    else:
        np.testing.assert_array_equal(Z, expected)
        assert Z.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64", "longdouble"])
def test_a_column_far_from_zero_is_centred_before_it_is_rounded(dtype):
    near = np.random.default_rng(0).integers(-99, 99, size=(300, 2))
    far = (near + np.array([1_750_000_000, 0])).clip(0) if "u" in dtype else near + 1_750_000_000
    expected = (
        TableScaler()
        .fit((far - far.mean(0)).astype("f4"))
        .transform((far - far.mean(0)).astype("f4"))
    )
    far = far.astype(dtype)
    scaler = TableScaler().fit(far)
    Z = scaler.transform(far)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z, expected, atol=1e-5)
    # a part of the rows may be such as float32 holds
    np.testing.assert_array_equal(scaler.transform(far[:1]), Z[:1])
    if dtype != "longdouble":
        np.testing.assert_allclose(scaler.transform(sparse.csr_array(far)), expected, atol=1e-5)


def test_a_scaler_of_an_earlier_version_scales_in_float32():
    X = np.random.default_rng(0).normal(3, 5, size=(50, 3)).astype(np.float32)
    scaler = TableScaler().fit(X)
    expected = scaler.transform(X)
    del scaler.in_float64_
    np.testing.assert_array_equal(scaler.transform(X.astype(np.float64)), expected)


@pytest.mark.parametrize("n_features", [3, 40])
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix, with_duplicates])
def test_new_rows_may_be_sparse_where_those_of_the_fit_were_not(kind, n_features):
    X = np.random.default_rng(0).normal(1, 5, size=(80, n_features)).astype(np.float32)
    X *= X > 0
    given = kind(X)
    X = given.toarray()
    of_dense, of_sparse = TableScaler().fit(X), TableScaler().fit(sparse.csr_array(X))
    Z = of_dense.transform(given)
    assert type(Z) is np.ndarray
    np.testing.assert_allclose(Z, of_dense.transform(X), rtol=1e-5, atol=1e-6)
    Z = of_sparse.transform(X)
    assert type(Z) is np.ndarray
    np.testing.assert_array_equal(Z, of_sparse.transform(sparse.csr_array(X)).toarray())


@pytest.mark.parametrize("output", ["default", "pandas"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_global_output_of_transformers_is_no_matter(output, kind):
    X = kind(np.eye(4, dtype=np.float32))
    expected = TableScaler().fit(X).transform(X)
    with config_context(transform_output=output, assume_finite=True):
        Z = TableScaler().fit(X).transform(X)
    assert type(Z) is type(expected)
    dense = (lambda Z: Z.toarray()) if sparse.issparse(X) else np.asarray
    np.testing.assert_array_equal(dense(Z), dense(expected))


def test_columns_of_which_nothing_is_left_are_named():
    t = 1.75e9 + np.random.default_rng(0).normal(0, 60, size=(200, 1))
    X = np.hstack([t - 1.75e9, t, np.full((200, 1), 1e9)])
    with pytest.warns(UserWarning, match=r"counted from 0: \[1\] vary .* float32 .*float64"):
        fit_scaler(X.astype(np.float32))
    with pytest.warns(UserWarning, match=r"counted from 0: \[1\] lie far from 0.*toarray"):
        fit_scaler(sparse.csr_array(X))
    fit_scaler(X)  # warnings are errors


def test_a_table_of_constants_is_no_trouble():
    X = np.full((5, 3), 2.0, dtype=np.float32)
    np.testing.assert_array_equal(TableScaler().fit(X).transform(X), 0)


def test_an_image_scaler_pickles_without_its_device_copies():
    images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    scaler = ImageScaler.from_images(images)
    scaled = scaler(images)
    assert scaler._on_device
    again = pickle.loads(pickle.dumps(scaler))
    assert again._on_device == {}
    assert torch.equal(again(images), scaled)
