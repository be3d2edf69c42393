"""Fitted estimators in the files of others."""

from __future__ import annotations

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
from _trial import GIVEN, X, client, every_estimator
from sklearn.base import clone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]


def assert_same(read, est):
    """The copy predicts the same, and knows the same of the rows of the fit."""
    np.testing.assert_array_equal(read.predict_proba(X), est.predict_proba(X))
    np.testing.assert_array_equal(read.noise_scores_, est.noise_scores_)
    np.testing.assert_array_equal(read.corrected_labels_, est.corrected_labels_)


@client("skops")
@every_estimator
def test_skops(est):
    """`skops.io.dumps`, and `loads(trusted=...)` of the types that it lists."""
    skops = pytest.importorskip("skops.io")
    est = clone(est).fit(X, GIVEN)
    dumped = skops.dumps(est)
    listed = skops.get_untrusted_types(data=dumped)
    assert_same(skops.loads(dumped, trusted=listed), est)


@client("joblib")
@every_estimator
@pytest.mark.parametrize("compress", [0, 3])
def test_joblib(est, compress, tmp_path):
    """`joblib.dump(est, path, compress={compress})` and `joblib.load`."""
    est = clone(est).fit(X, GIVEN)
    joblib.dump(est, tmp_path / "est.joblib", compress=compress)
    assert_same(joblib.load(tmp_path / "est.joblib"), est)


@client("joblib")
@every_estimator
def test_joblib_hash(est):
    """`joblib.hash(est)`: the same for a clone, another one for other parameters."""
    assert joblib.hash(clone(est)) == joblib.hash(clone(est))
    assert joblib.hash(clone(est).set_params(max_epochs=5)) != joblib.hash(clone(est))


@client("Python")
@every_estimator
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickle(est, protocol):
    """`pickle.dumps(est, {protocol})` and `pickle.loads`."""
    est = clone(est).fit(X, GIVEN)
    assert_same(pickle.load(io.BytesIO(pickle.dumps(est, protocol))), est)


@client("Python")
@every_estimator
def test_deepcopy(est):
    """`copy.deepcopy(est)` and `copy.copy(est)` of a fitted estimator."""
    est = clone(est).fit(X, GIVEN)
    assert_same(copy.deepcopy(est), est)
    assert_same(copy.copy(est), est)
