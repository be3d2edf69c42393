"""Copies of X: what checking, scaling and holding rows takes beside what the user has passed."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from _estimators import QUICKER, READERS, name_of, slow_but
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from torch.utils.data import TensorDataset

from noisyfit import MILDSelector
from noisyfit.data import fit_scaler, make_rows
from noisyfit.data._checks import check_X, check_X_y
from noisyfit.label_quality import break_ties, calibrate_judged

CPU = torch.device("cpu")
NAMES = [name_of(est) for est in QUICKER]
RNG = np.random.default_rng(0)


class Estimator(ClassifierMixin, BaseEstimator):
    """Gets n_features_in_."""


def table(dtype=np.float32, order="C", n_features=50, size=4_000_000):
    return RNG.normal(size=(size // n_features, n_features)).astype(dtype, order=order)


def large_table():
    """A mask of its entries would take more than what is allowed beside copies."""
    return table(size=10_000_000)


def images(dtype):
    shape = (4000, 3, 32, 32)
    return RNG.integers(256, size=shape, dtype=np.uint8).astype(dtype, copy=False)


def csr():
    # sparse.random_array would take longer than what is measured.
    indices = np.arange(0, 1000, 10, dtype=np.int32) + RNG.integers(10, size=(100_000, 1))
    indptr = np.arange(0, indices.size + 1, 100, dtype=np.int32)
    data = RNG.random(indices.size, dtype=np.float32)
    return sparse.csr_array((data, indices.astype(np.int32).ravel(), indptr), (100_000, 1000))


def read_only(X):
    X.setflags(write=False)
    return X


def n_bytes(X):
    arrays = [X.data, X.indices, X.indptr] if sparse.issparse(X) else [X]
    return sum(array.nbytes for array in arrays)


def peak(function):
    """Return what a function returns, and how much more memory it had at its peak than before."""
    tracemalloc.start()
    try:
        result = function()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("make", "standardize", "copies"),
    [
        (large_table, True, 1),
        (large_table, False, 0),
        (lambda: table(order="F"), True, 1),
        (lambda: table(n_features=6), True, 1),
        (lambda: read_only(table()), True, 1),
        (lambda: table(np.float64), True, 1),
        (lambda: table(np.float64) + 1e9, True, 1),
        (lambda: (1e9 * table(np.float64, size=10_000_000)).astype(np.int64), True, 1),
        (lambda: table(np.float64), False, 0.5),
        (csr, True, 1),
        (csr, False, 0),
        (lambda: images(np.uint8), True, 0),
        (lambda: images(np.float32), True, 0),
        (lambda: read_only(images(np.uint8)), True, 1),
        (lambda: images(np.uint8).transpose(0, 1, 3, 2), True, 1),
        (lambda: torch.from_numpy(images(np.uint8)).numpy(), True, 0),
    ],
    ids=[
        "float32 table",
        "as it is",
        "Fortran order",
        "narrow",
        "read-only",
        "float64 table",
        "beyond float32",
        "int64 table",
        "float64 table as it is",
        "CSR",
        "CSR as it is",
        "uint8 images",
        "float32 images",
        "read-only images",
        "transposed images",
        "tensor",
    ],
)
def test_at_most_one_copy_is_made(make, standardize, copies):
    X, est = make(), Estimator()
    y = np.arange(X.shape[0]) % 2

    def fit():
        checked, _ = check_X_y(est, X, y)
        scaler = fit_scaler(checked) if standardize else None
        return scaler, make_rows(checked, y, CPU, scaler)

    (scaler, rows), fitting = peak(fit)
    del rows
    _, predicting = peak(lambda: make_rows(check_X(est, X, None), None, CPU, scaler))
    blocks = 6e6 + 16 * len(y)  # and labels
    assert fitting <= copies * n_bytes(X) + blocks
    assert predicting <= copies * n_bytes(X) + blocks


def small(kind):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    if kind == "table":
        return rng.normal(y[:, None], 1, size=(60, 4)).astype(np.float32), y
    pixels = rng.integers(200, size=(60, 1, 6, 6)) + 20 * y[:, None, None, None]
    return pixels.astype(np.uint8) if kind == "uint8" else pixels.astype(np.float32) / 255, y


def quick(est, kind):
    width = {"module__hidden": (8,)} if kind == "table" else {"module__width": 4}
    return clone(est).set_params(standardize=kind != "table", **width)


# Images are read alike by all, but some make views of them.
VIEWERS = (*READERS, "DivideMixClassifier")


@pytest.mark.parametrize(
    ("est", "kind"),
    [
        pytest.param(*param.values, kind, marks=param.marks, id=f"{param.id}-{kind}")
        for kind, names in (("table", NAMES), ("uint8", VIEWERS), ("float32", VIEWERS))
        for param in slow_but(names, QUICKER)
    ],
)
@pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")
def test_a_fit_leaves_the_users_array_as_it_is_and_lets_go_of_it(est, kind):
    X, y = small(kind)
    before = X.copy()
    fitted = quick(est, kind).fit(X, y)
    scores = fitted.noise_scores_
    expected = fitted.predict_proba(X)
    np.testing.assert_array_equal(X, before)
    gone = weakref.ref(X)
    del X
    gc.collect()
    assert gone() is None
    again = quick(est, kind).fit(read_only(before), y)
    np.testing.assert_array_equal(again.noise_scores_, scores)
    np.testing.assert_array_equal(again.predict_proba(before), expected)


def test_a_tensor_data_set_is_not_copied():
    X = torch.zeros(5, 3)
    rows = make_rows(TensorDataset(X), np.zeros(5, dtype=np.int64), CPU, None)
    assert rows.source.X.data_ptr() == X.data_ptr()


@pytest.mark.parametrize("trusted", [False, True])
def test_breaking_ties_and_calibrating_take_few_numbers_a_row(trusted):
    n_rows = 200_000
    levels, order = RNG.integers(40, size=n_rows).astype(float), RNG.normal(size=n_rows)
    wrong, verified = RNG.random(n_rows) < 0.2, (RNG.random(n_rows) < 0.01) & trusted
    assert peak(lambda: break_ties(levels, order))[1] < 40 * n_rows
    # Those that nobody verified are copied, and what becomes of them is.
    limit = 42 + 18 * trusted
    assert peak(lambda: calibrate_judged(order, wrong, 0.2, verified))[1] < limit * n_rows


@pytest.mark.parametrize("rounds", [1, 2])
def test_what_a_fit_takes_for_each_row(rounds):
    n_rows = 100_000
    X, y = RNG.normal(size=(n_rows, 2)).astype(np.float32), RNG.integers(3, size=n_rows)
    est = MILDSelector(
        rounds=rounds, max_epochs=2, judge_epochs=0, batch_size=8192, module__hidden=(8,)
    )
    clone(est).fit(X[:500], y[:500])  # what is loaded by the first fit does not count
    assert peak(lambda: est.fit(X, y))[1] < 130 * n_rows
