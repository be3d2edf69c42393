"""`schedule`: the learning rates of every epoch by hand, in all estimators and stages."""

from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, LRScheduler
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR, ReduceLROnPlateau, StepLR

import noisyfit
from noisyfit import (
    ConsensusClassifier,
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)
from noisyfit.training import StepSchedule

X, TRUE = make_blobs(60, 4, centers=3, random_state=0)
Y = np.where(np.random.default_rng(0).random(60) < 0.2, (TRUE + 1) % 3, TRUE)
TRUSTED = (np.arange(60) < 12) & (Y == TRUE)
SMALL = {"lr": 0.1, "batch_size": 16, "module__hidden": (4,), "judge_epochs": 0, "random_state": 0}

ESTIMATORS = {
    "MILD": MILDSelector(rounds=2, first_epochs=4, max_epochs=2, **SMALL),
    "DLT": DLTClassifier(noise_rate=0.2, max_epochs=4, **SMALL),
    "DivideMix": DivideMixClassifier(warmup_epochs=1, estimation_epochs=4, max_epochs=4, **SMALL),
    "LSTM": DynamicsLSTMDetector(max_epochs=4, **SMALL),
    "Meta": MetaRelabelClassifier(max_epochs=4, warmup_epochs=2, **SMALL),
    "Consensus": ConsensusClassifier(judge=None, max_epochs=4, **SMALL | {"judge_epochs": 1}),
}


class Watch(Callback):
    """Keeps the learning rates that each stage of each net begins its epochs with."""

    def __init__(self):
        self.rates = {}

    def on_epoch_begin(self, net, **kwargs):
        rate = net.optimizer_.param_groups[0]["lr"]
        self.rates.setdefault(net.stage_, []).append(rate)


def rates_of(est, **params):
    watch = Watch()
    clone(est).set_params(callbacks=[watch], **params).fit(X, Y, trusted=TRUSTED)
    return {stage: pytest.approx(rates) for stage, rates in watch.rates.items()}


def halved(optimizer):
    return StepLR(optimizer, step_size=1, gamma=0.5)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_tenth_from_half_way_on_in_each_stage(name):
    rates = rates_of(ESTIMATORS[name], schedule="step")
    for stage, found in rates.items():
        n = len(found.expected)
        assert found == ([0.1] * ((n + 1) // 2) + [0.01] * n)[:n], stage
    assert any(len(found.expected) == 4 for found in rates.values())
    assert ("round 2" in rates) == (name == "MILD")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_factory_makes_a_scheduler_for_each_stage(name):
    for found in rates_of(ESTIMATORS[name], schedule=halved).values():
        assert found == [0.1, 0.05, 0.025, 0.0125][: len(found.expected)]


def test_named_schedules():
    cosine = list(0.05 * (1 + np.cos(np.pi * np.arange(4) / 4)))
    meta = ESTIMATORS["Meta"]
    assert rates_of(meta, schedule="cosine")["training"] == cosine
    assert rates_of(meta, schedule="constant")["training"] == [0.1] * 4
    assert rates_of(meta, n_cycles=2)["training"] != cosine, "cycles are its own"
    assert rates_of(ESTIMATORS["DLT"], schedule="auto")["training"] == cosine
    assert rates_of(ESTIMATORS["DLT"], schedule="cosine")["training"] == cosine


def test_milestones_are_shares_of_a_stage():
    steps = StepSchedule((0.25, 0.5), factor=0.5)
    assert rates_of(ESTIMATORS["DLT"], schedule=steps)["training"] == [0.1, 0.05, 0.025, 0.025]
    assert StepSchedule((0.1, 0.7)).first_epochs(10) == [1, 7], "0.7 * 10 is a bit above 7"
    assert StepSchedule((0.5,)).first_epochs(5) == [3]
    assert StepSchedule((0.5,)).first_epochs(1) == [1], "a single epoch has no second rate"


def test_judges_keep_their_cosine():
    """The networks that judge have no part in `schedule`, and the same verdict."""
    est = clone(ESTIMATORS["DLT"]).set_params(judge_epochs=2)
    fits = [clone(est).set_params(schedule=s).fit(X, Y) for s in ("auto", "constant")]
    assert fits[0].held_out_noise_rate_.rate == fits[1].held_out_noise_rate_.rate
    assert not np.array_equal(fits[0].predict_proba(X), fits[1].predict_proba(X))


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        ("linear", ValueError, "'schedule' parameter of DLTClassifier must be a str among"),
        (StepSchedule((150,)), ValueError, r"must be rising shares .*Got \(150,\)"),
        (StepSchedule((0.75, 0.5)), ValueError, r"must be rising shares .*Got \(0.75, 0.5\)"),
        (StepSchedule(0.5), ValueError, "must be rising shares .*Got 0.5"),
        (StepSchedule(factor=0), ValueError, "factor of a StepSchedule must be above 0. Got 0"),
        (StepLR, TypeError, "schedule=StepLR cannot be called with the optimizer alone: missing"),
        (lambda optimizer: 0.1, TypeError, "It returned float"),
        (ReduceLROnPlateau, TypeError, "pass skorch.callbacks.LRScheduler"),
    ],
    ids=lambda value: None if isinstance(value, (str, StepSchedule, type)) else "lambda",
)
def test_what_is_no_schedule_is_refused(schedule, error, message):
    with pytest.raises(error, match=message):
        DLTClassifier(schedule=schedule, **SMALL).fit(X, Y)


def test_two_schedules_are_refused():
    with pytest.raises(ValueError, match="schedule='step' and the LRScheduler among"):
        DLTClassifier(schedule="step", callbacks=[LRScheduler(StepLR, step_size=1)]).fit(X, Y)
    with pytest.raises(ValueError, match="n_cycles=2 belongs to the cosine cycles"):
        clone(ESTIMATORS["Meta"]).set_params(schedule="step", n_cycles=2).fit(X, Y, trusted=TRUSTED)


def test_the_scheduler_of_another_optimizer_is_refused():
    kept = []

    def first_only(optimizer):
        kept.append(StepLR(optimizer, step_size=1))
        return kept[0]

    with pytest.raises(ValueError, match="another optimizer than the one that it got"):
        clone(ESTIMATORS["MILD"]).set_params(schedule=first_only).fit(X, Y)


@pytest.mark.parametrize(
    "schedule",
    [
        StepSchedule((0.25, 0.75)),
        halved,
        partial(MultiStepLR, milestones=[1, 3], gamma=0.5),
        partial(OneCycleLR, max_lr=0.1, total_steps=6),
    ],
    ids=["steps", "function", "milestones", "one cycle"],
)
def test_a_stopped_fit_goes_on(schedule, tmp_path):
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if stops and len(net.history) == 3:
                raise KeyboardInterrupt

    est = clone(ESTIMATORS["DLT"]).set_params(schedule=schedule, callbacks=[Stop()])
    stops = False
    whole = clone(est).fit(X, Y)
    est.set_params(checkpoint=tmp_path)
    stops = True
    with pytest.raises(KeyboardInterrupt):
        clone(est).fit(X, Y)
    stops = False
    again = clone(est).fit(X, Y)
    assert [e["lr"] for e in again.history_] == [e["lr"] for e in whole.history_]
    np.testing.assert_array_equal(again.predict_proba(X), whole.predict_proba(X))
    other = partial(MultiStepLR, milestones=[2], gamma=0.5)
    with pytest.raises(ValueError, match="differs in: parameter schedule"):
        clone(est).set_params(schedule=other).fit(X, Y)


def test_saved_and_loaded(tmp_path):
    for schedule in ("step", StepSchedule((0.25, 0.75), 0.3)):
        est = clone(ESTIMATORS["DLT"]).set_params(schedule=schedule, max_epochs=2).fit(X, Y)
        est.save(tmp_path / "est")
        loaded = noisyfit.load(tmp_path / "est")
        assert loaded.schedule == schedule
        assert type(loaded.schedule) is type(schedule)
        np.testing.assert_array_equal(loaded.predict_proba(X), est.predict_proba(X))


def test_searched_over():
    grid = {"schedule": ["constant", StepSchedule(), StepSchedule((0.5,), 0.5), halved]}
    est = clone(ESTIMATORS["DLT"]).set_params(max_epochs=2)
    search = GridSearchCV(est, grid, cv=2).fit(X, Y)
    assert search.best_estimator_.schedule in grid["schedule"]
    assert list(search.cv_results_["param_schedule"]) == grid["schedule"]
