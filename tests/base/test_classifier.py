"""Fitted state that is kept once, and state of files from before."""

import copy
import pickle
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from noisyfit import MILDSelector
from noisyfit.review import label_report

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
    assert not hasattr(fresh, "doubts_")
    for ask in (fresh.class_report, fresh.summary):
        with pytest.raises(NotFittedError, match="This MILDSelector instance is not fitted"):
            ask()


def test_a_table_of_the_classes(est):
    counted = est.class_report()
    assert counted.index.tolist() == est.classes_.tolist()
    assert counted.index.name == "class"
    for name, line in counted.iterrows():
        given = est.given_labels_ == name
        assert line["given"] == given.sum()
        assert line["rejected"] == (given & ~est.clean_mask_).sum()
        assert line["corrected"] == (est.corrected_labels_ == name).sum()
        assert line["share_given"] == pytest.approx(given.mean())
        assert line["share_corrected"] == pytest.approx((est.corrected_labels_ == name).mean())
        assert line["mean_noise_score"] == pytest.approx(est.noise_scores_[given].mean())
    assert counted.loc["cow", "rejected"] >= 1
    assert f"  cow       22  {counted.loc['cow', 'rejected']:8}" in est.summary()


def test_only_the_table_needs_pandas(est, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"A class report needs pandas: .* extra plot has it"):
        est.class_report()
    with pytest.raises(ImportError, match=r"A label report needs pandas: .* extra plot has it"):
        label_report(est, X, GIVEN)
    assert "Labels per class" in est.summary()


def test_a_summary_begins_with_what_speaks_against_it(est):
    est = copy.copy(est)
    assert est.doubts_ == []
    # Without judges nobody has looked for anything to say against it.
    assert est.summary().splitlines()[1].startswith("Unchecked: no network judged rows")
    est.noise_rate_interval_ = (0.1, 0.15)
    assert est.summary().splitlines()[1] == "Believe it: nothing speaks against these numbers."
    est.noise_rate_interval_ = (0.0, 0.2)
    assert [doubt.split(":")[0] for doubt in est.doubts_] == ["The estimate is uncertain"]
    lines = est.summary().splitlines()
    assert lines[1] == "With care: 1 thing speaks against these numbers:"
    assert lines[2] == f"- {est.doubts_[0]}"
    assert "between 0 and 12 (0.0 % and 20.0 %)" in lines[3]
    est.noise_rate_interval_ = None  # as of DLTClassifier whose noise rate was given
    assert est.doubts_ == []


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


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ["cat", "Cat ", "CAT", "dog"],
            r"differ only in case or in white space.*'CAT' \(3 rows\), 'Cat ' \(3 rows\), 'cat'",
        ),
        (["cat", "\tdog", "dog", "a b"], r"'\\tdog' \(3 rows\), 'dog' \(3 rows\)\."),
        (["cat", "", "  ", "dog"], r"labels are empty.*: '' \(3 rows\), '  ' \(3 rows\)\. If"),
    ],
)
@pytest.mark.parametrize("dtype", [object, str])
def test_labels_that_may_be_slips_of_the_pen_are_named_once(labels, message, dtype):
    y = np.array(labels * 3, dtype=dtype)
    with pytest.warns(UserWarning, match=message) as caught:
        fitted = MILDSelector(rounds=1, max_epochs=1).fit(X[:12], y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.score_labels(X[:12], y)


@pytest.mark.parametrize("labels", [["cat", "cats", "c at"], [0, 1, 10], [True, False, True]])
def test_other_labels_are_no_slips(labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MILDSelector(rounds=1, max_epochs=1).fit(X[:12], np.array(labels * 4))


def test_of_many_slips_five_are_named():
    names = [f"{letter}{case}" for letter in "abcdefg" for case in ("x", "X")]
    with pytest.warns(UserWarning, match=r"'eX' \(2 rows\), 'ex' \(2 rows\) and 2 more\. If"):
        MILDSelector(rounds=1, max_epochs=1).fit(X[:28], np.array(names * 2))
