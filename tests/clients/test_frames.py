"""Data frames: rows and labels in the containers of other packages."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from _trial import GIVEN, MILD, X, client, every_estimator
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]

COLUMNS = {"a": X[:, 0], "b": X[:, 1]}


def polars():
    package = pytest.importorskip("polars")
    return package.DataFrame(COLUMNS), package.Series("label", GIVEN)


def pyarrow():
    package = pytest.importorskip("pyarrow")
    return package.table(COLUMNS), package.array(GIVEN)


def arrow_in_pandas():
    package = pytest.importorskip("pyarrow")
    frame = package.table(COLUMNS).to_pandas(types_mapper=pd.ArrowDtype)
    return frame, pd.Series(GIVEN, dtype="int64[pyarrow]")


def narwhals():
    package = pytest.importorskip("narwhals")
    frame, labels = pd.DataFrame(COLUMNS), pd.Series(GIVEN)
    return package.from_native(frame), package.from_native(labels, series_only=True)


def dask_frame():
    package = pytest.importorskip("dask.dataframe")
    frame = package.from_pandas(pd.DataFrame(COLUMNS), npartitions=2)
    return frame, package.from_pandas(pd.Series(GIVEN), npartitions=2)


def dask_array():
    package = pytest.importorskip("dask.array")
    return package.from_array(X, chunks=(60, 2)), package.from_array(GIVEN, chunks=60)


def of(*made):
    software = {
        polars: "polars",
        pyarrow: "pyarrow",
        arrow_in_pandas: "pyarrow",
        narwhals: "narwhals",
        dask_frame: "dask",
        dask_array: "dask",
    }
    params = [pytest.param(make, marks=client(software[make]), id=make.__name__) for make in made]
    return pytest.mark.parametrize("make", params)


@every_estimator
@of(polars, pyarrow, arrow_in_pandas, narwhals, dask_frame, dask_array)
def test_fit_and_predict(est, make):
    """`est.fit(X, y)` of the kind `{make.__name__}`: the scores of the same rows as arrays."""
    rows, labels = make()
    found, alone = clone(est).fit(rows, labels), clone(est).fit(X, GIVEN)
    np.testing.assert_array_equal(found.noise_scores_, alone.noise_scores_)
    np.testing.assert_array_equal(found.predict_proba(rows), alone.predict_proba(X))
    assert found.classes_.tolist() == [0, 1, 2]


@of(polars, pyarrow, arrow_in_pandas, narwhals)
def test_fit_resample(make):
    """`est.fit_resample(X, y)` of the kind `{make.__name__}` returns the same kind."""
    rows, labels = make()
    est = clone(MILD)
    kept, given = est.fit_resample(rows, labels)
    assert type(kept) is type(rows)
    assert type(given) is type(labels)
    np.testing.assert_array_equal(np.asarray(kept), X[est.sample_indices_])
    np.testing.assert_array_equal(np.asarray(given), GIVEN[est.sample_indices_])


@of(polars, pyarrow, arrow_in_pandas)
def test_folds(make):
    """`cross_val_predict(est, X, y)` of the kind `{make.__name__}`."""
    rows, labels = make()
    found = cross_val_predict(clone(MILD), rows, labels, cv=2)
    np.testing.assert_array_equal(found, cross_val_predict(clone(MILD), X, GIVEN, cv=2))


@client("polars")
@every_estimator
def test_output_of_transformers(est):
    """`make_pipeline(StandardScaler().set_output(transform="polars"), est)`."""
    rows, labels = polars()
    pipeline = make_pipeline(StandardScaler().set_output(transform="polars"), clone(est))
    predicted = pipeline.fit(rows, labels).predict(rows)
    assert np.mean(predicted == GIVEN) > 0.7
    assert pipeline[-1].feature_names_in_.tolist() == ["a", "b"]


@client("polars")
def test_lazy_frame(refused):
    """`est.fit(LazyFrame, y)`."""
    rows, labels = polars()
    with refused(ValueError, match="collect"):
        clone(MILD).fit(rows.lazy(), labels)


@of(dask_frame)
def test_fit_resample_of_parts(make, refused):
    """`est.fit_resample(X, y)` of a frame in parts."""
    rows, labels = make()
    with refused(TypeError, match="compute"):
        clone(MILD).fit_resample(rows, labels)
