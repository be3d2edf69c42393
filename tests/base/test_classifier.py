"""Fitted state that is kept once, and state of files from before."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from noisyfit import MILDSelector

X = np.repeat(np.eye(3), 20, axis=0) + np.random.default_rng(0).normal(0, 0.1, (60, 3))
TRUE = np.repeat(["ant", "bee", "cow"], 20)
GIVEN = TRUE.copy()
GIVEN[[0, 25]] = "cow"
DERIVED = ("given_labels_", "predicted_labels_", "corrected_labels_", "n_rounds_")


@pytest.fixture(scope="module")
def est():
    trusted = np.arange(60) == 40
    return MILDSelector(rounds=2, max_epochs=8, random_state=0).fit(X, GIVEN, trusted=trusted)


def test_labels_are_derived_from_what_is_kept(est):
    assert not set(DERIVED) & set(vars(est))
    np.testing.assert_array_equal(est.given_labels_, GIVEN)
    np.testing.assert_array_equal(est.predicted_labels_, est.predict(X))
    expected = np.where(est.clean_mask_, GIVEN, est.predict(X))
    np.testing.assert_array_equal(est.corrected_labels_, expected)
    assert est.corrected_labels_.dtype == GIVEN.dtype
    assert est.trusted_mask_.nonzero()[0].tolist() == [40]
    assert est.n_rounds_ == len(est.rounds_) == 2


def test_an_estimator_that_is_not_fitted_has_none(est):
    fresh = clone(est)
    for name in (*DERIVED, "trusted_mask_"):
        assert not hasattr(fresh, name)
    for name in ("given_labels_", "corrected_labels_", "transition_matrix_"):
        with pytest.raises(NotFittedError, match="MILDSelector is not fitted"):
            getattr(fresh, name)


def test_state_of_an_earlier_version_is_read(est):
    state = dict(est.__getstate__())
    state["_trusted"], state["_scaler"] = state.pop("trusted_mask_"), state.pop("scaler_")
    state |= {"corrected_labels_": np.zeros(60), "n_rounds_": 17}
    old = MILDSelector()
    old.__setstate__(state)
    assert not {"_trusted", "_scaler", *DERIVED} & set(vars(old))
    np.testing.assert_array_equal(old.trusted_mask_, est.trusted_mask_)
    np.testing.assert_array_equal(old.corrected_labels_, est.corrected_labels_)
    assert old.n_rounds_ == 2
    assert pickle.loads(pickle.dumps(old)).summary() == est.summary()
