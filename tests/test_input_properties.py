"""Whatever is passed: a right result, or an error that says why; and nothing else has changed.

Examples are small and trained for two or three epochs: they ask whether a fit ends as it should,
not how good it is. Where the planted errors have to come first, the settings are `QUICK`.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from _estimators import QUICK, READERS, name_of, slow_but
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from test_common import assert_contract, assert_same_fit, fit_once, global_state, planted_errors
from torch import nn

from noisyfit import (
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)

# MetaRelabelClassifier says so; its own tests check that.
pytestmark = pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")

BRIEF = [
    MILDSelector(rounds=2, max_epochs=2, random_state=0),
    DLTClassifier(noise_rate=0.2, max_epochs=3, random_state=0),
    DynamicsLSTMDetector(max_epochs=3, random_state=0),
    MetaRelabelClassifier(warmup_epochs=1, max_epochs=3, random_state=0),
    DivideMixClassifier(noise_rate=0.2, max_epochs=3, random_state=0),
]
# Its bootstrap takes the better part of a second, so that it has fewer examples.
ESTIMATING = DLTClassifier(estimation_epochs=2, max_epochs=3, random_state=0)
SECONDS = 60
"""No small fit takes longer, however busy the machine."""


def by_name(estimators):
    return pytest.mark.parametrize("est", estimators, ids=name_of)


def by_readers(estimators):
    return pytest.mark.parametrize("est", slow_but(READERS, estimators))


def few(n):
    """Draw the same n examples in every run: what fails here must fail everywhere."""
    return settings(max_examples=n, derandomize=True, database=None)


def table(n=12, n_features=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features))


X, Y = table(), np.arange(12) % 3


def state():
    return (
        global_state(),
        np.geterr(),
        sklearn.get_config(),
        torch.backends.cudnn.deterministic,
        torch.is_anomaly_enabled(),
        os.getcwd(),
    )


def fit_leaves_no_trace(est, X, y, **kwargs):
    before, start = state(), time.perf_counter()
    try:
        return est.fit(X, y, **kwargs)
    finally:
        assert time.perf_counter() - start < SECONDS
        assert state() == before


def assert_right(est, X, y, trusted=None):
    """Check what every fit owes, and what is computed from it, for labels of any type."""
    n = len(y)
    scores, proba = est.noise_scores_, est.predict_proba(X)
    judged = est.score_labels(X, y)
    for values in (scores, judged):
        assert values.shape == (n,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1
    assert est.clean_mask_.shape == (n,)
    assert est.clean_mask_.dtype == bool
    assert 0 <= est.noise_rate_ <= 1
    known = set(est.classes_.tolist())
    assert len(known) == len(est.classes_) >= 2
    assert set(est.predict(X).tolist()) | set(est.corrected_labels_.tolist()) <= known
    assert proba.shape == (n, len(known))
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(est.transition_matrix_).all()
    assert type(est).__name__ in est.summary()
    if trusted is not None:
        assert not scores[trusted].any()
        assert est.clean_mask_[trusted].all()


def assert_ends_well(est, X, y, **kwargs):
    est = fit_leaves_no_trace(clone(est), X, y, **kwargs)
    assert_right(est, X, y, kwargs.get("trusted"))
    return est


def assert_is_refused(est, X, y, match=None, error=(ValueError, TypeError), **kwargs):
    est = clone(est)
    with pytest.raises(error, match=match) as raised:
        fit_leaves_no_trace(est, X, y, **kwargs)
    assert len(str(raised.value)) > 10, "an error says what was got"
    assert not hasattr(est, "noise_scores_")
    return raised.value


# Tables: types and layouts

DTYPES = [
    *("float16", "float32", "float64", "longdouble", "bool", "object"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *(">f4", ">f8", ">i2", ">i8"),
]
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "columns of a wider table": lambda a: np.repeat(a, 3, axis=1)[:, 1::3],
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "broadcast": lambda a: np.broadcast_to(a, a.shape),
    "list": lambda a: a.tolist(),
    "list of rows": list,
    "tuple of tuples": lambda a: tuple(map(tuple, a.tolist())),
    "frame": pd.DataFrame,
}


@by_readers(BRIEF)
@few(8)
@given(
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(list(LAYOUTS)),
    n=st.integers(2, 20),
    n_features=st.integers(1, 5),
)
def test_the_same_numbers_give_the_same_fit(est, dtype, layout, n, n_features):
    whole = np.random.default_rng(n).integers(0, 2 if dtype == "bool" else 100, (n, n_features))
    y = np.arange(n) % 2
    if (dtype, layout) == ("object", "read-only"):
        layout = "backwards"  # objects have no buffer
    rows = LAYOUTS[layout](whole.astype(dtype))
    before = np.array(rows, copy=True)
    expected = clone(est).fit(whole.astype(np.float32), y)
    assert_same_fit(assert_ends_well(est, rows, y), expected)
    np.testing.assert_array_equal(np.asarray(rows), before)


@by_readers(BRIEF)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_tensors(est, dtype, requires_grad):
    rows = torch.from_numpy(np.rint(4 * X)).to(getattr(torch, dtype))
    expected = fit_once(est, rows=rows.float().numpy(), y=Y)
    if requires_grad and rows.is_floating_point():
        rows.requires_grad_()
    labels = torch.from_numpy(Y)
    assert_same_fit(assert_ends_well(est, rows, labels), expected)


FRAMES = {
    "numbers in categories": {"a": X[:, 0], "b": pd.Categorical((4 * X[:, 1]).round())},
    "nullable numbers": {
        "a": pd.array(X[:, 0], dtype="Float64"),
        "b": pd.array(Y, dtype="Int8"),
        "c": pd.array(X[:, 2] > 0, dtype="boolean"),
    },
    "truth values": {"a": X[:, 0] > 0, "b": X[:, 1] > 0},
    "objects": {"a": X[:, 0].astype(object), "b": Y.astype(object)},
    "sparse": {
        name: pd.arrays.SparseArray(np.maximum(X[:, i], 0), fill_value=0)
        for i, name in enumerate("ab")
    },
}
INDICES = [
    pd.RangeIndex(12, 0, -1),
    pd.Index(["same"] * 12),
    pd.Index([np.nan, *range(11)]),
    pd.date_range("2024", periods=12),
    pd.MultiIndex.from_product([["a", "b"], range(6)]),
]


@by_readers(BRIEF)
@pytest.mark.parametrize(("kind", "index"), [*zip(FRAMES, INDICES, strict=True)], ids=FRAMES)
def test_frames_of_any_type_and_index(est, kind, index):
    columns = FRAMES[kind]
    frame = pd.DataFrame(columns).set_axis(index)
    est_of_frame = assert_ends_well(est, frame, pd.Series(Y, index=INDICES[0]))
    if kind != "sparse":  # a sparse table is not centred
        rows = np.column_stack([np.asarray(column, float) for column in columns.values()])
        assert_same_fit(est_of_frame, fit_once(est, rows=rows, y=Y))


def narwhals(frame):
    return pytest.importorskip("narwhals").from_native(frame)


OTHER_FRAMES = {
    "polars": lambda columns: pytest.importorskip("polars").DataFrame(columns),
    "pyarrow": lambda columns: pytest.importorskip("pyarrow").table(columns),
    "pyarrow batch": lambda columns: pytest.importorskip("pyarrow").table(columns).to_batches()[0],
    "pyarrow in pandas": lambda columns: (
        pytest.importorskip("pyarrow").table(columns).to_pandas(types_mapper=pd.ArrowDtype)
    ),
    "narwhals of pandas": lambda columns: narwhals(pd.DataFrame(columns)),
    "narwhals of polars": lambda columns: narwhals(OTHER_FRAMES["polars"](columns)),
    "narwhals of pyarrow": lambda columns: narwhals(OTHER_FRAMES["pyarrow"](columns)),
    "dask": lambda columns: pytest.importorskip("dask.dataframe").from_pandas(
        pd.DataFrame(columns), npartitions=2
    ),
}


@by_name(BRIEF[:1])  # checked before a method sees anything
@pytest.mark.parametrize("kind", OTHER_FRAMES)
def test_frames_of_other_packages(est, kind):
    columns = {name: X[:, i] for i, name in enumerate("abc")}
    frame = OTHER_FRAMES[kind](columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the other packages
        then = LogisticRegression().fit(frame, Y)
        fitted = assert_ends_well(est, frame, Y)
    assert_same_fit(fitted, clone(est).fit(X, Y))
    names = [getattr(e, "feature_names_in_", np.array([])).tolist() for e in (fitted, then)]
    assert names[0] == names[1]
    kept = frame if kind == "dask" else clone(est).fit_resample(frame, Y)[0]
    assert type(kept) is type(frame)
    if kind == "dask":
        with pytest.raises(TypeError, match=r"Pass X\.compute\(\)"):
            clone(est).fit_resample(frame, Y)
    else:
        np.testing.assert_array_equal(np.asarray(kept), X[fitted.clean_mask_])


@by_name(BRIEF[:1])
@pytest.mark.parametrize("kind", [*OTHER_FRAMES, "pandas"])
@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["red"] * 12, r"strings in the columns \['b'\]"),
        ([None, *X[1:, 0].tolist()], r"NaN in the columns \['b'\]"),
        (pd.date_range("2024", periods=12).to_pydatetime().tolist(), r"dates.* \['b'\]"),
        ([None, *pd.date_range("2024", periods=11).to_pydatetime()], r"dates.* \['b'\]"),
        (pd.timedelta_range(0, periods=12).to_pytimedelta().tolist(), r"dates.* \['b'\]"),
    ],
    ids=["strings", "a gap", "dates", "a date missing", "durations"],
)
def test_columns_of_other_packages_that_cannot_be_used_are_named(est, kind, column, message):
    columns = {"a": X[:, 0].tolist(), "b": column}
    frame = OTHER_FRAMES[kind](columns) if kind != "pandas" else pd.DataFrame(columns)
    assert_is_refused(est, frame, Y, message)


def test_a_query_that_was_not_run_is_refused():
    lazy = pytest.importorskip("polars").LazyFrame({"a": X[:, 0], "b": X[:, 1]})
    for frame in (lazy, narwhals(lazy)):
        assert_is_refused(BRIEF[0], frame, Y, r"LazyFrame, a query .* Pass X\.collect\(\)")


SPARSE = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]


@by_readers(BRIEF)
@few(7)
@given(form=st.sampled_from(SPARSE), kind=st.sampled_from([sparse.csr_array, sparse.csr_matrix]))
def test_sparse_tables_of_any_format(est, form, kind):
    rows = np.where(X > 0, X, 0)
    table = kind(rows).asformat(form)
    fitted = assert_ends_well(est, table, Y)
    assert_same_fit(fitted, fit_once(est, rows=sparse.csr_array(rows), y=Y))
    np.testing.assert_array_equal(fitted.predict_proba(rows), fitted.predict_proba(table))
    of_dense = fit_once(est, rows=rows, y=Y)
    np.testing.assert_allclose(
        of_dense.predict_proba(table), of_dense.predict_proba(rows), atol=1e-6
    )
    kept, _ = clone(est).fit_resample(table, Y)
    assert type(kept) is type(table)
    assert kept.format == form
    np.testing.assert_array_equal(kept.toarray(), rows[fitted.clean_mask_])


LISTS = {
    "arrays": list,
    "a tuple": tuple,
    "tensors": lambda pixels: [torch.tensor(image) for image in pixels],
    "objects": lambda pixels: pd.Series(list(pixels)).to_numpy(),
}


@by_readers(BRIEF)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@few(2)
@given(kind=st.sampled_from(list(LISTS)))
def test_a_list_of_images(est, dtype, kind):
    pixels = (10 * np.abs(table(12, 48))).astype(dtype).reshape(12, 3, 4, 4)
    est = clone(est).set_params(module__width=4)
    fitted = assert_ends_well(est, LISTS[kind](pixels), Y)
    assert_same_fit(fitted, fit_once(est, rows=pixels, y=Y))


@by_readers(BRIEF)
def test_a_unix_time_is_centred_before_it_is_rounded(est):
    hours = np.random.default_rng(0).integers(0, 99, size=(12, 2))
    expected = clone(est).fit(hours - hours.mean(axis=0), Y)
    for rows in (1_750_000_000 + hours, 1.75e9 + hours, pd.DataFrame(1_750_000_000 + hours)):
        fitted = assert_ends_well(est, rows, Y)
        np.testing.assert_allclose(fitted.noise_scores_, expected.noise_scores_, atol=1e-3)
        np.testing.assert_allclose(
            fitted.predict_proba(rows),
            expected.predict_proba(hours - hours.mean(axis=0)),
            atol=1e-4,
        )


MISSING = [None, *X[1:, 0]]
REFUSED_X = {
    "a name twice": (pd.DataFrame(X, columns=["a", "a", "b"]), "unique column names"),
    "names of two types": (pd.DataFrame(X, columns=["a", 1, "b"]), "all input features have str"),
    "strings": (pd.DataFrame({"a": X[:, 0], "b": ["red"] * 12}), r"strings in the columns \['b'\]"),
    "categories": (
        pd.DataFrame({"a": pd.Categorical(["red", "green"] * 6)}),
        r"strings in the columns \['a'\]",
    ),
    "missing": (
        pd.DataFrame({"a": pd.array(MISSING, dtype="Float64")}),
        r"NaN in the columns \['a'\]",
    ),
    "missing truth values": (
        pd.DataFrame({"a": pd.array([None, True, False] * 4, dtype="boolean"), "b": X[:, 0]}),
        r"NaN in the columns \['a'\]",
    ),
    "masked values": (np.ma.masked_greater(X, 0.5), "masked values"),
    "periods": (pd.DataFrame({"a": pd.period_range("2024", periods=12)}), r"dates.*\['a'\]"),
    "days as objects": (
        pd.DataFrame({"a": X[:, 0], "b": list(pd.date_range("2024", periods=12).date)}),
        r"no numbers in the columns \['b'\]",
    ),
    "a column of gaps": (
        pd.DataFrame({"a": X[:, 0], "b": [np.nan] * 12}),
        r"NaN in the columns \['b'\]; there is nothing else in the columns \['b'\]: drop these\.",
    ),
    "a row of gaps": (
        np.where(np.arange(12)[:, None] == 4, np.nan, X),
        r"NaN in the columns \[0, 1, 2\]; there is nothing else in the rows \[4\]: drop .* labels",
    ),
    "grey images": (np.zeros((12, 8, 8), np.uint8), r"Grey images .*X\[:, None\]"),
    "images of two sizes": (
        [np.zeros((3, 8, 8 + i % 2)) for i in range(12)],
        r"one shape\. X\[0\] has \(3, 8, 8\), X\[1\] has \(3, 8, 9\)\. Resize",
    ),
    "dates": (pd.DataFrame({"a": pd.date_range("2024", periods=12)}), r"dates.*\['a'\]"),
    "dates in an array": (np.array([["2024", "NaT"]] * 12, dtype="M8[D]"), "dates"),
    "lists": (pd.DataFrame({"a": [[1, 2]] * 12}), None),
    "a series": (pd.Series(X[:, 0]), "2-dimensional"),
    "a vector": (X[:, 0], "Expected 2D array"),
    "a number": (3.0, "Expected 2D array"),
    "a path": ("rows.csv", "must be rows, not a path"),
    "nothing": (None, "Expected 2D array"),
    "a generator": ((row for row in X), None),
    "a dict": ({"a": X[:, 0]}, None),
    "a set": ({1, 2}, None),
    "an object": (object(), None),
    "complex numbers": (X.astype(complex), "Complex data not supported"),
    "records": (np.zeros(12, dtype=[("a", "f8"), ("b", "f8")]), None),
    "ragged rows": ([[1, 2]] * 11 + [[1]], "inhomogeneous"),
    "a sparse tensor": (torch.tensor(X).to_sparse(), "Sparse"),
    "a tensor without values": (torch.ones(12, 3, device="meta"), "meta"),
    "no rows": (X[:0], "0 sample"),
    "no columns": (X[:, :0], r"0 feature\(s\)"),
    "an empty list": ([], "Expected 2D array"),
    "rows of matrices": (np.ones((12, 3, 4)), r"X\[:, None\].*module="),
    "images without lines": (np.ones((12, 1, 0, 8)), None),
}


@by_name(BRIEF[:1])  # checked before a method sees anything
@pytest.mark.parametrize("what", REFUSED_X)
def test_what_is_no_table_is_refused(est, what):
    rows, message = REFUSED_X[what]
    assert_is_refused(est, rows, Y[:0] if what in ("no rows", "an empty list") else Y, message)


# Tables: values


@by_readers(BRIEF)
@few(8)
@given(
    exponents=st.lists(st.integers(-30, 30), min_size=3, max_size=3),
    offset=st.sampled_from([0.0, 1.0, -1e6, 1e30]),
    constant=st.booleans(),
)
def test_columns_of_any_scale(est, exponents, offset, constant):
    rows = X * 10.0 ** np.array(exponents) + offset
    if constant:
        rows[:, 0] = rows[0, 0]
    assert_ends_well(est, rows, Y)


@by_readers(BRIEF)
@few(6)
@given(exponent=st.integers(-90, 90))
def test_the_unit_of_a_table_does_not_matter(est, exponent):
    rows = X.astype(np.float32)
    expected = clone(est).fit(rows, Y)
    assert_same_fit(assert_ends_well(est, rows * 2.0**exponent, Y), expected)


@by_readers(BRIEF)
@pytest.mark.parametrize("scale", [1e-300, 1e-44, 1e-38, 1e37])
def test_the_ends_of_float32(est, scale):
    assert_ends_well(est, X * scale, Y)


@by_readers(BRIEF)
def test_the_largest_numbers(est):
    assert_ends_well(est, np.where(X > 0, 1, -1) * np.float64(np.finfo(np.float32).max), Y)


@by_readers(BRIEF)
@few(4)
@given(exponent=st.integers(40, 300), where=st.integers(0, 11))
def test_numbers_beyond_float32_are_refused(est, exponent, where):
    rows = X.copy()
    rows[where, 1] = 10.0**exponent
    assert_is_refused(est, rows, Y, match=r"too large for dtype\('float32'\)")


@by_readers(BRIEF)
@few(6)
@given(scale=st.sampled_from([1e-30, 1.0]), exponent=st.integers(0, 38))
def test_new_rows_however_far_away(est, scale, exponent):
    est = clone(est).fit(scale * X, Y)
    assert_right(est, np.sign(X) * 10.0**exponent, Y)


@by_readers(BRIEF)
@few(6)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from(["uint8", "float16", "float32", ">f8"]),
)
def test_images_of_any_size(est, shape, dtype):
    pixels = (10 * np.abs(table(12, int(np.prod(shape))))).astype(dtype).reshape(12, *shape)
    assert_ends_well(clone(est).set_params(module__width=4), pixels, Y)


@by_readers(BRIEF)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 1, 6), (2, 5, 1)])
def test_images_one_pixel_high_or_wide(est, shape):
    pixels = table(12, int(np.prod(shape))).reshape(12, *shape)
    assert_ends_well(clone(est).set_params(module__width=4), pixels, Y)


# Few rows, many classes


@st.composite
def poor_tables(draw):
    """Rows that repeat, columns that are constant, classes of one row, from two rows on."""
    n, n_features = draw(st.integers(2, 24)), draw(st.integers(1, 4))
    rows = table(n, n_features, seed=draw(st.integers(0, 99)))
    if draw(st.booleans()):
        rows[:, draw(st.integers(0, n_features - 1))] = 7.0
    rows = rows[draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))]
    n_classes = draw(st.integers(2, min(n, 8)))
    free = draw(st.lists(st.integers(0, n_classes - 1), min_size=n - n_classes, max_size=n))
    y = np.array([*range(n_classes), *free[: n - n_classes]])
    return rows, y[np.random.default_rng(n).permutation(n)]


@by_readers(BRIEF)
@few(12)
@given(poor_tables(), st.sampled_from(["auto", 2, 3, 1000]))
def test_poor_tables(est, problem, batch_size):
    rows, y = problem
    est = assert_ends_well(clone(est).set_params(batch_size=batch_size), rows, y)
    assert_contract(est, y)


@few(4)
@given(poor_tables())
def test_poor_tables_have_a_noise_rate(problem):
    assert_ends_well(ESTIMATING, *problem)


@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")  # sklearn's
@by_name([*BRIEF, ESTIMATING])
@pytest.mark.parametrize("n_classes", [2, 40, pytest.param(1000, marks=pytest.mark.slow)])
def test_as_many_classes_as_rows(est, n_classes):
    assert_ends_well(est, table(n_classes), np.arange(n_classes))


@by_name([*BRIEF, ESTIMATING])
@few(2)
@given(shift=st.integers(1, 2))
def test_labels_that_are_all_wrong(est, shift):
    rows, _, _, true = planted_errors()
    assert_ends_well(est, rows, (true + shift) % 3)


@by_readers(BRIEF)
@few(3)
@given(label=st.sampled_from([0, "cat", True, 2.0]), n=st.integers(2, 12))
def test_labels_that_are_all_equal_are_refused(est, label, n):
    assert_is_refused(est, X[:n], np.array([label] * n), match="only one class", error=ValueError)


# Labels

LABELS = {
    "whole floats": np.array([0.0, 1.0, 2.0]),
    "float16": np.array([0.0, 1.0, 2.0], dtype=np.float16),
    "big-endian": np.array([5, 6, 7], dtype=">i4"),
    "uint64": np.array([1, 2, 2**64 - 1], dtype=np.uint64),
    "int64": np.array([-(2**63), 0, 2**63 - 1]),
    "numpy truth values": np.array([False, True, True]),
    "dates": np.array(["2024-01-01", "2024-01-02", "2025-01-01"], dtype="M8[D]"),
    "durations": np.array([1, 2, 3], dtype="m8[s]"),
    "long strings": np.array(["x" * 100_000 + end for end in "abc"], dtype=object),
    "strings of nothing much": np.array(["", " ", "\0a"]),
    "strings of the world": np.array(["ä", "日本", "🙂"]),
}
CONTAINERS = {
    "array": lambda y: y,
    "read-only": lambda y: np.broadcast_to(y, y.shape),
    "backwards": lambda y: y[::-1].copy()[::-1],
    "list": lambda y: list(y),
    "series": lambda y: pd.Series(y, index=[1] * len(y)),
    "category": lambda y: pd.Series(y).astype("category"),
}


@pytest.mark.filterwarnings("ignore:Some labels")  # blank, or alike but for their case
@by_readers(BRIEF)
@few(14)
@given(kind=st.sampled_from(list(LABELS)), container=st.sampled_from(list(CONTAINERS)))
def test_labels_of_odd_types(est, kind, container):
    names = LABELS[kind]
    codes = np.unique(names, return_inverse=True)[1][Y]
    if kind in ("big-endian", "float16") and container in ("series", "category"):
        container = "array"  # what pandas does not do
    expected = fit_once(est, rows=X, y=codes)
    est = assert_ends_well(est, X, CONTAINERS[container](names[Y]))
    assert_same_fit(est, expected)
    np.testing.assert_array_equal(
        np.searchsorted(est.classes_, est.predict(X)), expected.predict(X)
    )


@by_readers(BRIEF)
@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        *(("string", "O"), ("Int64", "i"), ("UInt8", "u"), ("boolean", "b"), ("Float32", "f")),
        *(("object", "i"), ("category", "i")),
    ],
)
def test_nullable_labels_without_a_gap(est, dtype, kind):
    y = pd.Series((Y > 0).astype(int).astype("O" if dtype != "string" else str), dtype=dtype)
    est = assert_ends_well(est, X, y)
    for labels in (est.classes_, est.predict(X), est.corrected_labels_, est.given_labels_):
        assert labels.dtype.kind == kind
    assert est.given_labels_.tolist() == y.tolist()
    assert est.score(X, y) == (est.predict(X) == np.asarray(y.tolist())).mean()


CODES = np.array([5, 2**60, 2**60 + 3])[Y]
LABEL_CONTAINERS = {
    "nullable": lambda y: pd.Series(y, dtype="Int64"),
    "nullable categories": lambda y: pd.Series(pd.Categorical(pd.array(y, dtype="Int64"))),
    "a frame": lambda y: pd.DataFrame({"y": pd.array(y, dtype="Int64")}),
    "objects": lambda y: np.array(y.tolist(), dtype=object),
    "polars": lambda y: pytest.importorskip("polars").Series(y),
    "polars, a frame": lambda y: pytest.importorskip("polars").DataFrame({"y": y}),
    "pyarrow": lambda y: pytest.importorskip("pyarrow").array(y),
    "pyarrow in pandas": lambda y: (
        pytest.importorskip("pyarrow") and pd.Series(y, dtype="int64[pyarrow]")
    ),
}


@pytest.mark.filterwarnings("ignore:A column-vector y was passed:UserWarning")  # sklearn's
@by_name(BRIEF[:1])  # checked before a method sees anything
@pytest.mark.parametrize("container", LABEL_CONTAINERS)
def test_codes_that_float64_cannot_tell_apart_stay_classes(est, container):
    expected = fit_once(est, rows=X, y=Y)
    est = assert_ends_well(est, X, LABEL_CONTAINERS[container](CODES))
    assert est.classes_.tolist() == [5, 2**60, 2**60 + 3]
    assert est.predict(X).dtype == np.int64
    assert_same_fit(est, expected)
    codes = LABEL_CONTAINERS[container](CODES)
    assert est.score(X, codes) == expected.score(X, Y)
    np.testing.assert_array_equal(est.score_labels(X, codes), expected.score_labels(X, Y))


GAPS = {
    "nullable": lambda: pd.Series([None, *Y[1:]], dtype="Int64"),
    "truth values": lambda: pd.array([None, *(Y[1:] > 0)], dtype="boolean"),
    "categories": lambda: pd.Series([None, *"bc" * 5, "b"], dtype="category"),
    "a list": lambda: [None, *Y[1:].tolist()],
    "NaN beside strings": lambda: [np.nan, *"bc" * 5, "b"],
    "polars": lambda: pytest.importorskip("polars").Series([None, *Y[1:].tolist()]),
    "pyarrow": lambda: pytest.importorskip("pyarrow").array([None, *"bc" * 5, "b"]),
    "pyarrow in pandas": lambda: (
        pytest.importorskip("pyarrow") and pd.Series([None, *Y[1:]], dtype="int64[pyarrow]")
    ),
}


@by_name(BRIEF[:1])
@pytest.mark.parametrize("what", GAPS)
def test_a_label_that_is_missing_is_named_by_its_row(est, what):
    assert_is_refused(est, X, GAPS[what](), r"y contains .*every row needs a label.*rows \[0\]")


REFUSED_Y = {
    "bytes": (np.array([b"a", b"b", b"c"])[Y], "bytes"),
    "mixed": (np.array([1, "b", 2.5], dtype=object)[Y], "Unknown label type"),
    "objects": ([object() for _ in Y], "Unknown label type"),
    "halves": (Y + 0.5, "continuous"),
    "NaN": (np.where(Y, Y, np.nan), "y contains NaN"),
    "masked": (np.ma.masked_equal(Y, 0), "masked values"),
    "infinity": (np.where(Y, Y, np.inf), "y contains infinity"),
    "huge floats": (Y * 1e30, "Unknown label type"),
    "None": (np.array([None, "a", "b"])[Y], "y contains None"),
    "NA": (pd.Series([pd.NA, "a", "b"] * 4, dtype="string"), "y contains <NA>"),
    "NaT": (np.array(["NaT", "2024", "2025"], dtype="M8[Y]")[Y], "y contains NaT"),
    "complex": (Y.astype(complex), "Complex"),
    "tuples": ([(1, 2)] * 12, "1d array"),
    "a matrix": (np.eye(3)[Y], "1d array"),
    "a row": (Y[None], "1d array"),
    "a number": (1, "1d array"),
    "a string": ("abc" * 4, "1d array"),
    "a dict": (dict(enumerate(Y)), "1d array"),
    "a generator": ((label for label in Y), "1d array"),
    "too few": (Y[:-1], "inconsistent numbers of samples"),
    "a tensor of halves": (torch.tensor(Y + 0.5, requires_grad=True), "continuous"),
}


@by_name(BRIEF[:1])  # checked before a method sees anything
@pytest.mark.parametrize("what", REFUSED_Y)
def test_labels_that_are_none_are_refused(est, what):
    y, message = REFUSED_Y[what]
    assert_is_refused(est, X, y, match=message)


# Trusted rows

MASK = np.arange(12) < 6
REFUSED_TRUSTED = {
    "integers": MASK.astype(int),
    "floats": MASK.astype(float),
    "objects": MASK.astype(object),
    "a gap": pd.array([None, *MASK[1:]], dtype="boolean"),
    "a gap in a list": [None, *MASK[1:].tolist()],
    "a gap among objects": np.array([pd.NA, *MASK[1:].tolist()], dtype=object),
    "indices": [0, 5],
    "strings": ["yes"] * 12,
    "a string": "yes",
    "Nones": [None] * 12,
    "NaN": np.full(12, np.nan),
    "a column": MASK[:, None],
    "a frame": pd.DataFrame({"trusted": MASK}),
    "too few": MASK[:-1],
    "too many": np.r_[MASK, True],
    "none at all": [],
    "True": True,
    "False": False,
    "a dict": {0: True},
    "a set": {0, 1},
    "a generator": (mark for mark in MASK),
    "a slice": slice(0, 6),
    "a function": len,
    "ragged": [[True], [True, False]],
    "masked": np.ma.masked_equal(MASK, True),
    "a tensor with a gradient": torch.ones(12, requires_grad=True),
    "a tensor of halves": torch.ones(12).bfloat16(),
    "a tensor without values": torch.ones(12, dtype=torch.bool, device="meta"),
}


@by_readers(BRIEF)
@few(16)
@given(what=st.sampled_from(list(REFUSED_TRUSTED)))
def test_trusted_of_every_wrong_kind_is_refused(est, what):
    assert_is_refused(est, X, Y, trusted=REFUSED_TRUSTED[what])


@by_name(BRIEF[:1])
@pytest.mark.parametrize("what", ["a gap", "a gap in a list", "a gap among objects"])
def test_a_gap_in_trusted_is_named_by_its_row(est, what):
    message = r"trusted must be a boolean mask, and has missing values in the rows \[0\]"
    assert_is_refused(est, X, Y, message, trusted=REFUSED_TRUSTED[what])


@by_readers(BRIEF)
@few(10)
@given(
    mask=st.lists(st.booleans(), min_size=12, max_size=12).map(np.array),
    container=st.sampled_from(
        [
            *(list, tuple, torch.tensor, lambda m: m, lambda m: pd.Series(m, index=m.argsort())),
            lambda m: pd.array(m, dtype="boolean"),
        ]
    ),
)
def test_any_mask_is_trusted_or_refused_for_a_class_without_a_row(est, mask, container):
    if isinstance(est, MetaRelabelClassifier) and len(np.unique(Y[mask])) < 3:
        assert_is_refused(est, X, Y, "at least one row of each class", trusted=container(mask))
    else:
        est = fit_leaves_no_trace(clone(est), X, Y, trusted=container(mask))
        assert_right(est, X, Y, trusted=mask)


# Divergence


@by_name(BRIEF)
@few(8)
@given(exponent=st.integers(2, 300), max_epochs=st.integers(1, 4))
def test_training_diverges_in_words_or_not_at_all(est, exponent, max_epochs):
    est = clone(est).set_params(lr=10.0**exponent, max_epochs=max_epochs)
    try:
        fit_leaves_no_trace(est, X, Y)
    except FloatingPointError as error:
        message = re.escape(f"Lower lr (now {est.lr})")
        found = re.match(rf"Training diverged: .* epoch (\d+) .*{message}", str(error))
        # Rounds and stages count on.
        ended_well = found and int(found[1]) <= 2 * max_epochs and not hasattr(est, "net_")
    else:
        ended_well = True
        assert_right(est, X, Y)
    assert ended_well


@by_name(BRIEF)
def test_a_million_is_too_much_of_a_learning_rate(est):
    est = clone(est).set_params(lr=1e6, max_epochs=4)
    message = r"Training diverged: .* epoch \d.*Lower lr \(now 1000000.0\) or standardise"
    with pytest.raises(FloatingPointError, match=message):
        fit_leaves_no_trace(est, X, Y)


# Networks


class Linear(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.linear = nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.spoil(self.linear(x), x)

    def spoil(self, logits, x):
        return logits


def spoilt(when, spoil):
    """Network class whose logits are spoilt: always, when it trains, or in its later calls."""

    class Spoilt(Linear):
        calls = 0

        def spoil(self, logits, x):
            self.calls += 1
            now = {
                "always": True,
                "training": self.training,
                "evaluation": not self.training and len(x) > 2,  # it is tried out on two rows
                "later": self.calls > 4,
            }[when]
            return spoil(logits, x) if now else logits

    return Spoilt


class Frozen(Linear):
    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.requires_grad_(False)


class Double(Linear):
    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.double()


class NoParameters(nn.Module):
    def forward(self, x):
        return x


def no_grad(logits, x):
    with torch.no_grad():
        return logits * 1


WRONG_OUTPUTS = {
    "a tuple": (lambda logits, x: (logits, x), "Got tuple"),
    "a dict": (lambda logits, x: {"logits": logits}, "Got dict"),
    "an array": (lambda logits, x: logits.detach().numpy(), "Got ndarray"),
    "None": (lambda logits, x: None, "Got NoneType"),
    "one logit": (lambda logits, x: logits[:, :1], r"Got \(\d+, 1\)"),
    "twice the logits": (lambda logits, x: logits.repeat(1, 2), r"Got \(\d+, 6\)"),
    "one row": (lambda logits, x: logits[:1], r"Got \(1, 3\)"),
    "a sequence": (lambda logits, x: logits[:, None], r"Got \(\d+, 1, 3\)"),
    "a vector": (lambda logits, x: logits[:, 0], r"Got \(\d+,\)"),
}
NO_GRADIENT = {
    "detach": lambda logits, x: logits.detach(),
    "no_grad": no_grad,
    "argmax": lambda logits, x: nn.functional.one_hot(logits.argmax(1), 3),
    "zeros": lambda logits, x: torch.zeros(len(x), 3),
}


@by_readers(BRIEF)
@pytest.mark.parametrize("when", ["always", "training", "evaluation", "later"])
@pytest.mark.parametrize("trusted", [None, MASK], ids=["", "trusted"])
@few(6)
@given(what=st.sampled_from(list(WRONG_OUTPUTS)))
def test_wrong_outputs_are_explained(est, when, trusted, what):
    spoil, message = WRONG_OUTPUTS[what]
    est = clone(est).set_params(module=spoilt(when, spoil))
    assert_is_refused(est, X, Y, rf"logits of shape .*{message}", ValueError, trusted=trusted)


@by_name(BRIEF)
@pytest.mark.parametrize("trusted", [None, MASK], ids=["", "trusted"])
@pytest.mark.parametrize("what", [*NO_GRADIENT, "frozen"])
def test_outputs_without_a_gradient_are_explained(est, trusted, what):
    module = Frozen if what == "frozen" else spoilt("always", NO_GRADIENT[what])
    est = clone(est).set_params(module=module)
    assert_is_refused(est, X, Y, "have no gradient, so that it cannot learn", trusted=trusted)


@by_name(BRIEF)
@pytest.mark.parametrize("when", ["always", "training", "evaluation", "later"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_divergence(est, when, value):
    est = clone(est).set_params(module=spoilt(when, lambda logits, x: logits * value))
    with pytest.raises(FloatingPointError, match=r"Training diverged: .*epoch \d.*Lower lr"):
        fit_leaves_no_trace(est, X, Y)


@by_name(BRIEF)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda logits, x: logits.log_softmax(1),
        lambda logits, x: logits.sigmoid(),
        lambda logits, x: logits.double(),
        lambda logits, x: logits * 0,
        lambda logits, x: logits.t().contiguous().t(),
    ],
    ids=["log_softmax", "sigmoid", "double", "zero", "transposed"],
)
def test_outputs_that_can_be_learned_from(est, spoil):
    assert_ends_well(clone(est).set_params(module=spoilt("always", spoil)), X, Y)


@by_readers(BRIEF)
@pytest.mark.parametrize(
    ("module", "message"),
    [
        (NoParameters, "empty parameter list"),
        (Double, "The network failed: Double on a batch"),
        (nn.Linear, "could not be built with the arguments"),
        (lambda n_features, n_classes: "net", "must give a torch.nn.Module. Got str"),
        (5, "module"),
        ("MLP", "module"),
    ],
    ids=["no parameters", "double", "arguments", "no module", "a number", "a name"],
)
def test_what_is_no_network_is_refused(est, module, message):
    assert_is_refused(clone(est).set_params(module=module), X, Y, message)


class MyError(Exception):
    """Of a kind that nobody else catches."""


def raising(error):
    def spoil(logits, x):
        raise error

    return spoil


@by_name(BRIEF)
@pytest.mark.parametrize("trusted", [None, MASK], ids=["", "trusted"])
@pytest.mark.parametrize("when", ["training", "evaluation", "later"])
@pytest.mark.parametrize("error", [MyError("mine"), IndexError("mine")])
def test_an_error_inside_a_network_comes_through(est, trusted, when, error):
    est = clone(est).set_params(module=spoilt(when, raising(error)))
    with pytest.raises(type(error)) as raised:
        fit_leaves_no_trace(est, X, Y, trusted=trusted)
    assert raised.value is error


@by_name(BRIEF)
def test_an_error_of_the_first_call_names_the_network(est):
    error = MyError("mine")
    est = clone(est).set_params(module=spoilt("always", raising(error)))
    refused = assert_is_refused(est, X, Y, match=r"The network failed: Spoilt on a batch.* mine")
    assert refused.__cause__ is error


# Callbacks

EVENTS = [
    *("on_train_begin", "on_epoch_begin", "on_batch_begin", "on_grad_computed"),
    *("on_batch_end", "on_epoch_end", "on_train_end"),
]


class Raising(Callback):
    def __init__(self, event, number, error):
        self.event, self.number, self.error = event, number, error

    def __deepcopy__(self, memo):  # the error would be copied, too
        return Raising(self.event, self.number, self.error)

    def _hear(self, event):
        self.number -= event == self.event
        np.random.default_rng().random()
        if self.number < 0:
            raise self.error


for _event in EVENTS:
    setattr(Raising, _event, lambda self, net, *args, _event=_event, **kw: self._hear(_event))


@by_name(BRIEF)
@few(14)
@given(
    event=st.sampled_from(EVENTS),
    number=st.integers(0, 1),
    error=st.sampled_from([MyError, KeyError, StopIteration, RuntimeError, ValueError, SystemExit]),
    trusted=st.sampled_from([None, MASK]),
)
def test_an_error_in_a_callback_comes_through_unchanged(est, event, number, error, trusted):
    error = error("mine", 7)
    number = 0 if event.startswith("on_train") else number
    est = clone(est).set_params(callbacks=[Raising(event, number, error)])
    with pytest.raises(type(error)) as raised:
        fit_leaves_no_trace(est, X, Y, trusted=trusted)
    assert raised.value is error
    assert error.args == ("mine", 7)
    assert error.__cause__ is None
    assert not hasattr(est, "noise_scores_")


# What must not make a difference


@pytest.mark.filterwarnings("ignore:Some labels")  # blank, or alike but for their case
@by_readers(BRIEF)
@few(8)
@given(
    names=st.one_of(
        st.lists(st.integers(-(2**40), 2**40), min_size=3, max_size=3, unique=True),
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            min_size=3,
            max_size=3,
            unique=True,
        ).filter(lambda names: not any(name.endswith("\0") for name in names)),  # numpy cuts them
    )
)
def test_the_names_of_the_classes_do_not_matter(est, names):
    expected = fit_once(est, rows=X, y=Y)
    names = np.sort(np.array(names))
    est = assert_ends_well(est, X, names[Y])
    assert_same_fit(est, expected)
    np.testing.assert_array_equal(est.predict(X), names[expected.predict(X)])


@by_readers(BRIEF)
@pytest.mark.parametrize("dtype", ["int8", "int32", "uint16", "float32", ">i8"])
def test_the_type_of_the_codes_does_not_matter(est, dtype):
    assert_same_fit(clone(est).fit(X, Y.astype(dtype)), fit_once(est, rows=X, y=Y))


def ranks_first(scores, errors):
    return set(np.argsort(-scores, kind="stable")[: len(errors)].tolist()) == set(errors)


@by_readers(QUICK)
@few(2)
@given(seed=st.integers(1, 99))
def test_planted_errors_come_first_in_any_order(est, seed):
    rows, labels, flipped, _ = planted_errors()
    order = np.random.default_rng(seed).permutation(len(rows))
    est = assert_ends_well(est, rows[order], labels[order])
    assert ranks_first(est.noise_scores_, np.flatnonzero(np.isin(order, flipped)))


@by_readers(QUICK)
@pytest.mark.parametrize("block", [True, False], ids=["one after the other", "side by side"])
def test_planted_errors_come_first_in_a_table_given_twice(est, block):
    rows, labels, flipped, _ = planted_errors()
    ids = np.tile(np.arange(len(rows)), 2) if block else np.arange(len(rows)).repeat(2)
    est = assert_ends_well(est, rows[ids], labels[ids])
    assert ranks_first(est.noise_scores_, np.flatnonzero(np.isin(ids, flipped)))


@by_readers(QUICK)
def test_planted_errors_come_first_behind_a_scaler_of_odd_columns(est):
    rows, labels, flipped, true = planted_errors()
    rows = rows * [1e-6, 1, 1e6, 1e12] + [0, -1e4, 1e3, 0]
    pipeline = make_pipeline(StandardScaler(), clone(est))
    pipeline = fit_leaves_no_trace(pipeline, rows, labels)
    assert_right(pipeline[-1], pipeline[:-1].transform(rows), labels)
    assert ranks_first(pipeline[-1].noise_scores_, flipped)
    assert (pipeline.predict(rows) == true).mean() >= 0.95


ELSEWHERE = """
import hashlib, json, sys, warnings
import numpy as np, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_input_properties import BRIEF, digests
warnings.filterwarnings("ignore", message="No trusted rows")
print(json.dumps(digests(np.int32)))
"""


def digests(dtype):
    """Fit every estimator; return hashes of the scores' bits."""
    alone = [clone(est).set_params(judge_epochs=0) for est in BRIEF]
    fits = [est.fit(X, Y.astype(dtype)) for est in alone]
    return [hashlib.sha256(est.noise_scores_.tobytes()).hexdigest() for est in fits]


def test_another_process_finds_the_same_scores():
    code = ELSEWHERE.format(tests=os.path.dirname(__file__))
    # Sets of strings are walked through in another order there.
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == digests(np.int64)
