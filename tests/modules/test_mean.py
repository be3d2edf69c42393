"""Several networks as one: the mean of their probabilities, and each for itself."""

import numpy as np
import torch
from torch import nn

from noisyfit.modules import MeanNetwork, log_mean_softmax

X = torch.from_numpy(np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32))


def pair():
    torch.manual_seed(0)
    return MeanNetwork([nn.Linear(4, 3), nn.Linear(4, 3)])


def test_it_predicts_the_mean_of_the_probabilities():
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        both = pair()
        p = [network(X).softmax(1).double().numpy() for network in both.networks]
        np.testing.assert_allclose(both(X).exp(), (p[0] + p[1]) / 2, rtol=1e-5)


def test_the_mean_of_sure_predictions_does_not_underflow():
    logits = torch.tensor([[[0.0, 1000.0]], [[0.0, 2000.0]]])
    np.testing.assert_allclose(log_mean_softmax(logits), [[-1000 - np.log(2), 0]], atol=1e-4)


def test_a_class_that_both_rule_out_stays_ruled_out():
    logits = torch.tensor([[[0.0, -torch.inf]], [[0.0, -torch.inf]]])
    assert log_mean_softmax(logits).tolist() == [[0.0, -torch.inf]]


def test_one_network_speaks_for_all_while_the_context_lasts():
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        both = pair()
        mean = both(X)
        for number in (0, 1):
            with both.alone(number):
                assert torch.equal(both(X), both.networks[number](X))
        try:
            with both.alone(0):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert torch.equal(both(X), mean)
