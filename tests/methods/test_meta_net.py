"""The training step of meta re-labelling."""

import copy

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, one_hot

from noisyfit import presets
from noisyfit.data import Rows, TensorSource
from noisyfit.methods.meta_relabel import _batch_norm_jvp
from noisyfit.methods.meta_relabel._averaging import ema_decay
from noisyfit.methods.meta_relabel._decisions import DecisionRecorder
from noisyfit.methods.meta_relabel._net import MetaNet
from noisyfit.methods.meta_relabel._schedule import cosine_cycle_ends, cosine_cycle_factor
from noisyfit.methods.meta_relabel._settings import PAPER_RULES, MetaSettings
from noisyfit.modules import MLP
from noisyfit.training import predict_logits

N, N_CLASSES, BATCH = 48, 3, 16
RNG = np.random.default_rng(0)
TRUE = np.arange(N) % N_CLASSES
X = (3 * np.eye(N_CLASSES)[TRUE] @ RNG.normal(size=(N_CLASSES, 4))).astype(np.float32)
X += RNG.normal(0, 0.5, X.shape).astype(np.float32)
TRUSTED = np.arange(N) < 6
GIVEN = np.where((np.arange(N) % 5 == 0) & ~TRUSTED, (TRUE + 1) % N_CLASSES, TRUE)
CPU = torch.device("cpu")


def stretch(x):
    return x * torch.tensor([1.0, 0.2, 1.0, 0.5]) + 0.3


def jitter(x):
    return x + 0.5 * torch.randn_like(x)


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def all_rows(y=GIVEN):
    return Rows(TensorSource(X, CPU), torch.from_numpy(y))


def make_net(module=None, *, views=(None, stretch), lr=0.1, momentum=0.9, decay=0.01, **settings):
    torch.manual_seed(0)
    callbacks = settings.pop("callbacks", [])
    return MetaNet(
        module or MLP(4, N_CLASSES, hidden=(8,), batch_norm=True),
        settings=MetaSettings(**settings),
        probe=all_rows().subset(TRUSTED),
        optimizer=torch.optim.SGD,
        optimizer__momentum=momentum,
        optimizer__weight_decay=decay,
        lr=lr,
        batch_size=BATCH,
        iterator_train__views=views,
        callbacks=list(callbacks),
    ).initialize()


def begun(net):
    rows = all_rows()
    net.notify("on_train_begin", X=rows, y=None)
    net.notify("on_epoch_begin", dataset_train=rows, dataset_valid=None)
    return net


def batch_of(ids=None):
    ids = torch.arange(6, 6 + BATCH) if ids is None else ids
    x = torch.from_numpy(X)[ids]
    return {"x": x, "views": (stretch(x),), "index": ids}, torch.from_numpy(GIVEN)[ids]


def rms(z):
    return z / (z**2).mean().sqrt()


def soft_ce(z, target):
    return -(target * z.log_softmax(1)).sum(1)


def reference_step(net, X_batch, y, probe_x, probe_y, at):
    """Algorithm 1 for a network without batch normalisation, written out once more."""
    call = net.module_
    n = len(y)
    z, zh = call(X_batch["x"]), call(X_batch["views"][0])
    given = one_hot(y, N_CLASSES).float()
    mean = (rms(z).softmax(1) + rms(zh).softmax(1)).detach() / 2
    g = mean ** (1 / at.temperature)
    g = g / g.sum(1, keepdim=True)
    kl = kl_div(zh.log_softmax(1), z.softmax(1).detach(), reduction="batchmean")

    params = list(call.parameters())
    omega = torch.full((n,), 1 / n, requires_grad=True)
    lam = torch.full((n,), at.trust_given, requires_grad=True)
    mixed = lam[:, None] * given + (1 - lam[:, None]) * g
    penalty = sum(0.01 / 2 * (p**2).sum() for p in params)
    look_ahead_loss = (omega * soft_ce(z, mixed)).sum() + penalty
    G = torch.autograd.grad(look_ahead_loss, params, create_graph=True)
    moved = []
    for p, grad in zip(params, G, strict=True):
        v = net.optimizer_.state.get(p, {}).get("momentum_buffer", torch.zeros_like(p))
        moved.append(p - at.meta_lr * (0.9 * v + grad))
    names = [name for name, _ in call.named_parameters()]
    ahead = torch.func.functional_call(call, dict(zip(names, moved, strict=True)), (probe_x,))
    probe_loss = cross_entropy(ahead, probe_y) + sum(0.01 / 2 * (p**2).sum() for p in moved)
    d_omega, d_lam = torch.autograd.grad(probe_loss, (omega, lam), retain_graph=True)
    helpful = (-d_omega).clamp_min(0)
    weight = helpful / (helpful.sum() + 1e-5)
    preferred = (d_lam < 0).float()
    star = preferred[:, None] * given + (1 - preferred[:, None]) * g
    loss_lam = soft_ce(z, star).mean()
    lam_0 = at.trust_given
    loss_omega = (weight * soft_ce(z, lam_0 * given + (1 - lam_0) * g)).sum()

    drawn = torch.randint(n, (n,))
    pool = torch.cat([probe_x[drawn], X_batch["x"], X_batch["views"][0]])
    label = torch.where((weight >= at.clean_threshold)[:, None], given, g)
    target = torch.cat([one_hot(probe_y[drawn], N_CLASSES).float(), label, label])
    partner = torch.randperm(3 * n)
    m = (1 - torch.rand(3 * n) ** (1 / at.mixup_alpha) / 2)[:, None]
    logits = call(m * pool + (1 - m) * pool[partner])
    target = m * target + (1 - m) * target[partner]
    parts = [soft_ce(rms(logits[i : i + n]), target[i : i + n]) for i in (0, n, 2 * n)]
    loss_pool = parts[0].mean() + at.pool_weight * torch.cat(parts[1:]).mean()
    loss = (loss_lam + loss_omega) / 2 + loss_pool + at.consistency * kl
    return {"loss": loss, "weight": weight, "given_preferred": preferred}


@pytest.mark.parametrize("method", ["jvp", "double_backward"])
@pytest.mark.parametrize("n_steps", [0, 4])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "temperature": 0.8,
            "trust_given": 0.7,
            "mixup_alpha": 0.9,
            "pool_weight": 2.0,
            "consistency": 3.0,
            "clean_threshold": 0.05,
        },
    ],
    ids=["the paper's", "others"],
)
def test_the_step_is_algorithm_1(method, n_steps, settings):
    torch.manual_seed(0)
    module = MLP(4, N_CLASSES, hidden=(8,))
    net = begun(make_net(module, meta_gradient=method, meta_lr=0.2, **settings))
    for _ in range(n_steps):
        net.train_step(batch_of())
    probe_before = copy.copy(net.probe_batches_)
    torch.manual_seed(5)
    ours = net.training_loss(*batch_of())
    torch.manual_seed(5)
    theirs = reference_step(net, *batch_of(), *probe_before.draw(BATCH), net.settings)
    assert torch.equal(ours["given_preferred"], theirs["given_preferred"])
    assert 0 < ours["given_preferred"].mean() < 1
    for name in ("weight", "loss"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)
    params = list(net.module_.parameters())
    grads = (torch.autograd.grad(step["loss"], params) for step in (ours, theirs))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


class Count(nn.Module):
    """Notes how many rows each forward pass has, and whether it is differentiated."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.net = MLP(4, N_CLASSES, hidden=(8,), dropout=dropout, batch_norm=True)
        self.calls = []

    def forward(self, x):
        self.calls.append((len(x), torch.is_grad_enabled()))
        return self.net(x)


WEAK, STRONG, JVP, PROBE = (BATCH, True), (BATCH, True), (BATCH, False), (BATCH, True)
POOL = (3 * BATCH, True)
L2R = {"relabel": False, "consistency": 0, "pool_loss": False}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [WEAK, STRONG, PROBE, JVP, POOL]),
        ({"meta_gradient": "double_backward"}, [WEAK, STRONG, PROBE, POOL]),
        (L2R, [WEAK, PROBE, JVP]),
        ({"reweight": False, "relabel": False}, [(BATCH, False), STRONG, POOL]),
        ({"consistency": 0}, [WEAK, (BATCH, False), PROBE, JVP, POOL]),
        ({"pool_loss": False}, [WEAK, STRONG, PROBE, JVP]),
    ],
    ids=["full", "double backward", "weights only", "guesses only", "no consistency", "no pool"],
)
def test_a_step_makes_no_pass_that_it_does_not_need(settings, expected):
    net = begun(make_net(Count(), **{"meta_gradient": "jvp"} | settings))
    net.module_.calls.clear()
    net.training_loss(*batch_of())
    assert net.module_.calls == expected


def test_running_statistics_are_those_of_the_weak_view():
    net = begun(make_net())
    alone = copy.deepcopy(net.module_)
    X_batch, y = batch_of()
    net.train_step((X_batch, y))
    alone(X_batch["x"])
    for name, buffer in alone.named_buffers():
        assert torch.equal(dict(net.module_.named_buffers())[name], buffer), name
    assert net.module_.layers[1].num_batches_tracked == 1


def test_the_meta_step_leaves_no_trace():
    net = begun(make_net())
    net.train_step(batch_of())
    before = copy.deepcopy((net.module_.state_dict(), net.optimizer_.state_dict()["state"]))
    net.optimizer_.zero_grad()
    net.training_loss(*batch_of())
    for name, param in net.module_.named_parameters():
        assert torch.equal(param, before[0][name])
        assert param.grad is None
    after = net.optimizer_.state_dict()["state"]
    for index, state in before[1].items():
        assert torch.equal(state["momentum_buffer"], after[index]["momentum_buffer"])


@pytest.mark.parametrize("pseudo_gradient", [False, True])
def test_dropout_is_the_same_in_both_forms(pseudo_gradient):
    found = []
    module = Count(dropout=0.5)
    for method in ("jvp", "double_backward"):
        net = begun(
            make_net(copy.deepcopy(module), meta_gradient=method, pseudo_gradient=pseudo_gradient)
        )
        torch.manual_seed(3)
        step = net.training_loss(*batch_of())
        found.append((step["weight"], step["loss"].detach(), torch.rand(1)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_auto_takes_the_quick_form(dropout):
    net = begun(make_net(Count(dropout)))
    assert net.meta_gradient_ is None
    net.training_loss(*batch_of())
    assert net.meta_gradient_ == "jvp"


def test_networks_without_forward_mode_take_the_other():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.linear = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, N_CLASSES)

        def forward(self, x):
            return self.linear(self.lstm(x.unsqueeze(2))[0][:, -1])

    net = begun(make_net(Recurrent()))
    net.train_step(batch_of())
    assert net.meta_gradient_ == "double_backward"


def test_the_given_label_of_rows_above_the_threshold_enters_the_pool(monkeypatch):
    seen = []
    original = MetaNet.pool_losses

    def spy(net, X_batch, probe, given, pseudo, kept):
        seen.append((given, pseudo, kept))
        return original(net, X_batch, probe, given, pseudo, kept)

    monkeypatch.setattr(MetaNet, "pool_losses", spy)
    losses = []
    for threshold in (0.0, 1.0):
        net = begun(make_net(clean_threshold=threshold, mixup_alpha=0, consistency=0))
        torch.manual_seed(1)
        losses.append(float(net.training_loss(*batch_of())["loss"].detach()))
    assert seen[0][2].all()
    assert not seen[1][2].any()
    assert losses[0] != losses[1]


def test_pseudo_labels_do_not_depend_on_the_scale_of_the_logits():
    net = make_net()
    weak, strong = torch.randn(2, 7, N_CLASSES)
    g = net.pseudo_labels(weak, strong)
    torch.testing.assert_close(net.pseudo_labels(10 * weak, 3 * strong), g)
    torch.testing.assert_close(g.sum(1), torch.ones(7))
    raw = make_net(paper_rules=("raw_logits",))
    assert (
        raw.pseudo_labels(10 * weak, 3 * strong) - raw.pseudo_labels(weak, strong)
    ).abs().max() > 0.1


def test_certain_logits_reach_the_ceiling():
    """Equal classes with one large logit each: .757 of ten classes, .989 sharpened."""
    logits = 50 * torch.eye(10)
    g = make_net().pseudo_labels(logits, logits)
    scaled = (10**0.5 * torch.eye(10)).softmax(1)
    assert float(scaled[0, 0]) == pytest.approx(0.724, abs=0.04)
    assert float(g[0, 0]) == pytest.approx(0.989, abs=0.005)


@pytest.mark.parametrize("rule", PAPER_RULES)
def test_each_rule_of_the_paper_changes_the_step(rule):
    found = []
    for rules in ((), (rule,)):
        net = begun(make_net(paper_rules=rules))
        net.train_step(batch_of())
        torch.manual_seed(1)
        step = net.training_loss(*batch_of())
        step["loss"].backward()
        found.append(torch.cat([p.grad.flatten() for p in net.module_.parameters()]))
    assert (found[0] - found[1]).abs().max() > 1e-4


def test_the_printed_mixup_factor_is_a_beta():
    net = make_net(paper_rules=("mixup_factor",))
    m = net._mixup_factor(torch.zeros(100_000))
    assert float(m.mean()) == pytest.approx(0.5, abs=0.01)
    assert float((m < 0.1).float().mean()) == pytest.approx(0.205, abs=0.01)


def test_the_literal_weights_stay_near_equal():
    net = begun(make_net(paper_rules=("weights",), meta_lr=0.01))
    weight = net.training_loss(*batch_of())["weight"]
    assert float(weight.sum()) == pytest.approx(1)
    assert (weight * BATCH - 1).abs().max() < 0.5


def test_consistency_follows_only_the_strong_view():
    """Views that agree: no loss. Others: no gradient through the weak logits."""
    net = begun(make_net(nn.Linear(4, N_CLASSES), reweight=False, relabel=False, pool_loss=False))
    X_batch, y = batch_of()
    X_batch["views"] = (X_batch["x"],)
    assert float(net.training_loss(X_batch, y)["loss"].detach()) == pytest.approx(0, abs=1e-5)
    X_batch["views"] = (torch.zeros_like(X_batch["x"]),)
    loss = net.training_loss(X_batch, y)["loss"]
    (grad,) = torch.autograd.grad(loss, [net.module_.weight])
    assert (grad == 0).all(), "strong inputs of zero: the weights act on the weak view alone"


def test_learning_to_reweight_is_the_weighted_loss_alone():
    net = begun(make_net(**L2R))
    step = net.training_loss(*batch_of())
    expected = (step["weight"] * step["sample_loss"]).sum()
    torch.testing.assert_close(step["loss"], expected)


def test_the_preset_of_learning_to_reweight_by_hand():
    """A row weighs by how far its gradient points where that of the trusted rows does."""
    preset = presets.learning_to_reweight_cifar10()
    settings = {name: v for name, v in preset.items() if name in MetaSettings._fields}
    net = begun(make_net(MLP(4, N_CLASSES, hidden=(8,)), meta_lr=0.2, **settings))
    for _ in range(3):  # for a momentum that must not count
        net.train_step(batch_of())
    probe_x, probe_y = copy.copy(net.probe_batches_).draw(BATCH)
    (x, y), call = batch_of(), net.module_
    params = list(call.parameters())

    def gradient(loss):
        return torch.cat([g.ravel() for g in torch.autograd.grad(loss, params)])

    losses = cross_entropy(call(x["x"]), y, reduction="none")
    of_rows = [gradient(cross_entropy(call(x["x"][i : i + 1]), y[i : i + 1])) for i in range(BATCH)]
    decayed = {name: p * (1 - 0.2 * 0.01) for name, p in call.named_parameters()}  # no row weighs
    ahead = torch.func.functional_call(call, decayed, (probe_x,))
    penalty = sum(0.01 / 2 * (p**2).sum() for p in decayed.values())
    of_probe = gradient(cross_entropy(ahead, probe_y) + penalty) / (1 - 0.2 * 0.01)
    helpful = (0.2 * torch.stack(of_rows) @ of_probe).clamp_min(0)
    weight = helpful / (helpful.sum() + 1e-5)
    step = net.training_loss(x, y)
    assert 0 < (weight > 0).float().mean() < 1
    torch.testing.assert_close(step["weight"], weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(step["loss"], (weight * losses).sum(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("zero", [True, False])
def test_without_initial_weights_the_step_of_the_look_ahead_does_not_matter(zero):
    found = []
    for meta_lr in (0.1, 1.0):
        net = begun(make_net(**L2R, meta_lr=meta_lr, weigh_equally=not zero, momentum=0, decay=0))
        found.append(net.training_loss(*batch_of())["weight"])
    same = torch.allclose(*found, atol=1e-3)
    assert same == zero


def test_the_momentum_of_the_look_ahead_can_be_left_out():
    found = []
    for momentum in (True, False):
        net = begun(make_net(look_ahead_momentum=momentum))
        for _ in range(3):
            net.train_step(batch_of())
        torch.manual_seed(1)
        found.append(net.training_loss(*batch_of())["weight"])
    assert (found[0] - found[1]).abs().max() > 1e-4


def test_the_probe_is_seen_in_the_weak_view():
    net = begun(make_net(views=(lambda x: x + 100, stretch)))
    x, _ = net.probe_batches_.draw(6)
    assert x.min() > 50


def test_the_quick_batch_normalisation_is_used(monkeypatch):
    calls = []
    original = _batch_norm_jvp._forward
    monkeypatch.setattr(
        _batch_norm_jvp, "_forward", lambda *args: calls.append(args) or original(*args)
    )
    begun(make_net(meta_gradient="jvp")).training_loss(*batch_of())
    assert len(calls) == 1


def test_self_taught_losses_rise_over_the_ramp():
    """k and p at the start, half way and after the ramp."""
    found = {}
    for ramp in (0, 4):
        net = begun(make_net(ramp_epochs=ramp, mixup_alpha=0))
        assert net.n_ramp_steps_ == 3 * ramp  # three steps an epoch
        for step in (0, 6, 12, 20):
            net.n_steps_, net.probe_batches_.place = step, 0
            torch.manual_seed(2)
            found[ramp, step] = float(net.training_loss(*batch_of())["loss"].detach())
    start, full = found[4, 0], found[0, 0]
    assert start < full - 0.5
    assert found[4, 6] == pytest.approx((start + full) / 2, rel=1e-3)
    assert found[4, 12] == pytest.approx(full, rel=1e-4)
    assert found[4, 20] == pytest.approx(full, rel=1e-4)


def test_a_form_that_the_network_does_not_have():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.linear = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, N_CLASSES)

        def forward(self, x):
            return self.linear(self.lstm(x.unsqueeze(2))[0][:, -1])

    net = begun(make_net(Recurrent(), meta_gradient="jvp"))
    with pytest.raises(ValueError, match="no forward-mode derivative; meta_gradient='auto'"):
        net.training_loss(*batch_of())


# Over a run


class Watch(Callback):
    def __init__(self):
        self.steps, self.weights, self.rates = [], [], []

    def on_batch_begin(self, net, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])

    def on_batch_end(self, net, batch=None, **step):
        self.steps.append((batch[0]["index"], step["weight"], step["given_preferred"]))
        self.weights.append([p.detach().clone() for p in net.module_.parameters()])


def test_what_is_remembered_of_a_run():
    watch = Watch()
    decisions = DecisionRecorder(relabel=True)
    net = make_net(callbacks=[decisions, watch])
    start = [p.detach().clone() for p in net.module_.parameters()]
    rows = all_rows().subset(~TRUSTED)
    net.train_stage(rows, 4)
    weights, trust = decisions.row_means()
    assert np.isnan(weights[TRUSTED]).all()
    assert np.isnan(trust[TRUSTED]).all()
    expected_weight, expected_trust = np.zeros(N), np.zeros(N)
    for ids, weight, preferred in watch.steps:
        assert weight.min() >= 0
        assert weight.sum() <= 1
        expected_weight[ids] += len(ids) * weight.numpy() / 4
        expected_trust[ids] += preferred.numpy() / 4
    assert weights[~TRUSTED] == pytest.approx(expected_weight[~TRUSTED], rel=1e-4, abs=1e-6)
    assert trust[~TRUSTED] == pytest.approx(expected_trust[~TRUSTED])
    for i, average in enumerate(start):
        for step, current in enumerate(watch.weights):
            decay = min(0.999, (1 + step) / (10 + step))
            average = decay * average + (1 - decay) * current[i]
        torch.testing.assert_close(list(net.module_.parameters())[i].detach(), average)
    last = net.history[-1]
    assert last["trust"] == pytest.approx(
        np.mean(torch.cat([p for _, _, p in watch.steps[-3:]]).numpy()), abs=1e-6
    )
    assert 0 <= last["unused_share"] < 1
    rates = [epoch["lr"] for epoch in net.history]
    assert rates == pytest.approx(watch.rates[2::3]), "the last rate used in an epoch"
    unused = torch.cat([weight for _, weight, _ in watch.steps[-3:]]) == 0
    assert last["unused_share"] == pytest.approx(float(unused.float().mean()))
    assert last["probe_loss"] < net.history[0]["probe_loss"]


def test_the_learning_rate_restarts():
    watch = Watch()
    make_net(callbacks=[watch], n_cycles=3, lr=0.2).train_stage(all_rows(), 6)
    ends = cosine_cycle_ends(18, 3)
    assert watch.rates == pytest.approx([0.2 * cosine_cycle_factor(i, ends) for i in range(18)])


def test_evaluation_in_between_uses_the_average():
    net = begun(make_net(ema_decay=0.999))
    before = predict_logits(net, all_rows())
    for _ in range(3):
        net.train_step(batch_of())  # without callbacks the average stays behind
    net.module_.eval()
    after = predict_logits(net, all_rows())
    raw = net.module_(torch.from_numpy(X)).detach().numpy()
    assert np.abs(after - raw).max() > 0.01
    statistics_only = np.abs(after - before).max()
    assert statistics_only > 0, "running statistics are not averaged"


def test_without_average():
    net = make_net(ema_decay=0.0)
    net.train_stage(all_rows(), 2)
    assert net.ema_ is None


def test_ema_decay():
    assert ema_decay(0) == pytest.approx(0.1)
    assert ema_decay(100) == pytest.approx(0.918, abs=5e-4)
    assert ema_decay(8989) < 0.999 == ema_decay(8991)


def test_other_optimizers_are_refused_before_the_first_step():
    net = MetaNet(
        MLP(4, N_CLASSES),
        settings=MetaSettings(),
        probe=all_rows().subset(TRUSTED),
        optimizer=torch.optim.Adam,
        iterator_train__views=(None, stretch),
    )
    with pytest.raises(ValueError, match=r"Got the optimizer Adam"):
        net.train_stage(all_rows(), 1)


def test_views_that_are_drawn():
    net = make_net(views=(jitter, jitter))
    net.train_stage(all_rows(), 2)
    assert np.isfinite(net.history[:, "train_loss"]).all()
