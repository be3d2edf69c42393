"""Groups of parameters with settings of their own: skorch's `optimizer__param_groups`."""

import pytest
import torch
from test_net import noisy_net, problem, rows_of, small_net
from torch import nn

from noisyfit import MILDSelector
from noisyfit.dynamics import trains_stacked
from noisyfit.modules import MLP


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


def test_a_pattern_that_matches_nothing_is_refused():
    X, y = problem(40)
    est = MILDSelector(small_net(), optimizer__param_groups=[("4.*", {"lr": 0.0})])
    with pytest.raises(ValueError, match=r"pattern '4\.\*'.*called \['0\.weight', '0\.bias', '1"):
        est.fit(X, y)


@pytest.mark.parametrize("groups", [[], [("layers.0.*", {"lr": 0.0})]], ids=["none", "first layer"])
def test_networks_that_judge_know_the_names_of_the_network(groups):
    net = noisy_net(MLP(2, 3, hidden=(4,)), optimizer__param_groups=groups)
    assert trains_stacked(net) is not bool(groups)
