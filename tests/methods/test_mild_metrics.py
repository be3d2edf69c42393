"""The metrics that MILD's own was compared with (its Table 5), by hand and against numpy's SVD."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback
from torch import nn

from noisyfit import MILDSelector, load
from noisyfit.data import Rows, TensorSource
from noisyfit.display import MixtureDisplay
from noisyfit.dynamics import TrainingDynamics
from noisyfit.methods.mild import selection_metric
from noisyfit.methods.mild._other_metrics import alignment, last_layer_inputs, small_loss
from noisyfit.methods.mild._rounds import split, wrong_shares
from noisyfit.modules import MLP
from noisyfit.training import NoisyNet


def noisy_blobs(n=240, rate=0.25, seed=0):
    X, y = make_blobs(n, 4, centers=3 * np.eye(3, 4), random_state=seed)
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < rate
    return X.astype(np.float32), np.where(wrong, (y + rng.integers(1, 3, n)) % 3, y), wrong


X, GIVEN, WRONG = noisy_blobs()


def quick(**params):
    return MILDSelector(**({"rounds": 2, "max_epochs": 10, "random_state": 0} | params))


def small_loss_of_user(dynamics, y):
    return dynamics.loss[:, -1]


# By hand


@pytest.mark.parametrize(
    ("accuracy", "epoch"),
    [([], 2), ([0.5, 0.9, 0.7], 1), ([0.9, 0.9, 0.7], 1), ([0.9, 0.7, None], 0)],
    ids=["last", "best", "last of the best", "no such row"],
)
def test_small_loss_is_that_of_the_best_epoch(accuracy, epoch):
    loss = np.array([[0.5, 0.25, 1], [2, 1, 0.125], [4, np.nan, np.nan]])
    dynamics = TrainingDynamics(3, ["loss"])
    for column in loss.T:
        dynamics.append(loss=column)
    history = [{"valid_acc": 1.0}, {"valid_acc": 1.0}]  # of the round before
    for i in range(3):
        of_epoch = {} if not accuracy or accuracy[i] is None else {"valid_acc": accuracy[i]}
        history.append(of_epoch)
    np.testing.assert_array_equal(small_loss(dynamics, history), loss[:, epoch])


def test_alignment_by_hand():
    # Class 0: Gram matrix diag(9 + 4, 1), so that the first axis is its direction. Class 1: the
    # diagonal, whatever the sign, and a row that has no features.
    Z = np.array([[3.0, 0], [-2, 0], [0, 1], [1, 1], [-5, -5], [2, 0], [0, 0]])
    y = np.array([0, 0, 0, 1, 1, 1, 1])
    u = np.linalg.svd(Z[3:])[2][0]
    expected = [1, 1, 0, abs(u.sum()) / np.sqrt(2), abs(u.sum()) / np.sqrt(2), abs(u[0]), 0]
    np.testing.assert_allclose(alignment(Z, y), expected, atol=1e-12)


@pytest.mark.parametrize("n_features", [3, 40])  # 40: more than rows of a class
def test_alignment_is_with_the_first_singular_vector_of_numpy(n_features):
    rng = np.random.default_rng(0)
    Z, y = rng.normal(0.3, 1, (60, n_features)).astype(np.float32), np.arange(60) % 3
    expected = np.empty(60)
    for c in range(3):
        own = Z[y == c].astype(float)
        v = np.linalg.svd(own)[2][0]
        expected[y == c] = np.abs(own @ v) / np.linalg.norm(own, axis=1)
    np.testing.assert_allclose(alignment(Z, y), expected, atol=1e-10)


def test_the_shares_of_wrong_epochs_are_those_of_the_components():
    C = np.array([0.0, 1.0, 10.0])  # three values: no mixture, the widest gap
    found = split(C, C, "scale", min_gap=0, zero_value=None)
    assert wrong_shares(found, np.array([0.1, 0.3, 0.9])) == pytest.approx((0.2, 0.9))
    rng = np.random.default_rng(0)
    C = np.r_[rng.weibull(2, 800), 20 + rng.weibull(6, 200)]
    found = split(C, C, "scale", min_gap=0, zero_value=None)
    assert wrong_shares(found, (C > 10) * 0.8) == pytest.approx((0, 0.8), abs=0.02)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("threshold", ["scale", "crossing"])
def test_the_unit_of_a_metric_does_not_matter(factor, threshold):
    rng = np.random.default_rng(1)
    C = np.r_[15 * rng.weibull(1.5, 1600), 60 * rng.weibull(6, 400)] - 20
    one, other = (
        split(metric, metric, threshold, min_gap=0, zero_value=None) for metric in (C, factor * C)
    )
    assert 0.05 < one.beyond.mean() < 0.3
    np.testing.assert_array_equal(one.beyond, other.beyond)
    assert other.summary.threshold == pytest.approx(factor * one.summary.threshold, rel=1e-3)


# Features


def rows_of(X):
    return Rows(TensorSource(X, torch.device("cpu")), torch.zeros(len(X), dtype=torch.int64))


@pytest.mark.parametrize("n", [240, 237, 1])  # the net fills up the last batch
def test_features_are_what_the_last_layer_is_given(n):
    torch.manual_seed(0)
    module = MLP(4, 3, hidden=(16, 8), dropout=0.5)
    features = last_layer_inputs(NoisyNet(module).initialize(), rows_of(X[:n]))
    with torch.no_grad():
        expected = module.eval().layers[:-1](torch.from_numpy(X[:n])).numpy()
    assert features.shape == (n, 8)
    np.testing.assert_allclose(features, expected, atol=1e-6)
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in module.modules())


class LastIsNotLast(nn.Module):
    """The head is registered first, and called by keyword."""

    def __init__(self):
        super().__init__()
        self.head, self.body = nn.Linear(2, 3), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(input=self.body(x))


def test_the_last_layer_is_the_one_that_is_called_last():
    module = LastIsNotLast()
    features = last_layer_inputs(NoisyNet(module).initialize(), rows_of(X))
    with torch.no_grad():
        expected = module.body(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-6)


class NoLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.eye(4, 3))

    def forward(self, x):
        return x @ self.W


class Gate(NoLayer):
    """A linear layer, which is not the one that makes the logits."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(4, 1)

    def forward(self, x):
        return super().forward(x) * self.gate(x).sigmoid()


class Pieces(nn.Module):
    """One linear layer for all pieces of a row, whose logits are averaged."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return self.layer(x.reshape(-1, 2, 2)).mean(dim=1)


class Folded(Pieces):
    """The same with the pieces in the place of rows."""

    def forward(self, x):
        return self.layer(x.reshape(-1, 2)).view(len(x), 2, -1).mean(dim=1)


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (NoLayer, "Got none in NoLayer"),
        (Gate, "out_features=1"),
        (Pieces, r"shape \(\d+, 2, 2\)"),
        (Folded, r"shape \(\d+, 2\) in Folded"),
    ],
)
def test_a_network_without_such_a_layer_is_refused(module, found):
    with pytest.raises(ValueError, match=r"last torch\.nn\.Linear.*3 logits") as error:
        quick(module=module, metric="eigenvector", max_epochs=1).fit(X, GIVEN)
    error.match(found)


# Fits


@pytest.mark.parametrize(
    "params",
    [
        {"metric": "small_loss"},
        {"metric": "small_loss", "recording": "held_out"},
        {"metric": "small_loss", "validation_fraction": 0.2},
        {"metric": "eigenvector", "rounds": 1},
        {"metric": "small_loss", "rounds": "auto"},
        {"metric": lambda dynamics, y: -dynamics.aum(), "rounds": 3},
    ],
    ids=lambda params: " ".join(
        getattr(value, "__name__", str(value)) for value in params.values()
    ),
)
def test_other_metrics_find_the_wrong_labels(params):
    est = quick(**params).fit(X, GIVEN)
    assert roc_auc_score(WRONG, est.noise_scores_) > 0.9
    assert est.noise_rate_ == pytest.approx(WRONG.mean(), abs=0.08)


def test_small_loss_drops_rows_from_its_threshold_on():
    est = quick(metric="small_loss", record=("loss",)).fit(X, GIVEN)
    loss, dropped = est.dynamics_.loss[:, 9], est.dropped_round_ == 1
    np.testing.assert_array_equal(dropped, loss >= est.rounds_[0].threshold)
    assert 10 < dropped.sum() < 100
    mixture = est.mixtures_[0]
    assert est.rounds_[0].threshold == pytest.approx(mixture.scales_[1] + loss.min(), rel=1e-6)


def test_a_callable_that_returns_the_last_loss_is_small_loss():
    one = quick(metric="small_loss", record=("loss",)).fit(X, GIVEN)
    other = quick(metric=small_loss_of_user, record=("loss",)).fit(X, GIVEN)
    np.testing.assert_array_equal(one.noise_scores_, other.noise_scores_)
    np.testing.assert_array_equal(one.dropped_round_, other.dropped_round_)


def test_scores_of_one_round_follow_the_metric():
    est = quick(rounds=1, metric="small_loss", record=("loss",)).fit(X, GIVEN)
    order = np.argsort(est.noise_scores_)
    assert (np.diff(est.dynamics_.loss[order, -1]) >= 0).all()


class FixedFeatures(nn.Module):
    """A network of which only the last layer learns."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.body, self.head = nn.Linear(n_features, 6), nn.Linear(6, n_classes)
        self.body.requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x).tanh())


def test_eigenvector_drops_what_is_least_aligned_with_its_class():
    est = quick(
        module=FixedFeatures, metric="eigenvector", threshold=0.8, standardize=False, record=()
    ).fit(X, GIVEN)
    with torch.no_grad():
        Z = est.net_.module_.body(torch.from_numpy(X)).tanh().double().numpy()
    aligned = np.empty(len(X))
    for c in range(3):
        own = Z[c == GIVEN]
        v = np.linalg.svd(own)[2][0]
        aligned[c == GIVEN] = np.abs(own @ v) / np.linalg.norm(own, axis=1)
    dropped = est.dropped_round_ == 1
    assert dropped.sum() == len(X) - round(0.8 * len(X))
    assert aligned[dropped].max() <= aligned[~dropped].min() + 1e-6
    assert est.rounds_[0].threshold == pytest.approx(-aligned[dropped].max(), abs=1e-6)


class Stop(Callback):
    """End a fit in its second round."""

    def on_epoch_end(self, net, **kwargs):
        if net.stage_ == "round 2" and len(net.history) == 8:
            raise RuntimeError("stopped")


def test_a_fit_by_features_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    params = {"metric": "eigenvector", "max_epochs": 6, "threshold": 0.8}
    whole = quick(**params).fit(X, GIVEN)
    with pytest.raises(RuntimeError, match="stopped"):
        quick(**params, checkpoint=tmp_path, callbacks=[Stop()]).fit(X, GIVEN)
    monkeypatch.delattr(Stop, "on_epoch_end")
    again = quick(**params, checkpoint=tmp_path, callbacks=[Stop()])
    again.fit(X, GIVEN)
    np.testing.assert_array_equal(whole.noise_scores_, again.noise_scores_)
    np.testing.assert_array_equal(whole.dropped_round_, again.dropped_round_)


def test_a_callable_gets_the_round_and_the_given_labels():
    names, calls = np.array(["a", "b", "c"])[GIVEN], []

    def metric(dynamics, y):
        calls.append((dynamics.n_epochs, y, np.isnan(dynamics.margin).all(axis=1)))
        return -dynamics.aum()

    est = quick(metric=metric, first_epochs=7, max_epochs=5).fit(X, names)
    assert [n_epochs for n_epochs, *_ in calls] == [7, 5]
    for _, y, _ in calls:
        np.testing.assert_array_equal(y, names)
    assert not calls[0][2].any()
    np.testing.assert_array_equal(calls[1][2], est.dropped_round_ == 1)


def test_the_metric_of_the_paper_by_a_callable():
    def metric(dynamics, y):
        return selection_metric(np.nan_to_num(dynamics.correct))

    own, other = (quick(metric=m, max_epochs=20, rounds=1).fit(X, GIVEN) for m in ("mild", metric))
    assert own.rounds_[0].threshold == pytest.approx(other.rounds_[0].threshold, rel=0.02)
    assert roc_auc_score(WRONG, other.noise_scores_) > 0.95


# What is refused


@pytest.mark.parametrize("metric", ["small_loss", "eigenvector", small_loss_of_user])
@pytest.mark.parametrize("params", [{"lam": 0}, {"full": True}], ids=str)
def test_lambda_and_full_are_of_mild(metric, params):
    with pytest.raises(ValueError, match="lam and full belong to metric='mild'"):
        quick(metric=metric, **params).fit(X, GIVEN)


def test_eigenvector_needs_the_features_of_one_network():
    with pytest.raises(ValueError, match=r"metric='eigenvector'.*'held_out' has one for each fold"):
        quick(metric="eigenvector", recording="held_out").fit(X, GIVEN)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda dynamics, y: np.zeros(7), r"each of the 240 rows.*shape \(7,\)"),
        (lambda dynamics, y: 3.0, r"each of the 240 rows.*shape \(\)"),
        (lambda dynamics, y: None, "each of the 240 rows.*object"),
        (lambda dynamics, y: y.astype(str), "each of the 240 rows.*<U"),
        (lambda dynamics, y: y * 1j, "each of the 240 rows.*complex"),
        (lambda dynamics, y: np.where(y == 0, np.nan, y), "NaN or infinity for .* of the 240 rows"),
        (lambda dynamics, y: dynamics.loss[:, -1], "'loss' was not recorded.*`record`"),
    ],
)
def test_a_callable_that_returns_something_else(metric, message):
    with pytest.raises(ValueError, match=message):
        quick(metric=metric, max_epochs=1).fit(X, GIVEN)


def test_the_picture_of_the_mixture_is_of_mild():
    est = quick(metric="small_loss", max_epochs=2).fit(X, GIVEN)
    with pytest.raises(ValueError, match="Got a fit with metric='small_loss'"):
        MixtureDisplay.from_estimator(est)


def test_files_hold_a_metric_by_name(tmp_path):
    quick(metric=small_loss_of_user, record=("loss",), max_epochs=2).fit(X, GIVEN).save(
        tmp_path / "own"
    )
    quick(metric="small_loss", max_epochs=2).fit(X, GIVEN).save(tmp_path / "named")
    assert load(tmp_path / "named").metric == "small_loss"
    with pytest.raises(TypeError, match="metric"):
        quick(metric=lambda d, y: y, max_epochs=2).fit(X, GIVEN).save(tmp_path / "lambda")
