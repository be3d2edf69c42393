"""Hard samples: rows with right labels that are easily taken for wrong ones.

They are the counter-test to wrong labels. Their loss is large although their label is right, and a
detector that goes by losses should keep them.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted
from torch.nn.functional import one_hot

from noisyfit._random import seeded, spawn_streams
from noisyfit._sklearn import Interval, StrOptions, validate_parameter_constraints
from noisyfit.data import BatchLoader, TableScaler, check_channels_first, encode_labels

_BATCH_SIZE = 256


def hard_samples(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    kind: Literal["incomplete", "adversarial"] = "incomplete",
    *,
    strength: float = 0.5,
    model: Any = None,
    epsilon: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    r"""Make a copy of every row that is hard to classify; the labels stay right.

    The two kinds of Yang et al. [1]_, Section 3.3: images with a part of their content missing, and
    rows moved towards the wrong side of a trained network's decision boundary.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or images (n_samples, channels, height, width)
        Images are ``uint8`` or float, everything else is float.
    y : array-like of shape (n_samples,)
        True labels. ``"incomplete"`` uses only their number.
    kind : {"incomplete", "adversarial"}, default="incomplete"
        What makes a row hard:

        - ``"incomplete"``: random cropping and resizing, rotation and shear, and erasing of a
          rectangle, each drawn anew for every image;
        - ``"adversarial"``: the fast gradient sign method against `model`, see Notes.
    strength : float, default=0.5
        How much ``"incomplete"`` takes away, in (0, 1]. A crop leaves out up to ``0.75 * strength``
        of the area; images are rotated by up to ``60 * strength`` degrees either way and sheared by
        up to half of that; a tenth to a half of `strength` of the area is erased.
    model : noisyfit estimator, default=None
        Estimator fitted on rows like `X`, which ``"adversarial"`` needs. Its network is not changed
        and is left in evaluation mode.
    epsilon : float, default=0.1
        :math:`\epsilon`, how far ``"adversarial"`` moves each value, above 0. ``uint8`` images: as
        a fraction of their range, they move by ``round(255 * epsilon)`` grey levels. Tables that
        `model` has standardized: in standard deviations of the columns that it was fitted on.
        Everything else, such as float images: in the units of `X`.
    random_state : int, RandomState instance or None, default=None
        Makes ``"incomplete"`` repeatable; ``"adversarial"`` draws nothing. The global generators
        are left alone.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        ``uint8`` images stay within 0 to 255. The range of float images is unknown, so that they
        may leave [0, 1] by `epsilon`.

    Raises
    ------
    ValueError
        For unusable inputs, labels that `model` does not know, a `model` that is missing or not
        fitted, and an `epsilon` below half a grey level of ``uint8`` images.
    TypeError
        For sparse rows, and for a `model` that is not a noisyfit estimator.

    See Also
    --------
    noisyfit.noise.corrupt_labels : Labels that are wrong.
    noisyfit.noise.open_set_noise : Rows that no label is right for.

    Notes
    -----
    *Adversarial*. With the loss J of the network in evaluation mode, Eq. 9 is

    .. math:: x_i^{adv} = x_i + \epsilon \cdot \mathrm{sign}(\nabla_x J(x_i, y_i))

    Two things are done differently, without changing the sign. Instead of the loss, the gradient
    is taken of the log-odds against the label, :math:`\log \sum_{c \ne y} e^{f_c} - f_y` with the
    logits f. The loss is an increasing function of them, but its gradient vanishes in float32 for
    rows that the network is sure of. And the gradient is taken with respect to the standardized
    inputs, each of which increases with its raw value.

    The paper names no :math:`\epsilon`. A column that was constant in training is not moved.

    *Incomplete*. The paper names the transforms without their parameters. Rotation and shear are
    the affine transform here: its translation and scaling would repeat the crop. Pixels from beyond
    the border and erased ones are 0: black in ``uint8``, the mean in standardized floats.

    References
    ----------
    .. [1] Yang et al., "Learning from Noisy Labels via Dynamic Loss Thresholding",
       arXiv:2104.02570, 2021.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.noise import hard_samples
    >>> X, y = make_blobs(200, centers=[[-2, 0], [2, 0]], random_state=0)
    >>> model = MILDSelector(rounds=1, max_epochs=5, random_state=0).fit(X, y)
    >>> X_hard = hard_samples(X, y, "adversarial", model=model, epsilon=0.5)
    >>> model.score(X, y) > 0.95 > model.score(X_hard, y)
    True
    """
    validate_parameter_constraints(
        {
            "kind": [StrOptions({"incomplete", "adversarial"})],
            "strength": [Interval(Real, 0, 1, closed="right")],
            "epsilon": [Interval(Real, 0, None, closed="neither")],
            "random_state": ["random_state"],
        },
        {"kind": kind, "strength": strength, "epsilon": epsilon, "random_state": random_state},
        caller_name="hard_samples",
    )
    rows = check_array(X, allow_nd=True, input_name="X")
    labels = column_or_1d(y, warn=True)
    check_consistent_length(rows, labels)
    if rows.dtype.kind != "f" and (rows.ndim != 4 or rows.dtype != np.uint8):
        raise ValueError(
            f"Rows must be float, or uint8 images. Got {rows.dtype} of shape {rows.shape} instead; "
            "write X.astype(np.uint8) if the values are pixels, else X.astype(np.float32)."
        )
    if kind == "incomplete":
        return _incomplete(rows, strength, random_state)
    _check_model(model)
    codes, _ = encode_labels(labels, model.classes_)
    # The model sees X itself, of which it checks the names of the columns, too.
    return _adversarial(rows, model.as_rows(X), codes, model, _step(rows, model, epsilon))


def _incomplete(
    X: np.ndarray, strength: float, random_state: int | np.random.RandomState | None
) -> np.ndarray:
    """Return cropped, rotated and partly erased images."""
    # Imported here, as it takes as long as importing torch.
    from torchvision.transforms import v2

    if X.ndim != 4:
        raise ValueError(
            "kind='incomplete' needs images of shape (n_samples, channels, height, width). Got "
            f"rows of shape {X.shape} instead; use kind='adversarial', or reshape X if its rows "
            "are flattened images."
        )
    check_channels_first(X.shape)
    turn = 60 * strength
    view = v2.Compose(
        [
            v2.RandomResizedCrop(X.shape[2:], scale=(1 - 0.75 * strength, 1)),
            v2.RandomAffine(turn, shear=turn / 2, interpolation=v2.InterpolationMode.BILINEAR),
            v2.RandomErasing(p=1, scale=(strength / 10, strength / 2)),
        ]
    )
    dtype = np.uint8 if X.dtype == np.uint8 else np.float32
    hard = np.empty_like(X)
    with seeded(spawn_streams(random_state).training, "cpu"):
        for i, image in enumerate(X):  # torchvision draws once a call
            hard[i] = view(torch.from_numpy(np.array(image, dtype=dtype))).numpy()
    return hard


def _adversarial(
    X: np.ndarray, rows: Any, codes: np.ndarray, model: Any, step: float | np.ndarray
) -> np.ndarray:
    """Return the rows moved by `step` along the sign of the gradient of the loss, Eq. 9."""
    module = model.net_.module_.eval()
    hard = np.empty_like(X)
    for batch, _ in BatchLoader(rows, _BATCH_SIZE):
        ids = batch["index"].cpu().numpy()
        sign = _gradient_sign(module, batch["x"], torch.from_numpy(codes[ids])).cpu().numpy()
        moved = X[ids] + step * sign
        hard[ids] = moved.clip(0, 255) if X.dtype == np.uint8 else moved
    return hard


def _gradient_sign(module: torch.nn.Module, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return the sign of the cross-entropy's gradient by the inputs: -1, 0 or 1, like `x`."""
    with torch.enable_grad():
        logits = module(x.requires_grad_())
        label = one_hot(codes.to(x.device), logits.shape[1]).bool()
        against = logits.masked_fill(label, -torch.inf).logsumexp(1) - logits[label]
        (gradient,) = torch.autograd.grad(against.sum(), x)  # leaves the weights' .grad alone
    return gradient.sign()


def _step(X: np.ndarray, model: Any, epsilon: float) -> float | np.ndarray:
    """Translate `epsilon` into the units of `X`."""
    if X.dtype == np.uint8:
        if 255 * epsilon <= 0.5:
            raise ValueError(
                f"epsilon={epsilon!r} is less than half a grey level of uint8 images; 1/255 is one."
            )
        return float(round(255 * epsilon))
    if isinstance(model.scaler_, TableScaler):
        return epsilon * np.sqrt(model.scaler_.scaler_.var_)
    return epsilon


def _check_model(model: Any) -> None:
    if model is None:
        raise ValueError(
            "kind='adversarial' needs model, a fitted noisyfit estimator to attack; got None."
        )
    if not hasattr(model, "as_rows"):
        raise TypeError(
            "model must be a fitted noisyfit estimator, whose network can be differentiated. Got "
            f"{type(model).__name__} instead."
        )
    check_is_fitted(model)
