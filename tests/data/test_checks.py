"""What users pass, and what they are told when it cannot be used."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import DataConversionWarning
from torch.utils.data import Dataset, Subset, TensorDataset

from noisyfit.data import (
    BatchLoader,
    ImageScaler,
    SparseSource,
    StreamSource,
    TableScaler,
    TensorSource,
    check_groups,
    check_labels,
    check_trusted,
    fit_scaler,
    make_rows,
)
from noisyfit.data._checks import check_X, check_X_y
from noisyfit.data._make_rows import row_shape

CPU = torch.device("cpu")


class Estimator(ClassifierMixin, BaseEstimator):
    """Gets n_features_in_ and is named in messages."""


def table(n=6, n_features=3):
    return np.random.default_rng(0).normal(size=(n, n_features))


def images(n=6, shape=(3, 8, 8)):
    return np.random.default_rng(0).integers(0, 256, size=(n, *shape), dtype=np.uint8)


Y = np.array([0, 1, 0, 1, 0, 1])


class Items(Dataset):
    """Items without any further attribute."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class WithTargets(Items):
    def __init__(self, X, targets):
        super().__init__(list(X))
        self.targets = targets

    def __getitem__(self, i):
        return self.items[i], self.targets[i]


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(
    ("X", "dtype"),
    [
        (table().tolist(), np.float64),
        (table(), np.float64),
        (table().astype(np.float32), np.float32),
        (table().astype(np.float16), np.float32),
        (torch.tensor(table()), np.float64),
        (torch.tensor(table(), requires_grad=True), np.float64),
        ((table() * 10).astype(np.int64), np.int64),
        ((table() * 10).astype(np.int16), np.float32),
        (pd.DataFrame((table() * 10).astype(np.int8)), np.float32),
        (pd.DataFrame((table() * 10).round(), dtype="Int64"), np.float64),
        (table().astype(object), np.float64),
    ],
)
def test_tables_keep_what_float32_may_not_hold_until_they_are_scaled(X, dtype, standardize):
    est = Estimator()
    checked, y = check_X_y(est, X, Y.tolist())
    assert checked.dtype == dtype
    assert checked.shape == (6, 3)
    values = np.asarray(X.detach() if isinstance(X, torch.Tensor) else X, dtype=np.float64)
    np.testing.assert_array_equal(checked, values)
    np.testing.assert_array_equal(y, Y)
    assert est.n_features_in_ == 3
    scaler = fit_scaler(checked) if standardize else None
    rows = make_rows(check_X(est, X, None), y, CPU, scaler).source.X
    assert rows.dtype == torch.float32
    if scaler is None:
        np.testing.assert_array_equal(rows, values.astype(np.float32))
    else:
        expected = make_rows(values.astype(np.float32), y, CPU, fit_scaler(values.astype("f4")))
        np.testing.assert_allclose(rows, expected.source.X, atol=1e-4)


def test_bfloat16_tensors_are_taken():
    halves = torch.tensor([[0.5, 1.5], [2.0, -4.0]], dtype=torch.bfloat16)  # exact in 8 bits
    X, y = check_X_y(Estimator(), halves, halves[:, 1] > 0)
    np.testing.assert_array_equal(X, [[0.5, 1.5], [2.0, -4.0]])
    np.testing.assert_array_equal(y, [True, False])


@pytest.mark.parametrize("shape", [(6, 3), (6, 1, 4, 4)])
def test_values_beyond_float32_are_refused_without_a_warning(shape):
    with pytest.raises(ValueError, match=r"too large for dtype\('float32'\)"):
        check_X_y(Estimator(), np.full(shape, 1e39), Y)


def test_dates_are_refused_by_column():
    days = np.array(["2020-01-01", "NaT"] * 3, dtype="datetime64[D]")
    with pytest.raises(ValueError, match=r"X holds dates or durations\. Turn them into numbers"):
        check_X_y(Estimator(), np.c_[days, days], Y)
    frame = pd.DataFrame({"a": range(6), "when": days, "utc": pd.to_datetime(days, utc=True)})
    with pytest.raises(ValueError, match=r"in the columns \['when', 'utc'\]"):
        check_X_y(Estimator(), frame, Y)
    with pytest.raises(ValueError, match=r"in the columns \['when'\]"):
        check_X_y(Estimator(), pd.DataFrame({"when": days[:1] - days[:1]}), Y[:1])


@pytest.mark.parametrize(
    ("y", "name"),
    [
        (pd.Series([pd.NA, "a", "b"] * 2, dtype="string"), "<NA>"),
        (pd.Series([pd.NA, 1, 2] * 2, dtype=object), "<NA>"),
        (np.array(["NaT", "2020", "2021"] * 2, dtype="datetime64[Y]"), "NaT"),
    ],
)
def test_a_missing_label_is_named(y, name):
    with pytest.raises(ValueError, match=f"Input y contains {name}; every row needs a label"):
        check_X_y(Estimator(), table(), y)


def test_float_labels_beyond_int64_are_refused_without_a_warning():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        check_labels(Y * 1e20)


def test_a_trusted_tensor_of_numbers_is_told_from_a_mask():
    with pytest.raises(ValueError, match="boolean mask"):
        check_trusted(torch.ones(6, requires_grad=True), 6)


def test_a_data_frame_gives_its_names():
    est = Estimator()
    frame = pd.DataFrame(table(), columns=["a", "b", "c"])
    check_X_y(est, frame, pd.Series(Y))
    assert est.feature_names_in_.tolist() == ["a", "b", "c"]
    check_X(est, frame, None)
    with pytest.raises(ValueError, match="feature names"):
        check_X(est, frame[["b", "a", "c"]], None)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
def test_sparse_tables_become_csr(make):
    X, _ = check_X_y(Estimator(), make(table()), Y)
    assert sparse.issparse(X)
    assert X.format == "csr"
    assert X.dtype == np.float32


def test_images_keep_uint8_and_floats_become_float32():
    est = Estimator()
    X, _ = check_X_y(est, images(), Y)
    assert X.dtype == np.uint8
    assert est.n_features_in_ == 3
    X, _ = check_X_y(Estimator(), images() / 255, Y)
    assert X.dtype == np.float32
    X, _ = check_X_y(Estimator(), table(6, 20).reshape(6, 4, 5), Y)
    assert X.shape == (6, 4, 5)


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_channels_last_is_told_with_the_transpose_to_write(n_channels):
    X = images(shape=(8, 9, n_channels))
    with pytest.raises(ValueError, match="channels-first") as info:
        check_X_y(Estimator(), X, Y)
    message = str(info.value)
    assert f"Got (6, 8, 9, {n_channels}), which looks channels-last" in message
    assert "write X.transpose(0, 3, 1, 2)." in message
    check_X_y(Estimator(), X.transpose(0, 3, 1, 2), Y)


@pytest.mark.parametrize("shape", [(3, 8, 3), (16, 8, 8), (1, 4, 4), (3, 28, 1)])
def test_what_may_be_channels_first_is_taken(shape):
    check_X_y(Estimator(), images(shape=shape), Y)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, bool])
def test_images_of_other_integers_are_refused(dtype):
    with pytest.raises(
        ValueError,
        match=rf"uint8 \(0 to 255\) or float. Got {np.dtype(dtype)} .*astype\(np.uint8\)",
    ):
        check_X_y(Estimator(), images().astype(dtype), Y)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4, 4)])
@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_values_that_are_not_finite_are_refused(shape, value, name):
    X = np.zeros(shape)
    X[2, 1] = value
    with pytest.raises(ValueError, match=f"Input X contains {name}"):
        check_X_y(Estimator(), X, Y)
    est = Estimator()
    check_X_y(est, np.zeros(shape), Y)
    with pytest.raises(ValueError, match=f"Input X contains {name}"):
        check_X(est, X, None)


def test_one_class_is_refused():
    with pytest.raises(
        ValueError, match=r"only one class is present: y contains only the class .*7"
    ):
        check_X_y(Estimator(), table(), np.full(6, 7))
    with pytest.raises(ValueError, match="only one class"):
        check_X_y(Estimator(), WithTargets(table(), [1] * 6), None)


def test_missing_labels_are_refused():
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        check_X_y(Estimator(), table(), None)


def test_one_row_or_none_is_refused():
    with pytest.raises(ValueError, match=r"Found array with 1 sample\(s\)"):
        check_X_y(Estimator(), table(1), [0])
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        check_X_y(Estimator(), table(0), [])
    with pytest.raises(ValueError, match="Found a Dataset with 0 samples"):
        check_X_y(Estimator(), Items([]), [])


def test_different_lengths_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        check_X_y(Estimator(), table(), Y[:5])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        check_X_y(Estimator(), TensorDataset(torch.zeros(6, 3)), Y[:5])


def test_another_number_of_features_is_refused_at_prediction():
    est = Estimator()
    check_X_y(est, table(), Y)
    with pytest.raises(ValueError, match="X has 4 features, but Estimator is expecting 3"):
        check_X(est, table(n_features=4), None)
    assert check_X(est, table(1), None).shape == (1, 3)
    check_X_y(est, images(), Y)
    with pytest.raises(ValueError, match="X has 1 features, but Estimator is expecting 3"):
        check_X(est, images(shape=(1, 8, 8)), None)


@pytest.mark.parametrize(
    "y",
    [
        [3, -7, 100, 3],
        ["cat", "dog", "cat", "bird"],
        [True, False, True, True],
        [1.0, 2.0, 1.0, 5.0],
        np.array(["a", "b", "a", "b"], dtype=object),
        np.array([1, 2, 1, 2], dtype=np.uint8),
        pd.Series(["x", "y", "x", "y"], index=[4, 9, 2, 1]),
        torch.tensor([4, 4, 2, 1]),
    ],
    ids=["gaps", "strings", "bool", "floats", "objects", "uint8", "series", "tensor"],
)
def test_labels_of_any_kind_are_kept(y):
    checked = check_labels(y)
    assert checked.shape == (4,)
    assert checked.tolist() == list(y)


def test_a_column_of_labels_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        assert check_labels([[1], [2]]).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([0.5, 1.0], "Unknown label type: continuous"),
        ([1.0, np.nan], "Input y contains NaN"),
        ([1.0, np.inf], "Input y contains infinity"),
        (np.array(["a", np.nan], dtype=object), "Input.* contains NaN"),
        ([[0, 1], [1, 0]], "should be a 1d array"),
    ],
)
def test_labels_that_are_none_are_refused(y, match):
    with pytest.raises(ValueError, match=match):
        check_labels(y)


def test_trusted_is_a_mask():
    assert check_trusted(None, 3).tolist() == [False] * 3
    assert check_trusted([True, False, True], 3).tolist() == [True, False, True]
    assert check_trusted(pd.Series([True, False]), 2).dtype == bool


@pytest.mark.parametrize(
    ("trusted", "got"),
    [
        ([0, 2], r"int64 of shape \(2,\)"),
        ([0, 1, 1, 0], r"int64 of shape \(4,\)"),
        ([True, False], r"bool of shape \(2,\)"),
        ([[True], [False], [True], [True]], r"bool of shape \(4, 1\)"),
        ([], r"float64 of shape \(0,\)"),
    ],
)
def test_trusted_of_another_kind_is_refused_with_advice(trusted, got):
    with pytest.raises(
        ValueError,
        match=rf"boolean mask of shape \(4,\). Got an array of {got} instead.*mask\[indices\]",
    ):
        check_trusted(trusted, 4)


def test_labels_given_next_to_a_dataset_win():
    dataset = WithTargets(table(), [9] * 6)
    est = Estimator()
    X, y = check_X_y(est, dataset, Y)
    assert X is dataset
    assert y.tolist() == Y.tolist()
    assert est.n_features_in_ == 3
    assert check_X(est, dataset, None) is dataset


def test_the_shape_of_a_row():
    assert row_shape(table()) == (3,)
    assert row_shape(sparse.csr_array(table())) == (3,)
    assert row_shape(images()) == (3, 8, 8)
    assert row_shape(Items([(images(1)[0], 0)])) == (3, 8, 8)
    assert row_shape(Items([images(1)[0]])) == (3, 8, 8)
    image = pytest.importorskip("PIL.Image")
    assert row_shape(Items([(image.new("RGB", (9, 7)), 0)])) == (3, 7, 9)


def test_tables_and_uint8_images_get_a_scaler():
    X = table().astype(np.float32)
    assert isinstance(fit_scaler(X), TableScaler)
    assert isinstance(fit_scaler(sparse.csr_array(X)), TableScaler)
    assert isinstance(fit_scaler(images()), ImageScaler)
    assert isinstance(fit_scaler(Items([(x, 0) for x in images()])), ImageScaler)
    assert fit_scaler(images().astype(np.float32)) is None
    assert fit_scaler(X.reshape(6, 3, 1)) is None
    assert fit_scaler(Items([(x, 0) for x in X])) is None


class Counted(Items):
    def __getitem__(self, i):
        self.read = [*getattr(self, "read", []), i]
        return super().__getitem__(i)


@pytest.mark.parametrize("n", [100, 2048, 2049, 4000, 4097])
def test_at_most_2048_images_are_looked_at(n):
    dataset = Counted([torch.zeros(1, 1, 1, dtype=torch.uint8)] * n)
    fit_scaler(dataset)
    assert 0.4 * min(n, 2048) <= len(set(dataset.read)) <= 2048
    assert max(dataset.read) > 0.99 * n - 2


def test_rows_of_every_kind_hold_the_same():
    X = table().astype(np.float32)
    y = Y.astype(np.int64)
    for inputs, source in (
        (X, TensorSource),
        (sparse.csr_array(X), SparseSource),
        (Items(list(X)), StreamSource),
    ):
        rows = make_rows(inputs, y, CPU, None)
        assert isinstance(rows.source, source)
        (batch, labels), *_ = BatchLoader(rows, 6)
        assert torch.equal(batch["x"], torch.tensor(X))
        assert torch.equal(labels, torch.tensor(y))


def test_the_scaler_is_applied():
    X = table(50).astype(np.float32)
    scaler = fit_scaler(X)
    (batch, labels), *_ = BatchLoader(make_rows(X[:5], None, CPU, scaler), 6)
    np.testing.assert_allclose(batch["x"], scaler.transform(X)[:5], atol=1e-6)
    assert labels.tolist() == [0] * 5

    pixels = images()
    (batch, _), *_ = BatchLoader(make_rows(pixels, None, CPU, fit_scaler(pixels)), 6)
    std, mean = torch.std_mean(batch["x"].transpose(0, 1).flatten(1), dim=1)
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(std, 1, atol=1e-4)


class Negated(TensorDataset):
    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return -x, y


@pytest.mark.parametrize("indices", [[], [[3, 0, 5, 7]], [[3, 0, 5, 7], np.array([2, 0])]])
def test_a_tensor_data_set_lies_in_memory_and_so_do_its_subsets(indices):
    expected = torch.arange(24.0).reshape(12, 2)
    dataset = TensorDataset(expected, torch.zeros(12))
    for chosen in indices:
        dataset, expected = Subset(dataset, chosen), expected[chosen]
    source = make_rows(dataset, None, torch.device("cpu"), None).source
    assert isinstance(source, TensorSource)
    assert torch.equal(source.gather(torch.arange(len(expected))), expected)


@pytest.mark.parametrize(
    "dataset",
    [
        Negated(torch.ones(4, 2), torch.zeros(4)),
        Subset(Negated(torch.ones(4, 2), torch.zeros(4)), [1, 2]),
        TensorDataset(torch.ones(4, 2, dtype=torch.bfloat16)),
    ],
    ids=["items of its own", "subset", "bfloat16"],
)
def test_what_is_more_than_a_tensor_is_streamed(dataset):
    assert isinstance(make_rows(dataset, None, torch.device("cpu"), None).source, StreamSource)


ADVICE = r"TableVectorizer\(\), SimpleImputer\(\), Estimator\(\)\); pip install .noisyfit\[tables\]"


def test_what_newcomers_pass_is_answered_with_what_to_do():
    frame = pd.DataFrame({"a": [1.0, np.nan] * 3, "b": list("xyxyxy"), "c": list("123123")})
    est = Estimator()
    with pytest.raises(ValueError, match=rf"strings in the columns \['b'\].*{ADVICE}"):
        check_X_y(est, frame, Y)
    with pytest.raises(ValueError, match=r"holds strings: could not convert.*Tfidf"):
        check_X_y(est, ["what if", "i lost", "my", "luggage", "then", "what"], Y)
    with pytest.raises(ValueError, match=rf"NaN in the columns \['a'\].*SimpleImputer.*{ADVICE}"):
        check_X_y(est, frame[["a", "c"]], Y)
    X = np.zeros((6, 8))
    X[0, 1:] = np.nan
    with pytest.raises(ValueError, match=r"in the columns \[1, 2, 3, 4, 5\] and 2 more"):
        check_X_y(est, X, Y)
    sparse_nan = sparse.csr_matrix(X)
    with pytest.raises(ValueError, match=r"contains NaN\. Fill the gaps first"):
        check_X_y(est, sparse_nan, Y)
    for path in ("pictures/", Path("pictures")):
        with pytest.raises(ValueError, match=r"not a path\. Got 'pictures.*ImageFolder"):
            check_X_y(est, path, None)
    with pytest.raises(ValueError, match="list of PIL images"):
        check_X_y(est, [Image.new("RGB", (4, 4))] * 6, Y)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_infinity_is_named_by_columns_and_rows(value):
    X = np.zeros((6, 4))
    X[2, 1] = X[4, 3] = value
    where = r"in the columns \[1, 3\], in the rows \[2, 4\]\..*SimpleImputer.*Estimator\(\)\)"
    frame = pd.DataFrame(X, columns=list("abcd")).assign(b=lambda frame: frame["b"].astype(object))
    with pytest.raises(ValueError, match=rf"Input X contains infinity .*float(32|64)'\) {where}"):
        check_X_y(Estimator(), X, Y)
    with pytest.raises(ValueError, match=r"in the columns \['b', 'd'\], in the rows \[2, 4\]"):
        check_X_y(Estimator(), frame, Y)
    est = Estimator()
    check_X_y(est, np.zeros((6, 4)), Y)
    with pytest.raises(ValueError, match=where):
        check_X(est, X, None)
    with pytest.raises(ValueError, match=r"float(32|64)'\)\. Where it stands for no value"):
        check_X(est, sparse.csr_matrix(X), None)


RAW = {
    "strings": pd.DataFrame({"a": [1.0] * 6, "b": list("xyxyxy"), "c": [0.0] * 6}),
    "categories": pd.DataFrame({"a": pd.Categorical(list("xyxyxy"))}),
    "dates": pd.DataFrame({"a": pd.date_range("2020", periods=6)}),
    "gaps": pd.DataFrame({"a": [np.nan] * 6, "b": [0.0] * 6, "c": [0.0] * 6}).to_numpy(),
    "texts": ["what if", "i lost", "my", "luggage", "then", "what"],
    "paths": ["a/1.jpg"] * 6,
    "PIL pictures": [Image.new("RGB", (4, 4))] * 6,
}


@pytest.mark.parametrize("name", RAW)
def test_raw_rows_of_a_fitted_pipeline_are_for_the_whole_of_it(name, recwarn):
    est = Estimator()
    check_X_y(est, table(), Y)
    with pytest.raises(ValueError, match="pass the whole pipeline instead of"):
        check_X(est, RAW[name], None)
    assert not recwarn.list  # of names that are not the fault of it


def test_inputs_of_different_sizes_are_named():
    source = StreamSource(Items([torch.zeros(3, 8, 8)] * 4 + [torch.zeros(3, 8, 9)]), CPU)
    assert source[3][0].shape == (3, 8, 8)
    with pytest.raises(ValueError, match=r"Row 4 has \(3, 8, 9\), others have \(3, 8, 8\).*Resize"):
        source[4]


@pytest.mark.parametrize(
    "groups",
    [
        [7, 7, -2, 7],
        np.array([0.5, 0.5, 1.0, 0.5]),
        ["b", "b", "a", "b"],
        [("ward", 1), ("ward", 1), ("ward", 2), ("ward", 1)],
        pd.Series(["b", "b", "a", "b"], dtype="category", index=[3, 1, 2, 0]),
        pd.Series([2**60, 2**60, 2**60 + 1, 2**60], dtype="Int64"),
        pd.Series(pd.to_datetime(["2020-02-01", "2020-02-01", "2020-01-01", "2020-02-01"])),
        torch.tensor([5, 5, 1, 5]),
        np.array([True, True, False, True]),
    ],
    ids=str,
)
def test_groups_are_numbered_as_they_first_appear(groups):
    codes = check_groups(groups, 4)
    assert codes.dtype == np.int64
    assert codes.tolist() == [0, 0, 1, 0]


def test_no_groups_and_groups_that_are_none():
    assert check_groups(None, 4) is None
    with pytest.raises(TypeError, match="integers, strings or the like: unhashable"):
        check_groups([[1], [1], [2]], 3)
    with pytest.raises(ValueError, match=r"missing values in the rows \[1\]\. Give every row"):
        check_groups(pd.Series([1, None, 2], dtype="Int64"), 3)
    with pytest.raises(ValueError, match=r"shape \(3,\)\. Got the shape \(\)"):
        check_groups("patient", 3)
