"""Out-of-fold probabilities that users bring: checked, averaged, sliced, and asked alone."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from noisyfit import (
    ConsensusClassifier,
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)
from noisyfit.base import Trainer, accuracy_weights, make_task
from noisyfit.base._judging import reach_verdict
from noisyfit.base._pooling import pooled
from noisyfit.data import check_pred_proba
from noisyfit.label_quality import held_out_noise_rate
from noisyfit.label_quality._rate_estimates import evenly_spread, surest_rows
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import EarlyLearningNet

N = 300
X, Y = make_classification(
    N, 10, n_informative=7, n_redundant=0, n_classes=3, n_clusters_per_class=1, class_sep=0.5,
    flip_y=0, random_state=0,
)  # fmt: skip
GIVEN = corrupt_labels(Y, transition_matrix("symmetric", 3, 0.2), 1).labels
WRONG = GIVEN != Y
ORACLE = np.where(np.eye(3, dtype=bool)[Y], 0.9, 0.05)
"""What somebody says who knows the classes."""
NAMES = np.array(["cow", "ant", "bee"])
QUICK = MILDSelector(rounds=1, max_epochs=2, judge_epochs=0, random_state=0)
ALL = [
    QUICK,
    DLTClassifier(max_epochs=4, judge_epochs=0, random_state=0),
    DynamicsLSTMDetector(max_epochs=4, judge_epochs=0, random_state=0),
    MetaRelabelClassifier(max_epochs=2, judge_epochs=0, random_state=0),
    DivideMixClassifier(max_epochs=4, judge_epochs=0, random_state=0),
]


@pytest.mark.filterwarnings("ignore:The meta step gains nothing")
@pytest.mark.parametrize("est", ALL, ids=lambda est: type(est).__name__)
def test_they_judge_alone_where_no_network_does(est):
    trusted = None if est is not ALL[3] else np.arange(N) < 30
    given = GIVEN if trusted is None else np.where(trusted, Y, GIVEN)
    est = clone(est).fit(X, given, trusted=trusted, pred_proba=ORACLE)
    judged = np.ones(N, dtype=bool) if trusted is None else ~trusted
    found = held_out_noise_rate(ORACLE[judged], given[judged])
    assert est.held_out_noise_rate_.contradicted == pytest.approx(WRONG[judged].mean())
    assert est.held_out_noise_rate_.rate == pytest.approx(found.rate, abs=1e-6)
    assert est.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.06)
    low, high = est.noise_rate_interval_
    assert low <= (given != Y).mean() <= high


def test_they_tell_what_the_inputs_do_not():
    nothing = np.random.default_rng(0).normal(size=(N, 5))
    est = clone(QUICK).set_params(max_epochs=4)
    assert not est.fit(nothing, GIVEN).noise_scores_.any() or auroc(WRONG, est.noise_scores_) < 0.7
    consensus = ConsensusClassifier(judge=None, max_epochs=4, judge_epochs=4, random_state=0)
    consensus.fit(nothing, GIVEN, pred_proba=ORACLE)
    assert auroc(WRONG, consensus.noise_scores_) > 0.95
    assert consensus.views_["pred_proba"] > 0.99
    assert consensus.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.05)


def test_a_consensus_has_them_as_a_view_that_counts_as_its_accuracy_says():
    est = ConsensusClassifier(judge=None, max_epochs=4, judge_epochs=4, random_state=0)
    alone = clone(est).fit(X, GIVEN)
    both = clone(est).fit(X, GIVEN, pred_proba=ORACLE)
    assert set(both.views_) - set(alone.views_) == {"pred_proba"}
    # Without labels that it knows, the network's view is what it was.
    ratio = [views["neighbours"] / views["networks out of fold"] for views in (
        alone.views_, both.views_)]  # fmt: skip
    assert ratio[0] == pytest.approx(ratio[1])
    assert auroc(WRONG, both.noise_scores_) > auroc(WRONG, alone.noise_scores_) + 0.02
    guessed = np.random.default_rng(0).dirichlet(np.ones(3), N)
    assert clone(est).fit(X, GIVEN, pred_proba=guessed).views_["pred_proba"] < 0.05


def test_networks_and_they_are_averaged_by_accuracy_on_given_labels():
    est = clone(QUICK).set_params(judge_epochs=3)
    trusted = np.arange(N) < 20
    alone = make_task(est, X, GIVEN, trusted)
    networks = reach_verdict(alone, Trainer(est, alone), 3)
    task = make_task(est, X, GIVEN, trusted, pred_proba=ORACLE)
    verdict = reach_verdict(task, Trainer(est, task), 3)
    right = [(p.argmax(1) == GIVEN)[20:].mean() for p in (networks.proba, ORACLE)]
    w = 1 / (1 + np.exp((right[1] - right[0]) / 0.05))
    np.testing.assert_allclose(
        verdict.proba, w * networks.proba + (1 - w) * ORACLE, rtol=1e-4, atol=1e-6
    )
    assert len(networks.folds) == 2
    assert np.isnan(verdict.found.instability), "nobody knows how stable the mean is"
    proba, given = verdict.proba[20:], GIVEN[20:]
    spread = evenly_spread(proba, given, surest_rows(proba, given))
    assert verdict.found.interval[0] <= max(min(verdict.found.estimates) / 2, spread)


def test_weights_by_hand():
    np.testing.assert_allclose(
        accuracy_weights([0.9, 0.85]), np.array([1, np.exp(-1)]) / (1 + np.exp(-1))
    )
    sources = np.eye(2)[[0, 0]], np.eye(2)[[1, 1]]
    y, judged = np.array([0, 1]), np.array([True, False])
    w = 1 / (1 + np.exp(-20))  # right on the one row that is judged, against never
    np.testing.assert_allclose(pooled(sources, y, judged), [[w, 1 - w], [w, 1 - w]])


def test_nobody_else_is_asked_without_networks(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a network was trained in cross-validation")

    monkeypatch.setattr("noisyfit.base._judging._cross_fit", refuse)
    clone(QUICK).fit(X, GIVEN, pred_proba=ORACLE)


def test_fits_without_them_are_what_they_were():
    est = clone(QUICK).set_params(judge_epochs=2)
    plain, none = est.fit(X, GIVEN).noise_scores_, est.fit(X, GIVEN, pred_proba=None).noise_scores_
    np.testing.assert_array_equal(plain, none)
    net = clone(QUICK).fit(X, GIVEN).predict_proba(X)
    np.testing.assert_array_equal(
        net, clone(QUICK).fit(X, GIVEN, pred_proba=ORACLE).predict_proba(X)
    )


@pytest.mark.parametrize(
    "kind", [np.asarray, list, torch.tensor, pd.DataFrame, lambda p: p.astype(np.float32)],
    ids=["array", "list", "tensor", "frame", "float32"],
)  # fmt: skip
def test_any_container_of_numbers_will_do(kind):
    proba = check_pred_proba(kind(ORACLE), N, np.arange(3))
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba, ORACLE, rtol=1e-6)


def test_columns_are_in_the_order_of_the_classes():
    named = pd.DataFrame(np.eye(3), columns=["cow", "ant", "bee"])
    with pytest.raises(ValueError, match=r"columns \['cow', 'ant', 'bee'\].*\['ant', 'bee', 'cow'"):
        check_pred_proba(named, 3, np.unique(NAMES))
    np.testing.assert_array_equal(
        check_pred_proba(named[np.unique(NAMES)], 3, np.unique(NAMES)), np.eye(3)[:, [1, 2, 0]]
    )
    in_order = np.zeros((N, 3))
    in_order[np.arange(N), np.unique(NAMES[Y], return_inverse=True)[1]] = 1
    est = clone(QUICK).fit(X, NAMES[GIVEN], pred_proba=in_order)
    assert est.held_out_noise_rate_.contradicted == pytest.approx(WRONG.mean())


@pytest.mark.parametrize(
    ("proba", "message"),
    [
        (ORACLE[:-1], r"of shape \(300, 3\).*Got the shape \(299, 3\)"),
        (ORACLE[:, :2], r"Got the shape \(300, 2\)"),
        (ORACLE[:, 0], r"Got the shape \(300,\)"),
        (np.r_[np.full((1, 3), np.nan), ORACLE[1:]], r"NaN or infinity in the rows \[0\]"),
        (np.log(ORACLE), r"Got values from -3 to -0\.105.*not decision values or logits"),
        (0.5 * ORACLE, r"sums from 0\.5 to 0\.5"),
        ([["a", "b", "c"]] * N, "must be numbers, one for each row and class.*Got list"),
    ],
)  # fmt: skip
def test_what_cannot_be_probabilities_is_refused(proba, message):
    with pytest.raises(ValueError, match=message):
        clone(QUICK).fit(X, GIVEN, pred_proba=proba)


def test_a_dataset_of_another_length_is_refused():
    rows = TensorDataset(torch.from_numpy(X).float(), torch.from_numpy(GIVEN))
    est = clone(QUICK).fit(rows, pred_proba=ORACLE)
    assert est.held_out_noise_rate_.contradicted == pytest.approx(WRONG.mean())
    with pytest.raises(ValueError, match=r"of shape \(300, 3\).*Got the shape \(100, 3\)"):
        clone(QUICK).fit(rows, pred_proba=ORACLE[:100])


def test_a_model_in_sample_is_warned_of():
    learned = 0.995 * np.eye(3)[GIVEN] + 0.005 / 3
    with pytest.warns(UserWarning, match=r"agrees with all 300 given labels.*cross_val_predict"):
        est = clone(QUICK).fit(X, GIVEN, pred_proba=learned)
    assert est.doubts_[0].startswith("pred_proba agrees with all 300 given labels")
    unsure = 0.4 * np.eye(3)[GIVEN] + 0.2  # as a forest is, in sample
    with pytest.warns(UserWarning, match="agrees with all 300"):
        clone(QUICK).fit(X, GIVEN, pred_proba=unsure)
    few = np.arange(N) < 250  # fifty rows are judged: that may be chance
    almost = learned.copy()
    almost[0] = almost[0, [1, 2, 0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(QUICK).fit(X, GIVEN, pred_proba=learned, trusted=few)
        clone(QUICK).fit(X, GIVEN, pred_proba=almost)


@pytest.mark.filterwarnings("ignore:The meta step gains nothing")
def test_rows_without_a_label_have_theirs_and_are_not_judged():
    given = np.where(np.arange(N) < 60, -1, GIVEN)
    est = MetaRelabelClassifier(unlabeled=-1, max_epochs=2, judge_epochs=0, random_state=0)
    trusted = (np.arange(N) >= 60) & (np.arange(N) < 120)
    given[trusted] = Y[trusted]
    est.fit(X, given, trusted=trusted, pred_proba=ORACLE)
    assert est.held_out_noise_rate_.contradicted == pytest.approx(WRONG[120:].mean())
    with pytest.raises(ValueError, match=r"Got the shape \(240, 3\).*rows without a label theirs"):
        est.fit(X, given, trusted=trusted, pred_proba=ORACLE[60:])


@pytest.mark.parametrize("est", [MILDSelector(rounds=1), DynamicsLSTMDetector()])
def test_the_loss_that_was_asked_for_is_taken_where_they_judge_alone(est):
    est = clone(est).set_params(loss="early_learning", max_epochs=2, judge_epochs=0)
    assert est.fit(X, GIVEN, pred_proba=ORACLE).loss_ == "early_learning"
    assert type(est.net_) is EarlyLearningNet


def test_they_are_not_taken_for_plain_training():
    est = clone(QUICK).set_params(validation_fraction=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est.fit(X, GIVEN, pred_proba=ORACLE)
    assert est.doubts_ == [d for d in est.doubts_ if "Plain training" not in d]


def test_columns_of_a_file_have_names_that_are_strings():
    frame = pd.DataFrame(ORACLE, columns=["0", "1", "2"])
    est = clone(QUICK).fit(X, GIVEN, pred_proba=frame)
    assert est.held_out_noise_rate_.contradicted == pytest.approx(WRONG.mean())
    with pytest.raises(ValueError, match="have to be in the order of the classes"):
        clone(QUICK).fit(X, GIVEN, pred_proba=frame[["2", "0", "1"]])


def test_a_fit_goes_on_with_the_same_ones_only(tmp_path):
    est = MILDSelector(**{**QUICK.get_params(), "checkpoint": tmp_path})
    once = est.fit(X, GIVEN, pred_proba=ORACLE).noise_scores_
    again = est.fit(X, GIVEN, pred_proba=pd.DataFrame(ORACLE)).noise_scores_
    np.testing.assert_array_equal(again, once)
    for other in (None, ORACLE[::-1]):
        with pytest.raises(ValueError, match="another fit, which differs in: pred_proba"):
            est.fit(X, GIVEN, pred_proba=other)


def test_folds_slice_them():
    folds = cross_validate(
        clone(QUICK), X, GIVEN, cv=3, params={"pred_proba": ORACLE}, return_estimator=True,
        return_indices=True, error_score="raise",
    )  # fmt: skip
    for rows, est in zip(folds["indices"]["train"], folds["estimator"], strict=True):
        alone = clone(QUICK).fit(X[rows], GIVEN[rows], pred_proba=ORACLE[rows])
        np.testing.assert_array_equal(est.noise_scores_, alone.noise_scores_)


def test_they_are_routed_and_resampled():
    scaled = StandardScaler().fit_transform(X)
    expected = clone(QUICK).fit(scaled, GIVEN, pred_proba=ORACLE)
    pipe = make_pipeline(StandardScaler(), clone(QUICK))
    by_name = clone(pipe).fit(X, GIVEN, mildselector__pred_proba=ORACLE)
    np.testing.assert_array_equal(by_name[-1].noise_scores_, expected.noise_scores_)
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(pipe, {"mildselector__max_epochs": [2]}, cv=2)
        search.fit(X, GIVEN, pred_proba=ORACLE)
    np.testing.assert_array_equal(search.best_estimator_[-1].noise_scores_, expected.noise_scores_)
    est = clone(QUICK)
    kept, _ = est.fit_resample(scaled, GIVEN, pred_proba=ORACLE)
    np.testing.assert_array_equal(kept, scaled[expected.clean_mask_])
