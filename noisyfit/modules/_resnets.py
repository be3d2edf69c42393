"""Residual networks for small images: each maps ``(n, n_channels, height, width)`` to logits.

Plain ``nn.Module`` classes, picklable and deep-copyable, for images of any size. Their stem is a
3x3 convolution of stride 1 without max-pool, which keeps the resolution of small images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from noisyfit.modules._default import conv, conv_bn_relu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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
        self.resnet.conv1 = conv(n_channels, 64)
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
    """A network of layers, the mean over the pixels, and a linear layer."""

    def __init__(self, layers: Sequence[nn.Module], channels: int, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits."""
        return self.linear(self.layers(x).mean((2, 3)))


def _stages(
    block: Callable[[int, int, int], nn.Module], channels: int, widths: Sequence[int], depth: int
) -> list[nn.Module]:
    """Make stages of `depth` blocks; each stage but the first halves the sides."""
    blocks = []
    for stage, width in enumerate(widths):
        for i in range(depth):
            blocks.append(block(channels, width, 2 if stage and not i else 1))
            channels = width
    return blocks


def _bn_relu(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


class _PreActBlock(nn.Module):
    """Pre-activation block whose shortcut branches off after the first ReLU."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = conv(channels, width, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width)
        same = channels == width
        self.shortcut = nn.Identity() if same else conv(channels, width, 1, stride)

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
    points, kept because many results on noisy labels come from this network: BatchNorm and ReLU
    follow the convolution of the stem, though the first block begins with them, too; there are none
    before the pooling; and every shortcut, not only one that changes the shape, branches off after
    the block's first ReLU. Convolutions start at He's initialization, as torchvision's do.

    Examples
    --------
    >>> sum(p.numel() for p in PreActResNet18(n_classes=10).parameters())
    11171274
    """

    def __init__(self, n_classes: int, n_channels: int = 3) -> None:
        stages = _stages(_PreActBlock, 64, (64, 128, 256, 512), 2)
        super().__init__([*conv_bn_relu(n_channels, 64), *stages], 512, n_classes)


class _BasicBlockA(nn.Module):
    """Block with a shortcut of option A."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = width - channels
        self.conv1 = conv(channels, width, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width)
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

    def __init__(self, n_classes: int, n_channels: int = 3) -> None:
        stages = _stages(_BasicBlockA, 16, (16, 32, 64), 5)
        super().__init__([*conv_bn_relu(n_channels, 16), *stages], 64, n_classes)


_BOTTLENECKS = {64: 16, 128: 64, 256: 128}


class _BottleneckBlock(nn.Module):
    """Pre-activation bottleneck block whose shortcut branches off before the first BatchNorm."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        inner = _BOTTLENECKS[width]
        # The stem, of 16 channels, ends with BatchNorm and ReLU itself.
        self.bn1 = nn.Identity() if channels == 16 else nn.BatchNorm2d(channels)
        self.conv1 = conv(channels, inner, 1, stride)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = conv(inner, inner)
        self.bn3 = nn.BatchNorm2d(inner)
        self.conv3 = conv(inner, width, 1)
        same = channels == width
        self.shortcut = nn.Identity() if same else conv(channels, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(relu(self.bn1(x)))
        out = self.conv2(relu(self.bn2(out)))
        return self.conv3(relu(self.bn3(out))) + self.shortcut(x)


class ResNet29v2(_ResidualNet):
    """ResNet-29 of CIFAR: three pre-activation bottleneck blocks in each of three stages.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    n_channels : int, default=3
        Channels of the images.

    Notes
    -----
    The small network of Zhang et al. (CVPR 2020): ``resnet_v2`` with depth 29 of Keras'
    ``cifar10_resnet.py``, itself after He et al. (Identity mappings in deep residual networks,
    ECCV 2016). Stages have 64, 128 and 256 channels, their bottlenecks 16, 64 and 128. Unlike in
    Keras' script, and as in the code of Zhang et al., convolutions have no bias. Convolutions
    start at He's initialization.

    Examples
    --------
    >>> sum(p.numel() for p in ResNet29v2(n_classes=10).parameters())
    840730
    """

    def __init__(self, n_classes: int, n_channels: int = 3) -> None:
        stages = _stages(_BottleneckBlock, 16, (64, 128, 256), 3)
        layers = [*conv_bn_relu(n_channels, 16), *stages, *_bn_relu(256)]
        super().__init__(layers, 256, n_classes)


class _WideBlock(_PreActBlock):
    """Pre-activation block whose shortcut passes the input on unchanged where the shape stays."""

    def forward(self, x: Tensor) -> Tensor:
        active = relu(self.bn1(x))
        kept = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(active)
        return self.conv2(relu(self.bn2(self.conv1(active)))) + kept


class WideResNet(_ResidualNet):
    """Wide ResNet for CIFAR: three stages of `width` times 16, 32 and 64 channels.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    n_channels : int, default=3
        Channels of the images.
    depth : int, default=28
        Number of convolutions on the longest path: 6 n + 4 for n blocks in each stage.
    width : int, default=10
        Factor by which the number of channels grows.

    Raises
    ------
    ValueError
        If `depth` is not 6 n + 4 for a positive n.

    Notes
    -----
    Zagoruyko and Komodakis (Wide residual networks, BMVC 2016), without dropout; the default is
    their WRN-28-10. Zhang et al. (CVPR 2020) trained a variant whose shortcuts pool and pad with
    zeros where these are 1x1 convolutions, with further ones over whole stages.

    Examples
    --------
    >>> sum(p.numel() for p in WideResNet(n_classes=10, depth=16, width=4).parameters())
    2748890
    """

    def __init__(
        self, n_classes: int, n_channels: int = 3, depth: int = 28, width: int = 10
    ) -> None:
        n_blocks, rest = divmod(depth - 4, 6)
        if n_blocks < 1 or rest:
            raise ValueError(f"depth must be 6 n + 4 for some n, as 28. Got {depth}.")
        widths = (16 * width, 32 * width, 64 * width)
        stages = _stages(_WideBlock, 16, widths, n_blocks)
        layers = [conv(n_channels, 16), *stages, *_bn_relu(widths[-1])]
        super().__init__(layers, widths[-1], n_classes)
