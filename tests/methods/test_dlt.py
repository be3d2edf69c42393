"""DLT: the step of dynamic loss thresholding, and the estimator around it."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback
from torch import nn
from torch.nn.functional import cross_entropy

from noisyfit import DLTClassifier
from noisyfit.data import Rows, TensorSource
from noisyfit.dynamics import SelectionQuality
from noisyfit.methods.dlt import selection_proportion
from noisyfit.methods.dlt._net import ThresholdNet, ThresholdSettings
from noisyfit.metrics import auroc
from noisyfit.modules import MLP, ConvNet
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import NoisyNet, mixup, sharpen

pytestmark = pytest.mark.resampled

RNG = np.random.default_rng(0)
N, N_CLASSES = 60, 3
TRUE = np.arange(N) % N_CLASSES
X = (np.eye(N_CLASSES)[TRUE] @ RNG.normal(size=(N_CLASSES, 4)) * 2).astype(np.float32)
X += RNG.normal(0, 0.4, X.shape).astype(np.float32)
GIVEN = np.where(np.arange(N) < 15, (TRUE + 1) % N_CLASSES, TRUE)

DEFAULTS = ThresholdSettings(
    noise_rate=0.25,
    warmup_epochs=2,
    ramp_epochs=2,
    window=3,
    split_mode="training",
    temperature=0.5,
    mixup_alpha=4.0,
    lambda_noisy=10.0,
    lambda_ramp_epochs=4,
    lambda_prior=1.0,
    prior=None,
)


def make_net(module=None, *, trusted=None, views=(), callbacks=(), **settings):
    torch.manual_seed(0)
    return ThresholdNet(
        module or MLP(4, N_CLASSES, hidden=(8,)),
        settings=DEFAULTS._replace(**settings),
        trusted=np.zeros(N, dtype=bool) if trusted is None else trusted,
        optimizer=torch.optim.SGD,
        lr=0.1,
        batch_size=16,
        iterator_train__views=views,
        callbacks=list(callbacks),
    ).initialize()


def make_rows(y=GIVEN, x=X):
    return Rows(TensorSource(x, torch.device("cpu")), torch.from_numpy(y))


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Spy(Callback):
    """Keeps what the steps return, and the memory's threshold before each of them."""

    def __init__(self):
        self.steps = []

    def on_batch_end(self, net, batch=None, **kwargs):
        kept = kwargs.get("kept")
        self.steps.append((batch[0]["index"], kwargs["sample_loss"], kept, net.share_))


class FixedThreshold:
    """A memory whose threshold does not move."""

    def __init__(self, value):
        self.value = torch.tensor(value)

    def push(self, losses):
        pass

    def next_epoch(self):
        pass

    def threshold(self, q):
        return self.value


def after_warmup(net, rows, threshold):
    """Bring a net past its warm-up without training, with a fixed threshold."""
    net.notify("on_train_begin", X=rows, y=None)
    for _ in range(net.settings.warmup_epochs + net.settings.lambda_ramp_epochs + 1):
        net.notify("on_epoch_begin", dataset_train=rows, dataset_valid=None)
    net.memory_ = FixedThreshold(threshold)
    return net


def batch_of(rows, *, n_views=0):
    ids = torch.arange(N)
    batch = {"x": torch.from_numpy(X), "index": ids}
    if n_views:
        batch["views"] = (torch.from_numpy(X),) * n_views
    return batch, rows.y


# The step


def test_the_warm_up_is_plain_training():
    net = make_net(warmup_epochs=5, ramp_epochs=0)
    torch.manual_seed(0)
    plain = NoisyNet(
        MLP(4, N_CLASSES, hidden=(8,)), optimizer=torch.optim.SGD, lr=0.1, batch_size=16
    )
    for one in (net, plain):
        one.train_stage(make_rows(), 5)
    assert net.history[:, "train_loss"] == plain.history[:, "train_loss"]
    for ours, theirs in zip(net.module_.parameters(), plain.module_.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert net.threshold_history().size == 0


def test_the_step_by_hand():
    """Eq. 1, 4, 5 and 6 in numpy, for a linear network without mixup."""
    net = make_net(nn.Linear(4, N_CLASSES), mixup_alpha=0.0, temperature=0.4, lambda_prior=0.3)
    rows = make_rows()
    with torch.no_grad():
        logits = net.module_(torch.from_numpy(X)).numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = -np.log(p[np.arange(N), GIVEN])
    after_warmup(net, rows, float(np.median(losses)))
    step = net.training_loss(*batch_of(rows, n_views=2))

    clean = losses <= np.float32(np.median(losses))
    pseudo = p**2.5 / (p**2.5).sum(1, keepdims=True)
    loss_clean = losses[clean].mean()
    loss_noisy = ((p - pseudo)[~clean] ** 2).mean()
    penalty = (1 / 3 * np.log(1 / 3 / p.mean(0))).sum()
    assert step["kept"].numpy().tolist() == clean.tolist()
    np.testing.assert_allclose(step["sample_loss"], losses, rtol=1e-5)
    expected = loss_clean + 10 * loss_noisy + 0.3 * penalty
    assert step["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_the_prior_may_be_given():
    rows, prior = make_rows(), np.array([0.6, 0.3, 0.1])
    net = after_warmup(make_net(prior=prior, mixup_alpha=0.0, lambda_noisy=0.0), rows, 1e9)
    step = net.training_loss(*batch_of(rows))
    p = net.module_(torch.from_numpy(X)).softmax(1).detach().numpy()
    expected = step["sample_loss"].mean() + (prior * np.log(prior / p.mean(0))).sum()
    assert step["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 4.0])
def test_the_given_label_of_a_rejected_row_has_no_influence(alpha):
    rows = make_rows()
    net = after_warmup(make_net(mixup_alpha=alpha), rows, 0.8)
    inputs, y = batch_of(rows, n_views=2)
    with torch.no_grad():
        all_losses = -net.module_(inputs["x"]).log_softmax(1)
    outcomes = []
    for direction in (1, 2):  # another label whose loss lies above the threshold as well
        labels = y.clone()
        given_loss = all_losses.gather(1, y.view(-1, 1)).squeeze(1)
        rejected = (given_loss > 0.8).nonzero().flatten()
        assert len(rejected) > 5
        for i in rejected.tolist():
            others = [(int(y[i]) + k) % N_CLASSES for k in (direction, 3 - direction)]
            high = [c for c in others if all_losses[i, c] > 0.8]
            labels[i] = high[0] if high else y[i]
        torch.manual_seed(5)
        net.module_.zero_grad()
        step = net.training_loss(inputs, labels)
        step["loss"].backward()
        gradient = torch.cat([p.grad.flatten() for p in net.module_.parameters()])
        outcomes.append((labels, step["loss"].item(), gradient.clone()))
    (labels, loss, gradient), (other_labels, other_loss, other_gradient) = outcomes
    assert (labels != other_labels).sum() > 5
    assert loss == other_loss
    assert torch.equal(gradient, other_gradient)


def test_the_given_label_of_a_kept_row_has_influence():
    rows = make_rows()
    net = after_warmup(make_net(mixup_alpha=0.0), rows, 1e9)
    inputs, y = batch_of(rows)
    changed = y.clone()
    changed[0] = (y[0] + 1) % N_CLASSES
    assert net.training_loss(inputs, y)["loss"] != net.training_loss(inputs, changed)["loss"]


def test_pseudo_labels_are_the_sharpened_mean_over_views_without_gradient():
    rows = make_rows()
    net = after_warmup(make_net(), rows, 1.0)
    one, other = torch.from_numpy(X), torch.from_numpy(X[::-1].copy())
    pseudo = net.pseudo_labels(torch.cat([one, other]), 2)
    with torch.no_grad():
        mean = (net.module_(one).softmax(1) + net.module_(other).softmax(1)) / 2
    torch.testing.assert_close(pseudo, sharpen(mean, 0.5))
    assert not pseudo.requires_grad


@pytest.mark.parametrize(("threshold", "n_kept"), [(-1.0, 0), (1e9, N)])
def test_an_empty_part_is_no_division_by_zero(threshold, n_kept):
    rows = make_rows()
    net = after_warmup(make_net(), rows, threshold)
    step = net.training_loss(*batch_of(rows, n_views=2))
    step["loss"].backward()
    assert step["kept"].sum() == n_kept
    assert torch.isfinite(step["loss"])
    assert all(torch.isfinite(p.grad).all() for p in net.module_.parameters())


def test_a_loss_on_the_threshold_is_clean():
    rows = make_rows()
    net = make_net()
    with torch.no_grad():
        losses = cross_entropy(net.module_(torch.from_numpy(X)), rows.y, reduction="none")
    after_warmup(net, rows, float(losses[7]))
    assert net.training_loss(*batch_of(rows))["kept"][7]


def test_trusted_rows_are_clean_whatever_their_loss():
    rows, trusted = make_rows(), np.arange(N) % 4 == 0
    net = after_warmup(make_net(trusted=trusted), rows, -1.0)
    assert net.training_loss(*batch_of(rows))["kept"].numpy().tolist() == trusted.tolist()


def test_lambda_rises_after_the_warm_up():
    net, seen = make_net(), []
    net.notify("on_train_begin", X=make_rows(), y=None)
    for _ in range(8):
        net.notify("on_epoch_begin", dataset_train=make_rows(), dataset_valid=None)
        seen.append(net.lambda_noisy_)
    assert seen == [0, 0, 2.5, 5, 7.5, 10, 10, 10]


class Counting(nn.Module):
    """Counts the rows of its forwards, with and without gradient."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, N_CLASSES))
        self.rows = {True: 0, False: 0}

    def forward(self, x):
        self.rows[torch.is_grad_enabled()] += len(x)
        return self.layers(x)


@pytest.mark.parametrize("split_mode", ["training", "evaluation"])
@pytest.mark.parametrize("n_views", [1, 2, 3])
def test_the_cost_and_the_traces_of_a_step(n_views, split_mode):
    views = (None,) * (1 + n_views)
    net = make_net(Counting(), views=views, warmup_epochs=1, split_mode=split_mode)
    net.train_stage(make_rows(), 4)
    # One forward for the split and K for the pseudo-labels without gradient, K with it.
    assert net.module_.rows == {True: N * (1 + 3 * n_views), False: N * 3 * (1 + n_views)}
    # Running statistics have seen the forward with gradient of each step, nothing else.
    assert net.module_.layers[1].num_batches_tracked == 4 * 4
    assert net.module_.training


def test_the_split_takes_the_statistics_of_its_mode():
    rows, module = make_rows(), Counting()
    module.layers[1].running_mean += 3  # what evaluation mode goes by
    y, x, losses = rows.y, torch.from_numpy(X), {}
    for mode in ("training", "evaluation"):
        net = after_warmup(make_net(copy.deepcopy(module), split_mode=mode), rows, 1.0)
        losses[mode] = net.training_loss(*batch_of(rows))["sample_loss"]
        with torch.no_grad():
            logits = copy.deepcopy(module).train(mode == "training")(x)
        torch.testing.assert_close(losses[mode], cross_entropy(logits, y, reduction="none"))
    assert not torch.allclose(losses["training"], losses["evaluation"])


def test_pseudo_labels_are_those_of_training_mode():
    module = Counting()
    module.layers[1].running_mean += 3
    net = after_warmup(make_net(module, split_mode="evaluation"), make_rows(), 1.0)
    with torch.no_grad():
        expected = sharpen(copy.deepcopy(module).train()(torch.from_numpy(X)).softmax(1), 0.5)
    torch.testing.assert_close(net.pseudo_labels(torch.from_numpy(X), 1), expected)


def test_the_split_looks_at_the_standard_view():
    rows = make_rows()
    net = after_warmup(make_net(), rows, 1.0)
    inputs, y = batch_of(rows)
    with torch.no_grad():
        expected = cross_entropy(net.module_(inputs["x"]), y, reduction="none")
    inputs["views"] = (inputs["x"] + 1, inputs["x"] - 1)
    torch.testing.assert_close(net.training_loss(inputs, y)["sample_loss"], expected)


def test_rows_are_mixed_with_clean_ones_and_stay_the_larger_part(monkeypatch):
    seen = []

    def spy(inputs, target, partner, factor):
        seen.append((partner, factor))
        return mixup(inputs, target, partner, factor)

    monkeypatch.setattr("noisyfit.methods.dlt._net.mixup", spy)
    rows = make_rows()
    net = after_warmup(make_net(mixup_alpha=1.0), rows, 0.9)
    for _ in range(50):
        kept = net.training_loss(*batch_of(rows, n_views=2))["kept"]
        assert kept.repeat(2)[seen[-1][0]].all()
    factors = np.array([factor for _, factor in seen])
    assert factors.min() >= 0.5
    assert np.ptp(factors) > 0.3


def test_optimizers_that_repeat_the_step_keep_the_books():
    est = DLTClassifier(
        noise_rate=0.2, max_epochs=5, batch_size=15, lr=0.01, optimizer=torch.optim.LBFGS
    )
    est.fit(X, GIVEN)
    assert est.thresholds_.shape == (4, 4)


# The split over a run


@pytest.mark.parametrize("window", [3, None])
def test_rows_are_split_by_the_quantile_of_earlier_losses(window):
    spy = Spy()
    net = make_net(warmup_epochs=2, window=window, callbacks=[spy])
    net.train_stage(make_rows(), 6)
    n_batches = 4
    assert len(spy.steps) == 6 * n_batches
    thresholds = net.threshold_history()
    assert thresholds.shape == ((4, n_batches) if window else (4,))
    for i, (_, losses, kept, share) in enumerate(spy.steps):
        epoch = 1 + i // n_batches
        expected = selection_proportion(epoch, noise_rate=0.25, warmup_epochs=2, ramp_epochs=2)
        assert share == expected
        if epoch <= 2:
            assert kept is None
            continue
        first = i - window if window else (epoch - 2) * n_batches
        last = i if window else first + n_batches
        memory = np.concatenate([step[1].numpy() for step in spy.steps[first:last]])
        tau = np.quantile(memory, share)
        at = (epoch - 3, i % n_batches) if window else epoch - 3
        assert thresholds[at] == pytest.approx(tau, rel=1e-5)
        assert kept.tolist() == (losses <= thresholds[at]).tolist()


def test_the_number_kept_in_a_batch_is_not_fixed():
    spy = Spy()
    make_net(warmup_epochs=1, callbacks=[spy]).train_stage(make_rows(), 12)
    counts = {int(kept.sum()) for *_, kept, _ in spy.steps if kept is not None}
    assert len(counts) > 3


def test_no_noise_rate_keeps_nearly_all():
    net = make_net(noise_rate=0.0, window=None)
    net.train_stage(make_rows(), 5)
    assert net.history[:, "selection_proportion"] == [1.0] * 5
    assert min(net.history[:, "kept_share"]) > 0.8, "losses above last epoch's maximum are rare"


# The estimator


def digits(rate=0.4, kind="symmetric", n=900):
    features, y = load_digits(return_X_y=True)
    features, rest, y, y_rest = train_test_split(features, y, train_size=n, random_state=0)
    given, wrong = corrupt_labels(y, transition_matrix(kind, 10, rate), random_state=1)
    return features.astype(np.float32), y, given, wrong, rest.astype(np.float32), y_rest


def test_no_memorisation_on_digits():
    features, _, given, wrong, rest, y_rest = digits()
    quality = SelectionQuality(~wrong)
    est = DLTClassifier(max_epochs=12, callbacks=[quality], random_state=0).fit(features, given)
    plain = DLTClassifier(
        noise_rate=0.0, warmup_epochs=25, ramp_epochs=0, n_views=1, random_state=0, max_epochs=25
    ).fit(features, given)
    assert est.noise_rate_ == pytest.approx(wrong.mean(), abs=0.04)
    low, high = est.noise_rate_interval_
    assert low <= est.noise_rate_ <= high
    assert est.score(rest, y_rest) > plain.score(rest, y_rest) + 0.1
    assert auroc(wrong, est.noise_scores_) > 0.99
    assert est.noise_scores_.mean() == pytest.approx(est.noise_rate_, abs=0.01)
    assert (est.corrected_labels_[est.clean_mask_] == given[est.clean_mask_]).all()
    last = est.history_[-1]
    assert last["kept_precision"] > 0.95
    assert last["kept_recall"] > 0.95
    assert last["kept_share"] == pytest.approx(1 - est.noise_rate_, abs=0.05)
    assert np.isnan(est.history_[0]["kept_precision"])


@pytest.mark.parametrize("strategy", ["sliding_window", "last_epoch"])
def test_the_last_epoch_strategy_has_one_threshold_an_epoch(strategy):
    est = DLTClassifier(strategy=strategy, noise_rate=0.2, max_epochs=10, batch_size=16)
    est.fit(X, GIVEN)
    assert est.thresholds_.shape == ((8, 4) if strategy == "sliding_window" else (8,))
    assert np.isfinite(est.thresholds_).all()


def test_a_given_noise_rate_skips_the_estimation():
    counted = []

    class CountEpochs(Callback):
        def on_epoch_end(self, net, **kwargs):
            counted.append(net.stage_)

    callbacks = [CountEpochs()]
    est = DLTClassifier(noise_rate=0.3, max_epochs=5, callbacks=callbacks).fit(X, GIVEN)
    assert est.noise_rate_ == 0.3
    assert est.noise_rate_estimate_ is est.noise_rate_interval_ is None
    assert counted == ["training"] * 5
    est.set_params(noise_rate="auto", estimation_epochs=3).fit(X, GIVEN)
    assert counted[5:] == ["noise rate"] * 3 + ["training"] * 5
    assert est.noise_rate_interval_ == est.noise_rate_estimate_.interval
    assert len(est.history_) == 5


def test_trusted_rows_do_not_count_in_the_estimate():
    features, _, given, wrong, *_ = digits(n=600)
    trusted = ~wrong & (np.arange(600) % 2 == 0)
    est = DLTClassifier(max_epochs=10, random_state=0).fit(features, given, trusted=trusted)
    assert est.noise_rate_ == pytest.approx(wrong.mean(), abs=0.05)
    assert est.noise_scores_.mean() == pytest.approx(est.noise_rate_, abs=0.02)
    low, high = est.noise_rate_interval_
    assert low <= est.noise_rate_ <= high < 0.6


def test_trusted_wrong_rows_keep_their_label_in_the_split():
    trusted = (GIVEN != TRUE) & (np.arange(N) % 2 == 0)
    spy = SelectionQuality(trusted)
    est = DLTClassifier(noise_rate=0.4, max_epochs=20, callbacks=[spy], random_state=0)
    history = est.fit(X, GIVEN, trusted=trusted).history_
    assert {epoch["kept_recall"] for epoch in history[4:]} == {1.0}, "all trusted rows are kept"


@pytest.mark.parametrize(
    "params",
    [{"record": ("bogus",)}, {"callbacks": [SelectionQuality(np.ones(N - 1, dtype=bool))]}],
)
def test_what_is_wrong_is_said_before_the_estimation(params, monkeypatch):
    monkeypatch.setattr("noisyfit.methods.dlt._classifier.train_plainly", None)
    est = DLTClassifier(max_epochs=2, **params)
    if "callbacks" in params:
        est.set_params(noise_rate=0.1)  # needs the rows, which it sees when training begins
    with pytest.raises(ValueError, match=r"Unknown quantities|boolean mask of shape \(60,\)"):
        est.fit(X, GIVEN)


def test_schedule_longer_than_the_run_is_refused_before_training():
    est = DLTClassifier(max_epochs=10, warmup_epochs=8, ramp_epochs=3)
    with pytest.raises(ValueError, match=r"Got 8 \+ 3 > 10; raise max_epochs"):
        est.fit(X, GIVEN)
    for epochs in (1, 2, 3, 4):
        DLTClassifier(max_epochs=epochs, estimation_epochs=1).fit(X, GIVEN)


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        ({"noise_rate": 0.2}, {"lambda_noisy": 0.0, "mixup_alpha": 0.5}),
        ({"noise_rate": 0.3}, {"lambda_noisy": 7.5, "warmup_epochs": 10, "ramp_epochs": 10}),
        ({"noise_rate": 0.3, "lambda_noisy": 3}, {"lambda_noisy": 3.0}),
        ({"mixup_alpha": 4, "noise_rate": 0.0}, {"mixup_alpha": 4}),
        ({"strategy": "last_epoch", "noise_rate": 0.0}, {"window": None}),
        ({"noise_rate": 0.0, "batch_size": 4}, {"window": 8}),
        ({"noise_rate": 0.0, "window": 40}, {"window": 40}),
        ({"noise_rate": 0.0, "window": 10**12, "max_epochs": 5}, {"window": 20}),
        ({"noise_rate": 0.0, "iterator_train__batch_size": 4}, {"window": 8}),
        ({"warmup_epochs": 48, "noise_rate": 0.0}, {"ramp_epochs": 2}),
        ({"warmup_epochs": 50, "noise_rate": 0.0}, {"ramp_epochs": 0}),
    ],
)
def test_how_auto_is_settled(params, settings, monkeypatch):
    seen = settings_of(DLTClassifier(**params), X, GIVEN, monkeypatch)
    for name, value in settings.items():
        assert getattr(seen, name) == value
    np.testing.assert_allclose(seen.prior, np.bincount(GIVEN) / N)


def test_auto_has_its_limits(monkeypatch):
    rows, y = np.random.default_rng(0).normal(size=(900, 2)), np.arange(900) % 80
    est = DLTClassifier(noise_rate=0.5, batch_size=2, class_prior="uniform")
    seen = settings_of(est, rows, y, monkeypatch)
    assert seen.lambda_noisy == 150
    assert seen.window == 200
    assert seen.prior is None


def test_batches_of_another_size_than_the_estimators():
    est = DLTClassifier(noise_rate=0.2, max_epochs=5, iterator_train__batch_size=30)
    assert est.fit(X, GIVEN).thresholds_.shape == (4, 2)


def test_views_are_the_methods_own():
    est = DLTClassifier(iterator_train__views=(None,))
    with pytest.raises(ValueError, match=r"iterator_train__views.*Use augment"):
        est.fit(X, GIVEN)


def settings_of(est, rows, y, monkeypatch):
    seen = []

    def stop(net, rows, epochs, **settings):
        seen.append(net.settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThresholdNet, "train_stage", stop)
    with pytest.raises(KeyboardInterrupt):
        est.fit(rows, y)
    return seen[0]


def views_of(est, rows, y=GIVEN):
    seen = []

    class Look(Callback):
        def __deepcopy__(self, memo):
            return self

        def on_batch_begin(self, net, batch=None, **kwargs):
            seen.append(batch[0])

    est.set_params(callbacks=[Look()], noise_rate=0.2, max_epochs=1, random_state=0).fit(rows, y)
    return seen[0]


def test_tables_get_views_scaled_to_the_data():
    # Enough rows for a median that lies many standard errors inside its bound.
    copies = 30
    constant = np.tile(np.c_[X, np.ones(N, dtype=np.float32)], (copies, 1))
    est = DLTClassifier(n_views=3, batch_size=copies * N)
    batch = views_of(est, constant, np.tile(GIVEN, copies))
    assert len(batch["views"]) == 3
    one, other, _ = batch["views"]
    assert not torch.equal(one, other)
    spread = batch["x"].std(0, correction=0)
    noise = (one - batch["x"])[:, :4].abs().quantile(0.5, dim=0)  # masking moves a tenth far
    torch.testing.assert_close(noise / (0.1 * spread[:4]), torch.full((4,), 0.76), atol=0.1, rtol=0)
    assert (one[:, 4] == batch["x"][:, 4]).all(), "a constant feature stays what it is"


@pytest.mark.parametrize("augment", [None, lambda x: x + 1])
def test_augment_makes_all_views(augment):
    batch = views_of(DLTClassifier(augment=augment), X)
    for view in batch["views"]:
        assert torch.equal(view, batch["x"])


def test_images_get_crops():
    images = np.zeros((N, 1, 8, 8), dtype=np.uint8)
    images[:, :, 2:6, 2:6] = 255
    batch = views_of(DLTClassifier(ConvNet, module__width=4), images)
    assert len(batch["views"]) == 2
    assert not torch.equal(*batch["views"])


def test_dynamics_hold_what_was_asked_for():
    est = DLTClassifier(noise_rate=0.2, max_epochs=4, record=("margin",)).fit(X, GIVEN)
    assert est.dynamics_.quantities == ("margin",)
    assert est.dynamics_.margin.shape == (N, 4)


def test_progress_counts_the_estimation(capfd):
    DLTClassifier(max_epochs=4, estimation_epochs=3, verbose=1).fit(X, GIVEN)
    err = capfd.readouterr().err
    assert "DLTClassifier noise rate" in err
    assert "7/7" in err
