"""Networks are built with the right sizes, tried once, and failures say what happened."""

import pytest
import torch
from torch import nn

from noisyfit.modules import MLP, ConvNet
from noisyfit.modules._build import build_module

TABLE, IMAGES = torch.ones(2, 5), torch.ones(2, 3, 8, 8)


def test_none_picks_by_the_shape_of_a_row():
    table = build_module(None, {}, example=TABLE, n_classes=4)
    assert isinstance(table, MLP)
    assert table(TABLE).shape == (2, 4)
    images = build_module(None, {}, example=IMAGES, n_classes=4)
    assert isinstance(images, ConvNet)
    assert images(IMAGES).shape == (2, 4)


@pytest.mark.parametrize(
    ("module", "sides", "params", "stride"),
    [
        (None, (24, 30), {}, 2),
        (None, (30, 23), {}, 1),
        (None, (24, 24), {"stem_stride": 1}, 1),
        (None, (8, 8), {"stem_stride": 2}, 2),
        (ConvNet, (24, 24), {}, 1),
    ],
)
def test_the_default_net_takes_every_second_pixel_of_larger_images(module, sides, params, stride):
    made = build_module(module, params, example=torch.ones(2, 3, *sides), n_classes=4)
    assert made.layers[0].stride == (stride, stride)


def test_the_users_parameters_reach_the_class():
    made = build_module(MLP, {"hidden": (7,)}, example=TABLE, n_classes=3)
    assert [layer.out_features for layer in made.modules() if isinstance(layer, nn.Linear)] == [
        7,
        3,
    ]


class Recorded(nn.Module):
    def __init__(self, n_classes, n_channels=None, n_features=None, other=1):
        super().__init__()
        self.got = {"n_classes": n_classes, "n_channels": n_channels, "n_features": n_features}
        self.other = other
        self.n_classes = n_classes

    def forward(self, x):
        return torch.zeros(len(x), self.n_classes)


def test_sizes_are_passed_by_name():
    table = build_module(Recorded, {}, example=TABLE, n_classes=4)
    assert table.got == {"n_classes": 4, "n_channels": None, "n_features": 5}
    images = build_module(Recorded, {"other": 2}, example=IMAGES, n_classes=4)
    assert images.got == {"n_classes": 4, "n_channels": 3, "n_features": None}
    assert images.other == 2


def test_what_is_no_module_is_named():
    with pytest.raises(TypeError, match=r"must give a torch\.nn\.Module\. Got int from <function"):
        build_module(lambda n_features: n_features, {}, example=TABLE, n_classes=4)


def test_a_users_size_wins():
    made = build_module(Recorded, {"n_features": 99}, example=TABLE, n_classes=4)
    assert made.got["n_features"] == 99


def test_a_signature_without_sizes_gets_none():
    made = build_module(
        nn.Linear, {"in_features": 5, "out_features": 2}, example=TABLE, n_classes=2
    )
    assert made(TABLE).shape == (2, 2)


def test_a_function_that_returns_a_module_will_do():
    def make(n_features, n_classes, bias=True):
        return nn.Linear(n_features, n_classes, bias=bias)

    assert build_module(make, {"bias": False}, example=TABLE, n_classes=2).bias is None


def test_an_instance_is_copied_with_its_weights():
    mine = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)).eval()
    built = build_module(mine, {}, example=TABLE, n_classes=3)
    assert built is not mine
    assert torch.equal(built[0].weight, mine[0].weight)
    with torch.no_grad():
        built[0].weight.zero_()
    assert mine[0].weight.abs().sum() > 0
    assert built.training
    assert not mine.training


def test_trying_out_leaves_no_trace_in_batch_norm():
    built = build_module(
        nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), {}, example=TABLE, n_classes=3
    )
    assert built[1].num_batches_tracked == 0
    assert built[1].running_mean.tolist() == [0, 0, 0]
    assert built.training
    assert all(p.grad is None for p in built.parameters())


def test_an_instance_takes_no_parameters():
    with pytest.raises(ValueError, match=r"instance of Linear.*\['bias'\].*pass the class"):
        build_module(nn.Linear(5, 3), {"bias": False}, example=TABLE, n_classes=3)


def test_a_network_that_fails_is_told_with_shapes():
    with pytest.raises(
        ValueError,
        match=r"network failed: Linear on a batch of shape \(2, 5\) with 3 classes.*mat1",
    ) as info:
        build_module(nn.Linear(6, 3), {}, example=TABLE, n_classes=3)
    assert isinstance(info.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("module", "got"),
    [
        (nn.Linear(5, 4), r"\(2, 4\)"),
        (nn.Flatten(0), r"\(10,\)"),
        (nn.Unflatten(1, (5, 1)), r"\(2, 5, 1\)"),
        (nn.AdaptiveMaxPool1d(3, return_indices=True), "tuple"),
    ],
)
def test_another_shape_than_logits_is_refused(module, got):
    with pytest.raises(
        ValueError, match=rf"must return logits of shape \(2, 3\). Got {got} instead"
    ):
        build_module(module, {}, example=TABLE, n_classes=3)


def test_initialisation_follows_torchs_generator():
    weights = []
    for seed in (0, 0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = build_module(MLP, {}, example=TABLE, n_classes=3)
        weights.append(next(made.parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
