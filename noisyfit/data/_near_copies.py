"""Rows that are copies of each other, or nearly: what is learned of one is known of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from sklearn.metrics.pairwise import euclidean_distances

if TYPE_CHECKING:
    from collections.abc import Iterator

_FEWEST_ROWS = 50
"""Of fewer rows nobody can say which distances are usual."""
_N_TYPICAL = 256
"""Rows at most from which the usual distance is taken."""
_CLOSE = 0.2
"""Proportion of the usual distance to the nearest row up to which rows may be near copies."""
_N_BY_CHANCE = 0.01
"""Pairs of ordinary rows that may be expected within the limit."""
_LARGEST_SHARE, _LARGEST = 0.01, 10
"""What is larger than both this proportion and this number of rows is a cluster, not copies."""
_FEWEST_SHARE, _FEWEST = 0.02, 10
"""Rows with near copies that are fewer than either are so by chance; rows with equals are not."""
_N_DIRECTIONS = 8
"""Random directions on which rows, and each half of their columns, are projected."""
_SLACK = 1.5
"""How much farther apart than they are rows may appear in the projection."""
_PAIRS_A_ROW = 10
"""Close pairs at most, on average: more of them are no matter of copies, and take memory."""
_BLOCK = 2**22
"""Values that are looked at at once."""


def near_copy_groups(X: Any, column_std: np.ndarray | None = None) -> np.ndarray | None:
    """Find rows that are copies of each other, or would be but for a little noise.

    Parameters
    ----------
    X : ndarray, tensor or CSR matrix of shape (n_samples, ...)
        Inputs as the network gets them.
    column_std : ndarray of shape (n_features,) or None, default=None
        What the columns of a table were divided by. Rows are then compared on both scales: a
        column of nothing but noise, once standardised, keeps copies apart. None: nothing.

    Returns
    -------
    ndarray of shape (n_samples,), int64, or None
        Number of the group of each row; rows of one group are copies of each other, and a row
        without a copy is a group of its own. None: no row has a copy.

    Notes
    -----
    Candidates are rows that are equal, and pairs whose distance is at most a fifth of that to the
    nearest row which is usual in a small sample, where copies seldom meet. In few dimensions
    ordinary rows come as close; by the number of dimensions that the sample appears to have [1]_,
    the limit is such that 0.01 of their pairs are expected within it.

    Rows of a table with few distinct values are equal by chance, and those of a dense cluster are
    close to each other. Copies are told from them by halves of the columns, of which each alone
    has to pick out the group from all rows, with half as many others at most. Where most candidates
    fail, the others have passed by chance; so have near copies if they are fewer than 10 rows, or
    than 2 %. Nor is a group of more than 1 % of the rows, and more than 10, one of copies.

    References
    ----------
    .. [1] Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood
       information", Scientific Reports 7, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.data._near_copies import near_copy_groups
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 10))
    >>> near_copy_groups(X) is None
    True
    >>> groups = near_copy_groups(np.r_[X, X[:9] + 0.01 * rng.normal(size=(9, 10))])
    >>> groups[:3], groups[-3:], len(np.unique(groups))
    (array([0, 1, 2]), array([6, 7, 8]), 200)
    """
    if X.shape[0] < _FEWEST_ROWS:
        return None
    scales = [None] if column_std is None else [None, column_std]
    with np.errstate(over="ignore", invalid="ignore"):  # of values that float32 cannot square
        found = [groups for scale in scales if (groups := _groups(_Vectors(X, scale))) is not None]
    if not found:
        return None
    group = found[0]
    for other in found[1:]:
        _, first, code = np.unique(other, return_index=True, return_inverse=True)
        group = _join(group, np.column_stack([np.arange(len(group)), first[code]]))
    _, first, code = np.unique(group, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[code].astype(np.int64)  # in the order of the rows


class _Vectors:
    """Rows as vectors in float32, dense unless they are sparse, of blocks of all rows or of some.

    Parameters
    ----------
    X : ndarray, tensor or CSR matrix of shape (n_samples, ...)
        Inputs.
    scale : ndarray of shape (n_features,) or None
        What columns are multiplied with.
    """

    def __init__(self, X: Any, scale: np.ndarray | None) -> None:
        self.X, self.is_sparse = X, sparse.issparse(X)
        self.scale = None if scale is None else scale.astype(np.float32)
        self.n_samples, self.n_columns = X.shape[0], int(np.prod(X.shape[1:]))
        stored = X.nnz / self.n_samples if self.is_sparse else self.n_columns
        self.step = max(1, int(_BLOCK // max(1, stored)))

    def __getitem__(self, ids: Any) -> Any:
        part = self.X[ids]
        if self.is_sparse:
            part = sparse.csr_array(part, dtype=np.float32, copy=True)
            part.sum_duplicates()
            part.data *= 1 if self.scale is None else self.scale[part.indices]
            return part
        part = part.cpu().numpy() if isinstance(part, torch.Tensor) else part
        part = part.reshape(len(part), -1).astype(np.float32)
        return part if self.scale is None else part * self.scale

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """Generate slices of all rows, and the rows."""
        for start in range(0, self.n_samples, self.step):
            place = slice(start, min(start + self.step, self.n_samples))
            yield place, self[place]


def _groups(rows: _Vectors) -> np.ndarray | None:
    """Find groups of copies on one scale: (n_samples,), int64; None: there are none."""
    # Whether rows are copies must not depend on the seed of a fit, nor advance its generators.
    rng = np.random.default_rng(0)
    limit = _limit(rows, rng)
    halves = _project_halves(rows, rng) if limit > 0 else None
    if halves is None or not all(np.isfinite(half).all() for half in halves):
        return None
    equal = _equal_rows(rows)
    group = _join(equal, _close_pairs(rows, halves, equal, limit, rng))
    size, order = np.bincount(group), np.argsort(group, kind="stable")
    end = np.cumsum(size)
    candidates = (size > 1) & (size <= max(_LARGEST_SHARE * rows.n_samples, _LARGEST))
    trees, copies = [KDTree(half) for half in halves], candidates.copy()
    for i in np.flatnonzero(candidates):
        members = order[end[i] - size[i] : end[i]]
        copies[i] = all(_n_alike(t, members, 1e-3 * limit) <= 1.5 * size[i] for t in trees)
    if copies.sum() < candidates.sum() / 2:
        return None
    near = copies & (np.bincount(group[np.unique(equal, return_index=True)[1]]) > 1)
    if size[near].sum() < max(_FEWEST_SHARE * rows.n_samples, _FEWEST):
        copies &= ~near
    if not copies.any():
        return None
    alone = ~copies[group]
    group[alone] = len(size) + np.arange(alone.sum())
    return group


def _limit(rows: _Vectors, rng: np.random.Generator) -> float:
    """Return how far apart near copies are at most; 0 if no distance would be unusual."""
    n_samples = rows.n_samples
    ids = rng.choice(n_samples, min(_N_TYPICAL, n_samples // 10 + 5), replace=False)
    sample = rows[np.sort(ids)]
    if not np.isfinite(sample.sum()):
        return 0.0
    distance = euclidean_distances(sample if rows.is_sparse else sample - sample.mean(axis=0))
    first, second = np.sort(distance, axis=1)[:, 1:3].T
    if not 0 < np.median(first) < np.inf:
        return 0.0
    ordinary = first > _CLOSE * np.quantile(first, 0.75)  # copies may have met in the sample
    usual = np.median(first[ordinary])
    growth = np.log(second[ordinary] / first[ordinary]).mean()  # 1 / number of dimensions
    # The usual distance to one of the sample has one of all rows within it in so many pairs.
    n_pairs = n_samples**2 / 2 * np.log(2) / len(ids)
    return float(usual * min(_CLOSE, (_N_BY_CHANCE / n_pairs) ** growth))


def _project_halves(rows: _Vectors, rng: np.random.Generator) -> list[np.ndarray] | None:
    """Project each half of the columns; None where a single one varies.

    Returns
    -------
    list of two ndarrays of shape (n_samples, n_directions), float32
        Of few columns the half itself, so that nothing is lost.
    """
    constant, two_valued = _simple_columns(rows)
    many = rng.permutation(np.flatnonzero(~(constant | two_valued)))
    # Columns of a one-hot encoding stand side by side, and each of them tells of the others.
    few = np.flatnonzero(two_valued & ~constant)
    if len(many) + len(few) < 2:
        return None
    half = len(many) // 2, -(-len(few) // 2)
    directions = []
    for own in (np.r_[many[: half[0]], few[: half[1]]], np.r_[many[half[0] :], few[half[1] :]]):
        n_directions = min(len(own), _N_DIRECTIONS)
        to = np.zeros((rows.n_columns, n_directions), dtype=np.float32)
        to[own] = _directions(len(own), n_directions, rng)
        directions.append(to)
    center = 0.0 if rows.is_sparse else rows[:1]  # less is lost to rounding
    both = np.concatenate(directions, axis=1)
    projected = np.empty((rows.n_samples, both.shape[1]), dtype=np.float32)
    for place, block in rows.blocks():
        projected[place] = (block if rows.is_sparse else block - center) @ both
    return np.split(projected, [directions[0].shape[1]], axis=1)


def _directions(n_columns: int, n_directions: int, rng: np.random.Generator) -> np.ndarray:
    """Return what keeps squared distances on average, or all of them if nothing is gained."""
    if n_columns <= n_directions:
        return np.eye(n_columns, dtype=np.float32)
    directions = rng.normal(scale=n_directions**-0.5, size=(n_columns, n_directions))
    return directions.astype(np.float32)


def _simple_columns(rows: _Vectors) -> tuple[np.ndarray, np.ndarray]:
    """Mark the columns of one value, and those of two values at most."""
    if rows.is_sparse:
        low, high = np.full(rows.n_columns, np.inf), np.full(rows.n_columns, -np.inf)
        for _, block in rows.blocks():
            np.minimum.at(low, block.indices, block.data)
            np.maximum.at(high, block.indices, block.data)
        return ~np.isfinite(high) | ((low == 0) & (high == 0)), low == high
    first = rows[:1][0]
    second = first.copy()
    two_valued = np.ones(rows.n_columns, dtype=bool)
    for _, block in rows.blocks():
        other = block != first
        new = (second == first) & other.any(axis=0)
        second[new] = block[other[:, new].argmax(axis=0), new]
        two_valued &= ~(other & (block != second)).any(axis=0)
    return second == first, two_valued


def _equal_rows(rows: _Vectors) -> np.ndarray:
    """Give each row a number, the same to equal ones: (n_samples,), int64."""
    hashes: list[int] = []
    for _, block in rows.blocks():
        if rows.is_sparse:
            block.eliminate_zeros()
            for start, stop in zip(block.indptr[:-1], block.indptr[1:], strict=True):
                part = slice(start, stop)
                hashes.append(hash(block.indices[part].tobytes() + block.data[part].tobytes()))
        else:
            block += 0.0  # no negative zero
            hashes += [hash(row.tobytes()) for row in block]
    return np.unique(np.array(hashes), return_inverse=True)[1]


def _close_pairs(
    rows: _Vectors,
    halves: list[np.ndarray],
    equal: np.ndarray,
    limit: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the pairs of distinct rows within the limit: (n_pairs, 2), numbers of rows."""
    ids, near = np.unique(equal, return_index=True)[1], _SLACK * limit
    both = np.concatenate(halves, axis=1)[ids]
    points = both @ _directions(both.shape[1], _N_DIRECTIONS, rng)
    tree = KDTree(points)
    some = rng.choice(len(ids), min(_N_TYPICAL, len(ids)), replace=False)
    if tree.query_ball_point(points[some], near, return_length=True).mean() > 1 + 2 * _PAIRS_A_ROW:
        return np.empty((0, 2), dtype=np.int64)
    pairs = tree.query_pairs(near, output_type="ndarray")
    apart = np.square(both[pairs[:, 0]] - both[pairs[:, 1]]).sum(axis=1)
    pairs = ids[pairs[apart <= near**2]]
    close = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), rows.step):
        part = slice(start, start + rows.step)
        gap = rows[pairs[part, 0]] - rows[pairs[part, 1]]
        squares = gap.multiply(gap) if rows.is_sparse else np.square(gap)
        close[part] = np.asarray(squares.sum(axis=1)).ravel() <= limit**2
    return pairs[close]


def _join(group: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Make one group of those of each pair of rows: (n_samples,), int64."""
    codes, code = np.unique(group, return_inverse=True)
    edges = np.ones(len(pairs)), (code[pairs[:, 0]], code[pairs[:, 1]])
    graph = sparse.coo_array(edges, shape=(len(codes), len(codes)))
    return connected_components(graph, directed=False)[1][code].astype(np.int64)


def _n_alike(tree: KDTree, members: np.ndarray, rounding: float) -> int:
    """Count the rows that half of the columns does not tell from a group."""
    first, others = tree.data[members[0]], tree.data[members[1:]]
    spread = np.sqrt(np.square(others - first).sum(axis=1)).max()
    return tree.query_ball_point(first, spread + rounding, return_length=True)
