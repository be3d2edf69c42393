"""What a trained net says about rows, without holding the logits of all of them."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from noisyfit.training._class_softmax import predicted_class
from noisyfit.training._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from noisyfit.data import Rows
    from noisyfit.training._net import NoisyNet

_NO_BAR = partial(progress_bar, label="", unit="row", disable=True)


def map_logits(
    net: NoisyNet,
    rows: Rows,
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    open_bar: Callable[[int], Any] | None = None,
) -> np.ndarray:
    """Compute something from logits in evaluation mode, batch by batch.

    Parameters
    ----------
    net : NoisyNet
        A trained net.
    rows : Rows
        Rows in the order of the result.
    function : callable
        Takes the logits (n, n_classes) and the labels (n,) of a batch, and returns a tensor of
        n rows.
    open_bar : callable, default=None
        Takes the number of rows, and returns what has ``update(n_rows)`` and ``close()``. None:
        nothing is shown.

    Returns
    -------
    ndarray of shape (n_rows, ...)

    Raises
    ------
    FloatingPointError
        If a logit is NaN or plus infinity.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> from noisyfit.training import NoisyNet, map_logits
    >>> X = np.eye(2, dtype=np.float32)
    >>> rows = Rows(TensorSource(X, torch.device("cpu")), torch.tensor([0, 1]))
    >>> net = NoisyNet(torch.nn.PReLU()).initialize()
    >>> map_logits(net, rows, lambda logits, y: logits.amax(1))
    array([1., 1.], dtype=float32)
    """
    y, parts, finite, start = rows.y[rows.index.to(rows.y.device)], [], [], 0
    with closing((open_bar or _NO_BAR)(len(rows))) as bar:
        for logits in net.forward_iter(rows, training=False, device=net.device):
            parts.append(function(logits, y[start : start + len(logits)]))
            finite.append((logits < torch.inf).all())  # false for NaN; -inf may mask a class
            start += len(logits)
            bar.update(len(logits))
    if not torch.stack(finite).all():  # the last step may have done it: no loss tells of that
        raise FloatingPointError(
            f"Training diverged: after epoch {len(net.history)} the network returns logits "
            f"that are infinite or NaN. Lower lr (now {net.lr}) or standardise the features."
        )
    return torch.cat(parts).cpu().numpy()


def predict_logits(
    net: NoisyNet, rows: Rows, open_bar: Callable[[int], Any] | None = None
) -> np.ndarray:
    """Compute the logits of rows in evaluation mode.

    Parameters
    ----------
    net : NoisyNet
        A trained net.
    rows : Rows
        Rows in the order of the result.
    open_bar : callable, default=None
        As of `map_logits`.

    Returns
    -------
    ndarray of shape (n_rows, n_classes), float32

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> from noisyfit.training import NoisyNet, predict_logits
    >>> X = np.array([[0.5, 2.0]], dtype=np.float32)
    >>> rows = Rows(TensorSource(X, torch.device("cpu")), torch.tensor([1]))
    >>> predict_logits(NoisyNet(torch.nn.PReLU()).initialize(), rows)
    array([[0.5, 2. ]], dtype=float32)
    """
    return map_logits(net, rows, lambda logits, y: logits, open_bar)


def predict_classes(
    net: NoisyNet, rows: Rows, open_bar: Callable[[int], Any] | None = None
) -> np.ndarray:
    """Predict the codes of the classes of rows.

    Parameters
    ----------
    net : NoisyNet
        A trained net.
    rows : Rows
        Rows in the order of the result.
    open_bar : callable, default=None
        As of `map_logits`.

    Returns
    -------
    ndarray of shape (n_rows,), int64

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> from noisyfit.training import NoisyNet, predict_classes
    >>> X = np.array([[0.5, 2.0]], dtype=np.float32)
    >>> rows = Rows(TensorSource(X, torch.device("cpu")), torch.tensor([1]))
    >>> predict_classes(NoisyNet(torch.nn.PReLU()).initialize(), rows)
    array([1])
    """
    return map_logits(net, rows, lambda logits, y: predicted_class(logits), open_bar)
