"""Cross-validation that tests on verified labels alone: `TrustedFold`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import check_consistent_length

from noisyfit.data import check_groups, check_labels, check_trusted, encode_labels

if TYPE_CHECKING:
    from collections.abc import Iterator


class TrustedFold(BaseCrossValidator):
    """Test on rows whose label was verified, train on all others, in `n_splits` folds.

    A score on noisy labels rewards a model for repeating their errors. Here the trusted rows are
    dealt to folds, stratified by class. Each fold is tested on once, after training on the trusted
    rows of the other folds and on **all** untrusted rows: every score is that of verified labels
    that were not trained on.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of trusted rows.
    trusted : array-like of shape (n_samples,), bool, default=None
        True where the label of a row was verified. None if `split` gets the mask, as it does by
        scikit-learn's metadata routing.
    shuffle : bool, default=False
        Whether the trusted rows of a class are dealt in random order instead of that of the data.
    random_state : int, RandomState instance or None, default=None
        Makes the order of ``shuffle=True`` repeatable.

    Raises
    ------
    ValueError, TypeError
        For an `n_splits`, `shuffle` or `random_state` that
        `sklearn.model_selection.StratifiedKFold` refuses, with its message.

    See Also
    --------
    sklearn.model_selection.StratifiedKFold : Deals the trusted rows.

    Notes
    -----
    The estimator needs the mask of its training rows, too, which scikit-learn selects from that of
    all rows. Without metadata routing, the splitter gets the mask in its constructor. The estimator
    gets it by ``params={"trusted": mask}`` of ``cross_validate`` and ``cross_val_score``, or by
    ``trusted=mask`` of ``GridSearchCV.fit``. After
    ``sklearn.set_config(enable_metadata_routing=True)`` the splitter gets it in this way as well.
    Nested cross-validation needs routing, as a mask in the constructor cannot fit the rows of an
    outer fold.

    Each training part holds at least one trusted row of each class, as methods that learn from
    trusted rows require. For this a class needs two, whatever the number of folds; if it has fewer
    than `n_splits`, some folds do not test it. ``cross_val_predict`` requires that every row is
    tested on, and refuses this splitter.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.model_selection import TrustedFold
    >>> X, y = np.zeros((10, 2)), np.array(["cat", "dog"] * 5)
    >>> trusted = np.arange(10) < 6
    >>> for train, test in TrustedFold(n_splits=3).split(X, y, trusted=trusted):
    ...     print(train, test)
    [2 3 4 5 6 7 8 9] [0 1]
    [0 1 4 5 6 7 8 9] [2 3]
    [0 1 2 3 6 7 8 9] [4 5]

    In a search, where the scores do not see a wrong label:

    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.model_selection import GridSearchCV
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.noise import corrupt_labels, transition_matrix
    >>> X, true = make_blobs(200, centers=[[-2, 0], [2, 0]], random_state=0)
    >>> given = corrupt_labels(true, transition_matrix("symmetric", 2, 0.3), 0).labels
    >>> trusted = np.arange(200) < 20
    >>> given[trusted] = true[trusted]
    >>> search = GridSearchCV(
    ...     MILDSelector(rounds=1, max_epochs=3, random_state=0),
    ...     {"lr": [1e-9, 0.1]},
    ...     cv=TrustedFold(2, trusted=trusted),
    ... )
    >>> search.fit(X, given, trusted=trusted).best_params_
    {'lr': 0.1}
    """

    __metadata_request__split: ClassVar = {"trusted": True, "groups": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        trusted: Any = None,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        StratifiedKFold(n_splits, shuffle=shuffle, random_state=random_state)  # refuses bad values
        self.n_splits = n_splits
        self.trusted = trusted
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self, X: Any, y: Any, groups: Any = None, trusted: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the rows to train and to test on, fold after fold.

        Parameters
        ----------
        X : array-like, CSR matrix or torch Dataset of shape (n_samples, ...)
            Only its number of rows is used.
        y : array-like of shape (n_samples,)
            Given labels; those of trusted rows were verified.
        groups : array-like of shape (n_samples,), default=None
            Which rows belong together, such as frames of a film. The trusted rows of a group are
            all tested on in one fold, whose training part has no row of the group, trusted or not.
            None: every row for itself.
        trusted : array-like of shape (n_samples,), bool, default=None
            True where the label of a row was verified. None: the mask of the constructor.

        Yields
        ------
        train : ndarray of shape (n_train,), int
            All untrusted rows, and the trusted rows of the other folds, in ascending order; none of
            a group that is tested on.
        test : ndarray of shape (n_test,), int
            Trusted rows, in ascending order.

        Raises
        ------
        ValueError
            Without a mask, with two masks that differ, with indices instead of a mask, if a class
            has fewer than two trusted rows, or such rows in fewer than two groups, and with fewer
            trusted rows, or groups of them, than folds.
        """
        y = check_labels(y)
        check_consistent_length(X, y)
        rows = np.flatnonzero(self._mask(trusted, len(y)))
        codes = check_groups(groups, len(y))
        if codes is None:
            codes, fold = np.arange(len(y)), self._deal(y, rows)
        else:
            fold = self._deal_groups(y, rows, codes)
        for k in range(self.n_splits):
            test = rows[fold == k]
            yield np.flatnonzero(~np.isin(codes, codes[test])), test

    def get_n_splits(
        self, X: Any = None, y: Any = None, groups: Any = None, trusted: Any = None
    ) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups, trusted : object
            Ignored, for compatibility.

        Returns
        -------
        int
            The parameter `n_splits`.
        """
        return self.n_splits

    def _mask(self, trusted: Any, n_samples: int) -> np.ndarray:
        """Return the mask of the constructor or of `split`; two masks must be the same."""
        masks = [
            check_trusted(mask, n_samples) for mask in (self.trusted, trusted) if mask is not None
        ]
        if not masks:
            raise ValueError(
                "TrustedFold needs to know the rows to test on. Write TrustedFold(trusted=mask), "
                "or split(X, y, trusted=mask), which cross_validate and GridSearchCV do after "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        if not np.array_equal(masks[0], masks[-1]):
            raise ValueError(
                f"TrustedFold has a mask of {masks[0].sum()} trusted rows, and split was given "
                f"another, of {masks[1].sum()}. Leave one of them out."
            )
        return masks[0]

    def _deal(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the fold of each of the trusted `rows`: (n_trusted,), int."""
        codes, classes = encode_labels(y)
        counts = np.bincount(codes[rows], minlength=len(classes))
        if few := _fewer_than_two(classes, counts):
            raise ValueError(
                "TrustedFold needs two trusted rows of each class: one to test on, one to train "
                f"on. Got {few} (class: trusted rows); verify more labels of these classes."
            )
        if len(rows) < self.n_splits:
            raise ValueError(
                f"TrustedFold cannot deal {len(rows)} trusted rows to n_splits={self.n_splits} "
                f"folds. Verify more labels, or lower n_splits to at most {len(rows)}."
            )
        folds = StratifiedKFold(self.n_splits, shuffle=self.shuffle, random_state=self.random_state)
        # StratifiedKFold refuses classes that are all smaller than n_splits. One more class, which
        # it deals last and is dropped here, leaves the other classes' folds as they are.
        padded = np.append(codes[rows], np.full(self.n_splits, len(classes)))
        fold = np.empty(len(padded), dtype=np.intp)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            for k, (_, test) in enumerate(folds.split(padded, padded)):
                fold[test] = k
        return fold[: len(rows)]

    def _deal_groups(self, y: np.ndarray, rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return the fold of each of the trusted `rows`, one for each group: (n_trusted,), int."""
        codes, classes = encode_labels(y)
        of_class = np.unique(np.column_stack([codes[rows], groups[rows]]), axis=0)[:, 0]
        counts = np.bincount(of_class, minlength=len(classes))
        if few := _fewer_than_two(classes, counts):
            raise ValueError(
                "TrustedFold needs trusted rows of each class in two groups: one to test on, one "
                f"to train on. Got {few} (class: groups with trusted rows); verify labels of other "
                "groups, or leave groups out."
            )
        n_groups = len(np.unique(groups[rows]))
        if n_groups < self.n_splits:
            raise ValueError(
                f"TrustedFold cannot deal {n_groups} groups with trusted rows to "
                f"n_splits={self.n_splits} folds. Lower n_splits to at most {n_groups}."
            )
        folds = StratifiedGroupKFold(
            self.n_splits, shuffle=self.shuffle, random_state=self.random_state
        )
        # As in _deal: one more class, of a group for each fold, as StratifiedGroupKFold refuses
        # classes that are all smaller than n_splits.
        n_rows = len(rows)
        small = np.bincount(codes[rows]).max() < self.n_splits
        more = np.arange(self.n_splits if small else 0)
        padded = np.append(codes[rows], np.full(len(more), len(classes)))
        of_rows = np.append(groups[rows], groups.max() + 1 + more)
        fold = np.empty(len(padded), dtype=np.intp)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            for k, (_, test) in enumerate(folds.split(padded, padded, of_rows)):
                fold[test] = k
        fold = fold[:n_rows]
        if len(np.unique(fold)) < self.n_splits:
            raise ValueError(
                f"These groups are too unequal for n_splits={self.n_splits} folds: one of them "
                "would test no row. Lower n_splits, or verify labels of other groups."
            )
        for k in range(self.n_splits):
            missing = set(range(len(classes))) - set(codes[rows[fold != k]].tolist())
            if missing:
                names = [classes[c].item() for c in sorted(missing)]
                raise ValueError(
                    f"With these groups, a fold would test all trusted rows of {names}, and leave "
                    "none to train on. Lower n_splits, or verify labels of other groups."
                )
        return fold


def _fewer_than_two(classes: np.ndarray, counts: np.ndarray) -> dict[Any, int]:
    """Return the classes that can't be both tested and trained on, with their counts."""
    pairs = zip(classes.tolist(), counts.tolist(), strict=True)
    return {label: count for label, count in pairs if count < 2}
