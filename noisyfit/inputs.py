"""From what users pass as ``X``, ``y`` and ``trusted`` to checked arrays and `Rows`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils._missing import is_pandas_na
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from torch.utils.data import Dataset, Subset, TensorDataset

from noisyfit._seeding import seeded
from noisyfit.data import (
    SINGLE_READS,
    Rows,
    Source,
    SparseSource,
    StreamSource,
    TensorSource,
    as_tensor,
)
from noisyfit.scaling import ImageScaler, TableScaler

Scaler = ImageScaler | TableScaler

_IMAGE_CHANNELS = (1, 2, 3, 4)
_SCALER_ROWS = 2048
_OVERFLOW: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}
"""numpy's warnings of values beyond float32, which get an error in words, and of sums of large ones
by which sklearn looks for NaN."""


def check_X_y(estimator: BaseEstimator, X: Any, y: Any) -> tuple[Any, np.ndarray]:
    """Check the inputs of ``fit`` and remember the features' number and names.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and, for a data frame, ``feature_names_in_``.
    X : array-like, CSR matrix or torch Dataset
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels

    Returns
    -------
    X : ndarray, CSR matrix or Dataset
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        In scikit-learn's wording: wrong shapes, NaN, a continuous target, a single class.
    """
    if isinstance(X, (str, PurePath)):
        raise ValueError(
            f"X must be rows, not a path. Got {str(X)!r}. For a folder of images with a subfolder "
            "for each class pass torchvision.datasets.ImageFolder(path, transform=...)."
        )
    if isinstance(X, Dataset):
        y = dataset_targets(X) if y is None else y
        estimator.n_features_in_ = as_tensor(_first_input(X)).shape[0]
        y = check_labels(y)
        check_consistent_length(range(len(X)), y)  # type: ignore[arg-type]
    elif y is None:
        validate_data(estimator, X, y)  # raises with scikit-learn's words
    else:
        X = _check_array(estimator, X, reset=True, ensure_min_samples=2)
        y = check_labels(y)
        check_consistent_length(X, y)
    if len(np.unique(y)) < 2:
        raise ValueError(
            "Classifier can't train when only one class is present: "
            f"y contains only the class {y[0]!r}."
        )
    return X, y


def check_X(estimator: BaseEstimator, X: Any, dtype: np.dtype | None) -> Any:
    """Check the inputs of ``predict`` against those of ``fit``.

    Parameters
    ----------
    estimator : estimator
    X : array-like, CSR matrix or torch Dataset
    dtype : numpy dtype or None
        Of the checked inputs of ``fit``; None for a Dataset.

    Returns
    -------
    ndarray, CSR matrix or Dataset

    Raises
    ------
    ValueError
        Also for ``uint8`` images where there were float images in ``fit``, and the reverse: their
        scale differs.
    """
    if isinstance(X, Dataset):
        return X
    X = _check_array(estimator, X, reset=False)
    if dtype is not None and X.dtype != dtype:
        raise ValueError(f"fit was given images of {dtype}. Got {X.dtype} instead.")
    return X


def check_labels(y: Any) -> np.ndarray:
    """Return labels as a 1-D array; integers with gaps, strings and booleans are all labels.

    Parameters
    ----------
    y : array-like or tensor of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    y = column_or_1d(_as_numpy(y), warn=True)
    if y.dtype == object:
        missing = [label for label in y if label is None or is_pandas_na(label)]
        if missing:
            raise ValueError(f"Input y contains {missing[0]}; every row needs a label.")
    if y.dtype.kind == "S" or (y.dtype == object and any(isinstance(label, bytes) for label in y)):
        raise ValueError("Support for labels represented as bytes is not there; decode them.")
    if y.dtype.kind in "mM" and np.isnat(y).any():
        raise ValueError("Input y contains NaT; every row needs a label.")
    if y.dtype.kind in "fO":
        check_array(y, ensure_2d=False, dtype=None, input_name="y", ensure_min_samples=0)
    with np.errstate(invalid="ignore"):  # sklearn casts floats beyond int64 to tell them apart
        check_classification_targets(y)
    return y


def check_trusted(trusted: Any, n_samples: int) -> np.ndarray:
    """Return the mask of rows whose label was verified.

    Parameters
    ----------
    trusted : array-like of shape (n_samples,), bool, or None
    n_samples : int

    Returns
    -------
    ndarray of shape (n_samples,), bool

    Raises
    ------
    ValueError
        For indices instead of a mask: cross-validation would slice them wrongly.
    """
    if trusted is None:
        return np.zeros(n_samples, dtype=bool)
    if str(getattr(trusted, "dtype", "")) == "boolean" and not trusted.isna().any():
        trusted = trusted.to_numpy(dtype=bool)  # pandas 2.1 would make an array of objects of it
    trusted = np.asarray(_as_numpy(trusted))
    if trusted.dtype != bool or trusted.shape != (n_samples,):
        raise ValueError(
            f"trusted must be a boolean mask of shape ({n_samples},). Got an array of "
            f"{trusted.dtype} of shape {trusted.shape} instead. From indices: "
            "mask = np.zeros(len(y), dtype=bool); mask[indices] = True."
        )
    return trusted


def fit_scaler(X: Any) -> Scaler | None:
    """Learn the scale of ``uint8`` images or of a table; other inputs are taken as they are.

    Parameters
    ----------
    X : ndarray, CSR matrix or Dataset
        Checked inputs. Of images, at most 2,048 rows spread over the data set are looked at.

    Returns
    -------
    ImageScaler, TableScaler or None
    """
    shape = row_shape(X)
    if not isinstance(X, Dataset) and len(shape) == 1:
        return TableScaler().fit(X)
    if len(shape) != 3:
        return None
    source = _source(X, torch.device("cpu"))
    every = -(-len(source) // _SCALER_ROWS)
    if source.gather(torch.arange(1)).dtype != torch.uint8:
        return None
    return ImageScaler.from_images(source.gather(torch.arange(0, len(source), every)))


def make_rows(X: Any, y: np.ndarray | None, device: torch.device, scaler: Scaler | None) -> Rows:
    """Put checked inputs into `Rows`.

    Parameters
    ----------
    X : ndarray, CSR matrix or Dataset
    y : ndarray of shape (n_samples,), int64, or None
        Encoded labels; None for prediction.
    device : torch.device
    scaler : ImageScaler, TableScaler or None

    Returns
    -------
    Rows
    """
    if isinstance(scaler, TableScaler):
        if isinstance(X, Dataset):
            raise ValueError(
                f"fit was given a table, whose columns were standardised. Got a "
                f"{type(X).__name__} instead; pass an array."
            )
        X, scaler = scaler.transform(X), None
    source = _source(X, device)
    labels = np.zeros(len(source), dtype=np.int64) if y is None else y
    return Rows(source, torch.from_numpy(labels), scaler)


def _source(X: Any, device: torch.device) -> Source:
    if isinstance(X, Dataset):
        tensor = _tensor_of(X)
        return StreamSource(X, device) if tensor is None else TensorSource(tensor.numpy(), device)
    return SparseSource(X, device) if sparse.issparse(X) else TensorSource(X, device)


def _tensor_of(dataset: Dataset) -> torch.Tensor | None:
    """Return the inputs of a data set that holds them as one tensor: streaming gains nothing."""
    if isinstance(dataset, Subset):
        tensor = _tensor_of(dataset.dataset)
        return None if tensor is None else tensor[torch.as_tensor(dataset.indices)]
    if type(dataset) is not TensorDataset or dataset.tensors[0].dtype == torch.bfloat16:
        return None  # a subclass may have changed its items; numpy knows no bfloat16
    return dataset.tensors[0].detach().cpu()


def dataset_targets(dataset: Dataset) -> np.ndarray:
    """Return the labels of a map-style Dataset.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        With an attribute ``targets``, as torchvision's have, or items ``(input, label)``; in the
        latter case every item is read once.

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    if isinstance(dataset, Subset):
        return dataset_targets(dataset.dataset)[np.asarray(dataset.indices)]
    targets = getattr(dataset, "targets", None)
    if targets is not None:
        return np.asarray(targets)
    item = _first_item(dataset)
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        raise ValueError(
            f"{type(dataset).__name__} has neither an attribute 'targets' nor items (input, label);"
            " pass the labels as y."
        )
    with seeded(SINGLE_READS, "cpu"):
        return np.asarray([dataset[i][1] for i in range(len(dataset))])  # type: ignore[arg-type]


def row_shape(X: Any) -> tuple[int, ...]:
    """Shape of a single row's input."""
    return tuple(as_tensor(_first_input(X)).shape) if isinstance(X, Dataset) else X.shape[1:]


def _first_input(dataset: Dataset) -> Any:
    if len(dataset) == 0:  # type: ignore[arg-type]
        raise ValueError("Found a Dataset with 0 samples while a minimum of 1 is required.")
    item = _first_item(dataset)
    return item[0] if isinstance(item, (tuple, list)) else item


def _first_item(dataset: Dataset) -> Any:
    with seeded(SINGLE_READS, "cpu"):
        return dataset[0]


def _as_numpy(values: Any) -> Any:
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


def _check_array(estimator: BaseEstimator, X: Any, reset: bool, **kwargs: Any) -> Any:
    X = _as_numpy(X)
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
