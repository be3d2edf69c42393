"""The look-ahead of the meta step against the optimizer's own step."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from noisyfit.methods.meta_relabel._look_ahead import (
    check_look_ahead_optimizer,
    look_ahead_parameters,
    weight_penalty,
)


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def network(n_inputs=4, n_classes=3):
    return nn.Sequential(
        nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, n_classes)
    ).double()


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize(
    "sgd",
    [
        {},
        {"weight_decay": 0.1},
        {"momentum": 0.9},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
        {"momentum": 0.9, "dampening": 0.3},
        {"momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    ],
    ids=str,
)
def test_look_ahead_is_the_optimizers_own_step(sgd, steps):
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, **sgd)
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randint(3, (6,))
    for _ in range(steps + 1):
        optimizer.zero_grad()
        cross_entropy(module(x), y).backward()
        params = dict(module.named_parameters())
        grads = {name: p.grad.clone() for name, p in params.items()}
        ahead = look_ahead_parameters(optimizer, params, grads)
        optimizer.step()
    for name, param in params.items():
        torch.testing.assert_close(ahead[name], param.detach(), rtol=0, atol=1e-15)


def test_look_ahead_keeps_parameter_groups_apart():
    module = network()
    first, rest = [module[0].weight], [p for p in module.parameters() if p is not module[0].weight]
    optimizer = torch.optim.SGD(
        [{"params": first, "lr": 0.5, "weight_decay": 0.2}, {"params": rest}], lr=0.1
    )
    params = dict(module.named_parameters())
    grads = {name: torch.ones_like(p) for name, p in params.items()}
    ahead = look_ahead_parameters(optimizer, params, grads)
    weight = params["0.weight"].detach()
    torch.testing.assert_close(ahead["0.weight"], weight - 0.5 * (1 + 0.2 * weight))
    torch.testing.assert_close(ahead["0.bias"], params["0.bias"].detach() - 0.1)
    at = look_ahead_parameters(optimizer, params, grads, lr=0.02)  # 5 times that for the first
    torch.testing.assert_close(at["0.weight"], weight - 0.1 * (1 + 0.2 * weight))
    torch.testing.assert_close(at["0.bias"], params["0.bias"].detach() - 0.02)
    expected = 0.1 * weight.square().sum()
    torch.testing.assert_close(weight_penalty(optimizer, params, params), expected)


@pytest.mark.parametrize("kind", [torch.optim.Adam, type("MySGD", (torch.optim.SGD,), {})])
def test_other_optimizers_are_refused(kind):
    module = nn.Linear(2, 2)
    for given in (kind, kind(module.parameters(), lr=0.1)):
        with pytest.raises(ValueError, match=rf"{kind.__name__}.*use optimizer=torch.optim.SGD"):
            check_look_ahead_optimizer(given)
