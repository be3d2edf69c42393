"""`StackedMLP`: several perceptrons of one shape, computed as one batched product."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from noisyfit.modules._default import MLP

if TYPE_CHECKING:
    from collections.abc import Sequence


_LAYERS = (nn.Linear, nn.ReLU, nn.Dropout)


class StackedMLP(nn.Module):
    """Several `MLP` of one shape that see the same rows, in the time of one or two.

    A small network waits for its many small operations more than for their arithmetic; here each of
    them is one operation for all networks. Optimizers that treat each number on its own, such as
    SGD and Adam, train each network as they would alone.

    Parameters
    ----------
    networks : sequence of MLP
        Networks of the same layers, of which `can_be_stacked` is true. Their weights are copied;
        what is frozen in the first is frozen in all.

    Raises
    ------
    TypeError
        For another network.

    Examples
    --------
    >>> import torch
    >>> from noisyfit.modules import MLP
    >>> from noisyfit.modules._stacked import StackedMLP
    >>> networks, x = [MLP(4, 3), MLP(4, 3)], torch.randn(5, 4)
    >>> logits = StackedMLP(networks)(x)
    >>> logits.shape, torch.allclose(logits[:, 1], networks[1](x), atol=1e-5)
    (torch.Size([5, 2, 3]), True)
    """

    def __init__(self, networks: Sequence[MLP]) -> None:
        super().__init__()
        if not all(can_be_stacked(network) for network in networks):
            raise TypeError("Only MLPs of Linear, ReLU and Dropout can be stacked.")
        self.n_networks = len(networks)
        self._template = [copy.deepcopy(networks[0])]  # in a list: no parameter of this module
        linear = [[m for m in n.layers if isinstance(m, nn.Linear)] for n in networks]
        self.weight, self.bias = nn.ParameterList(), nn.ParameterList()
        for number, layers in enumerate(zip(*linear, strict=True)):
            weights = [layer.weight.detach() for layer in layers]
            # All networks see the same rows: their first layers are one, wide layer.
            stacked = torch.stack([w.t() for w in weights]) if number else torch.cat(weights)
            self.weight.append(stacked)
            self.bias.append(torch.stack([layer.bias.detach()[None] for layer in layers]))
            self.weight[-1].requires_grad_(layers[0].weight.requires_grad)
            self.bias[-1].requires_grad_(layers[0].bias.requires_grad)
        rates = [m.p for m in networks[0].layers if isinstance(m, nn.Dropout)]
        self.dropout = nn.Dropout(rates[0] if rates else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows (n, n_features) to logits (n, n_networks, n_classes)."""
        x = nn.functional.linear(x, self.weight[0])
        x = x.view(len(x), self.n_networks, -1).transpose(0, 1) + self.bias[0]
        for weight, bias in zip(self.weight[1:], self.bias[1:], strict=True):
            x = torch.baddbmm(bias, self.dropout(x.relu()), weight)
        return x.transpose(0, 1)

    def names_in_one(self) -> dict[str, str]:
        """Return what each parameter is called in one of the networks."""
        layers = self._template[0].layers
        places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
        return {
            f"{kind}.{number}": f"layers.{place}.{kind}"
            for number, place in enumerate(places)
            for kind in ("weight", "bias")
        }

    def network(self, number: int) -> MLP:
        """Return a copy of one of the networks.

        Parameters
        ----------
        number : int
            Its place in the sequence.

        Returns
        -------
        MLP
            On the device of the stack, and in its mode: training or evaluation.
        """
        network = copy.deepcopy(self._template[0]).to(self.weight[0]).train(self.training)
        linear = [m for m in network.layers if isinstance(m, nn.Linear)]
        with torch.no_grad():
            weights = [w[number].t() for w in self.weight[1:]]
            weights.insert(0, self.weight[0].chunk(self.n_networks)[number])
            for layer, weight, bias in zip(linear, weights, self.bias, strict=True):
                layer.weight.copy_(weight)
                layer.bias.copy_(bias[number, 0])
        return network


def can_be_stacked(network: nn.Module) -> bool:
    """Say whether a network is one of those that `StackedMLP` computes.

    Parameters
    ----------
    network : torch.nn.Module
        Any network.

    Returns
    -------
    bool
    """
    # By their exact types: a user may have put other layers into an MLP.
    return type(network) is MLP and all(type(layer) in _LAYERS for layer in network.layers)
