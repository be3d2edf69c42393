"""DynamicsLSTMDetector: record, score, remove, retrain; detectors of one's own."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.model_selection import GridSearchCV
from torch import nn

from noisyfit import DynamicsLSTM, DynamicsLSTMDetector
from noisyfit.metrics import auroc, average_precision
from noisyfit.modules import MLP
from noisyfit.noise import corrupt_labels, transition_matrix

X, TRUE = load_digits(return_X_y=True)
X = X.astype(np.float32)
GIVEN, WRONG = corrupt_labels(TRUE, transition_matrix("symmetric", 10, 0.3), 0)


def quick(**params):
    return DynamicsLSTMDetector(**{"max_epochs": 10, "random_state": 0, **params})


def jittered(x):
    return x + 3 * torch.randn_like(x)


@pytest.fixture(scope="module")
def fitted():
    return quick().fit(X, GIVEN)


@pytest.fixture(scope="module")
def blind():
    """A detector that takes no notice of what it reads."""
    detector = DynamicsLSTM.pretrained()
    nn.init.zeros_(detector.module_.linear.weight)
    return detector


# The method


def test_it_finds_and_counts_wrong_labels(fitted):
    assert auroc(WRONG, fitted.noise_scores_) > 0.99
    assert average_precision(WRONG, fitted.noise_scores_) > 0.97
    assert fitted.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.05)
    assert fitted.noise_rate_ == pytest.approx(fitted.noise_scores_.mean(), abs=0.005)
    assert fitted.noise_scores_[WRONG].mean() > 0.9 > 0.1 > fitted.noise_scores_[~WRONG].mean()
    assert fitted.clean_mask_.sum() == int(len(X) * (1 - fitted.noise_rate_))
    assert (
        fitted.noise_scores_[fitted.clean_mask_].max()
        <= fitted.noise_scores_[~fitted.clean_mask_].min()
    )


def test_scores_rank_as_the_detector_does(fitted):
    p = fitted.detector_.predict_proba(fitted.dynamics_.relative_prob)
    order = np.argsort(p, kind="stable")
    assert (np.diff(fitted.noise_scores_[order]) >= 0).all()


def test_the_detector_matters(blind):
    # Without it nothing tells the labels apart.
    est = quick(detector=blind, max_epochs=3).fit(X, GIVEN)
    assert len(np.unique(est.noise_scores_)) == 1
    assert auroc(WRONG, est.noise_scores_) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.333])
def test_a_share_removes_the_highest_scores(share):
    est = quick(remove=share, max_epochs=3).fit(X, GIVEN)
    kept = est.clean_mask_
    assert kept.sum() == int(len(X) * (1 - share))
    assert est.noise_scores_[kept].max() <= est.noise_scores_[~kept].min(initial=1)


def test_prediction_is_by_a_net_that_saw_the_kept_rows_only():
    seen = []

    class Watched(MLP):
        def forward(self, x):
            if self.training:
                seen.append(x.detach().clone())
            return super().forward(x)

    epochs, n = 2, 200
    est = quick(module=Watched, remove=0.25, max_epochs=epochs).fit(X[:n], GIVEN[:n])
    counts = [sum(len(x) for x in seen[: len(seen) // 2]), sum(map(len, seen))]
    assert counts[1] == epochs * n + epochs * int(0.75 * n)
    assert [epoch["stage"] for epoch in est.history_] == ["recording"] * 2 + ["retraining"] * 2


def test_retraining_without_wrong_labels_predicts_better():
    X, y = make_blobs(600, 20, centers=3, cluster_std=6, random_state=0)
    given, _ = corrupt_labels(y[:300], transition_matrix("symmetric", 3, 0.3), 0)
    scores = [
        quick(remove=remove).fit(X[:300], given).score(X[300:], y[300:])
        for remove in ("estimated", 0.0)
    ]
    assert scores[0] > scores[1] + 0.03


def test_trusted_rows_are_kept_and_not_counted():
    trusted = np.arange(len(X)) % 3 == 0
    est = quick(remove=0.5, max_epochs=5).fit(X, GIVEN, trusted=trusted)
    assert est.clean_mask_[trusted].all()
    assert (est.noise_scores_[trusted] == 0).all()
    assert est.noise_rate_ == pytest.approx(WRONG[~trusted].mean() * (~trusted).mean(), abs=0.07)
    assert est.noise_scores_.mean() == pytest.approx(est.noise_rate_, abs=0.01)
    everything = quick(max_epochs=2).fit(X[:100], GIVEN[:100], trusted=np.ones(100, dtype=bool))
    assert everything.noise_rate_ == 0


def test_every_class_keeps_rows():
    est = quick(remove=0.9, max_epochs=5).fit(X, GIVEN)
    kept = np.bincount(GIVEN[est.clean_mask_], minlength=10)
    assert (kept >= 0.1 * np.bincount(GIVEN)).all()


@pytest.mark.parametrize("recording", ["evaluation", "held_out"])
def test_other_recordings(recording):
    est = quick(recording=recording).fit(X, GIVEN)
    assert auroc(WRONG, est.noise_scores_) > 0.98
    assert est.dynamics_.given_prob.shape == (len(X), 10)
    assert not np.isnan(est.dynamics_.given_prob).any()


def test_recording_of_views():
    """Rows are trained on alike, and recorded as the views that `augment` makes of them."""
    settings = {"augment": jittered, "max_epochs": 2, "judge_epochs": 0}
    runs = {
        recording: quick(recording=recording, **settings).record_run(X[:300], GIVEN[:300])
        for recording in ("evaluation", "evaluation_augmented")
    }
    plain, views = runs.values()
    weights = zip(*(run.net.module_.state_dict().values() for run in runs.values()), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    assert np.abs(plain.dynamics.margin - views.dynamics.margin).mean() > 0.1
    with pytest.raises(ValueError, match="there are none: tables stay as they are"):
        quick(recording="evaluation_augmented").fit(X, GIVEN)


def test_the_run_can_be_had_alone(fitted):
    est = quick()
    run = est.record_run(X, GIVEN)
    assert not hasattr(est, "net_")
    assert not hasattr(est, "n_features_in_")
    np.testing.assert_array_equal(run.dynamics.margin, fitted.dynamics_.margin)


# Detectors of one's own


@pytest.fixture(scope="module")
def own():
    """A detector trained on the first half of the digits, with flipped labels."""
    template = DynamicsLSTM(max_epochs=30, random_state=0)
    return quick().fit_detector(X[:900], TRUE[:900], rate=0.3, detector=template)


def test_a_detector_from_clean_rows(own):
    assert own.recording == "training"
    assert own.training_length_ == 10
    assert own.noise_rate_ == pytest.approx(0.3, abs=0.05)
    est = quick(detector=own).fit(X[900:], GIVEN[900:])
    assert est.detector_ is own
    assert average_precision(WRONG[900:], est.noise_scores_) > 0.95


def test_flips_and_labels_keep_their_order(own):
    # If the marks of the flipped rows were dealt to other rows, nothing could be learned.
    assert own.held_out_["auroc"] > 0.95


def test_an_own_detector_passes_through_clone_and_grid_search(own):
    est = quick(detector=own, max_epochs=2)
    assert clone(est).detector is not own
    grid = GridSearchCV(est, {"remove": [0.1, 0.3]}, cv=2, error_score="raise").fit(
        X[:300], GIVEN[:300]
    )
    assert 0 <= grid.best_score_ <= 1


def test_a_matrix_as_noise():
    matrix = transition_matrix("asymmetric", 10, 0.5, mapping={0: 1, 3: 8})
    template = DynamicsLSTM(max_epochs=5, random_state=0)
    detector = quick(max_epochs=5).fit_detector(X, TRUE, noise=matrix, detector=template)
    assert detector.noise_rate_ == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"noise": "gaussian"}, "'kind' parameter"),
        ({"noise": np.eye(10), "rate": 0.2}, "a transition matrix has its own"),
        ({"noise": np.eye(3)}, r"shape \(3, 3\), but there are 10 classes"),
        ({"noise": np.eye(10)}, "at least 20 sequences of right and 20 of wrong labels"),
        ({"rate": 1.5}, "'rate' parameter"),
    ],
)
def test_noise_that_cannot_be_made(kwargs, message):
    with pytest.raises(ValueError, match=message):
        quick(max_epochs=1).fit_detector(X[:200], TRUE[:200], **kwargs)


def test_fine_tuning_changes_a_copy():
    shipped, n, epochs = DynamicsLSTM.pretrained(), 900, 5
    before = [p.clone() for p in shipped.module_.parameters()]
    est = quick(detector=shipped, fine_tune=True, max_epochs=epochs).fit(X[:n], GIVEN[:n])
    assert est.detector_ is not shipped
    for old, now in zip(before, shipped.module_.parameters(), strict=True):
        assert torch.equal(old, now)
    assert auroc(WRONG[:n], est.noise_scores_) > 0.99
    # Judged again by the tuned one, whose order the scores have.
    order = np.argsort(est.detector_.predict_proba(est.dynamics_.relative_prob), kind="stable")
    assert (np.diff(est.noise_scores_[order]) >= 0).all()
    again = quick(detector=shipped, fine_tune=True, max_epochs=epochs).fit(X[:n], GIVEN[:n])
    np.testing.assert_array_equal(est.noise_scores_, again.noise_scores_)
    stages = [epoch["stage"] for epoch in est.history_]
    assert stages == [
        stage for stage in ("recording", "fine-tuning", "retraining") for _ in range(epochs)
    ]


def test_fine_tuning_leaves_suspicious_rows_out():
    seen = []

    class Watched(MLP):
        def forward(self, x):
            if self.training:
                seen.append(len(x))
            return super().forward(x)

    n, kept = 400, 300
    quick(module=Watched, fine_tune=True, remove=0.25, max_epochs=1).fit(X[:n], GIVEN[:n])
    assert sum(seen) == n + kept + kept


def test_a_detector_of_another_recording_is_warned_about():
    detector = DynamicsLSTM.pretrained()
    detector.recording = "held_out"
    with pytest.warns(UserWarning, match="recorded in mode 'held_out', this run .* 'training'"):
        quick(detector=detector, max_epochs=1).fit(X[:100], GIVEN[:100])


def test_fit_detector_says_how_the_dynamics_were_recorded():
    detector = DynamicsLSTM(max_epochs=1, random_state=0)
    est = quick(recording="held_out", max_epochs=2)
    detector = est.fit_detector(X[:600], TRUE[:600], detector=detector)
    assert detector.recording == "held_out"


@pytest.mark.parametrize("params", [{"max_epochs": 0}, {"augment": 3}, {"remove": 2}], ids=str)
def test_recording_alone_checks_parameters(params):
    for call in ("record_run", "fit_detector"):
        with pytest.raises(ValueError, match="parameter"):
            getattr(quick(**params), call)(X, GIVEN)


def test_too_few_rows_to_fine_tune_on():
    with pytest.raises(ValueError, match="at least 20 sequences"):
        quick(fine_tune=True, max_epochs=1).fit(X[:40], TRUE[:40] % 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"detector": "shipped"}, "'detector' parameter"),
        ({"detector": DynamicsLSTM()}, "not trained yet"),
        ({"recording": "online"}, "'recording' parameter"),
        ({"remove": 1.0}, "'remove' parameter"),
        ({"remove": "half"}, "'remove' parameter"),
    ],
)
def test_bad_parameters_are_refused_before_training(params, message):
    class Untrainable(MLP):
        def forward(self, x):
            raise AssertionError("training has begun")

    with pytest.raises((ValueError, RuntimeError), match=message):
        quick(module=Untrainable, **params).fit(X, GIVEN)


def test_a_detector_of_another_kind_is_refused():
    with pytest.raises(TypeError, match=r"detector must be a DynamicsLSTM or None\. Got 'pretr"):
        quick().fit_detector(X, TRUE, detector="pretrained")
