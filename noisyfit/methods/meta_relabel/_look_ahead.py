"""The look-ahead of the meta step: the parameters after the optimizer's next step."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from noisyfit.training import lr_share

if TYPE_CHECKING:
    from collections.abc import Mapping

Parameters = dict[str, Tensor]


def look_ahead_parameters(
    optimizer: torch.optim.Optimizer,
    params: Mapping[str, Tensor],
    grads: Mapping[str, Tensor],
    *,
    lr: float | None = None,
    momentum: bool = True,
) -> Parameters:
    r"""Compute the parameters after the optimizer's next step, without making the step.

    Parameters
    ----------
    optimizer : torch.optim.SGD
        Optimizer whose state is read; its momentum buffers count as constants.
    params : mapping of str to tensor
        Parameters :math:`\theta` of the optimizer.
    grads : mapping of str to tensor
        Gradient G of each of `params`. The result can be differentiated with respect to it.
    lr : float or None, default=None
        Learning rate; a parameter group that began with ten times the rate of the last group takes
        ten times this. None: the current one of each parameter group.
    momentum : bool, default=True
        Whether the step includes the momentum. It does not in "learning to reweight".

    Returns
    -------
    dict of str to tensor
        :math:`\theta' = \theta - \alpha\,(\mu v + G + \delta\theta)` for momentum :math:`\mu` with
        buffer v and weight decay :math:`\delta`.

    Raises
    ------
    ValueError
        For any other optimizer than ``torch.optim.SGD`` itself.

    Notes
    -----
    "The exact momentum update direction using momentum states of the SGD optimizer", Section 4.3 of
    Zhang et al. (CVPR 2020).

    Examples
    --------
    >>> theta = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.SGD([theta], lr=0.1, momentum=0.9)
    >>> look_ahead_parameters(optimizer, {"w": theta}, {"w": torch.tensor([2.0])})["w"]
    tensor([0.8000])
    """
    check_look_ahead_optimizer(optimizer)
    groups, ahead = _group_of_each(optimizer), {}
    for name, param in params.items():
        group = groups[id(param)]
        theta, step = param.detach(), grads[name]
        if group["maximize"]:
            step = -step
        if group["weight_decay"]:
            step = step + group["weight_decay"] * theta
        if momentum and group["momentum"]:
            v = optimizer.state.get(param, {}).get("momentum_buffer")
            # In its first step torch sets the buffer to the gradient, without dampening.
            buffer = step if v is None else group["momentum"] * v + (1 - group["dampening"]) * step
            step = step + group["momentum"] * buffer if group["nesterov"] else buffer
        size = group["lr"] if lr is None else lr * lr_share(optimizer, group)
        ahead[name] = theta - size * step
    return ahead


def check_look_ahead_optimizer(optimizer: Any) -> None:
    """Raise an error for an optimizer whose step `look_ahead_parameters` cannot compute.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, instance or class, or functools.partial of a class
        Optimizer of the training.

    Raises
    ------
    ValueError
        Unless it is ``torch.optim.SGD``.
    """
    if isinstance(optimizer, partial):
        optimizer = optimizer.func
    kind = optimizer if isinstance(optimizer, type) else type(optimizer)
    if kind is not torch.optim.SGD:
        raise ValueError(
            "The look-ahead of the meta step repeats the step of torch.optim.SGD, with momentum, "
            f"Nesterov and weight decay. Got the optimizer {getattr(kind, '__name__', kind)}; use "
            "optimizer=torch.optim.SGD."
        )


def weight_penalty(
    optimizer: torch.optim.Optimizer, params: Mapping[str, Tensor], ahead: Mapping[str, Tensor]
) -> Tensor:
    r"""Compute the weight decay as a term of the loss.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Optimizer that has the weight decay :math:`\delta` of each of `params`.
    params : mapping of str to tensor
        Parameters of the optimizer.
    ahead : mapping of str to tensor
        Values :math:`\theta'` of these parameters that are penalized.

    Returns
    -------
    tensor of shape ()
        :math:`\sum \tfrac{\delta}{2} \theta'^2`.
    """
    groups = _group_of_each(optimizer)
    decayed = [
        0.5 * groups[id(param)]["weight_decay"] * ahead[name].square().sum()
        for name, param in params.items()
        if groups[id(param)].get("weight_decay")
    ]
    return torch.stack(decayed).sum() if decayed else next(iter(ahead.values())).new_zeros(())


def _group_of_each(optimizer: torch.optim.Optimizer) -> dict[int, dict]:
    return {id(p): group for group in optimizer.param_groups for p in group["params"]}
