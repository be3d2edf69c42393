"""StackedMLP: each of its networks is the MLP that it would be alone."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from noisyfit.modules import MLP, StackedMLP, can_be_stacked

X = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(64) % 3


class OwnMLP(MLP):
    """A network of the user's, whose forward might be another one."""


def train(module, takes, n_steps=20):
    """Train by SGD with momentum on batches of eight, of which each network takes its rows."""
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-3, "nesterov": True}
    optimizer = torch.optim.SGD(module.parameters(), **settings)
    for step in range(n_steps):
        rows = torch.arange(8 * step, 8 * step + 8) % 64
        logits = module(X[rows])
        logits = logits[:, None] if logits.ndim == 2 else logits
        losses = [
            (cross_entropy(logits[:, k], Y[rows], reduction="none") * takes[rows, k]).mean()
            for k in range(takes.shape[1])
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("settings", [{}, {"dropout": 0}, {"hidden": ()}, {"hidden": (16, 8, 4)}])
def test_each_network_learns_what_it_would_alone(settings):
    networks = [MLP(5, 3, **settings) for _ in range(4)]
    takes = torch.arange(64)[:, None] % 4 != torch.arange(4)
    stacked = StackedMLP(networks)
    train(stacked, takes)
    for k, network in enumerate(networks):
        before = copy.deepcopy(network)
        train(network, takes[:, k : k + 1])
        assert not torch.allclose(network(X), before(X), atol=0.1)
        torch.testing.assert_close(stacked(X)[:, k], network(X), atol=1e-5, rtol=1e-5)
        weights = stacked.network(k).state_dict()
        torch.testing.assert_close(weights, dict(network.state_dict()), atol=1e-5, rtol=1e-5)


def test_dropout_is_at_work_in_training_and_differs_between_networks():
    network = MLP(5, 3, dropout=0.5)
    stacked = StackedMLP([network, network])
    logits = stacked(X)
    assert not torch.allclose(logits[:, 0], logits[:, 1], atol=1e-3)
    network.eval()
    torch.testing.assert_close(stacked.eval()(X)[:, 1], network(X), atol=1e-5, rtol=1e-5)
    many = StackedMLP([network] * 2000).train()(X[:1])[0]
    # Dropped units are made up for: in the mean over masks the last layer gets the same.
    torch.testing.assert_close(many.mean(0), network.train(False)(X[:1])[0], atol=0.05, rtol=0.05)


def test_a_network_of_the_stack_is_an_mlp_of_its_own():
    networks = [MLP(5, 3, hidden=(4,), dropout=0.2) for _ in range(3)]
    stacked = StackedMLP(networks).eval()
    alone = stacked.network(2)
    assert type(alone) is MLP
    assert not alone.training
    assert stacked.train().network(2).training
    torch.testing.assert_close(alone(X), networks[2].eval()(X))
    with torch.no_grad():
        alone.layers[0].weight.zero_()
    torch.testing.assert_close(stacked.network(2).state_dict(), networks[2].state_dict())
    assert stacked.double().network(0).layers[0].weight.dtype == torch.float64
    assert len(list(stacked.parameters())) == 4  # those of the template are none of them


def test_what_is_frozen_stays_as_it_is():
    network = MLP(5, 3, hidden=(4,))
    network.layers[0].requires_grad_(False)
    stacked = StackedMLP([network, network])
    train(stacked, torch.ones(64, 2), n_steps=3)
    assert torch.equal(stacked.network(1).layers[0].weight, network.layers[0].weight)
    assert not torch.equal(stacked.network(1).layers[2].weight, network.layers[2].weight)


def test_others_are_not_stacked(refused):
    smooth = MLP(5, 3)
    smooth.layers[1] = nn.GELU()
    others = [MLP(5, 3, batch_norm=True), OwnMLP(5, 3), nn.Sequential(nn.Linear(5, 3)), smooth]
    for other in others:
        assert not can_be_stacked(other)
        with refused(TypeError, "Only MLPs of Linear, ReLU and Dropout"):
            StackedMLP([MLP(5, 3), other])
    assert can_be_stacked(MLP(5, 3, hidden=(), dropout=0.5))
