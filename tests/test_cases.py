"""Faults that were found by trying, each by its name: the right value, or a clear error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from _estimators import QUICK
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from test_common import assert_same_fit, run_python

from noisyfit import DLTClassifier, MetaRelabelClassifier, MILDSelector
from noisyfit.review import apply_review

# MetaRelabelClassifier says so; its own tests check that.
pytestmark = pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")

BRIEF = MILDSelector(rounds=1, max_epochs=3, random_state=0)
X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.arange(60) % 2


QUICKER = [clone(est).set_params(max_epochs=3) for est in QUICK]
for _est in QUICKER:
    for _name in {"warmup_epochs", "estimation_epochs"} & set(_est.get_params()):
        _est.set_params(**{_name: 2})


def by_name(estimators):
    return pytest.mark.parametrize("est", estimators, ids=lambda est: type(est).__name__)


# --- C01 output of transformers ---


@by_name(QUICKER)
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_c01_a_global_output_of_transformers(est, output):
    if output == "polars":
        pytest.importorskip("polars")
    expected = clone(est).fit(X, Y)
    with config_context(transform_output=output, assume_finite=True):
        fitted = clone(est).fit(X, Y)
        assert_same_fit(fitted, expected)
        np.testing.assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))


def test_c01_assume_finite_does_not_let_nan_in():
    spoilt = X.copy()
    spoilt[3, 1] = np.nan
    with config_context(assume_finite=True):
        fitted = clone(BRIEF).fit(X, Y)
        for use in (lambda: clone(BRIEF).fit(spoilt, Y), lambda: fitted.predict(spoilt)):
            with pytest.raises(ValueError, match=r"NaN in the columns \[1\]"):
                use()


def test_c01_array_api_dispatch():
    code = (
        "import numpy as np, sklearn, torch\n"
        "from noisyfit import MILDSelector\n"
        "X, y = torch.randn(60, 3), torch.arange(60) % 2\n"
        "est = MILDSelector(rounds=1, max_epochs=3, random_state=0)\n"
        "expected = est.fit(X, y).predict(X)\n"
        "sklearn.set_config(array_api_dispatch=True)\n"
        "for rows, labels in ((X, y), (X.numpy(), y.numpy()), (X, y.tolist())):\n"
        "    est.fit(rows, labels)\n"
        "    assert type(est.classes_) is np.ndarray\n"
        "    assert (est.predict(rows) == expected).all()\n"
        "    assert est.score(rows, labels) == (expected == y.numpy()).mean()\n"
    )
    result = run_python(code, SCIPY_ARRAY_API="1")
    assert result.returncode == 0, result.stderr


# --- C02 softmax at the end ---


# --- C03 labels of a data set ---


# --- C04 callbacks ---


# --- C05 imbalanced-learn ---


# --- C06 review, decisions of a frame ---


# --- C07 images ---


def test_c07_a_list_of_images():
    images = [np.full((3, 8, 8), 9 * (i % 2), np.uint8) for i in range(20)]
    est = clone(BRIEF).set_params(module__width=4)
    fitted = clone(est).fit(images, np.arange(20) % 2)
    assert_same_fit(fitted, clone(est).fit(np.stack(images), np.arange(20) % 2))
    assert fitted.predict(images).tolist() == fitted.predict(np.stack(images)).tolist()


def test_c07_grey_images_need_a_channel_and_sequences_a_network():
    grey = np.zeros((20, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"Grey images need a channel.*X\[:, None\].*module="):
        clone(BRIEF).fit(grey, np.arange(20) % 2)
    clone(BRIEF).set_params(module__width=4).fit(grey[:, None], np.arange(20) % 2)

    class LastStep(torch.nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.linear = torch.nn.Linear(4, n_classes)

        def forward(self, x):
            return self.linear(x[:, -1])

    sequences = np.random.default_rng(0).normal(size=(20, 7, 4))
    fitted = clone(BRIEF).set_params(module=LastStep).fit(sequences, np.arange(20) % 2)
    with pytest.raises(ValueError, match=r"rows of the shape \(7, 4\)\. Got \(7,\) instead"):
        fitted.predict(sequences[:, :, 0])


# --- C08 sparse and dense ---


@by_name(QUICKER)
def test_c08_sparse_and_dense_rows_are_mixed(est):
    rows = np.where(X > 0, X, 0).astype(np.float32)
    table = sparse.csr_matrix(rows)
    for fitted in (clone(est).fit(rows, Y), clone(est).fit(table, Y)):
        np.testing.assert_allclose(
            fitted.predict_proba(table), fitted.predict_proba(rows), atol=1e-6
        )


@pytest.mark.parametrize("form", ["coo", "bsr", "dia"])
def test_c08_fit_resample_of_formats_that_cannot_be_sliced(form):
    table = sparse.csr_matrix(X).asformat(form)
    est = clone(BRIEF)
    kept, y = est.fit_resample(table, Y)
    assert type(kept) is type(table)
    np.testing.assert_array_equal(kept.toarray(), X[est.clean_mask_])
    np.testing.assert_array_equal(y, Y[est.clean_mask_])


def test_c08_what_cannot_be_sliced_is_refused_before_the_training():
    class OnlyAnArray:
        shape = X.shape

        def __array__(self, dtype=None, copy=None):
            return X

    est = clone(BRIEF)
    with pytest.raises(TypeError, match="fit_resample returns X as it was passed"):
        est.fit_resample(OnlyAnArray(), Y)
    assert not hasattr(est, "noise_scores_")


# --- C09 frames ---


@pytest.mark.parametrize("package", ["pandas", "polars", "pyarrow", "narwhals"])
def test_c09_frames_of_every_package(package):
    pytest.importorskip(package)
    columns = {name: X[:, i] for i, name in enumerate("abc")}
    if package == "pandas":
        frame = pd.DataFrame(columns)
    elif package == "narwhals":
        frame = pytest.importorskip("narwhals").from_native(pd.DataFrame(columns))
    else:
        module = pytest.importorskip(package)
        frame = (module.DataFrame if package == "polars" else module.table)(columns)
    fitted, then = clone(BRIEF).fit(frame, Y), LogisticRegression().fit(frame, Y)
    assert_same_fit(fitted, clone(BRIEF).fit(X, Y))
    names = [getattr(e, "feature_names_in_", np.array([])).tolist() for e in (fitted, then)]
    assert names[0] == names[1]
    np.testing.assert_array_equal(fitted.classes_, then.classes_)


def test_c09_dates_of_polars_are_no_numbers():
    polars = pytest.importorskip("polars")
    days = pd.date_range("2024", periods=59).to_pydatetime()
    for values in ([*days, days[0]], [None, *days], [None, *(days - days[0])]):
        frame = polars.DataFrame({"x": X[:, 0], "when": values})
        with pytest.raises(ValueError, match=r"dates or durations in the columns \['when'\]"):
            clone(BRIEF).fit(frame, Y)


# --- C10 words ---


def test_c10_trusted_with_a_gap():
    mask = pd.array([pd.NA, *(Y[1:] > 0)], dtype="boolean")
    with pytest.raises(ValueError, match=r"trusted .* missing values in the rows \[0\]"):
        clone(BRIEF).fit(X, Y, trusted=mask)


def test_c10_rows_and_columns_of_nothing_but_nan():
    spoilt = X.copy()
    spoilt[[2, 5]] = np.nan
    with pytest.raises(ValueError, match=r"nothing else in the rows \[2, 5\]: drop these and"):
        clone(BRIEF).fit(spoilt, Y)
    spoilt = X.copy()
    spoilt[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"nothing else in the columns \[1\]: drop these"):
        clone(BRIEF).fit(spoilt, Y)


# --- C11 notebooks ---


# --- C12 others ---


# --- B01 offsets ---


def test_b01_a_unix_time_tells_as_much_as_its_difference():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    t = 1.75e9 + 40 * y + rng.normal(0, 8, 400)
    seconds, differences = t[:, None], (t - 1.75e9)[:, None]
    est = MILDSelector(rounds=1, random_state=0)
    expected = clone(est).fit(differences, y)
    fitted = clone(est).fit(seconds, y)
    assert fitted.score(seconds, y) == expected.score(differences, y) > 0.98
    assert (~fitted.clean_mask_).sum() == (~expected.clean_mask_).sum() < 20
    np.testing.assert_allclose(fitted.noise_scores_, expected.noise_scores_, atol=1e-3)
    nanoseconds = (1e9 * seconds).astype(np.int64)
    assert clone(est).fit(nanoseconds, y).score(nanoseconds, y) > 0.98


def test_b01_what_float32_has_lost_is_said():
    t = np.float32(1.75e9) + np.float32(128) * Y
    with pytest.warns(UserWarning, match=r"\[0\] vary by no more than float32 can tell apart"):
        clone(BRIEF).fit(t[:, None].astype(np.float32), Y)


# --- B02 other rows ---


# --- B03 a class lost ---


@by_name(
    [
        DLTClassifier(max_epochs=15, estimation_epochs=8, random_state=0),
        MetaRelabelClassifier(warmup_epochs=2, max_epochs=4, random_state=0),
        MILDSelector(rounds=2, max_epochs=8, random_state=0),
    ]
)
@pytest.mark.parametrize("n_rare", [1, 2, 8])
def test_b03_no_class_vanishes(est, n_rare):
    rng = np.random.default_rng(0)
    y = (np.arange(400) < n_rare).astype(int)
    rows = rng.normal(size=(400, 8)) + 1.2 * y[:, None]
    est = clone(est)
    kept, labels = est.fit_resample(rows, y)
    assert (np.bincount(labels, minlength=2) > 0).all()
    rare = np.flatnonzero(y == 1)
    lowest = rare[np.argmin(est.noise_scores_[rare])]
    if isinstance(est, DLTClassifier):
        assert est.clean_mask_[lowest]
    LogisticRegression().fit(kept, labels)
    np.testing.assert_array_equal(est.sample_indices_, np.flatnonzero(est.clean_mask_))


# --- B04 rare class ---


# --- B05 pair noise ---


# --- B06 row numbers ---


# --- B08 clean digits ---


# --- B09 X says nothing ---


# --- B10 review, labels beside gaps ---


# --- B11 nullable labels ---


@by_name(QUICKER)
@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]"])
def test_b11_nullable_labels_stay_integers(est, dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    codes = np.array([5, 2**60, 2**60 + 3])
    y = np.arange(90) % 3
    rows = np.random.default_rng(0).normal(3 * y[:, None], size=(90, 4))
    fitted = clone(est).fit(rows, pd.Series(codes[y], dtype=dtype))
    assert fitted.classes_.tolist() == codes.tolist()
    for labels in (fitted.classes_, fitted.predict(rows), fitted.corrected_labels_):
        assert labels.dtype == np.int64
    assert_same_fit(fitted, clone(est).fit(rows, y))


def test_b11_nullable_truth_values_stay_so():
    for dtype in ("boolean", "object"):
        fitted = clone(BRIEF).fit(X, pd.Series(Y > 0, dtype=dtype))
        assert fitted.classes_.dtype == fitted.corrected_labels_.dtype == bool


def test_b11_a_decision_on_nullable_labels():
    y = pd.Series([0, 1, 2] * 2, dtype="Int64")
    review = apply_review(y, [{"row": 0, "decision": "relabel", "label": 2}])
    assert review.labels.tolist() == [2, 1, 2, 0, 1, 2]


# --- B12 EpochScoring ---


# --- B13 Dataset in cross-validation ---


# --- B14 IterableDataset ---


# --- B15 LRScheduler ---


# --- NaN noise rate ---


# --- frozen BatchNorm ---
