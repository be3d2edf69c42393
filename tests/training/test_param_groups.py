"""Parameter groups by patterns of names, as users know them."""

import pytest
import torch
from test_net import noisy_net, problem, rows_of, small_net
from torch import nn

from noisyfit.modules import MLP, MeanNetwork, StackedMLP
from noisyfit.training import lr_share
from noisyfit.training._param_groups import names_of_users


def rates(net):
    of = {id(p): g["lr"] for g in net.optimizer_.param_groups for p in g["params"]}
    return {name: of[id(p)] for name, p in net.module_.named_parameters()}


@pytest.mark.parametrize("several", [MeanNetwork, StackedMLP])
def test_several_networks_as_one_have_the_names_of_one(several):
    one = MLP(4, 3, hidden=(5,))
    whole = several([one, MLP(4, 3, hidden=(5,))])
    named = names_of_users(whole, whole.named_parameters())
    own = dict(one.named_parameters())
    assert {name for name, _ in named} == set(own)
    if several is MeanNetwork:
        assert all(p.shape == own[name].shape for name, p in named)
    else:
        torch.testing.assert_close(whole.weight[1][0].t(), own["layers.2.weight"].detach())
    net = noisy_net(whole, optimizer__param_groups=[("layers.2.*", {"lr": 0.5})])
    last = {name for name, rate in rates(net).items() if rate == 0.5}
    expected = {"weight.1", "bias.1"}
    if several is MeanNetwork:
        expected = {f"networks.{k}.layers.2.{kind}" for k in (0, 1) for kind in ("weight", "bias")}
    assert last == expected


def test_the_first_pattern_that_matches_counts():
    groups = [("3.*", {"lr": 0.5}), ("*.bias", {"lr": 0.01})]
    net = noisy_net(small_net(), optimizer__param_groups=groups)
    assert rates(net) == {
        "0.weight": 0.1,
        "1.weight": 0.1,
        "3.weight": 0.5,
        "0.bias": 0.01,
        "1.bias": 0.01,
        "3.bias": 0.5,
    }


@pytest.mark.parametrize(
    ("groups", "error", "match"),
    [
        ([("head.*", {"lr": 1})], ValueError, r"'head\.\*' .* gets no .* begin with '0', '1', '3'"),
        ([("3.*", {"lr": 1}), ("3.bias", {"lr": 2})], ValueError, r"'3\.bias' .* first one that"),
        ([("3.*", {"learning_rate": 1})], ValueError, r"\['learning_rate'\], which SGD does not"),
        ({"3.*": {"lr": 1}}, TypeError, "list of pairs"),
        ([("3.*", 0.1)], TypeError, r"Got \('3\.\*', 0\.1\) in it"),
    ],
    ids=["no match", "taken", "setting", "dict", "number"],
)
def test_groups_that_would_do_nothing_are_refused(groups, error, match, refused):
    with refused(error, match):
        noisy_net(small_net(), optimizer__param_groups=groups)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_share_is_that_of_the_start(schedule):
    net = noisy_net(small_net(), schedule=schedule, optimizer__param_groups=[("3.*", {"lr": 0.5})])
    net.train_stage(rows_of(*problem()), 2)
    head, others = net.optimizer_.param_groups
    assert lr_share(net.optimizer_, head) == pytest.approx(5)
    assert lr_share(net.optimizer_, others) == 1
    assert [epoch["lr"] for epoch in net.history] == (
        [0.1, 0.1] if schedule == "constant" else [0.1, 0.05]
    )


def plain_loop(module, X, y, epochs):
    """Train with a tenth of the rate in the first layer, by a cosine of both."""
    groups = [{"params": module[0].parameters(), "lr": 0.01}, {"params": module[1:].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    generator = torch.Generator().manual_seed(0)
    X, y = torch.tensor(X), torch.tensor(y)
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=generator).split(8):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()
    return module


def test_a_group_learns_at_its_own_rate_as_in_plain_torch():
    X, y = problem(40)
    net = noisy_net(small_net(), optimizer__param_groups=[("0.*", {"lr": 0.01})])
    net.train_stage(rows_of(X, y), 3, "stage")
    module = plain_loop(small_net(), X, y, 3)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(net.module_.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    assert net.history[:, "lr"] == pytest.approx([0.1, 0.075, 0.025])
