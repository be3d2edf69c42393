"""MILD's metric, its rounds, thresholds and stopping rule, against the paper and by hand."""

from itertools import pairwise
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback
from torch import nn

from noisyfit import MILDSelector
from noisyfit.base import FitTask
from noisyfit.dynamics import TrainingDynamics, given_label_statistics
from noisyfit.methods.mild import selection_metric
from noisyfit.methods.mild._rounds import Split, reason_to_stop
from noisyfit.methods.mild._selection import Selection
from noisyfit.methods.mild._selector import MAX_AUTO_ROUNDS
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import NoisyNet

# The metric

BY_HAND = [  # sequence, C^F, C
    ("0001101111", -1.0, -2),  # zeros 3 and 1: M=2; ones 2 and 4: F=3
    ("0000111111", -2.0, -2),
    ("0101010101", 0.0, 0),
    ("0000000000", 10.0, 10),
    ("1111111111", -10.0, -10),
    ("1110001111", -0.5, -4),  # F=3.5
    ("0010000000", 3.5, 8),  # zeros 2 and 7: M=4.5
]
SEQUENCES = np.array([[int(bit) for bit in row[0]] for row in BY_HAND])

status_bits = arrays(
    bool, st.tuples(st.integers(1, 12), st.integers(1, 15)), elements=st.booleans()
)
lambdas = st.just(0.0) | st.floats(0.1, 10)


def ranks(metric):
    return np.unique(np.round(metric, 9), return_inverse=True)[1]


def test_metric_by_hand():
    np.testing.assert_array_equal(selection_metric(SEQUENCES, full=True), [r[1] for r in BY_HAND])
    np.testing.assert_array_equal(selection_metric(SEQUENCES), [r[2] for r in BY_HAND])


def test_metric_by_hand_with_lambda():
    one = SEQUENCES[:1]
    assert selection_metric(one, lam=0.5, full=True) == 2 - 0.5 * 3
    assert selection_metric(one, lam=0.5) == 4 - 0.5 * 6


def test_metric_takes_lists_and_floats():
    np.testing.assert_array_equal(selection_metric([[0.0, 1.0, 1.0]]), [-1])


@given(status_bits)
def test_simplified_metric_counts_the_ones(S):
    E = S.shape[1]
    np.testing.assert_array_equal(selection_metric(S), E - 2 * S.sum(axis=1))


@given(status_bits, lambdas)
def test_full_metric_is_the_mean_run_lengths(S, lam):
    for bits, C_full in zip(S, selection_metric(S, lam=lam, full=True), strict=True):
        text = "".join("01"[int(bit)] for bit in bits)
        means = [
            np.mean([len(run) for run in text.split(other) if run] or [0]) for other in ("1", "0")
        ]
        np.testing.assert_allclose(C_full, means[0] - lam * means[1], atol=1e-9)


@given(status_bits, lambdas, st.randoms(use_true_random=False))
def test_ranking_by_C_depends_on_neither_order_nor_lambda(S, lam, random):
    epochs = list(range(S.shape[1]))
    random.shuffle(epochs)
    np.testing.assert_array_equal(selection_metric(S[:, epochs]), selection_metric(S))
    np.testing.assert_array_equal(ranks(selection_metric(S, lam=lam)), ranks(selection_metric(S)))


def test_without_lambda_the_metric_is_memorisation_alone():
    M, zeros = [2, 4, 1, 10, 0, 3, 4.5], [4, 4, 5, 10, 0, 3, 9]
    np.testing.assert_array_equal(selection_metric(SEQUENCES, lam=0, full=True), M)
    np.testing.assert_array_equal(selection_metric(SEQUENCES, lam=0), zeros)


def test_ranking_by_the_full_metric_depends_on_order_and_lambda():
    full = selection_metric(SEQUENCES, full=True)
    shuffled = selection_metric(SEQUENCES[:, ::2].repeat(2, axis=1), full=True)
    assert not np.array_equal(ranks(full), ranks(shuffled))
    assert not np.array_equal(ranks(full), ranks(selection_metric(SEQUENCES, lam=5, full=True)))
    np.testing.assert_allclose(full[0], -1)
    by_order = selection_metric(np.sort(SEQUENCES[:1], axis=1), full=True)
    assert by_order == -2, "the same bits in another order"


# Selection from a metric that is given


def mixture_of_scores(n=20_000, seed=0):
    """Weibull groups, 80 % at scale 15 and 20 % at scale 60, shifted to start near -20."""
    rng = np.random.default_rng(seed)
    noisy = rng.random(n) >= 0.8
    clean_values, noisy_values = 15 * rng.weibull(1.5, n), 60 * rng.weibull(6, n)
    values = np.where(noisy, noisy_values, clean_values)
    values[0], noisy[0] = 0.0, False  # the shift finds the origin
    return values - 20, noisy


def select(C, y=None, trusted=None, **params):
    """Run one selection of an estimator; returns mixture, summary and the rows to drop."""
    n, est = len(C), MILDSelector(**params)
    y, none = np.zeros(n, dtype=np.int64) if y is None else y, np.zeros(n, dtype=bool)
    task = FitTask(
        rows=None,
        y=y,
        trusted=none if trusted is None else trusted,
        validation=none,
        unlabeled=none,
        streams=None,
        classes=np.unique(y),
        scaler=None,
        min_share_of_class=est.min_share_of_class,
    )
    margin = np.random.default_rng(1).normal(size=n)
    selection = Selection(est._selection_settings(), task, run=None)
    found, drop = selection.split_rows(np.asarray(C, float), margin, np.arange(n))
    return found.mixture, found.summary, drop


C_MIXED, NOISY = mixture_of_scores()


def test_the_known_mixture_is_found():
    mixture, summary, _ = select(C_MIXED)
    np.testing.assert_allclose(mixture.scales_, [15.09, 59.82], rtol=0.01)
    np.testing.assert_allclose(mixture.shapes_, [1.491, 5.877], rtol=0.02)
    np.testing.assert_allclose(summary.component_weights, [0.799, 0.201], atol=0.003)
    np.testing.assert_allclose(summary.component_means, mixture.means_ - 20)


def test_scale_drops_36_8_percent_of_the_noisy_component():
    mixture, summary, drop = select(C_MIXED)
    assert summary.threshold == pytest.approx(mixture.scales_[1] - 20)
    assert drop[NOISY].mean() == pytest.approx(np.exp(-1), abs=0.03)
    assert drop[~NOISY].mean() < 0.01
    np.testing.assert_array_equal(drop, summary.threshold <= C_MIXED)
    assert (summary.n_rows, summary.n_dropped) == (len(C_MIXED), drop.sum())


def test_crossing_drops_nearly_the_whole_noisy_component():
    mixture, summary, drop = select(C_MIXED, threshold="crossing")
    assert summary.threshold == pytest.approx(mixture.crossing() - 20)
    assert drop[NOISY].mean() > 0.9
    assert drop[~NOISY].mean() < 0.05


def test_raw_scale_keeps_almost_everything():
    mixture, summary, drop = select(C_MIXED, threshold="scale_raw")
    assert summary.threshold == mixture.scales_.max()
    assert drop.mean() < 0.001
    assert select(C_MIXED, threshold="scale")[2].mean() > 0.06


@pytest.mark.parametrize("R", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("values", ["continuous", "counts"])
def test_fixed_ratio_keeps_that_share(R, values):
    C = C_MIXED if values == "continuous" else 2 * np.rint(np.minimum(C_MIXED, 20) / 2)
    _, summary, drop = select(C, threshold=R)
    assert np.count_nonzero(~drop) == round(R * len(C))
    assert summary.threshold == C[drop].min() >= C[~drop].max()


def test_fixed_ratio_survives_ties_at_the_minimum():
    C = np.repeat([-20.0, -18, -10, 6, 18], [900, 60, 20, 10, 10])
    assert select(C, threshold=0.8)[2].mean() == pytest.approx(0.2)


@pytest.mark.parametrize("constant", [-1000.0, -7.5, 13.0, 20.0])
@pytest.mark.parametrize("threshold", ["scale", "crossing", 0.9])
def test_a_constant_added_to_C_changes_nothing(constant, threshold):
    expected = select(C_MIXED, threshold=threshold)[2]
    drop = select(C_MIXED + constant, threshold=threshold)[2]
    np.testing.assert_array_equal(drop, expected)


@pytest.mark.parametrize("threshold", ["scale", "crossing", 0.5])
def test_trusted_rows_are_never_dropped(threshold):
    trusted = np.random.default_rng(0).random(len(C_MIXED)) < 0.3
    drop = select(C_MIXED, trusted=trusted, threshold=threshold)[2]
    assert not drop[trusted].any()
    np.testing.assert_array_equal(drop[~trusted], select(C_MIXED, threshold=threshold)[2][~trusted])


@pytest.mark.parametrize("threshold", ["scale", "crossing", 0.9])
def test_a_class_keeps_its_best_tenth(threshold):
    y = NOISY.astype(np.int64)  # one class is the noisy component itself
    y[NOISY] += C_MIXED[NOISY] > 42  # and a third one lies beyond every threshold
    drop = select(C_MIXED, y=y, threshold=threshold)[2]
    third = y == 2
    assert np.count_nonzero(~drop[third]) == np.ceil(0.1 * third.sum())
    assert C_MIXED[third & ~drop].max() <= C_MIXED[third & drop].min()


@pytest.mark.parametrize("share", [0, 0.25, 0.07])
def test_a_class_keeps_the_share_that_was_asked_for(share):
    C = np.arange(200.0)
    y = np.repeat([0, 1], 100)  # all rows of the second class are beyond the threshold
    drop = select(C, y=y, threshold=0.5, min_share_of_class=share)[2]
    np.testing.assert_array_equal(drop, np.arange(200) >= 100 + round(100 * share))


@pytest.mark.parametrize("C", [np.zeros(50), np.repeat([-20.0, -14.0, -8.0], 20)])
def test_one_group_no_selection(C):
    mixture, summary, drop = select(C)
    assert mixture is None
    assert np.isnan(summary.threshold)
    assert not drop.any()
    assert reason_to_stop(summary, 1.0, learned=True) == "the metric shows no two groups"


def test_too_few_values_for_a_mixture_are_split_at_the_widest_gap():
    C = np.repeat([-20.0, -18.0, 20.0], [40, 5, 5])
    mixture, summary, drop = select(C)
    assert mixture is None
    assert summary.threshold == 1
    assert summary.component_means == pytest.approx((-(40 * 20 + 5 * 18) / 45, 20))
    assert summary.component_weights == pytest.approx((0.9, 0.1))
    np.testing.assert_array_equal(drop, C == 20)


# The rounds


def noisy_blobs(n=240, rate=0.25, seed=0):
    X, y = make_blobs(n, 4, centers=3 * np.eye(3, 4), random_state=seed)
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < rate
    given_labels = np.where(wrong, (y + rng.integers(1, 3, n)) % 3, y)
    return X.astype(np.float32), given_labels, wrong


X, GIVEN, WRONG = noisy_blobs()


def flat(module):
    return torch.cat([p.detach().ravel() for p in module.parameters()]).clone()


@pytest.fixture(scope="module")
def watched():
    """Three rounds of 12, 10 and 10 epochs, with what the network and the optimizer looked like."""
    rounds, real = [], NoisyNet.train_stage

    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            rounds[-1] |= {
                "optimizer": net.optimizer_,
                "n_states": len(net.optimizer_.state),
                "group": dict(net.optimizer_.param_groups[0]),
                "lr": [],
                "loaded": [],
            }

        def on_epoch_begin(self, net, **kwargs):
            rounds[-1]["lr"].append(net.optimizer_.param_groups[0]["lr"])
            rounds[-1]["loaded"].append([])

        def on_batch_begin(self, net, batch, **kwargs):
            rounds[-1]["loaded"][-1].append(batch[0]["index"].numpy().copy())

    def spy(net, rows, epochs, *beside):
        rounds.append({"start": flat(net.module_), "ids": rows.index.numpy(), "epochs": epochs})
        out = real(net, rows, epochs, *beside)
        rounds[-1] |= {"end": flat(net.module_), "states_end": len(net.optimizer_.state)}
        return out

    est = MILDSelector(
        rounds=3,
        first_epochs=12,
        max_epochs=10,
        lr=0.04,
        batch_size=32,
        module__hidden=(16,),
        threshold=0.8,
        callbacks=[Watch()],
        record=("correct", "margin"),
        random_state=0,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NoisyNet, "train_stage", spy)
        est.fit(X, GIVEN)
    return est, rounds


def test_weights_are_carried_on(watched):
    _, rounds = watched
    assert len(rounds) == 3
    for before, after in pairwise(rounds):
        assert torch.equal(before["end"], after["start"])
        assert not torch.equal(after["start"], after["end"])


def test_final_net_is_that_of_the_last_round(watched):
    est, rounds = watched
    assert torch.equal(flat(est.net_.module_), rounds[-1]["end"])


def test_each_round_has_a_fresh_optimizer(watched):
    _, rounds = watched
    assert len({id(r["optimizer"]) for r in rounds}) == 3
    assert [r["n_states"] for r in rounds] == [0, 0, 0]
    assert all(r["states_end"] > 0 for r in rounds)
    for r in rounds:
        assert (r["group"]["momentum"], r["group"]["weight_decay"]) == (0.9, 5e-3)
        assert not r["group"]["nesterov"]


def test_learning_rate_is_a_cosine_in_each_round(watched):
    est, rounds = watched
    for r, epochs in zip(rounds, (12, 10, 10), strict=True):
        cosine = 0.02 * (1 + np.cos(np.pi * np.arange(epochs) / epochs))
        np.testing.assert_allclose(r["lr"], cosine, rtol=1e-6)
    np.testing.assert_allclose(
        [epoch["lr"] for epoch in est.history_], np.concatenate([r["lr"] for r in rounds])
    )


def test_every_kept_row_is_trained_once_an_epoch_and_no_other(watched):
    _, rounds = watched
    for r in rounds:
        for batches in r["loaded"]:
            np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.sort(r["ids"]))
            assert min(map(len, batches)) > 1
        assert not np.array_equal(*map(np.concatenate, r["loaded"][:2])), "rows are shuffled"


def test_kept_rows_are_nested_and_recall_never_rises(watched):
    est, rounds = watched
    kept = [set(r["ids"].tolist()) for r in rounds]
    assert kept[0] == set(range(len(X)))
    assert kept[0] > kept[1] > kept[2] == set(np.flatnonzero(est.clean_mask_).tolist())
    clean = set(np.flatnonzero(~WRONG).tolist())
    recall = [len(clean & k) / len(clean) for k in kept]
    assert recall == sorted(recall, reverse=True)
    for number, (before, after) in enumerate(pairwise(kept), start=1):
        assert set(np.flatnonzero(est.dropped_round_ == number).tolist()) == before - after
    np.testing.assert_array_equal(est.dropped_round_ == 0, est.clean_mask_)


def test_the_summaries_tell_the_rounds(watched):
    est, rounds = watched
    assert est.n_rounds_ == len(est.rounds_) == len(est.mixtures_) == 3
    assert [r.n_rows for r in est.rounds_] == [len(r["ids"]) for r in rounds]
    assert [r.n_dropped for r in est.rounds_] == [
        *(np.count_nonzero(est.dropped_round_ == number) for number in (1, 2)),
        0,
    ]
    assert est.termination_ == "all rounds were trained"


def test_status_bits_start_anew_each_round(watched):
    est, rounds = watched
    correct = est.dynamics_.correct
    assert correct.shape == (len(X), 12 + 10 + 10)
    for r, columns, summary in zip(
        rounds, (slice(12), slice(12, 22), slice(22, 32)), est.rounds_, strict=True
    ):
        S = correct[:, columns]
        trained = ~np.isnan(S).any(axis=1)
        assert set(np.flatnonzero(trained).tolist()) == set(r["ids"].tolist())
        assert np.isnan(S[~trained]).all()
        C = selection_metric(S[trained])
        assert abs(C).max() <= r["epochs"]
        assert summary.n_rows == len(C)
    C = selection_metric(correct[:, :12])
    mean = np.dot(est.rounds_[0].component_weights, est.rounds_[0].component_means)
    assert mean == pytest.approx(C.mean(), abs=0.5)


@pytest.mark.parametrize(("number", "columns"), [(1, slice(12)), (2, slice(12, 22))])
def test_threshold_of_a_round_follows_from_its_own_bits(watched, number, columns):
    est, _ = watched
    trained = (est.dropped_round_ == 0) | (est.dropped_round_ >= number)
    C = selection_metric(est.dynamics_.correct[trained, columns])
    dropped = est.dropped_round_[trained] == number
    assert dropped.any()
    assert est.rounds_[number - 1].threshold == C[dropped].min() >= C[~dropped].max()


def test_history_knows_the_round(watched):
    est, _ = watched
    assert [epoch["round"] for epoch in est.history_] == [1] * 12 + [2] * 10 + [3] * 10
    assert {"train_loss", "lr", "dur", "epoch"} <= est.history_[0].keys()
    assert [epoch["epoch"] for epoch in est.history_] == list(range(1, 33))


class Frozen(nn.Linear):
    """Weights that training cannot move: status bits equal the offline predictions."""

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.requires_grad_(False)
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return super().forward(x) + self.shift  # the same for all classes


@pytest.mark.parametrize("recording", ["training", "evaluation"])
def test_bits_of_a_network_that_stands_still(recording):
    est = MILDSelector(Frozen, rounds=1, max_epochs=4, recording=recording, random_state=0)
    est.fit(X, GIVEN)
    offline = est.predict(X) == GIVEN
    np.testing.assert_array_equal(est.dynamics_.correct, np.repeat(offline[:, None], 4, axis=1))


def test_training_bits_are_those_before_the_update():
    # One batch an epoch and steps so large that each update changes the predictions.
    kwargs = {"rounds": 1, "max_epochs": 6, "lr": 5.0, "batch_size": 1024, "random_state": 0}
    kwargs |= {"module__hidden": (), "optimizer__momentum": 0.0}
    before = MILDSelector(**kwargs).fit(X, GIVEN).dynamics_.correct
    after = MILDSelector(recording="evaluation", **kwargs).fit(X, GIVEN).dynamics_.correct
    np.testing.assert_array_equal(before[:, 1:], after[:, :-1])
    assert not np.array_equal(before, after)


# Parameters


def quick(**params):
    return MILDSelector(**({"rounds": 2, "max_epochs": 10, "random_state": 0} | params))


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_a_number_of_rounds_is_trained_exactly(rounds):
    est = quick(rounds=rounds, max_epochs=3).fit(X, GIVEN)
    assert est.n_rounds_ == len(est.rounds_) == rounds
    assert len(est.history_) == est.dynamics_.n_epochs == 3 * rounds
    assert est.termination_ == "all rounds were trained"
    assert est.dropped_round_.max() <= rounds


def test_first_epochs():
    est = quick(first_epochs=7, max_epochs=3, rounds=3).fit(X, GIVEN)
    assert [epoch["round"] for epoch in est.history_] == [1] * 7 + [2] * 3 + [3] * 3
    assert est.dynamics_.n_epochs == 13


def test_dynamics_hold_only_what_was_asked_for():
    est = quick().fit(X, GIVEN)
    assert est.dynamics_.quantities == ("correct",)
    with pytest.raises(ValueError, match=r"'margin' was not recorded.*`record`"):
        est.dynamics_.aum()
    est = quick(record=["margin", "loss"]).fit(X, GIVEN)
    assert est.dynamics_.quantities == ("margin", "loss")
    with pytest.raises(ValueError, match="'correct' was not recorded"):
        _ = est.dynamics_.correct


def test_aum_comes_free():
    dynamics = quick(record=("correct", "margin")).fit(X, GIVEN).dynamics_
    assert dynamics.quantities == ("correct", "margin")
    assert dynamics.aum().shape == (len(X),)
    assert roc_auc_score(WRONG, -dynamics.aum()) > 0.9
    # A prediction is right where its margin is positive.
    seen = ~np.isnan(dynamics.correct)
    np.testing.assert_array_equal(dynamics.margin[seen] > 0, dynamics.correct[seen] == 1)


@pytest.mark.parametrize(
    "params",
    [
        {"lam": 0.5},
        {"lam": 3},
        {"lam": 0},
        {"full": True},
        {"full": True, "lam": 0, "threshold": 0.9},
        {"full": True, "lam": 0.5},
        {"recording": "evaluation"},
        {"recording": "held_out"},
        {"threshold": "crossing"},
        {"threshold": 0.8},
        {"optimizer": torch.optim.AdamW, "lr": 0.005},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_settings_find_the_wrong_labels(params):
    est = quick(**params).fit(X, GIVEN)
    assert roc_auc_score(WRONG, est.noise_scores_) > 0.95
    assert est.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.06)


def test_settings_change_the_selection():
    fits = [
        quick(**params).fit(X, GIVEN).dropped_round_ != 1  # by the threshold, not by the score
        for params in (
            {},
            {"threshold": "crossing"},
            {"threshold": 0.7},
            {"threshold": "scale_raw"},
        )
    ]
    assert len({mask.tobytes() for mask in fits}) == 4
    scale, crossing, ratio, raw = (np.count_nonzero(~mask) for mask in fits)
    assert raw == 0
    assert 0 < scale < crossing
    assert ratio == len(X) - round(0.7 * len(X))


def test_lambda_does_not_change_the_first_selection():
    none, one, other = (quick(lam=lam, threshold=0.8).fit(X, GIVEN) for lam in (0, 1, 3))
    np.testing.assert_array_equal(one.dropped_round_, other.dropped_round_)
    np.testing.assert_array_equal(one.dropped_round_, none.dropped_round_)
    # C = E - (1 + lambda) n1
    assert other.rounds_[0].threshold - 10 == pytest.approx(2 * (one.rounds_[0].threshold - 10))
    assert one.rounds_[0].threshold - 10 == pytest.approx(2 * (none.rounds_[0].threshold - 10))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rounds": 0}, r"'rounds' parameter of MILDSelector must be .*range \[1, inf\)"),
        ({"rounds": "all"}, r"'rounds' parameter .*'auto'.*Got 'all' instead"),
        ({"first_epochs": 0}, r"'first_epochs' parameter .*range \[1, inf\)"),
        ({"lam": -0.5}, r"'lam' parameter .*range \[0\.0, inf\)"),
        ({"metric": "loss"}, r"'metric' parameter .*'small_loss'.*Got 'loss' instead"),
        ({"metric": None}, "'metric' parameter .*callable.*Got None instead"),
        ({"min_share_of_class": 1.0}, r"'min_share_of_class' parameter .*range \[0\.0, 1\.0\)"),
        ({"min_share_of_class": -0.1}, r"'min_share_of_class' parameter .*Got -0\.1 instead"),
        ({"full": "yes"}, "'full' parameter .*bool"),
        ({"threshold": 1.0}, r"'threshold' parameter .*range \(0\.0, 1\.0\)"),
        ({"threshold": "alpha"}, r"'threshold' parameter .*'scale_raw'.*Got 'alpha' instead"),
        ({"recording": "online"}, "'recording' parameter .*Got 'online' instead"),
        ({"record": "correct"}, "'record' parameter .*array-like"),
        ({"record": ["accuracy"]}, r"Unknown quantities \['accuracy'\]; choose from"),
        ({"optimizer": "sgd"}, "'optimizer' parameter .*callable"),
        ({"lr": -1}, r"'lr' parameter .*range \(0\.0, inf\)\. Got -1 instead"),
        ({"max_epochs": 0}, "'max_epochs' parameter .*Got 0 instead"),
        ({"batch_size": 1}, r"'batch_size' parameter .*range \[2, inf\)"),
        ({"standardize": 2}, "'standardize' parameter .*bool"),
        ({"augment": "flip"}, "'augment' parameter .*'auto'"),
        ({"precision": "float8"}, "'precision' parameter .*Got 'float8' instead"),
        ({"callbacks": 3}, "'callbacks' parameter .*list"),
        ({"random_state": "a"}, "'random_state' parameter"),
        ({"verbose": -1}, "'verbose' parameter"),
    ],
    ids=str,
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        quick(**params).fit(X, GIVEN)


# When it stops


def test_stops_if_the_network_learned_nothing():
    class Constant(Frozen):
        def forward(self, x):
            return 0 * super().forward(x) + torch.tensor([1.0, 0, 0])  # class 0 everywhere

    est = quick(module=Constant, rounds="auto").fit(X, GIVEN)
    assert est.n_rounds_ == 1
    assert est.termination_.startswith("the network did no better than naming")
    assert est.mixtures_ == [None]
    assert est.clean_mask_.all()


def test_rows_that_score_above_one_half_are_not_called_clean():
    est = quick(rounds=1, max_epochs=20).fit(X, GIVEN)
    suspicious = est.noise_scores_ > 0.5
    assert 10 < suspicious.sum() < 100
    np.testing.assert_array_equal(est.clean_mask_, ~suspicious)
    np.testing.assert_array_equal(est.dropped_round_, suspicious.astype(int))
    assert est.rounds_[0].n_dropped == suspicious.sum()


def test_stops_on_clean_data():
    X_clean, y_clean, _ = noisy_blobs(rate=0)
    est = MILDSelector(random_state=0).fit(X_clean, y_clean)
    assert est.n_rounds_ < 4 < MAX_AUTO_ROUNDS
    assert est.noise_rate_ < 0.06
    assert est.clean_mask_.mean() > 0.95


def test_stops_when_there_is_nothing_to_drop():
    trusted = np.ones(len(X), dtype=bool)
    trusted[np.flatnonzero(~WRONG)[0]] = False
    est = quick(rounds="auto").fit(X, GIVEN, trusted=trusted)
    assert est.n_rounds_ == 1
    assert est.mixtures_[0] is not None
    assert est.termination_ == "no row was left to drop"


def test_stops_when_the_noisy_component_was_learned():
    digits, y = load_digits(return_X_y=True)
    est = MILDSelector(random_state=0).fit(digits[:600], y[:600])
    assert est.termination_.startswith("the noisy component was learned")
    last = est.rounds_[-1]
    assert last.component_means[1] < -0.5 * 20
    assert last.n_dropped == 0


@pytest.mark.parametrize(
    ("lam", "mean", "learned"),
    [(1, -10.1, 1), (1, -9.9, 0), (3, -39, 0), (3, -41, 1), (0, 4.9, 1), (0, 5.1, 0)],
)
def test_learned_means_wrong_in_less_than_a_quarter_of_the_epochs(lam, mean, learned):
    # 5 of 20 epochs wrong: C = 5 - 15 lambda, so -10 for lambda 1, -40 for 3 and 5 for 0.
    summary = select(C_MIXED)[1]._replace(component_means=(mean - 1, mean))
    found, recent = Split(None, summary, None, None), TrainingDynamics(1, ["correct"])
    for _ in range(20):
        recent.append(correct=np.ones(1))
    selection = Selection(MILDSelector(lam=lam)._selection_settings(), Mock(n_samples=2), run=None)
    _, wrong_share = selection._wrong_shares(found, recent, None)
    reason = reason_to_stop(summary, wrong_share, learned=True)
    assert reason.startswith("the noisy component was learned") == bool(learned)
    assert bool(reason) == bool(learned)


def test_auto_stops_at_the_last_round(monkeypatch):
    monkeypatch.setattr("noisyfit.methods.mild._selector.MAX_AUTO_ROUNDS", 2)
    monkeypatch.setattr(
        "noisyfit.methods.mild._selection.reason_to_stop", lambda *args, **kwargs: ""
    )
    est = quick(rounds="auto", max_epochs=2).fit(X, GIVEN)
    assert (est.n_rounds_, est.termination_) == (2, "all rounds were trained")


# Scores


@pytest.fixture(scope="module")
def fitted():
    return quick(rounds=3).fit(X, GIVEN)


def test_scores_have_no_ties(fitted):
    assert len(np.unique(fitted.noise_scores_)) == len(X)


def test_equal_rows_have_equal_scores():
    twice, labels = np.repeat(X, 2, axis=0), np.repeat(GIVEN, 2)
    frozen = MILDSelector(Frozen, rounds=1, max_epochs=2, random_state=0).fit(twice, labels)
    np.testing.assert_allclose(frozen.noise_scores_[::2], frozen.noise_scores_[1::2], atol=1e-3)


def test_noise_rate_is_the_mean_score(fitted):
    assert fitted.noise_rate_ == pytest.approx(fitted.noise_scores_.mean(), abs=1e-12)
    assert fitted.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.05)
    assert fitted.noise_rate_ != pytest.approx(np.mean(~fitted.clean_mask_), abs=1e-6)


def test_scores_read_as_probabilities(fitted):
    scores = fitted.noise_scores_
    assert roc_auc_score(WRONG, scores) > 0.97
    assert np.mean((scores > 0.5) == WRONG) > 0.9
    for low, high in ((0, 0.3), (0.7, 1)):
        inside = (scores >= low) & (scores <= high)
        assert scores[inside].mean() == pytest.approx(WRONG[inside].mean(), abs=0.15)


def test_scores_follow_the_metric_and_then_the_margin():
    est = quick(rounds=1, record=("correct", "margin")).fit(X, GIVEN)
    C = selection_metric(est.dynamics_.correct)
    order = np.argsort(est.noise_scores_)
    assert (np.diff(C[order]) >= 0).all()
    log_proba, given = (torch.from_numpy(v) for v in (np.log(est.predict_proba(X)), GIVEN))
    final = given_label_statistics(log_proba, given.long(), ("margin",))[0].numpy()
    margin = (est.dynamics_.margin.sum(axis=1) + final)[order]
    tied = np.diff(C[order]) == 0
    assert tied.sum() > 100
    assert (np.diff(margin)[tied] <= 1e-3).all(), "at the same C the low margin is suspicious"
    assert len(np.unique(est.noise_scores_)) == len(X)


def test_noise_rate_counts_trusted_rows_as_right():
    trusted = ~WRONG
    est = quick().fit(X, GIVEN, trusted=trusted)
    assert est.noise_rate_ == pytest.approx(est.noise_scores_[WRONG].sum() / len(X))


def test_digits_with_40_percent_symmetric_noise():
    digits, y = load_digits(return_X_y=True)
    noisy_labels, wrong = corrupt_labels(y, transition_matrix("symmetric", 10, 0.4), random_state=0)
    est = MILDSelector(random_state=0).fit(digits, noisy_labels)
    assert roc_auc_score(wrong, est.noise_scores_) >= 0.995
    assert est.noise_rate_ == pytest.approx(wrong.mean(), abs=0.03)
    precision = np.mean(~wrong[est.clean_mask_])
    recall = np.count_nonzero(~wrong & est.clean_mask_) / np.count_nonzero(~wrong)
    assert precision > 0.9
    assert recall > 0.95
    assert np.mean(est.corrected_labels_ == y) > 0.9
