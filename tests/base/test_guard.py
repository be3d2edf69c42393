"""Whether plain training is better than what a method has trained: said only where it is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits

from noisyfit import DLTClassifier, load
from noisyfit.base import Verdict
from noisyfit.base._guard import compare_with_plain, led_astray
from noisyfit.label_quality import doubts_about, held_out_noise_rate

pytestmark = pytest.mark.judged


def verdict_of(proba, y):
    repeats = proba[None].astype(np.float32)
    unpredicted = np.zeros(len(y), bool)
    found = held_out_noise_rate(repeats, y)
    contradicted = proba.argmax(axis=1) != y
    return Verdict(proba, contradicted, unpredicted, found, 1.0, [], plain=proba)


def test_the_comparison_by_hand_counts_the_rows_that_were_held_back():
    y = np.zeros(12, dtype=np.int64)
    proba = np.tile([0.9, 0.1], (12, 1))
    proba[[2, 11]] = 0.2, 0.8
    predicted = np.array([1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1])
    verdict = verdict_of(proba, y)
    found = compare_with_plain(verdict, y, predicted, np.arange(12) < 8)
    # Of 8 rows plain training is right in 7, the network in 5; the differences are 3 and -1.
    assert found[:3] == (7 / 8, 5 / 8, 8)
    difference = np.array([1, 1, -1, 1, 0, 0, 0, 0])
    assert found.t == pytest.approx(0.25 / np.sqrt(difference.var() / 8 + 1 / 64))
    assert not found.plain_is_better
    assert found._replace(t=2.5).plain_is_better
    assert compare_with_plain(verdict, y, predicted, np.arange(12) < 1) is None


def test_the_surest_quarter_of_each_predicted_class_by_hand():
    first, second = np.linspace(0.9, 0.6, 40), np.linspace(0.4, 0.1, 20)
    proba = np.column_stack([np.r_[first, second], 1 - np.r_[first, second]])
    verdict = verdict_of(proba, np.arange(60) % 2)
    everyone, plain = np.ones(60, dtype=bool), proba.argmax(axis=1)
    assert led_astray(verdict, plain, plain, everyone) == 0
    predicted = plain.copy()
    predicted[[*range(6), *range(10, 40)]] = 1  # rows 0 to 9 and 55 to 59 are the surest
    assert led_astray(verdict, predicted, plain, everyone) == pytest.approx(6 / 15)
    assert led_astray(verdict, plain, predicted, everyone) == pytest.approx(-6 / 15)
    assert led_astray(verdict, predicted, predicted, everyone) == 0
    predicted[1:6] = 0  # one row may be chance
    assert led_astray(verdict, predicted, plain, everyone) == 0


def test_what_leads_astray_is_a_doubt():
    rest = (np.array(["a", "b"]), np.arange(20) % 2, np.zeros(20, bool), np.zeros(20, bool), 0.1)
    assert doubts_about(*rest, None, astray=0.04) == []
    assert "predicts 7.0 points more otherwise" in doubts_about(*rest, None, astray=0.07)[0]
    assert doubts_about(*rest, None, lost_to_plain="Plain is better.") == ["Plain is better."]


def test_plain_training_is_said_to_be_better_where_it_is(tmp_path):
    X, y = load_digits(return_X_y=True)
    X, y = X[:500], y[:500]
    hasty = DLTClassifier(
        max_epochs=1, warmup_epochs=1, ramp_epochs=0, lr=0.01, judge_epochs=15,
        estimation_epochs=2, validation_fraction=0.3, random_state=0,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="Plain training is better") as caught:
        hasty.fit(X, y)
    assert caught[0].filename == __file__
    assert str(caught[0].message) in hasty.doubts_
    hasty.save(tmp_path / "est.noisyfit")
    assert load(tmp_path / "est.noisyfit").doubts_ == hasty.doubts_


def test_nothing_is_said_where_the_network_is_as_good_or_nobody_knows():
    X, y = load_digits(return_X_y=True)
    X, y = X[:500], y[:500]
    for fraction, epochs in ((0.3, 20), (None, 1)):
        est = DLTClassifier(
            max_epochs=epochs, judge_epochs=10, estimation_epochs=2,
            validation_fraction=fraction, random_state=0,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            est.fit(X, y)
        assert not any("is better here" in doubt for doubt in est.doubts_)
