"""Tests of the default networks."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call

from noisyfit.methods.meta_relabel._gradient import directional_derivatives
from noisyfit.modules import (
    MLP,
    CIFARResNet18,
    CIFARResNet34,
    ConvNet,
    PreActResNet18,
    ResNet29v2,
    ResNet32,
    SequenceLSTM,
    WideResNet,
)
from noisyfit.training import frozen_batch_statistics

# CIFARResNet34 is CIFARResNet18 with other depths: its parameter count and one forward pass do.
IMAGE_NETS = [ConvNet, CIFARResNet18, PreActResNet18, ResNet32, ResNet29v2, WideResNet]
SMALL = {WideResNet: {"depth": 16, "width": 2}}


@pytest.fixture(autouse=True)
def _seeded_on_one_thread():
    n_threads = torch.get_num_threads()
    # Batches this small gain nothing from threads, and lose much where cores are shared.
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(n_threads)


def n_parameters(net):
    return sum(p.numel() for p in net.parameters())


def small_net_and_batch(cls):
    if cls is MLP:
        return MLP(6, 4, hidden=(8,), batch_norm=True), torch.randn(5, 6)
    if cls is SequenceLSTM:
        return SequenceLSTM(n_classes=4), torch.randn(5, 12, 1)
    return cls(n_channels=3, n_classes=4, **SMALL.get(cls, {})), torch.randn(5, 3, 8, 8)


@pytest.mark.parametrize("cls", [MLP, SequenceLSTM, *IMAGE_NETS])
class TestEveryNet:
    def test_gradient_reaches_every_parameter(self, cls):
        net, x = small_net_and_batch(cls)
        logits = net(x)
        assert logits.shape == (5, 4)
        nn.functional.cross_entropy(logits, torch.arange(5) % 4).backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert bool((parameter.grad != 0).any()), name

    def test_evaluates_rows_one_by_one(self, cls):
        net, x = small_net_and_batch(cls)
        net.eval()
        with torch.no_grad():
            torch.testing.assert_close(net(x[:1]), net(x)[:1], rtol=1e-3, atol=1e-4)

    def test_ends_in_its_linear_layer(self, cls):
        net, x = small_net_and_batch(cls)
        net.eval()
        last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():
            before = net(x)
            last.bias += torch.arange(4)
            torch.testing.assert_close(net(x), before + torch.arange(4))

    def test_pickles_and_copies(self, cls):
        net, x = small_net_and_batch(cls)
        net.eval()
        with torch.no_grad():
            expected = net(x)
            assert torch.equal(pickle.loads(pickle.dumps(net))(x), expected)
            other = copy.deepcopy(net)
            for parameter in other.parameters():
                parameter.zero_()
            assert torch.equal(net(x), expected)

    def test_seed_decides_the_weights(self, cls):
        nets = []
        for seed in (3, 3, 4):
            torch.manual_seed(seed)
            nets.append(nn.utils.parameters_to_vector(small_net_and_batch(cls)[0].parameters()))
        assert torch.equal(nets[0], nets[1])
        assert not torch.equal(nets[0], nets[2])

    def test_the_estimators_can_name_its_sizes(self, cls):
        names = set(inspect.signature(cls).parameters)
        expected = {MLP: {"n_features", "n_classes"}, SequenceLSTM: {"n_classes"}}
        assert expected.get(cls, {"n_channels", "n_classes"}) <= names


@pytest.mark.parametrize("cls", [CIFARResNet34, *IMAGE_NETS])
@pytest.mark.parametrize(("channels", "sides"), [(1, (8, 8)), (4, (13, 20)), (3, (64, 64))])
def test_images_of_many_sizes(cls, channels, sides):
    net = cls(n_classes=7, n_channels=channels, **SMALL.get(cls, {})).eval()
    with torch.no_grad():
        assert net(torch.randn(1, channels, *sides)).shape == (1, 7)


@pytest.mark.parametrize("cls", IMAGE_NETS)
def test_channels_last_passes_through_every_convolution(cls):
    net = cls(n_classes=3, n_channels=3, **SMALL.get(cls, {}))
    net.to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    seen = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    plain = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        torch.testing.assert_close(
            net.eval()(x), plain.eval()(x.contiguous()), rtol=1e-3, atol=1e-3
        )
    first_run = seen[: len(seen) // 2]
    assert len(first_run) == sum(isinstance(module, nn.Conv2d) for module in net.modules())
    assert all(inputs.is_contiguous(memory_format=torch.channels_last) for inputs in first_run)


@pytest.mark.parametrize("cls", IMAGE_NETS)
def test_bfloat16_autocast(cls):
    net, x = small_net_and_batch(cls)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(x)
    assert logits.dtype == torch.bfloat16
    assert bool(logits.isfinite().all())


@pytest.mark.parametrize("cls", IMAGE_NETS)
def test_forward_derivative_agrees_with_the_backward_one(cls):
    net, x = small_net_and_batch(cls)
    net, x = net.double(), x.double()
    params = dict(net.named_parameters())
    t = {name: torch.randn_like(parameter) for name, parameter in params.items()}

    def logits(replaced):
        with frozen_batch_statistics(net):
            return (functional_call(net, replaced, (x,)),)

    (along,) = directional_derivatives(logits, params, t)
    u = torch.randn_like(along)
    back = torch.autograd.grad((logits(params)[0] * u).sum(), list(params.values()))
    expected = sum((grad * t[name]).sum() for name, grad in zip(params, back, strict=True))
    torch.testing.assert_close((along * u).sum(), expected)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: MLP(20, 3), 20 * 128 + 128 + 128 * 128 + 128 + 128 * 3 + 3),
        (lambda: MLP(20, 3, hidden=()), 20 * 3 + 3),
        (lambda: MLP(20, 3, hidden=[8], batch_norm=True), 20 * 8 + 8 + 2 * 8 + 8 * 3 + 3),
        (
            lambda: ConvNet(1, 10, width=4),
            9 * (1 * 4 + 4 * 4 + 4 * 8 + 8 * 8 + 8 * 16 + 16 * 16)
            + 2 * (4 + 4 + 8 + 8 + 16 + 16)
            + 16 * 10
            + 10,
        ),
        # torchvision's 11,689,512 and 21,797,672 for 1000 classes, with a stem of 3 * 3 instead
        # of 7 * 7 and 990 classes less.
        (lambda: CIFARResNet18(10), 11_689_512 - 64 * 3 * (49 - 9) - 990 * 513),
        (lambda: CIFARResNet34(10), 21_797_672 - 64 * 3 * (49 - 9) - 990 * 513),
        (lambda: CIFARResNet34(10, n_channels=1), 21_797_672 - 64 * (3 * 49 - 9) - 990 * 513),
        # DivideMix's network as counted from its published code.
        (lambda: PreActResNet18(10), 11_171_274),
        # Stem, 5 blocks of 16, the first of 32, 4 of 32, the first of 64, 4 of 64, and linear.
        (
            lambda: ResNet32(10),
            9 * (3 * 16 + 10 * 16 * 16 + 16 * 32 + 9 * 32 * 32 + 32 * 64 + 9 * 64 * 64)
            + 2 * (11 * 16 + 10 * 32 + 10 * 64)
            + 64 * 10
            + 10,
        ),
        # Keras' resnet_v2(depth=29) without its biases: stem; first block of each stage with its
        # shortcut, and two more; last BatchNorm, linear.
        (
            lambda: ResNet29v2(10),
            (27 * 16 + 2 * 16)
            + (16 * 16 + 9 * 16 * 16 + 2 * 16 * 64 + 2 * 32)
            + 2 * (2 * 16 * 64 + 9 * 16 * 16 + 2 * (64 + 32))
            + (64 * 64 + 9 * 64 * 64 + 2 * 64 * 128 + 2 * 192)
            + 2 * (2 * 64 * 128 + 9 * 64 * 64 + 2 * (128 + 128))
            + (128 * 128 + 9 * 128 * 128 + 2 * 128 * 256 + 2 * 384)
            + 2 * (2 * 128 * 256 + 9 * 128 * 128 + 2 * (256 + 256))
            + (2 * 256 + 256 * 10 + 10),
        ),
        # The paper's 36.5 M, 17.2 M and 2.2 M.
        (lambda: WideResNet(10), 36_479_194),
        (lambda: WideResNet(10, depth=22, width=8), 17_158_106),
        (lambda: WideResNet(10, depth=40, width=2), 2_243_546),
        (SequenceLSTM, 50_562),
    ],
)
def test_parameter_counts(make, count):
    assert n_parameters(make()) == count


def test_mlp_by_hand():
    net = MLP(2, 2, hidden=(2,))
    first, last = (layer for layer in net.layers if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, -1.0], [2.0, 0.0]]))
        first.bias.copy_(torch.tensor([0.0, -1.0]))
        last.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 3.0]]))
        last.bias.copy_(torch.tensor([0.0, 1.0]))
        # Hidden: relu(1 - 3) = 0 and relu(2 - 1) = 1.
        torch.testing.assert_close(net(torch.tensor([[1.0, 3.0]])), torch.tensor([[1.0, 4.0]]))


def test_mlp_orders_its_layers():
    kinds = [type(layer).__name__ for layer in MLP(2, 3, (4,), dropout=0.5, batch_norm=True).layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]


def test_mlp_refuses_a_single_width():
    with pytest.raises(TypeError, match=r"sequence of ints, as \(128, 128\). Got 128"):
        MLP(2, 3, hidden=128)


@pytest.mark.parametrize("cls", [MLP, ConvNet])
def test_dropout_acts_in_training_only(cls):
    sizes = (6, 4) if cls is MLP else (3, 4)
    net = cls(*sizes, dropout=0.5)
    x = torch.randn(8, 6) if cls is MLP else torch.randn(8, 3, 8, 8)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    with pytest.raises(ValueError, match="dropout probability"):
        cls(*sizes, dropout=1.5)


def test_conv_net_takes_tiny_images_and_loses_no_border():
    net = ConvNet(n_channels=1, n_classes=2, width=4)
    assert net(torch.randn(2, 1, 1, 1)).shape == (2, 2)
    # The last line and column stand alone in the rounded-up pools: 9 -> 5 -> 3 -> 2.
    sides = []
    for layer in net.layers:
        if isinstance(layer, nn.MaxPool2d):
            layer.register_forward_hook(lambda _, __, out: sides.append(out.shape[-1]))
    net(torch.randn(2, 1, 9, 9))
    assert sides == [5, 3, 2]


def test_a_strided_stem_costs_a_quarter_of_the_products_or_less_and_sees_every_pixel():
    counted = {}
    for stride in (1, 2):
        net, products = ConvNet(1, 10, stem_stride=stride).eval(), []
        for layer in net.layers:
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(
                    lambda layer, _, out, p=products: p.append(
                        out[0].numel() * layer.weight[0].numel()
                    )
                )
        x = torch.randn(1, 1, 28, 28, requires_grad=True)
        net(x).sum().backward()
        assert bool((x.grad != 0).any(dim=1).float().mean() > 0.9)
        assert bool((x.grad[..., [0, -1], :] != 0).any())
        assert bool((x.grad[..., [0, -1]] != 0).any())
        counted[stride] = sum(products)
    # 14 x 14 pixels from 4 x 4 of one channel, and two stages at 7 and 4 pixels a side.
    assert counted[2] == 196 * 32 * 16 + 49 * 9 * 64 * (32 + 64) + 16 * 9 * 128 * (64 + 128)
    assert 4 * counted[2] < counted[1]
    assert ConvNet(1, 10, stem_stride=2)(torch.randn(2, 1, 2, 2)).shape == (2, 10)
    with pytest.raises(ValueError, match=r"stem_stride must be 1 or 2\. Got 3"):
        ConvNet(1, 10, stem_stride=3)


def test_cifar_stem_keeps_the_resolution():
    net = CIFARResNet18(n_classes=10).eval()
    sides = []
    for stage in (net.resnet.layer1, net.resnet.layer2, net.resnet.layer3, net.resnet.layer4):
        stage.register_forward_hook(lambda _, __, out: sides.append(tuple(out.shape[1:])))
    with torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))
    assert sides == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


def test_option_a_shortcut_takes_every_other_pixel():
    net = ResNet32(n_classes=10).eval()
    block = next(m for m in net.layers if getattr(m, "stride", 1) == 2)
    nn.init.zeros_(block.bn2.weight)  # the residual branch is then zero
    x = torch.randn(2, 16, 6, 6)
    with torch.no_grad():
        out = block(x)
    assert torch.equal(out[:, :16], x[:, :, ::2, ::2].relu())
    assert out.shape == (2, 32, 3, 3)
    assert not out[:, 16:].any()


@pytest.mark.parametrize(
    ("net", "params", "places", "kept_shape"),
    [
        (PreActResNet18, {}, (3, 5), "activation"),
        (WideResNet, {"depth": 16, "width": 1}, (1, 3), "input"),
    ],
    ids=["pre-activation", "wide"],
)
def test_block_by_its_formula(net, params, places, kept_shape):
    layers = net(n_classes=10, **params).eval().layers
    same, wider = (layers[i] for i in places)
    channels = same.bn1.num_features
    x = torch.randn(2, channels, 6, 6)
    with torch.no_grad():
        for block in (same, wider):
            block.bn1.running_mean.fill_(0.2)  # makes the activation differ from the input
            a = torch.relu(block.bn1(x))
            residual = block.conv2(torch.relu(block.bn2(block.conv1(a))))
            passed_on = {"activation": a, "input": x}[kept_shape]
            shortcut = passed_on if block is same else wider.shortcut(a)
            torch.testing.assert_close(block(x), residual + shortcut)
    assert wider.shortcut.weight.shape == (2 * channels, channels, 1, 1)


def test_bottleneck_block_by_its_formula():
    net = ResNet29v2(n_classes=10).eval()
    first, same, wider = net.layers[3], net.layers[4], net.layers[6]
    x = torch.randn(2, 64, 6, 6)
    stem = torch.randn(2, 16, 6, 6).relu()
    with torch.no_grad():
        for block, inputs in ((first, stem), (same, x), (wider, x)):
            a = inputs
            if block is not first:  # the stem has done this
                block.bn1.running_mean.fill_(0.2)
                a = torch.relu(block.bn1(inputs))
            b = torch.relu(block.bn2(block.conv1(a)))
            residual = block.conv3(torch.relu(block.bn3(block.conv2(b))))
            shortcut = inputs if block is same else block.shortcut(inputs)
            torch.testing.assert_close(block(inputs), residual + shortcut)
        assert wider(x).shape == (2, 128, 3, 3)
    kernels = [conv.kernel_size for conv in (wider.conv1, wider.conv2, wider.conv3)]
    assert kernels == [(1, 1), (3, 3), (1, 1)]
    assert wider.conv1.stride == (2, 2)


def test_wide_resnet_keeps_the_resolution_in_its_first_stage():
    net = WideResNet(n_classes=10, depth=10, width=2).eval()
    sides = []
    for block in list(net.layers)[1:4]:
        block.register_forward_hook(lambda _, __, out: sides.append(tuple(out.shape[1:])))
    with torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))
    assert sides == [(32, 32, 32), (64, 16, 16), (128, 8, 8)]


@pytest.mark.parametrize("depth", [4, 27])
def test_wide_resnet_refuses_other_depths(depth):
    with pytest.raises(ValueError, match=rf"6 n \+ 4 .* Got {depth}"):
        WideResNet(10, depth=depth)


def test_residual_nets_start_at_he_initialisation():
    conv = PreActResNet18(n_classes=10).layers[-1].conv2
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("n_steps", [1, 30, 100, 200])
def test_lstm_takes_any_length(n_steps):
    assert SequenceLSTM()(torch.rand(3, n_steps, 1)).shape == (3, 2)


def test_lstm_initialisation():
    net = SequenceLSTM(n_hidden=16, n_layers=3)
    weights = 0
    for name, parameter in net.lstm.named_parameters():
        if name.startswith("weight"):
            weights += 1
            gram = parameter.T @ parameter
            torch.testing.assert_close(gram, torch.eye(len(gram)), rtol=0, atol=1e-5)
        else:
            assert bool((parameter == 0.01).all())
    assert weights == 6


def test_lstm_reads_the_top_layer_at_the_last_step():
    net = SequenceLSTM()
    x = torch.rand(3, 20, 1)
    _, (last_states, _) = net.lstm(x)
    torch.testing.assert_close(net(x), net.linear(last_states[-1]))
    # The order of the steps matters.
    assert not torch.allclose(net(x), net(x.flip(1)))
