"""Groups of rows, and near copies: no net that judges a row has seen the others."""

import numpy as np
import pytest
import sklearn
import torch
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import TensorDataset

from noisyfit import DLTClassifier, DynamicsLSTMDetector, MILDSelector
from noisyfit.base import Trainer, make_task
from noisyfit.base._row_choices import validation_rows
from noisyfit.data import StreamSource
from noisyfit.dynamics import RecordedRun
from noisyfit.metrics import auroc

HELD_OUT = MILDSelector(recording="held_out", rounds=1, max_epochs=2, random_state=0)
N = 120
X, Y = make_blobs(N, centers=3, n_features=8, random_state=0)
GROUPS = np.random.default_rng(0).permutation(N) // 4
NAMES = [f"film {group}" for group in GROUPS]


class Memory(nn.Module):
    """Remembers what label a film had, by its background, and learns little from what is seen."""

    def __init__(self, n_classes):
        super().__init__()
        self.linear, self.memory = nn.Linear(3, n_classes), nn.Embedding(2**12, n_classes)
        nn.init.zeros_(self.memory.weight)
        self.forget = nn.Dropout(0.5)
        self.register_buffer("place", 2 ** torch.arange(12))

    def forward(self, x):
        film = ((x[:, 3:] > 0) * self.place).sum(1)
        return self.linear(x[:, :3]) + self.forget(10 * self.memory(film))


@pytest.fixture(scope="module")
def films():
    """Three frames of each of 100 films, a fifth of which have a wrong label."""
    rng = np.random.default_rng(0)
    y, wrong = np.arange(100) % 3, rng.random(100) < 0.2
    seen = 2 * np.eye(3)[y] + 0.5 * rng.normal(size=(100, 3))
    films = np.column_stack([seen, rng.choice([-1.0, 1.0], size=(100, 12))])
    film = rng.permutation(np.repeat(np.arange(100), 3))
    frames = films[film] + 0.01 * rng.normal(size=(300, 15))
    return frames, np.where(wrong, (y + 1) % 3, y)[film], wrong[film], film


def test_near_copies_are_judged_by_a_net_that_knows_none_of_them(films):
    X, given, wrong, _ = films
    est = MILDSelector(
        Memory, recording="held_out", rounds=1, max_epochs=5, batch_size=32, lr=0.2, random_state=0
    )
    assert auroc(wrong, est.fit(X, given).noise_scores_) > 0.9
    torn = est.fit(X, given, groups=np.arange(300))  # every row for itself
    assert auroc(wrong, torn.noise_scores_) < 0.7


def test_near_copies_are_the_groups_of_the_folds_unless_others_are_given(films):
    X, given, _, film = films
    found = make_task(HELD_OUT, X, given).fold_groups
    assert len(np.unique(np.column_stack([found, film]), axis=0)) == len(np.unique(found)) <= 103
    told = make_task(HELD_OUT, X, given, groups=np.arange(300) // 10)
    np.testing.assert_array_equal(told.fold_groups, np.arange(300) // 10)
    first = np.unique(film, return_index=True)[1]
    assert make_task(HELD_OUT, X[first], given[first]).fold_groups is None


def test_copies_of_one_row_a_class_are_taken_as_they_come():
    rows = np.repeat(np.random.default_rng(0).normal(size=(20, 30)), 5, axis=0)
    assert make_task(HELD_OUT, rows, np.repeat(np.arange(20), 5)).fold_groups is None
    assert make_task(HELD_OUT, rows, np.repeat(np.arange(20), 5) // 2).fold_groups is not None


def test_nobody_looks_for_copies_where_nothing_is_judged_out_of_fold(monkeypatch):
    looked = []
    monkeypatch.setattr("noisyfit.base._fit_task.near_copy_groups", lambda *a: looked.append(1))
    for est in (MILDSelector(rounds=1, max_epochs=1), DLTClassifier(max_epochs=1)):
        est.fit(X, Y)
    assert not looked
    HELD_OUT.fit(X, Y)
    assert looked == [1]


def test_streams_are_not_read_to_look_for_copies():
    class Streamed(TensorDataset):
        """Not known to hold its inputs as they are."""

    task = make_task(HELD_OUT, Streamed(torch.tensor(X).repeat(2, 1)), np.r_[Y, Y])
    assert isinstance(task.rows.source, StreamSource)
    assert task.fold_groups is None
    assert make_task(HELD_OUT, np.r_[X, X], np.r_[Y, Y]).fold_groups is not None


@pytest.mark.parametrize("est", [HELD_OUT, DynamicsLSTMDetector(recording="held_out")])
def test_a_run_leaves_groups_out_whole(est):
    task = make_task(est, X, Y, groups=NAMES)
    trainer = Trainer(est, task)
    run = trainer.make_run("held_out", ("margin",), trainer.progress(1))
    for group in range(GROUPS.max() + 1):
        assert len(np.unique(run.fold[group == GROUPS])) == 1
    assert (trainer.make_run("training", ("margin",), trainer.progress(1)).fold == -1).all()


def test_the_detector_records_and_learns_by_groups(monkeypatch):
    est = DynamicsLSTMDetector(recording="held_out", max_epochs=2, random_state=0)
    assert isinstance(run := est.record_run(X, Y, groups=GROUPS), RecordedRun)
    assert all(len(np.unique(run.fold[group == GROUPS])) == 1 for group in range(30))
    seen = []
    original = Trainer.make_run
    monkeypatch.setattr(
        Trainer,
        "make_run",
        lambda trainer, *a, **k: seen.append(trainer._task.groups) or original(trainer, *a, **k),
    )
    est.fit_detector(X, Y, rate=0.4, groups=NAMES)
    assert len(np.unique(seen[0])) == 30


def test_a_group_is_on_one_side_of_the_validation_split():
    task = make_task(MILDSelector(validation_fraction=0.25, random_state=0), X, Y, groups=NAMES)
    sides = [len(np.unique(task.validation[group == GROUPS])) for group in range(30)]
    assert max(sides) == 1
    assert 24 <= task.validation.sum() <= 36
    assert (np.bincount(Y[task.validation], minlength=3) >= 6).all()


def test_near_copies_are_on_one_side_of_the_validation_split(films):
    X, given, _, film = films
    task = make_task(MILDSelector(validation_fraction=0.2, random_state=0), X, given)
    on_both = [len(np.unique(task.validation[film == number])) == 2 for number in range(100)]
    assert sum(on_both) <= 3
    assert 45 <= task.validation.sum() <= 75


def test_validation_groups_spare_trusted_rows_and_the_last_of_a_label():
    y = np.r_[np.arange(40) % 2, 2, 2]
    groups = np.r_[np.arange(40) // 4, 10, 10]
    spared = np.isin(np.arange(42), [0, 9])
    for seed in range(5):
        chosen = validation_rows(y, spared, 0.4, np.random.default_rng(seed), groups)
        assert not chosen[np.isin(groups, [0, 2, 10])].any()
        assert np.bincount(y[chosen]).tolist() == [8, 8]
    single = validation_rows(y, spared, 0.25, np.random.default_rng(0), np.arange(42))
    assert np.bincount(y[single]).tolist() == [5, 5], "as many as of single rows"
    with pytest.raises(ValueError, match=r"of 11 groups, 11 have trusted rows.*finer groups"):
        validation_rows(y, np.ones(42, dtype=bool), 0.4, np.random.default_rng(0), groups)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (GROUPS[:-1], r"of shape \(120,\)\. Got the shape \(119,\)"),
        (NAMES[:-1], r"Got the shape \(119,\)"),
        (np.c_[GROUPS, GROUPS], r"Got the shape \(120, 2\)"),
        (np.where(GROUPS == 3, np.nan, GROUPS), r"missing values in the rows \[.*own"),
        ([None, *NAMES[1:]], r"missing values in the rows \[0\]"),
        (np.zeros(N), "Got a single group. Pass finer groups, or let nobody judge: judge_epochs=0"),
        (Y, "Got 3 groups, each class in one"),
    ],
)
def test_groups_that_cannot_be_used_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        HELD_OUT.fit(X, Y, groups=groups)


def test_a_single_group_is_no_matter_in_sample():
    est = MILDSelector(rounds=1, max_epochs=2, random_state=0)
    plain, grouped = est.fit(X, Y).noise_scores_, est.fit(X, Y, groups=np.zeros(N)).noise_scores_
    np.testing.assert_array_equal(plain, grouped)


def test_a_fit_goes_on_with_the_same_groups_only(tmp_path):
    est = MILDSelector(**{**HELD_OUT.get_params(), "checkpoint": tmp_path})
    once = est.fit(X, Y, groups=GROUPS).noise_scores_
    np.testing.assert_array_equal(est.fit(X, Y, groups=NAMES).noise_scores_, once)
    for other in (None, GROUPS // 2):
        with pytest.raises(ValueError, match="another fit, which differs in: groups"):
            est.fit(X, Y, groups=other)


@pytest.fixture(scope="module")
def by_groups():
    """Scores with groups, which differ from those without."""
    scaled = StandardScaler().fit_transform(X)
    scores = MILDSelector(**HELD_OUT.get_params()).fit(scaled, Y, groups=GROUPS).noise_scores_
    assert (scores != MILDSelector(**HELD_OUT.get_params()).fit(scaled, Y).noise_scores_).any()
    return scores


def test_groups_through_a_pipeline(by_groups):
    pipe = make_pipeline(StandardScaler(), MILDSelector(**HELD_OUT.get_params()))
    pipe.fit(X, Y, mildselector__groups=GROUPS)
    np.testing.assert_array_equal(pipe[-1].noise_scores_, by_groups)


def test_groups_are_routed(by_groups):
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), MILDSelector(**HELD_OUT.get_params()))
        search = GridSearchCV(pipe, {"mildselector__max_epochs": [2]}, cv=GroupKFold(2))
        search.fit(X, Y, groups=GROUPS)
        folds = cross_validate(
            pipe, X, Y, cv=GroupKFold(2), params={"groups": GROUPS}, return_estimator=True,
            return_indices=True, error_score="raise",
        )  # fmt: skip
    np.testing.assert_array_equal(search.best_estimator_[-1].noise_scores_, by_groups)
    rows, pipe = folds["indices"]["train"][0], folds["estimator"][0]
    alone = MILDSelector(**HELD_OUT.get_params())
    alone.fit(StandardScaler().fit_transform(X[rows]), Y[rows], groups=GROUPS[rows])
    np.testing.assert_array_equal(pipe[-1].noise_scores_, alone.noise_scores_)


def test_fit_resample_passes_groups_on():
    est = MILDSelector(**HELD_OUT.get_params())
    kept, _ = est.fit_resample(X, Y, groups=GROUPS)
    scores = est.noise_scores_
    np.testing.assert_array_equal(scores, est.fit(X, Y, groups=GROUPS).noise_scores_)
    assert len(kept) == est.clean_mask_.sum()
