"""Batch normalization with a fast forward-mode derivative."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _BatchNormFunction(torch.autograd.Function):
    r"""Training-mode batch normalization whose tangent is computed by torch's fused kernels.

    The derivative of :math:`y = \gamma \hat x + \beta` with respect to x is a symmetric operator
    within each channel. Given the tangent of x, the kernel of the backward pass therefore returns
    the forward derivative. The rest, :math:`\dot\gamma \hat x + \dot\beta`, is a forward pass.
    torch's own formula takes a dozen passes over the activations.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        return torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        x, weight, bias, ctx.eps = inputs
        _, mean, rstd = output
        ctx.mark_non_differentiable(mean, rstd)
        ctx.save_for_forward(x, weight, bias, mean, rstd)

    @staticmethod
    def jvp(ctx: Any, x_t: Tensor, weight_t: Tensor, bias_t: Tensor, _: None) -> tuple:
        x, weight, _, mean, rstd = ctx.saved_tensors
        through_x = torch.ops.aten.native_batch_norm_backward(
            x_t, x, weight, None, None, mean, rstd, True, ctx.eps, [True, False, False]
        )[0]
        through_scale = torch.native_batch_norm(
            x, weight_t, bias_t, None, None, True, 0.0, ctx.eps
        )[0]
        return through_x + through_scale, None, None


@contextmanager
def quick_batch_norm_jvp(module: nn.Module) -> Iterator[None]:
    """Use the fast forward-mode derivative of batch normalization while the context lasts.

    It applies to layers in training mode, whose running statistics do not change meanwhile.

    Parameters
    ----------
    module : torch.nn.Module
        Network whose layers are to use it.

    Examples
    --------
    >>> from noisyfit.methods.meta_relabel._gradient import directional_derivatives
    >>> layer, x = nn.BatchNorm1d(1), torch.tensor([[1.0], [2.0], [6.0]])
    >>> with quick_batch_norm_jvp(layer):  # all rows shifted alike: no effect
    ...     derivative, = directional_derivatives(
    ...         lambda inputs: (layer(inputs["x"]),), {"x": x}, {"x": torch.ones(3, 1)}
    ...     )
    >>> bool((derivative.abs() < 1e-6).all())
    True
    """
    layers = [
        layer
        for layer in module.modules()
        if type(layer) in _KINDS
        and layer.training
        and layer.affine
        and "forward" not in layer.__dict__
    ]
    for layer in layers:
        layer.forward = partial(_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: Any, x: Tensor) -> Tensor:
    return _BatchNormFunction.apply(x, layer.weight, layer.bias, layer.eps)[0]
