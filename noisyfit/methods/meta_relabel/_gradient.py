"""Meta-gradient: how the loss on trusted rows changes with the weight and label of other rows.

The loss is the one after the next optimizer step, and the gradient is exact: it takes one
forward-mode product if the network supports it, and otherwise differentiates through the gradient.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from noisyfit._ranks import not_shared, sharing

if TYPE_CHECKING:
    from noisyfit.methods.meta_relabel._look_ahead import Parameters

RowLosses = Callable[[Mapping[str, Tensor]], tuple[Tensor, Tensor]]

META_GRADIENTS = ("jvp", "double_backward")
_WEIGHT_EPS = 1e-5
_ADJOINT_TOLERANCE = 0.05


class MetaGradient(NamedTuple):
    """Gradient of the probe loss with respect to the weights and label coefficients of the rows."""

    omega: Tensor
    r""":math:`\partial L^p / \partial \omega_i`: (n_rows,)."""
    lam: Tensor
    r""":math:`\partial L^p / \partial \lambda_i`: (n_rows,)."""
    probe_loss: Tensor
    """:math:`L^p` at the look-ahead parameters: ()."""


def meta_gradient(
    method: str,
    params: Mapping[str, Tensor],
    losses: tuple[Tensor, Tensor],
    row_losses: RowLosses,
    look_ahead: Callable[[Mapping[str, Tensor]], Parameters],
    probe_loss: Callable[[Parameters], Tensor],
    *,
    omega: float,
    lam: float,
) -> MetaGradient:
    r"""Differentiate the probe loss after the next step with respect to weights and labels.

    Parameters
    ----------
    method : {"jvp", "double_backward"}
        How to differentiate, see Notes.
    params : mapping of str to tensor
        Parameters :math:`\theta`, leaf tensors that require gradients.
    losses : tuple of two tensors of shape (n_rows,)
        Losses :math:`CE(y_i)` and :math:`CE(g_i)` of the rows at `params`, with their graph, which
        is kept.
    row_losses : callable
        The same two losses as a function of the parameters; only ``"jvp"`` calls it.
    look_ahead : callable
        Look-ahead parameters :math:`\theta'` as a function of the gradient G.
    probe_loss : callable
        Probe loss :math:`L^p` as a function of :math:`\theta'`.
    omega : float
        Weight :math:`\omega_0` of every row.
    lam : float
        Weight :math:`\lambda_0` of the given label in the target of every row, in [0, 1].

    Returns
    -------
    MetaGradient
        The gradient, and the probe loss.

    Raises
    ------
    ValueError
        If the method is ``"jvp"`` and the network has no forward-mode derivative.

    Notes
    -----
    With the rows' losses :math:`l_i = \lambda_i CE(y_i) + (1 - \lambda_i) CE(g_i)` (Eq. 5 of Zhang
    et al., CVPR 2020) the look-ahead's gradient is :math:`G = \sum_i \omega_i \nabla_\theta l_i`.
    By the chain rule, with :math:`t = \partial L^p / \partial G`,

    .. math:: \frac{\partial L^p}{\partial \omega_i} = \langle t, \nabla_\theta l_i \rangle, \qquad
              \frac{\partial L^p}{\partial \lambda_i}
              = \omega_0 \langle t, \nabla_\theta (CE(y_i) - CE(g_i)) \rangle,

    which are directional derivatives of the rows' losses along t. With ``"jvp"`` one forward pass
    computes them all, whereas ``"double_backward"`` differentiates through G.
    """
    given, pseudo = losses
    leaves = tuple(params.values())
    if method == "double_backward":
        omegas = torch.full_like(given, omega, requires_grad=True)
        lams = torch.full_like(given, lam, requires_grad=True)
        total = (omegas * (lams * given + (1 - lams) * pseudo)).sum()
        G = torch.autograd.grad(total, leaves, create_graph=True, materialize_grads=True)
        G = _of_all_ranks(G)
        loss = probe_loss(look_ahead(dict(zip(params, G, strict=True))))
        d_omega, d_lam = _of_all_ranks(torch.autograd.grad(loss, (omegas, lams), retain_graph=True))
        return MetaGradient(d_omega, d_lam, loss.detach())
    if omega:
        total = omega * (lam * given + (1 - lam) * pseudo).sum()
        G = torch.autograd.grad(total, leaves, retain_graph=True, materialize_grads=True)
        G = _of_all_ranks(G)
    else:
        G = tuple(torch.zeros_like(p) for p in leaves)
    G = tuple(g.detach().requires_grad_() for g in G)
    loss = probe_loss(look_ahead(dict(zip(params, G, strict=True))))
    t = _of_all_ranks(torch.autograd.grad(loss, G, materialize_grads=True))
    try:
        along_given, along_pseudo = directional_derivatives(
            row_losses, params, dict(zip(params, t, strict=True))
        )
    except NotImplementedError as error:
        raise ValueError(
            "The network has no forward-mode derivative; meta_gradient='auto' or 'double_backward' "
            f"does without. {error}"
        ) from error
    d_omega = lam * along_given + (1 - lam) * along_pseudo
    return MetaGradient(d_omega, omega * (along_given - along_pseudo), loss.detach())


def _of_all_ranks(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Average gradients over processes that share a fit: each has the part of its own rows."""
    ranks = sharing()
    return gradients if ranks is None else ranks.mean(gradients)


def directional_derivatives(
    function: RowLosses, params: Mapping[str, Tensor], direction: Mapping[str, Tensor]
) -> tuple[Tensor, ...]:
    """Differentiate all outputs of a function of the parameters along one direction.

    Parameters
    ----------
    function : callable
        Function that takes the parameters and returns a tuple of tensors.
    params, direction : mapping of str to tensor
        Parameters, and the direction in which they move.

    Returns
    -------
    tuple of tensors
        Derivatives, of the shapes of the outputs.

    Raises
    ------
    NotImplementedError
        If an operation of the network has no forward-mode derivative.
    """
    _load_decompositions()
    with torch.no_grad(), forward_ad.dual_level():
        dual = {n: forward_ad.make_dual(p.detach(), direction[n]) for n, p in params.items()}
        outputs = [forward_ad.unpack_dual(output) for output in function(dual)]
    return tuple(
        torch.zeros_like(out.primal) if out.tangent is None else out.tangent for out in outputs
    )


@cache
def _load_decompositions() -> None:
    """Make a first dual tensor: torch then compiles functions of its own, with a warning."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def choose_meta_gradient(row_losses: RowLosses, params: Mapping[str, Tensor]) -> str:
    r"""Choose by a trial how to compute the meta-gradient of a network.

    Parameters
    ----------
    row_losses : callable
        The losses of rows as for `meta_gradient`.
    params : mapping of str to tensor
        Leaf tensors that require gradients.

    Returns
    -------
    {"jvp", "double_backward"}
        ``"jvp"`` if the forward-mode derivative J exists and agrees with the backward one, which
        means :math:`\langle u, J t \rangle = \langle J^\top u, t \rangle` for random t and u.

    Raises
    ------
    ValueError
        If the network supports neither way.
    """
    with not_shared():
        return _chosen(row_losses, params)


def _chosen(row_losses: RowLosses, params: Mapping[str, Tensor]) -> str:
    if _jvp_is_right(row_losses, params):
        return "jvp"
    leaves = tuple(params.values())
    try:
        losses = torch.cat(row_losses(params))
        omegas = torch.ones_like(losses, requires_grad=True)
        G = torch.autograd.grad(losses @ omegas, leaves, create_graph=True, materialize_grads=True)
        torch.autograd.grad(torch.stack([g.square().sum() for g in G]).sum(), omegas)
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(
            "The meta step needs a network with a forward-mode derivative or with a second one; "
            f"this one has neither. {error}"
        ) from error
    return "double_backward"


def _jvp_is_right(row_losses: RowLosses, params: Mapping[str, Tensor]) -> bool:
    draw = torch.Generator().manual_seed(0)

    def random_like(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=draw, dtype=like.dtype).to(like.device)

    t = {name: random_like(p) * (p.detach().abs().mean() + 0.01) for name, p in params.items()}
    try:
        forward = torch.cat(directional_derivatives(row_losses, params, t))
    except (NotImplementedError, RuntimeError):
        return False
    losses = torch.cat(row_losses(params))
    u = random_like(losses)
    # A part along the result makes sure that a wrong sign or scale is not missed by chance.
    u = u + forward * (u.norm() / forward.norm().clamp_min(torch.finfo(u.dtype).tiny))
    backward = torch.autograd.grad(losses @ u, tuple(params.values()), materialize_grads=True)
    back = torch.stack([(g * t[n]).sum() for n, g in zip(params, backward, strict=True)]).sum()
    return bool((forward @ u - back).abs() <= _ADJOINT_TOLERANCE * forward.norm() * u.norm())


def example_weights(d_omega: Tensor) -> Tensor:
    r"""Compute the weights of the rows from the gradient of the probe loss.

    Parameters
    ----------
    d_omega : tensor of shape (n_rows,)
        Derivative :math:`d_i` of the probe loss with respect to the weight of each row.

    Returns
    -------
    tensor of shape (n_rows,)
        :math:`\omega^*_i = [-d_i]_+ / (\sum_j [-d_j]_+ + 10^{-5})`: at least 0, with a sum of at
        most 1. All are 0 if no row reduces the probe loss.

    Examples
    --------
    >>> example_weights(torch.tensor([-0.3, 0.2, -0.1]))
    tensor([0.7500, 0.0000, 0.2500])
    """
    helpful = (-d_omega).clamp_min(0)
    return helpful / (helpful.sum() + _WEIGHT_EPS)


def literal_example_weights(d_omega: Tensor, omega: float) -> Tensor:
    r"""Compute the weights by the rule as printed in the paper, which hardly changes them.

    Parameters
    ----------
    d_omega : tensor of shape (n_rows,)
        Derivative :math:`d_i` of the probe loss with respect to the weight of each row.
    omega : float
        Weight :math:`\omega_0` of every row before.

    Returns
    -------
    tensor of shape (n_rows,)
        :math:`[\omega_0 - d_i]_+`, divided by their sum. All are 0 if the sum is 0.

    Examples
    --------
    >>> literal_example_weights(torch.tensor([-0.045, 0.045, 0.0]), 1 / 3)
    tensor([0.3783, 0.2883, 0.3333])
    """
    kept = (omega - d_omega).clamp_min(0)
    return kept / kept.sum().clamp_min(torch.finfo(kept.dtype).tiny)
