"""Default networks: each maps a batch to logits ``(n, n_classes)``.

All are plain ``nn.Module`` classes, picklable and deep-copyable. `ConvNet` takes images
``(n, n_channels, height, width)`` of any size; larger networks for images are in
`noisyfit.modules`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    """Multilayer perceptron of Linear, ReLU and, if wanted, BatchNorm and Dropout.

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
        Whether a BatchNorm precedes every ReLU.

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
            layers.append(nn.ReLU(inplace=True))
            if dropout:
                layers.append(nn.Dropout(dropout))
            n_features = width
        self.layers = nn.Sequential(*layers, nn.Linear(n_features, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Map rows (n, n_features) to logits."""
        return self.layers(x)


class ConvNet(nn.Module):
    """Small convolutional net for images of any size, made for sides of 8 to 64 pixels.

    Three stages of two 3x3 convolutions, each with BatchNorm and ReLU, and a 2x2 max-pool; then
    the mean over the remaining pixels and a linear layer. The pools round up, so that an odd line
    at the border is not lost and an image may have a single pixel.

    Nearly all its time goes to the first two stages. ``stem_stride=2`` puts one 4x4 convolution
    that takes every second pixel in the place of the first: a fifth of the time in float32, two
    fifths in bfloat16, for one or two points of accuracy on photographs.

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
    stem_stride : {1, 2}, default=1
        Step, in pixels, of the first convolution. With 2 an image must have sides of two pixels or
        more.

    Notes
    -----
    Estimators without a `module` take ``stem_stride=2`` for images whose sides have 24 pixels or
    more; ``module__stem_stride=1`` takes the slower one.

    Examples
    --------
    >>> sum(p.numel() for p in ConvNet(n_channels=3, n_classes=10).parameters())
    288746
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        width: int = 32,
        dropout: float = 0.0,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        if stem_stride not in (1, 2):
            raise ValueError(f"stem_stride must be 1 or 2. Got {stem_stride!r}.")
        layers: list[nn.Module] = []
        for stage_width in (width, 2 * width, 4 * width):
            if stem_stride == 2 and not layers:
                layers += conv_bn_relu(n_channels, stage_width, side=4, stride=2)
            else:
                layers += conv_bn_relu(n_channels, stage_width)
                layers += conv_bn_relu(stage_width, stage_width)
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            n_channels = stage_width
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits."""
        return self.linear(self.dropout(self.layers(x).mean((2, 3))))


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
    every LSTM weight matrix, its four gates together, is initialized as an orthogonal matrix, and
    every LSTM bias at 0.01.

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


def conv(channels: int, width: int, side: int = 3, stride: int = 1) -> nn.Conv2d:
    """Make a convolution without bias, padded to keep the sides, in He's initialization.

    A side of the kernel that is even keeps, for a stride of two, the half of an even side.

    Parameters
    ----------
    channels, width : int
        Numbers of input and output channels.
    side : int, default=3
        Side of the kernel in pixels.
    stride : int, default=1
        Step of the kernel in pixels.

    Returns
    -------
    torch.nn.Conv2d

    Examples
    --------
    >>> import torch
    >>> from noisyfit.modules._default import conv
    >>> conv(3, 8, stride=2)(torch.zeros(1, 3, 16, 16)).shape
    torch.Size([1, 8, 8, 8])
    """
    padding = (side - 1) // 2
    layer = nn.Conv2d(channels, width, side, stride=stride, padding=padding, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def conv_bn_relu(channels: int, width: int, side: int = 3, stride: int = 1) -> list[nn.Module]:
    """Make a convolution, BatchNorm and ReLU.

    Parameters
    ----------
    channels, width : int
        Numbers of input and output channels.
    side, stride : int, default=3 and 1
        Side and step of the kernel in pixels.

    Returns
    -------
    list of torch.nn.Module

    Examples
    --------
    >>> from torch import nn, zeros
    >>> from noisyfit.modules._default import conv_bn_relu
    >>> nn.Sequential(*conv_bn_relu(3, 8))(zeros(2, 3, 16, 16)).shape
    torch.Size([2, 8, 16, 16])
    """
    return [conv(channels, width, side, stride), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
