"""Batch normalisation's quick forward-mode derivative."""

import copy

import pytest
import torch
from torch import nn

from noisyfit.methods.meta_relabel._batch_norm_jvp import quick_batch_norm_jvp
from noisyfit.methods.meta_relabel._gradient import directional_derivatives


def derivative(layer, x, params, directions):
    def call(values):
        inputs = values["x"]
        weights = {name: values[name] for name in params}
        return (torch.func.functional_call(layer, weights, (inputs,)),)

    return directional_derivatives(call, {**params, "x": x}, directions)[0]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3), (7, 3)),
        (nn.BatchNorm1d(3), (5, 3, 4)),
        (nn.BatchNorm2d(3), (4, 3, 5, 6)),
        (nn.BatchNorm3d(3), (2, 3, 2, 2, 2)),
        (nn.BatchNorm2d(3, eps=0.5), (4, 3, 5, 6)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_is_torchs_own_derivative(layer, shape, dtype):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = copy.deepcopy(layer).to(dtype)
        layer.track_running_stats = False
        x = torch.randn(shape, dtype=dtype) * 3 + 1
        params = {name: torch.randn_like(p) for name, p in layer.named_parameters()}
        directions = {name: torch.randn_like(p) for name, p in {**params, "x": x}.items()}
    slow = derivative(layer, x, params, directions)
    with quick_batch_norm_jvp(layer):
        quick = derivative(layer, x, params, directions)
    assert slow.abs().max() > 0.1
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)


def test_running_statistics_are_left_alone_and_forwards_come_back():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, affine=False))
    before = copy.deepcopy(module.state_dict())
    with quick_batch_norm_jvp(module), torch.no_grad():
        assert "forward" in module[0].__dict__
        assert "forward" not in module[1].__dict__, "without scale and shift there is none"
        module[0](torch.randn(5, 2))
    torch.testing.assert_close(dict(module.state_dict()), dict(before))
    assert "forward" not in module[0].__dict__


def test_layers_in_evaluation_mode_keep_their_own():
    layer = nn.BatchNorm1d(2).eval()
    with quick_batch_norm_jvp(layer):
        assert "forward" not in layer.__dict__
