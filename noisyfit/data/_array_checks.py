"""What arrays, tables and tensors can be used, and in words why others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import validate_data

from noisyfit._sklearn import is_pandas_na

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sklearn.base import BaseEstimator

_IMAGE_CHANNELS = (1, 2, 3, 4)
_OVERFLOW: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}
"""numpy's warnings of values beyond float32, which get an error in words, and of sums of large ones
by which sklearn looks for NaN."""


def as_numpy(values: Any) -> Any:
    """Return a tensor as an array; embeddings often come with a gradient, or in bfloat16."""
    if np.ma.is_masked(values):
        raise ValueError(
            "Got an array with masked values, which are missing ones. Drop their rows, or fill "
            "them with array.filled(...)."
        )
    if not isinstance(values, torch.Tensor):
        return values
    if values.is_meta:
        raise ValueError("Got a tensor on the device 'meta', which holds no values.")
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def check_input(estimator: BaseEstimator, X: Any, reset: bool, **kwargs: Any) -> Any:
    """Check what `fit` or a fitted estimator is given; return float32 or uint8, dense or CSR.

    Parameters
    ----------
    estimator : estimator
        Gets or has ``n_features_in_``, by `reset`.
    X : object
        What the user passed.
    reset : bool
        Whether the estimator learns the number of features from `X`, as `fit` does, or
        holds `X` against it.
    **kwargs : object
        Passed to scikit-learn's ``validate_data``.
    """
    X = as_numpy(X)
    if isinstance(X, (list, tuple)) and len(X) and hasattr(X[0], "getbands"):
        raise ValueError(
            "X is a list of PIL images. Bring them to one size and stack them as channels-first "
            "arrays, or pass a torch Dataset such as torchvision's ImageFolder."
        )
    if getattr(X, "ndim", 2) < 3:
        return _check_table(estimator, X, reset=reset, **kwargs)
    X = np.asarray(X)
    if X.dtype != np.uint8 and X.dtype.kind in "iub":
        raise ValueError(
            f"Images must be uint8 (0 to 255) or float. Got {X.dtype} instead; "
            "write X.astype(np.uint8) if the values are pixels."
        )
    if X.ndim == 4:
        check_channels_first(X.shape)
    dtype = np.uint8 if X.dtype == np.uint8 else np.float32
    with np.errstate(**_OVERFLOW):
        return validate_data(estimator, X, reset=reset, allow_nd=True, dtype=dtype, **kwargs)


def _check_table(estimator: BaseEstimator, X: Any, **kwargs: Any) -> Any:
    """Check a table; what cannot be used is named by its columns, with what to do."""
    _refuse_dates(X)
    if hasattr(X, "columns") and len(set(X.columns)) < len(X.columns):
        twice = sorted({str(c) for c in X.columns if list(X.columns).count(c) > 1})
        raise ValueError(f"A data frame needs unique column names. X has {twice} more than once.")
    try:
        with np.errstate(**_OVERFLOW):
            return validate_data(estimator, X, accept_sparse="csr", dtype=np.float32, **kwargs)
    except (TypeError, ValueError) as error:
        if "could not convert string" in str(error):
            where = _columns(X, lambda column: not _is_number(column))
            raise ValueError(
                f"X holds strings{where}: {error}. Turn them into numbers first, in a pipeline: "
                "categories by sklearn's OneHotEncoder(handle_unknown='ignore'), texts by "
                "TfidfVectorizer or as embeddings."
            ) from error
        if str(error).startswith("Input X contains NaN") or "NAType" in str(error):
            where = _columns(X, _has_nan)
            raise ValueError(
                f"Input X contains NaN{where}. Fill the gaps first: "
                f"make_pipeline(SimpleImputer(add_indicator=True), {type(estimator).__name__}())."
            ) from error
        raise


def _refuse_dates(X: Any) -> None:
    """Refuse what numpy would take for large numbers, and a date that is missing for one more."""
    framed = hasattr(X, "columns")
    dtypes = list(X.dtypes) if framed else [getattr(X, "dtype", None)]
    dates = [i for i, dtype in enumerate(dtypes) if getattr(dtype, "kind", None) in ("m", "M")]
    if dates:
        where = f" in the columns {[X.columns[i] for i in dates[:5]]}" if framed else ""
        raise ValueError(
            f"X holds dates or durations{where}. Turn them into numbers first, such as days since "
            "the first date."
        )


def _columns(X: Any, is_meant: Callable[[np.ndarray], bool]) -> str:
    """Name the columns of a table that are meant, at most five; nothing for a sparse one."""
    if not hasattr(X, "columns") and (sparse.issparse(X) or np.ndim(X) != 2):
        return ""
    names = list(X.columns) if hasattr(X, "columns") else list(range(np.shape(X)[1]))
    values = X if hasattr(X, "columns") else np.asarray(X)
    columns = [values[n].to_numpy() for n in names] if hasattr(X, "columns") else values.T
    meant = [name for name, column in zip(names, columns, strict=True) if is_meant(column)]
    more = f" and {len(meant) - 5} more" if len(meant) > 5 else ""
    return f" in the columns {meant[:5]}{more}" if meant else ""


def _has_nan(column: np.ndarray) -> bool:
    if column.dtype == object and any(is_pandas_na(value) for value in column):
        return True
    return _is_number(column) and bool(np.isnan(column.astype(np.float64)).any())


def _is_number(column: np.ndarray) -> bool:
    try:
        column.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def check_channels_first(shape: Sequence[int]) -> None:
    """Refuse the shape of a batch of images whose channels seem to come last.

    Parameters
    ----------
    shape : sequence of four ints
        Of the batch, (n_samples, channels, height, width) if it is right.

    Raises
    ------
    ValueError
        With the transpose to write.
    """
    if shape[1] not in _IMAGE_CHANNELS and shape[3] in _IMAGE_CHANNELS:
        raise ValueError(
            f"Images must be channels-first, (n_samples, channels, height, width). Got "
            f"{tuple(shape)}, which looks channels-last; write X.transpose(0, 3, 1, 2)."
        )
