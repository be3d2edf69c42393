"""Networks: defaults for tables, images and sequences, and residual networks for CIFAR."""

from noisyfit.modules._build import build_module, module_call
from noisyfit.modules._default import MLP, ConvNet, SequenceLSTM
from noisyfit.modules._mean import MeanNetwork, log_mean_softmax
from noisyfit.modules._outputs import logits_of
from noisyfit.modules._resnets import (
    CIFARResNet18,
    CIFARResNet34,
    PreActResNet18,
    ResNet29v2,
    ResNet32,
    WideResNet,
)
from noisyfit.modules._stacked import StackedMLP, can_be_stacked

__all__ = [
    "MLP",
    "CIFARResNet18",
    "CIFARResNet34",
    "ConvNet",
    "PreActResNet18",
    "ResNet29v2",
    "ResNet32",
    "SequenceLSTM",
    "WideResNet",
]
