"""What every estimator owes its users, whatever its method: one list over all of them."""

import functools
import os
import pickle
import random
import re
import subprocess
import sys
from copy import deepcopy

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from _estimators import (
    AS_THEY_COME,
    CHECKED,
    QUICK,
    QUICKER,
    READERS,
    SEMI_SUPERVISED,
    name_of,
    slow_but,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from noisyfit import ConsensusClassifier, MetaRelabelClassifier, MILDSelector
from noisyfit.data import SliceableDataset
from noisyfit.dynamics import TrainingDynamics
from noisyfit.modules import MLP
from noisyfit.training import ExpectedTime, NoisyNet

N_CLASSES = 3
# MetaRelabelClassifier says so; its own tests check that.
pytestmark = pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")


def expected_failures(est):
    """What of scikit-learn's checks cannot hold; tests/base/test_weights.py has what does."""
    batches = "rows that are there twice fall into other batches than one row of weight 2"
    failures = {f"check_sample_weight_equivalence_on_{kind}_data": batches for kind in KINDS}
    if isinstance(est, MetaRelabelClassifier) and est.max_epochs == 3:
        why = "the rows that stand in for trusted ones are balanced, whatever the class weights"
        failures["check_class_weight_classifiers"] = why
    return failures


KINDS = ("dense", "sparse")


def name_of_check(check):
    """Name one of scikit-learn's checks with its arguments."""
    given = ",".join(f"{key}={value}" for key, value in check.keywords.items())
    return check.func.__name__ + f"({given})" * bool(given)


def parametrize_with_few_checks(estimators, is_quick):
    """Scikit-learn's checks of estimators; slow but for is_quick(estimator's name, check's)."""
    params = []
    for est in estimators:
        for _, check in estimator_checks_generator(est):
            why = expected_failures(est).get(check.func.__name__)
            marks = [pytest.mark.xfail(reason=why)] if why else []
            name, name_check = type(est).__name__, name_of_check(check)
            if not is_quick(name, name_check):
                marks.append(pytest.mark.slow)
            params.append(pytest.param(est, check, marks=marks, id=f"{name}-{name_check}"))
    return pytest.mark.parametrize(("estimator", "check"), params)


READING = (
    "check_classifier_data_not_an_array",
    "check_classifiers_train(readonly_memmap",
    "check_dtype_object",
    "check_estimator_sparse_",
    "check_estimators_dtypes",
    "check_estimators_nan_inf",
    "check_n_features_in",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_sample_weight_equivalence",
    "check_sample_weights_",
    "check_supervised_y_2d",
)
"""Beginnings of the names of checks of how rows and weights are read."""


@parametrize_with_few_checks(
    CHECKED, lambda name, check: name in READERS or not check.startswith(READING)
)
def test_sklearn_checks(estimator, check):
    check(estimator)


@parametrize_with_few_checks(
    AS_THEY_COME,
    lambda _, check: (
        check
        in (
            "check_class_weight_classifiers",
            "check_classifiers_classes",
            "check_fit_idempotent",
            "check_no_attributes_set_in_init",
            "check_parameters_default_constructible",
        )
    ),
)
def test_sklearn_checks_of_default_settings(estimator, check):
    check(estimator)


# Of polars, tests/test_cases.py has a fit of each estimator.
@pytest.mark.parametrize("output", ["pandas", pytest.param("polars", marks=pytest.mark.slow)])
@parametrize_with_few_checks(
    [AS_THEY_COME[-1], *CHECKED],
    lambda name, check: (
        check == "check_dtype_object" or (name, check) == (READERS[0], "check_classifiers_classes")
    ),
)
def test_sklearn_checks_under_a_global_output(estimator, check, output, monkeypatch):
    if output == "polars":
        pytest.importorskip("polars")
    monkeypatch.setattr(  # the checks scale their own rows by it, and pick rows of arrays
        "sklearn.utils.estimator_checks.StandardScaler",
        lambda: StandardScaler().set_output(transform="default"),
    )
    with sklearn.config_context(transform_output=output):
        check(estimator)


EVERY = [*QUICK, *SEMI_SUPERVISED]
BY_READERS = pytest.mark.parametrize("est", slow_but(READERS, EVERY), indirect=True)
# Where two fits are compared, or nothing has to be found:
BRIEF = [*QUICKER, *SEMI_SUPERVISED]
BRIEFLY_BY_READERS = pytest.mark.parametrize("est", slow_but(READERS, BRIEF), indirect=True)
BRIEFLY = pytest.mark.parametrize(
    "est", slow_but([name_of(est) for est in QUICKER], BRIEF), indirect=True
)
BY_ONE = pytest.mark.parametrize("est", slow_but(READERS[:1], EVERY), indirect=True)


@pytest.fixture(params=slow_but([name_of(est) for est in QUICK], EVERY))
def est(request):
    return clone(request.param)


def planted_errors(n_classes=N_CLASSES, n_per_class=30, n_features=4, seed=0):
    """Blobs far apart; the central row of each class gets the next class's label."""
    X, y = make_blobs(
        n_classes * n_per_class,
        n_features,
        centers=6 * np.eye(n_classes, n_features),
        random_state=seed,
    )
    given = y.copy()
    flipped = [
        np.flatnonzero(y == c)[
            np.linalg.norm(X[y == c] - 6 * np.eye(n_features)[c], axis=1).argmin()
        ]
        for c in range(n_classes)
    ]
    given[flipped] = (y[flipped] + 1) % n_classes
    return X.astype(np.float32), given, flipped, y


X, GIVEN, FLIPPED, TRUE = planted_errors()
TRUSTED = np.zeros(len(X), dtype=bool)
TRUSTED[np.setdiff1d(np.arange(0, len(X), 4), FLIPPED)] = True


_FITS = {}


def fit_once(est, trusted=None, rows=X, y=GIVEN):
    """Return a copy of the estimator fitted on rows and labels, which is done once in a process."""
    key = (repr(est), joblib.hash((rows, y, trusted)))
    if key not in _FITS:
        _FITS[key] = clone(est).fit(rows, y, trusted=trusted)
    return deepcopy(_FITS[key])


def most_suspicious(est, k=N_CLASSES):
    return set(np.argsort(-est.noise_scores_)[:k].tolist())


def assert_same_fit(one, other):
    np.testing.assert_array_equal(one.noise_scores_, other.noise_scores_)
    np.testing.assert_array_equal(one.clean_mask_, other.clean_mask_)
    assert one.noise_rate_ == other.noise_rate_


def assert_contract(est, y, trusted=None):
    n = len(y)
    trusted = np.zeros(n, dtype=bool) if trusted is None else trusted
    assert est.noise_scores_.shape == (n,)
    assert est.noise_scores_.dtype == np.float64
    assert np.isfinite(est.noise_scores_).all()
    assert est.noise_scores_.min() >= 0
    assert est.noise_scores_.max() <= 1
    assert est.clean_mask_.shape == (n,)
    assert est.clean_mask_.dtype == bool
    assert (est.noise_scores_[trusted] == 0).all()
    assert est.clean_mask_[trusted].all()
    assert isinstance(est.noise_rate_, float)
    assert 0 <= est.noise_rate_ <= 1
    assert est.corrected_labels_.shape == (n,)
    assert est.corrected_labels_.dtype == np.asarray(y).dtype
    clean = est.clean_mask_
    np.testing.assert_array_equal(est.corrected_labels_[clean], np.asarray(y)[clean])
    np.testing.assert_array_equal(est.classes_, np.unique(y))
    assert isinstance(est.dynamics_, TrainingDynamics)
    assert est.dynamics_.n_samples == n
    assert len(est.history_) >= 1
    assert all(np.isfinite(epoch["train_loss"]) for epoch in est.history_)


# What a fit leaves behind


@pytest.mark.parametrize("trusted", [None, TRUSTED], ids=["no trusted rows", "trusted rows"])
def test_fitted_attributes(est, trusted):
    assert est.fit(X, GIVEN, trusted=trusted) is est
    assert_contract(est, GIVEN, trusted)
    assert est.n_features_in_ == 4
    assert not hasattr(est, "feature_names_in_")
    dropped, changed = ~est.clean_mask_, est.corrected_labels_ != GIVEN
    assert not changed[est.clean_mask_].any()
    replaced = dropped if est.held_out_noise_rate_ is None else changed
    np.testing.assert_array_equal(est.corrected_labels_[replaced], est.predict(X)[replaced])
    assert isinstance(est.net_.module_, nn.Module)


def test_predictions(est):
    est = fit_once(est)
    proba = est.predict_proba(X)
    assert proba.shape == (len(X), N_CLASSES)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(est.classes_[proba.argmax(axis=1)], est.predict(X))
    assert est.score(X, TRUE) >= 0.95
    weight = (est.predict(X) == TRUE).astype(float)
    assert est.score(X, TRUE, sample_weight=weight) == 1


def test_all_rows_may_be_trusted(est):
    trusted = np.ones(len(X), dtype=bool)
    est.fit(X, GIVEN, trusted=trusted)
    assert_contract(est, GIVEN, trusted)
    assert est.noise_rate_ == 0
    np.testing.assert_array_equal(est.corrected_labels_, GIVEN)


def test_a_trusted_error_is_believed(est):
    trusted = TRUSTED.copy()
    trusted[FLIPPED[0]] = True
    est.fit(X, GIVEN, trusted=trusted)
    assert_contract(est, GIVEN, trusted)
    assert most_suspicious(est, 2) == set(FLIPPED[1:])


@pytest.mark.parametrize(
    "trusted", [[0, 5], np.zeros(3, dtype=bool), np.zeros((len(X), 1), dtype=bool)]
)
def test_trusted_that_is_no_mask_is_refused(est, trusted):
    with pytest.raises(ValueError, match=r"boolean mask of shape \(90,\).*mask\[indices\] = True"):
        est.fit(X, GIVEN, trusted=trusted)


# The ranking


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_errors_rank_first(est, seed):
    rows, given, flipped, _ = planted_errors(seed=seed)
    assert most_suspicious(est.fit(rows, given)) == set(flipped)


def test_planted_errors_rank_first_in_any_row_order(est):
    order = np.random.default_rng(0).permutation(len(X))
    est.fit(X[order], GIVEN[order])
    assert {int(order[i]) for i in most_suspicious(est)} == set(FLIPPED)


def test_rows_sorted_by_class_do_no_harm(est):
    order = np.argsort(GIVEN, kind="stable")
    est.fit(X[order], GIVEN[order])
    assert {int(order[i]) for i in most_suspicious(est)} == set(FLIPPED)


# Randomness


@BRIEFLY
def test_same_random_state_same_fit(est):
    one, other = fit_once(est), clone(est).fit(X, GIVEN)
    assert_same_fit(one, other)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert_same_fit(one, other.fit(X, GIVEN))


@BRIEFLY
@pytest.mark.parametrize("random_state", [1, None])
def test_another_random_state_another_fit(est, random_state):
    one = fit_once(est)
    other = clone(est).set_params(random_state=random_state).fit(X, GIVEN)
    assert not np.array_equal(one.noise_scores_, other.noise_scores_)
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))


@BRIEFLY_BY_READERS  # the streams are made of it before a method sees it
def test_a_random_state_instance_moves_on(est):
    est.set_params(random_state=np.random.RandomState(0))
    first = est.fit(X, GIVEN).noise_scores_
    second = est.fit(X, GIVEN).noise_scores_
    assert not np.array_equal(first, second)
    est.set_params(random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(est.fit(X, GIVEN).noise_scores_, first)


def global_state():
    return (
        random.getstate(),
        *(
            part.tolist() if isinstance(part, np.ndarray) else part
            for part in np.random.get_state()  # noqa: NPY002
        ),
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_autocast_enabled("cpu"),
        torch.is_anomaly_enabled(),
        torch.get_deterministic_debug_mode(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.get_float32_matmul_precision(),
    )


@BRIEFLY
@pytest.mark.parametrize("random_state", [0, None])
def test_global_state_is_left_alone(est, random_state):
    before = global_state()
    est.set_params(random_state=random_state).fit(X, GIVEN).score_labels(X, GIVEN)
    assert global_state() == before


@BRIEFLY
def test_global_seeds_have_no_influence(est):
    one = fit_once(est)
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        assert_same_fit(one, clone(est).fit(X, GIVEN))


@BRIEFLY
def test_torch_may_be_told_to_use_deterministic_algorithms_only(est):
    expected = fit_once(est)
    torch.use_deterministic_algorithms(True)
    try:
        before = global_state()
        est.fit(X, GIVEN)
        assert global_state() == before
    finally:
        torch.use_deterministic_algorithms(False)
    assert_same_fit(est, expected)


@BY_ONE
def test_cross_validation_in_processes_finds_the_same(est):
    settings = {"cv": 2, "return_estimator": True, "error_score": "raise"}
    here = cross_validate(est, X, GIVEN, **settings)
    with joblib.parallel_config("loky", inner_max_num_threads=torch.get_num_threads()):
        there = cross_validate(est, X, GIVEN, n_jobs=2, **settings)
    np.testing.assert_array_equal(here["test_score"], there["test_score"])
    for one, other in zip(here["estimator"], there["estimator"], strict=True):
        assert_same_fit(one, other)


@pytest.mark.parametrize("num_workers", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_processes_of_joblib_stream_a_data_set(num_workers):
    """In these torch's loader cannot start workers by itself."""
    data = SliceableDataset(ConcatDataset([TensorDataset(torch.tensor(X, dtype=torch.float32))]))
    est = MILDSelector(rounds=1, max_epochs=3, judge_epochs=0, random_state=0)
    est.set_params(iterator_train__num_workers=num_workers)
    with joblib.parallel_config("loky", inner_max_num_threads=torch.get_num_threads()):
        there = cross_val_score(est, data, GIVEN, cv=2, n_jobs=2, error_score="raise")
    np.testing.assert_array_equal(there, cross_val_score(est, data, GIVEN, cv=2))


def test_judges_of_several_processes_find_the_same():
    rng = np.random.default_rng(0)
    images = (rng.normal(size=(60, 1, 8, 8)) + GIVEN[:60, None, None, None]).astype(np.float32)
    est = MILDSelector(rounds=1, max_epochs=3, judge_epochs=3, verbose=1, random_state=0)
    alone = clone(est).fit(images, GIVEN[:60])
    with joblib.parallel_config("loky", inner_max_num_threads=torch.get_num_threads()):
        together = clone(est).set_params(n_jobs=2).fit(images, GIVEN[:60])
    # A process has its share of the threads, which is one.
    np.testing.assert_allclose(together.noise_scores_, alone.noise_scores_, atol=1e-5)
    assert together.noise_rate_interval_ == pytest.approx(alone.noise_rate_interval_, abs=1e-6)


def test_several_processes_keep_no_state(tmp_path):
    est = MILDSelector(n_jobs=2, checkpoint=tmp_path / "fit")
    with pytest.raises(ValueError, match=r"each epoch is kept\. Got n_jobs=2; leave out one"):
        est.fit(X, GIVEN)


# Labels


@BRIEFLY_BY_READERS
@pytest.mark.parametrize(
    "names",
    [
        np.array(["ant", "bee", "wasp"]),
        np.array(["ant", "bee", "wasp"], dtype=object),
        np.array([-5, 3, 1000]),
        np.array([0, 1, 2], dtype=np.uint8),
        np.array([1.0, 2.0, 4.0]),
    ],
    ids=["strings", "objects", "gaps", "uint8", "floats"],
)
def test_labels_of_any_kind(est, names):
    expected = fit_once(est)
    est.fit(X, names[GIVEN])
    assert_same_fit(est, expected)
    assert_contract(est, names[GIVEN])
    np.testing.assert_array_equal(est.predict(X), names[expected.predict(X)])
    np.testing.assert_array_equal(
        est.score_labels(X, names[GIVEN]), expected.score_labels(X, GIVEN)
    )


@BY_READERS
def test_boolean_labels(est):
    rows, given, flipped, true = planted_errors(n_classes=2)
    est.fit(rows, given.astype(bool))
    assert_contract(est, given.astype(bool))
    assert est.predict(rows).dtype == bool
    assert most_suspicious(est, 2) == set(flipped)
    assert est.score(rows, true.astype(bool)) >= 0.95


# Containers


@pytest.fixture
def reference(est):
    return fit_once(est, TRUSTED)


@BRIEFLY_BY_READERS
def test_lists(est, reference):
    est.fit(X.tolist(), GIVEN.tolist(), trusted=TRUSTED.tolist())
    assert_same_fit(est, reference)


@BRIEFLY_BY_READERS
def test_data_frame_with_an_odd_index(est, reference):
    index = [f"row {i % 7}" for i in range(len(X))]  # not even unique
    frame = pd.DataFrame(X, columns=list("abcd"), index=index)
    labels = pd.Series(GIVEN, index=np.arange(len(X))[::-1])
    est.fit(frame, labels, trusted=pd.Series(TRUSTED, index=index[::-1]))
    assert_same_fit(est, reference)
    assert est.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(est.predict(frame), reference.predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        est.predict(frame.rename(columns={"a": "z"}))


# The ensemble compares rows with their neighbors besides.
@pytest.mark.parametrize("est", slow_but((*READERS, "ConsensusClassifier"), BRIEF), indirect=True)
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix])
def test_sparse_rows(est, kind):
    est.set_params(standardize=False)
    dense = fit_once(est)
    est.fit(kind(X), GIVEN)
    assert_same_fit(est, dense)
    np.testing.assert_array_equal(est.predict(kind(X)), dense.predict(X))


@BY_READERS
def test_sparse_rows_are_standardised(est):
    X_scaled = sparse.csr_matrix(X * [1, 1e-4, 1e4, 1])
    assert most_suspicious(est.fit(X_scaled, GIVEN)) == set(FLIPPED)


@BRIEFLY_BY_READERS
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8])
def test_other_dtypes(est, dtype):
    values = np.rint(X * 8 - X.min() * 8).astype(dtype)  # integers that all these types hold
    expected = fit_once(est, rows=values.astype(np.float32))
    assert_same_fit(est.fit(values, GIVEN), expected)
    assert est.predict_proba(values).dtype == np.float32


@BRIEFLY_BY_READERS
@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "read-only", "tensor"])
def test_memory_layouts(est, reference, layout):
    laid_out = {
        "fortran": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
        "reversed": X[:, ::-1].copy()[:, ::-1],
        "read-only": X.copy(),
        "tensor": torch.from_numpy(X.copy()),
    }[layout]
    given, trusted = GIVEN.copy(), TRUSTED.copy()
    if layout == "read-only":
        for array in (laid_out, given, trusted):
            array.setflags(write=False)
    assert_same_fit(est.fit(laid_out, given, trusted=trusted), reference)
    np.testing.assert_array_equal(est.predict(laid_out), reference.predict(X))
    np.testing.assert_array_equal(np.asarray(laid_out), X)


# Images


def images(n_per_class=16, seed=0):
    """Bright upper or lower half, 8x8 pixels of one channel; one planted error per class."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], n_per_class)
    pixels = rng.integers(0, 100, (2 * n_per_class, 1, 8, 8))
    pixels[y == 0, :, :4] += 120
    pixels[y == 1, :, 4:] += 120
    given, flipped = y.copy(), [3, n_per_class + 3]
    given[flipped] = 1 - y[flipped]
    return pixels.astype(np.uint8), given, flipped


def on_images(est):
    # Judges that train for as few epochs as on tables rank another row first on some processors.
    return est.set_params(batch_size=8, module__width=8, judge_epochs=3 * est.judge_epochs)


def assert_images_are_fitted(est, pixels, given, flipped):
    on_images(est).fit(pixels, given)
    assert_contract(est, given)
    assert most_suspicious(est, 2) == set(flipped)
    assert est.n_features_in_ == 1
    assert est.predict_proba(pixels).shape == (32, 2)


def test_images(est):
    assert_images_are_fitted(est, *images())


@BY_READERS
def test_images_of_floats(est):
    pixels, given, flipped = images()
    assert_images_are_fitted(est, pixels / 255, given, flipped)


def test_channels_last_images_are_refused(est):
    pixels, given, _ = images()
    with pytest.raises(ValueError, match=r"\(32, 8, 8, 1\).*X\.transpose\(0, 3, 1, 2\)"):
        on_images(est).fit(pixels.transpose(0, 2, 3, 1), given)


def test_integer_images_are_refused(est):
    pixels, given, _ = images()
    with pytest.raises(ValueError, match=r"int64.*X\.astype\(np\.uint8\)"):
        on_images(est).fit(pixels.astype(np.int64), given)


def test_images_with_nan_are_refused(est):
    pixels, given, _ = images()
    pixels = pixels / 255
    pixels[3, 0, 1, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        on_images(est).fit(pixels, given)


# Streamed data sets


class WithTargets(Dataset):
    """Like torchvision's data sets: labels are known without reading an item."""

    def __init__(self, X, y):
        self.X, self.targets = X, y.tolist()

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.targets[i]


class InputsOnly(WithTargets):
    def __init__(self, X, y):
        self.X = X

    def __getitem__(self, i):
        return self.X[i]


NO_WORKERS = {"iterator_train__num_workers": 0}


@BRIEFLY_BY_READERS
@pytest.mark.parametrize("source", ["items", "targets", "subset", "inputs"])
def test_streamed_data_set(est, source):
    if isinstance(est, ConsensusClassifier):
        pytest.skip("streamed rows have no neighbours that could be asked")
    est.set_params(standardize=False)
    resident = fit_once(est)
    whole = WithTargets(np.repeat(X, 2, axis=0), np.repeat(GIVEN, 2))
    dataset, y = {
        "items": (TensorDataset(torch.from_numpy(X), torch.from_numpy(GIVEN)), None),
        "targets": (WithTargets(X, GIVEN), None),
        "subset": (Subset(whole, range(0, 2 * len(X), 2)), None),
        "inputs": (InputsOnly(X, GIVEN), GIVEN),
    }[source]
    est.set_params(**NO_WORKERS).fit(dataset, y)
    assert_same_fit(est, resident)
    np.testing.assert_array_equal(est.predict(dataset), resident.predict(X))
    np.testing.assert_array_equal(est.score_labels(dataset, GIVEN), resident.score_labels(X, GIVEN))
    if y is None:
        assert est.score(dataset) == resident.score(X, GIVEN)


def test_a_data_set_does_not_stand_in_for_a_table(est):
    est = fit_once(est)
    with pytest.raises(ValueError, match=r"fit was given a table.*Got a WithTargets instead"):
        est.predict(WithTargets(X, GIVEN))


class Jittered(WithTargets):
    """Transforms of users draw from any generator."""

    def __getitem__(self, i):
        drawn = torch.rand(()).item() + np.random.rand() + random.random()  # noqa: NPY002
        return np.float32(0.1 * drawn) + self.X[i], self.targets[i]


@BRIEFLY_BY_READERS
def test_transforms_that_draw_at_random_are_repeated_and_leave_no_trace(est):
    est.set_params(standardize=False, **NO_WORKERS)
    dataset, before = Jittered(X, GIVEN), global_state()
    one = clone(est).fit(dataset)
    assert global_state() == before
    assert one.predict_proba(dataset).shape == (len(X), N_CLASSES)
    assert global_state() == before
    with torch.random.fork_rng():
        torch.manual_seed(7)
        other = clone(est).fit(dataset)
    assert_same_fit(one, other)
    np.testing.assert_array_equal(one.corrected_labels_, other.corrected_labels_)
    plain = clone(est).fit(WithTargets(X, GIVEN))
    assert (plain.noise_scores_ != one.noise_scores_).any()


def test_data_set_without_labels_is_refused(est):
    with pytest.raises(ValueError, match=r"InputsOnly has neither.*pass the labels as y"):
        est.fit(InputsOnly(X, GIVEN))


def test_data_set_of_one_class_is_refused(est):
    with pytest.raises(ValueError, match="only one class"):
        est.fit(WithTargets(X, np.zeros_like(GIVEN)))


def test_data_set_and_labels_of_different_length_are_refused(est):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        est.fit(WithTargets(X, GIVEN), GIVEN[:-1])


@BRIEFLY_BY_READERS
def test_fit_resample_of_a_data_set_is_a_subset(est):
    dataset = WithTargets(X, GIVEN)
    kept, y = est.set_params(**NO_WORKERS).fit_resample(dataset, None)
    assert isinstance(kept, Subset)
    assert kept.indices == np.flatnonzero(est.clean_mask_).tolist()
    assert y is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")  # on one processor
def test_workers_read_the_same_rows(est):
    est.set_params(standardize=False)
    streamed = WithTargets(X, GIVEN)
    if isinstance(est, ConsensusClassifier):  # which asks the nearest rows of resident ones, too
        alone = clone(est).set_params(**NO_WORKERS).fit(streamed)
    else:
        alone = fit_once(est)
    assert_same_fit(est.set_params(iterator_train__num_workers=2).fit(streamed), alone)


def test_no_one_holds_the_logits_of_all_rows(est, monkeypatch):
    """Rows times classes would not fit for many of both; only predict_proba gives that much."""
    if isinstance(est, MetaRelabelClassifier):
        pytest.skip("corrected_proba_ has a column for each class")
    taken = "the logits of all rows"

    def predict_logits(*args):
        pytest.fail(taken)

    monkeypatch.setattr("noisyfit.base._classifier.predict_logits", predict_logits)
    monkeypatch.setattr("noisyfit.training._prediction.predict_logits", predict_logits)
    est.fit(X, GIVEN)
    est.predict(X)
    est.score_labels(X, GIVEN)
    with pytest.raises(pytest.fail.Exception, match=taken):
        est.predict_proba(X)


@BRIEFLY
@pytest.mark.parametrize("recording", [None, "held_out"])
def test_records_in_a_folder_change_nothing(est, recording, tmp_path):
    if recording is not None:
        if "recording" not in est.get_params():
            pytest.skip(f"{type(est).__name__} records in sample only")
        est.set_params(recording=recording)
    stored = clone(est).set_params(record_folder=tmp_path).fit(X, GIVEN)
    columns = [column for part in stored.dynamics_._columns.values() for column in part]
    assert columns
    assert not any(isinstance(column, np.ndarray) for column in columns)
    del columns
    est = fit_once(est)
    assert_same_fit(stored, est)
    again = pickle.loads(pickle.dumps(stored))
    for dynamics in (stored.dynamics_, again.dynamics_):
        for quantity in est.dynamics_.quantities:
            expected = getattr(est.dynamics_, quantity)
            np.testing.assert_array_equal(getattr(dynamics, quantity), expected)
    del stored, dynamics
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_refused_before_training(est, tmp_path, monkeypatch):
    monkeypatch.setattr(NoisyNet, "train_stage", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(FileNotFoundError, match=r"nowhere.*Make it first"):
        est.set_params(record_folder=tmp_path / "nowhere").fit(X, GIVEN, trusted=TRUSTED)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_on_tables(est, precision):
    if precision == "float16" and isinstance(est, MetaRelabelClassifier):
        pytest.skip("refused: see its own tests")
    est.set_params(precision=precision).fit(X, GIVEN, trusted=TRUSTED)
    assert_contract(est, GIVEN, TRUSTED)
    assert most_suspicious(est) == set(FLIPPED)


# Bad and scarce input


def spoilt(value):
    rows = X.copy()
    rows[3, 0] = value
    return rows


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: (spoilt(np.nan), GIVEN), "contains NaN"),
        (lambda: (spoilt(np.inf), GIVEN), "contains infinity"),
        (lambda: (X, np.zeros(len(X), dtype=int)), "only one class"),
        (lambda: (X, np.where(GIVEN == 0, np.nan, GIVEN)), "y contains NaN"),
        (lambda: (X, GIVEN + 0.5 * np.arange(len(X))), "Unknown label type: continuous"),
        (lambda: (X, GIVEN[:-1]), "inconsistent numbers of samples"),
        (lambda: (X, None), "requires y to be passed"),
        (lambda: (X[:1], GIVEN[:1]), r"1 sample\(s\).*minimum of 2"),
        (lambda: (X[:, 0], GIVEN), "Expected 2D array"),
        (lambda: (X[:, :0], GIVEN), r"0 feature\(s\)"),
        (lambda: (X, np.eye(N_CLASSES)[GIVEN]), "should be a 1d array"),
    ],
)
def test_bad_input_is_refused(est, make, message):
    rows, y = make()
    with pytest.raises(ValueError, match=message):
        est.fit(rows, y)


@BRIEFLY
def test_a_class_with_a_single_row(est):
    surplus = np.flatnonzero(np.equal(GIVEN, 2))[1:]
    rows, y = np.delete(X, surplus, axis=0), np.delete(GIVEN, surplus)
    assert_contract(est.fit(rows, y), y)
    assert est.predict_proba(rows).shape == (len(rows), N_CLASSES)


@BRIEFLY
def test_six_rows(est):
    two_of_each = np.argsort(TRUE, kind="stable").reshape(N_CLASSES, -1)[:, :2].ravel()
    assert_contract(est.fit(X[two_of_each], TRUE[two_of_each]), TRUE[two_of_each])


@BRIEFLY
def test_constant_features(est):
    rows = np.zeros((20, 3))
    y = np.arange(20) % 2
    assert_contract(est.fit(rows, y), y)


def test_divergence_is_named(est):
    with pytest.raises(FloatingPointError, match=r"Training diverged.*Lower lr"):
        est.set_params(lr=1e30).fit(X, GIVEN)


def test_unknown_parameter_is_refused_at_fit(est):
    misspelt = type(est)(max_epoch=3)
    with pytest.raises(TypeError, match=r"'max_epoch' \(did you mean 'max_epochs'\?\)"):
        misspelt.fit(X, GIVEN)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_absent_cuda_is_named(est):
    with pytest.raises(ValueError, match=r"'cuda'.*no CUDA device.*'cpu'"):
        est.set_params(device="cuda").fit(X, GIVEN)


# The network


class Linear(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.linear = nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.linear(x)


def small_mlp(n_features, n_classes, width=16):
    return MLP(n_features, n_classes, hidden=(width,))


class Failing(Linear):
    def forward(self, x):
        raise IndexError("list index out of range")


class OneLogit(Linear):
    def forward(self, x):
        return super().forward(x)[:, :1]


class Tuple(Linear):
    def forward(self, x):
        return super().forward(x), x


@BY_READERS
@pytest.mark.parametrize(
    "params",
    [
        {"module": Linear},
        {"module": Linear(4, 3)},
        {"module": small_mlp, "module__width": 8},
        {"module": functools.partial(MLP, hidden=(8,))},
        {"module": nn.Linear, "module__in_features": 4, "module__out_features": 3},
    ],
    ids=["class", "instance", "function", "partial", "foreign class"],
)
def test_modules_of_any_kind(est, params):
    est.set_params(**params).fit(X, GIVEN)
    assert_contract(est, GIVEN)
    assert most_suspicious(est) == set(FLIPPED)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(est)).predict_proba(X), est.predict_proba(X)
    )


@BRIEFLY_BY_READERS
def test_module_instance_is_untouched(est):
    module = MLP(4, 3, hidden=(8,), batch_norm=True)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    est.set_params(module=module)
    one, other = clone(est).fit(X, GIVEN), est.fit(X, GIVEN)
    assert est.module is module
    assert module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert_same_fit(one, other)
    assert_same_fit(one, est.fit(X, GIVEN))


def test_module_instance_takes_no_parameters(est):
    est.set_params(module=Linear(4, 3), module__n_classes=3)
    with pytest.raises(ValueError, match=r"instance of Linear.*n_classes.*pass the class"):
        est.fit(X, GIVEN)


def test_failing_module_is_explained(est):
    with pytest.raises(
        ValueError, match=r"Failing on a batch of shape \(2, 4\) with 3 classes.*out of range"
    ) as raised:
        est.set_params(module=Failing).fit(X, GIVEN)
    assert isinstance(raised.value.__cause__, IndexError)


@pytest.mark.parametrize(("module", "got"), [(OneLogit, r"\(2, 1\)"), (Tuple, "tuple")])
def test_wrong_output_is_explained(est, module, got):
    with pytest.raises(ValueError, match=rf"logits of shape \(2, 3\)\. Got {got} instead"):
        est.set_params(module=module).fit(X, GIVEN)


@BRIEFLY
def test_batch_norm_meets_no_batch_of_one_row(est):
    est.set_params(module__batch_norm=True, batch_size=8)
    n = 8 * 8 + 1
    assert_contract(est.fit(X[:n], GIVEN[:n]), GIVEN[:n])


# Callbacks, progress and interruption


class Spy(Callback):
    calls = 0  # of the class: the instances that fit uses are copies

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        Spy.calls += 1
        self.seen.append(net)


@BRIEFLY
def test_the_users_callbacks_are_called_themselves(est, monkeypatch):
    monkeypatch.setattr(Spy, "calls", 0)
    named, nameless = Spy(), Spy()
    callbacks = [("spy", named), nameless]
    est.set_params(callbacks=callbacks).fit(X, GIVEN)
    assert Spy.calls / 2 == len(named.seen) == len(nameless.seen) >= len(est.history_) > 0
    assert est.callbacks is callbacks
    left = [c for _, c in est.net_.callbacks_ if c is named or c is nameless]
    assert not left, "the fitted net lets them go"


class Interrupting(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize("verbose", [0, 1])
def test_ctrl_c_ends_the_fit(est, verbose):
    before = global_state()
    with pytest.raises(KeyboardInterrupt):
        est.set_params(callbacks=[Interrupting()], verbose=verbose).fit(X, GIVEN)
    assert not hasattr(est, "noise_scores_")
    assert global_state() == before


@BRIEFLY
def test_one_progress_bar(est, capfd, monkeypatch):
    monkeypatch.setattr("noisyfit.training._progress._can_redraw", lambda: True)
    monkeypatch.setattr("noisyfit.training._expected_time.WORTH_SAYING", np.inf)  # on any machine
    est.set_params(verbose=1).fit(X, GIVEN)
    out, err = capfd.readouterr()
    assert out == ""
    assert type(est).__name__ in err
    assert "epoch" in err
    assert "100%" in err
    assert err.count("\n") == 1, "one bar is one line, redrawn"


def test_lines_in_a_log(est, capfd, monkeypatch):
    planned = {}

    class Expected(ExpectedTime):
        def plan(self, stages, note=""):
            super().plan(stages, note)
            planned["expected"] = self
            planned["labels"] = planned.get("labels", set()) | {s.label for s in self._stages}

        def begin(self, label, epochs):
            assert label in planned["labels"]
            super().begin(label, epochs)

    monkeypatch.setattr("noisyfit.base._trainer.ExpectedTime", Expected)
    monkeypatch.setattr("noisyfit.training._expected_time.WORTH_SAYING", np.inf)  # on any machine
    est.set_params(verbose=1).fit(X, GIVEN)
    out, err = capfd.readouterr()
    assert out == ""
    assert "\r" not in err
    for line in err.splitlines():
        assert re.fullmatch(rf"{type(est).__name__}.*: epoch \d+/\d+(, loss=\S+)?, \d\d:\d\d", line)
    n_epochs, total = re.search(r"epoch (\d+)/(\d+)", line).groups()
    assert n_epochs == total
    present, *others = planned["expected"]._stages
    assert planned["expected"]._done == present.epochs, "the epochs were as planned"
    assert all(stage.optional for stage in others)


@BRIEFLY
def test_silent_by_default(est, capfd):
    est.set_params(verbose=0).fit(X, GIVEN).predict(X)
    assert capfd.readouterr() == ("", "")


# Copies


@BRIEFLY
def test_pickle_is_small_and_predicts_the_same(est, tmp_path):
    rows = np.concatenate([X, np.random.default_rng(0).normal(size=(len(X), 2000))], axis=1)
    rows = rows.astype(np.float32)
    est.set_params(module__hidden=(8,)).fit(rows, GIVEN)
    joblib.dump(est, tmp_path / "est.joblib")
    pickled = pickle.dumps(est)
    # Once the network, a scaler of two numbers a column, and little more; the rows alone have more.
    # A detector that was used belongs to the fit.
    networks = [est.net_] + ([est.detector_] if hasattr(est, "detector_") else [])
    weights = 4 * sum(p.numel() for net in networks for p in net.module_.parameters())
    assert len(pickled) < weights + 16 * rows.shape[1] + 60_000 < rows.nbytes
    for copy in (pickle.loads(pickled), joblib.load(tmp_path / "est.joblib")):
        np.testing.assert_array_equal(copy.predict_proba(rows), est.predict_proba(rows))
        np.testing.assert_array_equal(copy.score_labels(rows, GIVEN), est.score_labels(rows, GIVEN))
        assert_same_fit(copy, est)
        assert copy.history_ == est.history_
        assert copy.get_params() == est.get_params()


@BRIEFLY
def test_clone_takes_parameters_only(est):
    est = fit_once(est.set_params(module__hidden=(8,), optimizer__momentum=0.5))
    copy = clone(est)
    assert copy.get_params() == est.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert_same_fit(copy.fit(X, GIVEN), est)


# Inside scikit-learn's tools


def test_pipeline(est):
    pipeline = make_pipeline(StandardScaler(), est)
    pipeline.set_params(**{f"{type(est).__name__.lower()}__module__hidden": (16,)})
    assert pipeline.fit(X, GIVEN).score(X, TRUE) >= 0.95
    assert most_suspicious(pipeline[-1]) == set(FLIPPED)
    layers = [m for m in pipeline[-1].net_.module_.modules() if isinstance(m, torch.nn.Linear)]
    assert layers[0].out_features == 16


@BY_READERS
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_grid_search(est, n_jobs):
    grid = [
        {"module__hidden": [()], "optimizer__momentum": [0.0]},
        {"module__hidden": [(16,)], "optimizer__momentum": [0.9]},
    ]
    search = GridSearchCV(est, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(X, GIVEN)
    assert search.best_score_ >= 0.9
    assert search.best_params_.keys() == grid[0].keys()
    assert most_suspicious(search.best_estimator_) == set(FLIPPED)


@BY_READERS
def test_trusted_is_routed_to_each_fold(est):
    with sklearn.config_context(enable_metadata_routing=True):
        result = cross_validate(
            est,
            X,
            GIVEN,
            cv=2,
            params={"trusted": TRUSTED},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
        pipeline = make_pipeline(StandardScaler(), clone(est)).fit(X, GIVEN, trusted=TRUSTED)
    for fitted, rows in zip(result["estimator"], result["indices"]["train"], strict=True):
        assert_contract(fitted, GIVEN[rows], TRUSTED[rows])
        assert (fitted.noise_scores_[~TRUSTED[rows]] > 0).any()
    assert_contract(pipeline[-1], GIVEN, TRUSTED)


@BY_READERS
def test_stacking(est):
    stack = StackingClassifier(
        [("net", est), ("linear", LogisticRegression())], LogisticRegression(), cv=2
    )
    assert stack.fit(X, GIVEN).score(X, TRUE) >= 0.95


@BY_READERS
def test_bagging(est):
    bag = BaggingClassifier(est, n_estimators=2, max_samples=0.8, random_state=0)
    assert bag.fit(X, GIVEN).score(X, TRUE) >= 0.95
    one, other = bag.estimators_
    assert one.random_state != other.random_state


# New rows


def test_score_labels_of_new_rows(est):
    rows, given, flipped, _ = planted_errors(seed=7)
    scores = fit_once(est).score_labels(rows, given)
    assert scores.shape == (len(rows),)
    assert scores.dtype == np.float64
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert set(np.argsort(-scores)[:N_CLASSES].tolist()) == set(flipped)


def test_score_labels_is_bayes_rule(est):
    est = fit_once(est)
    p = est.predict_proba(X).astype(np.float64)[np.arange(len(X)), GIVEN]
    rate = np.clip(est.noise_rate_, 1e-3, 2 / 3)
    expected = 1 - (1 - rate) * p / ((1 - rate) * p + rate / 2 * (1 - p))
    np.testing.assert_allclose(est.score_labels(X, GIVEN), expected, atol=1e-4)


def test_score_labels_refuses_unknown_labels_and_lengths(est):
    est = fit_once(est)
    with pytest.raises(ValueError, match=r"\[7\], which were not seen in fit.*\[0, 1, 2\]"):
        est.score_labels(X[:2], [0, 7])
    with pytest.raises(ValueError, match="X has 3 rows, but y has 2 labels"):
        est.score_labels(X[:3], [0, 1])


def test_fit_resample_returns_the_kept_rows(est):
    rng = np.random.default_rng(0)
    given = np.where(rng.random(len(X)) < 0.3, (TRUE + 1) % N_CLASSES, TRUE)
    wide = (X + rng.normal(0, 2, X.shape)).astype(np.float32)
    rows, y = est.fit_resample(wide, given)
    np.testing.assert_array_equal(rows, wide[est.clean_mask_])
    np.testing.assert_array_equal(y, given[est.clean_mask_])
    assert 0 < len(rows) < len(X)


@BRIEFLY_BY_READERS
def test_fit_resample_keeps_the_container(est):
    index = [f"row {i}" for i in range(len(X))]
    frame, labels = pd.DataFrame(X, index=index, columns=list("abcd")), pd.Series(GIVEN, index)
    kept, y = est.fit_resample(frame, labels, trusted=TRUSTED)
    pd.testing.assert_frame_equal(kept, frame[est.clean_mask_])
    pd.testing.assert_series_equal(y, labels[est.clean_mask_])
    assert est.noise_scores_[TRUSTED].max() == 0
    kept, y = est.fit_resample(X.tolist(), GIVEN.tolist())
    assert kept == X[est.clean_mask_].tolist()
    assert y == GIVEN[est.clean_mask_].tolist()
    kept, y = est.fit_resample(sparse.csr_matrix(X), GIVEN)
    assert sparse.issparse(kept)
    np.testing.assert_array_equal(kept.toarray(), X[est.clean_mask_])


# The installation


def run_python(code, **environment):
    # skorch imports torch_geometric, where it is installed, which still calls this.
    ignored = "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", ignored, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


# CUDA


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_cuda_fit_predicts_on_a_machine_without_cuda(est, kind, tmp_path):
    if kind == "table":
        rows, given, flipped = X, GIVEN, FLIPPED
    else:
        rows, given, flipped = images()
        on_images(est)
    est.set_params(device="cuda").fit(rows, given)
    assert next(est.net_.module_.parameters()).is_cuda
    assert_contract(est, given)
    assert most_suspicious(est, len(flipped)) == set(flipped)
    assert_same_fit(est, clone(est).fit(rows, given))
    path, data, out = tmp_path / "est.pkl", tmp_path / "rows.npy", tmp_path / "proba.npy"
    path.write_bytes(pickle.dumps(est))
    np.save(data, rows)
    code = (
        "import pickle, sys, numpy as np, torch; assert not torch.cuda.is_available(); "
        f"est = pickle.load(open({str(path)!r}, 'rb')); "
        f"np.save({str(out)!r}, est.predict_proba(np.load({str(data)!r})))"
    )
    result = run_python(code, CUDA_VISIBLE_DEVICES="")
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(np.load(out), est.predict_proba(rows), atol=0.05)


@pytest.mark.gpu
def test_the_cuda_generator_is_left_alone(est):
    before = torch.cuda.get_rng_state()
    est.set_params(device="cuda", module__dropout=0.1).fit(X, GIVEN)
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["table", "images"])
def test_cuda_repeats_to_the_last_bit_on_request(est, kind):
    """As docs/reliability.md shows it; the variable must be set before CUDA starts."""
    number = [repr(e) for e in EVERY].index(repr(est))
    make = "images" if kind == "images" else "planted_errors"
    code = (
        "import sys, warnings, torch\n"
        f"sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        f"from test_common import EVERY, clone, {make}, on_images, assert_same_fit\n"
        'warnings.filterwarnings("ignore", message="No trusted rows")\n'
        "torch.use_deterministic_algorithms(True)\n"
        f'est = clone(EVERY[{number}]).set_params(device="cuda")\n'
        f"rows, given, *_ = {make}()\n"
        f"{'on_images(est)' if kind == 'images' else ''}\n"
        "assert_same_fit(clone(est).fit(rows, given), clone(est).fit(rows, given))\n"
    )
    result = run_python(code, CUBLAS_WORKSPACE_CONFIG=":4096:8")
    assert result.returncode == 0, result.stderr
