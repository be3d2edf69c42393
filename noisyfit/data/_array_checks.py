"""What arrays, tables and tensors can be used, and in words why others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import validate_data

from noisyfit.data._columns import frame_dtypes, is_lazy, name_columns, name_rows
from noisyfit.data._scaling import plain_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklearn.base import BaseEstimator

_IMAGE_CHANNELS = (1, 2, 3, 4)
_OVERFLOW: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}
"""numpy's warnings of values beyond float32, which get an error in words, and of sums of large ones
by which sklearn looks for NaN."""
_TABLE_TYPES = [np.float64, np.float32, np.int64, np.int32, np.uint64, np.uint32]
"""Types that a table keeps until it has been scaled; others become the first."""
_TIMES = ("date", "time", "duration", "period", "month_day")
"""How pandas, polars and pyarrow begin the names of their types of dates, times and durations."""


def as_numpy(values: Any, name: str = "X") -> Any:
    """Return a tensor as an array; embeddings often come with a gradient, or in bfloat16."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name} is an array with masked values, which are missing ones. Drop their rows, or "
            "fill them with array.filled(...)."
        )
    if not isinstance(values, torch.Tensor):
        return values
    if values.is_meta:
        raise ValueError(f"{name} is a tensor on the device 'meta', which holds no values.")
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).resolve_conj().numpy()


def check_input(estimator: BaseEstimator, X: Any, reset: bool, **kwargs: Any) -> Any:
    """Check what `fit` or a fitted estimator is given.

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

    Returns
    -------
    ndarray or CSR matrix
        Images of float32 or ``uint8``. Tables of float32 if it holds every value, and else of
        float64, or of the integers that were passed; sparse ones in `fit` of float32.
    """
    X = stacked(as_numpy(X))
    if getattr(X, "ndim", 2) < 3 or sparse.issparse(X):
        return _check_table(estimator, X, reset=reset, **kwargs)
    X = np.asarray(X)
    check_pixels(X.dtype)
    if X.ndim == 3 and getattr(estimator, "module", X) is None:
        raise ValueError(
            f"X has the shape {X.shape}, for which there is no network to choose. Grey images "
            "need a channel, (n_samples, 1, height, width): write X[:, None]. For sequences "
            "(n_samples, time, features) pass a network of your own as module=, or a table: "
            "X.reshape(len(X), -1)."
        )
    if X.ndim == 4:
        check_channels_first(X.shape)
    dtype = np.uint8 if X.dtype == np.uint8 else np.float32
    with np.errstate(**_OVERFLOW), plain_arrays():
        return validate_data(estimator, X, reset=reset, allow_nd=True, dtype=dtype, **kwargs)


def check_pixels(dtype: np.dtype) -> None:
    """Refuse the type of images whose values have no known range.

    Parameters
    ----------
    dtype : numpy dtype
        Of an array of images.

    Raises
    ------
    ValueError
        For integers other than ``uint8``, and for booleans.
    """
    if dtype != np.uint8 and dtype.kind in "iub":
        raise ValueError(
            f"Images must be uint8 (0 to 255) or float. Got {dtype} instead; "
            "write X.astype(np.uint8) if the values are pixels."
        )


def stacked(X: Any) -> Any:
    """Return a list of images, or an array of objects that are arrays, as one array.

    Parameters
    ----------
    X : object
        What the user passed; what is no such list is returned as it is.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the arrays have different shapes.
    """
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        if not (len(X) and all(isinstance(row, (np.ndarray, torch.Tensor)) for row in X)):
            return X
    elif not isinstance(X, (list, tuple)) or not len(X):
        return X
    if not all(isinstance(row, (np.ndarray, torch.Tensor)) for row in X):
        return X
    rows = [np.asarray(as_numpy(row)) for row in X]
    other = next((i for i, row in enumerate(rows) if row.shape != rows[0].shape), None)
    if other is not None:
        raise ValueError(
            f"All rows of X must have one shape. X[0] has {rows[0].shape}, X[{other}] has "
            f"{rows[other].shape}. Resize images, or pad sequences, to one shape first."
        )
    return np.stack(rows)


def _check_table(estimator: BaseEstimator, X: Any, reset: bool, **kwargs: Any) -> Any:
    """Check a table; what cannot be used is named by its columns, with what to do."""
    if is_lazy(X):
        raise ValueError(
            f"X is a {type(X).__name__}, a query that was not run yet. Pass X.collect()."
        )
    dtypes = frame_dtypes(X)
    _refuse_dates(estimator, X, dtypes, reset)
    if dtypes is not None and len(set(dtypes[0])) < len(dtypes[0]):
        twice = sorted({str(c) for c in dtypes[0] if dtypes[0].count(c) > 1})
        raise ValueError(f"A data frame needs unique column names. X has {twice} more than once.")
    if not reset:
        _refuse_raw_columns(estimator, X, dtypes)
    try:
        with np.errstate(**_OVERFLOW), plain_arrays():
            return _validate(estimator, X, reset, **kwargs)
    except (TypeError, ValueError) as error:
        if "could not convert string" in str(error):
            where = name_columns(X, "not a number")
            advice = _vectorized(estimator) if where else "By TfidfVectorizer, or as embeddings."
            raise ValueError(
                f"X holds strings{where}: {error}. "
                + (f"Turn them into numbers first. {advice}" if reset else _passed_whole(estimator))
            ) from error
        if "contains infinity" in str(error):
            where, rows = name_columns(X, "too large"), name_rows(X, "too large")
            raise ValueError(
                f"{str(error).removesuffix('.')}{where}{',' if where else ''}{rows}. Where it "
                "stands for no value, make a gap of it, numpy.where(numpy.isfinite(X), X, "
                "numpy.nan), and fill the gaps: make_pipeline(SimpleImputer(add_indicator=True), "
                f"{type(estimator).__name__}()). Bring large values to another unit, or take "
                "logarithms."
            ) from error
        if str(error).startswith("Input X contains NaN") or "NAType" in str(error):
            where, empty = name_columns(X, "missing"), name_columns(X, "all missing")
            rows = name_rows(X, "all missing")
            advice = f"; there is nothing else{empty}: drop these" if empty else ""
            advice += f"; there is nothing else{rows}: drop these and their labels" if rows else ""
            raise ValueError(
                f"Input X contains NaN{where}{advice}. Fill the gaps first: "
                f"make_pipeline(SimpleImputer(add_indicator=True), {type(estimator).__name__}()). "
                + (_vectorized(estimator) if reset else _passed_whole(estimator))
            ) from error
        where = name_columns(X, "not a number") if "float() argument must be" in str(error) else ""
        if where:
            raise type(error)(
                f"X holds values that are no numbers{where}: {error}. Turn them into numbers "
                "first, or drop those columns."
            ) from error
        raise


def _validate(estimator: BaseEstimator, X: Any, reset: bool, **kwargs: Any) -> Any:
    """Check a table by scikit-learn's rules, and that float32 can hold what is made of it.

    A sparse table is not centred, so that `fit` needs no more than float32; new rows may meet a
    scaler that centres in float64.
    """
    keeps = not (reset and sparse.issparse(X)) and _needs_more_than_float32(X)
    X = validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse="csr",
        dtype=_TABLE_TYPES if keeps else np.float32,
        **kwargs,
    )
    values = X.data if sparse.issparse(X) else X
    if values.dtype == np.float64 and values.size:
        ends = np.array([values.min(), values.max()])
        if np.isinf(ends.astype(np.float32)).any():
            raise ValueError("Input X contains infinity or a value too large for dtype('float32').")
    return X


def _needs_more_than_float32(X: Any) -> bool:
    """Say whether the type of an array allows for values that float32 does not hold."""
    types = (frame_dtypes(X) or ([], [getattr(X, "dtype", None)]))[1]
    if not all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in types):
        return True
    return np.result_type(np.float32, *types) != np.float32


def _vectorized(estimator: BaseEstimator) -> str:
    """Say how a table of strings, dates and gaps becomes one of numbers."""
    return (
        "For categories, short texts, dates and gaps: make_pipeline(skrub.TableVectorizer(), "
        f'SimpleImputer(), {type(estimator).__name__}()); pip install "noisyfit[tables]" for skrub.'
    )


def _passed_whole(estimator: BaseEstimator) -> str:
    """Say what to do with rows from before the first step of a pipeline."""
    return (
        f"The {type(estimator).__name__} was fitted on numbers. If it is the last step of a "
        "pipeline, pass the whole pipeline instead of that step, or the rows as the steps before "
        "make them: pipeline[:-1].transform(X)."
    )


def _refuse_raw_columns(estimator: BaseEstimator, X: Any, dtypes: tuple[list, list] | None) -> None:
    """Refuse a raw table before scikit-learn warns of its names, which are not the fault of it."""
    if dtypes is None or hasattr(estimator, "feature_names_in_"):
        return
    if all(isinstance(t, np.dtype) and t.kind in "biuf" for t in dtypes[1]):
        return
    where = name_columns(X, "not a number")
    if where:
        raise ValueError(f"X holds values that are no numbers{where}. {_passed_whole(estimator)}")


def _refuse_dates(
    estimator: BaseEstimator, X: Any, dtypes: tuple[list, list] | None, reset: bool
) -> None:
    """Refuse what numpy would take for large numbers, and a date that is missing for one more."""
    names, types = dtypes or ([], [getattr(X, "dtype", None)])
    dates = [
        i
        for i, dtype in enumerate(types)
        if getattr(dtype, "kind", None) in ("m", "M") or str(dtype).lower().startswith(_TIMES)
    ]
    if dates:
        where = f" in the columns {[names[i] for i in dates[:5]]}" if names else ""
        advice = _vectorized(estimator) if names else "Such as days since the first date."
        raise ValueError(
            f"X holds dates or durations{where}. "
            + (f"Turn them into numbers first. {advice}" if reset else _passed_whole(estimator))
        )


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
