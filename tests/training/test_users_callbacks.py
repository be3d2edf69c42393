"""What skorch's callbacks load: weights, and nothing else of another training."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Checkpoint, LoadInitState
from test_net import noisy_net, problem, rows_of, small_net


def trained(*callbacks, epochs=3):
    net = noisy_net(small_net(), callbacks=list(callbacks))
    return net.train_stage(rows_of(*problem(40)), epochs, "again")


@pytest.mark.parametrize("name", ["params.pt", "params_{last_epoch[epoch]}.pt"])
def test_a_net_starts_with_the_weights_of_another_alone(tmp_path, name):
    keep = Checkpoint(dirname=tmp_path, monitor=None, f_params=name)
    first = trained(keep)
    net = noisy_net(small_net(), callbacks=[LoadInitState(keep)])
    net.train_stage(rows_of(*problem(40)), 3, "again")
    assert net.history[:, "epoch"] == [1, 2, 3]
    np.testing.assert_allclose(net.history[:, "lr"], first.history[:, "lr"])
    start = noisy_net(first.module_)
    start.train_stage(rows_of(*problem(40)), 3, "again")
    for key, value in start.module_.state_dict().items():
        assert torch.equal(net.module_.state_dict()[key], value), key


def test_the_best_weights_come_back_and_all_epochs_stay(tmp_path):
    keep = Checkpoint(dirname=tmp_path, monitor=lambda net: len(net.history) == 1, load_best=True)
    net = trained(keep)
    one = torch.load(tmp_path / "params.pt", weights_only=True)
    assert net.history[:, "epoch"] == [1, 2, 3]
    for key, value in one.items():
        assert torch.equal(net.module_.state_dict()[key], value), key
