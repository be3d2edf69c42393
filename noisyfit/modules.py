"""Default networks: each maps a batch to logits ``(n, n_classes)``.

All are plain ``nn.Module`` classes, picklable and deep-copyable. Those for images take
``(n, n_channels, height, width)`` of any size. The ResNets keep the resolution of small images
in their stem: a 3x3 convolution of stride 1, without max-pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import pad, relu


class MLP(nn.Module):
    """Multilayer perceptron: stacks of Linear, ReLU and, if wanted, BatchNorm and Dropout.

    Parameters
    ----------
    n_features : int
        Number of input features.
    n_classes : int
        Number of logits.
    hidden : sequence of int, default=(128, 128)
        Width of every hidden layer; empty for a linear model.
    dropout : float, default=0.0
        Probability of dropping a hidden unit, in [0, 1].
    batch_norm : bool, default=False
        Whether a BatchNorm stands before every ReLU.

    Examples
    --------
    >>> sum(p.numel() for p in MLP(n_features=20, n_classes=3).parameters())
    19587
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden: Sequence[int] = (128, 128),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, Sequence):
            raise TypeError(f"hidden must be a sequence of ints, as (128, 128). Got {hidden!r}.")
        layers: list[nn.Module] = []
        for width in hidden:
            layers.append(nn.Linear(n_features, width))
            if batch_norm:
                layers.append(nn.BatchNorm1d(width))
            layers += [nn.ReLU(inplace=True), nn.Dropout(dropout)]
            n_features = width
        self.layers = nn.Sequential(*layers, nn.Linear(n_features, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Map rows (n, n_features) to logits."""
        return self.layers(x)


class ConvNet(nn.Module):
    """Small convolutional net for images of any size, made for sides of 8 to 64 pixels.

    Three stages of two 3x3 convolutions, each with BatchNorm and ReLU, and a 2x2 max-pool; then
    the mean over the remaining pixels and a linear layer. The pools round up: an odd line at the
    border is not lost, and even one pixel passes.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of logits.
    width : int, default=32
        Channels of the first stage; the others have two and four times as many.
    dropout : float, default=0.0
        Probability of dropping a feature before the linear layer, in [0, 1].

    Examples
    --------
    >>> sum(p.numel() for p in ConvNet(n_channels=3, n_classes=10).parameters())
    288746
    """

    def __init__(
        self, n_channels: int, n_classes: int, width: int = 32, dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage_width in (width, 2 * width, 4 * width):
            layers += _conv_bn_relu(n_channels, stage_width)
            layers += _conv_bn_relu(stage_width, stage_width)
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            n_channels = stage_width
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits."""
        return self.linear(self.dropout(self.layers(x).mean((2, 3))))


class CIFARResNet18(nn.Module):
    """torchvision's ResNet-18 with the stem for small images.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    n_channels : int, default=3
        Channels of the images.

    Examples
    --------
    >>> sum(p.numel() for p in CIFARResNet18(n_classes=10).parameters())
    11173962
    """

    _depths = (2, 2, 2, 2)

    def __init__(self, n_classes: int, n_channels: int = 3) -> None:
        super().__init__()
        # Imported here, as it takes as long as importing torch.
        from torchvision.models.resnet import BasicBlock, ResNet

        self.resnet = ResNet(BasicBlock, list(self._depths), num_classes=n_classes)
        self.resnet.conv1 = _conv(n_channels, 64)
        self.resnet.maxpool = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits."""
        return self.resnet(x)


class CIFARResNet34(CIFARResNet18):
    """torchvision's ResNet-34 with the stem for small images.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    n_channels : int, default=3
        Channels of the images.

    Examples
    --------
    >>> sum(p.numel() for p in CIFARResNet34(n_classes=10).parameters())
    21282122
    """

    _depths = (3, 4, 6, 3)


class _ResidualNet(nn.Module):
    """Stem, stages of `depth` blocks, mean over the pixels, linear layer."""

    _block: Callable[[int, int], nn.Module]
    _widths: tuple[int, ...]
    _depth: int

    def __init__(self, n_classes: int, n_channels: int = 3) -> None:
        super().__init__()
        channels = self._widths[0]
        layers = _conv_bn_relu(n_channels, channels)
        for width in self._widths:
            for _ in range(self._depth):
                layers.append(self._block(channels, width))
                channels = width
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits."""
        return self.linear(self.layers(x).mean((2, 3)))


class _PreActBlock(nn.Module):
    """Pre-activation block; it halves the sides where the width changes."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        stride = 1 if width == channels else 2
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = _conv(channels, width, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width)
        self.shortcut = nn.Identity() if stride == 1 else _conv(channels, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.bn1(x))
        return self.conv2(relu(self.bn2(self.conv1(x)))) + self.shortcut(x)


class PreActResNet18(_ResidualNet):
    """ResNet-18 of pre-activation blocks, as DivideMix (Li et al., ICLR 2020) built it.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    n_channels : int, default=3
        Channels of the images.

    Notes
    -----
    It departs from He et al. (Identity mappings in deep residual networks, ECCV 2016) in three
    points, kept because many results on noisy labels were made so: BatchNorm and ReLU stand in
    the stem as well as in the first block, but not before the pooling; and every shortcut, not
    only one that changes shape, branches off after the block's first ReLU. Convolutions start
    at He's initialisation, as torchvision's do.

    Examples
    --------
    >>> sum(p.numel() for p in PreActResNet18(n_classes=10).parameters())
    11171274
    """

    _block, _widths, _depth = _PreActBlock, (64, 128, 256, 512), 2


class _BasicBlockA(nn.Module):
    """Block with a shortcut of option A; it halves the sides where the width changes."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stride = 1 if width == channels else 2
        self.new_channels = width - channels
        self.conv1 = _conv(channels, width, stride=self.stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        if self.new_channels:
            x = x[:, :, :: self.stride, :: self.stride]
            x = pad(x, (0, 0, 0, 0, 0, self.new_channels))
        return relu(out + x)


class ResNet32(_ResidualNet):
    """The ResNet-32 of CIFAR: five blocks each of 16, 32 and 64 channels.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    n_channels : int, default=3
        Channels of the images.

    Notes
    -----
    He et al. (Deep residual learning for image recognition, CVPR 2016), Section 4.2, with their
    shortcuts of option A: where the width doubles, these take every other pixel and set the new
    channels to zero, without parameters.

    Examples
    --------
    >>> sum(p.numel() for p in ResNet32(n_classes=10).parameters())
    464154
    """

    _block, _widths, _depth = _BasicBlockA, (16, 32, 64), 5


class SequenceLSTM(nn.Module):
    """Classify a sequence of numbers by the last state of a stack of LSTM layers.

    Parameters
    ----------
    n_hidden : int, default=64
        Units of every layer.
    n_layers : int, default=2
        Number of LSTM layers.
    n_classes : int, default=2
        Number of logits.

    Notes
    -----
    The detector of Jia et al. (Learning from training dynamics, AAAI 2023). As in their code
    every LSTM weight matrix, its four gates together, starts orthogonal, every LSTM bias at 0.01.

    Examples
    --------
    >>> sum(p.numel() for p in SequenceLSTM().parameters())
    50562
    """

    def __init__(self, n_hidden: int = 64, n_layers: int = 2, n_classes: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, n_hidden, n_layers, batch_first=True)
        self.linear = nn.Linear(n_hidden, n_classes)
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("weight"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.constant_(parameter, 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Map sequences (n, n_steps, 1) of any length to logits."""
        states, _ = self.lstm(x)
        return self.linear(states[:, -1])


def _conv(channels: int, width: int, side: int = 3, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(channels, width, side, stride=stride, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _conv_bn_relu(channels: int, width: int) -> list[nn.Module]:
    return [_conv(channels, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
