"""Check what users pass as ``X``, ``y``, ``trusted`` and ``groups``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from torch.utils.data import Dataset

from noisyfit.data._array_checks import as_numpy, check_input
from noisyfit.data._dataset_items import dataset_targets, first_input
from noisyfit.data._labels import gap_rows, plain_labels
from noisyfit.data._refusals import unwrapped
from noisyfit.data._scaling import plain_arrays
from noisyfit.data._sources import as_inputs
from noisyfit.data._stored import column_names

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def check_X_y(estimator: BaseEstimator, X: Any, y: Any) -> tuple[Any, np.ndarray]:
    """Check the inputs of ``fit`` and remember the features' number and names.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and, for a data frame, ``feature_names_in_``.
    X : array-like, CSR matrix or torch Dataset
        What the user passed to ``fit``.
    y : array-like of shape (n_samples,), or None for a Dataset that has the labels
        Given labels.

    Returns
    -------
    X : ndarray, CSR matrix or Dataset
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        In scikit-learn's wording: wrong shapes, NaN, a continuous target, a single class.
    TypeError
        For what cannot be rows, such as a generator; the message says what to pass instead.
    """
    X = unwrapped(X)
    if isinstance(X, Dataset):
        y = dataset_targets(X) if y is None else y
        first = as_inputs(first_input(X))
        if not isinstance(first, dict) and first.ndim == 0:
            raise ValueError(
                f"The input of a row must be a vector or more. Got {first.item()!r}, a single "
                "number; return a vector of one."
            )
        estimator.n_features_in_ = len(first)  # of several inputs by name: their number
        vars(estimator).pop("feature_names_in_", None)  # of a fit on a data frame
        names = column_names(X)
        if names is not None:
            vars(estimator)["feature_names_in_"] = np.array(names, dtype=object)
        y = check_labels(y)
        check_consistent_length(range(len(X)), y)  # type: ignore[arg-type]
    elif y is None:
        validate_data(estimator, X, y)  # raises with scikit-learn's words
    else:
        X = check_input(estimator, X, reset=True, ensure_min_samples=2)
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
        Has the number and the names of the features of ``fit``.
    X : array-like, CSR matrix or torch Dataset
        What the user passed to ``predict``.
    dtype : numpy dtype or None
        Of the checked inputs of ``fit``; None for a Dataset. That of a table does not matter.

    Returns
    -------
    ndarray, CSR matrix or Dataset

    Raises
    ------
    ValueError
        Also for ``uint8`` images where there were float images in ``fit``, and the reverse: their
        scale differs.
    """
    X = unwrapped(X)
    if isinstance(X, Dataset):
        _check_names(estimator, column_names(X))
        return X
    X = check_input(estimator, X, reset=False)
    then = getattr(estimator, "_row_shape", X.shape[1:])
    if len(then) != X.ndim - 1:
        raise ValueError(f"fit was given rows of the shape {then}. Got {X.shape[1:]} instead.")
    if dtype is not None and X.ndim > 2 and X.dtype != dtype:
        raise ValueError(f"fit was given images of {dtype}. Got {X.dtype} instead.")
    return X


def _check_names(estimator: BaseEstimator, names: list[str] | None) -> None:
    """Refuse Parquet files with other columns, or the same in another order."""
    if names is None:
        return
    then = getattr(estimator, "feature_names_in_", None)
    wrong = len(names) != estimator.n_features_in_ if then is None else names != list(then)
    if wrong:
        was = f"{estimator.n_features_in_} columns" if then is None else list(then)
        raise ValueError(
            f"fit was given {was}. Got the columns {names}; name those of fit, in their order: "
            "parquet_dataset(path, columns=[...])."
        )


def check_labels(y: Any) -> np.ndarray:
    """Return labels as a 1-D array; integers with gaps, strings and booleans are all labels.

    Parameters
    ----------
    y : array-like or tensor of shape (n_samples,)
        What the user passed.

    Returns
    -------
    ndarray of shape (n_samples,)

    Examples
    --------
    >>> from noisyfit.data import check_labels
    >>> check_labels(["cat", "dog", "cat"]).tolist()
    ['cat', 'dog', 'cat']
    """
    y = column_or_1d(plain_labels(y), warn=True)
    if y.dtype.kind == "S" or (y.dtype == object and any(isinstance(label, bytes) for label in y)):
        raise ValueError("Support for labels represented as bytes is not there; decode them.")
    with plain_arrays():
        if y.dtype.kind in "fO":
            check_array(y, ensure_2d=False, dtype=None, input_name="y", ensure_min_samples=0)
        if y.dtype == object and not all(isinstance(label, str) for label in y):
            kinds = sorted({type(label).__name__ for label in y})
            raise ValueError(
                f"Unknown label type: y holds objects of the types {kinds}. Labels must be all "
                "strings, all integers or all truth values: y.astype(str) makes strings of them."
            )
        with np.errstate(invalid="ignore"):  # sklearn casts floats beyond int64 to tell them apart
            check_classification_targets(y)
    return y


def check_trusted(trusted: Any, n_samples: int) -> np.ndarray:
    """Return the mask of rows whose label was verified.

    Parameters
    ----------
    trusted : array-like of shape (n_samples,), bool, or None
        What the user passed; None: no row is trusted.
    n_samples : int
        Number of rows.

    Returns
    -------
    ndarray of shape (n_samples,), bool

    Raises
    ------
    ValueError
        For indices instead of a mask: cross-validation would slice them wrongly.

    Examples
    --------
    >>> from noisyfit.data import check_trusted
    >>> check_trusted([True, False, False], 3), check_trusted(None, 3)
    (array([ True, False, False]), array([False, False, False]))
    """
    if trusted is None:
        return np.zeros(n_samples, dtype=bool)
    how = " From indices: mask = np.zeros(len(y), dtype=bool); mask[indices] = True."
    return check_mask(trusted, "trusted", n_samples, how=how)


def check_groups(groups: Any, n_samples: int) -> np.ndarray | None:
    """Return the groups of the rows as codes, in the order in which the groups first appear.

    Parameters
    ----------
    groups : array-like of shape (n_samples,), or None
        What the user passed: integers, strings or whatever else is hashable.
    n_samples : int
        Number of rows.

    Returns
    -------
    ndarray of shape (n_samples,), int64, or None
        From 0 to n_groups - 1; None: there are no groups.

    Raises
    ------
    ValueError
        For another number of groups than rows, and for rows whose group is missing.
    TypeError
        For groups that are not hashable.

    Examples
    --------
    >>> from noisyfit.data import check_groups
    >>> check_groups(["film 2", "film 1", "film 2"], 3)
    array([0, 1, 0])
    """
    if groups is None:
        return None
    groups = as_numpy(groups, "groups")
    gaps = gap_rows(groups)
    if not len(gaps) and not isinstance(groups, (list, tuple)):  # a list may hold tuples
        groups = plain_labels(groups, "groups")
    shape = (len(groups),) if isinstance(groups, (list, tuple)) else np.shape(groups)
    if shape != (n_samples,):
        raise ValueError(
            f"groups must hold the group of each row and be of shape ({n_samples},). Got the shape "
            f"{shape} instead."
        )
    values = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    gaps = gaps if len(gaps) else np.flatnonzero([value != value for value in values])
    if len(gaps):
        raise ValueError(
            f"groups has missing values in the rows {gaps[:5].tolist()}. Give every row a group; a "
            "row that belongs to no other is a group of its own."
        )
    codes: dict[Any, int] = {}
    try:
        return np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int64)
    except TypeError as error:
        raise TypeError(f"groups must be integers, strings or the like: {error}.") from error


def check_mask(
    mask: Any, name: str, n_samples: int | None = None, *, such_as: str = "", how: str = ""
) -> np.ndarray:
    """Return a boolean mask with one entry a row.

    Parameters
    ----------
    mask : array-like of shape (n_samples,), bool
        What was given.
    name : str
        Of the parameter, for the message.
    n_samples : int or None, default=None
        Number of rows; None: any.
    such_as, how : str, default=""
        What the message adds: an example, and how to make a mask.

    Returns
    -------
    ndarray of shape (n_samples,), bool

    Raises
    ------
    ValueError
        For anything else, indices in particular.
    """
    mask = as_numpy(mask, name)
    gaps = gap_rows(mask)
    if len(gaps):
        raise ValueError(
            f"{name} must be a boolean mask, and has missing values in the rows "
            f"{gaps[:5].tolist()}. Fill them, with False for rows that nobody has looked at."
        )
    if getattr(mask, "dtype", None) is not None and mask.dtype != np.dtype(object):
        mask = plain_labels(mask, name)
    mask = np.asarray(mask)
    fits = mask.ndim == 1 if n_samples is None else mask.shape == (n_samples,)
    if mask.dtype != bool or not fits:
        shape = "of one entry a row" if n_samples is None else f"of shape ({n_samples},)"
        raise ValueError(
            f"{name} must be a boolean mask {shape}{such_as}. Got an array of {mask.dtype} of "
            f"shape {mask.shape} instead.{how}"
        )
    return mask


def encode_labels(
    y: np.ndarray, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as codes, and the classes that the codes stand for.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Checked labels.
    classes : ndarray of shape (n_classes,) or None, default=None
        The classes of a fit, in ascending order; None: those that are in `y`.

    Returns
    -------
    codes : ndarray of shape (n_samples,), int64
        From 0 to n_classes - 1.
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        For a label that is not one of `classes`.
    """
    if classes is None:
        encoder = LabelEncoder().fit(y)
        return encoder.transform(y).astype(np.int64), encoder.classes_
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(
            f"y contains the labels {unknown.tolist()}, which were not seen in fit; "
            f"known are {classes.tolist()}."
        )
    return np.searchsorted(classes, y), classes
