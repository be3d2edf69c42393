"""Validation rows, whose labels are as noisy as all others: who sees them, and what follows."""

import numpy as np
import pytest
import torch
from _estimators import QUICK
from sklearn.base import clone
from sklearn.datasets import make_blobs
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler

from noisyfit import (
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)
from noisyfit.base._row_choices import validation_rows

NAMES = [type(est).__name__ for est in QUICK]
every_estimator = pytest.mark.parametrize("est", QUICK, ids=NAMES)


def problem(n=240):
    X, y = make_blobs(n, centers=3, random_state=0, cluster_std=1.5)
    given = y.copy()
    given[::5] = (y[::5] + 1) % 3
    return X, y, given


def fitted(est, X, y, trusted=None, **params):
    params = {"validation_fraction": 0.25, "max_epochs": 6, "random_state": 0, **params}
    return clone(est).set_params(**params).fit(X, y, trusted=trusted)


class Watch(Callback):
    """Which rows each stage trains on and looks at, and the accuracy of the latter."""

    def __init__(self):
        self.trained, self.looked_at, self.states = {}, {}, {}

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        seen = self.trained if training else self.looked_at
        seen.setdefault(net.stage_, set()).update(batch[0]["index"].tolist())

    def on_epoch_end(self, net, **kwargs):
        accuracy = net.history[-1]["valid_acc"]
        self.states.setdefault(net.stage_, []).append((accuracy, net.predicting_state()))


@every_estimator
@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_validation_rows_are_never_trained_on(est):
    X, _, given = problem()
    watch = Watch()
    est = fitted(est, X, given, callbacks=[watch])
    expected = set(np.flatnonzero(est.validation_mask_).tolist())
    assert len(expected) == 59, "a quarter of each given label"
    for stage, trained in watch.trained.items():
        assert not trained & expected, stage
        assert watch.looked_at[stage] <= expected
    assert watch.looked_at[next(iter(watch.trained))] == expected


@every_estimator
@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_each_stage_ends_with_its_best_epoch(est):
    X, _, given = problem()
    watch = Watch()
    est = fitted(est, X, given, callbacks=[watch], max_epochs=10)
    accuracies, states = zip(*watch.states[est.history_[-1]["stage"]], strict=True)
    best = max(range(10), key=lambda epoch: (accuracies[epoch], epoch))
    for name, value in est.net_.module_.state_dict().items():
        torch.testing.assert_close(value, states[best][name], rtol=0, atol=0)
    if isinstance(est, (DLTClassifier, DivideMixClassifier)):  # others drop some of these rows
        rows = est.validation_mask_
        assert (est.predict(X) == given)[rows].mean() == pytest.approx(max(accuracies), abs=1e-9)


@every_estimator
@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_every_row_is_judged(est):
    X, y, given = problem()
    est = fitted(est, X, given, max_epochs=15)
    assert est.dynamics_.n_samples == 240
    wrong, rows = given != y, est.validation_mask_
    for part in (rows, ~rows):
        assert est.noise_scores_[part & wrong].mean() > 2 * est.noise_scores_[part & ~wrong].mean()


@every_estimator
@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_early_stopping_ends_the_stage_and_not_the_fit(est):
    X, y, given = problem()
    stop = EarlyStopping(monitor="valid_loss", patience=2)
    est = fitted(est, X, given, callbacks=[stop], max_epochs=60)
    assert len(est.history_) < 60
    last = [epoch for epoch in est.history_ if epoch["stage"] == est.history_[-1]["stage"]]
    losses = [epoch["valid_loss"] for epoch in last]
    assert min(losses[-2:]) > min(losses) * (1 - 1e-4), "two epochs without a better loss"
    assert est.score(X, y) > 0.7
    assert np.isfinite(est.noise_scores_).all()


def test_early_stopping_needs_no_validation_rows():
    X, _, given = problem()
    stop = EarlyStopping(monitor="train_loss", patience=3, threshold=0.9)
    est = MILDSelector(rounds=2, max_epochs=20, callbacks=[("stop", stop)]).fit(X, given)
    assert [epoch["round"] for epoch in est.history_] == [1] * 4 + [2] * 4
    assert est.dynamics_.n_epochs == 8


def test_early_stopping_is_refused_where_records_have_to_be_equally_long():
    X, _, given = problem()
    for callback in (
        EarlyStopping,
        EarlyStopping(),
        ("stop", EarlyStopping()),
        ["a", EarlyStopping],
    ):
        with pytest.raises(
            ValueError, match="recording='held_out' all networks train equally long"
        ):
            fitted(MILDSelector(recording="held_out"), X, given, callbacks=[callback])


def test_ctrl_c_is_no_early_stopping():
    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    X, _, given = problem()
    with pytest.raises(KeyboardInterrupt):
        fitted(MILDSelector(rounds=1), X, given, callbacks=[EarlyStopping(), Interrupt()])


def test_skorchs_checkpoint_finds_the_best_validation_loss(tmp_path):
    X, _, given = problem()
    keep = Checkpoint(dirname=tmp_path, monitor="valid_acc_best", load_best=False)
    est = fitted(DLTClassifier(noise_rate=0.2), X, given, callbacks=[keep])
    assert (tmp_path / "params.pt").exists()
    assert any(epoch["valid_acc_best"] for epoch in est.history_)


def test_out_of_fold_networks_are_validated_on_the_rows_they_leave_out():
    X, _, given = problem()
    watch = Watch()
    est = MILDSelector(rounds=1, recording="held_out")
    est = fitted(est, X, given, callbacks=[watch], max_epochs=2)
    folds = [watch.looked_at[f"round 1, fold {k}"] for k in range(1, 6)]
    assert set.union(*folds) == set(range(240))
    assert sum(map(len, folds)) == 240
    assert watch.looked_at["round 1"] == set(np.flatnonzero(est.validation_mask_).tolist())


def test_trusted_rows_are_not_spent_on_validation():
    X, y, given = problem()
    trusted = np.arange(240) % 3 == 0
    given = np.where(trusted, y, given)
    est = fitted(MetaRelabelClassifier(), X, given, trusted=trusted, max_epochs=3)
    assert not (est.validation_mask_ & trusted).any()
    assert est.validation_mask_.sum() == 40


def test_it_is_off_by_default_and_needs_a_row_of_a_label():
    X, _, given = problem()
    assert not MILDSelector(rounds=1, max_epochs=1).fit(X, given).validation_mask_.any()
    with pytest.raises(
        ValueError, match=r"validation_fraction=0\.01 leaves no row.*label has 1[0-9]"
    ):
        MILDSelector(validation_fraction=0.01).fit(X[:30], given[:30])
    for fraction in (0, 0.6, -0.1, "auto"):
        with pytest.raises(ValueError, match="'validation_fraction' parameter"):
            MILDSelector(validation_fraction=fraction).fit(X, given)


def test_every_label_keeps_a_row_to_train_on():
    y = np.array([0, 1, 1, *[2] * 10])
    trusted = y == 5
    chosen = validation_rows(y, trusted, 0.5, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(y[chosen], minlength=3), [0, 1, 5])


@pytest.mark.parametrize("callbacks", [None, [EarlyStopping(patience=3, load_best=True)]])
@pytest.mark.parametrize(
    "est", [MILDSelector(rounds=2), DynamicsLSTMDetector()], ids=["mild", "lstm"]
)
def test_a_stopped_fit_goes_on_with_its_best_epoch(est, callbacks, tmp_path, monkeypatch):
    X, _, given = problem()
    params = {"max_epochs": 8, "callbacks": callbacks}
    whole = fitted(est, X, given, **params)
    n_left, original = [5], type(whole.net_).on_epoch_end

    def stop(net, *args, **kwargs):
        n_left[0] -= 1
        if n_left[0] < 0:
            raise RuntimeError("the power is off")
        original(net, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(whole.net_), "on_epoch_end", stop)
        with pytest.raises(RuntimeError, match="power"):
            fitted(est, X, given, checkpoint=tmp_path, **params)
    again = fitted(est, X, given, checkpoint=tmp_path, **params)
    np.testing.assert_array_equal(again.noise_scores_, whole.noise_scores_)
    assert len(again.history_) == len(whole.history_)
    once_more = fitted(est, X, given, checkpoint=tmp_path, **params)
    np.testing.assert_array_equal(once_more.noise_scores_, whole.noise_scores_)


@pytest.mark.parametrize("callback", [EarlyStopping(), Checkpoint(), EarlyStopping])
def test_who_looks_at_validation_rows_needs_some(callback):
    X, _, given = problem()
    with pytest.raises(ValueError, match=r"looks at 'valid_loss.*Set validation_fraction="):
        MILDSelector(callbacks=[callback]).fit(X, given)


@pytest.mark.parametrize(
    "policy",
    [
        {"policy": "StepLR", "step_size": 2},
        {"policy": torch.optim.lr_scheduler.StepLR, "step_size": 2},
    ],
)
def test_a_stopped_fit_goes_on_with_the_users_schedule(policy, tmp_path):
    class Stop(Callback):
        n_left = 5

        def on_epoch_begin(self, net, **kwargs):
            self.n_left -= 1
            if self.n_left < 0:
                raise RuntimeError("the power is off")

    X, _, given = problem()
    whole = fitted(MILDSelector(rounds=2), X, given, callbacks=[LRScheduler(**policy), Callback()])
    with pytest.raises(RuntimeError, match="power"):
        fitted(
            MILDSelector(rounds=2),
            X,
            given,
            callbacks=[LRScheduler(**policy), Stop()],
            checkpoint=tmp_path,
        )
    identity = tmp_path / "fit.json"
    identity.write_text(identity.read_text().replace(Stop.__qualname__, "Callback"))
    again = fitted(
        MILDSelector(rounds=2),
        X,
        given,
        callbacks=[LRScheduler(**policy), Callback()],
        checkpoint=tmp_path,
    )
    np.testing.assert_array_equal(again.noise_scores_, whole.noise_scores_)
    assert [e["lr"] for e in again.history_] == [e["lr"] for e in whole.history_]
