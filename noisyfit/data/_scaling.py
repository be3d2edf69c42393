"""`TableScaler`: columns of tables on a common scale."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FAR = 1e18
"""Largest value that is squared: the squares of larger ones overflow, and clip to 0 or NaN."""
_SMALL, _BLOCK = 2**20, 2**18
"""Values of a table that is scaled at once, and of the blocks of a larger one: temporary copies of
the first are no matter, and those of the latter stay in the cache."""
_FLAT = 30
"""Standard deviations from 0 at which a clipped value does not change any more."""
_EXACT_INTEGER = 2**24
"""Up to here float32 holds every integer."""

plain_arrays = partial(
    config_context, transform_output="default", array_api_dispatch=False, assume_finite=False
)
"""scikit-learn's checks and scalers inside of noisyfit, whatever the user's global settings are."""


class TableScaler:
    r"""Standardise the columns of a table, tame outliers, and shrink wide rows.

    Parameters
    ----------
    row_norm : float, default=3.0
        Largest root mean square of the norm of a scaled row; shorter rows are not stretched.
    clip : float, default=3.0
        Bound that standardised values approach smoothly.

    Notes
    -----
    A standardised value z becomes :math:`z / \sqrt{1 + (z / \mathrm{clip})^2}`, the smooth clipping
    of [1]_: a pixel that is on in one row of a thousand would otherwise single that row out, and a
    network memorise its label.

    The step that gradient descent takes in a network's first layer grows with the squared norm of
    a row, so that a wide table is memorised, wrong labels included, within the first epochs. The
    row norm keeps one learning rate right for 10 columns and for 1,000.

    Sparse tables are not centred, which would fill them. New rows may be sparse where those of
    `fit` were not, and the reverse: they are scaled as if they had been converted.

    A table that float32 does not hold to the last bit is centred and scaled in float64, and only
    the result is float32: a Unix time in seconds would otherwise be rounded to steps of 128.

    References
    ----------
    .. [1] Holzmüller et al., "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular
       Data", NeurIPS 2024.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(5, 3, size=(1000, 64)).astype(np.float32)
    >>> Z = TableScaler().fit(X).transform(X)
    >>> round(float(np.sqrt((Z**2).sum(axis=1).mean())), 2)
    3.0
    """

    in_float64_ = False  # of scalers in files of earlier versions

    def __init__(self, row_norm: float = 3.0, clip: float = 3.0) -> None:
        self.row_norm, self.clip = row_norm, clip

    def fit(self, X: Any) -> TableScaler:
        """Learn the columns' mean and standard deviation, and the rows' norm.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_samples, n_features)
            The table to learn from.

        Returns
        -------
        TableScaler
        """
        self.in_float64_ = not (sparse.issparse(X) or _float32_holds(X))
        self.scaler_ = _column_statistics(X, self._dtype)
        if sparse.issparse(X) and not X.has_canonical_format:
            Z = self._standardise(X, np.positive)
            squares = Z.multiply(Z)  # of elements, which may be the sum of several stored values
        else:
            squares = self._standardise(X, np.square)
            if sparse.issparse(X):
                squares.eliminate_zeros()  # with them, the sum would be rounded differently
        self.shrink_ = self._shrink(squares.sum() / X.shape[0])
        return self

    def fit_blocks(self, blocks: Callable[[], Iterable[np.ndarray]]) -> TableScaler:
        """Learn from a table that is too large for memory what `fit` learns, but for rounding.

        Parameters
        ----------
        blocks : callable
            Returns an iterator over blocks of rows, (n_rows, n_features) each; it is called twice.

        Returns
        -------
        TableScaler
        """
        self.in_float64_, self.scaler_ = False, StandardScaler()
        with np.errstate(over="ignore", invalid="ignore"), plain_arrays():
            for block in blocks():
                self.in_float64_ = self.in_float64_ or not _float32_holds(block)
                self.scaler_.partial_fit(block)
        total, n_rows = 0.0, 0
        for block in blocks():
            total += float(self._standardise(block, np.square).sum(dtype=np.float64))
            n_rows += len(block)
        self.shrink_ = self._shrink(total / n_rows)
        return self

    def _shrink(self, squared_norm: float) -> np.float32:
        norm = float(np.sqrt(squared_norm))
        return np.float32(min(1.0, self.row_norm / norm) if norm > 0 else 1.0)

    def transform(self, X: Any) -> Any:
        """Scale a table.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_samples, n_features)
            The table to scale.

        Returns
        -------
        ndarray or CSR matrix, float32
            The only copy of the table that is made. Arrays are C-contiguous. A CSR matrix if both
            this table and that of `fit` are one.
        """
        shrink = partial(np.multiply, self.shrink_)
        if sparse.issparse(X) and not self.scaler_.with_mean:
            return self._standardise(X, shrink)
        return self._standardise(X, shrink, np.empty(X.shape, np.float32))

    @property
    def _dtype(self) -> type:
        return np.float64 if self.in_float64_ else np.float32

    def _standardise(self, X: Any, finish: Callable, out: np.ndarray | None = None) -> Any:
        """Return what `finish` makes of the standardised values, a copy that is filled by blocks.

        An array is filled into `out`, by default of the memory order of `X`.
        """
        stays_sparse, n_rows = sparse.issparse(X) and out is None, X.shape[0]
        if out is None:
            out = np.empty_like(X.data if stays_sparse else X, self._dtype, subok=False)
        n_blocks = 1 if out.size <= _SMALL else -(-out.size // _BLOCK)
        step = max(1, -(-n_rows // n_blocks))
        for start in range(0, n_rows, step):
            place = slice(start, min(start + step, n_rows))
            values = self._divided(X[place])
            if stays_sparse:
                values = values.data
                place = slice(X.indptr[place.start], X.indptr[place.stop])
            elif sparse.issparse(values):
                values = values.toarray()
            np.clip(values, -_FAR, _FAR, out=values)
            root = values / self.clip
            np.square(root, out=root)
            root += 1
            values /= np.sqrt(root, out=root)
            finish(values, out=out[place])
        if stays_sparse:
            return type(X)((out, X.indices.copy(), X.indptr.copy()), shape=X.shape)
        return out

    def _divided(self, rows: Any) -> Any:
        """Centre rows, unless the table of `fit` was sparse, and divide them: a copy."""
        if self.scaler_.with_mean and sparse.issparse(rows):
            rows = rows.toarray()
        elif not self.scaler_.with_mean and not sparse.issparse(rows):
            rows = sparse.csr_array(rows)
        # As in fit, sklearn looks for NaN by a sum, which may overflow; inf is clipped next.
        with np.errstate(over="ignore", invalid="ignore"), plain_arrays():
            return self.scaler_.transform(rows.astype(self._dtype, copy=False))


def _float32_holds(X: np.ndarray) -> bool:
    """Say whether float32 holds all values of a table to the last bit."""
    if X.dtype.kind in "iu" and X.dtype.itemsize > 2:
        return X.size == 0 or bool(X.min() >= -_EXACT_INTEGER and X.max() <= _EXACT_INTEGER)
    if X.dtype.kind != "f" or X.dtype.itemsize <= 4:
        return True
    step = max(1, _BLOCK // max(1, X.shape[1]))
    with np.errstate(over="ignore"):
        blocks = (X[start : start + step] for start in range(0, X.shape[0], step))
        return all(np.array_equal(block.astype(np.float32), block) for block in blocks)


def flat_columns(scaler: StandardScaler, dtype: np.dtype) -> tuple[str, np.ndarray]:
    """Find the columns whose scaled values tell next to nothing, whatever they did before.

    Parameters
    ----------
    scaler : StandardScaler
        Fitted to a table.
    dtype : numpy dtype
        Of the table as the user passed it.

    Returns
    -------
    why : str
        What is the matter with them, and what to do.
    columns : ndarray of int
        Their numbers; empty: all is well.
    """
    std = np.sqrt(scaler.var_)
    varies = np.isclose(scaler.scale_, std) & (std > 0)  # scikit-learn divides the others by 1
    if not scaler.with_mean:
        why = (
            "lie far from 0 for their spread, and a sparse table is not centred: next to nothing "
            "is left of them. Centre them first, or pass X.toarray()"
        )
        return why, np.flatnonzero(varies & (np.abs(scaler.mean_) > _FLAT * std))
    if dtype.kind != "f" or dtype.itemsize > 4:
        return "", np.array([], dtype=int)
    why = (
        f"vary by no more than {dtype} can tell apart at their size. Pass them in float64, or "
        "subtract an offset before they become " + str(dtype)
    )
    steps = np.spacing(np.abs(scaler.mean_).astype(dtype)).astype(np.float64)
    return why, np.flatnonzero(varies & (std < 2 * steps))


def _column_statistics(X: Any, dtype: type) -> StandardScaler:
    """Fit scikit-learn's scaler, of a large table to a third of the columns at a time.

    Its temporary copies are in float64, more than twice the size of a table. Columns do not
    influence each other, but the sum of a single one is rounded differently than that of one among
    others: parts have at least two.
    """
    is_sparse = sparse.issparse(X)
    n_parts = 1 if is_sparse or X.size <= _SMALL else max(1, min(3, X.shape[1] // 2))
    bounds = np.linspace(0, X.shape[1], n_parts + 1).astype(int)
    parts = []
    with np.errstate(over="ignore", invalid="ignore"), plain_arrays():
        for start, stop in pairwise(bounds):
            part = X if n_parts == 1 else X[:, start:stop]
            scaler = StandardScaler(with_mean=not is_sparse)
            parts.append(scaler.fit(part.astype(dtype, copy=False)))
    scaler = parts[0]
    if n_parts > 1:
        scaler.n_features_in_ = X.shape[1]
        for name in ("mean_", "var_", "scale_"):
            setattr(scaler, name, np.concatenate([getattr(part, name) for part in parts]))
    return scaler
