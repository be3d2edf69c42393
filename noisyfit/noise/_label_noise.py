"""Label corruption by a transition matrix, with the mask of the labels that became wrong.

A noise model is a transition matrix T, ``T[i, j] = P(given label = j | true label = i)``, made by
`transition_matrix` and sampled by `corrupt_labels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from sklearn.utils import assert_all_finite, check_array

from noisyfit._sklearn import Interval, StrOptions, validate_parameter_constraints

#: CIFAR-10's usual asymmetric mapping: truck to automobile, bird to airplane, deer to horse, and
#: cat and dog to each other (Patrini et al. 2017).
CIFAR10_ASYMMETRIC: dict[int, int] = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}

Kind = Literal["symmetric", "symmetric_with_self", "pair", "asymmetric", "superclass"]
RandomState = int | np.random.RandomState | np.random.Generator | None

RATE = [Interval(Real, 0, 1, closed="both")]
# Added to integer seeds, so that noise of seed 0 shares no stream with a split or a training run of
# seed 0: if the noisy rows were the first rows of a shuffle, no measurement on them would be valid.
_STREAM = 0x6E6F697365


class CorruptedLabels(NamedTuple):
    """Corrupted labels, and where they are wrong.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
        The labels after corruption, in the dtype of `y`. A string dtype is widened where
        `classes` holds a longer name than `y` does.
    flipped : ndarray of shape (n_samples,), bool
        True where the label differs from the original; ``flipped.mean()`` is the realised rate.

    Examples
    --------
    >>> from noisyfit.noise import corrupt_labels, transition_matrix
    >>> labels, flipped = corrupt_labels([0, 1] * 50, transition_matrix("symmetric", 2, 0.1), 0)
    >>> bool((flipped == (labels != [0, 1] * 50)).all())
    True
    """

    labels: np.ndarray
    flipped: np.ndarray


def transition_matrix(
    kind: Kind,
    n_classes: int,
    rate: float,
    *,
    mapping: Mapping[int, int] | None = None,
    superclasses: npt.ArrayLike | None = None,
) -> np.ndarray:
    """Make the transition matrix of a class-dependent noise model.

    Parameters
    ----------
    kind : {"symmetric", "symmetric_with_self", "pair", "asymmetric", "superclass"}
        Where a wrong label goes:

        - ``"symmetric"``: to one of the other classes, each with probability rate / (C - 1);
        - ``"symmetric_with_self"``: to one of all C classes, its own included, each with
          probability rate / C, so that only rate * (1 - 1 / C) of the labels end up wrong;
        - ``"pair"``: from class y to class (y + 1) mod C;
        - ``"asymmetric"``: from each class named in `mapping` to its partner;
        - ``"superclass"``: to one of the other classes of the same group, all equally likely.
    n_classes : int
        Number of classes C, at least 2.
    rate : float in [0, 1]
        Probability that a label is replaced.
    mapping : dict of int to int, default=None
        For ``"asymmetric"``: the class index that each class index is confused with. Classes that
        are not named stay clean. `CIFAR10_ASYMMETRIC` is the usual mapping for CIFAR-10.
    superclasses : array-like of shape (n_classes,), default=None
        For ``"superclass"``: the group of each class. A class alone in its group stays clean.

    Returns
    -------
    matrix : ndarray of shape (n_classes, n_classes), float64
        Row i holds the probabilities of the given label when the true class is i.

    Raises
    ------
    ValueError
        For a value out of range, or `mapping` or `superclasses` missing, malformed or not used
        by `kind`.

    Notes
    -----
    The literature calls both symmetric kinds "symmetric noise": compare published numbers by the
    realised rate. The CIFAR-100 variant that moves each class to the next of its superclass is
    ``"asymmetric"`` with that cycle as `mapping`.

    Examples
    --------
    >>> from noisyfit.noise import transition_matrix
    >>> transition_matrix("symmetric", 3, 0.4)
    array([[0.6, 0.2, 0.2],
           [0.2, 0.6, 0.2],
           [0.2, 0.2, 0.6]])
    >>> transition_matrix("asymmetric", 3, 0.25, mapping={2: 0})
    array([[1.  , 0.  , 0.  ],
           [0.  , 1.  , 0.  ],
           [0.25, 0.  , 0.75]])
    """
    n_classes_range = [Interval(Integral, 2, None, closed="left")]
    validate_parameter_constraints(
        {"kind": [StrOptions(set(get_args(Kind)))], "n_classes": n_classes_range, "rate": RATE},
        {"kind": kind, "n_classes": n_classes, "rate": rate},
        caller_name="transition_matrix",
    )
    options = {"mapping": ("asymmetric", mapping), "superclasses": ("superclass", superclasses)}
    for name, (owner, value) in options.items():
        if kind == owner and value is None:
            raise ValueError(f"kind={kind!r} needs {name}; got None.")
        if kind != owner and value is not None:
            raise ValueError(f"{name} is used by kind={owner!r} only; drop it for kind={kind!r}.")
    if kind == "symmetric_with_self":
        return (1 - rate) * np.eye(n_classes) + rate / n_classes
    if kind in ("symmetric", "superclass"):
        groups = np.zeros(n_classes) if superclasses is None else np.asarray(superclasses)
        if groups.shape != (n_classes,):
            raise ValueError(
                f"superclasses must hold one group for each of the {n_classes} classes, "
                f"got an array of shape {groups.shape}."
            )
        targets = (groups[:, None] == groups) & ~np.eye(n_classes, dtype=bool)
    else:
        pairs = {i: (i + 1) % n_classes for i in range(n_classes)} if mapping is None else mapping
        targets = _mapping_targets(pairs, n_classes)
    n_targets = targets.sum(axis=1)
    matrix = rate * targets / np.maximum(n_targets, 1)[:, None]
    np.fill_diagonal(matrix, np.where(n_targets > 0, 1 - rate, 1.0))
    return matrix


def corrupt_labels(
    y: npt.ArrayLike,
    matrix: npt.ArrayLike,
    random_state: RandomState = None,
    *,
    classes: npt.ArrayLike | None = None,
    exact: bool = False,
) -> CorruptedLabels:
    """Replace labels at random according to a transition matrix.

    Every label is drawn once, from the matrix row of its original class: a cat that became a dog is
    not drawn again among the dogs.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        True labels: integers (gaps are fine), strings or booleans.
    matrix : array-like of shape (n_classes, n_classes)
        ``matrix[i, j]`` is the probability that class i is given label j; rows sum to 1.
    random_state : int, Generator, RandomState or None, default=None
        Seed or source of the draws. A generator is advanced; an int gives the same labels every
        time, from a stream of its own; None takes fresh entropy. NumPy's global state is neither
        read nor changed.
    classes : array-like of shape (n_classes,), default=None
        The classes in the order of the matrix rows; by default the sorted distinct values of `y`.
        Needed where some class is absent from `y`.
    exact : bool, default=False
        If False each row is drawn independently, so that counts vary as multinomial counts do.
        If True the counts are fixed and only the choice of rows is random; see Notes.

    Returns
    -------
    corrupted : CorruptedLabels
        The named tuple ``(labels, flipped)``; ``flipped.mean()`` is the realised rate.

    Raises
    ------
    ValueError
        If `y` is not 1-D, is empty or has missing values, if `matrix` is not a transition matrix
        over the classes, if `classes` does not cover `y`, or `random_state` is of another type.

    Notes
    -----
    With ``exact=True`` the number of flips is the expected number, rounded. It is divided over
    the classes in proportion to their expected flips, and within each class over the wrong
    labels in proportion to the matrix row, both by largest remainder with ties broken at random.
    Each class's flips are thus within one of the expected number.

    Examples
    --------
    >>> from noisyfit.noise import corrupt_labels, transition_matrix
    >>> y = ["cat"] * 10 + ["dog"] * 10
    >>> labels, flipped = corrupt_labels(
    ...     y, transition_matrix("pair", 2, 0.3), random_state=0, exact=True)
    >>> labels[:10].tolist().count("dog"), float(flipped.mean())
    (3, 0.3)
    """
    known, codes = encode(y, classes)
    T = _check_matrix(matrix, known)
    rng = noise_generator(random_state)
    new = codes.copy()
    if exact:
        wrong = T * ~np.eye(len(T), dtype=bool)
        expected = np.bincount(codes, minlength=len(T)) * wrong.sum(axis=1)
        n_flips = _largest_remainder(expected, round(float(np.round(expected.sum(), 9))), rng)
        for c in np.flatnonzero(n_flips):
            rows = rng.permutation(np.flatnonzero(codes == c))[: n_flips[c]]
            shares = n_flips[c] * wrong[c] / wrong[c].sum()
            new[rows] = np.repeat(np.arange(len(T)), _largest_remainder(shares, len(rows), rng))
    else:
        for i, T_i in enumerate(T):
            rows = np.flatnonzero(codes == i)
            new[rows] = rng.choice(len(T), size=len(rows), p=T_i)
    return CorruptedLabels(known[new], new != codes)


def _mapping_targets(mapping: Mapping[int, int], n_classes: int) -> np.ndarray:
    """Return a boolean matrix: True where `mapping` sends the class of the row."""
    if not isinstance(mapping, Mapping) or not mapping:
        raise ValueError(f"mapping must be a non-empty dict of class indices, got {mapping!r}.")
    targets = np.zeros((n_classes, n_classes), dtype=bool)
    for source, target in mapping.items():
        valid = all(isinstance(i, Integral) and 0 <= i < n_classes for i in (source, target))
        if not valid or source == target:
            raise ValueError(
                f"mapping must send class indices in 0..{n_classes - 1} to other such indices, "
                f"got {source!r}: {target!r}. Leave out a class to keep it clean."
            )
        targets[source, target] = True
    return targets


def _check_matrix(matrix: npt.ArrayLike, classes: np.ndarray) -> np.ndarray:
    """Check a transition matrix over `classes`, and scale its rows to sum to 1 in float64."""
    T = check_array(matrix, dtype=np.float64, input_name="matrix")
    if T.shape != (len(classes), len(classes)):
        raise ValueError(
            f"matrix has shape {T.shape}, but there are {len(classes)} classes. Pass classes= to "
            "name every class the matrix is for, in its row order."
        )
    sums = T.sum(axis=1)
    if (T < 0).any() or not np.allclose(sums, 1, rtol=0, atol=1e-6):
        raise ValueError(
            "matrix must hold probabilities with rows that sum to 1, got a smallest entry of "
            f"{T.min():.6g} and row sums from {sums.min():.6g} to {sums.max():.6g}."
        )
    return T / sums[:, None]


def encode(y: npt.ArrayLike, classes: npt.ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes, in a dtype that holds the labels, and the class index of each row."""
    if isinstance(y, list | tuple) and any(isinstance(label, str) for label in y):
        y = np.array(y, dtype=None if all(isinstance(label, str) for label in y) else object)
    y = np.asarray(y)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"y must be 1-D with at least one label, got shape {y.shape}.")
    assert_all_finite(y, input_name="y")
    try:
        found, codes = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise ValueError("y mixes label types that cannot be sorted; use one type.") from error
    if classes is None:
        return found, codes
    given = np.asarray(classes)
    index = {label: i for i, label in enumerate(given.ravel().tolist())}
    if given.ndim != 1 or len(index) != len(given):
        raise ValueError(f"classes must be 1-D without repeats, got {classes!r}.")
    absent = [label for label in found.tolist() if label not in index]
    if absent:
        raise ValueError(f"y holds labels that are not in classes: {absent}.")
    known = given.astype(np.result_type(y, given) if y.dtype.kind in "US" else y.dtype)
    if known.tolist() != given.tolist():
        raise ValueError(f"classes {given.tolist()} do not fit the dtype of y, {y.dtype}.")
    return known, np.array([index[label] for label in found.tolist()])[codes]


def noise_generator(random_state: RandomState) -> np.random.Generator:
    """Make a Generator from any accepted `random_state`, without NumPy's global state.

    Parameters
    ----------
    random_state : int, Generator, RandomState or None
        Source of the draws. An int seeds a stream of its own: no split and no training run with the
        same seed draws from it.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    ValueError
        For a `random_state` of another type, or a negative int.

    Examples
    --------
    >>> from noisyfit.noise import noise_generator
    >>> rng = noise_generator(0)
    >>> bool(noise_generator(0).random() == rng.random()), noise_generator(rng) is rng
    (True, True)
    """
    if random_state is None or isinstance(random_state, np.random.Generator):
        return np.random.default_rng(random_state)
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint32))
    if isinstance(random_state, Integral) and random_state >= 0:
        return np.random.default_rng([int(random_state), _STREAM])
    raise ValueError(
        "random_state must be a non-negative int, a numpy Generator or RandomState, or None. "
        f"Got {random_state!r} instead."
    )


def _largest_remainder(shares: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Round shares to integers that sum to `total`: each to its floor or its ceiling."""
    counts = np.floor(shares).astype(np.intp)
    remainder = np.round(shares - counts, 9)  # equal shares tie in spite of rounding errors
    order = np.lexsort((rng.random(len(shares)), -remainder))
    counts[order[: total - counts.sum()]] += 1
    return counts
