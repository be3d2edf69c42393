"""From the votes of several annotators to one label a row, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import softmax

from noisyfit._sklearn import StrOptions, validate_parameter_constraints
from noisyfit.data import as_numpy, check_labels, encode_labels, gap_rows

_TYPICAL_VOTES = 10.0
"""What the table of all annotators counts in that of each, in votes for each true class."""
_MOST_STEPS, _STEP = 500, 1e-6
"""Steps of expectation and maximisation, and the change of the posterior that ends them."""


@dataclass(frozen=True, eq=False)
class VotedLabels:
    """What several annotators say of the labels of rows, as `aggregate_votes` returns it.

    Examples
    --------
    >>> from noisyfit.label_quality import VotedLabels, aggregate_votes
    >>> voted = aggregate_votes([["cat", "cat", "dog"], ["dog", "dog", None]])
    >>> isinstance(voted, VotedLabels)
    True
    >>> voted.labels.tolist(), voted.confidence.round(2).tolist()
    (['cat', 'dog'], [0.67, 1.0])
    """

    labels: np.ndarray
    """The likeliest class of each row: (n_samples,)."""
    proba: np.ndarray
    """Probability of each class: (n_samples, n_classes), float64, rows sum to 1."""
    classes: np.ndarray
    """The classes of the columns, in ascending order: (n_classes,)."""
    n_votes: np.ndarray
    """Number of votes of each row: (n_samples,), int64, 1 at least."""
    method: str = "dawid_skene"
    """What made them; by ``"majority"`` `proba` has shares of votes, which are no probabilities."""

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the label of each row: (n_samples,), float64."""
        return self.proba.max(axis=1)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Refuse: whoever makes an array of them would lose the votes, or take them for labels."""
        raise TypeError(
            "VotedLabels are no array of labels. Only `fit` of noisyfit's estimators and `Audit` "
            "take them as they are. Where labels are cut into folds, scored or compared, pass "
            "voted.labels."
        )


def aggregate_votes(
    votes: Any, method: str = "majority", *, classes: Any = None, missing: Any = None
) -> VotedLabels:
    r"""Make one label a row from the votes of several annotators.

    Parameters
    ----------
    votes : array-like of shape (n_samples, n_annotators)
        What each annotator called each row: integers, strings or truth values, one column for each
        annotator. None, NaN and pandas' NA are no vote. Whole floats count as integers, which NaN
        has made floats of. Every row needs one vote at least.
    method : {"majority", "dawid_skene"}, default="majority"
        ``"majority"``: the most votes. ``"dawid_skene"``: annotators count by how often they agree
        with what all say together. It needs annotators with some tens of votes.
    classes : array-like of shape (n_classes,), default=None
        All classes, if some have no vote. None: those that were voted for.
    missing : int or str, default=None
        What else stands for no vote, such as -1.

    Returns
    -------
    VotedLabels
        With the majority, `proba` are the shares of the votes. Of classes that are equally likely,
        the label is the one of an annotator: among the n votes for these, in the order of the
        columns, row i takes number i modulo n, so that no class is preferred and no annotator.

    Raises
    ------
    ValueError
        If votes are no table, a row has no vote, or a vote is none of `classes`.

    Notes
    -----
    The posterior of Dawid and Skene [1]_ for row i with the votes :math:`l_{ia}` is, up to a factor
    in each row,

    .. math:: T_{ij} \propto p_j \prod_a \pi^{(a)}_{j\, l_{ia}}, \qquad
        p_j = \frac{1}{n} \sum_i T_{ij}, \qquad
        \pi^{(a)}_{jl} = \frac{n^{(a)}_{jl} + 10\, \bar\pi_{jl}}{\sum_m n^{(a)}_{jm} + 10},

    where :math:`n^{(a)}_{jl} = \sum_{i: l_{ia} = l} T_{ij}`, and :math:`\bar\pi` is the table of
    all annotators together, with one vote added in each cell. Steps of expectation and
    maximisation begin at the majority. The paper has no second term in :math:`\pi`: there,
    an annotator of few votes who agreed with all others counts as one who never errs, and
    posteriors are far too sure of themselves.

    What all annotators get wrong in the same way, neither method can know.

    References
    ----------
    .. [1] A. P. Dawid, A. M. Skene, "Maximum likelihood estimation of observer error-rates using
       the EM algorithm", Applied Statistics 28, 1979.

    Examples
    --------
    >>> from noisyfit.label_quality import aggregate_votes
    >>> voted = aggregate_votes([[0, 0, 1], [1, -1, -1], [1, 1, 1]], missing=-1)
    >>> voted.labels, voted.n_votes
    (array([0, 1, 1]), array([3, 1, 3]))
    >>> voted.proba.round(2).tolist()
    [[0.67, 0.33], [0.0, 1.0], [0.0, 1.0]]
    """
    constraints: dict[str, list] = {"method": [StrOptions({"majority", "dawid_skene"})]}
    validate_parameter_constraints(constraints, {"method": method}, caller_name="aggregate_votes")
    table = _as_table(votes)
    cast = _has_vote(table, missing)
    n_votes = cast.sum(axis=1)
    without = np.flatnonzero(n_votes == 0)
    if len(without):
        raise ValueError(
            f"{len(without)} rows have no vote, such as {without[:5].tolist()}. Nothing is known "
            "of their labels: leave these rows out of the votes, and of X."
        )
    codes = np.full(table.shape, -1, dtype=np.int64)
    codes[cast], names = _encode(table[cast], classes)
    shares = np.zeros((len(table), len(names)))
    np.add.at(shares, (np.nonzero(cast)[0], codes[cast]), 1.0)
    shares /= n_votes[:, None]
    proba = shares if method == "majority" else _dawid_skene(codes, shares)
    return VotedLabels(names[_likeliest(proba, codes)], proba, names, n_votes, method)


def _as_table(votes: Any) -> np.ndarray:
    """Return votes as a matrix of Python's own objects, each of its own type."""
    votes = as_numpy(votes, "votes")
    if hasattr(votes, "iloc"):  # pandas would make one type of all columns
        table = votes.to_numpy(dtype=object)
    elif hasattr(votes, "iter_columns"):  # polars; pyarrow, which has no rows of its own
        table = np.array([c.to_list() for c in votes.iter_columns()], dtype=object).T
    elif hasattr(votes, "itercolumns"):
        table = np.array([c.to_pylist() for c in votes.itercolumns()], dtype=object).T
    elif isinstance(votes, np.ndarray):
        table = votes.astype(object)
    else:
        rows = [list(row) if isinstance(row, (list, tuple, np.ndarray)) else row for row in votes]
        widths = sorted({len(row) if isinstance(row, list) else 0 for row in rows})
        if len(widths) > 1:
            raise ValueError(
                f"votes must have one column for each annotator. Got rows of {widths} votes; put "
                "None where an annotator has not voted."
            )
        table = np.array(rows, dtype=object)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(
            "votes must be a table, one row for each sample and one column for each annotator. Got "
            f"the shape {table.shape}. A list of (row, annotator, label) becomes one by pandas' "
            "pivot(index=row, columns=annotator, values=label)."
        )
    return table


def _has_vote(table: np.ndarray, missing: Any) -> np.ndarray:
    cast = np.ones(table.size, dtype=bool)
    cast[gap_rows(table.ravel())] = False
    if missing is not None:
        cast &= np.array([vote is None or vote != missing for vote in table.ravel()]) | ~cast
    return cast.reshape(table.shape)


def _encode(found: np.ndarray, classes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the votes that were cast as codes, and the classes that the codes stand for."""
    if any(isinstance(vote, float) and vote.is_integer() for vote in found):
        whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in found]
        found = np.array(whole, dtype=object)
    found = check_labels(found)
    if classes is None:
        return encode_labels(found)
    names = np.unique(check_labels(classes))
    unknown = set(found.tolist()) - set(names.tolist())
    if unknown:
        raise ValueError(
            f"votes hold {sorted(unknown)[:5]}, which are none of the classes "
            f"{names.tolist()[:10]}. What stands for no vote is named as missing=."
        )
    return encode_labels(found, names)


def _likeliest(proba: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the likeliest class of each row, of equal ones that of the next annotator in turn."""
    label = proba.argmax(axis=1)
    best = proba >= proba.max(axis=1, keepdims=True) - 1e-9
    for row in np.flatnonzero(best.sum(axis=1) > 1):
        votes = codes[row][codes[row] >= 0]
        votes = votes[best[row, votes]]
        label[row] = votes[row % len(votes)] if len(votes) else label[row]
    return label


def _dawid_skene(codes: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Return the posterior at which steps of expectation and maximisation end."""
    # crowd-kit has this algorithm, but brings a whole library of language models for its others.
    rows, annotators = np.nonzero(codes >= 0)
    n_classes = posterior.shape[1]
    where = annotators * n_classes + codes[rows, annotators]
    shape = (len(codes), codes.shape[1] * n_classes)
    cast = sparse.csr_array((np.ones(len(rows)), (rows, where)), shape=shape)
    for _ in range(_MOST_STEPS):
        before, posterior = posterior, _step(cast, posterior)
        if np.abs(posterior - before).max() < _STEP:
            break
    return posterior


def _step(cast: sparse.csr_array, posterior: np.ndarray) -> np.ndarray:
    """Estimate shares of classes and tables of annotators, and from them the posterior."""
    n_classes = posterior.shape[1]
    counts = (cast.T @ posterior).T.reshape(n_classes, -1, n_classes)  # true, annotator, vote
    typical = counts.sum(axis=1) + 1
    typical /= typical.sum(axis=1, keepdims=True)
    counts = counts + _TYPICAL_VOTES * typical[:, None, :]
    table = np.log(counts / counts.sum(axis=2, keepdims=True)).reshape(n_classes, -1)
    with np.errstate(divide="ignore"):  # a class that nobody voted for
        share = np.log(posterior.mean(axis=0))
    return softmax(share + cast @ table.T, axis=1)
