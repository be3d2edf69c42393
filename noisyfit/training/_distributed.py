"""A training step that several processes share: passes of their own rows, one update for all."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _NormBase

from noisyfit._random import global_generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from noisyfit._ranks import Ranks


def average_step(ranks: Ranks, optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
    """Average the gradients over the ranks, and what batch normalization has seen of the batch.

    Parameters
    ----------
    ranks : Ranks
        Each has differentiated the loss of the whole batch by its own rows.
    optimizer : torch.optim.Optimizer
        Whose parameters have the gradients.
    module : torch.nn.Module
        The network.

    Raises
    ------
    ValueError
        For sparse gradients.
    """
    params = [param for group in optimizer.param_groups for param in group["params"]]
    grads = [param.grad for param in params if param.grad is not None]
    if any(grad.is_sparse for grad in grads):
        raise ValueError(
            "Sparse gradients are not averaged over processes. Build torch.nn.Embedding with "
            "sparse=False, or fit in one process."
        )
    layers = [m for m in module.modules() if isinstance(m, _NormBase) and m.training]
    seen = [s for m in layers for s in (m.running_mean, m.running_var) if s is not None]
    ranks.average_([*grads, *seen])


def same_weights(ranks: Ranks, module: nn.Module) -> None:
    """Give all ranks the weights and buffers of rank 0.

    Parameters
    ----------
    ranks : Ranks
        The processes of the fit.
    module : torch.nn.Module
        The network.
    """
    ranks.copy_from_first_(module.state_dict().values())


@contextmanager
def own_draws(ranks: Ranks, device: str | torch.device) -> Iterator[None]:
    """Let a pass draw from a stream of this rank, and leave all ranks with the same generators.

    Dropout would otherwise take the same mask for the rows of all ranks; and after shares of
    different sizes the ranks would no longer draw the same views and partners of mixup. A network
    that draws nothing leaves the generators where they are in one process.

    Parameters
    ----------
    ranks : Ranks
        The processes of the fit.
    device : str or torch.device
        Device of the network.
    """
    generators = list(dict.fromkeys([torch.default_generator, global_generator(device)]))
    before = [generator.get_state() for generator in generators]
    for generator, state in zip(generators, before, strict=True):
        digest = sha256(state.numpy().tobytes() + bytes(f" {ranks.rank}", "ascii")).digest()
        generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    seeded = [generator.get_state() for generator in generators]
    yield
    for generator, state, start in zip(generators, before, seeded, strict=True):
        drawn = not torch.equal(generator.get_state(), start)
        generator.set_state(state)
        if drawn:
            torch.rand((), generator=generator, device=generator.device)
