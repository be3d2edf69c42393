"""Optuna: a study whose trials end early by the accuracy of each epoch."""

from __future__ import annotations

import numpy as np
import pytest
from _trial import GIVEN, MILD, TRUE, X, client, every_estimator
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback

pytestmark = [
    pytest.mark.slow,
    client("optuna"),
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]


class Pruning(Callback):
    """What Optuna's documentation does in a loop over epochs: report, and ask whether to go on."""

    def __init__(self, trial, pruned):
        self.trial, self.pruned, self.step = trial, pruned, 0

    def on_epoch_end(self, net, **kwargs):
        self.trial.report(net.history[-1, "valid_acc"], self.step)
        self.step += 1
        in_this_stage = net.history[:, "stage"].count(net.stage_)
        if in_this_stage > 2 and self.trial.should_prune():  # a stage may begin with a new network
            raise self.pruned


def quiet(optuna):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@every_estimator
def test_pruning(est):
    """A callback with `trial.report` of `valid_acc`, and `TrialPruned`."""
    optuna = quiet(pytest.importorskip("optuna"))

    def objective(trial):
        rate = trial.suggest_float("lr", 1e-6, 0.05, log=True)
        callback = Pruning(trial, optuna.TrialPruned())
        fitted = clone(est).set_params(lr=rate, callbacks=[callback], validation_fraction=0.25)
        return fitted.fit(X, GIVEN).score(X, GIVEN)

    study = optuna.create_study(
        direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=0.6)
    )
    for rate in (0.05, 1e-6):
        study.enqueue_trial({"lr": rate})
    study.optimize(objective, n_trials=2)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED"]
    reported = study.trials[0].intermediate_values
    assert sorted(reported) == list(range(len(reported))), "every epoch of every stage"
    assert len(reported) >= 4
    assert len(study.trials[1].intermediate_values) < len(reported)


def test_search_by_cross_validation():
    """A study over `cross_val_score(est, X, y)` with names of the network and the optimizer."""
    optuna = quiet(pytest.importorskip("optuna"))

    def objective(trial):
        est = clone(MILD).set_params(
            rounds=1,
            module__hidden=(trial.suggest_categorical("width", [4, 8]),),
            optimizer__momentum=trial.suggest_float("momentum", 0.5, 0.9),
            lr=trial.suggest_float("lr", 1e-6, 0.05, log=True),
        )
        return cross_val_score(est, X, GIVEN, cv=2, error_score="raise").mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial({"width": 8, "momentum": 0.9, "lr": 0.05})
    study.optimize(objective, n_trials=3)
    best = clone(MILD).set_params(lr=study.best_params["lr"]).fit(X, GIVEN)
    assert np.mean(best.predict(X) == TRUE) > 0.8


@pytest.mark.filterwarnings("ignore:OptunaSearchCV is experimental")
@pytest.mark.filterwarnings("ignore:`optuna.terminator` module has been deprecated")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_its_own_search(n_jobs):
    """`OptunaSearchCV(est, distributions, n_jobs={n_jobs})`: each trial scores as by itself."""
    pytest.importorskip("optuna_integration", reason="optuna-integration is not installed")
    optuna = quiet(pytest.importorskip("optuna"))
    from optuna_integration import OptunaSearchCV

    rates = {"lr": optuna.distributions.FloatDistribution(0.0001, 0.1, log=True)}
    search = OptunaSearchCV(
        clone(MILD), rates, cv=2, n_trials=4, n_jobs=n_jobs, random_state=0, error_score="raise"
    ).fit(X, GIVEN)
    assert len(search.trials_) == 4
    for trial in search.trials_:
        alone = cross_val_score(clone(MILD).set_params(**trial.params), X, GIVEN, cv=2)
        assert trial.value == alone.mean()
    assert len({trial.value for trial in search.trials_}) > 1
    best = clone(MILD).set_params(**search.best_params_).fit(X, GIVEN)
    np.testing.assert_array_equal(search.best_estimator_.noise_scores_, best.noise_scores_)
    assert search.score(X, TRUE) > 0.8
