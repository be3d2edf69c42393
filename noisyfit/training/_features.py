"""The features of rows, for losses and metrics that look at more than logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from noisyfit._ranks import sharing
from noisyfit.modules import logits_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.hooks import RemovableHandle


class LastLayerInputs:
    """Catch what the last linear layer of a network is given, in every pass while this lasts.

    Parameters
    ----------
    module : torch.nn.Module
        Network that returns what its last `torch.nn.Linear` computes.
    purpose : str
        What takes the features; the message to a user without such a layer begins with it.
    way_out : str
        What that user can do instead.

    Examples
    --------
    >>> import torch
    >>> module = nn.Sequential(nn.ReLU(), nn.Linear(2, 3))
    >>> with LastLayerInputs(module, "It", "give another one") as caught:
    ...     logits = module(torch.tensor([[1.0, -1.0]]))
    >>> caught.of(logits)
    tensor([[1., 0.]])
    """

    def __init__(self, module: nn.Module, purpose: str, way_out: str) -> None:
        self._module, self._purpose, self._way_out = module, purpose, way_out
        self._called: tuple[nn.Linear, Tensor] | None = None  # the last layer, and what with
        self._n_rows = -1
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> LastLayerInputs:
        """Begin to listen."""
        layers = [part for part in self._module.modules() if isinstance(part, nn.Linear)]
        self._hooks = [
            layer.register_forward_pre_hook(self._keep, with_kwargs=True) for layer in layers
        ]
        self._hooks.append(self._module.register_forward_hook(self._count))
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the network as it was."""
        for hook in self._hooks:
            hook.remove()

    def _keep(self, layer: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        self._called = layer, args[0] if args else kwargs["input"]

    def _count(self, *of_module: Any) -> None:
        # Of its output, with what the net fills up a batch by.
        self._n_rows = len(logits_of(of_module[-1]))

    def of(self, logits: Tensor) -> Tensor:
        """Return the features of the last pass.

        Parameters
        ----------
        logits : tensor of shape (n_rows, n_classes)
            What the network returned, or its first rows.

        Returns
        -------
        tensor of shape (n_rows, n_features), float32
            With their gradient, if the pass had one.

        Raises
        ------
        ValueError
            If no linear layer came last.
        """
        layer, z = self._called or (None, logits)
        rows_as_one = z.ndim == 2 and len(z) == self._n_rows
        if layer is None or not rows_as_one or layer.out_features != logits.shape[1]:
            found = "none" if layer is None else f"{layer} with inputs of shape {tuple(z.shape)}"
            raise ValueError(
                f"{self._purpose} takes as features the inputs of the last torch.nn.Linear, "
                f"(n_rows, n_features), which has to return the {logits.shape[1]} logits. Got "
                f"{found} in {type(self._module).__name__}. End the network with such a layer, or "
                f"{self._way_out}."
            )
        z, ranks = z.float(), sharing()
        if ranks is not None and ranks.n_divided is not None:
            z = ranks.gather(z, ranks.n_divided)
        return z[: len(logits)]
