"""Parameters that are frozen, and thawed again while a network trains."""

import pytest
import torch
from skorch.callbacks import Freezer, Unfreezer
from test_net import noisy_net, problem, rows_of, small_net
from torch import nn


def plain_loop(module, X, y, epochs):
    """Train with the first layer frozen in all epochs but the last, without the fused kernel."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)
    X, y = torch.tensor(X), torch.tensor(y)
    for epoch in range(epochs):
        module.train()
        module[0].requires_grad_(epoch == epochs - 1)
        for batch in torch.randperm(len(y), generator=generator).split(8):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X[batch]), y[batch]).backward()
            optimizer.step()
    return module


def test_a_layer_that_is_thawed_learns_as_in_plain_torch():
    X, y = problem(40)
    pair = [Freezer("0.*", at=1), Unfreezer("0.*", at=3)]
    net = noisy_net(small_net(), callbacks=pair)
    net.partial_fit(rows_of(X, y), None, epochs=3)
    module = plain_loop(small_net(), X, y, 3)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(net.module_.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("thawed", [False, True])
def test_the_fused_kernel_is_kept_where_nothing_is_thawed(thawed):
    X, y = problem(40)
    pair = [Freezer("0.*", at=1), Unfreezer("0.*", at=2 if thawed else 9)]
    net = noisy_net(small_net(), callbacks=pair)
    net.partial_fit(rows_of(X, y), None, epochs=2)
    assert net.optimizer_.param_groups[0]["fused"] is not thawed
