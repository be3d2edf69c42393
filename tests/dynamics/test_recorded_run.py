"""RecordedRun: whose network saw which row, and when."""

import numpy as np
import pytest
import torch
from torch import nn

from noisyfit.data import Rows, TensorSource
from noisyfit.dynamics import RecordedRun, given_label_statistics
from noisyfit.dynamics._recorded_run import N_FOLDS, deal_folds
from noisyfit.training import NoisyNet, predict_logits

CPU = torch.device("cpu")


def make_run(y, recording, seed=0, **kwargs):
    """A run of linear nets on one-hot row ids: a net knows a row only if it trained on it."""
    n = len(y)
    rows = Rows(TensorSource(np.eye(n, dtype=np.float32), CPU), torch.from_numpy(y))

    def make_net(callbacks):
        torch.manual_seed(0)
        module = nn.Linear(n, int(y.max()) + 1, bias=False)
        nn.init.zeros_(module.weight)
        return NoisyNet(module, lr=5.0, batch_size=8, callbacks=callbacks).initialize()

    quantities = ("given_prob", "margin")
    return RecordedRun(
        make_net, rows, y, quantities, recording, np.random.default_rng(seed), **kwargs
    )


def test_folds_are_stratified_and_random():
    y = np.repeat([0, 1, 2], [50, 20, 7])
    folds = [deal_folds(y, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()
    for c, size in enumerate([50, 20, 7]):
        counts = np.bincount(folds[0][y == c], minlength=N_FOLDS)
        assert counts.min() >= size // N_FOLDS
        assert counts.max() <= -(-size // N_FOLDS)


def test_folds_without_groups_are_what_they_have_always_been():
    fold = deal_folds(np.arange(20) % 3, np.random.default_rng(0))
    expected = [4, 3, 0, 0, 1, 4, 3, 0, 2, 1, 2, 4, 0, 2, 3, 1, 3, 1, 2, 4]
    np.testing.assert_array_equal(fold, expected)


@pytest.mark.parametrize("mixed", [False, True])
def test_groups_stay_together_in_folds_that_are_stratified(mixed):
    rng = np.random.default_rng(0)
    groups = np.r_[rng.integers(60, size=500), np.arange(60, 160)]
    y = rng.integers(4, size=600) if mixed else groups % 4
    folds = [deal_folds(y, np.random.default_rng(seed), groups) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()
    for group in range(160):
        assert len(np.unique(folds[0][groups == group])) == 1
    assert np.ptp(np.bincount(folds[0])) <= 2
    for c in range(4):
        counts = np.bincount(folds[0][y == c], minlength=N_FOLDS)
        assert np.ptp(counts) <= (5 if mixed else 1)


def test_groups_of_one_row_are_dealt_as_evenly_as_rows():
    y = np.repeat([0, 1, 2], [50, 20, 7])
    fold = deal_folds(y, np.random.default_rng(0), np.arange(77))
    for c in range(3):
        assert np.ptp(np.bincount(fold[y == c], minlength=N_FOLDS)) <= 1


def test_fewer_groups_than_folds_make_fewer_nets():
    y, groups = np.arange(60) % 2, np.arange(60) // 20
    run = make_run(y, "held_out", groups=groups, keeps_net=False)
    assert [len(np.unique(run.fold[groups == group])) for group in range(3)] == [1, 1, 1]
    assert sorted(np.unique(run.fold)) == [0, 1, 2]
    run.train_stage(np.ones(60, dtype=bool), 2)
    np.testing.assert_array_equal(run.dynamics.given_prob, np.full((60, 2), 0.5))
    assert {epoch["fold"] for epoch in run.history()} == {0, 1, 2}


def test_a_class_of_one_group_is_never_left_out():
    y, groups = np.r_[np.arange(40) % 2, [2] * 4], np.r_[np.arange(40) // 4, [9] * 4]
    run = make_run(y, "held_out", groups=groups, keeps_net=False)
    assert (run.fold[y == 2] == -1).all()
    assert (run.fold[y != 2] >= 0).all()
    run.train_stage(np.ones(44, dtype=bool), 3)
    assert (run.dynamics.given_prob[y == 2, -1] > 0.5).all()
    np.testing.assert_array_equal(run.dynamics.given_prob[y != 2], np.full((40, 3), 1 / 3, "f2"))


@pytest.mark.parametrize(
    ("groups", "found"), [(np.zeros(20, int), "a single group"), (np.arange(20) % 2, "2 groups")]
)
def test_groups_that_no_net_can_be_trained_without(groups, found):
    with pytest.raises(ValueError, match=f"two groups at least. Got {found}.*Pass finer groups"):
        deal_folds(np.arange(20) % 2, np.random.default_rng(0), groups)


def all_logits(logits, y):
    return logits


def test_held_out_rows_are_recorded_by_the_net_that_never_saw_them():
    y = np.arange(40) % 2
    run = make_run(y, "held_out")
    run.train_stage(np.ones(40, dtype=bool), 3)
    # A net's weights for a row move only if it trained on the row.
    np.testing.assert_array_equal(run.dynamics.given_prob, np.full((40, 3), 0.5))
    np.testing.assert_array_equal(run.map_logits(all_logits), np.zeros((40, 2)))
    assert predict_logits(run.net, run.rows).any(axis=1).all()
    in_sample = make_run(y, "evaluation")
    in_sample.train_stage(np.ones(40, dtype=bool), 3)
    assert in_sample.dynamics.given_prob.min() > 0.5


@pytest.mark.parametrize("recording", ["evaluation", "held_out"])
def test_the_last_epoch_is_that_of_the_logits(recording):
    y = np.random.default_rng(0).integers(3, size=60)
    run = make_run(y, recording, keeps_net=False)
    run.train_stage(np.ones(60, dtype=bool), 2)
    logits, given = torch.from_numpy(run.map_logits(all_logits)), torch.from_numpy(y)
    p = given_label_statistics(logits, given, ("given_prob",))[0].numpy()
    np.testing.assert_allclose(run.dynamics.given_prob[:, -1], p, atol=1e-3)


@pytest.mark.parametrize("recording", ["training", "evaluation", "held_out"])
def test_rows_that_take_no_part_have_no_record(recording):
    y, keep = np.arange(40) % 2, np.arange(40) < 30
    run = make_run(y, recording)
    run.train_stage(np.ones(40, dtype=bool), 2)
    run.train_stage(keep, 3)
    p = run.dynamics.given_prob
    assert p.shape == (40, 5)
    assert not np.isnan(p[:, :2]).any()
    assert not np.isnan(p[keep]).any()
    assert np.isnan(p[~keep, 2:]).all()
    assert run.dynamics.trained_epochs().tolist() == [5] * 30 + [2] * 10


def test_the_only_row_of_a_class_is_never_left_out():
    y = np.r_[np.arange(39) % 2, 2]
    run = make_run(y, "held_out", keeps_net=False)
    run.train_stage(np.ones(40, dtype=bool), 3)
    assert run.fold[-1] == -1
    assert run.dynamics.given_prob[-1, -1] > 0.5
    assert run.net is None
    logits, last = torch.from_numpy(run.map_logits(all_logits)[-1:]), torch.tensor([2])
    p = given_label_statistics(logits, last, ("given_prob",)).item()
    assert run.dynamics.given_prob[-1, -1] == pytest.approx(p, abs=1e-3)
    assert {epoch["fold"] for epoch in run.history()} == set(range(N_FOLDS))


def test_rows_of_a_single_fold_may_be_all_that_is_left():
    y = np.arange(20) % 2
    run = make_run(y, "held_out", keeps_net=False)
    run.train_stage(run.fold == 2, 2)
    assert not np.isnan(run.dynamics.given_prob[run.fold == 2]).any()


def test_epochs_of_all_nets_are_in_the_history():
    y = np.arange(40) % 2
    lengths = {"training": 2, "evaluation": 2, "held_out": 2 * N_FOLDS}
    for recording, length in lengths.items():
        run = make_run(y, recording, keeps_net=False)
        run.train_stage(np.ones(40, dtype=bool), 2)
        assert len(run.history()) == length == 2 * RecordedRun.n_nets(recording, keeps_net=False)
    assert RecordedRun.n_nets("held_out") == N_FOLDS + 1
