"""Metrics that MILD's own was compared with (Hu et al. 2023, Table 5), and those of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import eigh

from noisyfit.training import LastLayerInputs, map_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from noisyfit.base import FitTask
    from noisyfit.data import Rows
    from noisyfit.dynamics import RecordedRun, TrainingDynamics
    from noisyfit.training import NoisyNet


def other_metric(
    metric: str | Callable[[TrainingDynamics, np.ndarray], Any],
    run: RecordedRun,
    recent: TrainingDynamics,
    rows: np.ndarray,
    task: FitTask,
) -> np.ndarray:
    """Compute another metric than MILD's own; the larger, the more suspicious.

    Parameters
    ----------
    metric : {"small_loss", "eigenvector"} or callable
        As of `MILDSelector`.
    run : RecordedRun
        The training, at the end of a round.
    recent : TrainingDynamics
        Records of the epochs of the round.
    rows : ndarray of shape (n_rows,), int64
        Rows that are still in.
    task : FitTask
        Rows and given labels.

    Returns
    -------
    ndarray of shape (n_rows,), float64
    """
    if metric == "small_loss":
        return small_loss(recent, run.history())[rows]
    if metric == "eigenvector":
        assert run.net is not None, "by default a run keeps a net that trains on all rows"
        keep = np.zeros(task.n_samples, dtype=bool)
        keep[rows] = True
        return -alignment(last_layer_inputs(run.net, task.rows.subset(keep)), task.y[rows])
    assert callable(metric), "fit has checked it"
    return _of_user(metric(recent, task.classes[task.y]), rows, task.n_samples)


def small_loss(dynamics: TrainingDynamics, history: list[dict[str, Any]]) -> np.ndarray:
    """Return the losses of one epoch: that of the best ``valid_acc``, or the last.

    Parameters
    ----------
    dynamics : TrainingDynamics
        Records of ``"loss"`` in the epochs of a round.
    history : list of dict
        One entry an epoch, of which the last are those of the round.

    Returns
    -------
    ndarray of shape (n_samples,), in nats

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.dynamics import TrainingDynamics
    >>> dynamics = TrainingDynamics(2, ["loss"])
    >>> dynamics.append(loss=np.array([0.5, 2.0]))
    >>> dynamics.append(loss=np.array([0.25, 0.5]))
    >>> small_loss(dynamics, [{}, {}]), small_loss(dynamics, [{"valid_acc": 1}, {"valid_acc": 0}])
    (array([0.25, 0.5 ]), array([0.5, 2. ]))
    """
    accuracy = [epoch.get("valid_acc", -1.0) for epoch in history[-dynamics.n_epochs :]]
    back = int(np.argmax(accuracy[::-1])) + 1  # of several the last one, as `BestEpoch` takes
    best = dynamics.n_epochs - back
    return dynamics.epochs(best, best + 1).loss[:, 0].astype(np.float64)


def alignment(features: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Compute how well each row's features align with the main direction of its class.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
        Features z of the rows.
    y : ndarray of shape (n_rows,), int64
        Given labels.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        :math:`|u_y^T z| / |z|` in [0, 1], where :math:`u_c` is the first eigenvector of the class's
        Gram matrix :math:`\sum_{y_i = c} z_i z_i^T`; 0 for a row whose features are all 0.

    References
    ----------
    Kim et al., "FINE Samples for Learning with Noisy Labels", NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> alignment(np.array([[3.0, 0.0], [2.0, 0.0], [0.0, 1.0]]), np.zeros(3, dtype=int))
    array([1., 1., 0.])
    """
    aligned = np.zeros(len(y))
    for c in np.unique(y):
        Z = features[y == c].astype(np.float64)
        last = Z.shape[1] - 1  # the largest eigenvalue comes last
        u = eigh(Z.T @ Z, subset_by_index=[last, last])[1][:, 0]
        norm = np.linalg.norm(Z, axis=1)
        aligned[y == c] = np.abs(Z @ u) / np.where(norm > 0, norm, 1.0)
    return np.minimum(aligned, 1.0)


def last_layer_inputs(
    net: NoisyNet,
    rows: Rows,
    purpose: str = "metric='eigenvector'",
    way_out: str = "give a metric of your own",
) -> np.ndarray:
    """Compute the features of rows, which are what the last linear layer is given.

    Parameters
    ----------
    net : NoisyNet
        A trained net, whose module returns what its last `torch.nn.Linear` computes.
    rows : Rows
        Rows in the order of the result.
    purpose, way_out : str
        As of `noisyfit.training.LastLayerInputs`.

    Returns
    -------
    ndarray of shape (n_rows, n_features), float32
        In evaluation mode, without augmentation.

    Raises
    ------
    ValueError
        If the module has no such layer.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import Rows, TensorSource
    >>> from noisyfit.training import NoisyNet
    >>> rows = Rows(TensorSource(np.eye(2, dtype=np.float32), torch.device("cpu")), torch.arange(2))
    >>> module = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(2, 2))
    >>> last_layer_inputs(NoisyNet(module).initialize(), rows)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    with LastLayerInputs(net.module_, purpose, way_out) as caught:
        return map_logits(net, rows, lambda logits, _: caught.of(logits))


def _of_user(values: Any, rows: np.ndarray, n_samples: int) -> np.ndarray:
    """Check what a callable returned, and take the rows that are still in."""
    values = np.asarray(values)
    numbers = np.issubdtype(values.dtype, np.number) and not np.iscomplexobj(values)
    if values.shape != (n_samples,) or not numbers:
        raise ValueError(
            f"metric(dynamics, y) has to return a number for each of the {n_samples} rows of fit. "
            f"Got an array of shape {values.shape} and type {values.dtype}."
        )
    chosen = values[rows].astype(np.float64)
    missing = np.count_nonzero(~np.isfinite(chosen))
    if missing:
        raise ValueError(
            f"metric(dynamics, y) returned NaN or infinity for {missing} of the {len(rows)} rows "
            "that are still in. Rows that were dropped before may be NaN, no others."
        )
    return chosen
