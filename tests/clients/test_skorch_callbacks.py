"""skorch: its callbacks, in every estimator."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from _trial import GIVEN, MILD, X, client, every_estimator
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from skorch import callbacks
from torch import nn
from torch.optim import lr_scheduler

from noisyfit import DivideMixClassifier, DLTClassifier

pytestmark = [
    pytest.mark.slow,
    client("skorch"),
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]


def fitted(est, *own, **params):
    return clone(est).set_params(callbacks=list(own), **params).fit(X, GIVEN)


def validated(est, *own, **params):
    return fitted(est, *own, validation_fraction=0.25, **params)


def column(est, name):
    return [epoch[name] for epoch in est.history_]


def layers(module):
    """Return the layers of the network, of DivideMix's two those of the first."""
    return getattr(module, "networks", [module])[0]


def first_weight(net):
    return layers(net.module_)[0].weight.detach().clone()


def of_first(est):
    """Return the name of that weight in a file."""
    return "networks.0.0.weight" if isinstance(est, DivideMixClassifier) else "0.weight"


def named(pattern):
    """Match parameters in every stage, DivideMix's two networks and the one that it begins with."""
    return [pattern, f"networks.*.{pattern}"]


class Watch(callbacks.Callback):
    """Calls a function with the net at an event, and keeps what it returns."""

    def __init__(self, event, look):
        self.seen = []
        setattr(self, event, lambda net, **kwargs: self.seen.append(look(net)))


@every_estimator
def test_epoch_scoring(est):
    """`EpochScoring` by name on training rows, by a function on those of `validation_fraction=`."""

    def accuracy(net, X, y):
        return accuracy_score(y, net.predict(X))

    on_train = callbacks.EpochScoring("accuracy", name="train_acc", on_train=True)
    own = callbacks.EpochScoring(accuracy, name="own_acc", lower_is_better=False)
    by_name = callbacks.EpochScoring("f1_macro", lower_is_better=False)
    est = validated(est, on_train, own, by_name)
    assert column(est, "own_acc") == column(est, "valid_acc")
    assert all(0 <= value <= 1 for value in column(est, "train_acc") + column(est, "f1_macro"))
    assert any(column(est, "own_acc_best"))


@every_estimator
def test_batch_scoring(est):
    """`BatchScoring` on validation rows."""
    score = callbacks.BatchScoring("accuracy", name="batch_acc", lower_is_better=False)
    est = validated(est, score)
    np.testing.assert_allclose(column(est, "batch_acc"), column(est, "valid_acc"), atol=1e-6)


@every_estimator
def test_passthrough_scoring(est):
    """`PassthroughScoring` of a value that each batch has."""
    est = fitted(est, callbacks.PassthroughScoring("train_batch_size", on_train=True))
    assert all(size > 1 for size in column(est, "train_batch_size"))


@every_estimator
def test_checkpoint(est, tmp_path):
    """`Checkpoint(monitor="valid_acc_best")` with `validation_fraction=`."""
    keep = callbacks.Checkpoint(dirname=tmp_path, monitor="valid_acc_best")
    est = validated(est, keep)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"params.pt", "optimizer.pt", "criterion.pt", "history.json"}
    assert any(column(est, "event_cp"))


@every_estimator
def test_checkpoint_loads_the_best(est, tmp_path):
    """`Checkpoint(load_best=True)`: a stage ends with the weights that were kept."""
    keep = callbacks.Checkpoint(
        dirname=tmp_path, monitor=lambda net: len(net.history) == 2, load_best=True
    )
    kept = Watch("on_epoch_end", first_weight)
    ends = Watch("on_train_end", first_weight)
    est = fitted(est, ("kept", kept), keep, ("ends", ends), module=network())
    assert len(est.history_) >= 4
    assert any(torch.equal(weight, ends.seen[0]) for weight in kept.seen[:2])


@every_estimator
def test_train_end_checkpoint(est, tmp_path):
    """`TrainEndCheckpoint`: the file has the weights at the end of the last stage."""
    keep = callbacks.TrainEndCheckpoint(dirname=tmp_path)
    ends = Watch("on_train_end", first_weight)
    fitted(est, ends, keep, module=network())
    state = torch.load(tmp_path / "train_end_params.pt", weights_only=True)
    torch.testing.assert_close(state[of_first(est)], ends.seen[-1], rtol=0, atol=0)


@every_estimator
def test_load_init_state(est, tmp_path):
    """`LoadInitState(Checkpoint(...))`: the first stage starts with the weights of another fit."""
    if isinstance(est, DivideMixClassifier):  # its two networks, without the one that estimates
        est = clone(est).set_params(noise_rate=0.2)
    fitted(est, callbacks.Checkpoint(dirname=tmp_path, monitor=None), module=network())
    state = torch.load(tmp_path / "params.pt", weights_only=True)
    again = callbacks.LoadInitState(callbacks.Checkpoint(dirname=tmp_path, monitor=None))
    begins = Watch("on_epoch_begin", first_weight)
    est = fitted(est, again, begins, module=network())
    assert est.history_[0]["epoch"] == 1
    assert all(epoch["lr"] > 0 for epoch in est.history_)
    torch.testing.assert_close(begins.seen[0], state[of_first(est)], rtol=0, atol=0)


@every_estimator
def test_early_stopping(est):
    """`EarlyStopping("valid_loss")` with `validation_fraction=`: ends the stage, not the fit."""
    stop = callbacks.EarlyStopping("valid_loss", patience=2)
    est = validated(est, stop, max_epochs=40, lr=0.3)
    assert len(est.history_) < 40
    assert est.predict(X).shape == GIVEN.shape


@every_estimator
def test_step_lr(est):
    """`LRScheduler(StepLR)`: replaces the schedule of the method, and starts with each stage."""
    step = callbacks.LRScheduler(lr_scheduler.StepLR, step_size=2, gamma=0.1)
    est = fitted(est, step, lr=0.1)
    last = [epoch["lr"] for epoch in est.history_ if epoch["stage"] == est.history_[-1]["stage"]]
    np.testing.assert_allclose(last, [0.1, 0.1, 0.01, 0.01])


@every_estimator
def test_reduce_on_plateau(est):
    """`LRScheduler(ReduceLROnPlateau, monitor="valid_loss")` with `validation_fraction=`."""
    plateau = callbacks.LRScheduler(
        lr_scheduler.ReduceLROnPlateau, monitor="valid_loss", patience=0, threshold=10.0, factor=0.5
    )  # by a threshold of ten no epoch is better
    est = validated(est, plateau, lr=0.1)
    last = [epoch["lr"] for epoch in est.history_ if epoch["stage"] == est.history_[-1]["stage"]]
    np.testing.assert_allclose(last[2:], [0.025, 0.0125])


@every_estimator
def test_one_cycle(est):
    """`LRScheduler(OneCycleLR, step_every="batch")`."""
    cycle = callbacks.LRScheduler(
        lr_scheduler.OneCycleLR, max_lr=0.2, total_steps=400, step_every="batch"
    )
    rates = Watch("on_batch_end", lambda net: net.optimizer_.param_groups[0]["lr"])
    fitted(est, rates, cycle)
    assert rates.seen[0] < rates.seen[1] < rates.seen[2] < 0.2


@every_estimator
def test_warm_restart(est):
    """`LRScheduler(WarmRestartLR)`, a policy of skorch's own."""
    settings = {"min_lr": 0.01, "max_lr": 0.1, "base_period": 2, "period_mult": 1}
    est = fitted(est, callbacks.LRScheduler(callbacks.WarmRestartLR, **settings))
    last = [epoch["lr"] for epoch in est.history_ if epoch["stage"] == est.history_[-1]["stage"]]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.05)
    policy, expected = callbacks.WarmRestartLR(optimizer, **settings), []
    for _ in last:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        policy.step()
    np.testing.assert_allclose(last, expected)


@every_estimator
def test_gradient_norm_clipping(est):
    """`GradientNormClipping(0.01)`: no step has a longer gradient."""

    def norm(net):
        gradients = [p.grad.norm() for p in net.module_.parameters() if p.grad is not None]
        return float(torch.stack(gradients).norm())

    free, clipped = Watch("on_grad_computed", norm), Watch("on_grad_computed", norm)
    named = [("before", free), ("clip", callbacks.GradientNormClipping(0.01)), ("after", clipped)]
    fitted(est, *named)  # skorch brings callbacks of one name together
    assert max(free.seen) > 0.02
    assert max(clipped.seen) < 0.0101


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))


@every_estimator
def test_freezer(est):
    """`Freezer("0.*")`: the first layer keeps its weights, the last one learns."""
    module = network()
    frozen = layers(fitted(est, callbacks.Freezer(named("0.*")), module=module).net_.module_)
    torch.testing.assert_close(frozen[0].weight, module[0].weight, rtol=0, atol=0)
    assert not torch.equal(frozen[2].weight, module[2].weight)


@every_estimator
def test_unfreezer(est):
    """`Freezer`, and `Unfreezer(at=3)` from the third epoch on."""
    weights, pattern = Watch("on_epoch_end", first_weight), named("0.*")
    pair = (callbacks.Freezer(pattern, at=1), callbacks.Unfreezer(pattern, at=3))
    fitted(est, *pair, weights, module=network())
    torch.testing.assert_close(weights.seen[0], weights.seen[1], rtol=0, atol=0)
    assert not torch.equal(weights.seen[-2], weights.seen[-1])


@every_estimator
def test_initializer(est):
    """`Initializer("2.*", fn=...)` and `ParamMapper`, from which it comes."""

    def zero(parameter):
        nn.init.zeros_(parameter.data)

    def last_bias(net):
        return layers(net.module_)[2].bias

    for kind in (callbacks.Initializer, callbacks.ParamMapper):
        begins = Watch("on_epoch_begin", lambda net: last_bias(net).abs().sum().item())
        fitted(est, kind(named("2.*"), fn=zero, at=1), begins, module=network())
        assert begins.seen[0] == 0
        assert begins.seen[1] > 0


@every_estimator
def test_print_log(est):
    """`PrintLog(sink=...)`: a line for each epoch, of all stages."""
    lines = []
    est = fitted(est, callbacks.PrintLog(sink=lines.append))
    assert len(lines) >= len(est.history_)
    assert "train_loss" in lines[0]


@every_estimator
def test_progress_bar(est, monkeypatch):
    """`ProgressBar()`: a bar each epoch; the losses of its batches are not on it."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    bar = callbacks.ProgressBar(detect_notebook=False)
    counts = Watch("on_batch_end", lambda net: (len(net.history), bar.pbar_.n))
    fitted(est, ("bar", bar), ("counts", counts))
    steps = [n for epoch, n in counts.seen if epoch == 1]
    assert steps[:4] == [1, 2, 3, 4]


@every_estimator
def test_epoch_timer(est):
    """`EpochTimer`: it is there already, as `dur` of `history_`."""
    assert all(seconds > 0 for seconds in column(fitted(est), "dur"))


@every_estimator
def test_tensorboard(est, tmp_path):
    """`TensorBoard(SummaryWriter(folder))`."""
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        est = fitted(est, callbacks.TensorBoard(writer, close_after_train=False))
    events = reader.EventAccumulator(str(tmp_path)).Reload()
    values = [event.value for event in events.Scalars("Loss/train_loss")]
    np.testing.assert_allclose(values[-len(est.history_) :], column(est, "train_loss"), rtol=1e-5)


@every_estimator
def test_input_shape_setter(est, refused):
    """`InputShapeSetter`: the network is built for the width of `X` without it."""
    with refused((TypeError, ValueError), match="n_features"):
        fitted(est, callbacks.InputShapeSetter())


@pytest.mark.parametrize(
    ("name", "package"),
    [("WandbLogger", "wandb"), ("MlflowLogger", "mlflow"), ("NeptuneLogger", "neptune"),
     ("SacredLogger", "sacred")],
)  # fmt: skip
def test_loggers(name, package):
    """`{name}`."""
    pytest.importorskip(package, reason=f"{package} is not installed")
    getattr(callbacks, name)


def test_a_callback_by_name():
    """`est.set_params(callbacks=[("scores", EpochScoring(...))])`, a pair with a name."""
    score = callbacks.EpochScoring("accuracy", name="acc", on_train=True)
    assert (
        "acc" in fitted(DLTClassifier(max_epochs=2, random_state=0), ("scores", score)).history_[-1]
    )
    assert "acc" in fitted(MILD, ("scores", score)).history_[-1]
